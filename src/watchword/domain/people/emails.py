"""E-mail addresses: one spelling for each."""

import re
import unicodedata

_ADDRESS = re.compile(r"[^@\s\x00-\x1f\x7f<>\"]{1,64}@[^@\s\x00-\x1f\x7f<>\"]{1,190}")


def normalised(text: str) -> str:
    """The one spelling under which an address is stored and found: trimmed, composed, in lower case."""
    return unicodedata.normalize("NFC", text.strip()).lower()


def read_email(text: str) -> str:
    """An address in its one spelling. Raises ValueError that says what is accepted."""
    address = normalised(text)
    if not _ADDRESS.fullmatch(address):
        raise ValueError("An e-mail address such as ana@example.com")
    return address
