"""Projects."""

from typing import Any

from sqlalchemy import bindparam, delete, func, or_, select, update

from watchword.domain.actor import AnyActorKind
from watchword.domain.identities.records import Identity
from watchword.domain.projects.records import Project
from watchword.store import schema, versions
from watchword.store.engine import Tx, prepare
from watchword.store.identities.identities import IDENTITIES
from watchword.store.identities.lists import like
from watchword.store.mapping import Mapper

PROJECTS = Mapper(Project, schema.projects)
_p, _m, _gm, _i = schema.projects, schema.memberships, schema.group_members, schema.identities

_BY_ID = prepare(lambda: select(*PROJECTS.columns).where(_p.c.id == bindparam("of")))
_BY_SLUG = prepare(
    lambda: select(*PROJECTS.columns).where(_p.c.org_id == bindparam("org"), _p.c.slug == bindparam("slug"))
)
_OF_ACTOR = prepare(
    lambda: (
        select(*PROJECTS.columns)
        .where(
            _p.c.org_id == bindparam("org"),
            _p.c.id.in_(
                select(_m.c.project_id)
                .where(_m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("actor"))
                .union(
                    select(_m.c.project_id).where(
                        _m.c.actor_kind == "group",
                        _m.c.actor_id.in_(
                            select(_gm.c.group_id).where(
                                _gm.c.actor_kind == bindparam("kind"), _gm.c.actor_id == bindparam("actor")
                            )
                        ),
                    )
                )
            ),
        )
        .order_by(_p.c.created_at, _p.c.id)
    )
)

_IDENTITIES = prepare(lambda: select(*IDENTITIES.columns).where(_i.c.project_id == bindparam("of")).order_by(_i.c.id))


async def by_id(tx: Tx, id: str) -> Project | None:
    """The project, whoever's it is: the caller checks whose."""
    return PROJECTS.first(await tx.one(_BY_ID, of=id))


async def by_slug(tx: Tx, org_id: str, slug: str) -> Project | None:
    """The project of an organization with this slug."""
    return PROJECTS.first(await tx.one(_BY_SLUG, org=org_id, slug=slug))


async def of_actor(tx: Tx, kind: AnyActorKind, id: str, org_id: str) -> list[Project]:
    """The projects of an organization that an actor is a member of, itself or through a group."""
    return PROJECTS.every(await tx.all(_OF_ACTOR, kind=kind, actor=id, org=org_id))


async def page_of_actor(
    tx: Tx, kind: AnyActorKind, id: str, org_id: str, *, contains: str, offset: int, limit: int
) -> tuple[list[Project], int]:
    """A page of the projects of an organization that an actor is a member of, oldest first, and how many match.

    `contains`: a part of the name or the slug.
    """
    groups = select(_gm.c.group_id).where(_gm.c.actor_kind == kind, _gm.c.actor_id == id)
    own = select(_m.c.project_id).where(_m.c.actor_kind == kind, _m.c.actor_id == id)
    by_group = select(_m.c.project_id).where(_m.c.actor_kind == "group", _m.c.actor_id.in_(groups))
    conditions = [_p.c.org_id == org_id, _p.c.id.in_(own.union(by_group))]
    if contains:
        pattern = like(contains.lower())
        conditions.append(or_(func.lower(_p.c.name).like(pattern), _p.c.slug.like(pattern)))
    count = await tx.one(select(func.count()).select_from(_p).where(*conditions))
    page = select(*PROJECTS.columns).where(*conditions).order_by(_p.c.created_at, _p.c.id).offset(offset).limit(limit)
    return PROJECTS.every(await tx.all(page)), int(count[0]) if count else 0


async def identities_of(tx: Tx, project_id: str) -> list[Identity]:
    """The identities that belong to a project and go with it, by id."""
    return IDENTITIES.every(await tx.all(_IDENTITIES, of=project_id))


async def add(tx: Tx, project: Project) -> None:
    """Store a new project. Raises AlreadyThere when the slug is taken."""
    await tx.run(PROJECTS.INSERT, **PROJECTS.values(project))
    tx.changed(versions.project(project.id))


async def change(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns. Raises AlreadyThere when the slug is taken."""
    await tx.run(update(_p).where(_p.c.id == id).values(**PROJECTS.encoded(fields)))
    tx.changed(versions.project(id))


async def remove(tx: Tx, id: str) -> None:
    """Delete a project with everything in it."""
    # PostgreSQL asks also inside a cascade whether a membership still has a role of the project, so these go first.
    # Every cached view of them depends on the project's version key too, and that one is raised.
    membership_roles, memberships = schema.membership_roles, schema.memberships
    await tx.count_long(
        delete(membership_roles).where(
            membership_roles.c.membership_id.in_(select(memberships.c.id).where(memberships.c.project_id == id))
        )
    )
    await tx.count(delete(schema.data_keys).where(schema.data_keys.c.scope == f"project/{id}"))
    await tx.run_long(delete(_p).where(_p.c.id == id))
    tx.changed(versions.project(id), versions.tree(id))
