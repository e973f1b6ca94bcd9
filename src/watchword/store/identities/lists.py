"""Pages of identities: filters in the WHERE, one count, one page."""

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, and_, func, or_, select

from watchword.domain.access.records import Membership
from watchword.domain.identities.records import Identity
from watchword.store import schema
from watchword.store.access.grants import MEMBERSHIPS
from watchword.store.engine import Tx
from watchword.store.identities.identities import IDENTITIES
from watchword.store.mapping import Pauses, in_pieces

_i, _m, _h, _r = schema.identities, schema.memberships, schema.membership_roles, schema.roles


class Filter(Protocol):
    """The filters, order and part of a list of identities."""

    @property
    def contains(self) -> str: ...
    @property
    def names(self) -> Sequence[str]: ...
    @property
    def roles(self) -> Sequence[str]: ...
    @property
    def any_of(self) -> Sequence["Filter"]: ...
    @property
    def offset(self) -> int: ...
    @property
    def limit(self) -> int | None: ...
    @property
    def order_by(self) -> str: ...
    @property
    def descending(self) -> bool: ...


def like(text: str) -> str:
    """A pattern that finds `text` anywhere. `%` and `_` keep their meaning as wildcards."""
    return f"%{text}%"


def _conditions(filter_: Filter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filter_.contains:
        conditions.append(func.lower(_i.c.name).like(like(filter_.contains.lower())))
    if filter_.names:
        conditions.append(_i.c.name.in_(list(filter_.names)))
    if filter_.roles:
        slugs = list(filter_.roles)
        holders = (
            select(_h.c.membership_id)
            .select_from(_h.outerjoin(_r, _r.c.id == _h.c.custom_role_id))
            .where(
                _h.c.membership_id == _m.c.id,
                or_(and_(_h.c.custom_role_id.is_(None), _h.c.role.in_(slugs)), _r.c.slug.in_(slugs)),
            )
        )
        conditions.append(holders.exists())
    alternatives = [alternative for alternative in map(_conditions, filter_.any_of) if alternative]
    if alternatives:
        conditions.append(or_(*[and_(*alternative) for alternative in alternatives]))
    return conditions


async def in_org(
    tx: Tx, org_id: str, filter_: Filter, pauses: Pauses | None = None, *, own: bool = False
) -> tuple[list[tuple[Identity, Membership]], int]:
    """One page of the identities that are members of an organization, and how many match.

    `own`: only those that belong to it, and to none of its projects.
    """
    place = and_(_m.c.org_id == org_id, _m.c.project_id.is_(None))
    if own:
        place = and_(place, _i.c.org_id == org_id, _i.c.project_id.is_(None))
    return await _page(tx, place, filter_, pauses)


async def count_in_org(tx: Tx, org_id: str, filter_: Filter) -> int:
    """How many identities that are members of an organization match."""
    return await _count(tx, and_(_m.c.org_id == org_id, _m.c.project_id.is_(None)), filter_)


async def in_project(
    tx: Tx, project_id: str, filter_: Filter, pauses: Pauses | None = None, *, own: bool = False
) -> tuple[list[tuple[Identity, Membership]], int]:
    """One page of the identities that are members of a project, and how many match.

    `own`: only those that belong to it.
    """
    place = _m.c.project_id == project_id
    return await _page(tx, and_(place, _i.c.project_id == project_id) if own else place, filter_, pauses)


async def _count(tx: Tx, place: ColumnElement[bool], filter_: Filter) -> int:
    source = _m.join(_i, _i.c.id == _m.c.actor_id)
    conditions = and_(place, _m.c.actor_kind == "identity", *_conditions(filter_))
    count = await tx.one(select(func.count()).select_from(source).where(conditions))
    return int(count[0]) if count else 0


async def _page(
    tx: Tx, place: ColumnElement[bool], filter_: Filter, pauses: Pauses | None
) -> tuple[list[tuple[Identity, Membership]], int]:
    source = _m.join(_i, _i.c.id == _m.c.actor_id)
    conditions = and_(place, _m.c.actor_kind == "identity", *_conditions(filter_))
    total = await _count(tx, place, filter_)
    order: list[Any] = [_i.c.name, _i.c.id]
    if filter_.order_by == "role":
        first = select(func.coalesce(_r.c.slug, _h.c.role)).select_from(
            _h.outerjoin(_r, _r.c.id == _h.c.custom_role_id)
        )
        order.insert(0, first.where(_h.c.membership_id == _m.c.id).order_by(_h.c.position).limit(1).scalar_subquery())
    page = select(*IDENTITIES.columns, *MEMBERSHIPS.columns).select_from(source).where(conditions)
    page = page.order_by(*[column.desc() for column in order] if filter_.descending else order).offset(filter_.offset)
    if filter_.limit is not None:
        page = page.limit(filter_.limit)
    width = len(IDENTITIES.columns)
    rows = await tx.all(page)
    members = await in_pieces(rows, lambda row: (IDENTITIES.read(row), MEMBERSHIPS.read(row, width)), pauses)
    return members, total
