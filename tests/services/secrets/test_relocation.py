"""A change of what rules name: nobody brings under an allowed name what a rule forbids under the old one."""

import asyncio
import time
from typing import Any

import pytest

from tests.api import Api
from tests.vault import Vault, rule
from watchword.domain.access.abilities import compile_rules, parse_rules
from watchword.domain.errors import PermissionDenied
from watchword.services.access import scopes
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.projects import locations
from watchword.services.secrets import relocation
from watchword.services.secrets.relocation import Shift
from watchword.store.engine import Tx
from watchword.store.secrets import secrets as stored
from watchword.store.secrets.secrets import Written

ALL = ("describeSecret", "readValue", "create", "edit", "delete")
PLACES = (
    rule("read", "create", "edit", "delete", subject="environments"),
    rule("read", "create", "edit", "delete", subject="tags"),
    rule("read", "create", "edit", "delete", subject="secret-folders"),
    rule("read", "create", "edit", "delete", subject="secret-imports"),
)


async def environments(vault: Vault) -> dict[str, str]:
    project = (await vault.api.ok("GET", f"/api/v1/projects/{vault.project_id}"))["project"]
    return {one["slug"]: one["id"] for one in project["environments"]}


async def project_slug(vault: Vault) -> str:
    found: str = (await vault.api.ok("GET", f"/api/v1/projects/{vault.project_id}"))["project"]["slug"]
    return found


async def slug(vault: Vault, environment_id: str, to: str, token: str) -> int:
    path = f"/api/v1/projects/{vault.project_id}/environments/{environment_id}"
    return (await vault.api.patch(path, {"slug": to}, token=token)).status_code


async def rename(vault: Vault, folder: str, to: str, token: str, env: str = "dev") -> int:
    parent, _, name = folder.rpartition("/")
    where = {"projectId": vault.project_id, "environment": env, "path": parent or "/"}
    found = (await vault.api.ok("GET", "/api/v2/folders", query=where))["folders"]
    folder_id = next(one["id"] for one in found if one["name"] == name)
    return (await vault.api.patch(f"/api/v2/folders/{folder_id}", {**where, "name": to}, token=token)).status_code


async def seen(vault: Vault, name: str, token: str, **where: Any) -> int:
    return (await vault.call("GET", name, token=token, **where)).status_code


async def test_swapping_the_slugs_of_environments_reads_nothing_that_was_forbidden(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "of production", env="prod")
    await vault.put("KEY", "of development")
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, environment="prod"))
    there = await environments(vault)

    assert 403 == await seen(vault, "KEY", token, env="prod")
    codes = [await slug(vault, there["dev"], "tmp", token), await slug(vault, there["prod"], "dev", token)]

    assert [200, 403] == codes
    assert there["prod"] == (await environments(vault))["prod"]
    assert 404 == await seen(vault, "KEY", token, env="dev")


async def test_an_environment_under_a_slug_where_nothing_may_be_made_is_refused_as_well(api: Api) -> None:
    vault = await Vault.new(api)
    await vault.put("KEY", "mine")
    there = await environments(vault)
    await api.ok("DELETE", f"/api/v1/projects/{vault.project_id}/environments/{there['prod']}")
    token = await vault.bot(*PLACES, rule(*ALL), rule("create", inverted=True, environment="prod"))

    assert 403 == await slug(vault, there["dev"], "prod", token)
    assert 200 == await slug(vault, there["dev"], "other", token)


async def test_an_empty_environment_is_renamed_by_who_may_rename_environments(api: Api) -> None:
    vault = await Vault.new(api)
    token = await vault.bot(rule("read", "edit", subject="environments"))

    assert 200 == await slug(vault, (await environments(vault))["staging"], "stage", token)


async def test_renaming_a_folder_reads_nothing_that_was_forbidden_however_deep(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for path in ("/closed", "/closed/a", "/closed/a/b", "/free", "/free/x"):
        await vault.folder(path)
    await vault.put("KEY", "v", path="/closed/a/b")
    await vault.put("KEY", "v", path="/free/x")
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretPath={"$glob": "/closed/**"}))

    assert 403 == await seen(vault, "KEY", token, path="/closed/a/b")
    assert 403 == await rename(vault, "/closed", "open", token)
    assert 403 == await rename(vault, "/closed/a", "open", token)
    assert 200 == await rename(vault, "/free", "freer", token)
    assert 403 == await seen(vault, "KEY", token, path="/closed/a/b")
    assert 200 == await seen(vault, "KEY", token, path="/freer/x")


