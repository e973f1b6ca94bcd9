"""Journal entries of logins: one batch stores many logins with a few statements."""

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import msgspec
from sqlalchemy import BigInteger, Insert, Text, bindparam, exists, insert, or_, select, update

from watchword.domain.audit.records import AuditEvent, Denial
from watchword.domain.authentication.lockout import after_failure, is_locked
from watchword.domain.authentication.records import AccessToken, MethodConfig
from watchword.domain.identities.alerts import Alert
from watchword.store import schema
from watchword.store.audit import events
from watchword.store.authentication import client_secrets, lockouts, spent_proofs, token_rows
from watchword.store.engine import Store, Tx, any_of, prepare, rows_given
from watchword.store.identities import alerts, identities

_m = schema.memberships
_l = schema.lockouts
_MEMBER_LOGGED_IN = prepare(
    lambda: (
        update(_m)
        .where(
            _m.c.actor_kind == "identity",
            _m.c.actor_id == bindparam("of"),
            _m.c.org_id == bindparam("org"),
            _m.c.project_id.is_(None),
        )
        .values(last_login_method=bindparam("by"), last_login_at=bindparam("at"))
    ),
    at_once=True,
)
_COUNTED = prepare(lambda: select(_l.c.key, _l.c.locked_until).where(any_of(_l.c.key, "keys")))
_s = schema.client_secrets


def _settle() -> Insert:
    """The statement that counts uses and stores events of logins with unlimited secrets.

    It does so for all of those whose secret still holds, and for none if any is locked.

    It answers the ids of the events.
    """
    locked = exists(select(_l.c.key).where(any_of(_l.c.key, "keys")))
    used_rows = rows_given({"id": Text, "times": BigInteger, "at": BigInteger}, "used")
    used = (
        update(_s)
        .where(_s.c.id == used_rows.c.id, _s.c.is_revoked == 0, _s.c.uses_limit == 0, ~locked)
        .values(uses=_s.c.uses + used_rows.c.times, last_used_at=used_rows.c.at)
        .returning(_s.c.id)
        .cte("counted")
    )
    columns = {column.name: column.type for column in events.EVENTS.columns}
    event_rows = rows_given({**columns, "secret": Text}, "event")
    stand = select(*[event_rows.c[name] for name in columns]).where(
        ~locked, or_(event_rows.c.secret.is_(None), event_rows.c.secret.in_(select(used.c.id)))
    )
    return insert(schema.audit_events).from_select(list(columns), stand).returning(schema.audit_events.c.id)


_SETTLE = prepare(_settle)


class LoginDone(msgspec.Struct, frozen=True, kw_only=True):
    """A proved login. Its answer: None when it stands, else the reason code why it does not after all."""

    at: int
    identity_id: str
    event: AuditEvent
    lockout_key: str | None = None
    secret: client_secrets.SecretUsed | None = None
    proof: spent_proofs.ProofSpent | None = None
    token: AccessToken | None = None

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["LoginDone"]) -> Sequence[str | None]:
        reasons: list[str | None] = [None] * len(entries)
        await cls._refuse_locked(tx, entries, reasons)
        await cls._refuse_spent(tx, entries, reasons)
        stand = [entry for entry, reason in zip(entries, reasons, strict=True) if reason is None]
        await token_rows.TokenIssued.apply(tx, [token_rows.TokenIssued(entry.token) for entry in stand if entry.token])
        await events.add(tx, [entry.event for entry in stand])
        return reasons

    @classmethod
    async def settle(cls, store: Store, entries: Sequence["LoginDone"]) -> Sequence[str | None] | None:
        """Settle all logins by one statement, where each statement costs a round trip.

        That is five round trips fewer than `apply`, which does what is rarer.
        """
        if store.is_inline or any(
            entry.proof or entry.token or (entry.secret and entry.secret.limited) for entry in entries
        ):
            return None
        uses = Counter(entry.secret.id for entry in entries if entry.secret)
        at = {entry.secret.id: entry.secret.at for entry in entries if entry.secret}
        event_rows = [events.EVENTS.values(entry.event) for entry in entries]
        settled = await store.once(
            _SETTLE,
            keys=list({entry.lockout_key for entry in entries if entry.lockout_key}),
            used_id=sorted(uses),
            used_times=[uses[id] for id in sorted(uses)],
            used_at=[at[id] for id in sorted(uses)],
            event_secret=[entry.secret.id if entry.secret else None for entry in entries],
            **{f"event_{name}": [event[name] for event in event_rows] for name in event_rows[0]},
        )
        stand = {row[0] for row in settled}
        return [None if entry.event.id in stand else "client_secret_used_up" for entry in entries] if stand else None

    @classmethod
    async def _refuse_locked(cls, tx: Tx, entries: Sequence["LoginDone"], reasons: list[str | None]) -> None:
        # A lock that fell while this login was under way still holds; a counter that has not locked is forgotten by a
        # success.
        keys = list({entry.lockout_key for entry in entries if entry.lockout_key})
        if not keys:
            return
        until: dict[str, int] = {row[0]: row[1] for row in await tx.all(_COUNTED, keys=keys)}
        for i, entry in enumerate(entries):
            key = entry.lockout_key
            if key is None or key not in until:
                continue
            if entry.at < until[key]:
                reasons[i] = "locked_out"
            else:
                await lockouts.clear(tx, key, entry.identity_id)

    @classmethod
    async def _refuse_spent(cls, tx: Tx, entries: Sequence["LoginDone"], reasons: list[str | None]) -> None:
        proofs = [(i, entry.proof) for i, entry in enumerate(entries) if entry.proof and reasons[i] is None]
        for (i, _), first in zip(
            proofs, await spent_proofs.ProofSpent.apply(tx, [proof for _, proof in proofs]), strict=True
        ):
            if not first:
                reasons[i] = "proof_replayed"
        secrets = [(i, entry.secret) for i, entry in enumerate(entries) if entry.secret and reasons[i] is None]
        for (i, _), used in zip(
            secrets, await client_secrets.SecretUsed.apply(tx, [secret for _, secret in secrets]), strict=True
        ):
            if not used:
                reasons[i] = "client_secret_used_up"


