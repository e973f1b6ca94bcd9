"""Checks of small values: claim values, client addresses, durations, slugs."""

import ipaddress
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

import msgspec

from watchword.domain.globs import glob_matches

__all__ = [
    "AddressSet",
    "IpRange",
    "address_prefix",
    "claim_matches",
    "compile_ranges",
    "dig",
    "duration_ms",
    "glob_matches",
    "is_slug",
    "parse_ip_range",
    "slugify",
    "within",
]

_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


# --- claims


def claim_matches(value: Any, patterns: Sequence[str]) -> bool:
    """Whether a claim's value equals or matches one of the patterns; of a list, whether an element does.

    Numbers and booleans are compared as their JSON text. No patterns, no value and an object match nothing.
    """
    if isinstance(value, list | tuple):
        return any(claim_matches(element, patterns) for element in value if not isinstance(element, list | tuple))
    text = claim_text(value)
    return text is not None and any(glob_matches(pattern, text) for pattern in patterns)


def claim_text(value: Any) -> str | None:
    """A scalar claim as text: a string as it is, a number or boolean as in JSON; None for anything else."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        # JSON does not tell 1.0 from 1; neither should the comparison.
        return str(int(value)) if value.is_integer() else repr(value)
    return None


def dig(claims: Mapping[str, Any], path: str) -> Any:
    """The value at a dot path, or None.

    A key that itself has dots (`https://a.b/c`) goes before the path.
    """
    if path in claims:
        return claims[path]
    parts = path.split(".")
    for count in range(len(parts) - 1, 0, -1):
        inner = claims.get(".".join(parts[:count]))
        if isinstance(inner, Mapping) and (dug := dig(inner, ".".join(parts[count:]))) is not None:
            return dug
    return None


# --- trusted addresses


class IpRange(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A trusted address or network, in the form of the wire; the host bits stay as they were given."""

    type: str  # "ipv4" or "ipv6"
    prefix: int | None = None
    ip_address: str


_MAPPED: Final = ipaddress.IPv6Network("::ffff:0:0/96")
_PREFIX: Final = re.compile(r"0|[1-9][0-9]{0,2}", re.ASCII)
_CACHED_ADDRESSES: Final = 4_096


def parse_ip_range(text: str) -> IpRange:
    """The range written as `10.0.0.1`, `10.0.0.0/8` or `fd00::/8`; ValueError says what is wrong."""
    written = text.strip()
    address, slash, prefix = written.partition("/")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        parsed = None
    if parsed is None or "%" in address:
        raise ValueError(f"{_shown(written)} is not an IPv4 or IPv6 address or a CIDR range")
    kind = f"ipv{parsed.version}"
    if not slash:
        return IpRange(type=kind, ip_address=address)
    if not _PREFIX.fullmatch(prefix) or int(prefix) > parsed.max_prefixlen:
        raise ValueError(
            f"{_shown(written)} needs a prefix length between 0 and {parsed.max_prefixlen} after the slash"
        )
    return IpRange(type=kind, ip_address=address, prefix=int(prefix))


def _shown(text: str) -> str:
    return f"'{text[:64]}'"


class AddressSet:
    """Trusted ranges, ready to be asked; answers for recently seen addresses are remembered."""

    __slots__ = ("_answers", "_networks", "is_open")

    def __init__(self, networks: Sequence[_Network]) -> None:
        # Everything is compared as IPv6, IPv4 as ::ffff:a.b.c.d: so a mapped client meets IPv4 ranges and the reverse,
        # and `::/0` alone takes IPv4 clients, as in the servers we are compatible with.
        self._networks = tuple((int(n.network_address), int(n.netmask)) for n in map(_as_ipv6, networks))
        self._answers: dict[str, bool] = {}
        self.is_open = any(mask == 0 for _, mask in self._networks)

    def admits(self, address: str | None) -> bool:
        """Whether the address is in a range; what is not an address does not."""
        if address is None:
            return False
        answer = self._answers.get(address)
        if answer is None:
            answer = self._find(address)
            if len(self._answers) >= _CACHED_ADDRESSES:
                self._answers.clear()
            self._answers[address] = answer
        return answer

    def _find(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            return False
        number = int(parsed) | (0xFFFF << 32 if parsed.version == 4 else 0)
        return any(number & mask == base for base, mask in self._networks)


@lru_cache(_CACHED_ADDRESSES)
def address_prefix(address: str | None) -> str:
    """The network that is counted as one address; empty for a text that is no address.

    An IPv4 address counts by itself, also inside an IPv6 one; any other IPv6 address counts by its /64.
    """
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return ""
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


def _as_ipv6(network: _Network) -> ipaddress.IPv6Network:
    if isinstance(network, ipaddress.IPv6Network):
        return network
    return ipaddress.IPv6Network((int(_MAPPED.network_address) | int(network.network_address), 96 + network.prefixlen))


def compile_ranges(ranges: Sequence[IpRange]) -> AddressSet:
    """The ranges as a set that answers fast; no ranges admit nobody.

    Equal ranges share one set, for most identities have the same.
    """
    return _compiled(tuple(ranges))


@lru_cache(4096)
def _compiled(ranges: tuple[IpRange, ...]) -> AddressSet:
    return AddressSet([_network(r) for r in ranges])


def _network(ip_range: IpRange) -> _Network:
    address = ipaddress.ip_address(ip_range.ip_address)
    prefix = address.max_prefixlen if ip_range.prefix is None else ip_range.prefix
    return ipaddress.ip_network((ip_range.ip_address, prefix), strict=False)


def within(address: str | None, ranges: Sequence[IpRange]) -> bool:
    """Whether the address is in one of the ranges; `compile_ranges` is for asking often."""
    return compile_ranges(ranges).admits(address)


# --- durations and slugs

_DURATION: Final = re.compile(
    r"(?P<number>[0-9]{1,15}(?:\.[0-9]{1,9})?|\.[0-9]{1,9}) *(?P<unit>[a-z]*)", re.IGNORECASE | re.ASCII
)
_DAY: Final = 86_400_000
_UNITS: Final = {
    **dict.fromkeys(("ms", "msec", "msecs", "millisecond", "milliseconds", ""), 1),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3_600_000),
    **dict.fromkeys(("d", "day", "days"), _DAY),
    **dict.fromkeys(("w", "week", "weeks"), 7 * _DAY),
    **dict.fromkeys(("y", "yr", "yrs", "year", "years"), _DAY * 1461 // 4),  # 365.25 days
}
_LONGEST: Final = 1_000 * _UNITS["y"]


def duration_ms(text: str) -> int:
    """The milliseconds of `1h`, `30m`, `2 days`, …; ValueError unless more than 0 and at most 1000 years."""
    match = _DURATION.fullmatch(text.strip())
    unit = _UNITS.get(match["unit"].lower()) if match else None
    if match is None or unit is None:
        raise ValueError(f"{_shown(text)} is not a duration: write a number and a unit, such as 30m, 1h or 2 days")
    whole, _, fraction = match["number"].partition(".")
    milliseconds = int(whole or "0") * unit + int((fraction + "000000000")[:9]) * unit // 1_000_000_000
    if not 0 < milliseconds <= _LONGEST:
        raise ValueError(f"{_shown(text)} must be more than 0 and at most 1000 years")
    return milliseconds


_SLUG: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*", re.ASCII)


def slugify(text: str) -> str:
    """The text as a slug: accents dropped, lower case, every run of other characters one dash; may be empty."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))


def is_slug(text: str) -> bool:
    """Whether the text is its own slug and not empty."""
    return _SLUG.fullmatch(text) is not None
