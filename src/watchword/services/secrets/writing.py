"""Writing secrets: create, change and delete, one or many, all or nothing.

Permission is asked twice: for the name alone before anything is looked up, and for the secret with its tags as it was
and as it will be. Every write leaves a version; what was written is answered with its value only to who may read it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from watchword.domain.audit.records import AuditEvent
from watchword.domain.errors import BadRequest, NotFound, Refusal
from watchword.domain.projects.records import Tag
from watchword.domain.secrets.records import SecretKind, SecretMetadata, StoredSecret
from watchword.domain.secrets.references import Address, ResolvedSecret, references
from watchword.domain.secrets.texts import MAX_IN_FOLDER
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer
from watchword.services.projects.locations import SecretLocation, find, normal_path
from watchword.services.secrets import expansion, folder_cache, relocation, renaming, rights, sealed
from watchword.services.secrets.folder_cache import CachedSecret, facts_of, held
from watchword.services.secrets.reading import missing
from watchword.services.secrets.sealed import Plain
from watchword.services.secrets.shared_writes import FolderState, FolderWrite, Name, WritePlan, translate_store_errors
from watchword.services.secrets.views import SecretView, decrypt_one, of_plain
from watchword.services.turns import Turns
from watchword.store.audit import events as audit
from watchword.store.engine import Tx
from watchword.store.projects import folders
from watchword.store.secrets import secrets
from watchword.store.secrets.secrets import Written

Unset = msgspec.UnsetType
UNSET = msgspec.UNSET
Mode = Literal["failOnNotFound", "upsert", "ignore"]


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The folder that is written to."""

    project_id: str
    environment: str
    path: str = "/"


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A secret to create; its texts are tidied already."""

    name: str
    value: str
    comment: str = ""
    kind: SecretKind = "shared"
    skip_multiline_encoding: bool | None = None
    tag_ids: tuple[str, ...] = ()
    metadata: tuple[SecretMetadata, ...] = ()
    reminder_note: str | None = None
    reminder_repeat_days: int | None = None


class SecretChange(msgspec.Struct, frozen=True, kw_only=True):
    """What a secret shall become; what is not said stays."""

    name: str
    kind: str = "shared"
    value: str | Unset = UNSET
    new_name: str | Unset = UNSET
    comment: str | Unset = UNSET
    skip_multiline_encoding: bool | Unset | None = UNSET
    tag_ids: tuple[str, ...] | Unset = UNSET
    add_tag_ids: tuple[str, ...] = ()
    remove_tag_ids: tuple[str, ...] = ()
    metadata: tuple[SecretMetadata, ...] | Unset = UNSET
    reminder_note: str | Unset | None = UNSET
    reminder_repeat_days: int | Unset | None = UNSET


class WriteTarget(msgspec.Struct, frozen=True, kw_only=True):
    """What a write has at hand: where, with which key, and the project's tags."""

    scope: ProjectScope
    place: SecretLocation
    key: Sealer
    labels: Mapping[str, Tag]

    @property
    def at(self) -> tuple[str, str]:
        """Environment slug and path."""
        return self.place.environment.slug, self.place.folder.path

    def written(self, ctx: Ctx, **what: Any) -> Written:
        """A write to this folder, now."""
        return Written(folder_id=self.place.folder.id, at=ctx.now, keep=self.scope.project.version_limit, **what)

    def shows(self, item: CachedSecret) -> bool:
        """Whether the caller may read the value."""
        return self.scope.ability.allows(rights.READ, rights.SUBJECT, rights.in_place(*self.at, item.facts))


async def enter(ctx: Ctx, target: Target, action: str, names: Iterable[str]) -> tuple[ProjectScope, str]:
    """The caller's scope and the normal path, once it is clear that the caller may do this to secrets of these
    names.
    """
    scope = await enter_project(ctx, target.project_id)
    path = normal_path(target.path)
    turns = Turns()
    for name in names:
        rights.require_some(ctx, scope, action, target.environment, path, secretName=name)
        await turns.give()
    return scope, path


