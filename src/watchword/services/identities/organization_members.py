"""Machine identities as members of organizations, and identities of a root organization in its sub-organizations."""

from collections.abc import Sequence
from typing import Any

from watchword.domain.access.records import Membership, MembershipRole
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.identities.records import Identity
from watchword.services.access.boundaries import require_over_holder
from watchword.services.access.role_refs import audit_roles
from watchword.services.access.scopes import organization, own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.identities.identities import IdentityDetails, IdentityQuery, assembled, require_unprotected
from watchword.services.paging import Page
from watchword.services.people import administrators
from watchword.services.projects.members import IDENTITY, AddMember, ChangeMember, change_roles, join
from watchword.services.turns import Turns
from watchword.store.access import grants
from watchword.store.authentication import token_revocations
from watchword.store.engine import Tx
from watchword.store.identities import identities, lists
from watchword.store.people import accounts
from watchword.store.projects import members


async def add(ctx: Ctx, identity_id: str, body: AddMember) -> Membership:
    """Make an identity of the organization, or of its root, a member of the organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "create", "identity")
    org = await organization(ctx, scope.org_id)
    async with ctx.unit() as tx:
        identity = await identities.by_id(tx, identity_id)
        if identity is None or identity.org_id not in (org.id, org.root_org_id):
            raise NotFound("There is no such identity that could join")
        _require_free(identity)
        membership = await join(ctx, tx, scope, IDENTITY, identity_id, body.entries)
        _audit(ctx, "create", membership, roles=audit_roles(body.entries))
    return membership


async def change(ctx: Ctx, identity_id: str, body: ChangeMember) -> tuple[Membership, Sequence[MembershipRole]]:
    """Replace the organization roles of an identity."""
    scope = await own_org(ctx)
    ctx.require(scope, "edit", "identity")
    async with ctx.unit() as tx:
        identity, membership = await _member(tx, scope, identity_id)
        _require_free(identity)
        rows = await change_roles(ctx, tx, scope, IDENTITY, membership, body.roles)
        _audit(ctx, "update", membership, roles=audit_roles(body.roles))
    return membership, rows


async def remove(ctx: Ctx, identity_id: str) -> Membership:
    """Remove an identity from the organization, its projects and groups. No caller ends its own membership."""
    scope = await own_org(ctx)
    ctx.require(scope, "delete", "identity")
    async with ctx.unit() as tx:
        identity, membership = await _member(tx, scope, identity_id)
        _require_free(identity)
        if (ctx.actor.kind, ctx.actor.id) == ("identity", identity_id):
            raise BadRequest("You cannot remove your own membership: somebody else has to")
        await require_over_holder(ctx, tx, scope, "identity", identity_id, "delete")
        if identity.is_instance_admin:
            await administrators.hold(tx)
        if identity.org_id == scope.org_id:
            # In another organization an identity only loses a membership; in its own it would be left with nothing.
            require_unprotected(identity)
            await token_revocations.end_tokens(tx, identity_id)
        await accounts.remove_from_organization(tx, membership)
        if identity.is_instance_admin:
            await administrators.require_one(ctx, tx)
        _audit(ctx, "delete", membership)
    return membership


async def get(ctx: Ctx, identity_id: str) -> IdentityDetails:
    """Return one identity as a member of the organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    async with ctx.view() as tx:
        identity, membership = await _member(tx, scope, identity_id)
        return (await assembled(tx, [(identity, membership)], ctx.now))[0]


async def find(ctx: Ctx, query: IdentityQuery) -> Page[IdentityDetails]:
    """Find one page of the organization's identities, and how many match."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    turns = Turns()
    async with ctx.survey() as tx:
        rows, total = await lists.in_org(tx, scope.org_id, query, turns)
        return Page(await assembled(tx, rows, ctx.now, turns), total)


async def available(ctx: Ctx, query: IdentityQuery) -> Page[Identity]:
    """Find the identities of the root organization that are not members of the caller's organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    org = await organization(ctx, scope.org_id)
    async with ctx.view() as tx:
        return Page(*await members.outside_org(tx, org.id, org.root_org_id or org.id, query))


async def _member(tx: Tx, scope: CallerScope, identity_id: str) -> tuple[Identity, Membership]:
    identity = await identities.by_id(tx, identity_id)
    membership = await grants.org_membership(tx, "identity", identity_id, scope.org_id)
    if identity is None or membership is None:
        raise NotFound("There is no such identity in the organization")
    return identity, membership


def _require_free(identity: Identity) -> None:
    if identity.project_id is not None:
        raise BadRequest(
            "The identity belongs to a project and has no role in the organization: manage it in its project"
        )


def _audit(ctx: Ctx, verb: str, membership: Membership, **more: Any) -> None:
    ctx.audit(
        f"{verb}-identity-org-membership",
        org_id=membership.org_id,
        identityId=membership.actor_id,
        membershipId=membership.id,
        **more,
    )
