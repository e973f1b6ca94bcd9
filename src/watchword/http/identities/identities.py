"""Machine identities."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.decode import Trimmed
from watchword.domain.errors import Invalid
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import IdentityMembershipOut, IdentityOut, Out, in_pieces
from watchword.services.access.scopes import own_org
from watchword.services.context import Ctx
from watchword.services.identities import identities

routes = Routes("identities", is_compressed=True)

MOST_ALTERNATIVES = 100  # of one search, those inside others included
MOST_NAMES = 1_000  # in one `$in`
MOST_TEXT = 1_000  # characters of one text that is looked for


class IdentityReply(Out, frozen=True, kw_only=True):
    identity: IdentityOut


class MembershipReply(Out, frozen=True, kw_only=True):
    identity: IdentityMembershipOut


class IdentitiesReply(Out, frozen=True, kw_only=True):
    identities: Sequence[IdentityMembershipOut]
    total_count: int


class MembershipsReply(Out, frozen=True, kw_only=True):
    identity_memberships: Sequence[IdentityMembershipOut]
    total_count: int


class TotalReply(Out, frozen=True, kw_only=True):
    total_count: int


class OfOrganization(msgspec.Struct, frozen=True, rename="camel"):
    org_id: Trimmed


@routes.post("/api/v1/identities", USER, IDENTITY)
async def create_identity(ctx: Ctx, body: identities.CreateIdentity) -> IdentityReply:
    """Create a machine identity in an organization."""
    return IdentityReply(identity=IdentityOut.of(await identities.create(ctx, body)))


@routes.get("/api/v1/identities", USER, IDENTITY)
async def list_identities(ctx: Ctx, query: OfOrganization) -> IdentitiesReply:
    """List all identities of an organization, by name."""
    page = await identities.find(ctx, query.org_id, identities.IdentityQuery(limit=None))
    return IdentitiesReply(identities=await in_pieces(page.items, IdentityMembershipOut.of), total_count=page.total)


@routes.get("/api/v1/identities/details", IDENTITY, hot=True)
async def identity_details(ctx: Ctx) -> dict[str, Any]:
    """The organization of the calling identity."""
    return {"identityDetails": {"organization": await identities.details(ctx)}}


SearchText = Annotated[str, msgspec.Meta(max_length=MOST_TEXT)]


class TextFilter(msgspec.Struct, frozen=True):
    """What a text must be: contain `$contains` (names only), be `$eq`, or be one of `$in`."""

    contains: SearchText | None = msgspec.field(default=None, name="$contains")
    eq: SearchText | None = msgspec.field(default=None, name="$eq")
    one_of: Annotated[Sequence[SearchText], msgspec.Meta(max_length=MOST_NAMES)] | None = msgspec.field(
        default=None, name="$in"
    )


class SearchFields(msgspec.Struct, frozen=True):
    """Filters that an identity must all pass; of the alternatives `$or`, one is enough."""

    name: TextFilter | None = None
    role: TextFilter | None = None
    any_of: Annotated[Sequence["SearchFields"], msgspec.Meta(max_length=MOST_ALTERNATIVES)] | None = msgspec.field(
        default=None, name="$or"
    )


class IdentitySearch(msgspec.Struct, frozen=True, rename="camel"):
    order_by: Literal["name", "role"] = "name"
    order_direction: Literal["asc", "desc"] = "asc"
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 50
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    search: SearchFields = SearchFields()


def _require_few(search: SearchFields) -> None:
    """Raise Invalid for a search with too many alternatives: each is a condition of the query."""
    total, left = 0, [search]
    while left:
        alternatives = left.pop().any_of or ()
        total += len(alternatives)
        left += alternatives
    if total > MOST_ALTERNATIVES:
        raise Invalid.of("search", f"Search for at most {MOST_ALTERNATIVES} alternatives ($or) at a time")


def _query(fields: SearchFields, **page: Any) -> identities.IdentityQuery:
    def exact(text: TextFilter | None) -> tuple[str, ...]:
        if text is None:
            return ()
        return (*(text.one_of or ()), *((text.eq,) if text.eq is not None else ()))

    contains = fields.name.contains if fields.name and fields.name.contains else ""
    return identities.IdentityQuery(
        contains=contains,
        names=exact(fields.name),
        roles=exact(fields.role),
        any_of=[_query(alternative) for alternative in fields.any_of or ()],
        **page,
    )


@routes.older("POST", "/api/v1/identities/search", USER, IDENTITY)
@routes.post("/api/v2/identities/search", USER, IDENTITY)
async def search_identities(ctx: Ctx, body: IdentitySearch) -> IdentitiesReply:
    """Search the identities of the caller's organization."""
    _require_few(body.search)
    query = _query(
        body.search,
        offset=body.offset,
        limit=body.limit,
        order_by=body.order_by,
        descending=body.order_direction == "desc",
    )
    page = await identities.find(ctx, (await own_org(ctx)).org_id, query)
    return IdentitiesReply(identities=await in_pieces(page.items, IdentityMembershipOut.of), total_count=page.total)


class IdentityCount(msgspec.Struct, frozen=True, rename="camel"):
    """The filters of a search whose matches are only counted."""

    search: SearchFields = SearchFields()


@routes.post("/api/v2/identities/search/count", USER, IDENTITY)
async def count_identities(ctx: Ctx, body: IdentityCount) -> TotalReply:
    """Count the identities of the caller's organization that a search finds."""
    _require_few(body.search)
    total = await identities.count(ctx, (await own_org(ctx)).org_id, _query(body.search))
    return TotalReply(total_count=total)


class IdentitiesPage(msgspec.Struct, frozen=True, rename="camel"):
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 100
    order_by: Literal["name"] = "name"
    order_direction: Literal["asc", "desc"] = "asc"
    search: str = ""


@routes.get("/api/v2/organizations/{org_id}/identity-memberships", USER, IDENTITY)
async def list_identity_memberships(ctx: Ctx, org_id: str, query: IdentitiesPage) -> MembershipsReply:
    """List the identities of an organization, a page at a time."""
    page_query = identities.IdentityQuery(
        contains=query.search, offset=query.offset, limit=query.limit, descending=query.order_direction == "desc"
    )
    page = await identities.find(ctx, org_id, page_query)
    return MembershipsReply(
        identity_memberships=[IdentityMembershipOut.of(identity) for identity in page.items], total_count=page.total
    )


@routes.get("/api/v1/identities/{identity_id}", USER, IDENTITY)
async def get_identity(ctx: Ctx, identity_id: str) -> MembershipReply:
    """Read an identity with its role and metadata."""
    return MembershipReply(identity=IdentityMembershipOut.of(await identities.get(ctx, identity_id)))


@routes.patch("/api/v1/identities/{identity_id}", USER, IDENTITY)
async def update_identity(ctx: Ctx, identity_id: str, body: identities.UpdateIdentity) -> IdentityReply:
    """Change an identity."""
    return IdentityReply(identity=IdentityOut.of(await identities.update(ctx, identity_id, body)))


@routes.delete("/api/v1/identities/{identity_id}", USER, IDENTITY)
async def delete_identity(ctx: Ctx, identity_id: str) -> IdentityReply:
    """Delete an identity with everything that hangs on it."""
    return IdentityReply(identity=IdentityOut.of(await identities.remove(ctx, identity_id)))
