"""The connections of a server: uvicorn's, with four things added.

They are a short way for requests and answers that come and go whole, answers in one write, deadlines, and the client's
certificates.

    nothing heard    ──head_timeout──> closed           an answer sent  ──5 s of silence──> closed
    a head under way ──head_timeout──> 408              a body under way ──body_timeout and what it earned──> 408
    an answer that nobody reads for 30 s ──> cut        the server ends: what is under way has a second to come whole

Bytes are parsed a piece in each turn of the event loop: what many small chunks, trailers and pipelined requests cost is
spread over many turns, and others come in between.
"""

import asyncio
import functools
import logging
import ssl
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

_AT_ONCE = 64 * 1024  # bytes; what waits to be sent is never more than this and one piece
_LARGE = 1024 * 1024  # bytes; what is larger is not copied: that would hold up the event loop, 50 ms for 75 MB
_VERSIONS = ("1.1", "1.0")  # an old client that asks for it by name keeps its connection: uvicorn closes it
_NO_BODY = (204, 304)
# Headers that say something about the content only: nothing else is to be done for an answer that has no others.
_PLAIN = frozenset(
    (
        b"cache-control",
        b"content-disposition",
        b"content-length",
        b"content-type",
        b"date",
        b"etag",
        b"retry-after",
        b"set-cookie",
        b"vary",
    )
)
_STAYS = b"connection: keep-alive\r\n\r\n"
_CONTROLS = bytes([*range(0x09), *range(0x0A, 0x20), 0x7F])  # all that may not stand in a header
_RATE = 64 * 1024  # bytes of a body that earn a second more to send the rest in
_STUCK = 30.0  # seconds in which a client takes nothing of an answer
_LAST = 1.0  # seconds that a request has to come whole when the server ends
_MOST_HEAD = 96 * 1024  # bytes; the edge refuses what has more than its limits, which are lower
_MOST_FRAMING = 96 * 1024  # bytes of a body under way that carry nothing of it: extensions of a chunk, and the trailer
_PIECE = 16 * 1024  # bytes that one turn of the event loop parses of a connection
_MAPPED = "::ffff:"  # of an IPv4 address that came to a socket for both families
_log = logging.getLogger("watchword.serve")


class ConnectionLimits(msgspec.Struct, frozen=True):
    """What a connection may take. Times are seconds."""

    head: float = 10
    body: float = 30
    connections: int = 10_000  # at once, in this process


def _refusal(status: int, name: str, message: str) -> bytes:
    body = msgspec.json.encode({"statusCode": status, "message": message, "error": name})
    head = (
        b"content-type: application/json; charset=utf-8\r\ncache-control: no-store\r\nconnection: "
        b"close\r\ncontent-length: %d\r\n" % len(body)
    )
    return b"".join((STATUS_LINE[status], head, b"retry-after: 1\r\n" if status == 503 else b"", b"\r\n", body))


_TOO_LATE = _refusal(408, "RequestTimeout", "The request did not come whole in time: send it again")
_TOO_MUCH = _refusal(431, "RequestHeaderFieldsTooLarge", "The head of the request is too large")
_TOO_FRAMED = _refusal(
    431, "RequestHeaderFieldsTooLarge", "The trailer or the chunk extensions of the request are too large"
)
_FULL = _refusal(503, "ServiceUnavailable", "The server has as many connections as it takes: try again in a moment")


class _Nowhere:
    """A list of headers that drops what is added: where trailers go (RFC 9110 section 6.5.1).

    Whoever appended a trailer could otherwise write what stands for a header.
    """

    def append(self, line: object) -> None:
        """Drop the header."""

    def __iter__(self) -> Iterator[Any]:
        return iter(())


_NOWHERE: Any = _Nowhere()


