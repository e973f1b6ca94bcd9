"""Messages to receivers outside: how they look, how they are signed, and when they are tried again.

    change ──(same unit)──> delivery, waiting ──(worker, in order)──> delivered: the row is removed
                                   └── tried again, later and later ──> dead: listed, and sent again on request

A receiver gets every message at least once, and the messages for it in their order. A message keeps its id however
often it is sent, so that a receiver can tell a repetition.
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from watchword.domain.record import Record
from watchword.domain.secret import Secret

TargetKind = Literal["general", "slack", "microsoft-teams", "email"]
Purpose = Literal["project-webhook", "alert-channel"]
DeliveryState = Literal["waiting", "dead"]

SECRETS_MODIFIED: Final = "secrets.modified"
TEST: Final = "test"
MAX_WAITING: Final = 1_000  # messages for one target; of more the oldest are given up
MAX_DEAD: Final = 1_000  # messages of one target that are kept for somebody to look at
MAX_WAIT: Final = 24 * 3_600_000  # ms that a message waits for a receiver that fails
MAX_ATTEMPTS: Final = 12
_MAX_REFUSED: Final = 8  # attempts at a message that the receiver refuses with a status of 4xx
_FIRST_DELAY: Final = 5_000  # ms
_FACTOR: Final = 3
MAX_DELAY: Final = 6 * 3_600_000  # ms, from one attempt to the next
_JITTER: Final = 0.2
_TRANSIENT: Final = frozenset({408, 409, 425, 429})
_GONE: Final = 410
_MAX_RETRY_AFTER: Final = 3_600  # seconds
_STANDARD_PREFIX: Final = "whsec_"
_MAX_ERROR: Final = 300


class DeliveryTarget(Record, frozen=True, kw_only=True):
    """A receiver of messages: a project's webhook, or a channel for alerts of an organization.

    `sealed` holds its `Receiver`, `shown` what may be seen of the address. The fields from `failures` to `last_run_at`
    say how deliveries go; no cache holds them. `due_at` and `lease_ends_at` are times of the database's clock.
    """

    id: str
    org_id: str
    project_id: str | None = None
    purpose: Purpose
    kind: TargetKind
    name: str = ""
    sealed: bytes
    shown: str
    is_signed: bool = False
    environment_id: str | None = None
    secret_path: str = "/**"  # noqa: S105 - a pattern of paths
    events: tuple[str, ...] = ()
    options: dict[str, int] = msgspec.field(default_factory=dict)
    is_disabled: bool = False
    failures: int = 0  # in a row
    due_at: int | None = None  # not before this time, after a failure
    lease: str | None = None
    lease_ends_at: int | None = None
    last_status: str | None = None
    last_error: str | None = None
    last_run_at: int | None = None
    created_at: int
    updated_at: int


class Delivery(Record, frozen=True, kw_only=True):
    """A message for one target. `seq` is its place in the order, which the database gives.

    `waiting_since` is the time of the database's clock at the first failure of the target that the message has seen.
    """

    seq: int = 0
    id: str
    target_id: str
    org_id: str
    event: str
    body: dict[str, object]
    state: DeliveryState = "waiting"
    attempts: int = 0
    status: int | None = None
    error: str | None = None
    waiting_since: int | None = None
    attempted_at: int | None = None
    created_at: int


class Receiver(msgspec.Struct, frozen=True, kw_only=True):
    """What is sealed of a target: the URL with everything in it, the key that signs, the addresses of mails."""

    url: Secret = Secret("")
    key: Secret = Secret("")
    addresses: tuple[str, ...] = ()


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one attempt. `error` is empty when the receiver took the message; it never holds a URL."""

    status: int | None = None
    error: str = ""
    retry_after: int = 0  # seconds


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Messages of a target, and where the next page begins."""

    deliveries: Sequence[Delivery]
    next_cursor: int | None


class Message(msgspec.Struct, frozen=True):
    """A request body and its headers."""

    body: bytes
    headers: Mapping[str, str]


def delay(failures: int, outcome: Outcome, chance: float) -> int:
    """Milliseconds until the next attempt after `failures` in a row. `chance` is from 0 to 1 and spreads the load.

    A receiver may ask for more time with Retry-After (RFC 9110 section 10.2.3), up to an hour.
    """
    grown = min(MAX_DELAY, _FIRST_DELAY * _FACTOR ** min(max(failures, 1) - 1, 20))
    spread = int(grown * (1 - _JITTER + 2 * _JITTER * chance))
    return min(MAX_DELAY, max(spread, min(outcome.retry_after, _MAX_RETRY_AFTER) * 1000))


def is_over(attempts: int, outcome: Outcome) -> bool:
    """Whether a message is given up after so many attempts.

    At once where the receiver says 410 (gone), sooner where it refuses with another 4xx: the message will hardly be
    taken later, and those behind it wait.
    """
    status = outcome.status or 0
    if status == _GONE:
        return True
    most = _MAX_REFUSED if 400 <= status < 500 and status not in _TRANSIENT else MAX_ATTEMPTS
    return attempts >= most


def shown_url(url: str, kind: TargetKind) -> str:
    """What may be seen of a URL: nothing of a query, and of a chat's only the host, because its path is the secret."""
    parts = urlsplit(url)
    origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    if kind != "general":
        return f"{origin}/***"
    return f"{origin}{parts.path}{'?***' if parts.query else ''}"


