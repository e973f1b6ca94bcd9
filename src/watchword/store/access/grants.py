"""Memberships, the roles and privileges on them, custom roles, groups; and what an actor holds in one place."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, bindparam, delete, func, literal, select, update

from watchword.domain.access import folder_access
from watchword.domain.access.abilities import to_objects
from watchword.domain.access.folder_access import FolderAccess
from watchword.domain.access.records import Membership, MembershipRole, Privilege, Role
from watchword.domain.actor import AnyActorKind
from watchword.domain.people.records import Group, GroupMember
from watchword.store import schema, versions
from watchword.store.engine import Row, Tx, any_of, prepare
from watchword.store.mapping import Mapper, Pauses, in_pieces

MEMBERSHIPS = Mapper(Membership, schema.memberships)
HELD = Mapper(MembershipRole, schema.membership_roles)
ROLES = Mapper(Role, schema.roles)
PRIVILEGES = Mapper(Privilege, schema.privileges)
GROUPS = Mapper(Group, schema.groups)
GROUP_MEMBERS = Mapper(GroupMember, schema.group_members)

_m, _h, _r, _p, _g, _gm, _f, _e = (
    schema.memberships,
    schema.membership_roles,
    schema.roles,
    schema.privileges,
    schema.groups,
    schema.group_members,
    schema.folders,
    schema.environments,
)


class HeldRole(msgspec.Struct, frozen=True):
    """A role on a membership, with the custom role it names."""

    membership: Membership
    held: MembershipRole | None
    custom: Role | None


def _holding(condition: Any) -> Any:
    own_groups = select(_gm.c.group_id).where(
        _gm.c.actor_kind == bindparam("kind"), _gm.c.actor_id == bindparam("actor")
    )
    # Two ways, each by an index of its own: with OR between them both engines would read every member of the place.
    own = (
        select(_m.c.id)
        .where(condition, _m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("actor"))
        .correlate(None)
    )
    through = (
        select(_m.c.id).where(condition, _m.c.actor_kind == "group", _m.c.actor_id.in_(own_groups)).correlate(None)
    )
    return (
        select(*MEMBERSHIPS.columns, *HELD.columns, *ROLES.columns)
        .select_from(_m.outerjoin(_h, _h.c.membership_id == _m.c.id).outerjoin(_r, _r.c.id == _h.c.custom_role_id))
        .where(_m.c.id.in_(own.union_all(through)))
        .order_by(_m.c.created_at, _m.c.id, _h.c.position)
    )


_IN_ORG = prepare(lambda: _holding(and_(_m.c.org_id == bindparam("org"), _m.c.project_id.is_(None))))
_IN_PROJECT = prepare(lambda: _holding(_m.c.project_id == bindparam("project")))
_WIDTHS = (len(MEMBERSHIPS.columns), len(MEMBERSHIPS.columns) + len(HELD.columns))


async def _held_roles(rows: Sequence[Any], pauses: Pauses | None) -> list[HeldRole]:
    first, second = _WIDTHS
    roles: list[HeldRole] = []
    for row in rows:
        role = HELD.read(row, first) if row[first] is not None else None
        custom = ROLES.read(row, second) if row[second] is not None else None
        roles.append(HeldRole(MEMBERSHIPS.read(row), role, custom))
        if custom is not None and pauses is not None:
            await pauses.give()  # its rules may be long
    return roles


async def held_in_org(tx: Tx, kind: AnyActorKind, id: str, org_id: str, pauses: Pauses | None = None) -> list[HeldRole]:
    """What an actor holds in an organization, itself and through groups.

    Empty: no member. A membership without roles has one entry.
    """
    return await _held_roles(await tx.all(_IN_ORG, kind=kind, actor=id, org=org_id), pauses)


async def held_in_project(
    tx: Tx, kind: AnyActorKind, id: str, project_id: str, pauses: Pauses | None = None
) -> list[HeldRole]:
    """What an actor holds in a project, itself and through groups."""
    return await _held_roles(await tx.all(_IN_PROJECT, kind=kind, actor=id, project=project_id), pauses)


_MEMBERSHIP = prepare(
    lambda: select(*MEMBERSHIPS.columns).where(
        _m.c.org_id == bindparam("org"),
        _m.c.project_id.is_(None),
        _m.c.actor_kind == bindparam("kind"),
        _m.c.actor_id == bindparam("actor"),
    )
)
_PROJECT_MEMBERSHIP = prepare(
    lambda: select(*MEMBERSHIPS.columns).where(
        _m.c.project_id == bindparam("project"),
        _m.c.actor_kind == bindparam("kind"),
        _m.c.actor_id == bindparam("actor"),
    )
)
_MEMBERSHIP_BY_ID = prepare(lambda: select(*MEMBERSHIPS.columns).where(_m.c.id == bindparam("of")))
_MEMBERSHIPS_OF = prepare(
    lambda: (
        select(*MEMBERSHIPS.columns)
        .where(_m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("actor"))
        .order_by(_m.c.created_at)
    )
)
_RULES = next(i for i, column in enumerate(ROLES.columns) if column.name == "permissions")
_ROLES_OF_MANY = prepare(
    lambda: (
        select(*HELD.columns, *[literal("[]") if i == _RULES else column for i, column in enumerate(ROLES.columns)])
        .select_from(_h.outerjoin(_r, _r.c.id == _h.c.custom_role_id))
        .where(any_of(_h.c.membership_id, "of"))
        .order_by(_h.c.membership_id, _h.c.position)
    )
)
_CLEAR_ROLES = prepare(lambda: delete(_h).where(_h.c.membership_id == bindparam("of")))
_REMOVE_MEMBERSHIP = prepare(lambda: delete(_m).where(_m.c.id == bindparam("of")))


async def org_membership(tx: Tx, kind: AnyActorKind, id: str, org_id: str) -> Membership | None:
    """The actor's own membership of an organization."""
    return MEMBERSHIPS.first(await tx.one(_MEMBERSHIP, kind=kind, actor=id, org=org_id))


