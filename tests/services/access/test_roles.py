"""Custom roles: the boundary at creation and change, effects at once, no deletion while held, both forms of rules."""

from typing import Any

import pytest

from tests.api import Api
from tests.vault import Vault, rule
from watchword.store.access import grants

READ_DEV = {"subject": "secrets", "action": ["read"], "conditions": {"environment": "dev"}}


async def project(api: Api, name: str = "alpha") -> str:
    return (await api.ok("POST", "/api/v2/workspace", {"projectName": name, "slug": f"{name}-app"}))["project"]["id"]


async def role(api: Api, project_id: str, *rules: Any, slug: str = "reader") -> dict[str, Any]:
    body = {"slug": slug, "name": slug, "permissions": list(rules)}
    return (await api.ok("POST", f"/api/v1/projects/{project_id}/roles", body))["role"]


async def member(api: Api, project_id: str, *slugs: str, org_role: str = "no-access") -> tuple[str, str]:
    """An identity in a project and a token of it."""
    identity, token = await api.bot(org_role)
    body = {"roles": [{"role": slug} for slug in slugs]}
    await api.ok("POST", f"/api/v1/projects/{project_id}/memberships/identities/{identity['id']}", body)
    return identity["id"], token


async def test_a_role_is_the_same_by_every_path_to_it(any_api: Api) -> None:
    project_id = await project(any_api)
    made = await role(any_api, project_id, READ_DEV)

    paths = (
        f"/api/v1/workspace/alpha-app/roles/slug/{made['slug']}",
        f"/api/v2/workspace/{project_id}/roles/slug/{made['slug']}",
        f"/api/v1/projects/{project_id}/roles/slug/{made['slug']}",
        f"/api/v1/projects/{project_id}/roles/{made['id']}",
        f"/api/v1/projects/roles/{made['id']}",
    )
    found = [(await any_api.ok("GET", path))["role"] for path in paths]

    assert [made] * len(paths) == found


async def test_old_organization_routes_answer_packed_rules_and_new_ones_objects(any_api: Api) -> None:
    old = f"/api/v1/organization/{any_api.org_id}/roles"
    made = (
        await any_api.ok("POST", old, {"slug": "helper", "name": "Helper", "permissions": [["read,edit", "identity"]]})
    )["role"]

    new = (await any_api.ok("GET", f"/api/v1/organization/roles/{made['id']}"))["role"]

    assert [["read,edit", "identity"]] == made["permissions"]
    assert [{"subject": "identity", "action": ["read", "edit"], "inverted": False}] == new["permissions"]


async def test_the_built_in_roles_are_read_by_their_fixed_ids_and_slugs(api: Api) -> None:
    listed = (await api.ok("GET", f"/api/v1/organization/{api.org_id}/roles"))["data"]["roles"]

    by_id = [(await api.ok("GET", f"/api/v1/organization/roles/{one['id']}"))["role"]["slug"] for one in listed]
    by_slug = [(await api.ok("GET", f"/api/v1/organization/roles/slug/{one['slug']}"))["role"]["id"] for one in listed]

    assert ["admin", "member", "no-access"] == by_id
    assert [one["id"] for one in listed] == by_slug


async def test_reserved_slugs_and_the_word_custom_are_refused(api: Api) -> None:
    project_id = await project(api)

    replies = [
        await api.post(f"/api/v1/projects/{project_id}/roles", {"slug": slug, "name": "x", "permissions": []})
        for slug in ("admin", "member", "viewer", "no-access", "custom", "Not A Slug")
    ]

    assert [422] * 6 == [reply.status_code for reply in replies]


