"""The list of identities: search, facets, what is done with several at once, and the list as a file."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from watchword.domain.errors import Invalid, Refusal
from watchword.services.access import roles
from watchword.services.access.scopes import own_org
from watchword.services.authentication import live_tokens
from watchword.services.authentication.live_tokens import RevokeLiveTokens
from watchword.services.context import Ctx
from watchword.services.identities import directory, lifecycle
from watchword.services.identities.identities import IdentityQuery
from watchword.services.identities.lifecycle import Disable
from watchword.services.projects import projects
from watchword.services.scope_refs import ScopeRef
from watchword.web.exports import csv_file
from watchword.web.identities.subject import place_of, role_name, state_of
from watchword.web.identities.tiles import tiles
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import exact, plural

pages = Pages()
SIZE: Final = 50
MOST_EXPORTED: Final = 10_000
STATES: Final = (
    ("", "All"),
    ("active", "Active"),
    ("unused", "Unused 30 d"),
    ("never-used", "Never used"),
    ("disabled", "Disabled"),
    ("locked", "Locked out"),
    ("expired", "Expired"),
)
FACETS: Final = ("method", "role", "project", "owner")


def _query(visit: Visit, **page: Any) -> IdentityQuery:
    asked = visit.query
    state = asked["state"] if asked["state"] in dict(STATES) else ""
    return IdentityQuery(
        wide=(asked.text("q") or "")[:255],
        state=state,  # type: ignore[arg-type]
        methods=asked.all("method"),
        roles=asked.all("role"),
        projects=asked.all("project"),
        owners=asked.all("owner"),
        order_by="role" if asked["sort"] == "role" else "name",
        descending=asked["down"] == "1",
        at=visit.ctx.now,
        **page,
    )


@pages.get("/{organization}/identities")
async def identities(visit: Visit) -> Answer:
    """The identities of the organization."""
    ctx = visit.ctx
    offset = visit.query.offset
    found = await directory.page(ctx, _query(visit, offset=offset, limit=SIZE))
    scope = await own_org(ctx)
    rows = [
        {
            "details": row.details,
            "identity": row.details.identity,
            "chips": state_of(row.details, ctx.now),
            "methods": [place_of(ctx, slug) for slug in row.details.methods],
            "projects": row.projects,
            "role": role_name(row.details),
        }
        for row in found.items
    ]
    is_filtered = any(visit.query[name] for name in ("q", "state", *FACETS))
    data = {
        "rows": rows,
        "total": found.total,
        "offset": offset,
        "size": SIZE,
        "states": STATES,
        "facets": await _facets(visit),
        "is_filtered": is_filtered,
        "tiles": () if rows or is_filtered else tiles(ctx),
        "may_create": ctx.may(scope, "create", "identity"),
        "may_edit": ctx.may(scope, "edit", "identity"),
    }
    return Page(template="identities/list.html", title="Identities", data=data)


async def _facets(visit: Visit) -> list[dict[str, Any]]:
    ctx = visit.ctx
    held = await or_none(roles.every(ctx, ScopeRef(org_id=visit.organization.id)))
    joined = await or_none(projects.mine(ctx))
    owned = await or_none(directory.owners(ctx))
    options: dict[str, Sequence[tuple[str, str]]] = {
        "method": [(method.slug, method.title) for method in ctx.runtime.methods.values()],
        "role": [(role.slug, role.name) for role in held or ()],
        "project": [(each.project.id, each.project.name) for each in joined or ()],
        "owner": [(owner, owner) for owner in owned or ()],
    }
    shown = []
    for name, pairs in options.items():
        chosen = visit.query.all(name)
        names = dict(pairs)
        pills = [
            (names.get(value, value), visit.again(**{name: [x for x in chosen if x != value], "offset": None}))
            for value in chosen
        ]
        links = [
            (text, visit.again(**{name: [*chosen, value], "offset": None}))
            for value, text in pairs
            if value not in chosen
        ]
        shown.append({"name": name, "pills": pills, "links": links})
    return shown


@pages.post("/{organization}/identities/export")
async def export(visit: Visit) -> Answer:
    """The identities of the list as CSV, the first `MOST_EXPORTED`."""
    found = await directory.page(visit.ctx, _query(visit, offset=0, limit=MOST_EXPORTED))
    return _csv(visit, found.items)


def _csv(visit: Visit, listed: Sequence[directory.Listed]) -> Answer:
    header = (
        "id",
        "name",
        "owner",
        "role",
        "methods",
        "projects",
        "state",
        "last login",
        "last login address",
        "created",
        "ends",
    )
    rows = []
    for row in listed:
        identity = row.details.identity
        rows.append(
            (
                identity.id,
                identity.name,
                identity.owner,
                role_name(row.details),
                " ".join(row.details.methods),
                " ".join(project.slug for project in row.projects),
                ", ".join(chip.text for chip in state_of(row.details, visit.ctx.now)),
                exact(identity.last_login_at),
                identity.last_login_address,
                exact(identity.created_at),
                exact(identity.expires_at),
            )
        )
    return csv_file("identities.csv", header, rows)


async def _disable(ctx: Ctx, id: str) -> None:
    await lifecycle.disable(ctx, id, Disable())


async def _enable(ctx: Ctx, id: str) -> None:
    await lifecycle.enable(ctx, id)


async def _revoke(ctx: Ctx, id: str) -> None:
    await live_tokens.revoke_all(ctx, id, RevokeLiveTokens(all=True))


_ACTS: Final[dict[str, tuple[str, Callable[[Ctx, str], Awaitable[None]]]]] = {
    "disable": ("{} disabled: no login and no token works any more", _disable),
    "enable": ("{} enabled", _enable),
    "revoke-tokens": ("All tokens of {} revoked, on every server", _revoke),
}


@pages.post("/{organization}/identities/several")
async def several(visit: Visit) -> Answer:
    """Do one thing with the identities that were picked; what is refused for one is done for the others."""
    picked = list(dict.fromkeys(visit.form.all("pick")))[:SIZE]
    if not picked:
        return Redirect(to=visit.link("identities"), notice="Nothing was picked, so nothing was done", tone="warn")
    act = visit.form["act"]
    if act == "export":
        return await _export_picked(visit, picked)
    if act not in _ACTS:
        raise Invalid.of("act", f"One of {', '.join((*_ACTS, 'export'))}")
    text, carry_out = _ACTS[act]
    done, refused = 0, dict[str, int]()
    for id in picked:
        try:
            await carry_out(visit.ctx, id)
            done += 1
        except Refusal as refusal:
            refused[refusal.message] = refused.get(refusal.message, 0) + 1
    said = [text.format(plural(done, "identity", "identities"))] if done else []
    said += [
        f"{plural(count, 'identity', 'identities')} left as before: {message}" for message, count in refused.items()
    ]
    tone = "ok" if not refused else "warn" if done else "bad"
    return Redirect(to=visit.link("identities"), notice=". ".join(said), tone=tone)  # type: ignore[arg-type]


async def _export_picked(visit: Visit, picked: Sequence[str]) -> Answer:
    found = [(await directory.page(visit.ctx, IdentityQuery(wide=id, limit=2))).items for id in picked]
    rows = [row for rows in found for row in rows if row.details.identity.id in picked]
    return _csv(visit, rows)
