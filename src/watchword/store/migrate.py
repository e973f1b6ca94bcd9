"""Bring a database to this version: make an empty one as it is now, migrate an older one; and inspect one.

Looking whether there is anything to do takes one query, so a start does not pay for Alembic when there is not.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec

from watchword.store.engine import StoreDown, StoreFull, Unusable

HERE = Path(__file__).parent / "migrations"
HEAD = max(
    file.name.partition("_")[0] for file in (HERE / "versions").glob("[0-9]*_*.py")
)  # migrations are numbered in their order
_WHOLE_CHECK = 16 << 20  # bytes: a file up to this size is checked from end to end, in some hundredths of a second
_ANSWER_WITHIN = 10  # seconds

SealedKey = tuple[str, int, bytes]  # scope, version, sealed


class DatabaseState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a database: its revision (None when it is empty or missing), and the sealed keys in it."""

    revision: str | None = None
    keys: Sequence[SealedKey] = ()

    def require_known(self, place: str) -> None:
        """Raise Unusable for a database of a later version."""
        known = {file.name.partition("_")[0] for file in (HERE / "versions").glob("[0-9]*_*.py")}
        if self.revision is not None and self.revision not in known:
            raise Unusable(
                f"The database {place} is at revision {self.revision}, and this version of Watchword knows revisions "
                f"up to {HEAD}: "
                "run the version that the database was migrated by, or restore a backup from before"
            )

    def require_current(self, place: str) -> None:
        """Raise Unusable unless the database is an instance of exactly this version."""
        if self.revision is None or not self.keys:
            raise Unusable(
                f"There is no instance in {place}: check the data directory or the address of the database, "
                "or begin one with `watchword serve` or `watchword bootstrap`"
            )
        if self.revision != HEAD:
            raise Unusable(
                f"The database {place} is at revision {self.revision}, and this version needs {HEAD}: run `watchword "
                "migrate`"
            )


async def upgrade(url: str) -> None:
    """Bring the database to this version. Safe for several processes at once. Raises Unusable, StoreDown."""
    state = await inspect(url)
    if state.revision == HEAD:
        return
    with translate_store_errors(url):
        if state.revision is None and url.startswith("sqlite:") and await asyncio.to_thread(_make_tables, url):
            return
        await asyncio.to_thread(_alembic_upgrade, url)


async def current(url: str) -> str | None:
    """The revision the database is at, or None for an empty one. Raises Unusable, StoreDown."""
    return (await inspect(url)).revision


async def inspect(url: str, *, whole: bool = False) -> DatabaseState:
    """The state of a database; nothing is made or changed. `whole`: a small file is also checked from end to end.

    Raises Unusable when it is damaged, no database of ours or of a later version, and StoreDown when it does not
    answer.
    """
    if url.startswith("sqlite:"):
        path = Path(url.removeprefix("sqlite:///"))
        with translate_store_errors(url):
            state = _inspect_file(path, whole=whole)
    else:
        with translate_store_errors(url):
            state = await _inspect_server(url)
    state.require_known(display_name(url))
    return state


def display_name(url: str) -> str:
    """The name of a database in messages: its file, or host, port and name without user and password."""
    if url.startswith("sqlite:"):
        return url.removeprefix("sqlite:///")
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
        return (
            f"{parts.path.removeprefix('/') or 'of the default name'} on {parts.hostname or 'the default host'}{port}"
        )
    except ValueError:
        return "of WATCHWORD_DATABASE_URL"


# --- SQLite


def _inspect_file(path: Path, *, whole: bool) -> DatabaseState:
    if not path.exists():
        return DatabaseState()
    if path.is_dir():
        raise Unusable(f"{path} is a directory where the database should be: move it away")
    # Not to be made if it vanishes meanwhile.
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, isolation_level=None)
    try:
        connection.execute("PRAGMA busy_timeout=10000")
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return DatabaseState()
        if "alembic_version" not in tables:
            raise Unusable(f"{path} is a database of another program: choose another data directory")
        if whole and path.stat().st_size <= _WHOLE_CHECK:
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()
            if verdict[0] != "ok":
                raise Unusable(_DAMAGED.format(path))
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return DatabaseState(
            revision=row[0] if row else None,
            keys=connection.execute(_INSTANCE_KEYS).fetchall() if "data_keys" in tables else (),
        )
    finally:
        connection.close()


