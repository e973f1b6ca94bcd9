"""Folder access: it decides in its folder alone, goes with it, and nobody gives or takes more than they hold there."""

import asyncio
from typing import Any

import pytest

from tests.api import Api
from tests.building import folder
from tests.services.access.test_roles import member, project, role
from watchword.services.access import folder_access

PLACE = {"environment": "dev", "secretPath": "/app"}
EVERYTHING = [
    {"subject": "secrets", "action": ["describeSecret", "readValue", "create", "edit", "delete"]},
]
MANAGES = {"subject": "secret-folders", "action": ["manage-access"], "conditions": PLACE}


class Site:
    """A project with a secret in /app and one in /app/sub, and a folder to give access to."""

    def __init__(self, api: Api, project_id: str, folder_id: str) -> None:
        self.api, self.project_id, self.folder_id = api, project_id, folder_id

    def of(self, identity_id: str, folder_id: str = "") -> str:
        base = f"/api/v1/projects/{self.project_id}/identities/{identity_id}/folder-access"
        return f"{base}/{folder_id or self.folder_id}"

    async def give(self, identity_id: str, permission: str, token: str = "", **more: Any) -> Any:
        body = {"permission": permission, **more}
        return await self.api.post(self.of(identity_id), body, token=token)

    async def may(self, token: str, path: str = "/app", environment: str = "dev") -> list[int]:
        """The statuses of listing, reading and changing what is in a folder."""
        place = {"projectId": self.project_id, "environment": environment, "secretPath": path}
        listed = await self.api.get("/api/v4/secrets", query=place | {"viewSecretValue": "false"}, token=token)
        read = await self.api.get("/api/v4/secrets/KEY", query=place, token=token)
        changed = await self.api.patch("/api/v4/secrets/KEY", {**place, "secretValue": "new"}, token=token)
        return [listed.status_code, read.status_code, changed.status_code]


async def site(api: Api) -> Site:
    project_id = await project(api)
    app = (await folder(api, project_id, "app"))["id"]
    await folder(api, project_id, "sub", "/app")
    for path in ("/app", "/app/sub"):
        body = {"projectId": project_id, "environment": "dev", "secretPath": path, "secretValue": "v"}
        await api.ok("POST", "/api/v4/secrets/KEY", body)
    return Site(api, project_id, app)


async def test_each_tier_has_all_of_the_one_before_and_ends_at_its_folder(any_api: Api) -> None:
    here = await site(any_api)
    identity_id, token = await member(any_api, here.project_id, "no-access")
    before, seen = await here.may(token), {}

    assert 200 == (await here.give(identity_id, "list")).status_code
    for tier in ("list", "read", "edit", "manage", "full-access"):
        await any_api.ok("PATCH", here.of(identity_id), {"permission": tier})
        seen[tier] = await here.may(token)
    below = await here.may(token, "/app/sub")
    await any_api.ok("DELETE", here.of(identity_id))

    assert [403, 403, 403] == before == below == await here.may(token)
    assert {
        "list": [200, 403, 403],
        "read": [200, 200, 403],
        "edit": [200, 200, 200],
        "manage": [200, 200, 200],
        "full-access": [200, 200, 200],
    } == seen


async def test_in_its_folder_it_stands_in_place_of_roles_and_privileges(any_api: Api) -> None:
    here = await site(any_api)
    identity_id, token = await member(any_api, here.project_id, "admin")
    before = await here.may(token)

    await here.give(identity_id, "list")

    assert [200, 200, 200] == before == await here.may(token, "/app/sub")
    assert [200, 403, 403] == await here.may(token)
    refused = await here.api.delete(here.of(identity_id), token=token)
    assert 403 == refused.status_code, "who is restricted lifts it"


async def test_it_goes_with_its_folder_when_that_or_its_environment_gets_another_name(any_api: Api) -> None:
    here = await site(any_api)
    identity_id, token = await member(any_api, here.project_id, "no-access")
    await here.give(identity_id, "read")
    first = await here.may(token)

    body = {"projectId": here.project_id, "environment": "dev", "path": "/", "name": "web"}
    await any_api.ok("PATCH", f"/api/v2/folders/{here.folder_id}", body)
    renamed = await here.may(token, "/web")
    await folder(any_api, here.project_id, "app")
    elsewhere = (await here.may(token, "/app"))[0]
    environments = (await any_api.ok("GET", f"/api/v1/projects/{here.project_id}"))["project"]["environments"]
    dev = next(one["id"] for one in environments if one["slug"] == "dev")
    await any_api.ok("PATCH", f"/api/v1/projects/{here.project_id}/environments/{dev}", {"slug": "test"})
    moved = await here.may(token, "/web", "test")

    shown = (await any_api.ok("GET", here.of(identity_id)))["folderAccess"]
    assert [200, 200, 403] == first == renamed == moved
    assert 403 == elsewhere
    assert ("test", "/web", "read") == (shown["environment"], shown["secretPath"], shown["permission"])


