"""The transport between uvicorn and the network: whole answers in one write, in order, and none lost."""

import asyncio

import httpx
import uvicorn

from watchword.cli.connection import Connection, Gathered


class Wire(asyncio.Transport):
    """A transport that remembers what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed_after = -1

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed_after = len(self.sent)


async def test_what_is_written_in_one_turn_leaves_in_one_write() -> None:
    wire = Wire()
    gathered = Gathered(wire, asyncio.get_running_loop())

    for part in (b"head", b" and ", b"body"):
        gathered.write(part)
    before = list(wire.sent)
    await asyncio.sleep(0)
    gathered.write(b"next")
    await asyncio.sleep(0)

    assert ([], [b"head and body", b"next"]) == (before, wire.sent)


async def test_a_close_sends_what_waits_first_and_once() -> None:
    wire = Wire()
    gathered = Gathered(wire, asyncio.get_running_loop())

    gathered.write(b"goodbye")
    gathered.close()
    await asyncio.sleep(0)

    assert ([b"goodbye"], 1) == (wire.sent, wire.closed_after)


async def test_much_is_not_kept_waiting() -> None:
    wire = Wire()
    gathered = Gathered(wire, asyncio.get_running_loop())
    piece = bytes(50_000)

    for _ in range(5):
        gathered.write(piece)
    at_once = sum(map(len, wire.sent))
    await asyncio.sleep(0)

    assert (200_000, 250_000) == (at_once, sum(map(len, wire.sent)))


async def test_answers_with_and_without_a_body_streamed_or_whole_arrive_as_they_were_sent() -> None:
    async def app(scope: dict[str, object], receive: object, send: object) -> None:
        del receive
        path = scope["path"]
        status = 204 if path == "/none" else 200
        headers = [(b"content-length", b"5")] if path == "/whole" else []
        await send({"type": "http.response.start", "status": status, "headers": headers})  # type: ignore[operator]
        if path == "/streamed":
            for i in range(200):
                await send({"type": "http.response.body", "body": b"%03d" % i * 400, "more_body": True})  # type: ignore[operator]
                await asyncio.sleep(0)
        await send({"type": "http.response.body", "body": b"whole" if path == "/whole" else b""})  # type: ignore[operator]

    config = uvicorn.Config(app, host="127.0.0.1", port=0, http=Connection, lifespan="off", log_config=None, access_log=False)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        replies = [await client.get(path) for path in ("/whole", "/streamed", "/none", "/whole")]
        head = await client.head("/whole")
    server.should_exit = True
    await task

    assert [(200, 5), (200, 240_000), (204, 0), (200, 5)] == [(reply.status_code, len(reply.content)) for reply in replies]
    assert b"".join(b"%03d" % i * 400 for i in range(200)) == replies[1].content
    assert (200, b"", "5") == (head.status_code, head.content, head.headers["content-length"])
