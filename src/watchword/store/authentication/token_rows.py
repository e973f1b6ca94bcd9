"""Rows of named and limited tokens, and of login tokens that were renewed.

A login by itself writes no row. What ends tokens is in `token_revocations`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, bindparam, case, func, not_, or_, select, update

from watchword.domain.authentication.records import AccessToken
from watchword.store import schema
from watchword.store.engine import Tx, Upsert, any_of, prepare, prepare_upsert
from watchword.store.mapping import Mapper

_t = schema.access_tokens

TOKENS = Mapper(AccessToken, schema.access_tokens)

_TOKEN = prepare(lambda: select(*TOKENS.columns).where(_t.c.id == bindparam("of")))
_TOKENS = prepare(
    lambda: (
        select(*TOKENS.columns)
        .where(_t.c.identity_id == bindparam("of"), _t.c.method == bindparam("by"))
        .order_by(_t.c.updated_at.desc(), _t.c.id.desc())
        .limit(bindparam("most"))
        .offset(bindparam("skip"))
    )
)


async def by_id(tx: Tx, id: str) -> AccessToken | None:
    """The row of a named or limited token."""
    return TOKENS.first(await tx.one(_TOKEN, of=id))


async def of_method(tx: Tx, identity_id: str, method: str, *, offset: int, limit: int) -> list[AccessToken]:
    """Token rows of an identity, newest-updated first."""
    return TOKENS.every(await tx.all(_TOKENS, of=identity_id, by=method, most=limit, skip=offset))


async def add(tx: Tx, record: AccessToken) -> None:
    """Store the row of a token."""
    await tx.run(TOKENS.INSERT, **TOKENS.values(record))


async def change(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns of a token's row."""
    await tx.run(update(_t).where(_t.c.id == id).values(**TOKENS.encoded(fields)))


def ends(since: int, before: int) -> list[ColumnElement[bool]]:
    """That a token has a name, is not revoked, and ends between two moments (ms)."""
    return [_t.c.name.is_not(None), _t.c.is_revoked == 0, _t.c.expires_at >= since, _t.c.expires_at < before]


async def ending(tx: Tx, identity_ids: Sequence[str], since: int, before: int) -> list[AccessToken]:
    """The named tokens of several identities that end between two moments (ms)."""
    of = _t.c.identity_id.in_(list(identity_ids))
    return TOKENS.every(await tx.all(select(*TOKENS.columns).where(of, *ends(since, before))))


_NAMED_TOKENS = prepare(
    lambda: (
        select(func.count())
        .select_from(_t)
        .where(_t.c.is_revoked == 0, _t.c.expires_at > bindparam("now"), any_of(_t.c.method, "named"))
    )
)
_LIMITED_TOKENS = prepare(
    lambda: (
        select(func.count())
        .select_from(_t)
        .where(
            _t.c.is_revoked == 0,
            _t.c.expires_at > bindparam("now"),
            _t.c.uses_limit > 0,
            not_(any_of(_t.c.method, "named")),
        )
    )
)


async def count_live(tx: Tx, now: int, named: Sequence[str]) -> tuple[int, int]:
    """How many tokens are alive that operators made (by the methods `named`), and how many others have a use limit."""
    made = await tx.one(_NAMED_TOKENS, now=now, named=list(named))
    limited = await tx.one(_LIMITED_TOKENS, now=now, named=list(named))
    return int(made[0]) if made else 0, int(limited[0]) if limited else 0


_SOME_LIVE = select(_t.c.id).where(_t.c.is_revoked == 0).limit(bindparam("most"))
_END_SOME = prepare(
    lambda: (
        update(_t).where(_t.c.id.in_(_SOME_LIVE)).values(is_revoked=1, updated_at=bindparam("at")).returning(_t.c.id)
    )
)
_END_REST = prepare(
    lambda: update(_t).where(_t.c.is_revoked == 0).values(is_revoked=1, updated_at=bindparam("at")).returning(_t.c.id)
)


async def end(tx: Tx, at: int, most: int | None = None) -> int:
    """Mark the rows of tokens as revoked, at most so many; how many.

    The tokens themselves are ended by whoever ends their key.
    """
    if most is None:
        return len(await tx.count(_END_REST, at=at))
    return len(await tx.count(_END_SOME, at=at, most=most))


_USE_TOKEN = prepare(
    lambda: (
        update(_t)
        .where(_t.c.id == bindparam("of"), _t.c.is_revoked == 0, or_(_t.c.uses_limit == 0, _t.c.uses < _t.c.uses_limit))
        .values(uses=_t.c.uses + 1, last_used_at=bindparam("at"))
        .returning(_t.c.uses)
    )
)


class TokenUsed(msgspec.Struct, frozen=True):
    """A journal entry: one request with a limited token. Its answer: whether a use was left."""

    id: str
    at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["TokenUsed"]) -> Sequence[bool]:
        answers = [False] * len(entries)
        for i, entry in sorted(enumerate(entries), key=lambda pair: pair[1].id):
            answers[i] = bool(await tx.count(_USE_TOKEN, of=entry.id, at=entry.at))
        return answers


class TokenIssued(msgspec.Struct, frozen=True):
    """A journal entry: the row of a token that has a use limit."""

    token: AccessToken

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["TokenIssued"]) -> Sequence[None]:
        # Nobody can hold a cached view of a token that does not exist yet, so no version key is raised.
        await tx.count_many(TOKENS.INSERT, [TOKENS.values(entry.token) for entry in entries])
        return [None] * len(entries)


_RENEWED = prepare(
    lambda: (
        update(_t)
        .where(_t.c.id == bindparam("of"))
        .values(last_renewed_at=bindparam("at"), expires_at=bindparam("until"), updated_at=bindparam("at"))
    )
)


class TokenRenewed(msgspec.Struct, frozen=True):
    """A journal entry: a token with a row got a new end."""

    id: str
    at: int
    expires_at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["TokenRenewed"]) -> Sequence[None]:
        ordered = sorted(entries, key=lambda entry: entry.id)
        await tx.count_many(
            _RENEWED, [{"of": entry.id, "at": entry.at, "until": entry.expires_at} for entry in ordered]
        )
        return [None] * len(entries)


def _keep_renewed(insert: Upsert) -> Any:
    kept = insert(_t).values({name: bindparam(name) for name in TOKENS.record.__struct_fields__})
    until = kept.excluded.expires_at
    renewed = {
        "last_renewed_at": kept.excluded.last_renewed_at,
        "expires_at": case((until > _t.c.expires_at, until), else_=_t.c.expires_at),
        "updated_at": kept.excluded.updated_at,
    }
    return kept.on_conflict_do_update(index_elements=["id"], set_=renewed)


_KEEP_RENEWED = prepare_upsert(_keep_renewed)


class LoginTokenRenewed(msgspec.Struct, frozen=True):
    """A journal entry: the token of a login lives longer than its login said. `token` has its new end."""

    token: AccessToken
    at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["LoginTokenRenewed"]) -> Sequence[None]:
        # One statement cannot change a row twice: of several renewals of a token the one that ends last counts.
        latest: dict[str, LoginTokenRenewed] = {}
        for entry in sorted(entries, key=lambda entry: entry.token.expires_at):
            latest[entry.token.id] = entry
        renewed = [
            msgspec.structs.replace(entry.token, last_renewed_at=entry.at, updated_at=entry.at)
            for _, entry in sorted(latest.items())
        ]
        await tx.count_many(_KEEP_RENEWED, [TOKENS.values(token) for token in renewed])
        return [None] * len(entries)
