"""Random bytes of the operating system, fetched a page at a time."""

import os

_PAGE = 4096
_forks = 0  # asking for the process id is a system call, and this is asked for several times by each request


def _count_fork() -> None:
    global _forks  # noqa: PLW0603 - the one place
    _forks += 1


os.register_at_fork(after_in_child=_count_fork)


class Entropy:
    """Random bytes of the operating system.

    No byte is given twice; a system call for each request would cost more than the bytes.
    """

    __slots__ = ("_at", "_forks", "_page")

    def __init__(self) -> None:
        self._page = b""
        self._at = 0
        self._forks = 0

    def __call__(self, size: int) -> bytes:
        """`size` fresh random bytes."""
        end = self._at + size
        if end > len(self._page) or self._forks != _forks:  # a forked child must not share its parent's page
            self._page, self._at, self._forks = os.urandom(max(size, _PAGE)), 0, _forks
            end = size
        fresh = self._page[self._at : end]
        self._at = end
        return fresh
