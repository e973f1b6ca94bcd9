"""People in projects: the paths of all generations, bulk forms included."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.access.records import Membership
from watchword.domain.people.records import User
from watchword.http.identities.memberships import ProjectName, RoleRowOut, RolesReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import HeldRoleOut, Out, in_pieces
from watchword.services.context import Ctx
from watchword.services.people import project_people
from watchword.services.people.project_people import InviteToProject, PeopleByAddress, ProjectPerson
from watchword.services.projects.members import ChangeMember
from watchword.services.timestamps import iso

routes = Routes("people in projects", is_compressed=True)
_V1 = "/api/v1/workspace/{project_id}/memberships"
_V2 = "/api/v2/workspace/{project_id}/memberships"
_NEW = "/api/v1/projects/{project_id}/memberships"


class ProjectPersonJoinedOut(Out, frozen=True, kw_only=True):
    """A person's membership on its own."""

    id: str
    user_id: str
    project_id: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, membership: Membership) -> "ProjectPersonJoinedOut":
        return cls(
            id=membership.id,
            user_id=membership.actor_id,
            project_id=membership.project_id,
            created_at=iso(membership.created_at),
            updated_at=iso(membership.updated_at),
        )


class PersonOut(Out, frozen=True, kw_only=True):
    """A person as members of a project see it. Nobody has a public key here: secrets are sealed by the server."""

    id: str
    username: str
    email: str
    first_name: str
    last_name: str
    is_email_verified: bool = True
    public_key: str = ""

    @classmethod
    def of(cls, user: User) -> "PersonOut":
        return cls(
            id=user.id, username=user.email, email=user.email, first_name=user.first_name, last_name=user.last_name
        )


class ProjectPersonOut(ProjectPersonJoinedOut, frozen=True, kw_only=True):
    """A person's membership with its roles."""

    user: PersonOut
    roles: Sequence[HeldRoleOut]
    project: ProjectName

    @classmethod
    def shown(cls, person: ProjectPerson) -> "ProjectPersonOut":
        membership = person.membership
        return cls(
            id=membership.id,
            user_id=membership.actor_id,
            project_id=membership.project_id,
            created_at=iso(membership.created_at),
            updated_at=iso(membership.updated_at),
            user=PersonOut.of(person.user),
            project=ProjectName.of(person.project),
            roles=[HeldRoleOut.of(role, custom) for role, custom in person.roles],
        )


class ProjectPeopleJoinedReply(Out, frozen=True, kw_only=True):
    memberships: Sequence[ProjectPersonJoinedOut]


class LeftReply(Out, frozen=True, kw_only=True):
    membership: ProjectPersonJoinedOut


class ProjectPersonReply(Out, frozen=True, kw_only=True):
    membership: ProjectPersonOut


class ProjectPeopleReply(Out, frozen=True, kw_only=True):
    memberships: Sequence[ProjectPersonOut]


class ByName(msgspec.Struct, frozen=True, kw_only=True):
    """A person by user name, which is the address."""

    username: Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]


@routes.older("POST", _V1, USER, IDENTITY)
@routes.older("POST", _V2, USER, IDENTITY)
@routes.post(_NEW, USER, IDENTITY)
async def invite(ctx: Ctx, project_id: str, body: InviteToProject) -> ProjectPeopleJoinedReply:
    """Make people of the organization members of a project."""
    return ProjectPeopleJoinedReply(
        memberships=[
            ProjectPersonJoinedOut.of(membership) for membership in await project_people.invite(ctx, project_id, body)
        ]
    )


@routes.older("DELETE", _V1, USER, IDENTITY)
@routes.older("DELETE", _V2, USER, IDENTITY)
@routes.delete(_NEW, USER, IDENTITY)
async def remove_people(ctx: Ctx, project_id: str, body: PeopleByAddress) -> ProjectPeopleJoinedReply:
    """Take people out of a project by address."""
    return ProjectPeopleJoinedReply(
        memberships=[
            ProjectPersonJoinedOut.of(membership)
            for membership in await project_people.remove_named(ctx, project_id, body)
        ]
    )


@routes.older("GET", _V1, USER, IDENTITY)
@routes.get(_NEW, USER, IDENTITY)
async def list_people(ctx: Ctx, project_id: str) -> ProjectPeopleReply:
    """List the people of a project."""
    return ProjectPeopleReply(
        memberships=await in_pieces(await project_people.every(ctx, project_id), ProjectPersonOut.shown)
    )


@routes.older("POST", _V1 + "/details", USER, IDENTITY)
@routes.post(_NEW + "/details", USER, IDENTITY)
async def person_by_name(ctx: Ctx, project_id: str, body: ByName) -> ProjectPersonReply:
    """Read a person's membership by user name."""
    return ProjectPersonReply(
        membership=ProjectPersonOut.shown(await project_people.by_name(ctx, project_id, body.username))
    )


@routes.older("GET", _V1 + "/{membership_id}", USER, IDENTITY)
@routes.get(_NEW + "/{membership_id}", USER, IDENTITY)
async def get_person(ctx: Ctx, project_id: str, membership_id: str) -> ProjectPersonReply:
    """Read a person's membership of a project."""
    return ProjectPersonReply(
        membership=ProjectPersonOut.shown(await project_people.get(ctx, project_id, membership_id))
    )


@routes.get("/api/v1/projects/{project_id}/user/{user_id}/membership", USER, IDENTITY)
async def get_membership_of_person(ctx: Ctx, project_id: str, user_id: str) -> ProjectPersonReply:
    """Read a person's membership of a project by the id of the person."""
    return ProjectPersonReply(
        membership=ProjectPersonOut.shown(await project_people.by_person(ctx, project_id, user_id))
    )


@routes.older("PATCH", _V1 + "/{membership_id}", USER, IDENTITY)
@routes.patch(_NEW + "/{membership_id}", USER, IDENTITY)
async def change_person_roles(ctx: Ctx, project_id: str, membership_id: str, body: ChangeMember) -> RolesReply:
    """Replace the roles of a person in a project."""
    rows = await project_people.change(ctx, project_id, membership_id, body)
    return RolesReply(roles=[RoleRowOut.of(row) for row in rows])


@routes.older("DELETE", _V1 + "/{membership_id}", USER, IDENTITY)
@routes.delete(_NEW + "/{membership_id}", USER, IDENTITY)
async def remove_person(ctx: Ctx, project_id: str, membership_id: str) -> LeftReply:
    """Take a person out of a project."""
    return LeftReply(membership=ProjectPersonJoinedOut.of(await project_people.remove(ctx, project_id, membership_id)))
