"""What is shown beside identities in lists: the owners that there are, names, and the projects of several."""

from collections.abc import Sequence

from sqlalchemy import select

from watchword.store import schema
from watchword.store.engine import Tx

_i, _m, _p = schema.identities, schema.memberships, schema.projects


async def owners(tx: Tx, org_id: str, most: int) -> list[str]:
    """The owners that identities of an organization have, by name."""
    query = (
        select(_i.c.owner)
        .distinct()
        .where(_i.c.org_id == org_id, _i.c.owner.is_not(None))
        .order_by(_i.c.owner)
        .limit(most)
    )
    return [row[0] for row in await tx.all(query)]


async def names(tx: Tx, org_id: str, ids: Sequence[str]) -> dict[str, str]:
    """The names of an organization's identities, by id."""
    query = (
        select(_i.c.id, _i.c.name)
        .select_from(_m.join(_i, _i.c.id == _m.c.actor_id))
        .where(_m.c.org_id == org_id, _m.c.project_id.is_(None), _m.c.actor_kind == "identity", _i.c.id.in_(list(ids)))
    )
    return {row[0]: row[1] for row in await tx.all(query)}


async def projects_of(tx: Tx, org_id: str, ids: Sequence[str]) -> dict[str, list[tuple[str, str, str]]]:
    """The projects of several identities, by identity: id, slug and name, by name."""
    query = (
        select(_m.c.actor_id, _p.c.id, _p.c.slug, _p.c.name)
        .select_from(_m.join(_p, _p.c.id == _m.c.project_id))
        .where(_m.c.org_id == org_id, _m.c.actor_kind == "identity", _m.c.actor_id.in_(list(ids)))
        .order_by(_p.c.name, _p.c.id)
    )
    found: dict[str, list[tuple[str, str, str]]] = {}
    for actor_id, id, slug, name in await tx.all(query):
        found.setdefault(actor_id, []).append((id, slug, name))
    return found
