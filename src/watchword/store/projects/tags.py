"""Tags of secrets."""

from typing import Any

from sqlalchemy import bindparam, delete, select, update

from watchword.domain.projects.records import Tag
from watchword.store import schema, versions
from watchword.store.engine import Tx, prepare
from watchword.store.mapping import Mapper

TAGS = Mapper(Tag, schema.tags)
_t = schema.tags

_IN_PROJECT = prepare(lambda: select(*TAGS.columns).where(_t.c.project_id == bindparam("of")).order_by(_t.c.slug))
_BY_ID = prepare(lambda: select(*TAGS.columns).where(_t.c.id == bindparam("of")))


async def in_project(tx: Tx, project_id: str) -> list[Tag]:
    """The tags of a project, by slug."""
    return TAGS.every(await tx.all(_IN_PROJECT, of=project_id))


async def by_id(tx: Tx, id: str) -> Tag | None:
    """A tag by id: the caller checks whose it is."""
    return TAGS.first(await tx.one(_BY_ID, of=id))


async def add(tx: Tx, tag: Tag) -> None:
    """Store a new tag. Raises AlreadyThere when the slug is taken."""
    await tx.run(TAGS.INSERT, **TAGS.values(tag))
    tx.changed(versions.tree(tag.project_id))


async def change(tx: Tx, tag: Tag, **fields: Any) -> None:
    """Set some columns of a tag. Raises AlreadyThere when the slug is taken."""
    await tx.run(update(_t).where(_t.c.id == tag.id).values(**TAGS.encoded(fields)))
    tx.changed(versions.tree(tag.project_id))


async def remove(tx: Tx, tag: Tag) -> None:
    """Delete a tag. Secrets keep its id, which names no tag from then on."""
    await tx.run(delete(_t).where(_t.c.id == tag.id))
    tx.changed(versions.tree(tag.project_id))
