"""Keys rotate while servers run; what was sealed and signed before stays good; an interrupted rotation goes on."""

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from tests.api import EMAIL, PASSWORD, ROOT_KEY, Api, running
from watchword.app import build_runtime, opened
from watchword.domain.authentication.tokens import verified
from watchword.domain.errors import BadRequest
from watchword.domain.secret import Secret
from watchword.services.keys import rotation
from watchword.services.keys.keyring import HMAC, SIGNING, KeysBehind, WrongRootKey, org_scope
from watchword.settings import Settings
from watchword.store import schema
from watchword.store.people import accounts

NEW_ROOT = "22" * 32


async def secret_of(api: Api) -> tuple[str, dict[str, Any]]:
    project = (await api.ok("POST", "/api/v2/workspace", {"projectName": "Sealed"}))["project"]["id"]
    where = {"workspaceId": project, "environment": "dev", "secretPath": "/"}
    await api.ok("POST", "/api/v3/secrets/raw/KEY", {**where, "secretValue": "the value", "secretComment": "why"})
    return project, where


async def value(api: Api, where: dict[str, Any]) -> str:
    found: str = (await api.ok("GET", "/api/v3/secrets/raw/KEY", query=where))["secret"]["secretValue"]
    return found


async def resealed(api: Api, scope: str) -> int:
    return sum([count async for count in rotation.reseal(api.runtime, scope)])


async def test_a_rotated_project_key_seals_every_value_anew(any_api: Api) -> None:
    project, where = await secret_of(any_api)
    scope = f"project/{project}"

    await rotation.stage(any_api.runtime, scope)
    before = await value(any_api, where)
    await rotation.activate(any_api.runtime, scope)
    between = await value(any_api, where)
    written = await resealed(any_api, scope)
    again = await resealed(any_api, scope)

    assert ["the value"] * 3 == [before, between, await value(any_api, where)]
    assert written >= 1
    assert 0 == again


async def test_a_rotated_organization_key_seals_configurations_and_project_keys_anew(any_api: Api) -> None:
    _, where = await secret_of(any_api)
    identity = await any_api.identity()
    await any_api.ok(
        "POST",
        f"/api/v1/auth/kubernetes-auth/identities/{identity['id']}",
        {
            "kubernetesHost": "https://k8s.example.com",
            "tokenReviewerJwt": "a.b.c",
            "allowedNamespaces": "x",
            "allowedNames": "y",
            "allowedAudience": "",
        },
    )
    scope = org_scope(any_api.org_id)

    await rotation.stage(any_api.runtime, scope)
    await rotation.activate(any_api.runtime, scope)
    written = await resealed(any_api, scope)

    assert written >= 2
    assert 0 == await resealed(any_api, scope)
    assert "the value" == await value(any_api, where)


async def test_staging_twice_makes_one_version_and_activating_needs_one(any_api: Api) -> None:
    scope = org_scope(any_api.org_id)

    assert (2, 2) == (await rotation.stage(any_api.runtime, scope), await rotation.stage(any_api.runtime, scope))
    assert 2 == await rotation.activate(any_api.runtime, scope)
    with pytest.raises(BadRequest):
        await rotation.activate(any_api.runtime, scope)


async def test_a_new_signing_key_signs_and_the_old_one_still_verifies(any_api: Api) -> None:
    identity, old = await any_api.bot("member")
    kid = any_api.runtime.keys.signer.kid

    await rotation.stage(any_api.runtime, SIGNING)
    await any_api.runtime.keys.refresh(any_api.runtime.store)
    staged = any_api.runtime.keys.jwks["keys"]
    await rotation.activate(any_api.runtime, SIGNING)
    new = await any_api.login(await any_api.universal((await any_api.identity("member", "other"))["id"]))

    assert 2 == len(staged)
    assert kid != any_api.runtime.keys.signer.kid
    for token in (old, new):
        assert 200 == (await any_api.get(f"/api/v1/identities/{identity['id']}", token=token)).status_code


