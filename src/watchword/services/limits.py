"""Rate limits by address for costly requests: token buckets in the memory of this process.

    full ──take──> … ──take──> empty ──a share of a minute passes──> one more

Only refused requests are charged: a caller that proves itself is never held up, however many share its address. An
IPv6 address counts as its /64, which is what one customer gets. The clock is monotonic: setting the system clock
changes nothing.
"""

import ipaddress
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from watchword.domain.actor import Actor
from watchword.domain.bounds import AddressSet, address_prefix
from watchword.domain.errors import TooManyRequests
from watchword.settings import Settings

CAPACITY = 20_000  # addresses remembered
_WAIT_AGAIN = 5  # seconds
REFUSED_PROOFS = 60  # proofs of an address that another server refuses in a minute, before it is not asked any more
SETUP_CODES = 10  # wrong setup codes that an address may send in a minute; no setting changes that


class Buckets:
    """Token buckets, one of `per_minute` for each address; 0 is no limit."""

    __slots__ = ("_buckets", "_clock", "_exempt", "_per_second", "_size", "_what")

    def __init__(
        self, per_minute: int, what: str, exempt: AddressSet, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / 60
        self._what = what
        self._exempt = exempt
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens left, and when

    def wait(self, address: str | None) -> float:
        """Return the seconds until the address may ask again; 0 when it may now."""
        if not self._size or not self._buckets or self._exempt.admits(address):
            return 0.0
        left = self._left(address_prefix(address), self._clock())
        return 0.0 if left >= 1 else (1 - left) / self._per_second

    def take(self, address: str | None) -> float:
        """Charge the address; return the seconds it should have waited, 0 if a token was left."""
        if not self._size or self._exempt.admits(address):
            return 0.0
        prefix, now = address_prefix(address), self._clock()
        left = self._left(prefix, now)
        if left < 1:
            return (1 - left) / self._per_second
        if prefix not in self._buckets and len(self._buckets) >= CAPACITY:
            self._make_room(now)
        self._buckets[prefix] = (left - 1, now)
        return 0.0

    def applies_to(self, address: str | None) -> bool:
        """Whether there is a limit for the address at all."""
        return bool(self._size) and not self._exempt.admits(address)

    def require(self, address: str | None) -> None:
        """Raise TooManyRequests while the address has no token left."""
        wait = self.wait(address)
        if wait:
            raise self.refusal(wait)

    def refusal(self, wait: float) -> TooManyRequests:
        """Make the refusal that says how long to wait."""
        seconds = max(1, round(wait + 0.5))
        return TooManyRequests(
            f"Too many {self._what} from your address: try again in {seconds} s", retry_after=seconds
        )

    def _left(self, prefix: str, now: float) -> float:
        bucket = self._buckets.get(prefix)
        return self._size if bucket is None else min(self._size, bucket[0] + (now - bucket[1]) * self._per_second)

    def _make_room(self, now: float) -> None:
        self._buckets = {prefix: kept for prefix, kept in self._buckets.items() if self._left(prefix, now) < self._size}
        for prefix in list(self._buckets)[: max(0, len(self._buckets) - CAPACITY // 2)]:
            del self._buckets[prefix]


class WaitingPlaces:
    """The requests that wait for a change: at most `most` in this process, and `most_each` of one caller."""

    def __init__(self, most: int, most_each: int) -> None:
        self._most = most
        self._most_each = most_each
        self._taken: Counter[tuple[str, str]] = Counter()

    def __len__(self) -> int:
        return self._taken.total()

    @contextmanager
    def place(self, actor: Actor) -> Iterator[None]:
        """Hold a place while the caller waits. Raises TooManyRequests where none is left."""
        caller = (actor.kind, actor.id)
        if self._taken[caller] >= self._most_each:
            raise TooManyRequests(
                f"At most {self._most_each} requests of one caller wait for changes on one server at a time",
                retry_after=_WAIT_AGAIN,
            )
        if len(self) >= self._most:
            raise TooManyRequests(
                f"At most {self._most} requests wait for changes on one server at a time", retry_after=_WAIT_AGAIN
            )
        self._taken[caller] += 1
        try:
            yield
        finally:
            self._taken[caller] -= 1
            if not self._taken[caller]:
                del self._taken[caller]


class AddressLimits:
    """The rate limits by address of one process."""

    def __init__(self, settings: Settings) -> None:
        exempt = AddressSet([ipaddress.ip_network(text) for text in settings.unlimited_networks])
        self.refused_logins = Buckets(settings.refused_logins_per_minute, "refused logins", exempt)
        # Each of these cost the server that judges such proofs a request.
        self.refused_proofs = Buckets(
            REFUSED_PROOFS if settings.refused_logins_per_minute else 0, "refused logins", exempt
        )
        self.failed_sign_ins = Buckets(settings.failed_sign_ins_per_minute, "failed sign-ins", exempt)
        self.setup_codes = Buckets(SETUP_CODES, "wrong setup codes", AddressSet([]))
