"""The people of an organization, its invitations, and its settings."""

from typing import Any

from watchword.domain.errors import Refusal
from watchword.domain.people.records import Invitation
from watchword.services.access import roles
from watchword.services.access.scopes import own_org
from watchword.services.people import groups, organization_people, organizations
from watchword.services.scope_refs import ScopeRef
from watchword.web import console
from watchword.web.forms import read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit, base_of
from watchword.web.parts import or_none

pages = Pages()


async def _roles(visit: Visit) -> list[tuple[str, str]]:
    found = await or_none(roles.every(visit.ctx, ScopeRef(org_id=visit.organization.id))) or ()
    return [(role.slug, role.name) for role in found]


@pages.get("/{organization}/people")
async def people(visit: Visit) -> Answer:
    """The people of the organization, its groups and open invitations."""
    return await _people(visit, Faults())


async def _people(visit: Visit, faults: Faults, **more: Any) -> Page:
    ctx, org_id = visit.ctx, visit.organization.id
    scope = await own_org(ctx)
    members = await or_none(organization_people.members(ctx, org_id))
    invitations: list[Invitation] = await or_none(organization_people.invitations(ctx, org_id)) or []
    ctx.require(scope, "read", "member") if members is None else None
    data = {
        "members": members,
        "invitations": [each for each in invitations if each.expires_at > ctx.now],
        "groups": await or_none(groups.every(ctx)),
        "roles": await _roles(visit),
        "default_role": visit.organization.default_role,
        "may_invite": ctx.may(scope, "create", "member"),
        "may_edit": ctx.may(scope, "edit", "member"),
        "may_remove": ctx.may(scope, "delete", "member"),
        "me": ctx.actor.id,
        "invited": (),
        "faults": faults,
        "form": visit.form,
        **more,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(
        template="people/people.html",
        title="People and groups",
        data=data,
        status=status,
        holds_secrets=bool(data["invited"]),
    )


@pages.post("/{organization}/people")
async def invite(visit: Visit) -> Answer:
    """Invite people by address; the links are shown this once."""
    form = visit.form
    addresses = [text for text in form["emails"].replace(",", " ").replace(";", " ").split() if text]
    values = {
        "inviteeEmails": addresses,
        "organizationId": visit.organization.id,
        "organizationRoleSlug": form.text("role"),
    }
    try:
        invited = await organization_people.invite(visit.ctx, read(organization_people.InviteToOrganization, values))
    except Refusal as refusal:
        return await _people(visit, Faults(refusal, names={"inviteeEmails": "emails"}))
    return await _people(visit, Faults(), invited=invited)


@pages.post("/{organization}/people/{membership_id}")
async def change(visit: Visit, membership_id: str) -> Answer:
    """Change a person's role, suspend or readmit the person, or remove it; or withdraw an invitation."""
    ctx, org_id, form = visit.ctx, visit.organization.id, visit.form
    back, act = visit.link("people"), form["act"]
    try:
        if act == "withdraw":
            gone = await organization_people.withdraw(ctx, org_id, membership_id)
            return Redirect(to=back, notice=f"The invitation of {gone.email} is withdrawn")
        if act == "remove":
            console.require_proof(visit)
            [person] = await organization_people.remove(ctx, org_id, [membership_id])
            return Redirect(to=back, notice=f"{person.user.email} is no member any more; the account stays")
        values: dict[str, Any] = {"role": form.text("role")} if act == "role" else {"isActive": act == "readmit"}
        body = read(organization_people.ChangeMembership, values)
        changed = await organization_people.change(ctx, org_id, membership_id, body)
    except console.ProofWanted:
        raise
    except Refusal as refusal:
        return Redirect(to=back, notice=refusal.message, tone="bad")
    said = {"role": "has another role", "readmit": "may work here again"}.get(act, "is suspended here")
    return Redirect(to=back, notice=f"{changed.user.email} {said}, from the next request")


_MODES = (
    ("subset", "nobody gives, and nobody changes somebody with, more rights than they have"),
    ("action", "the right to assign roles is enough"),
)


@pages.get("/{organization}/settings")
async def settings(visit: Visit) -> Answer:
    """The settings of the organization."""
    return await _settings(visit, Faults(), {})


async def _settings(visit: Visit, faults: Faults, typed: dict[str, Any]) -> Page:
    ctx, org = visit.ctx, visit.organization
    scope = await own_org(ctx)
    ctx.require(scope, "read", "settings")
    data = {
        "values": {
            "name": org.name,
            "slug": org.slug,
            "role": org.default_role,
            "mfa": org.requires_mfa,
            "mode": org.privilege_mode,
            **typed,
        },
        "roles": await _roles(visit),
        "modes": _MODES,
        "may_edit": ctx.may(scope, "edit", "settings"),
        "may_delete": ctx.may(scope, "delete", "settings"),
        "faults": faults,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="people/settings.html", title="Settings", data=data, status=status)


@pages.post("/{organization}/settings")
async def save_settings(visit: Visit) -> Answer:
    """Change the settings of the organization: only what differs is sent on."""
    form, org = visit.form, visit.organization
    typed = {name: form[name] for name in ("name", "slug", "role", "mode")} | {"mfa": form["mfa"] == "true"}
    wire = {"name": "name", "slug": "slug", "role": "defaultMembershipRoleSlug", "mfa": "enforceMfa"}
    wire["mode"] = "privilegeMode"
    now = {"name": org.name, "slug": org.slug, "role": org.default_role, "mfa": org.requires_mfa}
    now["mode"] = org.privilege_mode
    changes = {wire[name]: value for name, value in typed.items() if value != now[name]}
    try:
        changed = await organizations.update(visit.ctx, org.id, read(organizations.UpdateOrganization, changes))
    except Refusal as refusal:
        return await _settings(visit, Faults(refusal, names={text: name for name, text in wire.items()}), typed)
    return Redirect(to=f"{base_of(changed)}/settings", notice="The settings are changed")
