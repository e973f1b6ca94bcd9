"""Groups: what they hold in the organization, and who is in them."""

from typing import Any, Final

from watchword.domain.errors import Refusal
from watchword.services.access import roles
from watchword.services.access.scopes import own_org
from watchword.services.people import groups
from watchword.services.scope_refs import ScopeRef
from watchword.store.people.groups import GroupPage
from watchword.web import console
from watchword.web.forms import read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none

pages = Pages()
_SIZE: Final = 50


async def _roles(visit: Visit) -> list[tuple[str, str]]:
    found = await or_none(roles.every(visit.ctx, ScopeRef(org_id=visit.organization.id))) or ()
    return [(role.slug, role.name) for role in found]


@pages.get("/{organization}/groups")
async def every(visit: Visit) -> Answer:
    """The groups of the organization."""
    return await _every(visit, Faults())


async def _every(visit: Visit, faults: Faults) -> Page:
    ctx = visit.ctx
    data = {
        "groups": await groups.every(ctx),
        "roles": await _roles(visit),
        "may_create": ctx.may(await own_org(ctx), "create", "groups"),
        "form": visit.form,
        "faults": faults,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="people/groups.html", title="Groups", data=data, status=status)


@pages.post("/{organization}/groups")
async def create(visit: Visit) -> Answer:
    """Make a group."""
    form = visit.form
    values = {"name": form["name"], "slug": form.text("slug"), "role": form.text("role")}
    try:
        made = await groups.create(visit.ctx, read(groups.CreateGroup, values))
    except Refusal as refusal:
        return await _every(visit, Faults(refusal))
    return Redirect(to=visit.link("groups", made.group.id), notice=f"The group {made.group.name} is there")


@pages.get("/{organization}/groups/{group_id}")
async def one(visit: Visit, group_id: str) -> Answer:
    """One group: its members, and who could be one."""
    return await _one(visit, group_id, Faults())


async def _one(visit: Visit, group_id: str, faults: Faults) -> Page:
    ctx, asked = visit.ctx, visit.query
    scope, details = await own_org(ctx), await groups.get(ctx, group_id)
    who = (asked.text("who") or "")[:255]
    kinds: Any = ("user", "identity")
    inside = await or_none(groups.candidates(ctx, group_id, kinds, GroupPage(inside=True, limit=_SIZE)))
    outside = None
    if who:
        wanted = GroupPage(inside=False, contains=who, limit=20)
        outside = await or_none(groups.candidates(ctx, group_id, kinds, wanted))
    held = details.roles[0] if details.roles else None
    data = {
        "group": details.group,
        "role": (held[1].slug if held[1] else held[0].role) if held else "no-access",
        "roles": await _roles(visit),
        "inside": inside,
        "outside": outside,
        "who": who,
        "projects": await or_none(groups.projects(ctx, group_id)) or (),
        "may_edit": ctx.may(scope, "edit", "groups"),
        "may_delete": ctx.may(scope, "delete", "groups"),
        "faults": faults,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="people/group.html", title=details.group.name, data=data, status=status)


@pages.post("/{organization}/groups/{group_id}")
async def change(visit: Visit, group_id: str) -> Answer:
    """Change a group, put somebody in or take somebody out, or delete it."""
    ctx, form = visit.ctx, visit.form
    back = visit.link("groups", group_id)
    kind, _, name = form["member"].partition(":")
    try:
        if form["act"] == "delete":
            console.require_proof(visit)
            gone = await groups.remove(ctx, group_id)
            return Redirect(to=visit.link("groups"), notice=f"The group {gone.group.name} is deleted")
        if form["act"] == "add":
            add = groups.add_person if kind == "user" else groups.add_identity
            await add(ctx, group_id, name)
            return Redirect(to=back, notice="Added: the group's roles hold from the next request")
        if form["act"] == "remove":
            remove = groups.remove_person if kind == "user" else groups.remove_identity
            await remove(ctx, group_id, name)
            return Redirect(to=back, notice="Taken out: the group's roles are gone from the next request")
        values = {"name": form.text("name"), "role": form.text("role")}
        await groups.update(ctx, group_id, read(groups.UpdateGroup, values))
    except console.ProofWanted:
        raise
    except Refusal as refusal:
        return await _one(visit, group_id, Faults(refusal))
    return Redirect(to=back, notice="The group is changed")
