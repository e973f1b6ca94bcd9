"""Tags, under the older and the newer paths."""

from collections.abc import Sequence

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


class WorkspaceTagReply(Out, frozen=True, kw_only=True):
    """A tag under its older name."""

    workspace_tag: TagOut


class WorkspaceTagsReply(Out, frozen=True, kw_only=True):
    """Tags under their older name."""

    workspace_tags: Sequence[TagOut]


@routes.get("/api/v1/projects/{project_id}/tags", USER, IDENTITY)
async def list_tags(ctx: Ctx, project_id: str) -> TagsReply:
    """List the tags of a project."""
    return TagsReply(tags=[TagOut.of(tag) for tag in await tags.every(ctx, project_id)])


@routes.post("/api/v1/projects/{project_id}/tags", USER, IDENTITY)
async def create_tag(ctx: Ctx, project_id: str, body: tags.CreateTag) -> TagReply:
    """Create a tag."""
    return TagReply(tag=TagOut.of(await tags.create(ctx, project_id, body)))


@routes.get("/api/v1/projects/{project_id}/tags/{tag_id}", USER, IDENTITY)
async def get_tag(ctx: Ctx, project_id: str, tag_id: str) -> TagReply:
    """Read a tag."""
    return TagReply(tag=TagOut.of(await tags.get(ctx, project_id, tag_id)))


@routes.get("/api/v1/projects/{project_id}/tags/slug/{slug}", USER, IDENTITY)
async def get_tag_by_slug(ctx: Ctx, project_id: str, slug: str) -> TagReply:
    """Read a tag by its slug."""
    return TagReply(tag=TagOut.of(await tags.get_by_slug(ctx, project_id, slug)))


@routes.patch("/api/v1/projects/{project_id}/tags/{tag_id}", USER, IDENTITY)
async def update_tag(ctx: Ctx, project_id: str, tag_id: str, body: tags.UpdateTag) -> TagReply:
    """Change a tag."""
    return TagReply(tag=TagOut.of(await tags.update(ctx, project_id, tag_id, body)))


@routes.delete("/api/v1/projects/{project_id}/tags/{tag_id}", USER, IDENTITY)
async def delete_tag(ctx: Ctx, project_id: str, tag_id: str) -> TagReply:
    """Delete a tag."""
    return TagReply(tag=TagOut.of(await tags.remove(ctx, project_id, tag_id)))


@routes.get("/api/v1/workspace/{project_id}/tags", USER, IDENTITY)
async def list_workspace_tags(ctx: Ctx, project_id: str) -> WorkspaceTagsReply:
    """List the tags of a project (older path)."""
    return WorkspaceTagsReply(workspace_tags=[TagOut.of(tag) for tag in await tags.every(ctx, project_id)])


@routes.post("/api/v1/workspace/{project_id}/tags", USER, IDENTITY)
async def create_workspace_tag(ctx: Ctx, project_id: str, body: tags.CreateColored) -> WorkspaceTagReply:
    """Create a tag (older path)."""
    return WorkspaceTagReply(workspace_tag=TagOut.of(await tags.create(ctx, project_id, body)))


@routes.get("/api/v1/workspace/{project_id}/tags/{tag_id}", USER, IDENTITY)
async def get_workspace_tag(ctx: Ctx, project_id: str, tag_id: str) -> WorkspaceTagReply:
    """Read a tag (older path)."""
    return WorkspaceTagReply(workspace_tag=TagOut.of(await tags.get(ctx, project_id, tag_id)))


@routes.get("/api/v1/workspace/{project_id}/tags/slug/{slug}", USER, IDENTITY)
async def get_workspace_tag_by_slug(ctx: Ctx, project_id: str, slug: str) -> WorkspaceTagReply:
    """Read a tag by its slug (older path)."""
    return WorkspaceTagReply(workspace_tag=TagOut.of(await tags.get_by_slug(ctx, project_id, slug)))


@routes.patch("/api/v1/workspace/{project_id}/tags/{tag_id}", USER, IDENTITY)
async def update_workspace_tag(ctx: Ctx, project_id: str, tag_id: str, body: tags.UpdateWhole) -> WorkspaceTagReply:
    """Change a tag (older path)."""
    return WorkspaceTagReply(workspace_tag=TagOut.of(await tags.update(ctx, project_id, tag_id, body)))


@routes.delete("/api/v1/workspace/{project_id}/tags/{tag_id}", USER, IDENTITY)
async def delete_workspace_tag(ctx: Ctx, project_id: str, tag_id: str) -> WorkspaceTagReply:
    """Delete a tag (older path)."""
    return WorkspaceTagReply(workspace_tag=TagOut.of(await tags.remove(ctx, project_id, tag_id)))
