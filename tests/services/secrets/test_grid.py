"""The grid of a folder, asked as the console asks."""

from typing import Any

import msgspec
import pytest

from tests import building
from tests.api import Api
from watchword.domain.actor import Actor
from watchword.domain.errors import NotFound, PermissionDenied
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer
from watchword.services.context import Ctx
from watchword.services.secrets import grid
from watchword.services.secrets.grid import Grid, GridRequest


async def looked(api: Api, token: str, project_id: str, **wanted: Any) -> Grid:
    ctx = Ctx(api.runtime)
    ctx.actor = await authenticate_bearer(ctx, token, VerifiedTokens(api.runtime.keys, 100))
    assert isinstance(ctx.actor, Actor)
    return await grid.look(ctx, GridRequest(project_id=project_id, **wanted))


async def put(api: Api, project_id: str, key: str, value: str, environment: str, **more: Any) -> None:
    body = {"projectId": project_id, "environment": environment, "secretPath": "/", "secretValue": value, **more}
    await api.ok("POST", f"/api/v4/secrets/{key}", body)


def states(seen: Grid) -> dict[str, list[tuple[str, str, bool]]]:
    return {row.key: [(cell.state, cell.same_as, cell.differs) for cell in row.cells] for row in seen.rows}


async def test_values_are_compared_with_the_first_that_the_caller_may_read(any_api: Api) -> None:
    made = await building.project(any_api)
    for environment, value in (("staging", "a"), ("prod", "a")):
        await put(any_api, made["id"], "LATE", value, environment)
    for environment, value in (("dev", "a"), ("staging", "b"), ("prod", "a")):
        await put(any_api, made["id"], "ODD", value, environment)
    seen = await looked(any_api, any_api.token, made["id"])
    assert states(seen) == {
        "LATE": [("missing", "", False), ("value", "", False), ("value", "staging", False)],
        "ODD": [("value", "", False), ("value", "", True), ("value", "dev", False)],
    }
    assert all(cell.secret is None or b"a" != cell.secret.value for row in seen.rows for cell in row.cells)


async def test_a_value_that_may_not_be_read_is_compared_with_none(api: Api) -> None:
    made = await building.project(api)
    for environment in ("dev", "staging", "prod"):
        await put(api, made["id"], "TOKEN", "a", environment)
    rules: list[dict[str, Any]] = [
        {"subject": "secrets", "action": ["describeSecret"]},
        {"subject": "secrets", "action": ["readValue"], "conditions": {"environment": {"$in": ["staging"]}}},
    ]
    token = await building.member(api, made["id"], "some", rules=rules)
    seen = await looked(api, token, made["id"])
    assert states(seen)["TOKEN"] == [("named", "", False), ("value", "", False), ("named", "", False)]


async def test_a_rule_about_names_hides_what_it_does_not_name(api: Api) -> None:
    made = await building.project(api)
    await put(api, made["id"], "OPEN", "a", "dev")
    await put(api, made["id"], "CLOSED", "a", "dev")
    rules = [
        {
            "subject": "secrets",
            "action": ["describeSecret", "readValue"],
            "conditions": {"environment": "dev", "secretName": "OPEN"},
        }
    ]
    token = await building.member(api, made["id"], "some", rules=rules)
    seen = await looked(api, token, made["id"])
    assert states(seen) == {"OPEN": [("value", "", False), ("hidden", "", False), ("hidden", "", False)]}


async def test_a_folder_that_is_nowhere_is_not_found_and_one_out_of_reach_is_refused(api: Api) -> None:
    made = await building.project(api)
    await building.folder(api, made["id"], "here", environment="staging")
    with pytest.raises(NotFound):
        await looked(api, api.token, made["id"], path="/nowhere")
    token = await building.member(api, made["id"], "none", rules=[])
    for path in ("/here", "/nowhere"):
        with pytest.raises(PermissionDenied):
            await looked(api, token, made["id"], path=path)


async def test_a_folder_that_one_environment_lacks_is_absent_there(api: Api) -> None:
    made = await building.project(api)
    await building.folder(api, made["id"], "here", environment="staging")
    await put(api, made["id"], "TOKEN", "a", "staging", secretPath="/here")
    seen = await looked(api, api.token, made["id"], path="/here")
    assert [cell.state for cell in seen.rows[0].cells] == ["absent", "value", "absent"]


async def test_only_a_value_that_is_one_reference_and_nothing_else_is_shown_as_one(api: Api) -> None:
    made = await building.project(api)
    values = {"A": "${dev.TOKEN}", "B": "x${dev.TOKEN}", "C": "${dev.TOKEN}y}", "D": "$${dev.TOKEN}", "E": "${!}"}
    for key, value in {"TOKEN": "t", **values, "F": "${TOKEN:-secret}"}.items():
        await put(api, made["id"], key, value, "dev")
    seen = await looked(api, api.token, made["id"])
    shown = {row.key: row.cells[0].reference for row in seen.rows if row.cells[0].reference}
    assert shown == {"A": "${dev.TOKEN}"}


async def test_pages_and_names_are_cut_out_of_the_whole(api: Api) -> None:
    made = await building.project(api)
    for key in ("A", "B", "C"):
        await put(api, made["id"], key, "x", "dev")
    seen = await looked(api, api.token, made["id"], offset=1, limit=1)
    assert (seen.total, [row.key for row in seen.rows]) == (3, ["B"])
    assert [row.key for row in (await looked(api, api.token, made["id"], name="C")).rows] == ["C"]
    assert (await looked(api, api.token, made["id"], differing=True, limit=2)).total == 3
    assert msgspec.structs.asdict(seen)["path"] == "/"
