"""Who is in a project, with which roles and until when: machine identities, people and groups alike."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.access.records import MembershipRole, Role
from watchword.domain.errors import BadRequest, Invalid, NotFound, Refusal
from watchword.services.access import roles
from watchword.services.access.role_refs import RoleEntry
from watchword.services.context import Ctx
from watchword.services.identities import project_members
from watchword.services.identities.identities import IdentityQuery
from watchword.services.people import groups, organization_people, project_groups, project_people
from watchword.services.projects.members import AddMember, ChangeMember
from watchword.services.scope_refs import ScopeRef
from watchword.web.access.role_entries import held_role, new_role, span, with_one_for_good
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit, link
from watchword.web.parts import or_none
from watchword.web.projects import place
from watchword.web.projects.place import Place
from watchword.web.rendering import plural

pages = Pages()
SIZE: Final = 50
_OFFERED: Final = 20  # of those who could be added
Held = Sequence[tuple[MembershipRole, Role | None]]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in a project. `id` is what acts name: of a person the membership, else the identity or group."""

    id: str
    name: str
    beside: str
    to: str
    roles: Held


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of members: its words, its subject in rules, and the services that know it."""

    slug: str
    one: str
    many: str
    icon: str
    subject: str
    page: Callable[[Visit, Place, str, int], Awaitable[tuple[Sequence[Member], int]]]
    outside: Callable[[Visit, Place, str], Awaitable[Sequence[tuple[str, str]]]]
    add: Callable[[Ctx, str, str, list[RoleEntry]], Awaitable[Any]]
    change: Callable[[Ctx, str, str, list[RoleEntry]], Awaitable[Any]]
    remove: Callable[[Ctx, str, str], Awaitable[Any]]


async def _identities(visit: Visit, at: Place, text: str, offset: int) -> tuple[Sequence[Member], int]:
    found, _ = await project_members.find(
        visit.ctx, at.project.id, IdentityQuery(contains=text, offset=offset, limit=SIZE)
    )
    rows = [
        Member(
            id=each.identity.id,
            name=each.identity.name,
            beside=each.identity.owner or "",
            to=visit.link("identities", each.identity.id),
            roles=each.roles,
        )
        for each in found.items
    ]
    return rows, found.total


async def _identities_outside(visit: Visit, at: Place, text: str) -> Sequence[tuple[str, str]]:
    found = await project_members.available(visit.ctx, at.project.id, IdentityQuery(contains=text, limit=_OFFERED))
    return [(each.id, each.name) for each in found.items]


async def _people(visit: Visit, at: Place, text: str, offset: int) -> tuple[Sequence[Member], int]:
    found = [
        Member(
            id=each.membership.id,
            name=each.user.email,
            beside=f"{each.user.first_name} {each.user.last_name}".strip(),
            to="",
            roles=each.roles,
        )
        for each in await project_people.every(visit.ctx, at.project.id)
        if text.lower() in each.user.email.lower()
    ]
    return found[offset : offset + SIZE], len(found)


async def _people_outside(visit: Visit, at: Place, text: str) -> Sequence[tuple[str, str]]:
    inside = {each.user.id for each in await project_people.every(visit.ctx, at.project.id)}
    found = await organization_people.members(visit.ctx, visit.organization.id)
    return [
        (each.user.email, each.user.email)
        for each in found
        if each.user.id not in inside and text.lower() in each.user.email.lower()
    ][:_OFFERED]


async def _add_person(ctx: Ctx, project_id: str, id: str, entries: list[RoleEntry]) -> Any:
    slugs = [entry.role for entry in entries if not entry.is_temporary]
    if len(slugs) < len(entries):
        raise BadRequest("Add people first, then give them a role for a time")
    return await project_people.invite(ctx, project_id, project_people.InviteToProject(emails=[id], role_slugs=slugs))


async def _groups(visit: Visit, at: Place, text: str, offset: int) -> tuple[Sequence[Member], int]:
    found = [
        Member(
            id=each.group.id,
            name=each.group.name,
            beside=each.group.slug,
            to=visit.link("groups", each.group.id),
            roles=each.roles,
        )
        for each in await project_groups.every(visit.ctx, at.project.id)
        if text.lower() in each.group.name.lower()
    ]
    return found[offset : offset + SIZE], len(found)


async def _groups_outside(visit: Visit, at: Place, text: str) -> Sequence[tuple[str, str]]:
    inside = {each.group.id for each in await project_groups.every(visit.ctx, at.project.id)}
    return [
        (each.group.id, each.group.name)
        for each in await groups.every(visit.ctx)
        if each.group.id not in inside and text.lower() in each.group.name.lower()
    ][:_OFFERED]


KINDS: Final = {
    "identities": Kind(
        slug="identities",
        one="identity",
        many="identities",
        icon="id-card",
        subject="identity",
        page=_identities,
        outside=_identities_outside,
        add=lambda ctx, project, of, given: project_members.add(ctx, project, of, AddMember(roles=given)),
        change=lambda ctx, project, of, given: project_members.change(ctx, project, of, ChangeMember(roles=given)),
        remove=project_members.remove,
    ),
    "people": Kind(
        slug="people",
        one="person",
        many="people",
        icon="user",
        subject="member",
        page=_people,
        outside=_people_outside,
        add=_add_person,
        change=lambda ctx, project, of, given: project_people.change(ctx, project, of, ChangeMember(roles=given)),
        remove=project_people.remove,
    ),
    "groups": Kind(
        slug="groups",
        one="group",
        many="groups",
        icon="users",
        subject="groups",
        page=_groups,
        outside=_groups_outside,
        add=lambda ctx, project, of, given: project_groups.add(ctx, project, of, AddMember(roles=given)),
        change=lambda ctx, project, of, given: project_groups.change(ctx, project, of, ChangeMember(roles=given)),
        remove=project_groups.remove,
    ),
}


def _kind(slug: str) -> Kind:
    if slug not in KINDS:
        raise NotFound(f"There is no such part of the access to a project: {slug[:32]!r}")
    return KINDS[slug]


@pages.get("/{organization}/p/{project}/access/{member_kind}")
async def members(visit: Visit, project: str, member_kind: str) -> Answer:
    """The members of a project of one kind."""
    return await _members(visit, await place.find(visit, project), _kind(member_kind), Faults())


async def _members(visit: Visit, at: Place, kind: Kind, faults: Faults) -> Page:
    ctx, asked = visit.ctx, visit.query
    text = (asked.text("q") or "")[:255]
    offset = asked.offset
    rows, total = await kind.page(visit, at, text, offset)
    may_add = ctx.may(at.scope, "create", kind.subject)
    who = (asked.text("who") or "")[:255]
    held = await or_none(roles.every(ctx, ScopeRef(project_id=at.project.id))) or ()
    data = {
        "place": at,
        "kind": kind,
        "kinds": [(each.slug, each.many, at.link("access", each.slug)) for each in KINDS.values()],
        "here": at.link("access", kind.slug),
        "rows": rows,
        "total": total,
        "offset": offset,
        "size": SIZE,
        "q": text,
        "who": who,
        "outside": (await or_none(kind.outside(visit, at, who)) or ()) if may_add else (),
        "roles": [(role.slug, role.name) for role in held],
        "names": {role.slug: role.name for role in held},
        "may_add": may_add,
        "may_edit": ctx.may(at.scope, "edit", kind.subject),
        "picked": visit.form.all("pick"),
        "form": visit.form,
        "faults": faults,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(
        template="access/members.html", title=f"{kind.many.capitalize()}: {at.project.name}", data=data, status=status
    )


@pages.post("/{organization}/p/{project}/access/{member_kind}")
async def add(visit: Visit, project: str, member_kind: str) -> Answer:
    """Add several at once, with a role, for good or for a time."""
    ctx, form = visit.ctx, visit.form
    at, kind = await place.find(visit, project), _kind(member_kind)
    picked = list(dict.fromkeys(form.all("pick")))[:SIZE]
    done, refused = 0, dict[str, int]()
    try:
        if not picked:
            raise Invalid.of("pick", f"Choose at least one {kind.one}")
        given = with_one_for_good([new_role(form["role"], span(form["for"], "for"), ctx.now)])
        for id in picked:
            try:
                await kind.add(ctx, at.project.id, id, given)
                done += 1
            except Refusal as refusal:
                if len(picked) == 1:
                    raise
                refused[refusal.message] = refused.get(refusal.message, 0) + 1
    except Refusal as refusal:
        return await _members(visit, at, kind, Faults(refusal))
    said = [f"{plural(done, kind.one, kind.many)} added"] if done else []
    said += [f"{plural(count, kind.one, kind.many)} not: {text}" for text, count in refused.items()]
    tone = "ok" if not refused else "warn" if done else "bad"
    return Redirect(to=at.link("access", kind.slug), notice=". ".join(said), tone=tone)  # type: ignore[arg-type]


async def _member(visit: Visit, at: Place, kind: Kind, member_id: str) -> Member:
    offset = 0
    while True:
        rows, total = await kind.page(visit, at, "", offset)
        for row in rows:
            if row.id == member_id:
                return row
        offset += SIZE
        if offset >= min(total, 100 * SIZE):
            raise NotFound(f"This {kind.one} is not in the project")


async def _found(visit: Visit, at: Place, kind: Kind, member_id: str) -> Member:
    if kind.slug != "identities":
        return await _member(visit, at, kind, member_id)
    each = (await project_members.get(visit.ctx, at.project.id, member_id)).details
    return Member(
        id=each.identity.id,
        name=each.identity.name,
        beside=each.identity.owner or "",
        to=visit.link("identities", each.identity.id),
        roles=each.roles,
    )


@pages.get("/{organization}/p/{project}/access/{member_kind}/{member_id}")
async def member(visit: Visit, project: str, member_kind: str, member_id: str) -> Answer:
    """The roles of one member, to be changed."""
    at, kind = await place.find(visit, project), _kind(member_kind)
    return await _one(visit, at, kind, await _found(visit, at, kind, member_id), Faults())


async def _one(visit: Visit, at: Place, kind: Kind, found: Member, faults: Faults) -> Page:
    ctx = visit.ctx
    held = await or_none(roles.every(ctx, ScopeRef(project_id=at.project.id))) or ()
    data = {
        "place": at,
        "kind": kind,
        "member": found,
        "here": at.link("access", kind.slug),
        "action": at.link("access", kind.slug, found.id),
        "roles": [("", "no further role"), *((role.slug, role.name) for role in held)],
        "names": {role.slug: role.name for role in held},
        "may_edit": ctx.may(at.scope, "edit", kind.subject),
        "may_remove": ctx.may(at.scope, "delete", kind.subject),
        "form": visit.form,
        "faults": faults,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="access/member.html", title=found.name, data=data, status=status)


@pages.post("/{organization}/p/{project}/access/{member_kind}/{member_id}")
async def change(visit: Visit, project: str, member_kind: str, member_id: str) -> Answer:
    """Give a member one role more, take some away, or remove the member from the project."""
    ctx, form = visit.ctx, visit.form
    at, kind = await place.find(visit, project), _kind(member_kind)
    found = await _found(visit, at, kind, member_id)
    try:
        if form["act"] == "remove":
            await kind.remove(ctx, at.project.id, member_id)
            said = f"{found.name} is not in {at.project.name} any more"
            return Redirect(to=at.link("access", kind.slug), notice=said)
        kept = set(form.all("keep"))
        given = [held_role(held, custom) for held, custom in found.roles if held.id in kept]
        if form["role"]:
            given.append(new_role(form["role"], span(form["for"], "for"), ctx.now))
        await kind.change(ctx, at.project.id, member_id, with_one_for_good(given))
    except Refusal as refusal:
        return await _one(visit, at, kind, found, Faults(refusal))
    said = f"The roles of {found.name} are changed, from the next request"
    return Redirect(to=at.link("access", kind.slug), notice=said)


@pages.get("/{organization}/p/{project}/access")
async def access(visit: Visit, project: str) -> Answer:
    """Lead to the identities of a project."""
    return Redirect(to=link(visit.base, "p", project, "access", "identities"))
