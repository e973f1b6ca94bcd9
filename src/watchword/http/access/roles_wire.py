"""Response structs of roles: rule objects, or packed arrays on the oldest organization routes."""

from collections.abc import Mapping, Sequence
from typing import Any

from watchword.domain.access.abilities import pack, stored_rules
from watchword.domain.access.records import Role
from watchword.http.wire import Out, rules_out
from watchword.services.timestamps import iso


class RoleInList(Out, frozen=True, kw_only=True, omit_defaults=True):
    """A role without its rules; a built-in one is as old as its place."""

    id: str
    name: str
    description: str | None
    slug: str
    created_at: str
    updated_at: str
    org_id: str | None = None
    project_id: str | None = None

    @classmethod
    def of(cls, role: Role) -> "RoleInList":
        return cls(**_fields(role))


class RoleOut(Out, frozen=True, kw_only=True, omit_defaults=True):
    """A role with its rules."""

    id: str
    name: str
    description: str | None
    slug: str
    permissions: Sequence[Mapping[str, Any]]
    created_at: str
    updated_at: str
    org_id: str | None = None
    project_id: str | None = None

    @classmethod
    def of(cls, role: Role) -> "RoleOut":
        return cls(permissions=rules_out(role.permissions), **_fields(role))


class PackedRoleOut(Out, frozen=True, kw_only=True):
    """A role of an organization with packed rules."""

    id: str
    name: str
    description: str | None
    slug: str
    permissions: Sequence[Sequence[Any]]
    created_at: str
    updated_at: str
    org_id: str

    @classmethod
    def of(cls, role: Role) -> "PackedRoleOut":
        return cls(permissions=pack(stored_rules("organization", role.permissions)), **_fields(role))


def _fields(role: Role) -> dict[str, Any]:
    place = {"project_id": role.project_id} if role.project_id else {"org_id": role.org_id}
    return {
        "id": role.id,
        "name": role.name,
        "description": role.description,
        "slug": role.slug,
        "created_at": iso(role.created_at),
        "updated_at": iso(role.updated_at),
        **place,
    }


class RoleReply(Out, frozen=True, kw_only=True):
    role: RoleOut


class RolesReply(Out, frozen=True, kw_only=True):
    roles: Sequence[RoleInList]


class PackedRoleReply(Out, frozen=True, kw_only=True):
    role: PackedRoleOut
