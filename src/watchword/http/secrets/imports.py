"""Secret imports, versions 1 and 2 of the API: they differ in the name of the project's id only."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from watchword.domain.decode import Trimmed
from watchword.http.routing import ALL, USER, Routes
from watchword.http.secrets import wire
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.projects.locations import place_meant, project_meant
from watchword.services.secrets import imports, reading
from watchword.services.secrets.imports import Import, ImportSource
from watchword.services.secrets.writing import Target
from watchword.services.timestamps import iso

routes = Routes("secret imports")
_V1 = "/api/v1/secret-imports"
_V2 = "/api/v2/secret-imports"


class ImportFolderRef(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    workspace_id: Trimmed = ""
    project_id: Trimmed = ""
    workspace_slug: Trimmed = ""
    project_slug: Trimmed = ""
    environment: Trimmed = ""
    path: Trimmed | None = None
    secret_path: Trimmed | None = None

    async def target(self, ctx: Ctx) -> Target:
        """The folder that imports."""
        project_id = await project_meant(
            ctx, self.project_id or self.workspace_id, self.project_slug or self.workspace_slug
        )
        environment, path = place_meant(ctx, self.environment, self.path or self.secret_path)
        return Target(project_id=project_id, environment=environment, path=path)


class NewSource(msgspec.Struct, frozen=True, kw_only=True):
    environment: Trimmed
    path: Trimmed = "/"


class CreateImportBody(ImportFolderRef, frozen=True, kw_only=True, rename="camel"):
    """What to import, and where.

    `isReplication` (default false): show copies of the source's secrets, which follow it within seconds and are made
    with the creator's rights, instead of the source's secrets themselves.
    """

    import_: NewSource = msgspec.field(name="import")
    is_replication: bool = False


class ChangedSource(msgspec.Struct, frozen=True, kw_only=True):
    environment: Trimmed | None = None
    path: Trimmed | None = None
    position: Annotated[int, msgspec.Meta(ge=1, le=100_000)] | None = None


class UpdateBody(ImportFolderRef, frozen=True, kw_only=True, rename="camel"):
    import_: ChangedSource = msgspec.field(name="import")


class ImportOut(Out, frozen=True, kw_only=True):
    """An import.

    Of a replicated one: `isReplicationSuccess` says whether its last run copied everything, `replicationStatus` why
    not, and `lastReplicated` when it was; all are null before the first run, and for other imports.
    """

    id: str
    version: int
    import_path: str
    position: int
    created_at: str
    updated_at: str
    folder_id: str
    is_replication: bool
    is_replication_success: bool | None = None
    replication_status: str | None = None
    last_replicated: str | None = None
    is_reserved: bool = False
    import_env: Mapping[str, str]

    @classmethod
    def of(cls, imported: Import) -> "ImportOut":
        row, source, replication = imported.link.record, imported.link.source, imported.replication
        last = None if replication is None else replication.replicated_at
        return cls(
            id=row.id,
            version=row.version,
            import_path=row.source_path,
            position=row.position,
            created_at=iso(row.created_at),
            updated_at=iso(row.updated_at),
            folder_id=row.folder_id,
            is_replication=row.is_replication,
            is_replication_success=None if replication is None else replication.is_success,
            replication_status=None if replication is None else replication.status,
            last_replicated=None if last is None else iso(last),
            import_env={"name": source.name, "slug": source.slug, "id": source.id},
        )


class PlacedImportOut(ImportOut, frozen=True, kw_only=True):
    """An import with the folder that it is in."""

    environment: Mapping[str, str]
    project_id: str
    secret_path: str

    @classmethod
    def of(cls, imported: Import) -> "PlacedImportOut":
        bare, place = ImportOut.of(imported), imported.location
        return cls(
            **msgspec.structs.asdict(bare),
            project_id=place.folder.project_id,
            secret_path=place.folder.path,
            environment={"id": place.environment.id, "name": place.environment.name, "slug": place.environment.slug},
        )


class ImportReply(Out, frozen=True, kw_only=True):
    message: str
    secret_import: ImportOut


class ImportsReply(Out, frozen=True, kw_only=True):
    message: str
    secret_imports: Sequence[ImportOut]


class PlacedReply(Out, frozen=True, kw_only=True):
    secret_import: PlacedImportOut


class GroupsReply(Out, frozen=True, kw_only=True):
    secrets: Sequence[wire.ImportedGroupOut]


@routes.older("POST", _V1, *ALL)
@routes.post(_V2, *ALL)
async def create_import(ctx: Ctx, body: CreateImportBody) -> ImportReply:
    """Let a folder show the secrets of another place as well, or copies of them."""
    source = ImportSource(environment=body.import_.environment, path=body.import_.path)
    created = await imports.create(ctx, await body.target(ctx), source, is_replication=body.is_replication)
    return ImportReply(message="Successfully created secret import", secret_import=ImportOut.of(created))


@routes.older("GET", _V1, *ALL)
@routes.get(_V2, *ALL)
async def list_imports(ctx: Ctx, query: ImportFolderRef) -> ImportsReply:
    """List the imports of a folder in their order; secrets of later ones win."""
    imported = await imports.every(ctx, await query.target(ctx))
    return ImportsReply(
        message="Successfully fetched secret imports", secret_imports=[ImportOut.of(entry) for entry in imported]
    )


@routes.older("GET", _V1 + "/{import_id}", *ALL)
@routes.get(_V2 + "/{import_id}", *ALL)
async def get_import(ctx: Ctx, import_id: str) -> PlacedReply:
    """Read an import."""
    return PlacedReply(secret_import=PlacedImportOut.of(await imports.get(ctx, import_id)))


@routes.older("PATCH", _V1 + "/{import_id}", *ALL)
@routes.patch(_V2 + "/{import_id}", *ALL)
async def update_import(ctx: Ctx, import_id: str, body: UpdateBody) -> ImportReply:
    """Let an import show another place, or stand at another position."""
    changes = body.import_
    source = ImportSource(environment=changes.environment or None, path=changes.path)
    updated = await imports.update(ctx, await body.target(ctx), import_id, source, changes.position)
    return ImportReply(message="Successfully updated secret import", secret_import=ImportOut.of(updated))


@routes.older("DELETE", _V1 + "/{import_id}", *ALL)
@routes.delete(_V2 + "/{import_id}", *ALL)
async def delete_import(ctx: Ctx, import_id: str, body: ImportFolderRef) -> ImportReply:
    """Delete an import; the secrets stay where they are."""
    removed = await imports.remove(ctx, await body.target(ctx), import_id)
    return ImportReply(message="Successfully deleted secret import", secret_import=ImportOut.of(removed))


@routes.older("GET", _V1 + "/secrets/raw", *ALL)
@routes.get(_V2 + "/secrets/raw", *ALL)
async def list_imported_secrets(ctx: Ctx, query: ImportFolderRef) -> GroupsReply:
    """List what the imports of a folder bring in, with references filled in."""
    target = await query.target(ctx)
    expanded = reading.SecretListRequest(
        project_id=target.project_id, environment=target.environment, path=target.path, expand=True
    )
    return GroupsReply(secrets=await wire.ImportedGroupOut.in_pieces(await reading.imported(ctx, expanded)))


@routes.older("POST", _V1 + "/{import_id}/replication-resync", USER)
@routes.post(_V2 + "/{import_id}/replication-resync", USER)
async def resync_import(ctx: Ctx, import_id: str, body: ImportFolderRef) -> dict[str, Any]:
    """Bring the copies of a replicated import up to date now."""
    del body
    await imports.resync(ctx, import_id)
    return {"message": "Replicated the import"}
