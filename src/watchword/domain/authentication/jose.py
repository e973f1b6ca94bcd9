"""Verify a JWS that another party signed: one strict parser, and a reason code for every failure.

What the token says about its own key (`jwk`, `jku`, `x5c`, `x5u`) is never read: a key comes from the configuration or
from the issuer, or there is none.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Literal, NoReturn, Protocol

import msgspec

from watchword.domain.authentication.public_keys import (
    SIGNATURES,
    Key,
    UnusableKeyError,
    bytes_of,
    fits,
    key_from_jwk,
    strict_json,
)

__all__ = [
    "SIGNATURES",
    "Unverified",
    "Verdict",
    "audiences_of",
    "decode_unverified",
    "numeric_date",
    "verified_payload",
    "verify_jws",
]

MAX_TOKEN = 16_384
MAX_KID = 1_024
MAX_TRIED = 10  # keys tried for a token that names none
END_OF_TIME = 253_402_300_800  # the year 10000, in seconds


class Verdict(Protocol):
    """The record of checks; the first that fails ends the login (`methods.base.Checks`)."""

    def prove(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether the signature is genuine; raise unless it is."""
        ...

    def compare(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether the token says what is demanded; raise unless it does, except in a dry run."""
        ...

    def form(
        self, passed: bool, reason: str, message: str, *, expected: Any = None, presented: Any = None, status: int = 401
    ) -> None:
        """Record whether the token and its key can be used at all; raise unless they can."""
        ...

    def fail(
        self,
        kind: Literal["prove", "compare", "reach", "form"],
        reason: str,
        message: str,
        *,
        expected: Any = None,
        presented: Any = None,
        status: int = 401,
    ) -> NoReturn:
        """Record a failed check of a kind, and refuse."""
        ...


class Unverified(msgspec.Struct, frozen=True):
    """The content of a token, before anything is believed."""

    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    alg: str
    kid: str | None


class _Opened(msgspec.Struct, frozen=True):
    header: Mapping[str, Any]
    payload: bytes
    alg: str
    kid: str | None


def decode_unverified(token: str, checks: Verdict) -> Unverified:
    """The parts of a well-formed, signed JWT. Nothing in it is proved: use it to find the key, then `verify_jws`."""
    opened = _opened(token, checks)
    return Unverified(opened.header, _object(opened.payload, checks), opened.alg, opened.kid)


def verified_payload(
    token: str,
    keys: Sequence[Mapping[str, Any] | Key],
    *,
    checks: Verdict,
    algorithms: AbstractSet[str] = SIGNATURES,
    uses: Sequence[str | None] = (None, "sig"),
) -> bytes:
    """The payload that one of `keys` signed; what the payload says is not checked."""
    presented = _opened(token, checks)
    checks.form(
        presented.alg in algorithms & SIGNATURES,
        "algorithm_refused",
        "The token's signature algorithm is not accepted",
        expected=sorted(algorithms & SIGNATURES),
        presented=presented.alg[:64],
    )
    _require_signature(token, presented, _fitting(keys, presented, uses, checks), checks)
    return presented.payload


def verify_jws(
    token: str,
    keys: Sequence[Mapping[str, Any] | Key],
    *,
    checks: Verdict,
    now: int,
    issuer: str | None = None,
    audiences: Sequence[str] | None = None,
    algorithms: AbstractSet[str] = SIGNATURES,
    uses: Sequence[str | None] = (None, "sig"),
    leeway: int = 30,
    require_exp: bool = True,
    max_life: int | None = None,
) -> Mapping[str, Any]:
    """The claims of `token`, proved: signed by one of `keys`, in time, from `issuer`, meant for one of `audiences`.

    `now` is in milliseconds, `leeway` in seconds. It is granted to `nbf` and `iat` only: a machine whose clock runs
    ahead is common, a token that has expired is over. `issuer` and `audiences` of None are not compared;
    an empty list of audiences accepts none. `max_life` bounds `exp - iat`, and `exp - now` with it, in seconds.
    """
    claims = _object(verified_payload(token, keys, checks=checks, algorithms=algorithms, uses=uses), checks)
    _require_time(claims, now / 1000, leeway=leeway, require_exp=require_exp, max_life=max_life, checks=checks)
    if issuer is not None:
        actual = claims.get("iss")
        checks.compare(
            actual == issuer,
            "issuer_mismatch",
            "The token is from another issuer",
            expected=issuer,
            presented=_short(actual),
        )
    if audiences is not None:
        named = audiences_of(claims, checks)
        checks.compare(
            any(a in audiences for a in named),
            "audience_mismatch",
            "The token is meant for another audience",
            expected=list(audiences),
            presented=_short(list(named)),
        )
    return claims


def audiences_of(claims: Mapping[str, Any], checks: Verdict) -> tuple[str, ...]:
    """Whom the token is meant for: one text, or a list with at least one; neither may be empty (RFC 7519 4.1.3)."""
    named = claims.get("aud")
    listed = [named] if isinstance(named, str) else named
    sound = isinstance(listed, list) and bool(listed) and all(isinstance(a, str) and a for a in listed)
    checks.form(sound, "audience_missing", "The token names no audience", presented=_short(named))
    return tuple(listed or ())


def _opened(token: str, checks: Verdict) -> _Opened:
    checks.form(
        len(token) <= MAX_TOKEN, "token_too_long", "The token is too long", expected=MAX_TOKEN, presented=len(token)
    )
    parts = token.split(".")
    checks.form(len(parts) != 5, "token_encrypted", "The token is encrypted (JWE): present a signed one (JWS)")
    checks.form(
        len(parts) == 3, "token_malformed", "The token is not a JWT", expected="three parts", presented=len(parts)
    )
    try:
        head, payload, _ = (bytes_of(part) for part in parts)
    except ValueError as error:
        checks.fail("form", "token_malformed", "The token is not a JWT", presented=_reason(error))
    header = _object(head, checks)
    alg, kid = header.get("alg"), header.get("kid")
    if not isinstance(alg, str):
        checks.fail("form", "token_malformed", "The token names no algorithm")
    if kid is not None and not (isinstance(kid, str) and len(kid) <= MAX_KID):
        checks.fail("form", "token_malformed", "The token's key id is not a text")
    # RFC 7515 4.1.11: what we do not understand and must understand, we refuse; we understand no extension.
    checks.form(
        "crit" not in header and "b64" not in header,
        "header_critical",
        "The token demands an extension that is not supported",
    )
    return _Opened(header, payload, alg, kid)


def _object(raw: bytes, checks: Verdict) -> Mapping[str, Any]:
    try:
        parsed = strict_json(raw.decode())
    except ValueError as error:
        checks.fail("form", "token_malformed", "The token is not a JWT", presented=_reason(error))
    if not isinstance(parsed, dict):
        checks.fail("form", "token_malformed", "The token is not a JWT", expected="a JSON object")
    return parsed


def _fitting(
    keys: Sequence[Mapping[str, Any] | Key], presented: _Opened, uses: Sequence[str | None], checks: Verdict
) -> list[Key]:
    """The keys that may have signed the token; at most one for a token that names its key."""
    named = _keys_named(keys, presented.kid)
    checks.form(
        bool(named),
        "key_unknown",
        "The token is signed with a key that its issuer does not publish",
        presented=presented.kid,
    )
    fitting: dict[bytes, Key] = {}
    faults: list[str] = []
    for jwk in named:
        try:
            key = jwk if isinstance(jwk, Key) else key_from_jwk(jwk)
        except UnusableKeyError as error:
            faults.append(str(error))
            continue
        fault = fits(key, presented.alg, uses)
        if fault:
            faults.append(fault)
        else:
            fitting[key.thumbprint] = key
    checks.form(
        bool(fitting),
        "key_unfit",
        "The issuer's key must not be used for this token",
        expected=presented.alg,
        presented=faults[:MAX_TRIED],
    )
    # Two different keys under one name: one of them may have been put there. RFC 7517 4.5 asks for distinct names.
    if any(key.kid is not None and key.kid == presented.kid for key in fitting.values()):
        checks.form(
            len(fitting) == 1,
            "key_ambiguous",
            "The issuer publishes several keys under this key id",
            presented=presented.kid,
        )
    return list(fitting.values())[:MAX_TRIED]


def _keys_named(keys: Sequence[Mapping[str, Any] | Key], kid: str | None) -> list[Mapping[str, Any] | Key]:
    """The keys called `kid`; without such a one those that have no name; all of them for a token that names none."""
    if kid is None:
        return list(keys)
    exact = [key for key in keys if _kid(key) == kid]
    return exact or [key for key in keys if _kid(key) is None]


def _kid(key: Mapping[str, Any] | Key) -> Any:
    return key.kid if isinstance(key, Key) else key.get("kid")


def _require_signature(token: str, presented: _Opened, keys: Sequence[Key], checks: Verdict) -> None:
    from jwt import InvalidTokenError, PyJWS  # noqa: PLC0415 - slow to import, and only foreign tokens need it

    # PyJWT knows the algorithms of RFC 9864 by the older name that they share; which curve it is, the key has settled.
    name = "EdDSA" if presented.alg in ("Ed25519", "Ed448") else presented.alg
    verifier = PyJWS(algorithms=[name], options={"verify_signature": True, "enforce_minimum_key_length": True})
    if name != presented.alg and presented.alg not in verifier.get_algorithms():
        verifier.register_algorithm(presented.alg, verifier.get_algorithm_by_name(name))
    for key in keys:
        try:
            verifier.decode_complete(
                token, key.material, algorithms=[presented.alg], options={"verify_signature": True}
            )
        except InvalidTokenError:
            continue
        except (ValueError, TypeError):  # PyJWT on numbers that are no signature at all
            continue
        checks.prove(True, "signature_invalid", "", expected=presented.alg, presented=presented.kid)
        return
    checks.fail(
        "prove",
        "signature_invalid",
        "The token's signature is not valid",
        expected=presented.alg,
        presented=presented.kid,
    )


def _require_time(
    claims: Mapping[str, Any], now: float, *, leeway: int, require_exp: bool, max_life: int | None, checks: Verdict
) -> None:
    exp, nbf, iat = (_moment(claims, name, checks) for name in ("exp", "nbf", "iat"))
    checks.form(exp is not None or not (require_exp or max_life), "expiry_missing", "The token has no expiry (exp)")
    facts = {"now": int(now)}
    if exp is not None:
        checks.compare(now < exp, "token_expired", "The token has expired", expected=facts, presented=exp)
    if nbf is not None:
        checks.compare(
            nbf <= now + leeway, "token_not_yet_valid", "The token is not valid yet", expected=facts, presented=nbf
        )
    if iat is not None:
        checks.compare(
            iat <= now + leeway,
            "token_from_the_future",
            "The token was issued in the future",
            expected=facts,
            presented=iat,
        )
    if exp is not None and max_life is not None:
        life = exp - (now if iat is None else min(iat, now))
        checks.compare(
            life <= max_life, "life_too_long", "The token lives too long", expected=max_life, presented=int(life)
        )


def _moment(claims: Mapping[str, Any], name: str, checks: Verdict) -> float | None:
    """The time in a claim; None where the token has none. Neither a text nor `true` is a time."""
    if name not in claims:
        return None
    value = numeric_date(claims[name])
    checks.form(
        value is not None, f"{name}_malformed", f"The token's {name} is not a time", presented=_short(claims[name])
    )
    return value


def numeric_date(value: Any) -> float | None:
    """The seconds of a NumericDate (RFC 7519 section 2), from 1970 until the year 9999.

    None stands for whatever is no such date, however large.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and 0 <= value < END_OF_TIME else None


def _short(value: Any) -> Any:
    """A claim as an operator may see it: a forged one cannot flood the log."""
    text = str(value)
    return value if len(text) <= 300 else text[:300] + "…"


def _reason(error: ValueError) -> str:
    """The reason why a text is not JSON, without any of the text."""
    return {"UnicodeDecodeError": "not UTF-8", "JSONDecodeError": "not JSON"}.get(type(error).__name__, str(error)[:60])
