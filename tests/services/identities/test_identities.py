"""Machine identities: made, found, changed and removed by those who may, and gone with everything that hangs on
them.
"""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.api import Api

IDENTITIES = "/api/v1/identities"


async def names(api: Api, **query: Any) -> list[str]:
    listed = await api.ok("GET", IDENTITIES, query={"orgId": api.org_id, **query})
    return [item["identity"]["name"] for item in listed["identities"]]


async def test_an_identity_is_made_with_its_role_and_metadata(any_api: Api) -> None:
    metadata = [{"key": "team", "value": "a"}, {"key": "team", "value": "b"}]
    made = await any_api.identity("member", "builder", metadata=metadata)

    found = (await any_api.ok("GET", f"{IDENTITIES}/{made['id']}"))["identity"]

    assert ("builder", "member") == (found["identity"]["name"], found["role"])
    assert metadata == [{"key": item["key"], "value": item["value"]} for item in found["metadata"]]


async def test_a_change_replaces_what_it_names_and_nothing_else(any_api: Api) -> None:
    made = await any_api.identity("member", "before", metadata=[{"key": "a", "value": "1"}])

    await any_api.ok("PATCH", f"{IDENTITIES}/{made['id']}", {"name": "after"})
    found = (await any_api.ok("GET", f"{IDENTITIES}/{made['id']}"))["identity"]

    assert ("after", "member", 1) == (found["identity"]["name"], found["role"], len(found["metadata"]))


async def test_names_need_not_be_unique_and_are_trimmed(api: Api) -> None:
    await api.identity(name=" same ")
    await api.identity(name="same")

    assert 2 == (await names(api)).count("same")


async def test_a_removed_identity_is_gone_with_its_credentials(any_api: Api) -> None:
    identity, token = await any_api.bot("member")
    await any_api.ok("DELETE", f"{IDENTITIES}/{identity['id']}")

    assert 404 == (await any_api.get(f"{IDENTITIES}/{identity['id']}")).status_code
    assert 401 == (await any_api.get(f"{IDENTITIES}/{identity['id']}", token=token)).status_code
    assert "bot" not in await names(any_api)


async def test_delete_protection_holds_until_it_is_taken_off(any_api: Api) -> None:
    identity = await any_api.identity(hasDeleteProtection=True)
    path = f"{IDENTITIES}/{identity['id']}"

    refused = await any_api.delete(path)
    await any_api.ok("PATCH", path, {"hasDeleteProtection": False})

    assert (400, 200) == (refused.status_code, (await any_api.delete(path)).status_code)


async def test_an_identity_that_expired_neither_logs_in_nor_uses_what_it_has(any_api: Api) -> None:
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    token = await any_api.login(login)
    soon = (any_api.clock() + 60_000) // 1000
    await any_api.ok(
        "PATCH", f"{IDENTITIES}/{identity['id']}", {"expiresAt": datetime.fromtimestamp(soon, UTC).isoformat()}
    )
    before = (await any_api.get(f"{IDENTITIES}/{identity['id']}", token=token)).status_code
    any_api.clock.forward(62)

    after = (await any_api.get(f"{IDENTITIES}/{identity['id']}", token=token)).status_code
    again = (await any_api.post("/api/v1/auth/universal-auth/login", login, token=None)).status_code
    assert (200, 401, 401) == (before, after, again)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": 1}, "name"),
        ({"name": "x" * 256}, "name"),
        ({"role": ""}, "role"),
        ({"metadata": [{"key": "a"}]}, "metadata"),
        ({"hasDeleteProtection": "yes"}, "hasDeleteProtection"),
    ],
)
async def test_what_makes_no_sense_is_refused_with_its_field(api: Api, body: dict[str, Any], field: str) -> None:
    reply = await api.post(IDENTITIES, {"name": "a", "organizationId": api.org_id, **body})

    assert (422, field) == (reply.status_code, reply.json()["message"][0]["path"][0])


@pytest.mark.parametrize("id", ["x", "01a203ee-9dba-7b90-b424-1f20aa43038b", "%20", "' OR 1=1 --"])
async def test_an_identity_that_is_not_there_is_not_found_whatever_its_id_looks_like(api: Api, id: str) -> None:
    replies = [
        await api.get(f"{IDENTITIES}/{id}"),
        await api.patch(f"{IDENTITIES}/{id}", {"name": "x"}),
        await api.delete(f"{IDENTITIES}/{id}"),
    ]

    assert {404, 422} >= {reply.status_code for reply in replies}


async def test_another_organization_s_identity_is_out_of_reach(any_api: Api) -> None:
    identity = await any_api.identity("member")
    _, stranger = await any_api.organization()
    path = f"{IDENTITIES}/{identity['id']}"

    replies = [
        await any_api.get(path, token=stranger),
        await any_api.patch(path, {"name": "mine"}, token=stranger),
        await any_api.delete(path, token=stranger),
        await any_api.get(IDENTITIES, query={"orgId": any_api.org_id}, token=stranger),
        await any_api.post(IDENTITIES, {"name": "x", "organizationId": any_api.org_id}, token=stranger),
    ]

    assert {403, 404} >= {reply.status_code for reply in replies}
    assert "bot" in await names(any_api)


async def test_nobody_makes_or_raises_an_identity_above_himself(any_api: Api) -> None:
    rules = [{"subject": "identity", "action": ["read", "create", "edit", "delete"]}]
    await any_api.ok(
        "POST",
        f"/api/v1/organization/{any_api.org_id}/roles",
        {"slug": "keeper", "name": "Keeper", "permissions": rules},
    )
    _, keeper = await any_api.bot("keeper")
    weak, strong = await any_api.identity("no-access"), await any_api.identity("admin")

    replies = [
        await any_api.post(IDENTITIES, {"name": "x", "organizationId": any_api.org_id, "role": "admin"}, token=keeper),
        await any_api.patch(f"{IDENTITIES}/{weak['id']}", {"role": "admin"}, token=keeper),
        await any_api.patch(f"{IDENTITIES}/{strong['id']}", {"name": "x"}, token=keeper),
        await any_api.delete(f"{IDENTITIES}/{strong['id']}", token=keeper),
    ]

    assert {403} == {reply.status_code for reply in replies}
    assert 200 == (await any_api.patch(f"{IDENTITIES}/{weak['id']}", {"name": "x"}, token=keeper)).status_code


@pytest.mark.parametrize("role", ["no-such-role", "custom", "owner"])
async def test_a_role_that_is_not_there_cannot_be_given(api: Api, role: str) -> None:
    reply = await api.post(IDENTITIES, {"name": "x", "organizationId": api.org_id, "role": role})

    assert reply.status_code in (400, 404, 422)


async def test_a_name_with_a_zero_character_is_refused_or_kept_but_never_breaks(any_api: Api) -> None:
    reply = await any_api.post(IDENTITIES, {"name": "a\x00b", "organizationId": any_api.org_id})

    assert reply.status_code < 500
