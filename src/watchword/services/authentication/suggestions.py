"""Suggest an auth method and its settings from a token that somebody pasted.

The token is decoded and not verified: it says what its issuer would say, and whoever stores the settings looks at them.
It is kept nowhere.
"""

import base64
import binascii
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from watchword.domain.errors import Invalid
from watchword.domain.lists import join_list
from watchword.methods.words import Claims, Preset, Suggested, text_of
from watchword.services.authentication.method_bodies import Method

_log = logging.getLogger(__name__)
MOST: Final = 65_536  # characters of a pasted token
FIELD: Final = "pastedToken"


class Suggestion(msgspec.Struct, frozen=True, kw_only=True):
    """A method, a preset of it where one fits, settings by wire names, and what is said of them."""

    method: Method
    preset: Preset | None
    settings: Mapping[str, Any]
    notes: tuple[str, ...]


def claims_of(text: str) -> Claims:
    """Return the claims of a pasted JSON Web Token, or of its decoded payload. Raises Invalid."""
    token = text.strip()
    if token[:7].lower() == "bearer ":
        token = token[7:].strip()
    if not token or len(token) > MOST:
        raise Invalid.of(FIELD, f"Paste a token of at most {MOST} characters")
    try:
        payload = token.encode() if token.startswith("{") else _payload(token)
        found = msgspec.json.decode(payload)
    except (ValueError, binascii.Error, msgspec.DecodeError):
        found = None
    if not isinstance(found, dict):
        raise Invalid.of(
            FIELD, "This is no JSON Web Token: three parts joined by dots, or the JSON object of its claims"
        )
    return found


def _payload(token: str) -> bytes:
    header, payload, _ = token.split(".")  # five parts are an encrypted token, which nobody but its reader can read
    if not header:
        raise ValueError
    return base64.b64decode(payload + "=" * (-len(payload) % 4), altchars=b"-_", validate=True)


def suggest(methods: Mapping[str, Method], claims: Claims, origin: str) -> Suggestion:
    """Return what a token with these claims suggests. `origin` is the address of this server. Raises Invalid.

    A preset comes before a method, and a method for tokens of one kind before one that takes tokens of any. Where the
    token is made for nobody in particular, the audience is this server.
    """
    for method in methods.values():
        for preset in method.presets:
            found = _asked(preset.fills, claims)
            if found is not None:
                return _suggestion(method, preset, found, origin)
    for method in sorted(methods.values(), key=lambda method: method.guide.is_general):
        found = _asked(method.guide.fills, claims)
        if found is not None:
            return _suggestion(method, None, found, origin)
    issuer = text_of(claims, "iss")[:200]
    raise Invalid.of(FIELD, f"No auth method takes tokens like this one{f', of {issuer}' if issuer else ''}")


def _asked(fills: Callable[[Claims], Suggested | None] | None, claims: Claims) -> Suggested | None:
    try:
        found = fills(claims) if fills is not None else None
    except Exception:  # noqa: BLE001 - a fault of a package's code suggests nothing
        _log.exception("what a token suggests cannot be said")
        return None
    return found if isinstance(found, Suggested) else None


def _suggestion(method: Method, preset: Preset | None, found: Suggested, origin: str) -> Suggestion:
    settings, notes = _literal(found.settings), tuple(found.notes)
    name = _audience_field(method, settings)
    if name:
        audience = str(settings.get(name) or "")
        if not audience:
            settings[name] = origin
        elif _host(audience) != _host(origin):
            said = (
                f"The token is made for {audience[:200]}: whoever is that can log in here with the tokens that it is "
                f"sent. Have tokens made for {origin}, and enter that as the audience."
            )
            notes = (*notes, said)
    return Suggestion(method=method, preset=preset, settings=settings, notes=notes)


_WILD: Final = frozenset('*?[]{}()!\\"')  # without one of them a pattern is only a text
_TO_THE_LETTER: Final = frozenset(
    {"oidcDiscoveryUrl", "boundIssuer", "jwksIssuer", "tenantId", "resource", "trustDomain"}
)


def _literal(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings with texts of a token that admit themselves only.

    What stands in a token was chosen by whoever runs there: a comma in it would begin another value, and a wildcard
    admit others, so a text with a wildcard is left for somebody to enter.
    """
    kept: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            kept[name] = {key: _exactly(str(item)) for key, item in value.items() if key.isprintable()}
        elif not isinstance(value, str) or name in _TO_THE_LETTER:
            kept[name] = value
        else:
            kept[name] = _exactly(value, is_list=name != "boundSubject")
    return kept


def _exactly(text: str, *, is_list: bool = True) -> str:
    if not _WILD.isdisjoint(text) or not text.isprintable():
        return ""
    return join_list([text]) if is_list and "," in text else text


def _audience_field(method: Method, settings: Mapping[str, Any]) -> str:
    return method.audience or next((name for name in ("allowedAudiences", "boundAudiences") if name in settings), "")


def _host(text: str) -> str:
    return urlsplit(text).netloc or text