async def test_a_batch_that_swaps_two_folders_is_judged_step_by_step(api: Api) -> None:
    vault = await Vault.new(api)
    for path in ("/closed", "/free"):
        await vault.folder(path)
        await vault.put("KEY", path, path=path)
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretPath="/closed"))
    where = {"projectId": vault.project_id, "environment": "dev"}
    ids = {one["name"]: one["id"] for one in (await api.ok("GET", "/api/v2/folders", query=where))["folders"]}
    steps = [("free", "t"), ("closed", "free"), ("free", "closed")]
    body = {
        "projectSlug": await project_slug(vault),
        "folders": [{"id": ids[name], "environment": "dev", "name": to} for name, to in steps[:2]],
    }

    assert 403 == (await api.patch("/api/v2/folders/batch", body, token=token)).status_code
    assert "/free" == await vault.value("KEY", path="/free")


async def test_a_folder_with_a_tagged_secret_that_may_not_be_read_stays_where_it_is(api: Api) -> None:
    vault = await Vault.new(api)
    tag = await vault.tag("closed")
    await vault.folder("/app")
    for n in range(3):
        await vault.put(f"KEY{n}", "v", path="/app")
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretTags={"$in": ["closed"]}))

    assert 200 == await rename(vault, "/app", "app2", token)
    await vault.change("KEY1", path="/app2", tagIds=[tag])
    assert 403 == await rename(vault, "/app2", "app3", token)


async def test_folders_and_imports_below_are_moved_by_who_may_delete_and_make_them(api: Api) -> None:
    vault = await Vault.new(api)
    for path in ("/app", "/app/x", "/app/x/y", "/lib", "/lib/z"):
        await vault.folder(path)
    assert 200 == (await vault.link("/", path="/lib/z", source_env="prod")).status_code
    only = lambda subject, *more: (  # noqa: E731
        rule("edit", subject="secret-folders", secretPath="/"),
        rule(*ALL),
        *more,
        rule("create", "delete", subject=subject),
        rule("delete", inverted=True, subject=subject, secretPath={"$glob": "/*/**"}),
    )
    folders = await vault.bot(
        *only("secret-folders", rule("create", "delete", subject="secret-imports")), slug="folders"
    )
    imports = await vault.bot(
        *only("secret-imports", rule("create", "delete", subject="secret-folders")), slug="imports"
    )

    assert 403 == await rename(vault, "/app", "a", folders)
    assert 403 == await rename(vault, "/lib", "b", imports)
    assert 200 == await rename(vault, "/app", "a", imports)


@pytest.mark.parametrize("change", ["rename", "delete"])
async def test_a_tag_that_rules_name_is_changed_by_who_may_read_what_has_it(any_api: Api, change: str) -> None:
    vault = await Vault.new(any_api)
    closed, free = await vault.tag("closed"), await vault.tag("free")
    await vault.folder("/deep")
    await vault.put("KEY", "v", path="/deep", tagIds=[closed])
    await vault.put("OTHER", "v", tagIds=[free])
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretTags={"$in": ["closed"]}))
    base = f"/api/v1/projects/{vault.project_id}/tags"

    async def act(tag: str) -> int:
        if change == "delete":
            return (await any_api.delete(f"{base}/{tag}", token=token)).status_code
        return (await any_api.patch(f"{base}/{tag}", {"slug": f"x-{tag[-6:]}"}, token=token)).status_code

    assert 403 == await seen(vault, "KEY", token, path="/deep")
    assert [403, 200] == [await act(closed), await act(free)]
    assert 403 == await seen(vault, "KEY", token, path="/deep")
    assert 200 == (await any_api.patch(f"{base}/{closed}", {"color": "#000000"}, token=token)).status_code


async def test_a_tag_of_secrets_in_a_deleted_environment_is_not_changed_behind_its_back(api: Api) -> None:
    vault = await Vault.new(api)
    closed = await vault.tag("closed")
    await vault.put("KEY", "v", env="prod", tagIds=[closed])
    prod = (await environments(vault))["prod"]
    await api.ok("DELETE", f"/api/v1/projects/{vault.project_id}/environments/{prod}")
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretTags={"$in": ["closed"]}))

    assert 403 == (await api.delete(f"/api/v1/projects/{vault.project_id}/tags/{closed}", token=token)).status_code


