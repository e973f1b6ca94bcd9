"""Migrations from empty make exactly the tables of `schema.py`, on both engines, all or nothing."""

import asyncio
import contextlib
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, select
from sqlalchemy.ext.asyncio import create_async_engine

from tests.postgres import Server, fresh_database
from tests.store import samples
from watchword.store import migrate
from watchword.store.authentication import method_configs, token_revocations
from watchword.store.engine import Store, StoreDown, Unusable
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
    await asyncio.to_thread(step, f"sqlite:///{tmp_path / 'migrated.db'}", "head")
    engine = create_engine(f"sqlite:///{tmp_path / 'migrated.db'}")
    with engine.connect() as connection:
        found = differences(connection)
    engine.dispose()

    assert [] == found
    assert made(tmp_path / "made.db") == described(tmp_path / "migrated.db")


async def test_an_empty_file_gets_the_tables_that_the_migrations_make_at_once(tmp_path: Path) -> None:
    path = tmp_path / "watchword.db"
    await asyncio.to_thread(step, f"sqlite:///{tmp_path / 'migrated.db'}", "head")
    await migrate.upgrade(f"sqlite:///{path}")
    await migrate.upgrade(f"sqlite:///{path}")
    versions = []
    for file in (path, tmp_path / "migrated.db"):
        with contextlib.closing(sqlite3.connect(file)) as connection:
            table = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'alembic_version'").fetchone()[0]
            row, mode = (
                connection.execute("SELECT * FROM alembic_version").fetchall(),
                connection.execute("PRAGMA journal_mode").fetchone(),
            )
            versions.append((" ".join(table.split()).replace("( ", "(").replace(" )", ")"), row, mode))

    assert described(tmp_path / "migrated.db") == described(path)
    assert versions[1] == versions[0]


