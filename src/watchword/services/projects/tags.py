"""Tags of a project's secrets."""

from typing import Annotated

import msgspec

from watchword.domain.decode import Name
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.projects.records import Tag
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.projects.projects import require_slug
from watchword.services.secrets import relocation
from watchword.store import versions
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.projects import tags

SLUG_TAKEN = "The project has a tag with this slug already"

TagSlug = Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]
Color = Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})]


class CreateTag(msgspec.Struct, frozen=True, kw_only=True):
    """A new tag; without a name it is called as its slug."""

    slug: TagSlug
    color: Color = ""
    name: Name | None = None


class UpdateTag(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    slug: TagSlug | None = None
    color: Color | None = None
    name: Name | None = None


class CreateColored(CreateTag, frozen=True, kw_only=True):
    """A new tag, as the older route takes it: with its colour."""

    color: Color


class UpdateWhole(UpdateTag, frozen=True, kw_only=True):
    """The slug and the colour, as the older route takes them: both."""

    slug: TagSlug
    color: Color


async def known(ctx: Ctx, project_id: str) -> tuple[Tag, ...]:
    """The tags of a project by slug, through the cache. Asks no permission: enter the project first."""

    async def load(tx: Tx) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
        return tuple(await tags.in_project(tx, project_id)), (versions.tree(project_id),)

    found: tuple[Tag, ...] = await ctx.fresh.get(("tags", project_id), load)
    return found


async def every(ctx: Ctx, project_id: str) -> tuple[Tag, ...]:
    """The tags of a project, by slug."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "tags")
    return await known(ctx, project_id)


async def get(ctx: Ctx, project_id: str, tag_id: str) -> Tag:
    """A tag by id."""
    found = next((tag for tag in await every(ctx, project_id) if tag.id == tag_id), None)
    if found is None:
        raise _unknown(tag_id)
    return found


async def get_by_slug(ctx: Ctx, project_id: str, slug: str) -> Tag:
    """A tag by slug."""
    found = next((tag for tag in await every(ctx, project_id) if tag.slug == slug), None)
    if found is None:
        raise _unknown(slug)
    return found


async def create(ctx: Ctx, project_id: str, given: CreateTag) -> Tag:
    """A new tag."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "tags")
    slug = require_slug(given.slug)
    made = Tag(
        id=ctx.new_id(),
        project_id=project_id,
        slug=slug,
        name=given.name or slug,
        color=given.color,
        created_by=ctx.actor.id,
        created_by_kind=ctx.actor.kind,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    try:
        async with ctx.unit() as tx:
            await tags.add(tx, made)
            _audit(ctx, "create-tag", scope, made)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return made


async def update(ctx: Ctx, project_id: str, tag_id: str, given: UpdateTag) -> Tag:
    """Change a tag. A name that was never set apart from the slug follows it.

    Rules name secrets by the slugs of their tags, so another one asks for the rights over all secrets that have it.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "tags")
    slug = None if given.slug is None else require_slug(given.slug)
    if slug is None and given.color is None and given.name is None:
        raise BadRequest("Nothing to change: send at least one field")
    try:
        seen = None if slug is None else await _look(ctx, scope, tag_id, slug)
        async with ctx.unit() as tx:
            found = await _own(tx, project_id, tag_id)
            name = given.name or (slug if slug and found.name == found.slug else found.name)
            changed = msgspec.structs.replace(
                found,
                slug=slug or found.slug,
                name=name,
                color=found.color if given.color is None else given.color,
                updated_at=ctx.now,
            )
            if changed.slug != found.slug:
                await _require_all(ctx, tx, scope, found, changed, seen)
            await tags.change(tx, found, slug=changed.slug, name=changed.name, color=changed.color, updated_at=ctx.now)
            _audit(ctx, "update-tag", scope, changed)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return changed


async def remove(ctx: Ctx, project_id: str, tag_id: str) -> Tag:
    """Delete a tag; no secret has it any more.

    Asks for the rights over all secrets that have it, as another slug does.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "tags")
    seen = await _look(ctx, scope, tag_id, None)
    async with ctx.unit() as tx:
        found = await _own(tx, project_id, tag_id)
        await _require_all(ctx, tx, scope, found, None, seen)
        await tags.remove(tx, found)
        _audit(ctx, "delete-tag", scope, found)
    return found


async def _look(ctx: Ctx, scope: ProjectScope, tag_id: str, slug: str | None) -> relocation.Tags | None:
    """Whether all secrets that have a tag may get this slug in its place, or be without, looked at before the unit."""
    async with ctx.view() as tx:
        found = await _own(tx, scope.project.id, tag_id)
    if slug == found.slug:
        return None
    return await relocation.look_tag(
        ctx, scope, found, None if slug is None else msgspec.structs.replace(found, slug=slug)
    )


async def _require_all(
    ctx: Ctx, tx: Tx, scope: ProjectScope, tag: Tag, after: Tag | None, seen: relocation.Tags | None
) -> None:
    if not relocation.relabels_freely(ctx, scope):
        await relocation.require_tag(tx, scope, tag, after, seen)


async def _own(tx: Tx, project_id: str, tag_id: str) -> Tag:
    found = await tags.by_id(tx, tag_id)
    if found is None or found.project_id != project_id:
        raise _unknown(tag_id)
    return found


def _unknown(id_or_slug: str) -> NotFound:
    return NotFound(f"There is no tag {id_or_slug[:64]!r} in this project")


def _audit(ctx: Ctx, event: str, scope: ProjectScope, tag: Tag) -> None:
    ctx.audit(
        event,
        org_id=scope.org_id,
        project_id=tag.project_id,
        tagId=tag.id,
        slug=tag.slug,
        name=tag.name,
        color=tag.color,
    )
