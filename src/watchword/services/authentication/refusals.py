"""Count equal refusals in one row, so that strangers cannot grow the database.

    the first of a minute      stored with all details, under its request id
    the next equal ones        the count of that row goes up; the audit log gets the number when the minute is over

Refusals are equal when identity (or that none matches), address (an IPv6 one by its /64), method and reason are the
same. In a minute at most `ADDRESSES` addresses are told apart for each identity, and for those that match none; further
ones share a row without an address. Each row belongs to the process that made it, which alone counts it up.
"""

import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

from watchword.domain.audit.records import AuditEvent, Denial
from watchword.domain.authentication.refusal_details import fitted
from watchword.domain.bounds import address_prefix
from watchword.store.audit.events import RepeatedRefusal

WINDOW = 60.0  # seconds
ADDRESSES = 64
IDENTITIES = 2_048  # in one minute; refusals beyond that are counted with those that match no identity
ROWS = 10_000  # in one minute; refusals beyond that are counted without their address
REMEMBERED = 20_000  # request ids of refusals that were counted with an earlier one
_Key = tuple[str, str, str, str]


class RefusalWrite(msgspec.Struct, frozen=True, kw_only=True):
    """What must be written for one refusal: its record and event, or that a row's count goes up."""

    request_id: str
    denial: Denial | None = None
    event: AuditEvent | None = None
    again: RepeatedRefusal | None = None


class _Row:
    """Equal refusals within a minute."""

    __slots__ = ("count", "event", "request_id")

    def __init__(self, request_id: str, event: AuditEvent | None) -> None:
        self.request_id = request_id
        self.count = 1
        self.event = event


class Refusals:
    """The refusals of this minute in this process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began = clock()
        self._rows: dict[_Key, _Row] = {}
        self._addresses: dict[str, set[str]] = {}  # by identity; "" for no identity
        self._over: list[tuple[AuditEvent, int]] = []
        self._kept_as: OrderedDict[str, str] = OrderedDict()

    def take(self, denial: Denial, event: AuditEvent | None, whose: str = "") -> RefusalWrite:
        """Return what must be written for a refusal: its record, or a count.

        `whose` is the identity or person that the login was for; empty where there is none.
        """
        self._turn()
        key = self._key(denial, whose)
        row = self._rows.get(key)
        if row is None:
            first = fitted(denial if key[1] else msgspec.structs.replace(denial, address=None))
            self._rows[key] = _Row(first.request_id, event)
            return RefusalWrite(request_id=first.request_id, denial=first, event=event)
        row.count += 1
        self._kept_as[denial.request_id] = row.request_id
        if len(self._kept_as) > REMEMBERED:
            self._kept_as.popitem(last=False)
        return RefusalWrite(
            request_id=row.request_id, again=RepeatedRefusal(request_id=row.request_id, times=row.count, at=denial.at)
        )

    def forget(self, kept: RefusalWrite) -> None:
        """Forget a row whose first refusal could not be written."""
        if kept.denial is not None:
            self._rows = {key: row for key, row in self._rows.items() if row.request_id != kept.request_id}

    def kept_as(self, request_id: str) -> str:
        """Return the request id under which a refusal is stored, as far as this process knows.

        It is an earlier refusal's where this one was counted with that.
        """
        return self._kept_as.get(request_id, request_id)

    def over(self, *, at_once: bool = False) -> list[tuple[AuditEvent, int]]:
        """Return, for the minutes that are over, the first event of each repeated refusal and how many followed."""
        self._turn(at_once=at_once)
        over, self._over = self._over, []
        return over

    def give_back(self, over: list[tuple[AuditEvent, int]]) -> None:
        """Keep counts that could not be written for the next time."""
        self._over = over + self._over

    def _turn(self, *, at_once: bool = False) -> None:
        now = self._clock()
        if at_once or now - self._began >= WINDOW:
            self._over += [
                (row.event, row.count - 1) for row in self._rows.values() if row.event is not None and row.count > 1
            ]
            self._began, self._rows, self._addresses = now, {}, {}

    def _key(self, denial: Denial, whose: str) -> _Key:
        if whose and whose not in self._addresses and len(self._addresses) >= IDENTITIES:
            whose = ""
        prefix = address_prefix(denial.address)
        seen = self._addresses.setdefault(whose, set())
        if prefix not in seen:
            if len(seen) >= ADDRESSES or len(self._rows) >= ROWS:
                prefix = ""
            else:
                seen.add(prefix)
        return (whose, prefix, denial.method, denial.reason)