async def desk(ctx: Ctx, scope: ProjectScope, environment: str, path: str) -> WriteTarget:
    """What a write to a folder needs. Raises NotFound."""
    place = await find(ctx, scope.project.id, environment, path)
    if place is None:
        raise NotFound(f"There is no folder {path[:256]!r} in environment {environment[:64]!r}")
    labels = await folder_cache.tags(ctx, scope.project.id)
    return WriteTarget(scope=scope, place=place, key=await sealed.sealer(ctx, scope.project.id), labels=labels)


@asynccontextmanager
async def unit(ctx: Ctx) -> AsyncIterator[Tx]:
    """A unit whose refusals by the database say what the caller can do."""
    with translate_store_errors():
        async with ctx.unit() as tx:
            yield tx


async def _alone(ctx: Ctx, entry: FolderWrite, then: Callable[[Tx, Any], Awaitable[object]] | None = None) -> Any:
    """The answer of a write that has a unit of its own, because there is much of it or because it does more
    there: `then`.
    """
    async with unit(ctx) as tx:
        (answer,) = await FolderWrite.apply(tx, [entry], is_last=then is None)
        if isinstance(answer, Refusal):
            raise answer
        if then is not None:
            await then(tx, answer)
    return answer


def owner(ctx: Ctx, kind: str) -> str | None:
    """Whose secret of this kind it is: nobody's for a shared one. Raises BadRequest when the caller is no person."""
    if kind == "shared":
        return None
    if ctx.actor.kind != "user":
        raise BadRequest("Only a person can have personal secrets")
    return ctx.actor.id


def known_tags(labels: Mapping[str, Tag], ids: Iterable[str]) -> tuple[Tag, ...]:
    """The tags with these ids, each once. Raises NotFound for one that the project does not have."""
    found = []
    for id in dict.fromkeys(ids):
        if id not in labels:
            raise NotFound(f"There is no tag with id {id[:64]!r} in this project")
        found.append(labels[id])
    return tuple(found)


async def create(ctx: Ctx, target: Target, items: Sequence[New], *, is_batch: bool = False) -> list[SecretView]:
    """New secrets in one folder: all of them, or none."""
    scope, path = await enter(ctx, target, rights.CREATE, [item.name for item in items])
    owners = [owner(ctx, item.kind) for item in items]
    labels, turns = await folder_cache.tags(ctx, scope.project.id), Turns()
    for item in items:
        facts = facts_of(item.name, known_tags(labels, item.tag_ids), item.metadata)
        rights.require(ctx, scope, rights.CREATE, target.environment, path, facts)
        await turns.give()
    at = await desk(ctx, scope, target.environment, path)
    await _require_readable(ctx, at, [(item.name, item.value) for item in items])
    rows: list[StoredSecret] = []
    for item, user_id in zip(items, owners, strict=True):
        rows.append(_row(ctx, at, item, user_id))
        await turns.give()

    def decide(there: FolderState) -> WritePlan:
        _require_new(there, rows)
        history = [sealed.as_version(ctx, row) for row in rows]
        events = _events(ctx, at, "create", rows, is_batch=is_batch)
        return WritePlan(at.written(ctx, added=rows, history=history, events=events), None)

    entry = FolderWrite(
        folder_id=at.place.folder.id, keys=frozenset(item.name for item in items), adds=True, decide=decide
    )
    await (_alone(ctx, entry) if is_batch else ctx.join(entry))
    views: list[SecretView] = []
    for row, item in zip(rows, items, strict=True):
        views.append(_written(at, row, _plain(item)))
        await turns.give()
    return views


def _plain(item: New) -> Plain:
    return Plain(value=item.value, comment=item.comment, metadata=item.metadata)


def _written(at: WriteTarget, row: StoredSecret, plain: Plain) -> SecretView:
    item = held(row, at.labels)
    return of_plain(item, plain, at.place, show=at.shows(item))


