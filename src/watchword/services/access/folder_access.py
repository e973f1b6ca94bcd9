"""Folder access of machine identities: granted, changed, listed and taken away, folder by folder.

The caller needs `manage-access` on the folder. What lies in it is compared, for what the identity has there before and
after as much as for what it is given: nobody gives more than they hold, nor takes from who holds more.
"""

from typing import Any

import msgspec

from watchword.domain.access.folder_access import FULL, FolderAccess, Tier
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.secrets.replicas import is_replica
from watchword.services.access.boundaries import require_over_in_folder
from watchword.services.access.privileges import Window, columns_of
from watchword.services.access.role_refs import PERMANENT, TemporaryPeriod
from watchword.services.access.scopes import MOST_FOLDER_ACCESS, ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.projects import locations
from watchword.services.turns import Turns
from watchword.store.access import grants
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.projects import folders

SUBJECT, ACTION = "secret-folders", "manage-access"


class FolderRef(msgspec.Struct, frozen=True, kw_only=True):
    """An identity of a project, and one of its folders."""

    project_id: str
    identity_id: str
    folder_id: str


async def grant(ctx: Ctx, where: FolderRef, tier: Tier, window: Window) -> FolderAccess:
    """Give an identity of the project a tier of access to a folder.

    Raises BadRequest where it has one already, or access to as many folders as it may have.
    """
    scope, place = await _enter(ctx, where)
    period = _period(tier, window.checked())
    async with ctx.unit() as tx:
        await _require_member(tx, where)
        await _require_folder(tx, where)
        row = grants.record_of_folder_access(
            ctx.new_id(), where.project_id, where.identity_id, where.folder_id, tier, ctx.now, columns_of(period)
        )
        access = FolderAccess(**msgspec.structs.asdict(row), tier=tier, environment=place[0], path=place[1])
        if await _held(tx, where) is not None:
            raise BadRequest("The identity has access to this folder already: change it instead")
        await require_over_in_folder(ctx, tx, scope, where.identity_id, access, tier)
        await _require_room(tx, where)
        try:
            await grants.add_privilege(tx, row)
        except AlreadyThere:
            raise BadRequest("The identity has access to this folder already: change it instead") from None
        _audit(ctx, "create", scope, access)
    return access


async def change(ctx: Ctx, where: FolderRef, tier: Tier | None, window: Window | None) -> FolderAccess:
    """Change the tier, or for how long it holds."""
    scope, _ = await _enter(ctx, where)
    if tier is None and window is None:
        raise Invalid.of((), "Nothing to change: send a permission or a type")
    async with ctx.unit() as tx:
        await _require_member(tx, where)
        held = await _known(tx, where)
        new_tier = held.tier if tier is None else tier
        period = _period(new_tier, _of(held) if window is None else window.checked())
        await require_over_in_folder(ctx, tx, scope, where.identity_id, held, new_tier)
        changes: dict[str, Any] = {"updated_at": ctx.now, **columns_of(period)}
        await grants.change_privilege(tx, held, permissions=grants.tier_stored(new_tier), **changes)
        changed = msgspec.structs.replace(held, tier=new_tier, **changes)
        _audit(ctx, "update", scope, changed, oldPermission=held.tier)
    return changed


async def remove(ctx: Ctx, where: FolderRef) -> FolderAccess:
    """Take the grant away: in the folder, too, the identity's roles and privileges decide again."""
    scope, _ = await _enter(ctx, where)
    async with ctx.unit() as tx:
        await _require_member(tx, where)
        held = await _known(tx, where)
        await require_over_in_folder(ctx, tx, scope, where.identity_id, held, None)
        await grants.remove_privilege(tx, held)
        _audit(ctx, "delete", scope, held)
    return held


async def get(ctx: Ctx, where: FolderRef) -> FolderAccess:
    """Return the grant of one folder."""
    await _enter(ctx, where)
    async with ctx.view() as tx:
        await _require_member(tx, where)
        return await _known(tx, where)


