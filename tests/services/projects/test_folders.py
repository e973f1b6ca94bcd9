"""Folders: made with their parents, moved with their content, and asked about where they are."""

import asyncio

import pytest

from tests.api import Api
from tests.building import UNKNOWN, folder, member, names, project


async def test_a_folder_is_made_with_its_parents_and_only_once(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]

    deep = await folder(any_api, project_id, "deep", "/made/on/the/way")
    again = await folder(any_api, project_id, "deep", "made/on/the/way/", description="ignored, it is there")

    assert (deep, "/made/on/the/way/deep") == (again, deep["path"])
    assert ["/made", "/made/on", "/made/on/the", "/made/on/the/way", "/made/on/the/way/deep"] == await names(
        any_api, project_id, recursive="True"
    )
    assert ["/made"] == await names(any_api, project_id)


async def test_one_folder_comes_of_many_requests_at_once(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]

    made = await asyncio.gather(*[folder(any_api, project_id, "leaf", "/a/b") for _ in range(8)])

    assert 1 == len({one["id"] for one in made})


@pytest.mark.parametrize("name", ["", "bad name", "a/b", "dot.name", "..", "é", "n" * 256])
async def test_a_folder_cannot_be_called_anything(api: Api, name: str) -> None:
    made = await project(api)
    inner = await folder(api, made["id"], "app")
    body = {"workspaceId": made["id"], "environment": "dev", "name": name}

    created = await api.post("/api/v1/folders", body)
    renamed = await api.patch(f"/api/v1/folders/{inner['id']}", body)

    assert (422, 422) == (created.status_code, renamed.status_code)


async def test_renaming_a_folder_moves_all_below_it_and_nothing_beside_it(any_api: Api) -> None:
    made = await project(any_api)
    app = await folder(any_api, made["id"], "app")
    for name, path in (
        ("db", "/app"),
        ("replica", "/app/db"),
        ("app2", "/"),
        ("inner", "/app2"),
        ("a_p", "/"),
        ("inner", "/a_p"),
    ):
        await folder(any_api, made["id"], name, path)
    body = {"projectId": made["id"], "environment": "dev", "name": "core", "path": "/"}

    changed = (await any_api.ok("PATCH", f"/api/v2/folders/{app['id']}", body))["folder"]
    read = (await any_api.ok("GET", f"/api/v2/folders/{app['id']}"))["folder"]

    assert ("core", "/core", 2) == (changed["name"], changed["path"], changed["version"])
    assert ("/core", "dev", made["id"]) == (read["path"], read["environment"]["envSlug"], read["projectId"])
    assert ["/a_p", "/a_p/inner", "/app2", "/app2/inner", "/core", "/core/db", "/core/db/replica"] == sorted(
        await names(any_api, made["id"], recursive="true")
    )


async def test_a_name_is_taken_once_in_a_folder(any_api: Api) -> None:
    made = await project(any_api)
    await folder(any_api, made["id"], "app")
    other = await folder(any_api, made["id"], "other")
    path, body = f"/api/v2/folders/{other['id']}", {"projectId": made["id"], "environment": "dev"}

    taken = await any_api.patch(path, {**body, "name": "app"})
    same = await any_api.patch(path, {**body, "name": "other", "description": "described"})

    assert (400, 200, "described") == (taken.status_code, same.status_code, same.json()["folder"]["description"])


async def test_several_folders_are_renamed_or_none(any_api: Api) -> None:
    made = await project(any_api)
    one, two = await folder(any_api, made["id"], "one"), await folder(any_api, made["id"], "two", "/one")
    renames = [
        {"id": one["id"], "environment": "dev", "name": "uno"},
        {"id": two["id"], "environment": "dev", "path": "/uno", "name": "due"},
    ]

    refused = await any_api.patch(
        "/api/v1/folders/batch", {"projectSlug": "alpha-app", "folders": [renames[0], {**renames[1], "path": "/one"}]}
    )
    before = await names(any_api, made["id"], recursive="true")
    done = await any_api.ok("PATCH", "/api/v2/folders/batch", {"projectSlug": "alpha-app", "folders": renames})

    assert (404, ["/one", "/one/two"]) == (refused.status_code, before)
    assert ["/uno", "/uno/due"] == [folder["path"] for folder in done["folders"]]


