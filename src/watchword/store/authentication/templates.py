"""Templates of auth methods: settings shared by several identities of an organization."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, delete, func, select, update

from watchword.domain.authentication.records import MethodConfig, MethodTemplate
from watchword.domain.identities.records import Identity
from watchword.store import schema, versions
from watchword.store.authentication.method_configs import CONFIGS
from watchword.store.engine import Tx, prepare
from watchword.store.identities.identities import IDENTITIES
from watchword.store.mapping import Mapper

TEMPLATES = Mapper(MethodTemplate, schema.method_templates)
_t, _c, _i = schema.method_templates, schema.method_configs, schema.identities

_BY_ID = prepare(lambda: select(*TEMPLATES.columns).where(_t.c.id == bindparam("of")))
_FOR_METHOD = prepare(
    lambda: (
        select(*TEMPLATES.columns)
        .where(_t.c.org_id == bindparam("of"), _t.c.method == bindparam("by"))
        .order_by(_t.c.name, _t.c.id)
    )
)
_REMOVE = prepare(lambda: delete(_t).where(_t.c.id == bindparam("of")))
_USES = prepare(
    lambda: (
        select(*CONFIGS.columns, *IDENTITIES.columns)
        .join(_i, _i.c.id == _c.c.identity_id)
        .where(_c.c.template_id == bindparam("of"))
        .order_by(_i.c.name, _i.c.id)
    )
)


async def by_id(tx: Tx, id: str) -> MethodTemplate | None:
    """A template."""
    return TEMPLATES.first(await tx.one(_BY_ID, of=id))


async def for_method(tx: Tx, org_id: str, method: str) -> list[MethodTemplate]:
    """The templates of an organization for a method, by name."""
    return TEMPLATES.every(await tx.all(_FOR_METHOD, of=org_id, by=method))


async def search(tx: Tx, org_id: str, *, text: str, offset: int, limit: int) -> tuple[list[MethodTemplate], int]:
    """One page of an organization's templates whose name holds `text`, and how many there are."""
    conditions = [_t.c.org_id == org_id] + (
        [func.lower(_t.c.name).contains(text.lower(), autoescape=True)] if text else []
    )
    total = await tx.one(select(func.count()).select_from(_t).where(*conditions))
    rows = await tx.all(
        select(*TEMPLATES.columns).where(*conditions).order_by(_t.c.name, _t.c.id).limit(limit).offset(offset)
    )
    return TEMPLATES.every(rows), int(total[0]) if total else 0


async def uses(tx: Tx, id: str) -> Sequence[tuple[MethodConfig, Identity]]:
    """The configurations that take their settings from a template, and whose they are."""
    width = len(CONFIGS.columns)
    return [(CONFIGS.read(row), IDENTITIES.read(row, width)) for row in await tx.all(_USES, of=id)]


async def after(tx: Tx, org_id: str, id: str, most: int = 100) -> list[MethodTemplate]:
    """The templates of an organization behind `id`, by id."""
    conditions = (_t.c.org_id == org_id, _t.c.id > id)
    return TEMPLATES.every(await tx.all(select(*TEMPLATES.columns).where(*conditions).order_by(_t.c.id).limit(most)))


async def add(tx: Tx, record: MethodTemplate) -> None:
    """Store a new template."""
    await tx.run(TEMPLATES.INSERT, **TEMPLATES.values(record))
    tx.changed(versions.org(record.org_id))


async def change(tx: Tx, record: MethodTemplate, **fields: Any) -> None:
    """Set some columns of a template. Every cached login of the organization is read again."""
    await tx.run(update(_t).where(_t.c.id == record.id).values(**TEMPLATES.encoded(fields)))
    tx.changed(versions.org(record.org_id))


async def remove(tx: Tx, record: MethodTemplate) -> None:
    """Delete a template. Raises StillNeeded while an identity uses it."""
    await tx.run(_REMOVE, of=record.id)
    tx.changed(versions.org(record.org_id))
