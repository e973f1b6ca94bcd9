"""The login tester: every check of a login, all failures at once; nothing is issued, spent or counted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest, Invalid, NotFound, Refusal
from watchword.services.audit import events
from watchword.services.authentication import auth_methods, dry_run_login, method_bodies
from watchword.services.authentication.method_bodies import Method
from watchword.web import method_forms
from watchword.web.forms import Form
from watchword.web.identities.subject import Subject, method_of, subject, tab
from watchword.web.pages import MOST_PASTED, Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none

pages = Pages()
_BASE: Final = "/{organization}/identities/{identity}/authentication/{method}/test"
_NOT_ASKED: Final = ("identityId", "organizationSlug", "subOrganizationName")
_SECRETS: Final = ("password", "secret", "jwt", "token", "assertion")


class LoginField(msgspec.Struct, frozen=True):
    """A field of a login body."""

    name: str
    title: str
    is_hidden: bool  # typed like a password
    is_long: bool
    value: str


class ShownCheck(msgspec.Struct, frozen=True, kw_only=True):
    """A check as it is shown; the parts are what is the same before, what differs, and what is the same after."""

    name: str
    passed: bool
    expected: tuple[str, str, str] | None
    presented: tuple[str, str, str] | None
    text: str = ""
    changes: Sequence[tuple[str, str, str]] = ()  # title, before, after
    change: str = ""  # what is to be changed, as JSON


def shown_check(check: Any, settings: Mapping[str, Any] | None = None, method: Method | None = None) -> ShownCheck:
    """Return a check with the parts of its values that differ. Takes a `Check` or a recorded one."""
    wire = check if isinstance(check, Mapping) else msgspec.to_builtins(check)
    expected, presented = wire.get("expected"), wire.get("presented")
    passed = bool(wire.get("passed"))
    before, after = _differing(_said(expected), _said(presented)) if not passed else (None, None)
    if passed:
        before = ("", "", _said(expected)) if expected is not None else None
        after = ("", "", _said(presented)) if presented is not None else None
    proposal = wire.get("proposal") or {}
    change = proposal.get("configuration") or {}
    changes = []
    for name, value in change.items():
        field = next((each for each in method_forms.fields_of(method) if each.name == name), None) if method else None
        old = settings.get(name) if settings else None
        changes.append((field.title if field else name, _said(old), _said(value)))
    return ShownCheck(
        name=str(wire.get("name", "")),
        passed=passed,
        expected=before if expected is not None else None,
        presented=after if presented is not None else None,
        text=str(proposal.get("text", "")),
        changes=changes,
        change=msgspec.json.encode(change).decode() if change else "",
    )


def _said(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    return msgspec.json.encode(value).decode()


def _differing(one: str, other: str) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """Split two texts into what both begin with, what differs, and what both end in."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    if start + end < 4:
        start = end = 0
    return _parted(one, start, end), _parted(other, start, end)


def _parted(text: str, start: int, end: int) -> tuple[str, str, str]:
    return text[:start], text[start : len(text) - end], text[len(text) - end :]


def _login_fields(method: Method, form: Form, locator: str) -> list[LoginField]:
    assert method.login is not None
    fields = []
    for field in msgspec.structs.fields(method.login):
        name = field.encode_name
        if name in _NOT_ASKED:
            continue
        low = name.lower()
        is_secret = any(word in low for word in _SECRETS)
        value = form[f"login.{name}"] or (locator if name == method.locator else "")
        is_long = any(word in low for word in ("jwt", "body", "headers", "svid", "assertion"))
        fields.append(LoginField(name, method_forms.words_of(name), is_secret and not is_long, is_long, value))
    return fields


@pages.get(_BASE)
async def form(visit: Visit, identity: str, method: str) -> Answer:
    """The form of the tester, with what a recorded refusal says if one is named."""
    about, found = await subject(visit, identity), method_of(visit.ctx, method)
    if found.login is None:
        raise BadRequest(f"{found.title} has no login: its tokens are made by people")
    return await _page(visit, about, found, None, None)


async def _page(
    visit: Visit, about: Subject, method: Method, result: dry_run_login.DryRunResult | None, refusal: Refusal | None
) -> Page:
    ctx = visit.ctx
    attached = await or_none(auth_methods.get(ctx, method, about.identity.id))
    settings = dict(attached.settings) if attached else {}
    request_id = visit.query["denial"].strip() or visit.form["denial"].strip()
    denial = await or_none(events.denial(ctx, request_id)) if request_id else None
    judged = result.checks if result is not None else denial.checks if denial is not None else ()
    checks = [shown_check(check, settings, method) for check in judged]
    locator = str(settings.get(method.locator, "")) if method.locator else ""
    data = {
        "method": method,
        "fields": _login_fields(method, visit.form, locator),
        "address": visit.form["address"] or (denial.address if denial and result is None else "") or "",
        "certificate": visit.form["certificate"],
        "arn": visit.form["arn"],
        "result": result,
        "denial": denial,
        "denial_id": request_id,
        "checks": checks,
        "failed": [check for check in checks if not check.passed],
        "proposals": [check for check in checks if check.text],
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    title = f"Login tester: {method.title}"
    return tab(about, "authentication", "authentication/tester.html", title=title, status=status, **data)


@pages.post(_BASE, most=MOST_PASTED)
async def attempt(visit: Visit, identity: str, method: str) -> Answer:
    """Try what was pasted, or apply what was proposed and try again."""
    about, found = await subject(visit, identity), method_of(visit.ctx, method)
    form = visit.form
    try:
        if form["apply"]:
            await _apply(visit, found, identity, form["apply"])
            if not _sent(found, form):
                path = visit.link("identities", identity, "authentication", found.slug, "test", denial=form["denial"])
                return Redirect(to=path, notice="The change is applied. Paste a proof to see that it is admitted now")
            visit.ctx.begin_now()
        result = await dry_run_login.attempt(visit.ctx, found, identity, _sent(found, form))
    except Refusal as refusal:
        return await _page(visit, about, found, None, refusal)
    return await _page(visit, about, found, result, None)


def _sent(method: Method, form: Form) -> dict[str, Any]:
    assert method.login is not None
    sent: dict[str, Any] = {}
    for field in msgspec.structs.fields(method.login):
        text = form[f"login.{field.encode_name}"].strip()
        if text:
            sent[field.encode_name] = text
    if not sent and not form["arn"].strip() and not form["certificate"].strip():
        return {}
    for name in ("address", "certificate", "arn"):
        if form[name].strip():
            sent[name] = form[name].strip()
    return sent


async def _apply(visit: Visit, method: Method, identity: str, change: str) -> None:
    """Store a proposed change: what is sent is validated like any other update."""
    try:
        wire = msgspec.json.decode(change, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Invalid.of("apply", "A proposed change") from None
    known = {field.encode_name for field in msgspec.structs.fields(method_bodies.body(method))}
    if not wire or not wire.keys() <= known:
        raise NotFound("There is no such setting")
    await auth_methods.update(visit.ctx, method, identity, wire)
