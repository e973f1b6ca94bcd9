"""Sweeps remove what is dead and nothing else."""

from sqlalchemy import select

from tests.api import EMAIL, PASSWORD, Api
from watchword.domain.authentication.records import Lockout
from watchword.domain.horizon import STEP
from watchword.services.upkeep import _move_on, read_horizon, sweep
from watchword.store import schema
from watchword.store.authentication import lockouts, spent_proofs

DAY = 86_400


async def time_passes(api: Api, days: int) -> dict[str, int]:
    """The clock moves on and sweeps run meanwhile; what they removed in all.

    Of most sweeps only the mark that they move is moved.
    """
    removed: dict[str, int] = {}
    api.clock.forward(days * DAY)
    await api.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)
    sweeps = days * DAY * 1000 // STEP + 1
    for number in range(sweeps):
        if number % 24 and number < sweeps - 2:
            await _move_on(api.runtime)
            continue
        for name, count in (await sweep(api.runtime)).items():
            removed[name] = removed.get(name, 0) + count
    return removed


async def test_nothing_of_today_is_swept(any_api: Api) -> None:
    identity, token = await any_api.bot("member", accessTokenNumUsesLimit=50)
    await any_api.post(
        "/api/v1/auth/token/revoke",
        {"accessToken": await any_api.login(await any_api.universal((await any_api.identity())["id"]))},
    )

    removed = await sweep(any_api.runtime)

    assert {} == removed
    assert 200 == (await any_api.get(f"/api/v1/identities/{identity['id']}", token=token)).status_code


async def test_what_has_been_dead_for_long_is_swept(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(
        identity["id"], {"ttl": 3600}, accessTokenTTL=3600, accessTokenMaxTTL=3600, accessTokenNumUsesLimit=5
    )
    await any_api.login(login)
    _, token = await any_api.bot()  # one without a use limit has no row, so its revocation is a mark
    await any_api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
    await any_api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "0" * 64}, token=None)
    async with any_api.runtime.store.write() as tx:
        now = any_api.clock()
        await lockouts.put(
            tx, Lockout(key="k", identity_id=identity["id"], failures=1, window_ends_at=now, locked_until=0)
        )

    removed = await time_passes(any_api, 40)
    removed_later = await time_passes(any_api, 60)

    assert {"lockouts", "tokens", "client secrets", "sessions", "revocations"} <= removed.keys()
    assert "audit events" not in removed
    assert {"audit events", "refused logins"} <= removed_later.keys()


async def test_a_used_proof_is_remembered_for_an_hour_after_its_end(any_api: Api) -> None:
    ends = any_api.clock()
    assert await any_api.runtime.journal.submit(spent_proofs.ProofSpent("bound-keypair/one", ends))

    any_api.clock.forward(3_540)
    early = await sweep(any_api.runtime)
    again = await any_api.runtime.journal.submit(spent_proofs.ProofSpent("bound-keypair/one", ends))
    any_api.clock.forward(120)
    late = await sweep(any_api.runtime)

    assert (0, False, 1) == (early.get("spent proofs", 0), again, late.get("spent proofs"))


async def test_a_sweep_goes_on_until_nothing_is_left(any_api: Api) -> None:
    for _ in range(3):
        await any_api.ok(
            "POST",
            "/api/v3/auth/login",
            {"email": "admin@example.com", "password": "correct horse battery"},
            token=None,
        )
    any_api.clock.forward(400 * DAY)
    await any_api.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)

    first = await sweep(any_api.runtime)  # the first of all: the newest event says how far the time has come
    second = await sweep(any_api.runtime)

    assert 4 == first["sessions"]
    assert {} == second


async def test_a_clock_that_jumps_ahead_lets_nothing_go(any_api: Api) -> None:
    """Also where events are written under the wrong time, and where it is told right again."""
    _, token = await any_api.bot("member")
    await any_api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
    await sweep(any_api.runtime)
    before = await held(any_api)

    any_api.clock.forward(400 * DAY)
    at_once = await sweep(any_api.runtime)
    await any_api.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)
    with_events = await sweep(any_api.runtime)
    any_api.clock.forward(-400 * DAY)

    assert ({}, {}) == (at_once, with_events)
    assert before <= await held(any_api)
    assert any_api.clock() >= await read_horizon(any_api.runtime)


