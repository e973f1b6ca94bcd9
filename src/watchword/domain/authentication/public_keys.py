"""Public keys of other issuers: read from JWK or PEM, refused when weak, matched with an algorithm."""

import base64
import binascii
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from watchword.domain.authentication.pem import pem_text

__all__ = [
    "SIGNATURES",
    "Key",
    "UnusableKeyError",
    "bytes_of",
    "fits",
    "key_from_jwk",
    "key_from_pem",
    "public_keys",
    "strict_json",
]

# What a foreign issuer may sign with. No `none`, no HMAC (a public key is not a shared secret), no secp256k1.
SIGNATURES = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"}) | {
    "EdDSA",  # RFC 8037: of either curve; RFC 9864 gives each a name of its own
    "Ed25519",
    "Ed448",
}

_EDWARDS = frozenset({"EdDSA", "Ed25519", "Ed448"})
_CURVES: Mapping[str, tuple[type[ec.EllipticCurve], str]] = {
    "P-256": (ec.SECP256R1, "ES256"),
    "P-384": (ec.SECP384R1, "ES384"),
    "P-521": (ec.SECP521R1, "ES512"),
}
_RSA_ALGORITHMS = frozenset(a for a in SIGNATURES if a[0] in "RP")
_RSA_BITS = range(2048, 16_385)  # below: breakable; above: one verification is a way to keep us busy
_EXPONENT_BITS = 64
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | ed448.Ed448PublicKey


class UnusableKeyError(ValueError):
    """The key cannot be used to verify a signature; the text says why and is safe to show."""


class Key(msgspec.Struct, frozen=True, kw_only=True):
    """A public key with what its issuer declares about it."""

    material: Any
    algorithms: frozenset[str]  # what this kind of key, on this curve, can have signed
    kid: str | None = None
    alg: str | None = None
    use: str | None = None
    key_ops: tuple[str, ...] | None = None

    @property
    def thumbprint(self) -> bytes:
        """The thumbprint of the key itself, whatever its name: equal for two entries of the same key."""
        der: bytes = self.material.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return der


def bytes_of(text: str) -> bytes:
    """The bytes of unpadded base64url, which has exactly one spelling for each; raises ValueError."""
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise ValueError("not base64url")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:  # pragma: no cover - the pattern and the length leave nothing to object to
        raise ValueError("not base64url") from error
    # The last character may hold spare bits: two texts for the same bytes would let a used token look new.
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode():
        raise ValueError("not base64url")
    return raw


def strict_json(text: str | bytes) -> Any:
    """The value of a JSON text with no key twice in an object and no NaN; raises ValueError.

    Two readers of `{"sub":"a","sub":"b"}` may see different subjects.
    """

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise ValueError("a key stands twice in an object")
        return value

    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is not JSON")

    try:
        value = json.loads(text, object_pairs_hook=distinct, parse_constant=refuse)
        if b"\\ud" in (text.encode() if isinstance(text, str) else text).lower():
            json.dumps(
                value, ensure_ascii=False
            ).encode()  # half of a surrogate pair is no text that can be stored or sent
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    return value


def fits(key: Key, algorithm: str, uses: Sequence[str | None]) -> str:
    """The reason why `key` must not verify a signature made with `algorithm`; empty when it may."""
    if algorithm not in key.algorithms:
        return f"a key for {'/'.join(sorted(key.algorithms))} cannot verify {algorithm}"
    # `EdDSA` and the name of its curve are the same signature of the same key (RFC 9864 section 2.2).
    same = key.algorithms if algorithm in _EDWARDS else frozenset({algorithm})
    if key.alg is not None and key.alg not in same:
        return f"the key is for {key.alg}"
    if key.use not in uses:
        return f"the key's use is {key.use}"
    if key.key_ops is not None and "verify" not in key.key_ops:
        return "the key's key_ops do not name verify"
    return ""


@lru_cache(256)
def key_from_pem(text: str) -> Key:
    """The key of a public key or certificate in PEM, or base64 of that; read once. Raises UnusableKeyError."""
    data = pem_text(text).encode()
    try:
        if b"-----BEGIN CERTIFICATE-----" in data:
            return _key(_in_certificate(data, is_pem=True))
        return _key(load_pem_public_key(data))
    except UnusableKeyError:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError("not a PEM public key or certificate") from error


def key_from_jwk(jwk: Mapping[str, Any]) -> Key:
    """The key of a JSON Web Key, read once; raises UnusableKeyError."""
    try:
        return _read(msgspec.json.encode(jwk))
    except (msgspec.MsgspecError, TypeError, OverflowError, RecursionError) as error:
        raise UnusableKeyError("not a JSON object") from error


@lru_cache(1024)
def _read(text: bytes) -> Key:
    jwk: Mapping[str, Any] = msgspec.json.decode(text)
    read = _READERS.get(_text(jwk, "kty") or "")
    if read is None:
        raise UnusableKeyError("the key type is not RSA, EC or OKP")
    operations = jwk.get("key_ops")
    if operations is not None and not (isinstance(operations, list) and all(isinstance(o, str) for o in operations)):
        raise UnusableKeyError("key_ops is not a list of texts")
    try:
        key = _key(read(jwk))
    except UnusableKeyError:
        raise
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise UnusableKeyError("the numbers are not those of a public key") from error
    return msgspec.structs.replace(
        key,
        kid=_text(jwk, "kid"),
        alg=_text(jwk, "alg"),
        use=_text(jwk, "use"),
        key_ops=None if operations is None else tuple(operations),
    )


