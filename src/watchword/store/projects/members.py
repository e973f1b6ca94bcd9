"""Queries of memberships: the projects of an actor, the people of a project, and who could join."""

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, and_, bindparam, exists, func, or_, select

from watchword.domain.access.records import Membership
from watchword.domain.actor import AnyActorKind
from watchword.domain.identities.records import Identity
from watchword.domain.people.records import Group, User
from watchword.domain.projects.records import Project
from watchword.store import schema
from watchword.store.access.grants import GROUPS, MEMBERSHIPS
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.identities.identities import IDENTITIES
from watchword.store.identities.lists import like
from watchword.store.mapping import Pauses, in_pieces
from watchword.store.people.people import USERS
from watchword.store.projects.projects import PROJECTS

_m, _gm, _i, _p, _u = schema.memberships, schema.group_members, schema.identities, schema.projects, schema.users
_g = schema.groups


def _in_groups_of(kind: Any, actor: Any) -> Any:
    return select(_gm.c.group_id).where(_gm.c.actor_kind == kind, _gm.c.actor_id == actor)


_PROJECTS_OF = prepare(
    lambda: (
        select(_m.c.project_id)
        .distinct()
        .where(
            _m.c.org_id == bindparam("org"),
            _m.c.project_id.is_not(None),
            or_(
                and_(_m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("actor")),
                and_(
                    _m.c.actor_kind == "group", _m.c.actor_id.in_(_in_groups_of(bindparam("kind"), bindparam("actor")))
                ),
            ),
        )
    )
)
_WITH_PROJECTS = prepare(
    lambda: (
        select(*MEMBERSHIPS.columns, *PROJECTS.columns)
        .select_from(_m.join(_p, _p.c.id == _m.c.project_id))
        .where(
            _m.c.org_id == bindparam("org"), _m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("actor")
        )
        .order_by(_p.c.name, _p.c.id)
    )
)
_PEOPLE = prepare(
    lambda: (
        select(*MEMBERSHIPS.columns, *USERS.columns)
        .select_from(_m.join(_u, _u.c.id == _m.c.actor_id))
        .where(_m.c.project_id == bindparam("project"), _m.c.actor_kind == "user")
        .order_by(_u.c.email, _u.c.id)
    )
)
_ORG_PEOPLE_BY_ADDRESS = prepare(
    lambda: (
        select(*USERS.columns)
        .select_from(_m.join(_u, _u.c.id == _m.c.actor_id))
        .where(
            _m.c.org_id == bindparam("org"),
            _m.c.project_id.is_(None),
            _m.c.actor_kind == "user",
            any_of(_u.c.email, "emails"),
        )
    )
)
_OF_MANY = prepare(
    lambda: select(*MEMBERSHIPS.columns).where(
        _m.c.project_id == bindparam("project"), _m.c.actor_kind == bindparam("kind"), any_of(_m.c.actor_id, "actors")
    )
)


async def projects_of(tx: Tx, kind: AnyActorKind, id: str, org_id: str) -> list[str]:
    """The ids of the projects of an organization where an actor holds something, itself or through groups."""
    return [row[0] for row in await tx.all(_PROJECTS_OF, kind=kind, actor=id, org=org_id)]


async def with_projects(
    tx: Tx, kind: AnyActorKind, id: str, org_id: str, pauses: Pauses | None = None
) -> list[tuple[Membership, Project]]:
    """An actor's own project memberships in an organization, by project name."""
    width = len(MEMBERSHIPS.columns)
    rows = await tx.all(_WITH_PROJECTS, kind=kind, actor=id, org=org_id)
    return await in_pieces(rows, lambda row: (MEMBERSHIPS.read(row), PROJECTS.read(row, width)), pauses)


async def people_in_project(tx: Tx, project_id: str, pauses: Pauses | None = None) -> list[tuple[Membership, User]]:
    """The people who are members of a project themselves, by address."""
    width = len(MEMBERSHIPS.columns)
    rows = await tx.all(_PEOPLE, project=project_id)
    return await in_pieces(rows, lambda row: (MEMBERSHIPS.read(row), USERS.read(row, width)), pauses)


async def people_by_address(tx: Tx, org_id: str, emails: Sequence[str]) -> list[User]:
    """Those of these addresses (in lower case) that are people of an organization."""
    return USERS.every(await tx.all(_ORG_PEOPLE_BY_ADDRESS, org=org_id, emails=list(emails)))


async def in_project_of_many(tx: Tx, project_id: str, kind: AnyActorKind, ids: Sequence[str]) -> dict[str, Membership]:
    """The own memberships of several actors in a project, by actor id."""
    memberships = MEMBERSHIPS.every(await tx.all(_OF_MANY, project=project_id, kind=kind, actors=list(ids)))
    return {membership.actor_id: membership for membership in memberships}


class CandidateQuery(Protocol):
    """A page of members, or of those who are not members yet."""

    @property
    def contains(self) -> str:
        """A part of the name; of people of the address."""
        ...

    @property
    def offset(self) -> int:
        """How many to leave out."""
        ...

    @property
    def limit(self) -> int | None:
        """How many at most."""
        ...


