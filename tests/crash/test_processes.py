"""Several processes over one PostgreSQL: exact limits, and no request on any of them sees what an answered change took
away.

Two processes race for two seconds; `make soak` has four race for a minute.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.adapters.directories import BASE, SERVICE, SERVICE_PASSWORD, SmallDirectory, listening
from tests.api import Api
from tests.databases import emptied
from tests.processes import serving
from tests.services import coherence

LOGIN = "/api/v1/auth/universal-auth/login"
LDAP_LOGIN = "/api/v1/auth/ldap-auth/login"
DIRECTORY = {"allowed_private_hosts": "127.0.0.1", "http_hosts": "127.0.0.1"}  # one on loopback without TLS


async def clients(servers: Any) -> list[Api]:
    """A client of each server, the first one bootstrapped."""
    several = servers if isinstance(servers, tuple) else (servers,)
    first = await several[0].api()
    return [first, *[await server.api(like=first) for server in several[1:]]]


async def exactly_five(apis: Sequence[Api]) -> None:
    """200 logins with a secret for five, and 200 requests with a token for five, all at once over all servers."""
    api = apis[0]
    identity = await api.identity("member")
    login = await api.universal(identity["id"], {"numUsesLimit": 5}, lockoutEnabled=False)
    limited, token = await api.bot("member", accessTokenNumUsesLimit=5)
    path = f"/api/v1/identities/{limited['id']}"

    logins = await asyncio.gather(*[apis[i % len(apis)].post(LOGIN, login, token=None) for i in range(200)])
    requests = await asyncio.gather(*[apis[i % len(apis)].get(path, token=token) for i in range(200)])

    assert [200] * 5 + [401] * 195 == sorted(reply.status_code for reply in logins)
    assert [200] * 5 + [401] * 195 == sorted(reply.status_code for reply in requests)


async def many_limits_at_once(apis: Sequence[Api]) -> None:
    """Batches of several processes that count the same rows in any order: still exact, and nobody is refused
    because a lock was not free.
    """
    bots = [await apis[0].bot("member", accessTokenNumUsesLimit=20) for _ in range(6)]
    asks = [(apis[i % len(apis)], *bots[i * 7 % 6]) for i in range(600)]

    replies = await asyncio.gather(
        *[api.get(f"/api/v1/identities/{bot['id']}", token=token) for api, bot, token in asks]
    )

    assert [200] * 120 + [401] * 480 == sorted(reply.status_code for reply in replies)


async def a_burst_of_guesses_locks(apis: Sequence[Api]) -> None:
    """However many passwords are guessed at once, on all servers, the lock falls, and holds on all of them
    until it is taken off.
    """
    identity = await apis[0].identity("member")
    path = f"/api/v1/auth/ldap-auth/identities/{identity['id']}"
    right = {"identityId": identity["id"], "username": "ada", "password": "ada's password"}
    wrong = right | {"password": "wrong"}
    async with listening(SmallDirectory()) as port:
        body = {"url": f"ldap://127.0.0.1:{port}", "bindDN": SERVICE, "bindPass": SERVICE_PASSWORD, "searchBase": BASE}
        await apis[0].ok("POST", path, {**body, "lockoutThreshold": 3})

        replies = await asyncio.gather(*[apis[i % len(apis)].post(LDAP_LOGIN, wrong, token=None) for i in range(60)])
        after = await asyncio.gather(*[api.post(LDAP_LOGIN, right, token=None) for api in apis])
        await apis[-1].ok("POST", f"{path}/clear-lockouts", {})
        cleared = await asyncio.gather(*[api.post(LDAP_LOGIN, right, token=None) for api in apis])

    assert {401} == {reply.status_code for reply in (*replies, *after)}
    assert {200} == {reply.status_code for reply in cleared}


async def test_one_process_on_sqlite_counts_exactly(tmp_path: Path) -> None:
    async with serving(tmp_path, **DIRECTORY) as server:  # type: ignore[arg-type]
        apis = await clients(server)
        await exactly_five(apis)
        await a_burst_of_guesses_locks(apis)


@pytest.mark.parametrize("seconds", [3, pytest.param(-3, marks=pytest.mark.soak)])
async def test_two_processes_with_different_clocks_end_tokens_at_once(
    tmp_path: Path, migrated: str, seconds: int
) -> None:
    async with serving(tmp_path, await emptied(migrated), count=2, database_pool="4") as servers:
        servers[1].set_clock(seconds)
        apis = await clients(servers)
        for turns in (apis, apis[::-1]):
            ended = await coherence.ends(turns, 2)

            assert {name: {401} for name in ended} == ended


async def test_one_process_whose_clock_steps_back_revives_nothing(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        (api,) = await clients(server)
        identity = await api.identity("member")
        login = await api.universal(identity["id"])
        token = await api.login(login)
        method, path = (
            f"/api/v1/auth/universal-auth/identities/{identity['id']}",
            f"/api/v1/identities/{identity['id']}",
        )

        server.set_clock(-3600)
        await api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
        seen = [(await api.get(path, token=token)).status_code]
        second = await api.login(login)
        await api.ok("DELETE", method)
        server.set_clock(-7200)
        fresh = await api.login(await api.universal(identity["id"]))
        seen += [(await api.get(path, token=one)).status_code for one in (token, second, fresh)]
        server.set_clock(0)
        seen += [(await api.get(path, token=one)).status_code for one in (token, second, fresh)]

    assert [401, 401, 401, 200, 401, 401, 200] == seen


@pytest.mark.parametrize(("count", "seconds"), [(2, 2), pytest.param(4, 60, marks=pytest.mark.soak)])
async def test_processes_over_one_postgresql_count_exactly_and_agree_at_once(
    tmp_path: Path, migrated: str, count: int, seconds: float
) -> None:
    async with serving(tmp_path, await emptied(migrated), count=count, database_pool="4", **DIRECTORY) as servers:
        apis = await clients(servers)
        await exactly_five(apis)
        await many_limits_at_once(apis)
        await a_burst_of_guesses_locks(apis)

        changes, reads = await coherence.race(apis, await coherence.everything(apis[0]), seconds=seconds)
        ended = await coherence.ends(apis, 2)

    assert {name: {401} for name in ended} == ended
    assert changes > 20
    assert reads > changes
