"""Queries around people's accounts: invitations, one-time tokens, counted failures, and lists of people."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

from watchword.domain.access.records import Membership
from watchword.domain.audit.records import AuditEvent, Denial
from watchword.domain.authentication import lockout
from watchword.domain.authentication.lockout import DELAYS, DRAINED, FREE, REMEMBERED
from watchword.domain.people.records import Invitation, OneTimeToken, PersonFailures, User
from watchword.store import schema, versions
from watchword.store.access.grants import MEMBERSHIPS
from watchword.store.audit import events
from watchword.store.engine import Prepared, Tx, Upsert, any_of, prepare, prepare_upsert
from watchword.store.mapping import Mapper, Pauses, in_pieces
from watchword.store.people.people import USERS

INVITATIONS = Mapper(Invitation, schema.invitations)
ONE_TIME = Mapper(OneTimeToken, schema.one_time_tokens)
FAILURES = Mapper(PersonFailures, schema.person_failures)
_i, _t, _f, _m, _u, _h, _o = (
    schema.invitations,
    schema.one_time_tokens,
    schema.person_failures,
    schema.memberships,
    schema.users,
    schema.membership_roles,
    schema.organizations,
)

# --- invitations

_INVITATIONS = prepare(
    lambda: select(*INVITATIONS.columns).where(_i.c.org_id == bindparam("org")).order_by(_i.c.created_at, _i.c.id)
)
_INVITATION = prepare(
    lambda: select(*INVITATIONS.columns).where(_i.c.id == bindparam("of"), _i.c.org_id == bindparam("org"))
)
_INVITATION_BY_TOKEN = prepare(lambda: select(*INVITATIONS.columns).where(_i.c.token_hash == bindparam("hash")))
_DROP_INVITATION = prepare(lambda: delete(_i).where(_i.c.id == bindparam("of")))


def _put_invitation(insert: Upsert) -> Any:
    put = insert(_i).values({name: bindparam(name) for name in INVITATIONS.record.__struct_fields__})
    replaced = ("id", "role", "token_hash", "invited_by", "created_at", "expires_at")
    return put.on_conflict_do_update(
        index_elements=["org_id", "email"], set_={name: getattr(put.excluded, name) for name in replaced}
    )


# One statement: between a deletion and an insert, another invitation for the address may come.
_PUT_INVITATION = prepare_upsert(_put_invitation)


async def invitations(tx: Tx, org_id: str, pauses: Pauses | None = None) -> list[Invitation]:
    """The invitations of an organization, oldest first, expired ones included."""
    return await in_pieces(await tx.all(_INVITATIONS, org=org_id), INVITATIONS.read, pauses)


async def invitation(tx: Tx, org_id: str, id: str) -> Invitation | None:
    """An invitation of an organization by id."""
    return INVITATIONS.first(await tx.one(_INVITATION, of=id, org=org_id))


async def invitation_by_token(tx: Tx, digests: Iterable[bytes]) -> Invitation | None:
    """The invitation whose link carries the token with one of these keyed hashes."""
    for digest in digests:
        if (row := await tx.one(_INVITATION_BY_TOKEN, hash=digest)) is not None:
            return INVITATIONS.read(row)
    return None


async def put_invitation(tx: Tx, record: Invitation) -> None:
    """Store an invitation in place of an earlier one for the same address: the earlier link is invalid."""
    await tx.run(_PUT_INVITATION, **INVITATIONS.values(record))


async def take_invitation(tx: Tx, id: str) -> bool:
    """Use an invitation up; False when somebody else did meanwhile."""
    return await tx.run(_DROP_INVITATION, of=id) == 1


# --- one-time tokens

_ONE_TIME_BY_TOKEN = prepare(
    lambda: select(*ONE_TIME.columns).where(_t.c.token_hash == bindparam("hash"), _t.c.purpose == bindparam("why"))
)
_ONE_TIMES_OF = prepare(
    lambda: select(*ONE_TIME.columns).where(_t.c.user_id == bindparam("of"), _t.c.purpose == bindparam("why"))
)
_DROP_ONE_TIME = prepare(lambda: delete(_t).where(_t.c.id == bindparam("of")))
_DROP_ONE_TIMES = prepare(lambda: delete(_t).where(_t.c.user_id == bindparam("of"), _t.c.purpose == bindparam("why")))


async def one_time_token(tx: Tx, digests: Iterable[bytes], purpose: str) -> OneTimeToken | None:
    """The one-time token with one of these keyed hashes."""
    for digest in digests:
        if (row := await tx.one(_ONE_TIME_BY_TOKEN, hash=digest, why=purpose)) is not None:
            return ONE_TIME.read(row)
    return None


async def one_time_tokens(tx: Tx, user_id: str, purpose: str) -> list[OneTimeToken]:
    """The unused one-time tokens of a person."""
    return ONE_TIME.every(await tx.all(_ONE_TIMES_OF, of=user_id, why=purpose))


async def put_one_time_token(tx: Tx, record: OneTimeToken) -> None:
    """Store a one-time token in place of all earlier ones of the same person and purpose."""
    await tx.run(_DROP_ONE_TIMES, of=record.user_id, why=record.purpose)
    await tx.run(ONE_TIME.INSERT, **ONE_TIME.values(record))


async def take_one_time_token(tx: Tx, id: str) -> bool:
    """Use a one-time token up; False when somebody else did meanwhile."""
    return await tx.run(_DROP_ONE_TIME, of=id) == 1


# --- hashed with an earlier key

_HASHED = tuple((table, table.c.hash_version) for table in (schema.service_tokens, _i, _t))


def _count_behind(table: Table, version: ColumnElement[int]) -> Prepared:
    return prepare(lambda: select(func.count()).select_from(table).where(version < bindparam("key")))


_COUNTS_BEHIND = tuple((table.name, _count_behind(table, version)) for table, version in _HASHED)
_WITH_CODES = prepare(lambda: select(_u.c.id, _u.c.mfa_recovery).where(_u.c.mfa_recovery != "[]"))


async def counts_behind(tx: Tx, key: int) -> dict[str, int]:
    """How many rows are hashed with an earlier key than this version, by table.

    The tables are service tokens, invitations and one-time tokens.
    """
    counts = {}
    for name, statement in _COUNTS_BEHIND:
        row = await tx.one(statement, key=key)
        counts[name] = int(row[0]) if row is not None else 0
    return counts


async def drop_links_behind(tx: Tx, key: int) -> None:
    """Remove invitations and one-time tokens that are hashed with an earlier key than this version."""
    await tx.run(delete(_i).where(_i.c.hash_version < key))
    await tx.run(delete(_t).where(_t.c.hash_version < key))


async def recovery_codes(tx: Tx) -> list[tuple[str, str]]:
    """The people who have recovery codes, and the hashes of these as JSON."""
    return [(str(id), str(codes)) for id, codes in await tx.all(_WITH_CODES)]


# --- counted failures
#
# clear ──failure──> counting(n) ──n = FREE──> waits ──> counting ──failure──> waits longer ──> … never longer than the
# last delay
#
# Failures are counted by person and address, or by person and known device, and forgotten some time after the last one.
# While it waits, the right proof is refused too, and nothing is counted. Those of all strangers with one person are a
# level that drains.

_FAILURES = prepare(lambda: select(*FAILURES.columns).where(_f.c.key == bindparam("of")))
_SEVERAL_FAILURES = prepare(lambda: select(*FAILURES.columns).where(any_of(_f.c.key, "of")))
_CLEAR_FAILURES = prepare(lambda: delete(_f).where(_f.c.key == bindparam("of")))
_CLEAR_FAILURES_BELOW = prepare(lambda: delete(_f).where(_f.c.key.like(bindparam("begin"))))
_SWEEP_FAILURES = prepare(lambda: delete(_f).where(_f.c.expires_at < bindparam("at")))
_at, _window = (bindparam(name, type_=BigInteger) for name in ("at", "window"))
_next = case((_f.c.window_ends_at > _at, _f.c.failures + 1), else_=1)
_waits = [(_next >= FREE + i, _at + literal_column(str(delay), BigInteger)) for i, delay in enumerate(DELAYS)]
_FAILED = prepare_upsert(
    lambda insert: (
        insert(_f)
        .values(key=bindparam("of"), failures=1, window_ends_at=_window, locked_until=0, expires_at=_window)
        .on_conflict_do_update(
            index_elements=["key"],
            set_={
                "failures": case((_f.c.locked_until > _at, _f.c.failures), else_=_next),
                "window_ends_at": case((_f.c.locked_until > _at, _f.c.window_ends_at), else_=_window),
                "locked_until": case((_f.c.locked_until > _at, _f.c.locked_until), *reversed(_waits), else_=0),
                "expires_at": case((_f.c.locked_until > _at, _f.c.expires_at), else_=_window),
            },
        )
    )
)
_empty_at = case((_f.c.window_ends_at > _at, _f.c.window_ends_at), else_=_at) + DRAINED
_STRANGERS_FAILED = prepare_upsert(
    lambda insert: (
        insert(_f)
        .values(key=bindparam("of"), failures=1, window_ends_at=_window, locked_until=0, expires_at=_window)
        .on_conflict_do_update(
            index_elements=["key"], set_={"failures": _next, "window_ends_at": _empty_at, "expires_at": _empty_at}
        )
    )
)


async def waits_until(tx: Tx, key: str, strangers: str, now: int) -> int:
    """The moment (ms) until which passwords under `key` are refused; `strangers` is empty for a known device."""
    failures = {
        failure.key: failure for failure in FAILURES.every(await tx.all(_SEVERAL_FAILURES, of=[key, strangers]))
    }
    return lockout.waits_until(failures.get(key), failures.get(strangers), now)


async def locked_until(tx: Tx, key: str) -> int:
    """The moment (ms) until which proofs under `key` are refused, right ones too; a past moment for none."""
    state = FAILURES.first(await tx.one(_FAILURES, of=key))
    return state.locked_until if state is not None else 0


async def clear_failures(tx: Tx, key: str) -> None:
    """Forget the failures under `key`."""
    await tx.run(_CLEAR_FAILURES, of=key)


async def clear_failures_below(tx: Tx, begin: str) -> None:
    """Forget the failures under every key that begins so; `begin` holds no `%` and no `_`."""
    await tx.run(_CLEAR_FAILURES_BELOW, begin=f"{begin}%")


class ProofFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A journal entry: a person's proof was wrong, or came while locked.

    `key` is empty where there is no such person: then nothing is counted here. `strangers` is the key of all of them,
    where it counts.
    """

    key: str
    at: int
    strangers: str = ""
    event: AuditEvent | None = None
    denial: Denial | None = None
    again: events.RepeatedRefusal | None = None

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["ProofFailed"]) -> Sequence[None]:
        """Count each failure under its key, and forget counts that are over."""
        own = [(entry.key, _FAILED, entry.at, REMEMBERED) for entry in entries if entry.key]
        all_of_them = [(entry.strangers, _STRANGERS_FAILED, entry.at, DRAINED) for entry in entries if entry.strangers]
        for key, statement, at, lasts in sorted(own + all_of_them, key=lambda counted: counted[0]):
            await tx.run(statement, of=key, at=at, window=at + lasts)
        await tx.run(_SWEEP_FAILURES, at=min(entry.at for entry in entries) - DELAYS[-1])
        await events.RefusedLogin.apply(tx, [events.RefusedLogin(entry.denial) for entry in entries if entry.denial])
        await events.RepeatedRefusal.apply(tx, [entry.again for entry in entries if entry.again])
        await events.add(tx, [entry.event for entry in entries if entry.event])
        return [None] * len(entries)


