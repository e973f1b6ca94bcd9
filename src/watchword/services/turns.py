"""Long work on the event loop, in slices: between two of them other requests have their turn."""

import asyncio
from time import monotonic

SLICE = 0.010  # seconds


class Turns:
    """Says when a slice is over."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = monotonic()

    async def give(self) -> None:
        """Let others go first if this work has had the loop for a slice."""
        if monotonic() - self._since >= SLICE:
            await asyncio.sleep(0)
            self._since = monotonic()
