"""Configurations of auth methods on identities."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, delete, select, update

from watchword.domain.authentication.records import MethodConfig
from watchword.domain.authentication.tokens import longest_life
from watchword.store import schema, versions
from watchword.store.authentication import token_revocations
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper

_c = schema.method_configs
_t = schema.access_tokens

CONFIGS = Mapper(MethodConfig, schema.method_configs)

_CONFIG = prepare(
    lambda: select(*CONFIGS.columns).where(_c.c.identity_id == bindparam("of"), _c.c.method == bindparam("by"))
)
_CONFIGS = prepare(
    lambda: select(*CONFIGS.columns).where(_c.c.identity_id == bindparam("of")).order_by(_c.c.created_at)
)
_CONFIGS_OF = prepare(lambda: select(*CONFIGS.columns).where(any_of(_c.c.identity_id, "of")).order_by(_c.c.created_at))
_CONFIG_AT = prepare(lambda: select(*CONFIGS.columns).where(_c.c.locator == bindparam("at")))
_METHODS_OF = prepare(
    lambda: select(_c.c.identity_id, _c.c.method).where(any_of(_c.c.identity_id, "of")).order_by(_c.c.created_at)
)
_REMOVE_CONFIG = prepare(lambda: delete(_c).where(_c.c.id == bindparam("of")))


async def config(tx: Tx, identity_id: str, method: str) -> MethodConfig | None:
    """The configuration of a method on an identity."""
    return CONFIGS.first(await tx.one(_CONFIG, of=identity_id, by=method))


async def configs(tx: Tx, identity_id: str) -> list[MethodConfig]:
    """All configurations of an identity, oldest first."""
    return CONFIGS.every(await tx.all(_CONFIGS, of=identity_id))


async def configs_of(tx: Tx, identity_ids: Sequence[str]) -> dict[str, list[MethodConfig]]:
    """All configurations of several identities, oldest first."""
    configs: dict[str, list[MethodConfig]] = {}
    for config in CONFIGS.every(await tx.all(_CONFIGS_OF, of=list(identity_ids))):
        configs.setdefault(config.identity_id, []).append(config)
    return configs


async def config_at(tx: Tx, locator: str) -> MethodConfig | None:
    """The configuration that is found by `locator` (a client id)."""
    return CONFIGS.first(await tx.one(_CONFIG_AT, at=locator))


async def methods_of(tx: Tx, identity_ids: Sequence[str]) -> dict[str, list[str]]:
    """The slugs of the methods of several identities, oldest first."""
    methods: dict[str, list[str]] = {}
    for identity_id, method in await tx.all(_METHODS_OF, of=list(identity_ids)):
        methods.setdefault(identity_id, []).append(method)
    return methods


_CONFIG_BY_ID = prepare(lambda: select(*CONFIGS.columns).where(_c.c.id == bindparam("of")))


async def by_id(tx: Tx, id: str) -> MethodConfig | None:
    """A configuration by its own id."""
    return CONFIGS.first(await tx.one(_CONFIG_BY_ID, of=id))


async def add(tx: Tx, record: MethodConfig) -> MethodConfig:
    """Store a new configuration; as it is stored. Raises AlreadyThere when the identity has the method.

    What the method issued before it was removed stays invalid: a new generation of tokens began when it was removed.
    """
    since = await token_revocations.generation(tx, record.identity_id)  # waits for a removal that is under way
    life = longest_life(ttl=record.ttl, max_ttl=record.max_ttl, period=record.period)
    record = msgspec.structs.replace(record, tokens_since=since, longest_life=life)
    await tx.run(CONFIGS.INSERT, **CONFIGS.values(record))
    return record


async def change(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns of a configuration. Where times to live are among them, all three are, and `longest_life`."""
    await tx.run(update(_c).where(_c.c.id == id).values(**CONFIGS.encoded(fields)))


# The generation ends the tokens; this is for lists, which show them by their rows.
_END_ROWS_OF = prepare(
    lambda: (
        update(_t)
        .where(_t.c.identity_id == bindparam("of"), _t.c.method == bindparam("by"), _t.c.is_revoked == 0)
        .values(is_revoked=1)
    )
)


async def remove(tx: Tx, record: MethodConfig) -> None:
    """Delete a configuration with its client secrets, and begin a new generation of the identity's tokens."""
    # First, so that the method cannot be attached again in the old one.
    await token_revocations.next_generation(tx, record.identity_id)
    await tx.run(_REMOVE_CONFIG, of=record.id)
    await tx.run(_END_ROWS_OF, of=record.identity_id, by=record.method)
    tx.changed(versions.identity(record.identity_id))
