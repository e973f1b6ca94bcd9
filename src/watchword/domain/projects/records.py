"""Projects and what belongs to them: environments, folders, tags, imports, service tokens."""

from watchword.domain.actor import ActorKind
from watchword.domain.record import Record


class Project(Record, frozen=True, kw_only=True):
    """A set of environments, folders and secrets that people and identities are members of."""

    id: str
    org_id: str
    name: str
    slug: str
    description: str | None = None
    kind: str = "secret-manager"
    auto_capitalization: bool = True
    has_delete_protection: bool = False
    version_limit: int = 10
    audit_retention_days: int | None = None
    created_at: int
    updated_at: int


class Environment(Record, frozen=True, kw_only=True):
    """A named copy of the folder tree (dev, staging, prod)."""

    id: str
    project_id: str
    name: str
    slug: str
    position: int
    deleted_at: int | None = None
    created_at: int
    updated_at: int


class Folder(Record, frozen=True, kw_only=True):
    """A place for secrets. `path` is absolute; the root's name is `root` and its path `/`."""

    id: str
    project_id: str
    environment_id: str
    parent_id: str | None = None
    name: str
    path: str
    description: str | None = None
    version: int = 1
    last_secret_modified_at: int | None = None
    created_at: int
    updated_at: int


class Tag(Record, frozen=True, kw_only=True):
    """A label for secrets."""

    id: str
    project_id: str
    slug: str
    name: str
    color: str
    created_by: str | None = None
    created_by_kind: ActorKind = "user"
    created_at: int
    updated_at: int


class ServiceToken(Record, frozen=True, kw_only=True):
    """The old, project-bound credential; `hash` is a keyed hash."""

    id: str
    project_id: str
    name: str
    scopes: tuple[dict[str, str], ...]
    permissions: tuple[str, ...]
    hash: bytes
    hash_version: int = 1
    encrypted_key: str | None = None
    iv: str | None = None
    tag: str | None = None
    created_by: str
    last_used_at: int | None = None
    expires_at: int | None = None
    created_at: int
    updated_at: int
