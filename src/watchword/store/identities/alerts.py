"""Alerts: what was told already, and what a look for occurrences reads."""

from collections.abc import Collection, Mapping, Sequence

import msgspec
from sqlalchemy import BigInteger, Text, and_, bindparam, cast, delete, func, or_, select

from watchword.domain.identities.alerts import Alert, message_for, wants
from watchword.domain.record import Record
from watchword.store import deliveries, schema
from watchword.store.audit.queries import id_at
from watchword.store.engine import DatabaseNow, Tx, any_of, prepare, prepare_upsert
from watchword.store.mapping import Mapper


class AlertMark(Record, frozen=True, kw_only=True):
    """That an occurrence was told, kept until nothing of it could be found again."""

    key: str
    expires_at: int


MARKS = Mapper(AlertMark, schema.alert_marks)
_m, _k, _t, _n, _e, _i = (
    schema.alert_marks,
    schema.settings,
    schema.delivery_targets,
    schema.denials,
    schema.audit_events,
    schema.identities,
)
_now = DatabaseNow()
_MARK = prepare_upsert(
    lambda insert: insert(_m).values(key=bindparam("key"), expires_at=bindparam("expires_at")).on_conflict_do_nothing(),
    at_once=True,
)
_MARKED = prepare(lambda: select(_m.c.key).where(any_of(_m.c.key, "keys")))
_LAST = cast(_k.c.value, BigInteger)
_TURN = prepare_upsert(
    lambda insert: (
        insert(_k)
        .values(key=bindparam("key"), value=cast(_now, Text))
        .on_conflict_do_update(
            index_elements=["key"],
            set_={"value": cast(_now, Text)},
            where=or_(_now - bindparam("period", type_=BigInteger) >= _LAST, _now < _LAST),
        )
        .returning(_k.c.key)
    )
)
_ORGS = prepare(
    lambda: (
        select(_t.c.org_id)
        .distinct()
        .where(_t.c.purpose == "alert-channel", _t.c.is_disabled == 0)
        .order_by(_t.c.org_id)
    )
)
_REFUSED = prepare(
    lambda: (
        select(_n.c.identity_id, _i.c.name, func.sum(_n.c.times), func.max(_n.c.method))
        .select_from(_n.join(_i, _i.c.id == _n.c.identity_id))
        .where(_n.c.org_id == bindparam("of"), _n.c.at >= bindparam("since", type_=BigInteger))
        .group_by(_n.c.identity_id, _i.c.name)
        .having(func.sum(_n.c.times) >= bindparam("least", type_=BigInteger))
        .order_by(_n.c.identity_id)
        .limit(500)
    )
)
_IS_LOGIN = and_(func.substr(_e.c.event, 1, 15) == "login-identity-", _e.c.event.not_like("%-failed"))
_SEEN = prepare(
    lambda: (
        select(_e.c.actor_id, _e.c.actor_name, _e.c.address)
        .distinct()
        .where(_e.c.org_id == bindparam("of"), _e.c.id >= bindparam("since"), _IS_LOGIN, _e.c.address.is_not(None))
        .limit(5_000)
    )
)
_NAMES = prepare(lambda: select(_i.c.id, _i.c.name).where(any_of(_i.c.id, "ids")))
_ENDED = prepare(
    lambda: (
        delete(_m)
        .where(_m.c.key.in_(select(_m.c.key).where(_m.c.expires_at < bindparam("before")).limit(bindparam("most"))))
        .returning(_m.c.key)
    )
)


class RefusedOften(msgspec.Struct, frozen=True):
    """How many logins of an identity were refused, and the last method of them by name."""

    identity_id: str
    name: str
    count: int
    method: str


class SeenLogin(msgspec.Struct, frozen=True):
    """An identity and an address that it logged in from."""

    identity_id: str
    name: str
    address: str


async def raised(tx: Tx, alert: Alert) -> None:
    """Store in the unit of what happened the messages for the channels that are told of it."""
    channels = await deliveries.channels_of(tx, alert.org_id)
    messages = [
        message_for(channel, alert) for channel in channels if not channel.is_disabled and wants(channel, alert.type)
    ]
    if messages:
        await deliveries.queue(tx, messages)


async def is_turn(tx: Tx, name: str, period: int) -> bool:
    """Whether `period` (ms) is over since the last turn of any process, which this one takes then.

    The database's clock counts; one that was put back makes the next turn come early.
    """
    return bool(await tx.count(_TURN, key=f"turn/{name}", period=period))


async def organizations(tx: Tx) -> list[str]:
    """The organizations that have channels."""
    return [row[0] for row in await tx.all(_ORGS)]


async def marked(tx: Tx, keys: Collection[str]) -> set[str]:
    """Which of these occurrences were told."""
    return {row[0] for row in await tx.all(_MARKED, keys=list(keys))}


async def mark(tx: Tx, expires: Mapping[str, int]) -> None:
    """Note that occurrences are told: until when (ms) each is remembered, by key."""
    await tx.count_many(_MARK, [{"key": key, "expires_at": at} for key, at in sorted(expires.items())])


async def refused_often(tx: Tx, org_id: str, since: int, least: int) -> list[RefusedOften]:
    """The identities of which at least so many logins were refused since a moment (ms)."""
    rows = await tx.all(_REFUSED, of=org_id, since=since, least=least)
    return [RefusedOften(row[0], row[1], int(row[2]), row[3]) for row in rows]


async def seen_logins(tx: Tx, org_id: str, since: int) -> list[SeenLogin]:
    """From which addresses identities logged in since a moment (ms)."""
    rows = await tx.all(_SEEN, of=org_id, since=id_at(since))
    return [SeenLogin(row[0], row[1] or "", row[2]) for row in rows if row[0]]


async def names(tx: Tx, ids: Sequence[str]) -> dict[str, str]:
    """The names of identities by id."""
    return {row[0]: row[1] for row in await tx.all(_NAMES, ids=list(ids))}


async def sweep(tx: Tx, before: int, most: int = 500) -> int:
    """Forget what was told and cannot be found again."""
    return len(await tx.count(_ENDED, before=before, most=most))