def has_keys(path: Path) -> bool:
    """Whether a database file holds keys of an instance: one that is empty, or only migrated, does not.

    Raises Unusable, StoreDown.
    """
    url = f"sqlite:///{path}"
    with translate_store_errors(url):
        return bool(_inspect_file(path, whole=False).keys)


_INSTANCE_KEYS = "SELECT scope, version, sealed FROM data_keys WHERE scope LIKE 'instance/%' ORDER BY scope, version"
_DAMAGED = "The database {} is damaged: restore it from a backup"


# --- PostgreSQL


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Any]:
    import asyncpg  # noqa: PLC0415 - only where PostgreSQL is used

    connection = await asyncpg.connect(url, timeout=_ANSWER_WITHIN, command_timeout=_ANSWER_WITHIN)
    try:
        yield connection
    finally:
        await connection.close()


async def _inspect_server(url: str) -> DatabaseState:
    async with _connected(url) as connection:
        if await connection.fetchval("SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'"):
            raise Unusable(
                f"The database {display_name(url)} takes no writes (it is a standby, or read-only): "
                "give the address of the primary"
            )
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            if not await connection.fetchval(
                "SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
            ):
                raise Unusable(
                    f"The user of the database {display_name(url)} may not make tables: grant it CREATE on the schema"
                )
            return DatabaseState()
        revision = await connection.fetchval("SELECT version_num FROM alembic_version")
        if await connection.fetchval("SELECT to_regclass('data_keys')") is None:
            return DatabaseState(revision=revision)
        return DatabaseState(revision=revision, keys=[tuple(row) for row in await connection.fetch(_INSTANCE_KEYS)])


# --- what went wrong, in words


@contextmanager
def translate_store_errors(url: str) -> Iterator[None]:
    """Turn the errors of a driver into Unusable or StoreDown with a text that says what to do."""
    try:
        yield
    except (Unusable, StoreDown):
        raise
    except Exception as error:
        translated = translated_error(error, url)
        if translated is None:
            raise
        raise translated from error


def translated_error(error: BaseException, url: str) -> Exception | None:
    """A driver's error at the start as Unusable or StoreDown, or None for one that is no fault of the database."""
    original = getattr(error, "orig", None)  # SQLAlchemy's wrapper, within which is the adapter's
    causes: list[BaseException] = [
        cause for cause in (error, original, getattr(original, "__cause__", None)) if isinstance(cause, BaseException)
    ]
    for cause in causes:
        if isinstance(cause, sqlite3.Error):
            return _translated_sqlite_error(cause, Path(display_name(url)))
    if url.startswith("sqlite:"):
        return (
            StoreDown(f"The database {display_name(url)} cannot be opened: {error.strerror}")
            if isinstance(error, OSError)
            else None
        )
    import asyncpg  # noqa: PLC0415 - only where PostgreSQL is used

    for cause in causes:
        translated = _translated_postgres_error(cause, display_name(url), asyncpg)
        if translated is not None:
            return translated
    return None


def _translated_sqlite_error(error: sqlite3.Error, path: Path) -> Exception:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_NOTADB:
        return Unusable(
            f"{path} is not an SQLite database: choose another data directory, or restore the file from a backup"
        )
    if code == sqlite3.SQLITE_CORRUPT:
        return Unusable(_DAMAGED.format(path))
    if code == sqlite3.SQLITE_FULL:
        return StoreFull()
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
        return Unusable(
            f"{path} cannot be opened for writing ({error}): check who owns the file and its directory, and that the "
            "disk is writable"
        )
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreDown(f"Another process holds the database {path} and does not let go of it: end it, and try again")
    if code == sqlite3.SQLITE_IOERR:
        return StoreDown(f"The disk of the database {path} fails ({error}): check it and how full it is")
    return Unusable(f"The database {path} cannot be used: {error}")


