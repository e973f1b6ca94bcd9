"""Groups of the organization, who is in them, and groups in projects."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.access.records import Membership
from watchword.domain.actor import HolderKind
from watchword.domain.people.records import User
from watchword.domain.projects.records import Project
from watchword.http.identities.memberships import RoleRowOut, RolesReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import CustomRoleOut, HeldRoleOut, Out, in_pieces
from watchword.services.context import Ctx
from watchword.services.people import groups, project_groups
from watchword.services.people.groups import GroupDetails
from watchword.services.projects.members import AddMember, ChangeMember
from watchword.services.timestamps import iso, iso_or_none
from watchword.store.people.groups import GroupCandidate, GroupPage

routes = Routes("groups", is_compressed=True)
_ORG = "/api/v1/groups"
_V2 = "/api/v2/workspace/{project_id}/groups"
_V1 = "/api/v1/projects/{project_id}/groups"
_NEW = "/api/v1/projects/{project_id}/memberships/groups"
_KINDS: dict[str | None, tuple[HolderKind, ...]] = {
    "users": ("user",),
    "machineIdentities": ("identity",),
    None: ("user", "identity"),
}


class GroupOut(Out, frozen=True, kw_only=True, omit_defaults=True):
    """A group with its role in the organization; answered bare, as clients expect."""

    id: str
    org_id: str
    name: str
    slug: str
    role: str
    role_id: str | None
    created_at: str
    updated_at: str
    custom_role_slug: str | None = None
    custom_role: CustomRoleOut | None = None

    @classmethod
    def of(cls, details: GroupDetails) -> "GroupOut":
        group = details.group
        role, custom = details.roles[0] if details.roles else (None, None)
        return cls(
            id=group.id,
            org_id=group.org_id,
            name=group.name,
            slug=group.slug,
            role=role.role if role else "no-access",
            role_id=custom.id if custom else None,
            created_at=iso(group.created_at),
            updated_at=iso(group.updated_at),
            custom_role_slug=custom.slug if custom else None,
            custom_role=CustomRoleOut.of(custom) if custom else None,
        )


class GroupName(Out, frozen=True, kw_only=True):
    """A group beside its membership."""

    id: str
    name: str
    slug: str
    org_id: str


class GroupMembershipOut(Out, frozen=True, kw_only=True):
    """A group as a member of a project."""

    id: str
    group_id: str
    project_id: str | None
    created_at: str
    updated_at: str
    roles: Sequence[HeldRoleOut]
    group: GroupName

    @classmethod
    def of(cls, details: GroupDetails) -> "GroupMembershipOut":
        membership, group = details.membership, details.group
        return cls(
            id=membership.id,
            group_id=group.id,
            project_id=membership.project_id,
            created_at=iso(membership.created_at),
            updated_at=iso(membership.updated_at),
            roles=[HeldRoleOut.of(role, custom) for role, custom in details.roles],
            group=GroupName(id=group.id, name=group.name, slug=group.slug, org_id=group.org_id),
        )


class GroupMembershipReply(Out, frozen=True, kw_only=True):
    group_membership: GroupMembershipOut


class GroupMembershipsReply(Out, frozen=True, kw_only=True):
    group_memberships: Sequence[GroupMembershipOut]


class GroupMembersPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of people or identities."""

    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    search: str = ""
    username: str = ""
    order_direction: Literal["asc", "desc"] = "asc"

    def page(self, *, inside: bool | None) -> GroupPage:
        """The page as the store takes it."""
        return GroupPage(
            contains=self.search or self.username,
            inside=inside,
            offset=self.offset,
            limit=self.limit,
            descending=self.order_direction == "desc",
        )


class OfPeople(GroupMembersPage, frozen=True, kw_only=True, rename="camel"):
    filter: Literal["existingMembers", "nonMembers"] | None = None


class OfIdentities(GroupMembersPage, frozen=True, kw_only=True, rename="camel"):
    filter: Literal["assignedMachineIdentities", "nonAssignedMachineIdentities"] | None = None


class OfBoth(GroupMembersPage, frozen=True, kw_only=True, rename="camel"):
    member_type_filter: Literal["users", "machineIdentities"] | None = None


