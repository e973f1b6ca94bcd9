"""What ends tokens asks no clock: clocks of servers differ, and step back, and nothing that was ended lives on or comes
back.

`make soak` lets the comparison with a model run for thousands of steps.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Any

import jwt
import msgspec
import pytest
from sqlalchemy import select, update

from tests.api import Api, running
from tests.services.test_upkeep import time_passes
from watchword.domain.authentication.records import Revocation
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer
from watchword.services.context import Ctx
from watchword.settings import Settings
from watchword.store import schema
from watchword.store.authentication import token_revocations

HOUR, DAY = 3600, 86_400
RENEW, REVOKE = "/api/v1/auth/token/renew", "/api/v1/auth/token/revoke"


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


async def everywhere(servers: Sequence[Api], token: str) -> set[bool]:
    return {await alive(api, token) for api in servers}


ENDS = ("the token", "the client secret", "the method", "all tokens", "the membership", "the identity")


async def end(api: Api, identity_id: str, token: str, what: str) -> None:
    universal = f"/api/v1/auth/universal-auth/identities/{identity_id}"
    if what == "the token":
        await api.ok("POST", REVOKE, {"accessToken": token}, token=None)
    elif what == "the client secret":
        await api.ok("POST", f"{universal}/client-secrets/{claims(token)['clientSecretId']}/revoke")
    elif what == "the method":
        await api.ok("DELETE", universal)
        await api.universal(identity_id)
    elif what == "all tokens":
        await api.ok("POST", f"/api/v1/identities/{identity_id}/disable", {"revokeTokens": True})
        await api.ok("POST", f"/api/v1/identities/{identity_id}/enable", {})
    elif what == "the membership":
        await api.ok("DELETE", f"/api/v1/organization/identity-memberships/{identity_id}")
        await api.ok(
            "POST", f"/api/v1/organization/identity-memberships/{identity_id}", {"roles": [{"role": "member"}]}
        )
    else:
        await api.ok("DELETE", f"/api/v1/identities/{identity_id}")


@pytest.mark.parametrize("what", ENDS)
@pytest.mark.parametrize("seconds", [-HOUR, -3, 3])
async def test_what_is_ended_is_dead_whatever_the_clock_of_who_ends_it(
    servers: Sequence[Api], what: str, seconds: int
) -> None:
    api, other = servers[0], servers[-1]
    identity, token = await api.bot("member")
    renewed = (await api.ok("POST", RENEW, {"accessToken": token}, token=None))["accessToken"]
    assert {True} == await everywhere(servers, token)

    other.clock.forward(seconds)
    await end(other, identity["id"], token, what)
    seen = await everywhere(servers, token) | await everywhere(servers, renewed)
    renewals = [(await one.post(RENEW, {"accessToken": token}, token=None)).status_code for one in servers]

    assert ({False}, {401}) == (seen, set(renewals))


@pytest.mark.parametrize("seconds", [-HOUR, -3, 3])
async def test_what_is_issued_after_an_end_is_good_whatever_the_clock(servers: Sequence[Api], seconds: int) -> None:
    api, other = servers[0], servers[-1]
    identity, token = await api.bot("member")
    other.clock.forward(seconds)
    await end(api, identity["id"], token, "all tokens")
    await api.ok("DELETE", f"/api/v1/auth/universal-auth/identities/{identity['id']}")

    fresh = await other.login(await other.universal(identity["id"]))

    assert ({True}, {False}) == (await everywhere(servers, fresh), await everywhere(servers, token))


async def test_a_second_end_under_a_clock_that_stepped_back_revives_nothing(servers: Sequence[Api]) -> None:
    api, other = servers[0], servers[-1]
    identity, token = await api.bot("member")
    secret = claims(token)["clientSecretId"]
    await end(api, identity["id"], token, "the token")
    await end(api, identity["id"], token, "the client secret")
    ends = await rows(api)

    other.clock.forward(-90 * DAY)
    async with other.runtime.store.write() as tx:
        for key in (f"token/{claims(token)['jti']}", f"secret/{secret}"):
            await token_revocations.revoke(tx, Revocation(key=key, identity_id=identity["id"], expires_at=1))
    other.clock.forward(90 * DAY)

    assert ends == await rows(api)
    assert {False} == await everywhere(servers, token)


async def rows(api: Api) -> dict[str, int]:
    r = schema.revocations
    async with api.runtime.store.read() as tx:
        return {row[0]: row[1] for row in await tx.all(select(r.c.key, r.c.expires_at))}


# --- tokens of an earlier version


async def issued_before(api: Api) -> tuple[str, str]:
    """An identity, and a token of it as an earlier version signed them: without a generation."""
    identity, token = await api.bot("member")
    old = VerifiedTokens(api.runtime.keys, 10).claims(token)
    i, m = schema.identities, schema.method_configs
    async with api.runtime.store.write() as tx:  # as the migration leaves them
        await tx.run(update(i).where(i.c.id == identity["id"]).values(token_generation=1, tokens_since=0))
        await tx.run(update(m).where(m.c.identity_id == identity["id"]).values(tokens_since=0, longest_life=None))
        tx.changed(f"identity/{identity['id']}")
    return identity["id"], api.runtime.keys.signer.sign(msgspec.structs.replace(old, generation=0))


@pytest.mark.parametrize("what", ENDS)
async def test_a_token_of_an_earlier_version_lives_until_it_is_ended(servers: Sequence[Api], what: str) -> None:
    identity_id, token = await issued_before(servers[0])
    renewed = (await servers[0].ok("POST", RENEW, {"accessToken": token}, token=None))["accessToken"]
    before = await everywhere(servers, token) | await everywhere(servers, renewed)

    servers[-1].clock.forward(-HOUR)
    await end(servers[-1], identity_id, token, what)

    assert ({True}, {False}) == (before, await everywhere(servers, token) | await everywhere(servers, renewed))


@pytest.mark.parametrize("kind", ["identity", "method", "token", "secret"])
async def test_the_revocations_of_an_earlier_version_hold(servers: Sequence[Api], kind: str) -> None:
    identity_id, token = await issued_before(servers[0])
    said = claims(token)
    key = {
        "identity": f"identity/{identity_id}",
        "method": f"method/{identity_id}/universal-auth",
        "token": f"token/{said['jti']}",
        "secret": f"secret/{said['clientSecretId']}",
    }[kind]
    async with servers[0].runtime.store.write() as tx:
        await token_revocations.revoke(
            tx, Revocation(key=key, identity_id=identity_id, before=said["creationMs"], expires_at=1 << 50)
        )

    assert {False} == await everywhere(servers, token)


# --- revocations go when nothing that they end can be alive


@pytest.mark.parametrize(
    ("config", "days"),
    [
        ({"accessTokenTTL": 3600, "accessTokenMaxTTL": 3600}, 1.2),
        ({"accessTokenTTL": 3600, "accessTokenMaxTTL": 0}, 1.2),
        ({"accessTokenPeriod": 3600}, 1.2),
        ({"accessTokenTTL": 0, "accessTokenMaxTTL": 0}, 91.2),
    ],
)
@pytest.mark.parametrize("what", ["the token", "the client secret"])
async def test_a_revocation_is_kept_as_long_as_what_it_ends_could_live(
    api: Api, config: dict[str, Any], days: float, what: str
) -> None:
    identity, token = await api.bot("member", **config)

    await end(api, identity["id"], token, what)
    (until,) = (await rows(api)).values()

    assert days * 0.8 < (until - api.clock()) / 1000 / DAY < days


async def test_a_longer_time_to_live_of_before_is_remembered(api: Api) -> None:
    """A token from when tokens lived for thirty days must not come back because they live for an hour now."""
    identity, token = await api.bot("member", accessTokenTTL=30 * DAY, accessTokenMaxTTL=30 * DAY)
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}"
    await api.ok("PATCH", path, {"accessTokenTTL": 3600, "accessTokenMaxTTL": 3600})

    await end(api, identity["id"], token, "the client secret")
    await time_passes(api, 20)

    assert not await alive(api, token)


async def test_a_larger_maximum_age_of_before_is_remembered(any_settings: Settings) -> None:
    async with running(any_settings) as api:
        identity, token = await api.bot("member", accessTokenTTL=0, accessTokenMaxTTL=0)
    less = msgspec.structs.replace(any_settings, max_token_age=HOUR)
    async with running(less, fresh=False) as later:
        later.token, later.org_id = api.token, api.org_id

        await end(later, identity["id"], token, "the client secret")
        (until,) = (await rows(later)).values()

    assert until > claims(token)["expiresMs"]


async def test_of_a_deleted_identity_no_revocation_is_left(any_api: Api) -> None:
    identity, token = await any_api.bot("member")
    await end(any_api, identity["id"], token, "the token")

    await end(any_api, identity["id"], token, "the identity")

    assert {} == await rows(any_api)
    assert not await alive(any_api, token)


# --- a login that races with an end


async def test_a_login_that_read_the_state_before_an_end_is_dead_after_it(servers: Sequence[Api]) -> None:
    """The journal stores it and it is signed after the commit of the end: it carries the generation of before."""
    api, other = servers[0], servers[-1]
    identity = await api.identity("member")
    login = await api.universal(identity["id"])
    await api.login(login)
    submit = api.runtime.journal.submit

    async def ended_first(entry: Any) -> Any:
        object.__setattr__(api.runtime.journal, "submit", submit)
        await end(other, identity["id"], "", "all tokens")
        return await submit(entry)

    object.__setattr__(api.runtime.journal, "submit", ended_first)
    token = await api.login(login)

    assert {False} == await everywhere(servers, token)


async def test_of_logins_and_ends_at_once_none_comes_back_to_life(servers: Sequence[Api]) -> None:
    identity = await servers[0].identity("member")
    login = await servers[0].universal(identity["id"])
    rng = random.Random(7)
    for turn in range(8):
        for api in servers:
            api.clock.offset = rng.randrange(-HOUR, HOUR) * 1000
        tokens = [
            one
            for one in await asyncio.gather(
                *[servers[i % len(servers)].login(login) for i in range(6)],
                end(servers[turn % len(servers)], identity["id"], "", "all tokens"),
                return_exceptions=True,
            )
            if isinstance(one, str)
        ]
        first = [await everywhere(servers, token) for token in tokens]
        await end(servers[0], identity["id"], "", "all tokens")

        assert all(len(state) == 1 for state in first)
        assert {False} == {state for token in tokens for state in await everywhere(servers, token)}


# --- many steps against a model


class Model:
    """What is done over the API, and which tokens must be alive after it."""

    def __init__(self, servers: Sequence[Api], rng: random.Random) -> None:
        self.servers = servers
        self.rng = rng
        self.logins: dict[str, dict[str, str]] = {}  # identity -> how it logs in
        self.bots: list[str] = []
        self.alive: dict[str, str] = {}  # token -> identity
        self.dead: dict[str, str] = {}

    def api(self) -> Api:
        return self.rng.choice(self.servers)

    def ended(self, tokens: Sequence[str]) -> None:
        for token in tokens:
            self.dead[token] = self.alive.pop(token)

    def of(self, identity: str) -> list[str]:
        return [token for token, owner in self.alive.items() if owner == identity]

    async def step(self) -> None:
        for api in self.servers:
            api.clock.offset = self.rng.randrange(-HOUR, HOUR) * 1000
        if len(self.bots) < 3:
            identity = await self.api().identity("member")
            self.bots.append(identity["id"])
            return
        identity_id = self.rng.choice(self.bots)
        own = self.of(identity_id)
        token = self.rng.choice(own) if own else None
        do = self.rng.choices(
            ["login", "renew", "token", "secret", "remove", "all", "delete"],
            [30, 15, 8, 4, 8, 5, 1],
        )[0]
        if do == "login":
            if identity_id not in self.logins:
                self.logins[identity_id] = await self.api().universal(identity_id)
            self.alive[await self.api().login(self.logins[identity_id])] = identity_id
        elif do == "renew" and token:
            renewed = (await self.api().ok("POST", RENEW, {"accessToken": token}, token=None))["accessToken"]
            self.alive[renewed] = identity_id
        elif do in ("token", "secret") and token:
            await end(self.api(), identity_id, token, "the token" if do == "token" else "the client secret")
            about = "jti" if do == "token" else "clientSecretId"
            self.ended([one for one in own if claims(one)[about] == claims(token)[about]])
            if do == "secret":
                path = f"/api/v1/auth/universal-auth/identities/{identity_id}/client-secrets"
                if claims(token)["clientSecretId"] == await self._current(identity_id):
                    made = await self.api().ok("POST", path, {})
                    self.logins[identity_id] = {**self.logins[identity_id], "clientSecret": made["clientSecret"]}
        elif do == "remove" and self.logins.pop(identity_id, None):
            await self.api().ok("DELETE", f"/api/v1/auth/universal-auth/identities/{identity_id}")
            self.ended(own)
        elif do == "all":
            await end(self.api(), identity_id, "", "all tokens")
            self.ended(own)
        elif do == "delete":
            await end(self.api(), identity_id, "", "the identity")
            self.logins.pop(identity_id, None)
            self.bots.remove(identity_id)
            self.ended(own)

    async def _current(self, identity_id: str) -> str:
        """The client secret in use has just been revoked when a login with it is refused; its id is in no
        answer then.
        """
        reply = await self.api().post("/api/v1/auth/universal-auth/login", self.logins[identity_id], token=None)
        if reply.status_code == 401:
            return next(
                claims(one)["clientSecretId"] for one in reversed(list(self.dead)) if self.dead[one] == identity_id
            )
        self.alive[reply.json()["accessToken"]] = identity_id
        return ""

    async def judge(self, most: int | None = None) -> None:
        asked = [*[(one, True) for one in self.alive], *[(one, False) for one in self.dead]]
        for token, is_alive in asked if most is None else self.rng.sample(asked, min(most, len(asked))):
            assert is_alive == await alive(self.api(), token), (is_alive, claims(token))


@pytest.mark.parametrize(("seed", "steps"), [(1, 150), pytest.param(2, 5_000, marks=pytest.mark.soak)])
async def test_tokens_live_and_die_as_a_model_says_under_wrong_clocks(
    servers: Sequence[Api], seed: int, steps: int
) -> None:
    model = Model(servers, random.Random(seed))
    for _ in range(steps):
        await model.step()
        await model.judge(3)
    for api in servers:
        api.clock.offset = 0
    await model.judge()

    assert len(model.dead) > steps // 20
    assert model.alive


async def test_a_token_check_asks_no_more_than_it_did(any_api: Api) -> None:
    """What ends tokens is part of what is read once and kept: a check of a token that was checked before reads
    nothing.
    """
    _, token = await any_api.bot("member")
    seen = VerifiedTokens(any_api.runtime.keys, 10)
    await authenticate_bearer(Ctx(any_api.runtime, address="127.0.0.1"), token, seen)
    any_api.runtime.cache.load = None  # type: ignore[method-assign]

    assert "identity" == (await authenticate_bearer(Ctx(any_api.runtime, address="127.0.0.1"), token, seen)).kind
