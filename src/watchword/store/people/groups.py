"""Groups of people and machine identities: the groups, who is in them, and which projects they are in."""

from typing import Any

import msgspec
from sqlalchemy import and_, bindparam, delete, func, literal, or_, select, update

from watchword.domain.access.records import Membership
from watchword.domain.actor import AnyActorKind, HolderKind
from watchword.domain.people.records import Group, GroupMember
from watchword.store import schema, versions
from watchword.store.access.grants import GROUP_MEMBERS, GROUPS, MEMBERSHIPS
from watchword.store.engine import Row, Tx, prepare
from watchword.store.identities.lists import like
from watchword.store.mapping import Pauses, in_pieces
from watchword.store.projects.members import projects_of

_g, _gm, _i, _m, _u = schema.groups, schema.group_members, schema.identities, schema.memberships, schema.users

_BY_ID = prepare(lambda: select(*GROUPS.columns).where(_g.c.org_id == bindparam("org"), _g.c.id == bindparam("of")))
_BY_NAME = prepare(
    lambda: (
        select(*GROUPS.columns)
        .where(_g.c.org_id == bindparam("org"), or_(_g.c.name == bindparam("name"), _g.c.slug == bindparam("name")))
        .order_by(_g.c.created_at, _g.c.id)
    )
)
_OF_ORG = prepare(
    lambda: (
        select(*GROUPS.columns, *MEMBERSHIPS.columns)
        .select_from(_g.join(_m, and_(_m.c.actor_kind == "group", _m.c.actor_id == _g.c.id, _m.c.project_id.is_(None))))
        .where(_g.c.org_id == bindparam("org"))
        .order_by(_g.c.name, _g.c.id)
    )
)
_IN_PROJECT = prepare(
    lambda: (
        select(*GROUPS.columns, *MEMBERSHIPS.columns)
        .select_from(_g.join(_m, and_(_m.c.actor_kind == "group", _m.c.actor_id == _g.c.id)))
        .where(_m.c.project_id == bindparam("project"))
        .order_by(_g.c.name, _g.c.id)
    )
)
_MEMBER = prepare(
    lambda: select(*GROUP_MEMBERS.columns).where(
        _gm.c.group_id == bindparam("group"),
        _gm.c.actor_kind == bindparam("kind"),
        _gm.c.actor_id == bindparam("actor"),
    )
)
_REMOVE_MEMBER = prepare(
    lambda: delete(_gm).where(
        _gm.c.group_id == bindparam("group"),
        _gm.c.actor_kind == bindparam("kind"),
        _gm.c.actor_id == bindparam("actor"),
    )
)


async def by_id(tx: Tx, org_id: str, id: str) -> Group | None:
    """A group of an organization."""
    return GROUPS.first(await tx.one(_BY_ID, org=org_id, of=id))


async def by_name(tx: Tx, org_id: str, name: str) -> Group | None:
    """A group of an organization by name or slug."""
    return GROUPS.first(await tx.one(_BY_NAME, org=org_id, name=name))


async def of_org(tx: Tx, org_id: str, pauses: Pauses | None = None) -> list[tuple[Group, Membership]]:
    """The groups of an organization with their memberships of it, by name."""
    return await in_pieces(await tx.all(_OF_ORG, org=org_id), _with_membership, pauses)


async def in_project(tx: Tx, project_id: str, pauses: Pauses | None = None) -> list[tuple[Group, Membership]]:
    """The groups of a project with their memberships of it, by name."""
    return await in_pieces(await tx.all(_IN_PROJECT, project=project_id), _with_membership, pauses)


def _with_membership(row: Row) -> tuple[Group, Membership]:
    return GROUPS.read(row), MEMBERSHIPS.read(row, len(GROUPS.columns))


async def add(tx: Tx, record: Group) -> None:
    """Store a new group. Raises AlreadyThere when the slug is taken."""
    await tx.run(GROUPS.INSERT, **GROUPS.values(record))
    tx.changed(versions.actor("group", record.id))


