"""Store and Tx: the interface to the database, the same for both engines.

A unit of work is `async with store.write() as tx:`; it commits when the block ends and is durable when the `async with`
statement is left. Statements are SQLAlchemy Core, compiled once for each dialect and run on the bare driver (measured:
a point read costs 7 us instead of 36 us on SQLite; docs/decisions/0001).
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeGuard

import msgspec
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Dialect, bindparam, func, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import ClauseElement, TableClause, visitors
from sqlalchemy.sql.dml import Insert, UpdateBase
from sqlalchemy.sql.elements import BindParameter
from sqlalchemy.types import Boolean, NullType

from watchword.domain.errors import BadRequest, Conflict, NotFound, Refusal, Unavailable
from watchword.store import constraints

Row = Sequence[Any]
Params = Mapping[str, Any]
Upsert = Callable[[TableClause], Any]  # `insert` of a dialect, which has `on_conflict_do_update` and `_do_nothing`


class ConstraintRefused(Exception):
    """A constraint refused a write.

    A service that expects it answers in its own words; `refusal` is the answer where none does.
    """

    def __init__(self, text: str, refusal: Refusal) -> None:
        super().__init__(text)
        self.refusal = refusal


class AlreadyThere(ConstraintRefused):
    """A unique index refused a row; `index` names it where the engine tells."""

    def __init__(self, index: str, table: str = "", columns: Sequence[str] = ()) -> None:
        super().__init__(index, Conflict(constraints.taken(table, columns) if table else ""))
        self.index = index


class StillNeeded(ConstraintRefused):
    """A foreign key refused a deletion, or points at something that is gone (`Gone`)."""

    def __init__(self, text: str, table: str = "") -> None:
        super().__init__(text, Conflict(constraints.needed(table) if table else ""))


class Gone(StillNeeded):
    """A row would belong to something that was deleted meanwhile."""

    def __init__(self, text: str, table: str = "", columns: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.refusal = NotFound(constraints.gone(table, columns))


class StoreDown(Unavailable):
    """The database does not answer. Nothing is answered from a cache that could not be checked."""

    default = "The database does not answer right now, try again"


class StoreFull(StoreDown):
    """The disk of the database is full: the unit was not written, and later ones are as soon as there is room."""

    default = (
        "The disk of the database is full or at its limit: nothing was written; make room, and writing goes on "
        "by itself"
    )


class Unusable(Exception):
    """The database cannot be used until somebody has done something about it.

    The text says what is wrong and what to do.
    """


class Unstorable(BadRequest):
    """A value that the database cannot hold: a zero character, a number beyond 64 bits."""

    default = "A value holds a character or a number that cannot be stored"


class Collision(StoreDown):
    """Two units waited for each other and this one gave way.

    Nothing of it was written, and it may be tried again at once.
    """

    default = "Another change at the same moment was in the way of this one: nothing was written, try again"


class ForgottenVersion(AssertionError):
    """A unit wrote to a cached table without `tx.changed(…)`: a bug, and the unit is rolled back."""


class AnyOf(ColumnElement[bool]):
    """`column IN (a list given at run time)` as one prepared statement on both engines."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, column: ColumnElement[Any], values: Any) -> None:
        self.column = column
        self.values = values

    def self_group(self, against: Any = None) -> "AnyOf":
        """The condition itself, without parentheses or a comparison around it.

        SQLAlchemy would write `… = 1` for an engine without booleans, and SQLite then reads the whole table.
        """
        del against
        return self


@compiles(AnyOf, "sqlite")
def _any_of_sqlite(element: AnyOf, compiler: Any, **options: Any) -> str:
    column, values = compiler.process(element.column, **options), compiler.process(element.values, **options)
    return f"{column} IN (SELECT value FROM json_each({values}))"  # noqa: S608 - a compiled column and the placeholder of a parameter


@compiles(AnyOf, "postgresql")
def _any_of_postgres(element: AnyOf, compiler: Any, **options: Any) -> str:
    return (
        f"{compiler.process(element.column, **options)} = ANY(CAST({compiler.process(element.values, **options)} "
        "AS TEXT[]))"
    )


def any_of(column: ColumnElement[Any], name: str) -> AnyOf:
    """The condition that `column` is in the list given as parameter `name`."""
    return AnyOf(column, bindparam(name))


def among(column: ColumnElement[Any], values: Sequence[str]) -> AnyOf:
    """The condition that `column` is in this list, however long. For statements that are made for one question."""
    return AnyOf(column, bindparam(None, list(values), NullType, unique=True))


class AnyPair(ColumnElement[bool]):
    """`(first, second) IN (pairs given at run time as two lists)` as one prepared statement on both engines."""

    inherit_cache = False
    type = Boolean()

    def __init__(self, first: ColumnElement[Any], second: ColumnElement[Any], firsts: str, seconds: str) -> None:
        self.parts: tuple[Any, ...] = (first, second, bindparam(firsts), bindparam(seconds))

    def self_group(self, against: Any = None) -> "AnyPair":
        """The condition itself, as in AnyOf."""
        del against
        return self


