"""A credential that is handed over wrapped is shown to one caller, once; whoever comes second raises an alert."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from watchword.services import upkeep
from watchword.settings import Settings

UNWRAP, LOOKUP = "/api/v1/auth/wrapping/unwrap", "/api/v1/auth/wrapping/lookup"
ALERT, REFUSED = "alert-wrapping-token-reused", "unwrap-identity-credential-refused"


@pytest.fixture
async def servers(any_settings: Settings) -> AsyncIterator[Sequence[Api]]:
    """One server on SQLite, two over one PostgreSQL."""
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(any_settings))
        found = [first]
        if any_settings.database_url is not None:
            second = await stack.enter_async_context(running(any_settings, fresh=False))
            second.token, second.person, second.org_id = first.token, first.person, first.org_id
            found.append(second)
        yield found


async def wrapped_secret(api: Api, ttl: Any = 300) -> tuple[dict[str, Any], str, dict[str, Any]]:
    """An identity, its client id, and the answer to making a client secret that is wrapped."""
    identity = await api.identity("member")
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    client_id = (await api.ok("POST", path, {}))["identityUniversalAuth"]["clientId"]
    return identity, client_id, await api.ok("POST", f"{path}/client-secrets", {"wrapTTL": ttl})


async def wrapped_token(api: Api) -> tuple[dict[str, Any], dict[str, Any]]:
    identity = await api.identity("member")
    path = f"/api/v1/auth/token-auth/identities/{identity['id']}"
    await api.ok("POST", path, {})
    return identity, await api.ok("POST", f"{path}/tokens", {"name": "ci", "wrapTTL": "5m"})


async def events(api: Api, *names: str) -> list[dict[str, Any]]:
    query = {"eventType": ",".join(names)}
    found: list[dict[str, Any]] = (await api.ok("GET", "/api/v1/organization/audit-logs", query=query))["auditLogs"]
    return found


async def unwrapped(api: Api, token: str, **options: Any) -> Any:
    return await api.post(UNWRAP, {"token": token}, token=None, **options)


# --- the hand-over


async def test_a_client_secret_is_shown_once_to_whoever_unwraps_it(any_api: Api) -> None:
    api = any_api
    identity, client_id, made = await wrapped_secret(api)
    assert "clientSecret" not in made
    assert {"clientSecretData", "wrapping"} == made.keys()
    assert ("client-secret", 300) == (made["wrapping"]["kind"], made["wrapping"]["ttl"])

    reply = await unwrapped(api, made["wrapping"]["token"])

    assert reply.status_code == 200
    assert reply.headers["cache-control"] == "no-store"
    shown = reply.json()
    assert (identity["id"], client_id, made["clientSecretData"]["id"]) == (
        shown["identityId"],
        shown["clientId"],
        shown["clientSecretId"],
    )
    assert (None, None) == (shown["accessToken"], shown["tokenId"])
    await api.login({"clientId": client_id, "clientSecret": shown["clientSecret"]})
    assert (await unwrapped(api, made["wrapping"]["token"])).status_code == 401


async def test_a_token_auth_token_is_shown_once_to_whoever_unwraps_it(any_api: Api) -> None:
    identity, made = await wrapped_token(any_api)
    assert "accessToken" not in made
    assert made["wrapping"]["kind"] == "access-token"

    shown = (await unwrapped(any_api, made["wrapping"]["token"])).json()

    assert (identity["id"], made["tokenData"]["id"], None) == (
        shown["identityId"],
        shown["tokenId"],
        shown["clientSecret"],
    )
    path = f"/api/v1/identities/{identity['id']}"
    assert (await any_api.get(path, token=shown["accessToken"])).status_code == 200


async def test_without_wrap_ttl_nothing_changes(api: Api) -> None:
    identity = await api.identity("member")
    login = await api.universal(identity["id"], secret={"wrapTTL": None})

    assert await api.login(login)


@pytest.mark.parametrize(("ttl", "seconds"), [(1, 1), ("90", 90), ("30s", 30), ("5m", 300), ("24h", 86_400)])
async def test_a_wrap_ttl_is_seconds_or_a_duration(api: Api, ttl: Any, seconds: int) -> None:
    _, _, made = await wrapped_secret(api, ttl)

    assert made["wrapping"]["ttl"] == seconds


@pytest.mark.parametrize("ttl", [0, -1, 86_401, "25h", "5 m", "m", "", "1d", "1e3", 1.5, True, [], {}, 10**30])
async def test_what_is_no_wrap_ttl_is_refused_and_nothing_is_made(api: Api, ttl: Any) -> None:
    identity = await api.identity("member")
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    await api.ok("POST", path, {})

    reply = await api.post(f"{path}/client-secrets", {"wrapTTL": ttl})

    assert reply.status_code == 422
    assert reply.json()["message"][0]["path"] == ["wrapTTL"]
    assert (await api.ok("GET", f"{path}/client-secrets"))["clientSecretData"] == []


# --- the second try


async def test_a_second_try_is_an_alert_that_says_from_where_both_came(any_api: Api) -> None:
    api = any_api
    identity, _, made = await wrapped_secret(api)
    token = made["wrapping"]["token"]
    await unwrapped(api, token)

    reply = await unwrapped(api, token, headers={"user-agent": "the rightful machine"})

    assert reply.status_code == 401
    assert "opened before" in reply.json()["message"]
    (alert,) = await events(api, ALERT)
    facts = alert["event"]["metadata"]
    assert ("critical", "127.0.0.1", identity["id"], made["wrapping"]["id"], 1) == (
        facts["severity"],
        facts["openedFrom"],
        facts["identityId"],
        facts["wrapId"],
        facts["times"],
    )
    assert ("127.0.0.1", "the rightful machine") == (alert["ipAddress"], alert["userAgent"])
    assert token.rpartition(".")[2] not in json.dumps(await events(api))


async def test_alerts_of_one_wrap_do_not_fill_the_audit_log(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchword.services.authentication.wrapping.MOST_ALERTS", 3)
    _, _, made = await wrapped_secret(api)
    for _ in range(6):
        await unwrapped(api, made["wrapping"]["token"])

    assert [1, 2, 3] == sorted(event["event"]["metadata"]["times"] for event in await events(api, ALERT))


async def test_of_six_who_unwrap_at_once_one_gets_it(servers: Sequence[Api]) -> None:
    _, client_id, made = await wrapped_secret(servers[0])
    token = made["wrapping"]["token"]

    replies = await asyncio.gather(*[unwrapped(servers[i % len(servers)], token) for i in range(6)])

    assert [200, 401, 401, 401, 401, 401] == sorted(reply.status_code for reply in replies)
    (shown,) = [reply.json() for reply in replies if reply.status_code == 200]
    await servers[-1].login({"clientId": client_id, "clientSecret": shown["clientSecret"]})
    assert len(await events(servers[0], ALERT)) == 5
    assert len(await events(servers[0], "unwrap-identity-credential")) == 1


# --- what cannot be opened


async def test_a_wrap_that_expired_cannot_be_opened_and_is_swept(any_api: Api) -> None:
    api = any_api
    _, _, made = await wrapped_secret(api, 60)
    api.clock.forward(60)

    reply = await unwrapped(api, made["wrapping"]["token"])

    assert reply.status_code == 401
    assert "expired" in reply.json()["message"]
    (event,) = await events(api, REFUSED)
    assert ("warning", "expired") == (event["event"]["metadata"]["severity"], event["event"]["metadata"]["reason"])
    assert (await upkeep.sweep(api.runtime))["content of expired wraps"] == 1
    assert (await unwrapped(api, made["wrapping"]["token"])).status_code == 401


async def test_records_of_wraps_go_after_the_retention_of_credentials(migrated_file: Path, tmp_path: Path) -> None:
    settings = sqlite_settings(placed(migrated_file, tmp_path), credential_retention_days=0)
    async with running(settings) as api:
        _, _, made = await wrapped_secret(api, 60)
        assert "wraps" not in await upkeep.sweep(api.runtime)
        api.clock.forward(61)

        assert (await upkeep.sweep(api.runtime))["wraps"] == 1
        assert (await api.post(LOOKUP, {"token": made["wrapping"]["token"]}, token=None)).status_code == 401


@pytest.mark.parametrize("how", ["secret", "method", "identity"])
async def test_revoking_a_client_secret_kills_its_wrap(any_api: Api, how: str) -> None:
    api = any_api
    identity, _, made = await wrapped_secret(api)
    base = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    if how == "secret":
        await api.ok("POST", f"{base}/client-secrets/{made['clientSecretData']['id']}/revoke")
    elif how == "method":
        await api.ok("DELETE", base)
    else:
        await api.ok("DELETE", f"/api/v1/identities/{identity['id']}")

    reply = await unwrapped(api, made["wrapping"]["token"])

    assert reply.status_code == 401
    assert "clientSecret" not in reply.text
    found = [event["event"]["metadata"]["reason"] for event in await events(api, REFUSED)]
    assert found == ([] if how == "identity" else ["revoked"])


@pytest.mark.parametrize("how", ["token", "live", "all", "method"])
async def test_revoking_a_token_kills_its_wrap(api: Api, how: str) -> None:
    identity, made = await wrapped_token(api)
    live, id = f"/api/v1/identities/{identity['id']}/live-tokens", made["tokenData"]["id"]
    if how == "token":
        await api.ok("POST", f"/api/v1/auth/token-auth/tokens/{id}/revoke")
    elif how == "live":
        await api.ok("POST", f"{live}/{id}/revoke")
    elif how == "all":
        await api.ok("POST", f"{live}/revoke", {"all": True})
    else:
        await api.ok("DELETE", f"/api/v1/auth/token-auth/identities/{identity['id']}")

    assert (await api.ok("POST", LOOKUP, {"token": made["wrapping"]["token"]}, token=None))["state"] == "revoked"
    assert (await unwrapped(api, made["wrapping"]["token"])).status_code == 401


async def test_a_wrong_token_opens_nothing_and_spends_nothing(any_api: Api) -> None:
    api = any_api
    _, _, made = await wrapped_secret(api)
    token = made["wrapping"]["token"]
    _, id, secret = token.split(".")
    swapped = secret[::-1] if secret != secret[::-1] else "A" * 43
    wrong = [f"wrap.{id}.{swapped}", f"wrap.{id}.", f"wrap..{secret}", f"wrap.{'0' * 36}.{secret}", id, secret, "x"]
    wrong += [token[:-1], token + "A", f"wrap.{id}.{'é' * 43}", f"wrap.a\u0000.{secret}", f"st.{id}.{secret}"]

    for text in wrong:
        assert (await unwrapped(api, text)).status_code in (401, 422), text
        assert (await api.post(LOOKUP, {"token": text}, token=None)).status_code in (401, 422), text
    for body in ({}, {"token": ""}, {"token": 7}, {"token": "x" * 513}, {"token": None}):
        assert (await api.post(UNWRAP, body, token=None)).status_code == 422, body
    assert (await unwrapped(api, f" {token}\n")).status_code == 200


async def test_guesses_from_one_address_are_limited(migrated_file: Path, tmp_path: Path) -> None:
    settings = sqlite_settings(placed(migrated_file, tmp_path), refused_logins_per_minute=3)
    async with running(settings) as api:
        _, _, made = await wrapped_secret(api)
        found = [(await unwrapped(api, f"wrap.x.{'A' * 43}")).status_code for _ in range(5)]

        assert found == [401, 401, 401, 429, 429]
        # a right one is never held up by others behind its address
        assert (await unwrapped(api, made["wrapping"]["token"])).status_code == 200


# --- looking


async def test_a_lookup_says_whose_and_since_when_and_spends_nothing(any_api: Api) -> None:
    api = any_api
    identity, _, made = await wrapped_secret(api)
    token = made["wrapping"]["token"]

    first = await api.ok("POST", LOOKUP, {"token": token}, token=None)
    again = await api.ok("POST", LOOKUP, {"token": token}, token=None)

    assert first == again
    assert {
        "id": made["wrapping"]["id"],
        "kind": "client-secret",
        "identityId": identity["id"],
        "state": "sealed",
        "createdBy": "admin@example.com",
        "creationPath": f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets",
        "createdAt": made["wrapping"]["createdAt"],
        "expiresAt": made["wrapping"]["expiresAt"],
        "openedAt": None,
    } == first
    await unwrapped(api, token)
    after = await api.ok("POST", LOOKUP, {"token": token}, token=None)
    assert after["state"] == "opened"
    assert after["openedAt"] is not None


# --- what the database holds


async def test_the_database_does_not_hold_what_is_wrapped(migrated_file: Path, tmp_path: Path) -> None:
    async with running(sqlite_settings(placed(migrated_file, tmp_path))) as api:
        _, _, made = await wrapped_secret(api)
        _, token = await wrapped_token(api)
        shown = [(await unwrapped(api, reply["wrapping"]["token"])).json() for reply in (made, token)]
    found = b"".join(path.read_bytes() for path in api.runtime.settings.data_dir.glob("watchword.db*"))

    for text in (
        shown[0]["clientSecret"],
        shown[1]["accessToken"].rpartition(".")[2],
        *[reply["wrapping"]["token"].rpartition(".")[2] for reply in (made, token)],
    ):
        assert text.encode() not in found
