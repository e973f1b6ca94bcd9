"""Environments and folders: the tree of a project."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BigInteger, Integer, Text, bindparam, delete, func, or_, select, update

from watchword.domain.projects.records import Environment, Folder
from watchword.store import schema, versions
from watchword.store.access import grants
from watchword.store.engine import Tx, Write, any_of, prepare
from watchword.store.mapping import Mapper

ENVIRONMENTS = Mapper(Environment, schema.environments)
FOLDERS = Mapper(Folder, schema.folders)
_e, _f, _p, _s, _i = schema.environments, schema.folders, schema.projects, schema.secrets, schema.secret_imports
_sub = _f.alias("sub")

# NO KEY UPDATE: writers of secrets, whose foreign keys share the row, go on meanwhile. SQLite has one writer anyway.
_LOCK = prepare(lambda: select(_p.c.id).where(_p.c.id == bindparam("of")).with_for_update(key_share=True))


async def lock(tx: Tx, project_id: str) -> None:
    """Let one unit at a time change the tree of a project: positions and paths are read before they are written."""
    await tx.one(_LOCK, of=project_id)


_ENVIRONMENTS = prepare(
    lambda: (
        select(*ENVIRONMENTS.columns)
        .where(_e.c.project_id == bindparam("of"), _e.c.deleted_at.is_(None))
        .order_by(_e.c.position, _e.c.id)
    )
)
_OF_MANY = prepare(
    lambda: (
        select(*ENVIRONMENTS.columns)
        .where(any_of(_e.c.project_id, "of"), _e.c.deleted_at.is_(None))
        .order_by(_e.c.position, _e.c.id)
    )
)
_ENVIRONMENT = prepare(lambda: select(*ENVIRONMENTS.columns).where(_e.c.id == bindparam("of")))
_PUT = prepare(lambda: update(_e).where(_e.c.id == bindparam("of")).values(position=bindparam("position")))
_DELETED_BEFORE = prepare(
    lambda: (
        select(*ENVIRONMENTS.columns)
        .where(_e.c.deleted_at < bindparam("at"))
        .order_by(_e.c.deleted_at)
        .limit(bindparam("most", type_=BigInteger))
    )
)


async def environments(tx: Tx, project_id: str) -> list[Environment]:
    """The environments of a project in their order, without deleted ones."""
    return ENVIRONMENTS.every(await tx.all(_ENVIRONMENTS, of=project_id))


async def environments_of_many(tx: Tx, project_ids: Sequence[str]) -> dict[str, list[Environment]]:
    """The environments of several projects by project id, in their order, without deleted ones."""
    environments: dict[str, list[Environment]] = {project_id: [] for project_id in project_ids}
    for environment in ENVIRONMENTS.every(await tx.all(_OF_MANY, of=list(project_ids))):
        environments[environment.project_id].append(environment)
    return environments


async def environment(tx: Tx, id: str) -> Environment | None:
    """An environment by id, deleted or not: the caller checks that, and whose it is."""
    return ENVIRONMENTS.first(await tx.one(_ENVIRONMENT, of=id))


async def put_in_order(tx: Tx, project_id: str, positions: Mapping[str, int]) -> None:
    """Give environments of a project, by id, these positions."""
    await tx.many(_PUT, [{"of": id, "position": position} for id, position in positions.items()])
    tx.changed(versions.tree(project_id))


async def add_environments(tx: Tx, records: Sequence[Environment]) -> None:
    """Store new environments of one project. Raises AlreadyThere when a slug is taken."""
    await tx.many(ENVIRONMENTS.INSERT, [ENVIRONMENTS.values(record) for record in records])
    tx.changed(*{versions.tree(record.project_id) for record in records})


async def change_environment(tx: Tx, record: Environment, **fields: Any) -> None:
    """Set some columns of an environment. Raises AlreadyThere when the slug is taken."""
    await tx.run(update(_e).where(_e.c.id == record.id).values(**ENVIRONMENTS.encoded(fields)))
    tx.changed(versions.tree(record.project_id))


async def remove_environment(tx: Tx, record: Environment) -> None:
    """Delete an environment for good, with its folders, secrets, and the imports from and into it."""
    await grants.remove_folder_access(tx, record.project_id, _f.c.environment_id == record.id)
    await tx.run_long(delete(_e).where(_e.c.id == record.id))
    tx.changed(versions.tree(record.project_id))


async def deleted_before(tx: Tx, at: int, most: int) -> list[Environment]:
    """Up to `most` environments that were deleted before `at`, the longest gone first."""
    return ENVIRONMENTS.every(await tx.all(_DELETED_BEFORE, at=at, most=most))


_DELETED_OF = prepare(
    lambda: (
        select(*ENVIRONMENTS.columns)
        .where(_e.c.project_id == bindparam("of"), _e.c.deleted_at.is_not(None))
        .order_by(_e.c.deleted_at.desc(), _e.c.id)
        .limit(bindparam("most", type_=BigInteger))
    )
)


async def deleted_environments(tx: Tx, project_id: str, most: int) -> list[Environment]:
    """Up to `most` deleted environments of a project, the last deleted first."""
    return ENVIRONMENTS.every(await tx.all(_DELETED_OF, of=project_id, most=most))


_PLACE = prepare(
    lambda: (
        select(*ENVIRONMENTS.columns, *FOLDERS.columns)
        .select_from(_e.join(_f, _f.c.environment_id == _e.c.id))
        .where(
            _e.c.project_id == bindparam("of"),
            _e.c.slug == bindparam("slug"),
            _e.c.deleted_at.is_(None),
            _f.c.path == bindparam("path"),
        )
    )
)
_PLACE_OF = prepare(
    lambda: (
        select(*ENVIRONMENTS.columns, *FOLDERS.columns)
        .select_from(_f.join(_e, _f.c.environment_id == _e.c.id))
        .where(_f.c.id == bindparam("of"), _e.c.deleted_at.is_(None))
    )
)
_AT_PATHS = prepare(
    lambda: (
        select(*FOLDERS.columns)
        .where(_f.c.environment_id == bindparam("of"), any_of(_f.c.path, "paths"))
        .order_by(_f.c.path)
    )
)
_CHILDREN = prepare(
    lambda: select(*FOLDERS.columns).where(_f.c.parent_id == bindparam("of")).order_by(_f.c.name, _f.c.id)
)
# A prefix is compared as text: `_` is a letter of folder names and a wildcard of LIKE.
_BELOW = prepare(
    lambda: (
        select(*FOLDERS.columns)
        .where(
            _f.c.environment_id == bindparam("of"),
            _f.c.parent_id.is_not(None),
            func.substr(_f.c.path, 1, bindparam("length", type_=Integer)) == bindparam("prefix", type_=Text),
        )
        .order_by(_f.c.path, _f.c.id)
    )
)
_TREE = select(_f.c.id, _f.c.path).where(_f.c.environment_id == bindparam("of")).order_by(_f.c.path, _f.c.id)
_TREE_TO_LOOK, _TREE_TO_HOLD = prepare(lambda: _TREE), prepare(_TREE.with_for_update)
_SUBTREE = (
    select(_f.c.id, _f.c.path)
    .where(
        _f.c.environment_id == bindparam("of"),
        or_(
            _f.c.id == bindparam("top"),
            func.substr(_f.c.path, 1, bindparam("length", type_=Integer)) == bindparam("prefix", type_=Text),
        ),
    )
    .order_by(_f.c.path, _f.c.id)
)
_SUBTREE_TO_LOOK, _SUBTREE_TO_HOLD = prepare(lambda: _SUBTREE), prepare(_SUBTREE.with_for_update)
_PROJECT_TREE = (
    select(_f.c.id, _f.c.path, _e.c.slug)
    .select_from(_f.join(_e, _f.c.environment_id == _e.c.id))
    .where(_f.c.project_id == bindparam("of"))
    .order_by(_f.c.id)
)
_PROJECT_TREE_TO_LOOK, _PROJECT_TREE_TO_HOLD = (
    prepare(lambda: _PROJECT_TREE),
    prepare(lambda: _PROJECT_TREE.with_for_update(of=_f)),
)
_MOVE = prepare(
    lambda: (
        update(_f)
        .where(
            _f.c.environment_id == bindparam("of"),
            func.substr(_f.c.path, 1, bindparam("length", type_=Integer)) == bindparam("prefix", type_=Text),
        )
        .values(path=bindparam("new", type_=Text) + func.substr(_f.c.path, bindparam("rest", type_=Integer)))
    )
)
_LONGEST = prepare(
    lambda: select(func.max(func.length(_f.c.path))).where(
        _f.c.environment_id == bindparam("of"),
        func.substr(_f.c.path, 1, bindparam("length", type_=Integer)) == bindparam("prefix", type_=Text),
    )
)
_HOLDS = prepare(
    lambda: select(_f.c.id).where(
        _f.c.id == bindparam("of"),
        or_(
            select(_sub.c.id).where(_sub.c.parent_id == _f.c.id).exists(),
            select(_s.c.id).where(_s.c.folder_id == _f.c.id).exists(),
            select(_i.c.id).where(_i.c.folder_id == _f.c.id).exists(),
        ),
    )
)
_TOUCH = prepare(
    lambda: update(_f).where(_f.c.id == bindparam("of")).values(last_secret_modified_at=bindparam("at")), at_once=True
)


def _both(row: Sequence[Any] | None) -> tuple[Environment, Folder] | None:
    return None if row is None else (ENVIRONMENTS.read(row), FOLDERS.read(row, len(ENVIRONMENTS.columns)))


async def at(tx: Tx, project_id: str, slug: str, path: str) -> tuple[Environment, Folder] | None:
    """The environment of that slug and its folder at a normal path."""
    return _both(await tx.one(_PLACE, of=project_id, slug=slug, path=path))


async def of_folder(tx: Tx, folder_id: str) -> tuple[Environment, Folder] | None:
    """A folder by id with its environment; none of a deleted environment."""
    return _both(await tx.one(_PLACE_OF, of=folder_id))


async def at_paths(tx: Tx, environment_id: str, paths: Sequence[str]) -> list[Folder]:
    """The folders of an environment that are at one of these paths, by path."""
    return FOLDERS.every(await tx.all(_AT_PATHS, of=environment_id, paths=list(paths)))


async def children(tx: Tx, folder_id: str) -> list[Folder]:
    """The folders directly in a folder, by name."""
    return FOLDERS.every(await tx.all(_CHILDREN, of=folder_id))


async def descendants(tx: Tx, folder: Folder) -> list[Folder]:
    """All folders below a folder, at any depth, by path."""
    prefix = folder.path.rstrip("/") + "/"
    return FOLDERS.every(await tx.all(_BELOW, of=folder.environment_id, prefix=prefix, length=len(prefix)))


async def whole_tree(tx: Tx, environment_id: str, *, holds: bool) -> list[tuple[str, str]]:
    """The id and path of all folders of an environment.

    `holds`: nobody changes them, or what is in them, until the unit ends.
    """
    return [(row[0], row[1]) for row in await tx.all(_TREE_TO_HOLD if holds else _TREE_TO_LOOK, of=environment_id)]


async def subtree(tx: Tx, folder: Folder, *, holds: bool) -> list[tuple[str, str]]:
    """The id and path of a folder, which is first, and of all folders below it."""
    prefix = folder.path.rstrip("/") + "/"
    statement = _SUBTREE_TO_HOLD if holds else _SUBTREE_TO_LOOK
    return [
        (row[0], row[1])
        for row in await tx.all(statement, of=folder.environment_id, top=folder.id, prefix=prefix, length=len(prefix))
    ]


async def project_tree(tx: Tx, project_id: str, *, holds: bool) -> list[tuple[str, str, str]]:
    """The id, path and environment slug of all folders of a project, those of deleted environments too."""
    rows = await tx.all(_PROJECT_TREE_TO_HOLD if holds else _PROJECT_TREE_TO_LOOK, of=project_id)
    return [(row[0], row[1], row[2]) for row in rows]


async def is_empty(tx: Tx, folder_id: str) -> bool:
    """Whether a folder has no subfolder, no secret and no import."""
    return await tx.one(_HOLDS, of=folder_id) is None


async def add_folders(tx: Tx, records: Sequence[Folder]) -> None:
    """Store new folders, parents before children. Raises AlreadyThere when a path is taken."""
    await tx.many(FOLDERS.INSERT, [FOLDERS.values(record) for record in records])
    tx.changed(*{versions.tree(record.project_id) for record in records})


async def change_folder(tx: Tx, record: Folder, **fields: Any) -> None:
    """Set some columns of a folder. Raises AlreadyThere when the path is taken."""
    await tx.run(update(_f).where(_f.c.id == record.id).values(**FOLDERS.encoded(fields)))
    tx.changed(versions.tree(record.project_id))


async def longest_below(tx: Tx, folder: Folder) -> int:
    """The length of the longest path below a folder; 0 when nothing is below it."""
    prefix = folder.path + "/"
    row = await tx.one(_LONGEST, of=folder.environment_id, prefix=prefix, length=len(prefix))
    return int(row[0] or 0) if row else 0


async def move_below(tx: Tx, record: Folder, path: str) -> None:
    """Give everything below a folder, which gets `path`, the paths that follow from it."""
    prefix = record.path + "/"
    await tx.run(
        _MOVE, of=record.environment_id, prefix=prefix, length=len(prefix), new=path + "/", rest=len(prefix) + 1
    )
    tx.changed(versions.tree(record.project_id))


async def remove_folder(tx: Tx, record: Folder) -> None:
    """Delete a folder with all below it: folders, secrets and imports."""
    folder_ids = [record.id, *(folder.id for folder in await descendants(tx, record))]
    await grants.remove_folder_access(tx, record.project_id, _f.c.id.in_(folder_ids))
    await tx.run_long(delete(_f).where(_f.c.id == record.id))
    tx.changed(versions.tree(record.project_id), *map(versions.folder, folder_ids))


async def touch(tx: Tx, folder_ids: Collection[str], at: int) -> None:
    """Note that secrets of these folders changed."""
    await tx.together([touched(folder_ids, at)])


def touched(folder_ids: Collection[str], at: int) -> Write:
    """The write that notes that secrets of these folders changed.

    No cached record holds the moment, so no version key is raised.
    """
    return Write(_TOUCH, [{"of": id, "at": at} for id in sorted(folder_ids)], counts=True)
