"""Records and rows: what is stored is what is read, for every record on both engines."""

import contextlib
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from sqlalchemy import BigInteger, LargeBinary, SmallInteger, Text, delete, select

from tests.store import samples
from watchword.domain.record import Record
from watchword.store import schema
from watchword.store.engine import AlreadyThere, Store

THERE = "of the row that is there"  # longer than any text that is drawn, so that no key is there twice
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=12)
WHOLE = st.integers(-(2**63), 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Any value of a record's field."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(args)
    if origin is tuple:
        return st.lists(values(args[0]), max_size=3).map(tuple) if Ellipsis in args else st.tuples(*map(values, args))
    if origin is dict:
        return st.dictionaries(TEXTS, values(args[1]), max_size=3)
    if args and (origin is Union or type(None) in args):
        return st.none() | st.one_of([values(arg) for arg in args if arg is not type(None)])
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        hints = get_type_hints(annotation)
        return st.builds(annotation, **{name: values(hints[name]) for name in annotation.__struct_fields__})
    return {str: TEXTS, int: WHOLE, bool: st.booleans(), bytes: st.binary(max_size=20), object: JSON}[annotation]


class Undo(Exception):
    """Leave the unit and take everything back."""


@pytest.fixture
async def filled(store: Store) -> Store:
    """A store with one row in every table."""
    async with store.write() as tx:
        await samples.fill(tx, THERE)
        tx.changed("everything")
    return store


@pytest.mark.parametrize("table", sorted(samples.mappers()))
@settings(max_examples=6)
@given(data=st.data())
async def test_a_record_is_read_as_it_was_stored(filled: Store, table: str, data: st.DataObject) -> None:
    mapper = samples.mappers()[table]
    drawn = data.draw(values(mapper.record))
    parents = {
        column.name: THERE
        for column in mapper.table.columns
        if column.foreign_keys and getattr(drawn, column.name) is not None
    }
    record = msgspec.structs.replace(drawn, **parents)
    key = list(mapper.table.primary_key.columns)
    read: list[Record] = []

    with contextlib.suppress(Undo):
        async with filled.write() as tx:
            if all(column.name in parents for column in key):
                await tx.run(delete(mapper.table))  # one row for each parent, and the parent that is there has its own
            try:
                await tx.run(mapper.INSERT, **mapper.values(record))
            except AlreadyThere:
                reject()  # the numbers of the row that is there, drawn by chance
            mine = [column == mapper.values(record)[column.name] for column in key]
            read = mapper.every(await tx.all(select(*mapper.columns).where(*mine)))
            raise Undo

    assert [record] == read


def test_a_mapper_reads_a_record_out_of_the_middle_of_a_row() -> None:
    mapper = samples.mappers()["roles"]
    record = samples.record(mapper.record)
    row = ["before", *mapper.values(record).values(), "after"]

    assert record == mapper.read(row, 1)
    assert mapper.first(None) is None


def test_every_column_has_a_type_that_both_drivers_give_back_as_they_took_it() -> None:
    odd = [
        str(column)
        for table in schema.metadata.tables.values()
        for column in table.columns
        if type(column.type) not in (Text, BigInteger, SmallInteger, LargeBinary)
    ]

    assert [] == odd


@pytest.mark.parametrize("table", sorted(samples.mappers()))
def test_a_record_has_exactly_the_columns_of_its_table_and_is_optional_where_they_are(table: str) -> None:
    mapper = samples.mappers()[table]
    hints = get_type_hints(mapper.record)
    optional = {name for name, hint in hints.items() if type(None) in get_args(hint)}

    assert {column.name for column in mapper.table.columns} == set(mapper.record.__struct_fields__)
    assert {column.name for column in mapper.table.columns if column.nullable} == optional
    assert {column.name for column in mapper.table.columns if column.info.get("json")} == {
        name for name, hint in hints.items() if is_nested(hint)
    }


def is_nested(hint: Any) -> bool:
    return get_origin(hint) in (tuple, dict) or (isinstance(hint, type) and issubclass(hint, msgspec.Struct))
