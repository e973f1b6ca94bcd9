"""People as members of projects: invite by address, change roles, remove, list.

The bulk forms are those that clients and Terraform send.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.people.records import User
from watchword.domain.projects.records import Project
from watchword.services.access.role_refs import RoleEntry, RoleName, audit_roles
from watchword.services.access.scopes import ProjectScope, enter_org, enter_project
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.projects.members import (
    PERSON,
    AddMember,
    ChangeMember,
    Wanted,
    change_roles,
    join,
    leave,
)
from watchword.services.turns import Turns
from watchword.store.access import grants
from watchword.store.engine import Tx
from watchword.store.people import people
from watchword.store.projects import members

MOST = 500
Addresses = Annotated[list[Annotated[str, msgspec.Meta(max_length=255)]], msgspec.Meta(max_length=MOST)]


class PeopleByAddress(msgspec.Struct, frozen=True, kw_only=True):
    """People by address; a user name is an address too."""

    emails: Addresses = msgspec.field(default_factory=list)
    usernames: Addresses = msgspec.field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        """Each address once, as it is stored. Raises Invalid when there is none."""
        addresses = list(
            dict.fromkeys(text.strip().lower() for text in (*self.emails, *self.usernames) if text.strip())
        )
        if not addresses:
            raise Invalid.of("emails", "Name at least one person, in emails or usernames")
        return addresses


class InviteToProject(PeopleByAddress, frozen=True, kw_only=True, rename="camel"):
    """The people of the organization to invite, and the roles that they get."""

    role_slugs: Annotated[list[RoleName], msgspec.Meta(min_length=1, max_length=100)] = msgspec.field(
        default_factory=lambda: ["member"]
    )


class ProjectPerson(msgspec.Struct, frozen=True):
    """A person as a member of a project."""

    membership: Membership
    user: User
    roles: Sequence[tuple[MembershipRole, Role | None]]
    project: Project


async def invite(ctx: Ctx, project_id: str, body: InviteToProject) -> list[Membership]:
    """Make people of the organization members of a project; existing members stay as they are."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "member")
    addresses = body.addresses
    entries = [RoleEntry(role=slug) for slug in dict.fromkeys(body.role_slugs)]
    async with ctx.unit() as tx:
        persons = await _people(tx, scope, addresses)
        existing = await members.in_project_of_many(tx, scope.project.id, "user", [person.id for person in persons])
        added = [
            await join(ctx, tx, scope, PERSON, person.id, entries) for person in persons if person.id not in existing
        ]
        if added:
            ctx.audit(
                "add-workspace-member",
                org_id=scope.org_id,
                project_id=scope.project.id,
                emails=addresses,
                userIds=[membership.actor_id for membership in added],
                roles=audit_roles(entries),
            )
    return added


async def add(ctx: Ctx, project_id: str, address: str, body: AddMember) -> Membership:
    """Make a person of the organization a member of a project, with roles for good or for a time."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "member")
    async with ctx.unit() as tx:
        person = (await _people(tx, scope, [address.strip().lower()]))[0]
        membership = await join(ctx, tx, scope, PERSON, person.id, body.entries)
        ctx.audit(
            "add-workspace-member",
            org_id=scope.org_id,
            project_id=scope.project.id,
            emails=[person.email],
            userIds=[person.id],
            roles=audit_roles(body.entries),
        )
    return membership


async def find(ctx: Ctx, project_id: str, wanted: Wanted) -> Page[ProjectPerson]:
    """Find a page of the people of a project, by address."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    async with ctx.survey() as tx:
        rows, total = await members.page_of_people(tx, scope.project.id, wanted)
        roles = await grants.roles_on(tx, [membership.id for membership, _ in rows])
    return Page(
        [ProjectPerson(membership, user, roles[membership.id], scope.project) for membership, user in rows], total
    )


