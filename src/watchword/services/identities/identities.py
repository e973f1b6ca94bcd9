"""Machine identities: create, read, update, delete, list, search."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.actor import HolderKind
from watchword.domain.decode import Name, Trimmed, checked
from watchword.domain.errors import BadRequest, Forbidden, NotFound
from watchword.domain.identities.records import Identity, Metadata
from watchword.domain.projects.records import Project
from watchword.services.access.boundaries import require_over, require_within
from watchword.services.access.role_refs import RoleEntry, audit_roles, resolve
from watchword.services.access.scopes import enter_org, enter_project, is_elsewhere, organization, own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.paging import Page
from watchword.services.people import administrators
from watchword.services.timestamps import read_time
from watchword.services.turns import Turns
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.authentication import lockouts, method_configs, token_revocations
from watchword.store.engine import Tx
from watchword.store.identities import identities, lists
from watchword.store.projects import members

_PIECE = 500  # identities whose roles, methods and metadata are read at once


RoleSlug = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class MetadataItem(msgspec.Struct, frozen=True):
    """One key and value of an identity's metadata."""

    key: Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]
    value: Annotated[str, msgspec.Meta(min_length=1, max_length=1020, extra={"trim": True})]


class NewIdentity(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is said of every new identity, also of one that belongs to a project. A field called as one of the record is
    stored there.
    """

    name: Name
    has_delete_protection: bool = False
    metadata: Annotated[list[MetadataItem], msgspec.Meta(max_length=200)] | None = None


class CreateIdentity(NewIdentity, frozen=True, kw_only=True):
    """A new machine identity of an organization."""

    organization_id: Trimmed
    role: RoleSlug = "no-access"


class IdentityChanges(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What may be changed of every identity; None, or what was not sent, stays. `metadata` replaces the whole set."""

    name: Name | None = None
    has_delete_protection: bool | None = None
    metadata: Annotated[list[MetadataItem], msgspec.Meta(max_length=200)] | None = None


class UpdateIdentity(IdentityChanges, frozen=True, kw_only=True):
    """What to change; `metadata` replaces the whole set, and null takes `expiresAt` and `owner` away."""

    role: RoleSlug | None = None
    expires_at: str | None | msgspec.UnsetType = msgspec.UNSET
    owner: Name | None | msgspec.UnsetType = msgspec.UNSET


class IdentityDetails(msgspec.Struct, frozen=True, kw_only=True):
    """An identity with its methods, metadata, membership and roles."""

    identity: Identity
    methods: Sequence[str] = ()
    metadata: Sequence[Metadata] = ()
    membership: Membership | None = None
    roles: Sequence[tuple[MembershipRole, Role | None]] = ()
    locked_methods: Sequence[str] = ()


class ProjectMembership(msgspec.Struct, frozen=True):
    """The membership of an identity in one of its projects."""

    membership: Membership
    roles: Sequence[tuple[MembershipRole, Role | None]]
    project: Project


async def locate(ctx: Ctx, identity_id: str) -> tuple[Identity, CallerScope]:
    """Find an identity, and the caller's scope in the organization or project that it belongs to.

    Raises NotFound, also for an identity of another organization, and Forbidden.
    """
    identity = await record(ctx, identity_id)
    if identity is None or is_elsewhere(ctx, identity.org_id):
        raise NotFound(f"Failed to find identity with id {identity_id[:64]}")
    return identity, await _scope_of(ctx, identity)


async def record(ctx: Ctx, identity_id: str) -> Identity | None:
    """Return the record of an identity, for a caller who need not be allowed to see it."""
    async with ctx.view() as tx:
        return await identities.by_id(tx, identity_id)


async def _scope_of(ctx: Ctx, identity: Identity) -> CallerScope:
    if identity.project_id is not None:
        return await enter_project(ctx, identity.project_id)
    return await enter_org(ctx, identity.org_id)


def facts(identity: Identity) -> dict[str, str]:
    """Return the facts that conditions look at: only project rules have conditions on identities."""
    return {"identityId": identity.id} if identity.project_id else {}


def metadata_rows(ctx: Ctx, kind: HolderKind, id: str, items: Sequence[MetadataItem]) -> list[Metadata]:
    """Make the rows of a metadata set."""
    return [
        Metadata(id=ctx.new_id(), actor_kind=kind, actor_id=id, key=item.key, value=item.value, position=position)
        for position, item in enumerate(items)
    ]


_COLUMNS = frozenset(Identity.__struct_fields__)


def new_identity(ctx: Ctx, body: NewIdentity, org_id: str, project_id: str | None = None) -> Identity:
    """Make the record of a new identity; it is not stored."""
    columns = {name: value for name, value in msgspec.structs.asdict(body).items() if name in _COLUMNS}
    times = {"created_at": ctx.now, "updated_at": ctx.now}
    return Identity(**columns | {"id": ctx.new_id(), "org_id": org_id, "project_id": project_id} | times)


async def create(ctx: Ctx, body: CreateIdentity) -> IdentityDetails:
    """Create an identity with an organization role that stays within the caller's own rights."""
    scope = await enter_org(ctx, body.organization_id)
    return await create_in(ctx, scope, body, [RoleEntry(role=body.role)])


async def create_in(ctx: Ctx, scope: CallerScope, body: NewIdentity, roles: Sequence[RoleEntry]) -> IdentityDetails:
    """Create an identity in the scope's organization. Raises BadRequest, NotFound, PermissionDenied."""
    ctx.require(scope, "create", "identity")
    identity = new_identity(ctx, body, scope.org_id)
    async with ctx.unit() as tx:
        await add(ctx, tx, scope, identity, roles, body.metadata or ())
        told: dict[str, Any] = {"role": roles[0].role} if len(roles) == 1 else {"roles": audit_roles(roles)}
        ctx.audit("create-identity", org_id=scope.org_id, identityId=identity.id, name=identity.name, **told)
    return await shown(ctx, identity.id)


async def add(
    ctx: Ctx,
    tx: Tx,
    scope: CallerScope,
    identity: Identity,
    roles: Sequence[RoleEntry],
    metadata: Sequence[MetadataItem],
) -> Membership:
    """Store an identity with its membership and metadata in the open unit, within the caller's boundary."""
    membership = Membership(
        id=ctx.new_id(),
        org_id=identity.org_id,
        actor_kind="identity",
        actor_id=identity.id,
        created_at=ctx.now,
        updated_at=ctx.now,
    )
    resolved = await resolve(
        ctx, tx, "organization", roles, membership_id=membership.id, org_id=identity.org_id, project_id=None
    )
    await require_within(ctx, tx, scope, resolved.rules, "grant-privileges")
    await insert(ctx, tx, identity, metadata)
    await grants.add_membership(tx, membership, resolved.rows)
    return membership


async def insert(ctx: Ctx, tx: Tx, identity: Identity, metadata: Sequence[MetadataItem]) -> None:
    """Store an identity and its metadata in the open unit; it is no member of anything yet."""
    await identities.add(tx, identity)
    rows = metadata_rows(ctx, "identity", identity.id, metadata)
    await identities.replace_metadata(tx, "identity", identity.id, rows)
    tx.changed(versions.identity(identity.id))


async def update(ctx: Ctx, identity_id: str, body: UpdateIdentity) -> IdentityDetails:
    """Change an identity that is not, and does not become, more privileged than the caller."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "edit", "identity", **facts(identity))
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "grant-privileges")
        changes = _changes(body)
        gets_an_end = identity.is_instance_admin and bool(changes.get("expires_at"))
        if gets_an_end:
            await administrators.hold(tx)
        if changes or body.role is not None or body.metadata is not None:
            await identities.change(tx, identity.id, updated_at=ctx.now, **changes)
        if body.role is not None:
            # After the identity, as in `erase`.
            await _change_role(ctx, tx, scope, identity, body.role)
        if body.metadata is not None:
            rows = metadata_rows(ctx, "identity", identity.id, body.metadata)
            await identities.replace_metadata(tx, "identity", identity.id, rows)
        if gets_an_end:
            await administrators.require_one(ctx, tx)
        tx.changed(versions.identity(identity.id))
        ctx.audit(
            "update-identity",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
            name=body.name,
            role=body.role,
            hasDeleteProtection=body.has_delete_protection,
            metadata=[item.key for item in body.metadata or ()],
            fields=sorted(changes),
        )
    return await shown(ctx, identity.id)


def _changes(body: UpdateIdentity) -> dict[str, Any]:
    """Return the columns that were sent. Null clears a field that may be UNSET, and is ignored for the others."""
    changes: dict[str, Any] = {}
    for field in msgspec.structs.fields(body):
        value = getattr(body, field.name)
        can_be_cleared = field.default is msgspec.UNSET
        if field.name in _COLUMNS and value is not msgspec.UNSET and (can_be_cleared or value not in (None, "")):
            changes[field.name] = None if value == "" else value
    if changes.get("expires_at"):
        changes["expires_at"] = checked("expiresAt", read_time, changes["expires_at"])
    return changes


async def _change_role(ctx: Ctx, tx: Tx, scope: CallerScope, identity: Identity, role: str) -> None:
    if identity.project_id is not None:
        raise BadRequest("A project's identity has no organization role: change its roles in the project")
    membership = await grants.org_membership(tx, "identity", identity.id, identity.org_id)
    if membership is None:
        raise NotFound("The identity is not a member of the organization")
    resolved = await resolve(
        ctx,
        tx,
        "organization",
        [RoleEntry(role=role)],
        membership_id=membership.id,
        org_id=identity.org_id,
        project_id=None,
    )
    await require_within(ctx, tx, scope, resolved.rules, "grant-privileges")
    await grants.replace_roles(tx, membership, resolved.rows, ctx.now)


async def remove(ctx: Ctx, identity_id: str) -> IdentityDetails:
    """Delete an identity with everything that belongs to it; its tokens end at once everywhere."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "delete", "identity", **facts(identity))
    removed = await shown(ctx, identity.id)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "delete")
        require_unprotected(identity)
        await erase(ctx, tx, identity)
        ctx.audit(
            "delete-identity",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
            name=identity.name,
        )
    return removed


