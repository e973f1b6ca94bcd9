"""Parse `X-Forwarded-For` and `Forwarded`, and find the caller among the hops that they name.

Each proxy adds the address that it was called from at the end of the list, so only what proxies of ours added can be
believed: the list is read from its end, over the addresses that are trusted, to the first one that is not.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MOST_HOPS = 64
_SPACE = re.compile(r"[ \t]+")
# RFC 7239 section 6.3: a port is a number, or a name that hides it.
_PORT = re.compile(
    r"\[(?P<inner>[^\]]*)\](?::(?:[0-9]{1,5}|_[\w.-]+))?|(?P<plain>[0-9.]+):(?:[0-9]{1,5}|_[\w.-]+)", re.ASCII
)
# RFC 7239 section 4: a list of elements, each pairs of a token and a token or quoted string. Older writers leave
# brackets unquoted.
_PAIR = re.compile(
    r'[ \t]*(?P<name>[!#$%&\'*+.^_`|~0-9A-Za-z-]+)=(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^",;\s]*))[ \t]*',
    re.DOTALL,
)


def address_of(text: str) -> Address | None:
    """The address that a hop names: with or without a port, brackets, quotes or a zone; IPv4 where IPv6 carries it.

    None for what is none.
    """
    bare = text.strip()
    if len(bare) > 1 and bare[0] == bare[-1] == '"':
        bare = bare[1:-1].strip()
    with_port = _PORT.fullmatch(bare)
    if with_port is not None:
        inner = with_port["inner"]
        if inner is not None and ":" not in inner:
            return None  # brackets are for IPv6 (RFC 3986 section 3.2.2)
        bare = inner if inner is not None else with_port["plain"]
    try:
        address = ipaddress.ip_address(bare.partition("%")[0] if ":" in bare else bare)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def trusts(address: Address, proxies: Sequence[Network]) -> bool:
    """Whether the address is one of the proxies."""
    return any(address in network for network in proxies if network.version == address.version)


def _x_forwarded_for(text: str) -> Iterator[str]:
    """The hops of `X-Forwarded-For`, nearest first. Empty elements are none (RFC 9110 section 5.6.1)."""
    return (hop for hop in reversed(text.split(",")) if hop.strip())


def _forwarded(text: str) -> Iterator[str]:
    """The hops of `Forwarded` (RFC 7239), nearest first.

    An element without `for`, and a header that cannot be read, name nobody.
    """
    hops: list[str] = []
    hop, is_empty, at = "", True, 0
    while at <= len(text):
        pair = _PAIR.match(text, at)
        if pair is not None:
            at, is_empty = pair.end(), False
            if pair["name"].lower() == "for":
                node = pair["token"] if pair["quoted"] is None else re.sub(r"\\(.)", r"\1", pair["quoted"])
                hop = "twice" if hop else node or "nobody"
        else:
            space = _SPACE.match(text, at)
            at = space.end() if space else at
        end = text[at : at + 1]
        if end not in ("", ",", ";"):
            yield ""
            return
        at += 1
        if end != ";":
            if not is_empty:
                hops.append(hop)
            hop, is_empty = "", True
        if len(hops) > MOST_HOPS:
            del hops[0]
    yield from reversed(hops)


HEADERS = {"x-forwarded-for": _x_forwarded_for, "forwarded": _forwarded}


def caller(header: str, text: str, proxies: Sequence[Network]) -> Address | None:
    """The caller that a trusted proxy names in `text`, the value of `header`.

    Of several header lines, `text` is all of them in their order.

    None where the walk meets something that is no address: an unknown, a hidden name (RFC 7239 section 6), text. What
    lies behind it was written by somebody unknown. Where every hop is a proxy of ours, the farthest of them is the
    caller.
    """
    farthest: Address | None = None
    for number, hop in enumerate(HEADERS[header](text)):
        address = address_of(hop) if number < MOST_HOPS else None
        if address is None or not trusts(address, proxies):
            return address
        farthest = address
    return farthest
