"""Server-sent events of changed secrets: who is told what, and when a stream ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests import building
from tests.api import Api
from tests.vault import Vault, rule
from watchword.app import Server
from watchword.http.secrets import project_events

PATH = "/api/v1/events/subscribe/project-events"
ALL = ("secret:create", "secret:update", "secret:delete", "secret:import-mutation")


class Frames:
    """The frames of a stream as they come."""

    def __init__(self) -> None:
        self.status = 0
        self.text = ""
        self.is_over = False
        self.left = asyncio.Event()
        self._came = asyncio.Event()
        self._read = 0

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = dict(message["headers"])
        else:
            self.text += message.get("body", b"").decode()
            self.is_over = not message.get("more_body")
        self._came.set()

    async def next(self) -> str:
        async with asyncio.timeout(10):
            while "\n\n" not in self.text[self._read :]:
                assert not self.is_over, "the stream is over"
                self._came.clear()
                await self._came.wait()
        end = self.text.index("\n\n", self._read) + 2
        frame, self._read = self.text[self._read : end], end
        return frame

    async def told(self, count: int = 1) -> list[tuple[str, str, str, str | None]]:
        """The next events, heartbeats left out."""
        found: list[tuple[str, str, str, str | None]] = []
        while len(found) < count:
            frame = await self.next()
            if "\ndata: " in frame:
                data = json.loads(frame.partition("\ndata: ")[2])
                assert f"event: {data['event']}\n" in frame
                found.append((data["event"], data["environment"], data["secretPath"], data.get("secretKey")))
        return found

    @property
    def last_id(self) -> str:
        return self.text.rpartition("id: ")[2].partition("\n")[0]

    async def over(self) -> str:
        async with asyncio.timeout(10):
            while not self.is_over:
                self._came.clear()
                await self._came.wait()
        return self.text[self._read :]


@asynccontextmanager
async def subscribed(api: Api, token: str, body: Any, headers: dict[str, str] | None = None) -> AsyncIterator[Frames]:
    frames, data = Frames(), json.dumps(body).encode()
    messages = iter([{"type": "http.request", "body": data, "more_body": False}])

    async def receive() -> Any:
        for message in messages:
            return message
        await frames.left.wait()
        return {"type": "http.disconnect"}

    sent = {"host": "watchword.test", "authorization": f"Bearer {token}", "content-type": "application/json"}
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "headers": [(name.encode(), text.encode()) for name, text in {**sent, **(headers or {})}.items()],
        "client": ("127.0.0.1", 1),
    }
    asked = asyncio.create_task(Server(api.runtime)(scope, receive, lambda message: frames.send(message)))
    try:
        yield frames
    finally:
        frames.left.set()
        async with asyncio.timeout(10):
            await asked


def wanted(vault: Vault, *events: str, **conditions: str) -> dict[str, Any]:
    more = {"conditions": conditions} if conditions else {}
    return {"projectId": vault.project_id, "register": [{"event": event, **more} for event in events or ALL]}


async def test_a_subscriber_is_told_what_was_created_changed_and_deleted(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.folder("/app")

    async with subscribed(any_api, any_api.token, wanted(vault)) as frames:
        await frames.next()
        await vault.put("KEY", "1", path="/app")
        assert [("secret:create", "dev", "/app", "KEY")] == await frames.told()
        await vault.change("KEY", secretValue="2", path="/app")
        assert [("secret:update", "dev", "/app", "KEY")] == await frames.told()
        await vault.change("KEY", newSecretName="OTHER", path="/app")
        assert {("secret:delete", "dev", "/app", "KEY"), ("secret:create", "dev", "/app", "OTHER")} == set(
            await frames.told(2)
        )
        await vault.call("DELETE", "OTHER", path="/app")
        assert [("secret:delete", "dev", "/app", "OTHER")] == await frames.told()

    assert 0 == len(any_api.runtime.waiting) == len(any_api.runtime.changes)
    assert (200, b"text/event-stream; charset=utf-8") == (frames.status, frames.headers[b"content-type"])
    assert b"no-store" == frames.headers[b"cache-control"]


async def test_conditions_leave_out_other_places_and_events(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for path in ("/app", "/app/db", "/other"):
        await vault.folder(path)
    one = wanted(vault, "secret:create", environmentSlug="dev", secretPath="/app")
    below = wanted(vault, "secret:create", environmentSlug="dev", secretPath="/app/**")

    async with (
        subscribed(any_api, any_api.token, one) as narrow,
        subscribed(any_api, any_api.token, below) as wide,
    ):
        await narrow.next()
        await wide.next()
        await vault.put("A", "1", path="/other")
        await vault.put("B", "1", path="/app/db")
        await vault.put("C", "1", path="/app")
        await vault.change("C", secretValue="2", path="/app")

        assert [("secret:create", "dev", "/app", "C")] == await narrow.told()
        assert {("secret:create", "dev", "/app/db", "B"), ("secret:create", "dev", "/app", "C")} == set(
            await wide.told(2)
        )
        await asyncio.sleep(0.6)

    assert (1, 2) == (narrow.text.count("event: "), wide.text.count("event: "))


async def test_a_change_of_an_imported_secret_is_an_import_mutation_there(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for path in ("/app", "/shared", "/far"):
        await vault.folder(path)
    await vault.put("HOST", "1", path="/far")
    assert 200 == (await vault.link("/far", path="/shared")).status_code
    assert 200 == (await vault.link("/shared", path="/app")).status_code

    async with subscribed(
        any_api, any_api.token, wanted(vault, "secret:import-mutation", environmentSlug="dev", secretPath="/app")
    ) as frames:
        await frames.next()
        await vault.change("HOST", secretValue="2", path="/far")

        assert [("secret:import-mutation", "dev", "/app", "HOST")] == await frames.told()


async def test_a_name_is_told_only_to_who_may_see_it(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    rules = [rule("subscribe-on-created", subject="secret-event-subscriptions")]
    token = await building.member(any_api, vault.project_id, "blind", rules=rules)

    async with subscribed(any_api, token, wanted(vault, "secret:create")) as frames:
        await frames.next()
        await vault.put("KEY", "1")

        assert [("secret:create", "dev", "/", None)] == await frames.told()
    assert "KEY" not in frames.text


async def test_a_right_is_asked_for_each_event_and_place(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    rules = [rule("subscribe-on-created", subject="secret-event-subscriptions", environment={"$eq": "dev"})]
    token = await building.member(any_api, vault.project_id, "some", rules=rules)

    async def status(body: Any) -> int:
        return (await any_api.post(PATH, {**body, "seconds": 0}, token=token)).status_code

    assert 200 == await status(wanted(vault, "secret:create"))
    assert 403 == await status(wanted(vault, "secret:create", environmentSlug="prod"))
    assert 403 == await status(wanted(vault, "secret:update"))
    async with subscribed(any_api, token, wanted(vault, "secret:create")) as frames:
        await frames.next()
        await vault.put("PROD", "1", env="prod")
        await vault.put("DEV", "1")
        assert [("secret:create", "dev", "/")] == [event[:3] for event in await frames.told()]


async def test_a_stream_ends_when_its_token_is_revoked(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    token = await building.member(any_api, vault.project_id)

    async with subscribed(any_api, token, wanted(vault)) as frames:
        await frames.next()
        await any_api.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)

        assert '"statusCode":401' in await frames.over()


async def test_a_stream_ends_when_its_token_expires(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_events, "HEARTBEAT", 0.1)
    vault = await Vault.new(api)
    token = await building.member(api, vault.project_id)

    async with subscribed(api, token, wanted(vault)) as frames:
        await frames.next()
        assert ": heartbeat\n\n" == await frames.next()
        api.clock.forward(400 * 86_400)

        assert '"statusCode":401' in await frames.over()


async def test_a_stream_ends_with_the_server(api: Api) -> None:
    vault = await Vault.new(api)

    async with subscribed(api, api.token, wanted(vault)) as frames:
        await frames.next()
        api.runtime.changes.end()

        assert "" == await frames.over()


async def test_who_connects_again_learns_whether_something_was_missed(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    await vault.put("KEY", "1")

    async def first(last: str) -> str:
        async with subscribed(any_api, any_api.token, wanted(vault), {"last-event-id": last}) as frames:
            return await frames.next()

    fresh = await first("0")
    known = fresh.rpartition("id: ")[2].strip()
    assert "event: missed\n" in fresh
    assert "missed" not in await first(known)
    await vault.change("KEY", secretValue="2")
    assert "event: missed\n" in await first(known)


async def test_more_changes_than_fit_are_one_missed(any_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(project_events, "MAX_EVENTS", 2)
    vault = await Vault.new(any_api)

    async with subscribed(any_api, any_api.token, wanted(vault)) as frames:
        await frames.next()
        items = [{"secretKey": f"K{number}", "secretValue": "1"} for number in range(3)]
        await vault.call("POST", "batch", api="/api/v4/secrets", projectId=vault.project_id, secrets=items)
        frame = await frames.next()

    assert "event: missed\n" in frame
    assert frame.startswith("id: ")


async def test_the_form_with_a_query_tells_the_same(api: Api) -> None:
    vault = await Vault.new(api)
    query = {"projectId": vault.project_id, "seconds": "0"}

    fine = await api.get(PATH, query={**query, "events": "secret:update", "secretPath": "/**"})
    head = await api.request("HEAD", PATH, query=query)
    wrong = await api.get(PATH, query={**query, "events": "secret:nope"})

    assert (200, 200, 422) == (fine.status_code, head.status_code, wrong.status_code)
    assert fine.text.startswith("retry: 3000\n: subscribed\nid: ")
    assert ["events"] == wrong.json()["message"][0]["path"]


@pytest.mark.parametrize(
    "body",
    [
        {"register": []},
        {"register": [{"event": "secret:nope"}]},
        {"register": [{"event": "secret:update", "conditions": {"secretPath": "/a/../b"}}]},
        {"register": [{"event": "secret:update"}], "seconds": -1},
    ],
)
async def test_what_means_nothing_is_422(api: Api, body: dict[str, Any]) -> None:
    vault = await Vault.new(api)

    assert 422 == (await api.post(PATH, {"projectId": vault.project_id, **body})).status_code


async def test_a_slow_reader_holds_up_nobody_and_is_told_the_sum(api: Api) -> None:
    vault = await Vault.new(api)
    async with (
        subscribed(api, api.token, wanted(vault)) as slow,
        subscribed(api, api.token, wanted(vault)) as quick,
    ):
        await slow.next()
        await quick.next()
        gate, deliver = asyncio.Event(), slow.send

        async def blocked(message: Any) -> None:
            await gate.wait()
            await deliver(message)

        slow.send = blocked  # type: ignore[method-assign]
        for number in range(3):
            await vault.put(f"K{number}", "1")
            assert [("secret:create", "dev", "/", f"K{number}")] == await quick.told()
        gate.set()

        assert {"K0", "K1", "K2"} == {event[3] for event in await slow.told(3)}