class _Turn:
    """The bytes to send at the end of this turn of the event loop."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[CoalescingTransport] = []

    def add(self, gathered: "CoalescingTransport", loop: asyncio.AbstractEventLoop) -> None:
        """Flush a transport at the end of the turn."""
        if not self._waiting:
            loop.call_soon(self._end)
        self._waiting.append(gathered)

    def _end(self) -> None:
        waiting, self._waiting = self._waiting, []
        for gathered in waiting:
            try:
                gathered.flush()
            except Exception as error:  # noqa: BLE001 - one connection's trouble is not the others'
                _log.warning("an answer could not be sent", exc_info=error)
                gathered.abort()


_turns: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Turn] = (
    weakref.WeakKeyDictionary()
)  # which does not lead back to its loop


class CoalescingTransport:
    """A transport that hands on what was written during one turn of the event loop in one write.

    uvicorn writes the head of an answer and its body one after the other. Each write is a packet of its own and may
    wake the client: measured, that was more than half of the CPU time of a secret read
    (docs/explanation/performance.md). The writes of all connections then follow each other, so that a client with
    several is woken once.
    """

    __slots__ = ("_loop", "_parts", "_size", "_transport", "_turn", "is_closing", "is_held", "on_resume")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._turn = _turns.get(loop) or _turns.setdefault(loop, _Turn())
        self._parts: list[bytes] = []
        self._size = 0
        self.is_closing = transport.is_closing  # asked after every answer
        self.is_held = False
        self.on_resume: Callable[[], object] | None = None  # what goes on instead, while reading is held

    def write(self, data: bytes) -> None:
        """Send `data` at the end of this turn, or now if much is waiting already or it is large."""
        if len(data) > _LARGE:
            self.flush()
            self._transport.write(data)
            return
        if not self._parts:
            self._turn.add(self, self._loop)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        if self._parts:
            data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self.flush()
        self._transport.close()

    def hold_reading(self) -> None:
        """Read nothing more, whatever the flow control says, until `release_reading`."""
        self.is_held = True
        self._transport.pause_reading()

    def release_reading(self, *, is_paused: bool) -> None:
        """Read again, unless the flow control has paused it."""
        self.is_held = False
        if not is_paused:
            self._transport.resume_reading()

    def resume_reading(self) -> None:
        """Read again, as the flow control says; while reading is held, `on_resume` is called instead."""
        if not self.is_held:
            self._transport.resume_reading()
        elif self.on_resume is not None:
            self.on_resume()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class WholeExchange(RequestResponseCycle):
    """A request and its answer on a short way, where both are whole.

    Otherwise, and in all that is odd, uvicorn's own way is taken.

    The application sees the same ASGI. Nothing of a request that is here already has to be waited for, and an answer
    that is its head and one body is written as it is. Most of what uvicorn's own sets for each request is the same for
    all of these.
    """

    access_log = disconnected = response_started = response_complete = waiting_for_100_continue = is_begun = is_old = (
        _is_read
    ) = False
    keep_alive = more_body = True
    body: Any = b""
    chunked_encoding: bool | None = None
    expected_content_length = 0
    _head: Any = None

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self.scope = connection.scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.on_response = connection.on_response_complete

    @property
    def logger(self) -> logging.Logger:  # type: ignore[override]
        """The log of the application's errors."""
        return self._connection.logger

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]
        """The headers of every answer."""
        return self._connection.server_state.default_headers

    @functools.cached_property
    def message_event(self) -> asyncio.Event:  # type: ignore[override]
        """Set when there is something to receive; made when somebody waits for it."""
        return asyncio.Event()

    async def receive(self) -> Any:
        """The body, if all of it is here; otherwise the next piece of it."""
        if self.more_body or self._is_read or self.disconnected:
            return await super().receive()
        self._is_read = True
        self.__dict__.pop(
            "message_event", None
        )  # from here on one would say that the client went away or all is answered
        return {"type": "http.request", "body": bytes(self.body), "more_body": False}

    async def send(self, message: Any) -> None:
        """Keep the head until the body is there, then write both if nothing else is to be done for them."""
        if not self.response_started:
            if message["type"] == "http.response.start":
                self._head = message
                return
            if self._head is not None:
                head, self._head = self._head, None
                if self._goes_out(head, message):
                    return
                if self.is_old:
                    # as uvicorn does: the end of an answer may be all that tells how long it is
                    self.keep_alive = False
                await super().send(head)
        await super().send(message)

    def _goes_out(self, head: Any, message: Any) -> bool:
        body, headers = message.get("body", b""), head.get("headers", ())
        if (
            message.get("more_body")
            or not self.keep_alive
            or self.disconnected
            or self.flow.write_paused
            or head["status"] in _NO_BODY
            or self.scope["method"] == "HEAD"
            or (b"content-length", b"%d" % len(body)) not in headers
        ):
            return False
        said = [*self.default_headers, *headers]
        pieces = [STATUS_LINE[head["status"]]]
        for name, value in said:
            if name not in _PLAIN:
                return False
            pieces += (name, b": ", value, b"\r\n")
        pieces.append(_STAYS if self.is_old else b"\r\n")
        lines = b"".join(pieces)
        # Two such characters end each line and the head. One more would be inside a line, where it could begin another.
        if len(lines) - len(lines.translate(None, _CONTROLS)) != 2 * (len(said) + 2 + self.is_old):
            return False
        self.response_started = self.response_complete = True
        if len(body) > _LARGE:
            self.transport.write(lines)
            self.transport.write(body)
        else:
            self.transport.write(b"".join((lines, body)))
        if "message_event" in self.__dict__:
            self.message_event.set()
        self.on_response()
        return True


