"""Batches: every item goes to its own place, by its own right, and all of them are carried out or none."""

from typing import Any

import pytest

from tests.api import Api
from tests.vault import Vault, rule

BATCHES = ("/api/v3/secrets/batch/raw", "/api/v4/secrets/batch")


def batch(vault: Vault, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"workspaceId": vault.project_id, "environment": "dev", "secrets": list(items), **more}


def item(key: str, value: str = "v", **more: Any) -> dict[str, Any]:
    return {"secretKey": key, "secretValue": value, **more}


async def three_places(api: Api) -> Vault:
    """`A` in the root, in `/app`, and in the root of another environment, each with another value."""
    vault = await Vault.new(api)
    await vault.folder("/app")
    await vault.put("A", "root")
    await vault.put("A", "app", path="/app")
    await vault.put("A", "prod", env="prod")
    return vault


async def everywhere(vault: Vault) -> tuple[Any, Any, Any]:
    return await vault.values(), await vault.values(path="/app"), await vault.values(env="prod")


@pytest.mark.parametrize("path", BATCHES)
async def test_each_item_is_changed_in_its_own_place(any_api: Api, path: str) -> None:
    vault = await three_places(any_api)

    items = [item("A", "1", secretPath="/app/"), item("A", "2"), item("A", "3", environment="prod")]
    answer = await any_api.ok("PATCH", path, batch(vault, *items))

    assert ({"A": "2"}, {"A": "1"}, {"A": "3"}) == await everywhere(vault)
    found = [(one["environment"], one["secretPath"], one["secretValue"], one["version"]) for one in answer["secrets"]]
    assert [("dev", "/app", "1", 2), ("dev", "/", "2", 2), ("prod", "/", "3", 2)] == found


@pytest.mark.parametrize("path", BATCHES)
async def test_each_item_is_created_and_deleted_in_its_own_place(any_api: Api, path: str) -> None:
    vault = await three_places(any_api)

    items = [item("B", "1", secretPath="/app"), item("B", "2"), item("B", "3", environment="prod")]
    made = await any_api.ok("POST", path, batch(vault, *items))
    gone = await any_api.ok("DELETE", path, batch(vault, {"secretKey": "A"}, {"secretKey": "A", "secretPath": "/app"}))

    assert ({"B": "2"}, {"B": "1"}, {"A": "prod", "B": "3"}) == await everywhere(vault)
    assert ["/app", "/", "/"] == [one["secretPath"] for one in made["secrets"]]
    assert ["root", "app"] == [one["secretValue"] for one in gone["secrets"]]


@pytest.mark.parametrize("path", BATCHES)
async def test_an_upsert_makes_what_is_missing_where_the_item_says(any_api: Api, path: str) -> None:
    vault = await three_places(any_api)

    items = [item("A", "1", secretPath="/app"), item("N", "2", secretPath="/app"), item("N", "3")]
    await any_api.ok("PATCH", path, batch(vault, *items, mode="upsert"))

    assert ({"A": "root", "N": "3"}, {"A": "1", "N": "2"}, {"A": "prod"}) == await everywhere(vault)


@pytest.mark.parametrize("path", BATCHES)
@pytest.mark.parametrize("place", [{"secretPath": "/nowhere"}, {"environment": "nowhere"}])
async def test_an_unknown_place_is_404_and_nothing_is_changed(any_api: Api, path: str, place: dict[str, str]) -> None:
    vault = await three_places(any_api)
    before = await everywhere(vault)

    replies = [
        await any_api.patch(path, batch(vault, item("A", "x"), item("A", "y", **place))),
        await any_api.patch(path, batch(vault, item("A", "x"), item("A", "y", **place), mode="upsert")),
        await any_api.patch(path, batch(vault, item("A", "x"), item("A", "y", **place), mode="ignore")),
        await any_api.post(path, batch(vault, item("B", "x"), item("B", "y", **place))),
        await any_api.delete(path, batch(vault, {"secretKey": "A"}, {"secretKey": "A", **place})),
    ]

    assert [404] * 5 == [reply.status_code for reply in replies]
    assert before == await everywhere(vault)


@pytest.mark.parametrize("path", BATCHES)
async def test_each_item_needs_the_right_of_its_own_place(any_api: Api, path: str) -> None:
    vault = await three_places(any_api)
    before = await everywhere(vault)
    actions = ("describeSecret", "readValue", "create", "edit", "delete")
    token = await vault.bot(rule(*actions, environment="dev", secretPath="/"))

    replies = [
        await any_api.patch(path, batch(vault, item("A", "x"), item("A", "y", **place)), token=token)
        for place in ({"secretPath": "/app"}, {"environment": "prod"}, {"secretPath": "/nowhere"})
    ]
    replies += [
        await any_api.post(path, batch(vault, item("B"), item("B", secretPath="/app")), token=token),
        await any_api.delete(path, batch(vault, item("A"), item("A", environment="prod")), token=token),
    ]

    assert [403] * 5 == [reply.status_code for reply in replies]
    assert before == await everywhere(vault)
    assert 200 == (await any_api.patch(path, batch(vault, item("A", "x")), token=token)).status_code


@pytest.mark.parametrize("path", BATCHES)
async def test_one_secret_stands_once_in_a_batch(any_api: Api, path: str) -> None:
    vault = await three_places(any_api)
    before = await everywhere(vault)
    twice = [item("A", "1", secretPath="/app"), item(" A ", "2", secretPath="/app/")]

    replies = [
        await any_api.patch(path, batch(vault, *twice)),
        await any_api.patch(path, batch(vault, item("N"), item("N"), mode="ignore")),
        await any_api.patch(path, batch(vault, item("N"), item("N"), mode="upsert")),
        await any_api.post(path, batch(vault, item("N"), item("N"))),
        await any_api.delete(path, batch(vault, {"secretKey": "A"}, {"secretKey": "A"})),
    ]

    assert [400] * 5 == [reply.status_code for reply in replies]
    assert before == await everywhere(vault)


