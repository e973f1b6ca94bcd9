"""Webhooks of a project: who is told of changed secrets, how deliveries go, test, disable, and send again."""

from typing import Any, Final

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.services.projects import locations, webhooks
from watchword.services.projects.webhooks import CreateWebhook, UpdateWebhook, Webhook, WebhookQuery
from watchword.web import receiving
from watchword.web.console import ProofWanted, require_proof
from watchword.web.forms import Form, read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place
from watchword.web.projects.place import Place

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, Conflict)  # what a form is shown again with
_NAMES: Final = {"webhookUrl": "url", "webhookSecretKey": "key", "secretPath": "path", "type": "kind"}


def _may(visit: Visit, found: Place) -> dict[str, bool]:
    return {
        action: visit.ctx.may(found.scope, action, webhooks.SUBJECT) for action in ("read", "create", "edit", "delete")
    }


async def _environments(visit: Visit, found: Place) -> list[tuple[str, str]]:
    known = await locations.environments(visit.ctx, found.project.id)
    return [("", "all environments"), *((environment.slug, environment.slug) for environment in known)]


@pages.get("/{organization}/p/{project}/webhooks")
async def every(visit: Visit, project: str) -> Answer:
    """The webhooks of the project."""
    return await _page(visit, await place.find(visit, project), None)


async def _page(visit: Visit, found: Place, refusal: Refusal | None) -> Page:
    may = _may(visit, found)
    listed = await webhooks.every(visit.ctx, WebhookQuery(project_id=found.project.id)) if may["read"] else []
    data: dict[str, Any] = {
        "place": found,
        "may": may,
        "webhooks": [(each, receiving.state(each.record, each.waiting, each.dead)) for each in listed],
        "environments": await _environments(visit, found),
        "kinds": receiving.kinds("general", "slack", "microsoft-teams"),
        "form": visit.form,
        "most": webhooks.MAX_WEBHOOKS,
        "faults": Faults(refusal, names=_NAMES),
    }
    status = refusal.status if refusal else 200
    title = f"Webhooks of {found.project.name}"
    return Page(template="projects/webhooks.html", title=title, data=data, status=status, holds_secrets=bool(refusal))


@pages.post("/{organization}/p/{project}/webhooks")
async def add(visit: Visit, project: str) -> Answer:
    """Add a webhook."""
    found = await place.find(visit, project)
    form = visit.form
    try:
        body = read(
            CreateWebhook,
            {
                "type": form.text("kind"),
                "projectId": found.project.id,
                "environment": form["environment"],
                "webhookUrl": form["url"].strip(),
                "webhookSecretKey": form["key"] or None,
                "secretPath": form["path"].strip(),
            },
        )
        made = await webhooks.create(visit.ctx, body)
    except (*REFUSALS, NotFound) as refusal:
        return await _page(visit, found, refusal)
    return Redirect(to=found.link("webhooks", made.record.id), notice="The webhook is there: test it now")


async def _found(visit: Visit, project: str, webhook: str) -> tuple[Place, Webhook]:
    """The webhook of the path, which must be of the path's project. Raises NotFound."""
    found = await place.find(visit, project)
    one = await webhooks.get(visit.ctx, webhook)
    if one.record.project_id != found.project.id:
        raise NotFound(f"There is no webhook with id {webhook[:64]!r} in this project")
    return found, one


@pages.get("/{organization}/p/{project}/webhooks/{webhook}")
async def look(visit: Visit, project: str, webhook: str) -> Answer:
    """One webhook: its settings, how deliveries go, and the messages that wait or were given up."""
    found, one = await _found(visit, project, webhook)
    return await _one(visit, found, one, Form(), None)


async def _one(visit: Visit, found: Place, one: Webhook, form: Form, refusal: Refusal | None) -> Page:
    stored = {
        "environment": one.environment.slug if one.environment else "",
        "path": one.record.secret_path,
        "url": "",
        "key": "",
        "unsigned": "",
    }
    data = {
        "place": found,
        "may": _may(visit, found),
        "webhook": one,
        "kind": receiving.KINDS[one.record.kind],
        "state": receiving.state(one.record, one.waiting, one.dead),
        "messages": await receiving.messages(visit, webhooks.list_deliveries, one.record.id),
        "environments": await _environments(visit, found),
        "values": {**stored, **dict(form.pairs)},
        "act": form["act"],
        "to": found.link("webhooks", one.record.id),
        "faults": Faults(refusal, names=_NAMES),
    }
    return Page(
        template="projects/webhook.html",
        title="Webhook",
        data=data,
        status=refusal.status if refusal else 200,
        holds_secrets=bool(refusal),
    )


@pages.post("/{organization}/p/{project}/webhooks/{webhook}")
async def change(visit: Visit, project: str, webhook: str) -> Answer:
    """Change, disable, enable or test a webhook, or send given-up messages again."""
    found, one = await _found(visit, project, webhook)
    form, ctx, tone = visit.form, visit.ctx, "ok"
    try:
        if form["act"] == "test":
            notice, tone = receiving.tested((await webhooks.test(ctx, one.record.id)).record)
        elif form["act"] == "retry":
            notice = await receiving.retried(visit, webhooks.retry, one.record.id)
        elif form["act"] in ("disable", "enable"):
            is_disabled = form["act"] == "disable"
            await webhooks.update(ctx, one.record.id, UpdateWebhook(is_disabled=is_disabled))
            notice = "Nothing is sent from now on" if is_disabled else "Changes are told again from now on"
        else:
            await webhooks.update(ctx, one.record.id, read(UpdateWebhook, _changes(form)))
            notice = "The webhook is changed"
    except REFUSALS as refusal:
        return await _one(visit, found, one, form, refusal)
    return Redirect(to=found.link("webhooks", one.record.id), notice=notice, tone=tone)  # type: ignore[arg-type]


def _changes(form: Form) -> dict[str, Any]:
    key = "" if form["unsigned"] == "true" else form["key"] or None
    return {
        "environment": form["environment"],
        "secretPath": form["path"].strip(),
        "webhookUrl": form.text("url"),
        "webhookSecretKey": key,
    }


@pages.get("/{organization}/p/{project}/webhooks/{webhook}/delete")
async def ask_to_delete(visit: Visit, project: str, webhook: str) -> Answer:
    """What is not told any more, and the host to type."""
    return _deletion(visit, *await _found(visit, project, webhook), None)


def _deletion(visit: Visit, found: Place, one: Webhook, refusal: Refusal | None) -> Page:
    data = {
        "place": found,
        "may": _may(visit, found),
        "webhook": one,
        "host": receiving.host_of(one.record),
        "to": found.link("webhooks", one.record.id),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="projects/webhook_delete.html", title="Delete a webhook", data=data, status=status)


@pages.post("/{organization}/p/{project}/webhooks/{webhook}/delete")
async def delete(visit: Visit, project: str, webhook: str) -> Answer:
    """Delete a webhook; what was waiting for it is dropped."""
    found, one = await _found(visit, project, webhook)
    host = receiving.host_of(one.record)
    if visit.form["name"].strip() != host:
        return _deletion(visit, found, one, Invalid.of("name", f"Type {host} to delete it: nothing was deleted"))
    try:
        require_proof(visit)
        await webhooks.remove(visit.ctx, one.record.id)
    except ProofWanted:
        raise
    except REFUSALS as refusal:
        return _deletion(visit, found, one, refusal)
    return Redirect(to=found.link("webhooks"), notice=f"The webhook to {host} is deleted")
