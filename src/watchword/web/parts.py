"""Parts that several pages are made of: what may be missing, and bars."""

from collections.abc import Awaitable, Sequence
from typing import Final, TypeVar

import msgspec

from watchword.domain.errors import Refusal

T = TypeVar("T")
_WIDTH: Final = 10
_HEIGHT: Final = 56
_LEAST: Final = 6  # a bar of one login is seen beside one of ten thousand


async def or_none(waiting: Awaitable[T]) -> T | None:
    """Return what a service answers, or None where it refuses: one part of a page must not take the page away."""
    try:
        return await waiting
    except Refusal:
        return None


class Bar(msgspec.Struct, frozen=True):
    """One bar of a drawing that is 56 high and 10 wide for each bar; `base` stands for nothing."""

    x: int
    y: int
    height: int
    is_base: bool


def bars(counts: Sequence[int]) -> Sequence[Bar]:
    """The bars of numbers, the largest as high as the drawing."""
    most = max(counts, default=0)
    drawn = []
    for place, count in enumerate(counts):
        height = max(_LEAST, round(_HEIGHT * count / most)) if count > 0 else 2
        drawn.append(Bar(place * _WIDTH, _HEIGHT - height, height, is_base=count <= 0))
    return drawn
