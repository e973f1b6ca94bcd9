"""Printing for people, of names and messages that may come from strangers."""

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

# What a terminal obeys instead of showing: control characters, and those that turn the direction of a text. Line breaks
# and tabs stay.
_OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""The text with every character that a terminal obeys written out (`\x1b`).

    Names and messages may come from strangers.
    """
    return _OBEYED.sub(lambda sign: sign[0].encode("unicode_escape").decode(), text)


def terminal(*, stderr: bool = False) -> "Console":
    """A console on which no text moves the cursor, recolours, or renames the window."""
    from rich.console import Console  # noqa: PLC0415 - slow to import

    class Terminal(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)

    return Terminal(stderr=stderr, highlight=False, soft_wrap=True)
