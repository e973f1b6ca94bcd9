"""Migrated databases for tests, made once in a run: a file to copy for SQLite, a database to empty for PostgreSQL.

Making a PostgreSQL database and its tables takes seconds, emptying it milliseconds; and nothing that a test is about is
lost.
"""

import asyncio
import secrets
import shutil
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
    elsewhere(administer(postgres.dsn, f"drop database {name} with (force)"))


async def emptied(dsn: str, then: str = "") -> str:
    """The same address, when no row is left in any table but those that the statements `then` make, and nobody
    else is connected.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        emptying = "; ".join(f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables))
        await connection.execute(f"{emptying}; {then}")
    finally:
        await connection.close()
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
