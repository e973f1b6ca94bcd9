"""Wrapping tokens: a credential is handed over sealed, and shown once to whoever brings its wrapping token.

    wrap.<id>.<secret>    id finds the row, the secret opens it

What is sealed is sealed with a key made from the secret, which is stored nowhere: the database alone does not open it.
The secret has 256 random bits, so a fast hash tells a right one from a wrong one.
"""

import base64
import hashlib
import hmac
import re
from typing import Final, Literal

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from watchword.domain.keys.sealing import seal, unseal
from watchword.domain.record import Record

WrapKind = Literal["client-secret", "access-token"]
WrapState = Literal["sealed", "opened", "expired", "revoked"]
MAX_TTL: Final = 86_400  # seconds
MOST_ALERTS: Final = 20  # of one wrap
_PREFIX = "wrap"
_UNITS = {"s": 1, "m": 60, "h": 3600}
_DURATION = re.compile(r"([0-9]{1,6})([smh]?)")
_ACCEPTED = "Seconds, or a text such as 30s, 5m or 1h: from 1 second to 24 hours"


class Wrap(Record, frozen=True, kw_only=True):
    """A wrapped credential. Times are ms.

    `sealed` is gone once it was opened, its credential was revoked, or its time is over. `refused` counts who came
    after it was opened. `created_by` is the name of who made it, `creation_path` that of the request.
    """

    id: str
    org_id: str
    project_id: str | None = None
    identity_id: str
    kind: WrapKind
    credential_id: str
    sealed: bytes | None
    verifier: bytes
    created_by: str | None = None
    creation_path: str
    created_at: int
    expires_at: int
    opened_at: int | None = None
    opened_address: str | None = None
    is_revoked: bool = False
    refused: int = 0


class WrappedContent(msgspec.Struct, frozen=True, kw_only=True):
    """What a wrap holds: the credential itself, and what is needed to use it."""

    credential: str
    client_id: str | None = None

    def __repr__(self) -> str:
        return "WrappedContent(***)"


def read_ttl(value: int | str) -> int:
    """The seconds of a `wrapTTL`. Raises a ValueError that says what is accepted."""
    match = _DURATION.fullmatch(str(value).strip())
    if match is None:
        raise ValueError(_ACCEPTED)
    seconds = int(match[1]) * _UNITS[match[2] or "s"]
    if not 1 <= seconds <= MAX_TTL:
        raise ValueError(_ACCEPTED)
    return seconds


def wrapping_token(id: str, secret: bytes) -> str:
    """The token that opens the wrap with this id."""
    return f"{_PREFIX}.{id}.{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def taken_apart(token: str) -> tuple[str, bytes] | None:
    """The id and the secret of a wrapping token; None for what is none."""
    prefix, _, rest = token.strip().partition(".")
    id, _, text = rest.partition(".")
    if prefix != _PREFIX or len(id) > 64 or len(text) != 43 or not text.isascii():
        return None
    try:
        secret = base64.b64decode(text + "=", altchars=b"-_", validate=True)
    except ValueError:
        return None
    return id, secret


def verifier_of(secret: bytes) -> bytes:
    """What is stored to tell the right secret."""
    return hmac.digest(secret, b"watchword wrapping token: verifier", hashlib.sha256)


def is_right(wrap: Wrap, secret: bytes) -> bool:
    """Whether this is the secret of the wrap, in constant time."""
    return hmac.compare_digest(wrap.verifier, verifier_of(secret))


def _key(secret: bytes) -> AESGCM:
    return AESGCM(hmac.digest(secret, b"watchword wrapping token: key", hashlib.sha256))


def sealed(id: str, secret: bytes, nonce: bytes, content: WrappedContent) -> bytes:
    """The content, sealed for this wrap with a key made from its secret."""
    return seal(_key(secret), 1, nonce, f"wrap/{id}", msgspec.json.encode(content))


def opened(wrap: Wrap, secret: bytes) -> WrappedContent:
    """The content of a wrap that is sealed. Raises CannotOpen."""
    plain = unseal(_key(secret), f"wrap/{wrap.id}", wrap.sealed or b"")
    return msgspec.json.decode(plain, type=WrappedContent)


def state_of(wrap: Wrap, now: int) -> WrapState:
    """Whether the wrap can be opened, or why not; what happened first counts."""
    if wrap.opened_at is not None:
        return "opened"
    if wrap.is_revoked:
        return "revoked"
    return "expired" if wrap.expires_at <= now or wrap.sealed is None else "sealed"
