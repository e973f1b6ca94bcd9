"""Write secrets: create, change and delete, one or many, all or nothing.

Permission is asked twice: for the name alone before anything is looked up, and for the secret with its tags as it was
and as it will be. Every write adds a version; the answer has the value only for a caller who may read it.
"""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal

import msgspec

from watchword.domain.audit.records import AuditEvent
from watchword.domain.deliveries import Delivery
from watchword.domain.errors import BadRequest, Conflict, NotFound
from watchword.domain.projects.records import Tag
from watchword.domain.secrets.records import SecretKind, SecretMetadata, StoredSecret
from watchword.domain.secrets.references import Address, ResolvedSecret, references
from watchword.domain.secrets.texts import MAX_IN_FOLDER
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer
from watchword.services.projects.locations import SecretLocation, find, normal_path
from watchword.services.projects.webhooks import Watchers, watchers
from watchword.services.secrets import expansion, folder_cache, import_resolution, relocation, renaming, rights, sealed
from watchword.services.secrets.folder_cache import CachedSecret, facts_of, with_tags
from watchword.services.secrets.reading import missing, missing_folder
from watchword.services.secrets.sealed import Plain
from watchword.services.secrets.shared_writes import FolderState, FolderWrite, WritePlan, translate_store_errors
from watchword.services.secrets.views import SecretView, decrypt_one, of_plain
from watchword.services.turns import Turns
from watchword.store import deliveries
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


