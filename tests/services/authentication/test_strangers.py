"""Strangers do not grow the database: refusals alike are one row with a count, and an address that is refused
too often waits.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from watchword.services.upkeep import note_refusals
from watchword.store import schema

LOGIN = "/api/v1/auth/universal-auth/login"
DENIALS = "/api/v1/organization/login-denials"


async def rows(api: Api) -> list[tuple[str, int]]:
    """The reasons of all kept refusals, and how often."""
    async with api.runtime.store.read() as tx:
        found = await tx.all(select(schema.denials.c.reason, schema.denials.c.times))
    return [(row[0], row[1]) for row in found]


async def stranger(api: Api, **body: str) -> httpx.Response:
    return await api.post(LOGIN, {"clientId": str(uuid.uuid4()), "clientSecret": "0" * 64, **body}, token=None)


@asynccontextmanager
async def server(folder: Path, migrated_file: Path, address: str = "192.0.2.7", **settings: Any) -> AsyncIterator[Api]:
    async with running(sqlite_settings(placed(migrated_file, folder), **settings), address=address) as api:
        yield api


async def test_logins_with_random_client_ids_are_one_row_and_then_refused_by_address(any_api: Api) -> None:
    replies = await asyncio.gather(*[stranger(any_api) for _ in range(400)])

    statuses = [reply.status_code for reply in replies]
    late = [reply for reply in replies if reply.status_code == 429]
    assert 300 <= statuses.count(401) < 400  # what fills up again meanwhile is allowed as well
    assert {401, 429} == set(statuses)
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in late)
    assert {"RateLimitError"} == {reply.json()["error"] for reply in late}
    kept = await rows(any_api)
    assert ["client_id_unknown"] == [reason for reason, _ in kept]
    assert 300 <= kept[0][1] <= 400


async def test_what_an_address_is_refused_above_its_limit_is_counted_as_well(any_api: Api) -> None:
    await asyncio.gather(*[stranger(any_api) for _ in range(350)])

    await any_api.runtime.journal.close()  # what is counted above the limit is written later
    assert [("client_id_unknown", 350)] == await rows(any_api)


async def test_a_right_secret_is_not_held_up_by_others_behind_its_address(any_api: Api) -> None:
    login = await any_api.universal((await any_api.identity())["id"])
    any_api.runtime.limits.refused_logins._clock = lambda: 1.0
    await asyncio.gather(*[stranger(any_api) for _ in range(310)])

    assert [200] * 20 == [(await any_api.post(LOGIN, login, token=None)).status_code for _ in range(20)]
    assert 429 == (await any_api.post(LOGIN, {**login, "clientSecret": "0" * 64}, token=None)).status_code


async def test_a_proof_that_is_dear_to_judge_is_not_looked_at_while_an_address_waits(
    tmp_path: Path, migrated_file: Path
) -> None:
    async with server(tmp_path, migrated_file, refused_logins_per_minute=3) as api:
        body = {"identityId": str(uuid.uuid4()), "jwt": "a.b.c"}
        statuses = [(await api.post("/api/v1/auth/jwt-auth/login", body, token=None)).status_code for _ in range(6)]

        assert [429] * 3 == statuses[3:]
        assert 429 not in statuses[:3]
        assert "too_many_refusals" in [reason for reason, _ in await rows(api)]


async def test_wrong_secrets_of_one_identity_are_one_story_and_one_count(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"])

    for _ in range(20):
        await stranger(any_api, clientId=login["clientId"])
    note_refusals(any_api.runtime, at_once=True)
    await any_api.ok("GET", "/api/v1/organization/audit-logs")

    listed = (await any_api.ok("GET", f"{DENIALS}?identityId={identity['id']}"))["loginDenials"]
    assert [("client_secret_unknown", 20)] == [(one["reason"], one["times"]) for one in listed]
    async with asyncio.timeout(5):
        while True:
            log = await any_api.ok(
                "GET", "/api/v1/organization/audit-logs?eventType=login-identity-universal-auth-failed"
            )
            if len(log["auditLogs"]) == 2:
                break
            await asyncio.sleep(0.05)
    assert 19 == log["auditLogs"][0]["event"]["metadata"]["timesMore"]


async def test_every_request_id_of_refusals_alike_leads_to_their_story(any_api: Api) -> None:
    login = await any_api.universal((await any_api.identity())["id"])
    ids = [(await stranger(any_api, clientId=login["clientId"])).json()["reqId"] for _ in range(3)]

    stories = [(await any_api.ok("GET", f"{DENIALS}/{id}"))["loginDenial"] for id in ids]

    assert [(ids[0], 3)] * 3 == [(one["requestId"], one["times"]) for one in stories]


async def test_a_request_id_that_nothing_is_kept_under_says_where_to_look(api: Api) -> None:
    reply = await api.get(f"{DENIALS}/req-0000")

    assert 404 == reply.status_code
    assert "counted" in reply.json()["message"]


async def test_another_minute_is_another_row(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    await stranger(api)
    now = api.runtime.refusals._clock()
    monkeypatch.setattr(api.runtime.refusals, "_clock", lambda: now + 61)
    await stranger(api)

    assert [1, 1] == [times for _, times in await rows(api)]


@pytest.mark.parametrize(
    "exempt",
    [{"refused_logins_per_minute": 0}, {"unlimited_networks": ("192.0.2.0/24",), "refused_logins_per_minute": 2}],
)
async def test_no_limit_and_exempt_networks_are_not_refused(
    exempt: dict[str, Any], tmp_path: Path, migrated_file: Path
) -> None:
    async with server(tmp_path, migrated_file, **exempt) as api:
        assert {401} == {(await stranger(api)).status_code for _ in range(8)}
        assert 1 == len(await rows(api))


async def test_an_ipv6_address_counts_as_its_network(tmp_path: Path, migrated_file: Path) -> None:
    trusting = {"trusted_proxies": ("192.0.2.0/24",), "refused_logins_per_minute": 5}
    async with server(tmp_path, migrated_file, **trusting) as api:  # type: ignore[arg-type]
        body = {"clientId": str(uuid.uuid4()), "clientSecret": "0" * 64}

        async def status(address: str) -> int:
            return (await api.post(LOGIN, body, token=None, headers={"x-forwarded-for": address})).status_code

        same = [await status(f"2001:db8:0:1::{i}") for i in range(7)]
        other = await status("2001:db8:0:2::1")

        assert [401] * 5 + [429] * 2 == same
        assert 401 == other
        assert 2 == len(await rows(api))


async def test_a_user_agent_is_cut_wherever_it_is_kept(any_api: Api) -> None:
    login = await any_api.universal((await any_api.identity())["id"])
    long = {"user-agent": "a" * 30_000}
    await any_api.post(LOGIN, {**login, "clientSecret": "0" * 64}, token=None, headers=long)
    await any_api.post(LOGIN, login, token=None, headers=long)
    await any_api.post(
        "/api/v3/auth/login",
        {"email": "admin@example.com", "password": "correct horse battery"},
        token=None,
        headers=long,
    )

    log = (await any_api.ok("GET", "/api/v1/organization/audit-logs?limit=100"))["auditLogs"]
    denials = (await any_api.ok("GET", DENIALS))["loginDenials"]
    sessions = await any_api.ok("GET", "/api/v2/users/me/sessions")
    assert {400} == {
        len(one["userAgent"]) for one in [*log, *denials, *sessions] if (one["userAgent"] or "").startswith("aaa")
    }