async def test_a_signing_key_is_retired_once_all_it_signed_has_ended(any_api: Api) -> None:
    _, old = await any_api.bot("member")
    await rotation.stage(any_api.runtime, SIGNING)
    await rotation.activate(any_api.runtime, SIGNING)

    early = await rotation.retire_signing_keys(any_api.runtime, any_api.clock())
    any_api.clock.forward(92 * 86_400)
    late = await rotation.retire_signing_keys(any_api.runtime, any_api.clock())

    assert (0, 1) == (early, late)
    assert 1 == len(any_api.runtime.keys.jwks["keys"])
    with pytest.raises(Exception, match="not issued here"):
        verified(old, any_api.runtime.keys.verifiers)


async def test_a_second_server_notices_a_rotation(any_settings: Settings) -> None:
    async with running(any_settings) as api, opened(build_runtime(any_settings)) as other:
        project, _ = await secret_of(api)
        scope = f"project/{project}"
        async with other.store.read() as tx:
            stale = await other.keys.sealer(tx, scope)
        await rotation.stage(api.runtime, scope)
        await rotation.activate(api.runtime, scope)
        async with api.runtime.store.read() as tx:
            envelope = (await api.runtime.keys.sealer(tx, scope)).seal("place", b"new")

        with pytest.raises(KeysBehind):
            stale.open("place", envelope)
        async with other.store.read() as tx:
            assert b"new" == (await other.keys.sealer(tx, scope)).open("place", envelope)
        assert await other.keys.refresh(other.store)


async def test_the_root_key_rotates_and_the_old_one_then_opens_nothing(any_settings: Settings) -> None:
    async with running(any_settings) as api:
        _, where = await secret_of(api)
    both = msgspec.structs.replace(any_settings, root_key=Secret(NEW_ROOT), previous_root_key=Secret(ROOT_KEY))
    async with opened(build_runtime(both)) as parts:
        waiting = [one.scope for one in await rotation.state(parts) if not one.is_under_current_root]
        progress = [step async for step in rotation.reseal_root(parts)]
        again = [step async for step in rotation.reseal_root(parts)]
        left = [one.scope for one in await rotation.state(parts) if not one.is_under_current_root]
    only_new = msgspec.structs.replace(any_settings, root_key=Secret(NEW_ROOT))

    assert org_scope(api.org_id) in waiting
    assert (len(waiting), len(waiting)) == progress[-1]
    assert [(0, 0)] == again
    assert [] == left
    async with opened(build_runtime(only_new)) as parts, parts.store.read() as tx:
        await parts.keys.sealer(tx, f"project/{where['workspaceId']}")
    with pytest.raises(WrongRootKey):
        async with opened(build_runtime(any_settings)):
            pass


# --- a signing key that leaked


@pytest.fixture
async def both(any_settings: Settings) -> AsyncIterator[tuple[Api, Api]]:
    """Two servers of one database."""
    async with running(any_settings) as first, running(any_settings, fresh=False) as second:
        second.token, second.person, second.org_id = first.token, first.person, first.org_id
        yield first, second


async def statuses(apis: Sequence[Api], path: str, tokens: Sequence[str]) -> set[int]:
    return {(await api.get(path, token=token)).status_code for api in apis for token in tokens}


async def test_all_that_a_revoked_signing_key_signed_is_dead_everywhere_at_once(both: tuple[Api, Api]) -> None:
    first, second = both
    identity, token = await first.bot("member")
    login = await first.universal((await first.identity("member", "other"))["id"])
    method = f"/api/v1/auth/token-auth/identities/{identity['id']}"
    await first.ok("POST", method, {})
    named = (await first.ok("POST", f"{method}/tokens", {"name": "ci"}))["accessToken"]
    _, limited = await first.bot("member", accessTokenNumUsesLimit=50)
    path = f"/api/v1/identities/{identity['id']}"
    tokens = [token, named, limited, first.token]
    cookie = await signed_in(first)
    alive = await statuses(both, path, tokens)
    kid = first.runtime.keys.signer.kid

    await rotation.stage(first.runtime, SIGNING)
    for api in both:
        await api.runtime.keys.refresh(api.runtime.store)
    await rotation.revoke_signing_keys(first.runtime)

    assert ({200}, {401}) == (alive, await statuses(both, path, tokens))
    for api in both:
        assert 401 == (await api.post("/api/v1/auth/token/renew", {"accessToken": token}, token=None)).status_code
        assert 401 == (await api.post("/api/v1/auth/token", {}, token=None, headers={"cookie": cookie})).status_code
        assert kid not in {key["kid"] for key in (await api.ok("GET", "/.well-known/jwks.json", token=None))["keys"]}
    assert {200} == await statuses(both, path, [await first.login(login), await second.login(login)])
    person = (await second.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None))[
        "accessToken"
    ]
    first.token = await first.enter(first.org_id, person)
    (row,) = (await first.ok("GET", f"{method}/tokens"))["tokens"]
    assert row["isAccessTokenRevoked"]