def require_unprotected(identity: Identity) -> None:
    """Raise BadRequest for an identity with delete protection. Everything that deletes identities calls this."""
    if identity.has_delete_protection:
        raise BadRequest("The identity has delete protection: switch hasDeleteProtection off first")


async def erase(ctx: Ctx, tx: Tx, identity: Identity) -> None:
    """Delete the rows of an identity in the open unit. The instance keeps an administrator.

    Its tokens are invalid without it: an id is never used again.
    """
    if identity.is_instance_admin:
        await administrators.hold(tx)
    # The identity before its memberships: the order in which the journal records logins, so that neither deadlocks the
    # other.
    await identities.remove(tx, identity.id)
    await grants.remove_actor(tx, "identity", identity.id)
    await token_revocations.forget(tx, identity.id)
    if identity.is_instance_admin:
        await administrators.require_one(ctx, tx)


async def get(ctx: Ctx, identity_id: str) -> IdentityDetails:
    """Return one identity with its role, methods and metadata."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "read", "identity", **facts(identity))
    return await shown(ctx, identity.id)


async def projects_of(ctx: Ctx, identity_id: str) -> tuple[IdentityDetails, list[ProjectMembership]]:
    """Return an identity and its projects in the caller's organization."""
    identity = await get(ctx, identity_id)
    turns = Turns()
    async with ctx.survey() as tx:
        rows = await members.with_projects(tx, "identity", identity_id, identity.identity.org_id, turns)
        roles = await grants.roles_on(tx, [membership.id for membership, _ in rows], turns)
        return identity, [ProjectMembership(membership, roles[membership.id], project) for membership, project in rows]