@lru_cache(256)
def public_keys(text: str) -> tuple[Mapping[str, Any], ...]:
    """The keys of a pasted JWKS, read once; raises UnusableKeyError when it is none, or gives away a private key.

    A `null` in the set is passed over, as in a set that is fetched.
    """
    try:
        parsed = strict_json(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise UnusableKeyError("not a JSON Web Key Set") from error
    keys = parsed.get("keys") if isinstance(parsed, dict) else None
    keys = [key for key in keys if key is not None] if isinstance(keys, list) else None
    if not keys or not all(isinstance(k, dict) for k in keys):
        raise UnusableKeyError("not a JSON Web Key Set with at least one key")
    if any("d" in k or "k" in k for k in keys):
        raise UnusableKeyError("the set holds a private key: paste the public keys only")
    return tuple(keys)


def _text(jwk: Mapping[str, Any], name: str) -> str | None:
    value = jwk.get(name)
    if value is not None and not isinstance(value, str):
        raise UnusableKeyError(f"{name} is not a text")
    return value


def _number(jwk: Mapping[str, Any], name: str) -> int:
    value = jwk.get(name)
    if not isinstance(value, str) or not value:
        raise UnusableKeyError(f"{name} is missing")
    return int.from_bytes(bytes_of(value.rstrip("=")), "big")


def _in_certificate(data: bytes, *, is_pem: bool = False) -> Any:
    """The public key of a certificate in DER or PEM. Raises ValueError for what is none."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and few keys come in certificates

    read = x509.load_pem_x509_certificate if is_pem else x509.load_der_x509_certificate
    try:
        return read(data).public_key()
    except x509.InvalidVersion as error:
        raise ValueError(str(error)) from error


def _rsa(jwk: Mapping[str, Any]) -> PublicKey:
    chain = jwk.get("x5c")
    if "n" not in jwk and isinstance(chain, list) and chain and isinstance(chain[0], str):
        # Azure's key list may name a key by its certificate alone. It came from the issuer, not from the token.
        key = _in_certificate(base64.b64decode(chain[0], validate=True))
        if not isinstance(key, rsa.RSAPublicKey):
            raise UnusableKeyError("the certificate is not of an RSA key")
        return key
    return rsa.RSAPublicNumbers(_number(jwk, "e"), _number(jwk, "n")).public_key()


def _ec(jwk: Mapping[str, Any]) -> PublicKey:
    curve = _CURVES.get(_text(jwk, "crv") or "")
    if curve is None:
        raise UnusableKeyError("the curve is not P-256, P-384 or P-521")
    # cryptography refuses a point that is not on the curve
    return ec.EllipticCurvePublicNumbers(_number(jwk, "x"), _number(jwk, "y"), curve[0]()).public_key()


def _okp(jwk: Mapping[str, Any]) -> PublicKey:
    point = bytes_of(_text(jwk, "x") or "")
    match _text(jwk, "crv"):
        case "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(point)
        case "Ed448":
            return ed448.Ed448PublicKey.from_public_bytes(point)
    raise UnusableKeyError("the curve is not Ed25519 or Ed448")


_READERS: Mapping[str, Callable[[Mapping[str, Any]], PublicKey]] = {"RSA": _rsa, "EC": _ec, "OKP": _okp}


def _key(material: Any) -> Key:
    if isinstance(material, rsa.RSAPublicKey):
        numbers = material.public_numbers()
        if material.key_size not in _RSA_BITS:
            raise UnusableKeyError(f"an RSA key of {material.key_size} bits: 2048 to 16384 are accepted")
        if numbers.e < 3 or numbers.e % 2 == 0 or numbers.e.bit_length() > _EXPONENT_BITS:
            raise UnusableKeyError("the RSA exponent is not an odd number of 3 or more")
        if _of_the_infineon_library(numbers.n):
            raise UnusableKeyError("the RSA key was made by a library whose keys can be factored (CVE-2017-15361)")
        return Key(material=material, algorithms=_RSA_ALGORITHMS)
    if isinstance(material, ec.EllipticCurvePublicKey):
        for curve, algorithm in _CURVES.values():
            if isinstance(material.curve, curve):
                return Key(material=material, algorithms=frozenset({algorithm}))
        raise UnusableKeyError("the curve is not P-256, P-384 or P-521")
    if isinstance(material, ed25519.Ed25519PublicKey):
        return Key(material=material, algorithms=frozenset({"EdDSA", "Ed25519"}))
    if isinstance(material, ed448.Ed448PublicKey):
        return Key(material=material, algorithms=frozenset({"EdDSA", "Ed448"}))
    raise UnusableKeyError("the key is not RSA, EC or EdDSA")


def _subgroup(prime: int) -> frozenset[int]:
    """The powers of 65537 modulo `prime`."""
    powers, power = {1}, 65_537 % prime
    while power not in powers:
        powers.add(power)
        power = power * 65_537 % prime
    return frozenset(powers)


# Primes of those keys are k*M + (65537^a mod M), M a product of the first primes; so is the modulus, modulo each of
# them.
_SUBGROUPS = {
    p: powers
    for p in range(3, 168, 2)
    if all(p % d for d in range(3, math.isqrt(p) + 1, 2)) and len(powers := _subgroup(p)) < p - 1
}


def _of_the_infineon_library(modulus: int) -> bool:
    return all(modulus % prime in powers for prime, powers in _SUBGROUPS.items())