@routes.post(_ORG, USER, IDENTITY)
async def create_group(ctx: Ctx, body: groups.CreateGroup) -> GroupOut:
    """Create a group."""
    return GroupOut.of(await groups.create(ctx, body))


@routes.get(_ORG, USER, IDENTITY)
async def list_groups(ctx: Ctx) -> Sequence[GroupOut]:
    """List the groups of the caller's organization, by name."""
    listed: Sequence[GroupOut] = await in_pieces(await groups.every(ctx), GroupOut.of)
    return listed


@routes.get(_ORG + "/{group_id}", USER, IDENTITY)
async def get_group(ctx: Ctx, group_id: str) -> GroupOut:
    """Read a group."""
    return GroupOut.of(await groups.get(ctx, group_id))


@routes.patch(_ORG + "/{group_id}", USER, IDENTITY)
async def update_group(ctx: Ctx, group_id: str, body: groups.UpdateGroup) -> GroupOut:
    """Change a group."""
    return GroupOut.of(await groups.update(ctx, group_id, body))


@routes.delete(_ORG + "/{group_id}", USER, IDENTITY)
async def delete_group(ctx: Ctx, group_id: str) -> GroupOut:
    """Delete a group."""
    return GroupOut.of(await groups.remove(ctx, group_id))


def _person(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.email,
        "email": user.email,
        "firstName": user.first_name,
        "lastName": user.last_name,
    }


def _listed_person(candidate: GroupCandidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "username": candidate.name,
        "email": candidate.name,
        "firstName": candidate.first_name,
        "lastName": candidate.last_name,
    }


@routes.get(_ORG + "/{group_id}/users", USER, IDENTITY)
async def list_group_users(ctx: Ctx, group_id: str, query: OfPeople) -> dict[str, Any]:
    """List the people of the organization and whether they are in a group."""
    inside = None if query.filter is None else query.filter == "existingMembers"
    page = await groups.candidates(ctx, group_id, ("user",), query.page(inside=inside))
    users = [
        {
            **_listed_person(candidate),
            "isPartOfGroup": candidate.joined_at is not None,
            "joinedGroupAt": iso_or_none(candidate.joined_at),
        }
        for candidate in page.items
    ]
    return {"users": users, "totalCount": page.total}


@routes.post(_ORG + "/{group_id}/users/{username}", USER, IDENTITY)
async def add_group_user(ctx: Ctx, group_id: str, username: str) -> dict[str, Any]:
    """Put a person into a group."""
    return _person(await groups.add_person(ctx, group_id, username))


@routes.delete(_ORG + "/{group_id}/users/{username}", USER, IDENTITY)
async def remove_group_user(ctx: Ctx, group_id: str, username: str) -> dict[str, Any]:
    """Take a person out of a group."""
    return _person(await groups.remove_person(ctx, group_id, username))


@routes.get(_ORG + "/{group_id}/machine-identities", USER, IDENTITY)
async def list_group_identities(ctx: Ctx, group_id: str, query: OfIdentities) -> dict[str, Any]:
    """List the identities of the organization and whether they are in a group."""
    inside = None if query.filter is None else query.filter == "assignedMachineIdentities"
    page = await groups.candidates(ctx, group_id, ("identity",), query.page(inside=inside))
    identities = [
        {
            "id": candidate.id,
            "name": candidate.name,
            "isPartOfGroup": candidate.joined_at is not None,
            "joinedGroupAt": iso_or_none(candidate.joined_at),
        }
        for candidate in page.items
    ]
    return {"machineIdentities": identities, "totalCount": page.total}


@routes.post(_ORG + "/{group_id}/machine-identities/{identity_id}", USER, IDENTITY)
async def add_group_identity(ctx: Ctx, group_id: str, identity_id: str) -> dict[str, Any]:
    """Put a machine identity into a group."""
    return {"id": await groups.add_identity(ctx, group_id, identity_id)}


@routes.delete(_ORG + "/{group_id}/machine-identities/{identity_id}", USER, IDENTITY)
async def remove_group_identity(ctx: Ctx, group_id: str, identity_id: str) -> dict[str, Any]:
    """Take a machine identity out of a group."""
    return {"id": await groups.remove_identity(ctx, group_id, identity_id)}


