"""People as members of projects: invite by address, change roles, remove, list (the bulk forms that clients and
Terraform send).
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.people.records import User
from watchword.domain.projects.records import Project
from watchword.services.access.role_refs import RoleEntry, RoleName
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.projects.members import PERSON, ChangeMember, audit_roles, change_roles, join, leave
from watchword.store.access import grants
from watchword.store.engine import Tx
from watchword.store.people import people
from watchword.store.projects import members as lists

MOST = 500
Addresses = Annotated[list[Annotated[str, msgspec.Meta(max_length=255)]], msgspec.Meta(max_length=MOST)]


class PeopleByAddress(msgspec.Struct, frozen=True, kw_only=True):
    """People by address; a user name is an address too."""

    emails: Addresses = msgspec.field(default_factory=list)
    usernames: Addresses = msgspec.field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        """Each address once, as it is stored. Raises Invalid when there is none."""
        found = list(dict.fromkeys(text.strip().lower() for text in (*self.emails, *self.usernames) if text.strip()))
        if not found:
            raise Invalid.of("emails", "Name at least one person, in emails or usernames")
        return found


class InviteToProject(PeopleByAddress, frozen=True, kw_only=True, rename="camel"):
    """People of the organization and the roles they get."""

    role_slugs: Annotated[list[RoleName], msgspec.Meta(min_length=1, max_length=100)] = msgspec.field(
        default_factory=lambda: ["member"]
    )


class ProjectPerson(msgspec.Struct, frozen=True):
    """A person in a project."""

    membership: Membership
    user: User
    roles: Sequence[tuple[MembershipRole, Role | None]]
    project: Project


async def invite(ctx: Ctx, project_id: str, given: InviteToProject) -> list[Membership]:
    """Make people of the organization members of a project; those who are members already stay as they are."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "member")
    addresses = given.addresses
    entries = [RoleEntry(role=slug) for slug in dict.fromkeys(given.role_slugs)]
    async with ctx.unit() as tx:
        found = await _people(tx, scope, addresses)
        there = await lists.in_project_of_many(tx, scope.project.id, "user", [one.id for one in found])
        made = [await join(ctx, tx, scope, PERSON, one.id, entries) for one in found if one.id not in there]
        if made:
            ctx.audit(
                "add-workspace-member",
                org_id=scope.org_id,
                project_id=scope.project.id,
                emails=addresses,
                userIds=[one.actor_id for one in made],
                roles=audit_roles(entries),
            )
    return made


async def _people(tx: Tx, scope: ProjectScope, addresses: Sequence[str]) -> list[User]:
    found = {one.email: one for one in await lists.people_by_address(tx, scope.org_id, addresses)}
    if unknown := [address for address in addresses if address not in found]:
        raise NotFound(f"Not in the organization, invite them there first: {', '.join(unknown[:10])}")
    return [found[address] for address in addresses]


async def change(ctx: Ctx, project_id: str, membership_id: str, given: ChangeMember) -> Sequence[MembershipRole]:
    """Replace the roles of a person."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "member")
    async with ctx.unit() as tx:
        membership = await _membership(tx, scope, membership_id)
        rows = await change_roles(ctx, tx, scope, PERSON, membership, given.roles)
        ctx.audit(
            "update-user-workspace-role",
            org_id=scope.org_id,
            project_id=scope.project.id,
            userId=membership.actor_id,
            roles=audit_roles(given.roles),
        )
    return rows


async def remove(ctx: Ctx, project_id: str, membership_id: str) -> Membership:
    """Take a person out of a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "member")
    async with ctx.unit() as tx:
        membership = await _membership(tx, scope, membership_id)
        await _end(ctx, tx, scope, [membership])
    return membership


async def remove_named(ctx: Ctx, project_id: str, given: PeopleByAddress) -> list[Membership]:
    """Take people out of a project by address: all of them or nobody."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "member")
    addresses = given.addresses
    async with ctx.unit() as tx:
        found = await _people(tx, scope, addresses)
        there = await lists.in_project_of_many(tx, scope.project.id, "user", [one.id for one in found])
        if strangers := [one.email for one in found if one.id not in there]:
            raise BadRequest(f"Not members of this project: {', '.join(strangers[:10])}")
        await _end(ctx, tx, scope, list(there.values()))
    return list(there.values())


async def _end(ctx: Ctx, tx: Tx, scope: ProjectScope, memberships: Sequence[Membership]) -> None:
    for one in memberships:
        await leave(ctx, tx, scope, PERSON, one)
        ctx.audit("remove-workspace-member", org_id=scope.org_id, project_id=scope.project.id, userId=one.actor_id)


async def every(ctx: Ctx, project_id: str) -> list[ProjectPerson]:
    """The people of a project, by address."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        rows = await lists.people_in_project(tx, scope.project.id)
        roles = await grants.roles_on(tx, [membership.id for membership, _ in rows])
    return [ProjectPerson(membership, user, roles[membership.id], scope.project) for membership, user in rows]


async def get(ctx: Ctx, project_id: str, membership_id: str) -> ProjectPerson:
    """One person by the id of the membership."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        return await _member(tx, scope, await _membership(tx, scope, membership_id))


async def by_name(ctx: Ctx, project_id: str, username: str) -> ProjectPerson:
    """One person by address."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    async with ctx.view() as tx:
        person = await people.user_by_email(tx, username)
        membership = await grants.project_membership(tx, "user", person.id, scope.project.id) if person else None
        if membership is None:
            raise NotFound("There is no such person in this project")
        return await _member(tx, scope, membership)


async def _member(tx: Tx, scope: ProjectScope, membership: Membership) -> ProjectPerson:
    user = await people.user(tx, membership.actor_id)
    if user is None:
        raise NotFound("There is no such person in this project")
    return ProjectPerson(membership, user, (await grants.roles_on(tx, [membership.id]))[membership.id], scope.project)


async def _membership(tx: Tx, scope: ProjectScope, membership_id: str) -> Membership:
    found = await grants.membership(tx, membership_id)
    if found is None or found.project_id != scope.project.id or found.actor_kind != "user":
        raise NotFound("There is no such person in this project")
    return found