# --- people in organizations

_ADMINS_BUT = prepare(
    lambda: (
        select(func.count())
        .select_from(_m.join(_h, _h.c.membership_id == _m.c.id).join(_u, _u.c.id == _m.c.actor_id))
        .where(
            _m.c.org_id == bindparam("org"),
            _m.c.project_id.is_(None),
            _m.c.actor_kind == "user",
            _m.c.is_active == 1,
            _u.c.is_active == 1,
            _h.c.role == "admin",
            _h.c.is_temporary == 0,
            _m.c.id != bindparam("but"),
        )
    )
)
_HOLD_ORG = prepare(lambda: select(_o.c.id).where(_o.c.id == bindparam("of")).with_for_update())
_PEOPLE_OF = prepare(
    lambda: (
        select(*MEMBERSHIPS.columns, *USERS.columns)
        .select_from(_m.join(_u, _u.c.id == _m.c.actor_id))
        .where(_m.c.org_id == bindparam("org"), _m.c.project_id.is_(None), _m.c.actor_kind == "user")
        .order_by(_u.c.email, _m.c.id)
    )
)
_USERS = prepare(lambda: select(*USERS.columns).where(any_of(_u.c.id, "of")))


async def hold_organization(tx: Tx, org_id: str) -> None:
    """Wait for, and keep until the unit ends, the right to change who administers an organization."""
    await tx.one(_HOLD_ORG, of=org_id)


