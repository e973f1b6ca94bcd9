"""A new identity on one page: its name, where it runs, what it may do, and its limits."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import Invalid, Issue, Refusal
from watchword.services.access import roles
from watchword.services.authentication import auth_methods, client_secrets, method_bodies, named_tokens, suggestions
from watchword.services.authentication.client_secrets import CreateClientSecret
from watchword.services.authentication.named_tokens import CreateNamedToken
from watchword.services.authentication.suggestions import Suggestion
from watchword.services.identities import identities, project_members
from watchword.services.identities.identities import CreateIdentity, UpdateIdentity
from watchword.services.projects import projects
from watchword.services.projects.members import AddMember
from watchword.services.scope_refs import ScopeRef
from watchword.services.timestamps import iso
from watchword.web import method_forms
from watchword.web.access.role_entries import new_role, span, with_one_for_good
from watchword.web.forms import Form, moment, read
from watchword.web.identities.snippets import obtained, snippets
from watchword.web.identities.subject import subject
from watchword.web.identities.tiles import Tile, tiles
from watchword.web.pages import MOST_PASTED, Answer, Faults, Page, Pages, Visit
from watchword.web.parts import or_none

pages = Pages()
DEFAULT_ROLE: Final = "no-access"
PROJECT_ROLE: Final = "viewer"
_MOST_PROJECTS: Final = 50


class Membership(msgspec.Struct, frozen=True):
    """A project that the new identity joins."""

    project_id: str
    role: str
    seconds: int | None


@pages.get("/{organization}/identities/new")
async def form(visit: Visit) -> Answer:
    """The form of a new identity."""
    chosen = visit.query["where"]
    begun = [("where", chosen)] if chosen else []
    begun += [("project", project) for project in visit.query.all("project")]
    begun += [("role", PROJECT_ROLE) for _ in visit.query.all("project")]
    return await _form(visit, Form(begun), None, is_new=True)


async def _form(
    visit: Visit, form: Form, refusal: Refusal | None, *, is_new: bool = False, read_off: Suggestion | None = None
) -> Page:
    ctx = visit.ctx
    every = tiles(ctx)
    chosen = tile_of(every, form["where"]) if read_off is None else _tile_of(every, read_off)
    parts = [
        (
            tile,
            method_forms.filled(tile.method, _suggested(visit, tile, read_off))
            if tile is chosen and read_off is not None
            else method_forms.filled(tile.method, _preset(visit, tile))
            if is_new or tile is not chosen
            else method_forms.sent(tile.method, form, f"{tile.value}."),
        )
        for tile in every
    ]
    joined = await or_none(projects.mine(ctx)) or []
    held = await or_none(roles.every(ctx, ScopeRef(org_id=visit.organization.id))) or []
    rows = form.rows("project", "role", "until")
    data = {
        "form": form,
        "faults": Faults(refusal),
        "no_faults": Faults(),
        "limits_of": method_forms.limits_of,
        "read_off": read_off,
        "obtains": {tile.value: obtained(visit.origin, tile) for tile in every},
        "parts": parts,
        "chosen": chosen,
        "rows": rows
        or [
            {"project": joined[0].project.id if len(joined) == 1 and is_new else "", "role": PROJECT_ROLE, "until": ""}
        ],
        "projects": [("", "no project")] + [(each.project.id, each.project.name) for each in joined],
        "project_roles": await _project_roles(visit, [each.project.id for each in joined]),
        "roles": [(role.slug, role.name) for role in held] or [(DEFAULT_ROLE, "No access")],
        "default_role": form["orgRole"] or DEFAULT_ROLE,
    }
    status = refusal.status if refusal else 200
    return Page(template="identities/new.html", title="New identity", data=data, status=status)


def tile_of(every: Sequence[Tile], value: str) -> Tile:
    """Return the tile that was chosen, or else that of the usual method."""
    usual = next((tile for tile in every if tile.method.has_client_secrets), every[0])
    return next((tile for tile in every if tile.value == value), usual)


def _preset(visit: Visit, tile: Tile) -> dict[str, Any] | None:
    """Return what a preset fills in; where it says for whom tokens are made, that is this server."""
    if tile.settings is None:
        return None
    own = {tile.method.audience: visit.origin} if tile.method.audience in tile.required else {}
    return {**own, **tile.settings}


def _tile_of(every: Sequence[Tile], found: Suggestion) -> Tile:
    value = f"{found.method.slug}.{found.preset.name}" if found.preset else found.method.slug
    return tile_of(every, value)


def _suggested(visit: Visit, tile: Tile, found: Suggestion) -> dict[str, Any]:
    """Return what a token suggests, beside what the tile begins with."""
    return {**(_preset(visit, tile) or {}), **found.settings}


async def _project_roles(visit: Visit, project_ids: Sequence[str]) -> list[tuple[str, str]]:
    """Return the roles of the reader's projects; a custom one of a single project is offered for all, and refused."""
    names: dict[str, str] = {}
    for project_id in project_ids[:5]:
        for role in await or_none(roles.every(visit.ctx, ScopeRef(project_id=project_id))) or []:
            names.setdefault(role.slug, role.name)
    return list(names.items()) or [(PROJECT_ROLE, "Viewer")]


@pages.post("/{organization}/identities/new", most=MOST_PASTED)
async def create(visit: Visit) -> Answer:
    """Make the identity, its way to log in, its memberships, and its client secret where it has one.

    Everything is looked at before anything is made. What is refused later is said beside what was made.
    """
    form = visit.form
    if form["act"] == "show":  # without a script: show the fields of the chosen place
        return await _form(
            visit, form, None, is_new=not any(name.startswith(f"{form['where']}.") for name, _ in form.pairs)
        )
    if form["act"] == "fill":
        return await _fill(visit)
    tile = tile_of(tiles(visit.ctx), form["where"])
    try:
        wanted = wanted_of(visit, tile)
        made = await identities.create(visit.ctx, wanted.identity)
    except Refusal as refusal:
        return await _form(visit, form, refusal)
    return await _rest(visit, tile, wanted, made.identity.id)


