"""Environments of a project: create, order, change, delete and restore.

Positions count from 1. A deleted environment keeps its row and its secrets until it is restored or
purged:

    live    --remove-->           deleted
    deleted --restore-->          live
    either  --remove for good-->  gone; a deleted one by the purge too
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.decode import Name
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.projects.records import Environment
from watchword.domain.secrets.replicas import shown_path
from watchword.services.access.scopes import ProjectScope, enter_project, is_out_of_reach
from watchword.services.context import Ctx
from watchword.services.projects import locations
from watchword.services.projects.projects import require_slug
from watchword.services.projects.webhooks import FoldersView, tell_of_folders
from watchword.services.secrets import relocation
from watchword.services.secrets.relocation import Shift
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.projects import folders
from watchword.store.secrets import replications

_PURGED_AT_ONCE = 20
_MOST_SHOWN = 100  # deleted environments
SLUG_TAKEN = "The project has an environment with this slug already"

EnvironmentSlug = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]


class CreateEnvironment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new environment; without a position it comes last."""

    name: Name
    slug: EnvironmentSlug
    position: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class UpdateEnvironment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change. Terraform sends position 0 where none was set, so 0 means none."""

    name: Name | None = None
    slug: EnvironmentSlug | None = None
    position: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None


async def create(ctx: Ctx, project_id: str, body: CreateEnvironment) -> Environment:
    """Create an environment with its root folder; those at its position and after it move up."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "environments")
    require_slug(body.slug)
    try:
        async with ctx.unit() as tx:
            await folders.lock(tx, project_id)
            last = len(await folders.environments(tx, project_id))
            position = min(body.position or last + 1, last + 1)
            environment = Environment(
                id=ctx.new_id(),
                project_id=project_id,
                name=body.name,
                slug=body.slug,
                position=position,
                created_at=ctx.now,
                updated_at=ctx.now,
            )
            await folders.add_environments(tx, [environment])
            await _put(tx, environment, position)
            await folders.add_folders(tx, [locations.new_root(ctx, environment)])
            _audit(ctx, "create-environment", scope, environment)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return environment


async def update(ctx: Ctx, project_id: str, environment_id: str, body: UpdateEnvironment) -> Environment:
    """Change an environment's name, slug or position. Rules and references with the old slug are not rewritten.

    Under another slug other rules apply to everything in it, so another slug needs the rights over it under both.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "environments")
    if body.name is None and body.slug is None and body.position is None:
        raise BadRequest("Nothing to change: send at least one field")
    changes = {"name": body.name, "slug": None if body.slug is None else require_slug(body.slug)}
    seen = None if body.slug is None else await _precheck(ctx, scope, relocation.MOVED, environment_id, slug=body.slug)
    try:
        async with ctx.unit() as tx:
            await folders.lock(tx, project_id)
            environment = await _own(tx, project_id, environment_id)
            position = await _put(tx, environment, body.position) if body.position else environment.position
            changed = {name: value for name, value in changes.items() if value is not None}
            await folders.change_environment(tx, environment, position=position, updated_at=ctx.now, **changed)
            if changed.get("slug", environment.slug) != environment.slug:
                await _require_all(ctx, tx, scope, relocation.MOVED, environment, seen, slug=changed["slug"])
                await _tell(ctx, tx, scope, environment, environment.slug, changed["slug"])
            _audit(
                ctx,
                "update-environment",
                scope,
                environment,
                newName=body.name,
                newSlug=body.slug,
                newPosition=position,
            )
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return msgspec.structs.replace(environment, position=position, updated_at=ctx.now, **changed)


async def _put(tx: Tx, environment: Environment, position: int) -> int:
    """Put an environment at `position`, at most the last one, and return it; the others have theirs around it."""
    others = [other for other in await folders.environments(tx, environment.project_id) if other.id != environment.id]
    others.insert(position - 1, environment)
    await _number(tx, others)
    return min(position, len(others))


async def _number(tx: Tx, environments: Sequence[Environment]) -> None:
    """Number environments 1, 2, … in this order: a deleted one leaves no gap."""
    wrong = {environment.id: n for n, environment in enumerate(environments, 1) if environment.position != n}
    if wrong:
        await folders.put_in_order(tx, environments[0].project_id, wrong)


async def remove(ctx: Ctx, project_id: str, environment_id: str, *, for_good: bool = False) -> Environment:
    """Delete an environment; unless `for_good`, it can be restored until it is purged.

    Its contents are out of reach at once, so the caller needs the right to delete everything in it.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "environments")
    seen = await _precheck(ctx, scope, relocation.REMOVED, environment_id)
    async with ctx.unit() as tx:
        await folders.lock(tx, project_id)
        environment = await _own(tx, project_id, environment_id, deleted_too=for_good)
        await _require_all(ctx, tx, scope, relocation.REMOVED, environment, seen)
        if environment.deleted_at is None:
            await _tell(ctx, tx, scope, environment, environment.slug)
        if for_good:
            await erase(tx, environment)
        else:
            await folders.change_environment(tx, environment, deleted_at=ctx.now, updated_at=ctx.now)
            await _number(tx, await folders.environments(tx, project_id))
        _audit(ctx, "delete-environment", scope, environment, hardDelete=for_good)
    return environment


