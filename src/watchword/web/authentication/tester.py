"""The login tester: every check of a login, all failures at once; nothing is issued, spent or counted."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest, Invalid, NotFound, Refusal
from watchword.methods.words import Words, words_of_field
from watchword.services.audit import events
from watchword.services.authentication import auth_methods, dry_run_login, method_bodies
from watchword.services.authentication.method_bodies import Method
from watchword.web import method_forms
from watchword.web.forms import Form
from watchword.web.identities.snippets import obtained_by, takes_text
from watchword.web.identities.subject import Subject, method_of, subject, tab
from watchword.web.pages import MOST_PASTED, Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none

pages = Pages()
_BASE: Final = "/{organization}/identities/{identity}/authentication/{method}/test"
_TYPED: Final = "config."  # what the names of the settings begin with in the page's form
_NOT_ASKED: Final = ("identityId", "organizationSlug", "subOrganizationName")


class LoginField(msgspec.Struct, frozen=True, kw_only=True):
    """A field of a login body, with the words of its schema."""

    name: str
    words: Words
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


def _login_fields(method: Method, form: Form, locator: str, *, with_examples: bool) -> list[LoginField]:
    assert method.login is not None
    fields = []
    for field in msgspec.structs.fields(method.login):
        name = field.encode_name
        if name in _NOT_ASKED:
            continue
        words = words_of_field(field)
        known = words.example if with_examples else locator if name == method.locator else ""
        fields.append(LoginField(name=name, words=words, value=form[f"login.{name}"] or known))
    return fields


@pages.get(_BASE)
async def form(visit: Visit, identity: str, method: str) -> Answer:
    """The form of the tester, with what a recorded refusal says if one is named."""
    about, found = await subject(visit, identity), _method(visit, method)
    return await _page(visit, about, found, await _settings(visit, about, found), None, None)


def _method(visit: Visit, slug: str) -> Method:
    found = method_of(visit.ctx, slug)
    if found.login is None:
        raise BadRequest(f"{found.title} has no login: its tokens are made by people")
    return found


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a login is tried with: those that are stored, or others that are not saved."""

    stored: Mapping[str, Any] | None  # by wire names; None: the identity does not have the method
    items: Sequence[method_forms.Filled]
    is_unsaved: bool


async def _settings(visit: Visit, about: Subject, method: Method, change: Mapping[str, Any] | None = None) -> Settings:
    """Return the settings of the page's form; `change` replaces some of them, without saving."""
    attached = await or_none(auth_methods.get(visit.ctx, method, about.identity.id))
    stored = {**method_bodies.common_wire(method, attached.record), **attached.settings} if attached else None
    items = method_forms.filled(method, stored)
    form = visit.form
    if form["begin"]:  # sent by the form of the settings itself
        typed = method_forms.sent(method, form)
    elif form["typed"]:
        typed = method_forms.sent(method, form, _TYPED)
    else:
        typed = items
    if change:
        wire = {**(stored or {}), **(method_forms.read(method, form, _TYPED) if form["typed"] else {}), **change}
        typed = method_forms.filled(method, wire)
    is_unsaved = stored is None or method_forms.differ(typed, items)
    return Settings(stored=stored, items=typed, is_unsaved=is_unsaved)


async def _page(
    visit: Visit,
    about: Subject,
    method: Method,
    settings: Settings,
    result: dry_run_login.DryRunResult | None,
    refusal: Refusal | None,
) -> Page:
    ctx, stored = visit.ctx, settings.stored or {}
    request_id = visit.query["denial"].strip() or visit.form["denial"].strip()
    denial = await or_none(events.denial(ctx, request_id)) if request_id else None
    judged = result.checks if result is not None else denial.checks if denial is not None else ()
    checks = [shown_check(check, stored, method) for check in judged]
    locator = str(stored.get(method.locator, "")) if method.locator else ""
    data = {
        "method": method,
        "fields": _login_fields(method, visit.form, locator, with_examples=visit.query["example"] == "1"),
        "settings": settings,
        "typed": _TYPED,
        "obtain": obtained_by(visit.origin, method, about.identity.id, stored),
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
        "holds_secrets": True,
    }
    status = refusal.status if refusal else 200
    title = f"Login tester: {method.title}"
    return tab(about, "authentication", "authentication/tester.html", title=title, status=status, **data)