class NamedSecret(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that one item of a request means; `environment` and `path` are None where they are the request's."""

    name: str
    kind: SecretKind = "shared"
    environment: str | None = None
    path: str | None = None


class NewSecret(msgspec.Struct, frozen=True, kw_only=True):
    """A secret to create; its texts are tidied already. Its place is as in `NamedSecret`."""

    name: str
    environment: str | None = None
    path: str | None = None
    value: str
    comment: str = ""
    kind: SecretKind = "shared"
    skip_multiline_encoding: bool | None = None
    tag_ids: tuple[str, ...] = ()
    metadata: tuple[SecretMetadata, ...] = ()
    reminder_note: str | None = None
    reminder_repeat_days: int | None = None


class Removal(NamedSecret, frozen=True, kw_only=True):
    """A secret to delete; with `if_version` only that very version of it."""

    if_version: int | None = None


class SecretChange(NamedSecret, frozen=True, kw_only=True):
    """A change of one secret; fields that are not set stay as they are.

    With `if_version` it is a change of that very version, and with 0 of no secret at all: where it is another one by
    now, nothing is written.
    """

    if_version: int | None = None
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
    told_by: Watchers

    @property
    def env_path(self) -> tuple[str, str]:
        """Environment slug and path."""
        return self.location.environment.slug, self.location.folder.path

    def written(self, ctx: Ctx, **fields: Any) -> Written:
        """Make a write to this folder, now."""
        if self.told_by:
            rows = [*fields.get("added", ()), *(row for _, row in fields.get("changed", ()))]
            fields["messages"] = self.messages(ctx, rows)
        return Written(folder_id=self.location.folder.id, at=ctx.now, keep=self.scope.project.version_limit, **fields)

    def messages(self, ctx: Ctx, rows: Iterable[StoredSecret]) -> list[Delivery]:
        """Make what webhooks are told when these secrets are written or deleted: nothing of personal ones."""
        if not self.told_by or all(row.user_id is not None for row in rows):
            return []
        return self.told_by.told(ctx, self.scope.project, [(self.location.environment.id, *self.env_path)])

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
    return await _write_target(ctx, scope, (environment, path), location)


async def _write_target(
    ctx: Ctx, scope: ProjectScope, env_path: tuple[str, str], location: SecretLocation | None
) -> WriteTarget:
    if location is None:
        raise missing_folder(*env_path)
    labels = await folder_cache.tags(ctx, scope.project.id)
    told_by = await watchers(ctx, scope.project.id)
    key = await sealed.sealer(ctx, scope.project.id)
    return WriteTarget(scope=scope, location=location, key=key, labels=labels, told_by=told_by)


class _Place(msgspec.Struct, frozen=True):
    """One of the places that a request writes to, and which of its items go there, by their numbers."""

    env_path: tuple[str, str]
    numbers: list[int]


async def _enter_all(
    ctx: Ctx, target: Target, action: str, items: Sequence[NamedSecret | NewSecret]
) -> tuple[ProjectScope, list[_Place]]:
    """Check as `enter` does for every place that the items name.

    Raises BadRequest where two items mean the same secret.
    """
    outer, places = normal_path(target.path), dict[tuple[str, str], list[int]]()
    turns = Turns()
    for number, item in enumerate(items):
        path = outer if item.path is None else normal_path(item.path)
        places.setdefault((item.environment or target.environment, path), []).append(number)
        await turns.give()
    for (environment, path), numbers in places.items():
        place = Target(project_id=target.project_id, environment=environment, path=path)
        new = [items[number].name for number in numbers if _is_new(items[number])]
        scope, _ = await enter(ctx, place, action, [items[n].name for n in numbers if not new or not _is_new(items[n])])
        if new:
            await enter(ctx, place, rights.CREATE, new)
    for numbers in places.values():
        named = Counter((items[number].name, items[number].kind) for number in numbers)
        if len(named) < len(numbers):
            raise BadRequest(
                f"The same secret is named twice: {_some({name for (name, _), count in named.items() if count > 1})}"
            )
    return scope, [_Place(env_path, numbers) for env_path, numbers in places.items()]


def _is_new(item: NamedSecret | NewSecret) -> bool:
    """Whether a change is one of no secret at all: it may only create."""
    return isinstance(item, SecretChange) and item.if_version == 0


async def _prepare_all(ctx: Ctx, scope: ProjectScope, places: Sequence[_Place]) -> list[WriteTarget]:
    """Load what writes to these places need. Raises NotFound for a place that does not exist."""
    if len(places) == 1:
        return [await prepare_write(ctx, scope, *places[0].env_path)]
    locations = await import_resolution.locations(ctx, scope.project.id, [place.env_path for place in places])
    return [await _write_target(ctx, scope, place.env_path, locations[place.env_path]) for place in places]


@asynccontextmanager
async def unit(ctx: Ctx) -> AsyncIterator[Tx]:
    """Open a unit whose store errors become refusals."""
    with translate_store_errors():
        async with ctx.unit() as tx:
            yield tx


async def _alone(
    ctx: Ctx, entries: Sequence[FolderWrite], then: Callable[[Tx, Sequence[Any]], Awaitable[object]] | None = None
) -> Sequence[Any]:
    """Carry out writes to different folders in a unit of their own, all or none, and return their answers.

    `then` is done in the same unit. For large writes, and for those that do more than write to one folder.
    """
    async with unit(ctx) as tx:
        answers = await FolderWrite.apply(tx, entries, is_last=then is None, all_or_none=True)
        if then is not None:
            await then(tx, answers)
    return answers


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
    """Create secrets, each in its own place or else in `target`: all of them, or none."""
    scope, places = await _enter_all(ctx, target, rights.CREATE, items)
    owners = [owner(ctx, item.kind) for item in items]
    labels, turns = await folder_cache.tags(ctx, scope.project.id), Turns()
    for place in places:
        for number in place.numbers:
            item = items[number]
            facts = facts_of(item.name, known_tags(labels, item.tag_ids), item.metadata)
            rights.require(ctx, scope, rights.CREATE, *place.env_path, facts)
            await turns.give()
    write_targets = await _prepare_all(ctx, scope, places)
    written: dict[int, tuple[WriteTarget, StoredSecret]] = {}
    entries: list[FolderWrite] = []
    for place, write_target in zip(places, write_targets, strict=True):
        await _require_readable(ctx, write_target, [(items[n].name, items[n].value) for n in place.numbers])
        for number in place.numbers:
            written[number] = write_target, _row(ctx, write_target, items[number], owners[number])
            await turns.give()
        entries.append(
            _creation(ctx, write_target, [written[number][1] for number in place.numbers], is_batch=is_batch)
        )
    await (_alone(ctx, entries) if is_batch else ctx.join(entries[0]))
    views: list[SecretView] = []
    for number, item in enumerate(items):
        views.append(_written(*written[number], _plain(item)))
        await turns.give()
    return views


def _creation(ctx: Ctx, write_target: WriteTarget, rows: Sequence[StoredSecret], *, is_batch: bool) -> FolderWrite:
    def decide(state: FolderState) -> WritePlan:
        _require_new(state, rows)
        history = [sealed.as_version(ctx, row) for row in rows]
        audit_events = _events(ctx, write_target, "create", rows, is_batch=is_batch)
        return WritePlan(write_target.written(ctx, added=rows, history=history, events=audit_events), None)

    return FolderWrite(
        folder_id=write_target.location.folder.id, keys=frozenset(row.key for row in rows), adds=True, decide=decide
    )


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
    ctx: Ctx,
    target: Target,
    changes: Sequence[SecretChange],
    *,
    mode: Mode = "failOnNotFound",
    is_batch: bool = False,
    removed: Sequence[Removal] = (),
) -> list[SecretView]:
    """Change secrets, each in its own place or else in `target`, and delete those `removed`: all of it, or nothing.

    `mode` says what happens to names that do not exist. All names are those from before the request: secrets may take
    each other's names. Only a batch deletes.
    """
    removals = await _Removals.of(ctx, target, removed) if removed else None
    scope, places = await _enter_all(ctx, target, rights.EDIT, changes)
    owners = [owner(ctx, item.kind) for item in changes]
    write_targets = await _prepare_all(ctx, scope, places)
    for item in changes:
        known_tags(write_targets[0].labels, (*(item.tag_ids or ()), *item.add_tag_ids))
    entries: list[FolderWrite] = []
    for place, write_target in zip(places, write_targets, strict=True):
        values = [(changes[number].name, changes[number].value) for number in place.numbers]
        await _require_readable(ctx, write_target, [(name, value) for name, value in values if isinstance(value, str)])
        numbered = [(number, changes[number], owners[number]) for number in place.numbers]
        entries.append(_change(ctx, write_target, numbered, mode, is_batch=is_batch))

    async def follow(tx: Tx, change_sets: Sequence[_ChangeSet]) -> None:
        names = [(place.write_target.location, place.names) for place in change_sets if place.names]
        if names:
            await renaming.follow(ctx, tx, write_targets[0].key, scope, names)
        if removals is not None:
            await removals.carry_out(ctx, tx, is_batch=True)

    renames = any(isinstance(item.new_name, str) for item in changes)
    follows = renames or removals is not None
    change_sets: Sequence[_ChangeSet] = await (
        _alone(ctx, entries, follow if follows else None) if is_batch or follows else _joined(ctx, entries[0])
    )
    written = {
        number: (change_set.write_target, row, plain)
        for change_set in change_sets
        for number, row, plain in change_set.written_items
    }
    views, turns = list[SecretView](), Turns()
    for number in sorted(written):
        views.append(_written(*written[number]))
        await turns.give()
    return views


