"""PostgreSQL through asyncpg: short transactions, prepared statements, and one shared version read for all who wait."""

import asyncio
import re
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from functools import lru_cache
from typing import Any

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect

from watchword.store import constraints
from watchword.store.batches import Batches
from watchword.store.disk_space import Fullness
from watchword.store.engine import (
    AlreadyThere,
    Collision,
    Compiled,
    Gone,
    Params,
    Prepared,
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
from watchword.store.migrate import translated_error, upgrade
from watchword.store.versions import RAISE, READ, raising, verify_raised

_DIALECT = dialect()  # type: ignore[no-untyped-call]
# The connection, the server or who runs it: nothing that a statement of ours could have done right.
_GONE = (
    OSError,
    TimeoutError,
    EOFError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TransactionTimeoutError,
    asyncpg.StatementCompletionUnknownError,
    asyncpg.InvalidSQLStatementNameError,
    asyncpg.DuplicatePreparedStatementError,
    asyncpg.InsufficientPrivilegeError,
    asyncpg.ObjectNotInPrerequisiteStateError,
    asyncpg.SnapshotTooOldError,
    asyncpg.ConfigFileError,
    asyncpg.InternalServerError,
    asyncpg.FatalPostgresError,
    asyncpg.UnknownPostgresError,
)
# Of the unit nothing is written, and the same one may go through at once: also where another node changed the tables
# meanwhile.
_COLLIDED = (
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
    asyncpg.InvalidCachedStatementError,
    asyncpg.OutdatedSchemaCacheError,
)
_UNKNOWN = asyncpg.StatementCompletionUnknownError
_FAULTS = (*_GONE, asyncpg.PostgresError)
_REMOVED = re.compile(r'on table "([a-z_]+)" violates')
_WRITE_NOTHING = "INSERT INTO versions (key, n) VALUES ('start', 1) ON CONFLICT (key) DO UPDATE SET n = versions.n"
_COPY_FROM = 4  # rows; fewer are cheaper as single inserts
_ANSWER_WITHIN = 10.0  # seconds
_VERSIONS_WITHIN = 5.0  # a request waits for at most two of these: one under way and its own


def _translate(error: BaseException) -> BaseException:
    if isinstance(error, asyncpg.UniqueViolationError):
        index, table = error.constraint_name or "", error.table_name or ""
        return AlreadyThere(index, table, constraints.columns_of(index))
    if isinstance(error, asyncpg.ForeignKeyViolationError | asyncpg.RestrictViolationError):
        return _foreign(error)
    if isinstance(error, _COLLIDED) and not isinstance(error, _UNKNOWN):
        return Collision()
    if isinstance(error, asyncpg.DataError | asyncpg.exceptions._base.DataError):  # noqa: SLF001 - two classes have this name
        return Unstorable()
    if type(error) is asyncpg.ProgramLimitExceededError:
        return Unstorable("A value is too long to be stored")  # as part of an index
    if isinstance(error, asyncpg.DiskFullError):
        return StoreFull()
    if isinstance(error, _GONE):
        return StoreDown()
    return error


def _foreign(error: Any) -> StillNeeded:
    """The refusal for a foreign key violation: which of its two ends was violated.

    The table named is the one with the key; the message says which end it was.
    """
    text, table, name = str(error), error.table_name or "", error.constraint_name or ""
    if text.startswith("insert or update"):
        columns = [column for column, _ in constraints.parents(table) if name.endswith(column)]
        return Gone(text, table, columns)
    match = _REMOVED.search(text)
    return StillNeeded(text, match[1] if match else table)


def _lists(rows: Sequence[Params]) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


@lru_cache(1024)
def _counted_from(text: str, first: int) -> str:
    """A statement with its parameters numbered from `first` on."""
    return re.sub(r"\$(\d+)", lambda match: f"${int(match[1]) + first}", text)


class PostgresTx:
    """A unit or a view on one connection of the pool."""

    __slots__ = ("_connection", "_raised", "keys", "tables", "writes")

    def __init__(self, connection: Any, *, writes: bool) -> None:
        self._connection = connection
        self.writes = writes
        self.keys: set[str] = set()
        self._raised: set[str] = set()
        self.tables: set[str] = set()

    def _ready(self, statement: Statement) -> Compiled:
        ready = compiled(statement, _DIALECT)
        if ready.table is not None:
            if not self.writes:
                raise AssertionError("a view cannot write")
            self.tables.add(ready.table)
        return ready

    async def one(self, statement: Statement, /, **params: Any) -> Row | None:
        rows = await self.all(statement, **params)
        return rows[0] if rows else None

    async def all(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        ready = self._ready(statement)
        try:
            rows: Sequence[Row] = await self._connection.fetch(ready.text, *ready.values(params))
        except _FAULTS as error:
            raise _translate(error) from error
        return rows

    async def run(self, statement: Statement, /, **params: Any) -> int:
        ready = self._ready(statement)
        try:
            status: str = await self._connection.execute(ready.text, *ready.values(params))
        except _FAULTS as error:
            raise _translate(error) from error
        return int(status.rpartition(" ")[2] or 0)

    async def run_long(self, statement: Statement, /, **params: Any) -> int:
        return await self.run(statement, **params)

    async def many(self, statement: Statement, rows: Sequence[Params], /) -> None:
        if rows:
            await self._send_many(self._ready(statement), statement, rows)

    async def _send_many(self, ready: Compiled, statement: Statement, rows: Sequence[Params]) -> None:
        try:
            if len(rows) > 1 and isinstance(statement, Prepared) and statement.at_once:
                # An update for 500 rows takes a third of the server's time for 500 updates.
                ready = statement.for_lists(_DIALECT)
                await self._connection.execute(ready.text, *ready.values(_lists(rows)))
                return
            values = [ready.values(row) for row in rows]
            if ready.is_plain_insert and len(rows) >= _COPY_FROM:
                await self._connection.copy_records_to_table(ready.table, records=values, columns=ready.order)
            else:
                await self._connection.executemany(ready.text, values)
        except _FAULTS as error:
            raise _translate(error) from error

    async def count(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        if not self.writes:
            raise AssertionError("a view cannot write")
        ready = compiled(statement, _DIALECT)
        try:
            rows: Sequence[Row] = await self._connection.fetch(ready.text, *ready.values(params))
        except _FAULTS as error:
            raise _translate(error) from error
        return rows

    async def count_long(self, statement: Statement, /, **params: Any) -> None:
        await self.count(statement, **params)

    async def count_many(self, statement: Statement, rows: Sequence[Params], /) -> None:
        if not self.writes:
            raise AssertionError("a view cannot write")
        if rows:
            await self._send_many(compiled(statement, _DIALECT), statement, rows)

    async def together(self, writes: Sequence[Write], *, is_last: bool = False) -> None:
        if not self.writes:
            raise AssertionError("a view cannot write")
        with_rows = [write for write in writes if write.rows]
        if not with_rows:
            return
        # Not earlier: a version's row is locked from then on, and units that lock several must do so in one order.
        version_keys = self.due() if is_last else []
        if version_keys:
            with_rows.append(Write(RAISE, version_keys, counts=True))
        parts: list[str] = []
        values: list[Any] = []
        for write in with_rows:
            if not write.counts:
                self._ready(write.statement)
            ready = write.statement.for_lists(_DIALECT)
            parts.append(f"w{len(parts)} AS ({_counted_from(ready.text, len(values))})")
            values += ready.values(_lists(write.rows))
        try:
            await self._connection.execute(f"WITH {', '.join(parts)} SELECT", *values)
        except _FAULTS as error:
            raise _translate(error) from error

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        try:
            versions = dict(await self._connection.fetch(READ.on(_DIALECT).text, list(keys)))
        except _FAULTS as error:
            raise _translate(error) from error
        return tuple([versions.get(key, 0) for key in keys])

    def changed(self, *keys: str) -> None:
        self.keys.update(keys)

    def due(self) -> list[Params]:
        """The version keys named since the last call, for which `RAISE` must be carried out once."""
        keys = sorted(self.keys - self._raised)
        self._raised.update(keys)
        return [raising(key) for key in keys]


class PostgresStore:
    """PostgreSQL, shared by any number of processes: a change is seen by all with their next read of versions."""

    name = "postgresql"
    is_inline = False

    def __init__(self, dsn: str, *, pool_size: int = 10) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._read_index = Batches(self._answer)
        self._versions_connection: Any = None
        self._pool: Any = None
        self._closed = False
        self._full = Fullness()

    async def open(self) -> None:
        """Bring the tables up to date and fill the pool."""
        await upgrade(self._dsn)
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=2,
                max_size=self._pool_size,
                timeout=_ANSWER_WITHIN,
                command_timeout=_ANSWER_WITHIN,
                max_inactive_connection_lifetime=300,
                statement_cache_size=512,
                init=_prefer_indexes,
                reset=_leave_as_it_is,
            )
        except _FAULTS as error:
            raise (translated_error(error, self._dsn) or StoreDown()) from error

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        """A connection of the pool; a transaction that is open when the block fails is rolled back.

        One that failed to answer, or was left in the middle of a query, is thrown away: to roll back would be to wait
        again.
        """
        try:
            connection = await self._pool.acquire(timeout=_ANSWER_WITHIN)
        except _FAULTS as error:
            raise _translate(error) from error
        try:
            yield connection
        except BaseException as error:
            translated = _translate(error)
            if isinstance(translated, StoreFull):
                self._full.note_full()
            if isinstance(translated, StoreDown | asyncio.CancelledError) and not isinstance(
                translated, Collision | StoreFull
            ):
                _throw_away(connection)
            else:
                await _roll_back(connection)
            if translated is error:
                raise
            raise translated from error
        finally:
            with suppress(
                *_FAULTS
            ):  # what became of the unit is known by now, and the pool throws away what it cannot take back
                await self._pool.release(connection)

    @asynccontextmanager
    async def _transaction(self, begin: str) -> AsyncIterator[Any]:
        async with self._connection() as connection:
            await connection.execute(begin)
            yield connection
            await connection.execute("COMMIT")

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        async with self._transaction("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY") as connection:
            yield PostgresTx(connection, writes=False)

    def survey(self) -> AbstractAsyncContextManager[Tx]:
        return self.read()

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        async with self._transaction("BEGIN") as connection:
            tx = PostgresTx(connection, writes=True)
            yield tx
            verify_raised(tx.tables, tx.keys)
            await tx.many(RAISE, tx.due())
        if self._full.is_so and tx.tables:
            self._full.note_written()

    async def once(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        ready = compiled(statement, _DIALECT)
        async with self._connection() as connection:
            rows: Sequence[Row] = await connection.fetch(ready.text, *ready.values(params))
            return rows

    def cached(self) -> None:
        """None: other processes write to this database."""

    def versions(self, keys: tuple[str, ...]) -> Coroutine[Any, Any, tuple[int, ...]]:
        """The versions of `keys`, by one read that all who asked meanwhile share.

        A read that begins after every one of them arrived serves them together.
        """
        return self._read_index.ask(keys)

    async def _answer(self, batch: Sequence[tuple[str, ...]]) -> list[tuple[int, ...]]:
        try:
            found = await self._versions_of(list({key for keys in batch for key in keys}))
        except _FAULTS as error:
            raise StoreDown from error
        return [tuple([found.get(key, 0) for key in keys]) for keys in batch]

    async def _versions_of(self, keys: list[str]) -> dict[str, int]:
        """Read versions on a connection of its own, so that the read never waits behind units.

        A connection that failed is replaced.
        """
        if self._closed:
            raise StoreDown
        connection = self._versions_connection
        if connection is None or connection.is_closed():
            connection = await asyncpg.connect(self._dsn, timeout=_VERSIONS_WITHIN, command_timeout=_VERSIONS_WITHIN)
            self._versions_connection = connection
            await _prefer_indexes(connection)
        try:
            return dict(await connection.fetch(READ.on(_DIALECT).text, keys))
        except BaseException:
            self._versions_connection = None
            connection.terminate()
            raise

    async def check(self) -> None:
        try:
            async with asyncio.timeout(2):
                await self.versions(())
            if self._full.is_so:
                async with self._transaction("BEGIN") as connection:
                    await connection.execute(_WRITE_NOTHING)
                self._full.note_written()
        except TimeoutError as error:
            raise StoreDown from error

    async def close(self) -> None:
        self._closed = True
        if self._versions_connection is not None:
            self._versions_connection.terminate()
        if self._pool is not None:
            try:
                await asyncio.wait_for(self._pool.close(), 10)
            except TimeoutError:
                self._pool.terminate()


async def _prefer_indexes(connection: Any) -> None:
    """Tell the planner that an index costs little, for what is asked often is in memory.

    The server's default is meant for turning disks.

    With it a small table is read from end to end for 30 versions, four times the work, and rows are locked in no order.
    """
    await connection.execute("SET random_page_cost = 1.1")


async def _leave_as_it_is(connection: Any) -> None:
    """Reset nothing when a connection goes back to the pool.

    No unit changes its session (no setting, cursor, listener or advisory lock), so there is nothing to undo.
    """
    del connection


async def _roll_back(connection: Any) -> None:
    try:
        await connection.execute("ROLLBACK")
    except _FAULTS:
        _throw_away(connection)


def _throw_away(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):  # one that was lost is no longer the pool's, and says so
        connection.terminate()
