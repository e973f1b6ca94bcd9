"""What is old is removed by a watermark that follows the clock in small steps, so that a wrong clock removes nothing."""

from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.horizon import SLACK, STEP, horizon, next_watermark

TIMES = st.integers(0, 4_000_000_000_000)


@given(TIMES, st.lists(TIMES, max_size=20))
def test_no_clock_moves_the_horizon_further_than_a_step_for_each_sweep(start: int, clocks: list[int]) -> None:
    watermark = start
    for count, clock in enumerate(clocks, 1):
        watermark = next_watermark(clock=clock, watermark=watermark)
        assert horizon(clock=clock, watermark=watermark) <= min(clock, start + count * STEP + SLACK)


@given(TIMES, TIMES)
def test_a_clock_that_is_right_is_reached(start: int, clock: int) -> None:
    watermark = start
    for _ in range(max(0, clock - start) // STEP + 1):
        watermark = next_watermark(clock=clock, watermark=watermark)

    assert clock == watermark == horizon(clock=clock, watermark=watermark)
