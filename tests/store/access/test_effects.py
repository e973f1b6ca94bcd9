"""Everybody by name, in windows: whatever is sought, each is found once and in order, on both engines."""

import pytest

from tests.api import Api
from tests.services.access.test_roles import project
from tests.services.people.test_groups import group
from watchword.store.access import effects
from watchword.store.access.effects import Wanted


async def names(api: Api, **wanted: object) -> list[str]:
    """The names that are found, window by window."""
    found: list[str] = []
    after: tuple[str, str] | None = None
    async with api.runtime.store.read() as tx:
        for _ in range(100):
            asked = Wanted(
                org_id=api.org_id,
                kind="identity",
                homes=[api.org_id],
                now=1,
                after=after,
                limit=3,
                **wanted,  # type: ignore[arg-type]
            )
            rows, after = await effects.listed(tx, asked)
            found += [row.name for row in rows]
            if after is None:
                return found
    raise AssertionError("the list has no end")


@pytest.mark.parametrize("window", [1, 2, 5, 1000])
async def test_the_same_are_found_in_the_same_order_whatever_the_window(
    any_api: Api, monkeypatch: pytest.MonkeyPatch, window: int
) -> None:
    monkeypatch.setattr(effects, "_WINDOW", window)
    project_id, group_id = await project(any_api), await group(any_api)
    path = f"/api/v1/projects/{project_id}/memberships/identities"
    for number in range(9):
        identity = (await any_api.identity(name=f"bot-{number}"))["id"]
        if number in (1, 5):
            await any_api.ok("POST", f"{path}/{identity}", {"role": "viewer"})
        if number == 7:
            await any_api.ok("POST", f"/api/v1/groups/{group_id}/machine-identities/{identity}")
    await any_api.ok("POST", f"/api/v2/workspace/{project_id}/groups/{group_id}", {"role": "admin"})

    every = [f"bot-{number}" for number in range(9)]
    assert [name for name in await names(any_api) if name.startswith("bot-")] == every
    assert await names(any_api, contains="BOT-3") == ["bot-3"]
    assert await names(any_api, projects=[project_id]) == ["bot-1", "bot-5", "bot-7"]
    assert await names(any_api, projects=[project_id], built_in=["admin"]) == ["bot-7"]
    assert await names(any_api, projects=[project_id], built_in=[]) == []
    async with any_api.runtime.store.read() as tx:
        wanted = Wanted(
            org_id=any_api.org_id, kind="identity", homes=[any_api.org_id], now=1, projects=[project_id], limit=3
        )
        few = await effects.known(tx, wanted)
        monkeypatch.setattr(effects, "MOST_KNOWN", 2)
        assert await effects.known(tx, wanted) is None
    assert few is not None and len(few) == 3
    assert await names(any_api, projects=[project_id], known=few) == ["bot-1", "bot-5", "bot-7"]
    assert await names(any_api, projects=[project_id], known=few, built_in=["viewer"]) == ["bot-1", "bot-5"]
