"""Roles of organizations and projects: read all, and create, change and delete custom ones.

No caller writes a role that allows more than its own rights: it may already hold a role that it can edit.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Annotated, Any

import msgspec

from watchword.domain.access.abilities import BUILT_IN, BuiltInRole, Rule, ScopeKind, built_in, stored_rules, to_objects
from watchword.domain.access.records import Membership, Role
from watchword.domain.access.rules import new_rules
from watchword.domain.actor import HolderKind
from watchword.domain.bounds import is_slug
from watchword.domain.errors import BadRequest, Invalid, NotFound, PermissionDenied
from watchword.services.access.boundaries import require_within
from watchword.services.access.scopes import ProjectScope, enter_org, enter_project, organization, require_actor
from watchword.services.context import CallerScope, Ctx
from watchword.services.scope_refs import ScopeRef, enter, kind_of
from watchword.services.turns import Turns, beside, weight
from watchword.store.access import grants, role_holders
from watchword.store.access.role_holders import RoleHolder
from watchword.store.engine import AlreadyThere, StillNeeded, Tx
from watchword.store.people import people

Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]
Title = Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]
Description = Annotated[str, msgspec.Meta(max_length=1000, extra={"trim": True})]
ROOT_ONLY = frozenset(
    {"sso", "ldap", "scim", "github-org-sync", "github-org-sync-manual", "billing", "sub-organization"}
)  # subjects that no role of a sub-organization may name
Rules = Annotated[list[Any], msgspec.Meta(max_length=1000)]  # objects or packed arrays, read by `new_rules`


class CreateRole(msgspec.Struct, frozen=True, kw_only=True):
    """A new custom role."""

    slug: Slug
    name: Title
    description: Description | None = None
    permissions: Rules


class UpdateRole(msgspec.Struct, frozen=True, kw_only=True):
    """What to change; `permissions` replaces all rules, a null description removes it."""

    slug: Slug | None = None
    name: Title | None = None
    description: Description | None | msgspec.UnsetType = msgspec.UNSET
    permissions: Rules | None = None


def checked_slug(scope: CallerScope, slug: str) -> str:
    """Return a slug as stored: lower case, not a built-in role's, and not `custom`, which memberships store."""
    slug = slug.lower()
    if not is_slug(slug):
        raise Invalid.of("slug", "Slug must be a valid slug: lower-case letters, digits and single dashes")
    if slug == "custom" or any(role.slug == slug for role in BUILT_IN[kind_of(scope)]):
        raise Invalid.of("slug", "Slug is reserved: choose another one")
    return slug


