"""Rules of passkeys (WebAuthn level 3): the site they are for, how long a challenge holds, and the counter of uses."""

import ipaddress
from typing import Final
from urllib.parse import urlsplit

import msgspec

CHALLENGE_FOR: Final = 10 * 60 * 1000  # milliseconds
MOST_KEYS: Final = 20  # of one person
MOST_ANSWER: Final = 16 * 1024  # characters of what a browser answers
ALGORITHMS: Final = (-8, -7, -257)  # COSE: EdDSA, ES256, RS256; in the order of preference


class Party(msgspec.Struct, frozen=True):
    """The site that passkeys are made for: its origin, and the relying party id, which is the origin's host."""

    origin: str
    id: str


def party_of(site_url: str, here: str) -> Party | None:
    """The site of passkeys: of the configured URL, or of the origin `here` where that is a loopback name.

    None where browsers offer none: without TLS (but on loopback), and for an address instead of a name (WebAuthn
    section 5.1.3). The name that a request brings decides only for loopback names: others can be made up.
    """
    try:
        parts = urlsplit(site_url or here)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        return None
    is_loopback = host == "localhost" or host.endswith(".localhost")
    if not host or _is_address(host) or not (is_loopback or (site_url and parts.scheme == "https")):
        return None
    default = {"https": 443, "http": 80}.get(parts.scheme)
    if default is None:
        return None
    shown = "" if port in (None, default) else f":{port}"
    return Party(origin=f"{parts.scheme}://{host}{shown}", id=host)


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_in_time(made_at: int, now: int) -> bool:
    """Whether a challenge that was made at a moment (ms) may still be answered."""
    return abs(now - made_at) <= CHALLENGE_FOR


def is_copied(stored: int, presented: int) -> bool:
    """Whether the counter of uses says that the passkey exists twice (WebAuthn section 6.1.1): it did not go on.

    A passkey that does not count presents 0 every time.
    """
    return (stored > 0 or presented > 0) and presented <= stored