async def available(ctx: Ctx, project_id: str, wanted: Wanted) -> Page[User]:
    """Find the people of the organization who could join a project, for whoever may see them."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    ctx.require(await enter_org(ctx, scope.org_id), "read", "member")
    async with ctx.survey() as tx:
        return Page(*await members.people_outside(tx, scope.org_id, scope.project.id, wanted))


async def _people(tx: Tx, scope: ProjectScope, addresses: Sequence[str]) -> list[User]:
    by_address = {person.email: person for person in await members.people_by_address(tx, scope.org_id, addresses)}
    if unknown := [address for address in addresses if address not in by_address]:
        raise NotFound(f"Not in the organization, invite them there first: {', '.join(unknown[:10])}")
    return [by_address[address] for address in addresses]


async def change(ctx: Ctx, project_id: str, membership_id: str, body: ChangeMember) -> Sequence[MembershipRole]:
    """Replace the roles of a person."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "member")
    async with ctx.unit() as tx:
        membership = await _membership(tx, scope, membership_id)
        rows = await change_roles(ctx, tx, scope, PERSON, membership, body.roles)
        ctx.audit(
            "update-user-workspace-role",
            org_id=scope.org_id,
            project_id=scope.project.id,
            userId=membership.actor_id,
            roles=audit_roles(body.roles),
        )
    return rows


async def remove(ctx: Ctx, project_id: str, membership_id: str) -> Membership:
    """Remove a person from a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "member")
    async with ctx.unit() as tx:
        membership = await _membership(tx, scope, membership_id)
        await _end(ctx, tx, scope, [membership])
    return membership


async def remove_named(ctx: Ctx, project_id: str, body: PeopleByAddress) -> list[Membership]:
    """Remove people from a project by address: all of them, or none."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "member")
    addresses = body.addresses
    async with ctx.unit() as tx:
        persons = await _people(tx, scope, addresses)
        memberships = await members.in_project_of_many(tx, scope.project.id, "user", [person.id for person in persons])
        if strangers := [person.email for person in persons if person.id not in memberships]:
            raise BadRequest(f"Not members of this project: {', '.join(strangers[:10])}")
        await _end(ctx, tx, scope, list(memberships.values()))
    return list(memberships.values())


async def _end(ctx: Ctx, tx: Tx, scope: ProjectScope, memberships: Sequence[Membership]) -> None:
    for membership in memberships:
        await leave(ctx, tx, scope, PERSON, membership)
        ctx.audit(
            "remove-workspace-member", org_id=scope.org_id, project_id=scope.project.id, userId=membership.actor_id
        )


async def every(ctx: Ctx, project_id: str) -> list[ProjectPerson]:
    """List the people of a project, by address."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    turns = Turns()
    async with ctx.survey() as tx:
        rows = await members.people_in_project(tx, scope.project.id, turns)
        roles = await grants.roles_on(tx, [membership.id for membership, _ in rows], turns)
    listed: list[ProjectPerson] = []
    for membership, user in rows:
        listed.append(ProjectPerson(membership, user, roles[membership.id], scope.project))
        await turns.give()
    return listed


async def get(ctx: Ctx, project_id: str, membership_id: str) -> ProjectPerson:
    """Return one person by the id of the membership."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        return await _member(tx, scope, await _membership(tx, scope, membership_id))


async def by_name(ctx: Ctx, project_id: str, username: str) -> ProjectPerson:
    """Return one person by address."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        person = await people.user_by_email(tx, username)
        membership = await grants.project_membership(tx, "user", person.id, scope.project.id) if person else None
        if membership is None:
            raise NotFound("There is no such person in this project")
        return await _member(tx, scope, membership)


async def by_person(ctx: Ctx, project_id: str, user_id: str) -> ProjectPerson:
    """Return one person by the id of the person."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        membership = await grants.project_membership(tx, "user", user_id, scope.project.id)
        if membership is None:
            raise NotFound("There is no such person in this project")
        return await _member(tx, scope, membership)


async def _member(tx: Tx, scope: ProjectScope, membership: Membership) -> ProjectPerson:
    user = await people.user(tx, membership.actor_id)
    if user is None:
        raise NotFound("There is no such person in this project")
    return ProjectPerson(membership, user, (await grants.roles_on(tx, [membership.id]))[membership.id], scope.project)


async def _membership(tx: Tx, scope: ProjectScope, membership_id: str) -> Membership:
    membership = await grants.membership(tx, membership_id)
    if membership is None or membership.project_id != scope.project.id or membership.actor_kind != "user":
        raise NotFound("There is no such person in this project")
    return membership
