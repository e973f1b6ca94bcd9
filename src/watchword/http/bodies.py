"""Bodies and queries: bytes in, JSON values out, within bounds of size, depth and work; and answers back to bytes.

Whatever is decoded is counted first. One thread decodes what is large, so that the event loop goes on; but decoding
JSON lets no other thread run, so what may be decoded at all is bounded such that it takes less than 50 ms on one core.
"""

import asyncio
import re
import urllib.parse
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, get_args

import msgspec

from watchword.domain.decode import MAX_DEPTH, MAX_ISSUES, decode
from watchword.domain.errors import BadRequest, Invalid, Issue, TooLarge, Unavailable, UnsupportedMediaType
from watchword.domain.secret import encode_masked

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Admit = Callable[..., Awaitable[None]]

_JSON = ("application/json", "application/scim+json")
FORM = "application/x-www-form-urlencoded"
_ELSEWHERE = 64 * 1024  # bytes of an answer, from which on its parts are left to be joined beside the event loop
_decode = msgspec.json.Decoder().decode

PUBLIC = 64 * 1024  # bytes that a stranger may send, and that anybody may before the credential is looked at
SMALL = 4 * 1024  # bytes; so much cannot hold enough to matter
LARGE = 16 * 1024  # bytes, from which on a body is decoded away from the event loop
_MOST_HELD = 256 * 1024 * 1024  # bytes of large bodies that are held at once
_MOST_FORM = 256 * 1024  # bytes
_MOST_FIELDS = 1_000  # of a form or a query
MAX_QUERY = 16 * 1024  # bytes

_GAP = b"\xff"  # stands for what is written already: no byte of JSON, which is UTF-8

_decoding = ThreadPoolExecutor(1, "decode")  # one: several would hold up the event loop one after the other


