"""SQLite: the embedded default, run inline on the event loop, with group fsync.

Two connections to one WAL file: one writes, one reads, so a reader never sees a unit that is not committed. Units do
not interleave: a lock makes that certain. A large one lets the event loop turn between its pieces, runs what may take
long in a thread, and is committed there; whoever needs the database waits for it meanwhile, all others do not.

**Durability.** `synchronous=NORMAL` writes the WAL at commit and does not fsync. A unit counts as done only after an
fsync of the WAL that *began after* its commit; all that wait at that moment share one, made off the loop
(`store/group_fsync.py`).
"""

import asyncio
import logging
import mmap
import os
import sqlite3
import struct
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy.dialects import sqlite

from watchword.store.disk_space import Fullness
from watchword.store.engine import (
    AlreadyThere,
    Compiled,
    Gone,
    Params,
    Row,
    Statement,
    StillNeeded,
    StoreDown,
    StoreFull,
    Tx,
    Unstorable,
    Write,
    compiled,
)
from watchword.store.group_fsync import GroupFsync
from watchword.store.migrate import translated_error, upgrade
from watchword.store.versions import RAISE, raising, verify_raised

T = TypeVar("T")
_DIALECT = sqlite.dialect(paramstyle="qmark")
_encode = msgspec.json.Encoder().encode
_log = logging.getLogger("watchword.sqlite")
_KNOWN_VERSIONS = 100_000
_HEADER = 48  # bytes; a second copy follows
_CHANGES = struct.Struct("=8xI")
_FRAMES = struct.Struct("=16xI")
_LONG = 1_000  # pages of 4 KiB
_PIECE = 50  # rows that are written in one piece
_LARGE = 100  # rows, from which on a unit is committed in a thread


_FAULTS = (sqlite3.Error, MemoryError)  # the driver raises the second for SQLITE_NOMEM
_NOT_WRITABLE = "The database file cannot be opened for writing: see whose it and its folder are, and the server's log"


def _translate(error: Exception, statement: Compiled | None = None) -> Exception:
    if isinstance(error, MemoryError):
        return StoreDown()
    text = str(error)
    if "UNIQUE constraint failed" in text:
        named = [part.partition(".") for part in text.partition(": ")[2].split(", ")]  # table.column, ...
        return AlreadyThere(text.partition(": ")[2], named[0][0], [column for _, _, column in named])
    if "FOREIGN KEY constraint failed" in text:
        table = (statement.table if statement else None) or ""
        return StillNeeded(text, table) if statement and statement.text.startswith("DELETE") else Gone(text, table)
    code = getattr(error, "sqlite_errorcode", 0)
    # A quota or a limit of file sizes is reported as a write that failed.
    if code & 0xFF == sqlite3.SQLITE_FULL or code in (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE):
        return StoreFull()
    if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreDown("The database file is damaged: stop the server and restore it from a backup")
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return StoreDown("The disk of the database fails: see the server's log and the system's")
    if code & 0xFF in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return StoreDown(_NOT_WRITABLE)
    if isinstance(error, sqlite3.DataError):  # longer than the engine takes
        return Unstorable()
    if (
        isinstance(error, sqlite3.OperationalError | sqlite3.InternalError)
        or type(error) is sqlite3.DatabaseError
        or "closed database" in text
    ):
        return StoreDown()
    return error


def _rolled_back(connection: sqlite3.Connection) -> None:
    """End a transaction without a trace, if there is one: a failure of the disk may have ended it. Raises StoreDown."""
    try:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    except _FAULTS as error:
        raise _translate(error) from error


def _rest(cursor: sqlite3.Cursor) -> list[Row]:
    try:
        return cursor.fetchall()
    except _FAULTS as error:
        raise _translate(error) from error


async def _beside(connection: sqlite3.Connection, work: Callable[[], T]) -> T:
    """The rows that a statement answers, carried out in a thread.

    When this returns or raises, it has ended: whoever is cancelled interrupts it.
    """
    done = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(done)
    except asyncio.CancelledError:
        while not done.done():  # again and again: one that has not begun yet cannot be interrupted
            connection.interrupt()
            await asyncio.wait([done], timeout=0.01)
        raise


