"""Identities of projects: their tokens work, they live and die with the project, and the project's rights rule
over them.
"""

from tests.api import Api
from tests.services.access.test_roles import member, project, role
from tests.services.projects.test_members import path


async def test_an_identity_of_a_project_logs_in_and_acts_with_its_roles_there(any_api: Api) -> None:
    project_id = await project(any_api)
    identity = (
        await any_api.ok(
            "POST", f"/api/v1/projects/{project_id}/identities", {"name": "own", "roles": [{"role": "viewer"}]}
        )
    )["identity"]
    token = await any_api.login(await any_api.universal(identity["id"]))

    inside = await any_api.get(f"/api/v1/projects/{project_id}/roles", token=token)
    organization = await any_api.get("/api/v1/organization/roles", token=token)
    details = await any_api.get("/api/v1/identities/details", token=token)

    assert (project_id, ["universal-auth"]) == (
        identity["projectId"],
        (await any_api.ok("GET", f"/api/v1/projects/{project_id}/identities/{identity['id']}"))["identity"][
            "authMethods"
        ],
    )
    assert (200, 403, 200) == (inside.status_code, organization.status_code, details.status_code)


async def test_it_is_listed_changed_and_deleted_and_then_its_tokens_are_dead(any_api: Api) -> None:
    project_id = await project(any_api)
    base = f"/api/v1/projects/{project_id}/identities"
    await member(any_api, project_id, "viewer")
    identity = (await any_api.ok("POST", base, {"name": "own", "metadata": [{"key": "team", "value": "a"}]}))[
        "identity"
    ]
    token = await any_api.login(await any_api.universal(identity["id"]))

    listed = await any_api.ok("GET", base, query={"search": "ow"})
    changed = (await any_api.ok("PATCH", f"{base}/{identity['id']}", {"name": "renamed", "hasDeleteProtection": True}))[
        "identity"
    ]
    protected = await any_api.delete(f"{base}/{identity['id']}")
    await any_api.ok("PATCH", f"{base}/{identity['id']}", {"hasDeleteProtection": False})
    await any_api.ok("DELETE", f"{base}/{identity['id']}")
    after = await any_api.get("/api/v1/identities/details", token=token)

    assert ([identity["id"]], 1) == ([one["id"] for one in listed["identities"]], listed["totalCount"])
    assert ("renamed", [("team", "a")]) == (
        changed["name"],
        [(one["key"], one["value"]) for one in changed["metadata"]],
    )
    assert (400, 401) == (protected.status_code, after.status_code)


async def test_its_project_takes_it_along_unless_it_is_protected(any_api: Api) -> None:
    project_id = await project(any_api)
    base = f"/api/v1/projects/{project_id}/identities"
    identity = (await any_api.ok("POST", base, {"name": "own", "hasDeleteProtection": True}))["identity"]
    token = await any_api.login(await any_api.universal(identity["id"]))

    refused = await any_api.delete(f"/api/v1/projects/{project_id}")
    await any_api.ok("PATCH", f"{base}/{identity['id']}", {"hasDeleteProtection": False})
    await any_api.ok("DELETE", f"/api/v1/projects/{project_id}")
    after = await any_api.get("/api/v1/identities/details", token=token)

    assert (400, 401) == (refused.status_code, after.status_code)


async def test_none_of_its_roles_goes_beyond_who_makes_it_and_one_is_permanent(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(any_api, project_id, {"subject": "identity", "action": ["read", "create"]}, slug="maker")
    _, token = await member(any_api, project_id, "maker")
    base = f"/api/v1/projects/{project_id}/identities"
    window = {
        "isTemporary": True,
        "temporaryMode": "relative",
        "temporaryRange": "1h",
        "temporaryAccessStartTime": "2030-01-01T00:00:00Z",
    }

    replies = [
        await any_api.post(base, {"name": "x", "roles": [{"role": "admin"}]}, token=token),
        await any_api.post(base, {"name": "x", "roles": [{"role": "nope"}]}, token=token),
        await any_api.post(base, {"name": "x", "roles": [{"role": "no-access", **window}]}, token=token),
        await any_api.post(base, {"name": "x"}, token=token),
    ]

    assert [403, 404, 400, 200] == [reply.status_code for reply in replies]


async def test_rights_over_one_identity_say_nothing_about_another(any_api: Api) -> None:
    project_id = await project(any_api)
    base = f"/api/v1/projects/{project_id}/identities"
    mine, other = [(await any_api.ok("POST", base, {"name": name}))["identity"]["id"] for name in ("mine", "other")]
    rule = {
        "subject": "identity",
        "action": ["read", "edit", "create", "create-token"],
        "conditions": {"identityId": mine},
    }
    await role(any_api, project_id, rule, slug="owner")
    _, token = await member(any_api, project_id, "owner")

    replies = [await any_api.patch(f"{base}/{id}", {"name": "x"}, token=token) for id in (mine, other)]
    attached = [
        await any_api.post(f"/api/v1/auth/universal-auth/identities/{id}", {}, token=token) for id in (mine, other)
    ]

    assert ([200, 403], [200, 403]) == (
        [reply.status_code for reply in replies],
        [reply.status_code for reply in attached],
    )


async def test_roles_of_it_are_changed_by_its_membership(any_api: Api) -> None:
    project_id = await project(any_api)
    identity = (await any_api.ok("POST", f"/api/v1/projects/{project_id}/identities", {"name": "own"}))["identity"]

    await any_api.ok("PATCH", path(project_id, identity["id"]), {"roles": [{"role": "viewer"}]})
    found = (await any_api.ok("GET", path(project_id, identity["id"])))["identityMembership"]

    assert ["viewer"] == [one["role"] for one in found["roles"]]
