"""Sub-organizations of an organization, and its end."""

from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest, Invalid, Refusal
from watchword.services.access.scopes import own_org
from watchword.services.identities import lifecycle
from watchword.services.people import organization_people, organizations, sub_organizations
from watchword.services.projects import projects
from watchword.web import console
from watchword.web.forms import read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none

pages = Pages()
_SIZE: Final = 50


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """What is deleted with an organization; None where it cannot be counted."""

    identities: int | None
    projects: int | None
    people: int | None
    parts: int


@pages.get("/{organization}/sub-organizations")
async def every(visit: Visit) -> Answer:
    """The sub-organizations of the organization."""
    return await _every(visit, Faults())


async def _every(visit: Visit, faults: Faults, opened: str = "") -> Page:
    ctx, org = visit.ctx, visit.organization
    scope, offset = await own_org(ctx), visit.query.offset
    found = await sub_organizations.find(ctx, is_accessible=False, offset=offset, limit=_SIZE)
    data = {
        "found": found,
        "offset": offset,
        "size": _SIZE,
        "joined": {each.id for each in visit.joined or ()},
        "is_root": org.parent_org_id is None,
        "may_create": org.parent_org_id is None and ctx.may(scope, "create", sub_organizations.SUBJECT),
        "may_edit": ctx.may(scope, "edit", "settings"),
        "may_delete": ctx.may(scope, "delete", "settings"),
        "opened": opened or visit.query["open"],
        "form": visit.form,
        "faults": faults,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="people/sub_organizations.html", title="Sub-organizations", data=data, status=status)


@pages.post("/{organization}/sub-organizations")
async def create(visit: Visit) -> Answer:
    """Make a sub-organization with the person as its administrator."""
    values = {"name": visit.form["name"], "slug": visit.form.text("slug")}
    try:
        made = await sub_organizations.create(visit.ctx, read(sub_organizations.CreateSubOrganization, values))
    except Refusal as refusal:
        return await _every(visit, Faults(refusal))
    return Redirect(to=visit.link("sub-organizations"), notice=f"{made.name} is there, and you are its administrator")


@pages.post("/{organization}/sub-organizations/{sub_organization_id}")
async def change(visit: Visit, sub_organization_id: str) -> Answer:
    """Rename a sub-organization, or delete it with everything in it."""
    ctx, form = visit.ctx, visit.form
    try:
        if form["act"] == "delete":
            return await _remove(visit, sub_organization_id)
        body = read(sub_organizations.UpdateSubOrganization, {"name": form.text("name"), "slug": form.text("slug")})
        changed = await sub_organizations.update(ctx, sub_organization_id, body)
    except (Invalid, BadRequest) as refusal:
        return await _every(visit, Faults(refusal), sub_organization_id)
    return Redirect(to=visit.link("sub-organizations"), notice=f"{changed.name} is changed")


async def _remove(visit: Visit, sub_organization_id: str) -> Answer:
    ctx = visit.ctx
    named = await sub_organizations.get(ctx, sub_organization_id)
    if visit.form["confirm"].strip() != named.slug:
        raise Invalid.of("confirm", f"Type {named.slug} to delete it: nothing was deleted")
    console.require_proof(visit)
    gone = await sub_organizations.remove(ctx, sub_organization_id)
    return Redirect(to=visit.link("sub-organizations"), notice=f"{gone.name} is deleted")


@pages.get("/{organization}/settings/delete")
async def ask(visit: Visit) -> Answer:
    """Say what is deleted with the organization."""
    return await _asked(visit, Faults())


async def _asked(visit: Visit, faults: Faults) -> Page:
    ctx, org = visit.ctx, visit.organization
    ctx.require(await own_org(ctx), "delete", "settings")
    states = await or_none(lifecycle.states(ctx))
    joined = await or_none(projects.of_organization(ctx, org.id))
    members = await or_none(organization_people.members(ctx, org.id))
    parts = await or_none(sub_organizations.find(ctx, is_accessible=False, offset=0, limit=1))
    loss = Loss(
        identities=states.all if states else None,
        projects=len(joined) if joined is not None else None,
        people=len(members) if members is not None else None,
        parts=parts.total if parts and org.parent_org_id is None else 0,
    )
    data: dict[str, Any] = {"loss": loss, "faults": faults}
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="people/settings_delete.html", title=f"Delete {org.name}", data=data, status=status)


@pages.post("/{organization}/settings/delete")
async def remove(visit: Visit) -> Answer:
    """Delete the organization with everything in it."""
    org = visit.organization
    if visit.form["confirm"].strip() != org.slug:
        return await _asked(visit, Faults(Invalid.of("confirm", f"Type {org.slug} to delete it: nothing was deleted")))
    console.require_proof(visit)
    try:
        gone = await organizations.remove(visit.ctx, org.id)
    except BadRequest as refusal:
        return await _asked(visit, Faults(refusal))
    return Redirect(to="/", notice=f"The organization {gone.name} is deleted, with everything in it")