async def project_membership(tx: Tx, kind: AnyActorKind, id: str, project_id: str) -> Membership | None:
    """The actor's own membership of a project."""
    return MEMBERSHIPS.first(await tx.one(_PROJECT_MEMBERSHIP, kind=kind, actor=id, project=project_id))


async def membership(tx: Tx, id: str) -> Membership | None:
    """A membership by its own id."""
    return MEMBERSHIPS.first(await tx.one(_MEMBERSHIP_BY_ID, of=id))


async def memberships_of(tx: Tx, kind: AnyActorKind, id: str) -> list[Membership]:
    """All memberships of an actor, in every organization and project."""
    return MEMBERSHIPS.every(await tx.all(_MEMBERSHIPS_OF, kind=kind, actor=id))


_RULES_OF_MANY = prepare(lambda: select(_r.c.id, _r.c.permissions).where(any_of(_r.c.id, "of")))


async def roles_on(
    tx: Tx, membership_ids: Sequence[str], pauses: Pauses | None = None, *, with_rules: bool = False
) -> dict[str, list[tuple[MembershipRole, Role | None]]]:
    """The roles on several memberships, in order.

    Custom roles come without their rules, which may be long, unless the rules are asked for.
    """
    width = len(HELD.columns)
    roles: dict[str, list[tuple[MembershipRole, Role | None]]] = {id: [] for id in membership_ids}

    def read(row: Row) -> tuple[MembershipRole, Role | None]:
        return HELD.read(row), ROLES.read(row, width) if row[width] is not None else None

    for role, custom in await in_pieces(await tx.all(_ROLES_OF_MANY, of=list(membership_ids)), read, pauses):
        roles[role.membership_id].append((role, custom))
    return await _with_rules(tx, roles, pauses) if with_rules else roles


