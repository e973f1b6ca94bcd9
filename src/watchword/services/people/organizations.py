"""Organizations, and the bootstrap that creates the first one."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.access import boundary
from watchword.domain.access.abilities import Rule, built_in
from watchword.domain.access.records import Membership, MembershipRole
from watchword.domain.actor import Actor, HolderKind
from watchword.domain.authentication.records import MethodConfig
from watchword.domain.bounds import parse_ip_range, slugify
from watchword.domain.decode import Trimmed
from watchword.domain.errors import BadRequest, Forbidden, Invalid
from watchword.domain.identities.records import Identity
from watchword.domain.people.emails import normalised
from watchword.domain.people.records import Organization, User
from watchword.domain.secret import Secret
from watchword.services.access.role_refs import RoleName, find_role
from watchword.services.access.scopes import enter_org, organization, require_actor
from watchword.services.authentication import tokens
from watchword.services.authentication.method_bodies import DEFAULT_TTL
from watchword.services.context import CallerScope, Ctx
from watchword.services.identities.lifecycle import require_none_protected
from watchword.services.keys.keyring import org_scope
from watchword.services.people import administrators, passwords
from watchword.services.people.sign_in import Email
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.audit import events
from watchword.store.authentication import method_configs, token_rows
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.identities import identities
from watchword.store.people import people

OrgName = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]


class CreateOrganization(msgspec.Struct, frozen=True, kw_only=True):
    """A new organization."""

    name: OrgName


class UpdateOrganization(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change. `privilege_mode` is `subset` (compare the rules) or `action`.

    Single sign-on is not offered, so it cannot be enforced.
    """

    name: OrgName | None = None
    slug: Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})] | None = None
    default_membership_role_slug: RoleName | None = None
    enforce_mfa: bool | None = None
    privilege_mode: Literal["subset", "action"] | None = None
    should_use_new_privilege_system: bool | None = None
    auth_enforced: bool | None = None
    scim_enabled: bool | None = None


class Bootstrap(msgspec.Struct, frozen=True, kw_only=True):
    """The first administrator and organization of an instance."""

    email: Email
    password: Secret
    organization: OrgName
    domain: Trimmed | None = None


class Bootstrapped(msgspec.Struct, frozen=True, kw_only=True):
    """What the bootstrap created. The token is shown once."""

    user: User
    organization: Organization
    identity: Identity
    token: Secret


class AlreadyBootstrapped(BadRequest):
    """The instance has an administrator already; nothing was changed."""

    default = "This instance has been bootstrapped already"


def new_slug(ctx: Ctx, name: str) -> str:
    """Make a slug from a name and four random characters."""
    return f"{slugify(name)[:50] or 'org'}-{ctx.runtime.entropy(2).hex()}"


