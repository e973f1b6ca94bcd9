"""Secrets: versions 3 and 4 of the API are the same acts, with other defaults where secrets are read."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.errors import Invalid
from watchword.domain.secrets.records import SecretKind
from watchword.domain.secrets.texts import checked_name, tidy_name
from watchword.http.routing import ALL, IDENTITY, USER, Routes
from watchword.http.secrets import wire
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.projects.locations import project_meant
from watchword.services.secrets import moving, reading, search, tagging, writing
from watchword.services.secrets.writing import NamedSecret, Target

routes = Routes("secrets")
_V3 = "/api/v3/secrets"
_V4 = "/api/v4/secrets"


@routes.older("GET", _V3 + "/raw", *ALL, query=wire.OlderListOptions, hot=True)
@routes.get(_V4, *ALL, hot=True)
async def list_secrets(ctx: Ctx, query: wire.ListOptions) -> wire.SecretListReply:
    """List the secrets of a folder.

    Version 4 shows imports and fills references in unless the query says otherwise; it lists shared secrets, with
    `includePersonalOverrides` a person's own in their place. Version 3 shows what is stored, a person's own secrets
    beside the shared ones. An unknown environment or folder is a 404.
    """
    target = await wire.target_of(ctx, query)
    with_imports = query.imports
    secrets = await reading.list_secrets(
        ctx,
        reading.SecretListRequest(
            project_id=target.project_id,
            environment=target.environment,
            path=target.path,
            recursive=query.recursive,
            show=query.view_secret_value,
            expand=query.expands,
            with_imports=with_imports,
            personal=query.personal,
            tag_slugs=query.slugs,
            metadata=query.pairs,
        ),
    )
    return wire.SecretListReply(
        secrets=await wire.SecretOut.in_pieces(secrets.secrets),
        imports=await wire.ImportedGroupOut.in_pieces(secrets.imports) if with_imports else None,
    )


@routes.older("GET", _V3 + "/raw/{secret_name}", *ALL, query=wire.OlderOneOptions, hot=True)
@routes.get(_V4 + "/{secret_name}", *ALL, hot=True)
async def get_secret(ctx: Ctx, secret_name: str, query: wire.WaitingOneOptions) -> wire.SecretReply:
    """Read one secret by name."""
    target = await wire.target_of(ctx, query)
    secret = await reading.get(
        ctx,
        reading.SecretRequest(
            project_id=target.project_id,
            environment=target.environment,
            path=target.path,
            name=secret_name,
            kind=query.type,
            version=query.version,
            show=query.view_secret_value,
            expand=query.expands,
            with_imports=query.imports,
        ),
    )
    return wire.SecretReply.of(secret)


@routes.get(_V4 + "/batch", *ALL)
async def get_secret_called_batch(ctx: Ctx, query: wire.WaitingOneOptions) -> wire.SecretReply:
    """Read the secret that has the name of another route."""
    return await get_secret(ctx, "batch", query)


@routes.get(_V4 + "/move", *ALL)
async def get_secret_called_move(ctx: Ctx, query: wire.WaitingOneOptions) -> wire.SecretReply:
    """Read the secret that has the name of another route."""
    return await get_secret(ctx, "move", query)


@routes.older("GET", _V3 + "/raw/id/{secret_id}", *ALL)
@routes.get(_V4 + "/id/{secret_id}", *ALL)
async def get_secret_by_id(ctx: Ctx, secret_id: str, query: wire.Waiting) -> wire.SecretReply:  # noqa: ARG001
    """Read one secret by id. It can be waited for, as one that is read by name."""
    return wire.SecretReply.of(await reading.by_id(ctx, secret_id))


@routes.older("POST", _V3 + "/raw/{secret_name}", *ALL, hot=True)
@routes.post(_V4 + "/{secret_name}", *ALL, hot=True)
async def create_secret(ctx: Ctx, secret_name: str, body: wire.CreateSecretBody) -> wire.SecretReply:
    """Create a secret."""
    item = body.new(secret_name, body.secret_value)
    return wire.SecretReply.of((await writing.create(ctx, await wire.target_of(ctx, body), [item]))[0])


@routes.older("PATCH", _V3 + "/raw/{secret_name}", *ALL, hot=True)
@routes.patch(_V4 + "/{secret_name}", *ALL, hot=True)
async def update_secret(ctx: Ctx, secret_name: str, body: wire.ChangeBody) -> wire.SecretReply:
    """Change a secret; what is not said stays. References follow a new name."""
    item = body.change(secret_name)
    return wire.SecretReply.of((await writing.change(ctx, await wire.target_of(ctx, body), [item]))[0])


@routes.older("DELETE", _V3 + "/raw/{secret_name}", *ALL, hot=True)
@routes.delete(_V4 + "/{secret_name}", *ALL, hot=True)
async def delete_secret(ctx: Ctx, secret_name: str, body: wire.DeleteBody) -> wire.SecretReply:
    """Delete a secret; with a shared one go all that override it."""
    item = NamedSecret(name=tidy_name(secret_name), kind=body.type)
    return wire.SecretReply.of((await writing.remove(ctx, await wire.target_of(ctx, body), [item]))[0])


@routes.older("POST", _V3 + "/batch/raw", *ALL)
@routes.post(_V4 + "/batch", *ALL)
async def create_secrets(ctx: Ctx, body: wire.CreateBatch) -> wire.SecretsReply:
    """Create up to 500 secrets: all or none. An item goes where its own `environment` and `secretPath` say."""
    target = await wire.target_of(ctx, body)
    items = [
        item.new(item.secret_key, item.secret_value, "secrets", i, place=wire.place_of(item, target, i))
        for i, item in enumerate(body.secrets)
    ]
    return await wire.SecretsReply.in_pieces(await writing.create(ctx, target, items, is_batch=True))


@routes.older("PATCH", _V3 + "/batch/raw", *ALL)
@routes.patch(_V4 + "/batch", *ALL)
async def update_secrets(ctx: Ctx, body: wire.ChangeBatch) -> wire.SecretsReply:
    """Change up to 500 secrets: all or none. `mode` says what becomes of unknown names.

    An item is looked for where its own `environment` and `secretPath` say. All names are those from before the request,
    so secrets may take each other's names.
    """
    target = await wire.target_of(ctx, body)
    items = [
        item.change(item.secret_key, "secrets", i, place=wire.place_of(item, target, i))
        for i, item in enumerate(body.secrets)
    ]
    if body.mode == "upsert":
        for i, item in enumerate(items):
            checked_name(item.name, "secrets", i, "secretKey")
            if not isinstance(item.value, str):
                raise Invalid.of(("secrets", i, "secretValue"), "A secret that may have to be created needs a value")
    return await wire.SecretsReply.in_pieces(await writing.change(ctx, target, items, mode=body.mode, is_batch=True))


@routes.older("DELETE", _V3 + "/batch/raw", *ALL)
@routes.delete(_V4 + "/batch", *ALL)
async def delete_secrets(ctx: Ctx, body: wire.DeleteBatch) -> wire.SecretsReply:
    """Delete up to 500 secrets: all or none. An item is looked for where its `environment` and `secretPath` say."""
    target = await wire.target_of(ctx, body)
    items = []
    for i, item in enumerate(body.secrets):
        environment, path = wire.place_of(item, target, i)
        name = tidy_name(item.secret_key)
        items.append(NamedSecret(name=name, kind=item.type, environment=environment, path=path))
    return await wire.SecretsReply.in_pieces(await writing.remove(ctx, target, items, is_batch=True))


class MoveReply(Out, frozen=True, kw_only=True):
    is_source_updated: bool
    is_destination_updated: bool


@routes.older("POST", _V3 + "/move", USER, IDENTITY)
@routes.post(_V4 + "/move", *ALL)
async def move_secrets(ctx: Ctx, body: wire.MoveBody) -> MoveReply:
    """Move secrets to another folder or environment."""
    of = await project_meant(ctx, body.project_id or body.workspace_id, body.project_slug)
    await moving.move(
        ctx,
        Target(project_id=of, environment=body.source_environment, path=body.source_secret_path),
        Target(project_id=of, environment=body.destination_environment, path=body.destination_secret_path),
        body.secret_ids,
        overwrite=body.should_overwrite,
    )
    return MoveReply(is_source_updated=True, is_destination_updated=True)


class TagsBody(wire.FolderRef, frozen=True, kw_only=True, rename="camel"):
    type: SecretKind = "shared"
    tag_slugs: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]


@routes.post(_V3 + "/tags/{secret_name}", USER, IDENTITY)
async def attach_tags(ctx: Ctx, secret_name: str, body: TagsBody) -> wire.SecretReply:
    """Add tags to a secret."""
    return wire.SecretReply.of(
        await tagging.attach(ctx, await wire.target_of(ctx, body), tidy_name(secret_name), body.type, body.tag_slugs)
    )


@routes.delete(_V3 + "/tags/{secret_name}", USER, IDENTITY)
async def detach_tags(ctx: Ctx, secret_name: str, body: TagsBody) -> wire.SecretReply:
    """Take tags from a secret."""
    return wire.SecretReply.of(
        await tagging.detach(ctx, await wire.target_of(ctx, body), tidy_name(secret_name), body.type, body.tag_slugs)
    )


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