async def test_a_name_that_no_folder_may_have_is_named_where_it_was_sent(api: Api) -> None:
    made = await project(api)
    one = await folder(api, made["id"], "one")
    good, bad = ({"id": one["id"], "environment": "dev", "name": name} for name in ("uno", "d u e"))
    astray = {**good, "path": "/a/../b"}

    batches = [
        await api.patch("/api/v2/folders/batch", {"projectSlug": "alpha-app", "folders": [good, one]})
        for one in (bad, astray)
    ]
    alone = await api.patch(f"/api/v2/folders/{one['id']}", {"projectId": made["id"], **bad})

    paths = [reply.json()["message"][0]["path"] for reply in (*batches, alone)]
    assert [["folders", 1, "name"], ["folders", 1, "path"], ["name"]] == paths


async def test_a_folder_that_is_not_empty_goes_only_when_that_is_said(any_api: Api) -> None:
    made = await project(any_api)
    app = await folder(any_api, made["id"], "app")
    await folder(any_api, made["id"], "db", "/app")
    body = {"projectId": made["id"], "environment": "dev", "path": "/"}

    kept = await any_api.delete(f"/api/v2/folders/{app['id']}", body)
    forced = await any_api.delete(f"/api/v2/folders/{app['id']}", {**body, "forceDelete": True})
    await folder(any_api, made["id"], "db", "/app")
    older = await any_api.delete("/api/v1/folders/app", {"workspaceId": made["id"], "environment": "dev"})

    assert (400, 200, 200) == (kept.status_code, forced.status_code, older.status_code)
    assert [] == await names(any_api, made["id"], recursive="true")


async def test_a_folder_is_deleted_in_the_place_that_is_named(api: Api) -> None:
    made = await project(api)
    await folder(api, made["id"], "app")
    inner = await folder(api, made["id"], "app", "/app")
    where = {"workspaceId": made["id"], "environment": "dev"}

    elsewhere = await api.delete(f"/api/v1/folders/{inner['id']}", where)
    as_the_cli_does = await api.delete("/api/v1/folders/app", {**where, "folderName": "app", "directory": "/app"})
    again = await api.delete("/api/v1/folders/app", {**where, "directory": "/app"})

    assert (404, inner["id"], 404) == (elsewhere.status_code, as_the_cli_does.json()["folder"]["id"], again.status_code)


async def test_the_root_is_neither_renamed_nor_deleted(api: Api) -> None:
    made = await project(api)
    root = (await folder(api, made["id"], "app"))["parentId"]
    body = {"workspaceId": made["id"], "environment": "dev", "name": "x"}

    replies = [await api.patch(f"/api/v1/folders/{root}", body), await api.delete(f"/api/v1/folders/{root}", body)]

    assert [404, 404] == [reply.status_code for reply in replies]


async def test_listing_takes_the_place_under_either_name(api: Api) -> None:
    made = await project(api)
    await folder(api, made["id"], "db", "/app")
    where = {"workspaceId": made["id"], "environment": "dev"}

    found = [
        (await api.ok("GET", "/api/v1/folders/", query={**where, **place}))["folders"]
        for place in ({"path": "/app"}, {"directory": "/app"}, {"path": "", "directory": "app/"})
    ]
    unknown = await api.ok("GET", "/api/v1/folders", query={**where, "path": "/nope"})
    elsewhere = await api.get("/api/v1/folders", query={**where, "environment": "nope"})

    assert [["db"]] * 3 == [[one["name"] for one in folders] for folders in found]
    assert ({"folders": []}, 404) == (unknown, elsewhere.status_code)


async def test_odd_paths_are_refused_by_every_route(api: Api) -> None:
    made = await project(api)
    where = {"workspaceId": made["id"], "environment": "dev", "name": "x", "path": "/app/../secret"}

    replies = [
        await api.post("/api/v1/folders", where),
        await api.get("/api/v1/folders", query=where),
        await api.patch(f"/api/v1/folders/{UNKNOWN}", where),
        await api.delete("/api/v1/folders/x", where),
        await api.get("/api/v2/folders", query={**where, "projectId": made["id"]}),
    ]

    assert [422] * 5 == [reply.status_code for reply in replies]


RULES = [
    {
        "subject": "secret-folders",
        "action": ["read", "create", "edit", "delete"],
        "conditions": {"environment": "dev", "secretPath": {"$glob": "/app/**"}},
    },
]


