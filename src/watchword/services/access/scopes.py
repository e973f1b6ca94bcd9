"""What the caller may do in an organization or a project: holdings read through the cache, compiled into an ability.

A compiled ability is cached under (actor, organization or project, login claims) and depends on the version keys of the
actor and of the organization or project. Temporary roles begin and end without a write, so an ability also carries the
time until which it is valid.
"""

import hashlib
import logging
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakValueDictionary

import msgspec

from watchword.domain.access import boundary
from watchword.domain.access.abilities import Ability, Grant, Rule, ScopeKind, built_in, compile_rules, stored_rules
from watchword.domain.access.conditions import is_open
from watchword.domain.access.folder_access import FolderAccess
from watchword.domain.access.records import Privilege
from watchword.domain.actor import Actor, ActorKind, AnyActorKind
from watchword.domain.errors import BoundaryExceeded, Forbidden, NotFound, Unauthorized
from watchword.domain.people.records import Organization
from watchword.domain.projects.records import Project
from watchword.services.context import CallerScope, Ctx
from watchword.services.turns import Turns, beside, weight
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.access.grants import HeldRole
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.people import people
from watchword.store.projects import projects

_FOR_EVER = 1 << 62
MOST_COMPARED = 20_000  # rules of custom roles and privileges that are compared with a caller's in one request
MOST_PRIVILEGES = 100  # of one identity in one project
MOST_PRIVILEGE_TEXT = 1 << 20  # characters of the rules of all these
MOST_FOLDER_ACCESS = 200  # folders to which one identity has access of its own in one project
_SHARED = 20  # rules from which on they are kept once for all their holders
# By what they are made of, so that a changed role can never be taken for what it was. Nothing is kept for its own sake.
_GRANTS: WeakValueDictionary[bytes, Grant] = WeakValueDictionary()
_ABILITIES: WeakValueDictionary[bytes, Ability] = WeakValueDictionary()
_log = logging.getLogger("watchword.access")


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """What an actor holds in an organization or project, compiled. `until` (ms): the next change of a grant.

    `is_placed`: it depends on where folders are, too.
    """

    is_member: bool
    is_active: bool
    grants: tuple[Grant, ...]
    ability: Ability
    until: int
    is_placed: bool = False


def _digest(*values: Any) -> bytes:
    return hashlib.sha256(msgspec.json.encode(values)).digest()


def _read(scope: ScopeKind, source: str, permissions: Sequence[Any]) -> Grant:
    """Return the rules of a custom role or privilege; while somebody has just these, the same ones again."""
    if len(permissions) < _SHARED:
        return Grant(source, stored_rules(scope, permissions))
    key = _digest(scope, source, permissions)
    grant = _GRANTS.get(key)
    if grant is None:
        grant = _GRANTS[key] = Grant(source, stored_rules(scope, permissions))
    return grant


def grant_of(scope: ScopeKind, held_role: HeldRole) -> Grant:
    """Return the rules of a role on a membership. A deleted custom role grants nothing."""
    if held_role.held is None:
        return Grant("", ())
    if held_role.custom is not None:
        return _read(scope, f"role {held_role.custom.slug}", held_role.custom.permissions)
    built_in_role = built_in(scope, held_role.held.role)
    return Grant(f"role {held_role.held.role}", built_in_role.rules if built_in_role else ())


def is_held(held_role: HeldRole, now: int) -> bool:
    """Whether a role counts at `now`: the membership is active, and a temporary role has begun and not ended."""
    held = held_role.held
    if held is None or not held_role.membership.is_active:
        return False
    return boundary.is_active(held.is_temporary, held.starts_at, held.ends_at, now)


def active_grants(
    scope: ScopeKind, held_roles: Sequence[HeldRole], privileges: Sequence[Privilege], now: int
) -> tuple[tuple[Grant, ...], int]:
    """Return the grants that are active at `now`, and the time until which that is so.

    Roles stand before privileges, and these before folder access.
    """
    active: list[Grant] = []
    until = _FOR_EVER
    for held_role in held_roles:
        if held_role.held is None or not held_role.membership.is_active:
            continue
        until = _next_change(held_role.held.is_temporary, held_role.held.starts_at, held_role.held.ends_at, now, until)
        if is_held(held_role, now):
            active.append(grant_of(scope, held_role))
    local: list[Grant] = []
    for privilege in privileges:
        until = _next_change(privilege.is_temporary, privilege.starts_at, privilege.ends_at, now, until)
        if boundary.is_active(privilege.is_temporary, privilege.starts_at, privilege.ends_at, now):
            if isinstance(privilege, FolderAccess):
                local.append(Grant(privilege.source, stored_rules(scope, privilege.permissions), is_local=True))
            else:
                active.append(_read(scope, f"privilege {privilege.slug}", privilege.permissions))
    return (*active, *local), until  # in its folder, folder access stands in place of all else


