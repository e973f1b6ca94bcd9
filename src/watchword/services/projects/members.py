"""Members of projects, whether identities, people or groups: join, change roles, leave.

What is the same for all three is here; each kind's own module adds how members are named and shown. No caller gives a
role beyond its own rights, and none changes or removes a member that holds more than itself.
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.access.records import Membership, MembershipRole
from watchword.domain.actor import HolderKind
from watchword.domain.errors import BadRequest, NotFound
from watchword.services.access.boundaries import require_may_admit, require_over_holder, require_roles
from watchword.services.access.role_refs import Resolved, RoleEntries, RoleEntry, RoleName, resolve
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import CallerScope, Ctx
from watchword.services.scope_refs import kind_of
from watchword.store.access import grants
from watchword.store.engine import AlreadyThere, Tx


class AddMember(msgspec.Struct, frozen=True, kw_only=True):
    """The roles of a new member: one (old clients), or several."""

    role: RoleName = "no-access"
    roles: RoleEntries | None = None

    @property
    def entries(self) -> Sequence[RoleEntry]:
        """All roles asked for."""
        return [RoleEntry(role=self.role)] if self.roles is None else self.roles


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A page of members, or of those who could become members: `contains` is a part of the name or address."""

    contains: str = ""
    offset: int = 0
    limit: int | None = 50


class ChangeMember(msgspec.Struct, frozen=True, kw_only=True):
    """All roles of a member from now on."""

    roles: Annotated[RoleEntries, msgspec.Meta(min_length=1)]


class MemberKind(msgspec.Struct, frozen=True):
    """A kind of member: how it is stored, and the subject of the rights over it."""

    name: HolderKind
    subject: str

    def facts(self, id: str) -> dict[str, str]:
        """Return the facts that conditions of project rules look at."""
        return {"identityId": id} if self.name == "identity" else {}


IDENTITY = MemberKind("identity", "identity")
PERSON = MemberKind("user", "member")
GROUP = MemberKind("group", "groups")


async def resolved_within(
    ctx: Ctx,
    tx: Tx,
    scope: CallerScope,
    kind: MemberKind,
    actor_id: str,
    entries: Sequence[RoleEntry],
    membership_id: str,
) -> Resolved:
    """Resolve roles that stay within the caller's own rights. Raises NotFound, BadRequest, BoundaryExceeded."""
    resolved = await resolve(
        ctx, tx, kind_of(scope), entries, membership_id=membership_id, org_id=scope.org_id, project_id=scope.project_id
    )
    facts = kind.facts(actor_id) if scope.project_id else {}
    await require_roles(ctx, tx, scope, resolved.by_slug, kind.subject, facts)
    return resolved


async def join(
    ctx: Ctx, tx: Tx, scope: CallerScope, kind: MemberKind, actor_id: str, entries: Sequence[RoleEntry]
) -> Membership:
    """Make an actor a member of the scope's organization or project in the open unit.

    The calling code has checked that the actor may be a member there.
    """
    if kind == IDENTITY:
        await require_may_admit(ctx, tx, actor_id)
    membership = Membership(
        id=ctx.new_id(),
        org_id=scope.org_id,
        project_id=scope.project_id,
        actor_kind=kind.name,
        actor_id=actor_id,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    resolved = await resolved_within(ctx, tx, scope, kind, actor_id, entries, membership.id)
    try:
        await grants.add_membership(tx, membership, resolved.rows)
    except AlreadyThere:
        raise BadRequest("It is a member already: change its roles instead") from None
    return membership


async def change_roles(
    ctx: Ctx, tx: Tx, scope: CallerScope, kind: MemberKind, membership: Membership, entries: Sequence[RoleEntry]
) -> Sequence[MembershipRole]:
    """Replace the roles of a member in the open unit."""
    await require_over_holder(ctx, tx, scope, kind.name, membership.actor_id, "grant-privileges", kind.subject)
    resolved = await resolved_within(ctx, tx, scope, kind, membership.actor_id, entries, membership.id)
    await grants.replace_roles(tx, membership, resolved.rows, ctx.now)
    return resolved.rows


async def leave(ctx: Ctx, tx: Tx, scope: ProjectScope, kind: MemberKind, membership: Membership) -> None:
    """End a project membership with its privileges, in the open unit. No caller ends its own membership."""
    if (membership.actor_kind, membership.actor_id) == (ctx.actor.kind, ctx.actor.id):
        raise BadRequest("You cannot remove your own membership: somebody else has to")
    await require_over_holder(ctx, tx, scope, kind.name, membership.actor_id, "grant-privileges", kind.subject)
    await grants.remove_membership(tx, membership)


async def of_project(tx: Tx, scope: ProjectScope, kind: MemberKind, actor_id: str) -> Membership:
    """Return an actor's own membership of the project. Raises NotFound."""
    membership = await grants.project_membership(tx, kind.name, actor_id, scope.project.id)
    if membership is None:
        raise NotFound("There is no such member in this project")
    return membership
