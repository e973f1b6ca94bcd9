"""Keys rotate while servers run; what was sealed and signed before stays good; an interrupted rotation goes on."""

from typing import Any

import msgspec
import pytest

from tests.house import ROOT_KEY, Api, running
from watchword.app import house, opened
from watchword.domain.errors import BadRequest
from watchword.domain.secret import Secret
from watchword.domain.tokens import verified
from watchword.services import rotation
from watchword.services.keys import SIGNING, KeysBehind, WrongRootKey, org_scope
from watchword.settings import Settings

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
    return sum([count async for count in rotation.reseal(api.house, scope)])


async def test_a_rotated_project_key_seals_every_value_anew(any_api: Api) -> None:
    project, where = await secret_of(any_api)
    scope = f"project/{project}"

    await rotation.stage(any_api.house, scope)
    before = await value(any_api, where)
    await rotation.activate(any_api.house, scope)
    between = await value(any_api, where)
    written = await resealed(any_api, scope)
    again = await resealed(any_api, scope)

    assert ["the value"] * 3 == [before, between, await value(any_api, where)]
    assert written >= 1
    assert 0 == again


async def test_a_rotated_organization_key_seals_configurations_and_project_keys_anew(any_api: Api) -> None:
    _, where = await secret_of(any_api)
    identity = await any_api.identity()
    await any_api.ok("POST", f"/api/v1/auth/kubernetes-auth/identities/{identity['id']}",
                     {"kubernetesHost": "https://k8s.example.com", "tokenReviewerJwt": "a.b.c", "allowedNamespaces": "x", "allowedNames": "y",
                      "allowedAudience": ""})  # fmt: skip
    scope = org_scope(any_api.org_id)

    await rotation.stage(any_api.house, scope)
    await rotation.activate(any_api.house, scope)
    written = await resealed(any_api, scope)

    assert written >= 2
    assert 0 == await resealed(any_api, scope)
    assert "the value" == await value(any_api, where)


async def test_staging_twice_makes_one_version_and_activating_needs_one(any_api: Api) -> None:
    scope = org_scope(any_api.org_id)

    assert (2, 2) == (await rotation.stage(any_api.house, scope), await rotation.stage(any_api.house, scope))
    assert 2 == await rotation.activate(any_api.house, scope)
    with pytest.raises(BadRequest):
        await rotation.activate(any_api.house, scope)


async def test_a_new_signing_key_signs_and_the_old_one_still_verifies(any_api: Api) -> None:
    identity, old = await any_api.bot("member")
    kid = any_api.house.keys.signer.kid

    await rotation.stage(any_api.house, SIGNING)
    await any_api.house.keys.refresh(any_api.house.store)
    staged = any_api.house.keys.jwks["keys"]
    await rotation.activate(any_api.house, SIGNING)
    new = await any_api.login(await any_api.universal((await any_api.identity("member", "other"))["id"]))

    assert 2 == len(staged)
    assert kid != any_api.house.keys.signer.kid
    for token in (old, new):
        assert 200 == (await any_api.get(f"/api/v1/identities/{identity['id']}", token=token)).status_code


async def test_a_signing_key_is_retired_once_all_it_signed_has_ended(any_api: Api) -> None:
    _, old = await any_api.bot("member")
    await rotation.stage(any_api.house, SIGNING)
    await rotation.activate(any_api.house, SIGNING)

    early = await rotation.retire_signing_keys(any_api.house, any_api.clock())
    any_api.clock.forward(92 * 86_400)
    late = await rotation.retire_signing_keys(any_api.house, any_api.clock())

    assert (0, 1) == (early, late)
    assert 1 == len(any_api.house.keys.jwks["keys"])
    with pytest.raises(Exception, match="not issued here"):
        verified(old, any_api.house.keys.verifiers)


async def test_a_second_server_notices_a_rotation(any_settings: Settings) -> None:
    async with running(any_settings) as api, opened(house(any_settings)) as other:
        project, _ = await secret_of(api)
        scope = f"project/{project}"
        async with other.store.read() as tx:
            stale = await other.keys.sealer(tx, scope)
        await rotation.stage(api.house, scope)
        await rotation.activate(api.house, scope)
        async with api.house.store.read() as tx:
            envelope = (await api.house.keys.sealer(tx, scope)).seal("place", b"new")

        with pytest.raises(KeysBehind):
            stale.open("place", envelope)
        async with other.store.read() as tx:
            assert b"new" == (await other.keys.sealer(tx, scope)).open("place", envelope)
        assert await other.keys.refresh(other.store)


async def test_the_root_key_rotates_and_the_old_one_then_opens_nothing(any_settings: Settings) -> None:
    async with running(any_settings) as api:
        _, where = await secret_of(api)
    both = msgspec.structs.replace(any_settings, root_key=Secret(NEW_ROOT), previous_root_key=Secret(ROOT_KEY))
    async with opened(house(both)) as parts:
        waiting = [one.scope for one in await rotation.state(parts) if not one.is_under_root_of_now]
        progress = [step async for step in rotation.reseal_root(parts)]
        again = [step async for step in rotation.reseal_root(parts)]
        left = [one.scope for one in await rotation.state(parts) if not one.is_under_root_of_now]
    only_new = msgspec.structs.replace(any_settings, root_key=Secret(NEW_ROOT))

    assert org_scope(api.org_id) in waiting
    assert (len(waiting), len(waiting)) == progress[-1]
    assert [(0, 0)] == again
    assert [] == left
    async with opened(house(only_new)) as parts, parts.store.read() as tx:
        await parts.keys.sealer(tx, f"project/{where['workspaceId']}")
    with pytest.raises(WrongRootKey):
        async with opened(house(any_settings)):
            pass
