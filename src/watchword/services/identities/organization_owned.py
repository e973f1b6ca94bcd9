"""Identities of the organization that the caller's credential is for: create, read, change, delete, list.

The same acts as those of all identities, but the organization is not sent and a project's identities are not found.
"""

from watchword.domain.errors import BadRequest, NotFound
from watchword.services.access.role_refs import RoleEntries, RoleEntry
from watchword.services.access.scopes import own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.identities import identities
from watchword.services.identities.identities import (
    IdentityDetails,
    IdentityQuery,
    NewIdentity,
    RoleSlug,
    UpdateIdentity,
)
from watchword.services.paging import Page


class CreateOrganizationIdentity(NewIdentity, frozen=True, kw_only=True):
    """A new identity of the caller's organization.

    Its roles in the organization are `roles`, or the one `role` (a slug; `no-access` when neither is sent).
    """

    role: RoleSlug | None = None
    roles: RoleEntries | None = None


async def create(ctx: Ctx, body: CreateOrganizationIdentity) -> IdentityDetails:
    """Create an identity whose organization roles stay within the caller's own rights.

    Raises BadRequest for both `role` and `roles`, or for no permanent role; NotFound for an unknown role;
    PermissionDenied.
    """
    scope = await own_org(ctx)
    if body.role is not None and body.roles is not None:
        raise BadRequest("Send either role or roles, not both")
    entries = body.roles if body.roles is not None else [RoleEntry(role=body.role or "no-access")]
    return await identities.create_in(ctx, scope, body, entries)


async def update(ctx: Ctx, identity_id: str, body: UpdateIdentity) -> IdentityDetails:
    """Change an identity of the organization. Raises NotFound, PermissionDenied."""
    await _require_of(ctx, identity_id, "edit")
    return await identities.update(ctx, identity_id, body)


async def remove(ctx: Ctx, identity_id: str) -> IdentityDetails:
    """Delete an identity of the organization with everything that belongs to it; its tokens end at once.

    Raises BadRequest under delete protection, NotFound, PermissionDenied.
    """
    await _require_of(ctx, identity_id, "delete")
    return await identities.remove(ctx, identity_id)


async def get(ctx: Ctx, identity_id: str) -> IdentityDetails:
    """Return one identity of the organization. Raises NotFound, PermissionDenied."""
    await _require_of(ctx, identity_id, "read")
    return await identities.shown(ctx, identity_id)


async def find(ctx: Ctx, query: IdentityQuery) -> Page[IdentityDetails]:
    """Find one page of the identities that belong to the organization, and how many match."""
    scope = await own_org(ctx)
    return await identities.find(ctx, scope.org_id, query, own=True)


async def _require_of(ctx: Ctx, identity_id: str, action: str) -> CallerScope:
    """Require the right, and then that the identity belongs to the organization itself.

    The order matters: without the right, the answer does not tell whether there is such an identity.
    """
    scope = await own_org(ctx)
    ctx.require(scope, action, "identity")
    identity = await identities.record(ctx, identity_id)
    if identity is None or identity.org_id != scope.org_id or identity.project_id is not None:
        raise NotFound("There is no such identity in this organization")
    return scope
