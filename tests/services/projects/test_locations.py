"""Paths in their one form, and places found as they are at this moment."""

import pytest

from tests.api import Api
from tests.building import folder, project
from watchword.domain.errors import Invalid
from watchword.services.context import Ctx
from watchword.services.projects import locations


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("", "/"),
        ("/", "/"),
        ("app", "/app"),
        ("/app", "/app"),
        ("/app/", "/app"),
        (" /app/db ", "/app/db"),
        ("/a.b/...", "/a.b/..."),
        ("/**", "/**"),
    ],
)
def test_a_path_has_one_form(given: str, normal: str) -> None:
    assert normal == locations.normal_path(given)


@pytest.mark.parametrize(
    "odd",
    [
        "..",
        "/..",
        "/app/..",
        "/app/../db",
        "./app",
        "/app/.",
        "//",
        "//app",
        "/app//db",
        "/app//",
        "/%2e%2e/app",
        "/app%2fdb",
        "/app%00",
        "\\app",
        "/app\\..\\db",
        "/app\x00",
        "/ap\np",
        "/" + "a" * 1_000,
    ],
)
def test_what_could_mean_another_place_is_refused_and_named(odd: str) -> None:
    with pytest.raises(Invalid) as refused:
        locations.normal_path(odd, "path")

    assert [("path",)] == [issue.path for issue in refused.value.issues]


def test_parents_and_children_of_paths() -> None:
    assert ("/", "/", "/a") == (locations.parent_path("/"), locations.parent_path("/a"), locations.parent_path("/a/b"))
    assert ("/a", "/a/b") == (locations.child_path("/", "a"), locations.child_path("/a", "b"))


async def test_a_place_is_found_as_it_is_when_the_request_began(any_api: Api) -> None:
    made = await project(any_api)
    missing = await locations.find(Ctx(any_api.runtime), made["id"], "dev", "/app")
    inner = await folder(any_api, made["id"], "app")

    found = await locations.find(Ctx(any_api.runtime), made["id"], "dev", "/app")
    again = await locations.by_folder(Ctx(any_api.runtime), inner["id"])
    await any_api.ok(
        "DELETE", f"/api/v2/folders/{inner['id']}", {"projectId": made["id"], "environment": "dev", "path": "/"}
    )
    gone = [
        await locations.find(Ctx(any_api.runtime), made["id"], "dev", "/app"),
        await locations.by_folder(Ctx(any_api.runtime), inner["id"]),
    ]

    assert found is not None
    assert (None, inner["id"], "dev", found, [None, None]) == (
        missing,
        found.folder.id,
        found.environment.slug,
        again,
        gone,
    )


async def test_a_path_is_made_once_with_all_its_parents(any_api: Api) -> None:
    made = await project(any_api)
    environment = await locations.environment(Ctx(any_api.runtime), made["id"], "dev")

    async def make(path: str) -> str:
        ctx = Ctx(any_api.runtime)
        ctx.public("a test")
        async with ctx.unit() as tx:
            return (await locations.make_path(ctx, tx, made["id"], environment, path)).id

    deep, again, parent, root = [await make(path) for path in ("/a/b/c", "/a/b/c", "/a/b", "/")]
    place = await locations.find(Ctx(any_api.runtime), made["id"], "dev", "/a/b/c")

    assert place is not None
    assert (deep, parent) == (again, place.folder.parent_id)
    assert root not in (deep, parent)
