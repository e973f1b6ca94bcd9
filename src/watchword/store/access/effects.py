"""People and machine identities by name, and all that some of them hold in several projects at once.

A page takes a fixed number of statements, each led by an index: how many others there are does not matter.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, or_, select, tuple_

from watchword.domain.access.records import Membership, Privilege, Role
from watchword.domain.actor import HolderKind
from watchword.domain.identities.records import Metadata
from watchword.store import schema
from watchword.store.access.access_report import Somebody
from watchword.store.access.grants import HELD, MEMBERSHIPS, PLACED, ROLES, HeldRole, read_placed
from watchword.store.engine import Row, Tx, among, any_of, prepare
from watchword.store.identities.identities import metadata_of_many
from watchword.store.mapping import Pauses

_m, _h, _r, _p, _gm, _g, _i, _u = (
    schema.memberships,
    schema.membership_roles,
    schema.roles,
    schema.privileges,
    schema.group_members,
    schema.groups,
    schema.identities,
    schema.users,
)


MOST_KNOWN: Final = 2_000  # members of projects that are known by their ids
_WINDOW: Final = 5_000  # names that one statement walks over


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which people or machine identities of an organization are listed, by name.

    `homes`: the organizations that identities may belong to. `after`: name and id of the last one that was seen.
    `projects`: only who is in one of these, itself or through a group. `known`: the ids of those, where they are few.
    `built_in` and `custom`: only who holds one of these roles there, or a privilege.
    """

    org_id: str
    kind: HolderKind
    homes: Sequence[str]
    now: int
    contains: str = ""
    after: tuple[str, str] | None = None
    projects: Sequence[str] | None = None
    known: Sequence[str] | None = None
    built_in: Sequence[str] | None = None
    custom: Sequence[str] = ()
    limit: int


async def known(tx: Tx, wanted: Wanted) -> Sequence[str] | None:
    """The ids of everybody in the projects, themselves or through groups; None where they are more than a few."""
    projects = wanted.projects or ()
    own = select(_m.c.actor_id).where(among(_m.c.project_id, projects), _m.c.actor_kind == wanted.kind)
    through = select(_gm.c.actor_id).where(_gm.c.actor_kind == wanted.kind, _gm.c.group_id.in_(_groups(wanted)))
    found: set[str] = set()
    for ids in (own, through):
        found |= {row[0] for row in await tx.all(ids.limit(MOST_KNOWN + 1))}
        if len(found) > MOST_KNOWN:
            return None
    return sorted(found)


def _groups(wanted: Wanted, *conditions: ColumnElement[bool]) -> Any:
    return select(_m.c.actor_id).where(
        among(_m.c.project_id, wanted.projects or ()), _m.c.actor_kind == "group", *conditions
    )


def _is_inside(wanted: Wanted, id: ColumnElement[str]) -> ColumnElement[bool]:
    """The condition that an actor is in one of the projects, and holds there what is asked for."""
    projects = wanted.projects or ()
    holds = _holding(wanted)
    own = select(_m.c.id).where(
        _m.c.actor_kind == wanted.kind, _m.c.actor_id == id, among(_m.c.project_id, projects), *holds
    )
    through = select(_gm.c.group_id).where(
        _gm.c.actor_kind == wanted.kind, _gm.c.actor_id == id, _gm.c.group_id.in_(_groups(wanted, *holds))
    )
    given = select(_p.c.id).where(_p.c.actor_kind == wanted.kind, _p.c.actor_id == id, among(_p.c.project_id, projects))
    return or_(own.exists(), through.exists(), *([given.exists()] if holds else []))


def _holding(wanted: Wanted) -> list[ColumnElement[bool]]:
    if wanted.built_in is None:
        return []
    role = or_(
        and_(_h.c.custom_role_id.is_(None), among(_h.c.role, wanted.built_in)),
        among(_h.c.custom_role_id, wanted.custom),
    )
    return [select(_h.c.id).where(_h.c.membership_id == _m.c.id, role).exists()]


def _listed(wanted: Wanted, until: tuple[str, str] | None) -> Select[Any]:
    home = _m.alias("home")
    place = [home.c.org_id == wanted.org_id, home.c.project_id.is_(None), home.c.actor_kind == wanted.kind]
    table, name = _table(wanted)
    if wanted.kind == "identity":
        usable = and_(
            home.c.is_active == 1,
            _i.c.is_disabled == 0,
            or_(_i.c.expires_at.is_(None), _i.c.expires_at > wanted.now),
        )
    else:
        usable = and_(home.c.is_active == 1, _u.c.is_active == 1)
    if wanted.contains:
        place.append(func.lower(name).like(f"%{wanted.contains.lower()}%"))
    if wanted.after is not None:
        place.append(tuple_(name, table.c.id) > tuple_(*wanted.after))
    if until is not None:
        place.append(tuple_(name, table.c.id) <= tuple_(*until))
    if wanted.known is not None:
        place.append(among(table.c.id, wanted.known))
    else:
        place += _at_home(wanted)
    if wanted.projects is not None and (wanted.known is None or wanted.built_in is not None):
        place.append(_is_inside(wanted, table.c.id))
    return (
        select(table.c.id, name, case((usable, 1), else_=0))
        .select_from(table.join(home, home.c.actor_id == table.c.id))
        .where(*place)
        .order_by(name, table.c.id)
        .limit(wanted.limit)
    )


def _table(wanted: Wanted) -> tuple[Any, Any]:
    return (_i, _i.c.name) if wanted.kind == "identity" else (_u, _u.c.email)


