"""The journal: rows that must be durable before the answer, cheap because many requests share one commit.

    submit(entry) ──> queue ──> batch (one unit of work) ──> commit ──> every waiter is released with its own answer
    note(entry)   ──> queue, nobody waits; written with the next batch, within `LINGER` seconds at the latest

One batch is under way at a time, so under load a batch holds all that arrived during the last commit, and what the next
turns of the event loop bring. The queue is bounded: when it is full, or the last batch failed, new work is refused
(503): the audit log fails closed. After a failure an empty batch asks now and then whether the database is back.

Several processes lock the same rows: every kind of entry is applied in the same order everywhere (`turn`, then name),
and within one kind by key, so that two batches seldom wait for each other. Where they do, the one that gave way is
tried again.
"""

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from watchword.domain.errors import Refusal
from watchword.store.engine import Collision, ConstraintRefused, Store, StoreDown, Tx

LINGER = 0.1
CAPACITY = 20_000
BATCH = 2_000
_SHORT_STOP = 64  # entries: between one and two milliseconds
_GATHER = 0.003  # seconds
_QUIET = 3  # turns of the loop
_ATTEMPTS = 4
_log = logging.getLogger("watchword.journal")


class JournalEntry(Protocol):
    """Work for a batch. All entries of one class in a batch are applied by one call, in the order they came.

    A class may have a `turn` (default 5): lower ones are applied before higher ones, whichever came first. It may have
    a `settle(store, entries)`, which is asked first where a batch holds nothing else: answers, or None when it wrote
    nothing.
    """

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence[Any]) -> Sequence[Any]:
        """Write them; one answer for each."""
        ...


class JournalFull(StoreDown):
    """More work waits than may."""

    default = "The server is overloaded, try again"


