"""Between uvicorn and the network: the short way answers as uvicorn does, in one write, in order, and nothing
is lost.
"""

import asyncio
import gc
import inspect
import weakref
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

from watchword.cli.connection import CoalescingTransport, Connection, ConnectionLimits, WholeExchange


class Wire(asyncio.Transport):
    """A transport that remembers what was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[bytes] = []
        self.closed_after = -1
        self.is_paused = False
        self.unread = 0

    def get_write_buffer_size(self) -> int:
        return self.unread

    def abort(self) -> None:
        self.closed_after = len(self.sent)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent.append(bytes(data))

    def close(self) -> None:
        self.closed_after = len(self.sent)

    def is_closing(self) -> bool:
        return self.closed_after >= 0

    def pause_reading(self) -> None:
        self.is_paused = True

    def resume_reading(self) -> None:
        self.is_paused = False


async def test_what_is_written_in_one_turn_leaves_in_one_write() -> None:
    wire = Wire()
    gathered = CoalescingTransport(wire, asyncio.get_running_loop())

    for part in (b"head", b" and ", b"body"):
        gathered.write(part)
    before = list(wire.sent)
    await asyncio.sleep(0)
    gathered.write(b"next")
    await asyncio.sleep(0)

    assert ([], [b"head and body", b"next"]) == (before, wire.sent)


async def test_a_close_sends_what_waits_first_and_once() -> None:
    wire = Wire()
    gathered = CoalescingTransport(wire, asyncio.get_running_loop())

    gathered.write(b"goodbye")
    gathered.close()
    await asyncio.sleep(0)

    assert ([b"goodbye"], 1) == (wire.sent, wire.closed_after)


async def test_much_is_not_kept_waiting() -> None:
    wire = Wire()
    gathered = CoalescingTransport(wire, asyncio.get_running_loop())
    piece = bytes(50_000)

    for _ in range(5):
        gathered.write(piece)
    at_once = sum(map(len, wire.sent))
    await asyncio.sleep(0)

    assert (200_000, 250_000) == (at_once, sum(map(len, wire.sent)))


async def test_what_is_very_large_is_handed_on_as_it_is_after_all_before_it() -> None:
    wire = Wire()
    gathered = CoalescingTransport(wire, asyncio.get_running_loop())
    body = bytes(2 * 1024 * 1024)

    gathered.write(b"head")
    gathered.write(body)
    gathered.write(b"next")
    await asyncio.sleep(0)

    assert [b"head", body, b"next"] == wire.sent
    assert wire.sent[1] is body


async def test_a_connection_that_cannot_be_written_to_holds_up_no_other() -> None:
    class Broken(Wire):
        is_gone = False

        def write(self, data: bytes | bytearray | memoryview) -> None:
            raise RuntimeError

        def abort(self) -> None:
            self.is_gone = True

    broken, wire = Broken(), Wire()
    for transport in (broken, wire):
        CoalescingTransport(transport, asyncio.get_running_loop()).write(b"answer")
    await asyncio.sleep(0)

    assert ([b"answer"], True) == (wire.sent, broken.is_gone)


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

    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, http=Connection, lifespan="off", log_config=None, access_log=False
    )
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

    assert [(200, 5), (200, 240_000), (204, 0), (200, 5)] == [
        (reply.status_code, len(reply.content)) for reply in replies
    ]
    assert b"".join(b"%03d" % i * 400 for i in range(200)) == replies[1].content
    assert (200, b"", "5") == (head.status_code, head.content, head.headers["content-length"])


class Talk:
    """A connection without a network: what is said to it, what its application saw, and what it answered."""

    def __init__(self, protocol: type[HttpToolsProtocol], app: Any, **settings: Any) -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False, **settings)
        config.load()
        self.state = ServerState()
        self.state.default_headers = [(b"date", b"today")]
        self.wire = Wire()
        self.protocol = protocol(config, self.state, {})
        self.protocol.connection_made(self.wire)

    async def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.protocol.data_received(piece)
            await self.turns()

    async def turns(self) -> None:
        for _ in range(100):
            await asyncio.sleep(0)

    @property
    def heard(self) -> bytes:
        return b"".join(self.wire.sent)


class Echo:
    """Tells what it was asked, in the way the path names."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        body = message.get("body", b"")
        while message.get("more_body"):
            message = await receive()
            body += message.get("body", b"")
        self.seen.append(
            ({key: value for key, value in scope.items() if key != "headers"}, sorted(scope["headers"]), body)
        )
        text = b"%d bytes for %s" % (len(body), scope["raw_path"])
        headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))]
        status = 200
        match scope["path"]:
            case "/fails":
                raise ValueError
            case "/fails-late":
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                raise ValueError
            case "/silent":
                return
            case "/splits":
                headers.append((b"etag", b"a\r\nset-cookie: admin=1"))
            case "/unmeasured":
                headers = []
            case "/mismeasured":
                headers = [(b"content-length", b"3")]
            case "/closes":
                headers.append((b"connection", b"close"))
            case "/capital":
                headers.append((b"Location", b"/there"))
            case "/none":
                status, text, headers = 204, b"", []
            case "/unchanged":
                status, text, headers = 304, b"", [(b"etag", b"x")]
            case "/pieces":
                await send({"type": "http.response.start", "status": 200, "headers": headers})
                for i in range(len(text)):
                    await send({"type": "http.response.body", "body": text[i : i + 1], "more_body": True})
                await send({"type": "http.response.body"})
                return
            case "/slow":
                for _ in range(3):
                    await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": text})


