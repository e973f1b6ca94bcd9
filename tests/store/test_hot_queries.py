"""No statement of a hot operation costs more in a large database: nothing is read but what an index leads to.

The operations are carried out by a whole server over a filled database, cold, so that everything is loaded; whatever
its store was asked is written down and explained afterwards. A query that somebody adds to a hot path is here by
itself.

5,000 rows of each kind are enough: from a few thousand on, PostgreSQL's planner prefers an index that fits, and
SQLite's, which has no statistics, always does. What both would still do gladly, going through an index by its first
column only, is found by counting: rows that PostgreSQL touched, steps of SQLite's machine. HOT_QUERY_ROWS=1000000 takes
as many.
"""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import httpx
import msgspec
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql import asyncpg as postgresql

from bench import seed
from bench.servers import analyzed
from watchword.app import Server, build_runtime, opened
from watchword.domain.audit.records import AuditEvent
from watchword.domain.authentication.records import AccessToken
from watchword.services.runtime import Runtime
from watchword.settings import Settings
from watchword.store import schema, versions
from watchword.store.audit import events
from watchword.store.authentication import (
    client_secrets,
    live_tokens,
    method_configs,
    spent_proofs,
    token_revocations,
    token_rows,
)
from watchword.store.cache import Cache
from watchword.store.engine import Compiled, Prepared, Row, Statement, Store, Tx, Write, compiled
from watchword.store.journal import Journal, JournalEntry

ROWS = int(os.environ.get("HOT_QUERY_ROWS", "5000"))
ONE = ROWS // 2  # whom the operations are about: neither the first nor the last
SQLITE, POSTGRESQL = sqlite.dialect(paramstyle="qmark"), postgresql.dialect()  # as the stores have them
MOST_STEPS = 12_000  # of SQLite's machine; reading a row takes ten to thirty
MOST_ROWS = 1_000  # that PostgreSQL touches; the list has 100 secrets, and a folder is looked at twice


class Asked:
    """Every different statement that a store was asked, with the values it was asked with first."""

    def __init__(self) -> None:
        self.all: dict[str, tuple[Statement, Mapping[str, Any]]] = {}

    def note(self, statement: Statement, values: Mapping[str, Any]) -> None:
        self.all.setdefault(compiled(statement, POSTGRESQL).text, (statement, dict(values)))


class AskedTx:
    """A unit or view that notes what it is asked."""

    def __init__(self, tx: Tx, asked: Asked) -> None:
        self._tx, self._asked = tx, asked

    async def one(self, statement: Statement, /, **params: Any) -> Any:
        self._asked.note(statement, params)
        return await self._tx.one(statement, **params)

    async def all(self, statement: Statement, /, **params: Any) -> Any:
        self._asked.note(statement, params)
        return await self._tx.all(statement, **params)

    async def run(self, statement: Statement, /, **params: Any) -> int:
        self._asked.note(statement, params)
        return await self._tx.run(statement, **params)

    async def many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        if rows:
            self._asked.note(statement, rows[0])
        await self._tx.many(statement, rows)

    async def count(self, statement: Statement, /, **params: Any) -> Any:
        self._asked.note(statement, params)
        return await self._tx.count(statement, **params)

    async def count_many(self, statement: Statement, rows: Sequence[Mapping[str, Any]], /) -> None:
        if rows:
            self._asked.note(statement, rows[0])
        await self._tx.count_many(statement, rows)

    async def together(self, writes: Sequence[Write], *, is_last: bool = False) -> None:
        for write in writes:
            if write.rows:
                self._asked.note(write.statement, write.rows[0])
        await self._tx.together(writes, is_last=is_last)

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        return await self._tx.versions(keys)

    def changed(self, *keys: str) -> None:
        self._asked.note(versions.RAISE, {"key": keys[0], "one": 1})
        self._tx.changed(*keys)


