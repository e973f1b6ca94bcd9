"""The identities of the caller's organization as people look through them: with their projects, by facets."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from watchword.services.access.scopes import own_org
from watchword.services.context import Ctx
from watchword.services.identities import identities
from watchword.services.identities.identities import IdentityDetails, IdentityQuery
from watchword.services.paging import Page
from watchword.store.identities import directory

MOST_OWNERS = 100


class ProjectName(msgspec.Struct, frozen=True):
    """A project that an identity is in."""

    id: str
    slug: str
    name: str


class Listed(msgspec.Struct, frozen=True):
    """An identity and its projects."""

    details: IdentityDetails
    projects: Sequence[ProjectName]


async def page(ctx: Ctx, query: IdentityQuery) -> Page[Listed]:
    """Return one page of the organization's identities that match. Raises PermissionDenied."""
    scope = await own_org(ctx)
    found = await identities.find(ctx, scope.org_id, query)
    async with ctx.survey() as tx:
        ids = [details.identity.id for details in found.items]
        projects = await directory.projects_of(tx, scope.org_id, ids)
    return Page(
        [Listed(each, [ProjectName(*one) for one in projects.get(each.identity.id, ())]) for each in found.items],
        found.total,
    )


async def owners(ctx: Ctx) -> Sequence[str]:
    """List the owners that identities have, the first `MOST_OWNERS` by name."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        return await directory.owners(tx, scope.org_id, MOST_OWNERS)


async def names(ctx: Ctx, ids: Collection[str]) -> Mapping[str, str]:
    """Return the names of identities of the organization, by id; nothing to a caller who may not read identities."""
    scope = await own_org(ctx)
    if not ids or not ctx.may(scope, "read", "identity"):
        return {}
    async with ctx.survey() as tx:
        return await directory.names(tx, scope.org_id, sorted(ids))
