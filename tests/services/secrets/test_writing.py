"""Writing secrets: all or nothing, versions, names, personal ones, limits."""

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from tests.api import Api
from tests.vault import Vault, rule
from watchword.services.secrets import writing

BATCH = "/api/v3/secrets/batch/raw"


def batch(vault: Vault, *items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"workspaceId": vault.project_id, "environment": "dev", "secrets": list(items), **more}


def item(key: str, value: str = "v", **more: Any) -> dict[str, Any]:
    return {"secretKey": key, "secretValue": value, **more}


async def test_a_name_is_taken_once_even_by_many_at_the_same_time(any_api: Api) -> None:
    vault = await Vault.new(any_api)

    replies = await asyncio.gather(*[vault.call("POST", "A", secretValue=str(i)) for i in range(10)])

    assert [200] + [400] * 9 == sorted(reply.status_code for reply in replies)


async def test_writers_of_one_secret_at_the_same_time_all_leave_a_version(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    made = await vault.put("A", "0")

    replies = await asyncio.gather(*[vault.call("PATCH", "A", secretValue=str(i)) for i in range(8)])

    assert [200] * 8 == [reply.status_code for reply in replies]
    assert 9 == (await vault.read("A"))["version"]
    found = await any_api.ok("GET", f"/api/v1/secret/{made['id']}/secret-versions", query={"offset": 0, "limit": 20})
    assert list(range(9, 0, -1)) == [one["version"] for one in found["secretVersions"]]


async def test_what_a_change_does_not_say_stays(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("t")
    before = await vault.put(
        "A",
        "v",
        secretComment="c",
        tagIds=[tag],
        skipMultilineEncoding=True,
        secretReminderNote="n",
        secretReminderRepeatDays=3,
        secretMetadata=[{"key": "k", "value": "x", "isEncrypted": True}],
    )

    after = await vault.change("A", secretComment="d")

    assert {**before, "secretComment": "d", "version": 2, "updatedAt": after["updatedAt"]} == after
    cleared = await vault.change(
        "A", secretComment="", tagIds=[], secretReminderNote=None, secretReminderRepeatDays=0, secretMetadata=[]
    )
    assert ("", [], None, None, []) == tuple(
        cleared[name]
        for name in ("secretComment", "tags", "secretReminderNote", "secretReminderRepeatDays", "secretMetadata")
    )
    assert "v" == cleared["secretValue"]


async def test_a_batch_is_all_or_nothing(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "a")

    assert 400 == (await any_api.post(BATCH, batch(vault, item("B"), item("A")))).status_code
    assert 400 == (await any_api.post(BATCH, batch(vault, item("C"), item("C")))).status_code
    assert 404 == (await any_api.patch(BATCH, batch(vault, item("A", "new"), item("NOPE")))).status_code
    assert 404 == (await any_api.delete(BATCH, batch(vault, item("A"), item("NOPE")))).status_code
    assert {"A": "a"} == await vault.values()


async def test_a_batch_of_changes_may_make_or_pass_over_what_is_missing(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "a")

    made = await any_api.ok("PATCH", BATCH, batch(vault, item("A", "2"), item("B", "b"), mode="upsert"))
    await any_api.ok("PATCH", BATCH, batch(vault, item("A", "3"), item("C", "c"), mode="ignore"))

    assert [("A", 2), ("B", 1)] == [(one["secretKey"], one["version"]) for one in made["secrets"]]
    assert {"A": "3", "B": "b"} == await vault.values()
    token = await vault.bot(rule("read", "edit", environment="dev"))
    assert 403 == (await any_api.patch(BATCH, batch(vault, item("Z"), mode="upsert"), token=token)).status_code


async def test_sizes_are_limited(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = await Vault.new(api)

    assert 200 == (await api.post(BATCH, batch(vault, *[item(f"K{i}") for i in range(500)]))).status_code
    assert 422 == (await api.post(BATCH, batch(vault, *[item(f"L{i}") for i in range(501)]))).status_code
    assert 422 == (await api.post(BATCH, batch(vault))).status_code
    assert 200 == (await vault.call("POST", "BIG", secretValue="x" * 1024 * 1024)).status_code
    assert 1024 * 1024 == len(await vault.value("BIG"))
    assert 422 == (await vault.call("POST", "BIGGER", secretValue="x" * 1024 * 1024 + "x")).status_code
    monkeypatch.setattr(writing, "MAX_IN_FOLDER", 501)
    assert 400 == (await vault.call("POST", "ONE_MORE", secretValue="v")).status_code


@pytest.mark.parametrize(
    "value",
    ["l1\nl2\r\nl3", "\x00\x01\x7f", "😀 \U0010ffff", '{"a": [1]}', "$${x", "'; DROP TABLE secrets; --", "a" * 20_000],
)
async def test_values_come_back_byte_for_byte(any_api: Api, value: str) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", value)

    assert value == await vault.value("A")


async def test_bad_input_is_refused_and_never_breaks(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "v")
    bad: list[dict[str, Any]] = [
        {"secretValue": 5},
        {"secretValue": None},
        {"secretValue": "v", "type": "weird"},
        {"secretValue": "v", "tagIds": "x"},
        {"secretValue": "v", "secretReminderNote": "\x00"},
        {"secretValue": "v", "secretReminderRepeatDays": 366},
        {"secretValue": "v", "secretMetadata": [{"value": "x"}]},
        {"secretValue": "v", "secretMetadata": {"a": 1}},
        {},
    ]

    codes = [(await vault.call("POST", "X", **one)).status_code for one in bad]

    assert [422] * len(bad) == codes
    assert 422 == (await vault.call("POST", "X", secretValue="v", tagIds=["\x00"])).status_code
    assert 422 == (await vault.call("POST", "X", secretValue="v", env="a\x00")).status_code
    assert (
        422
        == (await any_api.get("/api/v3/secrets/raw", query={"workspaceSlug": "\x00", "environment": "dev"})).status_code
    )
    assert [422] * 4 == [
        (await vault.call("PATCH", "A", newSecretName=name)).status_code for name in ("", "a b", "a/b", "..")
    ]
    for method, path in [
        ("GET", "/api/v3/secrets/raw/id/x"),
        ("GET", "/api/v1/secret/x/secret-versions?offset=0&limit=1"),
        ("GET", "/api/v1/secret-imports/x"),
        ("POST", "/api/v1/secret/x/rollback"),
    ]:
        assert 404 == (await any_api.request(method, path, {"version": 1} if method == "POST" else None)).status_code


async def test_references_follow_a_new_name(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/app")
    await vault.put("HOST", "h")
    await vault.put("HOST", "other", path="/app")
    await vault.put("LOCAL", "a ${HOST} ${dev.HOST}")
    await vault.put("FAR", "${dev.HOST} ${HOST} ${dev.app.HOST}", path="/app")
    await vault.put("PROD", "${dev.HOST}", env="prod")

    renamed = await vault.change("HOST", newSecretName="HOST_NAME")

    assert "a ${HOST_NAME} ${dev.HOST_NAME}" == await vault.value("LOCAL")
    assert "${dev.HOST_NAME} ${HOST} ${dev.app.HOST}" == await vault.value("FAR", path="/app")
    assert ("${dev.HOST_NAME}", 2) == (
        await vault.value("PROD", env="prod"),
        (await vault.read("PROD", env="prod"))["version"],
    )
    assert "h" == await vault.value("PROD", env="prod", expandSecretReferences=True)
    assert ("HOST_NAME", 2) == (renamed["secretKey"], renamed["version"])
    assert 400 == (await vault.call("PATCH", "LOCAL", newSecretName="HOST_NAME")).status_code


async def test_a_rename_needs_permission_for_the_old_name_and_the_new_one(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("APP_A", "v")
    await vault.put("DB", "v")
    token = await vault.bot(rule("read", "edit", secretName={"$glob": "APP_*"}))

    codes = [
        (await vault.call("PATCH", old, newSecretName=new, token=token)).status_code
        for old, new in [("APP_A", "DB_A"), ("DB", "APP_DB"), ("APP_A", "APP_B")]
    ]

    assert [403, 403, 200] == codes


async def test_nobody_tags_a_secret_into_its_own_reach_or_out_of_it(api: Api) -> None:
    vault = await Vault.new(api)
    mine, other = await vault.tag("mine"), await vault.tag("other")
    await vault.put("A", "v", tagIds=[mine])
    await vault.put("B", "v", tagIds=[other])
    token = await vault.bot(rule("read", "edit", "create", secretTags={"$in": ["mine"]}))

    assert 403 == (await vault.call("PATCH", "B", tagIds=[mine], token=token)).status_code
    assert 403 == (await vault.call("PATCH", "A", tagIds=[other], token=token)).status_code
    assert 403 == (await vault.call("POST", "C", secretValue="v", token=token)).status_code
    assert 200 == (await vault.call("POST", "C", secretValue="v", tagIds=[mine], token=token)).status_code


async def test_tags_are_added_and_taken_by_slug(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for slug in ("red", "blue"):
        await vault.tag(slug)
    await vault.put("A", "v")
    where = {
        "projectSlug": (await any_api.ok("GET", f"/api/v1/workspace/{vault.project_id}"))["workspace"]["slug"],
        "environment": "dev",
    }

    both = await any_api.ok("POST", "/api/v3/secrets/tags/A", {**where, "tagSlugs": ["red", "blue"]})
    one = await any_api.ok("DELETE", "/api/v3/secrets/tags/A", {**where, "tagSlugs": ["red"]})

    assert ({"red", "blue"}, {"blue"}) == tuple(
        {tag["slug"] for tag in reply["secret"]["tags"]} for reply in (both, one)
    )
    assert 404 == (await any_api.post("/api/v3/secrets/tags/A", {**where, "tagSlugs": ["nope"]})).status_code


async def test_a_person_overrides_a_shared_secret_for_itself_only(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    assert 400 == (await vault.call("POST", "A", secretValue="mine", type="personal")).status_code
    await vault.put("A", "shared")
    mine = await vault.put("A", "mine", type="personal")
    token = await vault.bot(rule("read", "create", environment="dev"))

    assert "shared" == await vault.value("A")
    assert "mine" == await vault.value("A", type="personal")
    assert ["shared", "mine"] == [one["secretValue"] for one in (await vault.every())["secrets"]]
    assert ["shared"] == [one["secretValue"] for one in (await vault.every(api="/api/v4/secrets"))["secrets"]]
    assert ["mine"] == [
        one["secretValue"]
        for one in (await vault.every(api="/api/v4/secrets", includePersonalOverrides=True))["secrets"]
    ]
    assert {"A": "shared"} == await vault.values(token=token)
    assert 404 == (await vault.call("GET", "A", token=token, type="personal")).status_code
    assert 404 == (await any_api.get(f"/api/v3/secrets/raw/id/{mine['id']}", token=token)).status_code
    assert 400 == (await vault.call("POST", "A", token=token, secretValue="x", type="personal")).status_code
    await vault.change("A", newSecretName="B")
    assert "mine" == await vault.value("B", type="personal")
    await vault.call("DELETE", "B")
    assert 404 == (await vault.call("GET", "B", type="personal")).status_code


async def test_versions_beyond_the_limit_are_forgotten(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    made = await vault.put("A", "1")
    for i in range(2, 14):
        await vault.change("A", secretValue=str(i))

    found = await any_api.ok("GET", f"/api/v1/secret/{made['id']}/secret-versions", query={"offset": 2, "limit": 3})

    assert ([11, 10, 9], 10) == ([one["version"] for one in found["secretVersions"]], found["totalCount"])
    assert ["11", "10", "9"] == [one["secretValue"] for one in found["secretVersions"]]
    assert "5" == await vault.value("A", version=5)
    assert 404 == (await vault.call("GET", "A", version=3)).status_code
    assert 404 == (await vault.call("GET", "A", version=99)).status_code


async def test_a_rollback_is_the_next_version(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("t")
    made = await vault.put("A", "first", secretComment="c1", tagIds=[tag])
    await vault.change("A", secretValue="second", secretComment="c2", tagIds=[], newSecretName="B")

    back = (await any_api.ok("POST", f"/api/v1/secret/{made['id']}/rollback", {"version": 1}))["secret"]

    assert ("first", "c1", 3, "B", ["t"]) == (
        back["secretValue"],
        back["secretComment"],
        back["version"],
        back["secretKey"],
        [one["slug"] for one in back["tags"]],
    )
    assert 404 == (await any_api.post(f"/api/v1/secret/{made['id']}/rollback", {"version": 9})).status_code


async def test_a_move_carries_value_history_and_personal_ones(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/to", env="prod")
    made = await vault.put("A", "1", secretComment="c")
    await vault.change("A", secretValue="2")
    await vault.put("A", "mine", type="personal")
    body = {
        "projectId": vault.project_id,
        "sourceEnvironment": "dev",
        "destinationEnvironment": "prod",
        "destinationSecretPath": "/to",
        "secretIds": [made["id"]],
    }

    reply = await any_api.ok("POST", "/api/v4/secrets/move", body)

    assert {"isSourceUpdated": True, "isDestinationUpdated": True} == reply
    assert {} == await vault.values()
    moved = await vault.read("A", env="prod", path="/to")
    assert (made["id"], "2", "c", 3) == (moved["id"], moved["secretValue"], moved["secretComment"], moved["version"])
    assert "1" == await vault.value("A", env="prod", path="/to", version=1)
    assert "mine" == await vault.value("A", env="prod", path="/to", type="personal")
    assert 404 == (await any_api.post("/api/v4/secrets/move", body)).status_code


async def test_a_move_onto_a_taken_name_needs_leave_to_overwrite(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    there = await vault.put("A", "old", env="prod")
    made = await vault.put("A", "new")
    body = {
        "workspaceId": vault.project_id,
        "sourceEnvironment": "dev",
        "destinationEnvironment": "prod",
        "secretIds": [made["id"]],
    }

    assert 400 == (await any_api.post("/api/v3/secrets/move", body)).status_code
    assert 200 == (await any_api.post("/api/v3/secrets/move", {**body, "shouldOverwrite": True})).status_code
    after = await vault.read("A", env="prod")
    assert (there["id"], "new", 2) == (after["id"], after["secretValue"], after["version"])
    assert 400 == (await any_api.post("/api/v3/secrets/move", {**body, "destinationEnvironment": "dev"})).status_code


async def test_a_move_needs_every_right_at_both_ends(api: Api) -> None:
    vault = await Vault.new(api)
    made = await vault.put("A", "new")
    body = {
        "workspaceId": vault.project_id,
        "sourceEnvironment": "dev",
        "destinationEnvironment": "prod",
        "secretIds": [made["id"]],
    }
    rules = [
        [rule("read", environment="dev"), rule("create", "edit", environment="prod")],
        [rule("delete", environment="dev"), rule("create", "edit", environment="prod")],
        [rule("read", "delete", environment="dev"), rule("edit", environment="prod")],
        [rule("read", "delete", environment="dev"), rule("create", environment="prod")],
    ]

    codes = [
        (await api.post("/api/v3/secrets/move", body, token=await vault.bot(*some, slug=f"role-{i}"))).status_code
        for i, some in enumerate(rules)
    ]

    assert [403, 403, 403, 200] == codes


async def test_search_finds_by_name_and_tag_across_folders(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("db")
    await vault.folder("/app")
    await vault.put("DB_HOST", "canary", tagIds=[tag])
    await vault.put("db_port", "canary", path="/app")
    await vault.put("OTHER", "canary", path="/app", tagIds=[tag])
    token = await vault.bot(rule("describeSecret", environment="dev", secretPath="/app"))
    url = f"/api/v1/projects/{vault.project_id}/secrets/search"

    async def found(**query: Any) -> list[tuple[str, str]]:
        reply = await any_api.get(url, token=query.pop("token", ""), query={"environment": "dev", **query})
        assert "canary" not in reply.text
        return [(one["secretPath"], one["secretKey"]) for one in reply.json()["secrets"]]

    assert [("/", "DB_HOST"), ("/app", "db_port")] == await found(name="db_")
    assert [("/", "DB_HOST"), ("/app", "OTHER")] == await found(tagSlugs="db")
    assert [("/app", "OTHER"), ("/app", "db_port")] == sorted(await found(token=token))
    assert [("/app", "db_port")] == await found(name="DB", secretPath="/app")
    assert [] == await found(name="%")
    assert 1 == len(await found(limit=1))


async def test_a_batch_may_give_a_name_to_another_that_the_one_before_gave_up(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    names = [f"N{i}" for i in range(8)]
    for name in names:
        await vault.put(name, f"value of {name}")

    renames = [{"secretKey": "N0", "newSecretName": "LAST"}]
    renames += [{"secretKey": later, "newSecretName": earlier} for earlier, later in pairwise(names)]
    reply = await any_api.patch(BATCH, batch(vault, *renames))

    assert 200 == reply.status_code, reply.text
    moved = {earlier: f"value of {later}" for earlier, later in pairwise(names)}
    assert {**moved, "LAST": "value of N0"} == await vault.values()


async def test_a_new_name_is_followed_as_a_change_of_each_secret_that_refers_to_it(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("HOST", "h")
    far = await vault.put("FAR", "${dev.HOST}", env="prod")

    await vault.change("HOST", newSecretName="NAME")

    trail = (await any_api.ok("GET", "/api/v1/organization/audit-logs", query={"projectId": vault.project_id}))[
        "auditLogs"
    ]
    told = [one["event"]["metadata"] for one in trail if one["event"]["type"] == "update-secret"]
    assert {
        "environment": "prod",
        "secretPath": "/",
        "secretId": far["id"],
        "secretKey": "FAR",
        "secretVersion": 2,
    } in told
    assert "${dev.HOST}" == await vault.value("FAR", env="prod", version=1)


async def test_a_name_that_secrets_refer_to_which_the_caller_may_not_edit_stays(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("HOST", "h")
    await vault.put("SEEN", "${dev.HOST}", env="prod")
    await vault.put("UNSEEN", "${dev.HOST}", env="staging")
    token = await vault.bot(
        rule("read", "create", "edit", "delete", environment="dev"), rule("describeSecret", environment="prod")
    )

    reply = await vault.call("PATCH", "HOST", newSecretName="NAME", token=token)

    assert 403 == reply.status_code
    assert "SEEN in prod:/" in reply.text and "UNSEEN" not in reply.text and "staging" not in reply.text
    assert [1, 1] == [
        (await vault.read(name, env=env))["version"] for name, env in (("SEEN", "prod"), ("UNSEEN", "staging"))
    ]
    assert "h" == await vault.value("HOST")
