"""Nobody gives, takes or uses more than its own rights: the comparison of rules, and the mode that asks for an action.

That every route keeps to it is tested in tests/protection/test_climbing.py.
"""

from typing import Any

import pytest

from tests.api import Api
from tests.services.access.test_roles import READ_DEV, member, project, role

BOUNDARY = (403, "PermissionBoundaryError")
OVER_IDENTITIES = ["read", "edit", "grant-privileges", "create-token", "get-token", "delete-token", "edit-auth"]


async def org_role(api: Api, slug: str, *rules: Any) -> str:
    body = {"slug": slug, "name": slug, "permissions": list(rules)}
    await api.ok("POST", "/api/v1/organization/roles", body)
    return slug


def on(subject: str, *actions: str, **conditions: Any) -> dict[str, Any]:
    return {"subject": subject, "action": list(actions), **({"conditions": conditions} if conditions else {})}


async def by_action(api: Api) -> None:
    await api.ok("PATCH", f"/api/v1/organization/{api.org_id}", {"privilegeMode": "action"})


async def client_secret(api: Api, identity_id: str, token: str) -> Any:
    path = f"/api/v1/auth/universal-auth/identities/{identity_id}/client-secrets"
    reply = await api.post(path, {}, token=token)
    return reply.status_code, reply.json().get("error")


@pytest.fixture
async def keeper(api: Api) -> str:
    """The token of an identity that may do everything with identities, and nothing else."""
    return (await api.bot(await org_role(api, "keeper", on("identity", *OVER_IDENTITIES))))[1]


async def test_a_credential_of_one_that_holds_less_may_be_made_and_of_one_that_holds_more_not(
    api: Api, keeper: str
) -> None:
    await org_role(api, "reader", on("identity", "read"))
    await org_role(api, "other", on("identity", "read"), on("role", "read"))
    weaker, _ = await api.bot("reader")
    stronger, _ = await api.bot("other")

    assert (200, None) == await client_secret(api, weaker["id"], keeper)
    assert BOUNDARY == await client_secret(api, stronger["id"], keeper)


async def test_an_identity_makes_credentials_for_itself_though_a_denial_makes_its_rights_incomparable(api: Api) -> None:
    project_id = await project(api)
    denies = {**on("secrets", "edit", environment="prod"), "inverted": True}
    await role(api, project_id, on("secrets", "edit"), denies, slug="mixed")
    await org_role(api, "self", on("identity", *OVER_IDENTITIES))
    identity_id, token = await member(api, project_id, "mixed", org_role="self")

    made = await client_secret(api, identity_id, token)
    renamed = await api.patch(f"/api/v1/identities/{identity_id}", {"name": "other"}, token=token)

    assert (200, None) == made
    assert BOUNDARY == (renamed.status_code, renamed.json()["error"])


async def test_power_over_an_identity_is_power_over_what_it_holds_in_projects(api: Api, keeper: str) -> None:
    project_id = await project(api)
    strong, _ = await member(api, project_id, "admin")
    weak, weak_token = await member(api, project_id, "no-access")
    await org_role(
        api, "console", on("identity", *OVER_IDENTITIES), on("organization-admin-console", "access-all-projects")
    )
    _, over_all = await api.bot("console")

    assert BOUNDARY == await client_secret(api, strong, keeper)
    assert (200, None) == await client_secret(api, weak, keeper)
    assert (200, None) == await client_secret(api, strong, over_all)
    assert (403, "PermissionDenied") == await client_secret(api, strong, weak_token)


async def test_where_the_action_is_asked_for_the_rights_of_the_target_do_not_count(api: Api, keeper: str) -> None:
    admin, _ = await api.bot("admin")
    project_id = await project(api)
    in_project, _ = await member(api, project_id, "admin")
    await org_role(api, "half", on("identity", "read", "edit"))
    _, half = await api.bot("half")

    before = [await client_secret(api, one, keeper) for one in (admin["id"], in_project)]
    await by_action(api)
    after = [await client_secret(api, one, keeper) for one in (admin["id"], in_project)]

    assert [BOUNDARY, BOUNDARY] == before
    assert [(200, None), (200, None)] == after
    assert 403 == (await client_secret(api, admin["id"], half))[0]


@pytest.mark.parametrize("mode", ["subset", "action"])
async def test_an_instance_administrator_is_above_all_in_both_modes(api: Api, keeper: str, mode: str) -> None:
    await api.ok("PATCH", f"/api/v1/organization/{api.org_id}", {"privilegeMode": mode})
    listed = (await api.ok("GET", "/api/v1/identities", query={"orgId": api.org_id}))["identities"]
    (administrator,) = [one["identity"]["id"] for one in listed if one["identity"]["name"] != "bot"]

    refused = await api.patch(f"/api/v1/identities/{administrator}", {"name": "x"}, token=keeper)

    assert 403 == refused.status_code
    assert "administers the instance" in refused.json()["message"]


async def joins(api: Api, project_id: str, token: str, slug: str) -> Any:
    identity = await api.identity()
    path = f"/api/v1/projects/{project_id}/memberships/identities/{identity['id']}"
    reply = await api.post(path, {"roles": [{"role": slug}]}, token=token)
    return reply.status_code, reply.json().get("error")


async def test_a_role_is_given_within_ones_own_rights_and_one_that_grants_nothing_by_anybody(api: Api) -> None:
    project_id = await project(api)
    await role(api, project_id, READ_DEV)
    await role(api, project_id, on("identity", "create"), READ_DEV, slug="giver")
    await role(api, project_id, on("secrets", "read"), slug="wide")
    _, token = await member(api, project_id, "giver")

    assert (200, None) == await joins(api, project_id, token, "reader")
    assert (200, None) == await joins(api, project_id, token, "no-access")
    assert BOUNDARY == await joins(api, project_id, token, "wide")
    assert BOUNDARY == await joins(api, project_id, token, "admin")


async def test_where_the_action_is_asked_for_a_role_is_given_by_its_slug(api: Api) -> None:
    project_id = await project(api)
    await role(api, project_id, on("secrets", "read"), slug="team-a")
    await role(api, project_id, on("secrets", "read"), slug="boss")
    assigns = on("identity", "assign-role", assignableRole={"$glob": "team-*"})
    await role(api, project_id, on("identity", "create"), assigns, slug="giver")
    _, token = await member(api, project_id, "giver")

    before = await joins(api, project_id, token, "team-a")
    await by_action(api)

    assert BOUNDARY == before
    assert (200, None) == await joins(api, project_id, token, "team-a")
    assert (200, None) == await joins(api, project_id, token, "no-access")
    assert BOUNDARY == await joins(api, project_id, token, "boss")
    assert BOUNDARY == await joins(api, project_id, token, "admin")


async def test_where_the_action_is_asked_for_a_privilege_is_given_to_whom_the_rule_names(api: Api) -> None:
    project_id = await project(api)
    named, _ = await member(api, project_id, "no-access")
    other, _ = await member(api, project_id, "no-access")
    may = on("identity", "edit", "grant-privileges", identityId=named)
    await role(api, project_id, on("identity", "edit"), may, slug="giver")
    _, token = await member(api, project_id, "giver")
    await by_action(api)

    async def give(identity_id: str) -> Any:
        body = {"identityId": identity_id, "projectId": project_id, "permissions": [on("secrets", "delete")]}
        return (await api.post("/api/v2/identity-project-additional-privilege", body, token=token)).status_code

    assert [200, 403] == [await give(named), await give(other)]