def _translated_postgres_error(error: BaseException, name: str, asyncpg: Any) -> Exception | None:
    known: tuple[tuple[Any, str], ...] = (
        (
            asyncpg.InvalidAuthorizationSpecificationError,
            "PostgreSQL refuses the user or the password for the database {}: correct WATCHWORD_DATABASE_URL",
        ),
        (asyncpg.InvalidCatalogNameError, "There is no database {}: create it, or correct WATCHWORD_DATABASE_URL"),
        (
            asyncpg.InsufficientPrivilegeError,
            "The user of WATCHWORD_DATABASE_URL lacks rights in the database {}: grant it its tables and CREATE",
        ),
        (asyncpg.ReadOnlySQLTransactionError, "The database {} takes no writes: give the address of the primary"),
    )
    for kind, text in known:
        if isinstance(error, kind):
            return Unusable(text.format(name))
    if isinstance(error, asyncpg.DiskFullError):
        return StoreFull()
    if isinstance(error, asyncpg.TooManyConnectionsError):
        return StoreDown(
            f"PostgreSQL has no connection left for the database {name}: raise its max_connections, or lower "
            "WATCHWORD_DATABASE_POOL"
        )
    if isinstance(error, asyncpg.CannotConnectNowError):
        return StoreDown(f"PostgreSQL with the database {name} is just starting or stopping: try again in a moment")
    if isinstance(error, asyncpg.ClientConfigurationError):
        return Unusable("WATCHWORD_DATABASE_URL cannot be used: expected postgresql://user:password@host:port/database")
    if isinstance(error, TimeoutError):
        return StoreDown(
            f"PostgreSQL with the database {name} does not answer in time: is the host right, and let through by "
            "firewalls?"
        )
    if isinstance(error, OSError):
        return StoreDown(
            f"PostgreSQL with the database {name} cannot be reached: does it run, and are host and port in "
            "WATCHWORD_DATABASE_URL right?"
        )
    if isinstance(error, ValueError):
        return Unusable("WATCHWORD_DATABASE_URL cannot be used: expected postgresql://user:password@host:port/database")
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError):
        return StoreDown(f"PostgreSQL does not serve the database {name} ({type(error).__name__}): see its log")
    return None


def _make_tables(url: str) -> bool:
    """Make all tables of an empty SQLite database as they are now; False, and nothing is done, where there are any.

    The migrations make the same (tests/store/test_migrations.py), and take as long as the rest of a start.
    """
    from sqlalchemy import create_engine  # noqa: PLC0415 - a start seldom needs it

    from watchword.store.schema import metadata  # noqa: PLC0415

    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            for statement in ("PRAGMA busy_timeout=10000", "PRAGMA journal_mode=WAL", "BEGIN IMMEDIATE"):
                connection.exec_driver_sql(statement)
            if connection.exec_driver_sql("SELECT 1 FROM sqlite_master").first() is not None:
                connection.exec_driver_sql("ROLLBACK")  # another process was first
                return False
            metadata.create_all(connection, checkfirst=False)
            connection.exec_driver_sql(_ALEMBIC_TABLE)
            connection.exec_driver_sql("INSERT INTO alembic_version VALUES (?)", (HEAD,))
            connection.exec_driver_sql("COMMIT")
    finally:
        engine.dispose()
    return True


_ALEMBIC_TABLE = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL, "
    "CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num))"
)


def _alembic_upgrade(url: str) -> None:
    from alembic import command  # noqa: PLC0415 - slow to import, and seldom needed
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(HERE))
    config.attributes["url"] = url
    command.upgrade(config, "head")
