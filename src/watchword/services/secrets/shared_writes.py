"""Batch small writes to folders: the writes of many callers are read, decided and stored in one unit.

Each alone would cost a commit and, on PostgreSQL, eight round trips. They are decided in the order they came: a write
to a secret that an earlier write of the batch changed sees the changed secret. A refused write leaves no trace.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from watchword.domain.errors import BadRequest, NotFound, Refusal
from watchword.domain.secrets.records import StoredSecret
from watchword.services.turns import Turns
from watchword.store.engine import AlreadyThere, Collision, StillNeeded, Tx
from watchword.store.secrets import secrets
from watchword.store.secrets.secrets import Written

Name = tuple[str, str | None]  # key, and whose it is where it is personal


class FolderState(msgspec.Struct, frozen=True):
    """The state of a folder for one write: the secrets with the names it asked for, locked, and the number of all."""

    rows: Mapping[Name, StoredSecret]
    count: int


class WritePlan(msgspec.Struct, frozen=True):
    """What a write stores, and what its caller is answered."""

    written: Written
    answer: Any


# Decides on a write, or raises Refusal. It may be called again, and then with another state.
Decide = Callable[[FolderState], WritePlan | Awaitable[WritePlan]]


@contextmanager
def translate_store_errors() -> Iterator[None]:
    """Translate store errors into refusals. Raises Collision where another write came first, BadRequest, NotFound."""
    try:
        yield
    except AlreadyThere:
        # Decided again, a creation finds the name taken, and an upsert changes what is there.
        raise Collision from None
    except StillNeeded:
        raise NotFound("The folder was deleted meanwhile") from None
    except secrets.VersionConflict:
        raise BadRequest("The secret was changed by somebody else at the same time: read it and try again") from None


class FolderWrite(msgspec.Struct, frozen=True, kw_only=True):
    """A journal entry for one write to a folder. Its answer is what `decide` says, or the refusal that it raised."""

    folder_id: str
    keys: frozenset[str]
    adds: bool  # whether `decide` may add secrets, and has to know how many there are
    decide: Decide

    @classmethod
    async def apply(
        cls, tx: Tx, entries: Sequence["FolderWrite"], *, is_last: bool = True, all_or_none: bool = False
    ) -> Sequence[Any]:
        """Read the folders, let each entry decide, and write all of it.

        `is_last`: nothing that raises a version key follows in the unit. `all_or_none`: the first refusal is raised,
        and nothing is written. Raises BadRequest, NotFound where the database refuses the writes.
        """
        turns = Turns() if all_or_none else None
        folders = await _read(tx, entries, turns)
        answers: list[Any] = []
        written: list[Written] = []
        for entry in entries:
            folder = folders[entry.folder_id]
            try:
                decided = entry.decide(folder.about(entry.keys))
                if not isinstance(decided, WritePlan):  # a long one, which lets others have their turn
                    decided = await decided
            except Refusal as refusal:
                if all_or_none:
                    raise
                answers.append(refusal)
                continue
            folder.take(decided.written)
            written.append(decided.written)
            answers.append(decided.answer)
        with translate_store_errors():
            await secrets.write(tx, written, is_last=is_last, pauses=turns)
        return answers


class _Folder:
    """A folder while a batch is decided: its rows in the database, with the changes of the batch so far."""

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


async def _read(tx: Tx, entries: Sequence[FolderWrite], turns: Turns | None) -> dict[str, _Folder]:
    adding = {entry.folder_id for entry in entries if entry.adds}
    counts = await secrets.counts(tx, adding) if adding else {}
    folders = {entry.folder_id: _Folder(counts.get(entry.folder_id, 0)) for entry in entries}
    for row in await secrets.picked(
        tx, {(entry.folder_id, key) for entry in entries for key in entry.keys}, to_change=True, pauses=turns
    ):
        folders[row.folder_id].put(row)
    return folders