async def _candidates(
    tx: Tx, places: Sequence[ColumnElement[bool]], query: CandidateQuery
) -> tuple[list[Identity], int]:
    conditions = [*places, *([func.lower(_i.c.name).like(like(query.contains.lower()))] if query.contains else [])]
    count = await tx.one(select(func.count()).select_from(_i).where(*conditions))
    page = (
        select(*IDENTITIES.columns)
        .where(*conditions)
        .order_by(_i.c.name, _i.c.id)
        .offset(query.offset)
        .limit(query.limit)
    )
    return IDENTITIES.every(await tx.all(page)), int(count[0]) if count else 0


def _is_member(*place: ColumnElement[bool]) -> ColumnElement[bool]:
    return exists(select(_m.c.id).where(_m.c.actor_kind == "identity", _m.c.actor_id == _i.c.id, *place))


async def outside_project(tx: Tx, org_id: str, project_id: str, query: CandidateQuery) -> tuple[list[Identity], int]:
    """The organization's identities that could join a project: not its members yet, and of no other project."""
    in_org = _is_member(_m.c.org_id == org_id, _m.c.project_id.is_(None))
    in_project = _is_member(_m.c.project_id == project_id)
    return await _candidates(tx, [_i.c.project_id.is_(None), in_org, ~in_project], query)


async def outside_org(tx: Tx, org_id: str, home_id: str, query: CandidateQuery) -> tuple[list[Identity], int]:
    """The identities of a root organization that could join an organization of its tree."""
    in_org = _is_member(_m.c.org_id == org_id, _m.c.project_id.is_(None))
    return await _candidates(tx, [_i.c.org_id == home_id, _i.c.project_id.is_(None), ~in_org], query)


async def page_of_people(tx: Tx, project_id: str, query: CandidateQuery) -> tuple[list[tuple[Membership, User]], int]:
    """A page of the people who are members of a project themselves, by address, and how many match."""
    conditions = [_m.c.project_id == project_id, _m.c.actor_kind == "user", *_named(_u.c.email, query)]
    joined = _m.join(_u, _u.c.id == _m.c.actor_id)
    count = await tx.one(select(func.count()).select_from(joined).where(*conditions))
    page = select(*MEMBERSHIPS.columns, *USERS.columns).select_from(joined).where(*conditions)
    rows = await tx.all(page.order_by(_u.c.email, _u.c.id).offset(query.offset).limit(query.limit))
    width = len(MEMBERSHIPS.columns)
    return [(MEMBERSHIPS.read(row), USERS.read(row, width)) for row in rows], int(count[0]) if count else 0


async def people_outside(tx: Tx, org_id: str, project_id: str, query: CandidateQuery) -> tuple[list[User], int]:
    """The people of an organization who are not members of a project themselves, by address, and how many match."""
    own = select(_m.c.actor_id).where(_m.c.project_id == project_id, _m.c.actor_kind == "user")
    conditions = [
        _m.c.org_id == org_id,
        _m.c.project_id.is_(None),
        _m.c.actor_kind == "user",
        _u.c.id.not_in(own),
        *_named(_u.c.email, query),
    ]
    joined = _m.join(_u, _u.c.id == _m.c.actor_id)
    count = await tx.one(select(func.count()).select_from(joined).where(*conditions))
    page = select(*USERS.columns).select_from(joined).where(*conditions).order_by(_u.c.email, _u.c.id)
    return USERS.every(await tx.all(page.offset(query.offset).limit(query.limit))), int(count[0]) if count else 0


async def page_of_groups(tx: Tx, project_id: str, query: CandidateQuery) -> tuple[list[tuple[Group, Membership]], int]:
    """A page of the groups of a project with their memberships of it, by name, and how many match."""
    conditions = [_m.c.project_id == project_id, _m.c.actor_kind == "group", *_named(_g.c.name, query)]
    joined = _m.join(_g, _g.c.id == _m.c.actor_id)
    count = await tx.one(select(func.count()).select_from(joined).where(*conditions))
    page = select(*GROUPS.columns, *MEMBERSHIPS.columns).select_from(joined).where(*conditions)
    rows = await tx.all(page.order_by(_g.c.name, _g.c.id).offset(query.offset).limit(query.limit))
    width = len(GROUPS.columns)
    return [(GROUPS.read(row), MEMBERSHIPS.read(row, width)) for row in rows], int(count[0]) if count else 0


async def groups_outside(tx: Tx, org_id: str, project_id: str, query: CandidateQuery) -> tuple[list[Group], int]:
    """The groups of an organization that are not members of a project, by name, and how many match."""
    own = select(_m.c.actor_id).where(_m.c.project_id == project_id, _m.c.actor_kind == "group")
    conditions = [_g.c.org_id == org_id, _g.c.id.not_in(own), *_named(_g.c.name, query)]
    count = await tx.one(select(func.count()).select_from(_g).where(*conditions))
    page = select(*GROUPS.columns).where(*conditions).order_by(_g.c.name, _g.c.id)
    return GROUPS.every(await tx.all(page.offset(query.offset).limit(query.limit))), int(count[0]) if count else 0


def _named(column: ColumnElement[str], query: CandidateQuery) -> list[ColumnElement[bool]]:
    return [func.lower(column).like(like(query.contains.lower()))] if query.contains else []
