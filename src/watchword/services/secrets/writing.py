"""Write secrets: create, change and delete, one or many, all or nothing.

Permission is asked twice: for the name alone before anything is looked up, and for the secret with its tags as it was
and as it will be. Every write adds a version; the answer has the value only for a caller who may read it.
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
from watchword.services.secrets.folder_cache import CachedSecret, facts_of, with_tags
from watchword.services.secrets.reading import missing
from watchword.services.secrets.sealed import Plain
from watchword.services.secrets.shared_writes import FolderState, FolderWrite, Name, WritePlan, translate_store_errors
from watchword.services.secrets.views import SecretView, decrypt_one, of_plain
from watchword.services.turns import Turns
from watchword.store.audit import events
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


class NewSecret(msgspec.Struct, frozen=True, kw_only=True):
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
    """A change of one secret; fields that are not set stay as they are."""

    name: str
    kind: SecretKind = "shared"
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
    """The folder that a write goes to, with the project's sealer and tags."""

    scope: ProjectScope
    location: SecretLocation
    key: Sealer
    labels: Mapping[str, Tag]

    @property
    def env_path(self) -> tuple[str, str]:
        """Environment slug and path."""
        return self.location.environment.slug, self.location.folder.path

    def written(self, ctx: Ctx, **fields: Any) -> Written:
        """Make a write to this folder, now."""
        return Written(folder_id=self.location.folder.id, at=ctx.now, keep=self.scope.project.version_limit, **fields)

    def shows(self, item: CachedSecret) -> bool:
        """Whether the caller may read the value."""
        return self.scope.ability.allows(rights.READ, rights.SUBJECT, rights.in_place(*self.env_path, item.facts))


async def enter(ctx: Ctx, target: Target, action: str, names: Iterable[str]) -> tuple[ProjectScope, str]:
    """Check that the caller may do this to secrets of these names; return its scope and the normal path."""
    scope = await enter_project(ctx, target.project_id)
    path = normal_path(target.path)
    turns = Turns()
    for name in names:
        rights.require_some(ctx, scope, action, target.environment, path, secretName=name)
        await turns.give()
    return scope, path


async def prepare_write(ctx: Ctx, scope: ProjectScope, environment: str, path: str) -> WriteTarget:
    """Load what a write to a folder needs. Raises NotFound."""
    location = await find(ctx, scope.project.id, environment, path)
    if location is None:
        raise NotFound(f"There is no folder {path[:256]!r} in environment {environment[:64]!r}")
    labels = await folder_cache.tags(ctx, scope.project.id)
    return WriteTarget(scope=scope, location=location, key=await sealed.sealer(ctx, scope.project.id), labels=labels)


@asynccontextmanager
async def unit(ctx: Ctx) -> AsyncIterator[Tx]:
    """Open a unit whose store errors become refusals."""
    with translate_store_errors():
        async with ctx.unit() as tx:
            yield tx


async def _alone(ctx: Ctx, entry: FolderWrite, then: Callable[[Tx, Any], Awaitable[object]] | None = None) -> Any:
    """Carry out a write in a unit of its own and return its answer; `then` is done in the same unit.

    For large writes, and for those that do more than write to one folder.
    """
    async with unit(ctx) as tx:
        (answer,) = await FolderWrite.apply(tx, [entry], is_last=then is None)
        if isinstance(answer, Refusal):
            raise answer
        if then is not None:
            await then(tx, answer)
    return answer


def owner(ctx: Ctx, kind: SecretKind) -> str | None:
    """Return the user id of a personal secret's owner; None for a shared one. Raises BadRequest for a non-person."""
    if kind == "shared":
        return None
    if ctx.actor.kind != "user":
        raise BadRequest("Only a person can have personal secrets")
    return ctx.actor.id


def known_tags(labels: Mapping[str, Tag], ids: Iterable[str]) -> tuple[Tag, ...]:
    """Return the tags with these ids, each once. Raises NotFound for one that the project does not have."""
    known = []
    for id in dict.fromkeys(ids):
        if id not in labels:
            raise NotFound(f"There is no tag with id {id[:64]!r} in this project")
        known.append(labels[id])
    return tuple(known)


