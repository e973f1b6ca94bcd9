"""Webhooks over kills, slow, failing and redirecting receivers: nothing is lost, and the order is kept."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.api import Api
from tests.processes import serving


class Site:
    """Receivers on loopback, one for each path; each notes the ids of the messages that it took."""

    def __init__(self) -> None:
        self.took: dict[str, list[str]] = {}
        self.asked: dict[str, int] = {}
        self.url = ""

    async def has_taken(self, path: str) -> None:
        """Wait until a message was taken at a path."""
        async with asyncio.timeout(60):
            while not self.took.get(path):
                await asyncio.sleep(0.02)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                path = lines[0].split(" ")[1]
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}
                await reader.readexactly(int(headers.get("content-length", "0")))
                number = self.asked[path] = self.asked.get(path, 0) + 1
                status = "302 Found" if path == "/redirect" else "200 OK"
                if path == "/slow":
                    await asyncio.sleep(0.2)
                if path == "/flaky" and number == 3:
                    status = "503 Unavailable"
                if status.startswith("200"):
                    self.took.setdefault(path, []).append(headers["webhook-id"])
                writer.write(f"HTTP/1.1 {status}\r\nlocation: {self.url}/stolen\r\ncontent-length: 0\r\n\r\n".encode())
                await writer.drain()
        writer.close()


@contextlib.asynccontextmanager
async def site() -> AsyncIterator[Site]:
    found = Site()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()


async def waiting(api: Api, project_id: str) -> int:
    found = (await api.ok("GET", "/api/v1/webhooks", query={"projectId": project_id}))["webhooks"]
    return sum(one["waitingDeliveries"] for one in found if not one["url"].endswith("/redirect"))


@pytest.mark.soak
async def test_a_killed_process_loses_no_message_and_repeats_at_most_the_one_under_way(
    tmp_path: Path, postgres_dsn: str
) -> None:
    options = {"allowed_private_hosts": "127.0.0.1", "http_hosts": "127.0.0.1", "outbound_timeout": "2"}
    async with site() as receivers, serving(tmp_path, postgres_dsn, count=2, **options) as (one, two):
        api = await one.api()
        other = await two.api(api)
        project = (await api.ok("POST", "/api/v1/projects", {"projectName": "Shop"}))["project"]["id"]
        names = ["/ok", "/slow", "/flaky", "/redirect"]
        for path in names:
            await api.ok("POST", "/api/v1/webhooks", {"projectId": project, "webhookUrl": f"{receivers.url}{path}"})
        answered = 0
        for number in range(80):
            body = {"projectId": project, "environment": "dev", "secretPath": "/", "secretValue": "v"}
            if number == 40:
                await receivers.has_taken("/slow")  # the messages are under way
                one.kill()
            through = other if number >= 40 or number % 2 else api
            with contextlib.suppress(httpx.HTTPError):
                await through.ok("POST", f"/api/v4/secrets/K{number}", body)
                answered += 1
        async with asyncio.timeout(120):
            while await waiting(other, project):
                await asyncio.sleep(0.5)

    assert 80 == answered
    for path in ("/ok", "/slow", "/flaky"):
        took = receivers.took[path]
        firsts = list(dict.fromkeys(took))
        assert 80 == len(firsts), path
        assert sorted(firsts) == firsts, path
        assert len(took) - len(firsts) <= 1, path
    assert "/redirect" not in receivers.took
    assert "/stolen" not in receivers.asked


@pytest.mark.soak
async def test_a_server_that_was_killed_goes_on_where_it_was(tmp_path: Path) -> None:
    options = {"allowed_private_hosts": "127.0.0.1", "http_hosts": "127.0.0.1", "outbound_timeout": "1"}
    async with site() as receivers, serving(tmp_path, count=1, **options) as server:
        api = await server.api()
        project = (await api.ok("POST", "/api/v1/projects", {"projectName": "Shop"}))["project"]["id"]
        await api.ok("POST", "/api/v1/webhooks", {"projectId": project, "webhookUrl": f"{receivers.url}/slow"})
        body = {"projectId": project, "environment": "dev", "secretPath": "/", "secretValue": "v"}
        for number in range(20):
            await api.ok("POST", f"/api/v4/secrets/K{number}", body)
        await receivers.has_taken("/slow")
        server.kill()
        before = len(receivers.took.get("/slow", []))
        await asyncio.to_thread(server.start)
        again = await server.api(api)
        async with asyncio.timeout(120):
            while await waiting(again, project):
                await asyncio.sleep(0.5)

    took = receivers.took["/slow"]
    firsts = list(dict.fromkeys(took))
    assert 0 < before < 20
    assert (20, sorted(firsts)) == (len(firsts), firsts)
    assert len(took) - 20 <= 1
