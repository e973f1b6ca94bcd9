"""Records, rows and arguments made from annotations, so that a loop can visit every table, record and query
there is.
"""

import collections.abc
import importlib
import inspect
import pkgutil
import types
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec
from sqlalchemy import ColumnElement, true

import watchword.store
from watchword.domain.record import Record
from watchword.store.engine import Tx
from watchword.store.mapping import Mapper, Pauses

ENGINE = {"engine", "sqlite", "postgres", "journal", "cache", "migrate", "mapping", "schema", "versions"}
SEQUENCES = (
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
    tuple,
    list,
    frozenset,
    set,
)


def modules() -> list[ModuleType]:
    """The modules of queries."""
    found = pkgutil.walk_packages(watchword.store.__path__, "watchword.store.")
    names = [module.name for module in found if not module.ispkg and ".migrations." not in module.name]
    return [importlib.import_module(name) for name in names if name.rpartition(".")[2] not in ENGINE]


def mappers() -> dict[str, Mapper[Any]]:
    """One mapper for each table that has one, by the table's name."""
    return {
        value.table.name: value for module in modules() for value in vars(module).values() if isinstance(value, Mapper)
    }


def queries() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public function of a view or a unit."""
    for module in modules():
        for name, value in vars(module).items():
            if inspect.iscoroutinefunction(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield f"{module.__name__.rpartition('.')[2]}.{name}", value


def entries() -> Iterator[tuple[str, Any]]:
    """Every kind of journal entry."""
    for module in modules():
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__ and hasattr(value, "apply"):
                yield f"{module.__name__.rpartition('.')[2]}.{name}", value


def sample(annotation: Any, text: str = "1", *, empty: bool = False) -> Any:
    """A value of `annotation`. All text in it is `text`; with `empty`, what may be None or empty is."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return sample(args[0], text, empty=empty)
    if origin is Literal:
        return args[0]
    if origin in (Union, types.UnionType):
        return (
            None
            if empty and type(None) in args
            else sample(next(arg for arg in args if arg is not type(None)), text, empty=empty)
        )
    if origin in SEQUENCES:
        if origin is tuple and Ellipsis not in args:
            return tuple(sample(arg, text, empty=empty) for arg in args)
        items = [] if empty else [sample(args[0], text, empty=empty)]
        return tuple(items) if origin is tuple else items
    if origin in (dict, collections.abc.Mapping):
        return {} if empty else {text: sample(args[1], text, empty=empty)}
    return _plain(annotation, text, empty=empty)


class _Pauses:
    """Nobody waits in these tests."""

    async def give(self) -> None:
        return


def _plain(annotation: Any, text: str, *, empty: bool) -> Any:
    if annotation is bool:
        return not empty
    if annotation is str:
        return text
    if annotation is bytes:
        return text.encode()
    if annotation in (int, float, object, Any):
        return 1
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        hints = get_type_hints(annotation, include_extras=True)
        return annotation(**{name: sample(hints[name], text, empty=empty) for name in annotation.__struct_fields__})
    if isinstance(annotation, type) and issubclass(annotation, tuple):  # a named tuple
        return annotation(*[sample(hint, text, empty=empty) for hint in get_type_hints(annotation).values()])
    if annotation is Pauses:
        return _Pauses()
    if annotation == ColumnElement[bool]:
        return true()
    if getattr(annotation, "_is_protocol", False):
        return _asked(annotation, text, empty=empty)
    raise TypeError(f"no sample for {annotation}")


def _asked(protocol: Any, text: str, *, empty: bool) -> SimpleNamespace:
    """What a list is asked for, one level deep where a filter holds filters."""
    parameters = {}
    for name, value in vars(protocol).items():
        if isinstance(value, property):
            hint = get_type_hints(value.fget, vars(importlib.import_module(protocol.__module__)))["return"]
            nested = any(getattr(arg, "_is_protocol", False) for arg in get_args(hint))
            parameters[name] = () if nested else sample(hint, text, empty=empty)
    if "any_of" in parameters and not empty:
        parameters["any_of"] = (SimpleNamespace(**parameters),)
    if "order_by" in parameters:
        parameters["order_by"] = "role" if empty else "name"
    return SimpleNamespace(**parameters)


def record(kind: type[Record], text: str = "1", *, empty: bool = False, **fields: Any) -> Any:
    """A record whose fields are `text`, 1 or true."""
    return msgspec.structs.replace(sample(kind, text, empty=empty), **fields)


async def fill(tx: Tx, text: str = "1") -> None:
    """One row in every table that has a record: all ids and references are `text`. The caller raises the versions."""
    all_mappers = mappers()
    for table in next(iter(all_mappers.values())).table.metadata.sorted_tables:
        if table.name in all_mappers:
            mapper = all_mappers[table.name]
            await tx.count(mapper.INSERT, **mapper.values(record(mapper.record, text)))
