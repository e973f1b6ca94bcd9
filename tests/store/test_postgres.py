"""What becomes of every error of PostgreSQL and of its client, wherever it is raised: never a 500 that is not
our own bug.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import insert, select

from watchword.domain.errors import Refusal
from watchword.store.engine import ConstraintRefused, StoreDown, prepare
from watchword.store.postgres import PostgresStore, _translate
from watchword.store.schema import metadata

# A statement that is wrong, or a row that we should not have made: the classes of such are the only ones that stay what
# they are.
OURS = (
    "03",
    "09",
    "0A",
    "0B",
    "0F",
    "0L",
    "0P",
    "0Z",
    "10",
    "20",
    "21",
    "23",
    "24",
    "25",
    "27",
    "2B",
    "2D",
    "2F",
    "34",
    "38",
    "39",
    "3B",
    "3F",
    "42",
    "44",
    "54",
    "55",
    "HV",
    "P0",
)
NOT_OURS = ("0A000 InvalidCached", "25P03", "25P04", "25006", "42501", "42P05", "55000", "55006", "55P03")


def every(kind: type[BaseException]) -> Iterator[type[BaseException]]:
    yield kind
    for child in kind.__subclasses__():
        yield from every(child)


KINDS = [
    *dict.fromkeys(
        one
        for root in (asyncpg.PostgresError, asyncpg.InternalClientError, asyncpg.InterfaceError)
        for one in every(root)
    )
]
CLIENT = [
    OSError("x"),
    TimeoutError(),
    ConnectionResetError(),
    BrokenPipeError(),
    EOFError(),
    asyncio.IncompleteReadError(b"", 1),
]


def test_every_error_of_the_driver_becomes_a_refusal_or_is_ours() -> None:
    left = {}
    for kind in KINDS:
        told = _translate(kind("x"))
        if not isinstance(told, Refusal | ConstraintRefused):
            left[f"{getattr(kind, 'sqlstate', None) or '-'} {kind.__name__}"] = told

    assert len(KINDS) > 200
    assert [] == [name for name in left if not name.startswith(OURS) and name != "- PostgresError"]
    assert [] == [name for name in left if name.startswith(NOT_OURS)]
    assert [StoreDown] * len(CLIENT) == [type(_translate(error)) for error in CLIENT]


class Breaking:
    """A connection of the pool that raises `error` when `place` is called, and otherwise is the real one."""

    def __init__(self, real: Any, place: str, error: BaseException) -> None:
        self._real, self._place, self._error = real, place, error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    async def execute(self, text: str, *values: Any) -> Any:
        kind = text if text in ("COMMIT", "ROLLBACK") else "begin" if text.startswith("BEGIN") else "execute"
        if kind == self._place or (kind == "ROLLBACK" and self._place == "rollback"):
            raise self._error
        return await self._real.execute(text, *values)

    async def fetch(self, text: str, *values: Any) -> Any:
        if self._place == "fetch":
            raise self._error
        return await self._real.fetch(text, *values)


class BreakingPool:
    def __init__(self, real: Any, place: str, error: BaseException) -> None:
        self._real, self._place, self._error = real, place, error

    async def acquire(self, **options: Any) -> Any:
        if self._place == "acquire":
            raise self._error
        return Breaking(await self._real.acquire(**options), self._place, self._error)

    async def release(self, connection: Breaking) -> None:
        await self._real.release(connection._real)
        if self._place == "release":
            raise self._error


VERSIONS = metadata.tables["versions"]
_ALL = prepare(lambda: select(VERSIONS.c.n))
_ADD = prepare(lambda: insert(VERSIONS))
ERRORS = [
    asyncpg.InternalClientError("got result for unknown protocol state 3"),
    asyncpg.ConnectionDoesNotExistError("x"),
    asyncpg.InterfaceError("another operation is in progress"),
    asyncpg.AdminShutdownError("x"),
    asyncpg.InternalServerError("x"),
    asyncpg.UnknownPostgresError("x"),
    asyncpg.InvalidCachedStatementError("x"),
    *CLIENT,
]


@pytest.mark.parametrize("place", ["acquire", "begin", "fetch", "execute", "COMMIT", "rollback", "release"])
async def test_wherever_the_driver_fails_it_is_a_database_that_does_not_answer(postgres_dsn: str, place: str) -> None:
    store = PostgresStore(postgres_dsn)
    await store.open()
    real, found = store._pool, []
    try:
        for number, error in enumerate(ERRORS):
            store._pool = BreakingPool(real, place, error)
            try:
                async with store.write() as tx:
                    await tx.count(_ALL)
                    await tx.count_many(_ADD, [{"key": f"{place} {number}", "n": 1}])
                    if place == "execute":
                        await tx._connection.execute("SELECT 1")  # type: ignore[attr-defined]
                    if place == "rollback":
                        raise LookupError("the unit's own")
                found.append("done")
            except StoreDown:
                found.append("down")
            except LookupError:
                found.append("its own")
        store._pool = real
        async with store.write() as tx:
            await tx.count(_ALL)  # the next unit works
    finally:
        store._pool = real
        await store.close()

    assert {{"release": "done", "rollback": "its own"}.get(place, "down")} == set(found)