def _row(ctx: Ctx, at: WriteTarget, item: New, user_id: str | None) -> StoredSecret:
    bare = StoredSecret(
        id=ctx.new_id(),
        project_id=at.scope.project.id,
        folder_id=at.place.folder.id,
        key=item.name,
        kind=item.kind,
        user_id=user_id,
        value=b"",
        skip_multiline_encoding=item.skip_multiline_encoding,
        reminder_note=item.reminder_note,
        reminder_repeat_days=item.reminder_repeat_days,
        tag_ids=tuple(dict.fromkeys(item.tag_ids)),
        references=_references(item.value),
        actor_kind=ctx.actor.kind,
        actor_id=ctx.actor.id or None,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    return sealed.sealed(at.key, bare, _plain(item))


def _references(value: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((one.environment, one.path, one.key) for one in references(value))


async def _require_readable(ctx: Ctx, at: WriteTarget, values: Iterable[tuple[str, str]]) -> None:
    referring = [ResolvedSecret(Address(*at.at, name), value) for name, value in values if "${" in value]
    if referring:
        await expansion.require_readable(ctx, at.scope, referring)


def _require_new(there: FolderState, rows: Sequence[StoredSecret]) -> None:
    wanted = [(row.key, row.user_id) for row in rows]
    twice = (
        {key for key, user_id in wanted if wanted.count((key, user_id)) > 1}
        if len(set(wanted)) < len(wanted)
        else set()
    )
    if twice:
        raise BadRequest(f"The same secret is named twice: {_some(twice)}")
    taken = there.rows.keys() & set(wanted)
    if taken:
        raise BadRequest(f"A secret of that name exists already: {_some(key for key, _ in taken)}")
    alone = {key for key, user_id in wanted if user_id is not None and (key, None) not in there.rows}
    if alone:
        raise BadRequest(f"A personal secret overrides a shared one, and there is no shared {_some(alone)}")
    if there.count + len(rows) > MAX_IN_FOLDER:
        raise BadRequest(f"A folder holds at most {MAX_IN_FOLDER} secrets")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:10]) + (f" and {len(ordered) - 10} more" if len(ordered) > 10 else "")


def _events(ctx: Ctx, at: WriteTarget, verb: str, rows: Sequence[StoredSecret], *, is_batch: bool) -> list[AuditEvent]:
    place = dict(zip(("environment", "secretPath"), at.at, strict=True))
    ids = [{"secretId": row.id, "secretKey": row.key, "secretVersion": row.version} for row in rows]
    events = (
        [(f"{verb}-secrets", {**place, "secrets": ids})]
        if is_batch
        else [(f"{verb}-secret", {**place, **one}) for one in ids]
    )
    return [
        ctx.event(name, metadata, org_id=at.scope.org_id, project_id=at.scope.project.id) for name, metadata in events
    ]


