"""What a reader gets, and what is kept from it."""

import gc
from typing import Any

import pytest
from sqlalchemy import select

from tests.api import Api
from tests.vault import RAW, Vault, rule
from watchword.domain.secrets.texts import HIDDEN
from watchword.services.secrets import folder_cache
from watchword.store import schema
from watchword.store.cache import ConsistentReads
from watchword.store.secrets import secrets

V4 = "/api/v4/secrets"


async def test_what_is_written_is_read_back_whole(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("blue")
    written = await vault.put(
        "KEY",
        "välue\n",
        secretComment="why",
        tagIds=[tag],
        skipMultilineEncoding=True,
        secretReminderNote="note",
        secretReminderRepeatDays=7,
        secretMetadata=[{"key": "a", "value": "b"}, {"key": "c", "value": "d", "isEncrypted": True}],
    )

    read = await vault.read("KEY")

    assert written == read
    assert ("välue\n", "why", 1, False) == (
        read["secretValue"],
        read["secretComment"],
        read["version"],
        read["secretValueHidden"],
    )
    assert [{"id": tag, "slug": "blue", "color": "#fff", "name": "blue"}] == read["tags"]
    assert [("a", "b", False), ("c", "d", True)] == [
        (one["key"], one["value"], one["isEncrypted"]) for one in read["secretMetadata"]
    ]
    assert read == (await vault.every())["secrets"][0]
    assert read == (await any_api.ok("GET", f"/api/v3/secrets/raw/id/{read['id']}"))["secret"]
    assert read == (await any_api.ok("GET", f"/api/v4/secrets/id/{read['id']}"))["secret"]
    assert read == (await vault.read("KEY", api=V4))


async def test_names_are_told_apart_by_case_and_not_by_unicode_form(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("U\u0308NI", "v")

    assert "v" == await vault.value("\u00dcNI")
    assert 404 == (await vault.call("GET", "\u00fcni")).status_code


@pytest.mark.parametrize("place", [{"path": "/nope"}, {"env": "nope"}])
@pytest.mark.parametrize("more", [{}, {"recursive": True}, {"include_imports": True}, {"tagSlugs": "t"}])
async def test_a_list_of_an_unknown_environment_or_folder_is_404(
    api: Api, place: dict[str, str], more: dict[str, Any]
) -> None:
    vault = await Vault.new(api)

    replies = [await vault.call("GET", api=version, **place, **more) for version in (RAW, V4)]

    assert [404, 404] == [reply.status_code for reply in replies]
    asked = place.get("path", "/"), place.get("env", "dev")
    message = f"Folder with path '{asked[0]}' in environment with slug '{asked[1]}' not found"
    assert {message} == {reply.json()["message"] for reply in replies}


@pytest.mark.parametrize("place", [{"path": "/nope"}, {"environment": "nope"}])
async def test_what_else_is_asked_of_an_unknown_place_is_404(api: Api, place: dict[str, str]) -> None:
    vault = await Vault.new(api)
    where = {"workspaceId": vault.project_id, "environment": "dev", "path": "/", **place}
    search = {"environment": where["environment"], "secretPath": where["path"]}

    replies = [
        await api.get("/api/v1/secret-imports", query=where),
        await api.get("/api/v1/secret-imports/secrets/raw", query=where),
        await api.get(f"/api/v1/projects/{vault.project_id}/secrets/search", query=search),
        await api.get(f"/api/v1/projects/{vault.project_id}/secrets/export", query=search),
        await vault.call("GET", "A", env=where["environment"], path=where["path"]),
        await vault.call("GET", "A", env=where["environment"], path=where["path"], include_imports=True),
    ]

    assert [404] * 6 == [reply.status_code for reply in replies]


@pytest.mark.parametrize("path", ["/../x", "//", "/a//b", "/a/%2e%2e", "/a\\b", "/./a", "/a/\x00"])
async def test_paths_that_could_mean_another_place_are_refused(api: Api, path: str) -> None:
    vault = await Vault.new(api)

    assert 422 == (await vault.call("GET", path=path)).status_code
    assert 422 == (await vault.call("GET", "X", path=path)).status_code
    assert 422 == (await vault.call("POST", "X", path=path, secretValue="v")).status_code


async def test_a_project_is_named_by_id_or_slug_and_the_empty_one_does_not_count(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("A", "1")
    slug = (await api.ok("GET", f"/api/v1/workspace/{vault.project_id}"))["workspace"]["slug"]

    for query in (
        {"workspaceId": "", "workspaceSlug": slug},
        {"workspaceId": vault.project_id, "workspaceSlug": ""},
        {"projectSlug": slug},
    ):
        reply = await api.ok("GET", "/api/v3/secrets/raw", query={**query, "environment": "dev"})
        assert 1 == len(reply["secrets"])
    assert 400 == (await api.get("/api/v3/secrets/raw", query={"environment": "dev"})).status_code
    assert 400 == (await api.get("/api/v3/secrets/raw", query={"workspaceId": vault.project_id})).status_code
    assert (
        404 == (await api.get("/api/v3/secrets/raw", query={"workspaceSlug": "nope", "environment": "dev"})).status_code
    )


async def test_recursion_follows_folders_and_not_prefixes(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for path in ("/app", "/app/deep", "/app2"):
        await vault.folder(path)
        await vault.put(path.replace("/", "_"), "v", path=path)

    found = (await vault.every(path="/app", recursive=True))["secrets"]

    assert [("/app", "_app"), ("/app/deep", "_app_deep")] == [(one["secretPath"], one["secretKey"]) for one in found]


async def test_a_filter_by_tags_takes_any_of_them_and_one_by_metadata_takes_all(api: Api) -> None:
    vault = await Vault.new(api)
    red, blue = await vault.tag("red"), await vault.tag("blue")
    await vault.put(
        "R", "v", tagIds=[red], secretMetadata=[{"key": "team", "value": "a"}, {"key": "tier", "value": "1"}]
    )
    await vault.put("B", "v", tagIds=[blue], secretMetadata=[{"key": "team", "value": "a"}])
    await vault.put("N", "v")

    assert {"R", "B"} == set(await vault.values(tagSlugs="red, blue"))
    assert {"R"} == set(await vault.values(tagSlugs="red"))
    assert {"R", "B"} == set(await vault.values(metadataFilter="key=team,value=a"))
    assert {"R"} == set(await vault.values(metadataFilter="key=team,value=a|key=tier"))
    assert {"R"} == set(await vault.values(metadataFilter="value=1"))
    assert 422 == (await vault.call("GET", metadataFilter="team")).status_code


async def test_who_may_only_describe_sees_that_a_secret_is_there(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put(
        "A", "canary", secretComment="c", secretMetadata=[{"key": "k", "value": "canary", "isEncrypted": True}]
    )
    token = await vault.bot(rule("describeSecret", environment="dev"))

    assert 403 == (await vault.call("GET", "A", token=token)).status_code
    one = await vault.read("A", token=token, viewSecretValue=False)
    listed = (await vault.every(token=token))["secrets"][0]

    for seen in (one, listed):
        assert (HIDDEN, True, "c") == (seen["secretValue"], seen["secretValueHidden"], seen["secretComment"])
        assert [HIDDEN] == [item["value"] for item in seen["secretMetadata"]]
    assert "canary" not in (await vault.call("GET", token=token)).text


async def test_who_may_write_and_not_read_does_not_get_values_back(api: Api) -> None:
    vault = await Vault.new(api)
    token = await vault.bot(rule("describeSecret", "create", "edit", "delete", environment="dev"))

    made = await vault.put("A", "canary", token=token)
    changed = await vault.change("A", secretComment="x", token=token)
    gone = (await vault.call("DELETE", "A", token=token)).json()["secret"]

    assert [HIDDEN] * 3 == [one["secretValue"] for one in (made, changed, gone)]


async def test_rules_on_names_and_tags_decide_secret_by_secret(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("public")
    await vault.put("APP_A", "a")
    await vault.put("DB_PASS", "p")
    await vault.put("OPEN", "o", tagIds=[tag])
    token = await vault.bot(
        rule("readValue", "describeSecret", secretName={"$glob": "APP_*"}),
        rule("describeSecret", "readValue", secretTags={"$in": ["public"]}),
    )

    assert {"APP_A": "a", "OPEN": "o"} == await vault.values(token=token)
    assert [200, 403, 200] == [
        (await vault.call("GET", name, token=token)).status_code for name in ("APP_A", "DB_PASS", "OPEN")
    ]


async def test_values_that_may_not_be_read_are_hidden_in_their_places_and_left_out_of_folders_below(
    any_api: Api,
) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/app")
    for name in ("A", "DB_1", "B", "DB_2", "C"):
        await vault.put(name, name.lower())
        await vault.put(name, f"{name.lower()} below", path="/app")
    reads_some = rule("readValue", secretName={"$glob": "DB_*"}) | {"inverted": True}
    token = await vault.bot(rule("describeSecret", "readValue", environment="dev"), reads_some)

    found = (await vault.every(token=token, recursive=True))["secrets"]

    assert [("A", "a"), ("B", "b"), ("C", "c"), ("DB_1", HIDDEN), ("DB_2", HIDDEN)] == [
        (one["secretKey"], one["secretValue"]) for one in found if one["secretPath"] == "/"
    ]
    assert [("A", "a below"), ("B", "b below"), ("C", "c below")] == [
        (one["secretKey"], one["secretValue"]) for one in found if one["secretPath"] == "/app"
    ]
    assert [name.startswith("DB_") for name in ("A", "B", "C", "DB_1", "DB_2")] == [
        one["secretValueHidden"] for one in found[:5]
    ]


async def test_who_may_see_no_secret_of_a_name_does_not_learn_whether_there_is_one(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("DB_PASS", "p")
    token = await vault.bot(rule("readValue", "describeSecret", secretName={"$glob": "APP_*"}))

    codes = [(await vault.call("GET", name, token=token)).status_code for name in ("APP_NOPE", "DB_NOPE", "DB_PASS")]

    assert [404, 403, 403] == codes


async def test_a_place_where_nothing_may_be_seen_is_refused_and_left_out_of_recursion(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.folder("/app")
    await vault.put("ROOT", "r")
    await vault.put("APP", "a", path="/app")
    token = await vault.bot(rule("read", environment="dev", secretPath="/app"))

    assert 403 == (await vault.call("GET", token=token)).status_code
    assert 403 == (await vault.call("GET", env="prod", token=token)).status_code
    assert {"APP": "a"} == await vault.values(token=token, recursive=True)


async def test_a_stranger_to_the_project_sees_nothing(api: Api) -> None:
    vault = await Vault.new(api)
    made = await vault.put("A", "v")
    _, token = await api.bot("admin")

    assert 403 == (await vault.call("GET", "A", token=token)).status_code
    assert 403 == (await vault.call("GET", token=token)).status_code
    assert 404 == (await api.get(f"/api/v3/secrets/raw/id/{made['id']}", token=token)).status_code


async def test_a_change_is_seen_by_the_next_read(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("old")
    await vault.put("A", "1", tagIds=[tag])
    await vault.value("A")

    await vault.change("A", secretValue="2")
    assert "2" == await vault.value("A")
    await any_api.ok("PATCH", f"/api/v1/workspace/{vault.project_id}/tags/{tag}", {"slug": "new", "color": "#000"})
    assert ["new"] == [one["slug"] for one in (await vault.read("A"))["tags"]]
    await vault.call("DELETE", "A")
    assert 404 == (await vault.call("GET", "A")).status_code


@pytest.fixture
def small_shelves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders of more than three secrets are too large to keep."""
    monkeypatch.setattr(folder_cache, "WHOLE_COUNT", 3)


async def test_a_large_folder_answers_as_a_small_one_does(any_api: Api, small_shelves: Any) -> None:
    vault = await Vault.new(any_api)
    items = [{"secretKey": f"K{i}", "secretValue": f"v{i} ${{K0}}" if i else "zero"} for i in range(8)]
    body = {"workspaceId": vault.project_id, "environment": "dev", "secrets": items}
    await any_api.ok("POST", "/api/v3/secrets/batch/raw", body)
    await vault.folder("/other")
    await vault.link("/", path="/other")

    assert "v3 ${K0}" == await vault.value("K3")
    assert "v3 zero" == await vault.value("K3", expandSecretReferences=True)
    assert "v3 zero" == await vault.value("K3", path="/other", include_imports=True, expandSecretReferences=True)
    assert 8 == len(await vault.values())
    assert "v7 zero" == (await vault.values(expandSecretReferences=True))["K7"]
    await vault.change("K3", secretValue="new")
    assert "new" == await vault.value("K3")
    assert "new" == (await vault.values())["K3"]


async def test_a_large_folder_is_read_once_for_lists_and_never_for_one_secret(
    any_api: Api, small_shelves: Any, monkeypatch: Any
) -> None:
    vault = await Vault.new(any_api)
    tag = await vault.tag("old")
    for name in ("A", "B", "C", "D", "E"):
        await vault.put(name, name.lower(), tagIds=[tag])
    reads, in_folders = 0, secrets.in_folders

    async def counted(tx: Any, folder_ids: Any, pauses: Any) -> Any:
        nonlocal reads
        reads += 1
        return await in_folders(tx, folder_ids, pauses)

    monkeypatch.setattr(secrets, "in_folders", counted)

    by_name = [await vault.value("A"), (await vault.call("GET", "NOPE")).status_code, reads]
    lists = [len(await vault.values()), len(await vault.values()), await vault.value("B"), reads]
    await any_api.ok("PATCH", f"/api/v1/workspace/{vault.project_id}/tags/{tag}", {"slug": "new", "color": "#000"})
    after = [{one["tags"][0]["slug"] for one in (await vault.every())["secrets"]}, reads]

    assert (["a", 404, 0], [5, 5, "b", 1], [{"new"}, 2]) == (by_name, lists, after)


async def test_a_folder_too_large_to_keep_is_read_for_each_list(
    any_api: Api, small_shelves: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(folder_cache, "LISTED_BYTES", 100)
    vault = await Vault.new(any_api)
    for name in ("A", "B", "C", "D"):
        await vault.put(name, name.lower())

    before = await vault.values()
    await vault.change("B", secretValue="new")

    assert ({"A": "a", "B": "b", "C": "c", "D": "d"}, "new") == (before, (await vault.values())["B"])
    assert 404 == (await vault.call("GET", "NOPE")).status_code


async def test_answers_that_did_not_change_have_the_same_etag(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("A", "1")
    first = await vault.call("GET")

    query = {"workspaceId": vault.project_id, "environment": "dev", "secretPath": "/", "projectId": vault.project_id}
    again = await api.get("/api/v3/secrets/raw", query=query, headers={"if-none-match": first.headers["etag"]})

    assert (304, b"") == (again.status_code, again.content)


async def test_reads_are_audited_without_values(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("A", "canary-value")
    await vault.value("A")
    await vault.every()
    await api.runtime.journal.close()

    async with api.runtime.store.read() as tx:
        rows = await tx.all(
            select(schema.audit_events.c.event, schema.audit_events.c.metadata).where(
                schema.audit_events.c.project_id == vault.project_id
            )
        )

    assert {"create-secret", "get-secret", "get-secrets"} <= {row[0] for row in rows}
    assert not any("canary-value" in row[1] for row in rows)


async def test_secrets_that_are_kept_are_nothing_to_the_garbage_collector(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "value")
    await vault.every()
    await vault.value("A")
    gc.collect()  # it lets go of tuples then in which there is nothing to look for
    kept = [entry for key, entry in any_api.runtime.cache._heavy.young.items() if key[0] == "secrets"]  # type: ignore[index]

    held = kept[0].value.shared["A"]

    opened = [
        kept[0].value.memo["values"],
        *kept[0].value.memo["values"],
        kept[0].value.memo["dev", "/"],
        held.memo["value"],
    ]
    looked_at = [thing for thing in (kept[0], kept[0].value, held, held.secret, *opened) if gc.is_tracked(thing)]
    assert [] == looked_at


async def test_a_folder_that_is_written_to_is_not_read_again_for_one_secret(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for name in ("A", "B"):
        await vault.put(name, "old")
    await vault.every()
    folders = [key for key in any_api.runtime.cache._heavy.young if key[0] == "secrets"]  # type: ignore[index]

    await vault.change("A", secretValue="new")
    values = [await vault.value("A"), await vault.value("B")]
    fresh = ConsistentReads(any_api.runtime.store, any_api.runtime.cache)
    after_a_read = [await fresh.cached(key) for key in folders]
    missing = await vault.call("GET", "C")
    fresh.invalidate()
    after_a_miss = [await fresh.cached(key) for key in folders]

    assert (["new", "old"], [None], 404) == (values, after_a_read, missing.status_code)
    assert ["A", "B"] == list(after_a_miss[0].shared)


ODD = (
    "",
    "plain",
    'a"b',
    '","',
    '",',
    "\\",
    '\\"',
    "\\u0000",
    "line\nline\ttab\rx",
    "w\u2028örld \U0001f511",
    "<&>",
    "${A}",
    "null",
)


@pytest.mark.parametrize("more", [(), ("\x7f",), ("a\x7f", "\x7fb")], ids=["usual", "a separator", "separators"])
async def test_a_list_says_of_each_secret_what_a_read_of_it_says(any_api: Api, more: tuple[str, ...]) -> None:
    """A whole folder is written in another way than one secret is."""
    vault = await Vault.new(any_api)
    values = {f"K{i}": value for i, value in enumerate([*ODD, *more])}
    await any_api.ok(
        "POST",
        "/api/v3/secrets/batch/raw",
        {
            "workspaceId": vault.project_id,
            "environment": "dev",
            "secrets": [{"secretKey": name, "secretValue": value} for name, value in values.items()],
        },
    )
    tag = await vault.tag("blue")

    for _ in range(2):  # made, then kept
        listed = (await vault.every())["secrets"]
        assert listed == [await vault.read(one["secretKey"]) for one in listed]
        assert values == {one["secretKey"]: one["secretValue"] for one in listed}
    await vault.change("K1", secretValue="new", tagIds=[tag])
    await vault.change("K2", newSecretName="RENAMED")
    await vault.call("DELETE", "K3")
    changed = (await vault.every())["secrets"]
    assert changed == [await vault.read(one["secretKey"]) for one in changed]
    assert {"RENAMED"} == {one["secretKey"] for one in changed} - values.keys()
    assert {"K2", "K3"} == values.keys() - {one["secretKey"] for one in changed}
    assert ("new", ["blue"]) == next(
        (one["secretValue"], [t["slug"] for t in one["tags"]]) for one in changed if one["secretKey"] == "K1"
    )
    await vault.put("NOTED", "v", secretComment="why")
    noted = (await vault.every())["secrets"]
    assert noted == [await vault.read(one["secretKey"]) for one in noted]
    assert len(changed) + 1 == len(noted)


async def test_references_in_a_list_are_filled_in_only_when_asked(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "1")
    without = await vault.values(expandSecretReferences=True)
    await vault.put("B", "${A}!")

    assert {"A": "1"} == without
    assert {"A": "1", "B": "${A}!"} == await vault.values(expandSecretReferences=False)
    assert {"A": "1", "B": "1!"} == await vault.values(expandSecretReferences=True)


async def test_a_folder_that_is_renamed_or_empty_is_listed_as_it_is_called_now(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/old")
    empty = await vault.every(path="/old")
    await vault.put("A", "1", path="/old")
    before = (await vault.every(path="/old"))["secrets"]
    (folder,) = (await any_api.ok("GET", f"/api/v1/folders?workspaceId={vault.project_id}&environment=dev&path=/"))[
        "folders"
    ]
    await any_api.ok(
        "PATCH",
        f"/api/v1/folders/{folder['id']}",
        {"workspaceId": vault.project_id, "environment": "dev", "path": "/", "name": "new"},
    )
    after = (await vault.every(path="/new"))["secrets"]

    assert ([], ["/old"], ["/new"]) == (
        empty["secrets"],
        [one["secretPath"] for one in before],
        [one["secretPath"] for one in after],
    )