async def _joined(ctx: Ctx, entry: FolderWrite) -> Sequence[Any]:
    return [await ctx.join(entry)]


def _change(
    ctx: Ctx,
    write_target: WriteTarget,
    items: Sequence[tuple[int, SecretChange, str | None]],
    mode: Mode,
    *,
    is_batch: bool,
) -> FolderWrite:
    """Make the write of changes to one folder; each comes with its number in the request and its owner."""

    def decide(state: FolderState) -> WritePlan:
        change_set = _ChangeSet(ctx, write_target, state)
        for number, item, user_id in items:
            change_set.add(number, item, user_id, mode)
        return WritePlan(change_set.written(is_batch=is_batch), change_set)

    async def decide_many(state: FolderState) -> WritePlan:
        change_set, turns = _ChangeSet(ctx, write_target, state), Turns()
        for number, item, user_id in items:
            change_set.add(number, item, user_id, mode)
            await turns.give()
        return WritePlan(change_set.written(is_batch=is_batch), change_set)

    return FolderWrite(
        folder_id=write_target.location.folder.id,
        keys=frozenset(
            name for _, item, _ in items for name in (item.name, item.new_name) if not isinstance(name, Unset)
        ),
        adds=mode == "upsert",
        decide=decide_many if is_batch else decide,
    )


