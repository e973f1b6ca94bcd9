"""The marks of secrets: what tells that a secret changed, without its value."""

import hashlib
from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import bindparam, select

from watchword.store import schema
from watchword.store.engine import Tx, any_of, prepare

Mark = tuple[str, int, int]  # name, version, moment of the last change (ms)

_s, _f, _e = schema.secrets, schema.folders, schema.environments
_MARKS = prepare(
    lambda: (
        select(_s.c.folder_id, _s.c.id, _s.c.key, _s.c.version, _s.c.updated_at)
        .where(any_of(_s.c.folder_id, "of"), _s.c.user_id.is_(None))
        .order_by(_s.c.folder_id, _s.c.id)
    )
)
_PLACES = prepare(
    lambda: (
        select(_f.c.id, _e.c.slug, _f.c.path)
        .select_from(_f.join(_e, _e.c.id == _f.c.environment_id))
        .where(_f.c.project_id == bindparam("of"), _e.c.deleted_at.is_(None))
        .order_by(_f.c.id)
    )
)


class FolderMarks(msgspec.Struct, frozen=True, gc=False):
    """The marks of the shared secrets of a folder by their ids. `digest` is the same where all marks are."""

    marks: Mapping[str, Mark]
    digest: bytes
    weight: int  # for the cache

    @classmethod
    def of(cls, marks: Mapping[str, Mark]) -> "FolderMarks":
        """The marks, which are in the order of the ids."""
        digest = hashlib.sha256(msgspec.json.encode(list(marks.items()))).digest()
        return cls(marks, digest, 1 + len(marks) // 16)


async def of_folders(tx: Tx, folder_ids: Collection[str]) -> dict[str, FolderMarks]:
    """The marks of the shared secrets of folders, by folder."""
    marks: dict[str, dict[str, Mark]] = {id: {} for id in folder_ids}
    for folder_id, id, key, version, at in await tx.all(_MARKS, of=list(folder_ids)):
        marks[folder_id][id] = (key, version, at)
    return {id: FolderMarks.of(found) for id, found in marks.items()}


async def places(tx: Tx, project_id: str) -> list[tuple[str, str, str]]:
    """The id, environment slug and path of all folders of a project."""
    return [(row[0], row[1], row[2]) for row in await tx.all(_PLACES, of=project_id)]