class Journal:
    """The queue and the writer of journal entries; see the module docstring.

    `later_every`: seconds between two writes of what `coalesce` was given; at the end it is written in any case.
    """

    def __init__(self, store: Store) -> None:
        self.later_every: float = 1
        self._store = store
        # On an engine that blocks the loop, what nobody waits for is written before it becomes a long stop for
        # everybody.
        self._enough = _SHORT_STOP if store.is_inline else BATCH
        self._waiting: list[tuple[Any, asyncio.Future[Any] | None]] = []
        self._later: dict[Any, Any] = {}
        self._later_at = 0.0
        self._later_task: asyncio.Task[None] | None = None
        self._something = asyncio.Event()  # there may be work
        self._urgent = asyncio.Event()  # somebody waits for it
        self._task: asyncio.Task[None] | None = None
        self._failure: StoreDown | None = None  # of the last batch
        self._closing = False

    def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def submit(self, entry: JournalEntry) -> Any:
        """Wait until `entry` is durable; its answer.

        Raises StoreDown when it could not be written: then nothing of it was.
        """
        self._require_room()
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        self._something.set()
        self._urgent.set()
        return await future

    def note(self, entry: JournalEntry) -> None:
        """Write `entry` soon. Raises StoreDown when the journal could not keep up or could not write."""
        if self._failure is not None:
            raise type(self._failure)(self._failure.message)
        self._require_room()
        self._waiting.append((entry, None))
        self._something.set()
        if len(self._waiting) >= self._enough:
            self._urgent.set()

    def _require_room(self) -> None:
        if len(self._waiting) >= CAPACITY or self._closing or self._task is None or self._task.done():
            raise JournalFull

    def coalesce(self, key: Any, entry: JournalEntry) -> None:
        """Write the last `entry` given for `key`, every `later_every` seconds.

        For moments of last use: losing one harms nobody.
        """
        if key in self._later or len(self._later) < CAPACITY:
            self._later[key] = entry
            self._something.set()

    async def _write_later(self, entries: Sequence[Any]) -> None:
        """Write the batches that nobody waits for, beside the others.

        They lock other rows, so nobody should wait behind them.
        """
        try:
            for start in range(0, len(entries), self._enough):
                await self._commit(entries[start : start + self._enough])
        except Exception as error:  # noqa: BLE001 - see `coalesce`
            _log.warning("moments of last use could not be written", exc_info=error)

    def _begin_later(self) -> None:
        now = asyncio.get_running_loop().time()
        is_due = now - self._later_at >= self.later_every or self._closing
        if self._later and is_due and (self._later_task is None or self._later_task.done()):
            entries, self._later, self._later_at = list(self._later.values()), {}, now
            self._later_task = asyncio.get_running_loop().create_task(self._write_later(entries))

    @property
    def is_writing(self) -> bool:
        """Whether the last batch could be written."""
        return self._failure is None and self._task is not None and not self._task.done()

    @property
    def backlog(self) -> int:
        """How many entries wait."""
        return len(self._waiting)

    async def _run(self) -> None:
        while not (self._closing and not self._waiting and not self._later):
            await self._wait()
            if self._waiting or self._failure:
                batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
                if self._waiting:
                    self._urgent.set()
                await self._write(batch)
            self._begin_later()
        if self._later_task is not None:
            await self._later_task

    async def _wait(self) -> None:
        """Wait until somebody waits for an entry, or an entry has waited `LINGER` seconds.

        Nothing is done while there is nothing.
        """
        if not self._urgent.is_set():
            if not (self._waiting or self._later or self._failure):
                self._something.clear()
                await self._something.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LINGER):
                    await self._urgent.wait()
        await self._gather()
        self._urgent.clear()

    async def _gather(self) -> None:
        """Let the loop bring in first what has reached it already: a batch costs as much as ten of its entries.

        Nothing is waited for that is not there. A request in a socket is here after a turn or two of the loop; when a
        few turns bring nothing, or other work holds the loop, the batch begins.
        """
        loop = asyncio.get_running_loop()
        latest, count, quiet = loop.time() + _GATHER, len(self._waiting), 0
        while quiet < _QUIET and count < _SHORT_STOP and loop.time() < latest:
            await asyncio.sleep(0)
            before, count = count, len(self._waiting)
            quiet = quiet + 1 if count == before else 0

    async def _write(self, batch: list[tuple[Any, asyncio.Future[Any] | None]]) -> None:
        try:
            answers = await self._commit([entry for entry, _ in batch])
        except StoreDown as error:
            self._refuse(batch, error)
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may be told that it was written
            # One entry that cannot be written must not take the others with it.
            if len(batch) > 1:
                await self._write(batch[: len(batch) // 2])
                await self._write(batch[len(batch) // 2 :])
            elif batch:
                self._reject(*batch[0], error)
            return
        self._failure = None
        for (_, future), answer in zip(batch, answers, strict=True):
            if future is not None and not future.done():
                future.set_result(answer)

    async def _commit(self, entries: Sequence[Any]) -> list[Any]:
        kinds: dict[type[Any], list[int]] = {}
        for i, entry in enumerate(entries):
            kinds.setdefault(type(entry), []).append(i)
        order = sorted(kinds, key=lambda kind: (getattr(kind, "turn", 5), kind.__name__))
        for attempt in range(_ATTEMPTS):
            answers: list[Any] = [None] * len(entries)
            try:
                settle = getattr(order[0], "settle", None) if len(order) == 1 else None
                settled = await settle(self._store, entries) if settle is not None else None
                if settled is not None:
                    return list(settled)
                async with self._store.write() as tx:
                    for kind in order:
                        places = kinds[kind]
                        for i, answer in zip(places, await kind.apply(tx, [entries[i] for i in places]), strict=True):
                            answers[i] = answer
            except Collision:
                if attempt == _ATTEMPTS - 1:
                    raise
            else:
                break
        return answers

    def _reject(self, entry: Any, future: asyncio.Future[Any] | None, error: Exception) -> None:
        if future is None or not isinstance(error, Refusal | ConstraintRefused):
            _log.error("a journal entry could not be written", exc_info=error, extra={"kind": type(entry).__name__})
        answer = error.refusal if isinstance(error, ConstraintRefused) else error
        if future is not None and not future.done():
            future.set_exception(answer if isinstance(answer, Refusal) else StoreDown())

    def _refuse(self, batch: list[tuple[Any, asyncio.Future[Any] | None]], error: StoreDown) -> None:
        self._failure = error
        writable = [item for item in batch if item[1] is None]
        if len(self._waiting) + len(writable) <= CAPACITY and not self._closing:
            self._waiting = writable + self._waiting  # nobody waits for these, but they are not lost: tried again
        for _, future in batch:
            if future is not None and not future.done():
                future.set_exception(error)

    async def close(self) -> None:
        """Write what waits, then stop."""
        self._closing = True
        self._something.set()
        self._urgent.set()
        if self._task is not None:
            await self._task
