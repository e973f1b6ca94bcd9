"""How often machine identities logged in and were refused, counted by spans of time."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select

from watchword.store import schema
from watchword.store.audit.queries import DenialFilter, EventFilter, denials_seen, wanted_events
from watchword.store.engine import Tx

_e, _d = schema.audit_events, schema.denials


async def logins(tx: Tx, filter_: EventFilter, *, since: int, step: int) -> list[tuple[int, int]]:
    """The spans of `step` ms since `since` (ms) in which something happened, and how often.

    The newest `filter_.limit` events are counted, so that the count of a very busy organization stays short.
    """
    newest = (
        select(_e.c.at).where(*wanted_events(filter_)).order_by(_e.c.id.desc()).limit(filter_.limit).subquery("newest")
    )
    return await _counted(tx, newest.c.at, func.count(), since, step)


async def refusals(tx: Tx, filter_: DenialFilter, *, since: int, step: int) -> list[tuple[int, int]]:
    """The same of refused logins; those that were counted with another one are counted."""
    newest = (
        select(_d.c.at, _d.c.times)
        .where(*denials_seen(filter_.org_id, unknown=filter_.unknown, only_projects=filter_.only_projects))
        .where(_d.c.at >= since)
        .order_by(_d.c.at.desc())
        .limit(filter_.limit)
        .subquery("newest")
    )
    return await _counted(tx, newest.c.at, func.sum(newest.c.times), since, step)


async def _counted(
    tx: Tx, at: ColumnElement[int], number: ColumnElement[Any], since: int, step: int
) -> list[tuple[int, int]]:
    span = ((at - since) // step).label("span")
    rows: Sequence[Any] = await tx.all(select(span, number).group_by(span).order_by(span))
    return [(int(place), int(count)) for place, count in rows]
