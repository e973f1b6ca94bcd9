"""What only the embedded engine does: notice other writers of the file without asking the database."""

import asyncio
import json
import os
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from tests.databases import placed
from watchword.domain.errors import Refusal
from watchword.store import schema
from watchword.store.engine import ConstraintRefused, StoreDown, StoreFull, Unstorable, prepare
from watchword.store.sqlite import SqliteStore, SqliteTx, _translate

FAMILY = ("identity/1",)
PUT, COUNT = (
    prepare(lambda: insert(schema.settings)),
    prepare(lambda: select(func.count()).select_from(schema.settings)),
)


async def own_change(store: SqliteStore, *version_keys: str) -> None:
    async with store.write() as tx:
        tx.changed(*version_keys)


def foreign_change(store: SqliteStore) -> None:
    """A commit by another connection, which tells this process nothing."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("INSERT INTO versions (key, n) VALUES ('identity/1', 1) ON CONFLICT (key) DO UPDATE SET n = n + 1")
    other.close()


async def test_our_own_commits_forget_nothing_of_other_families(sqlite_store: SqliteStore) -> None:
    before = await sqlite_store.versions(("org/1",))

    for _ in range(5_000):  # the WAL begins again on the way
        await own_change(sqlite_store, "identity/1")

    assert (before, (5_000,)) == (await sqlite_store.versions(("org/1",)), await sqlite_store.versions(FAMILY))


async def test_a_unit_that_wrote_nothing_or_failed_forgets_nothing(sqlite_store: SqliteStore) -> None:
    before = await sqlite_store.versions(FAMILY)

    async with sqlite_store.write():
        pass
    with pytest.raises(ZeroDivisionError):
        async with sqlite_store.write() as tx:
            tx.changed("org/1")
            raise ZeroDivisionError

    assert before == await sqlite_store.versions(FAMILY)


def at_rest(_: SqliteStore) -> None:
    """Nothing."""


def after_checkpoint(store: SqliteStore) -> None:
    other = sqlite3.connect(store.path)
    other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    other.close()


@pytest.mark.parametrize("between", [at_rest, after_checkpoint])
async def test_every_commit_of_another_connection_is_noticed(
    sqlite_store: SqliteStore, between: Callable[[SqliteStore], None]
) -> None:
    seen = [await sqlite_store.versions(FAMILY)]

    for _ in range(50):
        foreign_change(sqlite_store)
        between(sqlite_store)
        seen.append(await sqlite_store.versions(FAMILY))

    assert len(seen) == len(set(seen))


async def test_a_commit_of_another_connection_between_two_of_ours_is_noticed(sqlite_store: SqliteStore) -> None:
    seen = [await sqlite_store.versions(FAMILY)]

    for _ in range(50):
        await own_change(sqlite_store, "org/1")
        foreign_change(sqlite_store)
        await own_change(sqlite_store, "org/1")
        seen.append(await sqlite_store.versions(FAMILY))

    assert len(seen) == len(set(seen))


async def test_a_view_is_not_stamped_with_what_came_after_it(sqlite_store: SqliteStore) -> None:
    async with sqlite_store.read() as tx:
        during = await tx.versions(FAMILY)
        foreign_change(sqlite_store)
        again = await tx.versions(FAMILY)

    assert during == again != await sqlite_store.versions(FAMILY)


async def test_after_a_failed_fsync_nothing_more_is_written(tmp_path: Path, migrated_file: Path) -> None:
    store = SqliteStore(placed(migrated_file, tmp_path) / "watchword.db")
    await store.open()
    os.close(store._durable._file)

    with pytest.raises(StoreDown):
        await own_change(store, "identity/1")
    with pytest.raises(StoreDown, match="refused to keep"):
        await own_change(store, "identity/2")

    before = await store.versions(("identity/2",))
    store._durable._file = os.open(store.path, os.O_RDONLY)  # closed once more by the store
    with pytest.raises(StoreDown):
        await store.close()
    assert (0,) == before


async def test_a_long_wal_is_copied_and_begins_anew_while_units_go_on(sqlite_store: SqliteStore) -> None:
    for i in range(30):  # more than 3,000 pages
        async with sqlite_store.write() as tx:
            await tx.many(PUT, [{"key": f"{i}-{n}", "value": "x" * 4000} for n in range(100)])
    under_way = sqlite_store._checkpoints._task
    if under_way is not None:
        await under_way
    await own_change(sqlite_store, "identity/1")

    async with sqlite_store.read() as tx:
        (count,) = await tx.one(COUNT) or (0,)
    assert (3_000, True) == (count, sqlite_store._others.frames < 2_000)


_JSON = prepare(lambda: select(func.json(schema.settings.c.value)).order_by(schema.settings.c.key))


@pytest.mark.parametrize("ask", [SqliteTx.one, SqliteTx.all])
async def test_what_fails_at_a_later_row_is_translated_as_what_fails_at_the_first(
    sqlite_store: SqliteStore, ask: Callable[..., Awaitable[object]]
) -> None:
    async with sqlite_store.write() as tx:
        await tx.many(
            prepare(lambda: insert(schema.settings)), [{"key": "a", "value": "{}"}, {"key": "b", "value": "{"}]
        )

    async with sqlite_store.read() as view:
        with pytest.raises(StoreDown):
            await ask(view, _JSON)


async def test_a_view_that_fails_while_rows_are_fetched_is_a_refusal_and_leaves_the_reader_whole(
    sqlite_store: SqliteStore,
) -> None:
    found: list[Any] = []
    for error in (sqlite3.OperationalError("disk I/O error"), sqlite3.DatabaseError("x"), sqlite3.InternalError("x")):
        for is_over in (False, True):
            with pytest.raises(StoreDown):
                async with sqlite_store.read() as tx:
                    if is_over:  # as after a failure of the disk
                        sqlite_store._reader.execute("ROLLBACK")
                    raise error
            async with sqlite_store.read() as tx:
                found.append((await tx.one(COUNT) or (None,))[0])

    assert [0] * 6 == found


def test_a_value_beyond_what_sqlite_holds_cannot_be_stored() -> None:
    assert isinstance(_translate(sqlite3.DataError("string or blob too big")), Unstorable)


# --- every error of the driver

CODES = (
    "ABORT",
    "AUTH",
    "BUSY",
    "CANTOPEN",
    "CONSTRAINT",
    "CORRUPT",
    "EMPTY",
    "ERROR",
    "FORMAT",
    "FULL",
    "INTERNAL",
    "INTERRUPT",
    "IOERR",
    "LOCKED",
    "MISMATCH",
    "MISUSE",
    "NOLFS",
    "NOMEM",
    "NOTADB",
    "NOTFOUND",
    "PERM",
    "PROTOCOL",
    "RANGE",
    "READONLY",
    "SCHEMA",
    "TOOBIG",
)
# What the driver makes of a code (CPython, Modules/_sqlite/util.c); of all others a DatabaseError.
CLASSES: dict[type[Exception], tuple[str, ...]] = {
    sqlite3.InternalError: ("INTERNAL", "NOTFOUND"),
    sqlite3.OperationalError: (
        "ERROR",
        "PERM",
        "ABORT",
        "BUSY",
        "LOCKED",
        "READONLY",
        "INTERRUPT",
        "IOERR",
        "FULL",
        "CANTOPEN",
        "PROTOCOL",
        "EMPTY",
        "SCHEMA",
    ),
    sqlite3.DataError: ("TOOBIG",),
    sqlite3.IntegrityError: ("CONSTRAINT", "MISMATCH"),
    sqlite3.InterfaceError: ("MISUSE", "RANGE"),
    MemoryError: ("NOMEM",),
}
# A statement that is wrong, or a row that we should not have made.
OURS = {
    "MISUSE",
    "RANGE",
    "MISMATCH",
    "CONSTRAINT",
    *(
        f"CONSTRAINT_{name}"
        for name in ("CHECK", "COMMITHOOK", "FUNCTION", "NOTNULL", "PINNED", "ROWID", "TRIGGER", "VTAB", "PRIMARYKEY")
    ),
}
SAYS = {
    "CONSTRAINT_UNIQUE": "UNIQUE constraint failed: users.email",
    "CONSTRAINT_FOREIGNKEY": "FOREIGN KEY constraint failed",
}


def raised(name: str) -> Exception:
    """What the driver raises for a result code, plain or extended."""
    primary = name if name in CODES else next(code for code in CODES if name.startswith(f"{code}_"))
    kind = next((one for one, names in CLASSES.items() if primary in names), sqlite3.DatabaseError)
    error = kind(SAYS.get(name, "x"))
    if isinstance(error, sqlite3.Error):
        error.sqlite_errorcode, error.sqlite_errorname = getattr(sqlite3, f"SQLITE_{name}"), f"SQLITE_{name}"
    return error


def test_every_result_code_of_the_engine_becomes_a_refusal_or_is_ours() -> None:
    known = [name.removeprefix("SQLITE_") for name in dir(sqlite3) if name.startswith("SQLITE_")]
    names = [name for name in known if name in CODES or any(name.startswith(f"{code}_") for code in CODES)]
    told = {name: _translate(raised(name)) for name in names}

    assert len(names) > 90
    assert OURS & {*names} == {
        name for name, error in told.items() if not isinstance(error, Refusal | ConstraintRefused)
    }
    full = {name for name, error in told.items() if isinstance(error, StoreFull)}
    assert {"FULL", "IOERR_WRITE", "IOERR_SHMSIZE"} == full
    assert {503, 400, 404} >= {error.status for error in told.values() if isinstance(error, Refusal)}


def test_every_class_of_the_driver_that_is_not_about_our_statements_becomes_a_refusal() -> None:
    kinds = [
        one
        for one in vars(sqlite3).values()
        if isinstance(one, type) and issubclass(one, sqlite3.Error) and one is not sqlite3.Error
    ]
    left = {kind for kind in kinds if not isinstance(_translate(kind("x")), Refusal | ConstraintRefused)}

    assert {sqlite3.ProgrammingError, sqlite3.NotSupportedError, sqlite3.InterfaceError, sqlite3.IntegrityError} == left
    assert isinstance(_translate(sqlite3.ProgrammingError("Cannot operate on a closed database.")), StoreDown)


def interrupted(store: SqliteStore, connection: sqlite3.Connection) -> None:
    connection.set_progress_handler(lambda: 1, 1)


def of_one_page(store: SqliteStore, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count=1")  # no fewer than there are


def read_only(store: SqliteStore, connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only=ON")


def short(store: SqliteStore, connection: sqlite3.Connection) -> None:
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000)


_BIG = {"key": "big", "value": json.dumps("x" * 3_000_000)}


@pytest.mark.parametrize(
    ("fault", "answers"),
    [(interrupted, StoreDown), (of_one_page, StoreFull), (read_only, StoreDown), (short, Unstorable)],
)
async def test_a_real_fault_in_a_unit_is_a_refusal_and_leaves_the_writer_whole(
    sqlite_store: SqliteStore, fault: Callable[[SqliteStore, sqlite3.Connection], None], answers: type[Exception]
) -> None:
    writer = sqlite_store._writer
    with pytest.raises(answers):
        async with sqlite_store.write() as tx:
            fault(sqlite_store, writer)
            await tx.many(prepare(lambda: insert(schema.settings)), [_BIG])
    writer.set_progress_handler(None, 0)
    writer.execute("PRAGMA query_only=OFF")
    writer.execute("PRAGMA max_page_count=4294967294")
    writer.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000_000)

    async with sqlite_store.write() as tx:
        await tx.many(prepare(lambda: insert(schema.settings)), [{"key": "small", "value": "{}"}])


@pytest.mark.parametrize("place", ["read", "survey"])
async def test_a_transaction_that_the_engine_ended_is_not_ended_again(sqlite_store: SqliteStore, place: str) -> None:
    for _ in range(2):
        with pytest.raises(StoreDown):
            async with getattr(sqlite_store, place)():
                (sqlite_store._reader if place == "read" else sqlite_store._surveyor).execute("ROLLBACK")
                raise sqlite3.OperationalError("disk I/O error")
        async with getattr(sqlite_store, place)() as tx:
            assert await tx.one(COUNT) is not None


ROWS = [{"key": f"row {i}", "value": "x" * 1000} for i in range(2_000)]
ENDLESS = text(
    "INSERT INTO settings (key, value) WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT 'many ' || n, 'x' FROM c"
)


async def test_a_large_unit_lets_others_go_first_and_nobody_sees_a_part_of_it(sqlite_store: SqliteStore) -> None:
    seen: list[int] = []
    turns = 0

    async def write() -> None:
        async with sqlite_store.write() as tx:
            await tx.count_many(PUT, ROWS)

    async def look() -> None:
        async with sqlite_store.read() as tx:
            row = await tx.one(COUNT)
        assert row is not None
        seen.append(row[0])

    writing = asyncio.create_task(write())
    looking = [asyncio.create_task(look()) for _ in range(3)]
    while not writing.done():
        turns += 1
        await asyncio.sleep(0)
        looking.append(asyncio.create_task(look())) if turns % 20 == 0 else None
    await asyncio.gather(writing, *looking)

    assert turns > len(ROWS) // 100
    assert {0, len(ROWS)} >= set(seen)
    assert len(ROWS) in seen


async def test_a_long_statement_that_is_cancelled_ends_and_leaves_nothing(sqlite_store: SqliteStore) -> None:
    started = asyncio.Event()

    async def write() -> None:
        async with sqlite_store.write() as tx:
            await tx.count_many(PUT, ROWS[:10])
            started.set()
            await tx.run_long(prepare(lambda: ENDLESS))

    writing = asyncio.create_task(write())
    await started.wait()
    await asyncio.sleep(0)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    async with sqlite_store.write() as tx:
        row = await tx.one(COUNT)
        await tx.count_many(PUT, ROWS[:1])
    assert row is not None and 0 == row[0]


async def test_a_large_unit_that_is_cancelled_while_it_commits_is_whole(sqlite_store: SqliteStore) -> None:
    written = asyncio.Event()

    async def write() -> None:
        async with sqlite_store.write() as tx:
            await tx.count_many(PUT, ROWS)
            tx.changed(*FAMILY)
            written.set()

    before = await sqlite_store.versions(FAMILY)
    writing = asyncio.create_task(write())
    await written.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing

    async with sqlite_store.read() as tx:
        row = await tx.one(COUNT)
    assert row is not None and len(ROWS) == row[0]
    assert before != await sqlite_store.versions(FAMILY)
