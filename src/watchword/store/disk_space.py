"""Track whether the database's disk is full: log when it becomes full and when it is over, and show it in `/readyz`."""

import logging

_log = logging.getLogger("watchword.disk")


class Fullness:
    """Whether the disk was full at the last write. A store asks `is_so` to know that it should check again."""

    __slots__ = ("is_so",)

    def __init__(self) -> None:
        self.is_so = False

    def note_full(self) -> None:
        """Note that a write found the disk full."""
        if not self.is_so:
            self.is_so = True
            _log.critical("the disk of the database is full: nothing is written until there is room")

    def note_written(self) -> None:
        """Note that a write went through."""
        if self.is_so:
            self.is_so = False
            _log.warning("there is room on the disk of the database again: writing goes on")
