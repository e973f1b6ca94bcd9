"""Two units that wait for each other: one gives way, and its request is carried out once more, unless a part of
it was written.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest
from sqlalchemy import func, select

from tests.api import Api, postgres_settings, running
from tests.databases import emptied
from watchword.services.context import Ctx
from watchword.services.identities import identities
from watchword.store import schema
from watchword.store.engine import Collision

CREATED = select(func.count()).select_from(schema.audit_events).where(schema.audit_events.c.event == "create-identity")
SEEN = (
    "UPDATE identities SET last_login_at = 1 WHERE id = $1",
    "UPDATE memberships SET last_login_at = 1 WHERE actor_id = $1",
)


@pytest.fixture
async def dsn(migrated: str) -> str:
    return await emptied(migrated)


@pytest.fixture
async def other(dsn: str) -> AsyncIterator[asyncpg.Connection]:
    """Another unit of the database. When it waits for somebody who waits for it, it is not the one that gives way."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET deadlock_timeout = '1h'")
    yield connection
    await connection.close()


async def change_while(dsn: str, other: asyncpg.Connection, first: str, then: str) -> int:
    """The status of a change of role that meets a unit which has locked one row of the identity and then asks
    for another.
    """
    async with running(postgres_settings(dsn)) as api:
        id = (await api.identity("member"))["id"]
        async with asyncio.timeout(20), other.transaction():
            await other.execute(first, id)
            change = asyncio.create_task(api.request("PATCH", f"/api/v1/identities/{id}", {"role": "no-access"}))
            await somebody_waits(dsn)
            await other.execute(then, id)
        return (await change).status_code


async def somebody_waits(dsn: str) -> None:
    watching = await asyncpg.connect(dsn)
    while not await watching.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):
        await asyncio.sleep(0.01)
    await watching.close()


async def test_a_change_of_role_locks_in_the_order_in_which_logins_are_noted(
    dsn: str, other: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ctx, "begins_again", lambda ctx: False)

    assert 200 == await change_while(dsn, other, *SEEN)


async def test_what_gave_way_is_carried_out_once_more(dsn: str, other: asyncpg.Connection) -> None:
    assert 200 == await change_while(dsn, other, *reversed(SEEN))


def colliding(monkeypatch: pytest.MonkeyPatch, *, times: int) -> list[int]:
    """Make the unit of a new identity give way so often after it has written; what is there in the end counts
    the attempts.
    """
    attempts: list[int] = []
    add = identities.add

    async def added(*args: Any) -> Any:
        found = await add(*args)
        attempts.append(1)
        if len(attempts) <= times:
            raise Collision
        return found

    monkeypatch.setattr(identities, "add", added)
    return attempts


async def test_a_unit_that_gives_way_writes_once(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = colliding(monkeypatch, times=2)
    before = (await api.ok("GET", f"/api/v2/organizations/{api.org_id}/identity-memberships"))["totalCount"]

    await api.identity()

    assert 3 == len(attempts)
    assert before + 1 == (await api.ok("GET", f"/api/v2/organizations/{api.org_id}/identity-memberships"))["totalCount"]
    assert 1 == (await api.runtime.store.once(CREATED))[0][0]


async def test_a_unit_that_gives_way_again_and_again_is_refused_and_may_be_sent_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = colliding(monkeypatch, times=9)

    reply = await api.post("/api/v1/identities", {"name": "bot", "organizationId": api.org_id, "role": "member"})

    assert (503, "1") == (reply.status_code, reply.headers["retry-after"])
    assert "nothing was written" in reply.json()["message"]
    assert 3 == len(attempts)


async def test_nothing_begins_again_when_a_part_is_durable(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = colliding(monkeypatch, times=1)
    unit = Ctx.unit

    @asynccontextmanager
    async def after_another(ctx: Ctx) -> AsyncIterator[Any]:
        ctx.public("a test")
        async with unit(ctx):
            pass
        async with unit(ctx) as tx:
            yield tx

    monkeypatch.setattr(Ctx, "unit", after_another)
    reply = await api.post("/api/v1/identities", {"name": "bot", "organizationId": api.org_id, "role": "member"})

    assert (503, 1) == (reply.status_code, len(attempts))