async def test_tables_that_are_not_all_made_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start that is killed half way must not make the next one fail on tables that are there already."""
    path = tmp_path / "watchword.db"
    monkeypatch.setattr(migrate, "_ALEMBIC_TABLE", "CREATE TABLE")
    with pytest.raises((StoreDown, Unusable)):
        await migrate.upgrade(f"sqlite:///{path}")
    left = described(path)
    monkeypatch.undo()
    await migrate.upgrade(f"sqlite:///{path}")

    assert [] == left
    assert migrate.HEAD == await migrate.current(f"sqlite:///{path}")


async def test_tables_that_another_process_made_meanwhile_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "watchword.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (id)")

    assert not migrate._make_tables(f"sqlite:///{path}")
    assert ["CREATE TABLE theirs (id)"] == described(path)


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
                await asyncio.to_thread(step, url, "head")
            left = described(path) if url.startswith("sqlite") else await described_there(url)
            newest.write_text(whole)
            await migrate.upgrade(url)

            assert [] == left
            assert migrate.HEAD == await migrate.current(url)


# --- filled databases of every version ---

FILLED = Path(__file__).parent / "filled"  # what each version adds, as that version wrote it
VERSIONS = sorted(file.name.partition("_")[0] for file in (migrate.HERE / "versions").glob("[0-9]*_*.py"))
Content = dict[str, list[dict[str, Any]]]  # rows by table


def step(url: str, version: str) -> None:
    """Migrate to this version and no further."""
    config = Config()
    config.set_main_option("script_location", str(migrate.HERE))
    config.attributes["url"] = url
    command.upgrade(config, version)


async def fill(url: str, statements: str) -> None:
    if url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.execute("PRAGMA foreign_keys = ON")
            file.executescript(statements)
        return
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(re.sub(r"\bx'([0-9a-f]+)'", r"'\\x\1'", statements))
    finally:
        await connection.close()


async def content(url: str) -> Content:
    if url.startswith("sqlite:"):
        with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            file.row_factory = sqlite3.Row
            tables = [row[0] for row in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {name: [dict(row) for row in file.execute(f'SELECT * FROM "{name}"')] for name in tables}
    connection = await asyncpg.connect(url)
    try:
        tables = [
            row[0] for row in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        ]
        return {name: [dict(row) for row in await connection.fetch(f'SELECT * FROM "{name}"')] for name in tables}
    finally:
        await connection.close()


def store_at(url: str) -> Store:
    return SqliteStore(Path(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:") else PostgresStore(url)


def difference(before: Content, after: Content) -> list[str]:
    """The rows that are not there any more as they were, and those of 'gone' owners that still are."""
    found = []
    for table in before.keys() & metadata.tables.keys():
        key = [column.name for column in metadata.tables[table].primary_key]
        there = {tuple(row[name] for name in key): row for row in after[table]}
        for row in before[table]:
            now = there.get(tuple(row[name] for name in key))
            if any(isinstance(value, str) and "gone" in value for value in row.values()):
                found += [f"{table}: still there: {now}"] if now is not None else []
            elif now is None or any(now[name] != row[name] for name in now.keys() & row.keys()):
                found.append(f"{table}: {row} became {now}")
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def server(request: pytest.FixtureRequest) -> str:
    """The address of a PostgreSQL, or none for SQLite."""
    return request.getfixturevalue("postgres").dsn if request.param == "postgresql" else ""


@contextlib.asynccontextmanager
async def filled(versions: Sequence[str], server: str, tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    """The addresses of filled databases of these first versions, by version: each is a copy of the one before,
    migrated, with rows of its own.
    """
    found = {}  # type: ignore[var-annotated]
    async with contextlib.AsyncExitStack() as databases:
        template = "template0"
        for version in versions:
            if server:
                url = await databases.enter_async_context(fresh_database(server, template))
                template = urlsplit(url).path[1:]
            else:
                path = tmp_path / f"{version}.db"
                if found:
                    shutil.copy(max(tmp_path.glob("*.db")), path)
                url = f"sqlite:///{path}"
            await asyncio.to_thread(step, url, version)
            await fill(url, (FILLED / f"{version}.sql").read_text())
            found[version] = url
        yield found


def test_every_version_of_the_tables_has_rows_of_its_own() -> None:
    """A migration comes with `filled/<version>.sql`: rows as the server of that version writes them."""
    assert VERSIONS == sorted(file.stem for file in FILLED.glob("*.sql"))


async def test_a_filled_database_of_every_version_keeps_what_is_in_it(server: str, tmp_path: Path) -> None:
    async with filled(VERSIONS, server, tmp_path) as databases:
        for version, url in databases.items():
            before = await content(url)
            store = store_at(url)
            await store.open()
            async with store.read() as tx:
                for mapper in samples.mappers().values():
                    mapper.every(await tx.all(select(*mapper.columns)))
            await store.close()
            after = await content(url)

            assert [] == difference(before, after), f"upgraded from {version}"

    assert metadata.tables.keys() <= {name for name, rows in after.items() if rows}


async def test_what_migrations_add_says_of_older_rows_what_was_so_before(server: str, tmp_path: Path) -> None:
    async with filled(["0001"], server, tmp_path) as databases:
        store = store_at(databases["0001"])
        await store.open()
        async with store.read() as tx:
            identity, config = await identities.by_id(tx, "i1"), await method_configs.config(tx, "i1", "universal-auth")
            revocations = await token_revocations.by_keys(tx, ["method/i1/universal-auth"])
        await store.close()
        rows = await content(databases["0001"])

    assert identity is not None
    assert config is not None
    assert (1, 0) == (identity.token_generation, identity.tokens_since)
    assert (0, None) == (config.tokens_since, config.longest_life)
    assert [7] == [one.before for one in revocations]
    assert [(1, None)] == [(row["times"], row["last_at"]) for row in rows["denials"]]
    assert [None] == [row["given_by"] for row in rows["one_time_tokens"]]
    for table in ("client_secrets", "service_tokens", "invitations", "one_time_tokens"):
        assert [1] == [row["hash_version"] for row in rows[table]]
