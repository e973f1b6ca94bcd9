"""Custom roles of projects in the three generations of their paths."""

from watchword.http.access.roles_wire import RoleInList, RoleOut, RoleReply, RolesReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.services.access import roles
from watchword.services.context import Ctx
from watchword.services.projects import projects
from watchword.services.scope_refs import ScopeRef

routes = Routes("project roles", is_compressed=True)
_V1 = "/api/v1/workspace/{project_slug}/roles"
_V2 = "/api/v2/workspace/{project_id}/roles"
_NEW = "/api/v1/projects/{project_id}/roles"
_BY_SLUG = {"project_id": ("project_slug", projects.id_of)}


@routes.get("/api/v1/projects/roles/{role_id}", USER, IDENTITY)
async def role_by_id(ctx: Ctx, role_id: str) -> RoleReply:
    """Read a custom project role by its id alone."""
    return RoleReply(role=RoleOut.of(await roles.of_any_project(ctx, role_id)))


@routes.older("POST", _V1, USER, IDENTITY, found=_BY_SLUG)
@routes.older("POST", _V2, USER, IDENTITY)
@routes.post(_NEW, USER, IDENTITY)
async def create_role(ctx: Ctx, project_id: str, body: roles.CreateRole) -> RoleReply:
    """Create a custom role of a project."""
    return RoleReply(role=RoleOut.of(await roles.create(ctx, ScopeRef(project_id=project_id), body)))


@routes.older("GET", _V1, USER, IDENTITY, found=_BY_SLUG)
@routes.older("GET", _V2, USER, IDENTITY)
@routes.get(_NEW, USER, IDENTITY)
async def list_roles(ctx: Ctx, project_id: str) -> RolesReply:
    """List the roles of a project, built-in ones first."""
    return RolesReply(roles=[RoleInList.of(role) for role in await roles.every(ctx, ScopeRef(project_id=project_id))])


@routes.older("GET", _V1 + "/slug/{role_slug}", USER, IDENTITY, found=_BY_SLUG)
@routes.older("GET", _V2 + "/slug/{role_slug}", USER, IDENTITY)
@routes.get(_NEW + "/slug/{role_slug}", USER, IDENTITY)
async def role_by_slug(ctx: Ctx, project_id: str, role_slug: str) -> RoleReply:
    """Read a role of a project by slug."""
    return RoleReply(role=RoleOut.of(await roles.by_slug(ctx, ScopeRef(project_id=project_id), role_slug)))


@routes.older("GET", _V2 + "/{role_id}", USER, IDENTITY)
@routes.get(_NEW + "/{role_id}", USER, IDENTITY)
async def get_role(ctx: Ctx, project_id: str, role_id: str) -> RoleReply:
    """Read a role of a project; built-in ones have fixed ids."""
    return RoleReply(role=RoleOut.of(await roles.get(ctx, ScopeRef(project_id=project_id), role_id)))


@routes.older("PATCH", _V1 + "/{role_id}", USER, IDENTITY, found=_BY_SLUG)
@routes.older("PATCH", _V2 + "/{role_id}", USER, IDENTITY)
@routes.patch(_NEW + "/{role_id}", USER, IDENTITY)
async def update_role(ctx: Ctx, project_id: str, role_id: str, body: roles.UpdateRole) -> RoleReply:
    """Change a custom role of a project."""
    return RoleReply(role=RoleOut.of(await roles.update(ctx, ScopeRef(project_id=project_id), role_id, body)))


@routes.older("DELETE", _V1 + "/{role_id}", USER, IDENTITY, found=_BY_SLUG)
@routes.older("DELETE", _V2 + "/{role_id}", USER, IDENTITY)
@routes.delete(_NEW + "/{role_id}", USER, IDENTITY)
async def delete_role(ctx: Ctx, project_id: str, role_id: str) -> RoleReply:
    """Delete a custom role that nobody holds."""
    return RoleReply(role=RoleOut.of(await roles.remove(ctx, ScopeRef(project_id=project_id), role_id)))
