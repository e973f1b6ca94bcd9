"""Machine identities as members of projects: add, change roles, remove, list, and list those that could join."""

from collections.abc import Sequence

import msgspec

from watchword.domain.access.records import Membership, MembershipRole
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.identities.records import Identity
from watchword.domain.projects.records import Project
from watchword.services.access.role_refs import audit_roles
from watchword.services.access.scopes import ProjectScope, enter_project, require_actor
from watchword.services.context import Ctx
from watchword.services.identities.identities import IdentityDetails, IdentityQuery, assembled
from watchword.services.paging import Page
from watchword.services.projects.members import (
    IDENTITY,
    AddMember,
    ChangeMember,
    change_roles,
    join,
    leave,
    of_project,
)
from watchword.services.turns import Turns
from watchword.store.access import grants
from watchword.store.engine import Tx
from watchword.store.identities import identities, lists
from watchword.store.projects import members


class ProjectIdentity(msgspec.Struct, frozen=True):
    """An identity as a member of a project."""

    details: IdentityDetails
    project: Project


async def add(ctx: Ctx, project_id: str, identity_id: str, body: AddMember) -> Membership:
    """Make an identity of the organization a member of a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", "identity", identityId=identity_id)
    async with ctx.unit() as tx:
        if await grants.project_membership(tx, "identity", identity_id, scope.project.id):
            raise BadRequest("The identity is a member of this project already: change its roles instead")
        await _joinable(tx, scope, identity_id)
        membership = await join(ctx, tx, scope, IDENTITY, identity_id, body.entries)
        ctx.audit(
            "create-identity-project-membership",
            org_id=scope.org_id,
            project_id=scope.project.id,
            identityId=identity_id,
            roles=audit_roles(body.entries),
        )
    return membership


async def _joinable(tx: Tx, scope: ProjectScope, identity_id: str) -> None:
    """Raise NotFound for an unknown identity or another organization's, BadRequest for another project's own."""
    identity = await identities.by_id(tx, identity_id)
    if identity is None or await grants.org_membership(tx, "identity", identity_id, scope.org_id) is None:
        raise NotFound("There is no such identity in the organization")
    if identity.project_id not in (None, scope.project.id):
        raise BadRequest("The identity belongs to another project and cannot join this one")


async def change(
    ctx: Ctx, project_id: str, identity_id: str, body: ChangeMember
) -> tuple[Membership, Sequence[MembershipRole]]:
    """Replace the roles of a member."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "edit", "identity", identityId=identity_id)
    async with ctx.unit() as tx:
        membership = await of_project(tx, scope, IDENTITY, identity_id)
        rows = await change_roles(ctx, tx, scope, IDENTITY, membership, body.roles)
        ctx.audit(
            "update-identity-project-membership",
            org_id=scope.org_id,
            project_id=scope.project.id,
            identityId=identity_id,
            roles=audit_roles(body.roles),
        )
    return membership, rows


async def remove(ctx: Ctx, project_id: str, identity_id: str) -> Membership:
    """Remove an identity from a project, with its privileges there."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "delete", "identity", identityId=identity_id)
    async with ctx.unit() as tx:
        membership = await of_project(tx, scope, IDENTITY, identity_id)
        identity = await identities.by_id(tx, identity_id)
        if identity is not None and identity.project_id is not None:
            raise BadRequest("The identity belongs to this project: delete the identity instead")
        await leave(ctx, tx, scope, IDENTITY, membership)
        ctx.audit(
            "delete-identity-project-membership",
            org_id=scope.org_id,
            project_id=scope.project.id,
            identityId=identity_id,
        )
    return membership


async def get(ctx: Ctx, project_id: str, identity_id: str) -> ProjectIdentity:
    """Return one member with its roles."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "identity", identityId=identity_id)
    async with ctx.view() as tx:
        membership = await of_project(tx, scope, IDENTITY, identity_id)
        return ProjectIdentity(await shown(tx, membership, ctx.now), scope.project)


async def by_membership(ctx: Ctx, membership_id: str) -> ProjectIdentity:
    """Return one member by the id of its membership. Raises NotFound, for another organization's too."""
    actor = require_actor(ctx)
    async with ctx.view() as tx:
        membership = await grants.membership(tx, membership_id)
    if (
        membership is None
        or membership.project_id is None
        or membership.actor_kind != "identity"
        or membership.org_id != actor.org_id
    ):
        raise NotFound("There is no such identity membership")
    return await get(ctx, membership.project_id, membership.actor_id)


async def shown(tx: Tx, membership: Membership, now: int) -> IdentityDetails:
    """Return the details of an identity's membership at `now` (ms)."""
    identity = await identities.by_id(tx, membership.actor_id)
    if identity is None:
        raise NotFound("The identity was deleted meanwhile")
    return (await assembled(tx, [(identity, membership)], now))[0]


async def find(
    ctx: Ctx, project_id: str, query: IdentityQuery, *, own: bool = False
) -> tuple[Page[IdentityDetails], Project]:
    """Find one page of a project's identities, and how many match. `own`: only those that belong to the project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "identity")
    turns = Turns()
    async with ctx.survey() as tx:
        rows, total = await _readable(tx, scope, query, turns, own=own)
        return Page(await assembled(tx, rows, ctx.now, turns), total), scope.project


async def _readable(
    tx: Tx, scope: ProjectScope, query: IdentityQuery, turns: Turns, *, own: bool
) -> tuple[list[tuple[Identity, Membership]], int]:
    """Return the page of those identities that the caller may read: rules may name single identities."""
    if not scope.ability.looks_at("read", "identity"):
        return await lists.in_project(tx, scope.project.id, query, turns, own=own)
    everything = msgspec.structs.replace(query, offset=0, limit=None)
    rows, _ = await lists.in_project(tx, scope.project.id, everything, turns, own=own)
    readable: list[tuple[Identity, Membership]] = []
    for row in rows:
        if scope.ability.allows("read", "identity", {"identityId": row[0].id}):
            readable.append(row)
        await turns.give()
    return readable[query.offset : None if query.limit is None else query.offset + query.limit], len(readable)


async def available(ctx: Ctx, project_id: str, query: IdentityQuery) -> Page[Identity]:
    """Find the identities of the organization that could join a project."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        return Page(*await members.outside_project(tx, scope.org_id, scope.project.id, query))