def brief(error: str) -> str:
    """The reason in an error of the outbound client, without the URL before it and without addresses of hosts."""
    reason = error.partition(": ")[2] or error
    if "private, local or reserved address" in reason:
        return "the host has a private, local or reserved address, which this server does not connect to"
    return reason[:_MAX_ERROR]


def key_bytes(key: str) -> bytes:
    """The bytes of a signing key: its UTF-8, or what the base64 after `whsec_` stands for (Standard Webhooks)."""
    if key.startswith(_STANDARD_PREFIX):
        try:
            return base64.b64decode(key.removeprefix(_STANDARD_PREFIX), validate=True)
        except ValueError:
            pass
    return key.encode()


def signatures(key: str, id: str, now: int, body: bytes) -> dict[str, str]:
    """The headers that identify a message and prove who sent it; without a key only the first two.

    Two signatures, by HMAC-SHA-256: Standard Webhooks 1.0 signs `<id>.<seconds>.<body>`, in base64;
    `x-infisical-signature: t=<milliseconds>;<hex>` signs the body, which has the same moment as its `timestamp`.
    """
    headers = {"webhook-id": id, "webhook-timestamp": str(now // 1000)}
    if not key:
        return headers
    secret = key_bytes(key)
    standard = hmac.digest(secret, f"{id}.{now // 1000}.".encode() + body, hashlib.sha256)
    headers["webhook-signature"] = f"v1,{base64.b64encode(standard).decode()}"
    headers["x-infisical-signature"] = f"t={now};{hmac.new(key.encode(), body, hashlib.sha256).hexdigest()}"
    return headers


def chat_text(event: str, body: Mapping[str, Any]) -> str:
    """One sentence about an event, for a person."""
    project = body.get("project")
    if not isinstance(project, Mapping):
        data = body.get("data")
        return str(data.get("message", event)) if isinstance(data, Mapping) else event
    place = f"{project.get('environment') or 'all environments'}, {project.get('secretPath')}"
    what = "Test of a webhook" if event == TEST else "Secrets were changed"
    return f"{what}: project {project.get('projectName')} ({place})"


def mail_of(delivery: Delivery) -> tuple[str, str]:
    """The subject and the text of a mail about an alert: a sentence, then each occurrence in a paragraph."""
    sentence = "".join(c if c.isprintable() else " " for c in chat_text(delivery.event, delivery.body))
    data = delivery.body.get("data")
    items = data.get("items", []) if isinstance(data, Mapping) else []
    paragraphs = [
        "\n".join(f"{name}: {value}" for name, value in item.items() if value is not None)
        for item in items
        if isinstance(item, Mapping)
    ]
    return f"[Watchword] {sentence[:180]}", "\n\n".join([sentence, *paragraphs, f"Alert {delivery.id}"]) + "\n"


def message(target: DeliveryTarget, receiver: Receiver, delivery: Delivery, now: int) -> Message:
    """The request for a delivery, made and signed for this attempt; `now` in milliseconds since the epoch."""
    headers = {"content-type": "application/json"}
    text = chat_text(delivery.event, delivery.body)
    if target.kind == "slack":
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return Message(msgspec.json.encode({"text": escaped}), headers)
    if target.kind == "microsoft-teams":
        card = {
            "type": "AdaptiveCard",
            "version": "1.2",
            "body": [{"type": "TextBlock", "text": text, "wrap": True}],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        return Message(msgspec.json.encode({"type": "message", "attachments": [attachment]}), headers)
    if target.purpose == "alert-channel":
        headers["content-type"] = "application/cloudevents+json; charset=utf-8"
        body = msgspec.json.encode(delivery.body)
    else:
        body = msgspec.json.encode({"event": delivery.event, **delivery.body, "timestamp": now})
    return Message(body, headers | signatures(receiver.key.reveal(), delivery.id, now, body))


def sealed_text(receiver: Receiver) -> bytes:
    """What is sealed of a receiver."""
    return msgspec.json.encode([receiver.url.reveal(), receiver.key.reveal(), receiver.addresses])


def read_sealed(plain: bytes) -> Receiver:
    """The receiver that was sealed."""
    url, key, addresses = msgspec.json.decode(plain, type=tuple[str, str, tuple[str, ...]])
    return Receiver(url=Secret(url), key=Secret(key), addresses=addresses)
