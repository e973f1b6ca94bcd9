"""Bringing a database up to the tables this version needs, with Alembic.

Looking whether there is anything to do takes one query, so a start does not pay for Alembic when there is not.
"""

import asyncio
import sqlite3
from pathlib import Path

HERE = Path(__file__).parent / "migrations"
HEAD = max(file.name.partition("_")[0] for file in (HERE / "versions").glob("[0-9]*_*.py"))  # migrations are numbered in their order


async def upgrade(url: str) -> None:
    """Run the migrations that are missing. Safe for several processes at once."""
    if await current(url) == HEAD:
        return
    await asyncio.to_thread(_alembic_upgrade, url)


async def current(url: str) -> str | None:
    """The revision the database is at, or None for an empty one."""
    if url.startswith("sqlite:"):
        return _current_sqlite(Path(url.removeprefix("sqlite:///")))
    import asyncpg  # noqa: PLC0415 - only where PostgreSQL is used

    from watchword.store.engine import StoreDown  # noqa: PLC0415 - engine imports nothing of migrations, kept light

    try:
        connection = await asyncpg.connect(url, timeout=10)
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise StoreDown(f"cannot reach the database: {type(error).__name__}") from error
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            return None
        found: str | None = await connection.fetchval("SELECT version_num FROM alembic_version")
        return found
    finally:
        await connection.close()


def _current_sqlite(path: Path) -> str | None:
    if not path.exists():
        return None
    connection = sqlite3.connect(path)
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:
        return None
    finally:
        connection.close()
    return row[0] if row else None


def _alembic_upgrade(url: str) -> None:
    from alembic import command  # noqa: PLC0415 - slow to import, and seldom needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    command.upgrade(config, "head")
