"""Memberships of machine identities, in projects (older and newer paths) and in organizations."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.identities.records import Identity
from watchword.domain.projects.records import Project
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import HeldRoleOut, IdentityOut, MetadataOut, Out, in_pieces
from watchword.services.context import Ctx
from watchword.services.identities import identities, organization_members, project_members
from watchword.services.identities.identities import IdentityDetails, IdentityQuery
from watchword.services.paging import Page
from watchword.services.projects.members import AddMember, ChangeMember
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("memberships", is_compressed=True)
_V2 = "/api/v2/workspace/{project_id}/identity-memberships"
_V1 = "/api/v1/projects/{project_id}/identity-memberships"
_NEW = "/api/v1/projects/{project_id}/memberships/identities"
_ORG = "/api/v1/organization/identity-memberships"


class ProjectName(Out, frozen=True, kw_only=True):
    """A project beside one of its members."""

    id: str
    name: str
    type: str

    @classmethod
    def of(cls, project: Project) -> "ProjectName":
        return cls(id=project.id, name=project.name, type=project.kind)


class JoinedOut(Out, frozen=True, kw_only=True):
    """A membership on its own."""

    id: str
    project_id: str | None
    org_id: str
    identity_id: str
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, membership: Membership) -> "JoinedOut":
        return cls(
            id=membership.id,
            project_id=membership.project_id,
            org_id=membership.org_id,
            identity_id=membership.actor_id,
            created_at=iso(membership.created_at),
            updated_at=iso(membership.updated_at),
        )


class RoleRowOut(Out, frozen=True, kw_only=True):
    """A role that was just put on a membership."""

    id: str
    role: str
    membership_id: str
    project_membership_id: str
    custom_role_id: str | None
    is_temporary: bool
    temporary_mode: str | None
    temporary_range: str | None
    temporary_access_start_time: str | None
    temporary_access_end_time: str | None
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, role: MembershipRole) -> "RoleRowOut":
        return cls(
            id=role.id,
            role=role.role,
            membership_id=role.membership_id,
            project_membership_id=role.membership_id,
            custom_role_id=role.custom_role_id,
            is_temporary=role.is_temporary,
            temporary_mode=role.temporary_mode,
            temporary_range=role.temporary_range,
            temporary_access_start_time=iso_or_none(role.starts_at),
            temporary_access_end_time=iso_or_none(role.ends_at),
            created_at=iso(role.created_at),
            updated_at=iso(role.updated_at),
        )


class MemberOut(Out, frozen=True, kw_only=True, omit_defaults=True):
    """An identity as a member of a project, or of an organization when there is no project."""

    id: str
    identity_id: str
    org_id: str
    created_at: str
    updated_at: str
    roles: Sequence[HeldRoleOut]
    identity: IdentityOut
    project: ProjectName | None = None
    metadata: Sequence[MetadataOut]
    last_login_auth_method: str | None
    last_login_time: str | None

    @classmethod
    def of(
        cls,
        details: IdentityDetails,
        membership: Membership,
        roles: Sequence[tuple[MembershipRole, Role | None]],
        project: Project | None,
    ) -> "MemberOut":
        return cls(
            id=membership.id,
            identity_id=membership.actor_id,
            org_id=membership.org_id,
            created_at=iso(membership.created_at),
            updated_at=iso(membership.updated_at),
            roles=[HeldRoleOut.of(role, custom) for role, custom in roles],
            identity=IdentityOut.of(details),
            project=ProjectName.of(project) if project else None,
            metadata=MetadataOut.every(details.metadata),
            last_login_auth_method=details.identity.last_login_method,
            last_login_time=iso_or_none(details.identity.last_login_at),
        )


class JoinedReply(Out, frozen=True, kw_only=True):
    identity_membership: JoinedOut


class RolesReply(Out, frozen=True, kw_only=True):
    roles: Sequence[RoleRowOut]


class MemberReply(Out, frozen=True, kw_only=True):
    identity_membership: MemberOut


class MembersReply(Out, frozen=True, kw_only=True):
    identity_memberships: Sequence[MemberOut]
    total_count: int


class AllReply(Out, frozen=True, kw_only=True):
    identity_memberships: Sequence[MemberOut]


def _member(details: IdentityDetails, project: Project | None) -> MemberOut:
    assert details.membership is not None
    return MemberOut.of(details, details.membership, details.roles, project)


def _candidates(page: Page[Identity]) -> dict[str, Any]:
    return {
        "identities": [{"id": identity.id, "name": identity.name} for identity in page.items],
        "totalCount": page.total,
    }


class MembersPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the older generation."""

    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 100
    order_by: Literal["name"] = "name"
    order_direction: Literal["asc", "desc"] = "asc"
    search: str = ""


class NewerPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the newer generation; `roles` are slugs with commas between."""

    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20
    order_by: Literal["name", "role"] = "name"
    order_direction: Literal["asc", "desc"] = "asc"
    identity_name: str = ""
    search: str = ""
    roles: str = ""


class SmallPage(NewerPage, frozen=True, kw_only=True, rename="camel"):
    """A page of the newer generation, with a hundred entries at most."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


def query_of(query: NewerPage) -> IdentityQuery:
    """The page that a query asks for."""
    return IdentityQuery(
        contains=query.identity_name or query.search,
        roles=[slug.strip() for slug in query.roles.split(",") if slug.strip()],
        offset=query.offset,
        limit=query.limit,
        order_by=query.order_by,
        descending=query.order_direction == "desc",
    )


@routes.older("GET", "/api/v2/workspace/identity-memberships/{identity_membership_id}", USER, IDENTITY)
@routes.get("/api/v1/projects/identity-memberships/{identity_membership_id}", USER, IDENTITY)
async def member_by_membership_id(ctx: Ctx, identity_membership_id: str) -> MemberReply:
    """Read an identity's project membership by the membership's own id."""
    member = await project_members.by_membership(ctx, identity_membership_id)
    return MemberReply(identity_membership=_member(member.details, member.project))


@routes.older("POST", _V2 + "/{identity_id}", USER, IDENTITY)
@routes.older("POST", _V1 + "/{identity_id}", USER, IDENTITY)
@routes.post(_NEW + "/{identity_id}", USER, IDENTITY)
async def add_identity(ctx: Ctx, project_id: str, identity_id: str, body: AddMember) -> JoinedReply:
    """Make an identity a member of a project."""
    return JoinedReply(identity_membership=JoinedOut.of(await project_members.add(ctx, project_id, identity_id, body)))


@routes.older("PATCH", _V2 + "/{identity_id}", USER, IDENTITY)
@routes.older("PATCH", _V1 + "/{identity_id}", USER, IDENTITY)
@routes.patch(_NEW + "/{identity_id}", USER, IDENTITY)
async def change_identity_roles(ctx: Ctx, project_id: str, identity_id: str, body: ChangeMember) -> RolesReply:
    """Replace the roles of an identity in a project."""
    _, rows = await project_members.change(ctx, project_id, identity_id, body)
    return RolesReply(roles=[RoleRowOut.of(row) for row in rows])


@routes.older("DELETE", _V2 + "/{identity_id}", USER, IDENTITY)
@routes.older("DELETE", _V1 + "/{identity_id}", USER, IDENTITY)
@routes.delete(_NEW + "/{identity_id}", USER, IDENTITY)
async def remove_identity(ctx: Ctx, project_id: str, identity_id: str) -> JoinedReply:
    """Take an identity out of a project."""
    return JoinedReply(identity_membership=JoinedOut.of(await project_members.remove(ctx, project_id, identity_id)))


@routes.older("GET", _V2 + "/{identity_id}", USER, IDENTITY)
@routes.older("GET", _V1 + "/{identity_id}", USER, IDENTITY)
@routes.get(_NEW + "/{identity_id}", USER, IDENTITY)
async def get_identity_member(ctx: Ctx, project_id: str, identity_id: str) -> MemberReply:
    """Read an identity's membership of a project."""
    member = await project_members.get(ctx, project_id, identity_id)
    return MemberReply(identity_membership=_member(member.details, member.project))


