"""What people are told of auth methods and their settings: labels, help, examples, dangers, and how a proof is got.

The forms of the console, the reference, the OpenAPI document and the flags of the command are made from these words, so
a method brings its own in its own file.
"""

import re
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Union, get_args, get_origin

import msgspec

from watchword.domain.secret import Secret

Claims = Mapping[str, Any]
WHO: Final = "Who may log in"
TRUST: Final = "What is trusted"
NETWORKS: Final = "Networks"
TOKENS: Final = "Tokens"
LOCKOUT: Final = "Lockout"
PROOF: Final = "Proof"
MORE: Final = "More"

_HOLE: Final = re.compile(r"\{([A-Za-z]+)\}", re.ASCII)
_EVERYWHERE: Final = frozenset({"0.0.0.0/0", "::/0"})
_SHOWN: Final = 3  # values of a list that a sentence names
_LONGEST: Final = 160  # characters of one value in a sentence


def said(
    title: str,
    help: str = "",
    *,
    example: str = "",
    also: str = "",
    group: str = "",
    danger: str = "",
    secret: bool = False,
    is_folded: bool = False,
    lines: bool = False,
    is_seconds: bool = False,
) -> msgspec.Meta:
    """Return the words of a field, which the forms, the reference and the OpenAPI document show.

    `title` is its label, `help` what it means with its unit, `example` a value, `also` what only the reference says.
    `group` is the heading that it stands below. `danger` says which value is dangerous, and why. `secret`: whoever
    knows the value can log in or act with it, so it is never shown, stored in the clear or put back into a form.
    `is_folded`: few people need it. `lines`: it is a text of several lines. `is_seconds`: it is a duration, which forms
    take as `30d`.
    """
    shape = {"is_folded": is_folded, "lines": lines, "is_seconds": is_seconds, "secret": secret}
    words = {"help": help, "group": group, "danger": danger}
    return msgspec.Meta(
        title=title,
        description=" ".join(filter(None, (help, danger, also))) or None,
        examples=[example] if example else None,
        extra={**words, **{name: True for name, is_so in shape.items() if is_so}},
    )


class Guide(msgspec.Struct, frozen=True, kw_only=True):
    """What people are told of a method.

    `summary`: phrases of the sentence that says who logs in. `{boundIssuer}` is the value of a setting; a phrase whose
    settings are empty is left out, and of a tuple of phrases the first that is complete is taken.

    `obtain`: shell lines by which the workload gets its proof. They set a variable for each field of the login
    (`clientSecret` is `CLIENT_SECRET`); `{url}`, `{identity}` and settings are filled in.

    `variables`: the variables by which libraries find their proof, with values as in `obtain`; an empty value is a
    secret, to be pasted.

    `mistakes`: what usually goes wrong.

    `fills`: the settings that a token with these claims suggests; None for a token that is not for this method.
    `is_general`: it takes tokens of any kind, so that a method of their own kind comes first.
    """

    summary: tuple[str | tuple[str, ...], ...] = ()
    obtain: str = ""
    variables: tuple[tuple[str, str], ...] = ()
    mistakes: tuple[str, ...] = ()
    fills: "Callable[[Claims], Suggested | None] | None" = None
    is_general: bool = False


