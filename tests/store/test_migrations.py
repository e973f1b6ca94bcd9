"""Migrations from empty make exactly the tables of `schema.py`, on both engines, all or nothing."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from tests.postgres import Server, fresh_database
from watchword.store import migrate
from watchword.store.schema import metadata

COMPARED = {"compare_type": True, "compare_server_default": True}
DESCRIBED = (
    """SELECT table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable || coalesce(column_default, '') AS line
    FROM information_schema.columns WHERE table_schema = 'public'""",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "SELECT conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace",
)


def on(dsn: str) -> Any:
    return create_async_engine(dsn.replace("postgresql://", "postgresql+asyncpg://", 1))


def differences(connection: Connection) -> list[Any]:
    return compare_metadata(MigrationContext.configure(connection, opts=COMPARED), metadata)


def described(path: Path) -> list[str]:
    """Every table and index of a file, without what only differs in writing and in the order of columns and constraints."""
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'").fetchall()
    connection.close()
    return sorted(" ".join(sorted(re.split(r"\s*,\s*|\s+(?=\))|(?<=\()\s+", re.sub(r"\s+", " ", row[0])))) for row in rows)


async def described_there(dsn: str) -> list[str]:
    connection = await asyncpg.connect(dsn)
    try:
        rows = [row[0] for query in DESCRIBED for row in await connection.fetch(query)]
    finally:
        await connection.close()
    return sorted(row for row in rows if "alembic" not in row)


def made(path: Path) -> list[str]:
    engine = create_engine(f"sqlite:///{path}")
    metadata.create_all(engine)
    engine.dispose()
    return described(path)


async def made_there(dsn: str) -> list[str]:
    engine = on(dsn)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    await engine.dispose()
    return await described_there(dsn)


async def test_migrations_from_empty_equal_the_schema_on_sqlite(tmp_path: Path) -> None:
    await migrate.upgrade(f"sqlite:///{tmp_path / 'migrated.db'}")
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.connect() as connection:
        found = differences(connection)
    engine.dispose()

    assert [] == found
    assert made(tmp_path / "made.db") == described(tmp_path / "migrated.db")


async def test_migrations_from_empty_equal_the_schema_on_postgresql(postgres: Server) -> None:
    async with fresh_database(postgres.dsn) as migrated, fresh_database(postgres.dsn) as empty:
        await migrate.upgrade(migrated)
        engine = on(migrated)
        async with engine.connect() as connection:
            found = await connection.run_sync(differences)
        await engine.dispose()

        assert [] == found
        assert await made_there(empty) == await described_there(migrated)


@pytest.fixture
def newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The newest migration, in a copy of all of them that a test may change."""
    here = tmp_path / "migrations"
    shutil.copytree(migrate.HERE, here, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(migrate, "HERE", here)
    return next((here / "versions").glob(f"{migrate.HEAD}_*.py"))


def test_the_newest_migration_is_the_one_a_start_looks_for() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrate.HERE))

    assert [migrate.HEAD] == ScriptDirectory.from_config(config).get_heads()


async def test_several_processes_may_start_on_an_empty_database_at_once(tmp_path: Path, postgres: Server) -> None:
    async with fresh_database(postgres.dsn) as dsn:
        for url in (f"sqlite:///{tmp_path / 'watchword.db'}", dsn):
            code = "import asyncio, sys; from watchword.store.migrate import upgrade; asyncio.run(upgrade(sys.argv[1]))"
            processes = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE) for _ in range(2)]
            told = [(await asyncio.to_thread(process.communicate))[1].decode()[-2000:] for process in processes]

            assert [0, 0] == [process.returncode for process in processes], told
            assert migrate.HEAD == await migrate.current(url)


async def test_a_migration_that_breaks_off_leaves_nothing(tmp_path: Path, postgres: Server, newest: Path) -> None:
    """A start that is killed half way must not make the next one fail on tables that are there already."""
    path = tmp_path / "watchword.db"
    whole = newest.read_text()
    async with fresh_database(postgres.dsn) as dsn:
        for url in (f"sqlite:///{path}", dsn):
            newest.write_text(whole + '    raise RuntimeError("broken off")\n')
            with pytest.raises(RuntimeError, match="broken off"):
                await migrate.upgrade(url)
            left = described(path) if url.startswith("sqlite") else await described_there(url)
            newest.write_text(whole)
            await migrate.upgrade(url)

            assert [] == left
            assert migrate.HEAD == await migrate.current(url)
