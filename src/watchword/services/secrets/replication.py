"""Replicated imports: copy what the source shows into a reserved folder, and keep the copies up to date.

An import that is replicated answers with copies, which stay as they are while the source cannot be copied. They are
brought up to date when the import is made or pointed elsewhere, when somebody asks for it, and in the background within
seconds of a change: a task in every process compares the version keys that each copy depends on with those of its last
run, so no write of a secret does anything for it, and nothing is missed over a restart.

Each copy is made with the rights that the import's creator has at that moment: to read the secret at the source, and to
create or edit it where the import is. What is not allowed any more is neither copied nor removed, and the import's
status says so; what is gone at the source goes. Copies of copies follow one after the other, and imports that form a
circle, which renames can bring about, are not copied.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.access.abilities import Ability
from watchword.domain.actor import PLATFORM, Actor
from watchword.domain.errors import Refusal
from watchword.domain.keys.sealing import CannotOpen
from watchword.domain.projects.records import Folder, Tag
from watchword.domain.secrets.records import SecretVersion, StoredSecret
from watchword.domain.secrets.replicas import replica_name
from watchword.domain.secrets.texts import MAX_IN_FOLDER
from watchword.services.access.scopes import holding, service_ability
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer, project_scope
from watchword.services.projects.locations import SecretLocation, child_path
from watchword.services.projects.webhooks import read_watchers
from watchword.services.runtime import Runtime
from watchword.services.secrets import import_resolution, rights, sealed
from watchword.services.secrets.folder_cache import facts_of, with_tags
from watchword.services.secrets.sealed import Plain
from watchword.services.turns import Turns
from watchword.store import deliveries, versions
from watchword.store.audit import events
from watchword.store.engine import AlreadyThere, Collision, StillNeeded, Tx
from watchword.store.identities import identities
from watchword.store.people import people
from watchword.store.projects import folders, service_tokens
from watchword.store.secrets import imports, replications, secrets
from watchword.store.secrets.replications import Replication
from watchword.store.secrets.secrets import VersionConflict, Written

MAX_BYTES: Final = 64 * 1024 * 1024  # of the sealed values that one replication copies
_ATTEMPTS: Final = 3  # at copies that others change meanwhile
_AT_ONCE: Final = 500  # replications whose version keys one query reads
_PIECE: Final = 200  # secrets that are removed by one statement
_log = logging.getLogger("watchword.replication")

_LOST: Final = "Whoever made this import is gone or no longer a member of the project: nothing new is copied"
_CIRCLE: Final = "The source shows this folder's own secrets by now: nothing is copied in a circle"
_TOO_MUCH: Final = f"The source shows more than {MAX_IN_FOLDER} secrets or {MAX_BYTES} bytes: nothing new is copied"
_BROKEN: Final = "A value at the source cannot be opened: nothing new is copied"


class _Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """What a replication is worked out from, all of one moment."""

    replication: Replication
    ability: Ability | None
    due_at: int | None
    sources: Sequence[SecretLocation]  # in the order in which they are searched
    rows: Mapping[str, Sequence[StoredSecret]]  # by folder id
    labels: Mapping[str, Tag]
    key: Sealer
    fault: str | None
    watched: tuple[str, ...]
    fingerprint: str
    tree: int  # versions that must still be there when the copies are written
    copies: int


class _Plan(msgspec.Struct, kw_only=True):
    """What is to be written."""

    loaded: _Loaded
    status: str | None
    replica: Folder | None = None
    added: list[StoredSecret] = msgspec.field(default_factory=list)
    changed: list[tuple[StoredSecret, StoredSecret]] = msgspec.field(default_factory=list)
    removed: list[StoredSecret] = msgspec.field(default_factory=list)
    history: list[SecretVersion] = msgspec.field(default_factory=list)


def fingerprint(keys: Iterable[str], numbers: Iterable[int]) -> str:
    """Return a hash of version keys and their versions."""
    return hashlib.sha256(msgspec.json.encode(list(zip(keys, numbers, strict=True)))).hexdigest()


async def due(runtime: Runtime) -> list[str]:
    """Return the ids of the imports whose copies may be out of date."""
    ids: list[str] = []
    after, now = "", runtime.clock()
    while True:
        async with runtime.store.read() as tx:
            records = await replications.after(tx, after, _AT_ONCE)
            keys = tuple(sorted({key for record in records for key in record.watched}))
            numbers = dict(zip(keys, await tx.versions(keys), strict=True)) if keys else {}
        for record in records:
            is_over = record.due_at is not None and record.due_at <= now
            seen = fingerprint(record.watched, [numbers[key] for key in record.watched])
            if is_over or record.fingerprint != seen:
                ids.append(record.import_id)
        if len(records) < _AT_ONCE:
            return ids
        after = records[-1].import_id


async def replicate_due(runtime: Runtime) -> int:
    """Bring all copies up to date that may be out of date; return how many imports were looked at.

    Raises Refusal when the database does not answer.
    """
    ids = await due(runtime)
    for import_id in ids:
        try:
            await replicate(runtime, import_id)
        except Refusal:
            raise
        except Exception:  # noqa: BLE001 - one import's trouble is not the others'
            _log.exception("an import was not replicated", extra={"import": import_id})
    return len(ids)


async def replicate(runtime: Runtime, import_id: str) -> None:
    """Bring the copies of one import up to date, and record how it went.

    Of several processes that do it at once one writes. Raises Refusal when the database does not answer.
    """
    for _ in range(_ATTEMPTS):
        async with runtime.store.read() as tx:
            loaded = await _load(runtime, tx, import_id)
        if loaded is None:
            return
        try:
            plan = await _plan(Ctx(runtime, actor=PLATFORM), loaded)
        except CannotOpen:
            _log.exception("a secret cannot be opened", extra={"import": import_id})
            plan = _Plan(loaded=loaded, status=_BROKEN)
        try:
            async with runtime.store.write() as tx:
                if await _write(runtime, tx, plan):
                    return
        except (VersionConflict, AlreadyThere, StillNeeded, Collision):
            continue  # somebody changed the copies or the folder meanwhile


async def attempt(runtime: Runtime, import_id: str) -> None:
    """Replicate, and leave it to the background task where the database does not answer."""
    try:
        await replicate(runtime, import_id)
    except Refusal:
        _log.warning("a replication is done later: the database does not answer", extra={"import": import_id})


def new_replica(ctx: Ctx, folder: Folder, import_id: str) -> Folder:
    """Make the folder for the copies of an import that `folder` has."""
    name = replica_name(import_id)
    return Folder(
        id=ctx.new_id(),
        project_id=folder.project_id,
        environment_id=folder.environment_id,
        parent_id=folder.id,
        name=name,
        path=child_path(folder.path, name),
        created_at=ctx.now,
        updated_at=ctx.now,
    )


async def _load(runtime: Runtime, tx: Tx, import_id: str) -> _Loaded | None:
    replication = await replications.by_import(tx, import_id)
    if replication is None:
        return None
    now, project = runtime.clock(), replication.project
    ability, due_at = await _rights(tx, replication, now)
    links: dict[str, list[imports.Link]] = {}
    for link in await imports.in_project(tx, project.id):
        links.setdefault(link.record.folder_id, []).append(link)
    own = next((link for link in links.get(replication.folder.id, ()) if link.record.id == import_id), None)
    sources: list[SecretLocation] = []
    fault: str | None = None
    if own is not None and own.folder is not None:
        showing = {folder.id: (folder.environment_id, folder.path) for folder in await secrets.folders(tx, links)}
        start = (own.record.source_environment_id, own.record.source_path)
        goal = (replication.environment.id, replication.folder.path)
        if start == goal or import_resolution.reaches(links, start, goal, showing):
            fault = _CIRCLE
        start_location = SecretLocation(environment=own.source, folder=own.folder)
        sources = import_resolution.search_path(links, start_location, without=replication.folder.id)
    ids = [location.folder.id for location in sources]
    weights = await secrets.weights(tx, ids)
    if sum(weight.size for weight in weights.values()) > MAX_BYTES:
        fault = fault or _TOO_MUCH
    held = [replication.replica.id] if replication.replica else []
    rows: dict[str, list[StoredSecret]] = {id: [] for id in (*ids, *held)}
    read = held if fault else [*ids, *held]
    for row in await secrets.in_folders(tx, read, Turns()):
        if row.user_id is None:
            rows[row.folder_id].append(row)
    watched = _watched(replication, ids)
    numbers = await tx.versions((*watched, *(versions.folder(id) for id in held)))
    return _Loaded(
        replication=replication,
        ability=ability,
        due_at=due_at,
        sources=sources,
        rows=rows,
        labels={tag.id: tag for tag in await secrets.tags(tx, project.id)},
        key=await runtime.keys.sealer(tx, project_scope(project.id)),
        fault=fault,
        watched=watched,
        fingerprint=fingerprint(watched, numbers[: len(watched)]),
        tree=numbers[0],
        copies=numbers[-1] if held else 0,
    )


def _watched(replication: Replication, source_ids: Sequence[str]) -> tuple[str, ...]:
    """Return the version keys of all that the copies depend on; the project's tree is the first."""
    record, project_id = replication.record, replication.project.id
    keys = [versions.tree(project_id), versions.project(project_id)]
    if record.creator_kind != "service":  # service tokens are among the project's settings
        keys.append(versions.actor(record.creator_kind, record.creator_id))
    return (*keys, *map(versions.folder, source_ids))


