"""Replicated imports: copies follow their source with the creator's rights, and are read through the import only."""

import asyncio
from typing import Any

import pytest

from tests.api import Api
from tests.vault import Vault, rule
from watchword.domain.secrets.replicas import PREFIX
from watchword.services.secrets.replication import due, replicate_due
from watchword.services.upkeep import Upkeep
from watchword.store.secrets import replications

IMPORTS = "/api/v1/secret-imports"
ALL = ("describeSecret", "readValue", "create", "edit", "delete")


class Site:
    """A project in which `/app` of dev is copied into `/app` of prod."""

    def __init__(self, vault: Vault) -> None:
        self.vault, self.api = vault, vault.api
        self.imported: dict[str, Any] = {}

    @classmethod
    async def new(cls, api: Api) -> "Site":
        site = cls(await Vault.new(api))
        for env in ("dev", "prod"):
            await site.vault.folder("/app", env)
        await site.vault.put("A", "one", path="/app")
        return site

    def body(
        self, source: str = "/app", path: str = "/app", env: str = "prod", source_env: str = "dev"
    ) -> dict[str, Any]:
        return {
            "workspaceId": self.vault.project_id,
            "environment": env,
            "path": path,
            "isReplication": True,
            "import": {"environment": source_env, "path": source},
        }

    async def replicate(self, token: str = "", **where: str) -> dict[str, Any]:
        reply = await self.api.post(IMPORTS, self.body(**where), token=token)
        assert reply.status_code == 200, reply.text
        self.imported = reply.json()["secretImport"]
        return self.imported

    async def copies(self, path: str = "/app", env: str = "prod", **more: Any) -> dict[str, str]:
        """What the imports of a folder bring in."""
        listed = await self.vault.every(path=path, env=env, include_imports=True, **more)
        return {one["secretKey"]: one["secretValue"] for group in listed["imports"] for one in group["secrets"]}

    async def status(self, import_id: str = "") -> dict[str, Any]:
        path = f"{IMPORTS}/{import_id or self.imported['id']}"
        found: dict[str, Any] = (await self.api.ok("GET", path))["secretImport"]
        return found

    async def in_background(self) -> int:
        """What the task of upkeep does until nothing is due any more; how many times."""
        for number in range(10):
            if not await replicate_due(self.api.runtime):
                return number
        raise AssertionError("there is always something due")


@pytest.fixture
async def site(any_api: Api) -> Site:
    return await Site.new(any_api)


async def test_a_replicated_import_answers_with_copies_from_the_beginning(site: Site) -> None:
    tag = await site.vault.tag("blue")
    await site.vault.put(
        "B",
        "two",
        path="/app",
        secretComment="why",
        tagIds=[tag],
        secretMetadata=[{"key": "a", "value": "b"}, {"key": "c", "value": "d", "isEncrypted": True}],
    )

    made = await site.replicate()
    read = await site.vault.read("B", path="/app", env="prod", include_imports=True)

    assert (True, True, None, False) == (
        made["isReplication"],
        made["isReplicationSuccess"],
        made["replicationStatus"],
        made["isReserved"],
    )
    assert made["lastReplicated"] is not None
    assert ("dev", "/app") == (made["importEnv"]["slug"], made["importPath"])
    assert {"A": "one", "B": "two"} == await site.copies()
    assert ("two", "why", "prod", "/app") == (
        read["secretValue"],
        read["secretComment"],
        read["environment"],
        read["secretPath"],
    )
    assert [("a", "b", False), ("c", "d", True)] == [
        (one["key"], one["value"], one["isEncrypted"]) for one in read["secretMetadata"]
    ]
    assert {key: made[key] for key in made if key != "updatedAt"} == {
        key: value for key, value in (await site.status()).items() if key in made and key != "updatedAt"
    }


