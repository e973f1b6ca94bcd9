"""Replicated imports: who made each, what it watches, and how its last copy went.

A row is written beside every copy and by nothing else; no cache holds it.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import BigInteger, bindparam, literal, select, update

from watchword.domain.projects.records import Environment, Folder, Project
from watchword.domain.secrets.records import SecretImport, SecretReplication
from watchword.domain.secrets.replicas import PREFIX
from watchword.store import schema
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper
from watchword.store.projects.folders import ENVIRONMENTS, FOLDERS
from watchword.store.projects.projects import PROJECTS
from watchword.store.secrets.imports import IMPORTS

REPLICATIONS = Mapper(SecretReplication, schema.secret_replications)
_r, _i, _e, _f, _p = (
    schema.secret_replications,
    schema.secret_imports,
    schema.environments,
    schema.folders,
    schema.projects,
)
_replica = _f.alias("replica")


class Replication(msgspec.Struct, frozen=True, kw_only=True):
    """A replicated import with its project, the folder that imports, its environment, and the replica (if there)."""

    record: SecretReplication
    imported: SecretImport
    project: Project
    environment: Environment
    folder: Folder
    replica: Folder | None


_PARTS: tuple[Mapper[Any], ...] = (REPLICATIONS, IMPORTS, PROJECTS, ENVIRONMENTS, FOLDERS)
_OFFSETS = [sum(len(part.columns) for part in _PARTS[:number]) for number in range(len(_PARTS) + 1)]
_IS_REPLICA = (_replica.c.parent_id == _i.c.folder_id) & (_replica.c.name == literal(PREFIX).concat(_i.c.id))
_BY_ID = prepare(
    lambda: (
        select(
            *(column for part in _PARTS for column in part.columns),
            *(_replica.c[column.name] for column in FOLDERS.columns),
        )
        .select_from(
            _r.join(_i, _i.c.id == _r.c.import_id)
            .join(_p, _p.c.id == _i.c.project_id)
            .join(_f, _f.c.id == _i.c.folder_id)
            .join(_e, _e.c.id == _f.c.environment_id)
            .outerjoin(_replica, _IS_REPLICA)
        )
        .where(_r.c.import_id == bindparam("of"), _e.c.deleted_at.is_(None))
    )
)
_OF_IMPORTS = prepare(lambda: select(*REPLICATIONS.columns).where(any_of(_r.c.import_id, "of")))
_HOLD = prepare(lambda: select(*REPLICATIONS.columns).where(_r.c.import_id == bindparam("of")).with_for_update())
_AFTER = prepare(
    lambda: (
        select(*REPLICATIONS.columns)
        .where(_r.c.import_id > bindparam("after"))
        .order_by(_r.c.import_id)
        .limit(bindparam("most", type_=BigInteger))
    )
)
_OF_SOURCE = prepare(
    lambda: (
        select(*(_replica.c[column.name] for column in FOLDERS.columns))
        .select_from(_i.join(_replica, _IS_REPLICA))
        .where(_i.c.source_environment_id == bindparam("of"))
        .order_by(_replica.c.id)
    )
)
_REPLICA = prepare(
    lambda: (
        select(*(_replica.c[column.name] for column in FOLDERS.columns))
        .select_from(_i.join(_replica, _IS_REPLICA))
        .where(_i.c.id == bindparam("of"))
    )
)


async def add(tx: Tx, record: SecretReplication) -> None:
    """Store that an import is replicated."""
    await tx.run(REPLICATIONS.INSERT, **REPLICATIONS.values(record))


async def change(tx: Tx, import_id: str, **fields: Any) -> None:
    """Set some columns."""
    await tx.run(update(_r).where(_r.c.import_id == import_id).values(**REPLICATIONS.encoded(fields)))


async def by_import(tx: Tx, import_id: str) -> Replication | None:
    """A replicated import by its id; None for another, and while the folder's environment is deleted."""
    row = await tx.one(_BY_ID, of=import_id)
    if row is None:
        return None
    return Replication(
        record=REPLICATIONS.read(row),
        imported=IMPORTS.read(row, _OFFSETS[1]),
        project=PROJECTS.read(row, _OFFSETS[2]),
        environment=ENVIRONMENTS.read(row, _OFFSETS[3]),
        folder=FOLDERS.read(row, _OFFSETS[4]),
        replica=FOLDERS.read(row, _OFFSETS[-1]) if row[_OFFSETS[-1]] is not None else None,
    )


async def of_imports(tx: Tx, import_ids: Sequence[str]) -> dict[str, SecretReplication]:
    """How the replications of these imports stand, by import id; of the others nothing."""
    rows = REPLICATIONS.every(await tx.all(_OF_IMPORTS, of=list(import_ids)))
    return {record.import_id: record for record in rows}


async def hold(tx: Tx, import_id: str) -> SecretReplication | None:
    """The record as it is now; other units that ask for it wait until this one ends."""
    return REPLICATIONS.first(await tx.one(_HOLD, of=import_id))


async def after(tx: Tx, import_id: str, most: int) -> list[SecretReplication]:
    """The next replications by import id, of all projects."""
    return REPLICATIONS.every(await tx.all(_AFTER, after=import_id, most=most))


async def replica(tx: Tx, import_id: str) -> Folder | None:
    """The folder with the copies of an import."""
    return FOLDERS.first(await tx.one(_REPLICA, of=import_id))


async def replicas_of_source(tx: Tx, environment_id: str) -> list[Folder]:
    """The folders with the copies of all imports that show something of an environment."""
    return FOLDERS.every(await tx.all(_OF_SOURCE, of=environment_id))
