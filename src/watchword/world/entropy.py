"""Randomness: the operating system's, fetched a page at a time."""

import os

_PAGE = 4096


class Entropy:
    """Random bytes of the operating system. No byte is given twice; a system call for each request would cost more than the bytes."""

    __slots__ = ("_at", "_page", "_pid")

    def __init__(self) -> None:
        self._page = b""
        self._at = 0
        self._pid = 0

    def __call__(self, size: int) -> bytes:
        """`size` fresh random bytes."""
        end = self._at + size
        if end > len(self._page) or self._pid != os.getpid():  # a forked child must not share its parent's page
            self._page, self._at, self._pid = os.urandom(max(size, _PAGE)), 0, os.getpid()
            end = size
        given = self._page[self._at : end]
        self._at = end
        return given
