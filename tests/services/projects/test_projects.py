"""Projects: what a new one has, who sees it, what protects it, and what goes with it."""

import pytest

from tests.api import Api
from tests.building import UNKNOWN, member, project


async def test_a_new_project_has_three_environments_and_its_maker_as_administrator(any_api: Api) -> None:
    _, token = await any_api.bot("member")

    made = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Billing API"}, token=token))["project"]
    mine = (await any_api.ok("GET", "/api/v1/projects", token=token, query={"includeRoles": "true"}))["projects"]

    assert ["dev", "staging", "prod"] == [one["slug"] for one in made["environments"]]
    assert "billing-api-" == made["slug"][:-4]
    assert [(made["id"], ["admin"])] == [(one["id"], [role["role"] for role in one["roles"]]) for one in mine]


async def test_a_project_can_be_made_without_environments(api: Api) -> None:
    made = await project(api, shouldCreateDefaultEnvs=False, hasDeleteProtection=True, projectDescription="for tests")

    assert [] == made["environments"]
    assert (True, "for tests", "secret-manager") == (made["hasDeleteProtection"], made["description"], made["type"])


async def test_a_slug_is_taken_once_in_an_organization_and_free_in_another(any_api: Api) -> None:
    await project(any_api, "alpha")
    _, other = await any_api.organization()

    again = await any_api.post("/api/v2/workspace", {"projectName": "x", "slug": "alpha-app"})
    elsewhere = await any_api.post("/api/v2/workspace", {"projectName": "x", "slug": "alpha-app"}, token=other)
    beta = await project(any_api, "beta")
    renamed = await any_api.patch(f"/api/v1/projects/{beta['id']}", {"slug": "alpha-app"})

    assert (400, 200, 400) == (again.status_code, elsewhere.status_code, renamed.status_code)


async def test_a_project_is_the_same_by_every_path_to_it(api: Api) -> None:
    made = await project(api)

    wrapped = [
        (await api.ok("GET", f"/api/v1/projects/{made['id']}"))["project"],
        (await api.ok("GET", f"/api/v1/workspace/{made['id']}"))["workspace"],
    ]
    bare = [
        await api.ok("GET", path)
        for path in (
            "/api/v1/projects/slug/alpha-app",
            "/api/v1/workspace/slug/alpha-app",
            "/api/v2/workspace/alpha-app",
        )
    ]

    assert [made] * 5 == wrapped + bare


async def test_a_slug_stands_for_its_project_as_soon_as_it_is_given(any_api: Api) -> None:
    made = await project(any_api)
    await any_api.ok("GET", "/api/v2/workspace/alpha-app")

    await any_api.ok("PATCH", f"/api/v1/projects/{made['id']}", {"slug": "renamed"})
    old = await any_api.get("/api/v2/workspace/alpha-app")
    new = await any_api.get("/api/v2/workspace/renamed")

    assert (404, 200) == (old.status_code, new.status_code)


async def test_an_organization_admin_who_is_no_member_does_not_get_in(api: Api) -> None:
    made = await project(api)
    _, admin = await api.bot("admin")

    replies = [
        await api.get(f"/api/v1/projects/{made['id']}", token=admin),
        await api.get("/api/v2/workspace/alpha-app", token=admin),
        await api.delete(f"/api/v1/workspace/{made['id']}", token=admin),
    ]
    listed = await api.ok("GET", f"/api/v2/organizations/{api.org_id}/workspaces", token=admin)

    assert [403, 403, 403] == [reply.status_code for reply in replies]
    assert {"workspaces": []} == listed


async def test_another_organization_does_not_find_a_project(api: Api) -> None:
    made = await project(api)
    _, other = await api.organization()

    by_id = await api.get(f"/api/v1/projects/{made['id']}", token=other)
    by_slug = await api.get("/api/v2/workspace/alpha-app", token=other)

    assert (404, 404) == (by_id.status_code, by_slug.status_code)


async def test_a_developer_changes_settings_but_not_what_guards_the_project(api: Api) -> None:
    made = await project(api)
    token = await member(api, made["id"], "member")
    path = f"/api/v1/projects/{made['id']}"

    renamed = await api.patch(path, {"name": "Gamma"}, token=token)
    guarded = [
        await api.patch(path, {"hasDeleteProtection": False}, token=token),
        await api.patch(path, {"pitVersionLimit": 1}, token=token),
        await api.request("PUT", f"{path}/audit-logs-retention", {"auditLogsRetentionDays": 1}, token=token),
        await api.delete(path, token=token),
    ]

    assert ("Gamma", [403] * 4) == (renamed.json()["project"]["name"], [reply.status_code for reply in guarded])


async def test_an_empty_change_is_refused(api: Api) -> None:
    made = await project(api)

    reply = await api.patch(f"/api/v1/workspace/{made['id']}", {})

    assert 400 == reply.status_code