def request(path: str, *lines: str, method: str = "GET", body: bytes = b"", version: str = "1.1") -> bytes:
    measured = [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: here", *lines, *measured, "", ""]).encode() + body


LARGE = bytes(200_000)
SAID: dict[str, Sequence[bytes]] = {
    "a request": [request("/a")],
    "a query": [request("/a?b=c&d=%20?e")],
    "an escape": [request("/a%20b?c=d")],
    "a fragment": [request("/a#b")],
    "an absolute url": [request("http://here/a?b=c")],
    **{
        f"a path {path!r}": [request(path), request("/a")]
        for path in ("//a/b", "/?", "/a??b", "/a?b#c", "/;a=b", "/a|b", "/a//", "a", "/[", "/:80", "///")
    },
    "a path that is not ASCII": [request("/a").replace(b"/a", b"/\xc3\xa9")],
    "a query that is not ASCII": [request("/a").replace(b"/a", b"/a?\xc3\xa9")],
    "headers that are not ASCII": [request("/a", "X-Name: é")],
    "no host": [b"GET /a HTTP/1.1\r\n\r\n"],
    "a strange method": [request("/a", method="BREW"), request("/a", method="PURGE")],
    "lengths that differ": [request("/a", "Content-Length: 1", "Content-Length: 2", method="POST") + b"ab"],
    "a length and chunks": [request("/a", "Transfer-Encoding: chunked", "Content-Length: 2", method="POST") + b"ab"],
    "an asterisk": [request("*", method="OPTIONS")],
    "one after another": [request("/a"), request("/b"), request("/a")],
    "several at once": [
        request("/slow") + request("/b") + request("/c", method="POST", body=b"xyz") + request("/fails") + request("/d")
    ],
    "a head in pieces": [request("/a")[:20], request("/a")[20:30], request("/a")[30:]],
    "a body": [request("/a", method="POST", body=b"hello")],
    "a body later": [request("/a", method="POST", body=b"hello")[:-5], b"he", b"llo"],
    "a body in chunks": [
        request("/a", "Transfer-Encoding: chunked", method="POST"),
        b"3\r\nabc\r\n",
        b"4\r\ndefg\r\n0\r\n\r\n",
    ],
    "a large body": [request("/a", method="POST", body=LARGE)],
    "a large body in pieces": [
        request("/a", method="POST", body=LARGE)[start : start + 30_000] for start in range(0, 200_100, 30_000)
    ],
    "a body that was announced": [request("/a", "Expect: 100-continue", "Content-Length: 5", method="POST"), b"hello"],
    "only a head": [request("/a", method="HEAD"), request("/none", method="HEAD"), request("/a")],
    "the last one": [request("/a", "Connection: close"), request("/b")],
    "kept alive by name": [request("/a", "Connection: keep-alive"), request("/b")],
    "an old client": [request("/a", version="1.0"), request("/b")],
    "an old client whose answer has no length": [
        request("/unmeasured", "Connection: keep-alive", version="1.0"),
        request("/b"),
    ],
    "an old client and an answer in pieces": [
        request("/pieces", "Connection: keep-alive", version="1.0"),
        request("/b"),
    ],
    "an old client that asks for a head": [
        request("/a", "Connection: keep-alive", method="HEAD", version="1.0"),
        request("/b"),
    ],
    "an upgrade": [request("/a", "Connection: upgrade", "Upgrade: websocket"), request("/b")],
    "nonsense": [b"nonsense\r\n\r\n"],
    "nonsense after a request": [request("/a"), b"nonsense\r\n\r\n"],
    **{
        path: [request(path), request("/a")]
        for path in (
            "/fails",
            "/silent",
            "/splits",
            "/unmeasured",
            "/mismeasured",
            "/closes",
            "/capital",
            "/none",
            "/unchanged",
            "/pieces",
        )
    },
}


@pytest.mark.parametrize("said", SAID)
async def test_the_short_way_sees_and_answers_what_uvicorn_does(said: str) -> None:
    found = []
    for protocol in (HttpToolsProtocol, Connection):
        app = Echo()
        talk = Talk(protocol, app)
        await talk.say(*SAID[said])
        found.append(
            (
                app.seen,
                talk.heard,
                talk.wire.is_closing(),
                talk.wire.is_paused,
                talk.state.total_requests,
                len(talk.state.tasks),
            )
        )

    assert found[0] == found[1]
    assert found[0][1] or found[0][2], "something was answered, or the connection closed"


async def test_the_short_way_is_taken_and_is_one_write() -> None:
    talk = Talk(Connection, Echo())

    await talk.say(request("/a", method="POST", body=b"hello"))

    assert isinstance(talk.protocol.cycle, WholeExchange)
    assert "message_event" not in vars(talk.protocol.cycle), "nobody had to wait"
    assert [talk.heard] == talk.wire.sent


async def test_an_old_client_that_asks_for_it_keeps_its_connection() -> None:
    app = Echo()
    talk = Talk(Connection, app)
    stays = "Connection: Keep-Alive"

    await talk.say(request("/a", stays, method="POST", body=b"hello", version="1.0"))
    stayed = (talk.heard.count(b"\r\nconnection: keep-alive\r\n\r\n5 bytes for /a"), talk.wire.is_closing())
    await talk.say(request("/b", version="1.0"))

    assert stayed == (1, False)
    assert ["1.0", "1.0"] == [scope["http_version"] for scope, *_ in app.seen]
    assert talk.heard.count(b"connection: close\r\n") == 1
    assert talk.wire.is_closing()


def test_a_cycle_has_all_that_uvicorn_gives_its_own() -> None:
    """What a new version of uvicorn sets for each request must be known here."""
    given: Any = dict.fromkeys(list(inspect.signature(RequestResponseCycle).parameters))
    theirs = vars(RequestResponseCycle(**given))
    talk_of: Any = type("Nobody", (), dict.fromkeys(("scope", "transport", "flow", "on_response_complete"), ""))()
    ours = {*vars(WholeExchange(talk_of)), *dir(WholeExchange)}

    assert theirs.keys() - {"access_logger"} <= ours


async def test_a_request_whose_body_never_comes_is_not_started_and_one_that_leaves_is_told() -> None:
    app = Echo()
    told: list[Any] = []

    async def waits(scope: Any, receive: Any, send: Any) -> None:
        del scope
        told.extend([await receive(), await receive()])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    cut, left = Talk(Connection, app), Talk(Connection, waits)
    await cut.say(request("/a", method="POST", body=b"hello")[:-2])
    await left.say(request("/a", method="POST", body=b"hello"))
    before = list(told)
    for talk in (cut, left):
        talk.protocol.connection_lost(None)
        await talk.turns()

    assert ([], b"", b"") == (app.seen, cut.heard, left.heard)
    assert ([], [{"type": "http.request", "body": b"hello", "more_body": False}, {"type": "http.disconnect"}]) == (
        before,
        told,
    )
    assert (set(), set()) == (left.state.tasks, left.state.connections)


async def test_what_fails_between_head_and_body_is_still_answered() -> None:
    """uvicorn has sent the head by then and can only close; here nothing has left yet."""
    talk = Talk(Connection, Echo())

    await talk.say(request("/fails-late"))

    assert talk.heard.startswith(b"HTTP/1.1 500 ")
    assert b" 200 " not in talk.heard


async def test_a_client_that_reads_slowly_is_waited_for() -> None:
    talk = Talk(Connection, Echo())
    talk.protocol.pause_writing()

    await talk.say(request("/a"))
    before = talk.heard
    talk.protocol.resume_writing()
    await talk.turns()

    assert (b"", True) == (before, talk.heard.endswith(b"0 bytes for /a"))


async def test_a_server_that_stops_closes_idle_connections_and_answers_what_has_begun() -> None:
    idle, busy = Talk(Connection, Echo()), Talk(Connection, Echo())
    whole = request("/a", method="POST", body=b"hello")
    await idle.say(request("/a"))
    await busy.say(whole[:-2])
    for talk in (idle, busy):
        talk.protocol.shutdown()
    was_closed = (idle.wire.is_closing(), busy.wire.is_closing())
    await busy.say(whole[-2:])

    assert ((True, False), True) == (was_closed, busy.wire.is_closing())
    assert b"connection: close\r\n" in busy.heard
    assert busy.heard.endswith(b"5 bytes for /a")


async def test_a_connection_that_is_gone_leaves_nothing_for_the_garbage_collector() -> None:
    talk = Talk(Connection, Echo())
    await talk.say(request("/a"))
    gone = weakref.ref(talk.protocol)
    gc.disable()
    try:
        talk.protocol.connection_lost(None)
        await talk.turns()
        del talk.protocol
        assert gone() is None
    finally:
        gc.enable()


class Watched(Connection):
    """Remembers for how long it wanted to be woken."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.watches: list[float] = []

    def _watch(self, seconds: float) -> None:
        super()._watch(seconds)
        self.watches.append(seconds)


async def test_an_idle_connection_is_closed_and_one_in_use_is_not() -> None:
    talk = Talk(Watched, Echo(), timeout_keep_alive=50)
    connection = talk.protocol
    assert isinstance(connection, Watched)
    await talk.say(request("/a"), request("/b"))
    one_timer = list(connection.watches)

    connection.timeout_keep_alive_handler()  # much too early: somebody asked a moment ago
    looks_again = connection.watches[1:]
    connection.data_received(b"GET ")  # something comes
    connection.timeout_keep_alive_handler()
    in_use = (connection.watches[2:], talk.wire.is_closing())
    await talk.say(b"/c HTTP/1.1\r\n\r\n")
    assert connection._idle_since is not None
    connection._idle_since -= 51
    connection.timeout_keep_alive_handler()

    assert ([10], 1, 1, False, True) == (one_timer, len(looks_again), len(in_use[0]), in_use[1], talk.wire.is_closing())
    assert 0 < looks_again[0] <= 50
    assert 0 < in_use[0][0] <= 10
    connection.connection_lost(None)
    assert connection.timeout_keep_alive_task is None


class Late(Watched):
    """One whose times are set by the test."""

    def passes(self, seconds: float) -> None:
        """As if so much time had gone by."""
        if self._began is not None:
            self._began -= seconds
        if self._idle_since is not None:
            self._idle_since -= seconds
        self.timeout_keep_alive_handler()


def late(app: Any = None) -> tuple[Talk, Late]:
    talk = Talk(Late, app or Echo())
    assert isinstance(talk.protocol, Late)
    return talk, talk.protocol


BODY = request("/a", method="POST", body=b"hello")


@pytest.mark.parametrize(
    ("said", "just_in_time", "too_late"),
    [
        ((b"GET /a HTT",), 9, 2),
        ((request("/a"), b"GET /a HTT"), 9, 2),
        ((BODY[:-2],), 29, 2),
        ((BODY.replace(b"/a", b"/a%20b")[:-2],), 29, 2),
        ((request("/a", "Expect: 100-continue", "Content-Length: 5", method="POST"), b"he"), 29, 2),
        ((request("/a", "Transfer-Encoding: chunked", method="POST"), b"3\r\nabc\r\n"), 29, 2),
        ((request("/a", method="POST", body=bytes(10 * 65536))[:-2],), 38, 3),
    ],
)
async def test_what_does_not_come_whole_in_time_is_told_so_and_ended(
    said: Sequence[bytes], just_in_time: float, too_late: float
) -> None:
    talk, connection = late()
    await talk.say(*said)

    connection.passes(just_in_time)
    waited = talk.wire.is_closing()
    connection.passes(too_late)
    await talk.turns()

    assert (False, True) == (waited, talk.wire.is_closing())
    assert talk.heard.rpartition(b"HTTP/1.1 ")[2].startswith(b"408 ")
    assert talk.heard.count(b"HTTP/1.1 408") == 1
    assert set() == talk.state.tasks


async def test_who_says_nothing_at_all_is_not_waited_for_longer_than_for_a_head() -> None:
    for said in ((), (b"\r\n",)):
        talk, connection = late()
        await talk.say(*said)
        connection.passes(4)
        waited = talk.wire.is_closing()
        connection.passes(7)

        assert (False, True, b"") == (waited, talk.wire.is_closing(), talk.heard)


async def test_a_request_behind_another_is_not_late_while_that_one_is_answered() -> None:
    class Held(Echo):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await free.wait()
            await super().__call__(scope, receive, send)

    free = asyncio.Event()
    talk, connection = late(Held())
    await talk.say(request("/a") + BODY[:20])
    connection.passes(100)
    connection.passes(100)
    free.set()
    await talk.say(BODY[20:])

    assert [True, 2] == [not talk.wire.is_closing(), talk.heard.count(b"HTTP/1.1 200")]


async def test_a_client_that_takes_nothing_of_its_answer_is_cut() -> None:
    talk, connection = late()
    await talk.say(request("/a"))
    closed = []
    for unread in (100, 50, 50):
        talk.wire.unread = unread
        connection.timeout_keep_alive_handler()
        closed.append(talk.wire.is_closing())

    assert [False, False, True] == closed


async def test_a_head_without_end_is_refused() -> None:
    talk, _ = late()
    await talk.say(b"GET /a HTTP/1.1\r\n")
    for _i in range(30):
        if not talk.wire.is_closing():
            await talk.say(b"x-more: " + b"a" * 8000 + b"\r\n")

    assert talk.heard.startswith(b"HTTP/1.1 431 ")
    assert talk.wire.is_closing()


CHUNKED = request("/a", "Transfer-Encoding: chunked", method="POST")
FILLER = b"a" * 40_000


@pytest.mark.parametrize(
    "said",
    [
        [CHUNKED + b"3\r\nabc\r\n0\r\nX: ", *[FILLER] * 5],
        [CHUNKED + b"0\r\n", *[FILLER] * 5],
        [CHUNKED + b"3\r\nabc\r\n0\r\n", *[b"X: a\r\n" * 6_000] * 5],
        [CHUNKED + b"3;a=", *[FILLER] * 5],
        [CHUNKED, *[b"0" * 40_000] * 5],
        [CHUNKED.replace(b"/a", b"/a%20b") + b"3\r\nabc\r\n0\r\nX: ", *[FILLER] * 5],
    ],
)
async def test_what_frames_a_body_without_end_is_refused(said: Sequence[bytes]) -> None:
    app = Echo()
    talk = Talk(Connection, app)
    for piece in said:
        if not talk.wire.is_closing():
            await talk.say(piece)

    assert talk.heard.startswith(b"HTTP/1.1 431 ")
    assert talk.wire.is_closing()
    assert not talk.state.tasks


async def test_trailers_and_extensions_of_a_sensible_size_are_taken_again_and_again() -> None:
    talk = Talk(Connection, Echo())
    for _ in range(5):
        await talk.say(
            CHUNKED + b"3;b=%s\r\nabc\r\n" % FILLER,
            b"0\r\nX: %s\r\n\r\n" % FILLER,
            request("/a", method="POST", body=FILLER),
        )

    assert 5 == talk.heard.count(b"3 bytes for /a")
    assert 5 == talk.heard.count(b"40000 bytes for /a")


async def test_what_is_answered_before_its_body_came_gets_no_second_answer() -> None:
    class Early(Echo):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"0")]})
            await send({"type": "http.response.body"})

    talk, connection = late(Early())
    await talk.say(request("/a%20b", method="POST", body=b"hello")[:-2])
    connection.passes(29)
    connection.passes(2)
    await talk.turns()

    assert (True, 1) == (talk.wire.is_closing(), talk.heard.count(b"HTTP/1.1 "))


class Turns(Connection):
    """Remembers how many bytes each turn of the event loop parsed."""

    def __init__(self, *about: Any) -> None:
        super().__init__(*about)
        self.parsed: list[int] = []

    def _parse(self, data: bytes) -> None:
        self.parsed.append(len(data))
        super()._parse(data)


@pytest.mark.parametrize(
    ("said", "answers"),
    [
        (CHUNKED + b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n", [b"20000 bytes for /a"]),
        (CHUNKED + b"1\r\na\r\n" * 40_000 + b"0\r\n\r\n" + request("/b"), [b"40000 bytes for /a", b"0 bytes for /b"]),
        (b"".join(request(f"/{k}") for k in range(1_500)), [b"0 bytes for /%d" % k for k in range(1_500)]),
        (
            b"".join(request(f"/{k}", method="POST", body=bytes(30_000)) for k in range(20)),
            [b"30000 bytes for /%d" % k for k in range(20)],
        ),
        (request("/a", method="POST", body=LARGE) + request("/slow"), [b"200000 bytes for /a", b"0 bytes for /slow"]),
    ],
)
async def test_much_at_once_is_parsed_over_many_turns_and_answered_whole(said: bytes, answers: Sequence[bytes]) -> None:
    talk = Talk(Turns, Echo())
    assert isinstance(talk.protocol, Turns)
    talk.protocol.data_received(said[:100_000])
    at_once, was_paused = list(talk.protocol.parsed), talk.wire.is_paused
    talk.protocol.data_received(said[100_000:])  # as TLS does, which has it decrypted already
    while not talk.heard.endswith(answers[-1]):
        await talk.turns()

    assert ([16_384], True, False) == (at_once, was_paused, talk.wire.is_paused)
    assert (len(said), 16_384) == (sum(talk.protocol.parsed), max(talk.protocol.parsed))
    texts = [line.rpartition(b"\r\n\r\n")[2] for line in talk.heard.split(b"HTTP/1.1 200 OK")[1:]]
    assert list(answers) == texts


async def test_a_connection_that_goes_while_much_of_it_waits_is_dropped() -> None:
    app = Echo()
    talk = Talk(Turns, app)
    talk.protocol.data_received(b"".join(request(f"/{k}") for k in range(1_500)))
    talk.protocol.connection_lost(None)
    await talk.turns()

    assert len(app.seen) < 1_000


async def test_no_more_connections_are_taken_than_the_settings_say() -> None:
    class Few(Connection):
        limits = ConnectionLimits(connections=0)

    talk = Talk(Few, Echo())

    assert talk.heard.startswith(b"HTTP/1.1 503 ")
    assert talk.wire.is_closing()


async def test_trailers_are_no_headers() -> None:
    app = Echo()
    for path in ("/a", "/a%20b"):
        talk = Talk(Connection, app)
        chunked = request(path, "Transfer-Encoding: chunked", "X-Forwarded-For: 1.1.1.1", method="POST")
        await talk.say(chunked + b"3\r\nabc\r\n0\r\nX-Forwarded-For: 9.9.9.9\r\nAuthorization: Bearer x\r\n\r\n")
        assert b"HTTP/1.1 200" in talk.heard

    assert 2 == len(app.seen)
    for _, headers, body in app.seen:
        assert [(b"host", b"here"), (b"transfer-encoding", b"chunked"), (b"x-forwarded-for", b"1.1.1.1")] == headers
        assert body == b"abc"


@pytest.mark.parametrize(
    ("target", "path", "query", "host"),
    [
        ("http://there/a?b=c", "/a", b"b=c", b"there"),
        ("HTTP://there:80", "/", b"", b"there:80"),
        ("https://there?b", "/", b"b", b"there"),
        ("http://u@there/", "/", b"", b"u@there"),
    ],
)
async def test_a_whole_url_stands_for_its_path_and_its_host_for_the_header(
    target: str, path: str, query: bytes, host: bytes
) -> None:
    app = Echo()
    talk = Talk(Connection, app)
    await talk.say(request(target))

    [(scope, headers, _)] = app.seen
    assert (path, query, [(b"host", host)]) == (scope["path"], scope["query_string"], headers)


async def test_an_address_of_the_old_family_is_written_as_one() -> None:
    class Mapped(Wire):
        def get_extra_info(self, name: str, default: Any = None) -> Any:
            return ("::ffff:127.0.0.1", 4000) if name == "peername" else default

    talk = Talk(Connection, Echo())
    talk.protocol.connection_made(Mapped())

    assert ("127.0.0.1", 4000) == talk.protocol.client


async def test_when_the_server_ends_what_is_under_way_has_a_moment_to_come_whole() -> None:
    head, body, comes = Talk(Connection, Echo()), Talk(Connection, Echo()), Talk(Connection, Echo())
    await head.say(b"GET /a HT")
    await body.say(BODY[:-2])
    await comes.say(b"GET /a HT")
    for talk in (head, body, comes):
        talk.protocol.shutdown()
    await comes.say(b"TP/1.1\r\nHost: here\r\n\r\n")
    for talk in (head, body, comes):
        assert isinstance(talk.protocol, Connection)
        talk.protocol._give_up()
        await talk.turns()

    assert [b"408", b"408", b"200"] == [talk.heard[9:12] for talk in (head, body, comes)]
    assert all(talk.wire.is_closing() and b"connection: close" in talk.heard for talk in (head, body, comes))
