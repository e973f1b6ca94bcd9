"""An act of a page as text: the same as calls of the API, and as Terraform where the provider has it.

Beside the handler of a form stands the function that says what the form's act is as a `Text`. What is secret never
stands in it: a variable does, which is asked for when the lines are run.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import msgspec

_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\-_:\[\]]+(?:/[A-Za-z0-9.\-_/]*)?")
_LABEL: Final = re.compile(r"[^a-z0-9]+")


class Var(msgspec.Struct, frozen=True):
    """A variable that stands for a value: one that is secret, or one that an earlier call answers."""

    name: str


class Raw(msgspec.Struct, frozen=True):
    """An expression of Terraform, such as `infisical_identity.deploy.id`."""

    text: str


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of the API. `gives`: a variable that its answer fills, and where that stands in it, as jq names it."""

    title: str
    method: str
    path: str
    body: Mapping[str, Any] | None = None
    gives: tuple[str, str] | None = None


class Resource(msgspec.Struct, frozen=True, kw_only=True):
    """A resource of the Terraform provider. `lacking`: what was chosen in the form and the provider has no name for."""

    kind: str
    label: str
    arguments: Mapping[str, Any]
    lacking: Sequence[str] = ()


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """An act as text."""

    title: str
    calls: Sequence[Call]
    resources: Sequence[Resource] = ()


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """One way to write an act, as it is shown."""

    slug: str
    title: str
    text: str


def sent(body: msgspec.Struct) -> dict[str, Any]:
    """The body that says what a struct says, without what is so by default."""
    whole: Mapping[str, Any] = msgspec.to_builtins(body)
    defaults = {field.encode_name: field.default for field in msgspec.structs.fields(body)}
    return {name: value for name, value in whole.items() if value != defaults[name]}


def path_to(template: str, *values: str | Var) -> str:
    """A path whose `{}` stand for these values."""
    parts = [f"${value.name}" if isinstance(value, Var) else quote(value, safe="") for value in values]
    return template.format(*parts)


def label(name: str) -> str:
    """A name as Terraform may call a resource."""
    text = _LABEL.sub("_", name.lower()).strip("_")[:60]
    return text if text and not text[0].isdigit() else f"r_{text}".rstrip("_")


def forms_of(text: Text, origin: str) -> Sequence[Written]:
    """The ways in which an act can be written."""
    found = [Written(slug="api", title="API call", text=shell(text.calls, origin))]
    if text.resources:
        found.append(Written(slug="terraform", title="Terraform", text=terraform(text.resources)))
    return found


def shell(calls: Sequence[Call], origin: str) -> str:
    """Calls as lines for a shell, with curl and jq."""
    base = origin if _ORIGIN.fullmatch(origin) else "$WATCHWORD_URL"
    given = {call.gives[0] for call in calls if call.gives}
    secret = dict.fromkeys(var.name for call in calls for var in _vars(call.body) if var.name not in given)
    lines = [f"read -rs {name}   # type or paste it: nothing is echoed" for name in secret]
    for call in calls:
        lines.append(f"# {_one_line(call.title)}")
        lines.append(_curl(call, base))
    return "\n".join(lines)


def _curl(call: Call, base: str) -> str:
    parts = [
        f'curl -fsS -X {call.method} "{base}{call.path}" \\',
        '  -H "Authorization: Bearer $WATCHWORD_TOKEN"',
    ]
    if call.body is not None:
        parts[-1] += " \\"
        parts += ["  -H 'Content-Type: application/json' \\", f"  --data {_data(call.body)}"]
    text = "\n".join(parts)
    return f"{call.gives[0]}=$({text} | jq -r '{call.gives[1]}')" if call.gives else text


def _data(body: Mapping[str, Any]) -> str:
    variables = list(dict.fromkeys(var.name for var in _vars(body)))
    if not variables:
        return _quoted(json.dumps(body, indent=2, ensure_ascii=False))
    names = {name: name.lower() for name in variables}
    text = json.dumps(_marked(body), indent=2, ensure_ascii=False)
    for name, own in names.items():
        text = text.replace(json.dumps(_mark(name)), f"${own}")
    given = " ".join(f'--arg {own} "${name}"' for name, own in names.items())
    return f'"$(jq -n {given} {_quoted(text)})"'


def _mark(name: str) -> str:
    return f"\x00{name}\x00"  # no field of a form has a zero character


def _marked(value: Any) -> Any:
    if isinstance(value, Var):
        return _mark(value.name)
    if isinstance(value, Mapping):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_marked(item) for item in value]
    return value


def _vars(value: Any) -> Iterable[Var]:
    if isinstance(value, Var):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _vars(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _vars(item)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


def _one_line(text: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def terraform(resources: Sequence[Resource]) -> str:
    """Resources as a file of Terraform."""
    secret = dict.fromkeys(var.name for one in resources for var in _vars(one.arguments))
    blocks = [f'variable "{name.lower()}" {{\n  type      = string\n  sensitive = true\n}}' for name in secret]
    for one in resources:
        width = max(map(len, one.arguments), default=0)
        lines = [f"  {name.ljust(width)} = {_hcl(value, 2)}" for name, value in one.arguments.items()]
        if one.lacking:
            lines.append(f"  # Set over the API: the provider has no argument for {', '.join(one.lacking)}")
        blocks.append("\n".join([f'resource "{one.kind}" "{one.label}" {{', *lines, "}"]))
    return "\n\n".join(blocks)


def _hcl(value: Any, indent: int) -> str:
    if isinstance(value, Raw):
        return value.text
    if isinstance(value, Var):
        return f"var.{value.name.lower()}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, Mapping):
        inside = " " * (indent + 2)
        rows = [f"{inside}{_key(key)} = {_hcl(item, indent + 2)}" for key, item in value.items()]
        return "\n".join(["{", *rows, " " * indent + "}"]) if rows else "{}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_hcl(item, indent) for item in value)}]"
    return _hcl_text(str(value))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[a-z_][a-z0-9_]*", name) else _hcl_text(name)


def _hcl_text(text: str) -> str:
    written = json.dumps(text, ensure_ascii=False).replace("\\b", "\\u0008").replace("\\f", "\\u000c")
    return written.replace("${", "$${").replace("%{", "%%{")
