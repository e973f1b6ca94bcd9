"""Manage secret imports: a folder shows the secrets of another location.

Refused are an import of the folder into itself, a second one of the same source, and one that would close a circle. A
source that does not exist yet is accepted: its secrets appear once it is created.

A replicated import shows copies instead, which `replication.py` makes and keeps up to date.
"""

from collections.abc import Sequence

import msgspec

from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.projects.records import Folder
from watchword.domain.secrets.records import SecretImport, SecretReplication
from watchword.services.access.scopes import ProjectScope, enter_project, is_out_of_reach
from watchword.services.context import Ctx
from watchword.services.projects.locations import (
    MAX_PATH,
    SecretLocation,
    by_folder,
    environment,
    environments,
    find,
    normal_path,
)
from watchword.services.projects.webhooks import FoldersView, tell_of_folders
from watchword.services.secrets import import_resolution, replication, rights
from watchword.services.secrets.reading import missing_folder
from watchword.services.secrets.writing import Target
from watchword.services.turns import Turns
from watchword.store.engine import StillNeeded, Tx
from watchword.store.projects import folders
from watchword.store.secrets import imports, replications, secrets
from watchword.store.secrets.imports import Link

SUBJECT = "secret-imports"


class ImportSource(msgspec.Struct, frozen=True, kw_only=True):
    """The location that an import shows; None leaves it as it is."""

    environment: str | None = None
    path: str | None = None


class Import(msgspec.Struct, frozen=True):
    """An import, and the location of the folder that has it; of a replicated one also how its copies stand."""

    link: Link
    location: SecretLocation
    replication: SecretReplication | None = None


def _facts(target: Target, path: str) -> dict[str, str]:
    return {"environment": target.environment, "secretPath": path}


async def _enter(ctx: Ctx, target: Target, action: str) -> tuple[ProjectScope, str]:
    scope = await enter_project(ctx, target.project_id)
    path = normal_path(target.path, "path")
    ctx.require(scope, action, SUBJECT, **_facts(target, path))
    return scope, path


async def _location(ctx: Ctx, target: Target, path: str) -> SecretLocation:
    location = await find(ctx, target.project_id, target.environment, path)
    if location is None:
        raise missing_folder(target.environment, path)
    return location


def _require_source(ctx: Ctx, scope: ProjectScope, slug: str, path: str) -> None:
    """Require that the caller may see the source: others will read it through the import with rights of their own."""
    for action in (rights.DESCRIBE, rights.READ):
        rights.require_some(ctx, scope, action, slug, path)


