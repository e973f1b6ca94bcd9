"""The queue before password hashes: strangers wait in turn, and not for long; known devices come first."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from watchword.domain.errors import TooManyRequests
from watchword.domain.secret import Secret
from watchword.services.people import passwords
from watchword.services.people.passwords import EACH, THREADS, UNKNOWN, WAITING, AddressHistory, Queue

WORD = Secret("a word")


class Gate:
    """Verifications that end when they are let go, and the order in which they began."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self.open = threading.Semaphore(0)

    def __call__(self, password: str, stored: str | None) -> bool:
        self.order.append(stored or "")
        assert self.open.acquire(timeout=20)
        return True


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    found = Gate()
    monkeypatch.setattr(passwords, "_matches", found)
    yield found
    for _ in range(100):
        found.open.release()


def asks(
    queue: Queue, counted_as: str | None, count: int, name: str = "", tried: AddressHistory = UNKNOWN
) -> list[asyncio.Task[bool]]:
    return [
        asyncio.create_task(queue.matches(WORD, name or counted_as, counted_as=counted_as, tried=tried))
        for _ in range(count)
    ]


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def refusals(tasks: list[asyncio.Task[bool]]) -> list[TooManyRequests]:
    return [error for task in tasks if task.done() and isinstance(error := task.exception(), TooManyRequests)]


async def test_a_password_is_the_stored_one_and_no_other() -> None:
    stored = await passwords.hashed(Secret("corréct horse"))

    assert stored.startswith("$argon2id$v=19$m=64,t=1,p=1$")  # at the cost of tests
    assert await passwords.matches(Secret("corréct horse"), stored)
    for password, kept in (("correct horse", stored), ("", stored), ("corréct horse", None)):
        assert not await passwords.matches(Secret(password), kept)
    for no_hash in ("", "x", "é", "$argon2id$v=19$m=64,t=1,p=1$AAAA$BBBB", "$" * 200):
        assert not await passwords.matches(Secret("corréct horse"), no_hash)


async def test_a_hash_with_four_lanes_is_verified_as_before() -> None:
    """Passwords were hashed so by the library that was used before."""
    stored = "$argon2id$v=19$m=64,t=1,p=4$rUM9HGHmvSHaXmjTN9SvFg$tbur2DrdujP6XGwLtqEbw4Jck2ikeIf8/zEWGkdYjyc"

    assert await passwords.matches(Secret("correct horse"), stored)
    assert not await passwords.matches(Secret("correct horses"), stored)


async def test_of_an_address_that_was_wrong_a_few_wait_and_the_others_are_told_when_to_come_back(gate: Gate) -> None:
    tasks = asks(Queue(), "192.0.2.7", 40, tried=AddressHistory(wrong=1))
    await settle()

    refused = await refusals(tasks)
    assert 40 - EACH == len(refused)
    assert all(one.retry_after >= 1 for one in refused)
    for _ in range(EACH):
        gate.open.release()
    assert [True] * EACH == [await task for task in tasks if not task.done() or not task.exception()]


async def test_an_office_behind_one_address_signs_in_at_once_and_leaves_its_share_to_a_newcomer(gate: Gate) -> None:
    queue = Queue()
    office = asks(queue, "192.0.2.7", 40)
    await settle()
    taken = 40 - len(await refusals(office))

    assert THREADS + WAITING >= taken > EACH

    newcomer = asks(queue, "192.0.2.8", 1)
    await settle()

    assert [] == await refusals(newcomer)
    assert 40 - taken + 1 == len(await refusals(office))
    for _ in range(40):
        gate.open.release()
    await asyncio.gather(*office, *newcomer, return_exceptions=True)