class AskedStore:
    """A store that notes what its units and views are asked."""

    def __init__(self, store: Store, asked: Asked) -> None:
        self._store, self._asked = store, asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AskedTx]:
        async with self._store.read() as tx:
            yield AskedTx(tx, self._asked)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AskedTx]:
        async with self._store.write() as tx:
            yield AskedTx(tx, self._asked)

    async def once(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        self._asked.note(statement, params)
        return await self._store.once(statement, **params)


async def test_no_statement_of_a_hot_operation_reads_more_than_an_index_leads_to(any_settings: Settings) -> None:
    async with opened(build_runtime(any_settings)) as parts:
        world = await seed.found_world(parts)
        await seed.grow(
            parts,
            world,
            seed.Size(identities=0, secrets=0),
            seed.Size(identities=ROWS, secrets=ROWS, tokens=ROWS, revocations=ROWS),
        )
        # As many again, all of this one identity: what is read for it must not grow with them.
        await seed.add_revocations(parts, world, ROWS, 2 * ROWS, owners=[ONE])
    asked = Asked()
    asked.note(versions.READ, {"keys": [versions.identity(seed.identity_id(ONE)), versions.org(world.org_id)]})
    await carry_out(any_settings, asked, world)

    explain = explained_by_sqlite if any_settings.database_url is None else explained_by_postgres
    assert len(asked.all) > 25
    assert [] == await explain(any_settings, asked)


async def carry_out(settings: Settings, asked: Asked, world: seed.World) -> None:
    """Each hot operation once, by a server that has nothing in its caches."""
    parts = build_runtime(settings)
    store: Any = AskedStore(parts.store, asked)
    parts = msgspec.structs.replace(
        parts, store=store, cache=Cache(store, 1000), journal=Journal(store), writes=Journal(store)
    )
    async with opened(parts):
        transport = httpx.ASGITransport(Server(parts), client=("127.0.0.1", 40_000), raise_app_exceptions=True)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://watchword.test") as client:
            await ask(client, world)
        await settle(parts)


async def ask(client: httpx.AsyncClient, world: seed.World) -> None:
    async def send(method: str, path: str, token: str = "", status: int = 200, **options: Any) -> Any:
        reply = await client.request(
            method, path, headers={"authorization": f"Bearer {token}"} if token else {}, **options
        )
        assert (status, path) == (reply.status_code, path), reply.text
        return reply.json()

    login, path = seed.login_of(ONE), "/api/v1/auth/universal-auth/login"
    await send("POST", path, json={**login, "clientSecret": "no such secret"}, status=401)
    token = (await send("POST", path, json=login))["accessToken"]
    place = {"workspaceId": world.project_id, "environment": seed.ENVIRONMENT, "secretPath": seed.path_of(ONE)}
    secret = f"/api/v3/secrets/raw/{seed.key_of(ONE)}"
    await send("GET", "/api/v1/identities/details", token)
    await send("GET", secret, token, params=place)
    await send("GET", "/api/v3/secrets/raw", token, params=place)
    await send("PATCH", secret, token, json={**place, "secretValue": "new"})
    renewed = await send("POST", "/api/v1/auth/token/renew", json={"accessToken": token})
    await send("GET", secret, renewed["accessToken"], params=place)


async def settle(parts: Runtime) -> None:
    """What only tokens with a row and proofs that may be used once leave in the journal, and what looks them up."""
    async with parts.store.read() as tx:
        listed = await token_rows.of_method(
            tx, seed.identity_id(ROWS // seed.SOME), "universal-auth", offset=0, limit=1
        )
        row = await token_rows.by_id(tx, listed[0].id)
        await token_revocations.by_keys(tx, [f"token/{listed[0].id}", f"identity/{listed[0].identity_id}"])
    assert isinstance(row, AccessToken)
    await look_for_live_tokens(parts, row)
    fresh = msgspec.structs.replace(row, id=parts.new_id())
    entries: list[JournalEntry] = [
        token_rows.TokenUsed(row.id, row.created_at),
        token_rows.TokenRenewed(row.id, row.created_at, row.expires_at),
        token_rows.TokenIssued(fresh),
        spent_proofs.ProofSpent("jwt/1", row.expires_at),
    ]
    assert [True, None, None, True] == await asyncio.gather(*[parts.journal.submit(entry) for entry in entries])
    assert await parts.journal.submit(
        client_secrets.SecretUsed(await a_client_secret(parts), limited=True, at=row.created_at)
    )


async def look_for_live_tokens(parts: Runtime, row: AccessToken) -> None:
    """What a list of an identity's live tokens reads, where others have logged in very often."""
    logins = [login_event(parts, seed.identity_id(number % 100)) for number in range(ROWS)]
    async with parts.store.write() as tx:
        await events.add(tx, logins)
    await parts.journal.submit(token_rows.LoginTokenRenewed(msgspec.structs.replace(row, id=parts.new_id()), 1))
    last, whose = live_tokens.LAST_PLACE, seed.identity_id(50)
    async with parts.store.read() as tx:
        assert await live_tokens.rows(tx, row.identity_id, before=last, now=0, most=5)
        assert await live_tokens.logins(tx, whose, before=last, since=0, most=5)
        assert await live_tokens.with_row(tx, [row.id]) == {row.id}
        await live_tokens.login_of(tx, whose, logins[50].id)


def login_event(parts: Runtime, identity_id: str) -> AuditEvent:
    return AuditEvent(
        id=parts.new_id(),
        at=parts.clock(),
        actor_kind="identity",
        actor_id=identity_id,
        event="login-identity-universal-auth",
        metadata={},
        request_id="",
    )


async def a_client_secret(parts: Runtime) -> str:
    async with parts.store.read() as tx:
        config = await method_configs.config(tx, seed.identity_id(ONE), "universal-auth")
        assert config is not None
        return (await client_secrets.of_config(tx, config.id))[0].id


async def explained_by_sqlite(settings: Settings, asked: Asked) -> list[str]:
    """The statements that read a whole table, or take more steps than a few rows cost."""
    connection = sqlite3.connect(settings.data_dir / "watchword.db", isolation_level=None)
    wrong = []
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 100
        return 0

    for statement, given in asked.all.values():
        ready = compiled(statement, SQLITE)
        if ready.is_plain_insert:
            continue
        values = [json.dumps(value) if isinstance(value, list) else value for value in ready.values(given)]
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {ready.text}", values)]
        wrong += [
            f"{ready.text}: {line}"
            for line in plan
            if line.startswith("SCAN ") and line.split()[1] in schema.metadata.tables
        ]
        steps = 0
        connection.execute("BEGIN")
        connection.set_progress_handler(step, 100)
        connection.execute(ready.text, values).fetchall()
        connection.set_progress_handler(None, 100)
        connection.execute("ROLLBACK")
        if steps > MOST_STEPS:
            wrong.append(f"{ready.text}: {steps} steps; {' | '.join(plan)}")
    connection.close()
    return wrong


async def explained_by_postgres(settings: Settings, asked: Asked) -> list[str]:
    """The statements that read a large table in sequence, or touch more than a few rows."""
    assert settings.database_url is not None
    dsn = settings.database_url.reveal()
    await analyzed(dsn)
    connection = await asyncpg.connect(dsn)
    large = {
        row[0]
        for row in await connection.fetch("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples >= 1000")
    }
    assert {"identities", "memberships", "secrets", "revocations", "access_tokens", "versions"} <= large
    wrong = []
    for statement, given in asked.all.values():
        ready = compiled(statement, POSTGRESQL)
        if ready.is_plain_insert:
            continue
        values = (
            {**given} | {"event_id": ["explained"]} if "event_id" in given else given
        )  # the one it was carried out with is there
        if isinstance(statement, Prepared) and statement.at_once:
            ready, values = statement.for_lists(POSTGRESQL), {name: [value] for name, value in given.items()}
        for mode in (
            "force_custom_plan",
            "force_generic_plan",
        ):  # asyncpg's prepared statements get either, as the server likes
            touched = [
                node for node in nodes(await plan_of(connection, ready, values, mode)) if "Relation Name" in node
            ]
            rows = sum(
                node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) for node in touched
            )
            scanned = [
                node["Relation Name"]
                for node in touched
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] in large
            ]
            if scanned or rows > MOST_ROWS:
                wrong.append(f"{ready.text}: {mode}, {rows} rows, in sequence: {scanned}")
    await connection.close()
    return wrong


async def plan_of(connection: Any, ready: Compiled, given: Mapping[str, Any], mode: str) -> dict[str, Any]:
    """How PostgreSQL carries out a statement; what it wrote is taken back."""
    await connection.execute(f"SET plan_cache_mode = {mode}")
    transaction = connection.transaction()
    await transaction.start()
    try:
        found = await connection.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {ready.text}", *ready.values(given))
    finally:
        await transaction.rollback()
    plan: dict[str, Any] = json.loads(found)[0]["Plan"]
    return plan


def nodes(plan: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """A plan's node and all below it."""
    return [plan, *[node for below in plan.get("Plans", []) for node in nodes(below)]]
