"""Whether a text is a URL that a configuration may hold.

Whether it may be fetched is decided when it is: `adapters/outbound.py`.
"""

from urllib.parse import urlsplit

__all__ = ["MAX_URL", "is_web_url"]

MAX_URL = 2_048


def is_web_url(text: str, schemes: tuple[str, ...] = ("https", "http")) -> bool:
    """An absolute URL of a host, with nobody (`user:password@`) at it and nothing in it that readers differ about."""
    if (
        not text
        or len(text) > MAX_URL
        or not text.isascii()
        or not text.isprintable()
        or any(c in text for c in ' \\"<>')
    ):
        return False
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and bool(parts.hostname) and "@" not in parts.netloc and port != 0
