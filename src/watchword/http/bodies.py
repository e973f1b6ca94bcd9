"""Bodies and queries: bytes in, JSON values out, with size and depth limits; and answers back to bytes."""

import urllib.parse
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any, get_args

import msgspec

from watchword.domain.decode import MAX_DEPTH, decode
from watchword.domain.errors import BadRequest, Invalid, Issue, TooLarge, UnsupportedMediaType
from watchword.domain.secret import encode_masked

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_JSON = ("application/json", "application/scim+json")
FORM = "application/x-www-form-urlencoded"
encode = msgspec.json.Encoder(enc_hook=encode_masked).encode
_decode = msgspec.json.Decoder().decode


async def read(receive: Receive, most: int) -> bytes:
    """The whole body. Raises TooLarge past `most` bytes."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > most:
            raise TooLarge(f"The body is larger than {most} bytes")
        return body
    parts, size = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise BadRequest("The client went away")
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            raise TooLarge(f"The body is larger than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def value_of(body: bytes, content_type: str, *, bare: bool) -> tuple[Any, bool]:
    """The JSON value of a body and whether it was JSON (strict types) rather than a form.

    `bare`: an empty body is no body, whatever its content type says (DELETE, GET). Raises BadRequest, UnsupportedMediaType.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not body and (bare or not kind):
        return None, True
    if kind in _JSON or (kind == "" and body[:1] in (b"{", b"[")):
        return _json(body), True
    if kind == FORM:
        return dict(urllib.parse.parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)), False
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
    return value


def _depth(value: Any) -> int:
    depth, level = 0, [value]
    while level and depth <= MAX_DEPTH:
        depth += 1
        level = [child for one in level if isinstance(one, dict | list) for child in (one.values() if isinstance(one, dict) else one)]
    return depth


def body_as(kind: Any, value: Any, *, strict: bool) -> Any:
    """The body as the handler takes it. Raises Invalid with all faults."""
    if not isinstance(value, dict):
        received = "null" if value is None else "array" if isinstance(value, list) else "string"
        issue = Issue(code="invalid_type", path=(), message=f"Expected object, received {received}", expected="object", received=received)
        raise Invalid([issue])
    return decode(kind, value, strict=strict)


def query_as(kind: Any, raw: bytes) -> Any:
    """The query as a struct: an empty value is as good as none, a bare key is true, the last of several wins. Raises Invalid."""
    return _remembered(kind, raw) if len(raw) <= _REMEMBERED else _query(kind, raw)


_REMEMBERED = 512  # bytes; workloads ask the same few questions again and again


def _query(kind: Any, raw: bytes) -> Any:
    found: dict[str, Any] = {}
    flags = _flags(kind)
    for part in raw.decode("latin-1").split("&"):
        name, equals, text = part.partition("=")
        name = urllib.parse.unquote_plus(name)
        if not equals and name in flags:
            found[name] = "true"
        elif text:
            value = urllib.parse.unquote_plus(text)
            found[name] = value.lower() if name in flags and value.lower() in ("true", "false") else value
    return decode(kind, found, strict=False)


_remembered = lru_cache(4096)(_query)
_FLAGS: dict[Any, frozenset[str]] = {}


def _flags(kind: Any) -> frozenset[str]:
    found = _FLAGS.get(kind)
    if found is None:
        fields = msgspec.structs.fields(kind)
        found = _FLAGS[kind] = frozenset(field.encode_name for field in fields if field.type is bool or bool in get_args(field.type))
    return found
