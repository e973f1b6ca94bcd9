"""Additional privileges: rules given to one identity in one project beyond its roles, permanent or temporary.

The caller must hold what the identity holds already and what it is about to be given.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from watchword.domain.access.abilities import Rule, stored_rules, to_objects
from watchword.domain.access.records import Membership, Privilege
from watchword.domain.access.rules import new_rules
from watchword.domain.bounds import is_slug
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.services.access.boundaries import require_over_holder, require_privilege
from watchword.services.access.role_refs import TemporaryPeriod, temporary
from watchword.services.access.scopes import (
    MOST_PRIVILEGE_TEXT,
    MOST_PRIVILEGES,
    enter_project,
    project,
    require_actor,
)
from watchword.services.context import CallerScope, Ctx
from watchword.services.projects.members import IDENTITY
from watchword.services.scope_refs import ScopeRef, enter
from watchword.services.turns import Turns, beside, weight
from watchword.store.access import grants
from watchword.store.engine import AlreadyThere, Tx

Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=60, extra={"trim": True})]


class Window(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The time for which a privilege holds. The temporary fields are read only when `isTemporary` is true."""

    is_temporary: bool = False
    temporary_mode: str | None = None
    temporary_range: str | None = None
    temporary_access_start_time: str | None = None

    def checked(self) -> TemporaryPeriod:
        """Return the period in milliseconds. Raises Invalid."""
        return temporary(
            "type",
            is_temporary=self.is_temporary,
            mode=self.temporary_mode,
            range=self.temporary_range,
            start=self.temporary_access_start_time,
        )


PERMANENT = Window()


class CreatePrivilege(msgspec.Struct, frozen=True, kw_only=True):
    """A new privilege; without a slug it gets a random one of `random_length` characters."""

    identity_id: str
    slug: str | None = None
    permissions: Sequence[Any]
    window: Window = PERMANENT
    random_length: int = 8


