"""Folder access of machine identities."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.access.folder_access import FolderAccess, Tier
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.access import folder_access
from watchword.services.access.folder_access import FolderRef
from watchword.services.access.privileges import PERMANENT, Window
from watchword.services.context import Ctx
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("folder access")
_BASE = "/api/v1/projects/{project_id}/identities/{identity_id}/folder-access"

Permission = Annotated[
    Tier,
    msgspec.Meta(
        description="What the identity may do with what lies in this folder, in place of what its roles say there. "
        "Each has all of the one before: list (names), read (values), edit (create, change, delete), manage (dynamic "
        "secrets, rotation, syncs), full-access (give access to others, delete folders in it). Folders below are not "
        "meant."
    ),
]
Period = Annotated[
    Window, msgspec.Meta(description="For how long it holds; without it, for good. full-access must be permanent.")
]


class FolderAccessOut(Out, frozen=True, kw_only=True):
    id: str
    project_id: str
    identity_id: str
    folder_id: str | None
    environment: str | None
    secret_path: str | None
    permission: str
    is_temporary: bool
    temporary_mode: str | None
    temporary_range: str | None
    temporary_access_start_time: str | None
    temporary_access_end_time: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, access: FolderAccess) -> "FolderAccessOut":
        return cls(
            id=access.id,
            project_id=access.project_id,
            identity_id=access.actor_id,
            folder_id=access.folder_id,
            environment=access.environment,
            secret_path=access.path,
            permission=access.tier,
            is_temporary=access.is_temporary,
            temporary_mode=access.temporary_mode,
            temporary_range=access.temporary_range,
            temporary_access_start_time=iso_or_none(access.starts_at),
            temporary_access_end_time=iso_or_none(access.ends_at),
            created_at=iso(access.created_at),
            updated_at=iso(access.updated_at),
        )


class FolderAccessReply(Out, frozen=True, kw_only=True):
    folder_access: FolderAccessOut


class FolderAccessesReply(Out, frozen=True, kw_only=True):
    folder_accesses: Sequence[FolderAccessOut]


class GrantFolderAccess(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A tier of access to one folder."""

    permission: Permission
    type: Period = PERMANENT


class ChangeFolderAccess(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change of it."""

    permission: Permission | None = None
    type: Period | None = None


def _ref(project_id: str, identity_id: str, folder_id: str) -> FolderRef:
    return FolderRef(project_id=project_id, identity_id=identity_id, folder_id=folder_id)


@routes.get(_BASE, USER, IDENTITY)
async def list_folder_access(ctx: Ctx, project_id: str, identity_id: str) -> FolderAccessesReply:
    """List the folders to which an identity has access of its own, of those to which the caller manages access."""
    held = await folder_access.every(ctx, project_id, identity_id)
    return FolderAccessesReply(folder_accesses=[FolderAccessOut.of(access) for access in held])


@routes.post(_BASE + "/{folder_id}", USER, IDENTITY)
async def grant_folder_access(
    ctx: Ctx, project_id: str, identity_id: str, folder_id: str, body: GrantFolderAccess
) -> FolderAccessReply:
    """Give an identity access to a folder, in place of what its roles say there."""
    where = _ref(project_id, identity_id, folder_id)
    given = await folder_access.grant(ctx, where, body.permission, body.type)
    return FolderAccessReply(folder_access=FolderAccessOut.of(given))


@routes.get(_BASE + "/{folder_id}", USER, IDENTITY)
async def get_folder_access(ctx: Ctx, project_id: str, identity_id: str, folder_id: str) -> FolderAccessReply:
    """Read what an identity was given on a folder."""
    held = await folder_access.get(ctx, _ref(project_id, identity_id, folder_id))
    return FolderAccessReply(folder_access=FolderAccessOut.of(held))


@routes.patch(_BASE + "/{folder_id}", USER, IDENTITY)
async def change_folder_access(
    ctx: Ctx, project_id: str, identity_id: str, folder_id: str, body: ChangeFolderAccess
) -> FolderAccessReply:
    """Change what an identity may do in a folder, or for how long."""
    where = _ref(project_id, identity_id, folder_id)
    changed = await folder_access.change(ctx, where, body.permission, body.type)
    return FolderAccessReply(folder_access=FolderAccessOut.of(changed))


@routes.delete(_BASE + "/{folder_id}", USER, IDENTITY)
async def remove_folder_access(ctx: Ctx, project_id: str, identity_id: str, folder_id: str) -> FolderAccessReply:
    """Take the access away: the identity's roles decide in the folder again."""
    removed = await folder_access.remove(ctx, _ref(project_id, identity_id, folder_id))
    return FolderAccessReply(folder_access=FolderAccessOut.of(removed))
