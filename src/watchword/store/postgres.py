"""PostgreSQL through asyncpg: short transactions, prepared statements, and one shared version read for all who wait."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.dialects.postgresql import asyncpg as dialect

from watchword.store.engine import AlreadyThere, Compiled, Params, Row, Statement, StillNeeded, StoreDown, Tx, compiled
from watchword.store.migrate import upgrade
from watchword.store.versions import RAISE, READ, verify_raised

_DIALECT = dialect.dialect()  # type: ignore[no-untyped-call]
_GONE = (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError,
         asyncpg.InsufficientResourcesError, asyncpg.SerializationError, asyncpg.DeadlockDetectedError)  # fmt: skip
_ANSWER_WITHIN = 10.0  # seconds


def _translate(error: BaseException) -> BaseException:
    if isinstance(error, asyncpg.UniqueViolationError):
        return AlreadyThere(error.constraint_name or "")
    if isinstance(error, asyncpg.ForeignKeyViolationError | asyncpg.RestrictViolationError):
        return StillNeeded(str(error))
    if isinstance(error, _GONE):
        return StoreDown()
    return error


class PostgresTx:
    """A unit or a view on one connection of the pool."""

    __slots__ = ("_connection", "keys", "tables", "writes")

    def __init__(self, connection: Any, *, writes: bool) -> None:
        self._connection = connection
        self.writes = writes
        self.keys: set[str] = set()
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
        values = {**ready.constants, **params}
        rows: Sequence[Row] = await self._connection.fetch(ready.text, *[values[name] for name in ready.order])
        return rows

    async def run(self, statement: Statement, /, **params: Any) -> int:
        ready = self._ready(statement)
        values = {**ready.constants, **params}
        status: str = await self._connection.execute(ready.text, *[values.get(name) for name in ready.order])
        return int(status.rpartition(" ")[2] or 0)

    async def many(self, statement: Statement, rows: Sequence[Params], /) -> None:
        if not rows:
            return
        ready = self._ready(statement)
        constants, order = ready.constants, ready.order
        await self._connection.executemany(ready.text, [[row.get(n, constants.get(n)) for n in order] for row in rows])

    async def count(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        ready = compiled(statement, _DIALECT)
        values = {**ready.constants, **params}
        rows: Sequence[Row] = await self._connection.fetch(ready.text, *[values.get(name) for name in ready.order])
        return rows

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        found = dict(await self._connection.fetch(READ.on(_DIALECT).text, list(keys)))
        return tuple([found.get(key, 0) for key in keys])

    def changed(self, *keys: str) -> None:
        self.keys.update(keys)


class PostgresStore:
    """Any number of processes share this database; what one changes, all see with their next barrier."""

    name = "postgresql"

    def __init__(self, dsn: str, *, pool_size: int = 10) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._waiting: list[tuple[tuple[str, ...], asyncio.Future[tuple[int, ...]]]] = []
        self._barrier: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Bring the tables up to date and fill the pool."""
        await upgrade(self._dsn)
        try:
            self._pool = await asyncpg.create_pool(
                self._dsn, min_size=2, max_size=self._pool_size, timeout=_ANSWER_WITHIN, command_timeout=_ANSWER_WITHIN,
                max_inactive_connection_lifetime=300, statement_cache_size=512,
            )  # fmt: skip
            self._versions = await asyncpg.create_pool(
                self._dsn, min_size=1, max_size=1, timeout=_ANSWER_WITHIN, command_timeout=_ANSWER_WITHIN
            )
        except (*_GONE, asyncpg.PostgresError) as error:
            raise StoreDown(f"cannot reach the database: {type(error).__name__}") from error

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Tx]:
        try:
            async with self._pool.acquire(timeout=_ANSWER_WITHIN) as connection, connection.transaction(isolation="repeatable_read", readonly=True):
                yield PostgresTx(connection, writes=False)
        except (*_GONE, asyncpg.PostgresError) as error:
            raise _translate(error) from error

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Tx]:
        try:
            async with self._pool.acquire(timeout=_ANSWER_WITHIN) as connection, connection.transaction():
                tx = PostgresTx(connection, writes=True)
                yield tx
                verify_raised(tx.tables, tx.keys)
                await tx.many(RAISE, [{"key": key, "one": 1} for key in sorted(tx.keys)])
        except (*_GONE, asyncpg.PostgresError) as error:
            raise _translate(error) from error

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        """All who ask while a read is under way share the next one: it begins after every one of them arrived."""
        future: asyncio.Future[tuple[int, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append((keys, future))
        if self._barrier is None:
            self._barrier = asyncio.get_running_loop().create_task(self._answer_waiting())
        return await future

    async def _answer_waiting(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                await self._answer(batch)
        finally:
            self._barrier = None

    async def _answer(self, batch: list[tuple[tuple[str, ...], asyncio.Future[tuple[int, ...]]]]) -> None:
        wanted = list({key for keys, _ in batch for key in keys})
        try:
            async with self._versions.acquire(timeout=_ANSWER_WITHIN) as connection:
                found = dict(await connection.fetch(READ.on(_DIALECT).text, wanted))
        except (*_GONE, asyncpg.PostgresError):
            for _, future in batch:
                if not future.done():
                    future.set_exception(StoreDown())
            return
        for keys, future in batch:
            if not future.done():
                future.set_result(tuple([found.get(key, 0) for key in keys]))

    async def check(self) -> None:
        try:
            async with self._pool.acquire(timeout=2) as connection:
                await connection.fetchval("SELECT 1", timeout=2)
        except (*_GONE, asyncpg.PostgresError) as error:
            raise StoreDown() from error

    async def close(self) -> None:
        for pool in (getattr(self, "_pool", None), getattr(self, "_versions", None)):
            if pool is not None:
                await asyncio.wait_for(pool.close(), 10)