async def test_a_rule_about_folders_holds_for_the_folder_they_are_in(api: Api) -> None:
    made = await project(api)
    secret = await folder(api, made["id"], "secret")
    inner = await folder(api, made["id"], "db", "/app")
    token = await member(api, made["id"], "app-only", rules=RULES)
    inside = {"projectId": made["id"], "environment": "dev", "path": "/app", "name": "cache"}
    outbound, other = {**inside, "path": "/"}, {**inside, "environment": "prod"}

    allowed = [
        await api.post("/api/v2/folders", inside, token=token),
        await api.get("/api/v2/folders", query=inside, token=token),
        await api.get(f"/api/v2/folders/{inner['id']}", token=token),
        await api.patch(f"/api/v2/folders/{inner['id']}", {**inside, "name": "db2"}, token=token),
        await api.delete(f"/api/v2/folders/{inner['id']}", inside, token=token),
    ]
    refused = [
        await api.post("/api/v2/folders", outbound, token=token),
        await api.post("/api/v2/folders", other, token=token),
        await api.get("/api/v2/folders", query=outbound, token=token),
        await api.get(f"/api/v2/folders/{secret['id']}", token=token),
        await api.patch(f"/api/v2/folders/{secret['id']}", outbound, token=token),
        await api.delete("/api/v2/folders/secret", outbound, token=token),
        # The place that is named is the place that counts: a folder elsewhere is not reached through one that is
        # allowed.
        await api.delete(f"/api/v2/folders/{secret['id']}", inside, token=token),
    ]
    seen = [
        one["path"]
        for one in (await api.ok("GET", "/api/v2/folders", query={**outbound, "recursive": "true"}, token=token))[
            "folders"
        ]
    ]

    assert [200] * 5 == [reply.status_code for reply in allowed]
    assert [403] * 6 + [404] == [reply.status_code for reply in refused]
    assert ["/app/cache"] == seen


async def test_roles_that_know_no_folders_are_asked_about_secrets(api: Api) -> None:
    made = await project(api)
    rules = [{"subject": "secrets", "action": ["create"], "conditions": {"environment": "dev"}}]
    token = await member(api, made["id"], "old-style", rules=rules)

    dev = await api.post("/api/v1/folders", {"workspaceId": made["id"], "environment": "dev", "name": "x"}, token=token)
    prod = await api.post(
        "/api/v1/folders", {"workspaceId": made["id"], "environment": "prod", "name": "x"}, token=token
    )

    assert (200, 403) == (dev.status_code, prod.status_code)


async def test_the_older_routes_show_folders_to_every_member_and_to_nobody_else(api: Api) -> None:
    made = await project(api)
    inner = await folder(api, made["id"], "app")
    inside = await member(api, made["id"], "no-access")
    _, outbound = await api.bot("admin")
    where = {"workspaceId": made["id"], "environment": "dev"}

    shown = [
        await api.get("/api/v1/folders", query=where, token=inside),
        await api.get(f"/api/v1/folders/{inner['id']}", token=inside),
    ]
    hidden = [
        await api.get("/api/v1/folders", query=where, token=outbound),
        await api.get(f"/api/v1/folders/{inner['id']}", token=outbound),
        await api.get(f"/api/v2/folders/{inner['id']}", token=inside),
        await api.get("/api/v2/folders", query={**where, "projectId": made["id"]}, token=inside),
    ]

    assert ([200] * 2, [403] * 4) == ([reply.status_code for reply in shown], [reply.status_code for reply in hidden])


async def test_a_deep_folder_keeps_its_parents_from_getting_too_long_a_name(api: Api) -> None:
    made = await project(api)
    top = await folder(api, made["id"], "t")
    path = "/t"
    for _ in range(3):
        path = (await folder(api, made["id"], "d" * 250, path))["path"]
    await folder(api, made["id"], "d" * 200, path)

    reply = await api.patch(
        f"/api/v2/folders/{top['id']}", {"projectId": made["id"], "environment": "dev", "name": "t" * 250}
    )

    assert 400 == reply.status_code


async def test_unknown_folders_are_not_found(api: Api) -> None:
    made = await project(api)
    where = {"workspaceId": made["id"], "environment": "dev", "name": "x"}

    replies = [
        await api.get(f"/api/v1/folders/{UNKNOWN}"),
        await api.get("/api/v1/folders/not-a-uuid"),
        await api.patch(f"/api/v1/folders/{UNKNOWN}", where),
        await api.delete("/api/v1/folders/nope", where),
        await api.post("/api/v1/folders", {**where, "environment": "nope"}),
    ]

    assert [404] * 5 == [reply.status_code for reply in replies]