async def change(
    ctx: Ctx, target: Target, changes: Sequence[SecretChange], *, mode: Mode = "failOnNotFound", is_batch: bool = False
) -> list[SecretView]:
    """Change secrets of one folder: all of them, or none. `mode` says what becomes of names that are not there."""
    scope, path = await enter(ctx, target, rights.EDIT, [one.name for one in changes])
    owners = [owner(ctx, one.kind) for one in changes]
    at = await desk(ctx, scope, target.environment, path)
    for one in changes:
        known_tags(at.labels, (*(one.tag_ids or ()), *one.add_tag_ids))
    await _require_readable(ctx, at, [(one.name, one.value) for one in changes if isinstance(one.value, str)])

    def decide(there: FolderState) -> WritePlan:
        work = _Work(ctx, at, there)
        for one, user_id in zip(changes, owners, strict=True):
            work.add(one, user_id, mode)
        return WritePlan(work.written(is_batch=is_batch), work)

    async def decide_many(there: FolderState) -> WritePlan:
        work, turns = _Work(ctx, at, there), Turns()
        for one, user_id in zip(changes, owners, strict=True):
            work.add(one, user_id, mode)
            await turns.give()
        return WritePlan(work.written(is_batch=is_batch), work)

    async def follow(tx: Tx, work: _Work) -> None:
        await renaming.follow(ctx, tx, at.key, scope, at.place, work.names)

    renames = {one.new_name for one in changes if isinstance(one.new_name, str)}
    keys = frozenset(one.name for one in changes) | renames
    entry = FolderWrite(
        folder_id=at.place.folder.id, keys=keys, adds=mode == "upsert", decide=decide_many if is_batch else decide
    )
    work: _Work = await (_alone(ctx, entry, follow) if is_batch or renames else ctx.join(entry))
    written = {
        row.id: (row, plain) for row, plain in [*[(after, plain) for _, after, plain in work.changed], *work.added]
    }
    if not is_batch:
        return [_written(at, *written[id]) for id in work.order]
    views, turns = list[SecretView](), Turns()
    for id in work.order:
        views.append(_written(at, *written[id]))
        await turns.give()
    return views


class _Work:
    """The changes of one request, each checked as it is added."""

    def __init__(self, ctx: Ctx, at: WriteTarget, there: FolderState) -> None:
        self.ctx, self.at, self.there = ctx, at, there
        self.changed: list[tuple[StoredSecret, StoredSecret, Plain]] = []
        self.added: list[tuple[StoredSecret, Plain]] = []
        self.order: list[str] = []
        self._taken: set[Name] = set(there.rows)

    def add(self, one: SecretChange, user_id: str | None, mode: Mode) -> None:
        """Take one change in. Raises PermissionDenied, NotFound, BadRequest."""
        row = self.there.rows.get((one.name, user_id))
        if row is None:
            if mode == "upsert":
                self._create(one, user_id)
            elif mode == "failOnNotFound":
                raise missing(one.name, *self.at.at)
            return
        if row.id in self.order:
            raise BadRequest(f"The same secret is named twice: {one.name}")
        before = held(row, self.at.labels).facts
        rights.require(self.ctx, self.at.scope, rights.EDIT, *self.at.at, before)
        after, plain = changed(self.ctx, self.at.key, row, one)
        behind = facts_of(after.key, held(after, self.at.labels).tags, plain.metadata)
        rights.require(self.ctx, self.at.scope, rights.EDIT, *self.at.at, behind)
        if before != behind:
            relocation.require_to_relabel(self.at.scope, self.at.at, before, behind, one.name)
        if after.key != row.key:
            self._rename(row, after, user_id)
        self.changed.append((row, after, plain))
        self.order.append(row.id)

    def _rename(self, row: StoredSecret, after: StoredSecret, user_id: str | None) -> None:
        if user_id is not None:
            raise BadRequest("A personal secret has the name of the shared one that it overrides")
        if (after.key, None) in self._taken:
            raise BadRequest(f"A secret of that name exists already: {after.key}")
        self._taken.add((after.key, None))
        self._taken.discard((row.key, None))

    def _create(self, one: SecretChange, user_id: str | None) -> None:
        name = one.new_name if isinstance(one.new_name, str) else one.name
        if user_id is not None or (name, None) in self._taken:
            raise BadRequest(f"The secret {name} can not be created: one of that name exists, or it is a personal one")
        new = New(
            name=name,
            value=one.value or "",
            comment=one.comment or "",
            skip_multiline_encoding=one.skip_multiline_encoding or None,
            tag_ids=one.tag_ids or (),
            metadata=one.metadata or (),
            reminder_note=one.reminder_note or None,
            reminder_repeat_days=one.reminder_repeat_days or None,
        )
        facts = facts_of(name, known_tags(self.at.labels, new.tag_ids), new.metadata)
        rights.require(self.ctx, self.at.scope, rights.CREATE, *self.at.at, facts)
        row = _row(self.ctx, self.at, new, None)
        self._taken.add((name, None))
        self.added.append((row, _plain(new)))
        self.order.append(row.id)

    @property
    def names(self) -> dict[str, str]:
        """The secrets that get another name, and which."""
        return {before.key: after.key for before, after, _ in self.changed if before.key != after.key}

    def written(self, *, is_batch: bool) -> Written:
        """All of it. A personal secret takes the new name of the shared one that it overrides."""
        ctx, at, names = self.ctx, self.at, self.names
        added, after = [row for row, _ in self.added], [after for _, after, _ in self.changed]
        if added:
            _require_new(self.there, added)
        own = [
            (row, msgspec.structs.replace(row, key=names[key]))
            for (key, user_id), row in self.there.rows.items()
            if user_id is not None and key in names
        ]
        events = _events(ctx, at, "update", after, is_batch=is_batch)
        if added:
            events += _events(ctx, at, "create", added, is_batch=is_batch)
        return at.written(
            ctx,
            changed=[*[(before, after) for before, after, _ in self.changed], *own],
            added=added,
            history=[sealed.as_version(ctx, row) for row in (*added, *after)],
            events=events,
        )


