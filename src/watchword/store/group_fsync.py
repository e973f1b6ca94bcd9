"""Group fsync: one fsync, begun after it was asked for, serves all who wait, away from the event loop.

Linux is asked for it through its own asynchronous interface, which tells the event loop by a file. A thread would need
the interpreter twice for each fsync, and would get it only after several wake-ups in vain
(docs/explanation/performance.md). It does it elsewhere.
"""

import asyncio
import contextlib
import errno
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Protocol

from watchword.store.engine import StoreDown

_log = logging.getLogger("watchword.fsync")
_fsync = getattr(
    os, "fdatasync", os.fsync
)  # as SQLite's own: the length of the file is kept too, when it was last touched is not
Done = Callable[[Exception | None], None]


class Disk(Protocol):
    """Make one fsync at a time, and call its `done` on the event loop with the error, if there was one."""

    def begin(self) -> None:
        """Begin an fsync."""
        ...

    def close(self) -> None:
        """Release what is held; no fsync is under way."""
        ...


class KernelDisk:
    """Let the kernel make each fsync. Raises OSError or SystemError where that is not allowed."""

    def __init__(self, file: int, done: Done) -> None:
        from caio import linux_aio  # noqa: PLC0415 - it is not everywhere, and nothing to wait for where PostgreSQL is the store

        if linux_aio is None:
            raise OSError("this installation of caio has no asynchronous interface of Linux")
        self._file = file
        self._done = done
        self._order = linux_aio.Operation.fdsync
        self._context = linux_aio.Context(max_requests=1)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._context.fileno, self._on_readable)

    def begin(self) -> None:
        """Begin an fsync."""
        order = self._order(self._file)
        order.set_callback(self._finished)
        try:
            if not self._context.submit(order):
                raise OSError("the kernel took no order")
        except Exception as error:  # noqa: BLE001 - whatever it was, nothing is durable
            self._loop.call_soon(self._done, error)

    def _on_readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._context.poll()
        while self._context.process_events():
            pass

    def _finished(self, result: int) -> None:
        code = -result & 0xFFFF_FFFF  # an error is a negative number that was read as one without a sign
        self._done(OSError(code, os.strerror(code)) if code else None)

    def close(self) -> None:
        """Release what is held; no fsync is under way."""
        self._loop.remove_reader(self._context.fileno)


class ThreadDisk:
    """Make each fsync in a plain thread.

    An executor's futures and locks cost as much CPU time as the fsync itself.
    """

    def __init__(self, file: int, done: Done) -> None:
        self._file = file
        self._done = done
        self._loop = asyncio.get_running_loop()
        self._orders: SimpleQueue[bool] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="fsync", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Begin an fsync."""
        self._orders.put(True)

    def _work(self) -> None:
        while self._orders.get():
            error: Exception | None = None
            try:
                _fsync(self._file)
            except OSError as failure:
                error = failure
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
                self._loop.call_soon_threadsafe(self._done, error)

    def close(self) -> None:
        """Release what is held; no fsync is under way."""
        self._orders.put(False)
        self._thread.join()


def disk(file: int, done: Done) -> Disk:
    """The cheapest way to fsync that this machine allows."""
    try:
        return KernelDisk(file, done)
    except (ImportError, OSError, SystemError):
        return ThreadDisk(file, done)


class GroupFsync:
    """Wait for an fsync that began after the asking; all who wait at that moment share one."""

    def __init__(self, path: Path, disk: Callable[[int, Done], Disk] = disk) -> None:
        self._file = os.open(path, os.O_RDONLY)
        self._disk = disk(self._file, self._done)
        self._running: asyncio.Future[None] | None = None
        self._next: asyncio.Future[None] | None = None
        self._failure = ""

    def require_sound(self) -> None:
        """Raise StoreDown once an fsync has failed: the next may succeed although pages of that one are lost."""
        if self._failure:
            raise StoreDown(self._failure)

    async def __call__(self) -> None:
        """Wait for an fsync that begins after this call. Raises StoreDown when it fails, or one before it did."""
        self.require_sound()
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        waited = self._next
        if self._running is None:
            self._begin()
        await asyncio.shield(waited)

    def _begin(self) -> None:
        self._running, self._next = self._next, None
        self._disk.begin()

    def _done(self, error: Exception | None) -> None:
        running, self._running = self._running, None
        if error is not None:
            is_full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
            verb = "was full when it had to" if is_full else "refused to"
            self._failure = (
                f"The disk of the database {verb} keep what was written: nothing more is written until a restart"
            )
            about = "the disk of the database is full: " if is_full else ""
            _log.critical(f"{about}an fsync failed, so nothing more is written until a restart", exc_info=error)
            # Those who wait for the next one too: what they wrote comes after what was lost.
            waiting, self._next = (running, self._next), None
            for future in waiting:
                if future is not None and not future.done():
                    future.set_exception(StoreDown(self._failure))
                    future.exception()  # retrieved here: nobody may be waiting any more
            return
        if running is not None and not running.done():
            running.set_result(None)
        if self._next is not None:
            self._begin()

    def close(self) -> None:
        """Release what is held; nobody waits any more."""
        self._disk.close()
        os.close(self._file)
