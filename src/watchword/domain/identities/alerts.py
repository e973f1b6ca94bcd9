"""Alerts about machine identities: which there are, and how each is told.

An alert is told once for each occurrence. Several occurrences that one look finds are told together.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from watchword.domain.deliveries import Delivery, DeliveryTarget

AlertType = Literal[
    "credential.expiring",
    "identity.unused",
    "identity.locked-out",
    "identity.new-network",
    "login.refused-often",
    "method.changed",
    "wrap.reused",
    "test",
]
ALERTS: Final[Mapping[AlertType, str]] = {
    "credential.expiring": "an identity, client secret, named token, certificate or key ends within some days",
    "identity.unused": "an identity has not logged in for some days",
    "identity.locked-out": "an identity is locked out after too many wrong proofs",
    "identity.new-network": "an identity logs in from a network (/24, /48) for the first time",
    "login.refused-often": "many logins of an identity were refused within 15 minutes",
    "method.changed": "an auth method of an identity was added, changed or removed",
    "wrap.reused": "a wrapping token was presented again after it was opened",
}
DEFAULTS: Final[Mapping[str, int]] = {"expiringDays": 14, "unusedDays": 90, "refusals": 20}
MAX_ITEMS: Final = 100  # occurrences that one message tells of
DAY: Final = 86_400_000  # ms
BURST: Final = 15 * 60_000  # ms
WRAP_EVENT: Final = "alert-wrapping-token-reused"
_VERBS: Final = {"add": "added", "update": "changed", "revoke": "removed", "create": "added"}


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be told to the channels of an organization. `items` hold no secret and no credential."""

    id: str
    org_id: str
    type: AlertType
    message: str
    items: Sequence[Mapping[str, Any]]
    time: str  # ISO 8601
    at: int


def wants(target: DeliveryTarget, type: AlertType) -> bool:
    """Whether a channel is told of alerts of this type; one that names none is told of all."""
    return type == "test" or not target.events or type in target.events


def option(target: DeliveryTarget, name: str) -> int:
    """The value of an option of a channel, or its default."""
    return target.options.get(name, DEFAULTS[name])


def message_for(target: DeliveryTarget, alert: Alert) -> Delivery:
    """The message for one channel: a CloudEvent (1.0, structured mode). All channels get the same id."""
    return Delivery(
        id=alert.id,
        target_id=target.id,
        org_id=alert.org_id,
        event=alert.type,
        body={
            "specversion": "1.0",
            "id": alert.id,
            "source": f"/organizations/{alert.org_id}",
            "type": f"watchword.{alert.type}",
            "time": alert.time,
            "datacontenttype": "application/json",
            "data": {"message": alert.message, "items": [dict(item) for item in alert.items]},
        },
        created_at=alert.at,
    )


def text_of(type: AlertType, items: Sequence[Mapping[str, Any]]) -> str:
    """A sentence about occurrences, for a person."""
    first, count = items[0], len(items)
    name = first.get("identityName") or first.get("identityId") or "an identity"
    more = f", and {count - 1} more" if count > 1 else ""
    match type:
        case "credential.expiring":
            return f"Ends soon: {first.get('kind')} of {name}, on {str(first.get('expiresAt'))[:10]}{more}"
        case "identity.unused":
            return f"Not used for a long time: {name}{more}"
        case "identity.locked-out":
            return f"Locked out after wrong proofs: {name}{more}"
        case "identity.new-network":
            return f"First login from a new network: {name} from {first.get('network')}{more}"
        case "login.refused-often":
            return f"Many refused logins: {name}, {first.get('refusals')} in 15 minutes{more}"
        case "method.changed":
            return f"Auth method {first.get('authMethod')} was {first.get('change')}: {name}{more}"
        case "wrap.reused":
            return f"A wrapping token was presented again after it was opened: {first.get('kind')} of {name}{more}"
        case _:
            return "Test of an alert channel"


def of_event(event: str, methods: Mapping[str, Any]) -> tuple[AlertType, str, str] | None:
    """The alert that an audit event is: its type, the auth method and what was done to it; None for others."""
    if event == WRAP_EVENT:
        return "wrap.reused", "", ""
    verb, found, method = event.partition("-identity-")
    if found and verb in _VERBS and method in methods:
        return "method.changed", method, _VERBS[verb]
    return None