async def test_a_protected_project_is_not_deleted_by_any_path(api: Api) -> None:
    made = await project(api, hasDeleteProtection=True)
    paths = (f"/api/v1/projects/{made['id']}", f"/api/v1/workspace/{made['id']}", "/api/v2/workspace/alpha-app")

    refused = [(await api.delete(path)).status_code for path in paths]
    await api.ok("PATCH", paths[0], {"hasDeleteProtection": False})
    deleted = await api.delete(paths[2])

    assert ([400] * 3, 200) == (refused, deleted.status_code)


async def test_with_a_project_go_its_own_identities_and_their_tokens(any_api: Api) -> None:
    made = await project(any_api)
    path = f"/api/v1/projects/{made['id']}"
    identity = (await any_api.ok("POST", f"{path}/identities", {"name": "inner", "role": "viewer"}))["identity"]
    token = await any_api.login(await any_api.universal(identity["id"]))
    before = await any_api.get(path, token=token)

    await any_api.ok("DELETE", path)
    after = await any_api.get(path, token=token)
    gone = await any_api.get(f"/api/v1/identities/{identity['id']}")

    assert (200, 401, 404) == (before.status_code, after.status_code, gone.status_code)


async def test_a_protected_identity_keeps_its_project_from_deletion(api: Api) -> None:
    made = await project(api)
    body = {"name": "inner", "role": "viewer", "hasDeleteProtection": True}
    await api.ok("POST", f"/api/v1/projects/{made['id']}/identities", body)

    reply = await api.delete(f"/api/v1/projects/{made['id']}")

    assert 400 == reply.status_code


async def test_a_deleted_project_is_gone_and_its_slug_free(any_api: Api) -> None:
    made = await project(any_api)
    await any_api.ok("GET", f"/api/v1/workspace/{made['id']}")

    await any_api.ok("DELETE", f"/api/v1/workspace/{made['id']}")
    gone = await any_api.get("/api/v2/workspace/alpha-app")
    again = await project(any_api)

    assert (404, True) == (gone.status_code, again["id"] != made["id"])


async def test_old_settings_routes_change_what_they_name(api: Api) -> None:
    made = await project(api)
    by_id, by_slug = f"/api/v1/workspace/{made['id']}", "/api/v1/workspace/alpha-app"

    await api.ok("POST", f"{by_id}/name", {"name": "third"})
    await api.ok("POST", f"{by_id}/auto-capitalization", {"autoCapitalization": False})
    await api.ok("PUT", f"{by_slug}/version-limit", {"pitVersionLimit": 7})
    changed = (await api.ok("PUT", f"{by_slug}/audit-logs-retention", {"auditLogsRetentionDays": 30}))["workspace"]

    assert ("third", False, 7, 30) == (
        changed["name"],
        changed["autoCapitalization"],
        changed["pitVersionLimit"],
        changed["auditLogsRetentionDays"],
    )


async def test_a_person_reads_what_they_may_do_as_packed_rules(api: Api) -> None:
    made = await project(api)

    data = (await api.ok("GET", f"/api/v1/workspace/{made['id']}/permissions"))["data"]
    _, identity_token = await api.bot("admin")
    refused = await api.get(f"/api/v1/workspace/{made['id']}/permissions", token=identity_token)

    assert ["edit,delete", "workspace"] in data["permissions"]
    assert (["admin"], 403) == ([role["role"] for role in data["membership"]["roles"]], refused.status_code)


async def test_unknown_projects_are_refused_and_never_an_error(api: Api) -> None:
    paths = [
        f"/api/v1/workspace/{UNKNOWN}",
        "/api/v1/workspace/not-a-uuid",
        "/api/v1/projects/%E2%82%AC",
        "/api/v2/workspace/nope-nope",
    ]

    found = [(await api.get(path)).status_code for path in paths]

    assert {403, 404}.issuperset(found)


@pytest.mark.parametrize("field", ["kmsKeyId", "organizationSlug"])
async def test_a_project_is_not_made_with_an_option_that_would_be_ignored(api: Api, field: str) -> None:
    refused = await api.post("/api/v2/workspace", {"projectName": "P", field: "elsewhere"})

    assert (422, [field]) == (refused.status_code, refused.json()["message"][0]["path"])
    for nothing in ("", None):
        assert 200 == (await api.post("/api/v2/workspace", {"projectName": "P", field: nothing})).status_code


async def test_a_project_may_name_the_organization_that_it_is_made_in(api: Api) -> None:
    slug = (await api.ok("GET", "/api/v1/organization"))["organizations"][0]["slug"]

    assert 200 == (await api.post("/api/v2/workspace", {"projectName": "P", "organizationSlug": slug})).status_code
