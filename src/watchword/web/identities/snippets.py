"""What the workload's side does, as text to copy: a preset's own words, a login by the API, the command, variables.

Everything is made from the method: the fields of its login, the lines by which a workload gets its proof, the variables
that libraries read. A value goes into a line of a shell only where it can mean nothing but itself there.
"""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_origin

import msgspec

from watchword.domain.lists import split_list
from watchword.domain.secret import Secret
from watchword.methods.words import Preset, peeled, words_of_field
from watchword.services.authentication.method_bodies import Method
from watchword.web.identities.tiles import Tile

_SAFE: Final = re.compile(r"[\w.:/@*,+=~-]{1,500}", re.ASCII)
_HOLE: Final = re.compile(r"\{([A-Za-z]+)\}", re.ASCII)


class Snippet(msgspec.Struct, frozen=True):
    """Lines to copy, with a title."""

    title: str
    text: str


def snippets(
    origin: str,
    method: Method,
    identity_id: str,
    settings: Mapping[str, Any],
    *,
    tile: Tile | None = None,
    project_id: str = "",
) -> list[Snippet]:
    """Return the ways for a workload to log in and read secrets, the one that fits its place best first."""
    values = _values(origin, method, identity_id, settings)
    locator = str(settings.get(method.locator, "")) if method.locator else ""
    found = [
        Snippet("With curl", login_snippet(origin, method, identity_id, locator, settings)),
        Snippet("With the command", command_snippet(origin, method, identity_id, settings, project_id)),
        Snippet("For a library, as variables", _variables(origin, method, values)),
    ]
    if tile is not None and tile.snippet:
        found.insert(0, Snippet(f"In {tile.place}", _filled(tile.snippet, values)))
    return found


def obtained(origin: str, tile: Tile) -> str:
    """Return the workload's side of a place before the identity is there; empty where nothing is to be done."""
    text = tile.snippet or tile.method.guide.obtain
    return _filled(text, {"url": origin, "identity": "<identity>", "audience": origin})


def obtained_by(origin: str, method: Method, identity_id: str, settings: Mapping[str, Any]) -> str:
    """Return the lines by which the workload of an identity gets its proof; empty where it is a stored secret.

    Where the settings are those of a well-known place, they are its lines.
    """
    preset = next((preset for preset in method.presets if _is_of(preset, settings)), None)
    text = preset.snippet if preset is not None and preset.snippet else method.guide.obtain
    return _filled(text, _values(origin, method, identity_id, settings))


def _is_of(preset: Preset, settings: Mapping[str, Any]) -> bool:
    fixed = {name: value for name, value in preset.settings.items() if isinstance(value, str)}
    return bool(fixed) and all(settings.get(name) == value for name, value in fixed.items())


def _values(origin: str, method: Method, identity_id: str, settings: Mapping[str, Any]) -> dict[str, str]:
    values = {name: _first(value) for name, value in settings.items()}
    audience = values.get(method.audience, "") if method.audience else ""
    return {**values, "url": origin, "identity": identity_id, "audience": audience or origin}


def _first(value: Any) -> str:
    """The first of several values of a setting; empty for one that is no text."""
    if isinstance(value, list | tuple):
        value = value[0] if value else ""
    return next(iter(split_list(value)), "") if isinstance(value, str) else ""


def _filled(text: str, values: Mapping[str, str]) -> str:
    def filled(hole: re.Match[str]) -> str:
        name = hole[1]
        if name not in values:
            return hole[0]
        value = values[name]
        return value if not value or _SAFE.fullmatch(value) else f"<{name}>"

    return _HOLE.sub(filled, text)


def _variable(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def secret_field(method: Method) -> str:
    """The wire name of the field of a login that holds a secret; of several, the first."""
    assert method.login is not None
    fields = msgspec.structs.fields(method.login)
    return next((field.encode_name for field in fields if words_of_field(field).is_secret), "")


def takes_text(field: Any) -> bool:
    """Whether a field of a login is a text, and not an object that is written as JSON."""
    return any(part in (str, Secret) or get_origin(part) is Literal for part in peeled(field.type)[1])


def _login(
    origin: str, method: Method, identity_id: str, locator: str, settings: Mapping[str, Any]
) -> tuple[list[str], str]:
    """Return the lines that get the proof, and the body of the login as an argument of a shell."""
    assert method.login is not None
    obtain = _filled(method.guide.obtain, _values(origin, method, identity_id, settings))
    lines, body = obtain.splitlines(), list[str]()
    for field in msgspec.structs.fields(method.login):
        name, variable = field.encode_name, _variable(field.encode_name)
        known = {"identityId": identity_id, method.locator or "-": locator}.get(name)
        is_set = re.search(rf"\b{variable}\b", obtain) is not None
        if known:
            body.append(f"{json.dumps(name)}: {json.dumps(known)}")
        elif field.default is msgspec.NODEFAULT and field.default_factory is msgspec.NODEFAULT:
            if not is_set:
                lines.append(f"read -rs {variable}   # paste it: nothing is echoed")
            is_text = takes_text(field)
            value = f"'\"${variable}\"'"
            body.append(f'{json.dumps(name)}: "{value}"' if is_text else f"{json.dumps(name)}: {value}")
    return lines, "'{" + ", ".join(body) + "}'"


def login_snippet(
    origin: str, method: Method, identity_id: str, locator: str, settings: Mapping[str, Any] | None = None
) -> str:
    """Return shell lines that log in by a method over the API and list projects."""
    lines = [f"export WATCHWORD={shlex.quote(origin)}"]
    lines += _token(origin, method, identity_id, locator, settings or {})
    lines.append('curl -fsS -H "Authorization: Bearer $TOKEN" "$WATCHWORD/api/v1/projects"')
    return "\n".join(lines)


def _token(origin: str, method: Method, identity_id: str, locator: str, settings: Mapping[str, Any]) -> Sequence[str]:
    if method.login is None:
        return ["read -rs TOKEN   # paste the token: nothing is echoed"]
    lines, body = _login(origin, method, identity_id, locator, settings)
    return [
        *lines,
        f"TOKEN=$(curl -fsS \"$WATCHWORD/api/v1/auth/{method.slug}/login\" -H 'content-type: application/json' \\",
        f"  -d {body} | jq -r .accessToken)",
    ]


def command_snippet(origin: str, method: Method, identity_id: str, settings: Mapping[str, Any], project_id: str) -> str:
    """Return shell lines that run a program with the secrets of a project as its environment."""
    locator = str(settings.get(method.locator, "")) if method.locator else ""
    project = project_id or "<project id>"
    return "\n".join(
        [
            f"export WATCHWORD={shlex.quote(origin)}",
            *_token(origin, method, identity_id, locator, settings),
            'export INFISICAL_DOMAIN="$WATCHWORD" INFISICAL_TOKEN="$TOKEN"',
            f"infisical run --projectId {shlex.quote(project)} --env prod -- ./your-program",
        ]
    )


def _variables(origin: str, method: Method, values: Mapping[str, str]) -> str:
    named = method.guide.variables or (("INFISICAL_MACHINE_IDENTITY_ID", "{identity}"),)
    lines = [f"INFISICAL_DOMAIN={shlex.quote(origin)}"]
    lines += [f"{name}={_filled(value, values) or '<paste it here>'}" for name, value in named]
    return "\n".join(lines)
