"""Folders: create with their parents, list, find, rename, delete.

Every permission is asked about the parent folder: its environment's slug and its path.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.decode import Trimmed, checked
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.projects.records import Folder
from watchword.domain.secrets.replicas import is_replica, shown_path
from watchword.services.access.scopes import ProjectScope, enter_project, is_out_of_reach
from watchword.services.context import Ctx
from watchword.services.projects import locations
from watchword.services.projects.locations import SecretLocation, child_path, folder_name, normal_path, parent_path
from watchword.services.projects.webhooks import FoldersView, tell_of_folders
from watchword.services.secrets import relocation
from watchword.services.secrets.relocation import Shift
from watchword.services.timestamps import read_time
from watchword.store.engine import Tx
from watchword.store.projects import folders

SUBJECT = "secret-folders"
NAME_TAKEN = "There is a folder with this name already"

Description = Annotated[str, msgspec.Meta(max_length=1_000)]


class CreateFolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder called `name` in the folder at `path`."""

    project_id: str
    environment: str
    name: str
    path: str = "/"
    description: str | None = None


class FolderQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The folders directly in `path`, or all below it.

    `changed_since` (ISO 8601): only folders with secrets that changed since.
    """

    project_id: str
    environment: str
    path: str = "/"
    recursive: bool = False
    changed_since: str | None = None


class FolderByName(msgspec.Struct, frozen=True, kw_only=True):
    """The folder in `path` that has this id or name."""

    project_id: str
    environment: str
    path: str = "/"
    id_or_name: str


class RenameFolder(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One of a batch of renames: the folder with this id in `path`."""

    id: Trimmed
    environment: Trimmed
    name: Trimmed
    path: Trimmed = "/"
    description: Description | None = None


async def create(ctx: Ctx, body: CreateFolder) -> Folder:
    """Create a folder with its missing parents; return the existing folder if there is one."""
    scope = await enter_project(ctx, body.project_id)
    path = normal_path(body.path, "path")
    ctx.require(scope, "create", SUBJECT, environment=body.environment, secretPath=path)
    folder_name(body.name)
    environment = await locations.environment(ctx, body.project_id, body.environment)
    existing = await locations.find(ctx, body.project_id, environment.slug, child_path(path, body.name))
    if existing is not None:
        return existing.folder
    async with ctx.unit() as tx:
        parent = await locations.make_path(ctx, tx, body.project_id, environment, path)
        for sibling in await folders.children(tx, parent.id):
            if sibling.name == body.name:
                return sibling
        folder = locations.new_folder(ctx, parent, body.name, body.description)
        await folders.add_folders(tx, [folder])
        _audit(ctx, "create-folder", scope, body.environment, folder, path)
    return folder


async def every(ctx: Ctx, body: FolderQuery, *, ask: bool) -> list[Folder]:
    """List the folders in a location; none in an unknown one. With `ask`, only those that the caller may read.

    The older route asks for membership only: names of folders were never hidden from members there.
    """
    scope = await enter_project(ctx, body.project_id)
    path = normal_path(body.path, "path")
    if ask and not body.recursive:
        ctx.require(scope, "read", SUBJECT, environment=body.environment, secretPath=path)
    since = None if body.changed_since is None else checked("lastSecretModified", read_time, body.changed_since)
    await locations.environment(ctx, body.project_id, body.environment)
    location = await locations.find(ctx, body.project_id, body.environment, path)
    if location is None:
        return []
    async with ctx.view() as tx:
        rows = await (
            folders.descendants(tx, location.folder) if body.recursive else folders.children(tx, location.folder.id)
        )
    rows = [folder for folder in rows if not is_replica(folder.name)]
    if ask and body.recursive:
        rows = [folder for folder in rows if _may_see(ctx, scope, body.environment, folder)]
    return [folder for folder in rows if since is None or (folder.last_secret_modified_at or 0) >= since]


def _may_see(ctx: Ctx, scope: ProjectScope, environment: str, folder: Folder) -> bool:
    return ctx.may(scope, "read", SUBJECT, environment=environment, secretPath=parent_path(folder.path))


async def get(ctx: Ctx, folder_id: str, *, ask: bool) -> SecretLocation:
    """Return a folder by id, with its environment. With `ask`, only where the caller may read folders."""
    location = await locations.by_folder(ctx, folder_id)
    if location is None or is_replica(location.folder.name) or await is_out_of_reach(ctx, location.folder.project_id):
        raise _unknown(folder_id)
    scope = await enter_project(ctx, location.folder.project_id)
    if ask:
        ctx.require(
            scope, "read", SUBJECT, environment=location.environment.slug, secretPath=parent_path(location.folder.path)
        )
    return location