def changed(ctx: Ctx, key: Sealer, row: StoredSecret, one: SecretChange) -> tuple[StoredSecret, Plain]:
    """The row as the change makes it, sealed for its next version."""
    plain = sealed.opened(key, row)
    plain = Plain(
        value=plain.value if isinstance(one.value, Unset) else one.value,
        comment=plain.comment if isinstance(one.comment, Unset) else one.comment,
        metadata=plain.metadata if isinstance(one.metadata, Unset) else one.metadata,
    )
    tag_ids = row.tag_ids if isinstance(one.tag_ids, Unset) else one.tag_ids
    tag_ids = tuple(id for id in dict.fromkeys((*tag_ids, *one.add_tag_ids)) if id not in one.remove_tag_ids)
    said = {
        name: value
        for name in ("skip_multiline_encoding", "reminder_note", "reminder_repeat_days")
        if not isinstance(value := getattr(one, name), Unset)
    }
    after = msgspec.structs.replace(
        row,
        key=row.key if isinstance(one.new_name, Unset) else one.new_name,
        version=row.version + 1,
        tag_ids=tag_ids,
        references=_references(plain.value),
        actor_kind=ctx.actor.kind,
        actor_id=ctx.actor.id or None,
        updated_at=ctx.now,
        **said,
    )
    return sealed.sealed(key, after, plain), plain


async def remove(
    ctx: Ctx, target: Target, items: Sequence[tuple[str, str]], *, is_batch: bool = False
) -> list[SecretView]:
    """Delete secrets (name, kind) of one folder: all of them, or none. With a shared one go all that override it."""
    scope, path = await enter(ctx, target, rights.DELETE, [name for name, _ in items])
    owners = [owner(ctx, kind) for _, kind in items]
    at = await desk(ctx, scope, target.environment, path)
    async with unit(ctx) as tx:
        there = await secrets.named(tx, [at.place.folder.id], {name for name, _ in items}, to_change=True)
        found = {(row.key, row.user_id): row for row in there}
        gone: dict[str, StoredSecret] = {}
        for (name, _), user_id in zip(items, owners, strict=True):
            row = found.get((name, user_id))
            if row is None:
                raise missing(name, *at.at)
            rights.require(ctx, scope, rights.DELETE, *at.at, held(row, at.labels).facts)
            gone[row.id] = row
        names = {row.key for row in gone.values() if row.user_id is None}
        await secrets.remove(tx, [row for row in there if row.id in gone or row.key in names])
        await folders.touch(tx, [at.place.folder.id], ctx.now)
        await audit.add(tx, _events(ctx, at, "delete", list(gone.values()), is_batch=is_batch))
    items_gone = [held(row, at.labels) for row in gone.values()]
    return [decrypt_one(at.key, item, at.place, show=at.shows(item)) for item in items_gone]
