"""Writes that share a unit: each decides on what the ones before it made, and one that is refused takes no
other with it.
"""

import asyncio
from collections import Counter

import pytest

from tests.api import Api
from tests.vault import Vault, rule


async def test_of_writes_at_one_moment_the_refused_ones_leave_no_trace_and_the_others_stand(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for name in ("A", "B"):
        await vault.put(name, "old")
    narrow = await vault.bot(rule("describeSecret", "readValue", "edit", secretName="A"), slug="only-a")

    replies = await asyncio.gather(
        vault.call("PATCH", "A", secretValue="new"),
        vault.call("PATCH", "NOPE", secretValue="new"),
        vault.call("PATCH", "B", secretValue="stolen", token=narrow),
        vault.call("POST", "A", secretValue="twice"),
        vault.call("POST", "C", secretValue="made"),
        vault.call("PATCH", "B", secretValue="new", tagIds=["unknown"]),
    )

    assert [200, 404, 403, 400, 200, 404] == [reply.status_code for reply in replies]
    assert {"A": "new", "B": "old", "C": "made"} == await vault.values()
    trail = await any_api.ok(
        "GET", "/api/v1/organization/audit-logs", query={"projectId": vault.project_id, "limit": 100}
    )
    told = Counter(one["event"]["type"] for one in trail["auditLogs"])
    assert (3, 1) == (told["create-secret"], told["update-secret"])


async def test_a_secret_can_be_made_and_changed_by_writes_of_one_moment(any_api: Api) -> None:
    vault = await Vault.new(any_api)

    made, *changed = await asyncio.gather(
        vault.call("POST", "A", secretValue="0"), *[vault.call("PATCH", "A", secretValue=str(i)) for i in range(1, 4)]
    )

    stood = [reply for reply in changed if reply.status_code == 200]
    assert 200 == made.status_code
    assert {200, 404} >= {reply.status_code for reply in changed}
    assert [2 + i for i in range(len(stood))] == sorted(reply.json()["secret"]["version"] for reply in stood)
    last = max([made, *stood], key=lambda reply: reply.json()["secret"]["version"])
    assert last.json()["secret"]["secretValue"] == await vault.value("A")


async def test_secrets_of_one_name_in_many_folders_change_at_one_moment_each_its_own(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for i in range(6):
        await vault.folder(f"/f{i}")
        await vault.put("SAME", f"old {i}", path=f"/f{i}")

    replies = await asyncio.gather(
        *[vault.call("PATCH", "SAME", path=f"/f{i}", secretValue=f"new {i}") for i in range(6)]
    )

    assert [200] * 6 == [reply.status_code for reply in replies]
    assert [f"new {i}" for i in range(6)] == [await vault.value("SAME", path=f"/f{i}") for i in range(6)]


async def test_of_many_versions_made_at_one_moment_as_many_stay_as_the_project_keeps(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    made = await vault.put("A", "0")
    slug = (await any_api.ok("GET", f"/api/v1/workspace/{vault.project_id}"))["workspace"]["slug"]
    await any_api.ok("PUT", f"/api/v1/workspace/{slug}/version-limit", {"pitVersionLimit": 3})

    await asyncio.gather(*[vault.call("PATCH", "A", secretValue=str(i)) for i in range(8)])

    path = f"/api/v1/secret/{made['id']}/secret-versions"
    found = await any_api.ok("GET", path, query={"offset": 0, "limit": 20})
    assert [9, 8, 7] == [one["version"] for one in found["secretVersions"]]


async def test_what_a_write_answered_is_read_by_whoever_asks_next(any_api: Api) -> None:
    vault = await Vault.new(any_api)

    async def change_and_read(name: str) -> list[tuple[str, str]]:
        seen = []
        for i in range(5):
            await vault.change(name, secretValue=f"{name} {i}")
            seen.append((f"{name} {i}", await vault.value(name)))
        return seen

    names = [f"N{i}" for i in range(4)]
    for name in names:
        await vault.put(name, "0")
    for seen in await asyncio.gather(*[change_and_read(name) for name in names]):
        assert [wrote for wrote, _ in seen] == [read for _, read in seen]


async def test_a_write_like_one_before_reads_versions_once(any_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    vault = await Vault.new(any_api)
    await vault.put("A", "old")
    for i in range(2):
        assert 200 == (await vault.call("PATCH", "A", secretValue=str(i))).status_code
    store, reads = any_api.runtime.store, []
    versions = store.versions

    async def counted(keys: tuple[str, ...]) -> tuple[int, ...]:
        reads.append(keys)
        return await versions(keys)

    monkeypatch.setattr(store, "versions", counted)
    reply = await vault.call("PATCH", "A", secretValue="last")

    assert (200, 0 if store.is_inline else 1) == (reply.status_code, len(reads)), reads
