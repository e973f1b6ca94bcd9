"""Questions that come together are answered together."""

import asyncio
from collections.abc import Sequence

import pytest

from watchword.store.batches import Batches
from watchword.store.engine import StoreDown


class Source:
    """Doubles numbers, when it is let; fails for a batch that holds `bad`."""

    def __init__(self, bad: int | None = None, error: Exception | None = None) -> None:
        self.asked: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self._bad = bad
        self._error = error or ValueError("bad")

    async def answer(self, batch: Sequence[int]) -> list[int]:
        self.asked.append(list(batch))
        await self.open.wait()
        if self._bad in batch:
            raise self._error
        return [number * 2 for number in batch]


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_all_who_ask_in_one_turn_share_a_batch_and_each_gets_its_own_answer() -> None:
    source = Source()
    batches = Batches(source.answer)

    assert [2, 4, 6] == await asyncio.gather(*[batches.ask(n) for n in (1, 2, 3)])
    assert [[1, 2, 3]] == source.asked


async def test_whoever_asks_while_a_batch_is_under_way_is_answered_by_one_that_begins_later() -> None:
    source = Source()
    batches = Batches(source.answer)
    source.open.clear()
    first = asyncio.create_task(batches.ask(1))
    await turns()
    others = [asyncio.create_task(batches.ask(n)) for n in (2, 3)]
    await turns()

    assert [[1]] == source.asked

    source.open.set()

    assert [2, 4, 6] == await asyncio.gather(first, *others)
    assert [[1], [2, 3]] == source.asked


async def test_as_many_batches_are_under_way_as_may_be() -> None:
    source = Source()
    batches = Batches(source.answer, at_once=2)
    source.open.clear()
    tasks = []
    for n in range(4):
        tasks.append(asyncio.create_task(batches.ask(n)))
        await turns()

    assert [[0], [1]] == source.asked

    source.open.set()

    assert [0, 2, 4, 6] == await asyncio.gather(*tasks)
    assert [[0], [1], [2, 3]] == source.asked


async def test_a_question_that_fails_takes_no_other_with_it() -> None:
    source = Source(bad=2)
    batches = Batches(source.answer)
    found = await asyncio.gather(*[batches.ask(n) for n in (1, 2, 3)], return_exceptions=True)

    assert [2, 6] == [found[0], found[2]]
    assert isinstance(found[1], ValueError)


async def test_a_store_that_is_down_is_told_to_all_and_asked_once() -> None:
    source = Source(bad=2, error=StoreDown())
    batches = Batches(source.answer)
    found = await asyncio.gather(*[batches.ask(n) for n in (1, 2, 3)], return_exceptions=True)

    assert [StoreDown] * 3 == [type(one) for one in found]
    assert [[1, 2, 3]] == source.asked


async def test_after_a_failure_the_next_question_is_asked() -> None:
    source = Source(bad=2, error=StoreDown())
    batches = Batches(source.answer)
    with pytest.raises(StoreDown):
        await batches.ask(2)

    assert 6 == await batches.ask(3)


async def test_a_question_whose_asker_has_gone_is_not_answered_and_holds_up_nobody() -> None:
    source = Source()
    batches = Batches(source.answer)
    source.open.clear()
    first = asyncio.create_task(batches.ask(1))
    await turns()
    gone, last = asyncio.create_task(batches.ask(2)), asyncio.create_task(batches.ask(3))
    await turns()
    gone.cancel()
    await turns()
    source.open.set()

    assert [2, 6] == await asyncio.gather(*[first, last])
    assert [[1], [3]] == source.asked


async def test_one_that_is_cancelled_in_the_middle_of_its_batch_takes_no_other_with_it() -> None:
    source = Source()
    batches = Batches(source.answer)
    source.open.clear()
    gone, stays = asyncio.create_task(batches.ask(1)), asyncio.create_task(batches.ask(2))
    await turns()
    gone.cancel()
    await turns()
    source.open.set()

    assert 4 == await stays