async def create(ctx: Ctx, target: Target, items: Sequence[NewSecret], *, is_batch: bool = False) -> list[SecretView]:
    """Create secrets in one folder: all of them, or none."""
    scope, path = await enter(ctx, target, rights.CREATE, [item.name for item in items])
    owners = [owner(ctx, item.kind) for item in items]
    labels, turns = await folder_cache.tags(ctx, scope.project.id), Turns()
    for item in items:
        facts = facts_of(item.name, known_tags(labels, item.tag_ids), item.metadata)
        rights.require(ctx, scope, rights.CREATE, target.environment, path, facts)
        await turns.give()
    write_target = await prepare_write(ctx, scope, target.environment, path)
    await _require_readable(ctx, write_target, [(item.name, item.value) for item in items])
    rows: list[StoredSecret] = []
    for item, user_id in zip(items, owners, strict=True):
        rows.append(_row(ctx, write_target, item, user_id))
        await turns.give()

    def decide(state: FolderState) -> WritePlan:
        _require_new(state, rows)
        history = [sealed.as_version(ctx, row) for row in rows]
        audit_events = _events(ctx, write_target, "create", rows, is_batch=is_batch)
        return WritePlan(write_target.written(ctx, added=rows, history=history, events=audit_events), None)

    entry = FolderWrite(
        folder_id=write_target.location.folder.id, keys=frozenset(item.name for item in items), adds=True, decide=decide
    )
    await (_alone(ctx, entry) if is_batch else ctx.join(entry))
    views: list[SecretView] = []
    for row, item in zip(rows, items, strict=True):
        views.append(_written(write_target, row, _plain(item)))
        await turns.give()
    return views


def _plain(item: NewSecret) -> Plain:
    return Plain(value=item.value, comment=item.comment, metadata=item.metadata)


def _written(write_target: WriteTarget, row: StoredSecret, plain: Plain) -> SecretView:
    item = with_tags(row, write_target.labels)
    return of_plain(item, plain, write_target.location, show=write_target.shows(item))