async def _rights(tx: Tx, replication: Replication, now: int) -> tuple[Ability | None, int | None]:
    """Return what the import's creator may do in the project, and when (ms) that changes without a write.

    None for a creator who is gone, disabled, or no longer a member.
    """
    kind, id, project = replication.record.creator_kind, replication.record.creator_id, replication.project
    ends: int | None = None
    if kind == "service":
        token = await service_tokens.by_id(tx, id)
        if token is None or token.project_id != project.id or _is_over(token.expires_at, now):
            return None, None
        return service_ability(Actor(kind="service", scopes=token.scopes, permissions=token.permissions)), (
            token.expires_at
        )
    if kind == "identity":
        identity = await identities.by_id(tx, id)
        if identity is None or identity.is_disabled or _is_over(identity.expires_at, now):
            return None, None
        ends = identity.expires_at
    else:
        person = await people.user(tx, id)
        if person is None or not person.is_active:
            return None, None
    # Conditions on the claims of a login match nothing: nobody is logged in.
    held = await holding(tx, kind, id, org_id=project.org_id, project_id=project.id, now=now, auth=None)
    moments = [moment for moment in (ends, held.until) if moment is not None and moment < _NEVER]
    return held.ability if held.is_member and held.is_active else None, min(moments, default=None)


_NEVER: Final = 1 << 62