class UpdatePrivilege(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a privilege."""

    slug: str | None = None
    permissions: Sequence[Any] | None = None
    window: Window | None = None


class HeldPrivilege(msgspec.Struct, frozen=True):
    """A privilege and the membership it goes with."""

    privilege: Privilege
    membership_id: str


def _slug(text: str) -> str:
    text = text.lower()
    if not is_slug(text):
        raise Invalid.of("slug", "Slug must be a valid slug: lower-case letters, digits and single dashes")
    return text


async def create(ctx: Ctx, where: ScopeRef, body: CreatePrivilege) -> HeldPrivilege:
    """Give an identity of a project more than its roles."""
    scope = await enter(ctx, where)
    ctx.require(scope, "edit", "identity", identityId=body.identity_id)
    slug = _slug(body.slug) if body.slug else ctx.runtime.entropy(32).hex()[: body.random_length]
    rules, window = (
        await beside(weight(body.permissions), new_rules, "project", body.permissions),
        body.window.checked(),
    )
    async with ctx.unit() as tx:
        membership = await _membership(tx, scope, body.identity_id)
        await require_over_holder(ctx, tx, scope, "identity", body.identity_id, "grant-privileges")
        await require_privilege(ctx, tx, scope, rules, IDENTITY.facts(body.identity_id))
        privilege = Privilege(
            id=ctx.new_id(),
            project_id=_project_id(scope),
            actor_kind="identity",
            actor_id=body.identity_id,
            slug=slug,
            permissions=tuple(to_objects(rules)),
            created_at=ctx.now,
            updated_at=ctx.now,
            **columns_of(window),
        )
        await _require_room(tx, privilege)
        try:
            await grants.add_privilege(tx, privilege)
        except AlreadyThere:
            raise BadRequest(f"The identity has a privilege with the slug {slug} already") from None
        _audit(ctx, "create", scope, privilege)
    return HeldPrivilege(privilege, membership.id)


async def _require_room(tx: Tx, privilege: Privilege, old: Privilege | None = None) -> None:
    """Raise BadRequest for more privileges of one identity, or longer ones, than may be read at each change of it."""
    count, characters = await grants.size_of_privileges(tx, "identity", privilege.actor_id, privilege.project_id)
    if old is None and count >= MOST_PRIVILEGES:
        raise BadRequest(
            f"The identity has {count} privileges in this project, and may have {MOST_PRIVILEGES}, ended ones "
            "included: remove one first"
        )
    added = _characters(privilege) - (_characters(old) if old is not None else 0)
    if added > 0 and characters + added > MOST_PRIVILEGE_TEXT:
        raise BadRequest(
            f"The rules of all privileges of one identity in a project have at most {MOST_PRIVILEGE_TEXT} characters "
            f"together: these would make {characters + added}"
        )


def _characters(privilege: Privilege) -> int:
    return len(msgspec.json.encode(privilege.permissions).decode())


def columns_of(window: TemporaryPeriod) -> dict[str, Any]:
    """Return the fields of a privilege that say when it holds."""
    return {
        "is_temporary": window.is_temporary,
        "temporary_mode": window.mode,
        "temporary_range": window.range,
        "starts_at": window.starts_at,
        "ends_at": window.ends_at,
    }


async def update(ctx: Ctx, where: ScopeRef, identity_id: str, slug: str, body: UpdatePrivilege) -> HeldPrivilege:
    """Change the privilege with this slug."""
    scope = await enter(ctx, where)
    ctx.require(scope, "edit", "identity", identityId=identity_id)
    rules, changes = await _changes(body)
    async with ctx.unit() as tx:
        membership = await _membership(tx, scope, identity_id)
        privilege = await _by_slug(tx, scope, identity_id, slug)
        return HeldPrivilege(await _change(ctx, tx, scope, privilege, rules, changes), membership.id)


async def update_by_id(ctx: Ctx, privilege_id: str, body: UpdatePrivilege) -> HeldPrivilege:
    """Change the privilege with this id."""
    privilege, scope = await _locate(ctx, privilege_id)
    return await update(ctx, ScopeRef(project_id=_project_id(scope)), privilege.actor_id, privilege.slug, body)


async def _changes(body: UpdatePrivilege) -> tuple[tuple[Rule, ...] | None, dict[str, Any]]:
    rules = (
        None
        if body.permissions is None
        else await beside(weight(body.permissions), new_rules, "project", body.permissions)
    )
    changes: dict[str, Any] = {} if body.window is None else columns_of(body.window.checked())
    if body.slug is not None:
        changes["slug"] = _slug(body.slug)
    if rules is not None:
        changes["permissions"] = tuple(to_objects(rules))
    if not changes:
        raise Invalid.of((), "Nothing to change: send a slug, permissions or a type")
    return rules, changes


async def _change(
    ctx: Ctx, tx: Tx, scope: CallerScope, privilege: Privilege, rules: tuple[Rule, ...] | None, changes: dict[str, Any]
) -> Privilege:
    await require_over_holder(ctx, tx, scope, "identity", privilege.actor_id, "grant-privileges")
    # A longer period grants the old rules again, so they are compared too when no new ones are sent.
    if rules is None:
        rules = await beside(weight(privilege.permissions), stored_rules, "project", privilege.permissions)
    await require_privilege(ctx, tx, scope, rules, IDENTITY.facts(privilege.actor_id))
    changed = msgspec.structs.replace(privilege, updated_at=ctx.now, **changes)
    if "permissions" in changes:
        await _require_room(tx, changed, privilege)
    try:
        await grants.change_privilege(tx, privilege, updated_at=ctx.now, **changes)
    except AlreadyThere:
        raise BadRequest(f"The identity has a privilege with the slug {changes['slug']} already") from None
    _audit(ctx, "update", scope, changed)
    return changed


async def remove(ctx: Ctx, where: ScopeRef, identity_id: str, slug: str) -> HeldPrivilege:
    """Remove the privilege with this slug."""
    scope = await enter(ctx, where)
    ctx.require(scope, "edit", "identity", identityId=identity_id)
    async with ctx.unit() as tx:
        membership = await _membership(tx, scope, identity_id)
        privilege = await _by_slug(tx, scope, identity_id, slug)
        # Removing a privilege can add rights: it may consist of denials.
        await require_over_holder(ctx, tx, scope, "identity", identity_id, "grant-privileges")
        await grants.remove_privilege(tx, privilege)
        _audit(ctx, "delete", scope, privilege)
    return HeldPrivilege(privilege, membership.id)


async def remove_by_id(ctx: Ctx, privilege_id: str) -> HeldPrivilege:
    """Remove the privilege with this id."""
    privilege, scope = await _locate(ctx, privilege_id)
    return await remove(ctx, ScopeRef(project_id=_project_id(scope)), privilege.actor_id, privilege.slug)


async def get(ctx: Ctx, where: ScopeRef, identity_id: str, slug: str, *, action: str = "read") -> HeldPrivilege:
    """Return one privilege by slug. The old routes ask for the action `edit` even to read."""
    scope = await enter(ctx, where)
    ctx.require(scope, action, "identity", identityId=identity_id)
    async with ctx.view() as tx:
        membership = await _membership(tx, scope, identity_id)
        return HeldPrivilege(await _by_slug(tx, scope, identity_id, slug), membership.id)


async def get_by_id(ctx: Ctx, privilege_id: str) -> HeldPrivilege:
    """Return one privilege by id."""
    privilege, scope = await _locate(ctx, privilege_id)
    return await get(ctx, ScopeRef(project_id=_project_id(scope)), privilege.actor_id, privilege.slug)


async def every(
    ctx: Ctx, where: ScopeRef, identity_id: str, *, action: str = "read", with_rules: bool = False
) -> list[HeldPrivilege]:
    """List all privileges of an identity in a project, the ended ones too; without their rules unless asked for."""
    scope = await enter(ctx, where)
    ctx.require(scope, action, "identity", identityId=identity_id)
    async with ctx.survey() as tx:
        membership = await _membership(tx, scope, identity_id)
        read = grants.privileges_of if with_rules else grants.privileges_listed
        privileges = await read(tx, "identity", identity_id, _project_id(scope), Turns())
    return [HeldPrivilege(privilege, membership.id) for privilege in privileges if privilege.folder_id is None]


async def _locate(ctx: Ctx, privilege_id: str) -> tuple[Privilege, CallerScope]:
    """Find a privilege and the scope of its project; another organization's answers as one that does not exist."""
    actor = require_actor(ctx)
    async with ctx.view() as tx:
        privilege = await grants.privilege(tx, privilege_id)
    project_record = await project(ctx, privilege.project_id) if privilege else None
    if (
        privilege is None
        or privilege.folder_id is not None
        or privilege.actor_kind != "identity"
        or project_record is None
        or project_record.org_id != actor.org_id
    ):
        raise NotFound("There is no such privilege")
    return privilege, await enter_project(ctx, project_record.id)


async def _membership(tx: Tx, scope: CallerScope, identity_id: str) -> Membership:
    membership = await grants.project_membership(tx, "identity", identity_id, _project_id(scope))
    if membership is None:
        raise NotFound("There is no such identity in this project")
    return membership


async def _by_slug(tx: Tx, scope: CallerScope, identity_id: str, slug: str) -> Privilege:
    for privilege in await grants.privileges_named(tx, "identity", identity_id, _project_id(scope), slug):
        if privilege.folder_id is None:
            return privilege
    raise NotFound(f"The identity has no privilege with the slug {slug[:64]!r}")


def _project_id(scope: CallerScope) -> str:
    if scope.project_id is None:
        raise NotFound("Privileges are given in projects")
    return scope.project_id


def _audit(ctx: Ctx, verb: str, scope: CallerScope, privilege: Privilege) -> None:
    ctx.audit(
        f"{verb}-identity-project-additional-privilege",
        org_id=scope.org_id,
        project_id=privilege.project_id,
        identityId=privilege.actor_id,
        privilegeId=privilege.id,
        slug=privilege.slug,
        isTemporary=privilege.is_temporary,
        permissions=list(privilege.permissions),
    )