class _ChangeSet:
    """The changes of one request to one folder, each checked as it is added; `written` checks them together."""

    def __init__(self, ctx: Ctx, write_target: WriteTarget, state: FolderState) -> None:
        self.ctx, self.write_target, self.state = ctx, write_target, state
        self.written_items: list[tuple[int, StoredSecret, Plain]] = []
        self._changed: list[tuple[StoredSecret, StoredSecret]] = []
        self._added: list[StoredSecret] = []

    def add(self, number: int, item: SecretChange, user_id: str | None, mode: Mode) -> None:
        """Add one change. Raises PermissionDenied, NotFound, BadRequest, Conflict."""
        row = self.state.rows.get((item.name, user_id))
        if row is None:
            if item.if_version:
                raise Conflict(f"{item.name} in {self.write_target.env_path[0]} was deleted meanwhile")
            if mode == "upsert":
                self._create(number, item, user_id)
            elif mode == "failOnNotFound":
                raise missing(item.name, *self.write_target.env_path)
            return
        scope, env_path, labels = self.write_target.scope, self.write_target.env_path, self.write_target.labels
        old_facts = with_tags(row, labels).facts
        if item.if_version != 0:
            rights.require(self.ctx, scope, rights.EDIT, *env_path, old_facts)
        if item.if_version is not None and item.if_version != row.version:
            raise Conflict(f"{item.name} in {env_path[0]} was written meanwhile: it has version {row.version} now")
        after, plain = changed(self.ctx, self.write_target.key, row, item)
        new_facts = facts_of(after.key, with_tags(after, labels).tags, plain.metadata)
        rights.require(self.ctx, scope, rights.EDIT, *env_path, new_facts)
        if old_facts != new_facts:
            relocation.require_to_relabel(scope, env_path, old_facts, new_facts, item.name)
        if after.key != row.key and user_id is not None:
            raise BadRequest("A personal secret has the name of the shared one that it overrides")
        self._changed.append((row, after))
        self.written_items.append((number, after, plain))

    def _create(self, number: int, item: SecretChange, user_id: str | None) -> None:
        name = item.new_name if isinstance(item.new_name, str) else item.name
        if user_id is not None:
            raise BadRequest(f"The secret {name} can not be created: it is a personal one")
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
        facts = facts_of(name, known_tags(self.write_target.labels, new.tag_ids), new.metadata)
        rights.require(self.ctx, self.write_target.scope, rights.CREATE, *self.write_target.env_path, facts)
        row = _row(self.ctx, self.write_target, new, None)
        self._added.append(row)
        self.written_items.append((number, row, _plain(new)))

    @property
    def names(self) -> dict[str, str]:
        """The new names of renamed secrets, by the old ones."""
        return {before.key: after.key for before, after in self._changed if before.key != after.key}

    def written(self, *, is_batch: bool) -> Written:
        """Make the write of all changes. A personal secret takes the new name of the shared one that it overrides.

        Raises BadRequest where two secrets would have one name.
        """
        ctx, write_target, names = self.ctx, self.write_target, self.names
        self._require_names(names)
        if self.state.count + len(self._added) > MAX_IN_FOLDER and self._added:
            raise BadRequest(f"A folder holds at most {MAX_IN_FOLDER} secrets")
        final = [
            (before, row if row.user_id is None else msgspec.structs.replace(row, key=names.get(row.key, row.key)))
            for before, row in self._changed
        ]
        changed_ids = {before.id for before, _ in self._changed}
        own = [
            (row, msgspec.structs.replace(row, key=names[key]))
            for (key, user_id), row in self.state.rows.items()
            if user_id is not None and key in names and row.id not in changed_ids
        ]
        after = [row for _, row in final]
        by_id = {row.id: row for row in after}
        self.written_items = [(number, by_id.get(row.id, row), plain) for number, row, plain in self.written_items]
        audit_events = _events(ctx, write_target, "update", after, is_batch=is_batch) if after else []
        if self._added:
            audit_events += _events(ctx, write_target, "create", self._added, is_batch=is_batch)
        return write_target.written(
            ctx,
            changed=[*final, *own],
            added=self._added,
            history=[sealed.as_version(ctx, row) for row in (*self._added, *after)],
            events=audit_events,
        )

    def _require_names(self, names: Mapping[str, str]) -> None:
        stays = Counter(key for key, user_id in self.state.rows if user_id is None and key not in names)
        wanted = stays + Counter(names.values()) + Counter(row.key for row in self._added)
        twice = {name for name, count in wanted.items() if count > 1}
        if twice:
            raise BadRequest(f"A secret of that name exists already: {_some(twice)}")


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