async def shown(ctx: Ctx, identity_id: str) -> IdentityDetails:
    """Return the current details of an identity, for a caller who may see it."""
    async with ctx.view() as tx:
        identity = await identities.by_id(tx, identity_id)
        if identity is None:
            raise NotFound("The identity was deleted meanwhile")
        membership = await grants.org_membership(tx, "identity", identity.id, identity.org_id)
        roles = (await grants.roles_on(tx, [membership.id], with_rules=True))[membership.id] if membership else ()
        methods = (await method_configs.methods_of(tx, [identity.id])).get(identity.id, ())
        locked = await lockouts.locked_methods(tx, [identity.id], ctx.now)
        return IdentityDetails(
            identity=identity,
            methods=methods,
            metadata=await identities.metadata_of(tx, "identity", identity.id),
            membership=membership,
            roles=roles,
            locked_methods=locked.get(identity.id, ()),
        )


class IdentityQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query for a page of identities. `names` and `roles` are filters; `roles` are slugs.

    `wide` looks for a part of the name or of the owner, an id or a client id; `methods` are slugs, `projects` ids,
    `metadata` pairs of a key and a value, of which an empty one is any; `state` is what an identity is `at` a moment
    (ms).
    """

    contains: str = ""
    names: Sequence[str] = ()
    roles: Sequence[str] = ()
    any_of: Sequence["IdentityQuery"] = ()
    wide: str = ""
    methods: Sequence[str] = ()
    projects: Sequence[str] = ()
    owners: Sequence[str] = ()
    metadata: Sequence[tuple[str, str]] = ()
    state: Literal["", "active", "unused", "never-used", "disabled", "expired", "locked"] = ""
    at: int = 0
    offset: int = 0
    limit: int | None = 100
    order_by: Literal["name", "role"] = "name"
    descending: bool = False


async def find(ctx: Ctx, org_id: str, query: IdentityQuery, *, own: bool = False) -> Page[IdentityDetails]:
    """Find one page of an organization's identities that match, and how many match.

    `own`: only those that belong to the organization itself, not those of its projects or of its root organization.
    """
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        return await _page(tx, org_id, query, ctx.now, own=own)


async def count(ctx: Ctx, org_id: str, query: IdentityQuery) -> int:
    """Count an organization's identities that match."""
    scope = await enter_org(ctx, org_id)
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        return await lists.count_in_org(tx, org_id, query)


