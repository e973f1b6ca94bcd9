"""Envelope v1: a value sealed with AES-256-GCM so that it opens only in the place it was sealed for.

    byte 0       format, 1
    bytes 1-4    version of the key, big endian
    bytes 5-16   nonce, random
    bytes 17-    ciphertext with its 16-byte tag

The associated data is the format byte, the key version and `context`, the name of the place (e.g.
`secret/<id>/3/value`): an envelope that is copied to another row, field or version does not open.
What may change: a new format byte with its own layout; format 1 stays readable.
"""

from collections.abc import Mapping, Sequence

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORMAT = b"\x01"
_HEADER = 5
_NONCE = 12


class CannotOpen(Exception):
    """The envelope was sealed with another key or for another place, or was changed."""


def seal(key: AESGCM, version: int, nonce: bytes, context: str, plain: bytes) -> bytes:
    """The envelope of `plain` for `context`. `nonce` is 12 random bytes, never used twice with one key."""
    header = _FORMAT + version.to_bytes(4, "big")
    return header + nonce + key.encrypt(nonce, plain, header + context.encode())


def key_version(envelope: bytes) -> int:
    """Which version of the key opens this envelope. Raises CannotOpen for what is not an envelope."""
    if len(envelope) < _HEADER + _NONCE + 16 or envelope[:1] != _FORMAT:
        raise CannotOpen("not an envelope of a known format")
    return int.from_bytes(envelope[1:_HEADER], "big")


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """An envelope taken apart, for one that is opened again and again."""

    version: int  # of the key
    nonce: bytes
    sealed: bytes
    bound: bytes

    @classmethod
    def of(cls, context: str, envelope: bytes) -> "Envelope":
        """The envelope that was sealed for `context`. Raises CannotOpen for what is not an envelope."""
        nonce, sealed = envelope[_HEADER : _HEADER + _NONCE], envelope[_HEADER + _NONCE :]
        return cls(key_version(envelope), nonce, sealed, envelope[:_HEADER] + context.encode())

    def open(self, key: AESGCM) -> bytes:
        """What was sealed. Raises CannotOpen."""
        try:
            return key.decrypt(self.nonce, self.sealed, self.bound)
        except (InvalidTag, ValueError) as error:
            context = self.bound[_HEADER:].decode()
            raise CannotOpen(f"the value sealed for {context} does not open here") from error

    @staticmethod
    def open_every(keys: Mapping[int, AESGCM], envelopes: Sequence["Envelope"]) -> list[bytes]:
        """What was sealed in each, with the keys by version.

        Raises CannotOpen, and KeyError for a version that is not there.
        """
        try:
            return [
                keys[envelope.version].decrypt(envelope.nonce, envelope.sealed, envelope.bound)
                for envelope in envelopes
            ]
        except (InvalidTag, ValueError):
            return [
                envelope.open(keys[envelope.version]) for envelope in envelopes
            ]  # which one it was, is worth saying


def unseal(key: AESGCM, context: str, envelope: bytes) -> bytes:
    """What was sealed for `context`. Raises CannotOpen."""
    return Envelope.of(context, envelope).open(key)
