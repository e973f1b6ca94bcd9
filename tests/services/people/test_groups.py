"""Groups: what a group holds its members hold at once, and joining one is gaining all it holds, wherever it
holds it.
"""

from typing import Any

from tests.api import EMAIL, Api
from tests.services.access.test_roles import READ_DEV, member, project, role
from tests.services.projects.test_members import path


async def group(api: Api, role: str = "no-access", **body: Any) -> str:
    return (await api.ok("POST", "/api/v1/groups", {"name": "Team", "role": role, **body}))["id"]


async def test_a_group_is_made_read_changed_listed_and_deleted(any_api: Api) -> None:
    made = await any_api.ok("POST", "/api/v1/groups", {"name": "Team", "slug": "team", "role": "member"})

    changed = await any_api.ok("PATCH", f"/api/v1/groups/{made['id']}", {"name": "Crew", "role": "no-access"})
    read = await any_api.ok("GET", f"/api/v1/groups/{made['id']}")
    listed = await any_api.ok("GET", "/api/v1/groups")
    taken = await any_api.post("/api/v1/groups", {"name": "Other", "slug": "team"})
    await any_api.ok("DELETE", f"/api/v1/groups/{made['id']}")
    gone = await any_api.get(f"/api/v1/groups/{made['id']}")

    assert ("team", "member", None) == (made["slug"], made["role"], made["roleId"])
    assert changed == read
    assert ("Crew", "no-access") == (read["name"], read["role"])
    assert [read] == listed
    assert (400, 404) == (taken.status_code, gone.status_code)


async def test_members_hold_what_the_group_holds_and_lose_it_when_either_leaves(any_api: Api) -> None:
    project_id, group_id = await project(any_api), await group(any_api)
    identity, token = await any_api.bot()
    asked, place = f"/api/v1/projects/{project_id}/roles", f"/api/v2/workspace/{project_id}/groups/{group_id}"
    inside = f"/api/v1/groups/{group_id}/machine-identities/{identity['id']}"

    async def status() -> int:
        return (await any_api.get(asked, token=token)).status_code

    statuses = [await status()]
    await any_api.ok("POST", place, {"role": "viewer"})
    statuses.append(await status())
    await any_api.ok("POST", inside)
    statuses.append(await status())
    await any_api.ok("PATCH", place, {"roles": [{"role": "no-access"}]})
    statuses.append(await status())
    await any_api.ok("PATCH", place, {"roles": [{"role": "viewer"}]})
    await any_api.ok("DELETE", inside)
    statuses.append(await status())
    await any_api.ok("POST", inside)
    await any_api.ok("DELETE", place)
    statuses.append(await status())
    await any_api.ok("POST", place, {"role": "viewer"})
    statuses.append(await status())
    await any_api.ok("DELETE", f"/api/v1/groups/{group_id}")
    statuses.append(await status())

    assert [403, 403, 200, 403, 403, 403, 200, 403] == statuses


async def test_people_and_identities_of_a_group_are_listed(any_api: Api) -> None:
    group_id = await group(any_api)
    inside, outbound = await any_api.identity(name="bee"), await any_api.identity(name="ant")
    await any_api.ok("POST", f"/api/v1/groups/{group_id}/machine-identities/{inside['id']}")
    person = await any_api.ok("POST", f"/api/v1/groups/{group_id}/users/{EMAIL}")
    base = f"/api/v1/groups/{group_id}"

    everybody = (await any_api.ok("GET", f"{base}/machine-identities"))["machineIdentities"]
    assigned = (await any_api.ok("GET", f"{base}/machine-identities", query={"filter": "assignedMachineIdentities"}))[
        "machineIdentities"
    ]
    people = (await any_api.ok("GET", f"{base}/users", query={"filter": "existingMembers"}))["users"]
    members = await any_api.ok("GET", f"{base}/members")

    assert EMAIL == person["email"]
    flags = {one["id"]: one["isPartOfGroup"] for one in everybody}
    assert (True, False) == (flags[inside["id"]], flags[outbound["id"]])
    assert [inside["id"], outbound["id"]] == [one["id"] for one in everybody if one["name"] in ("ant", "bee")]
    assert inside["id"] == everybody[0]["id"]
    assert [inside["id"]] == [one["id"] for one in assigned]
    assert [EMAIL] == [one["username"] for one in people]
    assert (["user", "machineIdentity"], 2) == ([one["type"] for one in members["members"]], members["totalCount"])


async def test_joining_twice_and_leaving_what_one_is_not_in_are_refused(any_api: Api) -> None:
    group_id, identity = await group(any_api), await any_api.identity()
    inside = f"/api/v1/groups/{group_id}/machine-identities/{identity['id']}"
    await any_api.ok("POST", inside)

    twice = await any_api.post(inside)
    await any_api.ok("DELETE", inside)
    absent = await any_api.delete(inside)

    assert (400, 404) == (twice.status_code, absent.status_code)