async def test_of_many_addresses_the_queue_takes_no_more_than_it_can_serve_soon(gate: Gate) -> None:
    queue = Queue()
    tasks = [task for i in range(40) for task in asks(queue, f"10.0.0.{i}", 1)]
    await settle()

    assert THREADS + WAITING >= 40 - len(await refusals(tasks)) >= THREADS + passwords.ALWAYS
    for _ in range(40):
        gate.open.release()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_known_device_comes_before_all_strangers_and_is_taken_when_they_fill_the_queue(gate: Gate) -> None:
    queue = Queue()
    strangers = [task for i in range(40) for task in asks(queue, f"10.0.0.{i}", 1)]
    await settle()
    known = asks(queue, None, 1, "known")
    await settle()
    gate.open.release()

    async with asyncio.timeout(10):
        while "known" not in gate.order:
            await asyncio.sleep(0.01)
    assert gate.order.index("known") <= THREADS
    for _ in range(60):
        gate.open.release()
    assert await known[0]
    await asyncio.gather(*strangers, return_exceptions=True)


async def test_addresses_take_turns(gate: Gate) -> None:
    queue = Queue()
    busy = asks(queue, None, THREADS, "busy")
    await settle()
    tasks = [*asks(queue, "10.0.0.1", 3), *asks(queue, "10.0.0.2", 1)]
    await settle()
    for _ in range(60):
        gate.open.release()
    await asyncio.gather(*busy, *tasks)

    assert "10.0.0.2" in gate.order[THREADS : THREADS + 3]


async def test_who_goes_away_gives_the_place_back(gate: Gate) -> None:
    queue = Queue()
    tasks = asks(queue, "10.0.0.1", EACH)
    await settle()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for _ in range(60):
        gate.open.release()

    async with asyncio.timeout(10):
        assert await asyncio.gather(*asks(queue, "10.0.0.1", EACH)) == [True] * EACH
    assert queue._inside == {}
    async with asyncio.timeout(10):
        while queue._running:
            await asyncio.sleep(0.01)
    assert 0 == queue._running


async def test_an_address_that_was_never_refused_comes_before_a_flood_of_those_that_were(gate: Gate) -> None:
    queue = Queue()
    flood = [task for i in range(40) for task in asks(queue, f"10.0.0.{i}", 1, tried=AddressHistory(wrong=1 + i % 3))]
    await settle()
    before = len(await refusals(flood))
    fresh = asks(queue, "192.0.2.7", 1, "fresh")
    await settle()

    assert before + 1 == len(await refusals(flood))
    assert not fresh[0].done()
    for _ in range(60):
        gate.open.release()
    assert await fresh[0]
    assert gate.order.index("fresh") <= THREADS
    await asyncio.gather(*flood, return_exceptions=True)
    assert {} == queue._strangers == queue._tried == queue._inside  # type: ignore[comparison-overlap]


async def test_nobody_takes_the_place_of_one_that_was_refused_no_more_often(gate: Gate) -> None:
    queue = Queue()
    waiting = [task for i in range(40) for task in asks(queue, f"10.0.0.{i}", 1, tried=AddressHistory(2, 1))]
    await settle()
    before = len(await refusals(waiting))
    late = asks(queue, "192.0.2.7", 1, tried=AddressHistory(2, 1)) + asks(
        queue, "192.0.2.8", 1, tried=AddressHistory(3, 0)
    )
    await settle()

    assert 2 == len(await refusals(late))
    assert before == len(await refusals(waiting))
    for _ in range(60):
        gate.open.release()
    await asyncio.gather(*waiting, *late, return_exceptions=True)


async def test_who_waits_as_told_comes_before_who_tries_without_a_pause(gate: Gate) -> None:
    queue = Queue()
    hasty = [task for i in range(40) for task in asks(queue, f"10.0.0.{i}", 1, tried=AddressHistory(0, 50))]
    await settle()
    patient = asks(queue, "192.0.2.7", 1, "patient", tried=AddressHistory(0, 1))
    await settle()

    assert not patient[0].done()
    for _ in range(60):
        gate.open.release()
    assert await patient[0]
    await asyncio.gather(*hasty, return_exceptions=True)
