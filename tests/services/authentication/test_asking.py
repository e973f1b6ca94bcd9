"""Another server is asked about proofs within bounds: by what it refused a moment ago, and by who presented it."""

import asyncio

import pytest

from watchword.domain.bounds import AddressSet
from watchword.domain.errors import TooManyRequests
from watchword.services.authentication.asking import AT_A_TIME, KEPT, KEPT_FOR, LATELY, Asking
from watchword.services.limits import Buckets

HERE, THERE, NOW = "192.0.2.1", "198.51.100.1", 1_800_000_000_000


def asking(per_minute=3):
    return Asking(Buckets(per_minute, "refused logins", AddressSet([]), clock=lambda: 0.0))


def test_what_was_refused_is_kept_for_a_moment():
    kept = asking()
    kept.note_refused(b"a", "no", NOW, HERE)

    assert kept.refused(b"a", NOW + KEPT_FOR - 1) == "no"
    assert kept.refused(b"b", NOW) is None
    assert kept.refused(b"a", NOW - 1) is None  # the clock was set back: nothing is known about then
    assert kept.refused(b"a", NOW) is None  # and it is forgotten


def test_a_flood_of_proofs_takes_bounded_room():
    kept = asking()
    for number in range(KEPT + 10):
        kept.note_refused(str(number).encode(), number, NOW, HERE)

    assert [kept.refused(key, NOW) for key in (b"9", b"10", str(KEPT).encode())] == [None, 10, KEPT]


async def test_an_address_with_too_many_refused_proofs_waits_and_others_do_not():
    bound = asking(per_minute=2)
    for key in (b"a", b"b"):
        async with bound.turn(HERE, NOW):
            bound.note_refused(key, "no", NOW, HERE)

    with pytest.raises(TooManyRequests):
        async with bound.turn(HERE, NOW):
            pytest.fail("it may not ask")
    async with bound.turn(THERE, NOW):
        pass


async def test_an_address_that_was_never_wrong_asks_as_much_as_it_wants_at_once():
    assert await at_once(asking(), HERE) == 50


async def test_an_address_that_was_wrong_lately_asks_a_few_at_a_time():
    bound = asking()
    bound.note_refused(b"a", "no", NOW, HERE)

    assert await at_once(bound, HERE) == AT_A_TIME
    assert await at_once(bound, THERE) == 50
    assert await at_once(bound, HERE, NOW + LATELY) == 50
    assert bound._gates == {}


async def at_once(bound, address, now=NOW):
    """The most that were under way together, of fifty that want to ask."""
    running, most = 0, 0

    async def ask():
        nonlocal running, most
        async with bound.turn(address, now):
            running += 1
            most = max(most, running)
            for _ in range(10):
                await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(ask() for _ in range(50)))
    return most


async def test_no_limit_is_no_limit():
    bound = asking(per_minute=0)
    for number in range(100):
        bound.note_refused(str(number).encode(), "no", NOW, HERE)
    assert await at_once(bound, HERE) == 50
