"""Receivers of messages, and the outbox of the messages for them.

A worker claims a target, not a message: so the messages of one target go out in their order, by one process at a time.
Of several processes that look at the same moment each gets other targets (`SKIP LOCKED`). All times that are compared
are of the database's clock; a lease or a delay that lies further ahead than any can, because that clock was put back,
counts as over.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Text,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal_column,
    or_,
    select,
    update,
)

from watchword.domain.deliveries import MAX_DEAD, MAX_DELAY, MAX_WAIT, MAX_WAITING, Delivery, DeliveryTarget, Outcome
from watchword.store import schema, versions
from watchword.store.engine import DatabaseNow, Tx, Write, any_of, prepare
from watchword.store.mapping import Mapper

TARGETS = Mapper(DeliveryTarget, schema.delivery_targets)
DELIVERIES = Mapper(Delivery, schema.deliveries)
MAX_LEASE = 180_000  # ms

_t, _d = schema.delivery_targets, schema.deliveries
_now = DatabaseNow()
# Part of the text of each statement: an engine uses an index with a condition only where it sees that it holds.
_WAITING: ColumnElement[str] = literal_column("'waiting'", Text())
_DEAD: ColumnElement[str] = literal_column("'dead'", Text())

# --- targets

_BY_ID = prepare(lambda: select(*TARGETS.columns).where(_t.c.id == bindparam("of")))
_TO_CHANGE = prepare(lambda: select(*TARGETS.columns).where(_t.c.id == bindparam("of")).with_for_update())
_OF_PROJECT = prepare(
    lambda: (
        select(*TARGETS.columns)
        .where(_t.c.project_id == bindparam("of"), _t.c.purpose == "project-webhook")
        .order_by(_t.c.id)
    )
)
_OF_ORG = prepare(
    lambda: (
        select(*TARGETS.columns)
        .where(_t.c.org_id == bindparam("of"), _t.c.purpose == "alert-channel")
        .order_by(_t.c.id)
    )
)
_SEALED_AFTER = (
    select(*TARGETS.columns).where(_t.c.id > bindparam("after")).order_by(_t.c.id).limit(100).with_for_update()
)
_SEALED_BY_PROJECT = prepare(lambda: _SEALED_AFTER.where(_t.c.project_id == bindparam("of")))
_SEALED_BY_ORG = prepare(lambda: _SEALED_AFTER.where(_t.c.org_id == bindparam("of"), _t.c.project_id.is_(None)))
_RESEAL = prepare(
    lambda: update(_t).where(_t.c.id == bindparam("of")).values(sealed=bindparam("sealed")).returning(_t.c.id)
)


async def target(tx: Tx, id: str, *, to_change: bool = False) -> DeliveryTarget | None:
    """A target by id: the caller checks whose it is. `to_change` locks it until the unit ends."""
    return TARGETS.first(await tx.one(_TO_CHANGE if to_change else _BY_ID, of=id))


async def webhooks_of(tx: Tx, project_id: str) -> list[DeliveryTarget]:
    """The webhooks of a project, the oldest first."""
    return TARGETS.every(await tx.all(_OF_PROJECT, of=project_id))


async def channels_of(tx: Tx, org_id: str) -> list[DeliveryTarget]:
    """The alert channels of an organization, the oldest first."""
    return TARGETS.every(await tx.all(_OF_ORG, of=org_id))


async def add_target(tx: Tx, record: DeliveryTarget) -> None:
    """Store a new target."""
    await tx.run(TARGETS.INSERT, **TARGETS.values(record))
    _raise(tx, record)


async def change_target(tx: Tx, record: DeliveryTarget, **fields: Any) -> None:
    """Set some columns of a target."""
    await tx.run(update(_t).where(_t.c.id == record.id).values(**TARGETS.encoded(fields)))
    _raise(tx, record)


async def remove_target(tx: Tx, record: DeliveryTarget) -> None:
    """Delete a target and its messages."""
    await tx.run(delete(_t).where(_t.c.id == record.id))
    await drop(tx, record.id)
    _raise(tx, record)


def _raise(tx: Tx, record: DeliveryTarget) -> None:
    tx.changed(versions.project(record.project_id) if record.project_id else versions.org(record.org_id))


async def sealed_after(tx: Tx, scope: str, id: str, after: str) -> list[DeliveryTarget]:
    """The next targets that are sealed with the key of a project (scope `project`), or of an organization (`org`)."""
    return TARGETS.every(await tx.all(_SEALED_BY_PROJECT if scope == "project" else _SEALED_BY_ORG, of=id, after=after))


async def reseal(tx: Tx, id: str, sealed: bytes) -> None:
    """Store the same content under another key."""
    await tx.count(_RESEAL, of=id, sealed=sealed)


# --- the outbox

_FIELDS = tuple(name for name in Delivery.__struct_fields__ if name != "seq")
_QUEUE = prepare(lambda: insert(_d).inline().values({name: bindparam(name) for name in _FIELDS}))
_DROP = prepare(lambda: delete(_d).where(_d.c.target_id == bindparam("of")))


def queued(messages: Sequence[Delivery]) -> Write:
    """The write that stores new messages."""
    rows = [DELIVERIES.values(delivery) for delivery in messages]
    for row in rows:
        del row["seq"]
    return Write(_QUEUE, rows)


async def queue(tx: Tx, messages: Sequence[Delivery]) -> None:
    """Store new messages, in the unit of what they are about."""
    await tx.together([queued(messages)])


async def drop(tx: Tx, target_id: str) -> None:
    """Delete all messages of a target."""
    await tx.run(_DROP, of=target_id)


# --- a worker's turn

# The targets that have messages waiting: one step in the index for each, however many messages there are.
_first = select(func.min(_d.c.target_id).label("id")).where(_d.c.state == _WAITING)
_with_waiting = _first.cte("with_waiting", recursive=True)
_with_waiting = _with_waiting.union_all(
    select(
        select(func.min(_d.c.target_id))
        .where(_d.c.state == _WAITING, _d.c.target_id > _with_waiting.c.id)
        .scalar_subquery()
    ).where(_with_waiting.c.id.is_not(None))
)
_IS_DUE = and_(
    _t.c.id.in_(select(_with_waiting.c.id).where(_with_waiting.c.id.is_not(None))),
    _t.c.is_disabled == 0,
    or_(_t.c.due_at.is_(None), _t.c.due_at <= _now, _t.c.due_at > _now + 2 * MAX_DELAY),
    or_(_t.c.lease.is_(None), _t.c.lease_ends_at <= _now, _t.c.lease_ends_at > _now + 2 * MAX_LEASE),
)
_ANY_DUE = prepare(lambda: select(_t.c.id).where(_IS_DUE).limit(1))
_CLAIM = prepare(
    lambda: (
        update(_t)
        .where(
            _t.c.id.in_(
                select(_t.c.id)
                .where(_IS_DUE)
                .order_by(func.coalesce(_t.c.lease_ends_at, 0))  # whose last turn is longest ago
                .limit(bindparam("most", type_=BigInteger))
                .with_for_update(skip_locked=True)
            )
        )
        .values(lease=bindparam("token"), lease_ends_at=_now + bindparam("length", type_=BigInteger))
        .returning(_t.c.id)
    )
)
_HOLDS = and_(_t.c.id == bindparam("of"), _t.c.lease == bindparam("token"))
_RENEW = prepare(
    lambda: (
        update(_t)
        .where(_HOLDS, _t.c.is_disabled == 0)
        .values(lease_ends_at=_now + bindparam("length", type_=BigInteger))
        .returning(*TARGETS.columns)
    )
)
_RELEASE = prepare(lambda: update(_t).where(_HOLDS).values(lease=None, lease_ends_at=_now).returning(_t.c.id))
_HEAD = prepare(
    lambda: (
        select(*DELIVERIES.columns)
        .where(_d.c.target_id == bindparam("of"), _d.c.state == _WAITING)
        .order_by(_d.c.seq)
        .limit(1)
    )
)
_TAKEN = prepare(
    lambda: (
        update(_t)
        .where(_HOLDS)
        .values(
            failures=0,
            due_at=None,
            last_status=bindparam("last_status"),
            last_error=bindparam("last_error"),
            last_run_at=bindparam("at", type_=BigInteger),
        )
        .returning(_t.c.id)
    )
)
_FAILED = prepare(
    lambda: (
        update(_t)
        .where(_HOLDS)
        .values(
            failures=_t.c.failures + 1,
            due_at=_now + bindparam("delay", type_=BigInteger),
            last_status=bindparam("last_status"),
            last_error=bindparam("last_error"),
            last_run_at=bindparam("at", type_=BigInteger),
        )
        .returning(_t.c.id)
    )
)
_REMOVE = prepare(lambda: delete(_d).where(_d.c.seq == bindparam("seq", type_=BigInteger)))
_ATTEMPTED = prepare(
    lambda: (
        update(_d)
        .where(_d.c.seq == bindparam("seq", type_=BigInteger))
        .values(
            attempts=_d.c.attempts + 1,
            state=bindparam("state"),
            status=bindparam("status"),
            error=bindparam("error"),
            attempted_at=bindparam("at", type_=BigInteger),
        )
    )
)
_MINE_WAIT = and_(_d.c.target_id == bindparam("of"), _d.c.state == _WAITING)
_STAMP = prepare(lambda: update(_d).where(_MINE_WAIT, _d.c.waiting_since.is_(None)).values(waiting_since=_now))
_GIVE_UP_OLD = prepare(
    lambda: (
        update(_d)
        .where(_MINE_WAIT, _d.c.waiting_since < _now - MAX_WAIT)
        .values(state=_DEAD, error=func.coalesce(_d.c.error, bindparam("error")))
    )
)
_PLACE = select(_d.c.seq).where(_d.c.target_id == bindparam("of")).order_by(_d.c.seq.desc()).limit(1)
_TRIM_WAITING = prepare(
    lambda: (
        update(_d)
        .where(
            _MINE_WAIT,
            _d.c.seq <= _PLACE.where(_d.c.state == _WAITING).offset(MAX_WAITING).scalar_subquery(),
        )
        .values(state=_DEAD, error=func.coalesce(_d.c.error, bindparam("error")))
    )
)
_TRIM_DEAD = prepare(
    lambda: delete(_d).where(
        _d.c.target_id == bindparam("of"),
        _d.c.state == _DEAD,
        _d.c.seq <= _PLACE.where(_d.c.state == _DEAD).offset(MAX_DEAD).scalar_subquery(),
    )
)
WAITED_TOO_LONG = "the receiver did not take messages for a day"
TOO_MANY = f"more than {MAX_WAITING} messages were waiting"


async def is_any_due(tx: Tx) -> bool:
    """Whether a target that nobody works on has messages that may be sent now."""
    return await tx.one(_ANY_DUE) is not None


async def claim(tx: Tx, token: str, length: int, most: int) -> list[str]:
    """Lease at most `most` targets that have messages to be sent now, for `length` milliseconds; return their ids."""
    return [row[0] for row in await tx.count(_CLAIM, token=token, length=length, most=most)]


async def head(tx: Tx, target_id: str, token: str, length: int) -> tuple[DeliveryTarget, Delivery] | None:
    """Renew a lease; return the target as it is now and its next message.

    None where the lease is another's by now, the target is disabled or gone, or nothing waits.
    """
    rows = await tx.count(_RENEW, of=target_id, token=token, length=length)
    row = await tx.one(_HEAD, of=target_id) if rows else None
    return (TARGETS.read(rows[0]), DELIVERIES.read(row)) if row is not None else None


async def delivered(tx: Tx, token: str, delivery: Delivery, at: int) -> bool:
    """Remove a message that the receiver took; False where the lease is another's by now, and nothing is changed."""
    told = {"last_status": "success", "last_error": None, "at": at}
    if not await tx.count(_TAKEN, of=delivery.target_id, token=token, **told):
        return False
    await tx.run(_REMOVE, seq=delivery.seq)
    return True