async def test_nobody_fills_a_group_that_holds_more_than_they_do_in_the_organization_or_a_project(any_api: Api) -> None:
    rules = [
        {
            "subject": "groups",
            "action": [
                "read",
                "create",
                "edit",
                "delete",
                "add-identities",
                "remove-identities",
                "add-members",
                "remove-members",
            ],
        }
    ]
    await any_api.ok("POST", "/api/v1/organization/roles", {"slug": "keeper", "name": "K", "permissions": rules})
    me, token = await any_api.bot("keeper")
    project_id = await project(any_api)
    strong, wide, weak = (
        await group(any_api, "admin", slug="s"),
        await group(any_api, slug="w"),
        await group(any_api, slug="n"),
    )
    await any_api.ok("POST", f"/api/v2/workspace/{project_id}/groups/{wide}", {"role": "viewer"})

    joined = [
        await any_api.post(f"/api/v1/groups/{one}/machine-identities/{me['id']}", token=token)
        for one in (strong, wide, weak)
    ]
    others = [
        await any_api.post("/api/v1/groups", {"name": "x", "role": "admin"}, token=token),
        await any_api.patch(f"/api/v1/groups/{weak}", {"role": "admin"}, token=token),
        await any_api.patch(f"/api/v1/groups/{strong}", {"role": "no-access"}, token=token),
        await any_api.delete(f"/api/v1/groups/{wide}", token=token),
        await any_api.delete(f"/api/v1/groups/{weak}", token=token),
    ]

    assert [403, 403, 200] == [reply.status_code for reply in joined]
    assert [403, 403, 403, 403, 200] == [reply.status_code for reply in others]


async def test_a_group_gets_no_role_in_a_project_beyond_who_gives_it(any_api: Api) -> None:
    project_id, group_id = await project(any_api), await group(any_api)
    await role(
        any_api,
        project_id,
        {"subject": "groups", "action": ["read", "create", "edit", "delete"]},
        READ_DEV,
        slug="keeper",
    )
    _, token = await member(any_api, project_id, "keeper")
    place = f"/api/v1/projects/{project_id}/memberships/groups/{group_id}"

    refused = await any_api.post(place, {"role": "viewer"}, token=token)
    given = await any_api.post(place, {"role": "no-access"}, token=token)
    raised = await any_api.patch(place, {"roles": [{"role": "admin"}]}, token=token)

    assert (403, 200, 403) == (refused.status_code, given.status_code, raised.status_code)


async def test_an_identity_that_is_strong_in_a_project_is_not_taken_over_from_the_organization(any_api: Api) -> None:
    project_id = await project(any_api)
    target, _ = await member(any_api, project_id, "admin")
    _, token = await any_api.bot("member")
    ua = f"/api/v1/auth/universal-auth/identities/{target}"

    replies = [
        await any_api.post(f"{ua}/client-secrets", {}, token=token),
        await any_api.patch(ua, {"accessTokenTTL": 60}, token=token),
        await any_api.post(f"/api/v1/auth/token-auth/identities/{target}", {}, token=token),
        await any_api.patch(f"/api/v1/identities/{target}", {"metadata": [{"key": "team", "value": "x"}]}, token=token),
        await any_api.delete(f"/api/v1/identities/{target}", token=token),
    ]

    assert [403] * 5 == [reply.status_code for reply in replies]


async def test_a_project_identity_joins_no_group_and_no_other_project(any_api: Api) -> None:
    first, second, group_id = await project(any_api), await project(any_api, "second"), await group(any_api)
    identity = (await any_api.ok("POST", f"/api/v1/projects/{first}/identities", {"name": "own"}))["identity"]

    replies = [
        await any_api.post(f"/api/v1/groups/{group_id}/machine-identities/{identity['id']}"),
        await any_api.post(path(second, identity["id"]), {"role": "viewer"}),
        await any_api.delete(path(first, identity["id"])),
        await any_api.patch(
            f"/api/v1/organization/identity-memberships/{identity['id']}", {"roles": [{"role": "admin"}]}
        ),
    ]

    assert [400] * 4 == [reply.status_code for reply in replies]


async def test_what_administers_the_instance_is_put_into_no_group_and_into_a_project_only_by_its_like(
    any_api: Api,
) -> None:
    """A group or a role that denies would take from it what only an administrator of the instance may take."""
    listed = (await any_api.ok("GET", f"/api/v1/identities?orgId={any_api.org_id}"))["identities"]
    instance = listed[0]["identityId"]
    _, org_admin = await any_api.bot("admin")
    group = (await any_api.ok("POST", "/api/v1/groups", {"name": "ops"}))["id"]
    project = (await any_api.ok("POST", "/api/v1/projects", {"projectName": "P"}, token=org_admin))["project"]["id"]
    into_group, into_project = (
        f"/api/v1/groups/{group}/machine-identities/{instance}",
        f"/api/v1/projects/{project}/memberships/identities/{instance}",
    )

    refused = [
        (await any_api.post(path, {"role": "viewer"} if path == into_project else None, token=token)).status_code
        for path, token in (
            (into_group, org_admin),
            (into_group, ""),
            (into_group, any_api.instance_token),
            (into_project, org_admin),
        )
    ]

    assert [403] * 4 == refused
    own = (await any_api.ok("POST", "/api/v1/projects", {"projectName": "Q"}))["project"]["id"]
    assert (
        200
        == (
            await any_api.post(f"/api/v1/projects/{own}/memberships/identities/{instance}", {"role": "viewer"})
        ).status_code
    )
