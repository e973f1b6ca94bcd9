"""Environments: their order, their slugs, and what deleting and restoring one does."""

import asyncio
from typing import Any

from tests.api import Api
from tests.building import folder, member, names, project
from watchword.services.projects import environments


async def order(api: Api, project_id: str) -> list[str]:
    found = (await api.ok("GET", f"/api/v1/workspace/{project_id}"))["workspace"]["environments"]
    return [one["slug"] for one in found]


async def add(api: Api, project_id: str, slug: str, **body: Any) -> dict[str, Any]:
    given = {"name": slug.upper(), "slug": slug, **body}
    return (await api.ok("POST", f"/api/v1/workspace/{project_id}/environments", given))["environment"]


async def test_a_new_environment_comes_last_or_where_it_was_put(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]

    last = await add(any_api, project_id, "qa")
    first = await add(any_api, project_id, "first", position=1)
    far = await add(any_api, project_id, "far", position=99)

    assert (4, 1, 6) == (last["position"], first["position"], far["position"])
    assert ["first", "dev", "staging", "prod", "qa", "far"] == await order(any_api, project_id)


async def test_moving_an_environment_shifts_those_between(any_api: Api) -> None:
    made = await project(any_api)
    path = f"/api/v1/projects/{made['id']}/environments"
    await add(any_api, made["id"], "qa")
    dev, prod = made["environments"][0]["id"], made["environments"][2]["id"]

    await any_api.ok("PATCH", f"{path}/{dev}", {"position": 3})
    down = await order(any_api, made["id"])
    await any_api.ok("PATCH", f"{path}/{prod}", {"position": 1})
    up = await order(any_api, made["id"])

    assert ["staging", "prod", "dev", "qa"] == down
    assert ["prod", "staging", "dev", "qa"] == up


async def test_position_zero_is_as_good_as_none(api: Api) -> None:
    made = await project(api)
    prod = made["environments"][2]["id"]

    changed = await api.ok(
        "PATCH", f"/api/v1/workspace/{made['id']}/environments/{prod}", {"name": "Live", "slug": "prod", "position": 0}
    )

    assert ("Live", 3) == (changed["environment"]["name"], changed["environment"]["position"])


async def test_environments_made_at_once_all_get_positions_of_their_own(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]

    made = await asyncio.gather(*[add(any_api, project_id, f"e{n}") for n in range(8)])

    assert list(range(4, 12)) == sorted(one["position"] for one in made)


async def test_a_slug_is_taken_once_in_a_project(any_api: Api) -> None:
    made = await project(any_api)
    path = f"/api/v1/workspace/{made['id']}/environments"

    again = await any_api.post(path, {"name": "x", "slug": "dev"})
    renamed = await any_api.patch(f"{path}/{made['environments'][1]['id']}", {"slug": "dev"})
    malformed = await any_api.post(path, {"name": "x", "slug": "Bad Slug"})
    empty = await any_api.patch(f"{path}/{made['environments'][1]['id']}", {})

    assert (400, 400, 422, 400) == (again.status_code, renamed.status_code, malformed.status_code, empty.status_code)
    assert ["dev", "staging", "prod"] == await order(any_api, made["id"])


async def test_an_environment_is_found_by_id_and_by_slug_in_its_own_project_only(api: Api) -> None:
    made, other = await project(api, "alpha"), await project(api, "beta")
    dev = made["environments"][0]["id"]

    found = [
        (await api.ok("GET", f"/api/v1/workspace/environments/{dev}"))["environment"],
        (await api.ok("GET", f"/api/v1/workspace/{made['id']}/environments/{dev}"))["environment"],
        (await api.ok("GET", f"/api/v1/projects/{made['id']}/environments/{dev}"))["environment"],
        await api.ok("GET", f"/api/v1/projects/{made['id']}/environments/slug/dev"),
    ]
    elsewhere = [
        await api.get(f"/api/v1/workspace/{other['id']}/environments/{dev}"),
        await api.delete(f"/api/v1/workspace/{other['id']}/environments/{dev}"),
        await api.get(f"/api/v1/projects/{made['id']}/environments/slug/nope"),
        await api.get(f"/api/v1/workspace/{made['id']}/environments/dev"),
    ]

    assert [found[0]] * 4 == found
    assert [404] * 4 == [reply.status_code for reply in elsewhere]


