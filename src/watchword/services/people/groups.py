"""Groups: people and machine identities that hold roles together, in the organization and in projects.

Adding a member to a group gives it everything that the group holds, wherever that is; so no caller adds members to a
group that holds more than itself.
"""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from watchword.domain.access.records import Membership, MembershipRole, Role
from watchword.domain.actor import HolderKind
from watchword.domain.bounds import is_slug, slugify
from watchword.domain.errors import BadRequest, Forbidden, Invalid, NotFound, PermissionDenied
from watchword.domain.people.records import Group, GroupMember, User
from watchword.domain.projects.records import Project
from watchword.services.access.boundaries import require_over_holder
from watchword.services.access.role_refs import RoleEntry, RoleName
from watchword.services.access.scopes import own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.paging import Page
from watchword.services.projects.members import GROUP, change_roles, join
from watchword.services.turns import Turns
from watchword.store.access import grants
from watchword.store.engine import AlreadyThere, Tx
from watchword.store.identities import identities
from watchword.store.people import groups, people
from watchword.store.people.groups import GroupCandidate, GroupPage
from watchword.store.projects import members

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]
Slug = Annotated[str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True})]
_ADD = {"identity": ("add-identities", "edit"), "user": ("add-members", "edit")}
_REMOVE = {"identity": ("remove-identities", "edit"), "user": ("remove-members", "edit")}


class CreateGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A new group with its role in the organization."""

    name: Name
    slug: Slug | None = None
    role: RoleName = "no-access"


class UpdateGroup(msgspec.Struct, frozen=True, kw_only=True):
    """What to change of a group."""

    name: Name | None = None
    slug: Slug | None = None
    role: RoleName | None = None


class GroupDetails(msgspec.Struct, frozen=True):
    """A group with its membership and roles in the organization or project."""

    group: Group
    membership: Membership
    roles: Sequence[tuple[MembershipRole, Role | None]]


def _slug(text: str) -> str:
    if not is_slug(text):
        raise Invalid.of("slug", "Slug must be a valid slug: lower-case letters, digits and single dashes")
    return text


async def create(ctx: Ctx, body: CreateGroup) -> GroupDetails:
    """Create a group of the caller's organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "create", "groups")
    slug = _slug(body.slug) if body.slug else f"{slugify(body.name)[:50] or 'group'}-{ctx.runtime.entropy(2).hex()}"
    group = Group(
        id=ctx.new_id(), org_id=scope.org_id, name=body.name, slug=slug, created_at=ctx.now, updated_at=ctx.now
    )
    async with ctx.unit() as tx:
        try:
            await groups.add(tx, group)
        except AlreadyThere:
            raise BadRequest(f"There is a group with the slug {slug} already") from None
        await join(ctx, tx, scope, GROUP, group.id, [RoleEntry(role=body.role)])
        _audit(ctx, "create-group", group, name=group.name, slug=slug, role=body.role)
        return await _details(tx, group)


async def update(ctx: Ctx, group_id: str, body: UpdateGroup) -> GroupDetails:
    """Change a group; a new role must stay within the caller's own rights."""
    scope = await own_org(ctx)
    ctx.require(scope, "edit", "groups")
    changes: dict[str, Any] = {"name": body.name, "slug": None if body.slug is None else _slug(body.slug)}
    changes = {name: value for name, value in changes.items() if value is not None}
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        if body.role is not None:
            membership = (await _details(tx, group)).membership
            await change_roles(ctx, tx, scope, GROUP, membership, [RoleEntry(role=body.role)])
        try:
            await groups.change(tx, group.id, updated_at=ctx.now, **changes)
        except AlreadyThere:
            raise BadRequest(f"There is a group with the slug {body.slug} already") from None
        _audit(ctx, "update-group", group, name=body.name, slug=body.slug, role=body.role)
        return await _details(tx, await _group(tx, scope, group_id))


async def remove(ctx: Ctx, group_id: str) -> GroupDetails:
    """Delete a group that does not hold more than the caller."""
    scope = await own_org(ctx)
    ctx.require(scope, "delete", "groups")
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        details = await _details(tx, group)
        await require_over_holder(ctx, tx, scope, "group", group.id, "grant-privileges", "groups")
        await groups.remove(tx, group)
        _audit(ctx, "delete-group", group, name=group.name)
    return details


async def every(ctx: Ctx) -> list[GroupDetails]:
    """List the groups of the caller's organization, by name."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "groups")
    async with ctx.survey() as tx:
        return await with_roles(tx, await groups.of_org(tx, scope.org_id, Turns()))


async def with_roles(
    tx: Tx, rows: Sequence[tuple[Group, Membership]], *, with_rules: bool = True
) -> list[GroupDetails]:
    """Load the roles on the memberships of groups, with the rules of custom ones unless nobody looks at them."""
    roles = await grants.roles_on(tx, [membership.id for _, membership in rows], Turns(), with_rules=with_rules)
    return [GroupDetails(group, membership, roles[membership.id]) for group, membership in rows]


async def get(ctx: Ctx, group_id: str) -> GroupDetails:
    """Return one group."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "groups")
    async with ctx.view() as tx:
        return await _details(tx, await _group(tx, scope, group_id))


