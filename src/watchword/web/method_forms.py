"""The forms of auth methods, made from their schemas: which fields there are, how they are filled, what they send.

A field of a configuration becomes a field of a form by its type; its words are those of the schema
(`methods.words.said`), and so is what is secret.
No method is named here, so one of another package has a form too.

    text, lines, secret, number, duration, tick, choice     one value
    list, networks                                          a text with one of them a line
    texts                                                   several texts of several lines, one field each
    rows                                                    pairs of names and values, one row each
    json                                                    an object that has no fields of its own
    variant                                                 one of several objects; each has fields of its own
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final, Literal, get_args, get_origin

import msgspec

from watchword.domain.errors import Invalid, Issue
from watchword.domain.lists import join_list, split_list, split_patterns
from watchword.domain.secret import Secret
from watchword.methods.base import EVERYWHERE, Schema, TrustedIp
from watchword.methods.words import extra_of, peeled, words_of_field
from watchword.services.authentication import method_bodies
from watchword.services.authentication.method_bodies import Method
from watchword.web.forms import Form, duration, duration_text

Kind = Literal[
    "text",
    "lines",
    "secret",
    "number",
    "duration",
    "tick",
    "choice",
    "list",
    "networks",
    "texts",
    "rows",
    "json",
    "variant",
    "fixed",
]
Group = Literal["method", "tokens", "lockout"]
_MISSING: Final = object()
_EVERYWHERE: Final = {network.ip_address for network in EVERYWHERE}
ANY_NETWORK: Final = "any"
TEMPLATE: Final = "templateId"  # the wire name of the template that some settings come from


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field of a form. `name` is its wire name, below another's after a dot."""

    name: str
    kind: Kind
    title: str
    help: str
    example: str
    group: Group
    section: str  # the heading that it stands below
    danger: str  # which value is dangerous, and why
    required: bool
    is_folded: bool
    takes_patterns: bool
    is_joined: bool  # a list that is one text on the wire
    takes_objects: bool  # of texts: a JSON object may stand in the place of one
    is_nullable: bool
    default: Any
    is_of_template: bool = False  # a template may hold it instead
    options: tuple[str, ...] = ()
    columns: tuple[str, str] = ("", "")  # of rows: the wire names of both values; empty for an object's name and value
    variants: Mapping[str, tuple["Field", ...]] = {}
    tag: str = ""


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """A field with what stands in it."""

    field: Field
    text: str = ""
    texts: Sequence[str] = ()
    rows: Sequence[tuple[str, str]] = ()
    is_on: bool = False
    is_set: bool = False  # a secret is stored, which cannot be shown
    variants: Mapping[str, Sequence["Filled"]] = {}

    @property
    def is_empty(self) -> bool:
        """Whether nothing stands in it that somebody chose."""
        return not (self.text.strip() or any(self.texts) or any(self.rows) or self.is_set)


@cache
def fields_of(method: Method) -> tuple[Field, ...]:
    """Return the fields of a method's whole configuration: its own first, in the order of its schema."""
    own = {field.encode_name for field in msgspec.structs.fields(method.config)}
    lockout = {field.encode_name for field in msgspec.structs.fields(method_bodies.LockoutFields)}
    fields = [_field(field, "") for field in msgspec.structs.fields(method_bodies.body(method))]
    own |= {field.encode_name for field in msgspec.structs.fields(method_bodies.TemplateField)}
    placed = [
        msgspec.structs.replace(
            field,
            group="method" if field.name in own else "lockout" if field.name in lockout else "tokens",
            is_of_template=field.name in method.template,
        )
        for field in fields
        if field.kind != "fixed" or field.options
    ]
    order = [field.encode_name for field in msgspec.structs.fields(method.config)]
    placed.sort(key=lambda field: order.index(field.name) if field.name in order else len(order))
    sections = list(dict.fromkeys(field.section for field in placed))
    return tuple(sorted(placed, key=lambda field: sections.index(field.section)))