async def _with_rules(
    tx: Tx, roles: dict[str, list[tuple[MembershipRole, Role | None]]], pauses: Pauses | None
) -> dict[str, list[tuple[MembershipRole, Role | None]]]:
    ids = sorted({custom.id for of_membership in roles.values() for _, custom in of_membership if custom is not None})
    if not ids:
        return roles
    texts = {row[0]: row[1] for row in await tx.all(_RULES_OF_MANY, of=ids)}
    rules = {}
    for id, text in texts.items():
        rules[id] = ROLES.decoded("permissions", text)
        if pauses is not None:
            await pauses.give()

    def whole(custom: Role | None) -> Role | None:
        return None if custom is None else msgspec.structs.replace(custom, permissions=rules.get(custom.id, ()))

    return {id: [(role, whole(custom)) for role, custom in of_membership] for id, of_membership in roles.items()}


def _raise(tx: Tx, record: Membership) -> None:
    tx.changed(versions.actor(record.actor_kind, record.actor_id))
    if record.actor_kind == "group":
        # Who is in the group need not be looked up: what anybody holds here depends on the place's version key too.
        tx.changed(versions.project(record.project_id) if record.project_id else versions.org(record.org_id))


async def add_membership(tx: Tx, record: Membership, roles: Sequence[MembershipRole]) -> None:
    """Store a membership with its roles. Raises AlreadyThere."""
    await tx.run(MEMBERSHIPS.INSERT, **MEMBERSHIPS.values(record))
    await tx.many(HELD.INSERT, [HELD.values(role) for role in roles])
    _raise(tx, record)


async def replace_roles(tx: Tx, record: Membership, roles: Sequence[MembershipRole], at: int) -> None:
    """Make `roles` all that the membership holds."""
    await tx.run(_CLEAR_ROLES, of=record.id)
    await tx.many(HELD.INSERT, [HELD.values(role) for role in roles])
    await tx.run(update(_m).where(_m.c.id == record.id).values(updated_at=at))
    _raise(tx, record)


async def change_membership(tx: Tx, record: Membership, **fields: Any) -> None:
    """Set some columns of a membership."""
    await tx.run(update(_m).where(_m.c.id == record.id).values(**MEMBERSHIPS.encoded(fields)))
    _raise(tx, record)


async def remove_membership(tx: Tx, record: Membership) -> None:
    """Delete a membership with its roles; of a project, with the actor's privileges there."""
    await tx.run(_REMOVE_MEMBERSHIP, of=record.id)
    if record.project_id and record.actor_kind != "group":
        await tx.run(
            delete(_p).where(
                _p.c.project_id == record.project_id,
                _p.c.actor_kind == record.actor_kind,
                _p.c.actor_id == record.actor_id,
            )
        )
    _raise(tx, record)


async def remove_actor(tx: Tx, kind: AnyActorKind, id: str) -> None:
    """Delete all that an actor holds anywhere: memberships, roles, privileges, group memberships, metadata."""
    await tx.run(delete(_m).where(_m.c.actor_kind == kind, _m.c.actor_id == id))
    await tx.run(delete(_p).where(_p.c.actor_kind == kind, _p.c.actor_id == id))
    await tx.run(delete(_gm).where(_gm.c.actor_kind == kind, _gm.c.actor_id == id))
    await tx.run(
        delete(schema.actor_metadata).where(
            schema.actor_metadata.c.actor_kind == kind, schema.actor_metadata.c.actor_id == id
        )
    )
    tx.changed(versions.actor(kind, id))


