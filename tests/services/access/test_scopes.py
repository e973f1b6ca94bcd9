"""What is held is compiled once for all who hold the same, and again when it changes."""

from typing import Any

from tests.api import Api
from tests.services.access.test_roles import member, project, role
from watchword.services.access.scopes import Holding, holding


async def held(api: Api, project_id: str, identity_id: str) -> Holding:
    assert api.org_id is not None
    async with api.runtime.store.read() as tx:
        place: dict[str, Any] = {"org_id": api.org_id, "project_id": project_id}
        return await holding(tx, "identity", identity_id, **place, now=api.runtime.clock(), auth=None)


def rules(count: int, path: str = "") -> list[dict[str, Any]]:
    return [
        {"subject": "secrets", "action": ["edit"], "conditions": {"secretPath": {"$glob": f"/{number}{path}/**"}}}
        for number in range(count)
    ]


async def test_those_who_hold_the_same_large_role_share_its_compiled_rules_until_it_changes(api: Api) -> None:
    project_id = await project(api)
    large = await role(api, project_id, *rules(40), slug="large")
    await role(api, project_id, *rules(3), slug="small")
    first, _ = await member(api, project_id, "large")
    second, _ = await member(api, project_id, "large")
    third, _ = await member(api, project_id, "large", "small")

    before = [await held(api, project_id, id) for id in (first, second, third)]
    path = f"/api/v1/projects/{project_id}/roles/{large['id']}"
    await api.ok("PATCH", path, {"permissions": rules(40, "/changed")})
    after = [await held(api, project_id, id) for id in (first, second)]

    assert before[0].ability is before[1].ability
    assert before[0].ability is not before[2].ability
    assert before[0].grants[0] is before[2].grants[0]
    assert before[0].ability.rules[0] is before[2].ability.rules[0]
    assert after[0].ability is after[1].ability
    place = {"environment": "dev", "secretPath": "/7/other"}
    assert [True, False] == [one[0].ability.allows("edit", "secrets", place) for one in (before, after)]


async def test_rules_that_are_filled_from_the_holder_are_not_shared(api: Api) -> None:
    project_id = await project(api)
    await role(api, project_id, *rules(40), *rules(1, "/{{identity.id}}/x"), slug="own")
    first, _ = await member(api, project_id, "own")
    second, _ = await member(api, project_id, "own")

    one, other = [await held(api, project_id, id) for id in (first, second)]

    assert one.ability is not other.ability
    assert one.ability.rules[40].conditions != other.ability.rules[40].conditions