async def projects(ctx: Ctx, group_id: str) -> list[tuple[Membership, Project]]:
    """List the projects that a group is a member of."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "groups")
    async with ctx.survey() as tx:
        group = await _group(tx, scope, group_id)
        return await members.with_projects(tx, "group", group.id, scope.org_id, Turns())


async def candidates(ctx: Ctx, group_id: str, kinds: tuple[HolderKind, ...], wanted: GroupPage) -> Page[GroupCandidate]:
    """Find people and identities of the organization, whether in the group or not."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "groups")
    async with ctx.survey() as tx:
        group = await _group(tx, scope, group_id)
        return Page(*await groups.listed(tx, scope.org_id, group.id, kinds, wanted))


async def add_person(ctx: Ctx, group_id: str, username: str) -> User:
    """Add a person of the organization to a group."""
    scope = await _scope(ctx, _ADD["user"])
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        person = await _person(tx, scope, username)
        await _add(ctx, tx, scope, group, "user", person.id)
    return person


async def remove_person(ctx: Ctx, group_id: str, username: str) -> User:
    """Remove a person from a group."""
    scope = await _scope(ctx, _REMOVE["user"])
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        person = await _person(tx, scope, username)
        await _remove(ctx, tx, scope, group, "user", person.id)
    return person


async def add_identity(ctx: Ctx, group_id: str, identity_id: str) -> str:
    """Add a machine identity of the organization to a group; return its id."""
    scope = await _scope(ctx, _ADD["identity"])
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        identity = await identities.by_id(tx, identity_id)
        if identity is None or await grants.org_membership(tx, "identity", identity_id, scope.org_id) is None:
            raise NotFound("There is no such identity in the organization")
        if identity.project_id is not None:
            raise BadRequest("The identity belongs to a project and cannot join a group of the organization")
        if identity.is_instance_admin:
            raise Forbidden(
                "An identity that administers the instance belongs to no group: whoever changes the group would "
                "change what it may do"
            )
        await _add(ctx, tx, scope, group, "identity", identity_id)
    return identity_id


async def remove_identity(ctx: Ctx, group_id: str, identity_id: str) -> str:
    """Remove a machine identity from a group; return its id."""
    scope = await _scope(ctx, _REMOVE["identity"])
    async with ctx.unit() as tx:
        group = await _group(tx, scope, group_id)
        await _remove(ctx, tx, scope, group, "identity", identity_id)
    return identity_id


async def _scope(ctx: Ctx, actions: tuple[str, str]) -> CallerScope:
    """Return the caller's organization. Raises PermissionDenied without the newer or the older right over members."""
    scope = await own_org(ctx)
    if not any(ctx.may(scope, action, "groups") for action in actions):
        raise PermissionDenied(
            f"You are not allowed to {actions[0]} on groups", details=[{"action": actions[0], "subject": "groups"}]
        )
    return scope


async def _add(ctx: Ctx, tx: Tx, scope: CallerScope, group: Group, kind: HolderKind, id: str) -> None:
    await require_over_holder(ctx, tx, scope, "group", group.id, "grant-privileges", "groups")
    try:
        await groups.add_member(tx, GroupMember(group_id=group.id, actor_kind=kind, actor_id=id, created_at=ctx.now))
    except AlreadyThere:
        raise BadRequest("It is in this group already") from None
    _audit(ctx, f"add-{kind}-to-group", group, actorKind=kind, actorId=id)


async def _remove(ctx: Ctx, tx: Tx, scope: CallerScope, group: Group, kind: HolderKind, id: str) -> None:
    member = await groups.member(tx, group.id, kind, id)
    if member is None:
        raise NotFound("There is no such member in this group")
    # The group's denials end with the membership, so the removed member's rights are compared as well.
    await require_over_holder(ctx, tx, scope, "group", group.id, "grant-privileges", "groups")
    await require_over_holder(ctx, tx, scope, kind, id, "grant-privileges", "groups")
    await groups.remove_member(tx, member)
    _audit(ctx, f"remove-{kind}-from-group", group, actorKind=kind, actorId=id)


async def _group(tx: Tx, scope: CallerScope, group_id: str) -> Group:
    group = await groups.by_id(tx, scope.org_id, group_id)
    if group is None:
        raise NotFound("There is no such group in the organization")
    return group


async def _person(tx: Tx, scope: CallerScope, username: str) -> User:
    person = await people.user_by_email(tx, username.strip())
    if person is None or await grants.org_membership(tx, "user", person.id, scope.org_id) is None:
        raise NotFound("There is no such person in the organization")
    return person


async def _details(tx: Tx, group: Group) -> GroupDetails:
    membership = await grants.org_membership(tx, "group", group.id, group.org_id)
    if membership is None:
        raise NotFound("The group is no member of the organization any more")
    return (await with_roles(tx, [(group, membership)]))[0]


def _audit(ctx: Ctx, event: str, group: Group, **more: Any) -> None:
    ctx.audit(event, org_id=group.org_id, groupId=group.id, **more)