async def rename(ctx: Ctx, body: FolderByName, name: str, description: str | None = None) -> Folder:
    """Rename a folder; the paths of all folders below follow. Rules and references with the old path are not rewritten.

    At another path other rules apply to everything in it, so a rename needs the rights over it at both.
    """
    renaming = RenameFolder(
        id=body.id_or_name, environment=body.environment, name=name, path=body.path, description=description
    )
    return (await rename_many(ctx, body.project_id, [renaming], ()))[0]


async def rename_many(
    ctx: Ctx, project_id: str, bodies: Sequence[RenameFolder], where: tuple[str, ...] = ("folders",)
) -> list[Folder]:
    """Rename several folders of a project: all, or none when one cannot be renamed.

    `where` is the list of them in the request, () for a request of one. Raises Invalid.
    """
    scope = await enter_project(ctx, project_id)
    wanted = []
    for number, body in enumerate(bodies):
        place: tuple[str | int, ...] = (*where, number) if where else ()
        path = normal_path(body.path, (*place, "path"))
        ctx.require(scope, "edit", SUBJECT, environment=body.environment, secretPath=path)
        normal_path(child_path(path, folder_name(body.name, (*place, "name"))), (*place, "path"))
        wanted.append((body, path))
    seen = (
        await _precheck(ctx, scope, *wanted[0]) if len(wanted) == 1 else None
    )  # of several each begins where the one before ends
    async with ctx.unit() as tx:
        await folders.lock(tx, project_id)
        return [await _rename(ctx, tx, scope, body, path, seen) for body, path in wanted]


async def _precheck(ctx: Ctx, scope: ProjectScope, body: RenameFolder, path: str) -> relocation.CheckedMove | None:
    """Check before the unit that the caller may move everything in the folder. Raises PermissionDenied."""
    if relocation.is_free(ctx, scope, relocation.MOVED):
        return None
    named = FolderByName(project_id=scope.project.id, environment=body.environment, path=path, id_or_name=body.id)
    async with ctx.view() as tx:
        folder, _ = await _located(tx, named, by_name=False)
    new_path = normal_path(child_path(path, body.name), "path")
    if new_path == folder.path:
        return None

    async def load(tx: Tx) -> list[Shift]:
        return _shifts(body.environment, folder, new_path, await folders.subtree(tx, folder, holds=False))

    return await relocation.precheck(ctx, scope, relocation.MOVED, load, (body.environment, folder.path))


def _shifts(
    environment: str, folder: Folder, new_path: str | None, folder_paths: Sequence[tuple[str, str]]
) -> list[Shift]:
    """Return the old and new locations of `folder` and all below it when it gets `new_path`, or is deleted (None)."""
    return [
        Shift(
            folder_id=id,
            old=(environment, shown_path(path)),
            new=None if new_path is None else (environment, shown_path(new_path + path.removeprefix(folder.path))),
            is_top=id == folder.id or shown_path(path) != path,  # copies come and go with the import
        )
        for id, path in folder_paths
    ]


async def _rename(
    ctx: Ctx, tx: Tx, scope: ProjectScope, body: RenameFolder, path: str, seen: relocation.CheckedMove | None
) -> Folder:
    named = FolderByName(project_id=scope.project.id, environment=body.environment, path=path, id_or_name=body.id)
    folder, siblings = await _located(tx, named, by_name=False)
    if any(sibling.name == body.name and sibling.id != folder.id for sibling in siblings):
        raise BadRequest(NAME_TAKEN)
    new_path = normal_path(child_path(path, body.name), "path")
    changed = msgspec.structs.replace(
        folder,
        name=body.name,
        path=new_path,
        version=folder.version + 1,
        updated_at=ctx.now,
        description=folder.description if body.description is None else body.description,
    )
    await folders.change_folder(
        tx,
        folder,
        name=changed.name,
        path=new_path,
        version=changed.version,
        updated_at=ctx.now,
        description=changed.description,
    )
    if new_path != folder.path:
        if await folders.longest_below(tx, folder) + len(new_path) - len(folder.path) > locations.MAX_PATH:
            raise BadRequest("With this name the path of a folder below would be too long")
        await folders.move_below(tx, folder, new_path)
        await _tell(ctx, tx, scope, body.environment, changed, folder.path)
        if not relocation.is_free(ctx, scope, relocation.MOVED):
            moved = [
                (id, folder.path + below.removeprefix(new_path))
                for id, below in await folders.subtree(tx, changed, holds=True)
            ]
            shifts = _shifts(body.environment, folder, new_path, moved)
            await relocation.require(tx, scope, relocation.MOVED, shifts, (body.environment, folder.path), seen)
    _audit(ctx, "update-folder", scope, body.environment, changed, path, oldFolderName=folder.name)
    return changed


