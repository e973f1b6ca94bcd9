"""Identities by when they were last used or will end: pages by key, read from an index where the page begins."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, case, func, or_, select, tuple_

from watchword.domain.identities.records import Identity
from watchword.store import schema
from watchword.store.authentication import client_secrets, token_rows
from watchword.store.engine import Tx
from watchword.store.identities.identities import IDENTITIES

_i, _p = schema.identities, schema.projects
_c, _s, _t = schema.method_configs, schema.client_secrets, schema.access_tokens
_l = schema.lockouts
Cursor = tuple[int, str]
NameCursor = tuple[str, str]


async def _page(
    tx: Tx, org_id: str, conditions: Sequence[ColumnElement[bool]], by: ColumnElement[int], limit: int
) -> list[Identity]:
    ofs = (_i.c.org_id == org_id, _i.c.project_id.is_(None))
    return IDENTITIES.every(
        await tx.all(select(*IDENTITIES.columns).where(and_(*ofs, *conditions)).order_by(by, _i.c.id).limit(limit))
    )


async def unused(tx: Tx, org_id: str, *, before: int, after: Cursor | None, limit: int) -> list[Identity]:
    """Identities that logged in last before a moment, the longest unused first."""
    conditions = [_i.c.last_login_at < before]
    if after is not None:
        conditions.append(tuple_(_i.c.last_login_at, _i.c.id) > tuple_(*after))
    return await _page(tx, org_id, conditions, _i.c.last_login_at, limit)


async def never_used(tx: Tx, org_id: str, *, before: int, after: Cursor | None, limit: int) -> list[Identity]:
    """Identities made before a moment that never logged in, oldest first (ids grow with time)."""
    conditions = [_i.c.last_login_at.is_(None), _i.c.created_at < before]
    if after is not None:
        conditions.append(_i.c.id > after[1])
    return await _page(tx, org_id, conditions, _i.c.last_login_at, limit)


async def ending(
    tx: Tx,
    org_id: str,
    *,
    since: int,
    before: int,
    methods: Sequence[str],
    after: NameCursor | None,
    until: NameCursor | None,
    limit: int,
) -> list[Identity]:
    """Identities in the order of their names, `until` among them, of which something may end between two moments (ms).

    That is the identity itself, a client secret, a named token, or what a configuration of one of `methods` holds.
    """
    of = _i.c.id
    may = or_(
        and_(_i.c.expires_at >= since, _i.c.expires_at < before),
        select(_s.c.id).where(_s.c.identity_id == of, *client_secrets.ends(since, before)).exists(),
        select(_t.c.id).where(_t.c.identity_id == of, *token_rows.ends(since, before)).exists(),
        select(_c.c.id).where(_c.c.identity_id == of, _c.c.method.in_(list(methods))).exists(),
    )
    within = () if until is None else (tuple_(_i.c.name, _i.c.id) <= tuple_(*until),)
    return await by_name(tx, org_id, after=after, limit=limit, where=(may, *within))


async def step(tx: Tx, org_id: str, *, after: NameCursor | None, count: int) -> NameCursor | None:
    """Name and id of the identity that is the `count`th after another, by name; None where there are not so many."""
    conditions = () if after is None else (tuple_(_i.c.name, _i.c.id) > tuple_(*after),)
    row = await tx.one(
        select(_i.c.name, _i.c.id)
        .where(and_(_i.c.org_id == org_id, *conditions))
        .order_by(_i.c.name, _i.c.id)
        .limit(1)
        .offset(count - 1)
    )
    return None if row is None else (str(row[0]), str(row[1]))


async def by_name(
    tx: Tx, org_id: str, *, after: NameCursor | None, limit: int, where: Sequence[ColumnElement[bool]] = ()
) -> list[Identity]:
    """Identities in the order of their names, those that belong to projects among them."""
    conditions = [*where] if after is None else [*where, tuple_(_i.c.name, _i.c.id) > tuple_(*after)]
    return IDENTITIES.every(
        await tx.all(
            select(*IDENTITIES.columns)
            .where(and_(_i.c.org_id == org_id, *conditions))
            .order_by(_i.c.name, _i.c.id)
            .limit(limit)
        )
    )


async def states(tx: Tx, org_id: str, *, now: int, used_since: int, ends_before: int, most: int) -> list[int]:
    """How many of an organization's first `most` identities there are, and how many of them are in which state.

    All; used since a moment; used before it; never used; disabled; ending before a moment.
    """
    first = (
        select(_i.c.is_disabled, _i.c.last_login_at, _i.c.expires_at)
        .where(_i.c.org_id == org_id, _i.c.project_id.is_(None))
        .limit(most)
        .subquery("first")
    )
    at, on = first.c.last_login_at, first.c.is_disabled == 0
    states = (
        and_(on, at >= used_since),
        and_(on, at < used_since),
        and_(on, at.is_(None)),
        first.c.is_disabled != 0,
        and_(on, first.c.expires_at >= now, first.c.expires_at < ends_before),
    )
    counts = [func.coalesce(func.sum(case((state, 1), else_=0)), 0) for state in states]
    row = await tx.one(select(func.count(), *counts).select_from(first))
    return [int(count) for count in row or ()]


async def locked(tx: Tx, org_id: str, *, now: int, limit: int) -> list[tuple[str, str, int]]:
    """Id and name of identities that are locked out, and until when (ms), those for the longest first."""
    until = func.max(_l.c.locked_until)
    rows = await tx.all(
        select(_i.c.id, _i.c.name, until)
        .join(_l, _l.c.identity_id == _i.c.id)
        .where(_i.c.org_id == org_id, _i.c.project_id.is_(None), _l.c.locked_until > now)
        .group_by(_i.c.id, _i.c.name)
        .order_by(until.desc(), _i.c.id)
        .limit(limit)
    )
    return [(str(id), str(name), int(end)) for id, name, end in rows]


async def protected(tx: Tx, org_id: str) -> int:
    """How many identities and projects of an organization have delete protection."""
    identities = await tx.one(
        select(func.count()).select_from(_i).where(_i.c.org_id == org_id, _i.c.has_delete_protection == 1)
    )
    projects = await tx.one(
        select(func.count()).select_from(_p).where(_p.c.org_id == org_id, _p.c.has_delete_protection == 1)
    )
    return int(identities[0] if identities else 0) + int(projects[0] if projects else 0)
