"""Values in forms: the line ends that browsers change, and the difference of two values."""

import difflib
import hashlib
import unicodedata
from typing import Final

import msgspec

_MOST_LINES: Final = 400  # of each side of a difference


def unified(text: str) -> str:
    """The text with a line feed for every line end, as a page shows it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def mark(value: str) -> str:
    """What a form sends along to tell whether a value was changed in it: a hash, and the line ends of the value."""
    ends = "crlf" if "\r\n" in value else "lf"
    return f"{ends}:{hashlib.sha256(unified(value).encode('utf-8', 'surrogatepass')).hexdigest()}"


def has_unseen(text: str) -> bool:
    """Whether a text holds characters that are not seen, or that turn the direction of what is around them."""
    return not text.isascii() and any(unicodedata.category(sign) in ("Cf", "Co", "Zl", "Zp") for sign in text)


def is_changed(typed: str, marked: str) -> bool:
    """Whether a text that was typed is another than the one with this mark."""
    return mark(unified(typed)).partition(":")[2] != marked.partition(":")[2]


def as_typed(typed: str, marked: str = "") -> str:
    """The text that was meant: browsers send CRLF for every line end, and only a value that had them keeps them."""
    text = unified(typed)
    return text.replace("\n", "\r\n") if marked.startswith("crlf:") else text


class Line(msgspec.Struct, frozen=True):
    """A line of a difference; `sign` is `+`, `-`, or a blank for one that is in both."""

    sign: str
    text: str


def difference(before: str, after: str) -> list[Line]:
    """The lines of two values, those that differ with those around them; a long value is cut."""
    old, new = before.splitlines()[:_MOST_LINES], after.splitlines()[:_MOST_LINES]
    lines = list(difflib.unified_diff(old, new, lineterm="", n=2))[2:]
    return [Line(line[:1], line[1:]) for line in lines if not line.startswith("@@")]
