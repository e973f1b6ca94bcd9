"""Lists of revoked certificates as they are kept: packed numbers that are searched as they are."""

import random

import pytest

from watchword.domain.authentication.revocation import Serials


def test_exactly_the_numbers_that_were_given_are_found() -> None:
    chance = random.Random(7)
    numbers = {0, 1, 255, 256, (1 << 160) - 1, *(chance.getrandbits(chance.randrange(1, 160)) for _ in range(500))}
    serials = Serials.of(numbers)

    assert all(number in serials for number in numbers)
    others = {other for number in numbers for other in (number + 1, number * 256, max(0, number - 1))} - numbers
    assert not any(other in serials for other in others)
    assert 21 * len(numbers) == len(serials.packed)
    assert 0 not in Serials.of([])
    assert not any(odd in serials for odd in (-1, 1 << 168, 1 << 400))


@pytest.mark.parametrize("number", [-1, 1 << 168])
def test_a_number_that_no_certificate_may_have_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="serial number"):
        Serials.of([1, number])
