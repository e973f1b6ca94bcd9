"""Printing for people. Only imported where something is printed: what it needs is slow to import."""

from typing import Any

from rich.console import Console

from watchword.cli.output import printable


class Terminal(Console):
    """A console on which no text moves the cursor, recolours, or renames the window."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print, as `Console.print`."""
        super().print(*(printable(one) if isinstance(one, str) else one for one in objects), **options)
