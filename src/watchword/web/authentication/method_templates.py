"""Templates of auth methods: settings that several identities share, changed in one place; and who uses them."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, Refusal
from watchword.services.access.scopes import own_org
from watchword.services.authentication import templates
from watchword.services.authentication.auth_methods import TEMPLATE_SUBJECT
from watchword.services.authentication.method_bodies import Method
from watchword.services.authentication.templates import (
    CreateTemplate,
    TemplateDetails,
    TemplateSearch,
    Unlink,
    UpdateTemplate,
)
from watchword.web import method_forms
from watchword.web.as_text import Call, Text, path_to
from watchword.web.console import require_proof
from watchword.web.forms import read
from watchword.web.identities.acts import configuration
from watchword.web.identities.subject import method_of, place_of
from watchword.web.pages import MOST_PASTED, Answer, Faults, Page, Pages, Redirect, Texts, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import plural

pages = Pages()
texts = Texts()
SIZE: Final = 50
_MOST_USES: Final = 100  # that are shown
_NEW: Final = "new"
_REFUSALS: Final = (Invalid, BadRequest, Forbidden, Conflict)


async def _rights(visit: Visit) -> dict[str, bool]:
    scope = await own_org(visit.ctx)
    return {
        verb: visit.ctx.may(scope, f"{verb}-templates", TEMPLATE_SUBJECT)
        for verb in ("create", "edit", "delete", "unlink", "list")
    }


def _faults(refusal: Refusal | None) -> Faults:
    """What is wrong, with the fields of the template as the form calls them."""
    if isinstance(refusal, Invalid):
        issues = [
            msgspec.structs.replace(issue, path=issue.path[1:]) if issue.path[:1] == ("templateFields",) else issue
            for issue in refusal.issues
        ]
        return Faults(Invalid(issues))
    return Faults(refusal)


@pages.get("/{organization}/templates")
async def every(visit: Visit) -> Answer:
    """The templates of the organization."""
    ctx, offset = visit.ctx, visit.query.offset
    text = (visit.query.text("q") or "")[:255]
    found = await templates.search(ctx, TemplateSearch(search=text, offset=offset, limit=SIZE))
    rows = [
        {
            "template": each.record,
            "method": place_of(ctx, each.record.method),
            "to": visit.link("templates", each.record.id),
        }
        for each in found.items
    ]
    data = {
        "rows": rows,
        "total": found.total,
        "offset": offset,
        "size": SIZE,
        "q": text,
        "rights": await _rights(visit),
        "methods": [
            (method, visit.link("templates", _NEW, method=method.slug))
            for method in ctx.runtime.methods.values()
            if method.template
        ],
    }
    return Page(template="authentication/templates.html", title="Templates", data=data)


def _method(visit: Visit, slug: str) -> Method:
    method = method_of(visit.ctx, slug)
    if not method.template:
        raise Invalid.of("method", f"{method.title} has no settings that a template could hold")
    return method


@pages.get("/{organization}/templates/{template}")
async def one(visit: Visit, template: str) -> Answer:
    """The form of a template, and who uses it; `new` begins one."""
    if template == _NEW:
        scope = await own_org(visit.ctx)
        visit.ctx.require(scope, "create-templates", TEMPLATE_SUBJECT)
        return await _form(visit, None, _method(visit, visit.query["method"]), None)
    found = await templates.get(visit.ctx, template)
    return await _form(visit, found, method_of(visit.ctx, found.record.method), None)


async def _form(visit: Visit, found: TemplateDetails | None, method: Method, refusal: Refusal | None) -> Page:
    ctx = visit.ctx
    items = (
        method_forms.sent(method, visit.form)
        if refusal
        else method_forms.filled(method, found.fields if found else None)
    )
    rights = await _rights(visit)
    users = await or_none(templates.uses(ctx, found.record.id)) if found else ()
    data: dict[str, Any] = {
        "template": found.record if found else None,
        "method": method,
        "name": visit.form["name"] if refusal else found.record.name if found else "",
        "items": method_forms.template_fields(method, items),
        "users": [(user.name, visit.link("identities", user.id), user.id) for user in (users or ())[:_MOST_USES]],
        "count": None if users is None else len(users),
        "rights": rights,
        "may_save": rights["edit" if found else "create"],
        "here": visit.link("templates", found.record.id if found else _NEW),
        "faults": _faults(refusal),
    }
    title = found.record.name if found else f"New template of {method.title}"
    status = refusal.status if refusal else 200
    return Page(template="authentication/template.html", title=title, data=data, status=status)


@pages.post("/{organization}/templates/{template}", most=MOST_PASTED)
async def save(visit: Visit, template: str) -> Answer:
    """Make a template, or change it and what its identities' methods say."""
    ctx = visit.ctx
    if template == _NEW:
        method = _method(visit, visit.form["method"])
        try:
            made = await templates.create(ctx, _new(visit, method))
        except _REFUSALS as refusal:
            return await _form(visit, None, method, refusal)
        notice = f"The template {made.record.name} is there: choose it where a method of an identity is set"
        return Redirect(to=visit.link("templates", made.record.id), notice=notice)
    found = await templates.get(ctx, template)
    method = method_of(ctx, found.record.method)
    try:
        changed = await templates.update(ctx, template, _changed(visit, method))
    except _REFUSALS as refusal:
        return await _form(visit, found, method, refusal)
    notice = f"The template {changed.record.name} is changed, for all who use it, from their next login"
    return Redirect(to=visit.link("templates", template), notice=notice)


