"""Which tokens of an identity are live: the list says of each what using it would say, on every server and at any time.

`make soak` lets the comparison of list and use run for thousands of steps.
"""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, ClassVar

import jwt
import msgspec
import pytest
from sqlalchemy import select, update

from tests.api import EMAIL, PASSWORD, Api, running, sqlite_settings
from tests.databases import placed
from watchword.services import upkeep
from watchword.settings import Settings
from watchword.store import schema

HOUR, DAY = 3600, 86_400
RENEW, REVOKE = "/api/v1/auth/token/renew", "/api/v1/auth/token/revoke"
LOGIN = "/api/v1/auth/universal-auth/login"


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


def claims(token: str) -> dict[str, Any]:
    options: Any = {"verify_signature": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
    found: dict[str, Any] = jwt.decode(token, options=options)
    return found


async def alive(api: Api, token: str) -> bool:
    status = (await api.get(f"/api/v1/identities/{claims(token)['identityId']}", token=token)).status_code
    assert status in (200, 401), status
    return status == 200


async def listed(api: Api, identity_id: str, **query: Any) -> list[dict[str, Any]]:
    """All pages of the list."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        asked = {**query, "cursor": cursor}
        page = await api.ok("GET", f"/api/v1/identities/{identity_id}/live-tokens", query=asked)
        found += page["tokens"]
        cursor = page["nextCursor"]
        if cursor is None:
            return found


async def ids(api: Api, identity_id: str, **query: Any) -> list[str]:
    return [token["id"] for token in await listed(api, identity_id, **query)]


def jti(token: str) -> str:
    return str(claims(token)["jti"])


async def renewed(api: Api, token: str) -> str:
    return str((await api.ok("POST", RENEW, {"accessToken": token}, token=None))["accessToken"])


async def made_token(api: Api, identity_id: str, name: str = "ci") -> str:
    path = f"/api/v1/auth/token-auth/identities/{identity_id}"
    if (await api.get(path)).status_code != 200:
        await api.ok("POST", path, {})
    return str((await api.ok("POST", f"{path}/tokens", {"name": name}))["accessToken"])


# --- what is said of a token


def as_json(stored: Any) -> dict[str, Any]:
    return stored if isinstance(stored, dict) else json.loads(stored)


async def test_a_login_of_an_earlier_version_is_listed_without_an_end_that_nobody_knows(any_api: Api) -> None:
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"], accessTokenTTL=600, accessTokenMaxTTL=1200)
    token = (await any_api.ok("POST", LOGIN, login, token=None))["accessToken"]
    (known,) = await listed(any_api, identity["id"])
    events = schema.audit_events
    async with any_api.runtime.store.write() as tx:
        of = events.c.event == "login-identity-universal-auth"
        (row,) = await tx.all(select(events.c.id, events.c.metadata).where(of))
        facts = {
            name: value for name, value in as_json(row[1]).items() if name not in ("tokenExpiresAt", "tokenGeneration")
        }
        await tx.run(
            update(events)
            .where(events.c.id == row[0])
            .values(metadata=facts if isinstance(row[1], dict) else json.dumps(facts))
        )

    (unknown,) = await listed(any_api, identity["id"])

    assert jti(token) == known["id"] == unknown["id"]
    assert known["expiresAt"] == known["expiresBy"]
    assert unknown["expiresAt"] is None
    assert known["expiresBy"] <= unknown["expiresBy"]


async def test_a_login_is_listed_with_when_how_and_from_where_it_came(any_api: Api) -> None:
    api = any_api
    identity = await api.identity("member")
    login = await api.universal(identity["id"], accessTokenTTL=600, accessTokenMaxTTL=1200)
    before = api.clock()
    reply = await api.ok("POST", LOGIN, login, token=None, headers={"user-agent": "deployer/3.1"})
    token = reply["accessToken"]
    secrets = f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"
    secret_id = (await api.ok("GET", secrets))["clientSecretData"][0]["id"]

    (found,) = await listed(api, identity["id"])

    assert found["createdAt"] <= found["expiresAt"]
    assert before <= claims(token)["creationMs"]
    assert {
        "id": jti(token),
        "identityId": identity["id"],
        "organizationId": api.org_id,
        "authMethod": "universal-auth",
        "name": None,
        "clientSecretId": secret_id,
        "ipAddress": "127.0.0.1",
        "userAgent": "deployer/3.1",
        "lastRenewedAt": None,
        "lastUsedAt": None,
        "numUses": 0,
        "numUsesLimit": 0,
        "numUsesLeft": None,
        "suspended": None,
    }.items() <= found.items()
    assert token not in msgspec.json.encode(found).decode()


async def test_the_uses_that_are_left_are_counted_down_and_a_used_up_token_is_gone(any_api: Api) -> None:
    identity, token = await any_api.bot("member", accessTokenNumUsesLimit=2)

    lefts = []
    for _ in range(2):
        (found,) = await listed(any_api, identity["id"])
        lefts.append((found["numUses"], found["numUsesLimit"], found["numUsesLeft"], found["ipAddress"]))
        assert await alive(any_api, token)

    assert lefts == [(0, 2, 2, "127.0.0.1"), (1, 2, 1, "127.0.0.1")]
    assert await listed(any_api, identity["id"]) == []


async def test_a_token_that_an_operator_made_is_listed_with_its_name_and_maker(any_api: Api) -> None:
    identity = await any_api.identity("member")
    token = await made_token(any_api, identity["id"], "nightly")

    (found,) = await listed(any_api, identity["id"])

    assert (jti(token), "nightly", "token-auth") == (found["id"], found["name"], found["authMethod"])
    assert found["ipAddress"] == "127.0.0.1"


async def test_a_renewed_token_stays_one_and_ends_when_its_last_renewal_does(any_api: Api) -> None:
    api = any_api
    identity, token = await api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=3600)
    api.clock.forward(500)
    second = await renewed(api, token)
    await renewed(api, second)
    await renewed(api, token)
    api.clock.forward(300)

    (found,) = await listed(api, identity["id"])

    assert jti(token) == jti(second) == found["id"]
    assert not await alive(api, token)
    assert await alive(api, second)
    assert found["lastRenewedAt"] is not None
    assert found["ipAddress"] == "127.0.0.1"  # from the login
    api.clock.forward(301)
    assert await listed(api, identity["id"]) == []


async def test_a_renewal_that_adds_no_time_stores_nothing(api: Api) -> None:
    identity, token = await api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=600)
    await renewed(api, token)

    (found,) = await listed(api, identity["id"])

    assert (jti(token), None) == (found["id"], found["lastRenewedAt"])


async def test_renewals_at_one_moment_leave_one_token(any_api: Api) -> None:
    identity, token = await any_api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=3600)
    any_api.clock.forward(60)
    await asyncio.gather(*[renewed(any_api, token) for _ in range(8)])

    assert await ids(any_api, identity["id"]) == [jti(token)]


# --- pages and filters


async def test_pages_hold_every_token_once_newest_first(any_api: Api) -> None:
    api = any_api
    identity = await api.identity("member")
    login = await api.universal(identity["id"], accessTokenTTL=600, accessTokenMaxTTL=3600)
    tokens: list[str] = []
    for number in range(6):
        tokens.append(await made_token(api, identity["id"]) if number % 3 == 2 else await api.login(login))
        if number % 4 == 1:
            api.clock.forward(1)
            await renewed(api, tokens[-1])

    one_by_one = await ids(api, identity["id"], limit=1)

    assert [jti(token) for token in reversed(tokens)] == one_by_one
    for limit in (2, 4, 200):
        assert one_by_one == await ids(api, identity["id"], limit=limit)


async def test_a_list_goes_on_past_many_tokens_that_have_ended(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchword.services.authentication.live_tokens._BATCH", 3)
    monkeypatch.setattr("watchword.services.authentication.live_tokens._BATCHES", 2)
    identity = await api.identity("member")
    login = await api.universal(identity["id"])
    oldest = await api.login(login)
    for _ in range(10):
        await api.ok("POST", REVOKE, {"accessToken": await api.login(login)}, token=None)
    named = await made_token(api, identity["id"])

    first = await api.ok("GET", f"/api/v1/identities/{identity['id']}/live-tokens")

    assert first["nextCursor"] is not None
    assert await ids(api, identity["id"]) == [jti(named), jti(oldest)]


async def test_the_list_is_narrowed_to_a_method_or_a_client_secret(any_api: Api) -> None:
    api = any_api
    identity = await api.identity("member")
    login = await api.universal(identity["id"])
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"
    other = await api.ok("POST", path, {})
    one = await api.login(login)
    two = await api.login({**login, "clientSecret": other["clientSecret"]})
    named = await made_token(api, identity["id"])

    assert await ids(api, identity["id"], authMethod="token-auth") == [jti(named)]
    assert await ids(api, identity["id"], authMethod="universal-auth") == [jti(two), jti(one)]
    assert await ids(api, identity["id"], clientSecretId=other["clientSecretData"]["id"]) == [jti(two)]


async def test_a_cursor_that_is_none_finds_what_stands_behind_it(api: Api) -> None:
    identity, _ = await api.bot("member")
    path = f"/api/v1/identities/{identity['id']}/live-tokens"

    for cursor in ("0", "'; --", "\u0000", "é" * 300):
        assert (await api.get(path, query={"cursor": cursor})).status_code in (200, 400, 422), cursor
    for limit in (0, -1, 201, "x"):
        assert (await api.get(path, query={"limit": limit})).status_code == 422, limit


# --- revoking


async def test_one_token_is_revoked_everywhere_and_the_others_live_on(servers: Sequence[Api]) -> None:
    api, last = servers[0], servers[-1]
    identity = await api.identity("member")
    login = await api.universal(identity["id"], accessTokenTTL=600, accessTokenMaxTTL=3600)
    kept, leaked = await api.login(login), await api.login(login)
    api.clock.forward(10)
    last.clock.forward(10)
    again = await renewed(last, leaked)
    path = f"/api/v1/identities/{identity['id']}/live-tokens/{jti(leaked)}/revoke"

    await api.ok("POST", path)

    for server in servers:
        assert [await alive(server, token) for token in (kept, leaked, again)] == [True, False, False]
        assert await ids(server, identity["id"]) == [jti(kept)]
        assert (await server.post(path)).status_code == 404
        assert (await server.post(RENEW, {"accessToken": again}, token=None)).status_code == 401


@pytest.mark.parametrize("how", ["method", "secret", "all"])
async def test_all_tokens_of_one_origin_are_revoked_and_the_origin_stays_good(servers: Sequence[Api], how: str) -> None:
    api, last = servers[0], servers[-1]
    identity = await api.identity("member")
    login = await api.universal(identity["id"])
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"
    other = await api.ok("POST", path, {})
    first = await api.login(login)
    second = await last.login({**login, "clientSecret": other["clientSecret"]})
    named = await made_token(api, identity["id"])
    body: dict[str, Any] = {
        "method": {"authMethod": "universal-auth"},
        "secret": {"clientSecretId": other["clientSecretData"]["id"]},
        "all": {"all": True},
    }[how]
    left = {"method": [named], "secret": [named, first], "all": []}[how]

    await api.ok("POST", f"/api/v1/identities/{identity['id']}/live-tokens/revoke", body)

    for server in servers:
        assert [token for token in (named, second, first) if await alive(server, token)] == left
        assert await ids(server, identity["id"]) == [jti(token) for token in left]
    new = await last.login({**login, "clientSecret": other["clientSecret"]})
    assert await alive(api, new)
    assert (await ids(api, identity["id"]))[0] == jti(new)
    # again, for what came since
    await last.ok("POST", f"/api/v1/identities/{identity['id']}/live-tokens/revoke", body)
    assert not await alive(api, new)


async def test_whose_tokens_are_revoked_is_said_by_exactly_one_field(api: Api) -> None:
    identity, token = await api.bot("member")
    path = f"/api/v1/identities/{identity['id']}/live-tokens/revoke"

    for body in ({}, {"all": False}, {"all": True, "authMethod": "universal-auth"}):
        assert (await api.post(path, body)).status_code == 422, body
    assert (await api.post(path, {"authMethod": "oidc-auth"})).status_code == 400
    assert (await api.post(path, {"clientSecretId": "nobody"})).status_code == 404
    assert await alive(api, token)


async def test_a_token_of_another_identity_is_not_revoked_by_this_ones_path(api: Api) -> None:
    _, token = await api.bot("member")
    other, _ = await api.bot("member")

    last = "ffffffff-ffff-7fff-bfff-ffffffffffff"
    for id in (jti(token), "nobody", "0", "x" * 36, "\u00e9", last):
        reply = await api.post(f"/api/v1/identities/{other['id']}/live-tokens/{id}/revoke")
        assert reply.status_code == 404, id
    assert await alive(api, token)


async def test_what_was_listed_and_revoked_is_in_the_audit_log(migrated_file: Path, tmp_path: Path) -> None:
    async with running(sqlite_settings(placed(migrated_file, tmp_path), audit_reads="strict")) as api:
        identity, token = await api.bot("member")
        await listed(api, identity["id"])
        await api.ok("POST", f"/api/v1/identities/{identity['id']}/live-tokens/{jti(token)}/revoke")
        await api.ok("POST", f"/api/v1/identities/{identity['id']}/live-tokens/revoke", {"all": True})

        names = "get-identity-live-tokens,revoke-identity-live-token,revoke-identity-live-tokens"
        logs = (await api.ok("GET", "/api/v1/organization/audit-logs", query={"eventType": names}))["auditLogs"]

    assert [log["event"]["type"] for log in logs] == list(reversed(names.split(",")))
    assert logs[1]["event"]["metadata"]["identityAccessTokenId"] == jti(token)


# --- what has ended is not listed, what is only suspended says so


async def test_tokens_of_a_disabled_identity_are_shown_as_suspended(any_api: Api) -> None:
    api = any_api
    identity, token = await api.bot("member")

    await api.ok("POST", f"/api/v1/identities/{identity['id']}/disable", {})
    (found,) = await listed(api, identity["id"])
    assert found["suspended"] == "identity_disabled"

    await api.ok("POST", f"/api/v1/identities/{identity['id']}/enable")
    (found,) = await listed(api, identity["id"])
    assert found["suspended"] is None
    assert await alive(api, token)


async def test_a_token_outlives_the_audit_event_of_its_login_in_the_list(any_settings: Settings) -> None:
    settings = msgspec.structs.replace(any_settings, audit_retention_days=1)
    async with running(settings) as api:
        identity = await api.identity("member")
        login = await api.universal(identity["id"], accessTokenTTL=5 * DAY, accessTokenMaxTTL=10 * DAY)
        token = await api.login(login)
        gone = await api.login(login)
        await api.ok("POST", REVOKE, {"accessToken": gone}, token=None)
        for _ in range(3):  # a sweep does not believe a clock that jumps by days
            api.clock.forward(DAY)
            api.token = await _entered(api)
            await upkeep.sweep(api.runtime)
        logins = {"eventType": "login-identity-universal-auth"}
        assert (await api.ok("GET", "/api/v1/organization/audit-logs", query=logins))["auditLogs"] == []

        (found,) = await listed(api, identity["id"])

        assert (jti(token), "127.0.0.1") == (found["id"], found["ipAddress"])
        await api.ok("POST", f"/api/v1/identities/{identity['id']}/live-tokens/{jti(token)}/revoke")
        assert not await alive(api, token)
        assert await listed(api, identity["id"]) == []


async def _entered(api: Api) -> str:
    sign_in = {"email": EMAIL, "password": PASSWORD}
    person = (await api.ok("POST", "/api/v3/auth/login", sign_in, token=None))["accessToken"]
    return await api.enter(api.org_id, person)


async def test_rows_of_renewed_tokens_go_when_they_have_ended(api: Api) -> None:
    identity, token = await api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=3600)
    named = await made_token(api, identity["id"])
    api.clock.forward(60)
    await renewed(api, token)
    assert "tokens of logins" not in await upkeep.sweep(api.runtime)
    api.clock.forward(HOUR)

    assert (await upkeep.sweep(api.runtime))["tokens of logins"] == 1
    assert await ids(api, identity["id"]) == [jti(named)]


async def test_a_list_survives_a_restart(tmp_path: Path) -> None:
    settings = sqlite_settings(tmp_path)
    async with running(settings) as api:
        identity, token = await api.bot("member", accessTokenTTL=600, accessTokenMaxTTL=3600)
        api.clock.forward(60)
        await renewed(api, token)
        before = await listed(api, identity["id"])
    async with running(settings, fresh=False) as again:
        again.token, again.org_id = api.token, api.org_id

        assert await listed(again, identity["id"]) == before


# --- a comparison with use


class Walk:
    """Acts at random on one identity; after each the list is compared with what using the tokens says."""

    CONFIG: ClassVar[dict[str, Any]] = {"accessTokenTTL": 600, "accessTokenMaxTTL": 1800}

    def __init__(self, servers: Sequence[Api], seed: int) -> None:
        self.servers, self.seed, self.choose = servers, seed, random.Random(seed)
        self.tokens: list[str] = []
        self.logins: list[dict[str, str]] = []

    async def begin(self) -> None:
        self.id = (await self.any.identity("member", name=f"walker {self.seed}"))["id"]
        self.path = f"/api/v1/auth/universal-auth/identities/{self.id}"
        self.live = f"/api/v1/identities/{self.id}/live-tokens"
        self.logins.append(await self.any.universal(self.id, **self.CONFIG))

    @property
    def any(self) -> Api:
        return self.choose.choice(self.servers)

    @property
    def token(self) -> str:
        return self.choose.choice(self.tokens) if self.tokens else ""

    async def secrets(self) -> list[str]:
        return [
            secret["id"] for secret in (await self.any.ok("GET", f"{self.path}/client-secrets"))["clientSecretData"]
        ]

    async def log_in(self) -> None:
        reply = await self.any.post(LOGIN, self.choose.choice(self.logins), token=None)
        if reply.status_code == 200:
            self.tokens.append(reply.json()["accessToken"])

    async def renew(self) -> None:
        reply = await self.any.post(RENEW, {"accessToken": self.token}, token=None)
        if reply.status_code == 200:
            self.tokens.append(reply.json()["accessToken"])

    async def make(self) -> None:
        self.tokens.append(await made_token(self.any, self.id))

    async def limit_uses(self) -> None:
        await self.any.ok("PATCH", self.path, {"accessTokenNumUsesLimit": self.choose.choice((0, 0, 3))})

    async def end_one(self) -> None:
        if self.tokens:
            await self.any.post(f"{self.live}/{jti(self.token)}/revoke")

    async def end_own(self) -> None:
        await self.any.post(REVOKE, {"accessToken": self.token}, token=None)

    async def end_many(self) -> None:
        bodies: list[dict[str, Any]] = [{"authMethod": "universal-auth"}]
        bodies += [{"clientSecretId": secret} for secret in await self.secrets()]
        await self.any.ok("POST", f"{self.live}/revoke", self.choose.choice(bodies))

    async def end_secret(self) -> None:
        secrets = await self.secrets()
        if len(secrets) > 1:
            await self.any.ok("POST", f"{self.path}/client-secrets/{self.choose.choice(secrets)}/revoke")

    async def new_secret(self) -> None:
        made = await self.any.ok("POST", f"{self.path}/client-secrets", {})
        self.logins.append({"clientId": self.logins[-1]["clientId"], "clientSecret": made["clientSecret"]})

    async def attach_again(self) -> None:
        await self.any.ok("DELETE", self.path)
        self.logins.append(await self.any.universal(self.id, **self.CONFIG))

    async def toggle(self) -> None:
        await self.any.post(f"/api/v1/identities/{self.id}/{self.choose.choice(('disable', 'enable', 'enable'))}", {})

    async def time_goes_by(self) -> None:
        seconds = self.choose.choice((1, 60, 590, 601))
        for server in self.servers:
            server.clock.forward(seconds)

    async def sweep(self) -> None:
        await upkeep.sweep(self.any.runtime)

    async def step(self) -> None:
        often = [self.log_in, self.log_in, self.renew, self.renew, self.make, self.time_goes_by]
        seldom = [self.end_one, self.end_own, self.end_many, self.end_secret, self.new_secret, self.attach_again]
        seldom += [self.limit_uses, self.toggle, self.sweep]
        act = self.choose.choice(often if self.choose.random() < 0.7 else seldom)
        await act()
        found = await listed(self.any, self.id, limit=self.choose.choice((1, 3, 200)))
        shown = [token["id"] for token in found if token["suspended"] is None]
        live: set[str] = set()
        for token in reversed(self.tokens):
            if jti(token) not in live and await alive(self.any, token):
                live.add(jti(token))
        assert set(shown) == live, (self.seed, act.__name__)
        assert len(shown) == len(live)
        self.tokens = [token for token in self.tokens if jti(token) in live or self.choose.random() < 0.7]


async def _walk(servers: Sequence[Api], seed: int, steps: int) -> None:
    walk = Walk(servers, seed)
    await walk.begin()
    for _ in range(steps):
        await walk.step()


async def test_the_list_says_of_each_token_what_using_it_says(servers: Sequence[Api]) -> None:
    await _walk(servers, 3, steps=30)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(100, 112))
async def test_the_list_says_so_for_thousands_of_steps(servers: Sequence[Api], seed: int) -> None:
    await _walk(servers, seed, steps=300)