async def create(ctx: Ctx, target: Target, source: ImportSource, *, is_replication: bool = False) -> Import:
    """Add an import at the end of the folder's list.

    A replicated one needs the right to create secrets in the folder too, and is answered once the copies are made.
    """
    scope, path = await _enter(ctx, target, "create")
    slug, source_path = source.environment or "", normal_path(source.path or "/", "import.path")
    _require_source(ctx, scope, slug, source_path)
    if is_replication:
        rights.require_some(ctx, scope, rights.CREATE, target.environment, path)
    location = await _location(ctx, target, path)
    shown = await environment(ctx, scope.project.id, slug)
    record = SecretImport(
        id=ctx.new_id(),
        folder_id=location.folder.id,
        project_id=scope.project.id,
        source_environment_id=shown.id,
        source_path=source_path,
        position=1,
        is_replication=is_replication,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    replica = replication.new_replica(ctx, location.folder, record.id) if is_replication else None
    if replica is not None and len(replica.path) > MAX_PATH:
        raise Invalid.of(
            "path", f"The folder with the copies would have a path longer than {MAX_PATH} characters", code="too_big"
        )
    try:
        async with ctx.unit() as tx:
            await folders.lock(tx, scope.project.id)
            links = await _links(tx, scope.project.id)
            own = links.get(location.folder.id, [])
            await _require_sound(tx, links, location, record)
            record = msgspec.structs.replace(record, position=len(own) + 1)
            await imports.add(tx, record)
            if replica is not None:
                await folders.add_folders(tx, [replica])
                await replications.add(tx, _new_replication(ctx, record.id))
            _audit(
                ctx,
                scope,
                "create-secret-import",
                record,
                target,
                path,
                importFromEnvironment=slug,
                importFromSecretPath=source_path,
                isReplication=is_replication,
            )
    except StillNeeded:
        raise NotFound("The folder or the source was deleted meanwhile") from None
    if is_replication:
        await _replicate(ctx, record.id)
    return await _read(ctx, record.id, location)


def _new_replication(ctx: Ctx, import_id: str) -> SecretReplication:
    return SecretReplication(
        import_id=import_id,
        creator_kind=ctx.actor.kind,
        creator_id=ctx.actor.id,
        created_at=ctx.now,
        updated_at=ctx.now,
    )


async def _replicate(ctx: Ctx, import_id: str) -> None:
    await replication.attempt(ctx.runtime, import_id)
    ctx.fresh.invalidate()


async def _links(tx: Tx, project_id: str) -> dict[str, list[Link]]:
    links: dict[str, list[Link]] = {}
    for link in await imports.in_project(tx, project_id):
        links.setdefault(link.record.folder_id, []).append(link)
    return links


async def _require_sound(tx: Tx, links: dict[str, list[Link]], location: SecretLocation, record: SecretImport) -> None:
    folder_ref = (location.environment.id, location.folder.path)
    source_ref = (record.source_environment_id, record.source_path)
    if folder_ref == source_ref:
        raise BadRequest("A folder cannot import itself")
    others = [link.record for link in links.get(location.folder.id, []) if link.record.id != record.id]
    if any((other.source_environment_id, other.source_path) == source_ref for other in others):
        raise BadRequest("The folder imports this place already")
    showing = {folder.id: (folder.environment_id, folder.path) for folder in await secrets.folders(tx, links)}
    without = {id: [link for link in folder_links if link.record.id != record.id] for id, folder_links in links.items()}
    if import_resolution.reaches(without, source_ref, folder_ref, showing):
        raise BadRequest("This import would close a circle: the source shows this folder's secrets already")


async def _read(ctx: Ctx, id: str, location: SecretLocation) -> Import:
    async with ctx.view() as tx:
        link = await imports.by_id(tx, id)
        if link is None:
            raise NotFound("The import was deleted meanwhile")
        return (await _with_replications(tx, [link], location))[0]


async def _with_replications(tx: Tx, links: Sequence[Link], location: SecretLocation) -> list[Import]:
    ids = [link.record.id for link in links if link.record.is_replication]
    records = await replications.of_imports(tx, ids) if ids else {}
    return [Import(link, location, records.get(link.record.id)) for link in links]


async def every(ctx: Ctx, target: Target) -> Sequence[Import]:
    """List the imports of a folder in their order."""
    scope, path = await _enter(ctx, target, "read")
    location = await _location(ctx, target, path)
    links = await import_resolution.links(ctx, scope.project.id)
    own = links.get(location.folder.id, ())
    await ctx.audit_read(
        "get-secret-imports",
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=target.environment,
        secretPath=path,
        folderId=location.folder.id,
        numberOfImports=len(own),
    )
    if not any(link.record.is_replication for link in own):
        return [Import(link, location) for link in own]
    async with ctx.view() as tx:
        return await _with_replications(tx, own, location)


async def in_project(ctx: Ctx, project_id: str) -> Sequence[Import]:
    """List the imports of all folders of a project whose imports the caller may see, by environment and path."""
    scope = await enter_project(ctx, project_id)
    known = {found.id: found for found in await environments(ctx, scope.project.id)}
    links = await import_resolution.links(ctx, scope.project.id)
    if not links:
        return ()
    turns = Turns()
    async with ctx.view() as tx:
        placed = await secrets.folders(tx, links)
        ids = [link.record.id for group in links.values() for link in group if link.record.is_replication]
        records = await replications.of_imports(tx, ids) if ids else {}
    listed: list[Import] = []
    for folder in placed:
        at = known.get(folder.environment_id)
        if at is not None and ctx.may(scope, "read", SUBJECT, environment=at.slug, secretPath=folder.path):
            location = SecretLocation(environment=at, folder=folder)
            listed += [Import(link, location, records.get(link.record.id)) for link in links[folder.id]]
        await turns.give()
    order = {id: number for number, id in enumerate(known)}
    listed.sort(key=lambda item: (order[item.location.environment.id], item.location.folder.path))
    await ctx.audit_read(
        "get-secret-imports", org_id=scope.org_id, project_id=scope.project.id, numberOfImports=len(listed)
    )
    return listed


async def _enter_import(ctx: Ctx, import_id: str, action: str) -> tuple[ProjectScope, Link, SecretLocation]:
    """Find an import by id, and the caller's scope in its project, where the caller may do this to it."""
    not_found = NotFound(f"There is no import with id {import_id[:64]!r}")
    if "\x00" in import_id:
        raise not_found
    async with ctx.view() as tx:
        link = await imports.by_id(tx, import_id)
    location = await by_folder(ctx, link.record.folder_id) if link else None
    if link is None or location is None or await is_out_of_reach(ctx, link.record.project_id):
        raise not_found
    scope = await enter_project(ctx, link.record.project_id)
    ctx.require(scope, action, SUBJECT, environment=location.environment.slug, secretPath=location.folder.path)
    return scope, link, location


async def get(ctx: Ctx, import_id: str) -> Import:
    """Return one import by id."""
    scope, link, location = await _enter_import(ctx, import_id, "read")
    await ctx.audit_read(
        "get-secret-import",
        org_id=scope.org_id,
        project_id=scope.project.id,
        secretImportId=import_id,
        folderId=location.folder.id,
    )
    async with ctx.view() as tx:
        return (await _with_replications(tx, [link], location))[0]


async def update(ctx: Ctx, target: Target, import_id: str, source: ImportSource, position: int | None) -> Import:
    """Let an import show another location, or move it to another position of its folder's list.

    Whoever points a replicated import elsewhere is its creator from then on: the copies are made with their rights.
    """
    scope, path = await _enter(ctx, target, "edit")
    location = await _location(ctx, target, path)
    shown = await environment(ctx, scope.project.id, source.environment) if source.environment else None
    source_path = None if source.path is None else normal_path(source.path, "import.path")
    async with ctx.unit() as tx:
        await folders.lock(tx, scope.project.id)
        links = await _links(tx, scope.project.id)
        link = _own(links, location, import_id)
        after = msgspec.structs.replace(
            link.record,
            source_environment_id=shown.id if shown else link.record.source_environment_id,
            source_path=link.record.source_path if source_path is None else source_path,
        )
        if (after.source_environment_id, after.source_path) != (
            link.record.source_environment_id,
            link.record.source_path,
        ):
            _require_source(ctx, scope, (shown or link.source).slug, after.source_path)
            await _require_sound(tx, links, location, after)
            if after.is_replication:
                rights.require_some(ctx, scope, rights.CREATE, target.environment, path)
                fields = {"creator_kind": ctx.actor.kind, "creator_id": ctx.actor.id, "fingerprint": None}
                await replications.change(tx, import_id, **fields, updated_at=ctx.now)
        await imports.change(
            tx,
            after,
            source_environment_id=after.source_environment_id,
            source_path=after.source_path,
            updated_at=ctx.now,
        )
        if position is not None:
            await _reorder(tx, links[location.folder.id], import_id, position)
        _audit(ctx, scope, "update-secret-import", after, target, path, position=position)
    if after.is_replication:
        await _replicate(ctx, import_id)
    return await _read(ctx, import_id, location)


def _own(links: dict[str, list[Link]], location: SecretLocation, import_id: str) -> Link:
    for link in links.get(location.folder.id, []):
        if link.record.id == import_id:
            return link
    raise NotFound(f"There is no import {import_id[:64]!r} in this folder")


async def _reorder(tx: Tx, own: Sequence[Link], import_id: str, position: int) -> None:
    ids = [link.record.id for link in own if link.record.id != import_id]
    ids.insert(max(0, min(position - 1, len(ids))), import_id)
    await imports.put_in_order(tx, own[0].record.project_id, ids)


async def remove(ctx: Ctx, target: Target, import_id: str) -> Import:
    """Delete an import, and the copies of a replicated one; those after it move up."""
    scope, path = await _enter(ctx, target, "delete")
    location = await _location(ctx, target, path)
    async with ctx.unit() as tx:
        await folders.lock(tx, scope.project.id)
        links = await _links(tx, scope.project.id)
        link = _own(links, location, import_id)
        replica = await replications.replica(tx, import_id) if link.record.is_replication else None
        if replica is not None:
            await _tell(ctx, tx, scope, location, replica)
            await folders.remove_folder(tx, replica)
        await imports.remove(tx, link.record)
        rest = [other.record.id for other in links[location.folder.id] if other.record.id != import_id]
        await imports.put_in_order(tx, scope.project.id, rest)
        _audit(ctx, scope, "delete-secret-import", link.record, target, path)
    return Import(link, location)


async def _tell(ctx: Ctx, tx: Tx, scope: ProjectScope, location: SecretLocation, replica: Folder) -> None:
    """Store what webhooks are told of copies that go with their import."""

    async def load() -> list[tuple[str, str]]:
        return [(replica.id, replica.path)]

    view = FoldersView(location.environment.id, location.environment.slug)
    await tell_of_folders(ctx, tx, scope.project, load, [view])


async def resync(ctx: Ctx, import_id: str) -> None:
    """Bring the copies of a replicated import up to date now. Raises BadRequest for an import that is none."""
    scope, link, location = await _enter_import(ctx, import_id, "edit")
    if not link.record.is_replication:
        raise BadRequest("This import is not replicated: it shows the source's secrets as they are at any moment")
    path = location.folder.path
    target = Target(project_id=scope.project.id, environment=location.environment.slug, path=path)
    async with ctx.unit():
        _audit(ctx, scope, "resync-secret-import", link.record, target, path)
    await replication.replicate(ctx.runtime, import_id)
    ctx.fresh.invalidate()


def _audit(
    ctx: Ctx, scope: ProjectScope, name: str, record: SecretImport, target: Target, path: str, **more: object
) -> None:
    ctx.audit(
        name,
        org_id=scope.org_id,
        project_id=scope.project.id,
        secretImportId=record.id,
        folderId=record.folder_id,
        importToEnvironment=target.environment,
        importToSecretPath=path,
        **more,
    )
