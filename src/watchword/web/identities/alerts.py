"""Alert channels of an organization: who is told of what happens to its machine identities, and how deliveries go."""

from typing import Any, Final

from watchword.domain.deliveries import TargetKind
from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.domain.identities.alerts import ALERTS, DEFAULTS
from watchword.services.access.scopes import own_org
from watchword.services.identities import alert_channels
from watchword.services.identities.alert_channels import Channel, CreateChannel, UpdateChannel
from watchword.web import receiving
from watchword.web.console import ProofWanted, require_proof
from watchword.web.forms import Form, duration, duration_text, read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit

pages = Pages()
REFUSALS: Final = (Invalid, BadRequest, Forbidden, Conflict)  # what a form is shown again with
_NAMES: Final = {
    "secretKey": "key",
    "expiringDays": "expiring",
    "unusedDays": "unused",
    "alerts": "alert",
    "type": "kind",
}
_DAY: Final = 86_400  # seconds


async def _may(visit: Visit) -> dict[str, bool]:
    scope = await own_org(visit.ctx)
    return {
        action: visit.ctx.may(scope, action, alert_channels.SUBJECT) for action in ("read", "create", "edit", "delete")
    }


def _text(name: str, value: int) -> str:
    return str(value) if name == "refusals" else duration_text(value * _DAY)


_DEFAULTS: Final = {
    "expiring": _text("expiring", DEFAULTS["expiringDays"]),
    "unused": _text("unused", DEFAULTS["unusedDays"]),
    "refusals": _text("refusals", DEFAULTS["refusals"]),
}


@pages.get("/{organization}/settings/alerts")
async def every(visit: Visit) -> Answer:
    """The alert channels of the organization."""
    return await _page(visit, None)


async def _page(visit: Visit, refusal: Refusal | None) -> Page:
    may = await _may(visit)
    listed = await alert_channels.every(visit.ctx) if may["read"] else []
    has_mail = visit.ctx.runtime.mailer.is_configured
    names: list[TargetKind] = ["general", "slack", "microsoft-teams", *(["email"] if has_mail else [])]  # type: ignore[list-item]
    form = visit.form
    data: dict[str, Any] = {
        "may": may,
        "channels": [(each, receiving.state(each.record, each.waiting, each.dead)) for each in listed],
        "kinds": receiving.kinds(*names),
        "has_mail": has_mail,
        "form": form,
        "values": {**_DEFAULTS, **dict(form.pairs)},
        "alerts": [(name, text, not form or name in form.all("alert")) for name, text in ALERTS.items()],
        "most": alert_channels.MAX_CHANNELS,
        "faults": Faults(refusal, names=_NAMES),
    }
    status = refusal.status if refusal else 200
    title = "Alert channels"
    return Page(template="identities/alerts.html", title=title, data=data, status=status, holds_secrets=bool(refusal))


@pages.post("/{organization}/settings/alerts")
async def add(visit: Visit) -> Answer:
    """Add a channel."""
    form = visit.form
    try:
        body = read(
            CreateChannel,
            {
                "name": form["name"].strip(),
                "type": form.text("kind"),
                "url": form.text("url"),
                "secretKey": form["key"] or None,
                "emails": _addresses(form["emails"]),
                "alerts": _alerts(form),
                **_options(form),
            },
        )
        made = await alert_channels.create(visit.ctx, body)
    except REFUSALS as refusal:
        return await _page(visit, refusal)
    to = visit.link("settings", "alerts", made.record.id)
    return Redirect(to=to, notice=f"The channel {made.record.name} is there: test it now")


def _addresses(text: str) -> list[str]:
    return text.replace(",", " ").replace(";", " ").split()


def _alerts(form: Form) -> list[str]:
    """The alerts that are ticked; none where all are, which includes those that later versions know. Raises Invalid."""
    chosen = form.all("alert")
    if not chosen:
        raise Invalid.of("alert", "Choose at least one")
    return [] if set(chosen) >= ALERTS.keys() else chosen


def told_of(form: Form) -> dict[str, Any]:
    """What a form says that a channel is told of, and where mails go, as the API names it. Raises Invalid."""
    emails = _addresses(form["emails"])
    options = {name: int(value) for name, value in _options(form).items() if value is not None}
    return {"alerts": _alerts(form), **options, **({"emails": emails} if emails else {})}


def _options(form: Form) -> dict[str, Any]:
    """The numbers of a channel. Raises Invalid."""
    refusals = form["refusals"].strip()
    if refusals and not (refusals.isascii() and refusals.isdigit()):
        raise Invalid.of("refusals", "A whole number")
    options: dict[str, Any] = {"refusals": refusals or None}
    for name, wire in (("expiring", "expiringDays"), ("unused", "unusedDays")):
        seconds = duration(form[name], name)
        if seconds is not None and (seconds < _DAY or seconds % _DAY):
            raise Invalid.of(name, "Whole days, such as 14d")
        options[wire] = None if seconds is None else seconds // _DAY
    return options


