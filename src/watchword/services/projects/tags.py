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
    """A new tag; without a name it is named as its slug."""

    slug: TagSlug
    color: Color = ""
    name: Name | None = None


class UpdateTag(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    slug: TagSlug | None = None
    color: Color | None = None
    name: Name | None = None


class CreateColored(CreateTag, frozen=True, kw_only=True):
    """A new tag as the older route takes it: with its colour."""

    color: Color


class UpdateWhole(UpdateTag, frozen=True, kw_only=True):
    """What to change, as the older route takes it: slug and colour are both required."""

    slug: TagSlug
    color: Color


async def known(ctx: Ctx, project_id: str) -> tuple[Tag, ...]:
    """Return the tags of a project by slug, through the cache. No permission is asked: enter the project first."""

    async def load(tx: Tx) -> tuple[tuple[Tag, ...], tuple[str, ...]]:
        return tuple(await tags.in_project(tx, project_id)), (versions.tree(project_id),)

    loaded: tuple[Tag, ...] = await ctx.fresh.get(("tags", project_id), load)
    return loaded


async def every(ctx: Ctx, project_id: str) -> tuple[Tag, ...]:
    """List the tags of a project, by slug."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "tags")
    return await known(ctx, project_id)


async def get(ctx: Ctx, project_id: str, tag_id: str) -> Tag:
    """Return a tag by id."""
    tag = next((tag for tag in await every(ctx, project_id) if tag.id == tag_id), None)
    if tag is None:
        raise _unknown(tag_id)
    return tag


async def get_by_slug(ctx: Ctx, project_id: str, slug: str) -> Tag:
    """Return a tag by slug."""
    tag = next((tag for tag in await every(ctx, project_id) if tag.slug == slug), None)
    if tag is None:
        raise _unknown(slug)
    return tag


async def create(ctx: Ctx, project_id: str, body: CreateTag) -> Tag:
    """Create a tag."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "tags")
    slug = require_slug(body.slug)
    tag = Tag(
        id=ctx.new_id(),
        project_id=project_id,
        slug=slug,
        name=body.name or slug,
        color=body.color,
        created_by=ctx.actor.id,
        created_by_kind=ctx.actor.kind,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    try:
        async with ctx.unit() as tx:
            await tags.add(tx, tag)
            _audit(ctx, "create-tag", scope, tag)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return tag


async def update(ctx: Ctx, project_id: str, tag_id: str, body: UpdateTag) -> Tag:
    """Change a tag. A name that equals the slug follows a new slug.

    Rules name secrets by the slugs of their tags, so another slug needs the rights over all secrets that have the tag.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "tags")
    slug = None if body.slug is None else require_slug(body.slug)
    if slug is None and body.color is None and body.name is None:
        raise BadRequest("Nothing to change: send at least one field")
    try:
        seen = None if slug is None else await _precheck(ctx, scope, tag_id, slug)
        async with ctx.unit() as tx:
            tag = await _own(tx, project_id, tag_id)
            name = body.name or (slug if slug and tag.name == tag.slug else tag.name)
            changed = msgspec.structs.replace(
                tag,
                slug=slug or tag.slug,
                name=name,
                color=tag.color if body.color is None else body.color,
                updated_at=ctx.now,
            )
            if changed.slug != tag.slug:
                await _require_all(ctx, tx, scope, tag, changed, seen)
            await tags.change(tx, tag, slug=changed.slug, name=changed.name, color=changed.color, updated_at=ctx.now)
            _audit(ctx, "update-tag", scope, changed)
    except AlreadyThere:
        raise BadRequest(SLUG_TAKEN) from None
    return changed


async def remove(ctx: Ctx, project_id: str, tag_id: str) -> Tag:
    """Delete a tag and take it off all secrets.

    This needs the rights over all secrets that have the tag, as another slug does.
    """
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "tags")
    seen = await _precheck(ctx, scope, tag_id, None)
    async with ctx.unit() as tx:
        tag = await _own(tx, project_id, tag_id)
        await _require_all(ctx, tx, scope, tag, None, seen)
        await tags.remove(tx, tag)
        _audit(ctx, "delete-tag", scope, tag)
    return tag


async def _precheck(ctx: Ctx, scope: ProjectScope, tag_id: str, slug: str | None) -> relocation.CheckedRelabel | None:
    """Check before the unit that the caller may give all secrets of a tag this slug in its place, or none (None)."""
    async with ctx.view() as tx:
        tag = await _own(tx, scope.project.id, tag_id)
    if slug == tag.slug:
        return None
    return await relocation.precheck_tag(
        ctx, scope, tag, None if slug is None else msgspec.structs.replace(tag, slug=slug)
    )


async def _require_all(
    ctx: Ctx, tx: Tx, scope: ProjectScope, tag: Tag, after: Tag | None, seen: relocation.CheckedRelabel | None
) -> None:
    if not relocation.relabels_freely(ctx, scope):
        await relocation.require_tag(tx, scope, tag, after, seen)


async def _own(tx: Tx, project_id: str, tag_id: str) -> Tag:
    tag = await tags.by_id(tx, tag_id)
    if tag is None or tag.project_id != project_id:
        raise _unknown(tag_id)
    return tag


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
