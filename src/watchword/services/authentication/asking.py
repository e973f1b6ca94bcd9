"""Bounds on asking another server about proofs: what it refused a moment ago, and who presented it.

Anybody can send made-up tokens, and each would cost the server that judges them a request. So a proof that it refused
is refused for some seconds without it; an address whose proofs it refused lately has a few under way at a time, and so
many new ones in a minute. All of it is in the memory of this process. What was found genuine is never kept.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from watchword.domain.bounds import address_prefix
from watchword.services.limits import Buckets

__all__ = ["AT_A_TIME", "KEPT", "KEPT_FOR", "LATELY", "Asking"]

KEPT: Final = 4_096  # refused proofs
KEPT_FOR: Final = 10_000  # milliseconds
AT_A_TIME: Final = 4  # questions under way from an address whose proofs were refused lately
LATELY: Final = 60_000  # milliseconds
ADDRESSES: Final = 20_000  # of which it is known that they were wrong lately

K = TypeVar("K")
V = TypeVar("V")


class _Gate:
    """The questions of one address that are under way or wait."""

    __slots__ = ("places", "users")

    def __init__(self) -> None:
        self.places = asyncio.Semaphore(AT_A_TIME)
        self.users = 0


class Asking:
    """`methods.base.Asking`, in memory."""

    __slots__ = ("_bucket", "_gates", "_kept", "_wrong")

    def __init__(self, bucket: Buckets) -> None:
        """Make one that allows each address as many refused proofs as `bucket` does."""
        self._bucket = bucket
        self._kept: OrderedDict[bytes, tuple[int, Any]] = OrderedDict()
        self._wrong: OrderedDict[str, int] = OrderedDict()  # addresses, and when a proof of theirs was refused
        self._gates: dict[str, _Gate] = {}

    def refused(self, key: bytes, now: int) -> Any:
        """Return what the proof with this digest was refused with, unless that was too long ago; None else."""
        found = self._kept.get(key)
        if found is None:
            return None
        if 0 <= now - found[0] < KEPT_FOR:
            return found[1]
        del self._kept[key]
        return None

    def note_refused(self, key: bytes, answer: Any, now: int, address: str | None) -> None:
        """Keep the answer by which a proof was refused, and charge the address that presented it."""
        _keep(self._kept, key, (now, answer), KEPT)
        if self._bucket.applies_to(address):
            self._bucket.take(address)
            _keep(self._wrong, address_prefix(address), now, ADDRESSES)

    @asynccontextmanager
    async def turn(self, address: str | None, now: int) -> AsyncIterator[None]:
        """Wait until the address may ask. Raises TooManyRequests where too much from it was refused."""
        self._bucket.require(address)
        prefix = address_prefix(address)
        at = self._wrong.get(prefix)
        if at is None or not 0 <= now - at < LATELY:
            yield
            return
        gate = self._gates.setdefault(prefix, _Gate())
        gate.users += 1
        try:
            async with gate.places:
                self._bucket.require(address)
                yield
        finally:
            gate.users -= 1
            if not gate.users:
                self._gates.pop(prefix, None)


def _keep(entries: OrderedDict[K, V], key: K, value: V, most: int) -> None:
    entries[key] = value
    entries.move_to_end(key)
    if len(entries) > most:
        entries.popitem(last=False)
