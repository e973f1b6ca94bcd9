"""Identities of the caller's organization, in the newer style."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.http.identities.memberships import NewerPage, query_of
from watchword.http.routing import USER, Routes
from watchword.http.wire import IdentityOut, Out, in_pieces
from watchword.services.context import Ctx
from watchword.services.identities import organization_owned
from watchword.services.identities.identities import UpdateIdentity
from watchword.services.identities.organization_owned import CreateOrganizationIdentity

routes = Routes("identities of the organization", is_compressed=True)
_PATH = "/api/v1/organization/identities"


class OrganizationIdentityReply(Out, frozen=True, kw_only=True):
    identity: IdentityOut


class OrganizationIdentitiesReply(Out, frozen=True, kw_only=True):
    identities: Sequence[IdentityOut]
    total_count: int


class OrganizationIdentitiesPage(NewerPage, frozen=True, kw_only=True, rename="camel"):
    """A page of identities."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 100


@routes.post(_PATH, USER)
async def create_organization_identity(ctx: Ctx, body: CreateOrganizationIdentity) -> OrganizationIdentityReply:
    """Create a machine identity in the caller's organization."""
    return OrganizationIdentityReply(identity=IdentityOut.of(await organization_owned.create(ctx, body)))


@routes.get(_PATH, USER)
async def list_organization_identities(ctx: Ctx, query: OrganizationIdentitiesPage) -> OrganizationIdentitiesReply:
    """List the identities that belong to the caller's organization, a page at a time."""
    page = await organization_owned.find(ctx, query_of(query))
    return OrganizationIdentitiesReply(identities=await in_pieces(page.items, IdentityOut.of), total_count=page.total)


@routes.get(_PATH + "/{identity_id}", USER)
async def get_organization_identity(ctx: Ctx, identity_id: str) -> OrganizationIdentityReply:
    """Read an identity of the caller's organization."""
    return OrganizationIdentityReply(identity=IdentityOut.of(await organization_owned.get(ctx, identity_id)))


@routes.patch(_PATH + "/{identity_id}", USER)
async def update_organization_identity(ctx: Ctx, identity_id: str, body: UpdateIdentity) -> OrganizationIdentityReply:
    """Change an identity of the caller's organization."""
    return OrganizationIdentityReply(identity=IdentityOut.of(await organization_owned.update(ctx, identity_id, body)))


@routes.delete(_PATH + "/{identity_id}", USER)
async def delete_organization_identity(ctx: Ctx, identity_id: str) -> OrganizationIdentityReply:
    """Delete an identity of the caller's organization with everything that hangs on it."""
    return OrganizationIdentityReply(identity=IdentityOut.of(await organization_owned.remove(ctx, identity_id)))