class Connection(HttpToolsProtocol):
    """An HTTP connection with whole answers in one write, and a short way for common requests.

    docs/explanation/performance.md says what that saves.

    uvicorn starts a request when its head is here and lets it wait for the body. Here one starts when it is here whole,
    unless it is large. One timer watches over an idle connection instead of a new one after each answer.
    """

    limits = ConnectionLimits()

    _idle_since: float | None = None
    _began: float | None = None  # when what is under way began to come
    _is_coming = False  # whether a request is here in part
    _is_in_body = False  # and its head is whole
    _is_ending = False  # whether the server is
    _size = 0  # bytes of its head, then of its body
    _framing = 0  # bytes that came since anything of its body did
    _unparsed = b""  # what came and has not had its turn
    _has_turn = False  # whether a turn for it was asked for
    _unread = -1  # bytes of answers that the client has not taken, when last looked at

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the coalescing transport between uvicorn and the real one."""
        self._gathered = CoalescingTransport(transport, self.loop)
        self._gathered.on_resume = self._ask_for_turn
        super().connection_made(self._gathered)  # type: ignore[arg-type]
        self._is_odd = bool(self.access_log or self.limit_concurrency is not None or self.root_path)
        if self.client is not None and self.client[0].startswith(_MAPPED) and "." in self.client[0]:
            self.client = (self.client[0].removeprefix(_MAPPED), self.client[1])
        if len(self.connections) > self.limits.connections:
            self._refuse(_FULL)
            return
        self._idle_since = self.loop.time() + self.limits.head - self.timeout_keep_alive
        self._watch(min(self.limits.head, self.limits.body, self.timeout_keep_alive))

    def data_received(self, data: bytes) -> None:
        """Take the bytes that came, much of them in pieces, one for each turn of the event loop."""
        if len(data) <= _PIECE and not self._unparsed:
            self._parse(data)
            return
        if self.transport.is_closing():
            return
        self._unparsed += data
        if not self._gathered.is_held:
            self._gathered.hold_reading()
            self._take_turn()

    def _ask_for_turn(self) -> None:
        if not self._has_turn:
            self._has_turn = True
            self.loop.call_soon(self._take_turn)

    def _take_turn(self) -> None:
        """Parse the next piece, and ask for another turn as long as something is left and the flow control lets it."""
        self._has_turn = False
        if self.transport.is_closing():
            self._unparsed = b""
            return
        if self.flow.read_paused:
            return  # it says so when it is not any more
        piece, self._unparsed = self._unparsed[:_PIECE], self._unparsed[_PIECE:]
        self._parse(piece)
        if self._unparsed:
            self._ask_for_turn()
        elif not self.transport.is_closing():
            self._gathered.release_reading(is_paused=self.flow.read_paused)

    def _parse(self, data: bytes) -> None:
        """Parse a piece; a request that is not whole by then gets a deadline."""
        super().data_received(data)
        if not self._is_coming or self.transport.is_closing():
            return
        if self._began is None:
            self._began, self._size = self.loop.time(), 0
        self._size += len(data)
        if not self._is_in_body:
            if self._size > _MOST_HEAD:
                self._refuse(_TOO_MUCH)
            return
        self._framing += len(data)
        if self._framing > _MOST_FRAMING:
            self._refuse(_TOO_FRAMED)

    def on_message_begin(self) -> None:
        """Note that a request begins to come."""
        super().on_message_begin()
        self._is_coming = True

    def _refuse(self, answer: bytes) -> None:
        """End the connection, with an answer to the request that is coming."""
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self.pipeline or not self._is_in_body:
                # An earlier request is under way. It is answered, and nothing after it.
                cycle.keep_alive = False
                self.flow.pause_reading()
                return
            cycle.disconnected = True  # whoever waits for the rest learns that there is none
            cycle.message_event.set()
        if not self.transport.is_closing():
            is_answered = cycle is not None and cycle.response_complete and self._is_in_body
            if not is_answered and (cycle is None or cycle.response_complete or not cycle.response_started):
                self.transport.write(answer)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the timer too, and break the reference cycle of the connection.

        Each end refers to the other, and the garbage collector should not have to look for such rings.
        """
        self._is_coming = False
        self._unparsed = b""
        self._gathered.on_resume = None
        super().connection_lost(exc)
        super()._unset_keepalive_if_required()
        self.cycle = None  # type: ignore[assignment]

    def on_headers_complete(self) -> None:
        """Take the short way, if nothing about this request is odd."""
        parser, before = self.parser, self.cycle
        self._is_in_body, self._began, self._framing = True, None, 0
        if self.url[:1] != b"/":
            self._make_relative()
        version = parser.get_http_version()
        path, _, query = self.url.partition(b"?")
        if (
            self._is_odd
            or self.expect_100_continue
            or path[:1] != b"/"
            or b"%" in path
            or b"#" in self.url
            or not parser.should_keep_alive()
            or version not in _VERSIONS
            or parser.should_upgrade()
            or (before is not None and not before.response_complete)
        ):
            super().on_headers_complete()
            self.headers = _NOWHERE
            if self._is_ending:
                self.cycle.keep_alive = False
            return
        self.headers = _NOWHERE
        scope = self.scope
        scope["method"], scope["path"] = parser.get_method().decode("ascii"), path.decode("ascii")
        scope["raw_path"], scope["query_string"] = path, query
        self.cycle = WholeExchange(self)
        if version != "1.1":
            scope["http_version"] = version
            self.cycle.is_old = True

    def _make_relative(self) -> None:
        """Turn `http://host/path` into `/path`, and let that host stand for the header (RFC 9112 section 3.2.2)."""
        scheme, found, rest = self.url.partition(b"://")
        if not found or scheme.lower() not in (b"http", b"https"):
            return
        ends = [at for at in (rest.find(mark) for mark in (b"/", b"?", b"#")) if at >= 0]
        host, rest = (rest[: min(ends)], rest[min(ends) :]) if ends else (rest, b"")
        self.url = rest if rest[:1] == b"/" else b"/" + rest
        # A request that names no host, or several, is refused as any other.
        self.headers[:] = [(name, host if name == b"host" else value) for name, value in self.headers]

    def shutdown(self) -> None:
        """Close what is idle when the server ends.

        What is under way is answered, if it comes whole within a second. So is the first request of a connection that
        had none yet: whoever has just connected cannot know that the server ends, and may be sending it.
        """
        self._is_ending = self._is_odd = True
        if self._is_coming or self.cycle is None:
            if self.cycle is not None and not self.cycle.response_complete:
                self.cycle.keep_alive = False
            self.loop.call_later(_LAST, self._give_up)
        else:
            super().shutdown()

    def _give_up(self) -> None:
        if self.transport.is_closing():
            return
        if self._is_coming:
            self._refuse(_TOO_LATE)
        elif self.cycle is None:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body.

        A request that becomes large starts now, and takes the rest piece by piece.
        """
        cycle = self.cycle
        self._framing = 0
        if type(cycle) is not WholeExchange or cycle.is_begun:
            super().on_body(body)
            return
        cycle.body += body
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self._begin(cycle)
            cycle.message_event.set()

    def on_message_complete(self) -> None:
        """Start the request, which is here whole, unless it was started before."""
        self._is_coming = self._is_in_body = False
        self._began = None
        cycle = self.cycle
        if type(cycle) is not WholeExchange or cycle.is_begun:
            super().on_message_complete()
            return
        cycle.more_body = False
        self._begin(cycle)

    def _begin(self, cycle: WholeExchange) -> None:
        cycle.is_begun = True
        self._start_asgi_task(cycle, self.app)

    def on_response_complete(self) -> None:
        """Start what was sent meanwhile, or begin to be idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self._idle_since = self.loop.time()
        if self._is_ending and not self._is_coming:
            self.transport.close()
        elif self.timeout_keep_alive_task is None:
            self._watch(self.timeout_keep_alive)

    def _watch(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """End what is late; otherwise check again when something could be."""
        self.timeout_keep_alive_task = None
        left = self._seconds_left(self.loop.time())
        if left > 0:
            self._watch(left)

    def _seconds_left(self, now: float) -> float:
        """The seconds until the connection must be looked at again; 0: it is over."""
        soon = min(self.limits.head, self.limits.body, self.timeout_keep_alive)
        unread = self.transport.get_write_buffer_size()
        if unread and unread == self._unread:
            self.transport.abort()
            return 0
        self._unread = unread or -1
        if unread:
            return _STUCK
        if self.transport.is_closing():
            return _STUCK
        if self._is_coming:
            return self._left_to_come(now, soon)
        if self._idle_since is None:
            if self.cycle is not None and not self.cycle.response_complete:
                return soon
            self._idle_since = now  # what came was nothing
        left = self._idle_since + self.timeout_keep_alive - now
        if left > 0:
            return left
        super().timeout_keep_alive_handler()
        return _STUCK

    def _left_to_come(self, now: float, soon: float) -> float:
        """The seconds that are left for a request of which a part is here."""
        cycle = self.cycle
        is_behind = self.pipeline or (not self._is_in_body and cycle is not None and not cycle.response_complete)
        if self._began is None or is_behind:  # an earlier request is still being answered
            self._began = now
        until = self._began + (self.limits.body + self._size / _RATE if self._is_in_body else self.limits.head)
        if until > now:
            return min(until - now, max(soon, 0.05))
        self._refuse(_TOO_LATE)
        return _STUCK

    def _unset_keepalive_if_required(self) -> None:
        self._idle_since = None  # the timer goes on, and finds that there is something to do


class WithCertificate(Connection):
    """A connection with the client's certificate chain in the scope, as the ASGI TLS extension has it."""

    _tls: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the chain from the connection, once."""
        super().connection_made(transport)
        chain = client_chain(transport.get_extra_info("ssl_object"))
        if chain:
            self._tls = {"tls": {"client_cert_chain": chain}}

    def on_message_begin(self) -> None:
        """Put the chain into the scope of each request."""
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = self._tls


def client_chain(connection: Any) -> tuple[str, ...]:
    """The certificates that the client sent, its own first, as PEM."""
    if connection is None:
        return ()
    # Asked of the inner object: the public method, there from Python 3.13 on, fails on a server for what the next
    # comment says.
    inner: Any = getattr(connection, "_sslobj", None)
    if hasattr(inner, "get_unverified_chain"):
        found = inner.get_unverified_chain() or ()
        # The client's own certificate is bytes, or None where it sent none; the others are objects (2: DER).
        return tuple(
            ssl.DER_cert_to_PEM_cert(one if isinstance(one, bytes) else one.public_bytes(2)) for one in found if one
        )
    own = connection.getpeercert(binary_form=True)
    return (ssl.DER_cert_to_PEM_cert(own),) if own else ()
