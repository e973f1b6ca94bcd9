"""Batch small writes to folders: the writes of many callers are read, decided and stored in one unit.

Each alone would cost a commit and, on PostgreSQL, eight round trips. They stand in the order they came: who writes to a
secret that an earlier one of the batch changed decides on what that one made of it. One that is refused leaves no
trace.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from watchword.domain.errors import BadRequest, NotFound, Refusal
from watchword.domain.secrets.records import StoredSecret
from watchword.store.engine import AlreadyThere, Collision, StillNeeded, Tx
from watchword.store.secrets import secrets
from watchword.store.secrets.secrets import Written

Name = tuple[str, str | None]  # key, and whose it is where it is personal


class FolderState(msgspec.Struct, frozen=True):
    """What a write finds in its folder: the secrets with the names it asked for, locked, and how many there are
    of all names.
    """

    rows: Mapping[Name, StoredSecret]
    count: int


class WritePlan(msgspec.Struct, frozen=True):
    """What a write does, and what its caller is answered."""

    written: Written
    answer: Any


Decide = Callable[
    [FolderState], WritePlan | Awaitable[WritePlan]
]  # or raises Refusal. May be asked again, and then about another state


@contextmanager
def translate_store_errors() -> Iterator[None]:
    """Translate what the database refuses. Raises Collision where another write was first, BadRequest, NotFound."""
    try:
        yield
    except AlreadyThere:
        # Decided anew, a creation finds the name taken, and an upsert changes what is there.
        raise Collision from None
    except StillNeeded:
        raise NotFound("The folder was deleted meanwhile") from None
    except secrets.VersionConflict:
        raise BadRequest("The secret was changed by somebody else at the same time: read it and try again") from None


class FolderWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A journal entry: one write to a folder. Its answer: what `decide` says, or the refusal that it raised."""

    folder_id: str
    keys: frozenset[str]
    adds: bool  # whether `decide` may add secrets, and has to know how many there are
    decide: Decide

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["FolderWrite"], *, is_last: bool = True) -> Sequence[Any]:
        """Read what is there, let each decide, and write all of it. Raises BadRequest, NotFound where the database
        refuses it.

        `is_last`: nothing that raises a version key follows in the unit.
        """
        folders = await _read(tx, entries)
        answers: list[Any] = []
        written: list[Written] = []
        for entry in entries:
            folder = folders[entry.folder_id]
            try:
                decided = entry.decide(folder.about(entry.keys))
                if not isinstance(decided, WritePlan):  # one with a unit of its own, which others may go first of
                    decided = await decided
            except Refusal as refusal:
                answers.append(refusal)
                continue
            folder.take(decided.written)
            written.append(decided.written)
            answers.append(decided.answer)
        with translate_store_errors():
            await secrets.write(tx, written, is_last=is_last)
        return answers


class _Folder:
    """A folder while a batch is decided: as the database has it, with what the batch did so far."""

    def __init__(self, count: int) -> None:
        self.rows: dict[str, dict[Name, StoredSecret]] = {}
        self.count = count

    def put(self, row: StoredSecret) -> None:
        self.rows.setdefault(row.key, {})[row.key, row.user_id] = row

    def about(self, keys: Collection[str]) -> FolderState:
        return FolderState({name: row for key in keys for name, row in self.rows.get(key, {}).items()}, self.count)

    def take(self, written: Written) -> None:
        for before, after in written.changed:
            self.rows[before.key].pop((before.key, before.user_id))
            self.put(after)
        for row in written.added:
            self.put(row)
        self.count += len(written.added)


async def _read(tx: Tx, entries: Sequence[FolderWrite]) -> dict[str, _Folder]:
    adding = {entry.folder_id for entry in entries if entry.adds}
    counts = await secrets.counts(tx, adding) if adding else {}
    found = {entry.folder_id: _Folder(counts.get(entry.folder_id, 0)) for entry in entries}
    for row in await secrets.picked(
        tx, {(entry.folder_id, key) for entry in entries for key in entry.keys}, to_change=True
    ):
        found[row.folder_id].put(row)
    return found
