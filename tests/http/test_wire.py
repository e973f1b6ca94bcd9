"""Long lists are written in pieces, between which others go first."""

import asyncio
import time

import msgspec
import pytest

from watchword.http.bodies import Written, encode, encode_in_parts
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


def read(answer: object) -> object:
    return msgspec.json.decode(encode(answer))


async def test_others_go_first_while_large_items_are_written() -> None:
    answer, turns = await written(20, 0.005)

    assert [{"n": n} for n in range(20)] == read(answer)
    assert turns >= 20


async def test_a_short_list_is_answered_as_it_is() -> None:
    assert [{"n": 0}] == (await written(1, 0))[0]
    assert [] == (await written(0, 0))[0]


async def test_many_small_items_are_one_list() -> None:
    answer, _ = await written(1_000, 0)

    assert [{"n": n} for n in range(1_000)] == read(answer)


async def test_what_is_written_is_not_copied_again_for_what_stands_around_it() -> None:
    first, second = [await in_pieces([f"{name}\xff{n}" * 20 for n in range(1_000)], str) for name in "ab"]
    answer = {"before": 1, "first": first, "inside": [{"second": second, "none": None}]}

    parts = encode_in_parts(answer)

    assert isinstance(parts, list)
    assert b"".join(parts) == encode(answer)
    assert all(any(part is one for one in parts) for part in (*first.parts, *second.parts))
    assert sum(map(len, parts)) - sum(map(len, (*first.parts, *second.parts))) < 100
    assert [f"b\xff{n}" * 20 for n in range(1_000)] == msgspec.json.decode(b"".join(parts))["inside"][0]["second"]


async def test_a_small_answer_is_one_part() -> None:
    assert b'{"a":[1,2]}' == encode_in_parts({"a": Written([b"[1", b",", b"2]"])})
    assert b'{"a":1}' == encode_in_parts({"a": 1})


async def test_of_an_answer_that_cannot_be_encoded_nothing_is_left_for_the_next() -> None:
    with pytest.raises(TypeError):
        encode_in_parts([Written([b"1"]), object()])

    assert b"[2,3]" == encode_in_parts([2, Written([b"3"])])
