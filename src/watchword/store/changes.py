"""Wait until version keys move: one look at the database for all who wait in this process.

    read ──> what it saw (version key -> version) ──> wait ──a look finds another version──> read again

A process learns of the changes of others only by reading versions. While somebody waits, all version keys that anybody
waits for are read together, every `EVERY` seconds: on PostgreSQL one query, on SQLite a look at memory, and one query
after another process wrote. Nobody who waits holds a connection.

No change is missed: what is compared is the version that the read saw, not one from when the wait began.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from watchword.domain.errors import Refusal
from watchword.store.engine import Store
from watchword.store.versions import READ

EVERY: Final = 0.25  # seconds from one look to the next
_AT_A_TIME = 20  # who are woken in one turn of the event loop
_log = logging.getLogger("watchword.changes")


class _Waiter:
    """One who waits, and the number of each version key when it read."""

    __slots__ = ("moved", "numbers")

    def __init__(self, numbers: Mapping[str, int], moved: asyncio.Future[None]) -> None:
        self.numbers = numbers
        self.moved = moved

    def wake(self) -> None:
        if not self.moved.done():
            self.moved.set_result(None)


class Changes:
    """All who wait in this process for version keys to move."""

    def __init__(self, store: Store, *, every: float = EVERY) -> None:
        self._store = store
        self._every = every
        self._waiters: dict[str, set[_Waiter]] = {}  # by version key
        self._new: set[_Waiter] = set()  # who have not been compared yet
        self._numbers: dict[str, int] = {}  # of each version key, at the last look
        self._memory: dict[str, int] = {}  # on SQLite: the version in memory at the last look
        self._task: asyncio.Task[None] | None = None
        self.is_closed = False

    def __len__(self) -> int:
        """How many version keys are watched."""
        return len(self._waiters)

    async def wait(self, seen: Mapping[str, int], seconds: float) -> bool:
        """Return True once a version key has another version than in `seen`; False after `seconds`.

        It returns False at once where nothing was seen, and when the server ends.
        """
        numbers = await self._numbers_of(seen) if seen and not self.is_closed else {}
        if numbers is None:
            await asyncio.sleep(min(self._every, seconds))  # others write all the time: not at once, then
            return True
        if not numbers or self.is_closed:
            return False
        waiter = _Waiter(numbers, asyncio.get_running_loop().create_future())
        for key in numbers:
            self._waiters.setdefault(key, set()).add(waiter)
        self._new.add(waiter)
        if self._task is None:
            self._task = asyncio.create_task(self._look_again_and_again(), name="watch version keys")
        try:
            async with asyncio.timeout(seconds):
                await waiter.moved
        except TimeoutError:
            return False
        finally:
            self._forget(waiter)
        return not self.is_closed

    async def _numbers_of(self, seen: Mapping[str, int]) -> Mapping[str, int] | None:
        """The numbers that the rows of these version keys had when they had the versions `seen`; None: they moved.

        On SQLite the versions in memory are another count than the rows, and all begin again when another process
        wrote. Waking everybody for each such write would be much work for nothing.
        """
        if not self._store.is_inline:
            return seen
        numbers = await self._rows(tuple(seen))
        now = await self._store.versions(tuple(seen))
        return numbers if now == tuple(seen.values()) else None

    async def _rows(self, keys: Sequence[str]) -> dict[str, int]:
        if not keys:
            return {}
        if not self._store.is_inline:
            return dict(zip(keys, await self._store.versions(tuple(keys)), strict=True))
        async with self._store.read() as tx:
            rows: dict[str, int] = {row[0]: row[1] for row in await tx.all(READ, keys=list(keys))}
        return {key: rows.get(key, 0) for key in keys}

    async def _look_again_and_again(self) -> None:
        try:
            while self._waiters:
                await asyncio.sleep(self._every)
                try:
                    await self._look()
                except Refusal:
                    continue  # the database does not answer: who waits learns it from the next read
                except Exception:  # noqa: BLE001 - who waits now still has a deadline
                    _log.exception("the version keys could not be looked at")
        finally:
            self._task = None

    async def _look(self) -> None:
        compared = self._new
        self._new = set()
        try:
            moved = await self._moved()
        except BaseException:
            self._new |= compared
            raise
        woken = {
            waiter
            for waiter in compared.union(*(self._waiters.get(key, ()) for key in moved))
            if any(self._numbers.get(key, number) != number for key, number in waiter.numbers.items())
        }
        await _wake(woken)

    async def _moved(self) -> list[str]:
        """The version keys whose number is another one than at the last look."""
        keys: Sequence[str] = tuple(self._waiters)
        if self._store.is_inline:
            versions = dict(zip(keys, await self._store.versions(tuple(keys)), strict=True))
            keys = [key for key in keys if self._memory.get(key) != versions[key]]
        rows = await self._rows(keys)
        moved = [key for key, number in rows.items() if key in self._waiters and self._numbers.get(key) != number]
        self._numbers.update((key, number) for key, number in rows.items() if key in self._waiters)
        if self._store.is_inline:
            self._memory.update((key, versions[key]) for key in keys if key in self._waiters)
        return moved

    def _forget(self, waiter: _Waiter) -> None:
        self._new.discard(waiter)
        for key in waiter.numbers:
            waiters = self._waiters.get(key)
            if waiters is not None:
                waiters.discard(waiter)
                if not waiters:
                    del self._waiters[key]
                    self._numbers.pop(key, None)
                    self._memory.pop(key, None)

    def end(self) -> None:
        """Wake everybody, and let nobody wait any more: the server ends."""
        self.is_closed = True
        for waiter in {waiter for waiters in self._waiters.values() for waiter in waiters}:
            waiter.wake()

    async def close(self) -> None:
        """End, and stop looking."""
        self.end()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def _wake(waiters: Iterable[_Waiter]) -> None:
    """Wake in small groups: each reads its answer again, and other requests have their turn in between."""
    for number, waiter in enumerate(waiters, 1):
        waiter.wake()
        if not number % _AT_A_TIME:
            await asyncio.sleep(0)
