"""An audit event as a sentence: who did what with what."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from watchword.domain.audit.records import AuditEvent

# The first word of an event's name: what was done, the icon and the tone.
_VERBS: Final[Mapping[str, tuple[str, str, str]]] = {
    "create": ("made", "plus", "new"),
    "add": ("added", "plus", "new"),
    "invite": ("invited", "user-plus", "new"),
    "accept": ("accepted", "check", "ok"),
    "update": ("changed", "pencil", ""),
    "move": ("moved", "pencil", ""),
    "delete": ("deleted", "trash-2", "bad"),
    "remove": ("removed", "x", "bad"),
    "withdraw": ("withdrew", "x", ""),
    "revoke": ("revoked", "ban", "warn"),
    "disable": ("disabled", "power", "warn"),
    "enable": ("enabled", "power", "ok"),
    "activate": ("activated", "power", "ok"),
    "unlock": ("unlocked", "lock-open", ""),
    "clear": ("cleared", "lock-open", ""),
    "get": ("read", "eye", ""),
    "search": ("searched", "search", ""),
    "lookup": ("looked up", "eye", ""),
    "login": ("logged in:", "key-round", ""),
    "refresh": ("refreshed", "rotate-cw", ""),
    "renew": ("renewed", "rotate-cw", ""),
    "rotate": ("rotated", "rotate-cw", "warn"),
    "reset": ("reset", "rotate-cw", "warn"),
    "change": ("changed", "pencil", ""),
    "bootstrap": ("set up", "play", "ok"),
    "promote": ("promoted", "award", "warn"),
    "wrap": ("wrapped", "lock", ""),
    "unwrap": ("unwrapped", "lock-open", ""),
    "alert": ("was warned of:", "triangle-alert", "bad"),
    "verify": ("verified", "badge-check", ""),
    "test": ("tested", "play", ""),
    "replicate": ("replicated", "copy", ""),
    "subscribe": ("subscribed to", "bell", ""),
    "retire": ("retired", "history", ""),
    "retry": ("retried", "rotate-cw", ""),
}
# What an event was about, in the order in which it is looked for.
_NAMES: Final = (
    "secretKey",
    "name",
    "slug",
    "email",
    "emails",
    "username",
    "scope",
    "clientSecretDescription",
    "identityName",
    "groupName",
    "identityId",
    "userId",
    "organizationId",
)
_MOST: Final = 120  # characters of a name


class Sentence(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, in the words after the actor's name."""

    icon: str
    tone: str
    did: str  # "made the identity"
    what: str  # the name of it
    place: str  # environment and folder, where there are any


def actor_name(event: AuditEvent) -> str:
    """Who did it: the name at that time, or what kind of actor it was."""
    if event.actor_name:
        return event.actor_name
    return {"platform": "Watchword", "nobody": "Somebody who is not known", "operator": "An operator"}.get(
        event.actor_kind, event.actor_id or event.actor_kind
    )


def sentence(event: AuditEvent) -> Sentence:
    """The sentence of an event."""
    verb, _, rest = event.event.partition("-")
    metadata = event.metadata
    place = " ".join(str(metadata[field]) for field in ("environment", "secretPath") if metadata.get(field))
    if event.event.startswith("login") and event.event.endswith("-failed"):
        why = str(metadata.get("reason") or metadata.get("message") or rest.removesuffix("-failed"))
        return Sentence(icon="circle-x", tone="bad", did="was refused:", what=_words(why), place=place)
    if event.event.startswith("login-identity-"):
        method = event.event.removeprefix("login-identity-")
        return Sentence(icon="key-round", tone="", did="logged in with", what=method, place=place)
    if event.event == "login-user":
        return Sentence(icon="key-round", tone="", did="signed in", what="", place="")
    did, icon, tone = _VERBS.get(verb, ("", "info", ""))
    words = _words(rest) if did else _words(event.event)
    return Sentence(icon=icon, tone=tone, did=f"{did} {words}".strip(), what=_name(metadata), place=place)


def _words(text: str) -> str:
    return text.replace("-", " ").replace("_", " ")[:_MOST]


def _name(metadata: Mapping[str, Any]) -> str:
    for field in _NAMES:
        value = metadata.get(field)
        if isinstance(value, str) and value:
            return value[:_MOST]
        if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
            more = f" and {len(value) - 3} more" if len(value) > 3 else ""
            return (", ".join(value[:3]))[:_MOST] + more
    numbers = [(name, value) for name, value in metadata.items() if name.startswith("numberOf") and value is not None]
    return ", ".join(str(value) for _, value in numbers)
