"""The list of identities: search, facets, what is done with several at once, and the list as a file."""

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from watchword.domain.errors import Invalid, Refusal
from watchword.services.access import roles
from watchword.services.access.scopes import own_org
from watchword.services.authentication import live_tokens
from watchword.services.authentication.live_tokens import RevokeLiveTokens
from watchword.services.context import Ctx
from watchword.services.identities import directory, lifecycle, project_members
from watchword.services.identities.identities import IdentityQuery
from watchword.services.identities.lifecycle import Disable
from watchword.services.projects import projects
from watchword.services.projects.members import AddMember
from watchword.services.projects.projects import ProjectDetails
from watchword.services.scope_refs import ScopeRef
from watchword.web.access.role_entries import new_role, span, with_one_for_good
from watchword.web.exports import csv_file
from watchword.web.identities.subject import place_of, role_name, state_of
from watchword.web.identities.tiles import tiles
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import count, exact, plural

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
FACETS: Final = ("method", "role", "project", "owner", "metadata")
_MOST_PAIRS: Final = 30  # pairs of metadata that are offered


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
        metadata=[_pair(text) for text in asked.all("metadata")],
        descending=asked["down"] == "1",
        at=visit.ctx.now,
        **page,
    )


def _pair(text: str) -> tuple[str, str]:
    """Read `team=payments`; a key alone is any value of it."""
    key, _, value = text.partition("=")
    return key.strip(), value.strip()


@pages.get("/{organization}/identities")
async def identities(visit: Visit) -> Answer:
    """The identities of the organization."""
    ctx, asked = visit.ctx, visit.query
    if asked.text("key"):  # from the form of the facet of metadata
        value = asked.text("value")
        chosen = [*asked.all("metadata"), f"{asked['key'].strip()}={value}" if value else asked["key"].strip()]
        return Redirect(to=visit.again(key=None, value=None, metadata=chosen, after=None, before=None, n=None))
    is_filtered = any(asked[name] for name in ("q", "state", *FACETS))
    found = await directory.part(
        ctx,
        _query(visit),
        after=asked["after"][:64],
        before=asked["before"][:64],
        size=SIZE,
        is_narrowed=is_filtered,
    )
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
    joined = await or_none(projects.mine(ctx)) or []
    data = {
        "rows": rows,
        "counted": _counted(visit, found),
        "part": found,
        "size": SIZE,
        "n": _position(visit),
        "states": STATES,
        "facets": await _facets(visit, found.items, joined),
        "is_filtered": is_filtered,
        "tiles": () if rows or is_filtered else tiles(ctx),
        "may_create": ctx.may(scope, "create", "identity"),
        "may_edit": ctx.may(scope, "edit", "identity"),
        "may_end_tokens": ctx.may(scope, "edit", "identity") or ctx.may(scope, "delete-token", "identity"),
        "joinable": [(each.project.id, each.project.name) for each in joined],
        "roles": await _project_roles(visit, joined),
    }
    return Page(template="identities/list.html", title="Identities", data=data)


def _position(visit: Visit) -> int:
    """How many rows come before the page, as the links of the pages say; only for being shown."""
    text = visit.query["n"]
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0


def _counted(visit: Visit, found: directory.Part) -> str:
    begin, shown = _position(visit), len(found.items)
    if not shown:
        return ""
    part = f"{count(begin + 1)} to {count(begin + shown)}"
    if found.total is None:
        return part
    return f"{part} of {count(found.total)}{' and more' if found.total >= directory.MOST_COUNTED else ''}"


async def _project_roles(visit: Visit, joined: Sequence[ProjectDetails]) -> list[tuple[str, str]]:
    usual = [("viewer", "Viewer"), ("member", "Developer"), ("admin", "Admin"), ("no-access", "No access")]
    if not joined:
        return usual
    held = await or_none(roles.every(visit.ctx, ScopeRef(project_id=joined[0].project.id)))
    return [(role.slug, role.name) for role in held] if held else usual


async def _facets(
    visit: Visit, listed: Sequence[directory.Listed], joined: Sequence[ProjectDetails]
) -> list[dict[str, Any]]:
    ctx = visit.ctx
    held = await or_none(roles.every(ctx, ScopeRef(org_id=visit.organization.id)))
    owned = await or_none(directory.owners(ctx))
    pairs_seen = dict.fromkeys(
        f"{item.key}={item.value}" for row in listed for item in row.details.metadata if "=" not in item.key
    )
    options: dict[str, Sequence[tuple[str, str]]] = {
        "method": [(method.slug, method.title) for method in ctx.runtime.methods.values()],
        "role": [(role.slug, role.name) for role in held or ()],
        "project": [(each.project.id, each.project.name) for each in joined],
        "owner": [(owner, owner) for owner in owned or ()],
        "metadata": [(pair, pair.replace("=", " = ", 1)) for pair in list(pairs_seen)[:_MOST_PAIRS]],
    }
    first = {"after": None, "before": None, "n": None}
    shown = []
    for name, pairs in options.items():
        chosen = visit.query.all(name)
        names = dict(pairs)
        pills = [
            (names.get(value, value), visit.again(**{name: [x for x in chosen if x != value], **first}))
            for value in chosen
        ]
        links = [
            (text, visit.again(**{name: [*chosen, value], **first})) for value, text in pairs if value not in chosen
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


async def _join(visit: Visit, id: str) -> None:
    form = visit.form
    entry = new_role(form["role"] or "viewer", span(form["until"], "until"), visit.ctx.now)
    await project_members.add(visit.ctx, form["project"], id, AddMember(roles=with_one_for_good([entry])))


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
    carry_out: Callable[[str], Awaitable[None]]
    if act == "join":
        if not visit.form["project"]:
            return Redirect(to=visit.link("identities"), notice="Choose a project to add them to", tone="warn")
        name = (await projects.get(visit.ctx, visit.form["project"])).project.name
        text, carry_out = "{} added to " + name.replace("{", "(").replace("}", ")"), partial(_join, visit)
    elif act in _ACTS:
        text, one = _ACTS[act]
        carry_out = partial(one, visit.ctx)
    else:
        raise Invalid.of("act", f"One of {', '.join((*_ACTS, 'join', 'export'))}")
    done, refused = 0, dict[str, int]()
    for id in picked:
        try:
            visit.ctx.begin_now()
            await carry_out(id)
            done += 1
        except Refusal as refusal:
            refused[refusal.message] = refused.get(refusal.message, 0) + 1
    said = [text.format(plural(done, "identity", "identities"))] if done else []
    said += [
        f"{plural(times, 'identity', 'identities')} left as before: {message}" for message, times in refused.items()
    ]
    tone = "ok" if not refused else "warn" if done else "bad"
    return Redirect(to=visit.link("identities"), notice=". ".join(said), tone=tone)  # type: ignore[arg-type]


async def _export_picked(visit: Visit, picked: Sequence[str]) -> Answer:
    found = [(await directory.page(visit.ctx, IdentityQuery(wide=id, limit=2))).items for id in picked]
    rows = [row for rows in found for row in rows if row.details.identity.id in picked]
    return _csv(visit, rows)