_ROLE = prepare(lambda: select(*ROLES.columns).where(_r.c.id == bindparam("of")))
_WITHOUT_RULES = [literal("[]") if i == _RULES else column for i, column in enumerate(ROLES.columns)]
_ORG_ROLES_LISTED = prepare(
    lambda: (
        select(*_WITHOUT_RULES)
        .where(_r.c.org_id == bindparam("org"), _r.c.project_id.is_(None))
        .order_by(_r.c.created_at, _r.c.id)
    )
)
_PROJECT_ROLES_LISTED = prepare(
    lambda: select(*_WITHOUT_RULES).where(_r.c.project_id == bindparam("project")).order_by(_r.c.created_at, _r.c.id)
)
_PROJECT_ROLES = prepare(
    lambda: select(*ROLES.columns).where(_r.c.project_id == bindparam("project")).order_by(_r.c.created_at, _r.c.id)
)
_ORG_ROLES = prepare(
    lambda: (
        select(*ROLES.columns)
        .where(_r.c.org_id == bindparam("org"), _r.c.project_id.is_(None))
        .order_by(_r.c.created_at, _r.c.id)
    )
)
_ORG_ROLE = prepare(
    lambda: select(*ROLES.columns).where(
        _r.c.org_id == bindparam("org"), _r.c.project_id.is_(None), _r.c.slug == bindparam("slug")
    )
)
_PROJECT_ROLE = prepare(
    lambda: select(*ROLES.columns).where(_r.c.project_id == bindparam("project"), _r.c.slug == bindparam("slug"))
)
_HOLDERS = prepare(lambda: select(func.count()).select_from(_h).where(_h.c.custom_role_id == bindparam("of")))


async def role(tx: Tx, id: str) -> Role | None:
    """A custom role by id: the caller checks whose it is."""
    return ROLES.first(await tx.one(_ROLE, of=id))


async def org_roles(tx: Tx, org_id: str, pauses: Pauses, *, with_rules: bool = False) -> list[Role]:
    """The custom roles of an organization, oldest first; without their rules, which may be long, unless asked for."""
    return await _each(await tx.all(_ORG_ROLES if with_rules else _ORG_ROLES_LISTED, org=org_id), pauses)


async def project_roles(tx: Tx, project_id: str, pauses: Pauses, *, with_rules: bool = False) -> list[Role]:
    """The custom roles of a project, oldest first; without their rules, which may be long, unless asked for."""
    statement = _PROJECT_ROLES if with_rules else _PROJECT_ROLES_LISTED
    return await _each(await tx.all(statement, project=project_id), pauses)


async def _each(rows: Sequence[Row], pauses: Pauses) -> list[Role]:
    roles: list[Role] = []
    for row in rows:
        roles.append(ROLES.read(row))
        await pauses.give()  # its rules may be long
    return roles


async def org_role(tx: Tx, org_id: str, slug: str) -> Role | None:
    """A custom role of an organization by slug."""
    return ROLES.first(await tx.one(_ORG_ROLE, org=org_id, slug=slug))


async def project_role(tx: Tx, project_id: str, slug: str) -> Role | None:
    """A custom role of a project by slug."""
    return ROLES.first(await tx.one(_PROJECT_ROLE, project=project_id, slug=slug))


async def holders(tx: Tx, role_id: str) -> int:
    """How many memberships hold a custom role."""
    row = await tx.one(_HOLDERS, of=role_id)
    return int(row[0]) if row else 0


async def add_role(tx: Tx, record: Role) -> None:
    """Store a custom role. Raises AlreadyThere."""
    await tx.run(ROLES.INSERT, **ROLES.values(record))
    tx.changed(versions.project(record.project_id) if record.project_id else versions.org(record.org_id))


async def change_role(tx: Tx, record: Role, **fields: Any) -> None:
    """Set some columns of a custom role. Raises AlreadyThere."""
    await tx.run(update(_r).where(_r.c.id == record.id).values(**ROLES.encoded(fields)))
    tx.changed(versions.project(record.project_id) if record.project_id else versions.org(record.org_id))


async def remove_role(tx: Tx, record: Role) -> None:
    """Delete a custom role. Raises StillNeeded when a membership holds it."""
    await tx.run(delete(_r).where(_r.c.id == record.id))
    tx.changed(versions.project(record.project_id) if record.project_id else versions.org(record.org_id))


