"""What the caller may do in an organization or a project: holdings read through the cache, compiled into an ability.

A compiled ability is kept under (actor, place, login claims) and depends on the families of the actor and of the place.
Temporary roles begin and end without anybody writing, so an ability also carries the moment until which it holds.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.access import boundary
from watchword.domain.access.abilities import Ability, Grant, Rule, ScopeKind, built_in, compile_rules, parse_rules
from watchword.domain.access.records import Privilege
from watchword.domain.actor import Actor
from watchword.domain.errors import Forbidden, NotFound, Unauthorized
from watchword.domain.people.records import Organization
from watchword.domain.projects.records import Project
from watchword.services.context import CallerScope, Ctx
from watchword.services.turns import Turns, beside, weight
from watchword.store import versions
from watchword.store.access import grants as access
from watchword.store.access.grants import HeldRole
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.people import people
from watchword.store.projects import projects

_FOR_EVER = 1 << 62


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What an actor holds in one place, compiled. `until` (ms): when the next temporary role begins or ends."""

    is_member: bool
    is_active: bool
    grants: tuple[Grant, ...]
    ability: Ability
    until: int


Known = dict[str, tuple[Rule, ...]]  # the rules of custom roles that were read already, by id


def role_rules(scope: ScopeKind, held: HeldRole, known: Known | None = None) -> tuple[str, tuple[Rule, ...]]:
    """The name and the rules of a role on a membership. A custom role that is gone grants nothing."""
    if held.held is None:
        return "", ()
    if held.custom is not None:
        if known is None:
            return held.custom.slug, parse_rules(scope, held.custom.permissions)
        if held.custom.id not in known:
            known[held.custom.id] = parse_rules(scope, held.custom.permissions)
        return held.custom.slug, known[held.custom.id]
    found = built_in(scope, held.held.role)
    return held.held.role, found.rules if found else ()


def active_grants(
    scope: ScopeKind, held: Sequence[HeldRole], privileges: Sequence[Privilege], now: int, known: Known | None = None
) -> tuple[tuple[Grant, ...], int]:
    """The grants that hold at `now`, roles first and privileges after them, and until when that stays so."""
    grants: list[Grant] = []
    until = _FOR_EVER
    for one in held:
        if one.held is None or not one.membership.is_active:
            continue
        until = _next_change(one.held.is_temporary, one.held.starts_at, one.held.ends_at, now, until)
        if boundary.is_active(one.held.is_temporary, one.held.starts_at, one.held.ends_at, now):
            name, rules = role_rules(scope, one, known)
            grants.append(Grant(f"role {name}", rules))
    for extra in privileges:
        until = _next_change(extra.is_temporary, extra.starts_at, extra.ends_at, now, until)
        if boundary.is_active(extra.is_temporary, extra.starts_at, extra.ends_at, now):
            grants.append(Grant(f"privilege {extra.slug}", parse_rules(scope, extra.permissions)))
    return tuple(grants), until


def _next_change(temporary: bool, starts: int | None, ends: int | None, now: int, until: int) -> int:
    if not temporary:
        return until
    return min([until, *(moment for moment in (starts, ends) if moment is not None and moment > now)])


async def holding(
    tx: Tx, kind: str, id: str, *, org_id: str, project_id: str | None, now: int, auth: Mapping[str, Any] | None
) -> Holding:
    """What an actor holds in a place, read in this view and compiled at `now`."""
    privileges: Sequence[Privilege] = ()
    scope: ScopeKind
    turns = Turns()
    if project_id is None:
        held, scope = await access.held_in_org(tx, kind, id, org_id, turns), "organization"
    else:
        held, scope = await access.held_in_project(tx, kind, id, project_id, turns), "project"
        privileges = await access.privileges_of(tx, kind, id, project_id)
    context = await template_context(tx, kind, id, auth)
    grants, until, ability = await beside(
        rule_count(held, privileges), _compiled, scope, held, privileges, now, context
    )
    own = [one for one in held if one.membership.actor_kind == kind]
    is_member, is_active = bool(held), not own or own[0].membership.is_active
    if project_id is not None and kind != "group":
        # Whoever left the organization, or was suspended there, is shut out of its projects too.
        base = await access.org_membership(tx, kind, id, org_id)
        is_member, is_active = is_member and base is not None, is_active and base is not None and base.is_active
    return Holding(is_member=is_member, is_active=is_active, grants=grants, ability=ability, until=until)