async def test_it_ends_with_its_folder_and_with_the_membership(any_api: Api) -> None:
    here = await site(any_api)
    identity_id, token = await member(any_api, here.project_id, "no-access")
    other, _ = await member(any_api, here.project_id, "no-access")
    await here.give(identity_id, "edit")
    await here.give(other, "edit")

    base = f"/api/v1/projects/{here.project_id}/memberships/identities/{identity_id}"
    await any_api.ok("DELETE", base)
    await any_api.ok("POST", base, {"role": "no-access"})
    after_return = await here.may(token)
    gone = {"projectId": here.project_id, "environment": "dev", "path": "/", "forceDelete": True}
    await any_api.ok("DELETE", f"/api/v2/folders/{here.folder_id}", gone)

    assert [403, 403, 403] == after_return
    async with any_api.runtime.store.read() as tx:
        from watchword.store.access.grants import privileges_of

        assert [] == await privileges_of(tx, "identity", other, here.project_id)
    assert 404 == (await any_api.get(here.of(other))).status_code


async def test_a_temporary_one_ends_and_full_access_is_for_good(any_api: Api) -> None:
    here = await site(any_api)
    identity_id, token = await member(any_api, here.project_id, "no-access")
    now = "2020-01-01T00:00:00Z"
    window = {"isTemporary": True, "temporaryMode": "relative", "temporaryRange": "1h"}
    over = await here.give(identity_id, "read", type={**window, "temporaryAccessStartTime": now})
    ended = await here.may(token)

    full = await any_api.patch(here.of(identity_id), {"permission": "full-access"})
    for_good = await any_api.patch(here.of(identity_id), {"permission": "full-access", "type": {"isTemporary": False}})
    again = await any_api.patch(here.of(identity_id), {"type": {**window, "temporaryAccessStartTime": now}})

    assert "2020-01-01T01:00:00.000Z" == over.json()["folderAccess"]["temporaryAccessEndTime"]
    assert [403, 403, 403] == ended
    assert (400, 200, 400) == (full.status_code, for_good.status_code, again.status_code)
    assert [200, 200, 200] == await here.may(token)


async def test_one_grant_for_a_folder_and_clear_words_for_what_is_wrong(any_api: Api) -> None:
    here = await site(any_api)
    identity_id, _ = await member(any_api, here.project_id, "no-access")
    free = (await any_api.identity(name="free"))["id"]
    unknown = "11111111-2222-4333-8444-555555555555"
    other = await project(any_api, "beta")

    first = await here.give(identity_id, "read")
    taken = await here.give(identity_id, "edit")
    tier = await here.give(identity_id, "owner")
    nothing = await any_api.patch(here.of(identity_id), {})
    outside = await here.give(free, "read")
    no_folder = await any_api.post(here.of(identity_id, unknown), {"permission": "read"})
    stranger = f"/api/v1/projects/{other}/identities/{identity_id}/folder-access/{here.folder_id}"

    assert [200, 400, 422, 422, 404, 404] == [
        one.status_code for one in (first, taken, tier, nothing, outside, no_folder)
    ]
    assert "permission" in tier.text
    assert 404 == (await any_api.post(stranger, {"permission": "read"})).status_code


async def test_an_identity_has_access_to_so_many_folders_of_a_project_also_when_two_are_granted_at_once(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder_access, "MOST_FOLDER_ACCESS", 2)
    here = await site(any_api)
    identity_id, _ = await member(any_api, here.project_id, "no-access")
    another_id, _ = await member(any_api, here.project_id, "no-access")
    folders = [(await folder(any_api, here.project_id, name))["id"] for name in ("one", "two", "three")]
    window = {"isTemporary": True, "temporaryMode": "relative", "temporaryRange": "1s"}
    ended = {**window, "temporaryAccessStartTime": "2020-01-01T00:00:00Z"}
    assert 200 == (await here.give(identity_id, "read", type=ended)).status_code

    async def granted(*folder_ids: str, to: str = identity_id) -> list[tuple[int, str]]:
        asked = [any_api.post(here.of(to, id), {"permission": "read"}) for id in folder_ids]
        return sorted((reply.status_code, reply.json().get("message", "")) for reply in await asyncio.gather(*asked))

    at_once = await granted(*folders)
    changed = await any_api.patch(here.of(identity_id), {"permission": "edit"})
    others = await granted(folders[0], to=another_id)
    await any_api.ok("DELETE", here.of(identity_id))
    with_room = await granted(*folders)

    assert [200, 400, 400] == [status for status, _ in at_once]
    assert "access of its own to 2 folders" in at_once[1][1]
    assert 200 == changed.status_code
    assert [200] == [status for status, _ in others]
    assert [200, 400, 400] == [status for status, _ in with_room]


