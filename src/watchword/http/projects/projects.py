"""Projects in both generations of paths, `/workspace` and `/projects`."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.projects.records import Environment, Project
from watchword.http.routing import IDENTITY, SERVICE, USER, Routes
from watchword.http.wire import HeldRoleOut, Out
from watchword.services.context import Ctx
from watchword.services.projects import projects
from watchword.services.timestamps import iso

routes = Routes("projects", is_compressed=True)


class ProjectOut(Out, frozen=True, kw_only=True):
    """A project on its own, without its environments."""

    id: str
    name: str
    slug: str
    auto_capitalization: bool
    org_id: str
    created_at: str
    updated_at: str
    version: int = 3
    upgrade_status: str | None = None
    pit_version_limit: int
    kms_certificate_key_id: str | None = None
    audit_logs_retention_days: int | None
    description: str | None
    type: str
    has_delete_protection: bool

    @classmethod
    def of(cls, project: Project) -> "ProjectOut":
        """The project as it is answered."""
        return cls(**_columns(project))


class EnvironmentName(Out, frozen=True, kw_only=True):
    """An environment as a part of its project."""

    name: str
    slug: str
    id: str

    @classmethod
    def of(cls, environment: Environment) -> "EnvironmentName":
        """The environment as its project shows it."""
        return cls(name=environment.name, slug=environment.slug, id=environment.id)


class WholeProjectOut(ProjectOut, frozen=True, kw_only=True):
    """A project with its environments in their order."""

    also_id: str = msgspec.field(name="_id")
    environments: Sequence[EnvironmentName]
    roles: Sequence[HeldRoleOut] | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def whole(cls, details: projects.ProjectDetails) -> "WholeProjectOut":
        """The project as it is answered."""
        return cls(
            **_columns(details.project),
            also_id=details.project.id,
            environments=[EnvironmentName.of(environment) for environment in details.environments],
            roles=msgspec.UNSET
            if details.roles is None
            else [HeldRoleOut.of(role, custom) for role, custom in details.roles],
        )


def _columns(project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "slug": project.slug,
        "auto_capitalization": project.auto_capitalization,
        "org_id": project.org_id,
        "created_at": iso(project.created_at),
        "updated_at": iso(project.updated_at),
        "pit_version_limit": project.version_limit,
        "audit_logs_retention_days": project.audit_retention_days,
        "description": project.description,
        "type": project.kind,
        "has_delete_protection": project.has_delete_protection,
    }


class WholeReply(Out, frozen=True, kw_only=True):
    """A project with its environments."""

    project: WholeProjectOut


class WholeWorkspaceReply(WholeReply, frozen=True, kw_only=True):
    """A project with its environments, under its older name."""

    project: WholeProjectOut = msgspec.field(name="workspace")


class ProjectReply(Out, frozen=True, kw_only=True):
    """A project."""

    project: ProjectOut


class WorkspaceReply(ProjectReply, frozen=True, kw_only=True):
    """A project, under its older name."""

    project: ProjectOut = msgspec.field(name="workspace")


class ChangedProject(Out, frozen=True, kw_only=True):
    """A project after a change."""

    message: str
    project: ProjectOut


class ChangedWorkspace(ChangedProject, frozen=True, kw_only=True):
    """A project after a change, under its older name."""

    project: ProjectOut = msgspec.field(name="workspace")


class ProjectsReply(Out, frozen=True, kw_only=True):
    """Projects with their environments."""

    projects: Sequence[WholeProjectOut]


class WorkspacesReply(ProjectsReply, frozen=True, kw_only=True):
    """Projects with their environments, under their older name."""

    projects: Sequence[WholeProjectOut] = msgspec.field(name="workspaces")


class ListQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which projects, and whether with the caller's roles."""

    include_roles: bool = False
    type: str | None = None


class NameBody(msgspec.Struct, frozen=True, kw_only=True):
    """The new name."""

    name: projects.ProjectName


class CapitalizationBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether names of secrets are proposed in capitals."""

    auto_capitalization: bool


_BY_SLUG = {"project_id": ("slug", projects.id_of)}  # how an older path names a project


# --- /api/v1/projects, and the older names of the same acts


@routes.older("POST", "/api/v2/workspace", USER, IDENTITY)
@routes.post("/api/v1/projects", USER, IDENTITY)
async def create_project(ctx: Ctx, body: projects.CreateProject) -> WholeReply:
    """Create a project with its environments; the caller becomes its administrator."""
    return WholeReply(project=WholeProjectOut.whole(await projects.create(ctx, body)))


@routes.older("GET", "/api/v1/workspace", USER, IDENTITY, reply=WorkspacesReply)
@routes.get("/api/v1/projects", USER, IDENTITY)
async def list_projects(ctx: Ctx, query: ListQuery) -> ProjectsReply:
    """List the projects that the caller is a member of."""
    mine = await projects.mine(ctx, kind=query.type, with_roles=query.include_roles)
    return ProjectsReply(projects=[WholeProjectOut.whole(project) for project in mine])


@routes.older("GET", "/api/v1/workspace/{project_id}", USER, SERVICE, IDENTITY, reply=WholeWorkspaceReply)
@routes.get("/api/v1/projects/{project_id}", USER, SERVICE, IDENTITY)
async def get_project(ctx: Ctx, project_id: str) -> WholeReply:
    """Read a project with its environments."""
    return WholeReply(project=WholeProjectOut.whole(await projects.get(ctx, project_id)))


@routes.older("GET", "/api/v1/workspace/slug/{slug}", USER, SERVICE, IDENTITY)
@routes.older("GET", "/api/v2/workspace/{slug}", USER, SERVICE, IDENTITY)
@routes.get("/api/v1/projects/slug/{slug}", USER, SERVICE, IDENTITY)
async def get_project_by_slug(ctx: Ctx, slug: str) -> WholeProjectOut:
    """Read a project by its slug in the caller's organization."""
    return WholeProjectOut.whole(await projects.get(ctx, await projects.id_of(ctx, slug)))


