"""Queries of audit events and records of refused logins: written by the journal or in the unit that they record."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, update

from watchword.domain.audit.records import AuditEvent, Denial
from watchword.store import schema
from watchword.store.engine import Tx, prepare
from watchword.store.mapping import Mapper

EVENTS = Mapper(AuditEvent, schema.audit_events)
DENIALS = Mapper(Denial, schema.denials)
_d = schema.denials
_AGAIN = prepare(
    lambda: (
        update(_d)
        .where(_d.c.request_id == bindparam("of"), _d.c.times < bindparam("n"))
        .values(times=bindparam("n"), last_at=bindparam("at"))
    )
)


async def add(tx: Tx, events: Sequence[AuditEvent]) -> None:
    """Store events in the open unit."""
    await tx.many(EVENTS.INSERT, [EVENTS.values(event) for event in events])


class Audited(msgspec.Struct, frozen=True):
    """A journal entry: one audit event."""

    event: AuditEvent

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Audited"]) -> Sequence[Any]:
        await add(tx, [entry.event for entry in entries])
        return [None] * len(entries)


class RefusedLogin(msgspec.Struct, frozen=True):
    """A journal entry: the record of one refused login."""

    denial: Denial

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["RefusedLogin"]) -> Sequence[Any]:
        await tx.many(DENIALS.INSERT, [DENIALS.values(entry.denial) for entry in entries])
        return [None] * len(entries)


class RepeatedRefusal(msgspec.Struct, frozen=True, kw_only=True):
    """A journal entry: the number of refusals like the one with this request id, which is `times` by now.

    It may be written late, and twice.
    """

    request_id: str
    times: int
    at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["RepeatedRefusal"]) -> Sequence[Any]:
        latest = {entry.request_id: entry for entry in sorted(entries, key=lambda refusal: refusal.times)}
        await tx.count_many(
            _AGAIN, [{"of": id, "n": refusal.times, "at": refusal.at} for id, refusal in sorted(latest.items())]
        )
        return [None] * len(entries)
