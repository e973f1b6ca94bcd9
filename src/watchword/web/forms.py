"""What a form or a query sent, and the texts that people type for durations and moments."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar
from urllib.parse import parse_qsl

import msgspec

from watchword.domain.decode import decode
from watchword.domain.errors import BadRequest, Invalid

T = TypeVar("T")
_PART = re.compile(r"(\d{1,9})([smhdwy]?)", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,9}[smhdwy])+|\d{1,9}", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
MOST_FIELDS = 4_000
MOST_SECONDS = 100 * _SECONDS["y"]


class Form:
    """The fields of a form or a query, in the order they came; a name may come several times."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: Sequence[tuple[str, str]] = ()) -> None:
        self.pairs = tuple(pairs)

    @classmethod
    def of(cls, data: bytes) -> "Form":
        """The fields of `application/x-www-form-urlencoded` bytes. Raises BadRequest."""
        try:
            pairs = parse_qsl(data.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        except ValueError:
            raise BadRequest("The form cannot be read: it must be URL-encoded UTF-8") from None
        if any("\x00" in name or "\x00" in text for name, text in pairs):
            raise BadRequest("A zero character cannot be stored")
        return cls(pairs)

    def __getitem__(self, name: str) -> str:
        """The value of a field; empty where it was not sent. Of several, the last."""
        return next((text for key, text in reversed(self.pairs) if key == name), "")

    def __contains__(self, name: str) -> bool:
        return any(key == name for key, _ in self.pairs)

    def __bool__(self) -> bool:
        return bool(self.pairs)

    def text(self, name: str) -> str | None:
        """The trimmed value of a field, None where it is empty or was not sent."""
        return self[name].strip() or None

    def all(self, name: str) -> list[str]:
        """Every value of a field, without those that are empty."""
        return [text for key, text in self.pairs if key == name and text.strip()]

    @property
    def offset(self) -> int:
        """How many rows of a list come before the page that is asked for; 0 where it does not say."""
        text = self["offset"]
        return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0

    def rows(self, *names: str) -> list[dict[str, str]]:
        """The rows of fields that are repeated together; rows that are empty throughout are left out."""
        columns = {name: [text for key, text in self.pairs if key == name] for name in names}
        count = max(map(len, columns.values()), default=0)
        rows = [{name: column[i] if i < len(column) else "" for name, column in columns.items()} for i in range(count)]
        return [row for row in rows if any(text.strip() for text in row.values())]


def read(kind: type[T], values: Mapping[str, Any]) -> T:
    """A struct of a service from values by wire names; those that are None are left out. Raises Invalid."""
    return decode(kind, {name: value for name, value in values.items() if value is not None}, strict=False)


def duration(text: str, field: str) -> int | None:
    """Seconds of a text such as `30d`, `1h 30m` or `3600`; None for an empty one. Raises Invalid, naming the field."""
    rest = text.strip().lower().replace(",", " ")
    if not rest:
        return None
    joined = "".join(rest.split())
    if not _DURATION.fullmatch(joined):
        raise Invalid.of(field, "A duration such as 30d, 12h, 15m or 45s")
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(joined))
    if seconds > MOST_SECONDS:
        raise Invalid.of(field, "At most 100y")
    return seconds


def duration_text(seconds: int | None) -> str:
    """Seconds as people write them: `30d`, `1h 30m`; empty for None."""
    if seconds is None:
        return ""
    parts = []
    rest = seconds
    for unit, size in _UNITS:
        if rest >= size:
            parts.append(f"{rest // size}{unit}")
            rest %= size
    return " ".join(parts) or "0s"


def moment(text: str, now: int, field: str) -> int | None:
    """Milliseconds of a moment: a date, a date with time (UTC), or a duration from now. Raises Invalid."""
    cleaned = text.strip()
    if not cleaned:
        return None
    if _DURATION.fullmatch("".join(cleaned.lower().split())):
        seconds = duration(cleaned, field)
        return None if seconds is None else now + seconds * 1000
    try:
        read_at = datetime.fromisoformat(cleaned)
    except ValueError:
        raise Invalid.of(
            field, "A date such as 2027-01-31, with a time if you like, or a duration such as 30d"
        ) from None
    if read_at.tzinfo is None:
        read_at = read_at.replace(tzinfo=UTC)
    return int(read_at.timestamp() * 1000)


def as_fields(values: Any) -> Mapping[str, Any]:
    """The wire names and values of a struct: what a form is filled with."""
    built: Mapping[str, Any] = msgspec.to_builtins(values)
    return built
