"""Handlers shared by both versions of the secrets API, which differ only in paths and defaults."""

from typing import Literal

from watchword.domain.errors import Invalid
from watchword.domain.secrets.texts import checked_name, tidy_name
from watchword.http.secrets import wire
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.secrets import moving, reading, writing
from watchword.services.secrets.targets import project_id
from watchword.services.secrets.writing import Target

Personal = Literal["none", "beside", "instead"]


class MoveReply(Out, frozen=True, kw_only=True):
    is_source_updated: bool
    is_destination_updated: bool


async def get(ctx: Ctx, name: str, query: wire.OneOptions, *, expands: bool, imports: bool) -> wire.SecretReply:
    """One secret by name."""
    target = await wire.target_of(ctx, query)
    secret = await reading.get(
        ctx,
        reading.SecretRequest(
            project_id=target.project_id,
            environment=target.environment,
            path=target.path,
            name=name,
            kind=query.type,
            version=query.version,
            show=query.view_secret_value,
            expand=query.expands(default=expands),
            with_imports=query.imports(default=imports),
        ),
    )
    return wire.SecretReply.of(secret)


async def every(
    ctx: Ctx, query: wire.ListOptions, *, expands: bool, imports: bool, personal: Personal, must_exist: bool
) -> wire.SecretListReply:
    """The secrets of a folder."""
    target = await wire.target_of(ctx, query)
    with_imports = query.imports(default=imports)
    secrets = await reading.list_secrets(
        ctx,
        reading.SecretListRequest(
            project_id=target.project_id,
            environment=target.environment,
            path=target.path,
            recursive=query.recursive,
            show=query.view_secret_value,
            expand=query.expands(default=expands),
            with_imports=with_imports,
            personal=personal,
            tag_slugs=query.slugs,
            metadata=query.pairs,
            must_exist=must_exist,
        ),
    )
    return wire.SecretListReply(
        secrets=await wire.SecretOut.in_pieces(secrets.secrets),
        imports=await wire.ImportedGroupOut.in_pieces(secrets.imports) if with_imports else None,
    )


async def create(ctx: Ctx, name: str, body: wire.CreateSecretBody) -> wire.SecretReply:
    """Create one secret."""
    item = body.new(name, body.secret_value)
    return wire.SecretReply.of((await writing.create(ctx, await wire.target_of(ctx, body), [item]))[0])


async def change(ctx: Ctx, name: str, body: wire.ChangeBody) -> wire.SecretReply:
    """Change one secret."""
    item = body.change(name)
    return wire.SecretReply.of((await writing.change(ctx, await wire.target_of(ctx, body), [item]))[0])


async def remove(ctx: Ctx, name: str, body: wire.DeleteBody) -> wire.SecretReply:
    """Delete one secret."""
    return wire.SecretReply.of(
        (await writing.remove(ctx, await wire.target_of(ctx, body), [(tidy_name(name), body.type)]))[0]
    )


async def create_batch(ctx: Ctx, body: wire.CreateBatch) -> wire.SecretsReply:
    """Create secrets, all or none."""
    items = [item.new(item.secret_key, item.secret_value, "secrets", i) for i, item in enumerate(body.secrets)]
    return wire.SecretsReply.of(await writing.create(ctx, await wire.target_of(ctx, body), items, is_batch=True))


async def change_batch(ctx: Ctx, body: wire.ChangeBatch) -> wire.SecretsReply:
    """Change secrets, all or none."""
    items = [item.change(item.secret_key, "secrets", i) for i, item in enumerate(body.secrets)]
    if body.mode == "upsert":
        for i, item in enumerate(items):
            checked_name(item.name, "secrets", i, "secretKey")
            if not isinstance(item.value, str):
                raise Invalid.of(("secrets", i, "secretValue"), "A secret that may have to be created needs a value")
    return wire.SecretsReply.of(
        await writing.change(ctx, await wire.target_of(ctx, body), items, mode=body.mode, is_batch=True)
    )


async def remove_batch(ctx: Ctx, body: wire.DeleteBatch) -> wire.SecretsReply:
    """Delete secrets, all or none."""
    items = [(tidy_name(item.secret_key), item.type) for item in body.secrets]
    return wire.SecretsReply.of(await writing.remove(ctx, await wire.target_of(ctx, body), items, is_batch=True))


async def move(ctx: Ctx, body: wire.MoveBody) -> MoveReply:
    """Move secrets to another folder."""
    of = await project_id(ctx, body.project_id or body.workspace_id, body.project_slug)
    await moving.move(
        ctx,
        Target(project_id=of, environment=body.source_environment, path=body.source_secret_path),
        Target(project_id=of, environment=body.destination_environment, path=body.destination_secret_path),
        body.secret_ids,
        overwrite=body.should_overwrite,
    )
    return MoveReply(is_source_updated=True, is_destination_updated=True)
