"""Secret imports: which folders show the secrets of other places."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, delete, literal, select, update

from watchword.domain.projects.records import Environment, Folder
from watchword.domain.secrets.records import SecretImport
from watchword.domain.secrets.replicas import PREFIX, shown_path
from watchword.store import schema, versions
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper
from watchword.store.projects.folders import ENVIRONMENTS, FOLDERS

IMPORTS = Mapper(SecretImport, schema.secret_imports)
_i, _e, _f = schema.secret_imports, schema.environments, schema.folders
_own_environment, _replica = _e.alias("own_environment"), _f.alias("replica")
_FIRST = len(IMPORTS.columns)
_SECOND = _FIRST + len(ENVIRONMENTS.columns)
_THIRD = _SECOND + len(FOLDERS.columns)
_FOURTH = _THIRD + len(ENVIRONMENTS.columns)


class Link(msgspec.Struct, frozen=True):
    """An import with its source; `folder` is None while there is no folder at the source's path.

    `replica`: the folder with the copies of a replicated import, with its environment. What is in it counts as being in
    the folder that imports, so it has that folder's path.
    """

    record: SecretImport
    source: Environment
    folder: Folder | None
    replica: tuple[Environment, Folder] | None = None


_JOINED = (
    select(
        *IMPORTS.columns,
        *ENVIRONMENTS.columns,
        *FOLDERS.columns,
        *(_own_environment.c[column.name] for column in ENVIRONMENTS.columns),
        *(_replica.c[column.name] for column in FOLDERS.columns),
    )
    .select_from(
        _i.join(_e, _e.c.id == _i.c.source_environment_id)
        .outerjoin(_f, and_(_f.c.environment_id == _i.c.source_environment_id, _f.c.path == _i.c.source_path))
        .outerjoin(
            _replica,
            and_(
                _i.c.is_replication == 1,
                _replica.c.parent_id == _i.c.folder_id,
                _replica.c.name == literal(PREFIX).concat(_i.c.id),
            ),
        )
        .outerjoin(_own_environment, _own_environment.c.id == _replica.c.environment_id)
    )
    .where(_e.c.deleted_at.is_(None))
    .order_by(_i.c.folder_id, _i.c.position, _i.c.id)
)
_IN_PROJECT = prepare(lambda: _JOINED.where(_i.c.project_id == bindparam("of")))
_BY_ID = prepare(lambda: _JOINED.where(_i.c.id == bindparam("of")))
_REMOVE = prepare(lambda: delete(_i).where(_i.c.id == bindparam("of")))
_PLACE = prepare(lambda: update(_i).where(_i.c.id == bindparam("of")).values(position=bindparam("position")))


def _link(row: Sequence[Any]) -> Link:
    return Link(
        IMPORTS.read(row),
        ENVIRONMENTS.read(row, _FIRST),
        FOLDERS.read(row, _SECOND) if row[_SECOND] is not None else None,
        _replica_of(row),
    )


def _replica_of(row: Sequence[Any]) -> tuple[Environment, Folder] | None:
    if row[_FOURTH] is None:
        return None
    folder = FOLDERS.read(row, _FOURTH)
    return ENVIRONMENTS.read(row, _THIRD), msgspec.structs.replace(folder, path=shown_path(folder.path))


async def in_project(tx: Tx, project_id: str) -> list[Link]:
    """All imports of a project, by folder and position; none from a deleted environment."""
    return [_link(row) for row in await tx.all(_IN_PROJECT, of=project_id)]


async def by_id(tx: Tx, id: str) -> Link | None:
    """An import by id, whoever's it is."""
    row = await tx.one(_BY_ID, of=id)
    return None if row is None else _link(row)


async def add(tx: Tx, record: SecretImport) -> None:
    """Store a new import. Raises StillNeeded when its folder or source is gone."""
    await tx.run(IMPORTS.INSERT, **IMPORTS.values(record))
    tx.changed(versions.tree(record.project_id))


async def change(tx: Tx, record: SecretImport, **fields: Any) -> None:
    """Set some columns of an import."""
    await tx.run(update(_i).where(_i.c.id == record.id).values(**IMPORTS.encoded(fields)))
    tx.changed(versions.tree(record.project_id))


async def remove(tx: Tx, record: SecretImport) -> None:
    """Delete an import."""
    await tx.run(_REMOVE, of=record.id)
    tx.changed(versions.tree(record.project_id))


async def put_in_order(tx: Tx, project_id: str, ids: Sequence[str]) -> None:
    """Number the imports of one folder 1, 2, … as they stand in `ids`."""
    await tx.many(_PLACE, [{"of": id, "position": position} for position, id in enumerate(ids, 1)])
    tx.changed(versions.tree(project_id))


_IMPORTING = prepare(lambda: select(_i.c.folder_id).where(any_of(_i.c.folder_id, "of")).distinct())


async def importing(tx: Tx, folder_ids: Sequence[str]) -> set[str]:
    """Those of these folders that have imports, whatever these show."""
    return {row[0] for row in await tx.all(_IMPORTING, of=list(folder_ids))}