async def held(api: Api) -> set[str]:
    """The keys of all events, sessions and revocations that there are."""
    columns = (schema.audit_events.c.id, schema.sessions.c.id, schema.revocations.c.key)
    async with api.runtime.store.read() as tx:
        return {row[0] for column in columns for row in await tx.all(select(column))}


async def test_the_first_sweep_of_all_compares_with_the_newest_event(any_api: Api) -> None:
    any_api.clock.forward(400 * DAY)

    assert {} == await sweep(any_api.runtime)


async def test_the_horizon_catches_up_with_the_clock_and_goes_back_with_it(any_api: Api) -> None:
    await time_passes(any_api, 30)
    caught_up = any_api.clock() - await read_horizon(any_api.runtime)
    any_api.clock.forward(-20 * DAY)

    assert caught_up < 1000
    assert await read_horizon(any_api.runtime) <= any_api.clock()


# --- what is left of what was deleted


async def ids_held(api: Api) -> dict[str, str]:
    """Every id that stands anywhere but in the audit log and the stories of refusals, and one table it stands in."""
    found: dict[str, str] = {}
    async with api.runtime.store.read() as tx:
        for table in schema.metadata.sorted_tables:
            if table.name not in ("audit_events", "denials"):
                for row in await tx.all(select(table)):
                    for value in row:
                        for part in str(value).split("/"):
                            found.setdefault(part, table.name)
    return found


async def test_nothing_is_left_of_a_deleted_project(any_api: Api) -> None:
    before = (await ids_held(any_api)).keys()
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Gone"}))["project"]["id"]
    where = {"workspaceId": project, "environment": "dev", "secretPath": "/"}
    await any_api.ok("POST", "/api/v3/secrets/raw/KEY", {**where, "secretValue": "x"})
    made = await any_api.ok("POST", f"/api/v1/projects/{project}/identities", {"name": "inside"})
    inside = made["identity"]["id"]
    await any_api.login(await any_api.universal(inside))

    await any_api.ok("DELETE", f"/api/v1/workspace/{project}")
    await sweep(any_api.runtime)

    ids = {project, inside}
    assert ids.isdisjoint(before)
    assert {} == {id: table for id, table in (await ids_held(any_api)).items() if id in ids}


async def test_nothing_is_left_of_a_deleted_organization(any_api: Api) -> None:
    org, token = await any_api.organization("Gone")
    mine = {"token": token}
    identity = (
        await any_api.ok(
            "POST",
            "/api/v1/identities",
            {"name": "b", "organizationId": org, "role": "member", "metadata": [{"key": "k", "value": "v"}]},
            **mine,
        )
    )["identity"]["id"]
    path = f"/api/v1/auth/universal-auth/identities/{identity}"
    client = (await any_api.ok("POST", path, {}, **mine))["identityUniversalAuth"]["clientId"]
    secret = (await any_api.ok("POST", f"{path}/client-secrets", {}, **mine))["clientSecret"]
    issued = await any_api.login({"clientId": client, "clientSecret": secret})
    await any_api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": issued}, token=None)
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Inside"}, **mine))["project"]["id"]

    await any_api.ok("DELETE", f"/api/v2/organizations/{org}", **mine)
    await sweep(any_api.runtime)

    left = {id: table for id, table in (await ids_held(any_api)).items() if id in {org, identity, project, client}}
    assert left in ({}, {org: "sessions"})


async def test_a_version_row_that_goes_lets_nothing_old_be_taken_for_fresh(any_api: Api) -> None:
    """Whatever raises the version key of a deleted thing again does not give it a number that it had."""
    identity, token = await any_api.bot("member")
    path = f"/api/v1/identities/{identity['id']}"
    version_key = f"identity/{identity['id']}"
    seen = {(await any_api.get(path, token=token)).status_code}
    async with any_api.runtime.store.read() as tx:
        rows = [row[0] for row in await tx.all(select(schema.versions.c.n).where(schema.versions.c.key == version_key))]
    await any_api.ok("DELETE", path)

    swept = await sweep(any_api.runtime)
    for _ in range(3):
        async with any_api.runtime.store.write() as tx:
            tx.changed(version_key)
        seen.add((await any_api.get(path, token=token)).status_code)
        async with any_api.runtime.store.read() as tx:
            rows += [
                row[0] for row in await tx.all(select(schema.versions.c.n).where(schema.versions.c.key == version_key))
            ]

    assert swept["versions"] >= 1
    assert {200, 401} == seen
    assert 4 == len(rows) == len(set(rows))
