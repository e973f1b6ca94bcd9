"""Organizations, people, sessions."""

from typing import Any

from sqlalchemy import bindparam, delete, func, insert, literal, literal_column, or_, select, update

from watchword.domain.actor import AnyActorKind
from watchword.domain.people.records import Organization, Session, User
from watchword.store import schema, versions
from watchword.store.engine import Tx, any_of, prepare
from watchword.store.mapping import Mapper

ORGANIZATIONS = Mapper(Organization, schema.organizations)
USERS = Mapper(User, schema.users)
SESSIONS = Mapper(Session, schema.sessions)
_o, _u, _s, _m, _p = schema.organizations, schema.users, schema.sessions, schema.memberships, schema.projects

_ORG = prepare(lambda: select(*ORGANIZATIONS.columns).where(_o.c.id == bindparam("of")))
_ORGS_OF = prepare(
    lambda: (
        select(*ORGANIZATIONS.columns)
        .join(_m, _m.c.org_id == _o.c.id)
        .where(_m.c.project_id.is_(None), _m.c.actor_kind == bindparam("kind"), _m.c.actor_id == bindparam("actor"))
        .order_by(_o.c.created_at, _o.c.id)
    )
)
_SUB_BY_SLUG = prepare(
    lambda: select(*ORGANIZATIONS.columns).where(_o.c.parent_org_id == bindparam("of"), _o.c.slug == bindparam("slug"))
)
_SUBS = prepare(
    lambda: (
        select(*ORGANIZATIONS.columns).where(_o.c.parent_org_id == bindparam("of")).order_by(_o.c.created_at, _o.c.id)
    )
)
_SUBS_OF = prepare(
    lambda: (
        select(*ORGANIZATIONS.columns)
        .join(_m, _m.c.org_id == _o.c.id)
        .where(
            _o.c.parent_org_id == bindparam("of"),
            _m.c.project_id.is_(None),
            _m.c.actor_kind == bindparam("kind"),
            _m.c.actor_id == bindparam("actor"),
        )
        .order_by(_o.c.created_at, _o.c.id)
    )
)
_USER = prepare(lambda: select(*USERS.columns).where(_u.c.id == bindparam("of")))
_HELD_USER = prepare(lambda: select(*USERS.columns).where(_u.c.id == bindparam("of")).with_for_update(key_share=True))
_USER_BY_EMAIL = prepare(lambda: select(*USERS.columns).where(_u.c.email == bindparam("email")))
_ADMINS = prepare(lambda: select(func.count()).select_from(_u).where(_u.c.is_instance_admin == 1))
_IDENTITY_ADMINS = prepare(
    lambda: (
        select(func.count())
        .select_from(schema.identities)
        .where(schema.identities.c.is_instance_admin == literal_column("1"))
    )
)
_CLAIM = prepare(lambda: insert(schema.settings).values(key=bindparam("name"), value=bindparam("text")))
_CLAIMED = prepare(lambda: select(schema.settings.c.value).where(schema.settings.c.key == bindparam("name")))
# a row of `settings`: its key is unique, so of several bootstraps at once one can write it
_BOOTSTRAPPED = "bootstrapped"
_SESSION = prepare(lambda: select(*SESSIONS.columns).where(_s.c.id == bindparam("of")))
_SESSIONS_OF = prepare(
    lambda: select(*SESSIONS.columns).where(_s.c.user_id == bindparam("of")).order_by(_s.c.created_at.desc())
)


async def organization(tx: Tx, id: str) -> Organization | None:
    """An organization by id."""
    return ORGANIZATIONS.first(await tx.one(_ORG, of=id))


async def sub_organization(tx: Tx, parent_id: str, slug: str) -> Organization | None:
    """A sub-organization by its slug, which is unique in its parent."""
    return ORGANIZATIONS.first(await tx.one(_SUB_BY_SLUG, of=parent_id, slug=slug))


async def sub_organizations(tx: Tx, parent_id: str) -> list[Organization]:
    """All sub-organizations of an organization, oldest first."""
    return ORGANIZATIONS.every(await tx.all(_SUBS, of=parent_id))