async def remove(ctx: Ctx, body: FolderByName, *, with_content: bool) -> Folder:
    """Delete a folder by id or by name. Raises BadRequest for one that is not empty, unless `with_content`.

    With its content, the caller needs the right to delete everything in it: secrets, folders and imports.
    """
    scope = await enter_project(ctx, body.project_id)
    path = normal_path(body.path, "path")
    ctx.require(scope, "delete", SUBJECT, environment=body.environment, secretPath=path)
    named = msgspec.structs.replace(body, path=path)
    seen = await _precheck_content(ctx, scope, named) if with_content else None
    async with ctx.unit() as tx:
        await folders.lock(tx, body.project_id)
        folder, _ = await _located(tx, named, by_name=True)
        if not with_content and not await folders.is_empty(tx, folder.id):
            raise BadRequest("The folder is not empty: send forceDelete to delete it with all that is in it")
        if with_content and not relocation.is_free(ctx, scope, relocation.REMOVED):
            shifts = _shifts(body.environment, folder, None, await folders.subtree(tx, folder, holds=True))
            await relocation.require(tx, scope, relocation.REMOVED, shifts, (body.environment, folder.path), seen)
        if with_content:
            await _tell(ctx, tx, scope, body.environment, folder)
        await folders.remove_folder(tx, folder)
        _audit(ctx, "delete-folder", scope, body.environment, folder, path)
    return folder


async def _tell(
    ctx: Ctx, tx: Tx, scope: ProjectScope, environment: str, folder: Folder, old_path: str | None = None
) -> None:
    """Store what webhooks are told of a folder with all that is below it, and of the path that it had before."""
    paths = [folder.path] if old_path is None else [old_path, folder.path]
    await tell_of_folders(
        ctx,
        tx,
        scope.project,
        lambda: folders.subtree(tx, folder, holds=False),
        [FoldersView(folder.environment_id, environment, folder.path, path) for path in paths],
    )


async def _precheck_content(ctx: Ctx, scope: ProjectScope, body: FolderByName) -> relocation.CheckedMove | None:
    """Check before the unit that the caller may delete everything in the folder. Raises PermissionDenied."""
    if relocation.is_free(ctx, scope, relocation.REMOVED):
        return None
    async with ctx.view() as tx:
        folder, _ = await _located(tx, body, by_name=True)

    async def load(tx: Tx) -> list[Shift]:
        return _shifts(body.environment, folder, None, await folders.subtree(tx, folder, holds=False))

    return await relocation.precheck(ctx, scope, relocation.REMOVED, load, (body.environment, folder.path))


async def _located(tx: Tx, body: FolderByName, *, by_name: bool) -> tuple[Folder, Sequence[Folder]]:
    """Return the folder, and all folders with the same parent.

    Permission was asked for this location, so a folder elsewhere does not count. Raises NotFound.
    """
    location = await folders.at(tx, body.project_id, body.environment, body.path)
    siblings = [
        sibling
        for sibling in (await folders.children(tx, location[1].id) if location else ())
        if not is_replica(sibling.name)
    ]
    folder = next((sibling for sibling in siblings if sibling.id == body.id_or_name), None)
    if folder is None and by_name:
        folder = next((sibling for sibling in siblings if sibling.name == body.id_or_name), None)
    if folder is None:
        raise _unknown(body.id_or_name)
    return folder, siblings


def _unknown(id_or_name: str) -> NotFound:
    return NotFound(f"There is no folder {id_or_name[:64]!r} here")


def _audit(
    ctx: Ctx, event: str, scope: ProjectScope, environment: str, folder: Folder, path: str, **more: object
) -> None:
    ctx.audit(
        event,
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=environment,
        folderId=folder.id,
        folderName=folder.name,
        folderPath=path,
        **more,
    )
