"""Webhooks: who is told of which changes, what they get, and what nobody sees."""

import hashlib
import hmac
from typing import Any

import pytest
from sqlalchemy import select

from tests.api import Api
from tests.receiving import delivered, receiving, settled
from watchword.app import build_outbound
from watchword.services.keys import rotation
from watchword.services.keys.keyring import project_scope
from watchword.services.projects import webhooks
from watchword.store import schema

URL = "https://hooks.example.com/in?token=hidden"


async def project(api: Api) -> str:
    id: str = (await api.ok("POST", "/api/v1/projects", {"projectName": "Shop"}))["project"]["id"]
    return id


async def webhook(api: Api, project_id: str, **fields: Any) -> dict[str, Any]:
    body = {"workspaceId": project_id, "environment": "dev", "webhookUrl": URL, **fields}
    made: dict[str, Any] = (await api.ok("POST", "/api/v1/webhooks", body))["webhook"]
    return made


async def put(api: Api, project_id: str, name: str = "KEY", path: str = "/", environment: str = "dev") -> None:
    body = {"workspaceId": project_id, "environment": environment, "secretPath": path, "secretValue": "v"}
    await api.ok("POST", f"/api/v3/secrets/raw/{name}", body)


async def folder(api: Api, project_id: str, name: str, path: str = "/") -> str:
    body = {"projectId": project_id, "environment": "dev", "name": name, "path": path}
    id: str = (await api.ok("POST", "/api/v2/folders", body))["folder"]["id"]
    return id


