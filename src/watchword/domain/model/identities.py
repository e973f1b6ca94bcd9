"""Machine identities, their auth methods, credentials and the marks that end tokens."""

from watchword.domain.bounds import IpRange
from watchword.domain.model import Record


class Identity(Record, frozen=True, kw_only=True):
    """A workload's account. With `project_id` it belongs to one project and lives and dies with it."""

    id: str
    org_id: str
    project_id: str | None = None
    name: str
    has_delete_protection: bool = False
    is_disabled: bool = False
    is_instance_admin: bool = False
    expires_at: int | None = None
    owner: str | None = None
    last_login_method: str | None = None
    last_login_at: int | None = None
    last_login_address: str | None = None
    created_at: int
    updated_at: int


class Metadata(Record, frozen=True, kw_only=True):
    """A key and value of an identity or a user; keys may repeat."""

    id: str
    actor_kind: str
    actor_id: str
    key: str
    value: str
    position: int = 0


class MethodConfig(Record, frozen=True, kw_only=True):
    """The configuration of one auth method on one identity. Sealed fields of `config` are envelopes."""

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
    created_at: int
    updated_at: int


class ClientSecret(Record, frozen=True, kw_only=True):
    """A credential of Universal Auth. `hash` is a keyed hash; `ttl` is in seconds, 0 for ever; `uses_limit` 0 is unlimited."""

    id: str
    identity_id: str
    config_id: str
    description: str
    prefix: str
    hash: bytes
    ttl: int
    uses: int = 0
    uses_limit: int = 0
    is_revoked: bool = False
    last_used_at: int | None = None
    created_at: int
    updated_at: int


class AccessToken(Record, frozen=True, kw_only=True):
    """A token that needs a row: it has a name (Token Auth) or a use limit. Times to live are in seconds."""

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
    created_at: int
    updated_at: int


class Revocation(Record, frozen=True, kw_only=True):
    """Tokens that match `key` and were first issued at or before `before` (ms) are dead; the mark may go after `expires_at`."""

    key: str
    identity_id: str
    before: int
    expires_at: int


class Lockout(Record, frozen=True, kw_only=True):
    """The failed-login counter of one key; see `domain/lockout.py`."""

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