async def test_who_may_not_read_a_secret_gives_it_no_name_tags_or_metadata_that_other_rules_hold_for(
    any_api: Api,
) -> None:
    vault = await Vault.new(any_api)
    closed, free = await vault.tag("closed"), await vault.tag("free")
    await vault.put("TAGGED", "v", tagIds=[closed])
    await vault.put("PROD_KEY", "v")
    await vault.put("META", "v", secretMetadata=[{"key": "level", "value": "high"}])
    token = await vault.bot(
        rule(*ALL),
        rule("readValue", inverted=True, secretTags={"$in": ["closed"]}),
        rule("readValue", inverted=True, secretName={"$glob": "PROD_*"}),
        rule("readValue", inverted=True, metadata={"$elemMatch": {"key": "level", "value": "high"}}),
    )
    v4, where = "/api/v4/secrets", {"projectId": vault.project_id, "environment": "dev", "secretPath": "/"}

    assert [403] * 3 == [await seen(vault, name, token) for name in ("TAGGED", "PROD_KEY", "META")]
    codes = [
        (await any_api.patch(f"{v4}/{name}", {**where, **change}, token=token)).status_code
        for name, change in (
            ("TAGGED", {"tagIds": []}),
            ("TAGGED", {"tagIds": [free]}),
            ("PROD_KEY", {"newSecretName": "KEY"}),
            ("META", {"secretMetadata": []}),
            ("META", {"secretMetadata": [{"key": "level", "value": "low"}]}),
        )
    ]
    codes.append(
        (
            await any_api.request(
                "DELETE",
                "/api/v3/secrets/tags/TAGGED",
                {
                    "projectSlug": await project_slug(vault),
                    "environment": "dev",
                    "secretPath": "/",
                    "tagSlugs": ["closed"],
                },
                token=token,
            )
        ).status_code
    )

    assert [403] * 6 == codes
    assert [403] * 3 == [await seen(vault, name, token) for name in ("TAGGED", "PROD_KEY", "META")]
    # What no rule can see changes with the right to edit alone, and so does saying again what is there.
    same = {**where, "secretValue": "w", "tagIds": [closed]}
    assert 200 == (await any_api.patch(f"{v4}/TAGGED", same, token=token)).status_code


async def test_who_may_not_delete_a_secret_does_not_take_its_protection_off(api: Api) -> None:
    vault = await Vault.new(api)
    kept = await vault.tag("kept")
    await vault.put("KEY", "v", tagIds=[kept])
    token = await vault.bot(rule(*ALL), rule("delete", inverted=True, secretTags={"$in": ["kept"]}))

    assert 403 == (await vault.call("PATCH", "KEY", tagIds=[], token=token)).status_code
    assert 403 == (await vault.call("DELETE", "KEY", token=token)).status_code


async def test_a_rollback_to_other_tags_is_a_change_of_tags(api: Api) -> None:
    vault = await Vault.new(api)
    kept = await vault.tag("kept")
    made = await vault.put("KEY", "v")
    await vault.change("KEY", tagIds=[kept])
    token = await vault.bot(
        rule(*ALL),
        rule("delete", inverted=True, secretTags={"$in": ["kept"]}),
        rule("read", "create", subject="secret-rollback"),
    )

    reply = await api.post(f"/api/v1/secret/{made['id']}/rollback", {"version": 1}, token=token)

    assert 403 == reply.status_code
    assert 403 == (await vault.call("DELETE", "KEY", token=token)).status_code


async def test_a_move_onto_a_secret_takes_no_rule_off_its_history(api: Api) -> None:
    vault = await Vault.new(api)
    closed = await vault.tag("closed")
    await vault.put("KEY", "forbidden", env="prod", tagIds=[closed])
    mine = await vault.put("KEY", "mine")
    token = await vault.bot(rule(*ALL), rule("readValue", inverted=True, secretTags={"$in": ["closed"]}))
    body = {
        "workspaceId": vault.project_id,
        "sourceEnvironment": "dev",
        "destinationEnvironment": "prod",
        "secretIds": [mine["id"]],
        "shouldOverwrite": True,
    }

    assert 403 == (await api.post("/api/v3/secrets/move", body, token=token)).status_code
    assert 403 == await seen(vault, "KEY", token, env="prod")