async def create(ctx: Ctx, where: ScopeRef, body: CreateRole) -> Role:
    """Create a custom role within the caller's own rights."""
    scope = await enter(ctx, where)
    ctx.require(scope, "create", "role")
    slug = checked_slug(scope, body.slug)
    rules = await beside(weight(body.permissions), new_rules, kind_of(scope), body.permissions)
    await _require_fitting(ctx, scope, rules)
    role = Role(
        id=ctx.new_id(),
        org_id=scope.org_id,
        project_id=scope.project_id,
        slug=slug,
        name=body.name,
        description=body.description,
        permissions=tuple(to_objects(rules)),
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    async with ctx.unit() as tx:
        await require_within(ctx, tx, scope, [rules], "create", "role")
        try:
            await grants.add_role(tx, role)
        except AlreadyThere:
            raise BadRequest(f"There is a role with the slug {slug} already") from None
        _audit(ctx, "create", role)
    return role


async def _require_fitting(ctx: Ctx, scope: CallerScope, rules: Sequence[Rule]) -> None:
    """Raise BadRequest for rules of a sub-organization about what only its root organization has."""
    if scope.project_id is not None or (await organization(ctx, scope.org_id)).parent_org_id is None:
        return
    of_root = sorted({rule.subject for rule in rules} & ROOT_ONLY)
    if of_root:
        raise BadRequest(f"Roles of a sub-organization cannot be about {', '.join(of_root)}: only its root has these")


async def update(ctx: Ctx, where: ScopeRef, role_id: str, body: UpdateRole) -> Role:
    """Change a custom role within the caller's own rights; its holders are affected at once."""
    scope = await enter(ctx, where)
    ctx.require(scope, "edit", "role")
    changes: dict[str, Any] = {"name": body.name} if body.name is not None else {}
    if body.slug is not None:
        changes["slug"] = checked_slug(scope, body.slug)
    if body.description is not msgspec.UNSET:
        changes["description"] = body.description
    rules = None
    if body.permissions is not None:
        rules = await beside(weight(body.permissions), new_rules, kind_of(scope), body.permissions)
    if rules is not None:
        await _require_fitting(ctx, scope, rules)
        changes["permissions"] = tuple(to_objects(rules))
    async with ctx.unit() as tx:
        role = await _custom(tx, scope, role_id)
        if rules is not None or changes.get("slug", role.slug) != role.slug:
            # The old rules are compared too: fewer rules take power from the holders, and rules on assigning roles name
            # roles by slug.
            old = await beside(weight(role.permissions), stored_rules, kind_of(scope), role.permissions)
            await require_within(ctx, tx, scope, [old] if rules is None else [old, rules], "edit", "role")
            _require_assignable(scope, role.slug, changes.get("slug"))
        try:
            await grants.change_role(tx, role, updated_at=ctx.now, **changes)
        except AlreadyThere:
            raise BadRequest(f"There is a role with the slug {changes.get('slug')} already") from None
        await _keep_default(tx, role, changes.get("slug"))
        changed = await _custom(tx, scope, role_id)
        _audit(ctx, "update", changed)
    return changed


def _require_assignable(scope: CallerScope, old: str, new: str | None) -> None:
    """Raise PermissionDenied when a caller who may not assign a role gives it a slug under which it may.

    Rules on assigning roles of a project name the roles by slug.
    """
    if new is None or new == old or scope.project_id is None:
        return
    could = scope.ability.could
    if could("assign-role", "identity", {"assignableRole": new}) and not could(
        "assign-role", "identity", {"assignableRole": old}
    ):
        details = [{"action": "assign-role", "subject": "identity", "conditions": {"assignableRole": old}}]
        raise PermissionDenied(
            "You are not allowed to assign this role, and would be under the new slug", details=details
        )


async def _keep_default(tx: Tx, role: Role, slug: str | None) -> None:
    """Store the new slug of an organization's default role, which it names by slug."""
    if slug is None or slug == role.slug or role.project_id is not None:
        return
    org = await people.organization(tx, role.org_id)
    if org is not None and org.default_role == role.slug:
        await people.change_organization(tx, org.id, default_role=slug)


async def remove(ctx: Ctx, where: ScopeRef, role_id: str) -> Role:
    """Delete a custom role that no member holds."""
    scope = await enter(ctx, where)
    ctx.require(scope, "delete", "role")
    async with ctx.unit() as tx:
        role = await _custom(tx, scope, role_id)
        org = await people.organization(tx, scope.org_id)
        if role.project_id is None and org is not None and org.default_role == role.slug:
            raise BadRequest("This is the role that new members get: choose another default role first")
        if holders := await grants.holders(tx, role.id):
            raise BadRequest(f"{holders} memberships hold this role: give them another one first")
        try:
            await grants.remove_role(tx, role)
        except StillNeeded:
            raise BadRequest("A membership holds this role: give it another one first") from None
        _audit(ctx, "delete", role)
    return role


async def every(ctx: Ctx, where: ScopeRef, *, with_rules: bool = False) -> list[Role]:
    """List all roles of an organization or project, the built-in ones first.

    Custom roles come without their rules; those of an organization with them if they are asked for.
    """
    scope = await enter(ctx, where)
    ctx.require(scope, "read", "role")
    fixed = [await _stored_form(ctx, scope, role) for role in BUILT_IN[kind_of(scope)]]
    turns = Turns()
    async with ctx.survey() as tx:
        custom = await (
            grants.project_roles(tx, scope.project_id, turns)
            if scope.project_id
            else grants.org_roles(tx, scope.org_id, turns, with_rules=with_rules)
        )
    return [*fixed, *custom]


async def get(ctx: Ctx, where: ScopeRef, role_id: str) -> Role:
    """Return one role by id: a custom one, or a built-in one by its fixed id."""
    scope = await enter(ctx, where)
    ctx.require(scope, "read", "role")
    built_in_role = built_in(kind_of(scope), role_id)
    if built_in_role is not None and built_in_role.id == role_id:
        return await _stored_form(ctx, scope, built_in_role)
    async with ctx.view() as tx:
        return await _custom(tx, scope, role_id)


async def by_slug(ctx: Ctx, where: ScopeRef, slug: str) -> Role:
    """Return one role by slug, built-in or custom."""
    scope = await enter(ctx, where)
    ctx.require(scope, "read", "role")
    built_in_role = built_in(kind_of(scope), slug)
    if built_in_role is not None and built_in_role.slug == slug:
        return await _stored_form(ctx, scope, built_in_role)
    async with ctx.view() as tx:
        role = await (
            grants.project_role(tx, scope.project_id, slug)
            if scope.project_id
            else grants.org_role(tx, scope.org_id, slug)
        )
    if role is None:
        raise NotFound(f"There is no role with the slug {slug[:64]!r} here")
    return role


_READ_HOLDERS: Mapping[HolderKind, str] = {"identity": "identity", "user": "member", "group": "groups"}


async def held_by(ctx: Ctx, where: ScopeRef, role: Role, *, limit: int = 100) -> list[RoleHolder]:
    """List who holds a role itself, by name: of the kinds that the caller may read."""
    scope = await enter(ctx, where)
    ctx.require(scope, "read", "role")
    custom_id = None if built_in(kind_of(scope), role.slug) else role.id
    async with ctx.survey() as tx:
        found = await role_holders.holders(
            tx, scope.org_id, scope.project_id, role=role.slug, custom_role_id=custom_id, limit=limit
        )
    shown = []
    for holder in found:
        facts = {"identityId": holder.id} if holder.kind == "identity" and scope.project_id else {}
        if ctx.may(scope, "read", _READ_HOLDERS[holder.kind], **facts):
            shown.append(holder)
    return shown


async def of_any_project(ctx: Ctx, role_id: str) -> Role:
    """Return a custom project role by its id alone."""
    actor = require_actor(ctx)
    async with ctx.view() as tx:
        role = await grants.role(tx, role_id)
    if role is None or role.project_id is None or role.org_id != actor.org_id:
        raise NotFound("There is no such project role")
    scope = await enter_project(ctx, role.project_id)
    ctx.require(scope, "read", "role")
    return role


async def own_permissions(ctx: Ctx, org_id: str) -> tuple[Membership | None, str, Sequence[Rule]]:
    """Return the caller's own membership of an organization, its role, and all rules that apply to it.

    The membership is None when the caller is a member through groups only.
    """
    scope = await enter_org(ctx, org_id)
    ctx.public("everybody may know their own rights")
    async with ctx.view() as tx:
        own = await grants.org_membership(tx, ctx.actor.kind, ctx.actor.id, org_id)
        roles = (await grants.roles_on(tx, [own.id]))[own.id] if own else []
    return own, roles[0][0].role if roles else "no-access", scope.ability.rules


async def _custom(tx: Tx, scope: CallerScope, role_id: str) -> Role:
    role = await grants.role(tx, role_id)
    if role is None or role.org_id != scope.org_id or role.project_id != scope.project_id:
        raise NotFound("There is no such role here")
    return role


async def _stored_form(ctx: Ctx, scope: CallerScope, role: BuiltInRole) -> Role:
    """Return a built-in role in the form of a stored one; it is as old as its organization or project."""
    since = (
        scope.project.created_at
        if isinstance(scope, ProjectScope)
        else (await organization(ctx, scope.org_id)).created_at
    )
    return Role(
        id=role.id,
        org_id=scope.org_id,
        project_id=scope.project_id,
        slug=role.slug,
        name=role.name,
        description=role.description,
        permissions=_objects(kind_of(scope), role.slug),
        created_at=since,
        updated_at=since,
    )


@cache
def _objects(kind: ScopeKind, slug: str) -> tuple[Any, ...]:
    """Return the rules of a built-in role as they are stored: made once, for every list of roles shows them."""
    return tuple(to_objects(next(role for role in BUILT_IN[kind] if role.slug == slug).rules))


def _audit(ctx: Ctx, verb: str, role: Role) -> None:
    kind = "project" if role.project_id else "org"
    ctx.audit(
        f"{verb}-{kind}-role",
        org_id=role.org_id,
        project_id=role.project_id,
        roleId=role.id,
        slug=role.slug,
        name=role.name,
        permissions=list(role.permissions),
    )