async def sub_organizations_of(tx: Tx, parent_id: str, kind: AnyActorKind, id: str) -> list[Organization]:
    """The sub-organizations that an actor is itself a member of, oldest first."""
    return ORGANIZATIONS.every(await tx.all(_SUBS_OF, of=parent_id, kind=kind, actor=id))


async def page_of_sub_organizations(
    tx: Tx, parent_id: str, *, member: tuple[AnyActorKind, str] | None, offset: int, limit: int
) -> tuple[list[Organization], int]:
    """A page of sub-organizations by name, and how many there are; of an actor, those it is an active member of."""
    rows = select(*ORGANIZATIONS.columns).where(_o.c.parent_org_id == parent_id)
    if member is not None:
        mine = select(_m.c.org_id).where(
            _m.c.actor_kind == member[0], _m.c.actor_id == member[1], _m.c.project_id.is_(None), _m.c.is_active == 1
        )
        rows = rows.where(_o.c.id.in_(mine))
    count = await tx.one(select(func.count()).select_from(rows.subquery()))
    page = await tx.all(rows.order_by(_o.c.name, _o.c.id).offset(offset).limit(limit))
    return ORGANIZATIONS.every(page), int(count[0]) if count else 0


async def organizations_of(tx: Tx, kind: AnyActorKind, id: str) -> list[Organization]:
    """The organizations an actor is itself a member of, oldest first."""
    return ORGANIZATIONS.every(await tx.all(_ORGS_OF, kind=kind, actor=id))


async def add_organization(tx: Tx, record: Organization) -> None:
    """Store a new organization. Raises AlreadyThere when the slug is taken."""
    await tx.run(ORGANIZATIONS.INSERT, **ORGANIZATIONS.values(record))
    tx.changed(versions.org(record.id))


