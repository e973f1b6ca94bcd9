"""Read audit events and refused logins by filters, newest first.

Ids grow with time (UUID version 7), so a list walks one index backwards from where the page before ended, and a moment
is also a place in it. Writing is in `store/audit/events.py`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, not_, or_, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.types import Text

from watchword.domain.audit import user_agents
from watchword.domain.audit.records import AuditEvent, Denial
from watchword.store import schema
from watchword.store.audit.events import DENIALS, EVENTS
from watchword.store.engine import Tx, among, any_of, prepare

_e, _d, _p, _i = schema.audit_events, schema.denials, schema.projects, schema.identities
_SLACK = 3_600_000  # ms: an event's id is made a little after the moment it tells of


class Field(ColumnElement[str]):
    """The text of one top-level field of a JSON column, whatever the engine."""

    inherit_cache = False
    type = Text()

    def __init__(self, column: ColumnElement[Any], name: str) -> None:
        self.column = column
        self.name = bindparam(None, name, Text, unique=True)


@compiles(Field, "sqlite")
def _field_sqlite(element: Field, compiler: Any, **options: Any) -> str:
    # One object has a field at most once; a join by name needs no path, in which a name could mean something.
    column, name = compiler.process(element.column, **options), compiler.process(element.name, **options)
    return f"(SELECT CAST(value AS TEXT) FROM json_each({column}) WHERE key = {name})"  # noqa: S608 - a compiled column and the placeholder of a parameter


@compiles(Field, "postgresql")
def _field_postgres(element: Field, compiler: Any, **options: Any) -> str:
    column, name = compiler.process(element.column, **options), compiler.process(element.name, **options)
    return f"(CAST({column} AS JSONB) ->> {name})"


def _agent_kind() -> ColumnElement[str]:
    """The SQL form of `domain.audit.user_agents.agent_kind`."""
    agent = func.coalesce(_e.c.user_agent, "")
    return case(
        (agent.in_(user_agents.EXACT), agent),
        (func.lower(agent).like(f"%{user_agents.BROWSER}%"), "web"),
        *[(agent.like(f"%{name}%"), name) for name in user_agents.INSIDE],
        else_="other",
    )


class EventFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events; what is empty does not filter.

    `org_id`: of which organization; None for the events of no organization.
    `only_projects`: of the events of projects only theirs, beside those of no project; None does not filter.
    """

    org_id: str | None
    project_id: str | None = None
    only_projects: Sequence[str] | None = None
    actor_kinds: Sequence[str] = ()
    actor_id: str | None = None
    events: Sequence[str] = ()
    agent_kind: str | None = None
    metadata: Sequence[tuple[str, str]] = ()
    since: int | None = None  # ms
    until: int | None = None  # ms
    before_id: str | None = None  # where the page before ended
    id: str | None = None
    offset: int = 0
    limit: int = 20


def id_at(moment: int) -> str:
    """The least id that can be made at a moment (ms)."""
    text = max(0, moment).to_bytes(6, "big").hex()
    return f"{text[:8]}-{text[8:]}-0000-0000-000000000000"


def moment_of(id: str) -> int:
    """The moment (ms) at which an id was made."""
    return int(id[:8] + id[9:13], 16)


def wanted_events(filter_: EventFilter) -> list[ColumnElement[bool]]:
    """The conditions of a filter."""
    conditions: list[ColumnElement[bool]] = [
        _e.c.org_id.is_(None) if filter_.org_id is None else _e.c.org_id == filter_.org_id
    ]
    if filter_.project_id is not None:
        conditions.append(_e.c.project_id == filter_.project_id)
    if filter_.only_projects is not None:
        conditions.append(or_(_e.c.project_id.is_(None), among(_e.c.project_id, filter_.only_projects)))
    if filter_.actor_kinds:
        conditions.append(_e.c.actor_kind.in_(filter_.actor_kinds))
    if filter_.actor_id is not None:
        conditions.append(_e.c.actor_id == filter_.actor_id)
    if filter_.events:
        conditions.append(_e.c.event.in_(filter_.events))
    if filter_.agent_kind is not None:
        conditions.append(_agent_kind() == filter_.agent_kind)
    conditions += [Field(_e.c.metadata, name) == value for name, value in filter_.metadata]
    if filter_.since is not None:
        conditions.append(and_(_e.c.at >= filter_.since, _e.c.id >= id_at(filter_.since)))
    if filter_.until is not None:
        conditions.append(and_(_e.c.at <= filter_.until, _e.c.id < id_at(filter_.until + _SLACK)))
    if filter_.id is not None:
        conditions.append(_e.c.id == filter_.id)
    if filter_.before_id is not None:
        conditions.append(_e.c.id < filter_.before_id)
    return conditions