async def _fill(visit: Visit) -> Page:
    """Show the form with what a pasted token suggests; the token itself is kept nowhere."""
    pasted = visit.form[suggestions.FIELD]
    form = Form([pair for pair in visit.form.pairs if pair[0] != suggestions.FIELD])
    try:
        found = suggestions.suggest(visit.ctx.runtime.methods, suggestions.claims_of(pasted), visit.origin)
    except Invalid as refusal:
        return await _form(visit, form, refusal)
    return await _form(visit, form, None, read_off=found)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A new identity as the form describes it."""

    identity: CreateIdentity
    owner: str | None
    ends: int | None
    method: dict[str, Any]
    projects: Sequence[Membership]


def wanted_of(visit: Visit, tile: Tile) -> Wanted:
    """Return what the form says. Raises Invalid with the faults of all its fields."""
    form, faults = visit.form, list[Issue]()
    wire: dict[str, Any] = {}
    ends: int | None = None
    joined: list[Membership] = []
    try:
        wire = method_forms.read(tile.method, form, f"{tile.value}.")
        faults += [
            Issue(code="custom", path=(name,), message="Not empty here: anybody's workload could log in")
            for name in tile.required
            if not wire.get(name)
        ]
        if not wire.get(method_forms.TEMPLATE):
            method_bodies.read(tile.method, method_bodies.known(tile.method, "", wire), visit.ctx.runtime.operator)
    except Invalid as refusal:
        faults += refusal.issues
    try:
        ends = moment(form["ends"], visit.ctx.now, "ends")
    except Invalid as refusal:
        faults += refusal.issues
    try:
        joined = _memberships(form)
    except Invalid as refusal:
        faults += refusal.issues
    if not form["name"].strip():
        faults.append(Issue(code="custom", path=("name",), message="A name is required"))
    if faults:
        raise Invalid(faults)
    identity = read(
        CreateIdentity,
        {
            "name": form["name"],
            "organizationId": visit.organization.id,
            "role": form["orgRole"] or DEFAULT_ROLE,
            "hasDeleteProtection": form["hasDeleteProtection"] == "true",
        },
    )
    return Wanted(identity=identity, owner=form.text("owner"), ends=ends, method=wire, projects=joined)


def _memberships(form: Form) -> list[Membership]:
    joined: dict[str, Membership] = {}
    for row in form.rows("project", "role", "until"):
        if not row["project"]:
            continue
        if row["project"] in joined:
            raise Invalid.of("project", "A project stands here twice: give one role now, and add others afterwards")
        seconds = span(row["until"], "until")
        joined[row["project"]] = Membership(row["project"], row["role"] or PROJECT_ROLE, seconds)
    if len(joined) > _MOST_PROJECTS:
        raise Invalid.of("project", f"At most {_MOST_PROJECTS} projects at once")
    return list(joined.values())


async def _rest(visit: Visit, tile: Tile, wanted: Wanted, identity_id: str) -> Page:
    ctx, method = visit.ctx, tile.method
    done, refused = ["The identity"], list[tuple[str, str]]()
    secret = token = None

    async def step(name: str, waiting: Any) -> Any:
        ctx.begin_now()
        try:
            answer = await waiting
        except Refusal as refusal:
            refused.append((name, refusal.message))
            return None
        done.append(name)
        return answer

    if wanted.owner or wanted.ends:
        changes = UpdateIdentity(
            owner=wanted.owner or msgspec.UNSET,
            expires_at=iso(wanted.ends) if wanted.ends else msgspec.UNSET,
        )
        await step("Its owner and end", identities.update(ctx, identity_id, changes))
    attached = await step(
        f"Its way to log in: {method.title}", auth_methods.attach(ctx, method, identity_id, wanted.method)
    )
    for membership in wanted.projects:
        roles_ = AddMember(roles=with_one_for_good([new_role(membership.role, membership.seconds, ctx.now)]))
        name = await project_name(visit, membership.project_id)
        await step(f"{membership.role} in {name}", project_members.add(ctx, membership.project_id, identity_id, roles_))
    if attached is not None and method.has_client_secrets:
        wish = CreateClientSecret(description="first")
        secret = await step("A client secret", client_secrets.create(ctx, method, identity_id, wish))
    if attached is not None and method.has_named_tokens:
        token = await step("A token", named_tokens.create(ctx, method, identity_id, CreateNamedToken(name="first")))
    value = secret.secret.reveal() if secret else token.issued.token if token else ""
    settings = {**wanted.method, **(attached.settings if attached else {})}
    about = await subject(visit, identity_id)
    data = {
        "about": about,
        "done": done,
        "refused": refused,
        "method": method,
        "tile": tile,
        "secret": value,
        "is_token": token is not None,
        "locator": str(settings.get(method.locator, "")) if method.locator else "",
        "snippets": snippets(
            visit.origin,
            method,
            identity_id,
            settings,
            tile=tile,
            project_id=next((each.project_id for each in wanted.projects), ""),
        ),
    }
    status = 200 if not refused else 207
    return Page(
        template="identities/made.html",
        title=f"{about.identity.name} is there",
        data=data,
        holds_secrets=True,
        status=status,
    )


async def project_name(visit: Visit, project_id: str) -> str:
    """Return the name of a project, or its id where the reader may not know it."""
    found = await or_none(projects.get(visit.ctx, project_id))
    return found.project.name if found else project_id