class LoginFailed(msgspec.Struct, frozen=True, kw_only=True):
    """A refused login: its record, or how many were like it, and its audit event.

    Where failures lock out, the failure is counted as well.

    Its answer: whether the failure was counted. One that came when the key was locked already proves nothing to its
    caller, however many were under way at once. Failures are settled before the successes of the same batch, so that of
    a burst of guesses no more than the threshold are ever weighed.
    """

    turn: ClassVar[int] = 1
    at: int
    denial: Denial | None = None
    again: events.RepeatedRefusal | None = None
    event: AuditEvent | None = None
    config: MethodConfig | None = None
    lockout_key: str | None = None
    lockout_alert: Alert | None = None  # raised where this failure locks the identity out

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["LoginFailed"]) -> Sequence[bool]:
        counted = [True] * len(entries)
        for i, entry in sorted(
            enumerate(entries), key=lambda pair: pair[1].config.identity_id if pair[1].config else ""
        ):
            if (
                entry.config is not None
                and entry.lockout_key is not None
                and await lockouts.hold(tx, entry.config.identity_id)
            ):
                state = await lockouts.by_key(tx, entry.lockout_key)
                counted[i] = not is_locked(state, entry.at)
                if counted[i]:
                    after = after_failure(state, entry.config, entry.lockout_key, entry.at)
                    await lockouts.put(tx, after)
                    if entry.lockout_alert is not None and is_locked(after, entry.at):
                        await alerts.raised(tx, entry.lockout_alert)
        await events.RefusedLogin.apply(tx, [events.RefusedLogin(entry.denial) for entry in entries if entry.denial])
        await events.RepeatedRefusal.apply(tx, [entry.again for entry in entries if entry.again])
        await events.add(tx, [entry.event for entry in entries if entry.event])
        return counted


class LoginSeen(msgspec.Struct, frozen=True, kw_only=True):
    """A coalesced journal entry: when and how an identity last logged in."""

    identity_id: str
    org_id: str
    method: str
    at: int
    address: str | None

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["LoginSeen"]) -> Sequence[None]:
        ordered = sorted(entries, key=lambda entry: entry.identity_id)
        logins = [
            {"of": entry.identity_id, "by": entry.method, "at": entry.at, "address": entry.address} for entry in ordered
        ]
        await tx.count_many(identities.LOGGED_IN, logins)
        seen = [{"of": entry.identity_id, "org": entry.org_id, "by": entry.method, "at": entry.at} for entry in ordered]
        await tx.count_many(_MEMBER_LOGGED_IN, seen)
        return [None] * len(entries)
