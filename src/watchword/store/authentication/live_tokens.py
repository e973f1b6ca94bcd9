"""Read the tokens of an identity that may be live: rows of tokens, and logins from the audit log. Both newest first."""

from collections.abc import Sequence

from sqlalchemy import bindparam, select, text

from watchword.domain.audit.records import AuditEvent
from watchword.domain.authentication.records import AccessToken
from watchword.store import schema
from watchword.store.audit.events import EVENTS
from watchword.store.audit.queries import id_at, moment_of
from watchword.store.authentication.token_rows import TOKENS
from watchword.store.engine import Tx, any_of, prepare

_e, _t = schema.audit_events, schema.access_tokens
LAST_PLACE = "~"  # behind every id
_BESIDE = 5_000  # ms: an event's id is made right after the id of the token it tells of
_PIECE = 50  # events

_ROWS = prepare(
    lambda: (
        select(*TOKENS.columns)
        .where(
            _t.c.identity_id == bindparam("of"),
            _t.c.id < bindparam("before"),
            _t.c.is_revoked == 0,
            _t.c.expires_at > bindparam("now"),
        )
        .order_by(_t.c.id.desc())
        .limit(bindparam("most"))
    )
)
_LOGINS = prepare(
    lambda: (
        select(*EVENTS.columns)
        .where(
            _e.c.actor_id == bindparam("of"),
            _e.c.id < bindparam("before"),
            _e.c.id >= bindparam("first"),
            text(schema.LOGINS),
        )
        .order_by(_e.c.id.desc())
        .limit(bindparam("most"))
    )
)
_LOGINS_AFTER = prepare(
    lambda: (
        select(*EVENTS.columns)
        .where(
            _e.c.actor_id == bindparam("of"),
            _e.c.id > bindparam("after"),
            _e.c.id < bindparam("until"),
            text(schema.LOGINS),
        )
        .order_by(_e.c.id)
        .limit(bindparam("most"))
    )
)
_HAVE_ROWS = prepare(lambda: select(_t.c.id).where(any_of(_t.c.id, "ids")))


async def rows(tx: Tx, identity_id: str, *, before: str, now: int, most: int) -> list[AccessToken]:
    """The rows of tokens that are not revoked and end after `now` (ms), those with an id less than `before`."""
    return TOKENS.every(await tx.all(_ROWS, of=identity_id, before=before, now=now, most=most))


async def logins(tx: Tx, identity_id: str, *, before: str, since: int, most: int) -> list[AuditEvent]:
    """The audit events of logins and refused logins since a moment (ms), those with an id less than `before`."""
    events = await tx.all(_LOGINS, of=identity_id, before=before, first=id_at(since), most=most)
    return EVENTS.every(events)


async def with_row(tx: Tx, ids: Sequence[str]) -> frozenset[str]:
    """Those of some tokens that have a row."""
    return frozenset(str(id) for (id,) in await tx.all(_HAVE_ROWS, ids=list(ids))) if ids else frozenset()


async def login_of(tx: Tx, identity_id: str, token_id: str) -> AuditEvent | None:
    """The login that issued a token; None where the audit log does not have it."""
    try:
        made_at = moment_of(token_id)
        after, until = id_at(made_at), id_at(made_at + _BESIDE)
    except (ValueError, OverflowError):  # no id, or one of a moment that no id can name
        return None
    while True:
        rows = await tx.all(_LOGINS_AFTER, of=identity_id, after=after, until=until, most=_PIECE)
        for event in EVENTS.every(rows):
            if event.metadata.get("identityAccessTokenId") == token_id:
                return event
            after = event.id
        if len(rows) < _PIECE:
            return None
