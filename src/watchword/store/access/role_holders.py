"""Who holds a role in an organization or project."""

import msgspec
from sqlalchemy import and_, case, func, select

from watchword.domain.actor import HolderKind
from watchword.store import schema
from watchword.store.engine import Tx

_m, _h, _g, _i, _u = (
    schema.memberships,
    schema.membership_roles,
    schema.groups,
    schema.identities,
    schema.users,
)


class RoleHolder(msgspec.Struct, frozen=True, kw_only=True):
    """A person, group or machine identity that holds a role itself; until when (ms), where it is for a time."""

    kind: HolderKind
    id: str
    name: str
    until: int | None


async def holders(
    tx: Tx, org_id: str, project_id: str | None, *, role: str, custom_role_id: str | None, limit: int
) -> list[RoleHolder]:
    """Those who hold a role, by name."""
    name = func.coalesce(_i.c.name, _u.c.email, _g.c.name).label("name")
    place = _m.c.project_id.is_(None) if project_id is None else _m.c.project_id == project_id
    which = _h.c.custom_role_id == custom_role_id if custom_role_id else _h.c.role == role
    found = (
        select(_m.c.actor_kind, _m.c.actor_id, name, case((_h.c.is_temporary == 1, _h.c.ends_at), else_=None))
        .select_from(
            _m.join(_h, _h.c.membership_id == _m.c.id)
            .outerjoin(_i, and_(_m.c.actor_kind == "identity", _i.c.id == _m.c.actor_id))
            .outerjoin(_u, and_(_m.c.actor_kind == "user", _u.c.id == _m.c.actor_id))
            .outerjoin(_g, and_(_m.c.actor_kind == "group", _g.c.id == _m.c.actor_id))
        )
        .where(_m.c.org_id == org_id, place, which, name.is_not(None))
        .order_by(name, _m.c.actor_id)
        .limit(limit)
    )
    return [
        RoleHolder(kind=kind, id=str(id), name=str(text), until=None if until is None else int(until))
        for kind, id, text, until in await tx.all(found)
    ]
