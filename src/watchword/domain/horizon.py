"""The time before which old rows may be removed; a clock that jumps ahead moves it only in steps.

A clock that jumps ahead by a year would let everything kept for ninety days go, and be put right a moment later. So
removal does not follow the clock but a watermark in the database, which follows the clock in small steps.
"""

STEP = 2 * 3_600_000  # ms: by how much one sweep may move the watermark; sweeps are ten minutes apart
SLACK = 24 * 3_600_000  # ms: by how much removal may be ahead of the watermark


def next_watermark(*, clock: int, watermark: int) -> int:
    """Where the watermark stands after a sweep at `clock` (ms): at the clock, but at most one step further than before.

    It goes back with a clock that is put back. After a long rest it catches up with twelve days a day.
    """
    return min(clock, watermark + STEP)


def horizon(*, clock: int, watermark: int) -> int:
    """The moment (ms) that counts as now for removing what is old: never after the clock, and not far ahead of
    the watermark.
    """
    return min(clock, watermark + SLACK)