def _row(ctx: Ctx, write_target: WriteTarget, item: NewSecret, user_id: str | None) -> StoredSecret:
    bare = StoredSecret(
        id=ctx.new_id(),
        project_id=write_target.scope.project.id,
        folder_id=write_target.location.folder.id,
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
    return sealed.sealed(write_target.key, bare, _plain(item))


def _references(value: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((item.environment, item.path, item.key) for item in references(value))


async def _require_readable(ctx: Ctx, write_target: WriteTarget, values: Iterable[tuple[str, str]]) -> None:
    referring = [
        ResolvedSecret(Address(*write_target.env_path, name), value) for name, value in values if "${" in value
    ]
    if referring:
        await expansion.require_readable(ctx, write_target.scope, referring)


def _require_new(state: FolderState, rows: Sequence[StoredSecret]) -> None:
    wanted = [(row.key, row.user_id) for row in rows]
    twice = (
        {key for key, user_id in wanted if wanted.count((key, user_id)) > 1}
        if len(set(wanted)) < len(wanted)
        else set()
    )
    if twice:
        raise BadRequest(f"The same secret is named twice: {_some(twice)}")
    taken = state.rows.keys() & set(wanted)
    if taken:
        raise BadRequest(f"A secret of that name exists already: {_some(key for key, _ in taken)}")
    alone = {key for key, user_id in wanted if user_id is not None and (key, None) not in state.rows}
    if alone:
        raise BadRequest(f"A personal secret overrides a shared one, and there is no shared {_some(alone)}")
    if state.count + len(rows) > MAX_IN_FOLDER:
        raise BadRequest(f"A folder holds at most {MAX_IN_FOLDER} secrets")


def _some(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:10]) + (f" and {len(ordered) - 10} more" if len(ordered) > 10 else "")


def _events(
    ctx: Ctx, write_target: WriteTarget, verb: str, rows: Sequence[StoredSecret], *, is_batch: bool
) -> list[AuditEvent]:
    location = dict(zip(("environment", "secretPath"), write_target.env_path, strict=True))
    ids = [{"secretId": row.id, "secretKey": row.key, "secretVersion": row.version} for row in rows]
    audit_events = (
        [(f"{verb}-secrets", {**location, "secrets": ids})]
        if is_batch
        else [(f"{verb}-secret", {**location, **item}) for item in ids]
    )
    return [
        ctx.event(name, metadata, org_id=write_target.scope.org_id, project_id=write_target.scope.project.id)
        for name, metadata in audit_events
    ]


async def change(
    ctx: Ctx, target: Target, changes: Sequence[SecretChange], *, mode: Mode = "failOnNotFound", is_batch: bool = False
) -> list[SecretView]:
    """Change secrets of one folder: all of them, or none. `mode` says what happens to names that do not exist."""
    scope, path = await enter(ctx, target, rights.EDIT, [item.name for item in changes])
    owners = [owner(ctx, item.kind) for item in changes]
    write_target = await prepare_write(ctx, scope, target.environment, path)
    for item in changes:
        known_tags(write_target.labels, (*(item.tag_ids or ()), *item.add_tag_ids))
    await _require_readable(
        ctx, write_target, [(item.name, item.value) for item in changes if isinstance(item.value, str)]
    )

    def decide(state: FolderState) -> WritePlan:
        change_set = _ChangeSet(ctx, write_target, state)
        for item, user_id in zip(changes, owners, strict=True):
            change_set.add(item, user_id, mode)
        return WritePlan(change_set.written(is_batch=is_batch), change_set)

    async def decide_many(state: FolderState) -> WritePlan:
        change_set, turns = _ChangeSet(ctx, write_target, state), Turns()
        for item, user_id in zip(changes, owners, strict=True):
            change_set.add(item, user_id, mode)
            await turns.give()
        return WritePlan(change_set.written(is_batch=is_batch), change_set)

    async def follow(tx: Tx, change_set: _ChangeSet) -> None:
        await renaming.follow(ctx, tx, write_target.key, scope, write_target.location, change_set.names)

    renames = {item.new_name for item in changes if isinstance(item.new_name, str)}
    keys = frozenset(item.name for item in changes) | renames
    entry = FolderWrite(
        folder_id=write_target.location.folder.id,
        keys=keys,
        adds=mode == "upsert",
        decide=decide_many if is_batch else decide,
    )
    change_set: _ChangeSet = await (_alone(ctx, entry, follow) if is_batch or renames else ctx.join(entry))
    written = {
        row.id: (row, plain)
        for row, plain in [*[(after, plain) for _, after, plain in change_set.changed], *change_set.added]
    }
    if not is_batch:
        return [_written(write_target, *written[id]) for id in change_set.order]
    views, turns = list[SecretView](), Turns()
    for id in change_set.order:
        views.append(_written(write_target, *written[id]))
        await turns.give()
    return views


class _ChangeSet:
    """The changes of one request, each checked as it is added."""

    def __init__(self, ctx: Ctx, write_target: WriteTarget, state: FolderState) -> None:
        self.ctx, self.env_path, self.state = ctx, write_target, state
        self.changed: list[tuple[StoredSecret, StoredSecret, Plain]] = []
        self.added: list[tuple[StoredSecret, Plain]] = []
        self.order: list[str] = []
        self._taken: set[Name] = set(state.rows)

    def add(self, item: SecretChange, user_id: str | None, mode: Mode) -> None:
        """Add one change. Raises PermissionDenied, NotFound, BadRequest."""
        row = self.state.rows.get((item.name, user_id))
        if row is None:
            if mode == "upsert":
                self._create(item, user_id)
            elif mode == "failOnNotFound":
                raise missing(item.name, *self.env_path.env_path)
            return
        if row.id in self.order:
            raise BadRequest(f"The same secret is named twice: {item.name}")
        old_facts = with_tags(row, self.env_path.labels).facts
        rights.require(self.ctx, self.env_path.scope, rights.EDIT, *self.env_path.env_path, old_facts)
        after, plain = changed(self.ctx, self.env_path.key, row, item)
        new_facts = facts_of(after.key, with_tags(after, self.env_path.labels).tags, plain.metadata)
        rights.require(self.ctx, self.env_path.scope, rights.EDIT, *self.env_path.env_path, new_facts)
        if old_facts != new_facts:
            relocation.require_to_relabel(self.env_path.scope, self.env_path.env_path, old_facts, new_facts, item.name)
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

    def _create(self, item: SecretChange, user_id: str | None) -> None:
        name = item.new_name if isinstance(item.new_name, str) else item.name
        if user_id is not None or (name, None) in self._taken:
            raise BadRequest(f"The secret {name} can not be created: one of that name exists, or it is a personal one")
        new = NewSecret(
            name=name,
            value=item.value or "",
            comment=item.comment or "",
            skip_multiline_encoding=item.skip_multiline_encoding or None,
            tag_ids=item.tag_ids or (),
            metadata=item.metadata or (),
            reminder_note=item.reminder_note or None,
            reminder_repeat_days=item.reminder_repeat_days or None,
        )
        facts = facts_of(name, known_tags(self.env_path.labels, new.tag_ids), new.metadata)
        rights.require(self.ctx, self.env_path.scope, rights.CREATE, *self.env_path.env_path, facts)
        row = _row(self.ctx, self.env_path, new, None)
        self._taken.add((name, None))
        self.added.append((row, _plain(new)))
        self.order.append(row.id)

    @property
    def names(self) -> dict[str, str]:
        """The new names of renamed secrets, by the old ones."""
        return {before.key: after.key for before, after, _ in self.changed if before.key != after.key}

    def written(self, *, is_batch: bool) -> Written:
        """Make the write of all changes. A personal secret takes the new name of the shared one that it overrides."""
        ctx, write_target, names = self.ctx, self.env_path, self.names
        added, after = [row for row, _ in self.added], [after for _, after, _ in self.changed]
        if added:
            _require_new(self.state, added)
        own = [
            (row, msgspec.structs.replace(row, key=names[key]))
            for (key, user_id), row in self.state.rows.items()
            if user_id is not None and key in names
        ]
        audit_events = _events(ctx, write_target, "update", after, is_batch=is_batch)
        if added:
            audit_events += _events(ctx, write_target, "create", added, is_batch=is_batch)
        return write_target.written(
            ctx,
            changed=[*[(before, after) for before, after, _ in self.changed], *own],
            added=added,
            history=[sealed.as_version(ctx, row) for row in (*added, *after)],
            events=audit_events,
        )


def changed(ctx: Ctx, key: Sealer, row: StoredSecret, item: SecretChange) -> tuple[StoredSecret, Plain]:
    """Return the changed row, sealed for its next version, and its plain texts."""
    plain = sealed.opened(key, row)
    plain = Plain(
        value=plain.value if isinstance(item.value, Unset) else item.value,
        comment=plain.comment if isinstance(item.comment, Unset) else item.comment,
        metadata=plain.metadata if isinstance(item.metadata, Unset) else item.metadata,
    )
    tag_ids = row.tag_ids if isinstance(item.tag_ids, Unset) else item.tag_ids
    tag_ids = tuple(id for id in dict.fromkeys((*tag_ids, *item.add_tag_ids)) if id not in item.remove_tag_ids)
    set_fields = {
        name: value
        for name in ("skip_multiline_encoding", "reminder_note", "reminder_repeat_days")
        if not isinstance(value := getattr(item, name), Unset)
    }
    after = msgspec.structs.replace(
        row,
        key=row.key if isinstance(item.new_name, Unset) else item.new_name,
        version=row.version + 1,
        tag_ids=tag_ids,
        references=_references(plain.value),
        actor_kind=ctx.actor.kind,
        actor_id=ctx.actor.id or None,
        updated_at=ctx.now,
        **set_fields,
    )
    return sealed.sealed(key, after, plain), plain


async def remove(
    ctx: Ctx, target: Target, items: Sequence[tuple[str, SecretKind]], *, is_batch: bool = False
) -> list[SecretView]:
    """Delete secrets (name, kind) of one folder: all of them, or none.

    The personal secrets that override a shared one are deleted with it.
    """
    scope, path = await enter(ctx, target, rights.DELETE, [name for name, _ in items])
    owners = [owner(ctx, kind) for _, kind in items]
    write_target = await prepare_write(ctx, scope, target.environment, path)
    async with unit(ctx) as tx:
        rows = await secrets.named(tx, [write_target.location.folder.id], {name for name, _ in items}, to_change=True)
        by_name = {(row.key, row.user_id): row for row in rows}
        removed: dict[str, StoredSecret] = {}
        for (name, _), user_id in zip(items, owners, strict=True):
            row = by_name.get((name, user_id))
            if row is None:
                raise missing(name, *write_target.env_path)
            rights.require(ctx, scope, rights.DELETE, *write_target.env_path, with_tags(row, write_target.labels).facts)
            removed[row.id] = row
        names = {row.key for row in removed.values() if row.user_id is None}
        await secrets.remove(tx, [row for row in rows if row.id in removed or row.key in names])
        await folders.touch(tx, [write_target.location.folder.id], ctx.now)
        await events.add(tx, _events(ctx, write_target, "delete", list(removed.values()), is_batch=is_batch))
    removed_secrets = [with_tags(row, write_target.labels) for row in removed.values()]
    return [
        decrypt_one(write_target.key, item, write_target.location, show=write_target.shows(item))
        for item in removed_secrets
    ]