def _is_over(end: int | None, now: int) -> bool:
    return end is not None and end <= now


async def _plan(ctx: Ctx, loaded: _Loaded) -> _Plan:
    """Work out which copies are to be added, changed and removed."""
    replication = loaded.replication
    plan = _Plan(loaded=loaded, status=loaded.fault)
    if loaded.fault is not None:
        return plan
    turns = Turns()
    wanted: dict[str, tuple[SecretLocation, StoredSecret]] = {}
    for location in loaded.sources:
        for row in loaded.rows[location.folder.id]:
            wanted.setdefault(row.key, (location, row))
        await turns.give()
    if len(wanted) > MAX_IN_FOLDER:
        plan.status = _TOO_MUCH
        return plan
    copies = {row.key: row for row in loaded.rows[replication.replica.id]} if replication.replica else {}
    plan.removed = [row for key, row in copies.items() if key not in wanted]
    plan.replica = replication.replica or new_replica(ctx, replication.folder, replication.imported.id)
    missing = 0
    for key, (location, row) in wanted.items():
        if not _copy(ctx, plan, plan.replica, location, row, copies.get(key)):
            missing += 1
        await turns.give()
    if missing and loaded.ability is None:
        plan.status = _LOST
    elif missing:
        plan.status = (
            f"{missing} of {len(wanted)} secrets were not copied: whoever made this import may not read them at the "
            "source, or not create or edit them here"
        )
    return plan


