"""Audit events and the stories of refused logins: written by the journal or by the unit they speak of, read by filters."""

from collections.abc import Sequence
from typing import Any

import msgspec

from watchword.domain.model.trail import AuditEvent, Denial
from watchword.store import schema
from watchword.store.engine import Tx
from watchword.store.mapping import Mapper

EVENTS = Mapper(AuditEvent, schema.audit_events)
DENIALS = Mapper(Denial, schema.denials)


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


class Refused(msgspec.Struct, frozen=True):
    """A journal entry: the story of one refused login."""

    denial: Denial

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["Refused"]) -> Sequence[Any]:
        await tx.many(DENIALS.INSERT, [DENIALS.values(entry.denial) for entry in entries])
        return [None] * len(entries)
