"""Secrets, their versions, and what they are labelled with. Values stay sealed here."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, ColumnElement, Text, and_, bindparam, delete, func, or_, select, tuple_, update

from watchword.domain.audit.records import AuditEvent
from watchword.domain.deliveries import Delivery
from watchword.domain.projects.records import Environment, Folder, Tag
from watchword.domain.secrets.records import SecretMetadata, SecretVersion, StoredSecret
from watchword.domain.secrets.replicas import PREFIX
from watchword.store import deliveries, schema, versions
from watchword.store.audit.events import EVENTS
from watchword.store.engine import Prepared, Tx, Write, any_of, any_pair, prepare
from watchword.store.mapping import Mapper, Pauses, in_pieces
from watchword.store.projects.folders import ENVIRONMENTS, FOLDERS, touched

SECRETS = Mapper(StoredSecret, schema.secrets)
VERSIONS = Mapper(SecretVersion, schema.secret_versions)
TAGS = Mapper(Tag, schema.tags)
_s, _v, _f, _e, _t = schema.secrets, schema.secret_versions, schema.folders, schema.environments, schema.tags
_columns = SECRETS.columns

_IN_FOLDERS = prepare(lambda: select(*_columns).where(any_of(_s.c.folder_id, "of")).order_by(_s.c.key, _s.c.id))
_IN_FOLDER_AFTER = prepare(
    lambda: (
        select(*_columns)
        .where(_s.c.folder_id == bindparam("of"), tuple_(_s.c.key, _s.c.id) > tuple_(bindparam("key"), bindparam("id")))
        .order_by(_s.c.key, _s.c.id)
        .limit(bindparam("most"))
    )
)
_WEIGHTS = prepare(
    lambda: (
        select(_s.c.folder_id, func.count(), func.sum(func.length(_s.c.value)))
        .where(any_of(_s.c.folder_id, "of"))
        .group_by(_s.c.folder_id)
    )
)
_NAMED = select(*_columns).where(any_of(_s.c.folder_id, "of"), any_of(_s.c.key, "keys")).order_by(_s.c.key, _s.c.id)
_NAMED_TO_READ, _NAMED_TO_CHANGE = prepare(lambda: _NAMED), prepare(_NAMED.with_for_update)
_PICKED = (
    select(*_columns)
    .where(any_pair(_s.c.folder_id, _s.c.key, "folders", "keys"))
    .order_by(_s.c.folder_id, _s.c.key, _s.c.id)
)
_PICKED_TO_READ, _PICKED_TO_CHANGE = prepare(lambda: _PICKED), prepare(_PICKED.with_for_update)
_AT_ONCE = 64
_WRITTEN_AT_ONCE = 100  # rows
_REFERRING = prepare(
    lambda: (
        select(_s.c.key, _s.c.id, _s.c.references)
        .where(
            _s.c.project_id == bindparam("of"),
            _s.c.references != bindparam("none", type_=Text),
            tuple_(_s.c.key, _s.c.id) > tuple_(bindparam("key"), bindparam("id")),
        )
        .order_by(_s.c.key, _s.c.id)
        .limit(bindparam("most", type_=BigInteger))
    )
)
_FEW, _LOOKED_AT = 4, 1_000  # names that are asked for one by one; rows that one query looks at otherwise
_BY_IDS = select(*_columns).where(any_of(_s.c.id, "of")).order_by(_s.c.key, _s.c.id)
_BY_IDS_TO_READ, _BY_IDS_TO_CHANGE = prepare(lambda: _BY_IDS), prepare(_BY_IDS.with_for_update)
_COUNTS = prepare(
    lambda: select(_s.c.folder_id, func.count()).where(any_of(_s.c.folder_id, "of")).group_by(_s.c.folder_id)
)
_LABELS = (_s.c.folder_id, _s.c.key, _s.c.user_id, _s.c.tag_ids, _s.c.metadata)
_LABELLED = prepare(lambda: select(*_LABELS).where(any_of(_s.c.folder_id, "of")))
_LABELLED_AFTER = prepare(
    lambda: (
        select(*_LABELS)
        .where(_s.c.folder_id == bindparam("of"), _s.c.key > bindparam("after"))
        .order_by(_s.c.key)
        .limit(bindparam("most", type_=BigInteger))
    )
)
_LABELLED_AT = prepare(lambda: select(*_LABELS).where(_s.c.folder_id == bindparam("of"), _s.c.key == bindparam("key")))
_FIXED = ("id", "project_id", "created_at")
_PLACED = (
    "folder_id",
    "key",
    "user_id",
)  # the indexes are made of these: one that is said to change is written again, even to the same


def _update(*leaving: str) -> Prepared:
    fields: dict[str, Any] = {name: bindparam(name) for name in StoredSecret.__struct_fields__ if name not in leaving}
    return prepare(
        lambda: (
            update(_s)
            .where(_s.c.id == bindparam("of"), _s.c.version == bindparam("before", type_=BigInteger))
            .values(fields)
        ),
        at_once=True,
    )


_REPLACE, _REPLACE_IN_PLACE = _update(*_FIXED), _update(*_FIXED, *_PLACED)
_REMOVE = prepare(lambda: delete(_s).where(any_of(_s.c.id, "of")))


class VersionConflict(Exception):
    """The row is not at the version that was read: another unit changed it meanwhile."""


class Weight(msgspec.Struct, frozen=True):
    """How much a folder holds."""

    count: int = 0
    size: int = 0


async def in_folders(tx: Tx, folder_ids: Collection[str], pauses: Pauses | None = None) -> list[StoredSecret]:
    """Everything in these folders, shared and personal, by key."""
    return await in_pieces(await tx.all(_IN_FOLDERS, of=list(folder_ids)), SECRETS.read, pauses)


async def in_folder_after(
    tx: Tx, folder_id: str, last: StoredSecret | None, most: int, pauses: Pauses | None = None
) -> list[StoredSecret]:
    """The next secrets in a folder after `last`, shared and personal, by key."""
    key, id = ("", "") if last is None else (last.key, last.id)
    rows = await tx.all(_IN_FOLDER_AFTER, of=folder_id, key=key, id=id, most=most)
    return await in_pieces(rows, SECRETS.read, pauses)


async def weights(tx: Tx, folder_ids: Collection[str]) -> dict[str, Weight]:
    """How many secrets are in each of these folders, and how many bytes their sealed values take."""
    weights_by_folder = {id: Weight() for id in folder_ids}
    for folder_id, count, size in await tx.all(_WEIGHTS, of=list(folder_ids)):
        weights_by_folder[folder_id] = Weight(int(count), int(size or 0))
    return weights_by_folder


async def named(
    tx: Tx, folder_ids: Collection[str], keys: Collection[str], *, to_change: bool = False
) -> list[StoredSecret]:
    """The secrets in these folders with one of these keys, shared and personal.

    `to_change` keeps other units from changing them.
    """
    rows = await tx.all(_NAMED_TO_CHANGE if to_change else _NAMED_TO_READ, of=list(folder_ids), keys=list(keys))
    return SECRETS.every(rows)


async def picked(
    tx: Tx, pairs: Collection[tuple[str, str]], *, to_change: bool = False, pauses: Pauses | None = None
) -> list[StoredSecret]:
    """The secrets with these (folder, key), shared and personal. `to_change` locks them until the unit ends."""
    secrets: list[StoredSecret] = []
    statement = _PICKED_TO_CHANGE if to_change else _PICKED_TO_READ
    ordered = sorted(pairs)  # as in every process, so that two units seldom wait for each other
    for start in range(0, len(ordered), _AT_ONCE):
        chunk = ordered[start : start + _AT_ONCE]
        secrets += SECRETS.every(
            await tx.all(statement, folders=[pair[0] for pair in chunk], keys=[pair[1] for pair in chunk])
        )
        if pauses is not None:
            await pauses.give()
    return secrets


async def by_ids(tx: Tx, ids: Collection[str], *, to_change: bool = False) -> list[StoredSecret]:
    """Secrets by id, whoever's they are: the caller checks whose."""
    return SECRETS.every(await tx.all(_BY_IDS_TO_CHANGE if to_change else _BY_IDS_TO_READ, of=list(ids)))


