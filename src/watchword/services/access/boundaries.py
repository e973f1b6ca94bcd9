"""Enforce that no caller changes, deletes or obtains a credential of an actor more privileged than itself.

`require_over` is called by every route through which power over an identity can be gained. An organization chooses
between comparing the rules (the default) and asking only for the named action.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from watchword.domain.access import boundary, folder_access
from watchword.domain.access.abilities import Ability, Rule, compile_rules
from watchword.domain.access.conditions import rendered
from watchword.domain.access.folder_access import FolderAccess
from watchword.domain.actor import HolderKind
from watchword.domain.errors import BoundaryExceeded, Forbidden
from watchword.domain.identities.records import Identity
from watchword.services.access.scopes import Budget, ProjectScope, held_grants, holding, template_context
from watchword.services.context import CallerScope, Ctx
from watchword.services.turns import beside
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.people import people
from watchword.store.projects import members

_A_RULE = 8  # that many take as long to look through as one takes to read
_OF_TOKENS = ("create-token", "get-token", "delete-token")


async def require_over(ctx: Ctx, tx: Tx, scope: CallerScope, identity: Identity, action: str) -> None:
    """Raise BoundaryExceeded when `identity` holds, in this scope, anything that the caller does not.

    An instance administrator may be touched only by another one.
    """
    if identity.is_instance_admin and not ctx.actor.is_instance_admin:
        raise Forbidden("Only an instance administrator may change an identity that administers the instance")
    await require_over_holder(ctx, tx, scope, "identity", identity.id, action)


async def within(ctx: Ctx, scope: CallerScope, identity: Identity, actions: Collection[str]) -> frozenset[str]:
    """Return those of the actions for which `require_over` would not refuse the caller."""
    allowed = set[str]()
    async with ctx.view() as tx:
        for action in actions:
            try:
                await require_over(ctx, tx, scope, identity, action)
            except Forbidden:
                continue
            allowed.add(action)
    return frozenset(allowed)


async def require_over_holder(
    ctx: Ctx, tx: Tx, scope: CallerScope, kind: HolderKind, id: str, action: str, subject: str = "identity"
) -> None:
    """Raise BoundaryExceeded when an actor of any kind holds, in this scope, anything that the caller does not.

    Acting as another actor in an organization means acting as it in the projects too, so there the caller must not hold
    less either.
    """
    if action in _OF_TOKENS and (kind, id) == (ctx.actor.kind, ctx.actor.id):
        # Another credential for oneself gives nothing new. Own roles, metadata and methods do not pass: rules that
        # deny, and rules that are filled from metadata or claims, make them ways to climb.
        return
    if scope.project_id is None:
        await _require_no_instance_admin(ctx, tx, kind, id)
    if await _asks_for_action(tx, scope):
        _require_one(
            ctx, scope, (action,), subject, {"identityId": id} if kind == "identity" and scope.project_id else {}
        )
    else:
        budget = Budget()
        await require_over_here(ctx, tx, scope, kind, id, budget)
        if scope.project_id is None:
            await require_over_in_projects(ctx, tx, scope, kind, id, budget)
    if scope.project_id is None:
        await _require_over_in_sub_organizations(ctx, tx, scope, kind, id)


async def require_over_here(ctx: Ctx, tx: Tx, scope: CallerScope, kind: HolderKind, id: str, budget: Budget) -> None:
    """Raise BoundaryExceeded when the actor holds in this very organization or project more than the caller."""
    if scope.ability.is_unlimited("project" if scope.project_id else "organization"):
        return
    held = await held_grants(tx, kind, id, org_id=scope.org_id, project_id=scope.project_id, now=ctx.now, budget=budget)
    await _compare(scope.ability, [grant.rules for grant in held])


async def _compare(parent: Ability | Sequence[Rule], targets: Sequence[Sequence[Rule]]) -> None:
    """Compare rules; many of them beside the event loop, for they must be looked through before the first pair is."""
    count = len(parent.rules if isinstance(parent, Ability) else parent) + sum(map(len, targets))
    await beside(count // _A_RULE, boundary.require_within, parent, targets)


async def _require_no_instance_admin(ctx: Ctx, tx: Tx, kind: HolderKind, id: str) -> None:
    """Raise Forbidden for an instance administrator: it is above every organization, whatever it holds there."""
    if ctx.actor.is_instance_admin:
        return
    identity = await identities.by_id(tx, id) if kind == "identity" else None
    person = await people.user(tx, id) if kind == "user" else None
    if (identity is not None and identity.is_instance_admin) or (person is not None and person.is_instance_admin):
        raise Forbidden("Only an instance administrator may change what another one holds")


async def require_may_admit(ctx: Ctx, tx: Tx, identity_id: str) -> None:
    """Raise Forbidden when a caller who does not administer the instance admits an identity that does.

    Roles that deny would take rights from it that only an instance administrator may take.
    """
    identity = await identities.by_id(tx, identity_id)
    if identity is not None and identity.is_instance_admin and not ctx.actor.is_instance_admin:
        raise Forbidden("Only an instance administrator may make an identity that administers the instance a member")


async def require_over_in_projects(
    ctx: Ctx, tx: Tx, scope: CallerScope, kind: HolderKind, id: str, budget: Budget
) -> None:
    """Raise BoundaryExceeded when the actor holds, in a project of the organization, more than the caller there."""
    if ctx.may(scope, "access-all-projects", "organization-admin-console"):
        return
    actor = ctx.actor
    auth = actor.claims.identity_auth if actor.claims else None
    context = await template_context(tx, actor.kind, actor.id, auth)
    for project_id in await members.projects_of(tx, kind, id, scope.org_id):
        place: dict[str, Any] = {"org_id": scope.org_id, "project_id": project_id, "now": ctx.now, "budget": budget}
        target = await held_grants(tx, kind, id, **place)
        caller = await held_grants(tx, actor.kind, actor.id, **place)
        rules = [rendered(rule, context) for grant in caller for rule in grant.rules]
        await _compare(rules, [grant.rules for grant in target])


async def _require_over_in_sub_organizations(ctx: Ctx, tx: Tx, scope: CallerScope, kind: HolderKind, id: str) -> None:
    """Raise BoundaryExceeded when the actor holds, in a sub-organization, more than the caller there.

    Whoever has a credential of an identity of the root organization enters the sub-organizations it is a member of.
    """
    if ctx.may(scope, "direct-access", "sub-organization"):
        return
    actor = ctx.actor
    auth = actor.claims.identity_auth if actor.claims else None
    for org in await people.sub_organizations_of(tx, scope.org_id, kind, id):
        for project_id in (None, *await members.projects_of(tx, kind, id, org.id)):
            target = await holding(tx, kind, id, org_id=org.id, project_id=project_id, now=ctx.now, auth=None)
            caller = await holding(
                tx, actor.kind, actor.id, org_id=org.id, project_id=project_id, now=ctx.now, auth=auth
            )
            mine = caller.ability if caller.is_member and caller.is_active else ()
            boundary.require_within(mine, [grant.rules for grant in target.grants])


async def require_within(
    ctx: Ctx,
    tx: Tx,
    scope: CallerScope,
    targets: Sequence[Sequence[Rule]],
    action: str,
    subject: str = "identity",
    facts: Mapping[str, str] | None = None,
) -> None:
    """Raise BoundaryExceeded when one of the rule sets goes beyond the caller's own rights."""
    if await _asks_for_action(tx, scope):
        _require_one(ctx, scope, (action,), subject, facts or {})
    else:
        await _compare(scope.ability, targets)


