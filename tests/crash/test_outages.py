"""A database that hangs, restarts or drops its connections: refusals in bounded time, no answer from an
unchecked cache, and back by itself.
"""

import asyncio
import time
from pathlib import Path

import asyncpg

from tests.api import Api
from tests.postgres import Server as Postgres
from tests.processes import Server, serving

IDENTITIES = "/api/v1/identities"
BOUND = 25  # seconds: two reads of versions, or a connection and a statement


async def asked(api: Api, token: str, identity_id: str) -> list[int]:
    """What is answered to reads that a cache could answer, to writes and to logins, all at once."""
    replies = await asyncio.gather(
        *[api.get(f"{IDENTITIES}/{identity_id}", token=token) for _ in range(5)],
        api.post(IDENTITIES, {"name": "new", "organizationId": api.org_id, "role": "no-access"}),
        api.post("/api/v1/auth/universal-auth/login", {"clientId": "a", "clientSecret": "b"}, token=None),
        api.get("/readyz", token=None),
    )
    return [reply.status_code for reply in replies]


async def back_within(api: Api, seconds: float, token: str, identity_id: str) -> None:
    async with asyncio.timeout(seconds):
        while await asked(api, token, identity_id) != [200] * 6 + [401, 200]:
            await asyncio.sleep(0.2)


async def drop_connections(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname IS NOT NULL"
    )
    await connection.close()


async def test_a_database_that_hangs_restarts_or_hangs_up(tmp_path: Path, private_postgres: Postgres) -> None:
    server: Server
    async with serving(tmp_path, private_postgres.dsn) as server:
        api = await server.api()
        identity, token = await api.bot("member")
        await back_within(api, 10, token, identity["id"])

        await asyncio.to_thread(private_postgres.pause)
        began = time.monotonic()
        paused = [await asked(api, token, identity["id"]), await asked(api, token, identity["id"])]
        took = time.monotonic() - began
        alive = await api.get("/healthz", token=None)
        await asyncio.to_thread(private_postgres.resume)
        await back_within(api, 20, token, identity["id"])

        await drop_connections(private_postgres.dsn)
        await back_within(api, 10, token, identity["id"])

        await asyncio.to_thread(private_postgres.stop, "immediate")
        stopped = await asked(api, token, identity["id"])
        await asyncio.to_thread(private_postgres.start)
        await back_within(api, 20, token, identity["id"])

    assert [[503] * 8] * 2 == paused
    assert took < 2 * BOUND
    assert 200 == alive.status_code
    assert [503] * 8 == stopped
    assert '"level":"error"' not in server.log


async def test_no_answer_is_an_error_of_ours_while_the_database_dies_again_and_again(
    tmp_path: Path, private_postgres: Postgres
) -> None:
    server: Server
    async with serving(tmp_path, private_postgres.dsn) as server:
        api = await server.api()
        identity, token = await api.bot("member")
        seen: dict[int, int] = {}
        ends = asyncio.Event()

        async def load(number: int) -> None:
            turn = 0
            while not ends.is_set():
                turn += 1
                paths = (f"{IDENTITIES}/{identity['id']}", f"{IDENTITIES}?orgId={api.org_id}")
                for reply in (
                    await api.get(paths[turn % 2], token=token),
                    await api.post(
                        IDENTITIES, {"name": f"i{number}-{turn}", "organizationId": api.org_id, "role": "no-access"}
                    ),
                    await api.post(
                        "/api/v1/auth/universal-auth/login", {"clientId": "a", "clientSecret": "b"}, token=None
                    ),
                    await api.post("/api/v1/auth/token/renew", {"accessToken": token}, token=None),
                ):
                    seen[reply.status_code] = seen.get(reply.status_code, 0) + 1

        async with asyncio.TaskGroup() as group:
            for number in range(8):
                group.create_task(load(number))
            for way in ("drop", "immediate", "drop", "fast", "drop", "immediate"):
                before = seen.get(200, 0)
                while seen.get(200, 0) < before + 20:  # until it is under load
                    await asyncio.sleep(0.05)
                if way == "drop":
                    await drop_connections(private_postgres.dsn)
                else:
                    await asyncio.to_thread(private_postgres.stop, way)
                    await asyncio.to_thread(private_postgres.start)
            ends.set()

    assert {200, 503} <= set(seen)
    assert 500 not in seen, seen
    assert '"level":"error"' not in server.log
