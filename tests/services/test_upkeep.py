"""Sweeps remove what is dead and nothing else."""

from sqlalchemy import select

from tests.house import EMAIL, PASSWORD, Api
from watchword.domain.horizon import STEP
from watchword.domain.model.identities import Lockout
from watchword.services.upkeep import horizon, sweep
from watchword.store import credentials, schema

DAY = 86_400


async def time_passes(api: Api, days: int) -> dict[str, int]:
    """The clock moves on and sweeps run meanwhile, as they do every ten minutes; what they removed in all."""
    removed: dict[str, int] = {}
    api.clock.forward(days * DAY)
    await api.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)
    for _ in range(days * DAY * 1000 // STEP + 1):
        for name, count in (await sweep(api.house)).items():
            removed[name] = removed.get(name, 0) + count
    return removed


async def test_nothing_of_today_is_swept(any_api: Api) -> None:
    identity, token = await any_api.bot("member", accessTokenNumUsesLimit=50)
    await any_api.post(
        "/api/v1/auth/token/revoke", {"accessToken": await any_api.login(await any_api.universal((await any_api.identity())["id"]))}
    )

    removed = await sweep(any_api.house)

    assert {} == removed
    assert 200 == (await any_api.get(f"/api/v1/identities/{identity['id']}", token=token)).status_code


async def test_what_has_been_dead_for_long_is_swept(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"], {"ttl": 3600}, accessTokenTTL=3600, accessTokenMaxTTL=3600, accessTokenNumUsesLimit=5)
    await any_api.login(login)
    _, token = await any_api.bot()  # one without a use limit has no row, so its revocation is a mark
    await any_api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
    await any_api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "0" * 64}, token=None)
    async with any_api.house.store.write() as tx:
        now = any_api.clock()
        await credentials.put_lockout(tx, Lockout(key="k", identity_id=identity["id"], failures=1, window_ends_at=now, locked_until=0))

    removed = await time_passes(any_api, 40)
    removed_later = await time_passes(any_api, 60)

    assert {"lockouts", "tokens", "client secrets", "sessions", "revocations"} <= removed.keys()
    assert "audit events" not in removed
    assert {"audit events", "refused logins"} <= removed_later.keys()


async def test_a_sweep_goes_on_until_nothing_is_left(any_api: Api) -> None:
    for _ in range(3):
        await any_api.ok("POST", "/api/v3/auth/login", {"email": "admin@example.com", "password": "correct horse battery"}, token=None)
    any_api.clock.forward(400 * DAY)
    await any_api.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)

    first = await sweep(any_api.house)  # the first of all: the newest event says how far the time has come
    second = await sweep(any_api.house)

    assert 4 == first["sessions"]
    assert {} == second


async def test_a_clock_that_jumps_ahead_lets_nothing_go(any_api: Api) -> None:
    """Also where events are written under the wrong time, and where it is told right again."""
    _, token = await any_api.bot("member")
    await any_api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
    await sweep(any_api.house)
    before = await held(any_api)

    any_api.clock.forward(400 * DAY)
    at_once = await sweep(any_api.house)
    await any_api.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)
    with_events = await sweep(any_api.house)
    any_api.clock.forward(-400 * DAY)

    assert ({}, {}) == (at_once, with_events)
    assert before <= await held(any_api)
    assert any_api.clock() >= await horizon(any_api.house)


async def held(api: Api) -> set[str]:
    """The keys of all events, sessions and revocations that there are."""
    columns = (schema.audit_events.c.id, schema.sessions.c.id, schema.revocations.c.key)
    async with api.house.store.read() as tx:
        return {row[0] for column in columns for row in await tx.all(select(column))}


async def test_the_first_sweep_of_all_compares_with_the_newest_event(any_api: Api) -> None:
    any_api.clock.forward(400 * DAY)

    assert {} == await sweep(any_api.house)


async def test_the_horizon_catches_up_with_the_clock_and_goes_back_with_it(any_api: Api) -> None:
    await time_passes(any_api, 30)
    caught_up = any_api.clock() - await horizon(any_api.house)
    any_api.clock.forward(-20 * DAY)

    assert caught_up < 1000
    assert await horizon(any_api.house) <= any_api.clock()
