"""Load the auth methods of installed packages, check what they declare, and contain what their functions do."""

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import wraps
from importlib.metadata import entry_points
from typing import Any, Final, cast

import msgspec

from watchword.domain.bounds import IpRange
from watchword.domain.errors import BadRequest, Denied, Refusal
from watchword.domain.plain_json import shown_text
from watchword.methods.base import (
    MOST_LOGIN,
    AuthMethod,
    Given,
    Judge,
    Outbound,
    OutboundError,
    Risk,
    Schema,
    Settings,
    refusal,
)

GROUP: Final = "watchword.methods"
FAILED: Final = "method_failed"
_SLUG: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", re.ASCII)
_WORD: Final = re.compile(r"[a-z][A-Za-z0-9]*", re.ASCII)
_MOST: Final = 64  # characters of a name
_MOST_TEXT: Final = 300
_log = logging.getLogger(__name__)
Method = AuthMethod[Any, Any]


class UnusableMethodError(Exception):
    """An installed package brings an auth method that cannot be used; the message names both."""


def with_packages(own: Iterable[Method]) -> Mapping[str, Method]:
    """Every method by slug: `own` first, then those of packages, each as the first of its names.

    Raises UnusableMethodError.
    """
    methods = {method.slug: method for method in own}
    for point in entry_points(group=GROUP):
        whose = f"The package {point.dist.name if point.dist else '?'} brings the auth method {point.name}"
        try:
            method = point.load()
        except (Exception, SystemExit) as error:  # whatever the code of a package raises when it is imported
            text = " ".join(str(error).split())[:_MOST_TEXT]
            raise UnusableMethodError(f"{whose}, which cannot be imported: {type(error).__name__}: {text}") from error
        fault = _fault(method, methods.values())
        if fault is not None:
            raise UnusableMethodError(f"{whose}, which cannot be used: {fault}")
        methods[method.slug] = contained(method)
    return methods


def _fault(method: Any, others: Iterable[Method]) -> str | None:
    """The reason why a method cannot stand beside others."""
    if not isinstance(method, AuthMethod):
        return f"it is no AuthMethod but of the type {type(method).__name__}"
    names: tuple[tuple[str, re.Pattern[str]], ...] = (("slug", _SLUG), ("wrapper", _WORD))
    for name, form in names:
        value = getattr(method, name)
        if not isinstance(value, str) or len(value) > _MOST or not form.fullmatch(value):
            return f"its {name} {str(value)[:_MOST]!r} is not of the form {form.pattern}"
    if not isinstance(method.title, str) or not 0 < len(method.title) <= _MOST or not method.title.isprintable():
        return "its title is no text of 1 to 64 printable characters"
    if not isinstance(method.claims_under, str) or (method.claims_under and not _WORD.fullmatch(method.claims_under)):
        return f"its claims_under {str(method.claims_under)[:_MOST]!r} is not of the form {_WORD.pattern}"
    for name in ("slug", "wrapper", "title", "claims_under"):
        value = getattr(method, name)
        if value and any(value == getattr(other, name) for other in others):
            return f"there is one with the {name} {value!r} already"
    if type(method.max_login) is not int or not 0 < method.max_login <= MOST_LOGIN:
        return f"its max_login {str(method.max_login)[:_MOST]!r} is no number of bytes from 1 to {MOST_LOGIN}"
    return _fault_of_parts(method)


def _fault_of_parts(method: Method) -> str | None:
    if not _is_schema(method.config) or not (method.login is None or _is_schema(method.login)):
        return "its config and its login must be subclasses of Schema"
    if (method.login is None) != (method.verify is None):
        return "a login and a verify belong together"
    if method.verify is not None and not inspect.iscoroutinefunction(method.verify):
        return "its verify must be an async function"
    settings = {field.encode_name for field in msgspec.structs.fields(method.config)}
    if method.locator and not (method.locator in settings and method.locator in method.managed):
        return f"its locator {method.locator!r} is not among its managed settings"
    refreshed = (method.refresh.at,) if method.refresh is not None else ()
    named = (*refreshed, *method.networks, *method.managed, *method.sends_secrets_to, *method.template)
    unknown = sorted(set(named) - settings)
    return f"it has no setting {unknown[0]!r}" if unknown else None


def _is_schema(struct: Any) -> bool:
    return isinstance(struct, type) and issubclass(struct, Schema)