async def events(tx: Tx, filter_: EventFilter) -> list[AuditEvent]:
    """The events, newest first."""
    statement: Select[Any] = (
        select(*EVENTS.columns)
        .where(*wanted_events(filter_))
        .order_by(_e.c.id.desc())
        .limit(filter_.limit)
        .offset(filter_.offset)
    )
    return EVENTS.every(await tx.all(statement))


_ACTORS = prepare(
    lambda: (
        select(_e.c.actor_kind, _e.c.actor_id)
        .where(
            _e.c.project_id == bindparam("of"),
            _e.c.actor_id.is_not(None),
            _e.c.at >= bindparam("since"),
            _e.c.id >= bindparam("first"),
        )
        .distinct()
        .limit(1000)
    )
)


async def actors(tx: Tx, project_id: str, since: int) -> list[tuple[str, str]]:
    """The kind and id of everybody who did something in a project at `since` (ms) or later."""
    rows = await tx.all(_ACTORS, of=project_id, since=since, first=id_at(since))
    return sorted((str(kind), str(id)) for kind, id in rows)


_PROJECTS = prepare(lambda: select(_p.c.id, _p.c.name, _p.c.slug).where(any_of(_p.c.id, "ids")))


async def project_names(tx: Tx, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Name and slug of those projects that are still there."""
    return {str(id): (str(name), str(slug)) for id, name, slug in await tx.all(_PROJECTS, ids=list(ids))} if ids else {}


class DenialFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which refused logins; what is None does not filter. `unknown` adds those that named no identity there is.

    `only_projects`: of the identities that belong to projects only theirs; None does not filter.
    """

    org_id: str
    unknown: bool = False
    only_projects: Sequence[str] | None = None
    identity_id: str | None = None
    method: str | None = None
    reason: str | None = None
    since: int | None = None
    until: int | None = None
    offset: int = 0
    limit: int = 20


def denials_seen(org_id: str, *, unknown: bool, only_projects: Sequence[str] | None) -> list[ColumnElement[bool]]:
    """The conditions on the refused logins that somebody may see."""
    conditions = [or_(_d.c.org_id == org_id, _d.c.org_id.is_(None)) if unknown else _d.c.org_id == org_id]
    if only_projects is not None:
        hidden = select(_i.c.id).where(
            _i.c.id == _d.c.identity_id, _i.c.project_id.is_not(None), not_(among(_i.c.project_id, only_projects))
        )
        conditions.append(not_(hidden.exists()))
    return conditions


async def denials(tx: Tx, filter_: DenialFilter) -> list[Denial]:
    """The refused logins, newest first."""
    conditions = denials_seen(filter_.org_id, unknown=filter_.unknown, only_projects=filter_.only_projects)
    for column, value in (
        (_d.c.identity_id, filter_.identity_id),
        (_d.c.method, filter_.method),
        (_d.c.reason, filter_.reason),
    ):
        if value is not None:
            conditions.append(column == value)
    if filter_.since is not None:
        conditions.append(_d.c.at >= filter_.since)
    if filter_.until is not None:
        conditions.append(_d.c.at <= filter_.until)
    order = (_d.c.at.desc(), _d.c.request_id)
    return DENIALS.every(
        await tx.all(
            select(*DENIALS.columns).where(*conditions).order_by(*order).limit(filter_.limit).offset(filter_.offset),
        )
    )


async def denial(
    tx: Tx, request_id: str, org_id: str, *, unknown: bool, only_projects: Sequence[str] | None
) -> Denial | None:
    """One refused login of the organization, if `DenialFilter` with these would find it."""
    seen = denials_seen(org_id, unknown=unknown, only_projects=only_projects)
    return DENIALS.first(await tx.one(select(*DENIALS.columns).where(_d.c.request_id == request_id, *seen)))
