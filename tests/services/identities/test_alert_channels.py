"""Alerts: each occurrence is told once, to the channels that want it, in the form of the channel."""

from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from tests.api import Api
from tests.receiving import receiving, settled
from watchword.services.keys import rotation
from watchword.services.keys.keyring import org_scope
from watchword.store import schema

URL = "https://alerts.example.com/in?token=hidden"
BASE = "/api/v1/organization/alert-channels"


async def channel(api: Api, **fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = (await api.ok("POST", BASE, {"name": "Operators", "url": URL, **fields}))["channel"]
    return made


async def test_a_changed_method_and_a_wrap_that_is_opened_twice_are_told_with_the_change(any_api: Api) -> None:
    receiver = receiving(any_api)
    await channel(any_api)
    identity = await any_api.identity(name="runner")
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}"

    await any_api.ok("POST", path, {})
    await any_api.ok("PATCH", path, {"accessTokenTTL": 60})
    made = await any_api.ok("POST", f"{path}/client-secrets", {"wrapTTL": "5m"})
    token = made["wrapping"]["token"]
    await any_api.ok("POST", "/api/v1/auth/wrapping/unwrap", {"token": token}, token=None)
    await any_api.post("/api/v1/auth/wrapping/unwrap", {"token": token}, token=None)
    await any_api.ok("DELETE", path)
    await settled(any_api)
    events = [got.json for got in receiver.got]

    assert [
        ("watchword.method.changed", "added"),
        ("watchword.method.changed", "changed"),
        ("watchword.wrap.reused", None),
        ("watchword.method.changed", "removed"),
    ] == [(event["type"], event["data"]["items"][0].get("change")) for event in events]
    assert {"1.0"} == {event["specversion"] for event in events}
    assert [f"/organizations/{any_api.org_id}"] * 4 == [event["source"] for event in events]
    assert [event["id"] for event in events] == [got.headers["webhook-id"] for got in receiver.got]
    assert token.rpartition(".")[2] not in str(events)


async def test_mails_go_through_the_mail_server_and_need_one(any_api: Api) -> None:
    mails: list[tuple[str, str, str]] = []

    class Mailer:
        is_configured = False

        async def send(self, to: str, subject: str, text: str) -> None:
            mails.append((to, subject, text))

    mailer = Mailer()
    msgspec.structs.force_setattr(any_api.runtime, "mailer", mailer)
    body = {"name": "Mail", "type": "email", "emails": ["Ops@example.com", "b@example.com"]}
    without = await any_api.post(BASE, body)
    mailer.is_configured = True
    made = (await any_api.ok("POST", BASE, body))["channel"]
    identity = await any_api.identity(name="runner\r\nBcc: x@example.com".replace("\r\n", " "))
    await any_api.ok("POST", f"/api/v1/auth/universal-auth/identities/{identity['id']}", {})
    await settled(any_api)

    assert 400 == without.status_code
    assert "ops@example.com, b@example.com" == made["target"]
    ((to, subject, text),) = mails
    assert "ops@example.com, b@example.com" == to
    assert subject.startswith("[Watchword] Auth method universal-auth was added: runner")
    assert f"identityId: {identity['id']}" in text


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("url", {}),
        ("url", {"url": "http://alerts.example.com"}),
        ("emails", {"type": "email"}),
        ("emails", {"url": URL, "emails": ["a@example.com"]}),
        ("alerts", {"url": URL, "alerts": ["identity.unused", "nonsense"]}),
        ("expiringDays", {"url": URL, "expiringDays": 0}),
        ("name", {"url": URL, "name": ""}),
    ],
)
async def test_a_channel_that_cannot_be_told_is_refused_by_its_field(api: Api, field: str, body: Any) -> None:
    reply = await api.post(BASE, {"name": "x", **body})

    assert 422 == reply.status_code, reply.text
    assert field in reply.text


async def test_neither_answers_nor_events_show_what_is_secret(any_api: Api) -> None:
    receiver = receiving(any_api)
    receiver.fails = lambda url: 500
    made = await channel(any_api, secretKey="hidden")
    path = f"{BASE}/{made['id']}"
    texts = [str(made)]
    for method, where, body in (
        ("GET", BASE, None),
        ("PATCH", path, {"secretKey": "hidden too"}),
        ("POST", f"{path}/test", None),
        ("GET", f"{path}/deliveries", None),
        ("DELETE", path, None),
    ):
        texts.append((await any_api.request(method, where, body)).text)
    async with any_api.runtime.store.read() as tx:
        texts += [str(tuple(row)) for row in await tx.all(select(schema.audit_events))]

    assert [] == [text for text in texts if "hidden" in text]


async def test_a_rotated_organization_key_seals_channels_with_the_new_one(any_api: Api) -> None:
    receiver = receiving(any_api)
    made, scope = await channel(any_api), org_scope(any_api.org_id)

    await rotation.stage(any_api.runtime, scope)
    await rotation.activate(any_api.runtime, scope)
    written = sum([count async for count in rotation.reseal(any_api.runtime, scope)])
    again = sum([count async for count in rotation.reseal(any_api.runtime, scope)])
    await any_api.ok("POST", f"{BASE}/{made['id']}/test")

    assert written >= 1
    assert 0 == again
    assert [URL] == [got.url for got in receiver.got]
