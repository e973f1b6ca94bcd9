"""What a secret's name, value and other texts may be, and how they are tidied before they are stored."""

import re
import unicodedata
from typing import Final

from watchword.domain.errors import Invalid, Issue
from watchword.domain.secrets.references import MAX_NAMED, references

MAX_VALUE: Final = 1024 * 1024  # bytes of UTF-8
MAX_COMMENT: Final = 64 * 1024  # characters
MAX_NAME: Final = 500
MAX_BATCH: Final = 500
MAX_IN_FOLDER: Final = 10_000
HIDDEN: Final = "<hidden-by-infisical>"

# What JavaScript's trim() takes away, which clients were written against; Python's strip() takes more.
_BLANKS: Final = "\t\n\v\f\r \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_REFUSED: Final = re.compile(r"[\s/:\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}")


def tidy_value(value: str) -> str:
    """The value without blanks around it; one newline at its end is kept, which keys in PEM form need."""
    return value.strip(_BLANKS) + ("\n" if value.endswith("\n") else "")


def tidy_name(name: str) -> str:
    """The name as it is stored and looked up: trimmed, in Unicode's composed form."""
    name = name.strip(_BLANKS)
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def checked_name(name: str, *path: str | int) -> str:
    """A name for a new secret. Raises Invalid."""
    tidy = tidy_name(name)
    issue = _name_fault(tidy)
    if issue:
        raise Invalid.of(tuple(path) or ("secretName",), issue)
    return tidy


def _name_fault(name: str) -> str:
    if not name:
        return "A secret needs a name"
    if len(name) > MAX_NAME:
        return f"At most {MAX_NAME} characters"
    if _REFUSED.search(name) or any(unicodedata.category(sign) in ("Cc", "Cs", "Cf", "Zl", "Zp") for sign in name):
        return "No blanks, slashes, colons, backslashes, percent-escapes or invisible characters"
    return "Not '.' or '..'" if name in (".", "..") else ""


def checked_value(value: str, *path: str | int) -> str:
    """A value as it is stored. Raises Invalid for one that is too long, or that refers to too many secrets."""
    tidy = tidy_value(value)
    field = tuple(path) or ("secretValue",)
    if len(tidy) > MAX_VALUE // 4 and len(tidy.encode()) > MAX_VALUE:
        raise Invalid([Issue(code="too_big", path=field, message=f"At most {MAX_VALUE} bytes", maximum=MAX_VALUE)])
    if tidy.count("${") > MAX_NAMED and len(references(tidy)) > MAX_NAMED:
        message = f"At most {MAX_NAMED} different references (${{NAME}})"
        raise Invalid([Issue(code="too_big", path=field, message=message, maximum=MAX_NAMED)])
    return tidy