# Folder access goes with its folder, so its rules are made from the place that the folder has now.
PLACED = select(*PRIVILEGES.columns, _e.c.slug, _f.c.path).select_from(
    _p.outerjoin(_f, _f.c.id == _p.c.folder_id).outerjoin(
        _e, and_(_e.c.id == _f.c.environment_id, _e.c.deleted_at.is_(None))
    )
)
_PRIVILEGES = prepare(
    lambda: PLACED.where(
        _p.c.project_id == bindparam("project"),
        _p.c.actor_kind == bindparam("kind"),
        _p.c.actor_id == bindparam("actor"),
    ).order_by(_p.c.created_at, _p.c.id)
)
_FOLDER_ACCESS = prepare(
    lambda: PLACED.where(
        _p.c.project_id == bindparam("project"),
        _p.c.actor_kind == bindparam("kind"),
        _p.c.actor_id == bindparam("actor"),
        _p.c.folder_id == bindparam("folder"),
    )
)
_PRIVILEGES_LISTED = prepare(
    lambda: (
        select(*[literal("[]") if column.name == "permissions" else column for column in PRIVILEGES.columns])
        .where(
            _p.c.project_id == bindparam("project"),
            _p.c.actor_kind == bindparam("kind"),
            _p.c.actor_id == bindparam("actor"),
            _p.c.folder_id.is_(None),
        )
        .order_by(_p.c.created_at, _p.c.id)
    )
)
_PRIVILEGES_SIZE = prepare(
    lambda: select(func.count(), func.coalesce(func.sum(func.length(_p.c.permissions)), 0)).where(
        _p.c.project_id == bindparam("project"),
        _p.c.actor_kind == bindparam("kind"),
        _p.c.actor_id == bindparam("actor"),
        _p.c.folder_id.is_(None),
    )
)
_FOLDER_ACCESS_COUNT = prepare(
    lambda: select(func.count()).where(
        _p.c.project_id == bindparam("project"),
        _p.c.actor_kind == bindparam("kind"),
        _p.c.actor_id == bindparam("actor"),
        _p.c.folder_id.is_not(None),
    )
)
_PRIVILEGES_NAMED = prepare(
    lambda: (
        select(*PRIVILEGES.columns)
        .where(
            _p.c.project_id == bindparam("project"),
            _p.c.actor_kind == bindparam("kind"),
            _p.c.actor_id == bindparam("actor"),
            _p.c.slug == bindparam("slug"),
        )
        .order_by(_p.c.created_at, _p.c.id)
    )
)
_PRIVILEGE = prepare(lambda: select(*PRIVILEGES.columns).where(_p.c.id == bindparam("of")))


def read_placed(row: Row) -> Privilege:
    """The privilege of a row of `PLACED`; folder access with the rules that follow from its tier and place."""
    privilege = PRIVILEGES.read(row)
    if privilege.folder_id is None:
        return privilege
    environment, path = row[len(PRIVILEGES.columns) :]
    tier = str(privilege.permissions[0].get("tier")) if privilege.permissions else ""
    is_there = environment is not None and path is not None
    rules = tuple(to_objects(folder_access.rules(tier, environment, path))) if is_there else ()
    fields = {**msgspec.structs.asdict(privilege), "permissions": rules}
    return FolderAccess(
        **fields, tier=tier, environment=environment if is_there else None, path=path if is_there else None
    )


async def privileges_of(
    tx: Tx, kind: AnyActorKind, id: str, project_id: str, pauses: Pauses | None = None
) -> list[Privilege]:
    """The additional privileges of an actor in a project and its folder access there, oldest first."""
    privileges: list[Privilege] = []
    for row in await tx.all(_PRIVILEGES, kind=kind, actor=id, project=project_id):
        privileges.append(read_placed(row))
        if pauses is not None:
            await pauses.give()  # its rules may be long
    return privileges


async def folder_access_of(tx: Tx, kind: AnyActorKind, id: str, project_id: str, folder_id: str) -> FolderAccess | None:
    """What an actor was granted on one folder."""
    row = await tx.one(_FOLDER_ACCESS, kind=kind, actor=id, project=project_id, folder=folder_id)
    privilege = None if row is None else read_placed(row)
    return privilege if isinstance(privilege, FolderAccess) else None


