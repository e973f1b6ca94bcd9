"""Migrated databases for tests, made once in a run: a file to copy for SQLite, a database to empty for PostgreSQL.

Making a PostgreSQL database and its tables takes seconds, emptying it milliseconds; and nothing that a test is about is
lost.
"""

import asyncio
import secrets
import shutil
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import asyncpg
import pytest

from tests.postgres import Server, with_database
from watchword.store.migrate import upgrade
from watchword.store.schema import metadata

T = TypeVar("T")


def elsewhere(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end, also where a loop is running already: a session's fixture cannot await."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> Iterator[str]:
    """The address of a PostgreSQL database with all tables, for one test after the other: `emptied` first."""
    name = f"t_{secrets.token_hex(8)}"
    dsn = with_database(postgres.dsn, name)
    elsewhere(administer(postgres.dsn, f"create database {name} template template0"))
    elsewhere(upgrade(dsn))
    yield dsn
    if dsn in _emptiers:
        _emptiers.pop(dsn).close()
    elsewhere(administer(postgres.dsn, f"drop database {name} with (force)"))


class Emptier:
    """A connection that stays open from test to test, on an event loop of its own, to empty one database.

    In a new connection PostgreSQL reads what it knows of sixty tables and plans as many statements: ten times as long
    as all else of it takes.
    """

    _OTHERS = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="emptier", daemon=True)
        self._thread.start()
        self._connection: asyncpg.Connection[Any] | None = None
        self._functions: dict[str, str] = {}  # those that this connection has, by what they do after emptying

    async def empty(self, then: str) -> None:
        """Leave no row but those that `then` makes, and nobody else connected."""
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._empty(then), self._loop))

    async def _empty(self, then: str) -> None:
        if self._connection is None or self._connection.is_closed():
            self._connection, self._functions = await asyncpg.connect(self._dsn), {}
        if then not in self._functions:
            name = self._functions[then] = f"pg_temp.emptied_{len(self._functions)}"
            deleting = "; ".join(f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables))
            body = f"begin {deleting}; {then}{';' if then else ''} end"
            await self._connection.execute(f"create function {name}() returns void language plpgsql as $of${body}$of$")
        await self._connection.execute(f"{self._OTHERS}; SELECT {self._functions[then]}()")

    def close(self) -> None:
        """Close the connection."""

        async def closing() -> None:
            if self._connection is not None:
                await self._connection.close()

        asyncio.run_coroutine_threadsafe(closing(), self._loop).result(30)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


_emptiers: dict[str, Emptier] = {}


async def emptied(dsn: str, then: str = "") -> str:
    """The same address, when no row is left in any table but those that the statements `then` make, and nobody
    else is connected. The address is that of `migrated`.
    """
    if dsn not in _emptiers:
        _emptiers[dsn] = Emptier(dsn)
    await _emptiers[dsn].empty(then)
    return dsn


async def refilling(dsn: str) -> str:
    """Statements that make all rows that there are now again, for `emptied`."""
    statements = []
    connection = await asyncpg.connect(dsn)
    try:
        for table in metadata.sorted_tables:
            rows = await connection.fetchval(f'SELECT jsonb_agg(one) FROM "{table.name}" one')
            if rows is not None:
                literal = await connection.fetchval("SELECT quote_literal($1::text)", rows)
                statements.append(
                    f'INSERT INTO "{table.name}" SELECT * FROM jsonb_populate_recordset(NULL::"{table.name}", {literal})'
                )
    finally:
        await connection.close()
    return "; ".join(statements)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("migrated") / "watchword.db"
    elsewhere(upgrade(f"sqlite:///{path}"))
    return path


def placed(migrated_file: Path, folder: Path) -> Path:
    """The folder, when an empty database lies in it."""
    shutil.copy(migrated_file, folder / "watchword.db")
    return folder
