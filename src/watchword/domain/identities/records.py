"""Machine identities, their auth methods, credentials and the revocations of tokens."""

from watchword.domain.actor import HolderKind
from watchword.domain.record import Record


class Identity(Record, frozen=True, kw_only=True):
    """A workload's account. With `project_id` it belongs to one project and is deleted with it."""

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
    token_generation: int = 1  # what tokens are issued under; counted on by the database
    tokens_since: int = 0  # tokens of an earlier generation are invalid
    created_at: int
    updated_at: int


class Metadata(Record, frozen=True, kw_only=True):
    """A key and value of an identity or a user; keys may repeat."""

    id: str
    actor_kind: HolderKind
    actor_id: str
    key: str
    value: str
    position: int = 0
