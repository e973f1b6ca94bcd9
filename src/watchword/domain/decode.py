"""Convert JSON values to structs, and report every fault of the input.

The fast way is one `msgspec.convert`. Only when that fails is the value gone through field by field to list all faults.
Strings annotated `Trimmed` lose surrounding white space before their limits are checked.
Of those annotated `{"joined": True}` an array of texts is taken too, as the list that it stands for (`lists.py`).
"""

import difflib
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cache
from itertools import islice
from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec

from watchword.domain.errors import Invalid, Issue
from watchword.domain.lists import joined
from watchword.domain.secret import decode_secret

T = TypeVar("T")
Trimmed = Annotated[str, msgspec.Meta(extra={"trim": True})]
Name = Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})]
MAX_DEPTH = 64
MAX_ISSUES = 100  # listed of one input
_MOST_UNKNOWN = 20  # of one input: to find what was meant by one takes a millisecond
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


class _Prepared(msgspec.Struct, frozen=True):
    """What is done to the value of a field before it is decoded."""

    name: str  # on the wire
    trims: bool
    joins: bool
    inner: type | None  # the struct inside that has such fields


@cache
def _trimming(kind: type) -> tuple[_Prepared, ...]:
    """The fields of a struct that are trimmed or joined, or hold structs that have such."""
    prepared = []
    for field in msgspec.structs.fields(kind):
        parts = _parts(field.type)
        inner = next((part for part in parts if isinstance(part, type) and issubclass(part, msgspec.Struct)), None)
        extra = [part.extra for part in parts if isinstance(part, msgspec.Meta) and part.extra]
        trims, joins = any(e.get("trim") for e in extra), any(e.get("joined") for e in extra)
        if trims or joins or (inner is not None and inner is not kind and _trimming(inner)):
            prepared.append(_Prepared(field.encode_name, trims, joins, inner))
    return tuple(prepared)


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
    for field in fields:
        name = field.name
        if name not in value:
            continue
        field_value = value[name]
        if field.trims and isinstance(field_value, str):
            trimmed: Any = field_value.strip()
        elif field.joins:
            trimmed = _join(field_value)
        elif field.inner is not None:
            trimmed = (
                [_trim(field.inner, item) for item in field_value]
                if isinstance(field_value, list)
                else _trim(field.inner, field_value)
            )
        else:
            continue
        if trimmed is not field_value:
            if changed is None:
                changed = dict(value)
            changed[name] = trimmed
    return value if changed is None else changed


def _join(value: Any) -> Any:
    """A list that may be sent as an array, or an object of such lists; the same object where there is no array."""
    if isinstance(value, list):
        return joined(value)
    if isinstance(value, dict) and any(isinstance(item, list) for item in value.values()):
        return {name: joined(item) for name, item in value.items()}
    return value


_PLACE = re.compile(r" - at `(?P<place>[^`]*)`$")
_EXPECTED = re.compile(r"Expected `(?P<expected>[^`]+)`(?:, got `(?P<received>[^`]+)`)?")
_BOUND = re.compile(r" (?P<side>[<>])=? (?P<limit>-?\d+)$")
_PATTERN = "matching regex"
_WIRE_TYPES = {"str": "string", "int": "number", "float": "number", "bool": "boolean", "null": "null"}


def _issues(kind: Any, value: Any, path: tuple[str | int, ...], *, strict: bool) -> Iterator[Issue]:
    struct = _struct_in(kind)
    if struct is not None and isinstance(value, Mapping):
        if struct.__struct_config__.forbid_unknown_fields:  # type: ignore[attr-defined]
            yield from islice(_unknown(struct, value, path, ()), _MOST_UNKNOWN)
        for field in _fields(struct):
            yield from _field_issues(field, value, path, strict=strict)
        return
    args = get_args(_list_in(kind)) if isinstance(value, list) else ()
    if args:
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
        issue = _issue(str(error), path)
        yield msgspec.structs.replace(issue, message=_pattern_of(kind)) if _PATTERN in issue.message else issue


def _pattern_of(kind: Any) -> str:
    """What a text with a pattern must be, in the words of its description."""
    metas = [part for part in _parts(kind) if isinstance(part, msgspec.Meta) and part.pattern is not None]
    return " ".join((meta.description or "").rstrip(".") for meta in metas)


_fields = cache(msgspec.structs.fields)


def _list_in(kind: Any) -> Any:
    """The list type of an annotation that may be bounded or optional; None where there is none, or several."""
    lists = [part for part in _parts(kind) if get_origin(part) in (list, tuple)]
    outer = [part for part in lists if not any(part in _parts(other)[1:] for other in lists)]
    return outer[0] if len(outer) == 1 else None


def _struct_in(kind: Any) -> type | None:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and not kind.__struct_config__.tag:
        return kind
    return None


def require_known(kind: type, value: Mapping[str, Any], *, also: Collection[str] = ()) -> None:
    """Raise Invalid, naming them, where `value` or an object in it has keys that the struct `kind` does not know.

    `also` are further keys of the outer object that are let through. Maps that are free to have any key are not looked
    into.
    """
    issues = list(islice(_unknown_inside(kind, value, (), also), _MOST_UNKNOWN))
    if issues:
        raise Invalid(issues)


def _unknown_inside(kind: Any, value: Any, path: tuple[str | int, ...], also: Collection[str] = ()) -> Iterator[Issue]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _unknown_inside(kind, item, (*path, i))
    elif isinstance(value, Mapping):
        struct = _struct_of(kind, value)
        if struct is None:
            return
        yield from _unknown(struct, value, path, also)
        for field in _fields(struct):
            if isinstance(value.get(field.encode_name), list | Mapping):
                yield from _unknown_inside(field.type, value[field.encode_name], (*path, field.encode_name))


def _struct_of(kind: Any, value: Mapping[str, Any]) -> type | None:
    """The struct among the parts of an annotation that an object is read as: the only one, or the one of its tag."""
    structs = [part for part in _parts(kind) if isinstance(part, type) and issubclass(part, msgspec.Struct)]
    for struct in structs:
        config = struct.__struct_config__
        if config.tag_field is None or value.get(config.tag_field) == config.tag:
            return struct
    return None


def _unknown(
    struct: type, value: Mapping[str, Any], path: tuple[str | int, ...], also: Collection[str]
) -> Iterator[Issue]:
    known = [field.encode_name for field in _fields(struct)]
    tag = struct.__struct_config__.tag_field  # type: ignore[attr-defined]
    for name in value:
        if name not in known and name != tag and name not in also:
            message = f"Unknown: {_nearest(str(name), known)}"
            yield Issue(code="unrecognized_keys", path=(*path, str(name)[:255]), message=message)


def _nearest(name: str, known: list[str]) -> str:
    """What was probably meant by an unknown name, else all that there is."""
    by_lower = {one.lower(): one for one in known}
    near = difflib.get_close_matches(name[:64].lower(), by_lower, n=1, cutoff=0.6)
    return f"did you mean {by_lower[near[0]]}?" if near else f"accepted here are {', '.join(sorted(known))}"


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


def checked(path: str | tuple[str | int, ...], read: Callable[[str], T], text: str) -> T:
    """`read(text)`; a ValueError becomes the refusal of the field `path`."""
    try:
        return read(text)
    except ValueError as error:
        raise Invalid.of(path, str(error)) from None