async def test_deleting_a_place_asks_for_the_right_to_delete_what_is_in_it(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/app")
    await vault.folder("/app/x")
    await vault.put("KEY", "v", path="/app/x")
    await vault.put("KEY", "v", env="prod")
    token = await vault.bot(*PLACES, rule("describeSecret", "readValue", "create", "edit"))
    there = await environments(vault)
    base = f"/api/v1/projects/{vault.project_id}/environments"
    where = {"projectId": vault.project_id, "environment": "dev", "path": "/"}

    codes = [
        (await any_api.request("DELETE", f"{base}/{there['prod']}", token=token)).status_code,
        (
            await any_api.request("DELETE", f"{base}/{there['prod']}", query={"hardDelete": "true"}, token=token)
        ).status_code,
        (await any_api.delete("/api/v2/folders/app", {**where, "forceDelete": True}, token=token)).status_code,
    ]

    assert [403, 403, 403] == codes
    assert "v" == await vault.value("KEY", env="prod")
    assert "v" == await vault.value("KEY", path="/app/x")
    assert 200 == (await any_api.delete(f"{base}/{there['staging']}", token=token)).status_code
    assert 200 == (await any_api.delete("/api/v2/folders/app", {**where, "forceDelete": True})).status_code


async def test_bringing_an_environment_back_asks_for_the_rights_over_what_comes_back(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "v", env="prod")
    prod = (await environments(vault))["prod"]
    path = f"/api/v1/projects/{vault.project_id}/environments/{prod}"
    await any_api.ok("DELETE", path)
    blind = await vault.bot(*PLACES, rule("create", "edit", "delete"), slug="blind")
    narrow = await vault.bot(*PLACES, rule(*ALL), rule("create", inverted=True, environment="prod"), slug="narrow")

    assert [403, 403] == [(await any_api.post(f"{path}/restore", token=token)).status_code for token in (blind, narrow)]
    assert 200 == (await any_api.post(f"{path}/restore")).status_code


async def test_a_refusal_names_no_place_but_the_one_that_was_named(api: Api) -> None:
    vault = await Vault.new(api)
    for path in ("/app", "/app/hidden"):
        await vault.folder(path)
    await vault.put("KEY", "v", path="/app/hidden", secretMetadata=[{"key": "owner", "value": "lovelace"}])
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretName="KEY"))
    found = (await api.ok("GET", "/api/v2/folders", query={"projectId": vault.project_id, "environment": "dev"}))[
        "folders"
    ][0]

    body = {"projectId": vault.project_id, "environment": "dev", "name": "other"}
    reply = await api.patch(f"/api/v2/folders/{found['id']}", body, token=token)

    assert 403 == reply.status_code
    assert "hidden" not in reply.text and "KEY" not in reply.text and "lovelace" not in reply.text
    assert {"environment": "dev", "secretPath": "/app"} == reply.json()["details"][0]["conditions"]


async def test_what_changed_since_it_was_looked_at_is_looked_at_again(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    closed = await vault.tag("closed")
    await vault.folder("/app")
    for name in ("A", "B"):
        await vault.put(name, "v", path="/app")
    no_closed = rule("readValue", inverted=True, secretTags={"$in": ["closed"]})
    rules = parse_rules("project", [rule(*ALL), no_closed])
    ctx = Ctx(any_api.runtime)
    ctx.public("arranging a test")
    project = await scopes.project(ctx, vault.project_id)
    assert project is not None
    scope = ProjectScope(org_id=project.org_id, project_id=project.id, ability=compile_rules(rules), project=project)
    place = await locations.find(ctx, project.id, "dev", "/app")
    assert place is not None
    shifts = [Shift(folder_id=place.folder.id, old=("dev", "/app"), new=("dev", "/other"))]

    async def load(tx: Tx) -> list[Shift]:
        return shifts

    async def judged(seen: relocation.CheckedMove | None) -> bool:
        late = Ctx(any_api.runtime)
        late.public("arranging a test")
        async with late.unit() as tx:
            try:
                await relocation.require(tx, scope, relocation.MOVED, shifts, ("dev", "/app"), seen)
            except PermissionDenied:
                return False
        return True

    seen = await relocation.precheck(ctx, scope, relocation.MOVED, load, ("dev", "/app"))
    assert seen is not None and await judged(seen)
    await vault.change("B", path="/app", tagIds=[closed])

    assert not await judged(seen)
    with pytest.raises(PermissionDenied):
        await relocation.precheck(Ctx(any_api.runtime), scope, relocation.MOVED, load, ("dev", "/app"))


async def test_twenty_thousand_secrets_under_a_renamed_folder_do_not_hold_the_loop(api: Api) -> None:
    vault = await Vault.new(api)
    tag = await vault.tag("closed")
    await vault.folder("/app")
    made = await vault.put("KEY", "v", path="/app", tagIds=[tag])
    await many(api, vault, made["id"], 20_000)
    token = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretTags={"$in": ["no such"]}))
    longest = 0.0

    async def watch() -> None:
        nonlocal longest
        while True:
            start = time.thread_time()  # the loop's own work: others have the machine too
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - start)

    watching = asyncio.create_task(watch())
    assert 200 == await rename(vault, "/app", "other", token)
    watching.cancel()

    assert longest < 0.05, f"the loop was held for {longest:.3f} s"


