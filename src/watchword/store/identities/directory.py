"""Identities as people look through them: a page by key, counted within bounds, and what is shown beside them.

However many identities there are, a page costs the same: no statement reads more rows than it is told.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, select, tuple_

from watchword.domain.access.records import Membership
from watchword.domain.identities.records import Identity
from watchword.store import schema
from watchword.store.access.grants import MEMBERSHIPS
from watchword.store.engine import Tx
from watchword.store.identities import lists
from watchword.store.identities.identities import IDENTITIES

_i, _m, _p = schema.identities, schema.memberships, schema.projects
_c = schema.method_configs
_LAST = "\U0010ffff"


class Key(NamedTuple):
    """The place of an identity in the order of names."""

    name: str
    id: str


class Place(NamedTuple):
    """Whose identities are looked through. `owns_all`: every member belongs to the organization itself."""

    org_id: str
    owns_all: bool


def _member(place: Place) -> ColumnElement[bool]:
    return and_(_m.c.org_id == place.org_id, _m.c.project_id.is_(None), _m.c.actor_kind == "identity")


def _looked_at(
    place: Place, after: Key | None, most: int, *, descending: bool, begins: str = ""
) -> Select[tuple[str, str]]:
    """The first `most` names after a key: read from the index of names, where all members are the organization's own.

    `begins` keeps to names that begin with it.
    """
    query: Select[Any] = select(_i.c.name, _i.c.id)
    if place.owns_all:
        query = query.where(_i.c.org_id == place.org_id)
    else:
        query = query.where(_i.c.id.in_(select(_m.c.actor_id).where(_member(place))))
    if begins:
        query = query.where(_i.c.name >= begins, _i.c.name < begins + _LAST)
    key = tuple_(_i.c.name, _i.c.id)
    if after is not None:
        query = query.where(key < tuple_(*after) if descending else key > tuple_(*after))
    columns = (_i.c.name, _i.c.id)
    return query.order_by(*[column.desc() for column in columns] if descending else columns).limit(most)


async def matching(
    tx: Tx,
    place: Place,
    filter_: lists.Filter,
    after: Key | None,
    *,
    looks_at: int,
    descending: bool = False,
    begins: str = "",
) -> list[Key]:
    """The keys that match among the `looks_at` names after a key, in order."""
    seen = _looked_at(place, after, looks_at, descending=descending, begins=begins).subquery()
    source = seen.join(_i, _i.c.id == seen.c.id).join(_m, and_(_m.c.actor_id == _i.c.id, _member(place)))
    order = (seen.c.name, seen.c.id)
    query = (
        select(*order)
        .select_from(source)
        .where(*lists.conditions(filter_))
        .order_by(*[column.desc() for column in order] if descending else order)
    )
    return [Key(*row) for row in await tx.all(query)]


async def last_looked_at(
    tx: Tx, place: Place, after: Key | None, *, looks_at: int, descending: bool = False
) -> Key | None:
    """The key at which a look at so many names ends; None where there are no more."""
    query = _looked_at(place, after, looks_at, descending=descending).offset(looks_at - 1).limit(1)
    row = await tx.one(query)
    return Key(*row) if row is not None else None


async def exactly(tx: Tx, place: Place, filter_: lists.Filter, text: str) -> list[Key]:
    """The identity with this id or client id, if it is a member and matches."""
    named = await tx.all(select(_c.c.identity_id).where(_c.c.locator == text))
    ids = [text, *(row[0] for row in named)]  # looked up first: an OR would read every membership
    query = (
        select(_i.c.name, _i.c.id)
        .select_from(_i.join(_m, and_(_m.c.actor_id == _i.c.id, _member(place))))
        .where(_i.c.id.in_(ids), *lists.conditions(filter_))
    )
    return [Key(*row) for row in await tx.all(query)]


async def key_of(tx: Tx, id: str) -> Key | None:
    """The key of an identity; None where it is gone."""
    row = await tx.one(select(_i.c.name, _i.c.id).where(_i.c.id == id))
    return Key(*row) if row is not None else None


async def members(tx: Tx, place: Place, ids: Sequence[str]) -> dict[str, tuple[Identity, Membership]]:
    """Identities and their memberships in the organization, by id."""
    source = _i.join(_m, and_(_m.c.actor_id == _i.c.id, _member(place)))
    query = select(*IDENTITIES.columns, *MEMBERSHIPS.columns).select_from(source).where(_i.c.id.in_(list(ids)))
    width = len(IDENTITIES.columns)
    read = [(IDENTITIES.read(row), MEMBERSHIPS.read(row, width)) for row in await tx.all(query)]
    return {identity.id: (identity, membership) for identity, membership in read}


async def count(tx: Tx, org_id: str, most: int) -> int:
    """How many identities are members of an organization, counted up to `most`."""
    place = Place(org_id, owns_all=True)
    some = select(_m.c.actor_id).where(_member(place)).limit(most).subquery()
    row = await tx.one(select(func.count()).select_from(some))
    return int(row[0]) if row else 0


async def owners(tx: Tx, org_id: str, most: int, *, looks_at: int) -> list[str]:
    """The owners that the first identities of an organization have, by name; `looks_at` of them are looked at."""
    first = select(_i.c.owner).where(_i.c.org_id == org_id).order_by(_i.c.name, _i.c.id).limit(looks_at).subquery()
    query = select(first.c.owner).distinct().where(first.c.owner.is_not(None)).order_by(first.c.owner).limit(most)
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
