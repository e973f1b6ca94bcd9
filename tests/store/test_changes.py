"""Waiting for version keys: no change is missed, whoever made it and whenever, and one look serves all."""

import asyncio
import time
from collections.abc import Sequence

import pytest

from tests.store.conftest import another
from watchword.store.changes import Changes
from watchword.store.engine import Store, StoreDown

KEYS = ("identity/1", "folder/2")


async def change(store: Store, *keys: str) -> None:
    async with store.write() as tx:
        tx.changed(*keys)


async def seen(store: Store, keys: Sequence[str] = KEYS) -> dict[str, int]:
    return dict(zip(keys, await store.versions(tuple(keys)), strict=True))


async def test_a_change_from_before_the_wait_and_after_the_read_is_not_missed(store: Store) -> None:
    changes, known = Changes(store, every=0.02), await seen(store)
    await change(store, "folder/2")

    assert await asyncio.wait_for(changes.wait(known, 10), 5)
    assert 0 == len(changes)


async def test_a_change_during_the_wait_ends_it_and_another_key_does_not(store: Store) -> None:
    changes, known = Changes(store, every=0.02), await seen(store)

    waits = asyncio.create_task(changes.wait(known, 10))
    await asyncio.sleep(0.05)
    await change(store, "folder/other")
    await asyncio.sleep(0.05)
    assert not waits.done()
    await change(store, "identity/1")

    assert await asyncio.wait_for(waits, 5)


async def test_the_time_over_is_false(store: Store) -> None:
    changes = Changes(store, every=0.02)

    assert not await changes.wait(await seen(store), 0.1)
    assert not await changes.wait({}, 10)
    assert 0 == len(changes)


async def test_a_change_by_another_process_is_seen_and_its_other_writes_wake_nobody(store: Store) -> None:
    other = another(store)
    await other.open()
    try:
        changes, known = Changes(store, every=0.02), await seen(store)
        waits = asyncio.create_task(changes.wait(known, 10))
        await asyncio.sleep(0.05)
        for _ in range(3):
            await change(other, "folder/other")
            await asyncio.sleep(0.03)
        assert not waits.done()
        await change(other, "folder/2")

        assert await asyncio.wait_for(waits, 5)
    finally:
        await other.close()


async def test_many_rounds_under_another_processs_writes_miss_no_change(store: Store) -> None:
    other = another(store)
    await other.open()
    stop = asyncio.Event()

    async def busy() -> None:
        while not stop.is_set():
            await change(other, "folder/busy")
            await asyncio.sleep(0.001)

    noise = asyncio.create_task(busy())
    try:
        changes = Changes(store, every=0.01)
        for number in range(20):
            known = await seen(store)
            waits = asyncio.create_task(changes.wait(known, 10))
            await asyncio.sleep(0.001 * (number % 4))
            await change(other, KEYS[number % 2])
            assert await asyncio.wait_for(waits, 5)
    finally:
        stop.set()
        await noise
        await other.close()


async def test_the_end_wakes_everybody_and_lets_nobody_wait(store: Store) -> None:
    changes, known = Changes(store, every=0.02), await seen(store)
    waits = asyncio.create_task(changes.wait(known, 60))
    await asyncio.sleep(0.05)

    began = time.monotonic()
    changes.end()
    assert not await waits
    assert not await changes.wait(known, 60)
    assert time.monotonic() - began < 5
    await changes.close()


async def test_a_database_that_is_away_is_looked_at_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, known = Changes(store, every=0.02), await seen(store)
    waits = asyncio.create_task(changes.wait(known, 10))
    await asyncio.sleep(0.05)

    async def away(keys: tuple[str, ...]) -> tuple[int, ...]:
        raise StoreDown

    monkeypatch.setattr(store, "versions", away)
    await asyncio.sleep(0.1)
    assert not waits.done()
    monkeypatch.undo()
    await change(store, "identity/1")

    assert await asyncio.wait_for(waits, 5)


async def test_who_is_cancelled_leaves_nothing(store: Store) -> None:
    changes = Changes(store, every=0.02)
    waits = asyncio.create_task(changes.wait(await seen(store), 10))
    await asyncio.sleep(0.05)

    waits.cancel()
    await asyncio.wait([waits])

    assert 0 == len(changes)
