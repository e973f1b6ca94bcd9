"""One page of a list."""

from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Page(msgspec.Struct, Generic[T], frozen=True):
    """One page of items, and the number of items in all pages."""

    items: Sequence[T]
    total: int
