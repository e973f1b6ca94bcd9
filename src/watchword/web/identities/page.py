"""The pages of one identity: overview, tokens, activity and settings.

Its access is in `access.py`, its methods are in `authentication/`.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import Invalid, Refusal
from watchword.services.access import roles
from watchword.services.audit import events
from watchword.services.authentication import client_secrets, live_tokens
from watchword.services.authentication.live_tokens import LiveTokensQuery, RevokeLiveTokens
from watchword.services.identities import identities, lifecycle
from watchword.services.identities.identities import MetadataItem, UpdateIdentity
from watchword.services.identities.lifecycle import Disable
from watchword.services.scope_refs import ScopeRef
from watchword.services.timestamps import iso
from watchword.web.authentication.cards import cards
from watchword.web.authentication.denials import grouped
from watchword.web.console import require_proof
from watchword.web.forms import Form, moment
from watchword.web.identities.access import joined_project
from watchword.web.identities.subject import Subject, place_of, role_name, subject, tab
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import exact, plural

pages = Pages()
_SHOWN: Final = 50
_WHY: Final = {
    "identity_disabled": "Refused while the identity is disabled",
    "identity_expired": "Refused: the identity has expired",
    "not_a_member": "Refused: the identity is no active member",
}


@pages.get("/{organization}/identities/{identity}")
async def overview(visit: Visit, identity: str) -> Answer:
    """What is known of an identity at a glance."""
    ctx = visit.ctx
    about = await subject(visit, identity)
    _, joined = await identities.projects_of(ctx, identity)
    refused = await or_none(events.denials(ctx, events.DenialsWanted(identity_id=identity, limit=5)))
    data: dict[str, Any] = {
        "joined": [joined_project(visit, one) for one in joined],
        "refused": refused,
        "cards": await cards(visit, about),
        "role": role_name(about.details),
    }
    return tab(about, "overview", "identities/overview.html", title=about.identity.name, **data)


@pages.post("/{organization}/identities/{identity}/disable")
async def disable(visit: Visit, identity: str) -> Answer:
    """Stop every login and every token of an identity, until it is enabled again."""
    found = await lifecycle.disable(visit.ctx, identity, Disable())
    notice = f"{found.identity.name} is disabled: no login and no token of it works any more, on any server"
    return Redirect(to=visit.link("identities", identity), notice=notice)


@pages.post("/{organization}/identities/{identity}/enable")
async def enable(visit: Visit, identity: str) -> Answer:
    """Let an identity log in again."""
    found = await lifecycle.enable(visit.ctx, identity)
    notice = f"{found.identity.name} is enabled: its logins and the tokens that have not ended work again"
    return Redirect(to=visit.link("identities", identity), notice=notice)


@pages.get("/{organization}/identities/{identity}/tokens")
async def tokens(visit: Visit, identity: str) -> Answer:
    """The live tokens of an identity."""
    ctx = visit.ctx
    about = await subject(visit, identity)
    asked = visit.query
    wanted = LiveTokensQuery(
        auth_method=asked.text("method"),
        client_secret_id=asked.text("secret"),
        cursor=asked["cursor"],
        limit=_SHOWN,
    )
    page = await live_tokens.every(ctx, identity, wanted)
    data: dict[str, Any] = {
        "secrets": await _secret_names(visit, about),
        "filters": [(name, asked[name]) for name in ("method", "secret") if asked[name]],
        "tokens": [
            {
                "token": token,
                "place": place_of(ctx, token.method),
                "why": _WHY.get(page.suspended.get(token.org_id, ""), ""),
            }
            for token in page.tokens
        ],
        "next": page.next_cursor,
        "methods": [(slug, place_of(ctx, slug)[1]) for slug in about.details.methods],
    }
    return tab(about, "tokens", "identities/tokens.html", **data)


async def _secret_names(visit: Visit, about: Subject) -> dict[str, str]:
    """Return the descriptions of client secrets, by id; none to a reader who may not list them."""
    names: dict[str, str] = {}
    for slug in about.details.methods:
        method = visit.ctx.runtime.methods.get(slug)
        if method is not None and method.has_client_secrets:
            found = await or_none(client_secrets.every(visit.ctx, method, about.identity.id, with_revoked=True))
            names |= {secret.id: secret.description or f"{secret.prefix}…" for secret in found or ()}
    return names


@pages.post("/{organization}/identities/{identity}/tokens")
async def revoke(visit: Visit, identity: str) -> Answer:
    """Revoke one token, or all of a method, of a client secret or of the identity."""
    form, ctx = visit.form, visit.ctx
    if form["token"]:
        token = await live_tokens.revoke(ctx, identity, form["token"])
        notice = f"The token {token.id} is revoked: the next request with it is refused, on every server"
    else:
        await live_tokens.revoke_all(ctx, identity, which_of(form))
        notice = (
            "Revoked: every token that was issued until now is refused, on every server. What issued them stays good"
        )
    return Redirect(to=visit.link("identities", identity, "tokens"), notice=notice)


def which_of(form: Form) -> RevokeLiveTokens:
    """Return which tokens a form revokes."""
    return RevokeLiveTokens(
        auth_method=form.text("method"), client_secret_id=form.text("secret"), all=form["all"] == "true"
    )


@pages.get("/{organization}/identities/{identity}/activity")
async def activity(visit: Visit, identity: str) -> Answer:
    """What an identity did, and what was done to it; refused logins stand first."""
    ctx = visit.ctx
    about = await subject(visit, identity)
    offset = visit.query.offset
    kind = visit.query["kind"]
    wanted = (
        events.AuditFilter(event_metadata=f"identityId={identity}", offset=offset, limit=_SHOWN + 1)
        if kind == "to"
        else events.AuditFilter(actor_type="identity", actor=identity, offset=offset, limit=_SHOWN + 1)
    )
    found = await events.find(ctx, wanted) if kind != "refused" else []
    most = _SHOWN if kind == "refused" else 10
    denied = await or_none(events.denials(ctx, events.DenialsWanted(identity_id=identity, limit=most)))
    refused = None if denied is None else grouped(denied)
    data: dict[str, Any] = {
        "events": [one.event for one in found[:_SHOWN]],
        "has_more": len(found) > _SHOWN,
        "offset": offset,
        "size": _SHOWN,
        "refused": refused,
        "kind": kind,
    }
    return tab(about, "activity", "identities/activity.html", **data)


@pages.get("/{organization}/identities/{identity}/settings")
async def settings(visit: Visit, identity: str) -> Answer:
    """The name, owner, end and metadata of an identity; how to delete it."""
    return await _settings(visit, identity, None)


async def _settings(visit: Visit, identity: str, refusal: Refusal | None) -> Page:
    ctx = visit.ctx
    about = await subject(visit, identity)
    record = about.identity
    held = await or_none(roles.every(ctx, ScopeRef(org_id=visit.organization.id)))
    current = [role.slug if role else item.role for item, role in about.details.roles]
    form = visit.form if refusal is not None and "confirm" not in visit.form else _shown(about, current)
    options = [(role.slug, role.name) for role in held or ()] or [(slug, slug) for slug in current]
    data: dict[str, Any] = {
        "form": form,
        "rows": form.rows("key", "value"),
        "faults": Faults(refusal),
        "roles": options,
        "has_one_role": len(current) == 1 and record.project_id is None,
        "breaks": await _breaks(visit, about),
    }
    return tab(about, "settings", "identities/settings.html", status=refusal.status if refusal else 200, **data)


def _shown(about: Subject, current: Sequence[str]) -> Form:
    record = about.identity
    pairs = [
        ("name", record.name),
        ("owner", record.owner or ""),
        ("ends", exact(record.expires_at)[:16] if record.expires_at else ""),
        ("role", current[0] if current else ""),
        ("hasDeleteProtection", "true" if record.has_delete_protection else ""),
    ]
    for item in about.details.metadata:
        pairs += [("key", item.key), ("value", item.value)]
    return Form(pairs)


async def _breaks(visit: Visit, about: Subject) -> list[str]:
    """Return what ends with an identity."""
    ctx, record = visit.ctx, about.identity
    _, joined = await identities.projects_of(ctx, record.id)
    live = await or_none(live_tokens.every(ctx, record.id, LiveTokensQuery(limit=200)))
    lines = []
    if live is not None:
        count = plural(len(live.tokens), "token")
        lines.append(f"{count}{' or more' if live.next_cursor else ''} alive")
    used = f"last login {exact(record.last_login_at)}" if record.last_login_at else "never logged in"
    return [
        *lines,
        used,
        f"in {plural(len(joined), 'project')}",
        f"{plural(len(about.details.methods), 'way')} to log in",
    ]


@pages.post("/{organization}/identities/{identity}/settings")
async def change_settings(visit: Visit, identity: str) -> Answer:
    """Change an identity."""
    try:
        await identities.update(visit.ctx, identity, await changes_of(visit, identity))
    except Refusal as refusal:
        return await _settings(visit, identity, refusal)
    return Redirect(to=visit.link("identities", identity, "settings"), notice="Saved")


async def changes_of(visit: Visit, identity: str) -> UpdateIdentity:
    """Return what the form changes. Raises Invalid."""
    form = visit.form
    ends = moment(form["ends"], visit.ctx.now, "expiresAt")
    try:
        items = [msgspec.convert(row, MetadataItem) for row in form.rows("key", "value")]
    except msgspec.ValidationError:
        raise Invalid.of("metadata", "A row has a name of at most 255 characters and a value of at most 1020") from None
    return UpdateIdentity(
        name=form["name"].strip() or None,
        has_delete_protection=form["hasDeleteProtection"] == "true",
        metadata=items,
        role=await _new_role(visit, identity),
        expires_at=iso(ends) if ends is not None else None,
        owner=form.text("owner"),
    )


async def _new_role(visit: Visit, identity: str) -> str | None:
    """Return the role that was chosen, if it is another one."""
    chosen = visit.form["role"]
    details = await identities.get(visit.ctx, identity)
    current = [role.slug if role else held.role for held, role in details.roles]
    return chosen if chosen and len(current) == 1 and chosen != current[0] else None


@pages.post("/{organization}/identities/{identity}/delete")
async def delete(visit: Visit, identity: str) -> Answer:
    """Delete an identity once its name was typed and the password was entered."""
    found = await identities.get(visit.ctx, identity)
    if visit.form["confirm"].strip() != found.identity.name.strip():
        fault = Invalid.of("confirm", "Nothing was deleted: that is not the name of this identity")
        return await _settings(visit, identity, fault)
    require_proof(visit)
    await identities.remove(visit.ctx, identity)
    return Redirect(
        to=visit.link("identities"), notice=f"{found.identity.name} is deleted, with its tokens and memberships"
    )
