"""Custom roles of projects in the three generations of their paths."""

from watchword.http.access.roles_wire import RoleInList, RoleOut, RoleReply, RolesReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.services.access import roles
from watchword.services.context import Ctx
from watchword.services.scope_refs import ScopeRef

routes = Routes("project roles", is_compressed=True)
_V1 = "/api/v1/workspace/{project_slug}/roles"
_V2 = "/api/v2/workspace/{project_id}/roles"
_NEW = "/api/v1/projects/{project_id}/roles"


@routes.get("/api/v1/projects/roles/{role_id}", USER, IDENTITY)
async def role_by_id(ctx: Ctx, role_id: str) -> RoleReply:
    """Read a custom project role by its id alone."""
    return RoleReply(role=RoleOut.of(await roles.of_any_project(ctx, role_id)))


@routes.post(_NEW, USER, IDENTITY)
@routes.post(_V2, USER, IDENTITY)
async def create_role(ctx: Ctx, project_id: str, body: roles.CreateRole) -> RoleReply:
    """Create a custom role of a project."""
    return RoleReply(role=RoleOut.of(await roles.create(ctx, ScopeRef(project_id=project_id), body)))


@routes.get(_NEW, USER, IDENTITY)
@routes.get(_V2, USER, IDENTITY)
async def list_roles(ctx: Ctx, project_id: str) -> RolesReply:
    """List the roles of a project, built-in ones first."""
    return RolesReply(roles=[RoleInList.of(role) for role in await roles.every(ctx, ScopeRef(project_id=project_id))])


@routes.get(_NEW + "/slug/{role_slug}", USER, IDENTITY)
@routes.get(_V2 + "/slug/{role_slug}", USER, IDENTITY)
async def role_by_slug(ctx: Ctx, project_id: str, role_slug: str) -> RoleReply:
    """Read a role of a project by slug."""
    return RoleReply(role=RoleOut.of(await roles.by_slug(ctx, ScopeRef(project_id=project_id), role_slug)))


@routes.get(_NEW + "/{role_id}", USER, IDENTITY)
@routes.get(_V2 + "/{role_id}", USER, IDENTITY)
async def get_role(ctx: Ctx, project_id: str, role_id: str) -> RoleReply:
    """Read a role of a project; built-in ones have fixed ids."""
    return RoleReply(role=RoleOut.of(await roles.get(ctx, ScopeRef(project_id=project_id), role_id)))


@routes.patch(_NEW + "/{role_id}", USER, IDENTITY)
@routes.patch(_V2 + "/{role_id}", USER, IDENTITY)
async def update_role(ctx: Ctx, project_id: str, role_id: str, body: roles.UpdateRole) -> RoleReply:
    """Change a custom role of a project."""
    return RoleReply(role=RoleOut.of(await roles.update(ctx, ScopeRef(project_id=project_id), role_id, body)))


@routes.delete(_NEW + "/{role_id}", USER, IDENTITY)
@routes.delete(_V2 + "/{role_id}", USER, IDENTITY)
async def delete_role(ctx: Ctx, project_id: str, role_id: str) -> RoleReply:
    """Delete a custom role that nobody holds."""
    return RoleReply(role=RoleOut.of(await roles.remove(ctx, ScopeRef(project_id=project_id), role_id)))


@routes.post(_V1, USER, IDENTITY)
async def create_by_project_slug(ctx: Ctx, project_slug: str, body: roles.CreateRole) -> RoleReply:
    """Create a custom role of the project with this slug."""
    return RoleReply(role=RoleOut.of(await roles.create(ctx, ScopeRef(project_slug=project_slug), body)))


@routes.get(_V1, USER, IDENTITY)
async def list_by_project_slug(ctx: Ctx, project_slug: str) -> RolesReply:
    """List the roles of the project with this slug, built-in ones first."""
    return RolesReply(
        roles=[RoleInList.of(role) for role in await roles.every(ctx, ScopeRef(project_slug=project_slug))]
    )


@routes.get(_V1 + "/slug/{role_slug}", USER, IDENTITY)
async def role_by_slugs(ctx: Ctx, project_slug: str, role_slug: str) -> RoleReply:
    """Read a role by its slug and the project's."""
    return RoleReply(role=RoleOut.of(await roles.by_slug(ctx, ScopeRef(project_slug=project_slug), role_slug)))


@routes.patch(_V1 + "/{role_id}", USER, IDENTITY)
async def update_by_project_slug(ctx: Ctx, project_slug: str, role_id: str, body: roles.UpdateRole) -> RoleReply:
    """Change a custom role of the project with this slug."""
    return RoleReply(role=RoleOut.of(await roles.update(ctx, ScopeRef(project_slug=project_slug), role_id, body)))


@routes.delete(_V1 + "/{role_id}", USER, IDENTITY)
async def delete_by_project_slug(ctx: Ctx, project_slug: str, role_id: str) -> RoleReply:
    """Delete a custom role that nobody holds."""
    return RoleReply(role=RoleOut.of(await roles.remove(ctx, ScopeRef(project_slug=project_slug), role_id)))