@pages.post(_BASE, most=MOST_PASTED)
async def attempt(visit: Visit, identity: str, method: str) -> Answer:
    """Try what was pasted, with the stored settings or those of the form; apply what was proposed, or save."""
    about, found = await subject(visit, identity), _method(visit, method)
    form, change = visit.form, None
    settings = await _settings(visit, about, found)
    if form["begin"]:
        return await _page(visit, about, found, settings, None, None)
    try:
        if form["apply"]:
            await _apply(visit, found, identity, form["apply"])
            if not _sent(found, form):
                path = visit.link("identities", identity, "authentication", found.slug, "test", denial=form["denial"])
                return Redirect(to=path, notice="The change is applied. Paste a proof to see that it is admitted now")
            visit.ctx.begin_now()
            settings = await _settings(visit, about, found, _change(found, form["apply"]))
        elif form["try"]:
            change = _change(found, form["try"])
            settings = await _settings(visit, about, found, change)
        if form["save"]:
            return await _save(visit, found, identity, settings)
        sent = _sent(found, form)
        if settings.is_unsaved:
            typed = method_forms.read(found, form, _TYPED) if form["typed"] else {}
            sent["configuration"] = typed | (change or {})
        result = await dry_run_login.attempt(visit.ctx, found, identity, sent, keeps_secrets=True)
    except Invalid as refusal:
        return await _page(visit, about, found, settings, None, _at_fields(refusal))
    except Refusal as refusal:
        return await _page(visit, about, found, settings, None, refusal)
    return await _page(visit, about, found, settings, result, None)


def _at_fields(refusal: Invalid) -> Invalid:
    """Name the faults of a configuration by its fields, as its form does."""
    return Invalid(
        [
            msgspec.structs.replace(issue, path=issue.path[1:]) if issue.path[:1] == ("configuration",) else issue
            for issue in refusal.issues
        ]
    )


async def _save(visit: Visit, method: Method, identity: str, settings: Settings) -> Redirect:
    wire = method_forms.read(method, visit.form, _TYPED)
    if settings.stored is None:
        await auth_methods.attach(visit.ctx, method, identity, wire)
    else:
        await auth_methods.update(visit.ctx, method, identity, wire)
    path = visit.link("identities", identity, "authentication")
    return Redirect(to=path, notice=f"The settings of {method.title} are saved")


def _sent(method: Method, form: Form) -> dict[str, Any]:
    assert method.login is not None
    sent: dict[str, Any] = {}
    for field in msgspec.structs.fields(method.login):
        text = form[f"login.{field.encode_name}"].strip()
        if text:
            sent[field.encode_name] = text if takes_text(field) else _object(field.encode_name, text)
    if not sent and not form["arn"].strip() and not form["certificate"].strip():
        return {}
    for name in ("address", "certificate", "arn"):
        if form[name].strip():
            sent[name] = form[name].strip()
    return sent


def _object(name: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise Invalid.of(name, f"A JSON object: {error}") from None


def _change(method: Method, text: str) -> dict[str, Any]:
    """Return a proposed change, by wire names. Raises Invalid, NotFound."""
    try:
        wire = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        raise Invalid.of("apply", "A proposed change") from None
    known = {field.encode_name for field in msgspec.structs.fields(method_bodies.body(method))}
    if not wire or not wire.keys() <= known:
        raise NotFound("There is no such setting")
    return wire


async def _apply(visit: Visit, method: Method, identity: str, change: str) -> None:
    """Store a proposed change: what is sent is validated like any other update."""
    await auth_methods.update(visit.ctx, method, identity, _change(method, change))
