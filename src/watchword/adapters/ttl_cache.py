"""A small, bounded cache of what is fetched over the network.

Each key is fetched once at a time, and failures are remembered for a moment.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from watchword.domain.outbound import OutboundError

__all__ = ["TtlCache"]

T = TypeVar("T")
V = TypeVar("V")


class TtlCache(Generic[T]):
    """Values by key, each for a limited time. Times are in milliseconds of the clock that is handed in."""

    def __init__(
        self,
        clock: Callable[[], int],
        *,
        fresh_for: int,
        failed_for: int,
        again_after: int,
        size: int,
        weigh: Callable[[T], int] | None = None,
        most: int = 0,
    ) -> None:
        """`size` values are kept; with `weigh` no more than weigh `most` together, and always the newest."""
        self._weigh, self._most = weigh, most
        self._clock = clock
        self._fresh_for = fresh_for
        self._failed_for = failed_for
        self._again_after = again_after
        self._size = size
        self._kept: OrderedDict[Hashable, tuple[int, T]] = OrderedDict()
        self._failed: OrderedDict[Hashable, tuple[int, OutboundError]] = OrderedDict()
        self._forced: OrderedDict[Hashable, int] = OrderedDict()
        self._running: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, key: Hashable, load: Callable[[], Awaitable[T]], *, fresh_for: int | None = None) -> T:
        """The value, at most `fresh_for` old; fetched when there is none, and by one caller only."""
        entry = self._kept.get(key)
        limit = self._fresh_for if fresh_for is None else min(fresh_for, self._fresh_for)
        if entry and 0 <= self._clock() - entry[0] < limit:
            self._kept.move_to_end(key)
            return entry[1]
        return await self._fetch(key, load)

    async def again(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T | None:
        """The value fetched again, because the kept one lacks something; None if that was done a moment ago.

        Anybody can present a token with a key id made up: each must not cost the issuer a request.
        """
        if key not in self._running:
            forced = self._forced.get(key)
            if forced is not None and 0 <= self._clock() - forced < self._again_after:
                return None
            self._put(self._forced, key, self._clock())
        return await self._fetch(key, load)

    async def _fetch(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        failed = self._failed.get(key)
        if failed and 0 <= self._clock() - failed[0] < self._failed_for:
            raise OutboundError(str(failed[1]))
        task = self._running.get(key)
        if task is None:
            task = asyncio.create_task(self._load(key, load))
            self._running[key] = task
            task.add_done_callback(lambda done: self._finished(key, done))
        # Shielded: the caller who began the fetch may leave, the others still wait for it.
        return await asyncio.shield(task)

    async def _load(self, key: Hashable, load: Callable[[], Awaitable[T]]) -> T:
        try:
            value = await load()
        except OutboundError as error:
            self._put(self._failed, key, (self._clock(), error))
            raise
        self._failed.pop(key, None)
        self._put(self._kept, key, (self._clock(), value))
        if self._weigh is not None:
            while len(self._kept) > 1 and sum(self._weigh(kept) for _, kept in self._kept.values()) > self._most:
                self._kept.popitem(last=False)
        return value

    def _finished(self, key: Hashable, task: asyncio.Task[T]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # looked at, so that a fetch all of whose callers left does not complain

    def _put(self, entries: OrderedDict[Hashable, V], key: Hashable, value: V) -> None:
        entries[key] = value
        entries.move_to_end(key)
        while len(entries) > self._size:
            entries.popitem(last=False)

    async def close(self) -> None:
        """End the fetches under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
