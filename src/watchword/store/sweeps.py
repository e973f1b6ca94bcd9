"""Delete rows that can no longer change any answer, in batches.

A sweep raises no version key: what it removes has ended by its own dates already, so a cached view of it decides the
same.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Table, and_, bindparam, delete, not_, or_, select, update

from watchword.domain.authentication.live_tokens import LOGIN_EVENT, as_row, of_login
from watchword.store import schema
from watchword.store.audit.events import EVENTS
from watchword.store.audit.queries import id_at, moment_of
from watchword.store.authentication.token_rows import TOKENS
from watchword.store.engine import Prepared, Tx, Upsert, any_of, prepare, prepare_upsert

BATCH = 500
Sweep = Callable[[Tx, int, int], Awaitable[int]]

_s, _t = schema.client_secrets, schema.access_tokens


def _oldest(key: ColumnElement[str], dead: ColumnElement[bool]) -> Prepared:
    """Delete at most `most` of the rows that are `dead`, and say which."""
    table = key.table
    return prepare(
        lambda: delete(table).where(key.in_(select(key).where(dead).limit(bindparam("most")))).returning(key)
    )


def _expired(key: ColumnElement[str], until: ColumnElement[int]) -> Prepared:
    return _oldest(key, until < bindparam("before"))


_REVOCATIONS = _expired(schema.revocations.c.key, schema.revocations.c.expires_at)
_PROOFS = _expired(schema.spent_proofs.c.key, schema.spent_proofs.c.expires_at)
_LOCKOUTS = _oldest(
    schema.lockouts.c.key,
    and_(schema.lockouts.c.window_ends_at < bindparam("before"), schema.lockouts.c.locked_until < bindparam("before")),
)
_SESSIONS = _expired(schema.sessions.c.id, schema.sessions.c.expires_at)
_INVITATIONS = _expired(schema.invitations.c.id, schema.invitations.c.expires_at)
_LINKS = _expired(schema.one_time_tokens.c.id, schema.one_time_tokens.c.expires_at)
_TOKENS = _expired(_t.c.id, _t.c.expires_at)
# A client secret that stopped working before the moment: revoked, past its time, or used up.
_SECRETS = _oldest(
    _s.c.id,
    or_(
        and_(_s.c.is_revoked == 1, _s.c.updated_at < bindparam("before")),
        and_(_s.c.ttl > 0, _s.c.created_at + _s.c.ttl * 1000 < bindparam("before")),
        and_(_s.c.uses_limit > 0, _s.c.uses >= _s.c.uses_limit, _s.c.last_used_at < bindparam("before")),
    ),
)
_w = schema.wraps
_WRAPS = _expired(_w.c.id, _w.c.expires_at)
_UNOPENED = select(_w.c.id).where(_w.c.expires_at < bindparam("before"), _w.c.sealed.is_not(None))
_EMPTY_WRAPS = prepare(
    lambda: update(_w).where(_w.c.id.in_(_UNOPENED.limit(bindparam("most")))).values(sealed=None).returning(_w.c.id)
)
_LOGIN_TOKENS = prepare(
    lambda: (
        delete(_t)
        .where(
            _t.c.id.in_(
                select(_t.c.id)
                .where(_t.c.expires_at < bindparam("before"), _t.c.uses_limit == 0, not_(any_of(_t.c.method, "named")))
                .limit(bindparam("most"))
            )
        )
        .returning(_t.c.id)
    )
)
_EVENTS = prepare(
    lambda: (
        delete(schema.audit_events)
        .where(
            schema.audit_events.c.id.in_(
                select(schema.audit_events.c.id)
                .where(schema.audit_events.c.id < bindparam("before"))
                .limit(bindparam("most"))
            )
        )
        .returning(*EVENTS.columns)
    )
)
_IDENTITIES = prepare(
    lambda: (
        select(schema.identities.c.id)
        .where(any_of(schema.identities.c.id, "ids"))
        .order_by(schema.identities.c.id)
        .with_for_update(key_share=True, read=True)
    )
)


def _keep_token(insert: Upsert) -> Any:
    kept = insert(_t).values({name: bindparam(name) for name in TOKENS.record.__struct_fields__})
    origin = {"address": kept.excluded.address, "user_agent": kept.excluded.user_agent}
    return kept.on_conflict_do_update(index_elements=["id"], set_=origin)


_KEEP_TOKEN = prepare_upsert(_keep_token)
_DENIALS = _oldest(schema.denials.c.request_id, schema.denials.c.at < bindparam("before"))
_DENIALS_OF_NOBODY = _oldest(
    schema.denials.c.request_id, and_(schema.denials.c.at < bindparam("before"), schema.denials.c.org_id.is_(None))
)


_v = schema.versions
_PLACE = "versions-looked-at"
_VERSIONS_AFTER = prepare(
    lambda: select(_v.c.key).where(_v.c.key > bindparam("after")).order_by(_v.c.key).limit(bindparam("most"))
)
_DROP_VERSIONS = prepare(lambda: delete(_v).where(any_of(_v.c.key, "keys")).returning(_v.c.key))


def _ids_of(table: Table) -> Prepared:
    return prepare(lambda: select(table.c.id).where(any_of(table.c.id, "of")))


# Whose deletion ends a version key. Version keys of other kinds stay.
_STANDS_FOR = {
    kind: _ids_of(table)
    for kind, table in {
        "folder": schema.folders,
        "group": schema.groups,
        "identity": schema.identities,
        "lockout": schema.identities,
        "org": schema.organizations,
        "project": schema.projects,
        "tree": schema.projects,
        "user": schema.users,
    }.items()
}


async def versions_of_nothing(tx: Tx, most: int = BATCH) -> tuple[int, bool]:
    """Remove the version rows of deleted objects among the next `most` rows.

    The answer is how many were removed, and whether those rows were the last of all.

    Where it goes on is kept in the database. No cached view is taken for fresh without its row: see `versions.raising`.
    """
    row = await tx.one(_SETTING, key=_PLACE)
    keys = [str(key) for (key,) in await tx.all(_VERSIONS_AFTER, after=row[0] if row is not None else "", most=most)]
    of_kind: dict[str, dict[str, str]] = {}
    for key in keys:
        kind, _, id = key.partition("/")
        of_kind.setdefault(kind, {})[id] = key
    dead: list[str] = []
    for kind, named in of_kind.items():
        if kind in _STANDS_FOR:
            existing = {id for (id,) in await tx.all(_STANDS_FOR[kind], of=list(named))}
            dead += [key for id, key in named.items() if id not in existing]
    removed = len(await tx.count(_DROP_VERSIONS, keys=dead)) if dead else 0
    is_end = len(keys) < most
    await tx.run(_PUT_SETTING, key=_PLACE, value="" if is_end else keys[-1])
    return removed, is_end


_e, _k = schema.audit_events, schema.settings
_NEWEST_EVENT = prepare(lambda: select(_e.c.id).order_by(_e.c.id.desc()).limit(1))
_SETTING = prepare(lambda: select(_k.c.value).where(_k.c.key == bindparam("key")))
_PUT_SETTING = prepare_upsert(
    lambda insert: (
        insert(_k)
        .values(key=bindparam("key"), value=bindparam("value"))
        .on_conflict_do_update(index_elements=["key"], set_={"value": insert(_k).excluded.value})
    )
)
_SWEPT_TO = "swept-to"


async def watermark(tx: Tx) -> int | None:
    """The moment (ms) up to which sweeps have seen the time come.

    Before the first sweep it is the moment of the newest audit event.
    """
    row = await tx.one(_SETTING, key=_SWEPT_TO)
    if row is not None:
        return int(row[0])
    return await newest_event(tx) or None


async def newest_event(tx: Tx) -> int:
    """The moment (ms) of the newest audit event; 0 where there is none."""
    row = await tx.one(_NEWEST_EVENT)
    return moment_of(row[0]) if row is not None else 0


async def put_watermark(tx: Tx, at: int) -> None:
    """Store the moment (ms) up to which sweeps have seen the time come."""
    await tx.run(_PUT_SETTING, key=_SWEPT_TO, value=str(at))


def _sweep(statement: Prepared) -> Sweep:
    async def run(tx: Tx, before: int, most: int = BATCH) -> int:
        return len(await tx.count(statement, before=before, most=most))

    return run


revocations, spent_proofs, lockouts = _sweep(_REVOCATIONS), _sweep(_PROOFS), _sweep(_LOCKOUTS)
sessions, invitations, links = _sweep(_SESSIONS), _sweep(_INVITATIONS), _sweep(_LINKS)
tokens, client_secrets, denials = _sweep(_TOKENS), _sweep(_SECRETS), _sweep(_DENIALS)
empty_wraps, wraps = _sweep(_EMPTY_WRAPS), _sweep(_WRAPS)
denials_of_nobody = _sweep(_DENIALS_OF_NOBODY)


def login_tokens(named: Sequence[str]) -> Sweep:
    """The sweep of rows of ended tokens of logins without a use limit, which nobody is shown any more.

    `named`: the methods whose tokens operators make.
    """

    async def run(tx: Tx, before: int, most: int = BATCH) -> int:
        return len(await tx.count(_LOGIN_TOKENS, before=before, named=list(named), most=most))

    return run


def events(now: int, key_ids: Collection[str]) -> Sweep:
    """The sweep of audit events from before a moment (ms).

    A token that outlives the event of its login gets a row, which says from where the login came: so it stays listed
    until its end. `key_ids` are the signing keys that are good.
    """

    async def run(tx: Tx, before: int, most: int = BATCH) -> int:
        removed = await tx.count(_EVENTS, before=id_at(before), most=most)
        name = EVENTS.record.__struct_fields__.index("event")
        logins = [EVENTS.read(row) for row in removed if row[name].startswith(LOGIN_EVENT)]
        tokens = [
            token
            for event in logins
            if (token := of_login(event, 0)) is not None and token.expires_at > now and token.key_id in key_ids
        ]
        if tokens:
            there = {id for (id,) in await tx.all(_IDENTITIES, ids=sorted({token.identity_id for token in tokens}))}
            rows = [as_row(token) for token in sorted(tokens, key=lambda token: token.id)]
            await tx.count_many(_KEEP_TOKEN, [TOKENS.values(row) for row in rows if row.identity_id in there])
        return len(removed)

    return run