class Preset(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """A well-known place where workloads run: what its settings begin with, and what must not be left open there."""

    name: str  # "github", in a form
    place: str  # "GitHub Actions"
    where: str  # one line below it
    icon: str  # the name of an icon of lucide
    settings: Mapping[str, Any]  # by wire names; a claim with an empty value is one that must be filled in
    required: tuple[str, ...] = ()  # wire names of settings that must not be empty here
    snippet: str = ""  # what the workload's side does; `{audience}`, `{identity}` and `{url}` are filled in
    mistakes: tuple[str, ...] = ()  # what usually goes wrong there
    # Whether a token with these claims is of this place, what it suggests, and what is said of it.
    fills: "Callable[[Claims], Suggested | None] | None" = None


class Suggested(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a token suggests, and sentences about what is left out or changed on purpose."""

    settings: Mapping[str, Any]
    notes: Sequence[str] = ()


def sentence(guide: Guide, title: str, settings: Mapping[str, Any]) -> str:
    """Return one sentence that says who logs in with these settings, by wire names and without secrets."""
    phrases = [_first(phrase if isinstance(phrase, tuple) else (phrase,), settings) for phrase in guide.summary]
    text = ", ".join(filter(None, phrases)) or f"Whoever proves to be this identity by {title} logs in"
    return f"{text[:1].upper()}{text[1:]}."


def _first(phrases: Sequence[str], settings: Mapping[str, Any]) -> str:
    for phrase in phrases:
        values = {name: value_text(settings.get(name)) for name in _HOLE.findall(phrase)}
        if all(values.values()):
            return _HOLE.sub(lambda hole: values[hole[1]], phrase)  # noqa: B023 - used at once
    return ""


def value_text(value: Any) -> str:
    """Return a setting as a sentence names it: a list joined, claims as `name = value`; empty where nothing is set."""
    if value is None or value is False:
        return ""
    if isinstance(value, Mapping):
        if "ipAddress" in value:
            address, prefix = str(value["ipAddress"]), value.get("prefix")
            return address if prefix is None or "/" in address else f"{address}/{prefix}"
        if value.keys() == {"key", "value"}:
            return f"{value_text(value['key'])} = {value_text(value['value'])}"
        return _listed([f"{name} = {value_text(item)}" for name, item in value.items()])
    if isinstance(value, list | tuple):
        items = [value_text(item) for item in value]
        return "" if set(items) >= _EVERYWHERE else _listed(items)
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _listed(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_SHOWN])
    return shown if len(items) <= _SHOWN else f"{shown} and {len(items) - _SHOWN} more"


def audience_of(claims: Claims) -> str:
    """Return the audience of a token, the first of several; empty without one."""
    audience = claims.get("aud")
    if isinstance(audience, list):
        audience = next(iter(audience), "")
    return audience if isinstance(audience, str) else ""


def text_of(claims: Claims, name: str) -> str:
    """Return a claim as a text; empty where it is none."""
    value = claims.get(name)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """What the schema says of a field."""

    title: str
    help: str
    example: str
    section: str
    danger: str
    is_secret: bool
    has_lines: bool


def words_of_field(field: Any) -> Words:
    """Return the words of a field of a configuration or of a login. Without a title, its name is one."""
    metas, parts = peeled(field.type)
    extra = extra_of(metas)
    examples = next((meta.examples for meta in reversed(metas) if meta.examples), ())
    description = next((meta.description for meta in reversed(metas) if meta.description), "")
    return Words(
        title=next((meta.title for meta in reversed(metas) if meta.title), "") or words_of(field.encode_name),
        help=str(extra.get("help", description or "")),
        example=str(examples[0]) if examples else "",
        section=str(extra.get("group", "")),
        danger=str(extra.get("danger", "")),
        is_secret=bool(extra.get("secret")) or Secret in parts,
        has_lines=bool(extra.get("lines")),
    )


def extra_of(metas: Sequence[msgspec.Meta]) -> dict[str, Any]:
    """Return what is said of a field beside what JSON Schema knows, the outermost last."""
    return {key: value for meta in metas for key, value in (meta.extra or {}).items()}


def peeled(annotation: Any) -> tuple[list[msgspec.Meta], list[Any]]:
    """Return what is said of a type, and the types of which a value may be."""
    if get_origin(annotation) is Annotated:
        inner, *said = get_args(annotation)
        metas, parts = peeled(inner)
        return [*metas, *[item for item in said if isinstance(item, msgspec.Meta)]], parts
    if get_origin(annotation) in (Union, types.UnionType):
        found = [peeled(part) for part in get_args(annotation)]
        return [meta for metas, _ in found for meta in metas], [part for _, parts in found for part in parts]
    return [], [annotation]


def words_of(name: str) -> str:
    """The words of a wire name, for a field whose schema says no title: `allowedNames` is `Allowed names`."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in name)
    return spaced[:1].upper() + spaced[1:]
