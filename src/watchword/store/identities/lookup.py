"""Identities of an organization by the id of something that belongs to them, and by an address they came from."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import bindparam, select, text, union_all

from watchword.domain.identities.records import Identity
from watchword.store import schema
from watchword.store.audit.queries import id_at, moment_of
from watchword.store.engine import Row, Tx, prepare
from watchword.store.identities.identities import IDENTITIES

_i, _c, _s, _t = schema.identities, schema.method_configs, schema.client_secrets, schema.access_tokens
_e = schema.audit_events
_BESIDE = 5_000  # ms: an event's id is made right after the id of the token that it tells of


def _credentials() -> Any:
    """The identities that have a client id, a client secret or a token of this id: each part by a unique index."""
    return union_all(
        select(_c.c.identity_id).where(_c.c.locator == bindparam("text")),
        select(_s.c.identity_id).where(_s.c.id == bindparam("text")),
        select(_t.c.identity_id).where(_t.c.id == bindparam("text")),
    ).subquery()


def _of_credential() -> Any:
    # What belongs to another organization is as if it did not exist, by the same work.
    owners = _credentials()
    own = select(_i.c.org_id).where(_i.c.id == owners.c.identity_id).scalar_subquery()
    return select(owners.c.identity_id).where(own == bindparam("org")).limit(1)


_OF_CREDENTIAL = prepare(_of_credential)
_TOKEN = prepare(
    lambda: (
        select(_t.c.id)
        .select_from(_t.join(_i, _i.c.id == _t.c.identity_id))
        .where(_t.c.id == bindparam("text"), _i.c.org_id == bindparam("org"))
    )
)
# A token that was not used has no row: the audit log tells who it was issued to.
_LOGIN = prepare(
    lambda: (
        select(_e.c.actor_id)
        .where(
            _e.c.org_id == bindparam("org"),
            _e.c.id > bindparam("after"),
            _e.c.id < bindparam("until"),
            text(schema.LOGINS),
            _e.c.metadata.like(bindparam("tells")),
        )
        .limit(1)
    )
)
_FROM = prepare(
    lambda: (
        select(*IDENTITIES.columns)
        .where(
            _i.c.id.in_(
                select(_i.c.id)
                .where(_i.c.org_id == bindparam("org"), _i.c.project_id.is_(None), _i.c.last_login_at.is_not(None))
                .order_by(_i.c.last_login_at.desc(), _i.c.id.desc())
                .limit(bindparam("most"))
                .correlate(None)
            ),
            _i.c.last_login_address == bindparam("address"),
        )
        .order_by(_i.c.last_login_at.desc(), _i.c.id)
        .limit(bindparam("limit"))
    )
)


async def of_credential(tx: Tx, org_id: str, id: str) -> tuple[str | None, bool]:
    """The identity of a client id, a client secret's id or a token's id; and whether it is a token's."""
    row = await tx.one(_OF_CREDENTIAL, org=org_id, text=id)
    token = await tx.one(_TOKEN, org=org_id, text=id)
    issued = await _issued(tx, org_id, id)
    found = row or issued
    return (None if found is None else str(found[0])), token is not None or issued is not None


async def _issued(tx: Tx, org_id: str, token_id: str) -> Row | None:
    if "_" in token_id or "%" in token_id:  # wildcards of LIKE, and in no id
        return None
    try:
        made_at = moment_of(token_id)
        after, until = id_at(made_at), id_at(made_at + _BESIDE)
    except (ValueError, OverflowError):  # no id, or one of a moment that no id can name
        return None
    tells = f'%"identityAccessTokenId":"{token_id}"%'
    return await tx.one(_LOGIN, org=org_id, after=after, until=until, tells=tells)


async def logged_in_from(tx: Tx, org_id: str, address: str, *, most: int, limit: int) -> Sequence[Identity]:
    """Those whose last login came from an address, of the `most` that logged in last."""
    return IDENTITIES.every(await tx.all(_FROM, org=org_id, address=address, most=most, limit=limit))