async def test_a_changed_secret_is_told_signed_in_the_documented_form(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    made = await webhook(any_api, shop, webhookSecretKey="s3cret")

    await put(any_api, shop)
    await delivered(any_api, lambda: bool(receiver.got))
    got = receiver.got[0]
    moment, _, signature = got.headers["x-infisical-signature"].removeprefix("t=").partition(";")

    assert URL == got.url
    assert {
        "event": "secrets.modified",
        "project": {
            "workspaceId": shop,
            "projectId": shop,
            "projectName": "Shop",
            "environment": "dev",
            "secretPath": "/",
        },
        "timestamp": int(moment),
    } == got.json
    assert hmac.new(b"s3cret", got.body, hashlib.sha256).hexdigest() == signature
    shown = (await any_api.ok("GET", f"/api/v1/webhooks/{made['id']}"))["webhook"]
    assert ("success", None, 0, 0) == tuple(
        shown[name] for name in ("lastStatus", "lastRunErrorMessage", "waitingDeliveries", "deadDeliveries")
    )


async def test_every_kind_of_write_is_told_and_a_batch_once_for_each_folder(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    await folder(any_api, shop, "a")
    await webhook(any_api, shop)
    where = {"workspaceId": shop, "environment": "dev", "secretPath": "/"}
    told: list[list[tuple[str, str]]] = []

    async def after(method: str, path: str, body: dict[str, Any]) -> None:
        before = len(receiver.got)
        await any_api.ok(method, path, {**where, **body})
        await settled(any_api)
        told.append([got.place for got in receiver.got[before:]])

    await after("POST", "/api/v3/secrets/raw/ONE", {"secretValue": "1"})
    await after("PATCH", "/api/v3/secrets/raw/ONE", {"secretValue": "2"})
    names = [{"secretKey": f"K{n}", "secretValue": "v"} for n in range(5)]
    await after("POST", "/api/v3/secrets/batch/raw", {"secrets": names})
    elsewhere = [{"secretKey": "K1", "secretValue": "w"}, {"secretKey": "A", "secretValue": "w", "secretPath": "/a"}]
    await after("PATCH", "/api/v3/secrets/batch/raw", {"secrets": elsewhere, "mode": "upsert"})
    await after("DELETE", "/api/v3/secrets/raw/ONE", {})

    root, a = ("dev", "/"), ("dev", "/a")
    assert [[root], [root], [root], [root, a], [root]] == told


async def test_only_webhooks_of_that_environment_and_path_are_told(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    await folder(any_api, shop, "app")
    await folder(any_api, shop, "db", "/app")
    patterns = ["/", "/app", "/app/*", "/app/**", "/**", "/other/**"]
    for n, path in enumerate(patterns):
        await webhook(any_api, shop, webhookUrl=f"https://h.example.com/{n}", secretPath=path)
    await webhook(any_api, shop, webhookUrl="https://h.example.com/prod", environment="prod", secretPath="/**")
    await webhook(any_api, shop, webhookUrl="https://h.example.com/all", environment="", secretPath="/**")

    async def told(path: str) -> set[str]:
        receiver.got.clear()
        await put(any_api, shop, path=path)
        await settled(any_api)
        names = {got.url.rpartition("/")[2] for got in receiver.got}
        return {patterns[int(name)] if name.isdigit() else name for name in names}

    assert {"/", "/**", "all"} == await told("/")
    assert {"/app", "/app/**", "/**", "all"} == await told("/app")
    assert {"/app/*", "/app/**", "/**", "all"} == await told("/app/db")


async def test_a_folder_that_is_moved_or_deleted_with_its_secrets_is_told_where_secrets_were_and_are(
    any_api: Api,
) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    top = await folder(any_api, shop, "a")
    await folder(any_api, shop, "b", "/a")
    await folder(any_api, shop, "empty", "/a")
    await put(any_api, shop, path="/a/b")
    await webhook(any_api, shop)

    body = {"projectId": shop, "environment": "dev", "name": "z", "path": "/"}
    await any_api.ok("PATCH", f"/api/v2/folders/{top}", body)
    await settled(any_api)
    moved = [got.place for got in receiver.got]
    receiver.got.clear()
    await any_api.ok("DELETE", f"/api/v2/folders/{top}", {**body, "forceDelete": True})
    await settled(any_api)

    assert [("dev", "/a/b"), ("dev", "/z/b")] == moved
    assert [("dev", "/z/b")] == [got.place for got in receiver.got]


async def test_an_environment_that_is_deleted_restored_or_renamed_is_told(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    await put(any_api, shop, environment="staging")
    await webhook(any_api, shop, environment="")
    base = f"/api/v1/projects/{shop}/environments"
    found = (await any_api.ok("GET", f"/api/v1/projects/{shop}"))["project"]["environments"]
    id = next(one["id"] for one in found if one["slug"] == "staging")

    await any_api.ok("PATCH", f"{base}/{id}", {"slug": "stage"})
    await settled(any_api)
    renamed = {got.place for got in receiver.got}
    receiver.got.clear()
    await any_api.ok("DELETE", f"{base}/{id}")
    await settled(any_api)

    assert {("staging", "/"), ("stage", "/")} == renamed
    assert [("stage", "/")] == [got.place for got in receiver.got]


async def test_moved_secrets_are_told_in_both_folders(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    await folder(any_api, shop, "a")
    await put(any_api, shop)
    where = {"workspaceId": shop, "environment": "dev", "secretPath": "/"}
    id = (await any_api.ok("GET", "/api/v3/secrets/raw/KEY", query=where))["secret"]["id"]
    await webhook(any_api, shop)

    body = {
        "projectId": shop,
        "sourceEnvironment": "dev",
        "sourceSecretPath": "/",
        "destinationEnvironment": "dev",
        "destinationSecretPath": "/a",
        "secretIds": [id],
    }
    await any_api.ok("POST", "/api/v3/secrets/move", body)
    await settled(any_api)

    assert [("dev", "/"), ("dev", "/a")] == [got.place for got in receiver.got]


async def test_a_personal_secret_is_nobodys_business(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    await put(any_api, shop)
    await webhook(any_api, shop)

    body = {
        "workspaceId": shop,
        "environment": "dev",
        "secretPath": "/",
        "secretValue": "mine",
        "type": "personal",
    }
    await any_api.ok("POST", "/api/v3/secrets/raw/KEY", body)
    await settled(any_api)

    assert 0 == receiver.tried


async def test_a_refused_write_is_not_told(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    await put(any_api, shop)
    await webhook(any_api, shop)

    where = {"workspaceId": shop, "environment": "dev", "secretPath": "/"}
    reply = await any_api.post("/api/v3/secrets/raw/KEY", {**where, "secretValue": "again"})
    await settled(any_api)

    assert 400 == reply.status_code
    assert 0 == receiver.tried


async def test_chats_get_a_sentence_in_their_own_form(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    chat = "https://chat.example.com/services/T0/B0/hidden"
    made = [
        await webhook(any_api, shop, type=kind, webhookUrl=f"{chat}{kind}", webhookSecretKey="k")
        for kind in ("slack", "microsoft-teams")
    ]

    await put(any_api, shop)
    await settled(any_api)
    by_kind = {got.url.removeprefix(chat): got for got in receiver.got}

    sentence = "Secrets were changed: project Shop (dev, /)"
    assert {"text": sentence} == by_kind["slack"].json
    card = by_kind["microsoft-teams"].json["attachments"][0]
    assert "application/vnd.microsoft.card.adaptive" == card["contentType"]
    assert sentence == card["content"]["body"][0]["text"]
    assert {"https://chat.example.com/***"} == {one["url"] for one in made}


async def test_neither_answers_nor_events_nor_rows_show_the_key_or_what_is_secret_of_a_url(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    receiver.fails = lambda url: f"{url.partition('?')[0]}: 10.1.2.3 is a private, local or reserved address; name it"
    made = await webhook(any_api, shop, webhookSecretKey="hidden")
    chat = await webhook(any_api, shop, type="slack", webhookUrl="https://chat.example.com/T/hidden")
    await put(any_api, shop)
    await delivered(any_api, lambda: receiver.tried >= 2)
    await settled(any_api)
    texts = [str(made), str(chat)]
    for one in (made, chat):
        path = f"/api/v1/webhooks/{one['id']}"
        texts += [
            (await any_api.get(path)).text,
            (await any_api.patch(path, {"secretPath": "/x"})).text,
            (await any_api.post(f"{path}/test")).text,
            (await any_api.get(f"{path}/deliveries", query={"state": "waiting"})).text,
            (await any_api.delete(path)).text,
        ]
    async with any_api.runtime.store.read() as tx:
        for table in (schema.audit_events, schema.deliveries, schema.delivery_targets):
            texts += [str(tuple(row)) for row in await tx.all(select(table))]

    assert "has a private, local or reserved address" in texts[2]
    assert [] == [text for text in texts if "hidden" in text or "10.1.2.3" in text]


async def test_a_disabled_webhook_is_told_nothing_and_what_waited_is_dropped(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    made = await webhook(any_api, shop)
    receiver.fails = lambda url: 500
    await put(any_api, shop)
    await delivered(any_api, lambda: receiver.tried > 0)
    await settled(any_api)
    path = f"/api/v1/webhooks/{made['id']}"

    waiting = (await any_api.ok("GET", path))["webhook"]["waitingDeliveries"]
    disabled = (await any_api.ok("PATCH", path, {"isDisabled": True}))["webhook"]
    await put(any_api, shop, "OTHER")
    receiver.fails = lambda url: None
    await any_api.ok("PATCH", path, {"isDisabled": False})
    await settled(any_api)

    assert (1, 0, True) == (waiting, disabled["waitingDeliveries"], disabled["isDisabled"])
    assert [] == receiver.got


async def test_a_test_is_sent_at_once_and_says_how_it_went(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    made = await webhook(any_api, shop)
    path = f"/api/v1/webhooks/{made['id']}/test"

    good = (await any_api.ok("POST", path))["webhook"]
    receiver.fails = lambda url: 503
    bad = (await any_api.ok("POST", path))["webhook"]

    assert ["test"] == [got.json["event"] for got in receiver.got]
    assert ("success", None) == (good["lastStatus"], good["lastRunErrorMessage"])
    assert ("failed", "the receiver answered 503") == (bad["lastStatus"], bad["lastRunErrorMessage"])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("webhookUrl", "http://hooks.example.com/"),
        ("webhookUrl", "ftp://hooks.example.com/"),
        ("webhookUrl", "https://user:word@hooks.example.com/"),
        ("webhookUrl", "https://hooks.example.com/#part"),
        ("webhookUrl", "not a url"),
        ("webhookUrl", ""),
        ("type", "discord"),
        ("secretPath", "/app/[a"),
        ("webhookSecretKey", "k" * 513),
        ("eventsFilter", [{"eventName": "secrets.rotation-failed"}]),
    ],
)
async def test_what_cannot_be_sent_to_is_refused_by_the_name_of_its_field(api: Api, field: str, value: Any) -> None:
    body = {"workspaceId": await project(api), "environment": "dev", "webhookUrl": URL, field: value}

    reply = await api.post("/api/v1/webhooks", body)

    assert 422 == reply.status_code, reply.text
    assert field in reply.text


async def test_a_project_has_a_bounded_number_of_webhooks(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "MAX_WEBHOOKS", 2)
    shop = await project(api)
    body = {"workspaceId": shop, "environment": "dev", "webhookUrl": URL}

    statuses = [(await api.post("/api/v1/webhooks", body)).status_code for _ in range(3)]

    assert [200, 200, 400] == statuses


async def test_a_deleted_webhook_leaves_nothing(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    receiver.fails = lambda url: 500
    made = await webhook(any_api, shop)
    await put(any_api, shop)
    await settled(any_api)

    await any_api.ok("DELETE", f"/api/v1/webhooks/{made['id']}")
    await put(any_api, shop, "OTHER")

    async with any_api.runtime.store.read() as tx:
        assert [] == [*await tx.all(select(schema.deliveries.c.id))]
    assert 404 == (await any_api.get(f"/api/v1/webhooks/{made['id']}")).status_code


async def test_a_rotated_project_key_seals_urls_with_the_new_one(any_api: Api) -> None:
    receiver, shop = receiving(any_api), await project(any_api)
    await webhook(any_api, shop)
    scope = project_scope(shop)

    await rotation.stage(any_api.runtime, scope)
    await rotation.activate(any_api.runtime, scope)
    written = sum([count async for count in rotation.reseal(any_api.runtime, scope)])
    again = sum([count async for count in rotation.reseal(any_api.runtime, scope)])
    await put(any_api, shop)
    await settled(any_api)

    assert (1, 0) == (written, again)
    assert [URL] == [got.url for got in receiver.got]


async def test_messages_go_through_the_guarded_client(api: Api) -> None:
    """The project's administrators choose the URL, and the server must not read its own network for them."""
    import msgspec

    client = build_outbound(api.runtime.settings)
    msgspec.structs.force_setattr(api.runtime, "receivers", client)
    shop, errors = await project(api), []

    for host in ("127.0.0.1", "localhost", "[::1]", "169.254.169.254", "[::ffff:10.0.0.1]"):
        made = await webhook(api, shop, webhookUrl=f"https://{host}/latest")
        tested = (await api.ok("POST", f"/api/v1/webhooks/{made['id']}/test"))["webhook"]
        errors.append((tested["lastStatus"], "private, local or reserved" in tested["lastRunErrorMessage"]))
    await client.close()

    assert [("failed", True)] * 5 == errors
