"""Memberships: at least one permanent role, nobody beyond themselves, nobody removes themselves, what is listed
and how.
"""

from tests.api import EMAIL, Api
from tests.services.access.test_roles import READ_DEV, member, project, role
from watchword.services.timestamps import iso


def path(project_id: str, identity_id: str = "") -> str:
    return f"/api/v1/projects/{project_id}/memberships/identities" + (f"/{identity_id}" if identity_id else "")


async def test_temporary_fields_of_a_permanent_role_are_not_read(any_api: Api) -> None:
    project_id, identity = await project(any_api), await any_api.identity()
    junk = {
        "role": "viewer",
        "isTemporary": False,
        "temporaryMode": "",
        "temporaryRange": "",
        "temporaryAccessStartTime": "0001-01-01T00:00:00Z",
    }

    reply = await any_api.post(
        f"/api/v2/workspace/{project_id}/identity-memberships/{identity['id']}", {"roles": [junk]}
    )

    assert 200 == reply.status_code


async def test_a_temporary_role_holds_from_its_start_until_just_before_its_end(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, token = await member(any_api, project_id, "no-access")
    asked = f"/api/v1/projects/{project_id}/roles"
    soon = any_api.clock() + 60_000
    later = {
        "role": "viewer",
        "isTemporary": True,
        "temporaryMode": "relative",
        "temporaryRange": "2m",
        "temporaryAccessStartTime": iso(soon),
    }
    await any_api.ok("PATCH", path(project_id, identity_id), {"roles": [{"role": "no-access"}, later]})

    statuses = []
    for seconds in (0, 61, 120):
        any_api.clock.forward(seconds)
        statuses.append((await any_api.get(asked, token=token)).status_code)

    assert [403, 200, 403] == statuses


async def test_a_window_that_no_date_can_name_is_refused(api: Api) -> None:
    project_id, identity = await project(api), await api.identity()
    odd = [
        {
            "role": "viewer",
            "isTemporary": True,
            "temporaryMode": "relative",
            "temporaryRange": "900y",
            "temporaryAccessStartTime": "9999-01-01T00:00:00Z",
        },
        {
            "role": "viewer",
            "isTemporary": True,
            "temporaryMode": "relative",
            "temporaryRange": "1h",
            "temporaryAccessStartTime": "0001-01-01T00:00:00+14:00",
        },
    ]

    replies = [await api.post(path(project_id, identity["id"]), {"roles": [{"role": "viewer"}, one]}) for one in odd]

    assert [422, 422] == [reply.status_code for reply in replies]


async def test_a_membership_has_a_permanent_role(any_api: Api) -> None:
    project_id, identity = await project(any_api), await any_api.identity()
    window = {
        "isTemporary": True,
        "temporaryMode": "relative",
        "temporaryRange": "1h",
        "temporaryAccessStartTime": "2030-01-01T00:00:00Z",
    }

    none = await any_api.post(path(project_id, identity["id"]), {"roles": []})
    temporary = await any_api.post(path(project_id, identity["id"]), {"roles": [{"role": "viewer", **window}]})

    assert (400, 400) == (none.status_code, temporary.status_code)


async def test_nobody_gives_a_role_beyond_their_own_rights_nor_changes_who_holds_more(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(
        any_api,
        project_id,
        {"subject": "identity", "action": ["read", "create", "edit", "delete"]},
        READ_DEV,
        slug="keeper",
    )
    await role(any_api, project_id, READ_DEV, slug="reader")
    keeper_id, token = await member(any_api, project_id, "keeper")
    admin_id, _ = await member(any_api, project_id, "admin")
    stranger = await any_api.identity(name="stranger")

    replies = [
        await any_api.post(path(project_id, stranger["id"]), {"role": "admin"}, token=token),
        await any_api.post(path(project_id, stranger["id"]), {"role": "reader"}, token=token),
        await any_api.patch(path(project_id, stranger["id"]), {"roles": [{"role": "viewer"}]}, token=token),
        await any_api.patch(path(project_id, keeper_id), {"roles": [{"role": "admin"}]}, token=token),
        await any_api.patch(path(project_id, admin_id), {"roles": [{"role": "reader"}]}, token=token),
        await any_api.delete(path(project_id, admin_id), token=token),
        await any_api.delete(path(project_id, stranger["id"]), token=token),
    ]

    assert [403, 200, 403, 403, 403, 403, 200] == [reply.status_code for reply in replies]


async def test_nobody_removes_their_own_membership(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, token = await member(any_api, project_id, "admin")

    reply = await any_api.delete(path(project_id, identity_id), token=token)

    assert 400 == reply.status_code


async def test_a_change_of_roles_and_a_removal_take_effect_at_once(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, token = await member(any_api, project_id, "viewer")
    asked = f"/api/v1/projects/{project_id}/roles"
    statuses = [(await any_api.get(asked, token=token)).status_code]

    await any_api.ok("PATCH", path(project_id, identity_id), {"roles": [{"role": "no-access"}]})
    statuses.append((await any_api.get(asked, token=token)).status_code)
    await any_api.ok("DELETE", path(project_id, identity_id))
    statuses.append((await any_api.get(asked, token=token)).status_code)

    assert [200, 403, 403] == statuses


async def test_members_are_searched_by_name_and_role_in_order_and_pages(any_api: Api) -> None:
    project_id = await project(any_api)
    for name, slug in (("ant", "viewer"), ("bee", "member"), ("cat", "viewer")):
        identity = await any_api.identity(name=name)
        await any_api.ok("POST", path(project_id, identity["id"]), {"role": slug})

    async def names(**query: str) -> tuple[list[str], int]:
        found = await any_api.ok("GET", path(project_id), query=query)
        return [one["identity"]["name"] for one in found["identityMemberships"]], found["totalCount"]

    assert (["ant", "cat"], 2) == await names(roles="viewer")
    assert (["cat", "bee"], 3) == await names(orderDirection="desc", limit="2")
    assert (["bee"], 1) == await names(identityName="BE")
    assert (["cat"], 3) == await names(offset="2")


async def test_rules_on_single_identities_show_only_these_in_lists(any_api: Api) -> None:
    project_id = await project(any_api)
    seen, hidden = await any_api.identity(name="seen"), await any_api.identity(name="hidden")
    for identity in (seen, hidden):
        await any_api.ok("POST", path(project_id, identity["id"]), {"role": "no-access"})
    await role(
        any_api,
        project_id,
        {"subject": "identity", "action": ["read"], "conditions": {"identityId": seen["id"]}},
        slug="narrow",
    )
    _, token = await member(any_api, project_id, "narrow")

    listed = await any_api.ok("GET", path(project_id), token=token)
    one = await any_api.get(path(project_id, hidden["id"]), token=token)

    assert (["seen"], 1) == (
        [found["identity"]["name"] for found in listed["identityMemberships"]],
        listed["totalCount"],
    )
    assert 403 == one.status_code


async def test_available_identities_are_those_that_could_join(any_api: Api) -> None:
    project_id = await project(any_api)
    inside, outbound = await any_api.identity(name="inside"), await any_api.identity(name="outside")
    await any_api.ok("POST", path(project_id, inside["id"]), {"role": "viewer"})

    found = await any_api.ok(
        "GET", f"/api/v1/projects/{project_id}/memberships/available-identities", query={"identityName": "side"}
    )

    assert [{"id": outbound["id"], "name": "outside"}] == found["identities"]


async def test_a_membership_is_found_by_its_own_id_and_from_the_identity(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, _ = await member(any_api, project_id, "viewer", "member")

    one = (await any_api.ok("GET", path(project_id, identity_id)))["identityMembership"]
    by_id = (await any_api.ok("GET", f"/api/v2/workspace/identity-memberships/{one['id']}"))["identityMembership"]
    of_identity = (await any_api.ok("GET", f"/api/v1/identities/{identity_id}/identity-memberships"))[
        "identityMemberships"
    ]

    assert one == by_id
    assert [(one["id"], project_id, ["viewer", "member"])] == [
        (found["id"], found["project"]["id"], [held["role"] for held in found["roles"]]) for found in of_identity
    ]


async def test_people_are_invited_changed_and_removed_by_address_and_by_membership(any_api: Api) -> None:
    project_id = await project(any_api)
    _, token = await member(any_api, project_id, "admin")
    people = f"/api/v1/projects/{project_id}/memberships"
    mine = (await any_api.ok("POST", f"{people}/details", {"username": EMAIL}))["membership"]
    await any_api.ok("DELETE", f"{people}/{mine['id']}", token=token)

    made = (
        await any_api.ok(
            "POST", f"/api/v2/workspace/{project_id}/memberships", {"emails": [EMAIL.upper()]}, token=token
        )
    )["memberships"]
    again = (await any_api.ok("POST", people, {"usernames": [EMAIL], "roleSlugs": ["viewer"]}, token=token))[
        "memberships"
    ]
    roles = (
        await any_api.ok(
            "PATCH",
            f"/api/v1/workspace/{project_id}/memberships/{made[0]['id']}",
            {"roles": [{"role": "viewer"}]},
            token=token,
        )
    )["roles"]
    listed = (await any_api.ok("GET", people, token=token))["memberships"]
    own = await any_api.request("DELETE", people, {"emails": [EMAIL]}, token=token)
    gone = await any_api.get(people)

    assert [mine["userId"]] == [one["userId"] for one in made]
    assert [] == again
    assert ["viewer"] == [one["role"] for one in roles]
    assert [(EMAIL, ["viewer"])] == [(one["user"]["email"], [held["role"] for held in one["roles"]]) for one in listed]
    assert (200, 403) == (own.status_code, gone.status_code)


async def test_who_is_not_in_the_organization_is_not_invited_into_a_project(any_api: Api) -> None:
    project_id = await project(any_api)

    reply = await any_api.post(
        f"/api/v2/workspace/{project_id}/memberships", {"emails": ["nobody@example.com"], "roleSlugs": ["member"]}
    )

    assert 404 == reply.status_code


async def test_organization_memberships_hold_several_roles_and_end_with_all_that_hangs_on_them(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, token = await member(any_api, project_id, "viewer")
    org = f"/api/v1/organization/identity-memberships/{identity_id}"
    await any_api.ok("PATCH", org, {"roles": [{"role": "no-access"}, {"role": "member"}]})
    shown = (await any_api.ok("GET", org))["identityMembership"]

    await any_api.ok("DELETE", org)
    gone = await any_api.get(f"/api/v1/projects/{project_id}/roles", token=token)
    available = (await any_api.ok("GET", "/api/v1/organization/available-identities"))["identities"]
    await any_api.ok("POST", org, {"roles": [{"role": "no-access"}]})
    revived = await any_api.get(f"/api/v1/projects/{project_id}/roles", token=token)

    assert ["no-access", "member"] == [one["role"] for one in shown["roles"]]
    assert (401, 401) == (gone.status_code, revived.status_code)
    assert [identity_id] == [one["id"] for one in available]


async def test_delete_protection_also_keeps_a_membership_at_home(any_api: Api) -> None:
    identity = await any_api.identity(hasDeleteProtection=True)

    reply = await any_api.delete(f"/api/v1/organization/identity-memberships/{identity['id']}")

    assert 400 == reply.status_code
