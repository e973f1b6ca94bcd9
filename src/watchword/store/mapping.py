"""Convert rows to records and back: one Mapper for each table, made from the record's annotations."""

from collections.abc import Callable, Sequence
from typing import Any, Generic, Protocol, TypeVar, get_args, get_type_hints

import msgspec
from sqlalchemy import ColumnElement, Table, bindparam, insert

from watchword.domain.record import Record
from watchword.store.engine import Row, prepare

R = TypeVar("R", bound=Record)
T = TypeVar("T")
_PIECE = 100  # rows
_encode = msgspec.json.Encoder().encode


def _decoder(annotation: Any, *, is_json: bool) -> Callable[[Any], Any] | None:
    if is_json:
        return msgspec.json.Decoder(annotation).decode
    if annotation is bool:
        return bool
    if bool in get_args(annotation):
        return lambda value: None if value is None else bool(value)
    if bytes in get_args(annotation) or annotation is bytes:
        return lambda value: None if value is None else bytes(value)
    return None


class Pauses(Protocol):
    """Let others go first now and then while many rows are read."""

    async def give(self) -> None:
        """Let others go first, if this work has taken long."""


async def in_pieces(rows: Sequence[Row], read: Callable[[Row], T], pauses: Pauses | None) -> list[T]:
    """The value that `read` makes of each row; between some of them others may go first."""
    if pauses is None or len(rows) <= _PIECE:
        return [read(row) for row in rows]
    values: list[T] = []
    for start in range(0, len(rows), _PIECE):
        values += [read(row) for row in rows[start : start + _PIECE]]
        await pauses.give()
    return values


class Mapper(Generic[R]):
    """Convert rows of `table` to records, and records to parameters. Column names are field names."""

    def __init__(self, record: type[R], table: Table) -> None:
        hints = get_type_hints(record)
        names = record.__struct_fields__
        self.record = record
        self.table = table
        self.columns: tuple[ColumnElement[Any], ...] = tuple(table.c[name] for name in names)
        self._names = names
        self._json = {name for name in names if table.c[name].info.get("json")}
        self._flags = {name for name in names if hints[name] is bool or bool in get_args(hints[name])}
        decoders = [(i, name, _decoder(hints[name], is_json=name in self._json)) for i, name in enumerate(names)]
        self._converted = tuple((i, name, decode) for i, name, decode in decoders if decode)
        self.INSERT = prepare(lambda: insert(table).values({name: bindparam(name) for name in names}))

    def read(self, row: Row, start: int = 0) -> R:
        """The record whose columns begin at `start` in `row`."""
        fields = dict(zip(self._names, row[start : start + len(self._names)], strict=False))
        for _, name, decode in self._converted:
            fields[name] = decode(fields[name])
        return self.record(**fields)

    def decoded(self, name: str, value: Any) -> Any:
        """The value of a record's field for this value of its column."""
        return next((decode(value) for _, column, decode in self._converted if column == name), value)

    def first(self, row: Row | None) -> R | None:
        """The record of an optional row."""
        return None if row is None else self.read(row)

    def every(self, rows: Sequence[Row]) -> list[R]:
        """The records of all rows."""
        return [self.read(row) for row in rows]

    def values(self, record: R) -> dict[str, Any]:
        """The parameters that store `record`."""
        fields = msgspec.structs.asdict(record)
        for name in self._json:
            fields[name] = _encode(fields[name]).decode()
        for name in self._flags:
            fields[name] = None if fields[name] is None else int(fields[name])
        return fields

    def encoded(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Field values as the drivers take them: JSON as text, flags as 0 and 1."""
        return {
            name: _encode(value).decode()
            if name in self._json
            else int(value)
            if value is True or value is False
            else value
            for name, value in fields.items()
        }
