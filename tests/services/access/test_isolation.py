"""Ids of another tenant answer as ids that nobody has, on every route that takes one."""

from typing import Any

from tests.api import Api
from tests.services.access.test_roles import READ_DEV, member, project, role
from tests.services.people.test_groups import group

UNKNOWN = "01a203ee-9dba-7b90-b424-1f20aa43038b"


async def theirs(api: Api) -> dict[str, str]:
    """One of everything in the first organization."""
    project_id = await project(api)
    identity_id, _ = await member(api, project_id, "viewer")
    found = await api.ok("GET", f"/api/v1/projects/{project_id}/memberships/identities/{identity_id}")
    person = (await api.ok("GET", f"/api/v1/projects/{project_id}/memberships"))["memberships"][0]
    privilege = {"identityId": identity_id, "projectId": project_id, "permissions": [READ_DEV]}
    return {
        "project": project_id,
        "identity": identity_id,
        "membership": found["identityMembership"]["id"],
        "person": person["id"],
        "org_role": (await api.ok("POST", "/api/v1/organization/roles", {"slug": "r", "name": "r", "permissions": []}))[
            "role"
        ]["id"],
        "role": (await role(api, project_id, READ_DEV))["id"],
        "group": await group(api),
        "privilege": (await api.ok("POST", "/api/v2/identity-project-additional-privilege", privilege))["privilege"][
            "id"
        ],
        "owned": (await api.ok("POST", f"/api/v1/projects/{project_id}/identities", {"name": "owned"}))["identity"][
            "id"
        ],
    }


ROLES: dict[str, Any] = {"roles": [{"role": "no-access"}]}
# Route, which of the ids it is about, body. "{own}" is a project of the caller, "{mine}" an identity of the caller.
ASKED = [
    ("GET", "/api/v1/organization/roles/{}", "org_role", None),
    ("PATCH", "/api/v1/organization/roles/{}", "org_role", {"name": "x"}),
    ("DELETE", "/api/v1/organization/roles/{}", "org_role", None),
    ("GET", "/api/v1/projects/roles/{}", "role", None),
    ("GET", "/api/v1/projects/{own}/roles/{}", "role", None),
    ("PATCH", "/api/v2/workspace/{own}/roles/{}", "role", {"name": "x"}),
    ("DELETE", "/api/v1/workspace/own-app/roles/{}", "role", None),
    ("GET", "/api/v1/projects/{}/roles", "project", None),
    ("POST", "/api/v2/workspace/{}/roles", "project", {"slug": "x", "name": "x", "permissions": []}),
    ("GET", "/api/v1/projects/{}/access", "project", None),
    ("GET", "/api/v2/workspace/{}/identity-memberships", "project", None),
    ("POST", "/api/v2/workspace/{}/identity-memberships/{mine}", "project", {"role": "no-access"}),
    ("POST", "/api/v2/workspace/{own}/identity-memberships/{}", "identity", {"role": "no-access"}),
    ("PATCH", "/api/v1/projects/{own}/memberships/identities/{}", "identity", ROLES),
    ("DELETE", "/api/v1/projects/{own}/memberships/identities/{}", "identity", None),
    ("GET", "/api/v1/projects/{own}/memberships/identities/{}", "identity", None),
    ("GET", "/api/v2/workspace/identity-memberships/{}", "membership", None),
    ("POST", "/api/v1/organization/identity-memberships/{}", "identity", ROLES),
    ("PATCH", "/api/v1/organization/identity-memberships/{}", "identity", ROLES),
    ("DELETE", "/api/v1/organization/identity-memberships/{}", "identity", None),
    ("GET", "/api/v1/organization/identity-memberships/{}", "identity", None),
    ("GET", "/api/v1/projects/{own}/memberships/{}", "person", None),
    ("PATCH", "/api/v1/workspace/{own}/memberships/{}", "person", ROLES),
    ("DELETE", "/api/v1/projects/{own}/memberships/{}", "person", None),
    ("GET", "/api/v1/projects/{}/memberships", "project", None),
    ("POST", "/api/v1/projects/{}/identities", "project", {"name": "x"}),
    ("GET", "/api/v1/projects/{own}/identities/{}", "owned", None),
    ("PATCH", "/api/v1/projects/{own}/identities/{}", "owned", {"name": "x"}),
    ("DELETE", "/api/v1/projects/{own}/identities/{}", "owned", None),
    ("GET", "/api/v2/identity-project-additional-privilege/{}", "privilege", None),
    ("PATCH", "/api/v2/identity-project-additional-privilege/{}", "privilege", {"slug": "x"}),
    ("DELETE", "/api/v2/identity-project-additional-privilege/{}", "privilege", None),
    ("GET", "/api/v1/groups/{}", "group", None),
    ("PATCH", "/api/v1/groups/{}", "group", {"name": "x"}),
    ("DELETE", "/api/v1/groups/{}", "group", None),
    ("POST", "/api/v1/groups/{}/machine-identities/{mine}", "group", None),
    ("POST", "/api/v1/groups/{mine_group}/machine-identities/{}", "identity", None),
    ("GET", "/api/v1/groups/{}/members", "group", None),
    ("POST", "/api/v2/workspace/{own}/groups/{}", "group", {"role": "no-access"}),
    ("DELETE", "/api/v1/projects/{own}/memberships/groups/{}", "group", None),
]


async def test_an_id_of_another_tenant_answers_as_an_unknown_one(api: Api) -> None:
    ids = await theirs(api)
    org_id, token = await api.organization("Rival")
    own = {
        "own": (await api.ok("POST", "/api/v2/workspace", {"projectName": "own", "slug": "own-app"}, token=token))[
            "project"
        ]["id"]
    }
    own["mine"] = (await api.ok("POST", "/api/v1/identities", {"name": "x", "organizationId": org_id}, token=token))[
        "identity"
    ]["id"]
    own["mine_group"] = (await api.ok("POST", "/api/v1/groups", {"name": "g"}, token=token))["id"]

    different = []
    for method, path, which, body in ASKED:
        foreign, unknown = [
            await api.request(method, path.format(id, **own), body, token=token) for id in (ids[which], UNKNOWN)
        ]
        answers = [(reply.status_code, reply.json().get("message")) for reply in (foreign, unknown)]
        if answers[0] != answers[1] or foreign.status_code not in (403, 404):
            different.append((method, path, answers))

    assert [] == different
