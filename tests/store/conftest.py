"""Stores of both engines, each test on an empty database."""

import asyncio
import secrets
import shutil
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.postgres import Server, with_database
from watchword.store.engine import Store
from watchword.store.migrate import upgrade
from watchword.store.postgres import PostgresStore
from watchword.store.schema import metadata
from watchword.store.sqlite import SqliteStore


def elsewhere(work: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end, also where a loop is running already: a session's fixture cannot await."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def migrated(postgres: Server) -> Iterator[str]:
    """The address of a database with all tables, for one test after the other: making one takes a second, emptying it 20 ms."""
    name = f"t_{secrets.token_hex(8)}"
    dsn = with_database(postgres.dsn, name)
    elsewhere(administer(postgres.dsn, f"create database {name} template template0"))
    elsewhere(upgrade(dsn))
    yield dsn
    elsewhere(administer(postgres.dsn, f"drop database {name} with (force)"))


async def administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute(statement)
    await connection.close()


@asynccontextmanager
async def on_postgres(dsn: str) -> AsyncIterator[PostgresStore]:
    """A store on a database that is emptied first."""
    await administer(dsn, "; ".join(f'DELETE FROM "{table.name}"' for table in reversed(metadata.sorted_tables)))
    store = PostgresStore(dsn, pool_size=4)
    await store.open()
    yield store
    await store.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables and nothing in them."""
    path = tmp_path_factory.mktemp("migrated") / "watchword.db"
    elsewhere(upgrade(f"sqlite:///{path}"))
    return path


@asynccontextmanager
async def on_sqlite(folder: Path, migrated_file: Path) -> AsyncIterator[SqliteStore]:
    """A store on an empty file."""
    shutil.copy(migrated_file, folder / "watchword.db")
    store = SqliteStore(folder / "watchword.db")
    await store.open()
    yield store
    await store.close()


@pytest.fixture
async def postgres_store(migrated: str) -> AsyncIterator[PostgresStore]:
    async with on_postgres(migrated) as store:
        yield store


@pytest.fixture
async def sqlite_store(tmp_path: Path, migrated_file: Path) -> AsyncIterator[SqliteStore]:
    async with on_sqlite(tmp_path, migrated_file) as store:
        yield store


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> AsyncIterator[Store]:
    """A store on each engine in turn."""
    async with (
        on_sqlite(tmp_path, migrated_file) if request.param == "sqlite" else on_postgres(request.getfixturevalue("migrated")) as found
    ):
        yield found


def another(store: Store) -> Store:
    """A second store over the same database, as another process has it; not open yet."""
    return SqliteStore(store.path) if isinstance(store, SqliteStore) else PostgresStore(store._dsn, pool_size=2)
