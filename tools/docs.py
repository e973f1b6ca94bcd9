"""Write the pages of docs/reference from the code they are about; `--check` fails when a page is stale."""  # noqa: INP001

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, get_args

import click
import msgspec

from watchword.cli.main import main as command
from watchword.cli.options import is_secret
from watchword.domain import errors
from watchword.domain.access.abilities import BUILT_IN, SUBJECTS
from watchword.domain.secret import Secret
from watchword.http.routing import Route
from watchword.http.table import table
from watchword.methods import METHODS
from watchword.methods.words import sentence, words_of_field
from watchword.services.authentication.bearer import VerifiedTokens
from watchword.services.authentication.method_bodies import LockoutFields, Method, PeriodField, TokenFields
from watchword.settings import OPTIONS, Settings

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- Written by `make docs` from the code; a change by hand is lost. -->"


def page(title: str, about: str, body: Iterable[str]) -> str:
    """A whole page."""
    text = "\n".join([f"# {title}", "", NOTE, "", about, "", *body]).rstrip() + "\n"
    return re.sub(r"\n{3,}", "\n\n", text)


def rows(heads: Sequence[str], lines: Iterable[Sequence[str]]) -> list[str]:
    """A table."""
    found = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return [
        *found,
        *("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |" for line in lines),
    ]


def code(text: str) -> str:
    """Text as code, or nothing."""
    return f"`{text}`" if text else ""


def settings() -> str:
    """Every setting."""
    defaults = Settings()
    lines = []
    for option in OPTIONS:
        value = getattr(defaults, option.name)
        shown = "" if value in (None, "", ()) else ("yes" if value else "no") if isinstance(value, bool) else str(value)
        flag = "" if is_secret(option) else code("--" + option.name.replace("_", "-"))
        lines.append((code(option.variable), flag, code(shown), option.help))
    about = (
        "What counts, strongest first: the command line, the environment, the TOML file of `WATCHWORD_CONFIG_FILE` "
        "(names in small letters and without `WATCHWORD_`), the default.\n"
        "Secrets are never options of a command, because a command line can be read by every process.\n"
        "`watchword config check` prints what is in force and every fault at once."
    )
    return page("Settings", about, rows(("variable", "option of `serve`", "default", "meaning"), lines))


def api() -> str:
    """Every route, by area."""
    areas: dict[str, list[Route]] = {}
    for route in routes():
        areas.setdefault(route.area, []).append(route)
    body: list[str] = []
    for area, found in areas.items():
        body += ["", f"## {area.capitalize()}", ""]
        body += rows(
            ("request", "by", "what it does"),
            [(code(f"{r.method} {r.path}"), ", ".join(r.modes) or "anybody", r.summary) for r in found],
        )
    about = (
        "A running server shows the bodies as well: `/api/docs`, and as OpenAPI 3.1 `/api/docs/openapi.json`.\n"
        "**By**: the kinds of callers that a request takes; what they may do is decided by their roles."
    )
    return page("HTTP API", about, body)


def routes() -> tuple[Route, ...]:
    """The route table of a server with our own auth methods."""
    nobody: Any = None
    return table(METHODS, VerifiedTokens(nobody, 2))


def permissions() -> str:
    """Subjects, actions, condition fields, and what the built-in roles may."""
    body: list[str] = []
    for scope, subjects in SUBJECTS.items():
        lesser = [role for role in BUILT_IN[scope] if role.slug not in ("admin", "no-access")]
        body += ["", f"## In {'an' if scope[0] == 'o' else 'a'} {scope}", ""]
        lines = []
        for one in subjects.values():
            held = [_held(role.rules, one.name, one.actions) for role in lesser]
            lines.append((code(one.name), ", ".join(map(code, one.actions)), ", ".join(map(code, one.fields)), *held))
        body += rows(("subject", "actions", "conditions on", *(role.slug for role in lesser)), lines)
    about = (
        "A rule allows (or, inverted, denies) actions on a subject; conditions limit it to objects that meet all of "
        "them.\n"
        "Of the rules that fit a question the last one decides; none means no. Additional privileges come after "
        "roles.\n"
        "The built-in role `admin` may do every action of its scope, `no-access` none."
    )
    return page("Permissions", about, body)


def _held(rules: Sequence[Any], subject: str, actions: Sequence[str]) -> str:
    held = [action for rule in rules if rule.subject == subject for action in rule.actions]
    return "all" if set(held) == set(actions) else ", ".join(map(code, held))