def _next_change(temporary: bool, starts: int | None, ends: int | None, now: int, until: int) -> int:
    if not temporary:
        return until
    return min([until, *(moment for moment in (starts, ends) if moment is not None and moment > now)])


async def holding(
    tx: Tx,
    kind: AnyActorKind,
    id: str,
    *,
    org_id: str,
    project_id: str | None,
    now: int,
    auth: Mapping[str, Any] | None,
) -> Holding:
    """Return what an actor holds in an organization or project, read in this view and compiled at `now`."""
    privileges: Sequence[Privilege] = ()
    scope: ScopeKind
    turns = Turns()
    if project_id is None:
        held_roles, scope = await grants.held_in_org(tx, kind, id, org_id, turns), "organization"
    else:
        held_roles, scope = await grants.held_in_project(tx, kind, id, project_id, turns), "project"
        privileges = await grants.privileges_of(tx, kind, id, project_id, turns)
    context = await template_context(tx, kind, id, auth)
    active, until, ability = await beside(
        rule_count(held_roles, privileges), _compiled, scope, held_roles, privileges, now, context
    )
    for source in ability.faulty:
        # When a holding is compiled, which is seldom. The pattern itself may say what the secrets are about.
        _log.warning(
            "a stored rule has a faulty pattern: it allows nothing, or denies everything of its subject",
            extra={"source": source, "org": org_id, "project": project_id},
        )
    own = [held_role for held_role in held_roles if held_role.membership.actor_kind == kind]
    is_member, is_active = bool(held_roles), not own or own[0].membership.is_active
    if project_id is not None and kind != "group":
        # An actor who left the organization, or is suspended there, is shut out of its projects too.
        base = await grants.org_membership(tx, kind, id, org_id)
        is_member, is_active = is_member and base is not None, is_active and base is not None and base.is_active
    is_placed = any(privilege.folder_id is not None for privilege in privileges)
    return Holding(
        is_member=is_member, is_active=is_active, grants=active, ability=ability, until=until, is_placed=is_placed
    )


class Budget:
    """The number of rules that may still be compared in one request.

    To read them takes time, and to compare them more, which others wait for who write.
    """

    def __init__(self) -> None:
        self._left = MOST_COMPARED

    def take(self, rules: int) -> None:
        """Count these. Raises BoundaryExceeded: what is not compared is not proven to be within the caller's rights."""
        self._left -= rules
        if self._left < 0:
            raise BoundaryExceeded(
                f"More than {MOST_COMPARED} rules of roles and privileges would have to be compared with yours: "
                "only somebody with unlimited rights here may do this"
            )


async def held_grants(
    tx: Tx, kind: AnyActorKind, id: str, *, org_id: str, project_id: str | None, now: int, budget: Budget
) -> tuple[Grant, ...]:
    """Return the rules that an actor holds now in an organization or project, as they are stored.

    Nothing is compiled, which takes a hundred times as long as to read. Raises BoundaryExceeded for too many rules.
    """
    privileges: Sequence[Privilege] = ()
    scope: ScopeKind = "project" if project_id else "organization"
    turns = Turns()
    if project_id is None:
        held_roles = await grants.held_in_org(tx, kind, id, org_id, turns)
    else:
        _, characters = await grants.size_of_privileges(tx, kind, id, project_id)
        if characters > 2 * MOST_PRIVILEGE_TEXT:  # stored before there was a bound: not even read
            budget.take(MOST_COMPARED + 1)
        held_roles = await grants.held_in_project(tx, kind, id, project_id, turns)
        privileges = await grants.privileges_of(tx, kind, id, project_id, turns)
    custom = [role.custom.permissions for role in held_roles if role.custom is not None]
    budget.take(sum(map(len, [*custom, *[privilege.permissions for privilege in privileges]])))
    active, _ = await beside(rule_count(held_roles, privileges), active_grants, scope, held_roles, privileges, now)
    return active


def rule_count(held_roles: Sequence[HeldRole], privileges: Sequence[Privilege]) -> int:
    """Return the number of rules to compile in custom roles and privileges; long conditions count as rules."""
    custom = [grant.custom.permissions for grant in held_roles if grant.custom is not None]
    return sum(map(weight, [*custom, *[grant.permissions for grant in privileges]]))


