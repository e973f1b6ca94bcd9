"""Access tokens: JWTs signed with EdDSA that carry all that is needed to check and renew them.

What may change: claims may be added; none is renamed or given another meaning. A reader ignores claims it does not
know. Times in claims are whole seconds since the epoch, as RFC 7519 section 2 has them; times to live are seconds.
"""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_BYTES, crypto_sign_seed_keypair
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from watchword.domain.errors import BadToken, Unauthorized

IDENTITY = "identityAccessToken"
PERSON = "accessToken"
MAX_LENGTH = 16_384  # bytes; a longer bearer value is refused unread


class IdentityClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel", gc=False):
    """The claims of a machine identity's access token, in wire order."""

    identity_id: str
    client_secret_id: str | None = None
    identity_access_token_id: str
    auth_token_type: str
    iat: int
    exp: int
    jti: str
    identity_name: str = ""
    auth_method: str
    org_id: str
    root_org_id: str | None = None
    parent_org_id: str | None = None
    creation_epoch: int
    creation_ms: int = 0  # the moment of first issue, from which a max TTL counts
    generation: int = 0  # of the identity's tokens when it was first issued; 0: issued before there were generations
    expires_ms: int = 0  # `exp` has whole seconds and is rounded up; this is the end we keep to
    access_token_ttl: int = msgspec.field(name="accessTokenTTL")
    access_token_max_ttl: int = msgspec.field(name="accessTokenMaxTTL")
    access_token_period: int = 0
    num_uses_limit: int = 0
    ip_restriction_enabled: bool = False
    identity_auth: dict[str, Any] | None = None
    serial: str = ""  # makes every issued token a new string, also two renewals within one second


class PersonClaims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename="camel"):
    """The claims of a person's session token."""

    auth_token_type: str
    user_id: str
    token_version_id: str
    organization_id: str | None = None
    is_mfa_verified: bool = False
    iat: int
    exp: int
    serial: str = ""


Claims = IdentityClaims | PersonClaims


class _Kind(msgspec.Struct, rename="camel"):
    auth_token_type: str = ""


_kind = msgspec.json.Decoder(_Kind)
_identity = msgspec.json.Decoder(IdentityClaims)
_person = msgspec.json.Decoder(PersonClaims)
_encode = msgspec.json.Encoder().encode
_URL_SAFE = bytes.maketrans(b"+/", b"-_")


class Signer:
    """A signing key and the header that goes with it.

    `seed` is the private key as RFC 8032 section 5.1.5 has it, 32 bytes.
    """

    __slots__ = ("_secret", "header", "kid", "public")

    def __init__(self, seed: bytes, kid: str = "") -> None:
        public, self._secret = crypto_sign_seed_keypair(seed)
        self.public = VerifyKey(public)
        self.kid = kid or hashlib.sha256(bytes(self.public)).hexdigest()[:16]
        self.header = _b64(_encode({"alg": "EdDSA", "typ": "JWT", "kid": self.kid}))

    def __repr__(self) -> str:
        return f"Signer({self.kid})"

    def sign(self, claims: Claims) -> str:
        """The compact token."""
        body = self.header + b"." + _b64(_encode(claims))
        return (body + b"." + _b64(crypto_sign(body, self._secret)[:crypto_sign_BYTES])).decode()

    def jwk(self) -> dict[str, str]:
        """The public half as RFC 8037 has it."""
        return {
            "kty": "OKP",
            "crv": "Ed25519",
            "alg": "EdDSA",
            "use": "sig",
            "kid": self.kid,
            "x": jwk_point(self.public),
        }


def jwk_point(key: VerifyKey) -> str:
    """A public key as the member `x` of a JWK (RFC 8037 section 2)."""
    return _b64(bytes(key)).decode()


def _b64(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).translate(_URL_SAFE).rstrip(b"=")


def _unb64(text: str) -> bytes:
    raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    if _b64(raw).decode() != text:
        # Two spellings of one signature would be two tokens that revocation by digest could tell apart.
        raise binascii.Error("not canonical")
    return raw


def verified(token: str, keys: Mapping[str, VerifyKey]) -> Claims:
    """The claims of a token that one of `keys` signed, whether expired or not. Raises BadToken.

    `keys` maps the exact header that we issue with a key to that key, so there is no algorithm to be talked into:
    a token with any other header is not ours.
    """
    if not token:
        raise BadToken("A jwt must be provided")
    header, _, rest = token.partition(".")
    payload, _, signature = rest.partition(".")
    if len(token) > MAX_LENGTH or not payload or not signature or "." in signature:
        raise BadToken("The access token is malformed: send a valid one or make a new one")
    key = keys.get(header)
    if key is None:
        raise BadToken("The access token was not issued here: invalid header")
    try:
        key.verify(f"{header}.{payload}".encode(), _unb64(signature))
        raw = _unb64(payload)
        kind = _kind.decode(raw).auth_token_type
        if kind == IDENTITY:
            return _identity.decode(raw)
        if kind == PERSON:
            return _person.decode(raw)
    except BadSignatureError:
        raise BadToken("The access token is not valid: invalid signature") from None
    except (ValueError, binascii.Error, msgspec.DecodeError, RecursionError):
        raise BadToken("The access token is malformed: send a valid one or make a new one") from None
    raise Unauthorized("This kind of token is not accepted here")


def require_unexpired(claims: Claims, now: int) -> None:
    """Raise BadToken when the token's end is not after `now` (milliseconds)."""
    end = claims.expires_ms if isinstance(claims, IdentityClaims) and claims.expires_ms else claims.exp * 1000
    if end <= now:
        raise BadToken("The token has expired: authenticate again")


def ends_at(*, now: int, first: int, ttl: int, max_ttl: int, period: int, max_age: int) -> int:
    """When (ms) a token issued or renewed at `now` (ms) ends. Not after `now`: it may not be renewed any more.

    `first` (ms) is the moment of its first issue. `max_age` caps every token, and is counted afresh at each renewal of
    a periodic one. Times to live are seconds.
    """
    if period > 0:
        return now + min(period, max_age) * 1000
    ends = [first + max_age * 1000]
    if ttl > 0:
        ends.append(now + ttl * 1000)
    if max_ttl > 0:
        ends.append(first + max_ttl * 1000)
    return min(ends)


def longest_life(*, ttl: int, max_ttl: int, period: int) -> int | None:
    """The seconds that a token with these times to live is alive without a renewal.

    None: only the maximum age bounds it.
    """
    lives = [seconds for seconds in ((period,) if period > 0 else (ttl, max_ttl)) if seconds > 0]
    return min(lives, default=None)


def last_end(*, now: int, first: int, end: int, ttl: int, max_ttl: int, period: int, max_age: int) -> int:
    """The last moment (ms) at which a token or a renewal of it can be alive.

    It is taken that the token is renewed no more from `now` (ms) on.

    `first` and `end` (ms) are the first issue and the end of one of its renewals; others may have been made until now.
    Times to live are seconds, `max_age` the largest that ever held.
    """
    renewed = max(now, end)
    if period > 0:
        return renewed + period * 1000
    ends = [first + (max_ttl or max_age) * 1000]
    if ttl > 0:
        ends.append(renewed + ttl * 1000)
    return max(end, min(ends))
