"""The records of authentication: method configurations, credentials, revocations, lockouts, spent proofs."""

from watchword.domain.bounds import IpRange
from watchword.domain.record import Record


class MethodConfig(Record, frozen=True, kw_only=True):
    """The configuration of one auth method on one identity. Sealed fields of `config` are envelopes.

    Tokens of a generation before `tokens_since` were issued by the method as it was attached earlier, and are invalid.
    `longest_life` is the most seconds that a token it ever issued lives without being renewed; None: only the maximum
    age bounds it.
    """

    id: str
    identity_id: str
    method: str
    locator: str | None = None
    config: dict[str, object]
    ttl: int
    max_ttl: int
    period: int
    uses_limit: int
    trusted_ips: tuple[IpRange, ...]
    lockout_enabled: bool = True
    lockout_threshold: int = 3
    lockout_duration: int = 300
    lockout_reset: int = 30
    template_id: str | None = None
    tokens_since: int = 0
    longest_life: int | None = None
    created_at: int
    updated_at: int


class ClientSecret(Record, frozen=True, kw_only=True):
    """A credential of Universal Auth.

    `hash` is a keyed hash; `ttl` is in seconds, 0 forever; `uses_limit` 0 is unlimited.
    """

    id: str
    identity_id: str
    config_id: str
    description: str
    prefix: str
    hash: bytes
    hash_version: int = 1
    ttl: int
    uses: int = 0
    uses_limit: int = 0
    is_revoked: bool = False
    last_used_at: int | None = None
    created_at: int
    updated_at: int


class AccessToken(Record, frozen=True, kw_only=True):
    """A token that needs a row. Times to live are in seconds.

    It has a name (Token Auth) or a use limit, or it was renewed beyond its first end, or it outlives the audit event
    of its login. `generation` is None in rows of earlier versions. `address` and `user_agent` are those of the login,
    where its audit event is gone; for a token without a login, those of who made it.
    """

    id: str
    identity_id: str
    org_id: str
    method: str
    name: str | None = None
    client_secret_id: str | None = None
    ttl: int
    max_ttl: int
    period: int = 0
    uses: int = 0
    uses_limit: int = 0
    is_revoked: bool = False
    last_used_at: int | None = None
    last_renewed_at: int | None = None
    expires_at: int
    generation: int | None = None
    address: str | None = None
    user_agent: str | None = None
    created_at: int
    updated_at: int


class Revocation(Record, frozen=True, kw_only=True):
    """The end of the token or the client secret that `key` names, or of what was issued for a client secret until now.

    The row may be deleted after `expires_at` (ms), when no token that it names can be valid.

    `before` is 0 but in two cases. Where `key` says `issued/`, it is the least generation of tokens that are still
    good. In rows of an earlier version it is a time (ms), and all tokens that `key` matches and that were issued until
    then have ended.
    """

    key: str
    identity_id: str
    before: int = 0
    expires_at: int


class Lockout(Record, frozen=True, kw_only=True):
    """The failed-login counter of one key; see `domain/authentication/lockout.py`."""

    key: str
    identity_id: str
    failures: int
    window_ends_at: int
    locked_until: int


class SpentProof(Record, frozen=True, kw_only=True):
    """A proof that was used and may not be used again until it would have expired anyway."""

    key: str
    expires_at: int


class MethodTemplate(Record, frozen=True, kw_only=True):
    """Settings of an auth method shared by several identities."""

    id: str
    org_id: str
    name: str
    method: str
    fields: dict[str, object]
    created_at: int
    updated_at: int
