"""Find which project, environment and folder a request means.

Requests name them by ids and slugs under several names; a service token's own scope fills in what is left out.
"""

from watchword.domain.errors import BadRequest, NotFound
from watchword.services.access.scopes import require_known
from watchword.services.context import Ctx
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.projects import projects


async def project_id(ctx: Ctx, id: str, slug: str) -> str:
    """Return the id of the project with this id, or this slug in the caller's organization, or of a service token.

    Raises BadRequest, NotFound.
    """
    if id:
        await require_known(ctx, id)
        return id
    if slug and ctx.actor.org_id:
        return await _by_slug(ctx, ctx.actor.org_id, slug)
    if ctx.actor.project_id:
        return ctx.actor.project_id
    raise BadRequest("Name the project by id or slug")


async def _by_slug(ctx: Ctx, org_id: str, slug: str) -> str:
    not_found = NotFound(f"There is no project with slug {slug[:64]!r} that you can see")
    if "\x00" in slug:
        raise not_found

    async def load(tx: Tx) -> tuple[str, tuple[str, ...]]:
        project = await projects.by_slug(tx, org_id, slug)
        return (project.id, (versions.project(project.id),)) if project else ("", ())

    id: str = await ctx.fresh.get(("project of slug", org_id, slug), load)
    if not id:
        raise not_found
    return id


def folder(ctx: Ctx, environment: str | None, path: str | None) -> tuple[str, str]:
    """Return the environment and path, from a service token's only scope where the request names none.

    What the request names takes precedence: else a token with one scope could read nothing but that scope's own folder.
    Raises BadRequest.
    """
    scopes = ctx.actor.scopes
    if len(scopes) == 1 and not _is_glob(scopes[0]["secretPath"]):
        if not environment and path is None:
            path = scopes[0]["secretPath"]
        environment = environment or scopes[0]["environment"]
    if not environment:
        raise BadRequest("Name the environment by its slug")
    if "\x00" in environment:
        raise NotFound("There is no such environment")
    return environment, path or "/"


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[]{}!()")
