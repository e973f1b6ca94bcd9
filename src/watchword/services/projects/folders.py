"""Folders: create with their parents, list, find, rename, delete.

Every permission is asked about the folder that holds the one in question: its environment's slug and its path.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.decode import Trimmed, checked
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.projects.records import Folder
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.projects import locations
from watchword.services.projects.locations import SecretLocation, child_path, folder_name, normal_path, parent_path
from watchword.services.secrets import relocation
from watchword.services.secrets.relocation import Shift
from watchword.services.timestamps import read_time
from watchword.store.engine import Tx
from watchword.store.projects import folders as tree

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
    """Which folders: those directly in `path`, or all below it.

    `changed_since` (ISO 8601): with secrets that changed since.
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


async def create(ctx: Ctx, given: CreateFolder) -> Folder:
    """The folder, made with its missing parents; the one that is there already where there is one."""
    scope = await enter_project(ctx, given.project_id)
    path = normal_path(given.path, "path")
    ctx.require(scope, "create", SUBJECT, environment=given.environment, secretPath=path)
    folder_name(given.name)
    environment = await locations.environment(ctx, given.project_id, given.environment)
    existing = await locations.find(ctx, given.project_id, environment.slug, child_path(path, given.name))
    if existing is not None:
        return existing.folder
    async with ctx.unit() as tx:
        parent = await locations.make_path(ctx, tx, given.project_id, environment, path)
        for one in await tree.children(tx, parent.id):
            if one.name == given.name:
                return one
        made = locations.new_folder(ctx, parent, given.name, given.description)
        await tree.add_folders(tx, [made])
        _audit(ctx, "create-folder", scope, given.environment, made, path)
    return made


async def every(ctx: Ctx, given: FolderQuery, *, ask: bool) -> list[Folder]:
    """The folders in a place; of an unknown place, none. With `ask`, only where the caller may read folders.

    The older route asks for membership only: names of folders were never hidden from members there.
    """
    scope = await enter_project(ctx, given.project_id)
    path = normal_path(given.path, "path")
    if ask and not given.recursive:
        ctx.require(scope, "read", SUBJECT, environment=given.environment, secretPath=path)
    since = None if given.changed_since is None else checked("lastSecretModified", read_time, given.changed_since)
    await locations.environment(ctx, given.project_id, given.environment)
    place = await locations.find(ctx, given.project_id, given.environment, path)
    if place is None:
        return []
    async with ctx.view() as tx:
        found = await (tree.descendants(tx, place.folder) if given.recursive else tree.children(tx, place.folder.id))
    if ask and given.recursive:
        found = [one for one in found if _may_see(ctx, scope, given.environment, one)]
    return [one for one in found if since is None or (one.last_secret_modified_at or 0) >= since]


def _may_see(ctx: Ctx, scope: ProjectScope, environment: str, folder: Folder) -> bool:
    return ctx.may(scope, "read", SUBJECT, environment=environment, secretPath=parent_path(folder.path))


async def get(ctx: Ctx, folder_id: str, *, ask: bool) -> SecretLocation:
    """A folder by id, with its environment. With `ask`, only where the caller may read folders."""
    place = await locations.by_folder(ctx, folder_id)
    if place is None:
        raise _unknown(folder_id)
    scope = await enter_project(ctx, place.folder.project_id)
    if ask:
        ctx.require(
            scope, "read", SUBJECT, environment=place.environment.slug, secretPath=parent_path(place.folder.path)
        )
    return place


async def rename(ctx: Ctx, given: FolderByName, name: str, description: str | None = None) -> Folder:
    """Give a folder another name; the paths of all below it follow. What names the old path is not rewritten.

    At another path other rules hold for all that is in it, so that asks for the rights over it at both.
    """
    one = RenameFolder(
        id=given.id_or_name, environment=given.environment, name=name, path=given.path, description=description
    )
    return (await rename_many(ctx, given.project_id, [one]))[0]


async def rename_many(ctx: Ctx, project_id: str, given: Sequence[RenameFolder]) -> list[Folder]:
    """Give several folders of a project other names: all, or none when one cannot be."""
    scope = await enter_project(ctx, project_id)
    wanted = [(one, normal_path(one.path, "path")) for one in given]
    for one, path in wanted:
        ctx.require(scope, "edit", SUBJECT, environment=one.environment, secretPath=path)
        folder_name(one.name)
    seen = (
        await _look(ctx, scope, *wanted[0]) if len(wanted) == 1 else None
    )  # of several each begins where the one before ends
    async with ctx.unit() as tx:
        await tree.lock(tx, project_id)
        return [await _rename(ctx, tx, scope, one, path, seen) for one, path in wanted]