def contained(method: Method) -> Method:
    """The method, with every function contained.

    A fault in its code, or an answer of another type than it should have, refuses what was asked of it.
    """

    def part(name: str, is_sound: Callable[[Any], bool]) -> Any:
        function = getattr(method, name)
        return function and _contained(
            function, method.slug, is_sound, lambda: Denied(FAILED, "The auth method failed")
        )

    def asked(function: Any, is_sound: Callable[[Any], bool]) -> Any:
        message = f"{method.title} failed: the log of the server says why"
        return function and _contained(function, method.slug, is_sound, lambda: BadRequest(message))

    return msgspec.structs.replace(
        method,
        verify=method.verify and _contained_verify(method.verify, method.slug),
        locate=part("locate", _is_place),
        secret_of=part("secret_of", _is_text),
        lockout_key=part("lockout_key", _is_text),
        form=part("form", _is_anything),
        networks_of=part("networks_of", _are(IpRange)),
        oauth_secret=part("oauth_secret", _is_wire),
        oauth_assertion=part("oauth_assertion", _is_wire),
        check=asked(method.check, lambda config: type(config) is method.config),
        admit=asked(method.admit, _is_anything),
        risks=method.risks and _contained_judge(method.risks, method.slug),
        refresh=method.refresh
        and msgspec.structs.replace(method.refresh, fetch=_contained_fetch(method.refresh.fetch, method)),
    )


def _contained_judge(judge: Judge, slug: str) -> Judge:
    """A judge whose failure is reported as a warning.

    The configuration is stored already, and others are in the same report.
    """

    @wraps(judge)
    def contained(settings: Settings) -> Sequence[Risk]:
        try:
            risks = tuple(judge(settings))
            if all(
                type(risk) is Risk and all(type(text) is str for text in (risk.code, risk.field, risk.message))
                for risk in risks
            ):
                return tuple(
                    Risk(shown_text(risk.code), shown_text(risk.field), shown_text(risk.message)) for risk in risks
                )
            raise TypeError("risks are expected")
        except Exception as error:  # noqa: BLE001 - whatever the code of a package raises
            _log_fault(error, slug)
            return (
                Risk(
                    "not_judged",
                    "",
                    "The auth method failed to say which settings let anybody in: the log of the server says why",
                ),
            )

    return contained


def _contained_fetch(fetch: Callable[..., Awaitable[None]], method: Method) -> Callable[..., Awaitable[None]]:
    @wraps(fetch)
    async def contained(config: Any, outbound: Outbound) -> None:
        try:
            await fetch(config, outbound)
        except (OutboundError, Refusal):
            raise
        except Exception as error:
            _log_fault(error, method.slug)
            raise BadRequest(f"{method.title} failed: the log of the server says why") from error

    return contained


def _contained_verify(verify: Callable[..., Any], slug: str) -> Callable[..., Any]:
    @wraps(verify)
    async def contained(config: Any, login: Any, given: Given) -> Any:
        ours: list[Exception] = []  # what counting raised is the core's to answer for

        async def count_by(subject: str) -> None:
            try:
                await cast("Callable[[str], Awaitable[None]]", given.count_by)(subject)
            except Exception as error:
                ours.append(error)
                raise

        try:
            return await verify(
                config, login, msgspec.structs.replace(given, count_by=count_by if given.count_by else None)
            )
        except Exception as error:
            if any(error is own_error for own_error in ours):
                raise
            translated = _translated(error)
            if translated is not None:
                raise translated from error
            _log_fault(error, slug)
            given.checks.fail("reach", FAILED, "The auth method failed", presented=type(error).__name__)

    return contained


def _contained(
    function: Callable[..., Any], slug: str, is_sound: Callable[[Any], bool], failed: Callable[[], Refusal]
) -> Callable[..., Any]:
    @wraps(function)
    def contained(*args: Any) -> Any:
        try:
            answer = function(*args)
            if is_sound(answer):
                return answer
            raise TypeError(f"{function.__name__} answered {type(answer).__name__}")
        except Exception as error:
            translated = _translated(error)
            if translated is not None:
                raise translated from error
            _log_fault(error, slug)
            raise failed() from error

    return contained


def _translated(error: Exception) -> Exception | None:
    """A refusal as it is, if it can be answered and stored; None for any other error."""
    if isinstance(error, Denied):
        return refusal(
            error.reason, error.message, error.facts.get("expected"), error.facts.get("presented"), error.status
        )
    return error if isinstance(error, OutboundError | Refusal) else None


def _log_fault(error: Exception, slug: str) -> None:
    _log.error("an auth method of a package failed", exc_info=error, extra={"method": slug})


def _is_anything(_found: Any) -> bool:
    return True


def _is_text(answer: Any) -> bool:
    return type(answer) is str


def _is_place(answer: Any) -> bool:
    return (
        type(answer) is tuple and len(answer) == 2 and answer[0] in ("identity", "locator") and type(answer[1]) is str
    )


def _is_wire(answer: Any) -> bool:
    return isinstance(answer, Mapping) and all(type(text) is str for pair in answer.items() for text in pair)


def _are(kind: type) -> Callable[[Any], bool]:
    return lambda answer: isinstance(answer, list | tuple) and all(type(item) is kind for item in answer)