def _field(field: Any, prefix: str) -> Field:
    metas, parts = peeled(field.type)
    extra, words = extra_of(metas), words_of_field(field)
    inner = [part for part in parts if part is not type(None)]
    default = _default(field)
    kind, more = _kind(inner, extra, prefix + field.encode_name)
    return Field(
        name=prefix + field.encode_name,
        kind=kind,
        title=words.title,
        help=words.help,
        example=words.example,
        group="method",
        section=words.section,
        danger=words.danger,
        required=default is _MISSING and kind not in ("rows", "tick", "list"),
        is_folded=bool(extra.get("is_folded")),
        takes_patterns=bool(extra.get("patterns")),
        is_joined=bool(extra.get("joined")),
        takes_objects=kind == "texts" and _takes_objects(inner),
        is_nullable=len(inner) < len(parts),
        default=None if default is _MISSING else default,
        **more,
    )


def _default(field: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return _MISSING
    return msgspec.to_builtins(value) if not isinstance(value, Secret) else ""


def _kind(parts: Sequence[Any], extra: Mapping[str, Any], name: str) -> tuple[Kind, dict[str, Any]]:
    if not parts:
        return "fixed", {}
    part = parts[0]
    structs = [each for each in parts if isinstance(each, type) and issubclass(each, msgspec.Struct)]
    if len(structs) > 1:
        variants = {
            str(each.__struct_config__.tag): tuple(_field(field, f"{name}.") for field in msgspec.structs.fields(each))
            for each in structs
        }
        tag = str(structs[0].__struct_config__.tag_field)
        return "variant", {"variants": variants, "options": tuple(variants), "tag": f"{name}.{tag}"}
    if get_origin(part) is Literal:
        options = tuple(str(option) for option in get_args(part))
        return ("choice" if len(options) > 1 else "fixed"), {"options": options}
    if part is Secret:
        return "secret", {}
    if part is bool:
        return "tick", {}
    if part is int:
        return ("duration" if extra.get("is_seconds") else "number"), {}
    if part is str:
        return ("list" if extra.get("joined") else "lines" if extra.get("lines") else "text"), {}
    if get_origin(part) is dict:
        return "rows", {}
    if get_origin(part) in (tuple, list):
        return _kind_of_items(get_args(part)[0])
    return "json", {}


def _kind_of_items(item: Any) -> tuple[Kind, dict[str, Any]]:
    metas, parts = peeled(item)
    if TrustedIp in parts:
        return "networks", {}
    if isinstance(parts[0], type) and issubclass(parts[0], Schema):
        names = [field.encode_name for field in msgspec.structs.fields(parts[0])]
        return ("rows", {"columns": (names[0], names[1])}) if len(names) == 2 else ("json", {})
    if str in parts:
        longest = max((meta.max_length or 0 for meta in metas), default=0)
        return ("texts" if len(parts) > 1 or longest == _LONG else "list"), {}
    return "json", {}


_LONG: Final = 16_384  # characters: texts that may be so long have several lines


def _takes_objects(parts: Sequence[Any]) -> bool:
    _, items = peeled(get_args(parts[0])[0])
    return any(get_origin(item) is dict or item is dict for item in items)


def filled(method: Method, stored: Mapping[str, Any] | None = None) -> list[Filled]:
    """Return the form of a stored configuration, by wire names, without its secrets; of a new one without `stored`."""
    return [_filled(field, stored or {}) for field in fields_of(method) if field.kind != "fixed"]


def _filled(field: Field, wire: Mapping[str, Any]) -> Filled:
    own = field.name.rpartition(".")[2]
    value = wire.get(own, field.default)
    if field.kind == "variant":
        held: Mapping[str, Any] = value or {}
        tag = field.tag.rpartition(".")[2]
        chosen = str(held.get(tag, field.options[0]))
        parts = {
            name: [_filled(part, held if name == chosen else {}) for part in parts]
            for name, parts in field.variants.items()
        }
        return Filled(field=field, text=chosen, variants=parts)
    if field.kind == "secret":
        return Filled(field=field, is_set=bool(wire.get(f"{own}IsSet")))
    if field.kind == "tick":
        return Filled(field=field, is_on=bool(value))
    if field.kind == "list":
        split = split_patterns if field.takes_patterns else split_list
        items = split(str(value or "")) if field.is_joined else tuple(value or ())
        return Filled(field=field, text="\n".join(items))
    if field.kind == "networks":
        return Filled(field=field, text="\n".join(_network(item) for item in value or ()))
    if field.kind == "texts":
        shown = [item if isinstance(item, str) else _json(item) for item in value or ()]
        return Filled(field=field, texts=shown or [""])
    if field.kind == "rows":
        return Filled(field=field, rows=_rows(field, value))
    if field.kind == "json":
        return Filled(field=field, text=_json(value) if value else "")
    if field.kind == "duration":
        return Filled(field=field, text="" if value is None else "0" if value == 0 else duration_text(int(value)))
    return Filled(field=field, text="" if value is None else str(value))


def _json(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _network(item: Mapping[str, Any]) -> str:
    address, prefix = str(item.get("ipAddress", "")), item.get("prefix")
    return address if prefix is None or "/" in address else f"{address}/{prefix}"


def _rows(field: Field, value: Any) -> list[tuple[str, str]]:
    if not value:
        return []
    if field.columns[0]:
        return [(str(item[field.columns[0]]), str(item[field.columns[1]])) for item in value]
    return [(str(name), str(text)) for name, text in value.items()]


def limits_of(items: Sequence[Filled]) -> str:
    """Return the limits of tokens as a text: those that limit something."""
    said = []
    for item in items:
        if item.field.group != "tokens" or item.text.strip() in ("", "0"):
            continue
        shown = ANY_NETWORK if set(item.text.split()) == _EVERYWHERE else ", ".join(item.text.split("\n"))
        said.append(f"{item.field.title}: {shown}")
    return ". ".join(said)


def sent(method: Method, form: Form, prefix: str = "") -> list[Filled]:
    """Return the form as somebody filled it, for being shown again."""
    return [_sent(field, form, prefix) for field in fields_of(method) if field.kind != "fixed"]


def _sent(field: Field, form: Form, prefix: str) -> Filled:
    name = prefix + field.name
    if field.kind == "variant":
        parts = {tag: [_sent(part, form, prefix) for part in parts] for tag, parts in field.variants.items()}
        return Filled(field=field, text=form[prefix + field.tag] or field.options[0], variants=parts)
    if field.kind == "secret":
        is_changed = bool(form[name].strip() or form[f"{name}.drop"])
        return Filled(field=field, is_set=bool(form[f"{name}.isSet"]), is_on=is_changed)
    if field.kind == "tick":
        return Filled(field=field, is_on=form[name] == "true")
    if field.kind == "texts":
        return Filled(field=field, texts=form.all(name) or [""])
    if field.kind == "rows":
        return Filled(field=field, rows=_form_rows(name, form))
    return Filled(field=field, text=form[name])


def differ(one: Sequence[Filled], other: Sequence[Filled]) -> bool:
    """Whether two fillings of the same form would send different settings; a secret that was typed is a difference."""
    return [_meant(item) for item in one] != [_meant(item) for item in other]


def _meant(item: Filled) -> tuple[Any, ...]:
    text = item.text.replace("\r\n", "\n").strip()
    rows = sorted((key.strip(), value.strip()) for key, value in item.rows if key.strip() or value.strip())
    texts = [part.replace("\r\n", "\n").strip() for part in item.texts if part.strip()]
    inner = [_meant(part) for part in item.variants.get(item.text, ())]
    return item.field.name, text, rows, texts, item.is_on, inner


def _form_rows(name: str, form: Form) -> list[tuple[str, str]]:
    return [(row[f"{name}.key"], row[f"{name}.value"]) for row in form.rows(f"{name}.key", f"{name}.value")]


def read(method: Method, form: Form, prefix: str = "") -> dict[str, Any]:
    """Return the configuration that a form holds, by wire names. Raises Invalid, naming each field with a fault.

    A secret that was left empty is not in it, so that what is stored stays.
    """
    has_template = bool(form[f"{prefix}{TEMPLATE}"].strip())
    fields = [field for field in fields_of(method) if not (has_template and field.is_of_template)]
    return _read(fields, form, prefix)


def template_fields(method: Method, items: Sequence[Filled]) -> list[Filled]:
    """Return of a filled form what a template of the method may hold."""
    return [item for item in items if item.field.name in method.template]


def read_template(method: Method, form: Form) -> dict[str, Any]:
    """Return the settings of a template that a form holds, by wire names. Raises Invalid, as `read` does."""
    return _read([field for field in fields_of(method) if field.is_of_template], form, "")


def _read(fields: Sequence[Field], form: Form, prefix: str) -> dict[str, Any]:
    wire: dict[str, Any] = {}
    faults: list[Issue] = []
    for field in fields:
        try:
            value = _value(field, form, prefix)
        except Invalid as refusal:
            faults += refusal.issues
            continue
        if value is not _MISSING:
            wire[field.name.rpartition(".")[2]] = value
    if faults:
        raise Invalid(faults)
    return wire


def _value(field: Field, form: Form, prefix: str) -> Any:
    name = prefix + field.name
    text = form[name].replace("\r\n", "\n")
    if field.kind == "fixed":
        return field.options[0]
    if field.kind == "variant":
        chosen = form[prefix + field.tag]
        if chosen not in field.variants:
            raise Invalid.of(field.name, f"One of {', '.join(field.options)}")
        return {field.tag.rpartition(".")[2]: chosen, **_read(field.variants[chosen], form, prefix)}
    if field.kind == "secret":
        is_dropped = field.is_nullable and form[f"{name}.drop"] == "true"
        return None if is_dropped else text.strip() or _MISSING
    if field.kind == "tick":
        return form[name] == "true"
    if field.kind == "list":
        items = [line.strip() for line in text.splitlines() if line.strip()]
        return _listed(field, items)
    if field.kind == "networks":
        return [{"ipAddress": line.strip()} for line in text.splitlines() if line.strip()]
    if field.kind == "texts":
        return [_text_item(field, item) for item in form.all(name)]
    if field.kind == "rows":
        return _row_values(field, _form_rows(name, form))
    return _plain(field, text)


def _listed(field: Field, items: Sequence[str]) -> Any:
    if not items and field.is_nullable:
        return None
    if not field.is_joined:
        return list(items)
    # A line of patterns may hold commas of its own only inside braces; it is taken as it is written.
    return ", ".join(items) if field.takes_patterns else join_list(items)


def _text_item(field: Field, text: str) -> Any:
    written = text.replace("\r\n", "\n")
    return _from_json(field, written) if field.takes_objects and written.strip().startswith("{") else written


def _row_values(field: Field, rows: Sequence[tuple[str, str]]) -> Any:
    for key, value in rows:
        if not key.strip() or not value.strip():
            missing = f"{key.strip()[:64]} has no value" if key.strip() else f"{value.strip()[:64]} has no name"
            raise Invalid.of(field.name, f"{missing}: fill it in, or remove the row")
    if not rows and field.is_nullable:
        return None
    if field.columns[0]:
        return [{field.columns[0]: key.strip(), field.columns[1]: value} for key, value in rows]
    values: dict[str, str] = {}
    for key, value in rows:
        if key.strip() in values:
            raise Invalid.of(field.name, f"{key.strip()[:64]} stands here twice: put its values into one row")
        values[key.strip()] = value.strip()
    return values


def _plain(field: Field, text: str) -> Any:
    cleaned = text if field.kind == "lines" else text.strip()
    if field.kind == "lines":
        cleaned = cleaned.strip() and cleaned
    if not cleaned:
        return _of_empty(field)
    if field.kind == "number":
        if not (cleaned.isascii() and cleaned.isdigit()):
            raise Invalid.of(field.name, "A whole number")
        return int(cleaned)
    if field.kind == "duration":
        return duration(cleaned, field.name)
    if field.kind == "json":
        return _from_json(field, cleaned)
    if field.kind == "choice" and cleaned not in field.options:
        raise Invalid.of(field.name, f"One of {', '.join(field.options)}")
    return cleaned


def _of_empty(field: Field) -> Any:
    if field.kind == "duration":
        raise Invalid.of(field.name, "Say how long, such as 30d, 12h or 15m; 0 is without end")
    if field.kind == "number":
        raise Invalid.of(field.name, "A whole number; 0 is without a limit")
    if field.required:
        raise Invalid.of(field.name, f"{field.title} is required")
    if field.is_nullable:
        return None
    return field.default or ("" if field.kind != "json" else None)


def _from_json(field: Field, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid.of(field.name, f"No JSON: {error}") from None