@routes.older("GET", _V2, USER, IDENTITY)
@routes.get(_V1, USER, IDENTITY)
async def list_identity_members(ctx: Ctx, project_id: str, query: MembersPage) -> MembersReply:
    """List the identities of a project, a page at a time."""
    page_query = IdentityQuery(
        contains=query.search, offset=query.offset, limit=query.limit, descending=query.order_direction == "desc"
    )
    page, project = await project_members.find(ctx, project_id, page_query)
    members = await in_pieces(page.items, lambda member: _member(member, project))
    return MembersReply(identity_memberships=members, total_count=page.total)


@routes.get(_NEW, USER, IDENTITY)
async def list_members(ctx: Ctx, project_id: str, query: NewerPage) -> MembersReply:
    """List the identities of a project by name and role, a page at a time."""
    page, project = await project_members.find(ctx, project_id, query_of(query))
    members = await in_pieces(page.items, lambda member: _member(member, project))
    return MembersReply(identity_memberships=members, total_count=page.total)


@routes.get("/api/v1/projects/{project_id}/memberships/available-identities", USER, IDENTITY)
async def available_identities(ctx: Ctx, project_id: str, query: SmallPage) -> dict[str, Any]:
    """List the identities of the organization that could join a project."""
    return _candidates(await project_members.available(ctx, project_id, query_of(query)))


@routes.get("/api/v1/identities/{identity_id}/identity-memberships", USER, IDENTITY)
async def projects_of_identity(ctx: Ctx, identity_id: str) -> AllReply:
    """List the projects an identity is a member of."""
    details, rows = await identities.projects_of(ctx, identity_id)
    return AllReply(
        identity_memberships=await in_pieces(
            rows, lambda row: MemberOut.of(details, row.membership, row.roles, row.project)
        )
    )


# --- organizations


@routes.older("GET", "/api/v1/organization/available-identities", USER, IDENTITY)
@routes.get("/api/v1/organization/identities/available", USER, IDENTITY)
async def available_in_organization(ctx: Ctx, query: SmallPage) -> dict[str, Any]:
    """List the identities of the root organization that are not members of the caller's organization."""
    return _candidates(await organization_members.available(ctx, query_of(query)))


@routes.post(_ORG + "/{identity_id}", USER, IDENTITY)
async def add_to_organization(ctx: Ctx, identity_id: str, body: ChangeMember) -> JoinedReply:
    """Make an identity a member of the caller's organization."""
    return JoinedReply(
        identity_membership=JoinedOut.of(await organization_members.add(ctx, identity_id, AddMember(roles=body.roles)))
    )


@routes.patch(_ORG + "/{identity_id}", USER, IDENTITY)
async def change_organization_roles(ctx: Ctx, identity_id: str, body: ChangeMember) -> RolesReply:
    """Replace the organization roles of an identity."""
    _, rows = await organization_members.change(ctx, identity_id, body)
    return RolesReply(roles=[RoleRowOut.of(row) for row in rows])


@routes.delete(_ORG + "/{identity_id}", USER, IDENTITY)
async def remove_from_organization(ctx: Ctx, identity_id: str) -> JoinedReply:
    """Take an identity out of the caller's organization."""
    return JoinedReply(identity_membership=JoinedOut.of(await organization_members.remove(ctx, identity_id)))


@routes.get(_ORG + "/{identity_id}", USER, IDENTITY)
async def get_organization_member(ctx: Ctx, identity_id: str) -> MemberReply:
    """Read an identity's membership of the caller's organization."""
    return MemberReply(identity_membership=_member(await organization_members.get(ctx, identity_id), None))


@routes.get(_ORG, USER, IDENTITY)
async def list_organization_members(ctx: Ctx, query: SmallPage) -> MembersReply:
    """List the identities of the caller's organization, a page at a time."""
    page = await organization_members.find(ctx, query_of(query))
    return MembersReply(identity_memberships=[_member(member, None) for member in page.items], total_count=page.total)
