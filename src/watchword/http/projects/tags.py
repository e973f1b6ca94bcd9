"""Tags, under the older and the newer paths."""

from collections.abc import Sequence

import msgspec

from watchword.domain.projects.records import Tag
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.projects import tags
from watchword.services.timestamps import iso

routes = Routes("tags", is_compressed=True)


class TagOut(Out, frozen=True, kw_only=True):
    """A tag."""

    id: str
    slug: str
    name: str
    color: str
    created_at: str
    updated_at: str
    created_by: str | None
    project_id: str
    created_by_actor_type: str

    @classmethod
    def of(cls, tag: Tag) -> "TagOut":
        """The tag as it is answered."""
        return cls(
            id=tag.id,
            slug=tag.slug,
            name=tag.name,
            color=tag.color,
            created_at=iso(tag.created_at),
            updated_at=iso(tag.updated_at),
            created_by=tag.created_by,
            project_id=tag.project_id,
            created_by_actor_type=tag.created_by_kind,
        )


class TagReply(Out, frozen=True, kw_only=True):
    """A tag."""

    tag: TagOut


class TagsReply(Out, frozen=True, kw_only=True):
    """Tags."""

    tags: Sequence[TagOut]


class WorkspaceTagReply(TagReply, frozen=True, kw_only=True):
    """A tag under its older name."""

    tag: TagOut = msgspec.field(name="workspaceTag")


class WorkspaceTagsReply(TagsReply, frozen=True, kw_only=True):
    """Tags under their older name."""

    tags: Sequence[TagOut] = msgspec.field(name="workspaceTags")


_NEW = "/api/v1/projects/{project_id}/tags"
_OLD = "/api/v1/workspace/{project_id}/tags"


@routes.older("GET", _OLD, USER, IDENTITY, reply=WorkspaceTagsReply)
@routes.get(_NEW, USER, IDENTITY)
async def list_tags(ctx: Ctx, project_id: str) -> TagsReply:
    """List the tags of a project."""
    return TagsReply(tags=[TagOut.of(tag) for tag in await tags.every(ctx, project_id)])


@routes.older("POST", _OLD, USER, IDENTITY, body=tags.CreateColored, reply=WorkspaceTagReply)
@routes.post(_NEW, USER, IDENTITY)
async def create_tag(ctx: Ctx, project_id: str, body: tags.CreateTag) -> TagReply:
    """Create a tag."""
    return TagReply(tag=TagOut.of(await tags.create(ctx, project_id, body)))


@routes.older("GET", _OLD + "/{tag_id}", USER, IDENTITY, reply=WorkspaceTagReply)
@routes.get(_NEW + "/{tag_id}", USER, IDENTITY)
async def get_tag(ctx: Ctx, project_id: str, tag_id: str) -> TagReply:
    """Read a tag."""
    return TagReply(tag=TagOut.of(await tags.get(ctx, project_id, tag_id)))


@routes.older("GET", _OLD + "/slug/{slug}", USER, IDENTITY, reply=WorkspaceTagReply)
@routes.get(_NEW + "/slug/{slug}", USER, IDENTITY)
async def get_tag_by_slug(ctx: Ctx, project_id: str, slug: str) -> TagReply:
    """Read a tag by its slug."""
    return TagReply(tag=TagOut.of(await tags.get_by_slug(ctx, project_id, slug)))


@routes.older("PATCH", _OLD + "/{tag_id}", USER, IDENTITY, body=tags.UpdateWhole, reply=WorkspaceTagReply)
@routes.patch(_NEW + "/{tag_id}", USER, IDENTITY)
async def update_tag(ctx: Ctx, project_id: str, tag_id: str, body: tags.UpdateTag) -> TagReply:
    """Change a tag."""
    return TagReply(tag=TagOut.of(await tags.update(ctx, project_id, tag_id, body)))


@routes.older("DELETE", _OLD + "/{tag_id}", USER, IDENTITY, reply=WorkspaceTagReply)
@routes.delete(_NEW + "/{tag_id}", USER, IDENTITY)
async def delete_tag(ctx: Ctx, project_id: str, tag_id: str) -> TagReply:
    """Delete a tag."""
    return TagReply(tag=TagOut.of(await tags.remove(ctx, project_id, tag_id)))