def rule_count(held: Sequence[HeldRole], privileges: Sequence[Privilege]) -> int:
    """How much there is to read and compile in custom roles and privileges: rules, and conditions, which take
    as long.
    """
    custom = [one.custom.permissions for one in held if one.custom is not None]
    return sum(map(weight, [*custom, *[one.permissions for one in privileges]]))


def _compiled(
    scope: ScopeKind, held: Sequence[HeldRole], privileges: Sequence[Privilege], now: int, context: Mapping[str, Any]
) -> tuple[tuple[Grant, ...], int, Ability]:
    grants, until = active_grants(scope, held, privileges, now)
    ability = compile_rules(grants, context)
    ability.prepare()
    return grants, until, ability


async def template_context(tx: Tx, kind: str, id: str, auth: Mapping[str, Any] | None) -> dict[str, Any]:
    """What `{{identity.…}}` in conditions stands for."""
    name = ""
    if kind == "identity":
        identity = await identities.by_id(tx, id)
        name = identity.name if identity else ""
    elif kind == "user":
        person = await people.user(tx, id)
        name = person.email if person else ""
    metadata = {item.key: item.value for item in await identities.metadata_of(tx, kind, id)}
    return {"identity": {"id": id, "username": name, "metadata": metadata, "auth": dict(auth or {})}}


async def _held(ctx: Ctx, org_id: str, project_id: str | None) -> Holding:
    actor = ctx.actor
    auth = actor.claims.identity_auth if actor.claims else None
    key = (
        "holding",
        actor.kind,
        actor.id,
        project_id or org_id,
        msgspec.json.encode(auth, order="sorted") if auth else None,
    )

    found: Holding = await ctx.fresh.get(key, _load_holding, ctx, org_id, project_id, auth)
    if ctx.now >= found.until:
        ctx.runtime.cache.drop(key)
        found = await ctx.fresh.get(key, _load_holding, ctx, org_id, project_id, auth)
    return found


async def _load_holding(
    tx: Tx, ctx: Ctx, org_id: str, project_id: str | None, auth: Mapping[str, Any] | None
) -> tuple[Holding, tuple[str, ...]]:
    kind, id = ctx.actor.kind, ctx.actor.id
    place = versions.project(project_id) if project_id else versions.org(org_id)
    found = await holding(tx, kind, id, org_id=org_id, project_id=project_id, now=ctx.now, auth=auth)
    return found, (versions.actor(kind, id), place)


def require_actor(ctx: Ctx, *kinds: str) -> Actor:
    """The caller, who must be of one of `kinds` (default: a person or a machine identity)."""
    if ctx.actor.kind == "nobody":
        raise Unauthorized("Token missing")
    if ctx.actor.kind not in (kinds or ("user", "identity")):
        raise Forbidden("You are not allowed to access this resource with this kind of credential")
    return ctx.actor


async def enter_org(ctx: Ctx, org_id: str) -> CallerScope:
    """The caller's scope in an organization.

    Raises Forbidden unless its credential is for it and it is an active member.
    """
    actor = require_actor(ctx)
    if actor.org_id != org_id:
        whose = "Identity" if actor.kind == "identity" else "User"
        raise Forbidden(f"{whose} is not a part of this organization")
    found = await _held(ctx, org_id, None)
    if not found.is_member or not found.is_active:
        raise Forbidden("You are not a member of this organization")
    if actor.kind == "user":
        await _require_second_factor(ctx, org_id)
    return CallerScope(org_id=org_id, ability=found.ability)


