"""The coherent cache: shared loads, bounds, and no stale answer however writers and readers interleave."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from watchword.store.cache import Cache, CacheEntry, ConsistentReads, LoadEach
from watchword.store.engine import Store, StoreDown, Tx


class Held:
    """Loads a number that tests may change, and stops where tests want it to."""

    def __init__(self, *version_keys: str) -> None:
        self.version_keys = version_keys or ("identity/1",)
        self.value = 0
        self.loads = 0
        self.gate: asyncio.Event | None = None
        self.begun = asyncio.Event()

    async def __call__(self, tx: Tx) -> tuple[int, tuple[str, ...]]:
        self.loads += 1
        value = self.value
        self.begun.set()
        if self.gate:
            await self.gate.wait()
        return value, self.version_keys


async def change(store: Store, *version_keys: str) -> None:
    async with store.write() as tx:
        tx.changed(*version_keys)


async def test_a_value_is_loaded_once_and_again_after_its_family_changed(store: Store) -> None:
    cache, load = Cache(store, 10), Held()

    first = [await ConsistentReads(store, cache).get("k", load) for _ in range(3)]
    load.value = 1
    await change(store, "identity/1")
    second = [await ConsistentReads(store, cache).get("k", load) for _ in range(3)]

    assert ([0, 0, 0], [1, 1, 1], 2) == (first, second, load.loads)


async def test_another_family_s_change_leaves_an_entry_alone(store: Store) -> None:
    cache, load = Cache(store, 10), Held("identity/1", "org/1")
    await ConsistentReads(store, cache).get("k", load)

    await change(store, "identity/2", "org/10")
    await ConsistentReads(store, cache).get("k", load)

    assert 1 == load.loads


async def test_any_family_of_an_entry_makes_it_old(store: Store) -> None:
    cache, load = Cache(store, 10), Held("identity/1", "org/1")
    await ConsistentReads(store, cache).get("k", load)

    await change(store, "org/1")
    await ConsistentReads(store, cache).get("k", load)

    assert 2 == load.loads


async def test_what_depends_on_nothing_is_not_kept(store: Store) -> None:
    cache = Cache(store, 10)

    async def load(tx: Tx) -> tuple[None, tuple[str, ...]]:
        return None, ()

    assert await ConsistentReads(store, cache).get("somebody's guess", load) is None
    assert 0 == len(cache)


async def test_those_who_come_during_a_load_share_the_next_one(postgres_store: Store) -> None:
    """The load under way may have begun before they came, so it is not theirs; one more is enough for all of them."""
    cache, load = Cache(postgres_store, 10), Held()
    load.gate = asyncio.Event()
    first = asyncio.create_task(ConsistentReads(postgres_store, cache).get("k", load))
    await load.begun.wait()
    load.value = 1

    others = [asyncio.create_task(ConsistentReads(postgres_store, cache).get("k", load)) for _ in range(50)]
    await asyncio.sleep(0)
    load.gate.set()

    assert (0, [1] * 50, 2) == (await first, await asyncio.gather(*others), load.loads)


async def test_a_load_that_fails_fails_for_those_who_share_it_and_is_not_kept(store: Store) -> None:
    cache, calls = Cache(store, 10), 0

    async def failing(tx: Tx) -> Any:
        nonlocal calls
        calls += 1
        raise StoreDown

    answers = await asyncio.gather(
        *[ConsistentReads(store, cache).get("k", failing) for _ in range(5)], return_exceptions=True
    )

    assert [StoreDown] * 5 == [type(answer) for answer in answers]
    assert 0 == len(cache)
    assert 0 == await ConsistentReads(store, cache).get("k", Held())


async def test_a_request_that_is_cancelled_takes_nobody_with_it(postgres_store: Store) -> None:
    cache, load = Cache(postgres_store, 10), Held()
    load.gate = asyncio.Event()
    first = asyncio.create_task(ConsistentReads(postgres_store, cache).get("k", load))
    await load.begun.wait()
    second = asyncio.create_task(ConsistentReads(postgres_store, cache).get("k", load))
    others = [asyncio.create_task(ConsistentReads(postgres_store, cache).get("k", load)) for _ in range(5)]
    await asyncio.sleep(0)

    first.cancel()
    await asyncio.wait([first])
    while load.loads < 2:
        await asyncio.sleep(0.01)
    second.cancel()
    await asyncio.wait([second])
    load.gate.set()

    assert [0] * 5 == await asyncio.gather(*others)
    assert (True, True) == (first.cancelled(), second.cancelled())


class Views:
    """Counts the views that are opened."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened = 0
        read = store.read

        def counted() -> Any:
            self.opened += 1
            return read()

        monkeypatch.setattr(store, "read", counted)