@routes.get(_ORG + "/{group_id}/members", USER, IDENTITY)
async def list_group_members(ctx: Ctx, group_id: str, query: OfBoth) -> dict[str, Any]:
    """List the people and identities in a group."""
    page = await groups.candidates(ctx, group_id, _KINDS[query.member_type_filter], query.page(inside=True))
    members = [
        {
            "id": member.id,
            "joinedGroupAt": iso_or_none(member.joined_at),
            "type": "user",
            "user": _listed_person(member),
        }
        if member.kind == "user"
        else {
            "id": member.id,
            "joinedGroupAt": iso_or_none(member.joined_at),
            "type": "machineIdentity",
            "machineIdentity": {"id": member.id, "name": member.name},
        }
        for member in page.items
    ]
    return {"members": members, "totalCount": page.total}


@routes.get(_ORG + "/{group_id}/projects", USER, IDENTITY)
async def list_group_projects(ctx: Ctx, group_id: str) -> dict[str, Any]:
    """List the projects a group is a member of."""
    projects = await groups.projects(ctx, group_id)
    return {"projects": await in_pieces(projects, lambda one: _project(*one)), "totalCount": len(projects)}


def _project(membership: Membership, project: Project) -> dict[str, Any]:
    return {
        "id": project.id,
        "name": project.name,
        "slug": project.slug,
        "description": project.description,
        "type": project.kind,
        "joinedGroupAt": iso(membership.created_at),
    }


# --- groups in projects


@routes.older("GET", _V2, USER, IDENTITY)
@routes.older("GET", _V1, USER, IDENTITY)
@routes.get(_NEW, USER, IDENTITY)
async def list_project_groups(ctx: Ctx, project_id: str) -> GroupMembershipsReply:
    """List the groups of a project."""
    return GroupMembershipsReply(
        group_memberships=await in_pieces(await project_groups.every(ctx, project_id), GroupMembershipOut.of)
    )


@routes.older("POST", _V2 + "/{group_id}", USER, IDENTITY)
@routes.older("POST", _V1 + "/{group_id}", USER, IDENTITY)
@routes.post(_NEW + "/{group_id}", USER, IDENTITY)
async def add_project_group(ctx: Ctx, project_id: str, group_id: str, body: AddMember) -> GroupMembershipReply:
    """Make a group, named by id, name or slug, a member of a project."""
    return GroupMembershipReply(
        group_membership=GroupMembershipOut.of(await project_groups.add(ctx, project_id, group_id, body))
    )


@routes.older("GET", _V2 + "/{group_id}", USER, IDENTITY)
@routes.older("GET", _V1 + "/{group_id}", USER, IDENTITY)
@routes.get(_NEW + "/{group_id}", USER, IDENTITY)
async def get_project_group(ctx: Ctx, project_id: str, group_id: str) -> GroupMembershipReply:
    """Read a group's membership of a project."""
    return GroupMembershipReply(
        group_membership=GroupMembershipOut.of(await project_groups.get(ctx, project_id, group_id))
    )


@routes.older("PATCH", _V2 + "/{group_id}", USER, IDENTITY)
@routes.older("PATCH", _V1 + "/{group_id}", USER, IDENTITY)
@routes.patch(_NEW + "/{group_id}", USER, IDENTITY)
async def change_project_group(ctx: Ctx, project_id: str, group_id: str, body: ChangeMember) -> RolesReply:
    """Replace the roles of a group in a project."""
    return RolesReply(
        roles=[RoleRowOut.of(row) for row in await project_groups.change(ctx, project_id, group_id, body)]
    )


@routes.older("DELETE", _V2 + "/{group_id}", USER, IDENTITY)
@routes.older("DELETE", _V1 + "/{group_id}", USER, IDENTITY)
@routes.delete(_NEW + "/{group_id}", USER, IDENTITY)
async def remove_project_group(ctx: Ctx, project_id: str, group_id: str) -> GroupMembershipReply:
    """Take a group out of a project."""
    return GroupMembershipReply(
        group_membership=GroupMembershipOut.of(await project_groups.remove(ctx, project_id, group_id))
    )
