"""Batches: questions that come while an answer is under way are answered together by the next one.

    ask ──> waiting ──(at most `at_once` batches are under way)──> answer(all that wait) ──> each asker its own answer

Each batch begins after all its questions were asked, so that no answer is older than its question. Nothing is waited
for: the first question to a source at rest is answered in the next turn of the event loop, with all of this turn.

Two others look alike and are not built on it, because they would pay for what they do not need:

* `group_fsync.GroupFsync`: nobody asks anything, so all who wait share one future, and the kernel or a thread says when
  it is done, so that there is no task. A future and a place in a list for each of a thousand waiting writers, and a
  task that is woken for each fsync, would be most of what it costs.
* `journal.Journal`: it is bounded and refuses, gathers for some milliseconds, writes what nobody waits for, tries again
  and halves a batch that fails: what is common are four lines.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from watchword.store.engine import StoreDown

Q = TypeVar("Q")
A = TypeVar("A")


class Batches(Generic[Q, A]):
    """A source that is asked several questions at once: `answer` gives one answer for each, in their order."""

    __slots__ = ("_answer", "_at_once", "_futures", "_questions", "_tasks")

    def __init__(self, answer: Callable[[Sequence[Q]], Awaitable[Sequence[A]]], *, at_once: int = 1) -> None:
        self._answer = answer
        self._at_once = at_once
        self._questions: list[Q] = []  # the questions that wait, and the future of each
        self._futures: list[asyncio.Future[A]] = []
        self._tasks: set[asyncio.Task[None] | None] = set()

    async def ask(self, question: Q) -> A:
        """The answer as it is at some moment after this call.

        Raises what `answer` does, if it does so for this question alone, and StoreDown.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._questions.append(question)
        self._futures.append(future)
        # A task that has not begun yet takes along all who ask in the same turn.
        if not self._tasks or (len(self._futures) == 1 and len(self._tasks) < self._at_once):
            self._tasks.add(loop.create_task(self._serve()))
        try:
            return await future
        except asyncio.CancelledError:
            if future in self._futures:  # this task is done, so the next question starts another
                at = self._futures.index(future)
                del self._futures[at], self._questions[at]
            raise

    async def _serve(self) -> None:
        try:
            while self._questions:
                questions, futures, self._questions, self._futures = self._questions, self._futures, [], []
                try:
                    answers = await self._answer(questions)
                except Exception as error:  # noqa: BLE001 - whatever it was, nobody may wait forever
                    await self._fail(questions, futures, error)
                    continue
                for future, answer in zip(futures, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
        finally:  # at once: the next question must see that no task serves any more
            self._tasks.discard(asyncio.current_task())

    async def _fail(self, questions: Sequence[Q], futures: Sequence[asyncio.Future[A]], error: Exception) -> None:
        """Tell all of a batch, or ask for each alone: it may be the fault of one, and not of the others."""
        is_of_all = len(questions) == 1 or isinstance(error, StoreDown)
        for question, future in zip(questions, futures, strict=True):
            if future.done():
                continue
            try:
                if is_of_all:
                    raise error
                (answer,) = await self._answer([question])
            except Exception as own:  # noqa: BLE001 - as above
                if not future.done():
                    future.set_exception(own)
            else:
                if not future.done():
                    future.set_result(answer)
