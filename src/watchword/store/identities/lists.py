"""Pages of identities: filters in the WHERE, one count, one page."""

from collections.abc import Sequence
from typing import Any, Protocol

from sqlalchemy import ColumnElement, and_, func, not_, or_, select

from watchword.domain.access.records import Membership
from watchword.domain.identities.records import Identity
from watchword.store import schema
from watchword.store.access.grants import MEMBERSHIPS
from watchword.store.engine import Tx
from watchword.store.identities.identities import IDENTITIES
from watchword.store.mapping import Pauses, in_pieces

_i, _m, _h, _r = schema.identities, schema.memberships, schema.membership_roles, schema.roles
_c, _l, _d = schema.method_configs, schema.lockouts, schema.actor_metadata
_also = schema.memberships.alias("also")
UNUSED_FOR = 30 * 86_400_000  # ms without a login after which an identity counts as unused


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
    def wide(self) -> str: ...
    @property
    def methods(self) -> Sequence[str]: ...
    @property
    def projects(self) -> Sequence[str]: ...
    @property
    def owners(self) -> Sequence[str]: ...
    @property
    def metadata(self) -> Sequence[tuple[str, str]]: ...
    @property
    def state(self) -> str: ...
    @property
    def at(self) -> int: ...
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


def conditions(filter_: Filter) -> list[ColumnElement[bool]]:
    """The conditions on an identity and its membership that a filter stands for."""
    found: list[ColumnElement[bool]] = []
    if filter_.contains:
        found.append(func.lower(_i.c.name).like(like(filter_.contains.lower())))
    if filter_.names:
        found.append(_i.c.name.in_(list(filter_.names)))
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
        found.append(holders.exists())
    found += _facets(filter_)
    alternatives = [alternative for alternative in map(conditions, filter_.any_of) if alternative]
    if alternatives:
        found.append(or_(*[and_(*alternative) for alternative in alternatives]))
    return found


def _facets(filter_: Filter) -> list[ColumnElement[bool]]:
    """The conditions of a list that people look through."""
    conditions: list[ColumnElement[bool]] = []
    if filter_.wide:
        text = filter_.wide.strip().lower()
        found = _has_config(_c.c.locator == filter_.wide.strip())
        named = [func.lower(column).contains(text, autoescape=True) for column in (_i.c.name, _i.c.owner)]
        conditions.append(or_(*named, _i.c.id == text.strip(), found))
    if filter_.methods:
        conditions.append(_has_config(_c.c.method.in_(list(filter_.methods))))
    if filter_.projects:
        inside = select(_also.c.id).where(
            _also.c.actor_kind == "identity",
            _also.c.actor_id == _i.c.id,
            _also.c.project_id.in_(list(filter_.projects)),
        )
        conditions.append(inside.exists())
    if filter_.owners:
        conditions.append(_i.c.owner.in_(list(filter_.owners)))
    for key, value in filter_.metadata:
        held = select(_d.c.id).where(_d.c.actor_kind == "identity", _d.c.actor_id == _i.c.id, _d.c.key == key)
        conditions.append((held.where(_d.c.value == value) if value else held).exists())
    if filter_.state:
        conditions.append(_in_state(filter_.state, filter_.at))
    return conditions


def _has_config(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return select(_c.c.id).where(_c.c.identity_id == _i.c.id, condition).exists()


def _in_state(state: str, at: int) -> ColumnElement[bool]:
    has_ended = and_(_i.c.expires_at.is_not(None), _i.c.expires_at <= at)
    works = and_(_i.c.is_disabled == 0, not_(has_ended))
    unused_since = at - UNUSED_FOR
    if state == "disabled":
        return _i.c.is_disabled == 1
    if state == "expired":
        return has_ended
    if state == "locked":
        return select(_l.c.key).where(_l.c.identity_id == _i.c.id, _l.c.locked_until > at).exists()
    if state == "never-used":
        return and_(works, _i.c.last_login_at.is_(None))
    if state == "unused":
        return and_(works, _i.c.last_login_at < unused_since)
    return and_(works, _i.c.last_login_at >= unused_since)


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
    where = and_(place, _m.c.actor_kind == "identity", *conditions(filter_))
    count = await tx.one(select(func.count()).select_from(source).where(where))
    return int(count[0]) if count else 0


async def _page(
    tx: Tx, place: ColumnElement[bool], filter_: Filter, pauses: Pauses | None
) -> tuple[list[tuple[Identity, Membership]], int]:
    source = _m.join(_i, _i.c.id == _m.c.actor_id)
    where = and_(place, _m.c.actor_kind == "identity", *conditions(filter_))
    total = await _count(tx, place, filter_)
    order: list[Any] = [_i.c.name, _i.c.id]
    if filter_.order_by == "role":
        first = select(func.coalesce(_r.c.slug, _h.c.role)).select_from(
            _h.outerjoin(_r, _r.c.id == _h.c.custom_role_id)
        )
        order.insert(0, first.where(_h.c.membership_id == _m.c.id).order_by(_h.c.position).limit(1).scalar_subquery())
    page = select(*IDENTITIES.columns, *MEMBERSHIPS.columns).select_from(source).where(where)
    page = page.order_by(*[column.desc() for column in order] if filter_.descending else order).offset(filter_.offset)
    if filter_.limit is not None:
        page = page.limit(filter_.limit)
    width = len(IDENTITIES.columns)
    rows = await tx.all(page)
    members = await in_pieces(rows, lambda row: (IDENTITIES.read(row), MEMBERSHIPS.read(row, width)), pauses)
    return members, total
