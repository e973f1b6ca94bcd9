"""Folders, under the older and the newer paths."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec

from watchword.domain.decode import Trimmed
from watchword.domain.projects.records import Folder
from watchword.http.routing import IDENTITY, SERVICE, USER, Routes
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.projects import folders, projects
from watchword.services.projects.locations import SecretLocation
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("folders", is_compressed=True)


class FolderOut(Out, frozen=True, kw_only=True):
    """A folder with its path."""

    id: str
    name: str
    version: int
    created_at: str
    updated_at: str
    env_id: str
    parent_id: str | None
    is_reserved: bool = False
    description: str | None
    last_secret_modified: str | None
    path: str

    @classmethod
    def of(cls, folder: Folder) -> "FolderOut":
        """The folder as it is answered."""
        return cls(
            id=folder.id,
            name=folder.name,
            version=folder.version,
            created_at=iso(folder.created_at),
            updated_at=iso(folder.updated_at),
            env_id=folder.environment_id,
            parent_id=folder.parent_id,
            description=folder.description,
            last_secret_modified=iso_or_none(folder.last_secret_modified_at),
            path=folder.path,
        )


class EnvironmentOfFolder(Out, frozen=True, kw_only=True):
    """The environment a folder is in."""

    env_id: str
    env_name: str
    env_slug: str


class FolderInPlace(FolderOut, frozen=True, kw_only=True):
    """A folder with its environment and project."""

    environment: EnvironmentOfFolder
    project_id: str

    @classmethod
    def at(cls, place: SecretLocation) -> "FolderInPlace":
        """The folder as it is answered by id."""
        own, environment = msgspec.structs.asdict(FolderOut.of(place.folder)), place.environment
        named = EnvironmentOfFolder(env_id=environment.id, env_name=environment.name, env_slug=environment.slug)
        return cls(**own, environment=named, project_id=environment.project_id)


class FolderReply(Out, frozen=True, kw_only=True):
    """A folder."""

    folder: FolderOut


class PlaceReply(Out, frozen=True, kw_only=True):
    """A folder with its environment and project."""

    folder: FolderInPlace


class FoldersReply(Out, frozen=True, kw_only=True):
    """Folders."""

    folders: Sequence[FolderOut]


class FolderInProject(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The place of a folder: `path` of an environment."""

    project_id: Trimmed
    environment: Trimmed
    path: Trimmed | None = None
    directory: Trimmed | None = None

    @property
    def place(self) -> str:
        """The path that was meant: the CLI says `directory` where others say `path`."""
        return self.path or self.directory or "/"


class FolderNameInProject(FolderInProject, frozen=True, kw_only=True, rename="camel"):
    """The name of a new folder, or the new name of one."""

    name: Trimmed
    description: folders.Description | None = None


class ListInProject(FolderInProject, frozen=True, kw_only=True, rename="camel"):
    """Which folders."""

    asks: ClassVar[bool] = True  # for the right to read folders
    recursive: bool = False
    last_secret_modified: str | None = None


class DeleteInProject(FolderInProject, frozen=True, kw_only=True, rename="camel"):
    """Which folder, and whether with all that is in it."""

    force_delete: bool = False


# The older paths call the project a workspace.


class CreateInWorkspace(FolderNameInProject, frozen=True, kw_only=True, rename="camel"):
    """A new folder. `directory` alone was never read here, and no client sends it."""

    project_id: Trimmed = msgspec.field(name="workspaceId")

    @property
    def place(self) -> str:
        """The path that was meant."""
        return self.path or "/"


class RenameInWorkspace(FolderNameInProject, frozen=True, kw_only=True, rename="camel"):
    """A folder with its new name."""

    project_id: Trimmed = msgspec.field(name="workspaceId")


class ListInWorkspace(ListInProject, frozen=True, kw_only=True, rename="camel"):
    """Which folders; every member of the project may list them here."""

    asks: ClassVar[bool] = False
    project_id: Trimmed = msgspec.field(name="workspaceId")


class DeleteInWorkspace(FolderInProject, frozen=True, kw_only=True, rename="camel"):
    """Which folder; all that is in it goes too."""

    force_delete: ClassVar[bool] = True
    project_id: Trimmed = msgspec.field(name="workspaceId")


