"""Raise the alerts that audit events are, in the unit that stores the events."""

from collections.abc import Sequence
from typing import Any

from watchword.domain.audit.records import AuditEvent
from watchword.domain.identities.alerts import Alert, of_event, text_of
from watchword.services.runtime import Runtime
from watchword.services.timestamps import iso
from watchword.store.engine import Tx
from watchword.store.identities import alerts


async def raise_of(runtime: Runtime, tx: Tx, events: Sequence[AuditEvent]) -> None:
    """Store the messages about those events that are alerts: a changed auth method, a wrap that was opened twice."""
    for event in events:
        found = of_event(event.event, runtime.methods)
        if found is None or event.org_id is None:
            continue
        kind, method, change = found
        identity_id = str(event.metadata.get("identityId") or "")
        item: dict[str, Any] = {
            "identityId": identity_id,
            "identityName": (await alerts.names(tx, [identity_id])).get(identity_id),
            "by": event.actor_name,
            "address": event.address,
        }
        if kind == "method.changed":
            item |= {"authMethod": method, "change": change}
        else:
            item |= {name: event.metadata.get(name) for name in ("kind", "wrapId", "credentialId", "openedFrom")}
        alert = Alert(
            id=event.id,
            org_id=event.org_id,
            type=kind,
            message=text_of(kind, [item]),
            items=[item],
            time=iso(event.at),
            at=event.at,
        )
        await alerts.raised(tx, alert)
