"""Counters of failed logins of identities, and their lockouts."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select

from watchword.domain.authentication.records import Lockout
from watchword.store import schema, versions
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper

_l = schema.lockouts

LOCKOUTS = Mapper(Lockout, schema.lockouts)

_LOCKOUT = prepare(lambda: select(*LOCKOUTS.columns).where(_l.c.key == bindparam("of")))
_LOCKOUTS = prepare(lambda: select(*LOCKOUTS.columns).where(_l.c.identity_id == bindparam("of")))
_LOCKED_OF = prepare(
    lambda: select(_l.c.identity_id, _l.c.key).where(
        any_of(_l.c.identity_id, "of"), _l.c.locked_until > bindparam("now")
    )
)
_CLEAR_LOCKOUT = prepare(lambda: delete(_l).where(_l.c.key == bindparam("of")))
_CLEAR_LOCKOUTS = prepare(
    lambda: delete(_l).where(
        _l.c.identity_id == bindparam("of"), _l.c.key.startswith(bindparam("at"), autoescape=False)
    )
)
_LOCK_IDENTITY = prepare(
    lambda: (
        select(schema.identities.c.id).where(schema.identities.c.id == bindparam("of")).with_for_update(key_share=True)
    )
)


async def by_key(tx: Tx, key: str) -> Lockout | None:
    """The failed-login counter of `key`."""
    return LOCKOUTS.first(await tx.one(_LOCKOUT, of=key))


async def of_identity(tx: Tx, identity_id: str) -> list[Lockout]:
    """All failed-login counters of an identity."""
    return LOCKOUTS.every(await tx.all(_LOCKOUTS, of=identity_id))


async def locked_methods(tx: Tx, identity_ids: Sequence[str], now: int) -> dict[str, list[str]]:
    """The slugs of the methods of several identities that are locked out at `now` (ms), for somebody at least."""
    locked: dict[str, set[str]] = {}
    for identity_id, key in await tx.all(_LOCKED_OF, of=list(identity_ids), now=now):
        locked.setdefault(identity_id, set()).add(key.split("/")[1])
    return {identity_id: sorted(methods) for identity_id, methods in locked.items()}


async def put(tx: Tx, state: Lockout) -> None:
    """Replace the counter of a key. The caller has locked the identity (`hold`)."""
    await tx.run(_CLEAR_LOCKOUT, of=state.key)
    await tx.run(LOCKOUTS.INSERT, **LOCKOUTS.values(state))
    tx.changed(versions.lockout(state.identity_id))


async def hold(tx: Tx, identity_id: str) -> bool:
    """Lock the identity until the unit ends, so that its credentials can be changed; False if it is gone.

    The right ends with the unit.
    """
    return await tx.one(_LOCK_IDENTITY, of=identity_id) is not None


async def clear(tx: Tx, key: str, identity_id: str) -> int:
    """Forget the failures counted under `key`."""
    tx.changed(versions.lockout(identity_id))
    return await tx.run(_CLEAR_LOCKOUT, of=key)


async def clear_all(tx: Tx, identity_id: str, prefix: str) -> int:
    """Forget the failures counted under keys that begin with `prefix`; how many there were."""
    tx.changed(versions.lockout(identity_id))
    return await tx.run(_CLEAR_LOCKOUTS, of=identity_id, at=prefix)
