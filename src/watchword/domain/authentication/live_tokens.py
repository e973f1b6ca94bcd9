"""Live tokens of an identity: what is known of them, and which are live.

What a login stores of its token stands in its audit event. A token that has a row (a name, a use limit, a renewal
beyond its first end) is known from that.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from watchword.domain.audit.records import AuditEvent
from watchword.domain.authentication.records import AccessToken, Revocation

# What the audit event of a login says of its token, beside `identityAccessTokenId` and `clientSecretId`.
ENDS_AT = "tokenExpiresAt"  # ms: the end without a renewal
GENERATION = "tokenGeneration"
SIGNED_WITH = "signingKeyId"
LOGIN_EVENT = "login-identity-"  # and the slug of the method; `-failed` follows for one that was refused


class LiveToken(msgspec.Struct, frozen=True, kw_only=True):
    """One token and its renewals, as an operator sees it. Times are ms.

    `place` orders a list: the newest is the greatest. `generation` is None where it is not known, `key_id` where it
    does not matter: rows are marked when the key that signed their token is revoked.
    """

    id: str
    place: str
    identity_id: str
    org_id: str
    method: str
    name: str | None = None
    client_secret_id: str | None = None
    created_at: int
    address: str | None = None
    user_agent: str | None = None
    expires_at: int
    is_end_known: bool = True  # else `expires_at` is the latest moment at which it can be good
    last_renewed_at: int | None = None
    last_used_at: int | None = None
    uses: int = 0
    uses_limit: int = 0
    generation: int | None = None
    key_id: str | None = None
    is_revoked: bool = False

    @property
    def uses_left(self) -> int | None:
        """How many uses are left; None without a limit."""
        return max(0, self.uses_limit - self.uses) if self.uses_limit else None


def of_row(row: AccessToken) -> LiveToken:
    """The token of a row."""
    return LiveToken(
        id=row.id,
        place=row.id,
        identity_id=row.identity_id,
        org_id=row.org_id,
        method=row.method,
        name=row.name,
        client_secret_id=row.client_secret_id,
        created_at=row.created_at,
        address=row.address,
        user_agent=row.user_agent,
        expires_at=row.expires_at,
        last_renewed_at=row.last_renewed_at,
        last_used_at=row.last_used_at,
        uses=row.uses,
        uses_limit=row.uses_limit,
        generation=row.generation,
        is_revoked=row.is_revoked,
    )


def as_row(token: LiveToken) -> AccessToken:
    """The row of a token whose login is known from its audit event; its times to live are not known, and 0."""
    return AccessToken(
        id=token.id,
        identity_id=token.identity_id,
        org_id=token.org_id,
        method=token.method,
        client_secret_id=token.client_secret_id,
        ttl=0,
        max_ttl=0,
        expires_at=token.expires_at,
        generation=token.generation,
        address=token.address,
        user_agent=token.user_agent,
        created_at=token.created_at,
        updated_at=token.created_at,
    )


def of_login(event: AuditEvent, life: int) -> LiveToken | None:
    """The token that a login issued; None where the event is no login.

    `life` is the most seconds that the token of an event of an earlier version can live, which does not say how long.
    """
    facts = event.metadata
    id, method = facts.get("identityAccessTokenId"), event.event.removeprefix(LOGIN_EVENT)
    if not isinstance(id, str) or method == event.event or event.actor_id is None:
        return None
    return LiveToken(
        id=id,
        place=event.id,
        identity_id=event.actor_id,
        org_id=event.org_id or "",
        method=method,
        client_secret_id=_text(facts, "clientSecretId"),
        created_at=event.at,
        address=event.address,
        user_agent=event.user_agent or None,
        expires_at=_number(facts, ENDS_AT) or event.at + life * 1000,
        is_end_known=_number(facts, ENDS_AT) is not None,
        generation=_number(facts, GENERATION),
        key_id=_text(facts, SIGNED_WITH),
    )


def _text(facts: Mapping[str, Any], name: str) -> str | None:
    value = facts.get(name)
    return value if isinstance(value, str) else None


def _number(facts: Mapping[str, Any], name: str) -> int | None:
    value = facts.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


class TokenConditions(msgspec.Struct, frozen=True, kw_only=True):
    """What decides whether tokens of an identity are live.

    `methods` are those that are attached: for each the least generation of tokens that are good, and when it was
    attached (ms). `key_ids` are the signing keys that are good.
    """

    now: int
    methods: Mapping[str, tuple[int, int]]
    key_ids: Collection[str]


def revocation_keys(token_id: str, client_secret_id: str | None) -> tuple[str, ...]:
    """The keys of the revocations that could end a token: its own, and those of its client secret."""
    own = (f"token/{token_id}",)
    return (*own, f"secret/{client_secret_id}", issued_key(client_secret_id)) if client_secret_id else own


def issued_key(client_secret_id: str) -> str:
    """The key of the revocation of what was issued for a client secret, which itself stays good."""
    return f"issued/{client_secret_id}"


def is_ended(
    revocations: Mapping[str, Revocation], token_id: str, client_secret_id: str | None, generation: int | None
) -> bool:
    """Whether one of `revocations` ends the token; by its generation only where that is known."""
    if f"token/{token_id}" in revocations:
        return True
    if not client_secret_id:
        return False
    issued = revocations.get(issued_key(client_secret_id))
    return f"secret/{client_secret_id}" in revocations or (
        issued is not None and generation is not None and generation < issued.before
    )


def is_live(token: LiveToken, conditions: TokenConditions, revocations: Mapping[str, Revocation]) -> bool:
    """Whether the token would be accepted if its identity is in order: not ended, not expired, not used up."""
    if token.is_revoked or token.expires_at <= conditions.now or token.uses_left == 0:
        return False
    method = conditions.methods.get(token.method)
    if method is None:
        return False
    since, attached_at = method
    if token.created_at < attached_at if token.generation is None else token.generation < since:
        return False
    if token.key_id is not None and token.key_id not in conditions.key_ids:
        return False
    return not is_ended(revocations, token.id, token.client_secret_id, token.generation)