async def counts(tx: Tx, folder_ids: Collection[str]) -> dict[str, int]:
    """How many secrets these folders hold."""
    counts_by_folder = dict.fromkeys(folder_ids, 0)
    counts_by_folder.update({row[0]: int(row[1]) for row in await tx.all(_COUNTS, of=list(folder_ids))})
    return counts_by_folder


async def replace(tx: Tx, before: StoredSecret, after: StoredSecret) -> None:
    """Store `after` in the place of `before`.

    Raises AlreadyThere when its key is taken, Conflict when the row has changed.
    """
    if await tx.run(_REPLACE, **_replacing(before, after, _FIXED)) != 1:
        raise VersionConflict(before.id)
    _raise(tx, (before, after))


def _replacing(before: StoredSecret, after: StoredSecret, leaving: Iterable[str]) -> dict[str, Any]:
    values = {**SECRETS.values(after), "of": before.id, "before": before.version}
    for name in leaving:
        del values[name]
    return values


async def remove(tx: Tx, records: Collection[StoredSecret]) -> None:
    """Delete secrets with their versions."""
    await tx.run(_REMOVE, of=[record.id for record in records])
    _raise(tx, records)


def _raise(tx: Tx, records: Iterable[StoredSecret]) -> None:
    tx.changed(*{versions.folder(record.folder_id) for record in records})


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


