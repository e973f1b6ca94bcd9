"""Run long work on the event loop in slices, so that other requests run in between.

A caller that stores much (roles, patterns, secrets) would hold up all others with one request; and with slices alone, a
hundred such requests would still take a hundred slices between two answers to others. So one slice of all long work is
done in each turn of the loop.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import monotonic
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")
P = ParamSpec("P")

SLICE = 0.004  # seconds
_CHARACTERS = 64  # characters of a rule that take as long to read as the rest of the rule
# Pure Python: a second thread would only take turns with the first. The loop's own threads must stay free: the store
# needs them to commit.
_BESIDE = ThreadPoolExecutor(1, "beside")
MANY = 50  # rules, or other items of about 0.1 ms each: from here on a thread is worth starting


def weight(rules: Sequence[Any]) -> int:
    """Return how many items these rules, as stored or sent, count as for `beside`.

    Each rule counts as one, and more for long conditions.
    """
    length = 0
    for rule in rules:
        length += _length(rule)
        if length > MANY * _CHARACTERS:
            break
    return len(rules) + length // _CHARACTERS


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(_length, value.values()))
    return sum(map(_length, value)) + len(value) if isinstance(value, Sequence) else 0


async def beside(count: int, work: Callable[P, T], /, *args: P.args, **more: P.kwargs) -> T:
    """Run a pure function, in a thread beside the event loop where it has `MANY` items or more to work on."""
    if count < MANY:
        return work(*args, **more)
    return await asyncio.get_running_loop().run_in_executor(_BESIDE, partial(work, *args, **more))


class _Queue:
    """The queue of long work that waits on one event loop for its next slice."""

    __slots__ = ("_is_waking", "_waiting")

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_waking = False

    def join(self) -> asyncio.Future[None]:
        """Join the queue; the future is set in the turn of the loop that belongs to this work."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        if not self._is_waking:
            self._is_waking = True
            loop.call_soon(self._wake)
        return future

    def _wake(self) -> None:
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():  # a cancelled request does not wait any more
                future.set_result(None)
                break
        self._is_waking = bool(self._waiting)
        if self._is_waking:
            asyncio.get_running_loop().call_soon(self._wake)


_QUEUES: WeakKeyDictionary[asyncio.AbstractEventLoop, _Queue] = WeakKeyDictionary()


class Turns:
    """The slices of one piece of long work: gives way to others when a slice is over."""

    __slots__ = ("_since", "taken")

    def __init__(self) -> None:
        self._since = monotonic()
        self.taken = 0  # how often others went first

    async def give(self) -> None:
        """Let others go first if this work has had the loop for a slice.

        Cheap enough to be asked for every item of a list.
        """
        if self.is_over:
            await self.pause()

    @property
    def is_over(self) -> bool:
        """Whether this work has had the loop for a slice."""
        return monotonic() - self._since >= SLICE

    async def pause(self) -> None:
        """Let others go first."""
        loop = asyncio.get_running_loop()
        queue = _QUEUES.get(loop)
        if queue is None:
            queue = _QUEUES[loop] = _Queue()
        self.taken += 1
        await queue.join()
        self._since = monotonic()