async def _page(tx: Tx, org_id: str, query: IdentityQuery, now: int, *, own: bool = False) -> Page[IdentityDetails]:
    turns = Turns()
    rows, total = await lists.in_org(tx, org_id, query, turns, own=own)
    return Page(await assembled(tx, rows, now, turns, with_rules=True), total)


async def assembled(
    tx: Tx,
    rows: Sequence[tuple[Identity, Membership]],
    now: int,
    turns: Turns | None = None,
    *,
    with_rules: bool = False,
) -> list[IdentityDetails]:
    """Load the details of identities and their memberships, with as many queries for many as for one."""
    turns = turns or Turns()
    results: list[IdentityDetails] = []
    for start in range(0, len(rows), _PIECE):
        batch = rows[start : start + _PIECE]
        ids = [identity.id for identity, _ in batch]
        roles = await grants.roles_on(tx, [membership.id for _, membership in batch], turns, with_rules=with_rules)
        methods = await method_configs.methods_of(tx, ids)
        metadata = await identities.metadata_of_many(tx, "identity", ids)
        locked = await lockouts.locked_methods(tx, ids, now)
        results += [
            IdentityDetails(
                identity=identity,
                membership=membership,
                roles=roles[membership.id],
                methods=methods.get(identity.id, ()),
                metadata=metadata.get(identity.id, ()),
                locked_methods=locked.get(identity.id, ()),
            )
            for identity, membership in batch
        ]
        await turns.give()
    return results


async def details(ctx: Ctx) -> Mapping[str, str]:
    """Return the organization of the calling identity: id, name and slug.

    No permission is needed: it is about the caller itself.
    """
    if ctx.actor.kind != "identity":
        raise Forbidden("Only a machine identity may ask for its own details")
    scope = await own_org(ctx)
    org = await organization(ctx, scope.org_id)
    return {"id": org.id, "name": org.name, "slug": org.slug}
