"""Service tokens: the old, project-bound credential."""

from sqlalchemy import bindparam, delete, select

from watchword.domain.projects.records import ServiceToken
from watchword.store import schema, versions
from watchword.store.engine import Tx, prepare
from watchword.store.mapping import Mapper

TOKENS = Mapper(ServiceToken, schema.service_tokens)
_t = schema.service_tokens
_BY_ID = prepare(lambda: select(*TOKENS.columns).where(_t.c.id == bindparam("of")))
_IN_PROJECT = prepare(
    lambda: select(*TOKENS.columns).where(_t.c.project_id == bindparam("of")).order_by(_t.c.created_at.desc())
)


async def by_id(tx: Tx, id: str) -> ServiceToken | None:
    """A service token by id."""
    return TOKENS.first(await tx.one(_BY_ID, of=id))


async def in_project(tx: Tx, project_id: str) -> list[ServiceToken]:
    """The service tokens of a project, newest first."""
    return TOKENS.every(await tx.all(_IN_PROJECT, of=project_id))


async def add(tx: Tx, token: ServiceToken) -> None:
    """Store a new service token."""
    await tx.run(TOKENS.INSERT, **TOKENS.values(token))
    tx.changed(versions.project(token.project_id))


async def remove(tx: Tx, token: ServiceToken) -> None:
    """Delete a service token."""
    await tx.run(delete(_t).where(_t.c.id == token.id))
    tx.changed(versions.project(token.project_id))


_BEHIND = prepare(
    lambda: (
        select(*TOKENS.columns).where(_t.c.hash_version < bindparam("key")).order_by(_t.c.id).limit(bindparam("most"))
    )
)


async def behind(tx: Tx, key: int, most: int) -> list[ServiceToken]:
    """Service tokens that are hashed with an earlier key than this version."""
    return TOKENS.every(await tx.all(_BEHIND, key=key, most=most))