async def test_an_item_of_another_project_is_refused(any_api: Api) -> None:
    vault, other = await three_places(any_api), await Vault.new(any_api, "other")
    await other.put("A", "theirs")

    reply = await any_api.patch(BATCHES[1], batch(vault, item("A", "x", projectId=other.project_id)))

    assert (400, {"A": "theirs"}) == (reply.status_code, await other.values())
    path = await any_api.patch(BATCHES[1], batch(vault, item("A"), item("A", secretPath="/a/../b")))
    assert (422, ["secrets", 1, "secretPath"]) == (path.status_code, path.json()["message"][0]["path"])


async def test_secrets_of_a_batch_may_take_each_others_names(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for name in ("A", "B", "C", "D"):
        await vault.put(name, name.lower())
    await vault.put("USES", "${A} ${B} ${dev.C} ${D}")
    await vault.put("A", "own", type="personal")
    renames = [("A", "B"), ("B", "A"), ("C", "D"), ("D", "E")]

    items = [{"secretKey": old, "newSecretName": new} for old, new in renames]
    await any_api.ok("PATCH", BATCHES[0], batch(vault, *items))

    values = await vault.every()
    shared = {one["secretKey"]: one["secretValue"] for one in values["secrets"] if one["type"] == "shared"}
    assert {"A": "b", "B": "a", "D": "c", "E": "d", "USES": "${B} ${A} ${dev.D} ${E}"} == shared
    assert [("B", "own")] == [
        (one["secretKey"], one["secretValue"]) for one in values["secrets"] if one["type"] == "personal"
    ]
    versions = {one["secretKey"]: one["version"] for one in values["secrets"] if one["type"] == "shared"}
    assert {"A": 2, "B": 2, "D": 2, "E": 2, "USES": 2} == versions


@pytest.mark.parametrize(
    "items",
    [
        [{"secretKey": "A", "newSecretName": "B"}],
        [{"secretKey": "A", "newSecretName": "X"}, {"secretKey": "B", "newSecretName": "X"}],
        [{"secretKey": "A", "newSecretName": "N"}, {"secretKey": "N", "secretValue": "new"}],
    ],
)
async def test_two_secrets_never_get_one_name(any_api: Api, items: list[dict[str, Any]]) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "a")
    await vault.put("B", "b")

    items = [{"secretValue": "x", **one} for one in items]
    reply = await any_api.patch(BATCHES[0], batch(vault, *items, mode="upsert"))

    assert (400, {"A": "a", "B": "b"}) == (reply.status_code, await vault.values())


async def test_a_personal_secret_goes_along_when_its_shared_one_is_renamed_in_the_same_batch(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "shared")
    await vault.put("A", "own", type="personal")

    items = [{"secretKey": "A", "newSecretName": "B"}, item("A", "own 2", type="personal")]
    await any_api.ok("PATCH", BATCHES[0], batch(vault, *items))

    found = [(one["secretKey"], one["type"], one["secretValue"]) for one in (await vault.every())["secrets"]]
    assert [("B", "personal", "own 2"), ("B", "shared", "shared")] == sorted(found)


async def test_references_follow_names_that_change_in_several_places(any_api: Api) -> None:
    vault = await three_places(any_api)
    await vault.put("USES", "${A} ${prod.A} ${dev.app.A}", path="/app")

    items = [
        {"secretKey": "A", "secretPath": "/app", "newSecretName": "X"},
        {"secretKey": "A", "environment": "prod", "newSecretName": "Y"},
    ]
    await any_api.ok("PATCH", BATCHES[0], batch(vault, *items))

    assert "${X} ${prod.Y} ${dev.app.X}" == await vault.value("USES", path="/app")
    assert "app prod app" == await vault.value("USES", path="/app", expandSecretReferences=True)


async def test_the_audit_log_names_each_item_with_its_place(any_api: Api) -> None:
    vault = await three_places(any_api)

    await any_api.ok("PATCH", BATCHES[1], batch(vault, item("A", "1", secretPath="/app"), item("A"), mode="upsert"))

    trail = await any_api.ok(
        "GET", "/api/v1/organization/audit-logs", query={"projectId": vault.project_id, "eventType": "update-secrets"}
    )
    told = [one["event"]["metadata"] for one in trail["auditLogs"]]
    places = [(one["environment"], one["secretPath"], [it["secretKey"] for it in one["secrets"]]) for one in told]
    assert [("dev", "/", ["A"]), ("dev", "/app", ["A"])] == sorted(places)


async def test_a_reference_is_judged_where_its_item_goes(any_api: Api) -> None:
    vault = await three_places(any_api)
    await vault.put("HIDDEN", "h", path="/app")
    token = await vault.bot(
        rule("describeSecret", "readValue", "create", "edit", environment="dev"),
        rule("readValue", environment="dev", secretName="HIDDEN", inverted=True),
    )

    into_app = item("N", "${HIDDEN}", secretPath="/app")
    assert 403 == (await any_api.post(BATCHES[0], batch(vault, into_app), token=token)).status_code
    assert 200 == (await any_api.post(BATCHES[0], batch(vault, item("N", "${HIDDEN}")), token=token)).status_code
