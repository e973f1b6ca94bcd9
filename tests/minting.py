"""Signed tokens for tests, honest and hostile, from the keys in tests/keys."""

import base64
import functools
import json
import pathlib

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from jwt import get_algorithm_by_name

from watchword.methods.base import Checks

KEYS = pathlib.Path(__file__).parent / "keys"
NOW = 1_800_000_000  # seconds
ALG = {
    "rsa": "RS256",
    "rsa_other": "RS256",
    "rsa_1024": "RS256",
    "p256": "ES256",
    "p256_other": "ES256",
    "p384": "ES384",
    "p521": "ES512",
    "ed25519": "EdDSA",
}


@functools.cache
def private(name):
    return load_pem_private_key((KEYS / f"{name}.pem").read_bytes(), None)


def public_pem(name):
    return private(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def jwk(name, kid=None, **more):
    algorithm = get_algorithm_by_name(ALG.get(name, "RS256"))
    key = algorithm.to_jwk(private(name).public_key(), as_dict=True)
    key.pop("key_ops", None)
    return key | ({"kid": kid} if kid else {}) | more


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def claims(**more):
    """The claims of a sound token; None takes one away."""
    sound = {"iss": "https://issuer.test", "sub": "sub-1", "aud": "watchword", "iat": NOW - 5, "exp": NOW + 300} | more
    return {name: value for name, value in sound.items() if value is not None}


def mint(payload=None, key="rsa", *, kid=None, alg=None, header=None, sign_as=None):
    """A compact JWS of `payload` (claims, or raw bytes); `header` adds to the header, or replaces it when it is
    bytes.
    """
    alg = alg or ALG[key]
    if not isinstance(header, bytes):
        header = json.dumps({"alg": alg, "typ": "JWT"} | ({"kid": kid} if kid else {}) | (header or {})).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(claims() if payload is None else payload).encode()
    signed = f"{b64(header)}.{b64(body)}"
    algorithm = get_algorithm_by_name(sign_as or alg)
    return f"{signed}.{b64(algorithm.sign(signed.encode(), private(key)))}"


class Recorded(Checks):
    """Checks, with the names of those that passed."""

    @property
    def passed(self):
        return [check.name for check in self.done if check.passed]