async def test_who_may_write_roles_writes_none_beyond_their_own_rights(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(any_api, project_id, {"subject": "role", "action": ["read", "create", "edit"]}, READ_DEV, slug="smith")
    _, token = await member(any_api, project_id, "smith")
    path = f"/api/v1/projects/{project_id}/roles"
    allowed = await any_api.post(path, {"slug": "mine", "name": "x", "permissions": [READ_DEV]}, token=token)

    wider = await any_api.post(
        path, {"slug": "more", "name": "x", "permissions": [{"subject": "secrets", "action": ["read"]}]}, token=token
    )
    changed = await any_api.patch(
        f"{path}/{allowed.json()['role']['id']}",
        {"permissions": [{"subject": "member", "action": ["edit"]}]},
        token=token,
    )

    assert (200, 403, 403) == (allowed.status_code, wider.status_code, changed.status_code)
    assert "PermissionBoundaryError" == wider.json()["error"]
    assert [{"action": "edit", "subject": "member"}] == changed.json()["details"]["missingPermissions"]


async def test_a_changed_role_holds_for_its_holders_at_once(any_api: Api) -> None:
    project_id = await project(any_api)
    made = await role(any_api, project_id, {"subject": "role", "action": ["read"]})
    _, token = await member(any_api, project_id, "reader")
    path = f"/api/v1/projects/{project_id}/roles"
    before = await any_api.get(path, token=token)

    await any_api.ok("PATCH", f"{path}/{made['id']}", {"permissions": []})
    after = await any_api.get(path, token=token)

    assert (200, 403) == (before.status_code, after.status_code)


async def test_a_role_that_somebody_holds_is_not_deleted(any_api: Api) -> None:
    project_id = await project(any_api)
    made = await role(any_api, project_id, READ_DEV)
    identity_id, _ = await member(any_api, project_id, "reader")
    path = f"/api/v1/projects/{project_id}/roles/{made['id']}"
    held = await any_api.delete(path)

    await any_api.ok("DELETE", f"/api/v1/projects/{project_id}/memberships/identities/{identity_id}")
    free = await any_api.delete(path)

    assert (400, 200) == (held.status_code, free.status_code)


async def test_the_default_role_of_an_organization_is_not_deleted_and_keeps_up_with_its_slug(any_api: Api) -> None:
    made = (
        await any_api.ok("POST", "/api/v1/organization/roles", {"slug": "starter", "name": "S", "permissions": []})
    )["role"]
    path = f"/api/v1/organization/roles/{made['id']}"
    await any_api.ok("PATCH", f"/api/v1/organization/{any_api.org_id}", {"defaultMembershipRoleSlug": "starter"})

    await any_api.ok("PATCH", path, {"slug": "beginner"})
    kept = (await any_api.ok("GET", f"/api/v1/organization/{any_api.org_id}"))["organization"]["defaultMembershipRole"]
    refused = await any_api.delete(path)

    assert ("beginner", 400) == (kept, refused.status_code)


async def test_a_taken_slug_is_refused(any_api: Api) -> None:
    project_id = await project(any_api)
    await role(any_api, project_id, READ_DEV)

    again = await any_api.post(
        f"/api/v2/workspace/{project_id}/roles", {"slug": "READER", "name": "x", "permissions": []}
    )

    assert 400 == again.status_code


async def test_unknown_operators_and_subjects_are_refused_with_all_faults(api: Api) -> None:
    project_id = await project(api)
    rules = [
        {"subject": "secrets", "action": ["fly"]},
        {"subject": "secrets", "action": ["read"], "conditions": {"environment": {"$regex": "x"}}},
    ]

    reply = await api.post(f"/api/v1/projects/{project_id}/roles", {"slug": "odd", "name": "x", "permissions": rules})

    assert 422 == reply.status_code
    assert 2 == len(reply.json()["message"])


async def test_a_role_beyond_the_caller_is_not_emptied_and_gets_no_other_slug(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    path = f"/api/v2/workspace/{vault.project_id}/roles"
    strong = {"slug": "strong", "name": "Strong", "permissions": [rule("delete", subject="workspace")]}
    weak = {"slug": "weak", "name": "Weak", "permissions": [rule("read", subject="tags")]}
    ids = {one["slug"]: (await any_api.ok("POST", path, one))["role"]["id"] for one in (strong, weak)}
    token = await vault.bot(rule("read", "edit", subject="role"), rule("read", subject="tags"))

    async def patch(which: str, **change: Any) -> int:
        return (await any_api.patch(f"{path}/{ids[which]}", change, token=token)).status_code

    assert [403, 403, 200] == [
        await patch("strong", permissions=[]),
        await patch("strong", slug="other"),
        await patch("strong", name="x"),
    ]
    assert [200, 200] == [await patch("weak", permissions=[]), await patch("weak", slug="other")]


async def test_who_may_assign_roles_by_slug_gives_no_role_such_a_slug(api: Api) -> None:
    vault = await Vault.new(api)
    path = f"/api/v2/workspace/{vault.project_id}/roles"
    made = await api.ok(
        "POST", path, {"slug": "boss", "name": "Boss", "permissions": [rule("delete", subject="workspace")]}
    )
    assigns = rule("assign-role", subject="identity", assignableRole={"$glob": "team-*"})
    token = await vault.bot(rule("edit", subject="role"), assigns)
    await api.ok("PATCH", f"/api/v1/organization/{api.org_id}", {"shouldUseNewPrivilegeSystem": True})

    assert 403 == (await api.patch(f"{path}/{made['role']['id']}", {"slug": "team-boss"}, token=token)).status_code
    assert 200 == (await api.patch(f"{path}/{made['role']['id']}", {"slug": "chief"}, token=token)).status_code


async def test_a_stored_faulty_pattern_grants_nothing_denies_everything_and_is_logged(
    any_api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    project_id = await project(any_api)
    roles = {"subject": "role", "action": ["read"]}
    granting = await role(any_api, project_id, READ_DEV, slug="granting")
    denying = await role(any_api, project_id, READ_DEV, slug="denying")
    pattern: dict[str, object] = {"secretPath": {"$glob": "/[private"}}
    stored: dict[str, dict[str, object]] = {
        granting["id"]: {"subject": "secrets", "action": ["read"], "conditions": pattern},
        denying["id"]: {"subject": "secrets", "action": ["read"], "conditions": pattern, "inverted": True},
    }
    async with any_api.runtime.store.write() as tx:  # as an older version stored them
        for id, rule_ in stored.items():
            record = await grants.role(tx, id)
            assert record is not None
            await grants.change_role(tx, record, permissions=(roles, rule_))
    _, granted = await member(any_api, project_id, "granting")
    _, denied = await member(any_api, project_id, "viewer", "denying")
    asked = {"projectId": project_id, "environment": "dev"}

    with caplog.at_level("WARNING", logger="watchword.access"):
        answers = [
            (await any_api.get(f"/api/v1/projects/{project_id}/roles", token=token)).status_code
            for token in (granted, denied)
        ]
        secrets = [
            (await any_api.get("/api/v4/secrets", query=asked, token=token)).status_code for token in (granted, denied)
        ]

    assert [200, 200] == answers
    assert [403, 403] == secrets
    assert {"role granting", "role denying"} == {getattr(one, "source", None) for one in caplog.records}
    assert "private" not in caplog.text
