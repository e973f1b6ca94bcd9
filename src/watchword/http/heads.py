"""Request headers: parse them, join repeated ones, and refuse requests with ambiguous ones."""

import hashlib
import re
from collections.abc import Collection, Mapping, Sequence

from watchword.domain.errors import BadRequest

Pairs = Sequence[tuple[bytes, bytes]]

# RFC 3986 section 3.2: a name, an IPv4 address or a bracketed one, and a port. A name of DNS has no others.
_HOST = re.compile(rb"(?:[A-Za-z0-9._~-]|%[0-9A-Fa-f]{2})+(?::[0-9]{0,5})?|\[[0-9A-Fa-f:.]+\](?::[0-9]{0,5})?")
_FORM = re.compile(rb"\s*(?:W/)?\"([^\"\x00-\x20\x7f]*)\"\s*(?:,|$)|\s*(?:,|$)")


def by_name(pairs: Pairs, alone: Collection[bytes] = ()) -> Mapping[bytes, bytes]:
    """The value of each name. Several lines of one name are one list, in their order (RFC 9110 section 5.3).

    So of two credentials neither is read. A name of `alone` that stands twice is left out.
    """
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    lines: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        lines.setdefault(name, []).append(value)
    # Of cookies, a client that speaks HTTP/2 to the proxy may send several lines (RFC 9113 section 8.2.3).
    return {
        name: (b"; " if name == b"cookie" else b", ").join(values)
        for name, values in lines.items()
        if len(values) == 1 or name not in alone
    }


def require_host(pairs: Pairs, headers: Mapping[bytes, bytes], version: str) -> None:
    """Raise BadRequest unless there is exactly one Host header, and a valid one (RFC 9112 section 3.2).

    HTTP/1.0 may have none.
    """
    host = headers.get(b"host")
    if host is None:
        if version != "1.0":
            raise BadRequest("The request names no host: send exactly one Host header")
    elif _HOST.fullmatch(host) is None or (
        len(headers) != len(pairs) and sum(name == b"host" for name, _ in pairs) != 1
    ):
        raise BadRequest("The request must name one host: send exactly one valid Host header")


def bearer_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The credential of `Authorization: Bearer …` (RFC 6750 section 2.1).

    It is empty where the scheme stands alone, None for any other scheme.
    """
    authorization = headers.get(b"authorization")
    if authorization is None:
        return None
    if authorization[:7] == b"Bearer ":
        return authorization[7:].strip().decode("latin-1")
    scheme, _, credential = authorization.partition(b" ")
    return credential.strip().decode("latin-1") if scheme.lower() == b"bearer" else None


def is_unchanged(condition: bytes, tag: bytes) -> bool:
    """Whether `If-None-Match` names `tag` (RFC 9110 sections 13.1.2 and 8.8.3.2).

    It may be a list or `*`, and tags are compared weakly.
    """
    if condition == tag:
        return True
    if condition.strip() == b"*":
        return True
    opaque, at = tag.removeprefix(b"W/").strip(b'"'), 0
    while at < len(condition):
        form = _FORM.match(condition, at)
        if form is None:
            return False  # not a list of tags: no condition that could hold
        if form[1] is not None and form[1] == opaque:
            return True
        at = form.end()
    return False


def takes_gzip(headers: Mapping[bytes, bytes]) -> bool:
    """Whether the client takes gzip (RFC 9110 section 12.5.3)."""
    accepted = headers.get(b"accept-encoding")
    if accepted is None:
        return False
    weights: dict[bytes, bool] = {}
    for part in accepted.lower().split(b",")[:32]:
        coding, _, parameter = part.partition(b";")
        name, _, weight = parameter.partition(b"=")
        is_zero = name.strip() == b"q" and weight.strip().rstrip(b"0") in (b"", b".", b"0.", b"0")
        weights[coding.strip()] = not (is_zero and weight.strip() != b"")
    return weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", False)))


def etag(body: bytes) -> bytes:
    """A tag that depends on the content only."""
    return b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'


def opaque(text: str) -> str:
    """What a tag says, however it is written: with quotes or without, weak, or of a compressed answer."""
    return text.strip().removeprefix("W/").strip('"').removesuffix("-gzip")
