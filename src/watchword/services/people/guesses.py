"""Wrong passwords as this process saw them, in bounded memory: of addresses that nobody has, too, for which nothing is
stored.

What a refusal shows (how long to wait, and that nothing was weighed) comes from here for everybody, so that nothing
tells whether there is such a person. Whether a right password is taken, the database says.
"""

from collections import OrderedDict
from typing import TypeVar

from watchword.domain.authentication.lockout import after_wrong, after_wrong_of_strangers, waits_until
from watchword.domain.bounds import address_prefix
from watchword.domain.people.records import PersonFailures
from watchword.services.people.passwords import UNKNOWN, Standing

CAPACITY = 50_000  # counts remembered; the one that was not touched for longest goes first
HOUR = 3_600_000  # ms
T = TypeVar("T")


class Guesses:
    """Counts by person and address or device, by person, and by address."""

    __slots__ = ("_addresses", "_counts")

    def __init__(self) -> None:
        self._counts: OrderedDict[str, PersonFailures] = OrderedDict()
        self._addresses: OrderedDict[str, tuple[Standing, int]] = OrderedDict()  # and until when it counts

    def waits_until(self, key: str, strangers: str, now: int) -> int:
        """Until when passwords under `key` are not weighed (ms); `strangers` is the key of all strangers, empty
        for who is none.
        """
        return waits_until(self._counts.get(key), self._counts.get(strangers), now)

    def count(self, key: str, strangers: str, now: int) -> None:
        """One more wrong password; while they are not weighed, none."""
        if self.waits_until(key, strangers, now) > now:
            return
        _keep(self._counts, key, after_wrong(self._counts.get(key), key, now))
        if strangers:
            _keep(self._counts, strangers, after_wrong_of_strangers(self._counts.get(strangers), strangers, now))

    def forget(self, key: str) -> None:
        """The password was right."""
        self._counts.pop(key, None)

    def of_address(self, address: str | None, now: int) -> Standing:
        """How an address (IPv6: its /64) stands, of about the last hour."""
        standing, until = self._addresses.get(address_prefix(address), (UNKNOWN, 0))
        return standing if until > now else UNKNOWN

    def count_address(self, address: str | None, now: int, *, wrong: int = 0, sent_away: int = 0) -> None:
        """More sign-ins of an address that came to nothing."""
        prefix = address_prefix(address)
        standing, until = self._addresses.get(prefix, (UNKNOWN, 0))
        if until <= now:
            standing, until = UNKNOWN, now + HOUR
        _keep(self._addresses, prefix, (Standing(standing.wrong + wrong, standing.sent_away + sent_away), until))


def _keep(counts: OrderedDict[str, T], key: str, value: T) -> None:
    counts[key] = value
    counts.move_to_end(key)
    if len(counts) > CAPACITY:
        counts.popitem(last=False)
