"""The authentication tab of an identity: add, change and remove its methods, their credentials and lockouts."""

from typing import Any

from watchword.domain.errors import BadRequest, Forbidden, Refusal, Unauthorized
from watchword.services.audit import events
from watchword.services.authentication import auth_methods, client_secrets, method_bodies, named_tokens, trying
from watchword.services.authentication.client_secrets import CreateClientSecret, RotateClientSecret
from watchword.services.authentication.method_bodies import Method
from watchword.services.authentication.named_tokens import CreateNamedToken
from watchword.services.authentication.risks import judged, mending
from watchword.web import method_forms
from watchword.web.authentication.cards import cards
from watchword.web.console import require_proof
from watchword.web.forms import Form, duration, duration_text, read
from watchword.web.identities.snippets import secret_field, snippets
from watchword.web.identities.subject import Subject, method_of, subject, tab
from watchword.web.identities.tiles import tiles
from watchword.web.pages import MOST_PASTED, Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import plural

pages = Pages()
_BASE = "/{organization}/identities/{identity}/authentication"


@pages.get(_BASE)
async def authentication(visit: Visit, identity: str) -> Answer:
    """The ways of an identity to log in."""
    return await _tab(visit, await subject(visit, identity))


async def _tab(visit: Visit, about: Subject, refusal: Refusal | None = None, **shown: Any) -> Page:
    free = [tile for tile in tiles(visit.ctx) if tile.method.slug not in about.details.methods]
    data = {
        "cards": await cards(visit, about),
        "tiles": free,
        "made": None,
        "faults": Faults(refusal),
        "form": visit.form,
        "asks": visit.query["ask"],
        **shown,
    }
    status = refusal.status if refusal else 200
    return tab(about, "authentication", "authentication/methods.html", status=status, **data)


@pages.get(_BASE + "/add/{where}")
async def add_form(visit: Visit, identity: str, where: str) -> Answer:
    """The form of one more method."""
    about = await subject(visit, identity)
    return _form(visit, about, where, None)


def _form(visit: Visit, about: Subject, where: str, refusal: Refusal | None) -> Page:
    tile = next((tile for tile in tiles(visit.ctx) if tile.value == where), None)
    method = tile.method if tile else method_of(visit.ctx, where)
    if refusal is None:
        own = {method.audience: visit.origin} if tile and method.audience in tile.required else {}
        items = method_forms.filled(method, {**own, **tile.settings} if tile and tile.settings else None)
    else:
        items = method_forms.sent(method, visit.form)
    data = {"method": method, "items": items, "faults": Faults(refusal), "tile": tile, "where": where, "is_new": True}
    status = refusal.status if refusal else 200
    title = f"{tile.place if tile else method.title} for {about.identity.name}"
    return tab(about, "authentication", "authentication/form.html", title=title, status=status, **data)


@pages.post(_BASE + "/add/{where}", most=MOST_PASTED)
async def add(visit: Visit, identity: str, where: str) -> Answer:
    """Give an identity one more way to log in."""
    tile = next((tile for tile in tiles(visit.ctx) if tile.value == where), None)
    method = tile.method if tile else method_of(visit.ctx, where)
    try:
        wire = method_forms.read(method, visit.form)
        await auth_methods.attach(visit.ctx, method, identity, wire)
    except Refusal as refusal:
        return _form(visit, await subject(visit, identity), where, refusal)
    notice = f"{method.title} is added. A login can be tested now"
    return Redirect(to=visit.link("identities", identity, "authentication"), notice=notice)


@pages.get(_BASE + "/{method}")
async def edit_form(visit: Visit, identity: str, method: str) -> Answer:
    """The settings of a method, as a form."""
    about, found = await subject(visit, identity), method_of(visit.ctx, method)
    return await _edit(visit, about, found, None)


async def _edit(visit: Visit, about: Subject, method: Method, refusal: Refusal | None) -> Page:
    attached = await auth_methods.get(visit.ctx, method, about.identity.id)
    wire = {**method_bodies.common_wire(method, attached.record), **attached.settings}
    items = method_forms.sent(method, visit.form) if refusal else method_forms.filled(method, wire)
    data = {"method": method, "items": items, "faults": Faults(refusal), "tile": None, "where": "", "is_new": False}
    status = refusal.status if refusal else 200
    title = f"{method.title} of {about.identity.name}"
    return tab(about, "authentication", "authentication/form.html", title=title, status=status, **data)