async def failed(
    tx: Tx, token: str, delivery: Delivery, outcome: Outcome, at: int, delay: int, *, is_over: bool
) -> bool:
    """Record a failed attempt; the target is due again after `delay` milliseconds.

    `is_over`: the message is given up, and with it those that have waited for too long. False as in `delivered`.
    """
    told = {"last_status": "failed", "last_error": outcome.error, "at": at}
    of = delivery.target_id
    if not await tx.count(_FAILED, of=of, token=token, delay=delay, **told):
        return False
    state = "dead" if is_over else "waiting"
    await tx.run(_ATTEMPTED, seq=delivery.seq, state=state, status=outcome.status, error=outcome.error, at=at)
    await tx.run(_STAMP, of=of)
    await tx.run(_GIVE_UP_OLD, of=of, error=WAITED_TOO_LONG)
    await trim(tx, of)
    return True


async def trim(tx: Tx, target_id: str) -> None:
    """Give up the oldest messages of a target that has too many, and forget the oldest that were given up."""
    await tx.run(_TRIM_WAITING, of=target_id, error=TOO_MANY)
    await tx.run(_TRIM_DEAD, of=target_id)


async def release(tx: Tx, target_id: str, token: str) -> None:
    """End a lease: the target may be claimed again."""
    await tx.count(_RELEASE, of=target_id, token=token)