async def _look(ctx: Ctx, scope: ProjectScope, given: RenameFolder, path: str) -> relocation.CheckedMove | None:
    """Whether the caller may move all that is in the folder, looked at before the unit. Raises PermissionDenied."""
    if relocation.is_free(ctx, scope, relocation.MOVED):
        return None
    named = FolderByName(project_id=scope.project.id, environment=given.environment, path=path, id_or_name=given.id)
    async with ctx.view() as tx:
        found, _ = await _located(tx, named, by_name=False)
    whole = normal_path(child_path(path, given.name), "path")
    if whole == found.path:
        return None

    async def load(tx: Tx) -> list[Shift]:
        return _shifts(given.environment, found, whole, await tree.subtree(tx, found, holds=False))

    return await relocation.look(ctx, scope, relocation.MOVED, load, (given.environment, found.path))


def _shifts(environment: str, folder: Folder, whole: str | None, folders: Sequence[tuple[str, str]]) -> list[Shift]:
    """Where these folders, of which `folder` is the top, are and will be when it gets the path `whole`, or is
    deleted.
    """
    return [
        Shift(
            folder_id=id,
            old=(environment, at),
            new=None if whole is None else (environment, whole + at.removeprefix(folder.path)),
            is_top=id == folder.id,
        )
        for id, at in folders
    ]


async def _rename(
    ctx: Ctx, tx: Tx, scope: ProjectScope, given: RenameFolder, path: str, seen: relocation.CheckedMove | None
) -> Folder:
    named = FolderByName(project_id=scope.project.id, environment=given.environment, path=path, id_or_name=given.id)
    found, siblings = await _located(tx, named, by_name=False)
    if any(one.name == given.name and one.id != found.id for one in siblings):
        raise BadRequest(NAME_TAKEN)
    whole = normal_path(child_path(path, given.name), "path")
    changed = msgspec.structs.replace(
        found,
        name=given.name,
        path=whole,
        version=found.version + 1,
        updated_at=ctx.now,
        description=found.description if given.description is None else given.description,
    )
    await tree.change_folder(
        tx,
        found,
        name=changed.name,
        path=whole,
        version=changed.version,
        updated_at=ctx.now,
        description=changed.description,
    )
    if whole != found.path:
        if await tree.longest_below(tx, found) + len(whole) - len(found.path) > locations.MAX_PATH:
            raise BadRequest("With this name the path of a folder below would be too long")
        await tree.move_below(tx, found, whole)
        if not relocation.is_free(ctx, scope, relocation.MOVED):
            moved = [
                (id, found.path + at.removeprefix(whole)) for id, at in await tree.subtree(tx, changed, holds=True)
            ]
            shifts = _shifts(given.environment, found, whole, moved)
            await relocation.require(tx, scope, relocation.MOVED, shifts, (given.environment, found.path), seen)
    _audit(ctx, "update-folder", scope, given.environment, changed, path, oldFolderName=found.name)
    return changed


async def remove(ctx: Ctx, given: FolderByName, *, with_content: bool) -> Folder:
    """Delete a folder by id or by name. Raises BadRequest for one that is not empty, unless `with_content`.

    With its content asks for the right to delete each of it: secrets, folders and imports.
    """
    scope = await enter_project(ctx, given.project_id)
    path = normal_path(given.path, "path")
    ctx.require(scope, "delete", SUBJECT, environment=given.environment, secretPath=path)
    named = msgspec.structs.replace(given, path=path)
    seen = await _look_at_content(ctx, scope, named) if with_content else None
    async with ctx.unit() as tx:
        await tree.lock(tx, given.project_id)
        found, _ = await _located(tx, named, by_name=True)
        if not with_content and not await tree.is_empty(tx, found.id):
            raise BadRequest("The folder is not empty: send forceDelete to delete it with all that is in it")
        if with_content and not relocation.is_free(ctx, scope, relocation.REMOVED):
            shifts = _shifts(given.environment, found, None, await tree.subtree(tx, found, holds=True))
            await relocation.require(tx, scope, relocation.REMOVED, shifts, (given.environment, found.path), seen)
        await tree.remove_folder(tx, found)
        _audit(ctx, "delete-folder", scope, given.environment, found, path)
    return found


async def _look_at_content(ctx: Ctx, scope: ProjectScope, given: FolderByName) -> relocation.CheckedMove | None:
    """Whether the caller may delete all that is in the folder, looked at before the unit. Raises PermissionDenied."""
    if relocation.is_free(ctx, scope, relocation.REMOVED):
        return None
    async with ctx.view() as tx:
        found, _ = await _located(tx, given, by_name=True)

    async def load(tx: Tx) -> list[Shift]:
        return _shifts(given.environment, found, None, await tree.subtree(tx, found, holds=False))

    return await relocation.look(ctx, scope, relocation.REMOVED, load, (given.environment, found.path))


async def _located(tx: Tx, given: FolderByName, *, by_name: bool) -> tuple[Folder, Sequence[Folder]]:
    """The folder and all that are in the same one.

    The place was named in the permission, so the folder must be there.
    """
    place = await tree.at(tx, given.project_id, given.environment, given.path)
    siblings = await tree.children(tx, place[1].id) if place else []
    found = next((one for one in siblings if one.id == given.id_or_name), None)
    if found is None and by_name:
        found = next((one for one in siblings if one.name == given.id_or_name), None)
    if found is None:
        raise _unknown(given.id_or_name)
    return found, siblings


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
