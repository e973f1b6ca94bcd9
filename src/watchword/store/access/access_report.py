"""The access report of a project: everybody in it, themselves or through groups, and all they hold there.

One page takes a fixed number of queries.
"""

from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, or_, select, union

from watchword.domain.access.records import Membership, Privilege, Role
from watchword.domain.actor import HolderKind
from watchword.domain.identities.records import Metadata
from watchword.store import schema
from watchword.store.access.grants import HELD, MEMBERSHIPS, PLACED, ROLES, HeldRole, read_placed
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.identities.identities import metadata_of_many
from watchword.store.identities.lists import like
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
KINDS: tuple[HolderKind, ...] = ("identity", "user")


class Somebody(msgspec.Struct, frozen=True, kw_only=True):
    """A person or a machine identity; `is_usable`: neither suspended, disabled nor at its end."""

    kind: HolderKind
    id: str
    name: str
    is_usable: bool


def _everybody(org_id: str, project_id: str, now: int, contains: str) -> Select[tuple[str, str, str, int]]:
    inside = select(_m.c.actor_id).where(_m.c.project_id == project_id, _m.c.actor_kind == "group")
    ids = union(
        select(_m.c.actor_kind.label("kind"), _m.c.actor_id.label("id")).where(
            _m.c.project_id == project_id, _m.c.actor_kind.in_(KINDS)
        ),
        select(_gm.c.actor_kind, _gm.c.actor_id).where(_gm.c.group_id.in_(inside)),
    ).subquery()
    home = _m.alias()
    name = func.coalesce(_i.c.name, _u.c.email)
    usable = and_(
        func.coalesce(home.c.is_active, 0) == 1,
        or_(_i.c.id.is_(None), and_(_i.c.is_disabled == 0, or_(_i.c.expires_at.is_(None), _i.c.expires_at > now))),
        or_(_u.c.id.is_(None), _u.c.is_active == 1),
    )
    source = (
        ids.outerjoin(_i, and_(ids.c.kind == "identity", _i.c.id == ids.c.id))
        .outerjoin(_u, and_(ids.c.kind == "user", _u.c.id == ids.c.id))
        .outerjoin(
            home,
            and_(
                home.c.org_id == org_id,
                home.c.project_id.is_(None),
                home.c.actor_kind == ids.c.kind,
                home.c.actor_id == ids.c.id,
            ),
        )
    )
    holders = select(
        ids.c.kind, ids.c.id, name.label("name"), func.max(_as_number(usable)).label("usable")
    ).select_from(source)
    holders = holders.where(name.is_not(None)).group_by(ids.c.kind, ids.c.id, name)
    return holders.where(func.lower(name).like(like(contains.lower()))) if contains else holders


def _as_number(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return case((condition, 1), else_=0)


async def page(
    tx: Tx, org_id: str, project_id: str, *, now: int, contains: str, offset: int, limit: int
) -> tuple[list[Somebody], int]:
    """One page of everybody by name, and how many there are."""
    rows = _everybody(org_id, project_id, now, contains).subquery()
    count = await tx.one(select(func.count()).select_from(rows))
    actor_rows = await tx.all(select(rows).order_by(rows.c.name, rows.c.kind, rows.c.id).offset(offset).limit(limit))
    return [Somebody(kind=row[0], id=row[1], name=row[2], is_usable=bool(row[3])) for row in actor_rows], int(
        count[0]
    ) if count else 0


_HELD = prepare(
    lambda: (
        select(*MEMBERSHIPS.columns, *HELD.columns, _r.c.id, _gm.c.actor_kind, _gm.c.actor_id, _g.c.name)
        .select_from(
            _m.outerjoin(_h, _h.c.membership_id == _m.c.id)
            .outerjoin(_r, _r.c.id == _h.c.custom_role_id)
            .outerjoin(
                _gm, and_(_m.c.actor_kind == "group", _gm.c.group_id == _m.c.actor_id, any_of(_gm.c.actor_id, "actors"))
            )
            .outerjoin(_g, _g.c.id == _gm.c.group_id)
        )
        .where(
            _m.c.project_id == bindparam("project"),
            or_(and_(_m.c.actor_kind != "group", any_of(_m.c.actor_id, "actors")), _gm.c.actor_id.is_not(None)),
        )
        .order_by(_m.c.created_at, _m.c.id, _h.c.position)
    )
)
_ROLES = prepare(lambda: select(*ROLES.columns).where(_r.c.project_id == bindparam("project"), any_of(_r.c.id, "of")))
_PRIVILEGES = prepare(
    lambda: PLACED.where(_p.c.project_id == bindparam("project"), any_of(_p.c.actor_id, "actors")).order_by(
        _p.c.created_at, _p.c.id
    )
)


class Holdings(msgspec.Struct, frozen=True):
    """What several actors hold in a project, each by (kind, id); a group's name stands beside what comes through it."""

    roles: dict[tuple[str, str], list[tuple[HeldRole, str | None]]]
    privileges: dict[tuple[str, str], list[Privilege]]
    metadata: dict[tuple[str, str], Sequence[Metadata]]


async def _customs(tx: Tx, project_id: str, ids: Sequence[str], pauses: Pauses) -> dict[str, Role]:
    """Roles of a project by id: each is read once, however many hold it."""
    roles: dict[str, Role] = {}
    for id in ids:
        roles |= {role.id: role for role in ROLES.every(await tx.all(_ROLES, project=project_id, of=[id]))}
        await pauses.give()
    return roles


async def holdings(tx: Tx, project_id: str, actors: Sequence[Somebody], pauses: Pauses) -> Holdings:
    """All that these actors hold in a project."""
    ids = [actor.id for actor in actors]
    roles: dict[tuple[str, str], list[tuple[HeldRole, str | None]]] = {(actor.kind, actor.id): [] for actor in actors}
    first, second = len(MEMBERSHIPS.columns), len(MEMBERSHIPS.columns) + len(HELD.columns)
    rows = await tx.all(_HELD, project=project_id, actors=ids)
    customs = await _customs(tx, project_id, sorted({row[second] for row in rows if row[second] is not None}), pauses)
    for row in rows:
        await pauses.give()
        membership: Membership = MEMBERSHIPS.read(row)
        role = HELD.read(row, first) if row[first] is not None else None
        custom = customs.get(row[second])
        through = membership.actor_kind == "group"
        holder = (row[-3], row[-2]) if through else (membership.actor_kind, membership.actor_id)
        if holder in roles:
            roles[holder].append((HeldRole(membership, role, custom), row[-1] if through else None))
    privileges: dict[tuple[str, str], list[Privilege]] = {holder: [] for holder in roles}
    for row in await tx.all(_PRIVILEGES, project=project_id, actors=ids):
        actor = read_placed(row)
        await pauses.give()
        privileges.get((actor.actor_kind, actor.actor_id), []).append(actor)
    metadata: dict[tuple[str, str], Sequence[Metadata]] = {}
    for kind in KINDS:
        rows_of_metadata = await metadata_of_many(tx, kind, [actor.id for actor in actors if actor.kind == kind])
        metadata |= {(kind, id): items for id, items in rows_of_metadata.items()}
    return Holdings(roles, privileges, metadata)
