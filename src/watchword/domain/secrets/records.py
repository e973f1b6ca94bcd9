"""Secrets and their versions, sealed."""

from typing import Literal, TypeAlias

from watchword.domain.actor import ActorKind
from watchword.domain.record import Record

SecretKind: TypeAlias = Literal["shared", "personal"]


class SecretMetadata(Record, frozen=True, kw_only=True):
    """One key and value on a secret; `value` of an encrypted entry is an envelope in base64."""

    key: str
    value: str
    is_encrypted: bool = False


class StoredSecret(Record, frozen=True, kw_only=True):
    """One secret of a folder.

    `value` and `comment` are envelopes bound to the secret's id and version.
    """

    id: str
    project_id: str
    folder_id: str
    key: str
    kind: SecretKind = "shared"
    user_id: str | None = None
    version: int = 1
    value: bytes
    comment: bytes | None = None
    skip_multiline_encoding: bool | None = None
    reminder_note: str | None = None
    reminder_repeat_days: int | None = None
    metadata: tuple[SecretMetadata, ...] = ()
    tag_ids: tuple[str, ...] = ()
    references: tuple[tuple[str, str, str], ...] = ()
    actor_kind: ActorKind | None = None
    actor_id: str | None = None
    created_at: int
    updated_at: int


class SecretVersion(Record, frozen=True, kw_only=True):
    """What a secret was at one version; kept up to the project's limit."""

    id: str
    secret_id: str
    project_id: str
    folder_id: str
    version: int
    key: str
    kind: SecretKind
    user_id: str | None = None
    value: bytes
    comment: bytes | None = None
    skip_multiline_encoding: bool | None = None
    metadata: tuple[SecretMetadata, ...] = ()
    tag_ids: tuple[str, ...] = ()
    actor_kind: ActorKind | None = None
    actor_id: str | None = None
    created_at: int


class SecretImport(Record, frozen=True, kw_only=True):
    """A folder shows the secrets of another place as its own; later positions win."""

    id: str
    folder_id: str
    project_id: str
    source_environment_id: str
    source_path: str
    position: int
    is_replication: bool = False
    version: int = 1
    created_at: int
    updated_at: int


class SecretReplication(Record, frozen=True, kw_only=True):
    """How the copies of a replicated import stand.

    `watched` are the version keys that the copies depend on, `fingerprint` a hash of their versions at the last copy,
    and `due_at` (ms) when the creator's rights change next without a write. `status` says why not everything could be
    copied.
    """

    import_id: str
    creator_kind: ActorKind
    creator_id: str
    watched: tuple[str, ...] = ()
    fingerprint: str | None = None
    due_at: int | None = None
    status: str | None = None
    is_success: bool | None = None
    replicated_at: int | None = None
    created_at: int
    updated_at: int