async def other_admins(tx: Tx, org_id: str, but: str) -> int:
    """How many people hold the admin role of an organization for good by a membership other than `but`."""
    row = await tx.one(_ADMINS_BUT, org=org_id, but=but)
    return int(row[0]) if row else 0


async def people_of(tx: Tx, org_id: str, pauses: Pauses | None = None) -> list[tuple[Membership, User]]:
    """The people of an organization by address."""
    width = len(MEMBERSHIPS.columns)
    rows = await tx.all(_PEOPLE_OF, org=org_id)
    return await in_pieces(rows, lambda row: (MEMBERSHIPS.read(row), USERS.read(row, width)), pauses)


async def users(tx: Tx, ids: Sequence[str]) -> dict[str, User]:
    """Several people by id."""
    return {user.id: user for user in USERS.every(await tx.all(_USERS, of=list(ids)))}


async def remove_from_organization(tx: Tx, record: Membership) -> None:
    """Delete a membership of an organization with all that its actor holds there and in its sub-organizations:

    projects, privileges, groups.
    """
    member = (record.actor_kind, record.actor_id)
    g, p, x = schema.group_members, schema.projects, schema.privileges
    o = schema.organizations
    orgs = select(o.c.id).where(or_(o.c.id == record.org_id, o.c.parent_org_id == record.org_id))
    groups = select(schema.groups.c.id).where(schema.groups.c.org_id.in_(orgs))
    inside = select(p.c.id).where(p.c.org_id.in_(orgs))
    await tx.run(delete(g).where(g.c.actor_kind == member[0], g.c.actor_id == member[1], g.c.group_id.in_(groups)))
    await tx.run(delete(x).where(x.c.actor_kind == member[0], x.c.actor_id == member[1], x.c.project_id.in_(inside)))
    await tx.run(delete(_m).where(_m.c.org_id.in_(orgs), _m.c.actor_kind == member[0], _m.c.actor_id == member[1]))
    tx.changed(versions.actor(*member))