def _compiled(
    scope: ScopeKind,
    held_roles: Sequence[HeldRole],
    privileges: Sequence[Privilege],
    now: int,
    context: Mapping[str, Any],
) -> tuple[tuple[Grant, ...], int, Ability]:
    active, until = active_grants(scope, held_roles, privileges, now)
    return active, until, _ability(active, context)


def _ability(active: Sequence[Grant], context: Mapping[str, Any]) -> Ability:
    """Compile rules; the same ones once for all who hold just them, if no expression is filled in differently."""
    rules = [rule for grant in active for rule in grant.rules]
    is_own = len(rules) < _SHARED or any(is_open(rule.conditions) for rule in rules if rule.conditions)
    key = b"" if is_own else _digest(active)
    ability = None if is_own else _ABILITIES.get(key)
    if ability is None:
        ability = compile_rules(active, context)
        ability.prepare()
        if not is_own:
            _ABILITIES[key] = ability
    return ability


async def template_context(tx: Tx, kind: AnyActorKind, id: str, auth: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the values that `{{identity.…}}` in conditions stands for."""
    name = ""
    if kind == "identity":
        identity = await identities.by_id(tx, id)
        name = identity.name if identity else ""
    elif kind == "user":
        person = await people.user(tx, id)
        name = person.email if person else ""
    metadata = {item.key: item.value for item in await identities.metadata_of(tx, kind, id)}
    return {"identity": {"id": id, "username": name, "metadata": metadata, "auth": dict(auth or {})}}


async def _holding_of_caller(ctx: Ctx, org_id: str, project_id: str | None) -> Holding:
    actor = ctx.actor
    auth = actor.claims.identity_auth if actor.claims else None
    key = (
        "holding",
        actor.kind,
        actor.id,
        project_id or org_id,
        msgspec.json.encode(auth, order="sorted") if auth else None,
    )

    holds: Holding = await ctx.fresh.get(key, _load_holding, ctx, org_id, project_id, auth)
    if ctx.now >= holds.until:
        ctx.runtime.cache.drop(key)
        holds = await ctx.fresh.get(key, _load_holding, ctx, org_id, project_id, auth)
    return holds


async def _load_holding(
    tx: Tx, ctx: Ctx, org_id: str, project_id: str | None, auth: Mapping[str, Any] | None
) -> tuple[Holding, tuple[str, ...]]:
    kind, id = ctx.actor.kind, ctx.actor.id
    version_key = versions.project(project_id) if project_id else versions.org(org_id)
    loaded = await holding(tx, kind, id, org_id=org_id, project_id=project_id, now=ctx.now, auth=auth)
    if project_id is not None and loaded.is_placed:
        return loaded, (versions.actor(kind, id), version_key, versions.tree(project_id))
    return loaded, (versions.actor(kind, id), version_key)


def require_actor(ctx: Ctx, *kinds: ActorKind) -> Actor:
    """Return the caller, which must be of one of `kinds` (default: a person or a machine identity)."""
    if ctx.actor.kind == "nobody":
        raise Unauthorized("Token missing")
    if ctx.actor.kind not in (kinds or ("user", "identity")):
        raise Forbidden("You are not allowed to access this resource with this kind of credential")
    return ctx.actor


async def enter_org(ctx: Ctx, org_id: str) -> CallerScope:
    """Return the caller's scope in an organization.

    Raises Forbidden unless the credential is for this organization and the caller is an active member.
    """
    actor = require_actor(ctx)
    if actor.org_id != org_id:
        whose = "Identity" if actor.kind == "identity" else "User"
        raise Forbidden(f"{whose} is not a part of this organization")
    caller = await _holding_of_caller(ctx, org_id, None)
    if not caller.is_member or not caller.is_active:
        raise Forbidden("You are not a member of this organization")
    if actor.kind == "user":
        await _require_of_person(ctx, org_id)
    return CallerScope(org_id=org_id, ability=caller.ability)


async def _require_of_person(ctx: Ctx, org_id: str) -> None:
    """Raise Forbidden for a person who is suspended in the root of the organization, or lacks a second factor that the
    organization demands.
    """
    org = await organization(ctx, org_id)
    if org.root_org_id is not None:
        in_root = await _holding_of_caller(ctx, org.root_org_id, None)
        if in_root.is_member and not in_root.is_active:
            raise Forbidden("You are suspended in the root of this organization")
    if not ctx.actor.is_mfa_verified and org.requires_mfa:
        raise Forbidden("This organization requires a second factor: set one up in your account and sign in again")


async def own_org(ctx: Ctx) -> CallerScope:
    """Return the caller's scope in the organization that its credential is for."""
    actor = require_actor(ctx)
    if actor.org_id is None:
        raise Unauthorized("Select an organization first")
    return await enter_org(ctx, actor.org_id)


async def organization(ctx: Ctx, org_id: str) -> Organization:
    """Return an organization, through the cache. Raises NotFound."""
    org: Organization | None = await ctx.fresh.get(("org", org_id), _load_organization, org_id)
    if org is None:
        raise NotFound(f"There is no organization {org_id}")
    return org


async def _load_organization(tx: Tx, org_id: str) -> tuple[Organization | None, tuple[str, ...]]:
    return await people.organization(tx, org_id), (versions.org(org_id),)


async def project(ctx: Ctx, project_id: str) -> Project | None:
    """Return a project, through the cache; None for an unknown id."""
    cached: Project | None = await ctx.fresh.get(("project", project_id), _load_project, project_id)
    return cached


async def _load_project(tx: Tx, project_id: str) -> tuple[Project | None, tuple[str, ...]]:
    return await projects.by_id(tx, project_id), (versions.project(project_id),)


async def project_of_slug(ctx: Ctx, org_id: str, slug: str) -> str | None:
    """Return the id of an organization's project with this slug, through the cache; None for an unknown slug."""
    if "\x00" in slug:
        return None

    async def load(tx: Tx) -> tuple[str | None, tuple[str, ...]]:
        record = await projects.by_slug(tx, org_id, slug)
        return (record.id, (versions.project(record.id),)) if record else (None, ())

    project_id: str | None = await ctx.fresh.get(("project of slug", org_id, slug), load)
    return project_id


class ProjectScope(CallerScope, frozen=True, kw_only=True):
    """The caller's scope in a project, with the project."""

    project: Project


async def enter_project(ctx: Ctx, project_id: str) -> ProjectScope:
    """Return the caller's scope in a project.

    An unknown project, another organization's, and one that the caller is not a member of answer alike, so that the
    answer does not tell which ids exist. Raises Forbidden.
    """
    actor = require_actor(ctx, "user", "identity", "service")
    if actor.kind == "service" and actor.project_id != project_id:
        raise Forbidden("This service token is for another project")
    project_record = await project(ctx, project_id)
    if project_record is None or (actor.kind != "service" and project_record.org_id != actor.org_id):
        raise Forbidden("You are not a member of this project")
    if actor.kind == "service":
        return ProjectScope(
            org_id=project_record.org_id, project_id=project_id, ability=service_ability(actor), project=project_record
        )
    caller = await _holding_of_caller(ctx, project_record.org_id, project_id)
    if not caller.is_member or not caller.is_active:
        raise Forbidden("You are not a member of this project")
    if actor.kind == "user":
        await _require_of_person(ctx, project_record.org_id)
    return ProjectScope(
        org_id=project_record.org_id, project_id=project_id, ability=caller.ability, project=project_record
    )


def service_ability(actor: Actor) -> Ability:
    """Compile what a service token may do: read, or with `write` change, secrets, folders, imports in its scopes."""
    reading, writing = ("read",), ("create", "edit", "delete")
    rules: list[Rule] = []
    for token_scope in actor.scopes:
        conditions: dict[str, str | dict[str, object]] = {
            "environment": token_scope["environment"],
            "secretPath": {"$glob": token_scope["secretPath"]},
        }
        for subject in ("secrets", "secret-folders", "secret-imports"):
            if "read" in actor.permissions:
                rules.append(Rule(actions=reading, subject=subject, conditions=conditions))
            if "write" in actor.permissions:
                rules.append(Rule(actions=writing, subject=subject, conditions=conditions))
    return compile_rules(rules, None)


async def require_known(ctx: Ctx, project_id: str) -> None:
    """Raise NotFound for a project id that does not exist in the caller's organization.

    Called where clients take 404 for "deleted" (Terraform removes the resource from its state). A project of another
    organization answers as one that does not exist.
    """
    if ctx.actor.kind != "service" and await is_out_of_reach(ctx, project_id):
        raise NotFound(f"There is no project with id {project_id[:64]!r}")


def is_elsewhere(ctx: Ctx, org_id: str) -> bool:
    """Whether something belongs to another organization than the caller's: it is answered as if it did not exist."""
    return ctx.actor.org_id != org_id


async def is_out_of_reach(ctx: Ctx, project_id: str) -> bool:
    """Whether a project does not exist, or belongs to another organization than the caller's."""
    record = await project(ctx, project_id)
    if record is None:
        return True
    return ctx.actor.org_id != record.org_id and ctx.actor.kind != "service"