async def note_run(tx: Tx, target_id: str, *, status: str, error: str | None, at: int) -> None:
    """Record how an attempt outside of the order went: a test."""
    fields = {"last_status": status, "last_error": error, "last_run_at": at}
    await tx.count(update(_t).where(_t.c.id == target_id).values(**fields).returning(_t.c.id))


# --- what is waiting and what was given up

_LISTED = (
    select(*DELIVERIES.columns)
    .where(_d.c.target_id == bindparam("of"), _d.c.seq > bindparam("after", type_=BigInteger))
    .order_by(_d.c.seq)
    .limit(bindparam("most", type_=BigInteger))
)
_LIST_WAITING, _LIST_DEAD = (
    prepare(lambda: _LISTED.where(_d.c.state == _WAITING)),
    prepare(lambda: _LISTED.where(_d.c.state == _DEAD)),
)
_COUNTS = prepare(
    lambda: (
        select(_d.c.target_id, _d.c.state, func.count())
        .where(any_of(_d.c.target_id, "of"), or_(_d.c.state == _WAITING, _d.c.state == _DEAD))
        .group_by(_d.c.target_id, _d.c.state)
    )
)
_AGAIN = (
    update(_d)
    .where(_d.c.target_id == bindparam("of"), _d.c.state == _DEAD)
    .values(state=_WAITING, attempts=0, waiting_since=None)
)
_ALL_AGAIN, _SOME_AGAIN = prepare(lambda: _AGAIN), prepare(lambda: _AGAIN.where(any_of(_d.c.id, "ids")))
_SOON = prepare(lambda: update(_t).where(_t.c.id == bindparam("of")).values(due_at=None, failures=0).returning(_t.c.id))
_DROP_DEAD = prepare(lambda: delete(_d).where(_d.c.target_id == bindparam("of"), _d.c.state == _DEAD))