async def require_roles(
    ctx: Ctx,
    tx: Tx,
    scope: CallerScope,
    roles: Mapping[str, Sequence[Rule]],
    subject: str = "identity",
    facts: Mapping[str, str] | None = None,
) -> None:
    """Raise BoundaryExceeded when a role (slug -> rules) goes beyond the caller's own rights.

    A role that grants nothing may be given by any caller. Where only the action is asked, it is `grant-privileges`, or
    `assign-role` for this very role.
    """
    granting = {slug: rules for slug, rules in roles.items() if rules}
    if not await _asks_for_action(tx, scope):
        await _compare(scope.ability, list(granting.values()))
        return
    for slug in granting:
        _require_one(
            ctx, scope, ("grant-privileges", "assign-role"), subject, {**(facts or {}), "assignableRole": slug}
        )


async def require_privilege(
    ctx: Ctx, tx: Tx, scope: CallerScope, rules: Sequence[Rule], facts: Mapping[str, str]
) -> None:
    """Raise BoundaryExceeded when rules given to one identity directly go beyond the caller's own rights."""
    if await _asks_for_action(tx, scope):
        _require_one(ctx, scope, ("grant-privileges", "assign-additional-privileges"), "identity", facts)
    else:
        await _compare(scope.ability, [rules])


