"""Sub-organizations: tenants of their own below an organization, one level deep.

A token is for one organization alone. People and identities of the root become members of a sub-organization; what
lives in one does not reach the root.
"""

from typing import Annotated

import msgspec

from watchword.domain.actor import HolderKind
from watchword.domain.bounds import slugify
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.people.records import Organization
from watchword.services.access.scopes import organization, own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.paging import Page
from watchword.services.people import organizations
from watchword.services.people.organizations import OrgName
from watchword.store.engine import AlreadyThere
from watchword.store.people import people

SUBJECT = "sub-organization"
Name = Annotated[OrgName, msgspec.Meta(description="The name that people see.")]
Slug = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=64,
        extra={"trim": True},
        description="Unique among the sub-organizations of the root: lower-case letters, digits and single dashes. "
        "Logins name it as organizationSlug. Default: made from the name.",
    ),
]


class CreateSubOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """A new sub-organization of the caller's organization."""

    name: Name
    slug: Slug | None = None


class UpdateSubOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """What to change."""

    name: Name | None = None
    slug: Slug | None = None


async def create(ctx: Ctx, body: CreateSubOrganization) -> Organization:
    """Create a sub-organization with the caller as its administrator, whatever kind the caller is."""
    scope = await own_org(ctx)
    ctx.require(scope, "create", SUBJECT)
    parent = await organization(ctx, scope.org_id)
    if parent.parent_org_id is not None:
        raise BadRequest("A sub-organization cannot have sub-organizations: there is one level only")
    slug = _slug(body.slug or slugify(body.name)[:64].strip("-") or "part", parent)
    try:
        async with ctx.unit() as tx:
            org = await organizations.add(ctx, tx, body.name, slug=slug, parent=parent)
            await organizations.add_member(ctx, tx, org.id, _kind(ctx), ctx.actor.id, "admin")
            ctx.audit("create-sub-organization", org_id=parent.id, organizationId=org.id, name=org.name, slug=org.slug)
    except AlreadyThere:
        raise _taken(slug) from None
    return org


def _kind(ctx: Ctx) -> HolderKind:
    return "identity" if ctx.actor.kind == "identity" else "user"


def _slug(slug: str, parent: Organization) -> str:
    if slugify(slug) != slug:
        raise Invalid.of("slug", "Lower-case letters, digits and single dashes")
    if slug == parent.slug:
        raise BadRequest("This is the slug of the root organization, which logins name by it")
    return slug


def _taken(slug: str) -> BadRequest:
    return BadRequest(f"There is a sub-organization with the slug {slug} already")


async def find(ctx: Ctx, *, is_accessible: bool, offset: int, limit: int) -> Page[Organization]:
    """List the sub-organizations of the caller's root organization by name.

    `is_accessible`: only those that the caller is an active member of. From within a sub-organization only these are
    shown.
    """
    scope = await own_org(ctx)
    ctx.public("members know the parts of their organization")
    org = await organization(ctx, scope.org_id)
    own_only = is_accessible or org.parent_org_id is not None
    async with ctx.view() as tx:
        rows, total = await people.page_of_sub_organizations(
            tx,
            org.parent_org_id or org.id,
            member=(_kind(ctx), ctx.actor.id) if own_only else None,
            offset=offset,
            limit=limit,
        )
    return Page(rows, total)


async def get(ctx: Ctx, sub_org_id: str) -> Organization:
    """Return a sub-organization of the caller's organization, or the caller's own. Raises NotFound."""
    ctx.public("members know the parts of their organization")
    return (await _enter(ctx, sub_org_id))[0]


async def update(ctx: Ctx, sub_org_id: str, body: UpdateSubOrganization) -> Organization:
    """Change name or slug. Tokens that were issued go on; logins name the new slug."""
    org, scope = await _enter(ctx, sub_org_id)
    ctx.require(scope, "edit", "settings")
    parent = await organization(ctx, org.parent_org_id or org.id)
    changes = {"name": body.name, "slug": None if body.slug is None else _slug(body.slug, parent)}
    changed = {field: value for field, value in changes.items() if value is not None}
    if not changed:
        raise Invalid.of((), "Nothing to change: send a name or a slug")
    try:
        async with ctx.unit() as tx:
            if await people.organization(tx, org.id) is None:
                raise _unknown()
            await people.change_organization(tx, org.id, updated_at=ctx.now, **changed)
            ctx.audit("update-sub-organization", org_id=scope.org_id, organizationId=org.id, **changed)
    except AlreadyThere:
        raise _taken(changed["slug"]) from None
    return msgspec.structs.replace(org, updated_at=ctx.now, **changed)


async def remove(ctx: Ctx, sub_org_id: str) -> Organization:
    """Delete a sub-organization with everything in it.

    Only administrators may, its own or the root's; where one of the instance is in it, only such a one.
    """
    org, scope = await _enter(ctx, sub_org_id)
    ctx.require(scope, "delete", "settings")
    async with ctx.unit() as tx:
        current = await people.organization(tx, org.id)
        if current is None:
            raise _unknown()
        await organizations.end(ctx, tx, scope, current)
        ctx.audit(
            "delete-sub-organization", org_id=org.parent_org_id, organizationId=org.id, name=org.name, slug=org.slug
        )
    return org


async def _enter(ctx: Ctx, sub_org_id: str) -> tuple[Organization, CallerScope]:
    """Return a sub-organization, and the caller's scope in it or in its root, whichever the credential is for.

    Raises NotFound for any other.
    """
    scope = await own_org(ctx)
    async with ctx.view() as tx:
        org = await people.organization(tx, sub_org_id)
    if org is None or org.parent_org_id is None or scope.org_id not in (org.id, org.parent_org_id):
        raise _unknown()
    return org, scope


def _unknown() -> NotFound:
    return NotFound("There is no such sub-organization")