def _shifts(
    asked: relocation.MoveRights, environment: Environment, slug: str | None, folder_paths: Sequence[tuple[str, str]]
) -> list[Shift]:
    """Return the old and new locations of an environment's folders when it is renamed (`slug`), deleted or restored."""
    old = None if asked is relocation.RESTORED else environment.slug
    new = slug if asked is relocation.MOVED else environment.slug if asked is relocation.RESTORED else None
    return [
        Shift(
            folder_id=id,
            old=None if old is None else (old, shown_path(path)),
            new=None if new is None else (new, shown_path(path)),
            is_top=shown_path(path) != path,  # copies come and go with the import
        )
        for id, path in folder_paths
    ]


async def _precheck(
    ctx: Ctx, scope: ProjectScope, asked: relocation.MoveRights, environment_id: str, *, slug: str | None = None
) -> relocation.CheckedMove | None:
    """Check before the unit that the caller may do what is asked with everything in an environment.

    Raises PermissionDenied.
    """
    if relocation.is_free(ctx, scope, asked):
        return None
    async with ctx.view() as tx:
        environment = await _own(tx, scope.project.id, environment_id, deleted_too=True)
    if slug == environment.slug:
        return None

    async def load(tx: Tx) -> list[Shift]:
        return _shifts(asked, environment, slug, await folders.whole_tree(tx, environment.id, holds=False))

    return await relocation.precheck(ctx, scope, asked, load, (environment.slug, "/"))


async def _require_all(
    ctx: Ctx,
    tx: Tx,
    scope: ProjectScope,
    asked: relocation.MoveRights,
    environment: Environment,
    seen: relocation.CheckedMove | None,
    *,
    slug: str | None = None,
) -> None:
    """Raise PermissionDenied unless the caller may do what is asked with everything in an environment.

    It is checked under the old and the new slug.
    """
    if relocation.is_free(ctx, scope, asked):
        return
    shifts = _shifts(asked, environment, slug, await folders.whole_tree(tx, environment.id, holds=True))
    await relocation.require(tx, scope, asked, shifts, (environment.slug, "/"), seen)


async def _tell(ctx: Ctx, tx: Tx, scope: ProjectScope, environment: Environment, *slugs: str) -> None:
    """Store what webhooks are told of all secrets of an environment, under each of these slugs."""
    await tell_of_folders(
        ctx,
        tx,
        scope.project,
        lambda: folders.whole_tree(tx, environment.id, holds=False),
        [FoldersView(environment.id, slug) for slug in slugs],
    )


