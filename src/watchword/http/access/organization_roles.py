"""Custom roles of organizations, old routes (packed rules) and new ones."""

from typing import Any

from watchword.domain.access.abilities import pack
from watchword.http.access.roles_wire import PackedRoleOut, PackedRoleReply, RoleInList, RoleOut, RoleReply, RolesReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import in_pieces
from watchword.services.access import roles
from watchword.services.context import Ctx
from watchword.services.scope_refs import OWN_ORGANIZATION, ScopeRef
from watchword.services.timestamps import iso

routes = Routes("organization roles", is_compressed=True)
_NEW = "/api/v1/organization/roles"
_OLD = "/api/v1/organization/{organization_id}/roles"


@routes.post(_NEW, USER, IDENTITY)
async def create_role(ctx: Ctx, body: roles.CreateRole) -> RoleReply:
    """Create a custom role of the caller's organization."""
    return RoleReply(role=RoleOut.of(await roles.create(ctx, OWN_ORGANIZATION, body)))


@routes.get(_NEW, USER, IDENTITY)
async def list_roles(ctx: Ctx) -> RolesReply:
    """List the roles of the caller's organization, built-in ones first."""
    return RolesReply(roles=[RoleInList.of(role) for role in await roles.every(ctx, OWN_ORGANIZATION)])


@routes.get(_NEW + "/slug/{role_slug}", USER, IDENTITY)
async def role_by_slug(ctx: Ctx, role_slug: str) -> RoleReply:
    """Read a role of the caller's organization by slug."""
    return RoleReply(role=RoleOut.of(await roles.by_slug(ctx, OWN_ORGANIZATION, role_slug)))


@routes.get(_NEW + "/{role_id}", USER, IDENTITY)
async def get_role(ctx: Ctx, role_id: str) -> RoleReply:
    """Read a role of the caller's organization."""
    return RoleReply(role=RoleOut.of(await roles.get(ctx, OWN_ORGANIZATION, role_id)))


@routes.patch(_NEW + "/{role_id}", USER, IDENTITY)
async def update_role(ctx: Ctx, role_id: str, body: roles.UpdateRole) -> RoleReply:
    """Change a custom role of the caller's organization."""
    return RoleReply(role=RoleOut.of(await roles.update(ctx, OWN_ORGANIZATION, role_id, body)))


@routes.delete(_NEW + "/{role_id}", USER, IDENTITY)
async def delete_role(ctx: Ctx, role_id: str) -> RoleReply:
    """Delete a custom role that nobody holds."""
    return RoleReply(role=RoleOut.of(await roles.remove(ctx, OWN_ORGANIZATION, role_id)))


@routes.post(_OLD, USER, IDENTITY)
async def create_packed(ctx: Ctx, organization_id: str, body: roles.CreateRole) -> PackedRoleReply:
    """Create a custom role; rules are answered packed."""
    return PackedRoleReply(role=PackedRoleOut.of(await roles.create(ctx, ScopeRef(org_id=organization_id), body)))


@routes.get(_OLD, USER, IDENTITY)
async def list_packed(ctx: Ctx, organization_id: str) -> dict[str, Any]:
    """List all roles with packed rules, built-in ones first."""
    found = await roles.every(ctx, ScopeRef(org_id=organization_id), with_rules=True)
    return {"data": {"roles": await in_pieces(found, PackedRoleOut.of)}}


@routes.get(_OLD + "/{role_id}", USER, IDENTITY)
async def get_packed(ctx: Ctx, organization_id: str, role_id: str) -> PackedRoleReply:
    """Read a role with packed rules; built-in ones have fixed ids."""
    return PackedRoleReply(role=PackedRoleOut.of(await roles.get(ctx, ScopeRef(org_id=organization_id), role_id)))


@routes.patch(_OLD + "/{role_id}", USER, IDENTITY)
async def update_packed(ctx: Ctx, organization_id: str, role_id: str, body: roles.UpdateRole) -> PackedRoleReply:
    """Change a custom role; rules are answered packed."""
    return PackedRoleReply(
        role=PackedRoleOut.of(await roles.update(ctx, ScopeRef(org_id=organization_id), role_id, body))
    )


@routes.delete(_OLD + "/{role_id}", USER, IDENTITY)
async def delete_packed(ctx: Ctx, organization_id: str, role_id: str) -> PackedRoleReply:
    """Delete a custom role that nobody holds."""
    return PackedRoleReply(role=PackedRoleOut.of(await roles.remove(ctx, ScopeRef(org_id=organization_id), role_id)))


@routes.get("/api/v1/organization/{organization_id}/permissions", USER)
async def own_permissions(ctx: Ctx, organization_id: str) -> dict[str, Any]:
    """The caller's own rights in an organization, packed."""
    membership, role, rules = await roles.own_permissions(ctx, organization_id)
    own = (
        None
        if membership is None
        else {
            "id": membership.id,
            "userId": membership.actor_id,
            "orgId": membership.org_id,
            "role": role,
            "status": "accepted",
            "isActive": membership.is_active,
            "createdAt": iso(membership.created_at),
            "updatedAt": iso(membership.updated_at),
        }
    )
    return {"membership": own, "permissions": pack(rules)}