@routes.older("PATCH", "/api/v1/workspace/{project_id}", USER, IDENTITY, reply=WorkspaceReply)
@routes.patch("/api/v1/projects/{project_id}", USER, IDENTITY)
async def update_project(ctx: Ctx, project_id: str, body: projects.UpdateProject) -> ProjectReply:
    """Change a project's settings."""
    return ProjectReply(project=ProjectOut.of(await projects.update(ctx, project_id, body)))


@routes.older("DELETE", "/api/v1/workspace/{project_id}", USER, IDENTITY, reply=WorkspaceReply)
@routes.delete("/api/v1/projects/{project_id}", USER, IDENTITY)
async def delete_project(ctx: Ctx, project_id: str) -> ProjectReply:
    """Delete a project with everything in it."""
    return ProjectReply(project=ProjectOut.of(await projects.remove(ctx, project_id)))


@routes.older(
    "PUT", "/api/v1/workspace/{slug}/audit-logs-retention", USER, IDENTITY, reply=ChangedWorkspace, found=_BY_SLUG
)
@routes.put("/api/v1/projects/{project_id}/audit-logs-retention", USER, IDENTITY)
async def retain_project_audit(ctx: Ctx, project_id: str, body: projects.Retention) -> ChangedProject:
    """Set how many days audit events of a project are kept."""
    changed = await projects.retain_audit(ctx, project_id, body)
    return ChangedProject(
        message="Successfully updated project's audit logs retention period", project=ProjectOut.of(changed)
    )


@routes.older("GET", "/api/v1/workspace/{project_id}/permissions", USER)
@routes.get("/api/v1/projects/{project_id}/permissions", USER)
async def get_project_permissions(ctx: Ctx, project_id: str) -> Mapping[str, Any]:
    """What the caller may do in a project, as packed rules."""
    membership, roles, packed = await projects.permissions(ctx, project_id)
    held_roles = [HeldRoleOut.of(role, custom) for role, custom in roles]
    own = {"id": membership, "projectId": project_id, "userId": ctx.actor.id, "roles": held_roles}
    return {"data": {"permissions": packed, "membership": own}}


# --- acts that only the older paths have


@routes.patch("/api/v2/workspace/{slug}", USER, IDENTITY)
async def update_workspace_by_slug(ctx: Ctx, slug: str, body: projects.UpdateProject) -> ProjectOut:
    """Change the settings of a project found by slug."""
    return ProjectOut.of(await projects.update(ctx, await projects.id_of(ctx, slug), body))


@routes.delete("/api/v2/workspace/{slug}", USER, IDENTITY)
async def delete_workspace_by_slug(ctx: Ctx, slug: str) -> ProjectOut:
    """Delete a project found by slug."""
    return ProjectOut.of(await projects.remove(ctx, await projects.id_of(ctx, slug)))


@routes.post("/api/v1/workspace/{project_id}/name", USER)
async def rename_workspace(ctx: Ctx, project_id: str, body: NameBody) -> ChangedWorkspace:
    """Give a project another name."""
    changed = await projects.update(ctx, project_id, projects.UpdateProject(name=body.name))
    return ChangedWorkspace(message="Successfully changed workspace name", project=ProjectOut.of(changed))


@routes.post("/api/v1/workspace/{project_id}/auto-capitalization", USER)
async def capitalize_workspace(ctx: Ctx, project_id: str, body: CapitalizationBody) -> ChangedWorkspace:
    """Say whether names of secrets are proposed in capitals."""
    changed = await projects.update(
        ctx, project_id, projects.UpdateProject(auto_capitalization=body.auto_capitalization)
    )
    return ChangedWorkspace(message="Successfully changed workspace settings", project=ProjectOut.of(changed))


@routes.put("/api/v1/workspace/{slug}/version-limit", USER)
async def limit_workspace_versions(ctx: Ctx, slug: str, body: projects.VersionLimit) -> ChangedWorkspace:
    """Set how many versions of a secret are kept."""
    changed = await projects.limit_versions(ctx, await projects.id_of(ctx, slug), body)
    return ChangedWorkspace(message="Successfully changed workspace version limit", project=ProjectOut.of(changed))


@routes.get("/api/v2/organizations/{org_id}/workspaces", USER, IDENTITY)
async def list_organization_workspaces(ctx: Ctx, org_id: str) -> Mapping[str, Any]:
    """List the projects of an organization that the caller is a member of."""
    return {
        "workspaces": [
            {
                "id": project.project.id,
                "name": project.project.name,
                "slug": project.project.slug,
                "organization": org_id,
                "environments": [{"name": env.name, "slug": env.slug} for env in project.environments],
            }
            for project in await projects.of_organization(ctx, org_id)
        ]
    }