def _new(visit: Visit, method: Method) -> CreateTemplate:
    fields = method_forms.read_template(method, visit.form)
    return read(CreateTemplate, {"name": visit.form["name"], "authMethod": method.slug, "templateFields": fields})


def _changed(visit: Visit, method: Method) -> UpdateTemplate:
    fields = method_forms.read_template(method, visit.form)
    return read(UpdateTemplate, {"name": visit.form["name"], "templateFields": fields})


@pages.get("/{organization}/templates/{template}/delete")
async def ask_to_delete(visit: Visit, template: str) -> Answer:
    """What deleting a template needs, and its name to type."""
    return await _deletion(visit, template, None)


async def _deletion(visit: Visit, template: str, refusal: Refusal | None) -> Page:
    found = await templates.get(visit.ctx, template)
    users = await templates.uses(visit.ctx, template)
    data = {
        "template": found.record,
        "count": len(users),
        "rights": await _rights(visit),
        "here": visit.link("templates", template),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    title = f"Delete {found.record.name}"
    return Page(template="authentication/template_delete.html", title=title, data=data, status=status)


@pages.post("/{organization}/templates/{template}/delete")
async def delete(visit: Visit, template: str) -> Answer:
    """Delete a template that nobody uses."""
    found = await templates.get(visit.ctx, template)
    if visit.form["confirm"].strip() != found.record.name.strip():
        return await _deletion(visit, template, Invalid.of("confirm", "Nothing was deleted: that is not its name"))
    require_proof(visit)
    try:
        await templates.remove(visit.ctx, template)
    except _REFUSALS as refusal:
        return await _deletion(visit, template, refusal)
    return Redirect(to=visit.link("templates"), notice=f"The template {found.record.name} is deleted")


@pages.post("/{organization}/templates/{template}/unlink")
async def unlink(visit: Visit, template: str) -> Answer:
    """Take the template's method off the identities that were picked: they cannot log in by it any more."""
    picked: Sequence[str] = list(dict.fromkeys(visit.form.all("pick")))
    if not picked:
        return Redirect(
            to=visit.link("templates", template), notice="Nobody was picked, so nothing was done", tone="warn"
        )
    require_proof(visit)
    done = await templates.unlink(visit.ctx, template, Unlink(identity_ids=list(picked)[:_MOST_USES]))
    notice = f"The method is removed from {plural(len(done), 'identity', 'identities')}, with the tokens it issued"
    return Redirect(to=visit.link("templates", template), notice=notice)


@texts.of("/{organization}/templates/{template}")
async def save_as_text(visit: Visit, template: str) -> Text:
    """A template, as text."""
    if template == _NEW:
        method = _method(visit, visit.form["method"])
        new = _new(visit, method)
        title = f"Make the template {new.name}"
        whole = {
            "name": new.name,
            "authMethod": method.slug,
            "templateFields": configuration(method, new.template_fields),
        }
        return Text(
            title=title, calls=[Call(title=title, method="POST", path="/api/v1/identity-templates", body=whole)]
        )
    found = await templates.get(visit.ctx, template)
    method = method_of(visit.ctx, found.record.method)
    change = _changed(visit, method)
    title = f"Change the template {found.record.name}"
    body: dict[str, Any] = {"name": change.name, "templateFields": configuration(method, change.template_fields or {})}
    path = path_to("/api/v1/identity-templates/{}", template)
    return Text(title=title, calls=[Call(title=title, method="PATCH", path=path, body=body)])


@texts.of("/{organization}/templates/{template}/delete")
async def delete_as_text(visit: Visit, template: str) -> Text:
    """The deletion of a template, as text."""
    title = f"Delete the template {(await templates.get(visit.ctx, template)).record.name}"
    path = path_to("/api/v1/identity-templates/{}", template)
    return Text(title=title, calls=[Call(title=title, method="DELETE", path=path)])