@compiles(AnyPair, "sqlite")
def _any_pair_sqlite(element: AnyPair, compiler: Any, **options: Any) -> str:
    first, second, firsts, seconds = [compiler.process(part, **options) for part in element.parts]
    pairs = f"json_each({firsts}) AS a JOIN json_each({seconds}) AS b ON a.key = b.key"
    return f"({first}, {second}) IN (SELECT a.value, b.value FROM {pairs})"  # noqa: S608 - as in AnyOf


@compiles(AnyPair, "postgresql")
def _any_pair_postgres(element: AnyPair, compiler: Any, **options: Any) -> str:
    first, second, firsts, seconds = [compiler.process(part, **options) for part in element.parts]
    # The planner knows how long an array is, and so that an index leads to the few rows it names.
    return f"({first}, {second}) IN (SELECT * FROM unnest(CAST({firsts} AS TEXT[]), CAST({seconds} AS TEXT[])))"  # noqa: S608


def any_pair(first: ColumnElement[Any], second: ColumnElement[Any], firsts: str, seconds: str) -> AnyPair:
    """The condition that two columns are a pair of the two lists given as parameters. For lists of some dozens."""
    return AnyPair(first, second, firsts, seconds)


class DatabaseNow(ColumnElement[int]):
    """The present time of the database's own clock, in milliseconds since the epoch."""

    inherit_cache = False
    type = BigInteger()


@compiles(DatabaseNow, "sqlite")
def _now_sqlite(element: DatabaseNow, compiler: Any, **options: Any) -> str:
    del element, compiler, options
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


@compiles(DatabaseNow, "postgresql")
def _now_postgres(element: DatabaseNow, compiler: Any, **options: Any) -> str:
    del element, compiler, options
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)"


class Compiled:
    """A statement as one engine runs it."""

    __slots__ = ("constants", "is_plain_insert", "order", "table", "text")

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = statement.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        self.text = str(compiled)
        self.order: tuple[str, ...] = tuple(getattr(compiled, "positiontup", None) or ())
        # What the statement itself says, NULL included; a parameter that is given at each run says nothing here.
        required = {name for name, bind in compiled.binds.items() if bind.required}  # type: ignore[attr-defined]
        self.constants = {name: value for name, value in compiled.params.items() if name not in required}
        self.table: str | None = statement.table.name if isinstance(statement, UpdateBase) else None  # type: ignore[union-attr]
        # A plain insert of whole rows may be sent as a bulk copy where the engine has one.
        plain = isinstance(statement, Insert) and statement._post_values_clause is None and not statement._returning  # noqa: SLF001
        self.is_plain_insert = plain and not self.constants

    def values(self, params: Params) -> list[Any]:
        """The values of all parameters in their order, those that the statement itself says among them."""
        values = {**self.constants, **params} if self.constants else params
        return [values[name] for name in self.order]


class Prepared:
    """A module-level statement: made when first used, compiled once for each engine and kept.

    `at_once`: an engine that is asked over a network may carry it out for many rows as one statement, in any order. No
    two of them may then name the same row.
    """

    __slots__ = ("_compiled", "_for_lists", "_made_for", "at_once")

    def __init__(self, made_for: Callable[[Dialect], ClauseElement], *, at_once: bool) -> None:
        self._made_for = made_for
        self.at_once = at_once
        self._compiled: dict[str, Compiled] = {}
        self._for_lists: dict[str, Compiled] = {}

    def on(self, dialect: Dialect) -> Compiled:
        """The statement for `dialect`."""
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = Compiled(self._made_for(dialect), dialect)
        return compiled

    def for_lists(self, dialect: Dialect) -> Compiled:
        """The statement for many rows: it takes a list for each parameter."""
        compiled = self._for_lists.get(dialect.name)
        if compiled is None:
            compiled = self._for_lists[dialect.name] = Compiled(_for_lists(self._made_for(dialect)), dialect)
        return compiled


def prepare(made: Callable[[], ClauseElement], *, at_once: bool = False) -> Prepared:
    """Name a statement at module level, so that it is made and compiled once: when it is first used.

    All of them together would take a twentieth of a start, and a server uses few of them in its first hour.
    """
    return Prepared(lambda _: made(), at_once=at_once)


def prepare_upsert(made_of: Callable[[Upsert], ClauseElement], *, at_once: bool = False) -> Prepared:
    """As `prepare`, for an insert with `ON CONFLICT`: `made_of` makes it of the insert of the engine that runs it.

    SQLAlchemy has one for each engine. So the dialect of the other engine is not imported, which takes time.
    """
    return Prepared(lambda dialect: made_of(_insert_of(dialect)), at_once=at_once)


def _insert_of(dialect: Dialect) -> Upsert:
    if dialect.name == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415

        return sqlite.insert
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415

    return postgresql.insert


def rows_given(types: Mapping[str, Any], name: str = "") -> Any:
    """A table of rows that are given as a list for each column: PostgreSQL's `unnest`.

    Parameters are called `<name>_<column>`.
    """
    lists = [bindparam(f"{name}_{column}" if name else column, type_=ARRAY(kind)) for column, kind in types.items()]
    return func.unnest(*lists).table_valued(*types).render_derived(name or None)


