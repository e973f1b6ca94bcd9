"""Wrapped credentials: one row for each, which is opened by one statement."""

from sqlalchemy import bindparam, select, update

from watchword.domain.authentication.wrapping import Wrap
from watchword.store import schema
from watchword.store.engine import Tx, prepare
from watchword.store.mapping import Mapper

WRAPS = Mapper(Wrap, schema.wraps)
_w = schema.wraps

_WRAP = prepare(lambda: select(*WRAPS.columns).where(_w.c.id == bindparam("of")))
_OPEN = prepare(
    lambda: (
        update(_w)
        .where(
            _w.c.id == bindparam("of"),
            _w.c.opened_at.is_(None),
            _w.c.is_revoked == 0,
            _w.c.sealed.is_not(None),
            _w.c.expires_at > bindparam("at"),
        )
        .values(opened_at=bindparam("at"), opened_address=bindparam("address"), sealed=None)
        .returning(_w.c.id)
    )
)
_REVOKE = prepare(
    lambda: (
        update(_w)
        .where(_w.c.credential_id == bindparam("of"), _w.c.opened_at.is_(None))
        .values(is_revoked=1, sealed=None)
    )
)
_REFUSED = prepare(
    lambda: update(_w).where(_w.c.id == bindparam("of")).values(refused=_w.c.refused + 1).returning(_w.c.refused)
)


async def wrap(tx: Tx, id: str) -> Wrap | None:
    """A wrap by its id."""
    return WRAPS.first(await tx.one(_WRAP, of=id))


async def add(tx: Tx, record: Wrap) -> None:
    """Store a new wrap."""
    await tx.run(WRAPS.INSERT, **WRAPS.values(record))


async def open_once(tx: Tx, id: str, at: int, address: str | None) -> bool:
    """Mark a wrap as opened at a moment (ms), and remove what it held; False if it cannot be opened any more."""
    return bool(await tx.count(_OPEN, of=id, at=at, address=address))


async def revoke(tx: Tx, credential_id: str) -> None:
    """End the wraps of a credential that nobody has opened."""
    await tx.run(_REVOKE, of=credential_id)


async def count_refused(tx: Tx, id: str) -> int:
    """Count one more who came too late; how many there were."""
    rows = await tx.count(_REFUSED, of=id)
    return int(rows[0][0]) if rows else 0
