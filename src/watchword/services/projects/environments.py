"""Environments of a project: create, order, change, delete and bring back.

Positions count from 1. A deleted environment keeps its row, its secrets and its position until it is restored or
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
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.projects import locations
from watchword.services.projects.projects import require_slug
from watchword.services.secrets import relocation
from watchword.services.secrets.relocation import Shift
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.projects import folders as tree

_PURGED_AT_ONCE = 20
SLUG_TAKEN = "The project has an environment with this slug already"

EnvironmentSlug = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]


class CreateEnvironment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new environment; without a position it comes last."""

    name: Name
    slug: EnvironmentSlug
    position: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None


class UpdateEnvironment(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change. Terraform sends position 0 where none was set, so 0 is as good as none."""

    name: Name | None = None
    slug: EnvironmentSlug | None = None
    position: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] | None = None


async def create(ctx: Ctx, project_id: str, given: CreateEnvironment) -> Environment:
    """A new environment with its root folder; those at its position and after move up."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "environments")
    require_slug(given.slug)
    try:
        async with ctx.unit() as tx:
            await tree.lock(tx, project_id)
            last = await tree.last_position(tx, project_id)
            position = min(given.position or last + 1, last + 1)
            if position <= last:
                await tree.shift(tx, project_id, 1, first=position)
            made = Environment(
                id=ctx.new_id(),
                project_id=project_id,
                name=given.name,
                slug=given.slug,
                position=position,
                created_at=ctx.now,
                updated_at=ctx.now,
            )
            await tree.add_environments(tx, [made])
            await tree.add_folders(tx, [locations.new_root(ctx, made)])
            _audit(ctx, "create-environment", scope, made)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return made


async def update(ctx: Ctx, project_id: str, environment_id: str, given: UpdateEnvironment) -> Environment:
    """Change an environment's name, slug or place. Rules and references that name the old slug are not rewritten.

    With another slug other rules hold for all that is in it, so that asks for the rights over it under both.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "environments")
    if given.name is None and given.slug is None and given.position is None:
        raise BadRequest("Nothing to change: send at least one field")
    changes = {"name": given.name, "slug": None if given.slug is None else require_slug(given.slug)}
    seen = None if given.slug is None else await _look(ctx, scope, relocation.MOVED, environment_id, slug=given.slug)
    try:
        async with ctx.unit() as tx:
            await tree.lock(tx, project_id)
            found = await _own(tx, project_id, environment_id)
            position = await _move(tx, found, given.position) if given.position else found.position
            changed = {name: value for name, value in changes.items() if value is not None}
            await tree.change_environment(tx, found, position=position, updated_at=ctx.now, **changed)
            if changed.get("slug", found.slug) != found.slug:
                await _require_all(ctx, tx, scope, relocation.MOVED, found, seen, slug=changed["slug"])
            _audit(
                ctx, "update-environment", scope, found, newName=given.name, newSlug=given.slug, newPosition=position
            )
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return msgspec.structs.replace(found, position=position, updated_at=ctx.now, **changed)


async def _move(tx: Tx, environment: Environment, position: int) -> int:
    """Make room at `position` (at most the last one); the environments between the two places move by one."""
    position = min(position, await tree.last_position(tx, environment.project_id))
    if position < environment.position:
        await tree.shift(tx, environment.project_id, 1, first=position, last=environment.position - 1)
    elif position > environment.position:
        await tree.shift(tx, environment.project_id, -1, first=environment.position + 1, last=position)
    return position


async def remove(ctx: Ctx, project_id: str, environment_id: str, *, for_good: bool = False) -> Environment:
    """Delete an environment. What is in it is out of reach at once; unless `for_good`, it can be restored until it is
    purged.

    Asks for the right to delete all that is in it, for that is what it does.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "environments")
    seen = await _look(ctx, scope, relocation.REMOVED, environment_id)
    async with ctx.unit() as tx:
        await tree.lock(tx, project_id)
        found = await _own(tx, project_id, environment_id, deleted_too=for_good)
        await _require_all(ctx, tx, scope, relocation.REMOVED, found, seen)
        if for_good:
            await erase(tx, found)
        else:
            await tree.change_environment(tx, found, deleted_at=ctx.now, updated_at=ctx.now)
        _audit(ctx, "delete-environment", scope, found, hardDelete=for_good)
    return found


def _shifts(
    asked: relocation.MoveRights, environment: Environment, slug: str | None, folders: Sequence[tuple[str, str]]
) -> list[Shift]:
    """Where the folders of an environment are and will be when it is renamed (`slug`), deleted or brought back."""
    old = None if asked is relocation.RESTORED else environment.slug
    new = slug if asked is relocation.MOVED else environment.slug if asked is relocation.RESTORED else None
    return [
        Shift(folder_id=id, old=None if old is None else (old, path), new=None if new is None else (new, path))
        for id, path in folders
    ]