async def require_over_in_folder(
    ctx: Ctx, tx: Tx, scope: ProjectScope, identity_id: str, place: FolderAccess, tier: str | None
) -> None:
    """Raise BoundaryExceeded where the identity has, would have or would get back more in a folder than the caller has.

    `place` is the grant that is made, changed or removed, and `tier` what it will allow. Only what lies in the folder
    is compared, for who manages one folder need hold nothing elsewhere; all is where the tier takes from the identity
    what its roles give it there. Where the organization asks for the action alone, that is `manage-access`, which the
    calling code asked for.
    """
    await _require_no_instance_admin(ctx, tx, "identity", identity_id)
    if await _asks_for_action(tx, scope):
        return
    project_id = scope.project.id
    holds = await holding(
        tx, "identity", identity_id, org_id=scope.org_id, project_id=project_id, now=ctx.now, auth=None
    )
    context = await template_context(tx, "identity", identity_id, None)
    without = compile_rules([grant for grant in holds.grants if grant.source != place.source], context)
    facts = {"environment": place.environment, "secretPath": place.path}
    granted = folder_access.allowed(tier) if tier is not None else {}
    gaps, takes_away = list[dict[str, Any]](), False
    for subject, actions in folder_access.DECIDED.items():
        for action in actions:
            is_given, by_roles = action in granted.get(subject, ()), without.maybe(action, subject, facts)
            takes_away = takes_away or (tier is not None and by_roles and not is_given)
            asked = is_given or by_roles or holds.ability.maybe(action, subject, facts)
            if asked and not scope.ability.surely(action, subject, facts):
                gaps.append({"action": action, "subject": subject, "conditions": facts})
    if gaps:
        names = ", ".join(f"{gap['action']} on {gap['subject']}" for gap in gaps[:5])
        raise BoundaryExceeded(
            f"This needs permissions in the folder that you do not have yourself: {names}",
            details={"missingPermissions": gaps},
        )
    if takes_away:
        await _compare(scope.ability, [grant.rules for grant in holds.grants])


async def _asks_for_action(tx: Tx, scope: CallerScope) -> bool:
    org = await people.organization(tx, scope.org_id)
    return org is not None and org.privilege_mode == "action"


def _require_one(ctx: Ctx, scope: CallerScope, actions: Sequence[str], subject: str, facts: Mapping[str, str]) -> None:
    # Without facts a conditional grant would count as one on everything, so all known facts are given.
    if not any(ctx.may(scope, action, subject, **facts) for action in actions):
        missing = [{"action": action, "subject": subject} for action in actions[:1]]
        raise BoundaryExceeded(
            f"You are not allowed to {actions[0]} on {subject}", details={"missingPermissions": missing}
        )