async def signed_in(api: Api) -> str:
    reply = await api.post("/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)
    return reply.headers["set-cookie"].partition(";")[0]


async def test_a_login_after_the_end_of_a_key_is_signed_with_the_new_one_on_a_server_that_has_not_looked_yet(
    both: tuple[Api, Api],
) -> None:
    first, second = both
    login = await first.universal((await first.identity("member"))["id"])
    await second.login(login)

    await rotation.stage(first.runtime, SIGNING)
    await rotation.revoke_signing_keys(first.runtime)
    token = await second.login(login)

    assert {200} == await statuses(both, "/api/v1/identities/details", [token])


async def test_a_server_without_the_root_key_of_now_forgets_a_revoked_signing_key_all_the_same(
    any_settings: Settings,
) -> None:
    async with running(any_settings) as api:
        identity, token = await api.bot("member")
        path = f"/api/v1/identities/{identity['id']}"
        alive = (await api.get(path, token=token)).status_code
        roots = msgspec.structs.replace(any_settings, root_key=Secret(NEW_ROOT), previous_root_key=Secret(ROOT_KEY))
        async with opened(build_runtime(roots)) as parts:
            async for _ in rotation.reseal_root(parts):
                pass
            await rotation.stage(parts, SIGNING)
            await rotation.revoke_signing_keys(parts)

        assert (200, 401) == (alive, (await api.get(path, token=token)).status_code)


async def test_what_a_command_does_to_keys_is_recorded_with_the_user_who_ran_it(any_settings: Settings) -> None:
    by, event = {"systemUser": "root"}, schema.audit_events.c
    of_keys = ("rotate-key", "rotate-root-key", "revoke-signing-keys", "revoke-hmac-keys")
    async with running(any_settings):
        roots = msgspec.structs.replace(any_settings, root_key=Secret(NEW_ROOT), previous_root_key=Secret(ROOT_KEY))
        async with opened(build_runtime(roots)) as parts:
            async for _ in rotation.reseal_root(parts, by):
                pass
            await rotation.stage(parts, HMAC)
            await rotation.activate(parts, HMAC, by)
            await rotation.revoke_hmac_keys(parts, by)
            await rotation.stage(parts, SIGNING)
            await rotation.revoke_signing_keys(parts, by)
            async with parts.store.read() as tx:
                found = select(event.event, event.actor_kind, event.metadata).where(event.event.in_(of_keys))
                rows = await tx.all(found)

    assert sorted(of_keys) == sorted(row[0] for row in rows)
    assert {("operator", "root")} == {(row[1], json.loads(row[2])["systemUser"]) for row in rows}


async def test_ending_a_signing_key_needs_a_new_one_and_can_be_done_again(any_api: Api) -> None:
    await any_api.bot("member", accessTokenNumUsesLimit=50)
    with pytest.raises(BadRequest):
        await rotation.revoke_signing_keys(any_api.runtime)

    await rotation.stage(any_api.runtime, SIGNING)
    await rotation.revoke_signing_keys(any_api.runtime)
    await rotation.stage(any_api.runtime, SIGNING)

    assert 3 == await rotation.revoke_signing_keys(any_api.runtime)
    assert 1 == len(any_api.runtime.keys.jwks["keys"])


async def test_a_key_staged_under_a_clock_of_long_ago_retires_none_that_is_needed(any_api: Api) -> None:
    any_api.clock.forward(-400 * 86_400)
    await rotation.stage(any_api.runtime, SIGNING)
    await rotation.activate(any_api.runtime, SIGNING)
    any_api.clock.forward(400 * 86_400)

    assert 0 == await rotation.retire_signing_keys(any_api.runtime, any_api.clock())


# --- the key that credentials are hashed with


async def new_hmac(apis: Sequence[Api]) -> None:
    await rotation.stage(apis[0].runtime, HMAC)
    for api in apis:
        await api.runtime.keys.refresh(api.runtime.store)
    await rotation.activate(apis[0].runtime, HMAC)


async def service_token(api: Api) -> tuple[str, str]:
    project, _ = await secret_of(api)
    body = {
        "name": "old",
        "workspaceId": project,
        "scopes": [{"environment": "dev", "secretPath": "/"}],
        "permissions": ["read"],
    }
    return project, (await api.ok("POST", "/api/v2/service-token", body))["serviceToken"]


async def test_credentials_stay_good_when_their_key_rotates_and_are_hashed_anew_by_use(both: tuple[Api, Api]) -> None:
    first, second = both
    used, unused = [await first.universal((await first.identity("member", name))["id"]) for name in ("used", "unused")]
    _, service = await service_token(first)
    cookie = await signed_in(first)

    await new_hmac(both)
    before = await rotation.hashed_before(first.runtime)
    for api in (second, first, second):
        await api.login(used)
        assert 200 == (await api.get("/api/v2/service-token", token=service)).status_code
        assert 200 == (await api.post("/api/v1/auth/token", {}, token=None, headers={"cookie": cookie})).status_code
    after = await rotation.hashed_before(second.runtime)

    assert (2, 1) == (before["client_secrets"], before["service_tokens"])
    assert (1, 0) == (after["client_secrets"], after["service_tokens"])
    assert await first.login(unused)
    assert (
        401
        == (
            await second.post("/api/v1/auth/universal-auth/login", {**used, "clientSecret": "0" * 64}, token=None)
        ).status_code
    )


async def test_what_is_still_hashed_with_a_revoked_key_is_dead_everywhere_at_once(both: tuple[Api, Api]) -> None:
    first, second = both
    used, unused = [await first.universal((await first.identity("member", name))["id"]) for name in ("used", "unused")]
    token = await first.login(unused)
    _, service = await service_token(first)
    cookie = await signed_in(first)
    await new_hmac(both)
    await second.login(used)

    ended = await rotation.revoke_hmac_keys(first.runtime)
    again = await rotation.revoke_hmac_keys(second.runtime)

    assert (1, 1) == (ended["client_secrets"], ended["service_tokens"])
    assert {0} == set(again.values()) == set((await rotation.hashed_before(first.runtime)).values())
    for api in (second, first):
        await api.login(used)
        assert 401 == (await api.post("/api/v1/auth/universal-auth/login", unused, token=None)).status_code
        assert 401 == (await api.get("/api/v2/service-token", token=service)).status_code
        assert 401 == (await api.get("/api/v1/identities/details", token=token)).status_code
        assert 401 == (await api.post("/api/v1/auth/token", {}, token=None, headers={"cookie": cookie})).status_code


async def test_links_of_before_a_rotation_work(any_api: Api) -> None:
    body = {"inviteeEmails": ["new@example.com"], "organizationId": any_api.org_id, "organizationRoleSlug": "member"}
    made = await any_api.ok("POST", "/api/v1/invite-org/signup", body)
    link = made["completeInviteLinks"][0]["link"] if made.get("completeInviteLinks") else made["completeInviteLink"]

    await new_hmac([any_api])

    assert 1 == (await rotation.hashed_before(any_api.runtime))["invitations"]
    async with any_api.runtime.store.read() as tx:
        code = link.partition("token=")[2].partition("&")[0]
        assert await accounts.invitation_by_token(tx, any_api.runtime.keys.digests(code).values())