async def test_a_deleted_environment_is_out_of_reach_and_comes_back_whole(any_api: Api) -> None:
    made = await project(any_api)
    dev, path = made["environments"][0]["id"], f"/api/v1/projects/{made['id']}/environments"
    inner = await folder(any_api, made["id"], "app")

    await any_api.ok("DELETE", f"{path}/{dev}")
    gone = [
        await any_api.get(f"{path}/{dev}"),
        await any_api.delete(f"{path}/{dev}"),
        await any_api.get(f"/api/v2/folders/{inner['id']}"),
        await any_api.get("/api/v2/folders", query={"projectId": made["id"], "environment": "dev"}),
    ]
    left = await order(any_api, made["id"])
    await any_api.ok("POST", f"{path}/{dev}/restore")

    assert ([404] * 4, ["staging", "prod"]) == ([reply.status_code for reply in gone], left)
    assert (["dev", "staging", "prod"], ["/app"]) == (
        await order(any_api, made["id"]),
        await names(any_api, made["id"]),
    )


async def test_the_slug_of_a_deleted_environment_is_free_and_then_it_cannot_come_back(any_api: Api) -> None:
    made = await project(any_api)
    dev, path = made["environments"][0]["id"], f"/api/v1/projects/{made['id']}/environments"
    await any_api.ok("DELETE", f"{path}/{dev}")

    await add(any_api, made["id"], "dev")
    refused = await any_api.post(f"{path}/{dev}/restore")
    living = await any_api.post(f"{path}/{made['environments'][1]['id']}/restore")

    assert (400, 400) == (refused.status_code, living.status_code)


async def test_deleted_for_good_is_for_good_and_closes_the_gap(any_api: Api) -> None:
    made = await project(any_api)
    dev, path = made["environments"][0]["id"], f"/api/v1/projects/{made['id']}/environments"

    await any_api.ok("DELETE", f"{path}/{dev}", query={"hardDelete": "true"})
    restored = await any_api.post(f"{path}/{dev}/restore")
    prod = await any_api.ok("GET", f"{path}/slug/prod")

    assert (404, 2) == (restored.status_code, prod["position"])


async def test_positions_count_what_is_there_and_a_restored_environment_comes_back_to_its_own(any_api: Api) -> None:
    made = await project(any_api)
    path = f"/api/v1/projects/{made['id']}/environments"
    dev, staging = (one["id"] for one in made["environments"][:2])

    async def positions() -> dict[str, int]:
        shown = await any_api.ok("GET", f"/api/v1/projects/{made['id']}")
        slugs = [one["slug"] for one in shown["project"]["environments"]]
        return {slug: (await any_api.ok("GET", f"{path}/slug/{slug}"))["position"] for slug in slugs}

    await any_api.ok("DELETE", f"{path}/{staging}")
    left = await positions()
    new = await add(any_api, made["id"], "new")
    moved = await any_api.ok("PATCH", f"{path}/{dev}", {"position": 2})
    await any_api.ok("POST", f"{path}/{staging}/restore")

    assert ({"dev": 1, "prod": 2}, 3, 2) == (left, new["position"], moved["environment"]["position"])
    assert {"prod": 1, "staging": 2, "dev": 3, "new": 4} == await positions()
    await any_api.ok("DELETE", f"{path}/{staging}")
    await any_api.ok("DELETE", f"{path}/{staging}", query={"hardDelete": "true"})
    assert {"prod": 1, "dev": 2, "new": 3} == await positions()


async def test_the_purge_removes_what_was_deleted_before_and_nothing_else(any_api: Api) -> None:
    made = await project(any_api)
    path = f"/api/v1/projects/{made['id']}/environments"
    dev, staging, _ = (one["id"] for one in made["environments"])
    await any_api.ok("DELETE", f"{path}/{dev}")
    any_api.clock.forward(60)
    await any_api.ok("DELETE", f"{path}/{staging}")

    async with any_api.runtime.store.write() as tx:
        count = await environments.purge(tx, any_api.clock() - 30_000, 100)
    restored = [(await any_api.post(f"{path}/{one}/restore")).status_code for one in (dev, staging)]

    assert (1, [404, 200]) == (count, restored)


async def test_who_may_not_change_environments_is_refused_before_anything_is_looked_up(api: Api) -> None:
    made = await project(api)
    token = await member(api, made["id"], "viewer")
    path = f"/api/v1/workspace/{made['id']}/environments"

    replies = [
        await api.post(path, {"name": "x", "slug": "dev"}, token=token),
        await api.patch(f"{path}/unknown", {"name": "x"}, token=token),
        await api.delete(f"{path}/unknown", token=token),
        await api.post(path.replace("workspace", "projects") + "/unknown/restore", token=token),
    ]
    read = await api.get(f"{path}/{made['environments'][0]['id']}", token=token)

    assert ([403] * 4, 200) == ([reply.status_code for reply in replies], read.status_code)
