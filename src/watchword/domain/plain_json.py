"""Tell plain JSON of bounded size from anything else, and make something that can be sent and stored of any value."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

DEEPEST: Final = 8  # levels of lists and objects
LONGEST: Final = 65_536  # characters of all texts and names, each value counting as one more
_INTS: Final = range(-(2**63), 2**63)


def fault_of(value: object) -> str | None:
    """Why a value is no plain JSON of bounded size; None where it is.

    Plain are exact texts, 64-bit integers, finite numbers, booleans, None, and lists, tuples and mappings with texts as
    names.
    """
    return None if _is_small(value) else _searched(value)


def _is_small(value: object) -> bool:
    """Whether it is an object of short ASCII texts: so are nearly all, and this is asked at every login."""
    if type(value) is not dict:
        return False
    for name, item in value.items():
        if not (
            type(name) is type(item) is str
            and len(item) < 1_000
            and item.isascii()
            and len(name) < 100
            and name.isascii()
        ):
            return False
    return len(value) < 10


def _searched(value: object) -> str | None:
    size = 0
    todo: list[tuple[Any, int]] = [(value, 0)]
    while todo:
        item, depth = todo.pop()
        kind = type(item)
        size += 1
        if kind is str:
            size += len(item)
            if not _is_text(item):
                return "a text that is not Unicode"
        elif item is None or kind is bool:
            pass
        elif kind is int:
            if item not in _INTS:
                return "a number of more than 64 bits"
        elif kind is float:
            if not isfinite(item):
                return "a number that is not finite"
        elif depth >= DEEPEST:
            return f"more than {DEEPEST} levels, or {kind.__name__[:64]} in the last"
        elif isinstance(item, Mapping):
            for name in item:
                if type(name) is not str or not _is_text(name):
                    return "a name that is not a text"
                size += len(name)
            todo += [(child, depth + 1) for child in item.values()]
        elif kind is list or kind is tuple:
            todo += [(child, depth + 1) for child in item]
        else:
            return f"a value of the type {kind.__name__[:64]}"
        if size + len(todo) > LONGEST:
            return f"more than {LONGEST} characters"
    return None


def shown(value: Any, depth: int = DEEPEST) -> Any:
    """The same where it can be sent and stored; of what cannot, the type."""
    kind = type(value)
    if value is None or kind is bool or kind is int:
        return value
    if isinstance(value, str):
        return shown_text(value)
    if kind is float and isfinite(value):
        return value
    if depth > 0 and isinstance(value, Mapping):
        return {shown_text(name): shown(item, depth - 1) for name, item in value.items()}
    if depth > 0 and isinstance(value, list | tuple | set | frozenset):
        items = [shown(item, depth - 1) for item in value]
        return tuple(items) if kind is tuple else items
    return f"<{kind.__name__[:64]}>"


def shown_text(text: Any) -> str:
    """The same with `?` for what is no character; of what is no text, the type."""
    if not isinstance(text, str):
        return f"<{type(text).__name__[:64]}>"
    exact = text if type(text) is str else str.__str__(text)
    return exact if _is_text(exact) else exact.encode(errors="replace").decode()


def _is_text(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which no encoding can say."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
