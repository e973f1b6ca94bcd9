"""Sub-organizations."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.people.records import Organization
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.people import sub_organizations
from watchword.services.timestamps import iso

routes = Routes("sub-organizations")
_PATH = "/api/v1/sub-organizations"


class SubOrganizationOut(Out, frozen=True, kw_only=True):
    id: str
    name: str
    slug: str
    created_at: str
    updated_at: str
    root_org_id: str | None
    parent_org_id: str | None

    @classmethod
    def of(cls, organization: Organization) -> "SubOrganizationOut":
        return cls(
            id=organization.id,
            name=organization.name,
            slug=organization.slug,
            created_at=iso(organization.created_at),
            updated_at=iso(organization.updated_at),
            root_org_id=organization.root_org_id,
            parent_org_id=organization.parent_org_id,
        )


class SubOrganizationReply(Out, frozen=True, kw_only=True):
    organization: SubOrganizationOut


class SubOrganizationsReply(Out, frozen=True, kw_only=True):
    organizations: Sequence[SubOrganizationOut]
    total_count: int


class SubOrganizationPage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of sub-organizations."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 25
    is_accessible: Annotated[
        bool, msgspec.Meta(description="Only those that the caller is a member of. Default: all.")
    ] = False


@routes.post(_PATH, USER, IDENTITY)
async def create_sub_organization(ctx: Ctx, body: sub_organizations.CreateSubOrganization) -> SubOrganizationReply:
    """Create a sub-organization of the caller's organization, with the caller as its administrator."""
    return SubOrganizationReply(organization=SubOrganizationOut.of(await sub_organizations.create(ctx, body)))


@routes.get(_PATH, USER, IDENTITY)
async def list_sub_organizations(ctx: Ctx, query: SubOrganizationPage) -> SubOrganizationsReply:
    """List the sub-organizations of the caller's organization by name."""
    page = await sub_organizations.find(ctx, is_accessible=query.is_accessible, offset=query.offset, limit=query.limit)
    return SubOrganizationsReply(
        organizations=[SubOrganizationOut.of(organization) for organization in page.items], total_count=page.total
    )


@routes.patch(_PATH + "/{sub_org_id}", USER, IDENTITY)
async def update_sub_organization(
    ctx: Ctx, sub_org_id: str, body: sub_organizations.UpdateSubOrganization
) -> SubOrganizationReply:
    """Rename a sub-organization, or give it another slug."""
    changed = await sub_organizations.update(ctx, sub_org_id, body)
    return SubOrganizationReply(organization=SubOrganizationOut.of(changed))


@routes.delete(_PATH + "/{sub_org_id}", USER, IDENTITY)
async def delete_sub_organization(ctx: Ctx, sub_org_id: str) -> SubOrganizationReply:
    """Delete a sub-organization with everything in it."""
    return SubOrganizationReply(organization=SubOrganizationOut.of(await sub_organizations.remove(ctx, sub_org_id)))