def auth_methods() -> str:
    """What an administrator sets and a machine posts, for each method."""
    body: list[str] = []
    for title, kind in (
        ("Settings that every method has", TokenFields),
        ("Settings of tokens that can be renewed without end", PeriodField),
        ("Settings about failed logins", LockoutFields),
    ):
        body += ["", f"## {title}", "", *_fields(kind)]
    for method in METHODS:
        body += method_section(method)
    about = (
        "Every method has the same routes: `POST`, `PATCH`, `GET` and `DELETE "
        "/api/v1/auth/<slug>/identities/<identity id>`.\n"
        "Secrets are write-only: a reading shows them empty, and `<name>IsSet`.\n"
        "A list of who may log in that is empty does not restrict; `warnings` of an answer (`code`, `field`, "
        "`message`) says when nothing else does."
    )
    return page("Auth methods", about, body)


def method_section(method: Method) -> list[str]:
    """The section of one method."""
    module = inspect.getmodule(method.config)
    about = (inspect.getdoc(module) or "").partition("\n\n")[0].replace("\n", " ")
    named = {field.encode_name: code(field.encode_name) for field in msgspec.structs.fields(method.config)}
    body = [
        "",
        f"## {method.title}",
        "",
        about,
        "",
        f"Slug `{method.slug}`; a reply wraps the settings in `{method.wrapper}`.",
        "",
        f"Who logs in: {sentence(method.guide, method.title, named)}",
        "",
    ]
    body += ["### Settings", "", *_fields(method.config)]
    if method.login is not None:
        body += ["", f"### `POST /api/v1/auth/{method.slug}/login`", "", *_fields(method.login)]
    if method.guide.obtain:
        body += ["", "How the workload gets its proof:", "", "```bash", method.guide.obtain, "```"]
    if method.guide.mistakes:
        body += ["", "What usually goes wrong:", "", *[f"- {text}" for text in method.guide.mistakes]]
    for preset in method.presets:
        body += ["", f"### {preset.place}", "", *[f"- {text}" for text in preset.mistakes]]
        body += ["", "```", preset.snippet.rstrip(), "```"]
    return body


def _fields(kind: type[Any]) -> list[str]:
    fields = msgspec.structs.fields(kind)
    if not fields:
        return ["None of its own."]
    lines = []
    for field in fields:
        words = words_of_field(field)
        default = "" if field.default is msgspec.NODEFAULT else _literal(field.default)
        kind_of_value = "required" if field.required else default
        type_ = _type(field.type)
        type_ = f"{type_}, secret" if words.is_secret and "secret" not in type_ else type_
        meaning = _meaning(field.type)
        lines.append((code(field.encode_name), words.section, type_, kind_of_value, meaning, code(words.example)))
    return rows(("field", "about", "type", "default", "meaning", "example"), lines)


def _meaning(annotation: Any) -> str:
    """What the schema says of a field: its title and description, of which the outermost count."""
    metas = [arg for arg in _parts(annotation) if isinstance(arg, msgspec.Meta)]
    title = next((meta.title for meta in reversed(metas) if meta.title), "")
    text = next((meta.description for meta in reversed(metas) if meta.description), "")
    return f"{title}. {text}".strip(". ") + "." if title or text else ""


def _parts(annotation: Any) -> list[Any]:
    args = get_args(annotation)
    return [part for arg in args for part in ([arg] if isinstance(arg, msgspec.Meta) else _parts(arg))]


def _literal(value: Any) -> str:
    if value is msgspec.NODEFAULT or value is None:
        return ""
    return code(msgspec.json.encode(value, enc_hook=lambda _: "").decode())


def _type(annotation: Any) -> str:
    args = get_args(annotation)
    names = {
        str: "text",
        int: "number",
        bool: "true or false",
        float: "number",
        Secret: "secret text",
        type(None): "null",
        dict: "object",
    }
    if annotation in names:
        return names[annotation]
    if getattr(annotation, "__origin__", None) in (tuple, list, Sequence):
        return f"list of {_type(args[0])}" if args else "list"
    if getattr(annotation, "__origin__", None) is dict:
        return "object"
    if args and all(isinstance(arg, str) for arg in args):
        return ", ".join(map(code, args))
    if args:
        return " or ".join(dict.fromkeys(_type(arg) for arg in args if not isinstance(arg, msgspec.Meta)))
    return (
        "object"
        if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct)
        else str(getattr(annotation, "__name__", annotation))
    )


