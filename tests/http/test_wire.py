"""Long lists are written in pieces, between which others go first."""

import asyncio
import time

import msgspec

from watchword.http.wire import in_pieces


async def written(count: int, seconds: float) -> tuple[object, int]:
    """The answer to a list whose items each take so long, and how often another task had its turn meanwhile."""
    turns, is_over = 0, False

    async def others() -> None:
        nonlocal turns
        while not is_over:
            turns += 1
            await asyncio.sleep(0)

    def shown(item: int) -> dict[str, int]:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            pass
        return {"n": item}

    waiting = asyncio.create_task(others())
    await asyncio.sleep(0)
    turns = 0
    answer = await in_pieces(range(count), shown)
    is_over = True
    await waiting
    return answer, turns


async def test_others_go_first_while_large_items_are_written() -> None:
    answer, turns = await written(20, 0.005)

    assert [{"n": n} for n in range(20)] == msgspec.json.decode(msgspec.json.encode(answer))
    assert turns >= 20


async def test_a_short_list_is_answered_as_it_is() -> None:
    assert [{"n": 0}] == (await written(1, 0))[0]
    assert [] == (await written(0, 0))[0]


async def test_many_small_items_are_one_list() -> None:
    answer, _ = await written(1_000, 0)

    assert [{"n": n} for n in range(1_000)] == msgspec.json.decode(msgspec.json.encode({"a": answer}))["a"]
