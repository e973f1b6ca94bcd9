"""Requests to a server in this process: what httpx sends and answers, at a quarter of what its client costs.

Most requests of most tests go this way. What is out of the ordinary (cookies, an odd path) goes through httpx's own
client.
"""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

# A path that httpx sends as it is: nothing to escape, no dot segments, no query.
_PLAIN = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+")
_WITH_LENGTH = ("POST", "PUT", "PATCH")


class Inside:
    """The way into an ASGI application, for one address of a client."""

    def __init__(self, app: Any, address: str = "127.0.0.1") -> None:
        self._app = app
        self._address = (address, 40_000)

    def transport(self) -> httpx.ASGITransport:
        """The same way for httpx's client."""
        return httpx.ASGITransport(self._app, client=self._address, raise_app_exceptions=True)

    async def request(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str],
        query: Mapping[str, Any] | None,
    ) -> httpx.Response:
        """What `client`, over `transport()`, would answer."""
        if client.cookies or not _PLAIN.fullmatch(path):
            return await client.request(method, path, json=body, headers=dict(headers), params=query)
        fields = {b"host": client.base_url.netloc}
        fields |= {name.lower(): value for name, value in client.headers.raw}
        content = b""
        if body is not None:
            text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
            content = text.encode()
            fields |= {b"content-length": str(len(content)).encode(), b"content-type": b"application/json"}
        elif method in _WITH_LENGTH:
            fields[b"content-length"] = b"0"
        fields |= {name.lower().encode(): value.encode() for name, value in headers.items()}
        answer = await self._sent(
            {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": method,
                "scheme": client.base_url.scheme,
                "path": path,
                "raw_path": path.encode(),
                "query_string": str(httpx.QueryParams(query)).encode() if query else b"",
                "root_path": "",
                "client": self._address,
                "server": (client.base_url.host, client.base_url.port),
                "headers": list(fields.items()),
            },
            content,
        )
        if "set-cookie" in answer.headers:
            answer.request = httpx.Request(method, client.base_url.join(path))
            client.cookies.extract_cookies(answer)
        return answer

    async def _sent(self, scope: dict[str, Any], content: bytes) -> httpx.Response:
        status, headers, parts = 0, list[tuple[bytes, bytes]](), list[bytes]()
        is_read, answered = False, asyncio.Event()

        async def receive() -> dict[str, Any]:
            nonlocal is_read
            if not is_read:
                is_read = True
                return {"type": "http.request", "body": content, "more_body": False}
            await answered.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message.get("headers", ()))
                return
            if scope["method"] != "HEAD":
                parts.append(message.get("body", b""))
            if not message.get("more_body"):
                answered.set()

        await self._app(scope, receive, send)
        assert answered.is_set(), "the application answered only in part"
        answer = httpx.Response(status, headers=headers, content=b"".join(parts))
        if not any(name == b"content-length" for name, _ in headers):
            answer.headers.pop("content-length", None)  # httpx adds it
        return answer
