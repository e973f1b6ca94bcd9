"""People and machine identities that administer the instance."""

from sqlalchemy import BigInteger, bindparam, func, literal_column, or_, select

from watchword.store import schema
from watchword.store.engine import Tx, prepare

_u, _i, _m, _c, _t = schema.users, schema.identities, schema.memberships, schema.method_configs, schema.access_tokens
_is_admin = _i.c.is_instance_admin == literal_column(
    "1"
)  # written out: an index of these alone is found by its condition
_PEOPLE = prepare(lambda: select(_u.c.id).where(_u.c.is_instance_admin == 1).order_by(_u.c.id).with_for_update())
_IDENTITIES = prepare(lambda: select(_i.c.id).where(_is_admin).order_by(_i.c.id).with_for_update())
_ACTIVE_PEOPLE = prepare(
    lambda: select(func.count()).select_from(_u).where(_u.c.is_instance_admin == 1, _u.c.is_active == 1)
)
_at_home = (
    select(_m.c.id)
    .where(
        _m.c.actor_kind == "identity",
        _m.c.actor_id == _i.c.id,
        _m.c.org_id == _i.c.org_id,
        _m.c.project_id.is_(None),
        _m.c.is_active == 1,
    )
    .exists()
)
_live_token = (
    select(_t.c.id)
    .where(
        _t.c.identity_id == _c.c.identity_id,
        _t.c.method == bindparam("named"),
        _t.c.is_revoked == 0,
        _t.c.expires_at > bindparam("at", type_=BigInteger),
    )
    .exists()
)
_logs_in = (
    select(_c.c.id).where(_c.c.identity_id == _i.c.id, or_(_c.c.method != bindparam("named"), _live_token)).exists()
)
_STANDING_IDENTITIES = prepare(
    lambda: (
        select(func.count())
        .select_from(_i)
        .where(_is_admin, _i.c.is_disabled == 0, _i.c.expires_at.is_(None), _at_home, _logs_in)
    )
)
_IN_ORG = prepare(lambda: select(func.count()).select_from(_i).where(_is_admin, _i.c.org_id == bindparam("org")))
_PEOPLE_IN_ORG = prepare(
    lambda: (
        select(func.count())
        .select_from(_u.join(_m, _m.c.actor_id == _u.c.id))
        .where(
            _u.c.is_instance_admin == 1,
            _m.c.actor_kind == "user",
            _m.c.org_id == bindparam("org"),
            _m.c.project_id.is_(None),
        )
    )
)

_PERSON_STANDS = prepare(
    lambda: select(_u.c.id).where(_u.c.id == bindparam("of"), _u.c.is_instance_admin == 1, _u.c.is_active == 1)
)
_IDENTITY_STANDS = prepare(
    lambda: select(_i.c.id).where(
        _i.c.id == bindparam("of"),
        _is_admin,
        _i.c.is_disabled == 0,
        or_(_i.c.expires_at.is_(None), _i.c.expires_at > bindparam("at", type_=BigInteger)),
    )
)


async def hold(tx: Tx) -> None:
    """Wait for, and keep until the unit ends, the right to change who administers the instance."""
    await tx.all(_PEOPLE)
    await tx.all(_IDENTITIES)


async def usable(tx: Tx, at: int, *, named: str) -> int:
    """How many people and identities can administer the instance at `at` (ms), as this unit leaves them.

    `named`: the method by which nobody logs in, for its tokens are made and named by operators.
    """
    active, standing = await tx.one(_ACTIVE_PEOPLE), await tx.one(_STANDING_IDENTITIES, at=at, named=named)
    return int(active[0] if active else 0) + int(standing[0] if standing else 0)


async def in_organization(tx: Tx, org_id: str) -> int:
    """How many identities that live in an organization, and people who are members of it, administer the instance."""
    identities, people = await tx.one(_IN_ORG, org=org_id), await tx.one(_PEOPLE_IN_ORG, org=org_id)
    return int(identities[0] if identities else 0) + int(people[0] if people else 0)


async def stands(tx: Tx, id: str, at: int) -> bool:
    """Whether the person or identity administers the instance at `at` (ms).

    Neither counts when it is deactivated, disabled or expired.
    """
    return await tx.one(_PERSON_STANDS, of=id) is not None or await tx.one(_IDENTITY_STANDS, of=id, at=at) is not None
