"""How a directory compares names (the string preparation of RFC 4518, with today's Unicode) and DNs (RFC 4514)."""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final, TypeAlias

Rdn: TypeAlias = frozenset[tuple[str, str]]  # attribute types and values, in the form in which they are compared

_TYPE: Final = re.compile(r"\s*(?:oid\.)?([a-z][a-z0-9-]*|[0-9]+(?:\.[0-9]+)+)\s*\Z", re.IGNORECASE | re.ASCII)
_HEX_PAIR: Final = re.compile(r"[0-9a-fA-F]{2}")
# The other names of the attribute types that RFC 4514, section 3, has short names for.
_SHORT: Final = {
    "2.5.4.3": "cn",
    "commonname": "cn",
    "2.5.4.7": "l",
    "localityname": "l",
    "2.5.4.8": "st",
    "stateorprovincename": "st",
    "2.5.4.10": "o",
    "organizationname": "o",
    "2.5.4.11": "ou",
    "organizationalunitname": "ou",
    "2.5.4.6": "c",
    "countryname": "c",
    "2.5.4.9": "street",
    "streetaddress": "street",
    "0.9.2342.19200300.100.1.25": "dc",
    "domaincomponent": "dc",
    "0.9.2342.19200300.100.1.1": "uid",
    "userid": "uid",
}

# What says nothing in a name although its category does not show it (RFC 4518, 2.2, and Unicode's
# Default_Ignorable_Code_Point): the grapheme joiner, Hangul fillers, Khmer inherent vowels, variation selectors, the
# replacement of an object.
_SILENT: Final = frozenset(
    map(
        chr,
        (
            0x034F,
            0x115F,
            0x1160,
            0x17B4,
            0x17B5,
            0x3164,
            0xFFA0,
            0xFFFC,
            *range(0x180B, 0x1810),
            *range(0xFE00, 0xFE10),
        ),
    )
)
_SPACES: Final = frozenset("\t\n\v\f\r\x85")


def directory_name(text: str) -> str:
    """The one form of all spellings that a directory takes for the same name.

    Width, compatibility forms and case are folded, characters that say nothing are left out, outer spaces go and inner
    ones are one (RFC 4518, 2.1 to 2.6). Names that differ here may still be one entry to a directory with rules of its
    own.
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFD", _mapped(text)).casefold()
    # Folding may bring what can be decomposed again, and the reverse: the order is that of a compatibility match
    # (Unicode, D146).
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", folded).casefold())
    return " ".join(unicodedata.normalize("NFKC", _mapped(folded)).split())


def distinguished_name(text: str) -> tuple[Rdn, ...] | None:
    """The parts of a DN (RFC 4514), so that spellings of one name are equal; None for a text that is no DN.

    Types have no case, values compare as `directory_name` says, spaces around separators mean nothing, and the members
    of a part have no order.
    """
    if "=" not in text:
        return None
    rdns: list[Rdn] = []
    for part in _split(text, ",;"):
        members = [_member(member) for member in _split(part, "+")]
        known = [member for member in members if member is not None]
        if len(known) < len(members):
            return None
        rdns.append(frozenset(known))
    return tuple(rdns)


def comparable(text: str) -> frozenset[object]:
    """The forms of a value of an attribute: two values are equal to a directory where they have one in common.

    Only a schema says of what syntax an attribute is: so a value counts as a name, and as a DN where it reads as one.
    """
    return frozenset(form for form in (directory_name(text), distinguished_name(text)) if form)


def _split(text: str, separators: str) -> Iterator[str]:
    """The parts between separators that are neither escaped nor in quotes."""
    start = at = 0
    is_quoted = False
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 2
            continue
        if char == '"':
            is_quoted = not is_quoted
        elif char in separators and not is_quoted:
            yield text[start:at]
            start = at + 1
        at += 1
    yield text[start:]


def _member(text: str) -> tuple[str, str] | None:
    """One attribute type and its value."""
    name, equals, value = text.partition("=")
    kind = _TYPE.match(name)
    if kind is None or not equals:
        return None
    unescaped = _unescaped(value)
    known_as = kind[1].lower()
    return None if unescaped is None else (_SHORT.get(known_as, known_as), unescaped)


def _unescaped(text: str) -> str | None:
    """The value of an attribute as it is compared; None where it is none."""
    body = text.strip(" ")
    if body.startswith("#"):  # the BER encoding in hex: it is compared as it stands
        return "#" + body[1:].lower()
    if body.startswith('"') and body.endswith('"') and len(body) > 1:
        body = body[1:-1]
    elif text.endswith(" ") and (len(body) - len(body.rstrip("\\"))) % 2:  # the last space was escaped
        body += " "
    raw = bytearray()
    at = 0
    while at < len(body):
        if body[at] != "\\":
            raw += body[at].encode(errors="surrogatepass")
            at += 1
        elif pair := _HEX_PAIR.match(body, at + 1):
            raw.append(int(pair[0], 16))
            at += 3
        elif at + 1 < len(body):
            raw += body[at + 1].encode(errors="surrogatepass")
            at += 2
        else:
            return None
    try:
        name = directory_name(raw.decode())
    except UnicodeDecodeError:
        return None
    return "\0" + name if name.startswith("#") else name  # a `#` that was escaped is no mark of hex


def _mapped(text: str) -> str:
    """The text with separators as spaces, and without characters that say nothing (RFC 4518, 2.2)."""
    mapped: list[str] = []
    for char in text:
        kind = unicodedata.category(char)
        if char in _SPACES or kind in ("Zs", "Zl", "Zp"):
            mapped.append(" ")
        elif kind not in ("Cc", "Cf") and char not in _SILENT and not "\U000e0000" <= char < "\U000e1000":
            mapped.append(char)
    return "".join(mapped)