class Written:
    """A JSON value, such as a long list, that is written already: its bytes are those of all `parts`, in order.

    To copy them again for each value around them would hold up the event loop: a list of 100,000 secrets has 75 MB.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: Sequence[bytes]) -> None:
        self.parts = parts


def _written(value: Any) -> Any:
    return msgspec.Raw(b"".join(value.parts)) if isinstance(value, Written) else encode_masked(value)


def _gap_for_written(value: Any) -> Any:
    if isinstance(value, Written):
        _gaps.append(value)
        return msgspec.Raw(_GAP)
    return encode_masked(value)


encode = msgspec.json.Encoder(enc_hook=_written).encode
_gaps: list[Written] = []  # of the answer that is being encoded
_encode_with_gaps = msgspec.json.Encoder(enc_hook=_gap_for_written).encode


def encode_in_parts(value: Any) -> bytes | list[bytes]:
    """The JSON of an answer; in parts where much of it is written already, which a thread had better join."""
    try:
        around = _encode_with_gaps(value)
    except BaseException:
        _gaps.clear()
        raise
    if not _gaps:
        return around
    gaps = _gaps.copy()
    _gaps.clear()
    first, *others = around.split(_GAP)
    parts = [first]
    for gap, after in zip(gaps, others, strict=True):
        parts += (*gap.parts, after)
    return parts if sum(map(len, parts)) >= _ELSEWHERE else b"".join(parts)


class Census:
    """Counts what decoding a JSON text would make, piece by piece, at a small part of the cost of decoding it.

    What stands inside strings is skipped. Raises TooLarge once there is more than a body may hold.
    """

    MOST_VALUES = 50_000
    MOST_OF_STRANGERS = 5_000
    MOST_FRACTIONS = 1_000  # a number with many digits and an exponent takes 8 us to decode
    MOST_ESCAPES = 1_100_000  # a value as long as it may be, of nothing else
    MOST_OUTSIDE = 4 * 1024 * 1024  # bytes outside of strings, white space among them
    _FRACTION = re.compile(rb"[0-9][.eE]")
    _LONG = re.compile(rb"[0-9]{64}")

    __slots__ = ("_escapes", "_fractions", "_inside", "_kept", "_most", "_outside", "_values")

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._values = self._fractions = self._escapes = self._outside = 0
        self._inside = 0  # 1 within a string
        self._kept = b""

    def feed(self, piece: bytes) -> None:
        """Count one piece."""
        if self._kept:
            piece = self._kept + piece
        # An escape that the end of the piece cuts in two is left for the next one.
        self._kept = b"\\" if (len(piece) - len(piece.rstrip(b"\\"))) % 2 else b""
        if self._kept:
            piece = piece[:-1]
        if b"\\" in piece:
            self._escapes += piece.count(b"\\") - piece.count(b"\\\\")  # of two, the second is escaped
            piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
        quotes = piece.count(b'"')
        if quotes > 4 * self._most:
            raise self._too_many()
        unquoted = b" ".join(piece.split(b'"')[self._inside :: 2]) if quotes else b"" if self._inside else piece
        self._inside ^= quotes & 1
        self._outside += len(unquoted)
        self._values += unquoted.count(b",") + unquoted.count(b"[") + unquoted.count(b"{")
        self._fractions += len(self._FRACTION.findall(unquoted))
        if self._values > self._most or self._fractions > self.MOST_FRACTIONS or self._outside > self.MOST_OUTSIDE:
            raise self._too_many()
        if self._escapes > self.MOST_ESCAPES:
            raise TooLarge("The body holds too many escaped characters: send them as UTF-8, or fewer at a time")
        if self._LONG.search(unquoted):
            raise BadRequest("The body holds a number that is too long")

    def _too_many(self) -> TooLarge:
        return TooLarge(f"The body holds more than {self._most} values, or too much white space: send less at a time")


class Room:
    """The number of bytes of large bodies that this process holds."""

    __slots__ = ("_held", "_most")

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def take(self, size: int) -> None:
        """Raise Unavailable where there is no room for `size` more bytes."""
        if self._held + size > self._most:
            raise Unavailable("Many large requests are under way: try again in a moment")
        self._held += size

    def give(self, size: int) -> None:
        """Give the bytes back."""
        self._held -= size


class Body:
    """A body that is not small. `close` it when nothing of it is needed any more."""

    __slots__ = ("_held", "_room", "data")

    def __init__(self, data: bytes, room: Room, reserved: int) -> None:
        self.data = data
        self._room = room
        self._held = reserved

    def close(self) -> None:
        """Give the room of the body back."""
        self._room.give(self._held)
        self._held = 0

    async def as_(self, kind: Any, content_type: str, *, bare: bool) -> Any:
        """As `read_as`, away from the event loop where that would be held up."""
        if len(self.data) <= LARGE:
            return read_as(kind, self.data, content_type, bare)
        return await asyncio.get_running_loop().run_in_executor(_decoding, read_as, kind, self.data, content_type, bare)


class Reader:
    """Reads the bodies of requests that are not small."""

    def __init__(self, most: int) -> None:
        self._room = Room(max(_MOST_HELD, 2 * most))

    async def read(
        self,
        receive: Receive,
        message: Message,
        *,
        most: int,
        headers: Mapping[bytes, bytes],
        admit: Admit | None,
        about: tuple[Any, ...],
        is_strange: bool,
    ) -> Body:
        """The whole body, which begins with `message`.

        Raises TooLarge past `most` bytes, BadRequest where the client went away.

        `admit` is asked, with `about`, before more is taken than anybody may send. `is_strange`: it holds few values.
        """
        announced = headers.get(b"content-length", b"")
        if announced.isdigit() and int(announced[:19]) > most:
            raise _too_large(most)
        is_form = _kind(headers.get(b"content-type", b"").decode("latin-1")) == FORM
        census = None if is_form else Census(Census.MOST_OF_STRANGERS if is_strange else Census.MOST_VALUES)
        parts: list[bytes] = []
        size = reserved = 0
        try:
            while True:
                if message["type"] == "http.disconnect":
                    raise BadRequest("The client went away")
                data: bytes = message.get("body", b"")
                parts.append(data)
                size += len(data)
                if size > most:
                    raise _too_large(most)
                if size > PUBLIC:
                    if admit is not None and not reserved:
                        await admit(*about)
                    self._room.take(size - reserved)
                    reserved = size
                if census is not None:
                    await _count(data, census)
                if not message.get("more_body"):
                    return Body(b"".join(parts), self._room, reserved)
                message = await receive()
        except BaseException:
            self._room.give(reserved)
            raise


async def _count(data: bytes, census: Census) -> None:
    """Feed a census in pieces, and let others go on between them."""
    for start in range(0, len(data), PUBLIC):
        if start:
            await asyncio.sleep(0)
        census.feed(data[start : start + PUBLIC])


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"The body is larger than {most} bytes")


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def read_as(kind: Any, data: bytes, content_type: str, bare: bool) -> Any:
    """The body as the handler takes it: a `kind`, or a dict.

    Raises Invalid with all faults, BadRequest, TooLarge, UnsupportedMediaType.

    `bare`: an empty body is as good as none, whatever its content type says (DELETE, GET).
    """
    value, strict = value_of(data, content_type, bare=bare)
    if bare and value is None:
        value = {}
    return body_as(kind, value, strict=strict)


def value_of(body: bytes, content_type: str, *, bare: bool) -> tuple[Any, bool]:
    """The JSON value of a body and whether it was JSON (strict types) rather than a form.

    `bare`: an empty body is no body, whatever its content type says (DELETE, GET). Raises BadRequest,
    UnsupportedMediaType.
    """
    kind = content_type if content_type in _JSON else _kind(content_type)
    if not body and (bare or not kind):
        return None, True
    if kind in _JSON or (kind == "" and body[:1] in (b"{", b"[")):
        return _json(body), True
    if kind == FORM:
        return _form(body), False
    if kind == "text/plain":
        return body.decode("utf-8", "replace"), True
    raise UnsupportedMediaType


def _json(body: bytes) -> Any:
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadRequest("The body is not valid JSON") from None
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        raise TooLarge(f"The body is nested more than {MAX_DEPTH} deep")
    if b"\\u0000" in body:
        require_text(value)
    return value


def _form(body: bytes) -> dict[str, str]:
    if len(body) > _MOST_FORM:
        raise TooLarge(f"A form is at most {_MOST_FORM} bytes: send more as application/json")
    try:
        value = dict(
            urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
        )
    except ValueError:
        raise TooLarge(f"A form has at most {_MOST_FIELDS} fields") from None
    if b"%00" in body or b"\x00" in body:
        require_text(value)
    return value


_ANY_TEXT = "secretValue"  # is sealed before it is stored: any text can be
NO_NUL = "The text must not hold a zero character (U+0000)"


def require_text(value: Any) -> None:
    """Raise Invalid, naming the fields, where a text or a name holds a zero character.

    No database that Watchword runs on keeps a zero character as it is.
    """
    issues: list[Issue] = []
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting and len(issues) < MAX_ISSUES:
        path, text = waiting.pop()
        if isinstance(text, str):
            if "\x00" in text and path[-1:] != (_ANY_TEXT,):
                issues.append(Issue(code="custom", path=path, message=NO_NUL))
        elif isinstance(text, list):
            waiting += [((*path, i), child) for i, child in enumerate(text)]
        elif isinstance(text, dict):
            issues += [
                Issue(code="custom", path=(*path, name.replace("\x00", "\ufffd")), message=NO_NUL)
                for name in text
                if "\x00" in name
            ]
            waiting += [((*path, name), child) for name, child in text.items()]
    if issues:
        raise Invalid(issues[:MAX_ISSUES])


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [
            child
            for inner in level
            if isinstance(inner, dict | list)
            for child in (inner.values() if isinstance(inner, dict) else inner)
        ]
    return depth


def body_as(kind: Any, value: Any, *, strict: bool) -> Any:
    """The body as the handler takes it. Raises Invalid with all faults."""
    if not isinstance(value, dict):
        received = "null" if value is None else "array" if isinstance(value, list) else "string"
        issue = Issue(
            code="invalid_type",
            path=(),
            message=f"Expected object, received {received}",
            expected="object",
            received=received,
        )
        raise Invalid([issue])
    return decode(kind, value, strict=strict)


def query_as(kind: Any, raw: bytes) -> Any:
    """The query as a struct: an empty value is as good as none, a bare key is true, the last of several wins.

    Raises Invalid.
    """
    return _remembered(kind, raw) if len(raw) <= _REMEMBERED else _query(kind, raw)


_REMEMBERED = 512  # bytes; workloads ask the same few questions again and again


def _query(kind: Any, raw: bytes) -> Any:
    fields: dict[str, Any] = {}
    flags = _flags(kind)
    if raw.count(b"&") >= _MOST_FIELDS:
        raise TooLarge(f"A query has at most {_MOST_FIELDS} parameters")
    for part in raw.decode("latin-1").split("&"):
        name, equals, text = part.partition("=")
        name = urllib.parse.unquote_plus(name)
        if not equals and name in flags:
            fields[name] = "true"
        elif text:
            value = urllib.parse.unquote_plus(text)
            fields[name] = value.lower() if name in flags and value.lower() in ("true", "false") else value
    if b"%00" in raw:
        require_text(fields)
    return decode(kind, fields, strict=False)


_remembered = lru_cache(4096)(_query)
_FLAGS: dict[Any, frozenset[str]] = {}


def _flags(kind: Any) -> frozenset[str]:
    flags = _FLAGS.get(kind)
    if flags is None:
        fields = msgspec.structs.fields(kind)
        flags = _FLAGS[kind] = frozenset(
            field.encode_name for field in fields if field.type is bool or bool in get_args(field.type)
        )
    return flags


async def gone(receive: Receive) -> None:
    """Return when the client has closed the connection; what it still sends of its body is dropped."""
    while (await receive())["type"] != "http.disconnect":
        pass
