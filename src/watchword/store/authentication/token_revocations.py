"""Ends of tokens: revocations, and generations of an identity's tokens.

A token carries the generation its identity had when it was issued, and is refused when a later one began since for
what issued it.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, case, delete, select, update

from watchword.domain.authentication.live_tokens import issued_key
from watchword.domain.authentication.records import ClientSecret, Revocation
from watchword.store import schema, versions
from watchword.store.engine import Tx, Upsert, any_of, prepare, prepare_upsert
from watchword.store.mapping import Mapper

_r = schema.revocations
_c = schema.method_configs
_t = schema.access_tokens
_i = schema.identities

REVOCATIONS = Mapper(Revocation, schema.revocations)

_GENERATION = prepare(
    lambda: select(_i.c.token_generation).where(_i.c.id == bindparam("of")).with_for_update(key_share=True)
)


async def generation(tx: Tx, identity_id: str) -> int:
    """The current generation of an identity's tokens; waits for a unit of work that begins another."""
    row = await tx.one(_GENERATION, of=identity_id)
    return int(row[0]) if row is not None else 0


_NEW_GENERATION = prepare(
    lambda: (
        update(_i)
        .where(_i.c.id == bindparam("of"))
        .values(token_generation=_i.c.token_generation + 1)
        .returning(_i.c.token_generation)
    )
)


async def next_generation(tx: Tx, identity_id: str) -> int:
    """Begin a new generation of an identity's tokens, and return it."""
    rows = await tx.count(_NEW_GENERATION, of=identity_id)
    return int(rows[0][0]) if rows else 0


_END_TOKENS = prepare(
    lambda: (
        update(_i)
        .where(_i.c.id == bindparam("of"))
        .values(token_generation=_i.c.token_generation + 1, tokens_since=_i.c.token_generation + 1)
    )
)
_END_ALL_ROWS_OF = prepare(
    lambda: update(_t).where(_t.c.identity_id == bindparam("of"), _t.c.is_revoked == 0).values(is_revoked=1)
)


async def end_tokens(tx: Tx, identity_id: str) -> None:
    """End all tokens of an identity that were issued until this unit commits, whatever a clock says.

    One that is being issued at this moment carries the generation that its login read, and is invalid if that is an
    earlier one.
    """
    await tx.run(_END_TOKENS, of=identity_id)
    await tx.run(_END_ALL_ROWS_OF, of=identity_id)
    tx.changed(versions.identity(identity_id))


_END_METHOD = prepare(
    lambda: (
        update(_c)
        .where(_c.c.identity_id == bindparam("of"), _c.c.method == bindparam("by"))
        .values(tokens_since=bindparam("since"))
    )
)
_MARK_ALL = update(_t).where(_t.c.identity_id == bindparam("of"), _t.c.is_revoked == 0)
_MARK = {
    "identity": prepare(lambda: _MARK_ALL.values(is_revoked=1, updated_at=bindparam("at"))),
    "method": prepare(
        lambda: _MARK_ALL.where(_t.c.method == bindparam("by")).values(is_revoked=1, updated_at=bindparam("at"))
    ),
    "secret": prepare(
        lambda: _MARK_ALL.where(_t.c.client_secret_id == bindparam("by")).values(
            is_revoked=1, updated_at=bindparam("at")
        )
    ),
}


async def end_all_tokens(tx: Tx, identity_id: str, at: int) -> None:
    """End all tokens of an identity as `end_tokens` does, and mark their rows."""
    await end_tokens(tx, identity_id)
    await tx.run(_MARK["identity"], of=identity_id, at=at)


async def end_tokens_of_method(tx: Tx, identity_id: str, method: str, at: int) -> None:
    """End all tokens that a method of an identity issued until this unit commits. The method stays attached."""
    await tx.run(_END_METHOD, of=identity_id, by=method, since=await next_generation(tx, identity_id))
    await tx.run(_MARK["method"], of=identity_id, by=method, at=at)
    tx.changed(versions.identity(identity_id))


async def end_tokens_issued_for(tx: Tx, secret: ClientSecret, until: int, at: int) -> None:
    """End all tokens that were issued for a client secret until this unit commits. The secret itself stays good.

    `until` (ms) is the last moment at which one of them could be live.
    """
    since = await next_generation(tx, secret.identity_id)
    ended = Revocation(key=issued_key(secret.id), identity_id=secret.identity_id, before=since, expires_at=until)
    await revoke(tx, ended)
    await tx.run(_MARK["secret"], of=secret.identity_id, by=secret.id, at=at)


_MARKS = prepare(lambda: select(*REVOCATIONS.columns).where(any_of(_r.c.key, "keys")))


async def by_keys(tx: Tx, keys: Sequence[str]) -> list[Revocation]:
    """The revocations under any of `keys`."""
    return REVOCATIONS.every(await tx.all(_MARKS, keys=list(keys)))


# In an order that only the index on both columns has: where many revocations are one identity's, PostgreSQL would
# rather read the table from its beginning, or the primary key in its order.
_REVOCATIONS_OF = prepare(
    lambda: (
        select(*REVOCATIONS.columns)
        .where(_r.c.identity_id == bindparam("of"))
        .order_by(_r.c.before)
        .limit(bindparam("enough"))
    )
)


async def few_of(tx: Tx, identity_id: str, *, most: int) -> list[Revocation] | None:
    """The revocations that concern one identity; None if there are more than `most`."""
    rows = await tx.all(_REVOCATIONS_OF, of=identity_id, enough=most + 1)
    return None if len(rows) > most else REVOCATIONS.every(rows)


def _revoke(insert: Upsert) -> Any:
    mark = insert(_r).values(**{name: bindparam(name) for name in REVOCATIONS.record.__struct_fields__})
    until, since = mark.excluded.expires_at, mark.excluded.before
    greater = {
        "expires_at": case((until > _r.c.expires_at, until), else_=_r.c.expires_at),
        "before": case((since > _r.c.before, since), else_=_r.c.before),
    }
    return mark.on_conflict_do_update(index_elements=["key"], set_=greater)


_REVOKE = prepare_upsert(_revoke)


async def revoke(tx: Tx, revocation: Revocation) -> None:
    """Store a revocation, and raise the identity's version. One that is there already keeps the greater numbers."""
    await tx.run(_REVOKE, **REVOCATIONS.values(revocation))
    tx.changed(versions.identity(revocation.identity_id))


_FORGET_REVOCATIONS = prepare(lambda: delete(_r).where(_r.c.identity_id == bindparam("of")))


async def forget(tx: Tx, identity_id: str) -> None:
    """Remove the revocations of an identity that is deleted: its tokens are refused without them."""
    await tx.run(_FORGET_REVOCATIONS, of=identity_id)
    tx.changed(versions.identity(identity_id))


_k = schema.settings
_AGE = "longest-token-age"
_LONGEST_AGE = prepare(lambda: select(_k.c.value).where(_k.c.key == _AGE))
_PUT_AGE = prepare_upsert(
    lambda insert: (
        insert(_k)
        .values(key=_AGE, value=bindparam("value"))
        .on_conflict_do_update(index_elements=["key"], set_={"value": insert(_k).excluded.value})
    )
)


async def longest_age(tx: Tx, now: int) -> int:
    """The largest maximum age (seconds) of tokens that any server had, `now` being that of this one."""
    row = await tx.one(_LONGEST_AGE)
    return max(now, int(row[0])) if row is not None else now


async def note_age(tx: Tx, seconds: int) -> None:
    """Remember a maximum age of tokens if there was none as large."""
    if await longest_age(tx, 0) < seconds:
        await tx.run(_PUT_AGE, value=str(seconds))
