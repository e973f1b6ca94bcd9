"""Stores of both engines, each test on an empty database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.databases import emptied, placed
from watchword.store.engine import Store
from watchword.store.postgres import PostgresStore
from watchword.store.sqlite import SqliteStore


@asynccontextmanager
async def on_postgres(dsn: str) -> AsyncIterator[PostgresStore]:
    """A store on a database that is emptied first."""
    await emptied(dsn)
    store = PostgresStore(dsn, pool_size=4)
    await store.open()
    yield store
    await store.close()


@asynccontextmanager
async def on_sqlite(folder: Path, migrated_file: Path) -> AsyncIterator[SqliteStore]:
    """A store on an empty file."""
    store = SqliteStore(placed(migrated_file, folder) / "watchword.db")
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
        on_sqlite(tmp_path, migrated_file)
        if request.param == "sqlite"
        else on_postgres(request.getfixturevalue("migrated")) as opened
    ):
        yield opened


def another(store: Store) -> Store:
    """A second store over the same database, as another process has it; not open yet."""
    return SqliteStore(store.path) if isinstance(store, SqliteStore) else PostgresStore(store._dsn, pool_size=2)  # type: ignore[attr-defined]