@pages.post(_BASE + "/{method}", most=MOST_PASTED)
async def edit(visit: Visit, identity: str, method: str) -> Answer:
    """Change the settings of a method."""
    found = method_of(visit.ctx, method)
    try:
        wire = method_forms.read(found, visit.form)
        await auth_methods.update(visit.ctx, found, identity, wire)
    except Refusal as refusal:
        return await _edit(visit, await subject(visit, identity), found, refusal)
    return Redirect(to=visit.link("identities", identity, "authentication"), notice=f"{found.title} is changed")


@pages.get(_BASE + "/{method}/remove")
async def remove_form(visit: Visit, identity: str, method: str) -> Answer:
    """What ends when a method is removed."""
    return await _remove_form(visit, identity, method, None)


async def _remove_form(visit: Visit, identity: str, method: str, refusal: Refusal | None) -> Page:
    about, found = await subject(visit, identity), method_of(visit.ctx, method)
    card = next((card for card in await cards(visit, about) if card.method.slug == found.slug), None)
    data = {"method": found, "card": card, "faults": Faults(refusal)}
    status = refusal.status if refusal else 200
    title = f"Remove {found.title}"
    return tab(about, "authentication", "authentication/remove.html", title=title, status=status, **data)


@pages.post(_BASE + "/{method}/remove")
async def remove(visit: Visit, identity: str, method: str) -> Answer:
    """Remove a method; its tokens end at once."""
    about, found = await subject(visit, identity), method_of(visit.ctx, method)
    if visit.form["confirm"].strip() != about.identity.name.strip():
        return await _remove_form(
            visit, identity, method, BadRequest("Nothing was removed: that is not the name of this identity")
        )
    require_proof(visit)
    await auth_methods.remove(visit.ctx, found, identity)
    notice = f"{found.title} is removed, and the tokens that it issued are refused"
    return Redirect(to=visit.link("identities", identity, "authentication"), notice=notice)


@pages.post(_BASE + "/{method}/lockouts")
async def reset(visit: Visit, identity: str, method: str) -> Answer:
    """Forget the failed logins of a method, so that the identity can log in again."""
    found = method_of(visit.ctx, method)
    cleared = await auth_methods.clear_lockouts(visit.ctx, found, identity)
    notice = "The lockout is reset" if cleared else "There was no failed login to forget"
    return Redirect(to=visit.link("identities", identity, "authentication"), notice=notice)


@pages.post(_BASE + "/{method}/mend")
async def mend(visit: Visit, identity: str, method: str) -> Answer:
    """End a danger of a method by the settings that are known to end it."""
    form, found = visit.form, method_of(visit.ctx, method)
    attached = await auth_methods.get(visit.ctx, found, identity)
    here = visit.link("identities", identity, "authentication")
    for risk in judged(found, attached.record, attached.settings):
        change = mending(risk, attached.record)
        if (risk.code, risk.field) == (form["code"], form["field"]) and change:
            await auth_methods.update(visit.ctx, found, identity, change)
            return Redirect(to=here, notice=f"Mended: {found.title} is changed")
    return Redirect(to=here, notice="There was nothing to mend any more", tone="warn")


@pages.post(_BASE + "/{method}/refresh")
async def refresh(visit: Visit, identity: str, method: str) -> Answer:
    """Fetch again what a method keeps of another server."""
    found = method_of(visit.ctx, method)
    if found.refresh is None:
        raise BadRequest(f"{found.title} fetches nothing")
    await auth_methods.refresh(visit.ctx, found, identity)
    notice = f"The {found.refresh.title} is fetched again"
    return Redirect(to=visit.link("identities", identity, "authentication"), notice=notice)