def _at_home(wanted: Wanted) -> list[ColumnElement[bool]]:
    """The condition by which identities come in the order of an index."""
    if wanted.kind != "identity":
        return []
    return [_i.c.org_id == wanted.homes[0] if len(wanted.homes) == 1 else among(_i.c.org_id, wanted.homes)]


async def _end_of_window(tx: Tx, wanted: Wanted) -> tuple[str, str] | None:
    """The name and id up to which a statement walks; None: to the end."""
    table, name = _table(wanted)
    conditions = _at_home(wanted)
    if wanted.after is not None:
        conditions.append(tuple_(name, table.c.id) > tuple_(*wanted.after))
    end = select(name, table.c.id).where(*conditions).order_by(name, table.c.id).offset(_WINDOW).limit(1)
    row = await tx.one(end)
    return None if row is None else (row[0], row[1])


async def listed(tx: Tx, wanted: Wanted) -> tuple[list[Somebody], tuple[str, str] | None]:
    """The next of those who are wanted, by name and id, and where to go on; None when there is nobody further.

    Where they are sought among very many, some thousand names are looked at, and there may be fewer than asked for.
    """
    is_sought = wanted.known is None and (wanted.projects is not None or bool(wanted.contains))
    until = await _end_of_window(tx, wanted) if is_sought else None
    rows = await tx.all(_listed(wanted, until))
    found = [Somebody(kind=wanted.kind, id=row[0], name=row[1], is_usable=bool(row[2])) for row in rows]
    if len(found) == wanted.limit:
        return found, (found[-1].name, found[-1].id)
    return found, until


_OWN = prepare(
    lambda: (
        select(*MEMBERSHIPS.columns, *HELD.columns)
        .select_from(_m.outerjoin(_h, _h.c.membership_id == _m.c.id))
        .where(
            _m.c.actor_kind == bindparam("kind"), any_of(_m.c.actor_id, "actors"), any_of(_m.c.project_id, "projects")
        )
        .order_by(_m.c.created_at, _m.c.id, _h.c.position)
    )
)
_GROUPS = prepare(
    lambda: (
        select(_gm.c.actor_id, _gm.c.group_id, _g.c.name)
        .select_from(_gm.join(_g, _g.c.id == _gm.c.group_id))
        .where(_gm.c.actor_kind == bindparam("kind"), any_of(_gm.c.actor_id, "actors"))
    )
)
_CUSTOM = prepare(lambda: select(*ROLES.columns).where(_r.c.id == bindparam("of")))
_PRIVILEGES = prepare(
    lambda: PLACED.where(
        _p.c.actor_kind == bindparam("kind"), any_of(_p.c.actor_id, "actors"), any_of(_p.c.project_id, "projects")
    ).order_by(_p.c.created_at, _p.c.id)
)


class Held(msgspec.Struct, frozen=True):
    """What several actors of a kind hold: roles and privileges by (project, actor), metadata by actor.

    The name of a group stands beside a role that comes through it.
    """

    roles: dict[tuple[str, str], list[tuple[HeldRole, str | None]]]
    privileges: dict[tuple[str, str], list[Privilege]]
    metadata: dict[str, list[Metadata]]


async def held(tx: Tx, kind: HolderKind, actor_ids: Sequence[str], project_ids: Sequence[str], pauses: Pauses) -> Held:
    """All that these actors hold in these projects, themselves and through groups, in the order of their rules."""
    ids, projects = list(actor_ids), list(project_ids)
    roles: dict[tuple[str, str], list[tuple[HeldRole, str | None]]] = {}
    privileges: dict[tuple[str, str], list[Privilege]] = {}
    if not ids or not projects:
        return Held(roles, privileges, {})
    rows: list[tuple[Row, str | None]] = [
        (row, None) for row in await tx.all(_OWN, kind=kind, actors=ids, projects=projects)
    ]
    inside: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for actor_id, group_id, name in await tx.all(_GROUPS, kind=kind, actors=ids):
        inside.setdefault(group_id, []).append(actor_id)
        names[group_id] = name
    if inside:
        through = await tx.all(_OWN, kind="group", actors=sorted(inside), projects=projects)
        rows += [(row, actor) for row in through for actor in inside[row[_ACTOR]]]
        rows.sort(key=lambda pair: (pair[0][_CREATED], pair[0][0]))
    customs: dict[str, Role] = {}
    first = len(MEMBERSHIPS.columns)
    for id in sorted({row[first + _ROLE] for row, _ in rows if row[first + _ROLE] is not None}):
        customs |= {role.id: role for role in ROLES.every(await tx.all(_CUSTOM, of=id))}
        await pauses.give()  # its rules may be long
    for row, member in rows:
        membership: Membership = MEMBERSHIPS.read(row)
        role = HELD.read(row, first) if row[first] is not None else None
        custom = customs.get(role.custom_role_id or "") if role is not None else None
        holder = (membership.project_id or "", member or membership.actor_id)
        group = names[membership.actor_id] if member is not None else None
        roles.setdefault(holder, []).append((HeldRole(membership, role, custom), group))
        await pauses.give()
    for row in await tx.all(_PRIVILEGES, kind=kind, actors=ids, projects=projects):
        privilege = read_placed(row)
        privileges.setdefault((privilege.project_id, privilege.actor_id), []).append(privilege)
        await pauses.give()
    return Held(roles, privileges, await metadata_of_many(tx, kind, ids))


def _place(columns: Sequence[ColumnElement[Any]], name: str) -> int:
    return next(i for i, column in enumerate(columns) if column.name == name)


_ACTOR = _place(MEMBERSHIPS.columns, "actor_id")
_CREATED = _place(MEMBERSHIPS.columns, "created_at")
_ROLE = _place(HELD.columns, "custom_role_id")
