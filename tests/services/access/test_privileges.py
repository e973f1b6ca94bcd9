"""Additional privileges: what is given is compared, not only what is held; windows; both generations see the same."""

from typing import Any

from tests.api import Api
from tests.services.access.test_roles import READ_DEV, member, project, role

V1, V2 = "/api/v1/additional-privilege/identity", "/api/v2/identity-project-additional-privilege"
READ_ROLES = {"subject": "role", "action": ["read"]}


async def give(api: Api, project_id: str, identity_id: str, *rules: Any, token: str = "", **more: Any) -> Any:
    body = {"identityId": identity_id, "projectId": project_id, "permissions": list(rules), **more}
    return await api.post(V2, body, token=token)


async def test_a_privilege_holds_at_once_until_it_is_taken_away(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, token = await member(any_api, project_id, "no-access")
    asked = f"/api/v1/projects/{project_id}/roles"
    statuses = [(await any_api.get(asked, token=token)).status_code]

    given = (await give(any_api, project_id, identity_id, READ_ROLES)).json()["privilege"]
    statuses.append((await any_api.get(asked, token=token)).status_code)
    await any_api.ok("PATCH", f"{V2}/{given['id']}", {"permissions": [READ_DEV]})
    statuses.append((await any_api.get(asked, token=token)).status_code)
    await any_api.ok("PATCH", f"{V2}/{given['id']}", {"permissions": [READ_ROLES]})
    await any_api.ok("DELETE", f"{V2}/{given['id']}")
    statuses.append((await any_api.get(asked, token=token)).status_code)

    assert [403, 200, 403, 403] == statuses


async def test_both_generations_show_the_same_privilege(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, _ = await member(any_api, project_id, "no-access")
    old = {"identityId": identity_id, "projectSlug": "alpha-app"}
    body = {
        **old,
        "slug": "dev",
        "permissions": [{"subject": "secrets", "action": "read", "conditions": {"environment": "dev"}}],
    }
    made = (await any_api.ok("POST", f"{V1}/permanent", body))["privilege"]

    by_slug = (await any_api.ok("GET", f"{V2}/slug/dev", query=old))["privilege"]
    by_id = (await any_api.ok("GET", f"{V2}/{made['id']}"))["privilege"]
    listed = (await any_api.ok("GET", V2, query={"identityId": identity_id, "projectId": project_id}))["privileges"]

    assert made == by_slug == by_id
    assert [made["id"]] == [one["id"] for one in listed]
    assert [READ_DEV | {"inverted": False}] == made["permissions"]
    assert "permissions" not in listed[0]


async def test_a_temporary_privilege_ends(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, token = await member(any_api, project_id, "no-access")
    window = {
        "isTemporary": True,
        "temporaryMode": "relative",
        "temporaryRange": "1m",
        "temporaryAccessStartTime": "2020-01-01T00:00:00Z",
    }
    over = (await give(any_api, project_id, identity_id, READ_ROLES, type=window)).json()["privilege"]
    asked = f"/api/v1/projects/{project_id}/roles"
    before = await any_api.get(asked, token=token)

    await any_api.ok("PATCH", f"{V2}/{over['id']}", {"type": {"isTemporary": False}})
    after = await any_api.get(asked, token=token)

    assert "2020-01-01T00:01:00.000Z" == over["temporaryAccessEndTime"]
    assert (403, 200) == (before.status_code, after.status_code)


async def test_nobody_gives_what_they_do_not_hold_nor_touches_who_holds_more(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(any_api, project_id, {"subject": "identity", "action": ["read", "edit"]}, READ_DEV, slug="keeper")
    keeper_id, token = await member(any_api, project_id, "keeper")
    weak_id, _ = await member(any_api, project_id, "no-access")
    admin_id, _ = await member(any_api, project_id, "admin")

    replies = [
        await give(any_api, project_id, weak_id, READ_DEV, token=token, slug="fine"),
        await give(any_api, project_id, weak_id, {"subject": "secrets", "action": ["read"]}, token=token),
        await give(any_api, project_id, keeper_id, READ_ROLES, token=token),
        await give(any_api, project_id, admin_id, READ_DEV, token=token),
    ]

    assert [200, 403, 403, 403] == [reply.status_code for reply in replies]


async def test_nobody_takes_away_a_denial_that_holds_for_themselves(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(
        any_api,
        project_id,
        {"subject": "identity", "action": ["read", "edit"]},
        {"subject": "secrets", "action": ["read"]},
        slug="keeper",
    )
    keeper_id, token = await member(any_api, project_id, "keeper")
    denial = {"subject": "secrets", "action": ["read"], "conditions": {"environment": "prod"}, "inverted": True}
    given = (await give(any_api, project_id, keeper_id, denial)).json()["privilege"]

    removed = await any_api.delete(f"{V2}/{given['id']}", token=token)
    changed = await any_api.patch(f"{V2}/{given['id']}", {"permissions": []}, token=token)

    assert (403, 403) == (removed.status_code, changed.status_code)


async def test_a_taken_slug_and_nothing_to_change_are_refused(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, _ = await member(any_api, project_id, "no-access")
    given = (await give(any_api, project_id, identity_id, READ_DEV, slug="one")).json()["privilege"]

    again = await give(any_api, project_id, identity_id, READ_DEV, slug="one")
    empty = await any_api.patch(f"{V2}/{given['id']}", {})

    assert (400, 422) == (again.status_code, empty.status_code)
