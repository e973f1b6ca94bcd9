"""The short way into a server of this process sends and answers what httpx's own client does."""

import asyncio
from typing import Any

import httpx
import pytest

from tests.inside import Inside

BODY = {"name": "ä", "list": [1.5, None], "nested": {"a": "\u2028"}}


class Echo:
    """An application that remembers what it was sent, and answers it."""

    def __init__(self, *, cookie: bool = False) -> None:
        self.asked: list[dict[str, Any]] = []
        self._cookie = cookie

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message["more_body"]:
                break
        self.asked.append({**scope, "body": body, "headers": sorted(scope["headers"])})
        headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"x-seen", b"1"), (b"x-seen", b"2")]
        if self._cookie:
            headers.append((b"set-cookie", b"jid=1; Path=/; HttpOnly"))
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b"ab", "more_body": True})
        await send({"type": "http.response.body", "body": body, "more_body": False})
        assert {"type": "http.disconnect"} == await receive()


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"])
@pytest.mark.parametrize("body", [None, BODY, {}])
@pytest.mark.parametrize("query", [None, {"a": "b c/ä", "n": 1, "yes": True, "none": None, "many": ["x", "y"]}])
@pytest.mark.parametrize("path", ["/api/v1/things", "/api/v1/a.b~c-d_e", "/odd%20path", "/a b", "/../x", "/x?y=1"])
async def test_what_is_sent_and_answered_is_the_same(
    method: str, body: Any, query: dict[str, Any] | None, path: str
) -> None:
    app = Echo()
    inside = Inside(app)
    sent = {"Authorization": "Bearer x", "user-agent": "mine"}
    async with httpx.AsyncClient(transport=inside.transport(), base_url="http://watchword.test") as client:
        short = await inside.request(client, method, path, body, sent, query)
        long = await client.request(method, path, json=body, headers=sent, params=query)

    assert app.asked[0] == app.asked[1]
    assert (long.status_code, long.content, long.headers.multi_items()) == (
        short.status_code,
        short.content,
        short.headers.multi_items(),
    )


async def test_a_cookie_is_kept_and_sent_with_the_next_request() -> None:
    app = Echo(cookie=True)
    inside = Inside(app)
    async with httpx.AsyncClient(transport=inside.transport(), base_url="http://watchword.test") as client:
        for _ in range(2):
            await inside.request(client, "GET", "/api", None, {}, None)

    assert [None, b"jid=1"] == [dict(one["headers"]).get(b"cookie") for one in app.asked]


async def test_an_error_of_the_application_is_raised() -> None:
    async def broken(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    inside = Inside(broken)
    async with httpx.AsyncClient(transport=inside.transport(), base_url="http://watchword.test") as client:
        with pytest.raises(ZeroDivisionError):
            await inside.request(client, "GET", "/api", None, {}, None)