@pages.get("/{organization}/settings/alerts/{channel}")
async def look(visit: Visit, channel: str) -> Answer:
    """One channel: what it is told, how deliveries go, and the messages that wait or were given up."""
    return await _one(visit, await alert_channels.get(visit.ctx, channel), Form(), None)


async def _one(visit: Visit, one: Channel, form: Form, refusal: Refusal | None) -> Page:
    record = one.record
    options = alert_channels.options_of(record)
    told = form.all("alert") if form["act"] == "save" else record.events or list(ALERTS)
    stored = {
        "name": record.name,
        "url": "",
        "key": "",
        "unsigned": "",
        "emails": record.shown if record.kind == "email" else "",
        "expiring": _text("expiring", options["expiringDays"]),
        "unused": _text("unused", options["unusedDays"]),
        "refusals": str(options["refusals"]),
    }
    data = {
        "may": await _may(visit),
        "channel": one,
        "kind": receiving.KINDS[record.kind],
        "state": receiving.state(record, one.waiting, one.dead),
        "messages": await receiving.messages(visit, alert_channels.list_deliveries, record.id),
        "values": {**stored, **dict(form.pairs)},
        "alerts": [(name, text, name in told) for name, text in ALERTS.items()],
        "act": form["act"],
        "to": visit.link("settings", "alerts", record.id),
        "all": visit.link("settings", "alerts"),
        "faults": Faults(refusal, names=_NAMES),
    }
    return Page(
        template="identities/alert.html",
        title=record.name,
        data=data,
        status=refusal.status if refusal else 200,
        holds_secrets=bool(refusal),
    )


@pages.post("/{organization}/settings/alerts/{channel}")
async def change(visit: Visit, channel: str) -> Answer:
    """Change, disable, enable or test a channel, or send given-up messages again."""
    one = await alert_channels.get(visit.ctx, channel)
    form, ctx, tone = visit.form, visit.ctx, "ok"
    try:
        if form["act"] == "test":
            notice, tone = receiving.tested((await alert_channels.test(ctx, one.record.id)).record)
        elif form["act"] == "retry":
            notice = await receiving.retried(visit, alert_channels.retry, one.record.id)
        elif form["act"] in ("disable", "enable"):
            is_disabled = form["act"] == "disable"
            await alert_channels.update(ctx, one.record.id, UpdateChannel(is_disabled=is_disabled))
            notice = "Nothing is sent from now on" if is_disabled else "Alerts are sent again from now on"
        else:
            await alert_channels.update(ctx, one.record.id, read(UpdateChannel, _changes(form, one)))
            notice = f"The channel {form['name'].strip()} is changed"
    except REFUSALS as refusal:
        return await _one(visit, one, form, refusal)
    to = visit.link("settings", "alerts", one.record.id)
    return Redirect(to=to, notice=notice, tone=tone)  # type: ignore[arg-type]


def _changes(form: Form, one: Channel) -> dict[str, Any]:
    is_mail = one.record.kind == "email"
    addresses = _addresses(form["emails"]) if is_mail else None
    return {
        "name": form["name"].strip(),
        "url": None if is_mail else form.text("url"),
        "secretKey": None if is_mail else "" if form["unsigned"] == "true" else form["key"] or None,
        "emails": addresses,
        "alerts": _alerts(form),
        **_options(form),
    }


@pages.get("/{organization}/settings/alerts/{channel}/delete")
async def ask_to_delete(visit: Visit, channel: str) -> Answer:
    """What is not told any more, and the name to type."""
    return await _deletion(visit, await alert_channels.get(visit.ctx, channel), None)


async def _deletion(visit: Visit, one: Channel, refusal: Refusal | None) -> Page:
    data = {
        "may": await _may(visit),
        "channel": one,
        "to": visit.link("settings", "alerts", one.record.id),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    title = f"Delete {one.record.name}"
    return Page(template="identities/alert_delete.html", title=title, data=data, status=status)


@pages.post("/{organization}/settings/alerts/{channel}/delete")
async def delete(visit: Visit, channel: str) -> Answer:
    """Delete a channel; what was waiting for it is dropped."""
    one = await alert_channels.get(visit.ctx, channel)
    name = one.record.name
    if visit.form["name"].strip() != name:
        return await _deletion(visit, one, Invalid.of("name", f"Type {name} to delete it: nothing was deleted"))
    try:
        require_proof(visit)
        await alert_channels.remove(visit.ctx, one.record.id)
    except (ProofWanted, NotFound):
        raise
    except REFUSALS as refusal:
        return await _deletion(visit, one, refusal)
    return Redirect(to=visit.link("settings", "alerts"), notice=f"The channel {name} is deleted")
