"""Convert JSON values to structs, and report every fault of the input.

The fast way is one `msgspec.convert`. Only when that fails is the value gone through field by field to list all faults.
Strings annotated `Trimmed` lose surrounding white space before their limits are checked.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from watchword.domain.errors import Invalid, Issue
from watchword.domain.secret import decode_secret

T = TypeVar("T")
Trimmed = Annotated[str, msgspec.Meta(extra={"trim": True})]
Name = Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})]
MAX_DEPTH = 64
MAX_ISSUES = 100  # listed of one input
_MOST_COUNTED = 1_000


def decode(kind: type[T], value: Any, *, strict: bool = True) -> T:
    """`value` as a `kind`. Lax for forms and queries, where numbers and flags travel as text.

    Raises Invalid with all faults.
    """
    value = _trim(kind, value)
    try:
        return msgspec.convert(value, kind, strict=strict, dec_hook=decode_secret)
    except (msgspec.ValidationError, ValueError, OverflowError):
        raise Invalid(_listed(_issues(kind, value, (), strict=strict))) from None


def _listed(issues: Iterator[Issue]) -> list[Issue]:
    """The first faults, and how many more there are.

    To find one may take a hundred times as long as it took to send it, so not all are looked for.
    """
    listed = list(islice(issues, MAX_ISSUES))
    more = sum(1 for _ in islice(issues, _MOST_COUNTED - MAX_ISSUES)) if len(listed) == MAX_ISSUES else 0
    if more:
        at_least = "at least " if more == _MOST_COUNTED - MAX_ISSUES else ""
        listed.append(
            Issue(code="custom", path=(), message=f"There are {at_least}{more} more faults than these {MAX_ISSUES}")
        )
    return listed or [Issue(code="custom", path=(), message="Invalid input")]


@cache
def _trimming(kind: type) -> tuple[tuple[str, bool, type | None], ...]:
    """The fields of a struct that are trimmed, or hold structs that have such: (wire name, trim it, struct inside)."""
    trimmed = []
    for field in msgspec.structs.fields(kind):
        inner = next(
            (part for part in _parts(field.type) if isinstance(part, type) and issubclass(part, msgspec.Struct)), None
        )
        trims = any(isinstance(part, msgspec.Meta) and (part.extra or {}).get("trim") for part in _parts(field.type))
        if trims or (inner is not None and inner is not kind and _trimming(inner)):
            trimmed.append((field.encode_name, trims, inner))
    return tuple(trimmed)


def _parts(annotation: Any) -> list[Any]:
    parts = [annotation]
    for arg in get_args(annotation):
        parts += _parts(arg)
    return parts


def _trim(kind: Any, value: Any) -> Any:
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct) and isinstance(value, dict)):
        return value
    fields = _trimming(kind)
    if not fields:
        return value
    changed: dict[str, Any] | None = None
    for name, trims, inner in fields:
        if name not in value:
            continue
        field_value = value[name]
        if trims and isinstance(field_value, str):
            trimmed: Any = field_value.strip()
        elif inner is not None:
            trimmed = (
                [_trim(inner, item) for item in field_value]
                if isinstance(field_value, list)
                else _trim(inner, field_value)
            )
        else:
            continue
        if trimmed is not field_value:
            if changed is None:
                changed = dict(value)
            changed[name] = trimmed
    return value if changed is None else changed


_PLACE = re.compile(r" - at `(?P<place>[^`]*)`$")
_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<received>[^`]+)`)?")
_BOUND = re.compile(r" (?P<side>[<>])=? (?P<limit>-?\d+)$")
_WIRE_TYPES = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "null": "null"}


def _issues(kind: Any, value: Any, path: tuple[str | int, ...], *, strict: bool) -> Iterator[Issue]:
    struct = _struct_in(kind)
    if struct is not None and isinstance(value, Mapping):
        for field in _fields(struct):
            yield from _field_issues(field, value, path, strict=strict)
        return
    args = get_args(kind)
    if isinstance(value, list) and args and get_origin(kind) in (list, tuple):
        is_found = False
        for i, item in enumerate(value):
            for issue in _issues(args[0], item, (*path, i), strict=strict):
                is_found = True
                yield issue
        if is_found:
            return
    try:
        msgspec.convert(value, kind, strict=strict, dec_hook=decode_secret)
    except (msgspec.ValidationError, ValueError, OverflowError) as error:
        yield _issue(str(error), path)


_fields = cache(msgspec.structs.fields)


def _struct_in(kind: Any) -> type | None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not kind.__struct_config__.tag:
        return kind
    return None


def _field_issues(
    field: Any, value: Mapping[str, Any], path: tuple[str | int, ...], *, strict: bool
) -> Iterator[Issue]:
    field_path = (*path, field.encode_name)
    if field.encode_name not in value:
        if field.required:
            yield Issue(
                code="invalid_type",
                path=field_path,
                message="Required",
                expected=_wire_type(field.type),
                received="undefined",
            )
        return
    yield from _issues(field.type, value[field.encode_name], field_path, strict=strict)


def _wire_type(kind: Any) -> str:
    for part in _parts(kind):
        if part is str:
            return "string"
        if part in (int, float):
            return "number"
        if part is bool:
            return "boolean"
    return "array" if any(get_origin(part) in (list, tuple) for part in _parts(kind)) else "object"


def _issue(text: str, path: tuple[str | int, ...]) -> Issue:
    place = _PLACE.search(text)
    if place:
        text = text[: place.start()]
        path = (*path, *_steps(place["place"]))
    expected = _EXPECTED.match(text)
    if expected and expected["received"]:
        return Issue(
            code="invalid_type",
            path=path,
            message=_sentence(text),
            expected=_WIRE_TYPES.get(expected["expected"], expected["expected"]),
            received=_WIRE_TYPES.get(expected["received"], expected["received"]),
        )
    bound = _BOUND.search(text)
    if bound:
        low = bound["side"] == ">"
        limit = int(bound["limit"])
        return Issue(
            code="too_small" if low else "too_big",
            path=path,
            message=_sentence(text),
            minimum=limit if low else None,
            maximum=None if low else limit,
        )
    return Issue(
        code="invalid_enum_value" if text.startswith("Invalid enum value") else "custom",
        path=path,
        message=_sentence(text),
    )


def _sentence(text: str) -> str:
    for python, wire in _WIRE_TYPES.items():
        text = text.replace(f"`{python}`", wire)
    return text


def _steps(place: str) -> list[str | int]:
    return [int(step) if step.isdigit() else step for step in re.findall(r"[^.$\[\]]+", place) if step != "..."]


def checked(path: str, read: Callable[[str], T], text: str) -> T:
    """`read(text)`; a ValueError becomes the refusal of the field `path`."""
    try:
        return read(text)
    except ValueError as error:
        raise Invalid.of(path, str(error)) from None
