"""What is old is removed by a mark that follows the clock in small steps, so that a wrong clock removes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.horizon import SLACK, STEP, horizon, next_mark

TIMES = st.integers(0, 4_000_000_000_000)


@given(TIMES, st.lists(TIMES, max_size=20))
def test_no_clock_moves_the_horizon_further_than_a_step_for_each_sweep(start: int, clocks: list[int]) -> None:
    mark = start
    for count, clock in enumerate(clocks, 1):
        mark = next_mark(clock=clock, mark=mark)
        assert horizon(clock=clock, mark=mark) <= min(clock, start + count * STEP + SLACK)


@given(TIMES, TIMES)
def test_a_clock_that_is_right_is_reached(start: int, clock: int) -> None:
    mark = start
    for _ in range(max(0, clock - start) // STEP + 1):
        mark = next_mark(clock=clock, mark=mark)

    assert clock == mark == horizon(clock=clock, mark=mark)
