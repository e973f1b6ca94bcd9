"""The floor: a bare ASGI function under the same uvicorn, event loop and parser that Watchword runs on.

It reads the whole body and answers a few bytes; nothing that speaks HTTP through this server can be cheaper.
"""

import asyncio
import socket
import sys
from typing import Any

import uvicorn
import uvloop

_BODY = b'{"ok":true}'
_START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"content-type", b"application/json"), (b"content-length", str(len(_BODY)).encode())],
}
_END = {"type": "http.response.body", "body": _BODY}


async def answer(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Any request: read, answer."""
    if scope["method"] not in ("GET", "LIST"):
        while (await receive()).get("more_body"):
            pass
    await send(_START)
    await send(_END)


def serve(port: int) -> None:
    """Serve on the loopback interface until told to stop."""
    config = uvicorn.Config(
        answer,
        http="httptools",
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=True,
        proxy_headers=False,
    )
    with socket.create_server(("127.0.0.1", port), backlog=2048) as listener:
        runner: Any = uvloop.run
        runner(uvicorn.Server(config).serve([listener]))


if __name__ == "__main__":
    try:
        serve(int(sys.argv[1]))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(0)
