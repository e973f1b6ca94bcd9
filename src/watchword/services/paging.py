"""One page of a list."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some of the items, and how many there are in all."""

    items: Sequence[T]
    total: int