async def referring_to(
    tx: Tx, project_id: str, keys: Collection[str], *, to_change: bool = True, pauses: Pauses | None = None
) -> list[StoredSecret]:
    """The secrets of a project that have a reference to some secret called one of `keys`.

    The caller finds out which secret of that name is meant.
    """
    if not keys:
        return []
    if len(keys) > _FEW:
        return await _referring_to_many(tx, project_id, keys, to_change=to_change, pauses=pauses)
    mentioned = or_(*(_s.c.references.like(f'%"{_escaped(key)}"%', escape="\\") for key in keys))
    statement = select(*_columns).where(_s.c.project_id == project_id, mentioned).order_by(_s.c.id)
    rows = await tx.all(statement.with_for_update() if to_change else statement)
    return [secret for secret in SECRETS.every(rows) if any(reference[2] in keys for reference in secret.references)]


async def _referring_to_many(
    tx: Tx, project_id: str, keys: Collection[str], *, to_change: bool, pauses: Pauses | None
) -> list[StoredSecret]:
    found: list[str] = []
    key = id = ""
    while True:
        rows = await tx.all(_REFERRING, of=project_id, none="[]", key=key, id=id, most=_LOOKED_AT)
        found += [row[1] for row in rows if any(reference[2] in keys for reference in _read_references(row[2]))]
        if pauses is not None:
            await pauses.give()
        if len(rows) < _LOOKED_AT:
            break
        key, id = rows[-1][0], rows[-1][1]
    secrets: list[StoredSecret] = []
    for start in range(0, len(found), _AT_ONCE):
        secrets += await by_ids(tx, sorted(found)[start : start + _AT_ONCE], to_change=to_change)
        if pauses is not None:
            await pauses.give()
    return secrets


# --- versions

_OF_SECRET = prepare(
    lambda: (
        select(*VERSIONS.columns)
        .where(_v.c.secret_id == bindparam("of"))
        .order_by(_v.c.version.desc())
        .limit(bindparam("most", type_=BigInteger))
        .offset(bindparam("first", type_=BigInteger))
    )
)
_VERSION = prepare(
    lambda: select(*VERSIONS.columns).where(_v.c.secret_id == bindparam("of"), _v.c.version == bindparam("n"))
)
_HOW_MANY = prepare(lambda: select(func.count()).where(_v.c.secret_id == bindparam("of")))
_PRUNE = prepare(
    lambda: delete(_v).where(_v.c.secret_id == bindparam("of"), _v.c.version <= bindparam("up_to")), at_once=True
)


async def add_versions(tx: Tx, records: Sequence[SecretVersion], keep: int) -> None:
    """Store what secrets have become, and forget of each all but the last `keep` versions."""
    await tx.together(_versions_of([(records, keep)]))