class Batch(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Several renames in one project."""

    project_slug: Trimmed
    folders: Annotated[list[folders.RenameFolder], msgspec.Meta(min_length=1, max_length=1_000)]


def _named(body: FolderInProject, id_or_name: str) -> folders.FolderByName:
    return folders.FolderByName(
        project_id=body.project_id, environment=body.environment, path=body.place, id_or_name=id_or_name
    )


_NEW, _OLD = "/api/v2/folders", "/api/v1/folders"


@routes.older("POST", _OLD, USER, SERVICE, IDENTITY, body=CreateInWorkspace)
@routes.post(_NEW, USER, SERVICE, IDENTITY)
async def create_folder(ctx: Ctx, body: FolderNameInProject) -> FolderReply:
    """Create a folder with its missing parents; one that is there already is answered as it is."""
    new = folders.CreateFolder(
        project_id=body.project_id,
        environment=body.environment,
        name=body.name,
        path=body.place,
        description=body.description,
    )
    return FolderReply(folder=FolderOut.of(await folders.create(ctx, new)))


@routes.older("GET", _OLD, USER, SERVICE, IDENTITY, query=ListInWorkspace)
@routes.get(_NEW, USER, SERVICE, IDENTITY)
async def list_folders(ctx: Ctx, query: ListInProject) -> FoldersReply:
    """List the folders in a folder, or with `recursive` all below it."""
    folder_query = folders.FolderQuery(
        project_id=query.project_id,
        environment=query.environment,
        path=query.place,
        recursive=query.recursive,
        changed_since=query.last_secret_modified,
    )
    listed = await folders.every(ctx, folder_query, ask=query.asks)
    return FoldersReply(folders=[FolderOut.of(folder) for folder in listed])


@routes.older("PATCH", _OLD + "/batch", USER, SERVICE, IDENTITY)
@routes.patch(_NEW + "/batch", USER, SERVICE, IDENTITY)
async def rename_folders(ctx: Ctx, body: Batch) -> FoldersReply:
    """Rename several folders, all or none."""
    project_id = await projects.id_of(ctx, body.project_slug)
    renamed = await folders.rename_many(ctx, project_id, body.folders)
    return FoldersReply(folders=[FolderOut.of(folder) for folder in renamed])


@routes.get(_NEW + "/{folder_id}", USER, SERVICE, IDENTITY)
async def get_folder(ctx: Ctx, folder_id: str) -> PlaceReply:
    """Read a folder with its path, environment and project."""
    return PlaceReply(folder=FolderInPlace.at(await folders.get(ctx, folder_id, ask=True)))


@routes.get(_OLD + "/{folder_id}", USER, SERVICE, IDENTITY)
async def get_workspace_folder(ctx: Ctx, folder_id: str) -> PlaceReply:
    """Read a folder with its path, environment and project (older path, for every member of the project)."""
    return PlaceReply(folder=FolderInPlace.at(await folders.get(ctx, folder_id, ask=False)))


@routes.older("PATCH", _OLD + "/{folder_id}", USER, SERVICE, IDENTITY, body=RenameInWorkspace)
@routes.patch(_NEW + "/{folder_id}", USER, SERVICE, IDENTITY)
async def rename_folder(ctx: Ctx, folder_id: str, body: FolderNameInProject) -> FolderReply:
    """Rename a folder."""
    renamed = await folders.rename(ctx, _named(body, folder_id), body.name, body.description)
    return FolderReply(folder=FolderOut.of(renamed))


@routes.older("DELETE", _OLD + "/{folder_id_or_name}", USER, SERVICE, IDENTITY, body=DeleteInWorkspace)
@routes.delete(_NEW + "/{folder_id_or_name}", USER, SERVICE, IDENTITY)
async def delete_folder(ctx: Ctx, folder_id_or_name: str, body: DeleteInProject) -> FolderReply:
    """Delete a folder; on the newer path one that is not empty only with `forceDelete`."""
    removed = await folders.remove(ctx, _named(body, folder_id_or_name), with_content=body.force_delete)
    return FolderReply(folder=FolderOut.of(removed))