@pages.post(_BASE + "/{method}/secrets")
async def make_secret(visit: Visit, identity: str, method: str) -> Answer:
    """Make a client secret, or one in place of another; it is shown this once."""
    ctx, form, found = visit.ctx, visit.form, method_of(visit.ctx, method)
    old = form["rotate"]
    try:
        if old:
            overlap = duration(form["overlap"] or "24h", "overlap")
            body = read(RotateClientSecret, {"overlap": overlap})
            made = await client_secrets.rotate(ctx, found, identity, old, body)
        else:
            made = await client_secrets.create(ctx, found, identity, read(CreateClientSecret, wish_of(form)))
    except Refusal as refusal:
        return await _tab(visit, await subject(visit, identity), refusal, asks=f"secret-{found.slug}")
    about = await subject(visit, identity)
    attached = await auth_methods.get(ctx, found, identity)
    shown = {
        "method": found,
        "value": made.secret.reveal(),
        "title": "New client secret, in place of another" if old else "Client secret made",
        "name": made.record.description or f"{made.record.prefix}…",
        "old_ends": form["overlap"] or "24h" if old else "",
        "locator": str(attached.settings.get(found.locator, "")) if found.locator else "",
        "is_token": False,
        "snippets": snippets(visit.origin, found, identity, attached.settings),
    }
    return await _tab(visit, about, made=shown, holds_secrets=True)


def wish_of(form: Form) -> dict[str, Any]:
    """Return the new client secret that a form asks for. Raises Invalid."""
    return {
        "description": form["description"],
        "ttl": duration(form["ttl"], "ttl"),
        "numUsesLimit": form.text("numUsesLimit"),
    }


@pages.post(_BASE + "/{method}/secrets/{secret}/revoke")
async def revoke_secret(visit: Visit, identity: str, method: str, secret: str) -> Answer:
    """Revoke a client secret and the tokens that were issued for it."""
    found = method_of(visit.ctx, method)
    record = await client_secrets.revoke(visit.ctx, found, identity, secret)
    name = record.description or f"{record.prefix}…"
    notice = f"The client secret {name} is revoked, with the tokens that were issued for it"
    return Redirect(to=visit.link("identities", identity, "authentication"), notice=notice)


@pages.post(_BASE + "/{method}/named-tokens")
async def make_token(visit: Visit, identity: str, method: str) -> Answer:
    """Make a token; it is shown this once."""
    found = method_of(visit.ctx, method)
    try:
        body = read(CreateNamedToken, {"name": visit.form.text("name")})
        made = await named_tokens.create(visit.ctx, found, identity, body)
    except Refusal as refusal:
        return await _tab(visit, await subject(visit, identity), refusal, asks=f"token-{found.slug}")
    shown = {
        "method": found,
        "value": made.issued.token,
        "title": "Token made",
        "name": made.token.row.name or made.token.row.id,
        "old_ends": "",
        "locator": "",
        "is_token": True,
        "snippets": snippets(visit.origin, found, identity, {}),
    }
    return await _tab(visit, await subject(visit, identity), made=shown, holds_secrets=True)


@pages.post(_BASE + "/{method}/named-tokens/{token}/revoke")
async def revoke_token(visit: Visit, identity: str, method: str, token: str) -> Answer:
    """Revoke a named token."""
    await named_tokens.revoke(visit.ctx, method_of(visit.ctx, method), token)
    notice = "The token is revoked: the next request with it is refused, on every server"
    return Redirect(to=visit.link("identities", identity, "authentication"), notice=notice)


@pages.post(_BASE + "/{method}/try")
async def try_now(visit: Visit, identity: str, method: str) -> Answer:
    """Log in with a secret that was just made, and say what came back, on a page that does not hold it."""
    ctx, form, found = visit.ctx, visit.form, method_of(visit.ctx, method)
    here = visit.link("identities", identity, "authentication")
    try:
        if found.login is None:
            tried = await trying.use_token(ctx, found, identity, form["proof"])
        else:
            secret = secret_field(found)
            sent = {secret: form["proof"]} | ({found.locator: form["locator"]} if found.locator else {})
            tried = await trying.log_in(ctx, found, identity, sent)
    except Unauthorized as refusal:
        known = await or_none(events.denial(ctx, ctx.request_id))
        to = visit.link("denials", ctx.request_id) if known else here
        return Redirect(to=to, notice=f"It was refused: {refusal.message}", tone="bad")
    except Forbidden as refusal:
        return Redirect(to=here, notice=f"It was refused: {refusal.message}", tone="bad")
    names = ", ".join(tried.projects[:5]) + (f" and {len(tried.projects) - 5} more" if len(tried.projects) > 5 else "")
    sees = f"It sees {plural(len(tried.projects), 'project')}: {names}" if names else "It is in no project yet"
    came = (
        "The token works"
        if tried.lives is None
        else f"The login was admitted. Its token lives {duration_text(tried.lives) if tried.lives else 'without end'}, "
        "and was revoked again"
    )
    return Redirect(to=here, notice=f"{came}. {sees}")