def _versions_of(histories: Sequence[tuple[Sequence[SecretVersion], int]]) -> list[Write]:
    """The writes that store versions, and remove all but the last `keep` versions of each secret.

    A version that would be removed at once is not stored.
    """
    up_to: dict[str, int] = {}
    for records, keep in histories:
        for version in records:
            up_to[version.secret_id] = max(up_to.get(version.secret_id, 0), version.version - keep)
    kept_versions = [
        version for records, _ in histories for version in records if version.version > up_to[version.secret_id]
    ]
    too_old = [{"of": id, "up_to": n} for id, n in up_to.items() if n > 0]
    return [Write(VERSIONS.INSERT, [VERSIONS.values(version) for version in kept_versions]), Write(_PRUNE, too_old)]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One write to a folder: rows as they were and as they become, and new rows.

    `history` holds a version for each, of which `keep` are kept of every secret; `events` are for the audit log,
    `messages` for webhooks.
    """

    folder_id: str
    at: int
    changed: Sequence[tuple[StoredSecret, StoredSecret]] = ()
    added: Sequence[StoredSecret] = ()
    history: Sequence[SecretVersion] = ()
    keep: int
    events: Sequence[AuditEvent] = ()
    messages: Sequence[Delivery] = ()


async def write(tx: Tx, written: Sequence[Written], *, is_last: bool = False, pauses: Pauses | None = None) -> None:
    """Carry out writes in their order, a statement for all of one kind. Their rows were read `to_change` in this unit.

    `is_last`: nothing else that raises a version key is written in it. Many rows are written in pieces; between two
    pieces others have their turn, where `pauses` are given.

    Raises AlreadyThere when a key is taken, StillNeeded when a folder is gone.
    """
    if not written:
        return
    first: dict[str, StoredSecret] = {}
    last: dict[str, StoredSecret] = {}
    added: dict[str, StoredSecret] = {}  # as what the later ones of the batch made of them
    for folder_write in written:
        added |= {row.id: row for row in folder_write.added}
        for before, after in folder_write.changed:
            if before.id in added:
                added[before.id] = after
            else:
                first.setdefault(before.id, before)
                last[before.id] = after
    moved = {id for id, after in last.items() if (after.key, after.user_id) != (first[id].key, first[id].user_id)}
    leaving = (*_FIXED, *_PLACED)
    folders = {folder_write.folder_id for folder_write in written if folder_write.changed or folder_write.added}
    tx.changed(*map(versions.folder, folders))
    if moved:
        await _give_up_names(tx, [first[id] for id in moved], [*(last[id] for id in moved), *added.values()], pauses)
    writes = [
        Write(SECRETS.INSERT, [SECRETS.values(row) for row in added.values()]),
        Write(
            _REPLACE_IN_PLACE,
            [_replacing(first[id], after, leaving) for id, after in last.items() if id not in moved],
        ),
        *_versions_of([(folder_write.history, folder_write.keep) for folder_write in written]),
        Write(
            EVENTS.INSERT,
            [EVENTS.values(event) for folder_write in written for event in folder_write.events],
        ),
    ]
    messages = [delivery for folder_write in written for delivery in folder_write.messages]
    if messages:
        writes.append(deliveries.queued(messages))
    if len(added) + len(last) > _WRITTEN_AT_ONCE:
        await _in_pieces(tx, writes, pauses)
        writes = []
    await tx.together([*writes, touched(folders, max(folder_write.at for folder_write in written))], is_last=is_last)
    if moved:
        # Their names are free by now: a name may be taken that another of them gave up.
        renames = [_replacing(first[id], after, _FIXED) for id, after in last.items() if id in moved]
        await _in_pieces(tx, [Write(_REPLACE, renames)], pauses)


async def _in_pieces(tx: Tx, writes: Sequence[Write], pauses: Pauses | None) -> None:
    for write in writes:
        for start in range(0, len(write.rows), _WRITTEN_AT_ONCE):
            await tx.together([Write(write.statement, write.rows[start : start + _WRITTEN_AT_ONCE])])
            if pauses is not None:
                await pauses.give()


async def _give_up_names(
    tx: Tx, before: Sequence[StoredSecret], after: Sequence[StoredSecret], pauses: Pauses | None
) -> None:
    """Take the names that other secrets are about to get from those that have them: unique indexes look at each row.

    They have names meanwhile that no secret can have.
    """
    wanted = {(row.folder_id, row.key, row.user_id) for row in after}
    held = [row for row in before if (row.folder_id, row.key, row.user_id) in wanted]
    nameless = [_replacing(row, msgspec.structs.replace(row, key=f" {row.id}"), _FIXED) for row in held]
    await _in_pieces(tx, [Write(_REPLACE, nameless)], pauses)


async def versions_of(tx: Tx, secret_id: str, offset: int, limit: int) -> list[SecretVersion]:
    """The versions of a secret that are kept, the newest first."""
    return VERSIONS.every(await tx.all(_OF_SECRET, of=secret_id, first=offset, most=limit))


async def version(tx: Tx, secret_id: str, n: int) -> SecretVersion | None:
    """One version of a secret."""
    return VERSIONS.first(await tx.one(_VERSION, of=secret_id, n=n))


async def how_many_versions(tx: Tx, secret_id: str) -> int:
    """How many versions of a secret are kept."""
    row = await tx.one(_HOW_MANY, of=secret_id)
    return int(row[0]) if row else 0


# --- around secrets

_FOLDERS = prepare(lambda: select(*FOLDERS.columns).where(any_of(_f.c.id, "of")))
_TAGS = prepare(lambda: select(*TAGS.columns).where(_t.c.project_id == bindparam("of")).order_by(_t.c.slug))
_PLACES = prepare(
    lambda: (
        select(*ENVIRONMENTS.columns, *FOLDERS.columns)
        .select_from(_e.join(_f, _f.c.environment_id == _e.c.id))
        .where(
            _e.c.project_id == bindparam("of"),
            _e.c.deleted_at.is_(None),
            any_of(_e.c.slug, "slugs"),
            any_of(_f.c.path, "paths"),
        )
    )
)


async def folders(tx: Tx, ids: Collection[str]) -> list[Folder]:
    """Folders by id."""
    return FOLDERS.every(await tx.all(_FOLDERS, of=list(ids)))


async def tags(tx: Tx, project_id: str) -> list[Tag]:
    """The tags of a project."""
    return TAGS.every(await tx.all(_TAGS, of=project_id))


async def places(
    tx: Tx, project_id: str, slugs: Collection[str], paths: Collection[str]
) -> list[tuple[Environment, Folder]]:
    """The folders of a project in one of these environments and at one of these paths."""
    width = len(ENVIRONMENTS.columns)
    rows = await tx.all(_PLACES, of=project_id, slugs=list(slugs), paths=list(paths))
    return [(ENVIRONMENTS.read(row), FOLDERS.read(row, width)) for row in rows]


class Match(msgspec.Struct, frozen=True):
    """A secret that a search found, without what is sealed in it, and the path it is at."""

    id: str
    key: str
    tag_ids: tuple[str, ...]
    metadata: tuple[SecretMetadata, ...]
    path: str


class Labelled(msgspec.Struct, frozen=True, gc=False):
    """The parts of a secret that permission rules may read, and the folder it is in."""

    folder_id: str
    key: str
    user_id: str | None
    tag_ids: tuple[str, ...]
    metadata: tuple[SecretMetadata, ...]


class SecretQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A search of the shared secrets of an environment at or below `path`.

    It asks for a part of the name in any case, and for any of the tags.
    """

    environment_id: str
    path: str = "/"
    name: str = ""
    tag_ids: tuple[str, ...] = ()