async def many(api: Api, vault: Vault, like: str, count: int) -> None:
    """Copies of a secret, straight into the store: over the API they would take minutes."""
    ctx = Ctx(api.runtime)
    ctx.public("arranging a test")
    async with ctx.unit() as tx:
        one = (await stored.by_ids(tx, [like]))[0]
        rows = [
            type(one)(
                **{name: getattr(one, name) for name in one.__struct_fields__} | {"id": ctx.new_id(), "key": f"K{n}"}
            )
            for n in range(count)
        ]
        await stored.write(tx, [Written(folder_id=one.folder_id, at=ctx.now, keep=1, added=rows)])


HISTORY = rule("read", "create", subject="secret-rollback")


@pytest.mark.parametrize("named", ["tag", "name", "metadata", "folder"])
async def test_a_new_value_under_an_allowed_name_does_not_open_the_values_of_before(any_api: Api, named: str) -> None:
    vault = await Vault.new(any_api)
    closed = await vault.tag("closed")
    pairs = [{"key": "class", "value": "closed"}]
    for path in ("/shut", "/open"):
        await vault.folder(path)
    await vault.put("CLOSED_KEY", "forbidden", path="/shut", tagIds=[closed], secretMetadata=pairs)
    conditions: dict[str, dict[str, Any]] = {
        "tag": {"secretTags": {"$in": ["closed"]}},
        "name": {"secretName": {"$glob": "CLOSED_*"}},
        "metadata": {"metadata": {"$elemMatch": {"key": {"$eq": "class"}, "value": {"$eq": "closed"}}}},
        "folder": {"secretPath": {"$eq": "/shut"}},
    }
    token = await vault.bot(rule(*ALL), rule("readValue", inverted=True, **conditions[named]), HISTORY)
    renamed = (
        await vault.change(
            "CLOSED_KEY", secretValue="harmless", path="/shut", newSecretName="KEY", tagIds=[], secretMetadata=[]
        )
    )["id"]
    await any_api.ok(
        "POST",
        "/api/v4/secrets/move",
        {
            "projectId": vault.project_id,
            "sourceEnvironment": "dev",
            "sourceSecretPath": "/shut",
            "destinationEnvironment": "dev",
            "destinationSecretPath": "/open",
            "secretIds": [renamed],
        },
    )
    [now] = (await vault.call("GET", path="/open", token=token)).json()["secrets"]
    versions = f"/api/v1/secret/{now['id']}/secret-versions"
    page = {"offset": "0", "limit": "20"}
    kept = (await any_api.ok("GET", versions, query=page))["secretVersions"]
    old = min(one["version"] for one in kept)

    assert ("harmless", "forbidden") == (now["secretValue"], kept[-1]["secretValue"])
    assert 403 == await seen(vault, "KEY", token, path="/open", version=str(old))
    told = await any_api.get(versions, query=page, token=token)
    back = await any_api.post(f"/api/v1/secret/{now['id']}/rollback", {"version": old}, token=token)
    assert (200, 403) == (told.status_code, back.status_code)
    for answer in (told.text, back.text):
        assert "forbidden" not in answer
    assert "harmless" in told.text
    assert 200 == await seen(vault, "KEY", token, path="/open", version=str(now["version"]))


async def test_deleting_a_tag_that_only_old_versions_have_opens_none_of_them(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    closed = await vault.tag("closed")
    await vault.put("KEY", "forbidden", tagIds=[closed])
    await vault.change("KEY", secretValue="harmless", tagIds=[])
    narrow = await vault.bot(*PLACES, rule(*ALL), rule("readValue", inverted=True, secretTags={"$in": ["closed"]}))
    wide = await vault.bot(rule(*ALL), slug="wide")
    tag = f"/api/v1/projects/{vault.project_id}/tags/{closed}"

    assert 403 == await seen(vault, "KEY", narrow, version="1")
    assert 200 == (await any_api.delete(tag, token=narrow)).status_code
    assert [403, 200] == [await seen(vault, "KEY", token, version="1") for token in (narrow, wide)]
