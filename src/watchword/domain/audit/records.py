"""The records of audit events and of refused logins."""

from watchword.domain.actor import ActorKind
from watchword.domain.record import Record


class AuditEvent(Record, frozen=True, kw_only=True):
    """One audited act. `metadata` holds no secret and no credential."""

    id: str
    at: int
    org_id: str | None = None
    project_id: str | None = None
    actor_kind: ActorKind
    actor_id: str | None = None
    actor_name: str | None = None
    event: str
    metadata: dict[str, object]
    address: str | None = None
    user_agent: str | None = None
    request_id: str
    expires_at: int | None = None


class Denial(Record, frozen=True, kw_only=True):
    """The record of one refused login, for an operator, by request id. It never holds a secret.

    `times` are the refusals alike within a minute that are counted with it, the last one of them `last_at`.
    """

    request_id: str
    at: int
    org_id: str | None = None
    identity_id: str | None = None
    method: str
    reason: str
    message: str
    facts: dict[str, object]
    checks: tuple[dict[str, object], ...]
    address: str | None = None
    user_agent: str | None = None
    times: int = 1
    last_at: int | None = None
