"""Tags: one slug once in a project, a name of its own, the same by both paths."""

from tests.api import Api
from tests.building import UNKNOWN, member, project


async def test_a_tag_is_the_same_by_every_path_to_it(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    body = {"slug": "pci", "name": "Card data", "color": "#ff0000"}

    made = (await any_api.ok("POST", f"/api/v1/workspace/{project_id}/tags", body))["workspaceTag"]
    old, new = f"/api/v1/workspace/{project_id}/tags", f"/api/v1/projects/{project_id}/tags"
    found = [
        *(await any_api.ok("GET", old))["workspaceTags"],
        *(await any_api.ok("GET", new))["tags"],
        (await any_api.ok("GET", f"{old}/{made['id']}"))["workspaceTag"],
        (await any_api.ok("GET", f"{new}/{made['id']}"))["tag"],
        (await any_api.ok("GET", f"{old}/slug/pci"))["workspaceTag"],
        (await any_api.ok("GET", f"{new}/slug/pci"))["tag"],
    ]

    assert ("pci", "Card data", "#ff0000", "user") == (
        made["slug"],
        made["name"],
        made["color"],
        made["createdByActorType"],
    )
    assert [made] * 6 == found


async def test_a_name_stays_apart_from_the_slug_and_follows_it_where_none_was_given(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    path = f"/api/v1/projects/{project_id}/tags"
    named = (await any_api.ok("POST", path, {"slug": "one", "name": "One"}))["tag"]
    plain = (await any_api.ok("POST", path, {"slug": "two"}))["tag"]

    changed = [
        (await any_api.ok("PATCH", f"{path}/{tag['id']}", {"slug": f"new-{tag['slug']}"}))["tag"]
        for tag in (named, plain)
    ]

    assert [("new-one", "One"), ("new-two", "new-two")] == [(tag["slug"], tag["name"]) for tag in changed]
    assert "" == plain["color"]


async def test_a_slug_is_taken_once_in_a_project(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    path = f"/api/v1/workspace/{project_id}/tags"
    await any_api.ok("POST", path, {"slug": "one", "color": "red"})
    two = (await any_api.ok("POST", path, {"slug": "two", "color": "red"}))["workspaceTag"]

    replies = [
        await any_api.post(path, {"slug": "one", "color": "red"}),
        await any_api.patch(f"{path}/{two['id']}", {"slug": "one", "color": "red"}),
        await any_api.post(path, {"slug": "Not A Slug", "color": "red"}),
        await any_api.post(path, {"slug": "three"}),
        await any_api.patch(f"{path}/{two['id']}", {"slug": "three"}),
        await any_api.patch(f"/api/v1/projects/{project_id}/tags/{two['id']}", {}),
    ]

    assert [400, 400, 422, 422, 422, 400] == [reply.status_code for reply in replies]


async def test_a_deleted_tag_is_gone_and_its_slug_free(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    path = f"/api/v1/projects/{project_id}/tags"
    made = (await any_api.ok("POST", path, {"slug": "one"}))["tag"]

    await any_api.ok("DELETE", f"{path}/{made['id']}")
    gone = [
        await any_api.get(f"{path}/slug/one"),
        await any_api.delete(f"{path}/{made['id']}"),
        await any_api.patch(f"{path}/{UNKNOWN}", {"slug": "x"}),
    ]
    again = await any_api.post(path, {"slug": "one"})

    assert ([404] * 3, 200) == ([reply.status_code for reply in gone], again.status_code)


async def test_tags_of_another_project_are_not_found(api: Api) -> None:
    one, other = await project(api, "alpha"), await project(api, "beta")
    made = (await api.ok("POST", f"/api/v1/projects/{one['id']}/tags", {"slug": "one"}))["tag"]
    path = f"/api/v1/projects/{other['id']}/tags/{made['id']}"

    replies = [await api.get(path), await api.patch(path, {"slug": "x"}), await api.delete(path)]

    assert [404] * 3 == [reply.status_code for reply in replies]


async def test_a_viewer_reads_tags_and_changes_none(api: Api) -> None:
    project_id = (await project(api))["id"]
    token = await member(api, project_id, "viewer")
    path = f"/api/v1/projects/{project_id}/tags"

    replies = [
        await api.get(path, token=token),
        await api.post(path, {"slug": "x"}, token=token),
        await api.patch(f"{path}/{UNKNOWN}", {"slug": "x"}, token=token),
        await api.delete(f"{path}/{UNKNOWN}", token=token),
    ]

    assert [200, 403, 403, 403] == [reply.status_code for reply in replies]
