"""Who is in a project, with which roles and until when: machine identities, people and groups alike."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.access.records import MembershipRole, Role
from watchword.domain.errors import Invalid, NotFound, Refusal
from watchword.services.access import roles
from watchword.services.access.role_refs import RoleEntry
from watchword.services.authentication import live_tokens
from watchword.services.authentication.live_tokens import LiveTokensQuery
from watchword.services.context import Ctx
from watchword.services.identities import project_members
from watchword.services.identities.identities import IdentityQuery
from watchword.services.people import project_groups, project_people
from watchword.services.people.groups import GroupDetails
from watchword.services.people.project_people import ProjectPerson
from watchword.services.projects.members import AddMember, ChangeMember, Wanted
from watchword.services.scope_refs import ScopeRef
from watchword.web.access.role_entries import held_role, new_role, span, with_one_for_good
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit, link
from watchword.web.parts import or_none
from watchword.web.projects import place
from watchword.web.projects.place import Place
from watchword.web.rendering import plural, since

pages = Pages()
SIZE: Final = 50
_OFFERED: Final = 20  # of those who could be added
_COUNTED: Final = 50  # live tokens
Held = Sequence[tuple[MembershipRole, Role | None]]


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody in a project. `id` is what acts name: of a person the membership, else the identity or group."""

    id: str
    name: str
    beside: str
    to: str
    roles: Held
    actor: str = ""  # of a person the id of the person, else as `id`


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
    get: Callable[[Visit, Place, str], Awaitable[Member]]
    breaks: Callable[[Visit, Place, Member], Awaitable[Sequence[str]]]


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


async def _identity(visit: Visit, at: Place, id: str) -> Member:
    each = (await project_members.get(visit.ctx, at.project.id, id)).details
    return Member(
        id=each.identity.id,
        name=each.identity.name,
        beside=each.identity.owner or "",
        to=visit.link("identities", each.identity.id),
        roles=each.roles,
        actor=each.identity.id,
    )


async def _identity_breaks(visit: Visit, at: Place, found: Member) -> Sequence[str]:
    """What an identity loses with the project: how many tokens are alive, and when it logged in last."""
    ctx = visit.ctx
    said = []
    live = await or_none(live_tokens.every(ctx, found.actor, LiveTokensQuery(limit=_COUNTED)))
    if live is not None:
        many = len(live.tokens)
        more = " or more" if live.next_cursor else ""
        said.append(
            f"{plural(many, 'token')}{more} of it {'is' if many == 1 else 'are'} alive: none of them is of use in this "
            "project from the next request on"
            if many
            else "No token of it is alive"
        )
    details = (await project_members.get(ctx, at.project.id, found.actor)).details
    last = details.identity.last_login_at
    said.append("It has never logged in" if last is None else f"Its last login was {since(last, ctx.now)}")
    return said


def _person(each: ProjectPerson) -> Member:
    return Member(
        id=each.membership.id,
        name=each.user.email,
        beside=f"{each.user.first_name} {each.user.last_name}".strip(),
        to="",
        roles=each.roles,
        actor=each.user.id,
    )


async def _people(visit: Visit, at: Place, text: str, offset: int) -> tuple[Sequence[Member], int]:
    found = await project_people.find(visit.ctx, at.project.id, Wanted(contains=text, offset=offset, limit=SIZE))
    return [_person(each) for each in found.items], found.total


async def _people_outside(visit: Visit, at: Place, text: str) -> Sequence[tuple[str, str]]:
    found = await project_people.available(visit.ctx, at.project.id, Wanted(contains=text, limit=_OFFERED))
    return [(each.email, each.email) for each in found.items]


async def _found_person(visit: Visit, at: Place, id: str) -> Member:
    return _person(await project_people.get(visit.ctx, at.project.id, id))


async def _person_breaks(visit: Visit, at: Place, found: Member) -> Sequence[str]:
    said = ["What the person may read here is out of reach with the next request, on every node"]
    if any(held.role == "admin" for held, _ in found.roles):
        said.append(f"{found.name} administers {at.project.name}: see that somebody else does")
    if found.actor == visit.ctx.actor.id:
        said.append("This is you, and nobody removes themselves: ask somebody else")
    return said


async def _groups(visit: Visit, at: Place, text: str, offset: int) -> tuple[Sequence[Member], int]:
    found = await project_groups.find(visit.ctx, at.project.id, Wanted(contains=text, offset=offset, limit=SIZE))
    return [_group(visit, each) for each in found.items], found.total


def _group(visit: Visit, each: GroupDetails) -> Member:
    return Member(
        id=each.group.id,
        name=each.group.name,
        beside=each.group.slug,
        to=visit.link("groups", each.group.id),
        roles=each.roles,
        actor=each.group.id,
    )


async def _groups_outside(visit: Visit, at: Place, text: str) -> Sequence[tuple[str, str]]:
    found = await project_groups.available(visit.ctx, at.project.id, Wanted(contains=text, limit=_OFFERED))
    return [(each.id, each.name) for each in found.items]


