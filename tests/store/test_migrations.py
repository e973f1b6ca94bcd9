"""Migrations from empty make exactly the tables of `schema.py`, on both engines, all or nothing."""

import asyncio
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
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
from watchword.store.authentication import credentials
from watchword.store.identities import identities
from watchword.store.postgres import PostgresStore
from watchword.store.schema import metadata
from watchword.store.sqlite import SqliteStore

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
    """Every table and index of a file, without what only differs in writing and in the order of columns and
    constraints.
    """
    with sqlite3.connect(path) as connection:
        rows = connection.execute(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'alembic%'"
        ).fetchall()
    connection.close()
    return sorted(
        " ".join(sorted(re.split(r"\s*,\s*|\s+(?=\))|(?<=\()\s+", re.sub(r"\s+", " ", row[0])))) for row in rows
    )


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


@pytest.fixture
def at_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Migrations end at the first one, until what this gives is called."""
    here, head = migrate.HERE, migrate.HEAD
    first = tmp_path / "first"
    shutil.copytree(here, first, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (first / "versions").glob("[0-9]*_*.py"):
        if not file.name.startswith("0001_"):
            file.unlink()
    monkeypatch.setattr(migrate, "HERE", first)
    monkeypatch.setattr(migrate, "HEAD", "0001")

    def all_of_them() -> None:
        monkeypatch.setattr(migrate, "HERE", here)
        monkeypatch.setattr(migrate, "HEAD", head)

    return all_of_them


FILLED = """
INSERT INTO organizations (id, name, slug, default_role, privilege_mode, requires_mfa, created_at, updated_at)
VALUES ('o', 'Acme', 'acme', 'member', 'subset', 0, 1, 1);
INSERT INTO identities (id, org_id, name, has_delete_protection, is_disabled, is_instance_admin, created_at, updated_at)
VALUES ('i', 'o', 'bot', 0, 0, 0, 1, 1);
INSERT INTO method_configs (id, identity_id, method, config, ttl, max_ttl, period, uses_limit, trusted_ips, lockout_enabled,
    lockout_threshold, lockout_duration, lockout_reset, created_at, updated_at)
VALUES ('c', 'i', 'universal-auth', '{}', 60, 60, 0, 0, '[]', 1, 3, 300, 30, 1, 1);
INSERT INTO revocations (key, identity_id, before, expires_at) VALUES ('method/i/universal-auth', 'i', 7, 9);
"""


async def test_a_database_of_the_first_version_keeps_what_is_in_it(
    tmp_path: Path, postgres: Server, at_the_first: Callable[[], None]
) -> None:
    path = tmp_path / "watchword.db"
    async with fresh_database(postgres.dsn) as dsn:
        for url in (f"sqlite:///{path}", dsn):
            await migrate.upgrade(url)
        with sqlite3.connect(path) as connection:
            connection.executescript(FILLED)
        connection.close()
        there = await asyncpg.connect(dsn)
        await there.execute(FILLED)
        await there.close()
        at_the_first()

        for store in (SqliteStore(path), PostgresStore(dsn)):
            await store.open()
            async with store.read() as tx:
                identity, config = await identities.by_id(tx, "i"), await credentials.config(tx, "i", "universal-auth")
                revocations = await credentials.revocations(tx, ["method/i/universal-auth"])
            await store.close()

            assert identity is not None
            assert config is not None
            assert (1, 0) == (identity.token_generation, identity.tokens_since)
            assert (0, None) == (config.tokens_since, config.longest_life)
            assert [7] == [one.before for one in revocations]