async def test_copies_follow_their_source_in_the_background(site: Site) -> None:
    await site.vault.put("GONE", "v", path="/app")
    await site.replicate()
    await site.in_background()
    assert [] == await due(site.api.runtime)

    await site.vault.change("A", path="/app", secretValue="changed")
    await site.vault.put("NEW", "new", path="/app")
    await site.vault.call("DELETE", "GONE", path="/app")
    before = await site.copies()
    found = await due(site.api.runtime)
    await site.in_background()

    assert {"A": "one", "GONE": "v"} == before
    assert [site.imported["id"]] == found
    assert {"A": "changed", "NEW": "new"} == await site.copies()
    assert [] == await due(site.api.runtime)


async def test_the_task_of_a_server_copies_by_itself(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("watchword.services.upkeep.COPIES_EVERY", 0.02)
    await site.replicate()
    upkeep = Upkeep(site.api.runtime)
    upkeep.start()
    try:
        await site.vault.change("A", path="/app", secretValue="changed")
        async with asyncio.timeout(10):
            while await site.copies() != {"A": "changed"}:
                await asyncio.sleep(0.02)
    finally:
        await upkeep.close()


async def test_two_processes_do_not_copy_twice(site: Site) -> None:
    await site.replicate()
    await site.in_background()
    await site.vault.change("A", path="/app", secretValue="changed")

    await asyncio.gather(*(replicate_due(site.api.runtime) for _ in range(4)))
    copy = await site.vault.read("A", path="/app", env="prod", include_imports=True)
    events = (
        await site.api.ok("GET", "/api/v1/organization/audit-logs", query={"eventType": "replicate-secret-import"})
    )["auditLogs"]

    assert ("changed", 2) == (copy["secretValue"], copy["version"])
    assert [(0, 1, 0), (1, 0, 0)] == [
        tuple(one["event"]["metadata"][f"number{what}"] for what in ("Created", "Updated", "Deleted")) for one in events
    ]
    assert {"platform"} == {one["actor"]["type"] for one in events}


async def test_a_resync_copies_at_once(site: Site) -> None:
    await site.replicate()
    await site.vault.change("A", path="/app", secretValue="changed")
    where = {"workspaceId": site.vault.project_id, "environment": "prod", "path": "/app"}

    plain = (await site.vault.link("/app", env="staging", path="/")).json()["secretImport"]["id"]
    reply = await site.api.ok("POST", f"{IMPORTS}/{site.imported['id']}/replication-resync", where)
    refused = await site.api.post(f"{IMPORTS}/{plain}/replication-resync", where)

    assert {"message"} == set(reply)
    assert {"A": "changed"} == await site.copies()
    assert 400 == refused.status_code


async def test_the_reserved_folder_is_seen_and_written_by_nobody(site: Site) -> None:
    await site.replicate()
    vault, name = site.vault, PREFIX + site.imported["id"]
    path = f"/app/{name}"
    where = {"workspaceId": vault.project_id, "environment": "prod"}
    async with site.api.runtime.store.read() as tx:
        replica = await replications.replica(tx, site.imported["id"])
    assert replica is not None
    listed = [
        await site.api.ok("GET", "/api/v1/folders", query={**where, "path": "/app"}),
        await site.api.ok(
            "GET",
            "/api/v2/folders",
            query={"projectId": vault.project_id, "environment": "prod", "path": "/", "recursive": "true"},
        ),
    ]
    new = {**where, "name": PREFIX + "x", "path": "/app"}
    refused = [
        await vault.call("POST", "X", secretValue="v", path=path, env="prod"),
        await vault.call("PATCH", "A", secretValue="v", path=path, env="prod"),
        await vault.call("DELETE", "A", path=path, env="prod"),
        await vault.call("GET", "A", path=path, env="prod"),
        await vault.call("GET", path=path, env="prod"),
        await vault.link("/", env="prod", path=path, source_env="prod"),
        await vault.link(path, env="staging", path="/", source_env="prod"),
        await site.api.post("/api/v1/folders", new),
        await site.api.post("/api/v1/folders", {**where, "name": "below", "path": path}),
    ]
    unknown = [
        await site.api.get(f"/api/v1/folders/{replica.id}"),
        await site.api.patch(f"/api/v1/folders/{replica.id}", {**where, "name": "mine", "path": "/app"}),
        await site.api.delete(f"/api/v1/folders/{name}", {**where, "path": "/app"}),
        await site.api.delete(f"/api/v1/folders/{replica.id}", {**where, "path": "/app"}),
    ]

    assert [[], ["app"]] == [[one["name"] for one in found["folders"]] for found in listed]
    assert {422} == {reply.status_code for reply in refused}
    assert {404} == {reply.status_code for reply in unknown}
    assert {} == await vault.values(path="/", env="prod", recursive=True)
    assert {"A": "one"} == await site.copies()


async def test_references_do_not_lead_into_the_reserved_folder(site: Site) -> None:
    await site.replicate()
    reference = f"${{prod.app.{PREFIX}{site.imported['id']}.A}}"
    await site.vault.put("REF", reference)

    assert reference == await site.vault.value("REF", expandSecretReferences=True)


async def test_references_in_copies_mean_secrets_of_the_folder_that_imports(site: Site) -> None:
    await site.vault.put("LOCAL", "of ${WHERE}", path="/app")
    await site.vault.put("WHERE", "prod", path="/app", env="prod")
    await site.replicate()

    assert "of prod" == (await site.copies(expandSecretReferences=True))["LOCAL"]


async def test_a_copy_cannot_be_rolled_back(site: Site) -> None:
    await site.replicate()
    await site.vault.change("A", path="/app", secretValue="changed")
    await site.in_background()
    copy = await site.vault.read("A", path="/app", env="prod", include_imports=True)

    reply = await site.api.post(f"/api/v1/secret/{copy['id']}/rollback", {"version": 1})
    by_id = await site.api.ok("GET", f"/api/v3/secrets/raw/id/{copy['id']}")

    assert (400, True) == (reply.status_code, "copy" in reply.json()["message"])
    assert ("changed", "/app") == (by_id["secret"]["secretValue"], by_id["secret"]["secretPath"])
    assert {} == await site.vault.values(path="/app", env="prod")


async def test_readers_need_rights_where_the_import_is_and_none_at_the_source(site: Site) -> None:
    await site.replicate()
    there = await site.vault.bot(
        rule("describeSecret", "readValue", environment="prod", secretPath="/app"), slug="there"
    )
    source = await site.vault.bot(
        rule("describeSecret", "readValue", environment="dev", secretPath="/app"),
        rule("describeSecret", "readValue", environment="prod", secretPath="/app", secretName="OTHER"),
        slug="source",
    )

    assert {"A": "one"} == await site.copies(token=there)
    assert "one" == await site.vault.value("A", path="/app", env="prod", include_imports=True, token=there)
    assert {} == await site.copies(token=source)
    reply = await site.vault.call("GET", "A", path="/app", env="prod", include_imports=True, token=source)
    assert 403 == reply.status_code


async def test_copies_are_made_with_the_rights_of_the_creator_at_that_moment(site: Site) -> None:
    await site.vault.put("SECRET", "s", path="/app")
    roles = f"/api/v2/workspace/{site.vault.project_id}/roles"
    reads = rule(
        "describeSecret", "readValue", environment="dev", secretPath="/app", secretName={"$in": ["A", "C", "D"]}
    )
    writes = rule(*ALL, environment="prod", secretPath="/app")
    imports = rule("create", "read", "edit", subject="secret-imports")
    creator = await site.vault.bot(reads, writes, imports, slug="creator")

    made = await site.replicate(token=creator)
    first = await site.copies()
    role = next(one for one in (await site.api.ok("GET", roles))["roles"] if one["slug"] == "creator")
    await site.api.ok("PATCH", f"{roles}/{role['id']}", {"permissions": [imports, writes]})
    await site.vault.change("A", path="/app", secretValue="changed")
    await site.vault.put("C", "c", path="/app")
    await site.in_background()
    kept, told = await site.copies(), await site.status()
    await site.vault.call("DELETE", "A", path="/app")
    await site.in_background()
    without = await site.copies()
    await site.api.ok("PATCH", f"{roles}/{role['id']}", {"permissions": [imports, writes, reads]})
    await site.in_background()

    assert (False, {"A": "one"}) == (made["isReplicationSuccess"], first)
    assert "1 of 2" in made["replicationStatus"]
    assert ({"A": "one"}, False) == (kept, told["isReplicationSuccess"])
    assert {} == without
    assert {"C": "c"} == await site.copies()


async def test_a_creator_who_is_gone_copies_nothing_new(site: Site) -> None:
    identity, token = await site.api.bot("no-access")
    membership = f"/api/v2/workspace/{site.vault.project_id}/identity-memberships/{identity['id']}"
    await site.api.ok("POST", membership, {"role": "admin"})
    await site.replicate(token=token)

    await site.api.ok("DELETE", f"/api/v1/identities/{identity['id']}")
    await site.vault.change("A", path="/app", secretValue="changed")
    await site.in_background()
    kept, told = await site.copies(), await site.status()
    await site.vault.call("DELETE", "A", path="/app")
    await site.in_background()

    assert {"A": "one"} == kept
    assert "gone" in told["replicationStatus"]
    assert {} == await site.copies()


async def test_who_points_an_import_elsewhere_lends_it_their_own_rights(site: Site) -> None:
    """Else whoever may edit imports would read through the rights of whoever made one."""
    await site.vault.folder("/vault")
    await site.vault.put("TOP", "secret", path="/vault")
    await site.replicate()
    editor = await site.vault.bot(
        rule("edit", "read", subject="secret-imports"),
        rule(*ALL, environment="prod", secretPath="/app"),
        rule("describeSecret", "readValue", environment="dev", secretPath="/vault", secretName="OTHER"),
        slug="editor",
    )
    body = {**site.body(), "import": {"environment": "dev", "path": "/vault"}}

    await site.api.ok("PATCH", f"{IMPORTS}/{site.imported['id']}", body, token=editor)
    await site.in_background()

    assert {} == await site.copies()
    assert (await site.status())["isReplicationSuccess"] is False


async def test_rights_to_read_and_to_create_are_asked_when_the_import_is_made(site: Site) -> None:
    imports = rule("create", subject="secret-imports")
    blind = await site.vault.bot(imports, rule(*ALL, environment="prod"), slug="blind")
    reader = await site.vault.bot(imports, rule("describeSecret", "readValue"), slug="reader")

    assert [403, 403] == [
        (await site.api.post(IMPORTS, site.body(), token=token)).status_code for token in (blind, reader)
    ]


async def test_copies_of_copies_follow_one_after_the_other(site: Site) -> None:
    await site.vault.folder("/third", "staging")
    await site.replicate()
    await site.replicate(source="/app", source_env="prod", env="staging", path="/third")
    await site.in_background()
    assert {"A": "one"} == await site.copies("/third", "staging")

    await site.vault.change("A", path="/app", secretValue="changed")
    await site.in_background()

    assert {"A": "changed"} == await site.copies("/third", "staging")


async def test_circles_are_refused_and_those_made_by_renames_copy_nothing(site: Site) -> None:
    await site.replicate()
    circle = await site.api.post(IMPORTS, site.body(source_env="prod", env="dev"))
    itself = await site.api.post(IMPORTS, site.body(source_env="prod"))
    await site.replicate(source="/back", source_env="prod", env="dev")  # no folder is there yet
    body = {"workspaceId": site.vault.project_id, "environment": "prod", "name": "back", "path": "/"}
    folders = (await site.api.ok("GET", "/api/v1/folders", query={**body, "path": "/"}))["folders"]

    await site.api.ok("PATCH", f"/api/v1/folders/{folders[0]['id']}", body)
    await site.vault.change("A", path="/app", secretValue="changed")
    await site.in_background()

    assert [400, 400] == [circle.status_code, itself.status_code]
    assert "circle" in (await site.status())["replicationStatus"]
    assert {} == await site.copies("/app", "dev")


async def test_what_is_deleted_takes_its_copies_with_it(site: Site) -> None:
    async def folder_count() -> int:
        async with site.api.runtime.store.read() as tx:
            return sum(PREFIX in path for _, path, _ in await tree(tx))

    async def tree(tx: Any) -> list[tuple[str, str, str]]:
        from watchword.store.projects.folders import project_tree

        return await project_tree(tx, site.vault.project_id, holds=False)

    where = {"workspaceId": site.vault.project_id, "environment": "prod", "path": "/app"}
    await site.replicate()
    assert 1 == await folder_count()
    await site.api.ok("DELETE", f"{IMPORTS}/{site.imported['id']}", {**where, "import": {}})
    assert 0 == await folder_count()

    await site.replicate()
    await site.api.ok("DELETE", "/api/v1/folders/app", {"workspaceId": site.vault.project_id, "environment": "dev"})
    await site.in_background()
    assert {} == await site.copies()
    await site.vault.folder("/app")
    await site.vault.put("A", "again", path="/app")
    await site.in_background()
    assert {"A": "again"} == await site.copies()

    environments = (await site.api.ok("GET", f"/api/v1/projects/{site.vault.project_id}"))["project"]["environments"]
    dev = next(one["id"] for one in environments if one["slug"] == "dev")
    one_environment = f"/api/v1/projects/{site.vault.project_id}/environments/{dev}"
    await site.api.ok("DELETE", one_environment)
    await site.in_background()
    assert {} == await site.copies()
    await site.api.ok("POST", f"{one_environment}/restore")
    await site.in_background()
    assert {"A": "again"} == await site.copies()
    await site.api.ok("DELETE", f"{one_environment}?hardDelete=true")
    assert 0 == await folder_count()
    assert [] == await due(site.api.runtime)


async def test_a_renamed_folder_keeps_its_copies(site: Site) -> None:
    await site.replicate()
    body = {"workspaceId": site.vault.project_id, "environment": "prod", "path": "/"}
    folders = (await site.api.ok("GET", "/api/v1/folders", query=body))["folders"]

    await site.api.ok("PATCH", f"/api/v1/folders/{folders[0]['id']}", {**body, "name": "renamed"})
    await site.vault.change("A", path="/app", secretValue="changed")
    await site.in_background()

    assert {"A": "changed"} == await site.copies("/renamed")


async def test_a_rename_needs_the_rights_over_the_copies_as_over_secrets_there(site: Site) -> None:
    await site.replicate()
    mover = await site.vault.bot(
        rule("read", "create", "edit", "delete", subject="secret-folders"),
        rule("read", "create", "edit", "delete", subject="secret-imports"),
        rule("describeSecret", "readValue", environment="prod", secretPath="/open"),
        slug="mover",
    )
    body = {"workspaceId": site.vault.project_id, "environment": "prod", "path": "/"}
    folders = (await site.api.ok("GET", "/api/v1/folders", query=body))["folders"]

    reply = await site.api.patch(f"/api/v1/folders/{folders[0]['id']}", {**body, "name": "open"}, token=mover)

    assert 403 == reply.status_code


async def test_a_search_does_not_find_copies(site: Site) -> None:
    await site.replicate()
    path = f"/api/v1/projects/{site.vault.project_id}/secrets/search"

    found = await site.api.ok("GET", path, query={"environment": "prod", "secretPath": "/"})

    assert [] == found["secrets"]
