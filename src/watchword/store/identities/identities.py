"""Machine identities and their metadata."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, select, update

from watchword.domain.actor import AnyActorKind
from watchword.domain.identities.records import Identity, Metadata
from watchword.store import schema
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper

IDENTITIES = Mapper(Identity, schema.identities)
METADATA = Mapper(Metadata, schema.actor_metadata)
_i, _m = schema.identities, schema.actor_metadata

_BY_ID = prepare(lambda: select(*IDENTITIES.columns).where(_i.c.id == bindparam("of")))
_DELETE = prepare(lambda: delete(_i).where(_i.c.id == bindparam("of")))
_METADATA = prepare(
    lambda: (
        select(*METADATA.columns)
        .where(_m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("of"))
        .order_by(_m.c.position)
    )
)
_METADATA_OF_MANY = prepare(
    lambda: (
        select(*METADATA.columns)
        .where(_m.c.actor_kind == bindparam("kind"), any_of(_m.c.actor_id, "of"))
        .order_by(_m.c.position)
    )
)
_CLEAR_METADATA = prepare(
    lambda: delete(_m).where(_m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("of"))
)
# The last login of an identity: for `count_many`, with `of`, `by`, `at`, `address`.
LOGGED_IN = prepare(
    lambda: (
        update(_i)
        .where(_i.c.id == bindparam("of"))
        .values(
            last_login_method=bindparam("by"), last_login_at=bindparam("at"), last_login_address=bindparam("address")
        )
    ),
    at_once=True,
)


async def by_id(tx: Tx, id: str) -> Identity | None:
    """The identity, whoever's it is: the caller checks whose."""
    return IDENTITIES.first(await tx.one(_BY_ID, of=id))


async def add(tx: Tx, identity: Identity) -> None:
    """Store a new identity."""
    await tx.run(IDENTITIES.INSERT, **IDENTITIES.values(identity))


async def change(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns."""
    await tx.run(update(_i).where(_i.c.id == id).values(**IDENTITIES.encoded(fields)))


async def remove(tx: Tx, id: str) -> None:
    """Delete the identity; the rows that hang on it go with it, but for memberships, metadata and privileges."""
    await tx.run(_DELETE, of=id)


async def metadata_of(tx: Tx, kind: AnyActorKind, id: str) -> list[Metadata]:
    """The metadata of an actor, in order."""
    return METADATA.every(await tx.all(_METADATA, kind=kind, of=id))


async def metadata_of_many(tx: Tx, kind: AnyActorKind, ids: Sequence[str]) -> dict[str, list[Metadata]]:
    """The metadata of several actors by actor id."""
    metadata: dict[str, list[Metadata]] = {}
    for item in METADATA.every(await tx.all(_METADATA_OF_MANY, kind=kind, of=list(ids))):
        metadata.setdefault(item.actor_id, []).append(item)
    return metadata


async def replace_metadata(tx: Tx, kind: AnyActorKind, id: str, items: Sequence[Metadata]) -> None:
    """Make `items` the whole metadata of an actor."""
    await tx.run(_CLEAR_METADATA, kind=kind, of=id)
    await tx.many(METADATA.INSERT, [METADATA.values(item) for item in items])
