"""Identities by when they were last used or will end: pages by key, read from an index where the page begins."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, and_, func, select, tuple_

from watchword.domain.identities.records import Identity
from watchword.store import schema
from watchword.store.engine import Tx
from watchword.store.identities.identities import IDENTITIES

_i, _p = schema.identities, schema.projects
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


async def expiring(tx: Tx, org_id: str, *, since: int, before: int, after: Cursor | None, limit: int) -> list[Identity]:
    """Identities that expire between two moments, the next one first."""
    conditions = [_i.c.expires_at >= since, _i.c.expires_at < before]
    if after is not None:
        conditions.append(tuple_(_i.c.expires_at, _i.c.id) > tuple_(*after))
    return await _page(tx, org_id, conditions, _i.c.expires_at, limit)


async def by_name(tx: Tx, org_id: str, *, after: NameCursor | None, limit: int) -> list[Identity]:
    """Identities in the order of their names."""
    conditions = [] if after is None else [tuple_(_i.c.name, _i.c.id) > tuple_(*after)]
    ofs = (_i.c.org_id == org_id, _i.c.project_id.is_(None))
    return IDENTITIES.every(
        await tx.all(
            select(*IDENTITIES.columns).where(and_(*ofs, *conditions)).order_by(_i.c.name, _i.c.id).limit(limit)
        )
    )


async def protected(tx: Tx, org_id: str) -> int:
    """How many identities and projects of an organization have delete protection."""
    identities = await tx.one(
        select(func.count()).select_from(_i).where(_i.c.org_id == org_id, _i.c.has_delete_protection == 1)
    )
    projects = await tx.one(
        select(func.count()).select_from(_p).where(_p.c.org_id == org_id, _p.c.has_delete_protection == 1)
    )
    return int(identities[0] if identities else 0) + int(projects[0] if projects else 0)