def cli() -> str:
    """Every command with its options."""
    body: list[str] = []
    for path, one in _commands(command, ("watchword",)):
        body += ["", f"## {' '.join(path)}", "", inspect.cleandoc(one.help or ""), ""]
        options = [
            item for item in one.params if isinstance(item, click.Option) and not (item.name or "").startswith("set_")
        ]
        given = [item for item in one.params if isinstance(item, click.Argument)]
        lines = [(code(item.human_readable_name.upper()), "") for item in given]
        lines += [(", ".join(map(code, item.opts)), item.help or "") for item in options]
        body += rows(("option", "meaning"), lines) if lines else []
        taken = [item.opts[0] for item in one.params if (item.name or "").startswith("set_")]
        if taken:
            named = "every setting that is no secret" if len(taken) > 5 else ", ".join(map(code, taken))
            body += ["", f"Takes settings as options: {named} ([settings](settings.md))."]
    about = (
        "`--output json` makes an answer one JSON object, and faults one on standard error.\n"
        "Exit codes: 0 done, 1 refused or failed, 2 wrong settings or options, 3 the root key does not open the "
        "database, "
        "4 the database cannot be used: it does not answer, is damaged, full, of a later version, or there is none."
    )
    return page("The command", about, body)


def _commands(group: click.Command, path: tuple[str, ...]) -> Iterable[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(group, click.Group):
        yield path, group
        return
    context = click.Context(group)
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        if found is not None:
            yield from _commands(found, (*path, name))


def refusals() -> str:
    """Every error the API answers."""
    found = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.Refusal)]
    lines = [
        (str(kind.status), code(kind.name), (inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " "))
        for kind in sorted(found, key=lambda kind: (kind.status, kind.name))
        if kind is not errors.Refusal
    ]
    about = (
        "Every refusal is JSON: `{reqId, statusCode, message, error}`, where it helps with `details`.\n"
        "`message` says what the caller can do; of a 422 it is a list of all faults, each with its `path`.\n"
        "`reqId` names the request in the logs, and a refused login in the [audit log](../how-to/find-out-why.md)."
    )
    return page("Errors", about, rows(("status", "`error`", "meaning"), lines))


def audit_events() -> str:
    """Every event that the code can write."""
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / "src" / "watchword").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in ("audit", "audit_read", "event")
                and node.args
            ):
                name = _event(node.args[0])
                if name:
                    keys = {word.arg for word in node.keywords if word.arg} - {"org_id", "project_id", "actor"}
                    found.setdefault(name, set()).update(keys)
    lines = [(code(name), ", ".join(code(key) for key in sorted(found[name]))) for name in sorted(found)]
    about = (
        "Written in the transaction of what they tell of; readings follow within 100 ms, or before the answer with "
        "`WATCHWORD_AUDIT_READS=strict`.\n"
        "`<method>` is the slug of an [auth method](auth-methods.md), `<verb>` is create, update or delete (add and "
        "revoke of a method).\n"
        "Metadata of which only parts are fixed is not listed in full."
    )
    return page("Audit events", about, rows(("event", "metadata, among others"), lines))


def _event(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value if "-" in node.value else ""
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(part.value) if isinstance(part, ast.Constant) else _hole(part) for part in node.values)
        return text if "-" in text else ""
    return ""


def _hole(node: ast.expr) -> str:
    inner = node.value if isinstance(node, ast.FormattedValue) else node
    name = inner.attr if isinstance(inner, ast.Attribute) else inner.id if isinstance(inner, ast.Name) else "name"
    return "<method>" if name in ("slug", "method") else f"<{name}>"


PAGES: dict[str, Callable[[], str]] = {
    "settings.md": settings,
    "api.md": api,
    "permissions.md": permissions,
    "auth-methods.md": auth_methods,
    "cli.md": cli,
    "errors.md": refusals,
    "audit-events.md": audit_events,
}


def main() -> int:
    """Write the pages, or say which are stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 when a page is stale")
    check: bool = parser.parse_args().check
    stale = []
    for name, make in PAGES.items():
        text, path = make(), FOLDER / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    if stale:
        print(f"{'Stale, run `make docs`' if check else 'Written'}: {', '.join(stale)}")  # noqa: T201 - it is a command
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main())
