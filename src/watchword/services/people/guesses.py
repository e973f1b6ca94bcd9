"""Counts of the wrong passwords that this process saw, in bounded memory, also for addresses without an account.

What a refusal shows (how long to wait, and that no password was checked) comes from here in every case, so that it does
not tell whether the account exists. Whether a right password is accepted is decided by the database.
"""

from collections import OrderedDict
from typing import TypeVar

from watchword.domain.authentication.lockout import after_wrong, after_wrong_of_strangers, waits_until
from watchword.domain.bounds import address_prefix
from watchword.domain.people.records import PersonFailures
from watchword.services.people.passwords import UNKNOWN, AddressHistory

CAPACITY = 50_000  # counts kept; the least recently used is dropped first
HOUR = 3_600_000  # ms
T = TypeVar("T")


class Guesses:
    """Counts by person and address or device, by person, and by address."""

    __slots__ = ("_addresses", "_counts")

    def __init__(self) -> None:
        self._counts: OrderedDict[str, PersonFailures] = OrderedDict()
        self._addresses: OrderedDict[str, tuple[AddressHistory, int]] = (
            OrderedDict()
        )  # and the time (ms) until which it counts

    def waits_until(self, key: str, strangers: str, now: int) -> int:
        """Return the time (ms) until which passwords under `key` are not checked.

        `strangers` is the key of all unknown devices; empty for a known one.
        """
        return waits_until(self._counts.get(key), self._counts.get(strangers), now)

    def count(self, key: str, strangers: str, now: int) -> None:
        """Count a wrong password, unless passwords are not checked at the time."""
        if self.waits_until(key, strangers, now) > now:
            return
        _keep(self._counts, key, after_wrong(self._counts.get(key), key, now))
        if strangers:
            _keep(self._counts, strangers, after_wrong_of_strangers(self._counts.get(strangers), strangers, now))

    def forget(self, key: str) -> None:
        """Forget the count of a key, because the password was right."""
        self._counts.pop(key, None)

    def of_address(self, address: str | None, now: int) -> AddressHistory:
        """Return the history of an address (IPv6: its /64) over about the last hour."""
        history, until = self._addresses.get(address_prefix(address), (UNKNOWN, 0))
        return history if until > now else UNKNOWN

    def count_address(self, address: str | None, now: int, *, wrong: int = 0, sent_away: int = 0) -> None:
        """Count failed sign-ins of an address."""
        prefix = address_prefix(address)
        history, until = self._addresses.get(prefix, (UNKNOWN, 0))
        if until <= now:
            history, until = UNKNOWN, now + HOUR
        _keep(self._addresses, prefix, (AddressHistory(history.wrong + wrong, history.sent_away + sent_away), until))


def _keep(counts: OrderedDict[str, T], key: str, value: T) -> None:
    counts[key] = value
    counts.move_to_end(key)
    if len(counts) > CAPACITY:
        counts.popitem(last=False)