async def _found_group(visit: Visit, at: Place, id: str) -> Member:
    return _group(visit, await project_groups.get(visit.ctx, at.project.id, id))


async def _group_breaks(visit: Visit, at: Place, found: Member) -> Sequence[str]:
    count = await or_none(project_groups.size(visit.ctx, at.project.id, found.actor))
    if count is None:
        return ()
    return (f"{plural(count, 'member')} of the group lose what the group gives them here",)


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
        get=_identity,
        breaks=_identity_breaks,
    ),
    "people": Kind(
        slug="people",
        one="person",
        many="people",
        icon="user",
        subject="member",
        page=_people,
        outside=_people_outside,
        add=lambda ctx, project, of, given: project_people.add(ctx, project, of, AddMember(roles=given)),
        change=lambda ctx, project, of, given: project_people.change(ctx, project, of, ChangeMember(roles=given)),
        remove=project_people.remove,
        get=_found_person,
        breaks=_person_breaks,
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
        get=_found_group,
        breaks=_group_breaks,
    ),
}


def kind_of(slug: str) -> Kind:
    """The kind of members that a path names. Raises NotFound."""
    if slug not in KINDS:
        raise NotFound(f"There is no such part of the access to a project: {slug[:32]!r}")
    return KINDS[slug]


@pages.get("/{organization}/p/{project}/access/{member_kind}")
async def members(visit: Visit, project: str, member_kind: str) -> Answer:
    """The members of a project of one kind."""
    return await _members(visit, await place.find(visit, project), kind_of(member_kind), Faults())


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
    at, kind = await place.find(visit, project), kind_of(member_kind)
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


@pages.get("/{organization}/p/{project}/access/{member_kind}/{member_id}")
async def member(visit: Visit, project: str, member_kind: str, member_id: str) -> Answer:
    """The roles of one member, to be changed."""
    at, kind = await place.find(visit, project), kind_of(member_kind)
    return await _one(visit, at, kind, await kind.get(visit, at, member_id), Faults())


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
    """Give a member one role more, or take some away."""
    at, kind = await place.find(visit, project), kind_of(member_kind)
    found = await kind.get(visit, at, member_id)
    try:
        await kind.change(visit.ctx, at.project.id, member_id, given_to(visit, found))
    except Refusal as refusal:
        return await _one(visit, at, kind, found, Faults(refusal))
    said = f"The roles of {found.name} are changed, from the next request"
    return Redirect(to=at.link("access", kind.slug), notice=said)


def given_to(visit: Visit, found: Member) -> list[RoleEntry]:
    """All roles that a form leaves or gives to a member. Raises Invalid."""
    form = visit.form
    kept = set(form.all("keep"))
    given = [held_role(held, custom) for held, custom in found.roles if held.id in kept]
    if form["role"]:
        given.append(new_role(form["role"], span(form["for"], "for"), visit.ctx.now))
    return with_one_for_good(given)


@pages.get("/{organization}/p/{project}/access/{member_kind}/{member_id}/remove")
async def ask_to_remove(visit: Visit, project: str, member_kind: str, member_id: str) -> Answer:
    """What a member loses with the project."""
    at, kind = await place.find(visit, project), kind_of(member_kind)
    return await _removal(visit, at, kind, await kind.get(visit, at, member_id), None)


async def _removal(visit: Visit, at: Place, kind: Kind, found: Member, refusal: Refusal | None) -> Page:
    held = await or_none(roles.every(visit.ctx, ScopeRef(project_id=at.project.id))) or ()
    data = {
        "place": at,
        "kind": kind,
        "member": found,
        "names": {role.slug: role.name for role in held},
        "breaks": await kind.breaks(visit, at, found),
        "to": at.link("access", kind.slug, found.id),
        "may_edit": visit.ctx.may(at.scope, "edit", kind.subject),
        "may_remove": visit.ctx.may(at.scope, "delete", kind.subject),
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return Page(template="access/member_remove.html", title=f"Remove {found.name}", data=data, status=status)


@pages.post("/{organization}/p/{project}/access/{member_kind}/{member_id}/remove")
async def remove(visit: Visit, project: str, member_kind: str, member_id: str) -> Answer:
    """Remove a member from the project."""
    at, kind = await place.find(visit, project), kind_of(member_kind)
    found = await kind.get(visit, at, member_id)
    try:
        await kind.remove(visit.ctx, at.project.id, member_id)
    except Refusal as refusal:
        return await _removal(visit, at, kind, found, refusal)
    said = f"{found.name} is not in {at.project.name} any more"
    return Redirect(to=at.link("access", kind.slug), notice=said)


@pages.get("/{organization}/p/{project}/access")
async def access(visit: Visit, project: str) -> Answer:
    """Lead to the identities of a project."""
    return Redirect(to=link(visit.base, "p", project, "access", "identities"))
