"""Passkeys of people."""

from collections.abc import Sequence

from sqlalchemy import bindparam, delete, select, update

from watchword.domain.people.records import Passkey
from watchword.store import schema
from watchword.store.engine import Tx, prepare
from watchword.store.mapping import Mapper

PASSKEYS = Mapper(Passkey, schema.passkeys)
_p = schema.passkeys

_ANY = prepare(lambda: select(_p.c.id).limit(1))
_OF = prepare(
    lambda: select(*PASSKEYS.columns).where(_p.c.user_id == bindparam("of")).order_by(_p.c.created_at, _p.c.id)
)
_BY_CREDENTIAL = prepare(lambda: select(*PASSKEYS.columns).where(_p.c.credential_id == bindparam("credential")))
_USED = prepare(
    lambda: (
        update(_p)
        .where(_p.c.id == bindparam("of"), _p.c.sign_count == bindparam("before"))
        .values(sign_count=bindparam("after"), last_used_at=bindparam("at"), is_synced=bindparam("synced"))
    )
)
_RENAME = prepare(
    lambda: (
        update(_p).where(_p.c.id == bindparam("of"), _p.c.user_id == bindparam("person")).values(name=bindparam("text"))
    )
)
_DROP = prepare(lambda: delete(_p).where(_p.c.id == bindparam("of"), _p.c.user_id == bindparam("person")))
_DROP_ALL = prepare(lambda: delete(_p).where(_p.c.user_id == bindparam("person")))


async def is_any(tx: Tx) -> bool:
    """Whether anybody has a passkey."""
    return await tx.one(_ANY) is not None


async def of_user(tx: Tx, user_id: str) -> Sequence[Passkey]:
    """The passkeys of a person, oldest first."""
    return PASSKEYS.every(await tx.all(_OF, of=user_id))


async def by_credential(tx: Tx, credential_id: str) -> Passkey | None:
    """A passkey by the id that its authenticator gave it."""
    return PASSKEYS.first(await tx.one(_BY_CREDENTIAL, credential=credential_id))


async def add(tx: Tx, record: Passkey) -> None:
    """Store a new passkey. Raises AlreadyThere when its credential is known."""
    await tx.run(PASSKEYS.INSERT, **PASSKEYS.values(record))


async def used(tx: Tx, record: Passkey, *, count: int, at: int, is_synced: bool) -> bool:
    """Record a use of a passkey; False when it was removed, or used by another request, since it was read."""
    values = {"before": record.sign_count, "after": count, "at": at, "synced": int(is_synced)}
    return await tx.run(_USED, of=record.id, **values) == 1


async def rename(tx: Tx, user_id: str, id: str, name: str) -> bool:
    """Give a passkey of a person another name; False when there is no such passkey."""
    return await tx.run(_RENAME, of=id, person=user_id, text=name) == 1


async def remove(tx: Tx, user_id: str, id: str) -> bool:
    """Delete a passkey of a person; False when there is no such passkey."""
    return await tx.run(_DROP, of=id, person=user_id) == 1


async def remove_all(tx: Tx, user_id: str) -> int:
    """Delete every passkey of a person; return how many there were."""
    return await tx.run(_DROP_ALL, person=user_id)
