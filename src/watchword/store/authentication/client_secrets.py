"""Client secrets, and the journal entry that counts a login with one."""

from collections.abc import Sequence

import msgspec
from sqlalchemy import BigInteger, ColumnElement, bindparam, func, or_, select, update

from watchword.domain.authentication.records import ClientSecret
from watchword.store import schema
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper

_s = schema.client_secrets

SECRETS = Mapper(ClientSecret, schema.client_secrets)

_SECRET_BY_HASH = prepare(lambda: select(*SECRETS.columns).where(_s.c.hash == bindparam("hash")))
_SECRET = prepare(lambda: select(*SECRETS.columns).where(_s.c.id == bindparam("of"), _s.c.config_id == bindparam("at")))
_SECRETS = prepare(
    lambda: select(*SECRETS.columns).where(_s.c.config_id == bindparam("at")).order_by(_s.c.created_at, _s.c.id)
)
_REVOKE_SECRET = prepare(
    lambda: update(_s).where(_s.c.id == bindparam("of")).values(is_revoked=1, updated_at=bindparam("at"))
)


async def by_hash(tx: Tx, digest: bytes) -> ClientSecret | None:
    """The client secret with this keyed hash."""
    return SECRETS.first(await tx.one(_SECRET_BY_HASH, hash=digest))


async def by_id(tx: Tx, config_id: str, id: str) -> ClientSecret | None:
    """The client secret of a configuration, never another's."""
    return SECRETS.first(await tx.one(_SECRET, of=id, at=config_id))


async def of_config(tx: Tx, config_id: str) -> list[ClientSecret]:
    """All client secrets of a configuration, oldest first."""
    return SECRETS.every(await tx.all(_SECRETS, at=config_id))


async def add(tx: Tx, record: ClientSecret) -> None:
    """Store a new client secret."""
    await tx.run(SECRETS.INSERT, **SECRETS.values(record))


async def revoke(tx: Tx, id: str, at: int) -> None:
    """Mark a client secret as revoked."""
    await tx.run(_REVOKE_SECRET, of=id, at=at)


_END = prepare(
    lambda: update(_s).where(_s.c.id == bindparam("of")).values(ttl=bindparam("ttl"), updated_at=bindparam("at"))
)


async def end(tx: Tx, id: str, ttl: int, at: int) -> None:
    """Give a client secret an end: `ttl` seconds after it was made."""
    await tx.run(_END, of=id, ttl=ttl, at=at)


_BEHIND = prepare(
    lambda: (
        select(*SECRETS.columns)
        .where(_s.c.hash_version < bindparam("key"), _s.c.is_revoked == 0)
        .order_by(_s.c.id)
        .limit(bindparam("most"))
        .with_for_update()
    )
)
_COUNT_BEHIND = prepare(
    lambda: select(func.count()).select_from(_s).where(_s.c.hash_version < bindparam("key"), _s.c.is_revoked == 0)
)


async def behind(tx: Tx, key: int, most: int) -> list[ClientSecret]:
    """The client secrets that are hashed with an earlier key than this version and not revoked.

    They are held until the unit ends.
    """
    return SECRETS.every(await tx.all(_BEHIND, key=key, most=most))


async def count_behind(tx: Tx, key: int) -> int:
    """How many client secrets are hashed with an earlier key than this version."""
    row = await tx.one(_COUNT_BEHIND, key=key)
    return int(row[0]) if row is not None else 0


def ends(since: int, before: int) -> list[ColumnElement[bool]]:
    """That a client secret is not revoked, and ends between two moments (ms)."""
    end = _s.c.created_at + _s.c.ttl * 1000
    return [_s.c.ttl > 0, _s.c.is_revoked == 0, end >= since, end < before]


async def ending(tx: Tx, identity_ids: Sequence[str], since: int, before: int) -> list[ClientSecret]:
    """The client secrets of several identities that end between two moments (ms)."""
    of = _s.c.identity_id.in_(list(identity_ids))
    return SECRETS.every(await tx.all(select(*SECRETS.columns).where(of, *ends(since, before))))


_USE_SECRET = prepare(
    lambda: (
        update(_s)
        .where(_s.c.id == bindparam("of"), _s.c.is_revoked == 0, or_(_s.c.uses_limit == 0, _s.c.uses < _s.c.uses_limit))
        .values(uses=_s.c.uses + 1, last_used_at=bindparam("at"))
        .returning(_s.c.uses)
    )
)
_USE_SECRETS_OFTEN = prepare(
    lambda: (
        update(_s)
        .where(any_of(_s.c.id, "of"), _s.c.is_revoked == 0, _s.c.uses_limit == 0)
        .values(uses=_s.c.uses + bindparam("times", type_=BigInteger), last_used_at=bindparam("at"))
        .returning(_s.c.id)
    )
)


class SecretUsed(msgspec.Struct, frozen=True):
    """A journal entry: one login with a client secret.

    Its answer: whether the secret had a use left, and was not revoked.
    """

    id: str
    limited: bool
    at: int

    @classmethod
    async def apply(cls, tx: Tx, entries: Sequence["SecretUsed"]) -> Sequence[bool]:
        # Unlimited secrets take all their uses of the batch at once, and those used equally often in one statement;
        # limited ones ask once for each use, so that exactly as many are let through as are left.
        answers: dict[int, bool] = {}
        together: dict[str, list[int]] = {}
        for i, entry in sorted(enumerate(entries), key=lambda pair: pair[1].id):
            if entry.limited:
                answers[i] = bool(await tx.count(_USE_SECRET, of=entry.id, at=entry.at))
            else:
                together.setdefault(entry.id, []).append(i)
        by_times: dict[int, list[str]] = {}
        for id, places in together.items():
            by_times.setdefault(len(places), []).append(id)
        for times, ids in sorted(by_times.items()):
            at = max(entries[i].at for id in ids for i in together[id])
            used = {row[0] for row in await tx.count(_USE_SECRETS_OFTEN, of=ids, times=times, at=at)}
            answers.update({i: id in used for id in ids for i in together[id]})
        return [answers[i] for i in range(len(entries))]