async def _look(
    ctx: Ctx, scope: ProjectScope, asked: relocation.MoveRights, environment_id: str, *, slug: str | None = None
) -> relocation.CheckedMove | None:
    """Whether the caller may do what is asked with all that is in an environment, looked at before the unit.

    Raises PermissionDenied.
    """
    if relocation.is_free(ctx, scope, asked):
        return None
    async with ctx.view() as tx:
        found = await _own(tx, scope.project.id, environment_id, deleted_too=True)
    if slug == found.slug:
        return None

    async def load(tx: Tx) -> list[Shift]:
        return _shifts(asked, found, slug, await tree.whole_tree(tx, found.id, holds=False))

    return await relocation.look(ctx, scope, asked, load, (found.slug, "/"))


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
    """Raise PermissionDenied unless the caller may do what is asked with all that is in an environment, under
    each of its slugs.
    """
    if relocation.is_free(ctx, scope, asked):
        return
    shifts = _shifts(asked, environment, slug, await tree.whole_tree(tx, environment.id, holds=True))
    await relocation.require(tx, scope, asked, shifts, (environment.slug, "/"), seen)


async def erase(tx: Tx, environment: Environment) -> None:
    """Delete an environment with all that is in it, in the open unit; those after it move down."""
    await tree.remove_environment(tx, environment)
    await tree.shift(tx, environment.project_id, -1, first=environment.position + 1)


async def restore(ctx: Ctx, project_id: str, environment_id: str) -> Environment:
    """Bring a deleted environment back with all that was in it, which asks for the rights to read and create it."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "environments")
    seen = await _look(ctx, scope, relocation.RESTORED, environment_id)
    try:
        async with ctx.unit() as tx:
            await tree.lock(tx, project_id)
            found = await _own(tx, project_id, environment_id, deleted_too=True)
            if found.deleted_at is None:
                raise BadRequest("The environment is not deleted")
            await tree.change_environment(tx, found, deleted_at=None, updated_at=ctx.now)
            await _require_all(ctx, tx, scope, relocation.RESTORED, found, seen)
            _audit(ctx, "restore-environment", scope, found)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return msgspec.structs.replace(found, deleted_at=None, updated_at=ctx.now)


async def get(ctx: Ctx, project_id: str, environment_id: str) -> Environment:
    """An environment of a project, by id."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "environments")
    found = next((one for one in await locations.environments(ctx, project_id) if one.id == environment_id), None)
    if found is None:
        raise _unknown(environment_id)
    return await _seen(ctx, scope, found)


async def get_by_slug(ctx: Ctx, project_id: str, slug: str) -> Environment:
    """An environment of a project, by slug."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "environments")
    return await _seen(ctx, scope, await locations.environment(ctx, project_id, slug))


async def get_by_id(ctx: Ctx, environment_id: str) -> Environment:
    """An environment by id alone."""
    async with ctx.view() as tx:
        found = await tree.environment(tx, environment_id)
    if found is None:
        raise _unknown(environment_id)
    return await get(ctx, found.project_id, environment_id)


async def purge(tx: Tx, before: int, most: int) -> int:
    """Remove for good some environments deleted before a moment (ms); how many. Few at a time: each may hold much."""
    gone = await tree.deleted_before(tx, before, min(most, _PURGED_AT_ONCE))
    for one in sorted(gone, key=lambda one: one.project_id):
        await tree.lock(tx, one.project_id)
        now = await tree.environment(tx, one.id)
        if now is not None and now.deleted_at is not None:
            await erase(tx, now)
    return len(gone)


async def _own(tx: Tx, project_id: str, environment_id: str, *, deleted_too: bool = False) -> Environment:
    found = await tree.environment(tx, environment_id)
    if found is None or found.project_id != project_id or (found.deleted_at is not None and not deleted_too):
        raise _unknown(environment_id)
    return found


def _unknown(environment_id: str) -> NotFound:
    return NotFound(f"There is no environment with id {environment_id[:64]!r} in this project")


async def _seen(ctx: Ctx, scope: ProjectScope, found: Environment) -> Environment:
    await ctx.audit_read("get-environment", org_id=scope.org_id, project_id=found.project_id, id=found.id)
    return found


def _audit(ctx: Ctx, event: str, scope: ProjectScope, one: Environment, **more: object) -> None:
    said = {"name": one.name, "slug": one.slug, **more}
    ctx.audit(event, org_id=scope.org_id, project_id=one.project_id, id=one.id, **said)