async def remove(ctx: Ctx, target: Target, items: Sequence[NamedSecret], *, is_batch: bool = False) -> list[SecretView]:
    """Delete secrets, each in its own place or else in `target`: all of them, or none.

    The personal secrets that override a shared one are deleted with it.
    """
    removals = await _Removals.of(ctx, target, items)
    async with unit(ctx) as tx:
        await removals.carry_out(ctx, tx, is_batch=is_batch)
    views, turns = list[SecretView](), Turns()
    for number in range(len(items)):
        write_target, row = removals.removed[number]
        item = with_tags(row, write_target.labels)
        views.append(decrypt_one(write_target.key, item, write_target.location, show=write_target.shows(item)))
        await turns.give()
    return views


class _Removals(msgspec.Struct):
    """Deletions: what they need is loaded outside of a unit, and they are carried out in one."""

    scope: ProjectScope
    places: Sequence[_Place]
    write_targets: Sequence[WriteTarget]
    items: Sequence[NamedSecret]
    owners: Sequence[str | None]
    removed: dict[int, tuple[WriteTarget, StoredSecret]] = msgspec.field(default_factory=dict)

    @classmethod
    async def of(cls, ctx: Ctx, target: Target, items: Sequence[NamedSecret]) -> "_Removals":
        """Load what deletions need. Raises PermissionDenied, NotFound, BadRequest."""
        scope, places = await _enter_all(ctx, target, rights.DELETE, items)
        owners = [owner(ctx, item.kind) for item in items]
        return cls(scope, places, await _prepare_all(ctx, scope, places), items, owners)

    async def carry_out(self, ctx: Ctx, tx: Tx, *, is_batch: bool) -> None:
        """Delete all of them in an open unit. Raises PermissionDenied, NotFound, Conflict."""
        turns = Turns()
        placed = list(zip(self.places, self.write_targets, strict=True))
        rows = await secrets.picked(
            tx,
            {
                (write_target.location.folder.id, self.items[number].name)
                for place, write_target in placed
                for number in place.numbers
            },
            to_change=True,
            pauses=turns,
        )
        by_name = {(row.folder_id, row.key, row.user_id): row for row in rows}
        for place, write_target in placed:
            for number in place.numbers:
                item = self.items[number]
                row = by_name.get((write_target.location.folder.id, item.name, self.owners[number]))
                if row is None:
                    raise missing(item.name, *write_target.env_path)
                facts = with_tags(row, write_target.labels).facts
                rights.require(ctx, self.scope, rights.DELETE, *write_target.env_path, facts)
                if isinstance(item, Removal) and item.if_version not in (None, row.version):
                    raise Conflict(
                        f"{item.name} in {write_target.env_path[0]} was written meanwhile: it has version "
                        f"{row.version} now"
                    )
                self.removed[number] = write_target, row
                await turns.give()
        gone = {row.id for _, row in self.removed.values()}
        names = {(row.folder_id, row.key) for _, row in self.removed.values() if row.user_id is None}
        await secrets.remove(tx, [row for row in rows if row.id in gone or (row.folder_id, row.key) in names])
        await folders.touch(tx, [write_target.location.folder.id for write_target in self.write_targets], ctx.now)
        for place, write_target in placed:
            deleted = [self.removed[number][1] for number in place.numbers]
            await events.add(tx, _events(ctx, write_target, "delete", deleted, is_batch=is_batch))
            await deliveries.queue(tx, write_target.messages(ctx, deleted))
