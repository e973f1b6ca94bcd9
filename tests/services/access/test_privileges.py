"""Additional privileges: what is given is compared, not only what is held; windows; both generations see the same."""

from time import monotonic
from typing import Any

from tests.api import Api
from tests.services.access.test_roles import READ_DEV, member, project, role
from watchword.domain.access.records import Privilege
from watchword.domain.globs import _machine
from watchword.services.access.scopes import MOST_PRIVILEGES
from watchword.store.access import grants

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


async def test_a_fault_of_a_period_is_named_where_it_was_sent(api: Api) -> None:
    project_id = await project(api)
    identity_id, _ = await member(api, project_id, "no-access")
    slug = (await api.ok("GET", f"/api/v1/projects/{project_id}"))["project"]["slug"]
    period = {
        "temporaryMode": "relative",
        "temporaryRange": "soon",
        "temporaryAccessStartTime": "2026-01-01T00:00:00Z",
    }
    given = (await give(api, project_id, identity_id, READ_ROLES, slug="kept")).json()["privilege"]
    named = {"identityId": identity_id, "projectSlug": slug}
    rule = {"subject": "role", "actions": ["read"]}

    replies = [
        await api.post(f"{V1}/temporary", {**named, **period, "privilegePermission": rule}),
        await api.patch(V1, {**named, "privilegeSlug": "kept", "privilegeDetails": {**period, "isTemporary": True}}),
        await api.patch(V1, {**named, "privilegeSlug": "kept", "privilegeDetails": {}}),
        await api.patch(f"{V2}/{given['id']}", {"type": {"isTemporary": True, **period}}),
    ]

    paths = [reply.json()["message"][0]["path"] for reply in replies]
    assert [
        ["temporaryRange"],
        ["privilegeDetails", "temporaryRange"],
        ["privilegeDetails"],
        ["type", "temporaryRange"],
    ] == paths


async def test_a_taken_slug_and_nothing_to_change_are_refused(any_api: Api) -> None:
    project_id = await project(any_api)
    identity_id, _ = await member(any_api, project_id, "no-access")
    given = (await give(any_api, project_id, identity_id, READ_DEV, slug="one")).json()["privilege"]

    again = await give(any_api, project_id, identity_id, READ_DEV, slug="one")
    empty = await any_api.patch(f"{V2}/{given['id']}", {})

    assert (400, 422) == (again.status_code, empty.status_code)


async def fill(api: Api, project_id: str, identity_id: str, count: int, rules: int) -> None:
    """Store privileges as an older version did, which had no bound."""
    permissions: tuple[dict[str, object], ...] = tuple(
        {
            "subject": "secrets",
            "action": ["readValue"],
            "conditions": {"secretPath": {"$glob": f"/{number}/**/*x{'y' * 40}"}},
        }
        for number in range(rules)
    )
    async with api.runtime.store.write() as tx:
        for number in range(count):
            record = Privilege(
                id=f"{number:08x}-0000-7000-9000-000000000000",
                project_id=project_id,
                actor_kind="identity",
                actor_id=identity_id,
                slug=f"p-{number}",
                permissions=permissions,
                created_at=1,
                updated_at=1,
            )
            await grants.add_privilege(tx, record)


async def test_the_privileges_of_one_identity_are_bounded_in_number_and_in_length(any_api: Api) -> None:
    project_id = await project(any_api)
    many, _ = await member(any_api, project_id, "no-access")
    await fill(any_api, project_id, many, MOST_PRIVILEGES, 1)
    patterns = [
        {"subject": "secrets", "action": ["edit"], "conditions": {"secretName": {"$in": [f"{n}" * 200] * 100}}}
        for n in range(10)
    ]
    long, _ = await member(any_api, project_id, "no-access")
    first = (await give(any_api, project_id, long, READ_ROLES, slug="small")).json()["privilege"]["id"]

    one_more = await give(any_api, project_id, many, READ_ROLES)
    replies = [await give(any_api, project_id, long, *patterns) for _ in range(6)]
    grown = await any_api.patch(f"{V2}/{first}", {"permissions": patterns})
    await any_api.ok("DELETE", f"{V2}/00000001-0000-7000-9000-000000000000")

    assert 400 == one_more.status_code
    assert "100" in one_more.json()["message"]
    assert [200, 200, 200, 200, 200, 400] == [reply.status_code for reply in replies]
    assert 400 == grown.status_code
    assert 200 == (await give(any_api, project_id, many, READ_ROLES)).status_code


async def test_too_many_rules_are_not_compared_and_only_unlimited_rights_change_their_holder(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(any_api, project_id, {"subject": "identity", "action": ["read", "edit"]}, READ_ROLES, slug="keeper")
    _, keeper = await member(any_api, project_id, "keeper")
    identity_id, _ = await member(any_api, project_id, "no-access")
    await fill(any_api, project_id, identity_id, 100, 300)
    path = f"{V2}/00000001-0000-7000-9000-000000000000"

    began = monotonic()
    refused = await any_api.patch(path, {"permissions": [READ_ROLES]}, token=keeper)
    done = await any_api.patch(path, {"permissions": [READ_ROLES]})
    took = monotonic() - began

    assert (403, "PermissionBoundaryError") == (refused.status_code, refused.json()["error"])
    assert "20000 rules" in refused.json()["message"]
    assert 200 == done.status_code
    assert took < 10  # compiled, these patterns take a minute


async def test_what_a_holder_has_is_compared_without_being_compiled(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(any_api, project_id, {"subject": "identity", "action": ["read", "edit"]}, READ_ROLES, slug="keeper")
    _, keeper = await member(any_api, project_id, "keeper")
    identity_id, _ = await member(any_api, project_id, "no-access")
    await fill(any_api, project_id, identity_id, 2, 200)
    path = f"{V2}/00000001-0000-7000-9000-000000000000"
    await any_api.get(path, token=keeper)

    before = _machine.cache_info().misses
    refused = await any_api.patch(path, {"permissions": [READ_ROLES]}, token=keeper)

    assert (403, "PermissionBoundaryError") == (refused.status_code, refused.json()["error"])
    assert before == _machine.cache_info().misses