async def change(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns. Raises AlreadyThere when the slug is taken."""
    await tx.run(update(_g).where(_g.c.id == id).values(**GROUPS.encoded(fields)))
    tx.changed(versions.actor("group", id))


async def remove(tx: Tx, record: Group) -> None:
    """Delete a group. Who was in it loses what it gave everywhere at once."""
    projects = await projects_of(tx, "group", record.id, record.org_id)
    await tx.run(delete(_m).where(_m.c.actor_kind == "group", _m.c.actor_id == record.id))
    await tx.run(delete(_g).where(_g.c.id == record.id))
    tx.changed(
        versions.actor("group", record.id), versions.org(record.org_id), *[versions.project(id) for id in projects]
    )


async def member(tx: Tx, group_id: str, kind: AnyActorKind, id: str) -> GroupMember | None:
    """The membership of an actor in a group."""
    return GROUP_MEMBERS.first(await tx.one(_MEMBER, group=group_id, kind=kind, actor=id))


async def add_member(tx: Tx, record: GroupMember) -> None:
    """Put somebody into a group. Raises AlreadyThere."""
    await tx.run(GROUP_MEMBERS.INSERT, **GROUP_MEMBERS.values(record))
    tx.changed(versions.actor(record.actor_kind, record.actor_id))


async def remove_member(tx: Tx, record: GroupMember) -> None:
    """Take somebody out of a group."""
    await tx.run(_REMOVE_MEMBER, group=record.group_id, kind=record.actor_kind, actor=record.actor_id)
    tx.changed(versions.actor(record.actor_kind, record.actor_id))


class GroupCandidate(msgspec.Struct, frozen=True, kw_only=True):
    """An actor of the organization; `joined_at` (ms) is None for one that is not in the group."""

    kind: HolderKind
    id: str
    name: str
    first_name: str = ""
    last_name: str = ""
    joined_at: int | None = None


class GroupPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of candidates. `inside`: only those in the group, or only those who are not."""

    contains: str = ""
    inside: bool | None = None
    offset: int = 0
    limit: int = 10
    descending: bool = False


def _candidates(kind: HolderKind, org_id: str, group_id: str, page: GroupPage) -> Any:
    """The people or the identities of an organization, each with the moment it joined the group."""
    people = kind == "user"
    table = _u if people else _i
    name = _u.c.email if people else _i.c.name
    joined = and_(_gm.c.group_id == group_id, _gm.c.actor_kind == kind, _gm.c.actor_id == table.c.id)
    conditions = [_m.c.org_id == org_id, _m.c.project_id.is_(None), _m.c.actor_kind == kind]
    if not people:
        conditions.append(_i.c.project_id.is_(None))
    if page.contains:
        conditions.append(func.lower(name).like(like(page.contains.lower())))
    if page.inside is not None:
        conditions.append(_gm.c.actor_id.is_not(None) if page.inside else _gm.c.actor_id.is_(None))
    first, last = (_u.c.first_name, _u.c.last_name) if people else (literal(""), literal(""))
    return (
        select(
            literal(kind).label("kind"),
            table.c.id.label("id"),
            name.label("name"),
            first.label("first_name"),
            last.label("last_name"),
            _gm.c.created_at.label("joined_at"),
        )
        .select_from(_m.join(table, table.c.id == _m.c.actor_id).outerjoin(_gm, joined))
        .where(*conditions)
    )


async def listed(
    tx: Tx, org_id: str, group_id: str, kinds: tuple[HolderKind, ...], page: GroupPage
) -> tuple[list[GroupCandidate], int]:
    """One page of people and identities, and how many match: those in the group first, each part by name."""
    parts = [_candidates(kind, org_id, group_id, page) for kind in kinds]
    rows = (parts[0] if len(parts) == 1 else parts[0].union_all(*parts[1:])).subquery()
    count = await tx.one(select(func.count()).select_from(rows))
    order = [rows.c.name, rows.c.id]
    chosen = (
        select(rows)
        .order_by(rows.c.joined_at.is_(None), *[column.desc() for column in order] if page.descending else order)
        .offset(page.offset)
        .limit(page.limit)
    )
    members = [
        GroupCandidate(kind=row[0], id=row[1], name=row[2], first_name=row[3], last_name=row[4], joined_at=row[5])
        for row in await tx.all(chosen)
    ]
    return members, int(count[0]) if count else 0
