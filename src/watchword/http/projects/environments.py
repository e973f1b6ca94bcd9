"""Environments, under the older and the newer paths."""

import msgspec

from watchword.domain.projects.records import Environment
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.projects import environments
from watchword.services.timestamps import iso

routes = Routes("environments", is_compressed=True)


class EnvironmentOut(Out, frozen=True, kw_only=True):
    """An environment."""

    id: str
    name: str
    slug: str
    position: int
    project_id: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, environment: Environment) -> "EnvironmentOut":
        """The environment as it is answered."""
        return cls(
            id=environment.id,
            name=environment.name,
            slug=environment.slug,
            position=environment.position,
            project_id=environment.project_id,
            created_at=iso(environment.created_at),
            updated_at=iso(environment.updated_at),
        )


class EnvironmentReply(Out, frozen=True, kw_only=True):
    """An environment."""

    environment: EnvironmentOut


class EnvironmentInProject(Out, frozen=True, kw_only=True):
    """An environment after a change."""

    message: str
    project_id: str
    environment: EnvironmentOut

    @classmethod
    def of(cls, message: str, environment: Environment) -> "EnvironmentInProject":
        """What a change answers."""
        return cls(message=message, project_id=environment.project_id, environment=EnvironmentOut.of(environment))


class EnvironmentInWorkspace(EnvironmentInProject, frozen=True, kw_only=True):
    """An environment after a change; the project is called by its older name."""

    project_id: str = msgspec.field(name="workspace")


class DeleteQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the environment is deleted permanently instead of being kept to be restored."""

    hard_delete: bool = False


_NEW = "/api/v1/projects/{project_id}/environments"
_OLD = "/api/v1/workspace/{project_id}/environments"


@routes.older("POST", _OLD, USER, IDENTITY, reply=EnvironmentInWorkspace)
@routes.post(_NEW, USER, IDENTITY)
async def create_environment(ctx: Ctx, project_id: str, body: environments.CreateEnvironment) -> EnvironmentInProject:
    """Create an environment."""
    return EnvironmentInProject.of("Successfully created environment", await environments.create(ctx, project_id, body))


@routes.older("GET", _OLD + "/{environment_id}", USER, IDENTITY)
@routes.get(_NEW + "/{environment_id}", USER, IDENTITY)
async def get_environment(ctx: Ctx, project_id: str, environment_id: str) -> EnvironmentReply:
    """Read an environment."""
    return EnvironmentReply(environment=EnvironmentOut.of(await environments.get(ctx, project_id, environment_id)))


@routes.get(_NEW + "/slug/{slug}", USER, IDENTITY)
async def get_environment_by_slug(ctx: Ctx, project_id: str, slug: str) -> EnvironmentOut:
    """Read an environment by its slug."""
    return EnvironmentOut.of(await environments.get_by_slug(ctx, project_id, slug))


@routes.older("PATCH", _OLD + "/{environment_id}", USER, IDENTITY, reply=EnvironmentInWorkspace)
@routes.patch(_NEW + "/{environment_id}", USER, IDENTITY)
async def update_environment(
    ctx: Ctx, project_id: str, environment_id: str, body: environments.UpdateEnvironment
) -> EnvironmentInProject:
    """Change an environment's name, slug or position."""
    return EnvironmentInProject.of(
        "Successfully updated environment", await environments.update(ctx, project_id, environment_id, body)
    )


@routes.older("DELETE", _OLD + "/{environment_id}", USER, IDENTITY, reply=EnvironmentInWorkspace)
@routes.delete(_NEW + "/{environment_id}", USER, IDENTITY)
async def delete_environment(
    ctx: Ctx, project_id: str, environment_id: str, query: DeleteQuery
) -> EnvironmentInProject:
    """Delete an environment; it can be restored for a while unless hardDelete is true."""
    return EnvironmentInProject.of(
        "Successfully deleted environment",
        await environments.remove(ctx, project_id, environment_id, for_good=query.hard_delete),
    )


@routes.post(_NEW + "/{environment_id}/restore", USER, IDENTITY)
async def restore_environment(ctx: Ctx, project_id: str, environment_id: str) -> EnvironmentInProject:
    """Bring a deleted environment back with all that was in it."""
    return EnvironmentInProject.of(
        "Successfully restored environment", await environments.restore(ctx, project_id, environment_id)
    )


@routes.get("/api/v1/workspace/environments/{environment_id}", USER, IDENTITY)
async def get_environment_by_id(ctx: Ctx, environment_id: str) -> EnvironmentReply:
    """Read an environment of whichever project it is in (older path)."""
    return EnvironmentReply(environment=EnvironmentOut.of(await environments.get_by_id(ctx, environment_id)))