async def test_who_manages_one_folder_gives_what_they_hold_there_and_no_more(any_api: Api) -> None:
    here = await site(any_api)
    await role(
        any_api, here.project_id, MANAGES, {**EVERYTHING[0], "conditions": {"environment": "dev"}}, slug="keeper"
    )
    _, keeper = await member(any_api, here.project_id, "keeper")
    owner_id, owner = await member(any_api, here.project_id, "no-access")
    weak, _ = await member(any_api, here.project_id, "no-access")
    strong, _ = await member(any_api, here.project_id, "admin")

    beyond = await here.give(weak, "read", token=keeper)
    await here.give(owner_id, "full-access")
    given = await here.give(weak, "edit", token=owner)
    over_strong = await here.give(strong, "list", token=owner)
    elsewhere = (await folder(any_api, here.project_id, "else"))["id"]
    not_there = await any_api.post(here.of(weak, elsewhere), {"permission": "list"}, token=owner)
    itself = await here.api.patch(here.of(owner_id), {"permission": "edit"}, token=owner)

    assert (403, 200, 403, 403) == tuple(one.status_code for one in (beyond, given, over_strong, not_there))
    assert {"action": "read", "subject": "secret-imports", "conditions": PLACE} not in beyond.json()["details"][
        "missingPermissions"
    ]  # rules on secrets speak for imports where none names them
    assert 200 == itself.status_code  # less for oneself


async def test_a_denial_returns_no_rights_to_who_lifts_it(any_api: Api) -> None:
    """A grant that holds a strong identity down is not removed by who holds less than its roles give back."""
    here = await site(any_api)
    strong, _ = await member(any_api, here.project_id, "admin")
    await here.give(strong, "list")
    await role(
        any_api,
        here.project_id,
        MANAGES,
        {"subject": "secrets", "action": ["describeSecret"]},
        *[
            {"subject": subject, "action": ["read"]}
            for subject in ("secret-imports", "secret-syncs", "secret-rotation", "secret-folders")
        ],
        slug="lister",
    )
    _, lister = await member(any_api, here.project_id, "lister")

    refused = [
        (await any_api.delete(here.of(strong), token=lister)).status_code,
        (await any_api.patch(here.of(strong), {"permission": "list"}, token=lister)).status_code,
    ]

    assert [403, 403] == refused


async def test_where_no_role_names_folders_the_rules_on_secrets_go_on_deciding_elsewhere(any_api: Api) -> None:
    here = await site(any_api)
    await role(any_api, here.project_id, *EVERYTHING, slug="old")
    identity_id, token = await member(any_api, here.project_id, "old")
    await here.give(identity_id, "list")

    async def made(path: str, name: str) -> int:
        body = {"projectId": here.project_id, "environment": "dev", "path": path, "name": name}
        return (await any_api.post("/api/v2/folders", body, token=token)).status_code

    assert [200, 200] == [await made("/", "one"), await made("/app/sub", "two")]
    explained = await any_api.ok(
        "POST",
        f"/api/v1/projects/{here.project_id}/explain",
        {
            "actorType": "identity",
            "actorId": identity_id,
            "action": "create",
            "subject": "secret-imports",
            "facts": {"environment": "dev", "secretPath": "/"},
        },
    )
    assert (True, "role old") == (explained["allowed"], explained["decision"]["source"])


async def test_explanations_reports_and_the_audit_log_know_it(any_api: Api) -> None:
    here = await site(any_api)
    identity_id, _ = await member(any_api, here.project_id, "no-access")
    await here.give(identity_id, "read")
    await any_api.ok("PATCH", here.of(identity_id), {"permission": "edit"})
    question = {"actorType": "identity", "actorId": identity_id, "action": "readValue", "subject": "secrets"}

    answer = await any_api.ok("POST", f"/api/v1/projects/{here.project_id}/explain", {**question, "facts": PLACE})
    report = await any_api.ok("GET", f"/api/v1/projects/{here.project_id}/access", query=PLACE)
    listed = (await any_api.ok("GET", here.of(identity_id).rpartition("/")[0]))["folderAccesses"]
    await any_api.ok("DELETE", here.of(identity_id))
    events = (await any_api.ok("GET", "/api/v1/organization/audit-logs", query={"projectId": here.project_id}))[
        "auditLogs"
    ]

    source = "folder access edit on dev:/app"
    assert (True, source) == (answer["allowed"], answer["decision"]["source"])
    assert [source] == next(one["sources"] for one in report["access"] if one["actor"]["id"] == identity_id)
    assert [here.folder_id] == [one["folderId"] for one in listed]
    changes = [one["event"] for one in events if "folder-access" in one["event"]["type"]]
    assert ["delete", "update", "create"] == [one["type"].partition("-")[0] for one in changes]
    assert {"permission": "edit", "oldPermission": "read"}.items() <= changes[1]["metadata"].items()


@pytest.mark.parametrize("path", ["/api/v2/identity-project-additional-privilege"])
async def test_it_is_no_additional_privilege(any_api: Api, path: str) -> None:
    here = await site(any_api)
    identity_id, _ = await member(any_api, here.project_id, "no-access")
    given = (await here.give(identity_id, "read")).json()["folderAccess"]

    listed = await any_api.ok("GET", path, query={"identityId": identity_id, "projectId": here.project_id})

    assert [] == listed["privileges"]
    assert 404 == (await any_api.delete(f"{path}/{given['id']}")).status_code
