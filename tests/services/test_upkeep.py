"""Sweeps remove what is dead and nothing else."""

from tests.house import Api
from watchword.domain.model.identities import Lockout
from watchword.services.upkeep import sweep
from watchword.store import credentials

DAY = 86_400


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

    any_api.clock.forward(40 * DAY)
    removed = await sweep(any_api.house)
    any_api.clock.forward(60 * DAY)
    removed_later = await sweep(any_api.house)

    assert {"lockouts", "tokens", "client secrets", "sessions"} <= removed.keys()
    assert "audit events" not in removed
    assert {"revocation marks", "audit events", "refused logins"} <= removed_later.keys()


async def test_a_sweep_goes_on_until_nothing_is_left(any_api: Api) -> None:
    for _ in range(3):
        await any_api.ok("POST", "/api/v3/auth/login", {"email": "admin@example.com", "password": "correct horse battery"}, token=None)
    any_api.clock.forward(400 * DAY)

    first = await sweep(any_api.house)
    second = await sweep(any_api.house)

    assert 4 == first["sessions"]
    assert {} == second
