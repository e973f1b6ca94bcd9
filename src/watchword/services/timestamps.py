"""Convert times between ISO 8601 and integer milliseconds UTC."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=50_000)  # a list repeats the same times; formatting them took a third of its time
def iso(ms: int) -> str:
    """Format milliseconds UTC as ISO 8601: `2026-11-22T13:40:29.203Z`."""
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC).isoformat()[:19]}.{rest:03d}Z"


def iso_or_none(ms: int | None) -> str | None:
    """Format milliseconds UTC as ISO 8601; None stays None."""
    return None if ms is None else iso(ms)


def read_time(text: str) -> int:
    """Parse an ISO 8601 date-time to milliseconds; one without a zone is UTC.

    Raises a ValueError that says what is accepted.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("An ISO 8601 date-time such as 2026-11-22T13:40:29.203Z") from None
    if "T" not in text and " " not in text:
        raise ValueError("An ISO 8601 date-time such as 2026-11-22T13:40:29.203Z")
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