async def every(ctx: Ctx, project_id: str, identity_id: str) -> list[FolderAccess]:
    """List an identity's grants, ended ones too, on the folders to which the caller manages access."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, ACTION, SUBJECT)
    async with ctx.survey() as tx:
        await _require_member(tx, FolderRef(project_id=project_id, identity_id=identity_id, folder_id=""))
        held = await grants.privileges_of(tx, "identity", identity_id, project_id, Turns())
    return [
        access
        for access in held
        if isinstance(access, FolderAccess)
        and access.path is not None
        and ctx.may(scope, ACTION, SUBJECT, environment=access.environment, secretPath=access.path)
    ]


async def _enter(ctx: Ctx, where: FolderRef) -> tuple[ProjectScope, tuple[str, str]]:
    """Return the caller's scope and the folder's place. Raises NotFound, PermissionDenied."""
    scope = await enter_project(ctx, where.project_id)
    location = await locations.by_folder(ctx, where.folder_id)
    if location is None or location.folder.project_id != where.project_id or is_replica(location.folder.name):
        raise _no_folder()
    environment, path = location.environment.slug, location.folder.path
    ctx.require(scope, ACTION, SUBJECT, environment=environment, secretPath=path)
    return scope, (environment, path)


def _no_folder() -> NotFound:
    return NotFound("There is no such folder in this project")


async def _require_member(tx: Tx, where: FolderRef) -> None:
    if await grants.project_membership(tx, "identity", where.identity_id, where.project_id) is None:
        raise NotFound("There is no such identity in this project")


async def _require_folder(tx: Tx, where: FolderRef) -> None:
    """Raise NotFound for a folder that was deleted meanwhile. Nobody deletes it before the unit ends."""
    await folders.lock(tx, where.project_id)
    if await folders.of_folder(tx, where.folder_id) is None:
        raise _no_folder()


async def _require_room(tx: Tx, where: FolderRef) -> None:
    """Raise BadRequest for access to more folders than may be read at each change of what the identity holds.

    Grants are made one after the other in a project: the lock of its folders is held.
    """
    count = await grants.count_folder_access(tx, "identity", where.identity_id, where.project_id)
    if count >= MOST_FOLDER_ACCESS:
        raise BadRequest(
            f"The identity has access of its own to {count} folders of this project, and may have it to "
            f"{MOST_FOLDER_ACCESS}, ended grants included: remove one first, or give it a role for these paths"
        )


async def _held(tx: Tx, where: FolderRef) -> FolderAccess | None:
    return await grants.folder_access_of(tx, "identity", where.identity_id, where.project_id, where.folder_id)


async def _known(tx: Tx, where: FolderRef) -> FolderAccess:
    held = await _held(tx, where)
    if held is None or held.path is None:
        raise NotFound("The identity has no access of its own to this folder")
    return held


def _of(held: FolderAccess) -> TemporaryPeriod:
    if not held.is_temporary:
        return PERMANENT
    return TemporaryPeriod(
        is_temporary=True,
        mode=held.temporary_mode,
        range=held.temporary_range,
        starts_at=held.starts_at,
        ends_at=held.ends_at,
    )


def _period(tier: str, period: TemporaryPeriod) -> TemporaryPeriod:
    if tier == FULL and period.is_temporary:
        raise BadRequest(f"{FULL} must be permanent: who holds it can give access to others, which would outlast it")
    return period


def _audit(ctx: Ctx, verb: str, scope: ProjectScope, access: FolderAccess, **more: object) -> None:
    ctx.audit(
        f"{verb}-identity-folder-access",
        org_id=scope.org_id,
        project_id=scope.project.id,
        identityId=access.actor_id,
        folderId=access.folder_id,
        environment=access.environment,
        secretPath=access.path,
        permission=access.tier,
        isTemporary=access.is_temporary,
        **more,
    )