async def listed(tx: Tx, target_id: str, *, dead: bool, after: int, most: int) -> list[Delivery]:
    """The messages of a target that wait, or those that were given up, in their order, after one of them."""
    return DELIVERIES.every(await tx.all(_LIST_DEAD if dead else _LIST_WAITING, of=target_id, after=after, most=most))


async def counts(tx: Tx, target_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """How many messages of each target wait, and how many were given up."""
    found: dict[str, tuple[int, int]] = dict.fromkeys(target_ids, (0, 0))
    for target_id, state, count in await tx.all(_COUNTS, of=list(target_ids)):
        waiting, dead = found[target_id]
        found[target_id] = (int(count), dead) if state == "waiting" else (waiting, int(count))
    return found


# By id, so that a page is found by the primary key; each target's given-up messages by their own index.
_TROUBLED = prepare(
    lambda: (
        select(*TARGETS.columns, schema.organizations.c.name, schema.projects.c.name)
        .select_from(
            _t.join(schema.organizations, schema.organizations.c.id == _t.c.org_id).outerjoin(
                schema.projects, schema.projects.c.id == _t.c.project_id
            )
        )
        .where(
            _t.c.id > bindparam("after"),
            or_(
                _t.c.failures > literal_column("0"),
                exists(select(_d.c.seq).where(_d.c.target_id == _t.c.id, _d.c.state == _DEAD)),
            ),
        )
        .order_by(_t.c.id)
        .limit(bindparam("most", type_=BigInteger))
    )
)
_COUNT_WAITING = prepare(
    lambda: select(func.count()).select_from(
        select(_d.c.seq).where(_d.c.state == _WAITING).limit(bindparam("most", type_=BigInteger)).subquery()
    )
)


async def troubled(tx: Tx, *, after: str, most: int) -> list[tuple[DeliveryTarget, str, str | None]]:
    """Targets of all organizations that failed last or have given-up messages, with their organization and project.

    By id, after one of them.
    """
    width = len(TARGETS.columns)
    rows = await tx.all(_TROUBLED, after=after, most=most)
    return [(TARGETS.read(row), str(row[width]), row[width + 1]) for row in rows]


async def count_waiting(tx: Tx, most: int) -> int:
    """How many messages wait, of all targets; counted up to `most`."""
    row = await tx.one(_COUNT_WAITING, most=most)
    return int(row[0]) if row else 0


async def again(tx: Tx, target_id: str, ids: Collection[str] | None) -> int:
    """Let given-up messages of a target wait again, all or those with these ids; return how many."""
    count = await (
        tx.run(_ALL_AGAIN, of=target_id) if ids is None else tx.run(_SOME_AGAIN, of=target_id, ids=list(ids))
    )
    await tx.count(_SOON, of=target_id)
    return count


async def drop_dead(tx: Tx, target_id: str) -> int:
    """Delete the messages of a target that were given up; return how many."""
    return await tx.run(_DROP_DEAD, of=target_id)


# --- sweeps

_ENDED = prepare(
    lambda: (
        delete(_d)
        .where(
            _d.c.seq.in_(
                select(_d.c.seq)
                .where(
                    or_(
                        and_(_d.c.state == _DEAD, _d.c.created_at < bindparam("before", type_=BigInteger)),
                        ~exists(select(_t.c.id).where(_t.c.id == _d.c.target_id)),
                    )
                )
                .limit(bindparam("most", type_=BigInteger))
            )
        )
        .returning(_d.c.seq)
    )
)


async def sweep(tx: Tx, before: int, most: int = 500) -> int:
    """Delete messages that were given up and are from before a time (ms), and those of targets that are gone."""
    return len(await tx.count(_ENDED, before=before, most=most))