_read_references = msgspec.json.Decoder(tuple[tuple[str, str, str], ...]).decode
_read_tags = msgspec.json.Decoder(tuple[str, ...]).decode
_read_metadata = msgspec.json.Decoder(tuple[SecretMetadata, ...]).decode


async def search(tx: Tx, query: SecretQuery, most: int) -> list[Match]:
    """The secrets that match, by path and name."""
    conditions: list[ColumnElement[bool]] = [
        _f.c.environment_id == query.environment_id,
        _s.c.user_id.is_(None),
        func.substr(_f.c.name, 1, len(PREFIX)) != PREFIX,  # copies are shown by what imports them
    ]
    if query.path != "/":
        prefix = query.path + "/"
        conditions.append(or_(_f.c.path == query.path, func.substr(_f.c.path, 1, len(prefix)) == prefix))
    if query.name:
        conditions.append(func.lower(_s.c.key).like(f"%{_escaped(query.name.lower())}%", escape="\\"))
    if query.tag_ids:
        conditions.append(or_(*[_s.c.tag_ids.like(f'%"{_escaped(id)}"%', escape="\\") for id in query.tag_ids]))
    statement = select(_s.c.id, _s.c.key, _s.c.tag_ids, _s.c.metadata, _f.c.path).select_from(
        _s.join(_f, _f.c.id == _s.c.folder_id)
    )
    rows = await tx.all(statement.where(and_(*conditions)).order_by(_f.c.path, _s.c.key).limit(most))
    return [
        Match(id, key, _read_tags(tag_ids), _read_metadata(metadata), path) for id, key, tag_ids, metadata, path in rows
    ]


async def labelled(tx: Tx, folder_ids: Collection[str]) -> list[Labelled]:
    """The labels of all secrets in these folders, shared and personal, which rules may read."""
    return [_labelled(row) for row in await tx.all(_LABELLED, of=list(folder_ids))]


async def labelled_after(tx: Tx, folder_id: str, key: str, most: int) -> list[Labelled]:
    """The labels of about `most` secrets of one folder whose names come after `key`.

    All secrets of one name come together.
    """
    rows = await tx.all(_LABELLED_AFTER, of=folder_id, after=key, most=most)
    if len(rows) == most:
        # Several people may have secrets of the last name.
        last = rows[-1][1]
        rows = [*(row for row in rows if row[1] != last), *await tx.all(_LABELLED_AT, of=folder_id, key=last)]
    return [_labelled(row) for row in rows]


def _labelled(row: Sequence[Any]) -> Labelled:
    folder_id, key, user_id, tag_ids, metadata = row
    return Labelled(folder_id, key, user_id, _read_tags(tag_ids), _read_metadata(metadata))