async def erase(tx: Tx, environment: Environment) -> None:
    """Delete an environment with everything in it, in the open unit; those after it move down.

    The imports of what was in it go too, and with them what they copied from it.
    """
    for folder in await replications.replicas_of_source(tx, environment.id):
        await folders.remove_folder(tx, folder)
    await folders.remove_environment(tx, environment)
    await _number(tx, await folders.environments(tx, environment.project_id))


async def restore(ctx: Ctx, project_id: str, environment_id: str) -> Environment:
    """Restore a deleted environment with everything in it, which needs the rights to read and create all of it."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "environments")
    seen = await _precheck(ctx, scope, relocation.RESTORED, environment_id)
    try:
        async with ctx.unit() as tx:
            await folders.lock(tx, project_id)
            environment = await _own(tx, project_id, environment_id, deleted_too=True)
            if environment.deleted_at is None:
                raise BadRequest("The environment is not deleted")
            await folders.change_environment(tx, environment, deleted_at=None, updated_at=ctx.now)
            position = await _put(tx, environment, environment.position)
            await _require_all(ctx, tx, scope, relocation.RESTORED, environment, seen)
            await _tell(ctx, tx, scope, environment, environment.slug)
            _audit(ctx, "restore-environment", scope, environment)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return msgspec.structs.replace(environment, position=position, deleted_at=None, updated_at=ctx.now)


async def deleted(ctx: Ctx, project_id: str) -> list[Environment]:
    """List the deleted environments that can still be restored, the last deleted first."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "environments")
    async with ctx.view() as tx:
        return await folders.deleted_environments(tx, project_id, _MOST_SHOWN)


async def get(ctx: Ctx, project_id: str, environment_id: str) -> Environment:
    """Return an environment of a project, by id."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "environments")
    environment = next(
        (candidate for candidate in await locations.environments(ctx, project_id) if candidate.id == environment_id),
        None,
    )
    if environment is None:
        raise _unknown(environment_id)
    return await _seen(ctx, scope, environment)


async def get_by_slug(ctx: Ctx, project_id: str, slug: str) -> Environment:
    """Return an environment of a project, by slug."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "environments")
    return await _seen(ctx, scope, await locations.environment(ctx, project_id, slug))


async def get_by_id(ctx: Ctx, environment_id: str) -> Environment:
    """Return an environment by id alone."""
    async with ctx.view() as tx:
        environment = await folders.environment(tx, environment_id)
    if environment is None or await is_out_of_reach(ctx, environment.project_id):
        raise _unknown(environment_id)
    return await get(ctx, environment.project_id, environment_id)


async def purge(tx: Tx, before: int, most: int) -> int:
    """Erase some environments deleted before a time (ms) and return how many: few at a time, as each may hold much."""
    expired = await folders.deleted_before(tx, before, min(most, _PURGED_AT_ONCE))
    for environment in sorted(expired, key=lambda environment: environment.project_id):
        await folders.lock(tx, environment.project_id)
        current = await folders.environment(tx, environment.id)
        if current is not None and current.deleted_at is not None:
            await erase(tx, current)
    return len(expired)


async def _own(tx: Tx, project_id: str, environment_id: str, *, deleted_too: bool = False) -> Environment:
    environment = await folders.environment(tx, environment_id)
    if (
        environment is None
        or environment.project_id != project_id
        or (environment.deleted_at is not None and not deleted_too)
    ):
        raise _unknown(environment_id)
    return environment


def _unknown(environment_id: str) -> NotFound:
    return NotFound(f"There is no environment with id {environment_id[:64]!r} in this project")


async def _seen(ctx: Ctx, scope: ProjectScope, environment: Environment) -> Environment:
    await ctx.audit_read("get-environment", org_id=scope.org_id, project_id=environment.project_id, id=environment.id)
    return environment


def _audit(ctx: Ctx, event: str, scope: ProjectScope, environment: Environment, **more: object) -> None:
    facts = {"name": environment.name, "slug": environment.slug, **more}
    ctx.audit(event, org_id=scope.org_id, project_id=environment.project_id, id=environment.id, **facts)
