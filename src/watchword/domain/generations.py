"""Generations: a bounded mapping that forgets what was not used for long, without bookkeeping on every hit.

    keep ──> young ──(young is full)──> old ──(young is full again)──> forgotten
               ^                         │
               └────────── get ──────────┘

It is an LRU cache of coarse grain: a hit among the young is one look into a dict, where an LRU list would be reordered.
What was kept or used among the last half of the capacity is always there.
"""

from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Generations(Generic[K, V]):
    """Values by key, of which the young and the old together weigh at most `capacity`.

    No value may be None. `young` and `old` are for looking only: a caller that looks a million times a minute saves a
    call.
    """

    __slots__ = ("_most", "_weight", "old", "young")

    def __init__(self, capacity: int) -> None:
        self._most = max(2, capacity) // 2
        self._weight = 0  # of the young
        self.young: dict[K, V] = {}
        self.old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self.old)

    def get(self, key: K) -> V | None:
        """The value, which is young from here on; None where there is none. For values that weigh 1."""
        value = self.young.get(key)
        if value is None:
            value = self.old.get(key)
            if value is not None:
                self.keep(key, value)
        return value

    def keep(self, key: K, value: V, weight: int = 1) -> None:
        """Put a value among the young; when they are full, they are the old ones from here on."""
        if self._weight + weight > self._most and self.young:
            self.old, self.young, self._weight = self.young, {}, 0
        if key not in self.young:  # one that takes the place of another is weighed again when it grows old
            self._weight += weight
        self.young[key] = value

    def drop(self, key: K) -> None:
        """Forget one value."""
        self.young.pop(key, None)
        self.old.pop(key, None)