async def add(
    ctx: Ctx, tx: Tx, name: str, *, slug: str | None = None, parent: Organization | None = None
) -> Organization:
    """Store a new organization and its key in the open unit. Raises AlreadyThere when the slug is taken.

    A sub-organization begins with the settings of its parent.
    """
    org = Organization(
        id=ctx.new_id(),
        name=name,
        slug=slug or new_slug(ctx, name),
        root_org_id=(parent.root_org_id or parent.id) if parent else None,
        parent_org_id=parent.id if parent else None,
        privilege_mode=parent.privilege_mode if parent else "subset",
        requires_mfa=parent.requires_mfa if parent else False,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    await people.add_organization(tx, org)
    await ctx.runtime.keys.make(tx, org_scope(org.id))
    return org


async def add_member(ctx: Ctx, tx: Tx, org_id: str, kind: HolderKind, id: str, role: str) -> Membership:
    """Make an actor a member with a built-in role, in the open unit."""
    built_in_role = built_in("organization", role)
    if built_in_role is None:
        raise BadRequest(f"There is no built-in role {role!r}")
    membership = Membership(
        id=ctx.new_id(), org_id=org_id, actor_kind=kind, actor_id=id, created_at=ctx.now, updated_at=ctx.now
    )
    role_row = MembershipRole(
        id=ctx.new_id(), membership_id=membership.id, role=role, created_at=ctx.now, updated_at=ctx.now
    )
    await grants.add_membership(tx, membership, [role_row])
    return membership


async def create(ctx: Ctx, body: CreateOrganization) -> Organization:
    """Create an organization with the caller, a person, as its administrator."""
    actor = require_actor(ctx, "user")
    ctx.public("any person of the instance may make an organization of their own")
    async with ctx.unit() as tx:
        org = await add(ctx, tx, body.name)
        await add_member(ctx, tx, org.id, "user", actor.id, "admin")
        ctx.audit("create-organization", org_id=org.id, organizationId=org.id, name=org.name)
    return org


async def mine(ctx: Ctx) -> list[Organization]:
    """List the organizations that the caller is a member of."""
    actor = require_actor(ctx, "user")
    async with ctx.view() as tx:
        return await people.organizations_of(tx, actor.kind, actor.id)


async def get(ctx: Ctx, org_id: str) -> Organization:
    """Return an organization to its members."""
    scope = await enter_org(ctx, org_id)
    return await organization(ctx, scope.org_id)


async def update(ctx: Ctx, org_id: str, body: UpdateOrganization) -> Organization:
    """Change the settings of an organization."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "edit", "settings")
    if body.auth_enforced or body.scim_enabled:
        raise BadRequest("Single sign-on and SCIM are not offered, so they cannot be enforced")
    if body.slug is not None and slugify(body.slug) != body.slug:
        raise Invalid.of("slug", "Lower-case letters, digits and single dashes")
    if body.enforce_mfa and not ctx.actor.is_mfa_verified:
        raise BadRequest("Set up your own second factor first: otherwise you would lock yourself out")
    mode = body.privilege_mode
    if mode is None and body.should_use_new_privilege_system is not None:
        mode = "action" if body.should_use_new_privilege_system else "subset"
    fields = {
        "name": body.name,
        "slug": body.slug,
        "default_role": body.default_membership_role_slug,
        "requires_mfa": body.enforce_mfa,
        "privilege_mode": mode,
    }
    changes: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    try:
        async with ctx.unit() as tx:
            await _require_settings_within(tx, scope, body, mode)
            await _require_own_slug(tx, scope.org_id, body.slug)
            if changes:
                await people.change_organization(tx, scope.org_id, updated_at=ctx.now, **changes)
            ctx.audit("update-organization", org_id=scope.org_id, organizationId=scope.org_id, **changes)
    except AlreadyThere:
        raise BadRequest("Another organization has this slug") from None
    return await organization(ctx, scope.org_id)


async def _require_own_slug(tx: Tx, org_id: str, slug: str | None) -> None:
    """Raise BadRequest for a sub-organization that would have the slug of its root, which logins name the root by."""
    org = await people.organization(tx, org_id) if slug is not None else None
    parent = await people.organization(tx, org.parent_org_id) if org and org.parent_org_id else None
    if parent is not None and slug == parent.slug:
        raise BadRequest("This is the slug of the root organization, which logins name it by")


async def _require_settings_within(tx: Tx, scope: CallerScope, body: UpdateOrganization, mode: str | None) -> None:
    """Raise BoundaryExceeded for settings that would give power beyond the caller's, in both privilege modes."""
    targets: list[Sequence[Rule]] = []
    if body.default_membership_role_slug is not None:
        _, _, rules = await find_role(
            tx, "organization", body.default_membership_role_slug, org_id=scope.org_id, project_id=None
        )
        targets.append(rules)
    org = await people.organization(tx, scope.org_id)
    administrator = built_in("organization", "admin")
    if mode is not None and org is not None and mode != org.privilege_mode and administrator is not None:
        # A caller who could loosen the comparison could then pass it: only one who passes it anyway may.
        targets.append(administrator.rules)
    boundary.require_within(scope.ability, targets)


async def remove(ctx: Ctx, org_id: str) -> Organization:
    """Delete an organization with everything in it.

    Only its administrators may; where an instance administrator is in it, only instance administrators.
    """
    require_actor(ctx, "user")
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "delete", "settings")
    async with ctx.unit() as tx:
        org = await people.organization(tx, org_id)
        if org is None:
            raise Forbidden("You are not a member of this organization")
        await end(ctx, tx, scope, org)
        ctx.audit("delete-organization", org_id=org.id, organizationId=org.id, name=org.name)
    return org


