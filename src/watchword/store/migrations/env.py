"""Alembic's entry: runs the migrations on either engine, one process at a time."""

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, create_engine, text

from watchword.store.schema import metadata

_LOCK = 0x57617463  # an advisory lock of PostgreSQL: two starting servers must not both migrate


def _run(connection: Connection) -> None:
    options: dict[str, Any] = {"render_as_batch": False}
    context.configure(connection=connection, target_metadata=metadata, **options)
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        context.run_migrations()


async def _postgres(url: str) -> None:
    import asyncpg  # noqa: PLC0415 - only where PostgreSQL is used
    from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415
    from sqlalchemy.pool import NullPool  # noqa: PLC0415

    # The driver itself reads the address: SQLAlchemy does not know all that it may say (`?sslmode=require`).
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url, timeout=10), poolclass=NullPool
    )
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_run)
    finally:
        await engine.dispose()


def _sqlite(url: str) -> None:
    # The driver would commit before each statement that changes a table; so transactions are ours: all or nothing, one
    # at a time.
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout=10000")
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql("BEGIN IMMEDIATE")
            _run(connection)
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()


_url: str = context.config.attributes["url"]
if _url.startswith("sqlite:"):
    _sqlite(_url)
else:
    asyncio.run(_postgres(_url))
