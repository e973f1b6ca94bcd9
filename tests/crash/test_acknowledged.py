"""What was answered is there after a crash: of the server, of PostgreSQL, at any moment of a stream of writes."""

import asyncio
import contextlib
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api import Api
from tests.databases import emptied
from tests.postgres import Server as Postgres
from tests.processes import Server, serving

IDENTITIES = "/api/v1/identities"


class Stream:
    """Writers that go on until the server is gone, and what they were told."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.made: set[str] = set()
        self.renamed: dict[str, str] = {}
        self.revoked: set[str] = set()
        self.uses = 0
        self.answers = 0

    async def make(self, writer: int) -> None:
        for i in range(10_000):
            identity = await self.api.identity(name=f"w{writer}-{i}")
            self.made.add(identity["id"])
            self.answers += 1
            name = f"renamed-{writer}-{i}"
            await self.api.ok("PATCH", f"{IDENTITIES}/{identity['id']}", {"name": name})
            self.renamed[identity["id"]] = name
            self.answers += 1

    async def revoke(self, tokens: list[str]) -> None:
        for token in tokens:
            await self.api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
            self.revoked.add(token)
            self.answers += 1
            await asyncio.sleep(0.01)

    async def use(self, token: str, identity_id: str) -> None:
        for _ in range(10_000):
            await self.api.ok("GET", f"{IDENTITIES}/{identity_id}", token=token)
            self.uses += 1

    async def until_it_breaks(self, tokens: list[str], limited: str, identity_id: str) -> None:
        work = [self.make(0), self.make(1), self.make(2), self.revoke(tokens), self.use(limited, identity_id)]

        async def broken_off(one: Any) -> None:
            with contextlib.suppress(httpx.TransportError, AssertionError):
                await one

        await asyncio.gather(*[broken_off(one) for one in work])


async def prepared(api: Api) -> tuple[list[str], str, str, str]:
    """Tokens to be revoked, a limited one and its identity, and one that stays."""
    identity = await api.identity("admin")
    login = await api.universal(identity["id"])
    tokens = await asyncio.gather(*[api.login(login) for _ in range(60)])
    limited_identity, limited = await api.bot("member", accessTokenNumUsesLimit=100_000)
    return tokens[1:], limited, limited_identity["id"], tokens[0]


async def check(api: Api, stream: Stream, limited: str, limited_id: str, stays: str) -> None:
    listed = await api.ok("GET", f"{IDENTITIES}?orgId={api.org_id}")
    names = {item["identity"]["id"]: item["identity"]["name"] for item in listed["identities"]}
    replies = [await api.get(f"{IDENTITIES}/{limited_id}", token=token) for token in stream.revoked]

    assert set() == stream.made - set(names)
    assert {} == {id: name for id, name in stream.renamed.items() if names[id] != name}
    assert {401} >= {reply.status_code for reply in replies}
    assert 200 == (await api.get(f"{IDENTITIES}/{limited_id}", token=stays)).status_code
    assert 200 == (await api.get(f"{IDENTITIES}/{limited_id}", token=limited)).status_code


async def kill_and_check(server: Server, seed: int) -> Stream:
    api = await server.api()
    tokens, limited, limited_id, stays = await prepared(api)
    stream = Stream(api)
    writing = asyncio.create_task(stream.until_it_breaks(tokens, limited, limited_id))
    while stream.answers < 20:
        await asyncio.sleep(0.01)
    await asyncio.sleep(random.Random(seed).uniform(0.05, 0.4))

    server.kill()
    await writing
    await asyncio.to_thread(server.start)

    await check(await server.api(like=api), stream, limited, limited_id, stays)
    return stream


async def test_a_killed_server_on_sqlite_lost_nothing_that_it_answered(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        stream = await kill_and_check(server, 1)

    assert stream.uses
    assert stream.revoked


async def test_a_killed_server_on_postgresql_lost_nothing_that_it_answered(tmp_path: Path, migrated: str) -> None:
    async with serving(tmp_path, await emptied(migrated)) as server:
        stream = await kill_and_check(server, 2)

    assert stream.uses
    assert stream.revoked


async def test_a_killed_postgresql_lost_nothing_that_was_answered_and_the_server_goes_on_by_itself(
    tmp_path: Path, private_postgres: Postgres
) -> None:
    async with serving(tmp_path, private_postgres.dsn) as server:
        api = await server.api()
        tokens, limited, limited_id, stays = await prepared(api)
        stream = Stream(api)
        writing = asyncio.create_task(stream.until_it_breaks(tokens, limited, limited_id))
        while stream.answers < 20:
            await asyncio.sleep(0.01)

        await asyncio.to_thread(private_postgres.kill)
        await asyncio.wait_for(writing, 60)
        refused = await api.get(f"{IDENTITIES}/{limited_id}", token=stays)
        await asyncio.to_thread(private_postgres.start)
        await until_it_answers(api)

        assert 503 == refused.status_code
        await check(api, stream, limited, limited_id, stays)


async def until_it_answers(api: Api) -> None:
    async with asyncio.timeout(30):
        while (await api.get("/readyz", token=None)).status_code != 200:
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("seen", ["watchword.db", "watchword.db-wal"])
async def test_a_server_killed_while_it_starts_for_the_first_time_starts_the_next(tmp_path: Path, seen: str) -> None:
    server = Server(tmp_path, None, 0, {})
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    while not (tmp_path / seen).exists():
        await asyncio.sleep(0)
    server.process.kill()
    with contextlib.suppress(AssertionError):
        await starting
    server._ended()

    await asyncio.to_thread(server.start)
    api = await server.api()
    await server.close()

    assert api.token