class SqliteTx:
    """A unit or a view on one connection."""

    __slots__ = ("_connection", "_known", "counted", "keys", "rows", "tables", "writes")

    def __init__(
        self, connection: sqlite3.Connection, known: Callable[[tuple[str, ...]], tuple[int, ...]], *, writes: bool
    ) -> None:
        self._connection = connection
        self._known = known
        self.writes = writes
        self.counted = False
        self.rows = 0  # that were written many at once
        self.keys: set[str] = set()
        self.tables: set[str] = set()

    def _execute(self, statement: Statement, params: Params, *, counts: bool = False) -> sqlite3.Cursor:
        ready = compiled(statement, _DIALECT)
        if not counts:
            self._note(ready)
        values = [_encode(v).decode() if type(v) is list or type(v) is tuple else v for v in ready.values(params)]
        try:
            return self._connection.execute(ready.text, values)
        except _FAULTS as error:
            raise _translate(error, ready) from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise Unstorable from error

    def _note(self, ready: Compiled) -> None:
        if ready.table is not None:
            if not self.writes:
                raise AssertionError("a view cannot write")
            self.tables.add(ready.table)

    async def one(self, statement: Statement, /, **params: Any) -> Row | None:
        cursor = self._execute(statement, params)
        try:
            row: Row | None = cursor.fetchone()
        except _FAULTS as error:  # a fetch looks for the next row, which can fail as the first one can
            raise _translate(error) from error
        cursor.close()
        return row

    async def all(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        return _rest(self._execute(statement, params))

    async def run(self, statement: Statement, /, **params: Any) -> int:
        return self._execute(statement, params).rowcount

    async def run_long(self, statement: Statement, /, **params: Any) -> int:
        self.rows += _LARGE
        return (await _beside(self._connection, lambda: self._execute(statement, params))).rowcount

    async def many(self, statement: Statement, rows: Sequence[Params], /) -> None:
        if rows:
            ready = compiled(statement, _DIALECT)
            self._note(ready)
            await self._write(ready, rows)

    async def _write(self, ready: Compiled, rows: Sequence[Params]) -> None:
        """Write the rows in pieces, between which other requests have their turn.

        Those who need the database wait until the unit ends.
        """
        self.rows += len(rows)
        if len(rows) <= _PIECE:
            self._execute_many(ready, rows)
            return
        for start in range(0, len(rows), _PIECE):
            if start:
                await asyncio.sleep(0)
            self._execute_many(ready, rows[start : start + _PIECE])

    def _execute_many(self, ready: Compiled, rows: Sequence[Params]) -> None:
        try:
            self._connection.executemany(ready.text, [ready.values(row) for row in rows])
        except _FAULTS as error:
            raise _translate(error, ready) from error
        except (OverflowError, UnicodeEncodeError) as error:
            raise Unstorable from error

    async def count(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        if not self.writes:
            raise AssertionError("a view cannot write")
        self.counted = True
        cursor = self._execute(statement, params, counts=True)
        return _rest(cursor) if cursor.description else ()

    async def count_long(self, statement: Statement, /, **params: Any) -> None:
        if not self.writes:
            raise AssertionError("a view cannot write")
        self.counted = True
        self.rows += _LARGE
        await _beside(self._connection, lambda: self._execute(statement, params, counts=True))

    async def count_many(self, statement: Statement, rows: Sequence[Params], /) -> None:
        if not self.writes:
            raise AssertionError("a view cannot write")
        if rows:
            self.counted = True
            await self._write(compiled(statement, _DIALECT), rows)

    async def together(self, writes: Sequence[Write], *, is_last: bool = False) -> None:
        del is_last  # there is no way to save
        for write in writes:
            await (self.count_many if write.counts else self.many)(write.statement, write.rows)

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        return self._known(keys)

    def changed(self, *keys: str) -> None:
        self.keys.update(keys)


class _Survey(SqliteTx):
    """A view whose statements run in a thread.

    While one runs the interpreter is free for others, except between rows.
    """

    __slots__ = ()

    async def one(self, statement: Statement, /, **params: Any) -> Row | None:
        rows = await self.all(statement, **params)
        return rows[0] if rows else None

    async def all(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        return await _beside(self._connection, lambda: self._fetched(statement, params))

    def _fetched(self, statement: Statement, params: Params) -> list[Row]:
        return self._execute(statement, params).fetchall()


class _OtherWriters:
    """Tell when a connection other than our writer committed, without a system call.

    Every commit rewrites the header of the WAL index, which all processes share as mapped memory, and raises the
    counter of changes in it by one (SQLite's "WAL-mode File Format", 2.1). `PRAGMA data_version` looks at the same
    bytes, behind two locks.
    """

    def __init__(self, index: Path) -> None:
        # Kept open until the connections are closed: closing any descriptor of this file would drop SQLite's locks on
        # it.
        self._file = os.open(index, os.O_RDONLY)
        self._map = mmap.mmap(self._file, _HEADER, access=mmap.ACCESS_READ)
        self._known = self._map[:_HEADER]

    @property
    def frames(self) -> int:
        """How many pages are in the WAL."""
        count: int = _FRAMES.unpack_from(self._map)[0]
        return count

    def changed(self) -> bool:
        """Whether the database changed since the last call. A change that is just happening may be reported twice."""
        now = self._map[:_HEADER]
        if now == self._known:
            return False
        self._known = now
        return True

    def changed_beside_us(self) -> bool:
        """Whether the database changed by another writer, right after a commit of our own.

        Nothing was changed before that commit.
        """
        before = self._known
        return (
            self.changed()
            and _CHANGES.unpack_from(self._known)[0] != (_CHANGES.unpack_from(before)[0] + 1) & 0xFFFFFFFF
        )

    def close(self) -> None:
        self._map.close()
        os.close(self._file)


class _Checkpoints:
    """Copies a WAL that has grown long into the database file, away from the event loop.

    SQLite would do it within some commit: measured, everybody then waited for half a second. Here nobody waits for the
    long copy, and units wait only for the short one after it, which takes what was written meanwhile: then the WAL can
    begin again.
    """

    def __init__(self, connection: sqlite3.Connection, lock: asyncio.Lock) -> None:
        self._connection = connection
        self._lock = lock
        self._thread = ThreadPoolExecutor(1, "wal-checkpoint")
        self._task: asyncio.Task[None] | None = None
        self._copied = 0  # the length when it was last copied

    def consider(self, frames: int) -> None:
        """Begin if the WAL, now `frames` long, has grown by enough."""
        if frames < self._copied:
            self._copied = 0
        if self._task is None and frames - self._copied >= _LONG:
            self._copied = frames
            self._task = asyncio.get_running_loop().create_task(self._copy())

    async def _copy(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._checkpoint)
            async with self._lock:
                await loop.run_in_executor(self._thread, self._checkpoint)
        except _FAULTS as error:
            _log.warning(
                "the WAL could not be copied into the database; it is tried again when it has grown", exc_info=error
            )
        finally:
            self._task = None

    def _checkpoint(self) -> None:
        self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    async def close(self) -> None:
        """Wait for the checkpoint that is under way."""
        if self._task is not None:
            await self._task
        self._thread.shutdown(wait=True)
        self._connection.close()


def _no_versions(keys: tuple[str, ...]) -> tuple[int, ...]:
    raise AssertionError(f"what a survey reads is not for the cache: {keys}")


class SqliteStore:
    """One database file, by default used by one process. See the module docstring."""

    name = "sqlite"
    is_inline = True

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = asyncio.Lock()
        self._survey_lock = asyncio.Lock()
        self._known: dict[str, int] = {}
        self._epoch = 0
        self._closed = False
        self._full = Fullness()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, cached_statements=512)
        try:
            for pragma in (
                "journal_mode=WAL",
                "synchronous=NORMAL",
                "foreign_keys=ON",
                "busy_timeout=5000",
                "cache_size=-65536",
                "mmap_size=268435456",
                "temp_store=MEMORY",
                "wal_autocheckpoint=0",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    async def open(self) -> None:
        """Connect, bring the tables up to date, and start the group fsync."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        await upgrade(f"sqlite:///{self.path}")
        try:
            self._writer, self._reader, self._surveyor = self._connect(), self._connect(), self._connect()
            self._surveyor.execute("PRAGMA query_only=ON")
            self._reader.execute("PRAGMA query_only=ON")
            # The WAL file exists only after a write; one that changes nothing will do.
            self._write_start(0)
            self._durable = GroupFsync(self.path.with_name(self.path.name + "-wal"))
            self._others = _OtherWriters(self.path.with_name(self.path.name + "-shm"))
            self._checkpoints = _Checkpoints(self._connect(), self._lock)
            self._reader.execute("SELECT 1 FROM versions LIMIT 1").fetchall()
        except (*_FAULTS, OSError) as error:
            for name in ("_writer", "_reader", "_surveyor"):
                if hasattr(self, name):
                    getattr(self, name).close()
            raise (translated_error(error, f"sqlite:///{self.path}") or StoreDown()) from error

    def _write_start(self, more: int) -> None:
        """Commit a write to a row that nobody looks at.

        For a value that stays as it is SQLite writes nothing to the disk.
        """
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            self._writer.execute(
                "INSERT INTO versions (key, n) VALUES ('start', 1) ON CONFLICT (key) DO UPDATE SET n = n + ?", (more,)
            )
            self._writer.execute("COMMIT")
        except _FAULTS:
            _rolled_back(self._writer)
            raise

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        async with self._lock:
            self._notice_others()
            try:
                self._reader.execute("BEGIN")
            except _FAULTS as error:
                raise _translate(error) from error
            known, absent = (
                self._known,
                self._epoch,
            )  # what this view loads is never stamped as newer than its beginning

            def versions(keys: tuple[str, ...]) -> tuple[int, ...]:
                return tuple([known.get(key, absent) for key in keys])

            try:
                yield SqliteTx(self._reader, versions, writes=False)
            except _FAULTS as error:  # also a row that could not be fetched
                raise _translate(error) from error
            finally:
                _rolled_back(self._reader)

    @asynccontextmanager
    async def survey(self) -> AsyncIterator[Tx]:
        async with self._survey_lock:
            if self._closed:
                raise StoreDown
            try:
                self._surveyor.execute("BEGIN")
            except _FAULTS as error:
                raise _translate(error) from error
            try:
                yield _Survey(self._surveyor, _no_versions, writes=False)
            except _FAULTS as error:
                raise _translate(error) from error
            finally:
                _rolled_back(self._surveyor)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        async with self._lock:
            self._durable.require_sound()
            try:
                self._writer.execute("BEGIN IMMEDIATE")
            except _FAULTS as error:
                raise _translate(error) from error
            self._notice_others()  # from here until the commit nobody else can write
            tx = SqliteTx(self._writer, self._versions_now, writes=True)
            try:
                yield tx
                verify_raised(tx.tables, tx.keys)
                for key in sorted(tx.keys):
                    await tx.run(RAISE, **raising(key))
                cancelled = await self._commit(tx)
            except BaseException as error:
                _rolled_back(self._writer)
                translated = _translate(error) if isinstance(error, _FAULTS) else error
                if isinstance(translated, StoreFull):
                    self._full.note_full()
                if translated is not error:
                    raise translated from error
                raise
            if self._others.changed_beside_us():
                self._forget()
            self._checkpoints.consider(self._others.frames)
            self._raised(tx.keys)
            if cancelled is not None:
                raise cancelled
        if tx.tables or tx.counted:
            if self._full.is_so:
                self._full.note_written()
            await self._durable()

    async def _commit(self, tx: SqliteTx) -> asyncio.CancelledError | None:
        """Commit, in a thread where there is much to write.

        Whoever is cancelled meanwhile waits for it, for it cannot be undone: then that is answered.
        """
        if tx.rows < _LARGE:
            self._writer.execute("COMMIT")
            return None
        done = asyncio.ensure_future(asyncio.to_thread(self._writer.execute, "COMMIT"))
        cancelled: asyncio.CancelledError | None = None
        while not done.done():
            try:
                await asyncio.shield(done)
            except asyncio.CancelledError as error:
                cancelled = error
            except sqlite3.Error:
                break
        done.result()
        return cancelled

    async def once(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        async with self.write() as tx:
            return await tx.count(statement, **params)

    def _raised(self, keys: set[str]) -> None:
        known, absent = self._known, self._epoch
        for key in keys:
            known[key] = known.get(key, absent) + 1
        if len(known) > _KNOWN_VERSIONS:
            self._forget()

    def _forget(self) -> None:
        self._known = {}  # another one: a request that is under way must not lose what it has seen
        self._epoch += 1 << 40

    def _notice_others(self) -> None:
        if self._closed:
            raise StoreDown
        if self._others.changed():
            self._forget()

    def _versions_now(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        known, absent = self._known, self._epoch
        return tuple([known.get(key, absent) for key in keys])

    def cached(self) -> tuple[dict[str, int], int]:
        """The versions in memory.

        This process makes all the changes, and the WAL index tells when another process made some.
        """
        self._notice_others()
        return self._known, self._epoch

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        """The versions of `keys`, from memory."""
        self._notice_others()
        return self._versions_now(keys)

    async def check(self) -> None:
        self._durable.require_sound()
        try:
            self._reader.execute("SELECT n FROM versions WHERE key = 'start'").fetchone()
            if self._full.is_so:
                async with self._lock:
                    self._write_start(1)
                    self._notice_others()
                self._full.note_written()
                await self._durable()
        except _FAULTS as error:
            raise _translate(error) from error

    async def close(self) -> None:
        if not hasattr(self, "_durable") or self._closed:
            return
        self._closed = True
        await self._checkpoints.close()
        try:
            await self._durable()
        finally:
            self._durable.close()
            self._reader.close()
            async with self._survey_lock:
                self._surveyor.close()
            self._writer.close()
            self._others.close()