def _for_lists(statement: Any) -> ClauseElement:
    """An insert, update or delete with a table of given rows in the place of its parameters."""
    values = {
        str(getattr(name, "key", name)): value for name, value in (getattr(statement, "_values", None) or {}).items()
    }
    types: dict[str, Any] = {part.key: part.type for part in visitors.iterate(statement) if _is_given(part)}
    types |= {value.key: statement.table.c[name].type for name, value in values.items() if _is_given(value)}
    given_rows = rows_given(types)
    if isinstance(statement, Insert):
        from sqlalchemy.dialects.postgresql import insert  # noqa: PLC0415 - the one engine that gains by lists

        rows = insert(statement.table).from_select(
            list(values), select(*[given_rows.c[value.key] for value in values.values()])
        )
        rows._post_values_clause = statement._post_values_clause  # noqa: SLF001 - what is done on a conflict
        return rows

    def column(part: Any, **_: Any) -> Any:
        return given_rows.c[part.key] if _is_given(part) else None

    replace: Callable[..., ClauseElement] = visitors.replacement_traverse
    return replace(statement, {}, column)


def _is_given(part: Any) -> TypeGuard[BindParameter[Any]]:
    return isinstance(part, BindParameter) and part.required


class Write(msgspec.Struct, frozen=True):
    """A statement and the rows it is carried out for. `counts`: as `Tx.count`."""

    statement: Prepared
    rows: Sequence[Params]
    counts: bool = False


Statement = Prepared | ClauseElement


def compiled(statement: Statement, dialect: Dialect) -> Compiled:
    """`statement` ready to run; one that is made per call (a filtered list) is compiled per call."""
    return statement.on(dialect) if isinstance(statement, Prepared) else Compiled(statement, dialect)


class Tx(Protocol):
    """One unit of work, or one consistent view for reading."""

    async def one(self, statement: Statement, /, **params: Any) -> Row | None:
        """The first row, or None."""
        ...

    async def all(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        """Every row."""
        ...

    async def run(self, statement: Statement, /, **params: Any) -> int:
        """Carry out a write; how many rows it touched. Raises AlreadyThere, StillNeeded."""
        ...

    async def run_long(self, statement: Statement, /, **params: Any) -> int:
        """As `run`, for a statement that may touch very many rows, such as one that cascades.

        Only those who need the database wait for it.
        """
        ...

    async def many(self, statement: Statement, rows: Sequence[Params], /) -> None:
        """Carry out one write for each of `rows`.

        Several are one statement where the engine gains by it and the write allows it.
        """
        ...

    async def count(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        """Carry out a write that changes only counters and moments of last use.

        No cache holds these, so no version key is raised.
        """
        ...

    async def count_long(self, statement: Statement, /, **params: Any) -> None:
        """As `count`, for a statement that may touch very many rows.

        Only those who need the database wait for it.
        """
        ...

    async def count_many(self, statement: Statement, rows: Sequence[Params], /) -> None:
        """Carry out `count` once for each of `rows`; how many rows it touches does not matter."""
        ...

    async def together(self, writes: Sequence[Write], *, is_last: bool = False) -> None:
        """Carry out writes of which none reads what another one changes, in any order.

        They are one statement where the engine gains by it.

        `is_last`: the unit ends with them, so the version keys named until now may be raised in the same way.
        """
        ...

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        """The versions of `keys` as this view sees them."""
        ...

    def changed(self, *keys: str) -> None:
        """Name the version keys this unit changes; their rows are raised last, just before the commit."""
        ...


class Store(Protocol):
    """A database."""

    name: str
    is_inline: bool  # whether a statement keeps the event loop from everything else

    def read(self) -> AbstractAsyncContextManager[Tx]:
        """One consistent view; nothing may be written."""
        ...

    def survey(self) -> AbstractAsyncContextManager[Tx]:
        """One consistent view for statements that may look at very many rows: nobody else waits for them.

        Not for the cache.
        """
        ...

    def write(self) -> AbstractAsyncContextManager[Tx]:
        """One unit of work: all or nothing, durable when left."""
        ...

    async def once(self, statement: Statement, /, **params: Any) -> Sequence[Row]:
        """Carry out a unit of one statement that writes counters and logs only, as `Tx.count` does.

        It is all or nothing, and durable when answered.
        """
        ...

    async def versions(self, keys: tuple[str, ...]) -> tuple[int, ...]:
        """The version of each version key, by a read that began after this call (the read index)."""
        ...

    def cached(self) -> tuple[dict[str, int], int] | None:
        """All versions as they are after this call, and the version of every version key that is not among them.

        None where they are not in memory. They belong to the store; it may add later versions to them.
        """
        ...

    async def open(self) -> None:
        """Connect and bring the tables up to date."""
        ...

    async def check(self) -> None:
        """Raise StoreDown unless the database answers, and takes writes if the last one found its disk full."""
        ...

    async def close(self) -> None:
        """Close every connection and end every thread."""
        ...