async def change_organization(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns of an organization. Raises AlreadyThere when the slug is taken."""
    await tx.run(update(_o).where(_o.c.id == id).values(**ORGANIZATIONS.encoded(fields)))
    tx.changed(versions.org(id))


async def remove_organization(tx: Tx, id: str) -> None:
    """Delete an organization with everything in it, its sub-organizations too."""
    inside = select(_o.c.id).where(or_(_o.c.id == id, _o.c.root_org_id == id, _o.c.parent_org_id == id))
    # Where another deletion was first, nothing is found, and the key of the organization itself is raised all the same.
    org_ids = {id, *(row[0] for row in await tx.all(inside))}
    project_ids = [row[0] for row in await tx.all(select(_p.c.id).where(_p.c.org_id.in_(inside)))]
    # PostgreSQL asks also inside a cascade whether something still points at a role or a template, so what points goes
    # first. Every cached view of these rows depends on the organization's version key too, and that one is raised.
    identities, membership_roles = schema.identities, schema.membership_roles
    await tx.count_long(
        delete(schema.method_configs).where(
            schema.method_configs.c.identity_id.in_(select(identities.c.id).where(identities.c.org_id.in_(inside)))
        )
    )
    await tx.count_long(
        delete(membership_roles).where(
            membership_roles.c.membership_id.in_(select(_m.c.id).where(_m.c.org_id.in_(inside)))
        )
    )
    # What has no foreign key: the keys of it and of its projects, and what its identities hold elsewhere or have beside
    # their rows.
    identity_ids = select(identities.c.id).where(identities.c.org_id.in_(inside))
    keys, projects, revocations = schema.data_keys, schema.projects, schema.revocations
    for part in (
        delete(keys).where(
            or_(
                keys.c.scope.in_(select(literal("org/") + _o.c.id).where(_o.c.id.in_(inside))),
                keys.c.scope.in_(select(literal("project/") + projects.c.id).where(projects.c.org_id.in_(inside))),
            )
        ),
        delete(revocations).where(revocations.c.identity_id.in_(identity_ids)),
        *[
            delete(table).where(table.c.actor_kind == "identity", table.c.actor_id.in_(identity_ids))
            for table in (schema.actor_metadata, schema.privileges, schema.group_members)
        ],
        delete(membership_roles).where(
            membership_roles.c.membership_id.in_(
                select(_m.c.id).where(_m.c.actor_kind == "identity", _m.c.actor_id.in_(identity_ids))
            )
        ),
        delete(_m).where(_m.c.actor_kind == "identity", _m.c.actor_id.in_(identity_ids)),
    ):
        await tx.count_long(part)
    await tx.run_long(delete(_o).where(or_(_o.c.root_org_id == id, _o.c.parent_org_id == id)))
    await tx.run_long(delete(_o).where(_o.c.id == id))
    tx.changed(*map(versions.org, org_ids), *map(versions.project, project_ids))


async def user(tx: Tx, id: str) -> User | None:
    """A person by id."""
    return USERS.first(await tx.one(_USER, of=id))


async def held_user(tx: Tx, id: str) -> User | None:
    """A person by id, locked: nobody else changes the row until the unit ends.

    Whoever changes it now is waited for.
    """
    return USERS.first(await tx.one(_HELD_USER, of=id))


async def user_by_email(tx: Tx, email: str) -> User | None:
    """A person by e-mail address in its one spelling (`domain/people/emails.py`)."""
    return USERS.first(await tx.one(_USER_BY_EMAIL, email=email))


async def instance_admins(tx: Tx) -> int:
    """How many people administer the instance: none before the bootstrap."""
    row = await tx.one(_ADMINS)
    return int(row[0]) if row else 0


async def is_bootstrapped(tx: Tx) -> bool:
    """Whether the instance has, or ever had, a first administrator."""
    if await tx.one(_CLAIMED, name=_BOOTSTRAPPED) is not None or await instance_admins(tx):
        return True
    row = await tx.one(_IDENTITY_ADMINS)
    return bool(row and row[0])


async def claim_bootstrap(tx: Tx, first_admin: str) -> None:
    """Take the instance for its first administrator; this is committed once in its life.

    Raises AlreadyThere when somebody was first.

    On PostgreSQL a second claim waits for the first one's unit to end.
    """
    await tx.run(_CLAIM, name=_BOOTSTRAPPED, text=first_admin)


async def add_user(tx: Tx, record: User) -> None:
    """Store a new person. Raises AlreadyThere when the address is taken."""
    await tx.run(USERS.INSERT, **USERS.values(record))
    tx.changed(versions.user(record.id))


async def change_user(tx: Tx, id: str, **fields: Any) -> None:
    """Set some columns of a person."""
    await tx.run(update(_u).where(_u.c.id == id).values(**USERS.encoded(fields)))
    tx.changed(versions.user(id))


async def session(tx: Tx, id: str) -> Session | None:
    """A session by id."""
    return SESSIONS.first(await tx.one(_SESSION, of=id))


async def sessions_of(tx: Tx, user_id: str) -> list[Session]:
    """The sessions of a person, newest first."""
    return SESSIONS.every(await tx.all(_SESSIONS_OF, of=user_id))


async def add_session(tx: Tx, record: Session) -> None:
    """Store a new session."""
    await tx.run(SESSIONS.INSERT, **SESSIONS.values(record))
    tx.changed(versions.user(record.user_id))


async def remove_session(tx: Tx, record: Session) -> None:
    """End a session."""
    await tx.run(delete(_s).where(_s.c.id == record.id))
    tx.changed(versions.user(record.user_id))


_SIGNED_IN = prepare(lambda: select(_s.c.user_id).distinct())
_END_SESSIONS_OF = prepare(lambda: delete(_s).where(any_of(_s.c.user_id, "of")))


_SESSIONS = prepare(lambda: select(func.count()).select_from(_s))


async def count_sessions(tx: Tx) -> int:
    """How many sessions there are."""
    row = await tx.one(_SESSIONS)
    return int(row[0]) if row is not None else 0


async def remove_all_sessions(tx: Tx) -> int:
    """End the sessions of everybody; how many."""
    user_ids = [str(row[0]) for row in await tx.all(_SIGNED_IN)]
    tx.changed(*[versions.user(id) for id in user_ids])
    return await tx.run(_END_SESSIONS_OF, of=user_ids) if user_ids else 0


async def remove_sessions(tx: Tx, user_id: str, *, but: str = "") -> int:
    """End the sessions of a person, all `but` one; how many."""
    tx.changed(versions.user(user_id))
    return await tx.run(delete(_s).where(_s.c.user_id == user_id, _s.c.id != but))