async def count_folder_access(tx: Tx, kind: AnyActorKind, id: str, project_id: str) -> int:
    """The number of folders of a project to which an actor was granted access, ended grants included."""
    row = await tx.one(_FOLDER_ACCESS_COUNT, kind=kind, actor=id, project=project_id)
    return int(row[0]) if row else 0


def record_of_folder_access(
    id: str, project_id: str, identity_id: str, folder_id: str, tier: str, at: int, period: dict[str, Any]
) -> Privilege:
    """The row of a new grant of folder access. Its slug is none that a privilege can have, and unique to the folder."""
    return Privilege(
        id=id,
        project_id=project_id,
        actor_kind="identity",
        actor_id=identity_id,
        slug=f"folder/{folder_id}",
        permissions=tier_stored(tier),
        folder_id=folder_id,
        created_at=at,
        updated_at=at,
        **period,
    )


def tier_stored(tier: str) -> tuple[dict[str, object], ...]:
    """A tier as its grant stores it: the rules follow from it and from the folder's place."""
    return ({"tier": tier},)


async def remove_folder_access(tx: Tx, project_id: str, condition: ColumnElement[bool]) -> None:
    """Delete the grants on the folders that meet the condition, which go with their folders."""
    there = and_(_p.c.project_id == project_id, _p.c.folder_id.in_(select(_f.c.id).where(condition)))
    holders = await tx.all(select(_p.c.actor_kind, _p.c.actor_id).where(there))
    if holders:
        await tx.run(delete(_p).where(there))
        tx.changed(*{versions.actor(kind, id) for kind, id in holders})


async def privileges_listed(tx: Tx, kind: AnyActorKind, id: str, project_id: str, pauses: Pauses) -> list[Privilege]:
    """The additional privileges of an actor in a project, oldest first, without their rules, which may be long."""
    rows = await tx.all(_PRIVILEGES_LISTED, kind=kind, actor=id, project=project_id)
    return await in_pieces(rows, PRIVILEGES.read, pauses)


async def size_of_privileges(tx: Tx, kind: AnyActorKind, id: str, project_id: str) -> tuple[int, int]:
    """The number of an actor's additional privileges in a project, and the characters of all their rules as stored."""
    row = await tx.one(_PRIVILEGES_SIZE, kind=kind, actor=id, project=project_id)
    return (int(row[0]), int(row[1])) if row else (0, 0)


async def privileges_named(tx: Tx, kind: AnyActorKind, id: str, project_id: str, slug: str) -> list[Privilege]:
    """Those additional privileges of an actor in a project that have this slug."""
    return PRIVILEGES.every(await tx.all(_PRIVILEGES_NAMED, kind=kind, actor=id, project=project_id, slug=slug))


async def privilege(tx: Tx, id: str) -> Privilege | None:
    """An additional privilege by id."""
    return PRIVILEGES.first(await tx.one(_PRIVILEGE, of=id))


async def add_privilege(tx: Tx, record: Privilege) -> None:
    """Store an additional privilege. Raises AlreadyThere."""
    await tx.run(PRIVILEGES.INSERT, **PRIVILEGES.values(record))
    tx.changed(versions.actor(record.actor_kind, record.actor_id))


async def change_privilege(tx: Tx, record: Privilege, **fields: Any) -> None:
    """Set some columns of an additional privilege. Raises AlreadyThere."""
    await tx.run(update(_p).where(_p.c.id == record.id).values(**PRIVILEGES.encoded(fields)))
    tx.changed(versions.actor(record.actor_kind, record.actor_id))


async def remove_privilege(tx: Tx, record: Privilege) -> None:
    """Delete an additional privilege."""
    await tx.run(delete(_p).where(_p.c.id == record.id))
    tx.changed(versions.actor(record.actor_kind, record.actor_id))
