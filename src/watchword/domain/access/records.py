"""Memberships, roles and privileges: who holds what, where."""

from watchword.domain.actor import HolderKind
from watchword.domain.record import Record


class Role(Record, frozen=True, kw_only=True):
    """A custom role of an organization (`project_id` is None) or of a project."""

    id: str
    org_id: str
    project_id: str | None = None
    slug: str
    name: str
    description: str | None = None
    permissions: tuple[dict[str, object], ...]
    created_at: int
    updated_at: int


class Membership(Record, frozen=True, kw_only=True):
    """An actor (`user`, `identity` or `group`) in an organization (`project_id` is None) or a project."""

    id: str
    org_id: str
    project_id: str | None = None
    actor_kind: HolderKind
    actor_id: str
    is_active: bool = True
    last_login_method: str | None = None
    last_login_at: int | None = None
    created_at: int
    updated_at: int


class MembershipRole(Record, frozen=True, kw_only=True):
    """One role of a membership; temporary ones hold from `starts_at` until just before `ends_at` (ms)."""

    id: str
    membership_id: str
    role: str
    custom_role_id: str | None = None
    is_temporary: bool = False
    temporary_mode: str | None = None
    temporary_range: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    position: int = 0
    created_at: int
    updated_at: int


class Privilege(Record, frozen=True, kw_only=True):
    """Rules given to one actor in one project beyond its roles."""

    id: str
    project_id: str
    actor_kind: HolderKind
    actor_id: str
    slug: str
    permissions: tuple[dict[str, object], ...]
    folder_id: str | None = None
    is_temporary: bool = False
    temporary_mode: str | None = None
    temporary_range: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None
    created_at: int
    updated_at: int
