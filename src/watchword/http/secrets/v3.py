"""Secrets, API version 3, and what both versions lack: history and search."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.secrets.texts import tidy_name
from watchword.http.routing import ALL, IDENTITY, USER, Routes
from watchword.http.secrets import acts, wire
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.secrets import reading, search, tagging, versions
from watchword.services.timestamps import iso

routes = Routes("secrets")


@routes.get("/api/v3/secrets/raw", *ALL, hot=True)
async def list_secrets(ctx: Ctx, query: wire.ListOptions) -> wire.SecretListReply:
    """List the secrets of a folder.

    A person's own secrets stand beside the shared ones; an unknown folder has none.
    """
    return await acts.every(ctx, query, expands=False, imports=False, personal="beside", must_exist=False)


@routes.get("/api/v3/secrets/raw/{secret_name}", *ALL, hot=True)
async def get_secret(ctx: Ctx, secret_name: str, query: wire.OneOptions) -> wire.SecretReply:
    """Read one secret by name."""
    return await acts.get(ctx, secret_name, query, expands=False, imports=False)


@routes.post("/api/v3/secrets/raw/{secret_name}", *ALL, hot=True)
async def create_secret(ctx: Ctx, secret_name: str, body: wire.CreateSecretBody) -> wire.SecretReply:
    """Create a secret."""
    return await acts.create(ctx, secret_name, body)


@routes.patch("/api/v3/secrets/raw/{secret_name}", *ALL, hot=True)
async def update_secret(ctx: Ctx, secret_name: str, body: wire.ChangeBody) -> wire.SecretReply:
    """Change a secret; what is not said stays. References follow a new name."""
    return await acts.change(ctx, secret_name, body)


@routes.delete("/api/v3/secrets/raw/{secret_name}", *ALL, hot=True)
async def delete_secret(ctx: Ctx, secret_name: str, body: wire.DeleteBody) -> wire.SecretReply:
    """Delete a secret; with a shared one go all that override it."""
    return await acts.remove(ctx, secret_name, body)


@routes.get("/api/v3/secrets/raw/id/{secret_id}", *ALL)
async def get_secret_by_id(ctx: Ctx, secret_id: str) -> wire.SecretReply:
    """Read one secret by id."""
    return wire.SecretReply.of(await reading.by_id(ctx, secret_id))


@routes.post("/api/v3/secrets/batch/raw", *ALL)
async def create_secrets(ctx: Ctx, body: wire.CreateBatch) -> wire.SecretsReply:
    """Create up to 500 secrets in one folder: all or none."""
    return await acts.create_batch(ctx, body)


@routes.patch("/api/v3/secrets/batch/raw", *ALL)
async def update_secrets(ctx: Ctx, body: wire.ChangeBatch) -> wire.SecretsReply:
    """Change up to 500 secrets of one folder: all or none. `mode` says what becomes of unknown names."""
    return await acts.change_batch(ctx, body)


@routes.delete("/api/v3/secrets/batch/raw", *ALL)
async def delete_secrets(ctx: Ctx, body: wire.DeleteBatch) -> wire.SecretsReply:
    """Delete up to 500 secrets of one folder: all or none."""
    return await acts.remove_batch(ctx, body)


@routes.post("/api/v3/secrets/move", USER, IDENTITY)
async def move_secrets(ctx: Ctx, body: wire.MoveBody) -> acts.MoveReply:
    """Move secrets to another folder or environment."""
    return await acts.move(ctx, body)


class TagsBody(wire.FolderRef, frozen=True, kw_only=True, rename="camel"):
    type: wire.SecretKind = "shared"
    tag_slugs: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]


@routes.post("/api/v3/secrets/tags/{secret_name}", USER, IDENTITY)
async def attach_tags(ctx: Ctx, secret_name: str, body: TagsBody) -> wire.SecretReply:
    """Add tags to a secret."""
    return wire.SecretReply.of(
        await tagging.attach(ctx, await wire.target_of(ctx, body), tidy_name(secret_name), body.type, body.tag_slugs)
    )


@routes.delete("/api/v3/secrets/tags/{secret_name}", USER, IDENTITY)
async def detach_tags(ctx: Ctx, secret_name: str, body: TagsBody) -> wire.SecretReply:
    """Take tags from a secret."""
    return wire.SecretReply.of(
        await tagging.detach(ctx, await wire.target_of(ctx, body), tidy_name(secret_name), body.type, body.tag_slugs)
    )


# --- history and search


class VersionsPage(msgspec.Struct, frozen=True, rename="camel"):
    offset: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)]


class VersionOut(Out, frozen=True, kw_only=True):
    """A secret as it was at one version."""

    id: str
    secret_id: str
    folder_id: str
    version: int
    type: str
    secret_key: str
    secret_value: str
    secret_value_hidden: bool
    secret_comment: str
    skip_multiline_encoding: bool
    tags: Sequence[wire.SecretTagOut]
    secret_metadata: Sequence[wire.SecretMetadataOut]
    actor: dict[str, str | None]
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, was: versions.SecretVersionView) -> "VersionOut":
        row, view = was.version, was.view
        return cls(
            id=row.id,
            secret_id=row.secret_id,
            folder_id=row.folder_id,
            version=row.version,
            type=row.kind,
            secret_key=row.key,
            secret_value=view.value,
            secret_value_hidden=view.is_hidden,
            secret_comment=view.comment,
            skip_multiline_encoding=bool(row.skip_multiline_encoding),
            tags=wire.SecretTagOut.every(view.tags),
            secret_metadata=[
                wire.SecretMetadataOut(key=i.key, value=i.value, is_encrypted=i.is_encrypted) for i in view.metadata
            ],
            actor={"actorType": row.actor_kind, "actorId": row.actor_id},
            created_at=iso(row.created_at),
            updated_at=iso(row.created_at),
        )


class VersionsReply(Out, frozen=True, kw_only=True):
    secret_versions: Sequence[VersionOut]
    total_count: int


@routes.get("/api/v1/secret/{secret_id}/secret-versions", USER, IDENTITY)
async def list_secret_versions(ctx: Ctx, secret_id: str, query: VersionsPage) -> VersionsReply:
    """List the versions of a secret that are kept, the newest first."""
    page = await versions.every(ctx, secret_id, query.offset, query.limit)
    return VersionsReply(secret_versions=[VersionOut.of(was) for was in page.items], total_count=page.total)


class Rollback(msgspec.Struct, frozen=True):
    version: Annotated[int, msgspec.Meta(ge=1, le=1 << 31)]


@routes.post("/api/v1/secret/{secret_id}/rollback", USER, IDENTITY)
async def roll_back_secret(ctx: Ctx, secret_id: str, body: Rollback) -> wire.SecretReply:
    """Make a secret what it was at a version, as its next version."""
    return wire.SecretReply.of(await versions.roll_back(ctx, secret_id, body.version))


class SearchReply(Out, frozen=True, kw_only=True):
    secrets: Sequence[wire.SecretOut]
    total_count: int


@routes.get("/api/v1/projects/{project_id}/secrets/search", *ALL)
async def search_secrets(ctx: Ctx, project_id: str, query: wire.SearchOptions) -> SearchReply:
    """Find secrets by name and tag across the folders of an environment; values are not part of the answer."""
    page = await search.find(
        ctx,
        search.SecretSearch(
            project_id=project_id,
            environment=query.environment,
            path=query.secret_path,
            name=query.name,
            tag_slugs=wire.split(query.tag_slugs),
            offset=query.offset,
            limit=query.limit,
        ),
    )
    return SearchReply(secrets=[wire.SecretOut.of(view) for view in page.items], total_count=page.total)
