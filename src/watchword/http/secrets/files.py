"""Export and import of secrets as files: dotenv, JSON, YAML, CSV."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.errors import Invalid
from watchword.domain.secrets.formats import MAX_TEXT, Format
from watchword.http.routing import ALL, Reply, Routes
from watchword.http.secrets import wire
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.secrets import files
from watchword.services.secrets.reading import SecretListRequest

routes = Routes("secrets")
_TYPES = {"dotenv": "text/plain", "json": "application/json", "yaml": "application/yaml", "csv": "text/csv"}


class ExportOptions(wire.ReadOptions, frozen=True, kw_only=True, rename="camel"):
    format: Format = "dotenv"
    recursive: bool = False
    tag_slugs: str = ""


@routes.get("/api/v1/projects/{project_id}/secrets/export", *ALL)
async def export_secrets(ctx: Ctx, project_id: str, query: ExportOptions) -> Reply:
    """Export the secrets of a folder, imports and references resolved, as a file."""
    if not query.view_secret_value:
        raise Invalid.of("viewSecretValue", "An export holds the values of secrets: leave it out, or list the secrets")
    target = await wire.target_of(ctx, msgspec.structs.replace(query, project_id=project_id))
    query_of_all = SecretListRequest(
        project_id=target.project_id,
        environment=target.environment,
        path=target.path,
        recursive=query.recursive,
        expand=query.expands,
        with_imports=query.imports,
        tag_slugs=wire.split(query.tag_slugs),
    )
    text = await files.export(ctx, query_of_all, query.format)
    return Reply(
        text.encode(), headers={"content-type": f"{_TYPES[query.format]}; charset=utf-8", "cache-control": "no-store"}
    )


class ImportBody(wire.FolderRef, frozen=True, kw_only=True, rename="camel"):
    format: Format
    content: Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
    on_conflict: files.OnConflict = "fail"
    dry_run: bool = False


class ImportReply(Out, frozen=True, kw_only=True):
    created: Sequence[str]
    updated: Sequence[str]
    unchanged: Sequence[str]
    skipped: Sequence[str]
    conflicting: Sequence[str]
    dry_run: bool


@routes.post("/api/v1/projects/{project_id}/secrets/import", *ALL)
async def import_secrets(ctx: Ctx, project_id: str, body: ImportBody) -> ImportReply:
    """Import the secrets of a file into a folder; with `dryRun`, only say what that would change."""
    target = await wire.target_of(ctx, msgspec.structs.replace(body, project_id=project_id))
    items = await files.read(body.format, body.content)
    done = await files.bring_in(ctx, target, items, on_conflict=body.on_conflict, dry_run=body.dry_run)
    return ImportReply(
        created=done.created,
        updated=done.updated,
        unchanged=done.unchanged,
        skipped=done.skipped,
        conflicting=done.conflicting,
        dry_run=body.dry_run,
    )
