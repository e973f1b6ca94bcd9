"""An authenticator in memory for tests: it makes passkeys and signs with them as WebAuthn level 3 says, and lies where
it is told to.
"""

import base64
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from fido2 import cbor

PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40


def text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class SoftwareKey:
    """One passkey, made for one origin."""

    origin: str = "http://localhost"
    rp_id: str = "localhost"
    credential_id: bytes = b"\x07" * 16
    count: int = 0
    step: int = 1  # by which it counts on at each use; 0 where it does not count
    user_handle: str = ""
    private: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    def _client_data(self, kind: str, challenge: str, lies: dict[str, Any]) -> bytes:
        said = {"type": f"webauthn.{kind}", "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        return json.dumps(said | lies).encode()

    def _data(self, flags: int, more: bytes = b"") -> bytes:
        return hashlib.sha256(self.rp_id.encode()).digest() + bytes([flags]) + self.count.to_bytes(4, "big") + more

    def make(self, options: str, *, flags: int = PRESENT | VERIFIED, **lies: Any) -> str:
        """What `navigator.credentials.create` answers to these options."""
        asked = json.loads(options)
        self.user_handle = asked["user"]["id"]
        numbers = self.private.public_key().public_numbers()
        key = {1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")}
        attested = b"\x00" * 16 + len(self.credential_id).to_bytes(2, "big") + self.credential_id + cbor.encode(key)
        made = {"fmt": "none", "attStmt": {}, "authData": self._data(flags | ATTESTED, attested)}
        response = {
            "clientDataJSON": text(self._client_data("create", asked["challenge"], lies)),
            "attestationObject": text(cbor.encode(made)),
            "transports": ["internal"],
        }
        return self._answer(response)

    def use(self, options: str, *, flags: int = PRESENT | VERIFIED, **lies: Any) -> str:
        """What `navigator.credentials.get` answers to these options."""
        self.count += self.step
        client_data, data = self._client_data("get", json.loads(options)["challenge"], lies), self._data(flags)
        signature = self.private.sign(data + hashlib.sha256(client_data).digest(), ec.ECDSA(SHA256()))
        response = {
            "clientDataJSON": text(client_data),
            "authenticatorData": text(data),
            "signature": text(signature),
            "userHandle": self.user_handle,
        }
        return self._answer(response)

    def _answer(self, response: dict[str, Any]) -> str:
        id = text(self.credential_id)
        return json.dumps(
            {"id": id, "rawId": id, "type": "public-key", "clientExtensionResults": {}, "response": response}
        )
