"""Certificates and keys in PEM as people paste them: with blanks about them, or in base64 once more.

Kubernetes keeps a CA as base64 of PEM (`certificate-authority-data`), and that is what gets copied.
"""

import base64
import binascii
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

__all__ = ["certificates", "pem_text"]

_BEGIN = "-----BEGIN "


def pem_text(text: str) -> str:
    """The PEM of a text that is PEM or base64 of it, trimmed; any other text as it is, trimmed."""
    stripped = text.strip()
    if not stripped or _BEGIN in stripped:
        return stripped
    try:
        decoded = base64.b64decode("".join(stripped.split()), validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return stripped
    return decoded.strip() if _BEGIN in decoded else stripped


def certificates(text: str) -> "list[Certificate]":
    """The certificates of a text that is PEM or base64 of it, at least one. Raises ValueError."""
    from cryptography import x509  # noqa: PLC0415 - slow to import, and few configurations hold certificates

    try:
        return x509.load_pem_x509_certificates(pem_text(text).encode())
    except (ValueError, x509.InvalidVersion) as error:
        raise ValueError("must be one or more certificates in PEM, or base64 of that") from error
