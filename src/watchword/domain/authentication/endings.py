"""When credentials and what a configuration holds end by themselves, and the state of a client secret.

Times are milliseconds. What has no end of its own (a public key, a secret without a time to live) is not named.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from watchword.domain.authentication.pem import certificates
from watchword.domain.authentication.records import ClientSecret

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["ENDS_AT", "Ending", "SecretState", "end_of_secret", "end_of_token", "endings_of", "state_of"]

ENDS_AT = "$endsAt"  # beside a sealed setting: when it ends (ms), so that nothing is opened to find out
SecretState = Literal["active", "expired", "used-up", "revoked"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """Something that ends at `ends_at` (ms).

    `kind` says what: the identity itself, one of its client secrets or named tokens (`id`, and `name` where it has
    one), or a certificate, key or token that the setting `field` of its `method` holds.
    """

    kind: Literal["identity", "client-secret", "token", "certificate", "key"]
    ends_at: int
    method: str | None = None
    id: str | None = None
    name: str | None = None
    field: str | None = None


def end_of_secret(secret: ClientSecret) -> int | None:
    """When a client secret ends; None if it does not."""
    return secret.created_at + secret.ttl * 1000 if secret.ttl else None


def state_of(secret: ClientSecret, now: int) -> SecretState:
    """The state of a client secret: the first of revoked, expired and used up that it is, else active."""
    end = end_of_secret(secret)
    if secret.is_revoked:
        return "revoked"
    if end is not None and end <= now:
        return "expired"
    return "used-up" if secret.uses_limit and secret.uses >= secret.uses_limit else "active"


def endings_of(method: str, settings: Mapping[str, Any]) -> Iterator[Ending]:
    """The certificates and keys with an end that the settings of a method hold, wherever they stand in them.

    Of several certificates in one text it is the first that ends.
    """
    for field, value in settings.items():
        if isinstance(value, Mapping) and isinstance(value.get(ENDS_AT), int):
            yield Ending(kind="token", ends_at=value[ENDS_AT], method=method, field=field)
        for text in _texts(value):
            for kind, end in _ends_in(text):
                yield Ending(kind=kind, ends_at=end, method=method, field=field)


def end_of_token(text: str) -> int | None:
    """When a pasted JWT ends (ms); None for one without an end, and for what is none. Nothing is verified."""
    parts = text.strip().split(".")
    if len(parts) != 3 or len(parts[1]) > _LONGEST:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    exp = claims.get("exp") if isinstance(claims, dict) else None
    is_time = isinstance(exp, int | float) and not isinstance(exp, bool) and 0 < exp < _YEAR_9999
    return int(exp * 1000) if is_time and exp is not None else None


_LONGEST = 65_536  # characters of claims
_YEAR_9999 = 253_402_300_800  # seconds


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if len(value) >= _SHORTEST:
            yield value
    elif isinstance(value, Mapping):
        if "keys" in value or "kty" in value:  # a key that was sent as an object
            yield json.dumps(value)
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _texts(inner)


_SHORTEST = 40  # characters: no key or certificate is shorter


@lru_cache(1024)
def _ends_in(text: str) -> tuple[tuple[Literal["certificate", "key"], int], ...]:
    if text.lstrip("\ufeff \t\r\n").startswith("{"):
        return tuple(_ends_of_keys(text))
    try:
        found = certificates(text)
    except ValueError:
        return ()
    return (("certificate", min(map(_end, found))),)


def _ends_of_keys(text: str) -> Iterator[tuple[Literal["certificate", "key"], int]]:
    try:
        value = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return
    keys = value.get("keys", [value]) if isinstance(value, dict) else ()
    for key in keys if isinstance(keys, list) else ():
        if not isinstance(key, dict):
            continue
        exp, chain = key.get("exp"), key.get("x5c")
        if isinstance(exp, int | float) and not isinstance(exp, bool) and 0 < exp < _YEAR_9999:
            yield "key", int(exp * 1000)
        if isinstance(chain, list) and chain and isinstance(chain[0], str):
            try:
                leaf = certificates(f"-----BEGIN CERTIFICATE-----\n{chain[0]}\n-----END CERTIFICATE-----")[0]
            except ValueError:
                continue
            yield "certificate", _end(leaf)


def _end(certificate: "Certificate") -> int:
    return int(certificate.not_valid_after_utc.timestamp() * 1000)