async def end(ctx: Ctx, tx: Tx, scope: CallerScope, org: Organization) -> None:
    """Delete an organization with its sub-organizations in the open unit.

    The caller holds, in `scope`, all that an administrator does. Raises BoundaryExceeded, Forbidden, BadRequest.
    """
    if administrator := built_in("organization", "admin"):
        boundary.require_within(scope.ability, [administrator.rules])
    await administrators.hold(tx)
    for part in (org, *await people.sub_organizations(tx, org.id)):
        await administrators.require_none_in(ctx, tx, part.id)
        await require_none_protected(tx, org_id=part.id)
    await people.remove_organization(tx, org.id)
    await administrators.require_one(ctx, tx)


async def bootstrap(ctx: Ctx, body: Bootstrap) -> Bootstrapped:
    """Create the instance administrator, the first organization and an admin identity with a token; once."""
    ctx.public("the first act on an empty instance: nobody is there yet who could give permission")
    async with ctx.view() as tx:
        if await people.is_bootstrapped(tx):
            raise AlreadyBootstrapped
    await passwords.require_usable(body.password, own=(body.email, body.organization))
    password_hash = await ctx.runtime.passwords.hashed(body.password)
    async with ctx.unit() as tx:
        if await people.is_bootstrapped(tx):
            raise AlreadyBootstrapped
        person = User(
            id=ctx.new_id(),
            email=normalised(body.email),
            first_name="Admin",
            last_name="",
            password_hash=password_hash,
            is_instance_admin=True,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        try:
            await people.claim_bootstrap(tx, person.id)
        except AlreadyThere:
            raise AlreadyBootstrapped from None
        await people.add_user(tx, person)
        org = await add(ctx, tx, body.organization)
        await add_member(ctx, tx, org.id, "user", person.id, "admin")
        identity, issued = await _admin_identity(ctx, tx, org)
        actor = Actor(kind="user", id=person.id, email=person.email)
        await events.add(tx, [ctx.event("bootstrap-instance", {"organizationId": org.id}, org_id=org.id, actor=actor)])
    return Bootstrapped(user=person, organization=org, identity=identity, token=Secret(issued.token))


async def _admin_identity(ctx: Ctx, tx: Tx, org: Organization) -> tuple[Identity, tokens.Issued]:
    identity = Identity(
        id=ctx.new_id(),
        org_id=org.id,
        name="Instance Admin Identity",
        is_instance_admin=True,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    await identities.add(tx, identity)
    await add_member(ctx, tx, org.id, "identity", identity.id, "admin")
    config = MethodConfig(
        id=ctx.new_id(),
        identity_id=identity.id,
        method=ctx.runtime.named_tokens[0],
        config={},
        ttl=DEFAULT_TTL,
        max_ttl=DEFAULT_TTL,
        period=0,
        uses_limit=0,
        trusted_ips=(parse_ip_range("0.0.0.0/0"), parse_ip_range("::/0")),
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    config = await method_configs.add(tx, config)
    issued = tokens.new_token(ctx, identity, config, org)
    await token_rows.add(tx, tokens.row_of(issued.claims, ctx.now, name="Instance Admin Token"))
    tx.changed(versions.identity(identity.id))
    return identity, issued
