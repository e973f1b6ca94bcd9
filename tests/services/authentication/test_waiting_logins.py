"""Logins that wait for an answer from outside: what happens meanwhile counts, whatever the method and the engine."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from tests.adapters.directories import SERVICE_PASSWORD
from tests.api import Api, postgres_settings, running, sqlite_settings
from tests.databases import emptied, placed
from tests.methods.doubles.web import CA, json_reply
from tests.methods.providers import NOW, SLUGS, Case, Providers, running_providers
from tests.minting import mint
from watchword.methods import METHODS
from watchword.services.context import Ctx
from watchword.store import schema
from watchword.store.engine import prepare

# They hold all that they need: keys or a certificate, and no cloud or directory to ask.
SELF_CONTAINED = {"jwt-auth", "tls-cert-auth", "spiffe-auth", "bound-keypair"}
ASKING = [slug for slug in SLUGS if slug not in SELF_CONTAINED]
WRAPPERS = {method.slug: method.wrapper for method in METHODS}


class Held:
    """A way out that keeps each answer, once it is there, until it is let go."""

    def __init__(self, outbound: Any) -> None:
        self._outside = outbound
        self.is_holding = True
        self.asked = 0
        self.is_here = asyncio.Event()
        self.go = asyncio.Event()

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def ask(*given: Any, **named: Any) -> Any:
            self.asked += 1
            answer = await getattr(self._outside, name)(*given, **named)
            if self.is_holding:
                self.is_here.set()
                await self.go.wait()
            return answer

        return ask

    def hold(self) -> None:
        self.is_here, self.go = asyncio.Event(), asyncio.Event()


class Place:
    """A server, the outside of all its methods, and the way there, which holds answers."""

    def __init__(self, api: Api, providers: Providers, held: Held) -> None:
        self.api, self.providers, self.held = api, providers, held

    async def attached(self, case: Case, **more: Any) -> str:
        identity = await self.api.identity("member")
        await self.api.ok("POST", self.at(case, identity["id"]), case.config | more)
        return str(identity["id"])

    def at(self, case: Case, identity_id: str) -> str:
        return f"/api/v1/auth/{case.slug}/identities/{identity_id}"

    async def log_in(self, case: Case, body: dict[str, Any]) -> httpx.Response:
        return await self.api.post(f"/api/v1/auth/{case.slug}/login", body, token=None, headers=case.headers)

    async def during(self, case: Case, body: dict[str, Any], happens: Callable[[], Awaitable[Any]]) -> httpx.Response:
        """The answer to a login during whose wait for the outside something happens."""
        self.held.hold()
        login = asyncio.create_task(self.log_in(case, body))
        waits = asyncio.create_task(self.held.is_here.wait())
        await asyncio.wait([login, waits], return_when=asyncio.FIRST_COMPLETED)
        assert waits.done(), f"{case.slug} asked nobody: {(await login).text}"
        await happens()
        self.held.go.set()
        return await login

    async def reason(self, reply: httpx.Response) -> str:
        told = await self.api.ok("GET", f"/api/v1/organization/login-denials/{reply.json()['reqId']}")
        return str(told["loginDenial"]["reason"])


@asynccontextmanager
async def place_on(settings: Any) -> AsyncIterator[Place]:
    async with running_providers() as providers:
        held = Held(providers.outbound)
        async with running(settings, outbound=held) as api:  # type: ignore[arg-type]
            yield Place(api, providers, held)


@pytest.fixture
async def place(tmp_path: Path, migrated_file: Path) -> AsyncIterator[Place]:
    async with place_on(sqlite_settings(placed(migrated_file, tmp_path))) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_place(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> AsyncIterator[Place]:
    if request.param == "sqlite":
        settings = sqlite_settings(placed(migrated_file, tmp_path))
    else:
        settings = postgres_settings(await emptied(request.getfixturevalue("migrated")))
    async with place_on(settings) as found:
        yield found


async def test_all_methods_that_ask_somebody_are_tried_here(place: Place) -> None:
    asked = set()
    place.held.is_holding = False
    for slug, case in place.providers.cases.items():
        before = place.held.asked
        await place.log_in(case, case.good(await place.attached(case)))
        asked |= {slug} if place.held.asked > before else set()

    assert set(ASKING) == asked
    assert set(ASKING) | SELF_CONTAINED == {method.slug for method in METHODS} - {"universal-auth", "token-auth"}


async def _refusals(place: Place, slug: str) -> dict[str, tuple[int, str]]:
    """What a login answers during whose wait these things happen, and the reason that is kept."""
    case, api = place.providers.cases[slug], place.api
    found = {}

    async def after(what: str, happens: Callable[[str], Awaitable[Any]], **more: Any) -> None:
        identity_id = await place.attached(case, **more)
        reply = await place.during(case, case.good(identity_id), lambda: happens(identity_id))
        found[what] = (reply.status_code, await place.reason(reply) if reply.status_code != 200 else "")

    async def expired(identity_id: str) -> None:
        at = "2020-01-01T00:00:00.000Z"
        await api.ok("PATCH", f"/api/v1/identities/{identity_id}", {"expiresAt": at})

    await after("disabled", lambda bot: api.ok("POST", f"/api/v1/identities/{bot}/disable", {}))
    await after("expired", expired)
    await after("detached", lambda bot: api.ok("DELETE", place.at(case, bot)))
    await after("deleted", lambda bot: api.ok("DELETE", f"/api/v1/identities/{bot}"))
    return found


REFUSED = {
    "disabled": (401, "identity_disabled"),
    "expired": (401, "identity_expired"),
    "detached": (401, "not_configured"),
    "deleted": (401, "not_configured"),
}


@pytest.mark.parametrize("slug", ASKING)
async def test_an_identity_that_ends_while_its_login_waits_gets_no_token(place: Place, slug: str) -> None:
    place.api.clock.offset = 0
    assert REFUSED == await _refusals(place, slug)


@pytest.mark.parametrize("slug", ["ldap-auth", "oidc-auth"])
async def test_so_it_is_on_every_engine(any_place: Place, slug: str) -> None:
    assert REFUSED == await _refusals(any_place, slug)


@pytest.mark.parametrize("slug", ASKING)
async def test_a_token_is_of_the_configuration_as_it_is_after_the_answer_and_nobody_is_asked_twice(
    place: Place, slug: str
) -> None:
    case = place.providers.cases[slug]
    identity_id = await place.attached(case)

    reply = await place.during(
        case, case.good(identity_id), lambda: place.api.ok("PATCH", place.at(case, identity_id), {"accessTokenTTL": 77})
    )

    assert (200, 77) == (reply.status_code, reply.json().get("expiresIn"))
    assert place.held.asked == (2 if slug == "oidc-auth" else 1)  # OpenID Connect: where the keys are, and the keys


async def test_a_changed_question_is_asked_anew(place: Place) -> None:
    case = place.providers.cases["ldap-auth"]
    identity_id = await place.attached(case)

    change = {"searchFilter": "(&(uid={{username}})(uid=bob))"}
    reply = await place.during(
        case, case.good(identity_id), lambda: place.api.ok("PATCH", place.at(case, identity_id), change)
    )

    assert (401, 2) == (reply.status_code, place.held.asked)
    assert "username_or_password" == await place.reason(reply)


@pytest.mark.parametrize(
    ("slug", "change", "reason"),
    [
        ("oidc-auth", {"boundSubject": "another"}, "subject_mismatch"),
        ("ldap-auth", {"allowedFields": [{"key": "uid", "value": "bob"}]}, "allowed_field"),
        ("kubernetes-auth", {"allowedNamespaces": "stage"}, "namespace_not_allowed"),
        ("aws-auth", {"allowedAccountIds": "999999999999"}, "account_id"),
    ],
)
async def test_a_configuration_that_admits_the_proof_no_longer_refuses_it(
    place: Place, slug: str, change: Any, reason: str
) -> None:
    case = place.providers.cases[slug]
    identity_id = await place.attached(case)

    reply = await place.during(
        case, case.good(identity_id), lambda: place.api.ok("PATCH", place.at(case, identity_id), change)
    )

    assert reply.status_code in (401, 403)
    assert reason == await place.reason(reply)


TIMED = {
    "kubernetes-auth": "token_expired",
    "aws-auth": "request_time",
    "azure-auth": "token_expired",
    "gcp-auth": "token_expired",
    "oidc-auth": "token_expired",
    "oci-auth": "request_time",
    "alicloud-auth": "request_time",
}


@pytest.mark.parametrize("slug", TIMED)
async def test_a_proof_that_ends_while_its_login_waits_is_refused(place: Place, slug: str) -> None:
    case = place.providers.cases[slug]
    identity_id = await place.attached(case)
    body = case.good(identity_id)
    if slug == "kubernetes-auth":
        body["jwt"] = mint({"sub": "system:serviceaccount:prod:api", "exp": NOW + 3000})
        said = {"authenticated": True, "user": {"username": "system:serviceaccount:prod:api"}}
        path = next(path for path in place.providers.site.routes if "tokenreviews" in path)
        place.providers.site.routes[path] = json_reply({"kind": "TokenReview", "status": said}, 201)

    async def time_passes() -> None:
        place.api.clock.forward(3_200)

    reply = await place.during(case, body, time_passes)
    place.api.clock.forward(-3_200)

    assert 401 == reply.status_code
    assert TIMED[slug] == await place.reason(reply)


async def test_what_is_issued_and_recorded_is_of_the_moment_after_the_answer(any_place: Place) -> None:
    case = any_place.providers.cases["ldap-auth"]
    identity_id = await any_place.attached(case)
    began = any_place.api.clock()

    async def time_passes() -> None:
        any_place.api.clock.forward(100)

    right = await any_place.during(case, case.good(identity_id), time_passes)
    any_place.held.is_holding = False
    wrong = await any_place.log_in(case, case.bad(identity_id))
    async with any_place.api.runtime.store.read() as tx:
        row = await tx.one(
            prepare(
                lambda: select(func.max(schema.audit_events.c.at)).where(
                    schema.audit_events.c.event == "login-identity-ldap-auth"
                )
            )
        )

    assert (200, 401) == (right.status_code, wrong.status_code)
    assert row is not None
    assert row[0] >= began + 100_000


async def test_a_refusal_of_an_identity_that_was_deleted_meanwhile_is_recorded_and_no_fault(any_place: Place) -> None:
    case = any_place.providers.cases["ldap-auth"]
    identity_id = await any_place.attached(case)

    reply = await any_place.during(
        case, case.bad(identity_id), lambda: any_place.api.ok("DELETE", f"/api/v1/identities/{identity_id}")
    )

    assert 401 == reply.status_code


async def test_a_configuration_that_changes_with_every_answer_refuses_in_the_end(place: Place) -> None:
    case = place.providers.cases["ldap-auth"]
    identity_id = await place.attached(case)
    place.held.is_holding = False
    ldap = place.providers.outbound.ldap
    bundles = iter(CA * n for n in range(2, 100))

    async def changing(*given: Any, **named: Any) -> Any:
        answer = await ldap(*given, **named)
        await place.api.ok(
            "PATCH", place.at(case, identity_id), {"ldapCaCertificate": next(bundles), "bindPass": SERVICE_PASSWORD}
        )
        return answer

    place.providers.outbound.ldap = changing  # type: ignore[method-assign]
    reply = await asyncio.wait_for(place.log_in(case, case.good(identity_id)), 60)

    assert 401 == reply.status_code
    assert "configuration_unsettled" == await place.reason(reply)


async def test_keys_at_hand_cost_no_second_look(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    case = place.providers.cases["oidc-auth"]
    identity_id = await place.attached(case)
    place.held.is_holding = False
    looks = []
    begin = Ctx.begin_now
    monkeypatch.setattr(Ctx, "begin_now", lambda ctx: (looks.append(1), begin(ctx))[1])  # type: ignore[func-returns-value]

    await place.log_in(case, case.good(identity_id))
    first = len(looks)
    await place.log_in(case, case.good(identity_id))

    assert (1, 1) == (first, len(looks))