def _copy(
    ctx: Ctx,
    plan: _Plan,
    target: Folder,
    location: SecretLocation,
    row: StoredSecret,
    copy: StoredSecret | None,
) -> bool:
    """Put the copy of one secret into the plan; return False where the creator lacks a right for it."""
    loaded, record = plan.loaded, plan.loaded.replication.record
    environment, folder = loaded.replication.environment, loaded.replication.folder
    facts = with_tags(row, loaded.labels).facts
    if not all(
        _may(loaded, action, location.environment.slug, location.folder.path, facts)
        for action in (rights.DESCRIBE, rights.READ)
    ):
        return False
    plain = sealed.opened(loaded.key, row)
    tag_ids = tuple(id for id in row.tag_ids if id in loaded.labels)
    new_facts = facts_of(row.key, [loaded.labels[id] for id in tag_ids], plain.metadata)
    made_by: dict[str, Any] = {"actor_kind": record.creator_kind, "actor_id": record.creator_id, "updated_at": ctx.now}
    if copy is None:
        if not _may(loaded, rights.CREATE, environment.slug, folder.path, new_facts):
            return False
        bare = StoredSecret(
            id=ctx.new_id(),
            project_id=row.project_id,
            folder_id=target.id,
            key=row.key,
            value=b"",
            skip_multiline_encoding=row.skip_multiline_encoding,
            tag_ids=tag_ids,
            created_at=ctx.now,
            **made_by,
        )
        after = sealed.sealed(loaded.key, bare, plain)
        plan.added.append(after)
    else:
        if _is_same(loaded.key, copy, row, plain, tag_ids):
            return True
        old_facts = with_tags(copy, loaded.labels).facts
        asked = [(rights.EDIT, old_facts), (rights.EDIT, new_facts)]
        if old_facts != new_facts:
            asked.append((rights.CREATE, new_facts))
        if not all(_may(loaded, action, environment.slug, folder.path, about) for action, about in asked):
            return False
        bare = msgspec.structs.replace(
            copy,
            version=copy.version + 1,
            skip_multiline_encoding=row.skip_multiline_encoding,
            tag_ids=tag_ids,
            **made_by,
        )
        after = sealed.sealed(loaded.key, bare, plain)
        plan.changed.append((copy, after))
    plan.history.append(sealed.as_version(ctx, after))
    return True


def _may(loaded: _Loaded, action: str, environment: str, path: str, facts: Mapping[str, object]) -> bool:
    return loaded.ability is not None and loaded.ability.allows(
        action, rights.SUBJECT, rights.in_place(environment, path, facts)
    )


def _is_same(key: Sealer, copy: StoredSecret, row: StoredSecret, plain: Plain, tag_ids: tuple[str, ...]) -> bool:
    return (
        copy.tag_ids == tag_ids
        and copy.skip_multiline_encoding == row.skip_multiline_encoding
        and sealed.opened(key, copy) == plain
    )


async def _write(runtime: Runtime, tx: Tx, plan: _Plan) -> bool:
    """Write the copies, and how it went. Return False where they have to be worked out again."""
    loaded, replication = plan.loaded, plan.loaded.replication
    import_id, project = replication.imported.id, replication.project
    await folders.lock(tx, project.id)
    now = await replications.hold(tx, import_id)
    if now is None or now != replication.record:
        return now is None or now.fingerprint == loaded.fingerprint  # deleted, or another process was faster
    held = [versions.folder(replication.replica.id)] if replication.replica else []
    if await tx.versions((versions.tree(project.id), *held)) != (loaded.tree, *([loaded.copies] if held else [])):
        return False
    if replication.replica is None and plan.replica is not None:
        await folders.add_folders(tx, [plan.replica])
    turns = Turns()
    for start in range(0, len(plan.removed), _PIECE):
        await secrets.remove(tx, plan.removed[start : start + _PIECE])
        await turns.give()
    if plan.replica is not None and (plan.added or plan.changed):
        written = Written(
            folder_id=plan.replica.id,
            at=runtime.clock(),
            changed=plan.changed,
            added=plan.added,
            history=plan.history,
            keep=project.version_limit,
        )
        await secrets.write(tx, [written], pauses=turns)
    is_success = plan.status is None
    await replications.change(
        tx,
        import_id,
        watched=loaded.watched,
        fingerprint=loaded.fingerprint,
        due_at=loaded.due_at,
        status=plan.status,
        is_success=is_success,
        replicated_at=runtime.clock(),
        updated_at=runtime.clock(),
    )
    if plan.added or plan.changed or plan.removed or is_success != replication.record.is_success:
        facts = {
            "secretImportId": import_id,
            "environment": replication.environment.slug,
            "secretPath": replication.folder.path,
            "numberCreated": len(plan.added),
            "numberUpdated": len(plan.changed),
            "numberDeleted": len(plan.removed),
            "isSuccess": is_success,
        }
        ctx = Ctx(runtime, actor=PLATFORM, request_id="replication")
        if plan.added or plan.changed or plan.removed:
            told_by = await read_watchers(tx, project.id)
            place = (replication.environment.id, replication.environment.slug, replication.folder.path)
            await deliveries.queue(tx, told_by.told(ctx, project, [place]))
        event = ctx.event("replicate-secret-import", facts, org_id=project.org_id, project_id=project.id)
        await events.add(tx, [event])
    return True