async def _require_second_factor(ctx: Ctx, org_id: str) -> None:
    """Of a person: where an organization demands a second factor, a session without one is no way in."""
    if not ctx.actor.is_mfa_verified and (await organization(ctx, org_id)).requires_mfa:
        raise Forbidden("This organization requires a second factor: set one up in your account and sign in again")


async def own_org(ctx: Ctx) -> CallerScope:
    """The caller's scope in the organization its credential is for."""
    actor = require_actor(ctx)
    if actor.org_id is None:
        raise Unauthorized("Select an organization first")
    return await enter_org(ctx, actor.org_id)


async def organization(ctx: Ctx, org_id: str) -> Organization:
    """An organization, through the cache. Raises NotFound."""
    found: Organization | None = await ctx.fresh.get(("org", org_id), _load_organization, org_id)
    if found is None:
        raise NotFound(f"There is no organization {org_id}")
    return found


async def _load_organization(tx: Tx, org_id: str) -> tuple[Organization | None, tuple[str, ...]]:
    return await people.organization(tx, org_id), (versions.org(org_id),)


async def project(ctx: Ctx, project_id: str) -> Project | None:
    """A project, through the cache; None for an unknown id."""
    found: Project | None = await ctx.fresh.get(("project", project_id), _load_project, project_id)
    return found


async def _load_project(tx: Tx, project_id: str) -> tuple[Project | None, tuple[str, ...]]:
    return await projects.by_id(tx, project_id), (versions.project(project_id),)


class ProjectScope(CallerScope, frozen=True, kw_only=True):
    """A scope with its project at hand."""

    project: Project


async def enter_project(ctx: Ctx, project_id: str) -> ProjectScope:
    """The caller's scope in a project.

    An unknown project, one of another organization and one the caller is no member of answer alike: ids tell nothing.
    """
    actor = require_actor(ctx, "user", "identity", "service")
    found = await project(ctx, project_id)
    if found is None or (actor.kind != "service" and found.org_id != actor.org_id):
        raise Forbidden("You are not a member of this project")
    if actor.kind == "service":
        if actor.project_id != project_id:
            raise Forbidden("This service token is for another project")
        return ProjectScope(org_id=found.org_id, project_id=project_id, ability=service_ability(actor), project=found)
    held = await _held(ctx, found.org_id, project_id)
    if not held.is_member or not held.is_active:
        raise Forbidden("You are not a member of this project")
    if actor.kind == "user":
        await _require_second_factor(ctx, found.org_id)
    return ProjectScope(org_id=found.org_id, project_id=project_id, ability=held.ability, project=found)


def service_ability(actor: Actor) -> Ability:
    """What a service token may do: read, and with `write` also change, secrets, folders and imports in its scopes."""
    reading, writing = ("read",), ("create", "edit", "delete")
    rules: list[Rule] = []
    for one in actor.scopes:
        conditions: dict[str, str | dict[str, object]] = {
            "environment": one["environment"],
            "secretPath": {"$glob": one["secretPath"]},
        }
        for subject in ("secrets", "secret-folders", "secret-imports"):
            if "read" in actor.permissions:
                rules.append(Rule(actions=reading, subject=subject, conditions=conditions))
            if "write" in actor.permissions:
                rules.append(Rule(actions=writing, subject=subject, conditions=conditions))
    return compile_rules(rules, None)


async def require_known(ctx: Ctx, project_id: str) -> None:
    """Raise NotFound for a project id that belongs to nobody.

    Asked by the few reads where clients take 404 for "gone" (Terraform removes the resource from its state). Everywhere
    else an unknown project answers as one of another organization does.
    """
    if await project(ctx, project_id) is None:
        raise NotFound(f"There is no project with id {project_id[:64]!r}")