# --- people of the instance


async def find_users(tx: Tx, *, contains: str, offset: int, limit: int) -> tuple[list[User], int]:
    """A page of all people of the instance by address, and how many match."""
    condition = and_(True)
    if contains:
        pattern = f"%{contains.lower()}%"
        condition = or_(
            _u.c.email.like(pattern),
            func.lower(_u.c.first_name).like(pattern),
            func.lower(_u.c.last_name).like(pattern),
        )
    count = await tx.one(select(func.count()).select_from(_u).where(condition))
    rows = await tx.all(select(*USERS.columns).where(condition).order_by(_u.c.email).offset(offset).limit(limit))
    return USERS.every(rows), int(count[0]) if count else 0


async def replace_recovery(tx: Tx, user_id: str, before: str, after: str) -> bool:
    """Put `after` in the place of the recovery codes `before`; False when they are not those any more."""
    changed = await tx.run(update(_u).where(_u.c.id == user_id, _u.c.mfa_recovery == before).values(mfa_recovery=after))
    tx.changed(versions.user(user_id))
    return changed == 1


async def remove_user(tx: Tx, id: str) -> None:
    """Delete a person; memberships and metadata are deleted by `access.remove_actor`."""
    await tx.run(delete(_u).where(_u.c.id == id))
    tx.changed(versions.user(id))


async def put_session(tx: Tx, id: str, user_id: str, **fields: Any) -> None:
    """Set some columns of a session."""
    s = schema.sessions
    await tx.run(
        update(s).where(s.c.id == id).values(**{name: int(v) if v is True else v for name, v in fields.items()})
    )
    tx.changed(versions.user(user_id))
