"""The identities of the caller's organization as people look through them: with their projects, by facets.

A page costs the same however many identities there are: it looks at a bounded number of names, and says where it
stopped.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec

from watchword.services.access.scopes import organization, own_org
from watchword.services.context import Ctx
from watchword.services.identities import identities
from watchword.services.identities.identities import IdentityDetails, IdentityQuery
from watchword.services.paging import Page
from watchword.store.engine import Tx
from watchword.store.identities import directory

MOST_OWNERS: Final = 100
LOOKS_AT: Final = 5_000  # names that one page looks at
MOST_COUNTED: Final = 10_000
_FEW: Final = 100  # names that are looked at first: they are enough for most pages
_OWNERS_OF: Final = 2_000  # identities whose owners are offered


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


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A part of the list. `after` and `before` are ids: where the next part begins, and the one before it.

    `goes_on`: names are left that were not looked at. `total`: how many identities the organization has, counted up to
    `MOST_COUNTED`, where nothing narrows the list.
    """

    items: Sequence[Listed]
    after: str | None
    before: str | None
    goes_on: bool
    total: int | None


async def part(
    ctx: Ctx, query: IdentityQuery, *, after: str = "", before: str = "", size: int, is_narrowed: bool
) -> Part:
    """Return the part of the organization's identities that begins after one of them, or ends before one.

    Raises PermissionDenied. An `after` or `before` that is gone is the beginning.
    """
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    org = await organization(ctx, scope.org_id)
    place = directory.Place(scope.org_id, owns_all=org.parent_org_id is None)
    backwards = bool(before) and not after
    async with ctx.survey() as tx:
        start = await directory.key_of(tx, after or before) if after or before else None
        backwards = backwards and start is not None
        found, stopped = await _found(tx, place, query, start, size=size + 1, descending=query.descending != backwards)
        has_more, shown = len(found) > size, found[:size]
        if backwards:
            shown.reverse()
        rows = await directory.members(tx, place, [key.id for key in shown])
        ordered = [rows[key.id] for key in shown if key.id in rows]
        details = await identities.assembled(tx, ordered, ctx.now)
        joined = await directory.projects_of(tx, scope.org_id, [key.id for key in shown])
        total = None if is_narrowed else await directory.count(tx, scope.org_id, MOST_COUNTED)
    first, last = (shown[0].id, shown[-1].id) if shown else (None, None)
    further = last if has_more or backwards else stopped.id if stopped is not None else None
    return Part(
        items=[Listed(each, [ProjectName(*one) for one in joined.get(each.identity.id, ())]) for each in details],
        after=further,
        before=first if (start is not None and not backwards) or (backwards and has_more) else None,
        goes_on=stopped is not None and not has_more,
        total=total,
    )


async def _found(
    tx: Tx, place: directory.Place, query: IdentityQuery, start: directory.Key | None, *, size: int, descending: bool
) -> tuple[list[directory.Key], directory.Key | None]:
    """Return the first keys that match, and, if they are fewer than `size`, where the look ended if names are left."""
    text = query.wide.strip()
    if text and start is None:
        exact = await directory.exactly(tx, place, query, text)
        if exact:
            return exact, None
    found: list[directory.Key] = []
    stopped: directory.Key | None = start
    for looks_at in (_FEW, LOOKS_AT):
        begin = stopped
        found += await directory.matching(tx, place, query, begin, looks_at=looks_at, descending=descending)
        if len(found) >= size:
            return found[:size], None
        stopped = await directory.last_looked_at(tx, place, begin, looks_at=looks_at, descending=descending)
        if stopped is None:
            return found, None
    if text and not found and start is None:
        found = await directory.matching(tx, place, query, None, looks_at=LOOKS_AT, descending=descending, begins=text)
    return found, stopped


async def owners(ctx: Ctx) -> Sequence[str]:
    """List the owners that the first identities have, the first `MOST_OWNERS` by name."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        return await directory.owners(tx, scope.org_id, MOST_OWNERS, looks_at=_OWNERS_OF)


async def names(ctx: Ctx, ids: Collection[str]) -> Mapping[str, str]:
    """Return the names of identities of the organization, by id; nothing to a caller who may not read identities."""
    scope = await own_org(ctx)
    if not ids or not ctx.may(scope, "read", "identity"):
        return {}
    async with ctx.survey() as tx:
        return await directory.names(tx, scope.org_id, sorted(ids))