async def test_loads_that_come_together_share_a_view(postgres_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, views = Cache(postgres_store, 100), Views(postgres_store, monkeypatch)
    loads = [Held(f"identity/{n}", "org/1") for n in range(20)]
    for n, load in enumerate(loads):
        load.value = n
    await change(postgres_store, "identity/3", "org/1")

    found = await asyncio.gather(*[ConsistentReads(postgres_store, cache).get(n, load) for n, load in enumerate(loads)])

    assert list(range(20)) == found
    assert 1 == views.opened
    entry = cache.peek(3)
    assert entry is not None
    version_keys = ("identity/3", "org/1")
    assert tuple(zip(version_keys, await postgres_store.versions(version_keys), strict=True)) == entry.stamp


async def test_a_load_that_takes_long_is_not_in_the_way_of_others(postgres_store: Store) -> None:
    cache, slow = Cache(postgres_store, 100), Held()
    slow.gate = asyncio.Event()
    first = asyncio.create_task(ConsistentReads(postgres_store, cache).get("slow", slow))
    await slow.begun.wait()

    others = [await ConsistentReads(postgres_store, cache).get(n, Held()) for n in range(3)]
    slow.gate.set()

    assert ([0] * 3, 0) == (others, await first)


async def test_what_is_wrong_with_one_load_is_not_told_to_those_who_share_its_view(postgres_store: Store) -> None:
    cache = Cache(postgres_store, 100)

    async def failing(tx: Tx) -> Any:
        return await tx.all(text("SELECT 1 / 0"))

    asked: list[Any] = [Held(), failing, Held()]
    found = await asyncio.gather(
        *[ConsistentReads(postgres_store, cache).get(n, load) for n, load in enumerate(asked)],
        return_exceptions=True,
    )

    assert (0, 0) == (found[0], found[2])
    assert isinstance(found[1], Exception)
    assert 2 == len(cache)


async def test_loads_that_can_be_one_are_one(postgres_store: Store) -> None:
    cache, asked = Cache(postgres_store, 100), []

    async def each(tx: Tx, about: Any) -> list[tuple[int, tuple[str, ...]]]:
        del tx
        asked.append(sorted(about))
        return [(n * 10, ("org/1",)) for (n,) in about]

    load = LoadEach(each)
    found = await asyncio.gather(*[ConsistentReads(postgres_store, cache).get(n, load, n) for n in range(5)])
    alone = await ConsistentReads(postgres_store, cache).get(7, load, 7)

    assert ([0, 10, 20, 30, 40], 70) == (found, alone)
    assert [[(0,), (1,), (2,), (3,), (4,)], [(7,)]] == asked


async def test_whoever_comes_when_a_view_ends_is_served(postgres_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody may be left waiting for a view that has just looked for the last time whether somebody waits."""
    monkeypatch.setattr("watchword.store.cache._AT_ONCE", 1)
    cache = Cache(postgres_store, 100)

    async with asyncio.timeout(30):
        found = [await ConsistentReads(postgres_store, cache).get(n, Held()) for n in range(3)]

    assert [0] * 3 == found


@pytest.mark.parametrize("capacity", [0, 2, 7, 100])
async def test_a_cache_never_holds_more_than_its_capacity(sqlite_store: Store, capacity: int) -> None:
    cache, most = Cache(sqlite_store, capacity), 0

    for i in range(300):
        await ConsistentReads(sqlite_store, cache).get(i % 150, Held())
        most = max(most, len(cache))

    assert most <= max(2, capacity)


class Heavy:
    """A value that says what it weighs."""

    def __init__(self, weight: int) -> None:
        self.weight = weight


async def test_a_cache_never_holds_more_than_its_capacity_by_weight(sqlite_store: Store) -> None:
    cache, most = Cache(sqlite_store, 100), 0

    for i in range(300):

        async def load(tx: Tx, weight: int = 1 + i % 40) -> tuple[Heavy, tuple[str, ...]]:
            return Heavy(weight), ("identity/1",)

        await ConsistentReads(sqlite_store, cache).get(i, load)
        most = max(most, sum(entry.value.weight for key in range(300) if (entry := found(cache, key))))

    assert 50 < most <= 100


def found(cache: Cache, key: int) -> CacheEntry | None:
    """An entry without using it."""
    return cache._heavy.young.get(key) or cache._heavy.old.get(key)


async def test_what_is_used_stays_and_what_is_not_goes(sqlite_store: Store) -> None:
    cache, used, unused = Cache(sqlite_store, 20), Held(), Held()
    await ConsistentReads(sqlite_store, cache).get("used", used)
    await ConsistentReads(sqlite_store, cache).get("unused", unused)

    for i in range(100):
        await ConsistentReads(sqlite_store, cache).get(i, Held())
        await ConsistentReads(sqlite_store, cache).get("used", used)

    assert (1, None) == (used.loads, cache.peek("unused"))


async def test_a_request_asks_for_each_family_once(postgres_store: Store) -> None:
    store = postgres_store
    cache, asked = Cache(store, 10), []  # type: ignore[var-annotated]
    loads = {key: Held("identity/1", f"org/{key}") for key in "abc"}
    for key, load in loads.items():
        await ConsistentReads(store, cache).get(key, load)
    versions = store.versions

    async def counted(keys: tuple[str, ...]) -> tuple[int, ...]:
        asked.extend(keys)
        return await versions(keys)

    store.versions = counted  # type: ignore[method-assign]
    fresh = ConsistentReads(store, cache)
    for key, load in loads.items():
        await fresh.get(key, load)
    for key, load in loads.items():
        await fresh.get(key, load)

    assert ["identity/1", "org/a", "org/b", "org/c"] == sorted(asked)


async def test_after_its_own_change_a_request_that_forgets_sees_it(store: Store) -> None:
    cache, load = Cache(store, 10), Held()
    fresh = ConsistentReads(store, cache)
    await fresh.get("k", load)
    load.value = 1
    await change(store, "identity/1")

    fresh.invalidate()

    assert 1 == await fresh.get("k", load)


async def test_what_was_asked_for_before_an_own_change_is_known_for_the_next_request_like_it(
    postgres_store: Store,
) -> None:
    fresh = ConsistentReads(postgres_store, Cache(postgres_store, 10))
    await fresh.get("k", Held())

    fresh.invalidate()

    assert ("identity/1",) == fresh.version_keys


async def test_a_request_reads_a_family_once_however_long_it_takes(postgres_store: Store) -> None:
    cache, load = Cache(postgres_store, 10), Held()
    fresh = ConsistentReads(postgres_store, cache)
    await fresh.get("k", load)
    load.value = 1
    await change(postgres_store, "identity/1")

    assert 0 == await fresh.get("k", load)


async def test_a_request_does_not_lose_a_change_it_has_seen_when_another_process_writes(sqlite_store: Any) -> None:
    """What was loaded before the change must not pass for new because the versions in memory begin again."""
    cache, load = Cache(sqlite_store, 10), Held()
    await ConsistentReads(sqlite_store, cache).get("k", load)
    load.value = 1
    await change(sqlite_store, "identity/1")

    fresh = ConsistentReads(sqlite_store, cache)
    other = sqlite3.connect(sqlite_store.path)
    with other:
        other.execute("INSERT INTO versions (key, n) VALUES ('elsewhere', 1)")
    other.close()
    ConsistentReads(sqlite_store, cache)  # a request that begins now notices the other process

    assert 1 == await fresh.get("k", load)


# --- no stale read: the promise itself


class Register:
    """Two numbers under two version keys, and what every request must have seen."""

    VERSION_KEYS = ("identity/1", "org/1")

    def __init__(self, store: Store) -> None:
        self.store = store
        self.caches = [Cache(store, 4), Cache(store, 4)]
        self.base = dict.fromkeys(self.VERSION_KEYS, 0)
        self.answered = dict.fromkeys(self.VERSION_KEYS, 0)
        self.stale: list[tuple[str, int, int]] = []

    async def write(self, version_key: str) -> None:
        async with self.store.write() as tx:
            tx.changed(version_key)
        self.answered[version_key] += 1

    def load(self, pauses: int, *version_keys: str) -> Callable[[Tx], Awaitable[Any]]:
        async def load(tx: Tx) -> Any:
            for _ in range(pauses // 2):
                await asyncio.sleep(0)
            value = await tx.versions(version_keys)
            for _ in range(pauses):
                await asyncio.sleep(0)
            return value, version_keys

        return load

    async def read(self, cache: Cache, pauses: int, *version_keys: str) -> None:
        """What is loaded is the version itself, as that view saw it: it counts the writes that were committed."""
        least = [self.answered[version_key] for version_key in version_keys]
        fresh = ConsistentReads(self.store, cache)
        for _ in range(2):
            versions = await fresh.get(version_keys, self.load(pauses, *version_keys))
            seen = [
                version - self.base[version_key] for version_key, version in zip(version_keys, versions, strict=True)
            ]
            self.stale += [
                (version_key, need, n)
                for version_key, need, n in zip(version_keys, least, seen, strict=True)
                if n < need
            ]

    async def play(self, steps: list[tuple[str, int, int]]) -> None:
        found = await self.store.versions(self.VERSION_KEYS)
        self.base = dict(zip(self.VERSION_KEYS, found, strict=True))
        tasks = []
        for kind, which, pauses in steps:
            version_key = self.VERSION_KEYS[which % 2]
            if kind == "write":
                tasks.append(asyncio.create_task(self.write(version_key)))
            elif kind == "read":
                tasks.append(asyncio.create_task(self.read(self.caches[which // 2 % 2], pauses, version_key)))
            elif kind == "both":
                tasks.append(asyncio.create_task(self.read(self.caches[which // 2 % 2], pauses, *self.VERSION_KEYS)))
            else:
                for _ in range(pauses + 1):
                    await asyncio.sleep(0)
        await asyncio.gather(*tasks)


STEPS = st.lists(
    st.tuples(st.sampled_from(["write", "read", "both", "wait"]), st.integers(0, 3), st.integers(0, 4)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60)
@given(steps=STEPS)
async def test_no_interleaving_of_writers_and_readers_gives_a_stale_answer(
    store: Store, steps: list[tuple[str, int, int]]
) -> None:
    register = Register(store)

    await asyncio.wait_for(register.play(steps), 30)

    assert [] == register.stale


async def test_no_stale_answer_under_load(store: Store) -> None:
    """The same with many at once, until some thousands of reads have raced with writes."""
    register = Register(store)
    steps = [("both" if i % 7 == 0 else "read" if i % 7 < 5 else "write", i * 31 % 4, i % 5) for i in range(700)]

    for _ in range(3):
        await asyncio.wait_for(register.play(steps), 60)
        register.answered = dict.fromkeys(register.VERSION_KEYS, 0)

    assert [] == register.stale
