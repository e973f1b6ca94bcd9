"""Hand a new credential over once: wrap it, look a wrapping token up, unwrap it.

Whoever makes a client secret or a token gets a wrapping token instead, and carries that to the machine. The machine
unwraps it, and it alone has then seen the credential. If somebody was there before, the second one is refused, and that
is an alert: whoever was first holds the credential.
"""

from typing import Annotated, Any

import msgspec

from watchword.domain.authentication import endings
from watchword.domain.authentication.wrapping import (
    MOST_ALERTS,
    Wrap,
    WrapKind,
    WrappedContent,
    WrapState,
    is_right,
    opened,
    read_ttl,
    sealed,
    state_of,
    taken_apart,
    verifier_of,
    wrapping_token,
)
from watchword.domain.decode import checked
from watchword.domain.errors import NotFound, Refusal, Unauthorized
from watchword.domain.identities.records import Identity
from watchword.domain.secret import Secret
from watchword.services.authentication.live_tokens import find_live
from watchword.services.context import Ctx
from watchword.store.authentication import client_secrets, method_configs, wraps
from watchword.store.engine import Tx
from watchword.store.identities import identities

WrapTtl = Annotated[
    int | str,
    msgspec.Meta(
        description=(
            "How long the wrapping token is good: seconds, or a text such as 30s, 5m or 1h, at most 24 hours. With it "
            "the credential is not answered, but a single-use wrapping token, which shows it once at "
            "`POST /api/v1/auth/wrapping/unwrap`."
        )
    ),
]


class PresentedWrap(msgspec.Struct, frozen=True, kw_only=True):
    """A wrapping token."""

    token: Annotated[
        str, msgspec.Meta(min_length=1, max_length=512, description="The wrapping token: `wrap.<id>.<secret>`.")
    ]


class Wrapped(msgspec.Struct, frozen=True, kw_only=True):
    """A new wrap and the token that opens it, shown once."""

    token: Secret
    record: Wrap


class Unwrapped(msgspec.Struct, frozen=True, kw_only=True):
    """The content of a wrap that was opened."""

    record: Wrap
    content: WrappedContent


class LookedUp(msgspec.Struct, frozen=True, kw_only=True):
    """A wrap as its holder may see it without opening it."""

    record: Wrap
    state: WrapState


def ttl_of(value: int | str | None) -> int | None:
    """Return the seconds of a `wrapTTL`; None where nothing is to be wrapped. Raises Invalid."""
    return None if value is None else checked("wrapTTL", read_ttl, value)  # type: ignore[arg-type]


async def wrap(
    ctx: Ctx,
    tx: Tx,
    identity: Identity,
    kind: WrapKind,
    credential_id: str,
    content: WrappedContent,
    *,
    ttl: int,
    path: str,
) -> Wrapped:
    """Wrap a new credential in the open unit. `path` is that of the request that made it."""
    id, secret = ctx.new_id(), ctx.runtime.entropy(32)
    record = Wrap(
        id=id,
        org_id=identity.org_id,
        project_id=identity.project_id,
        identity_id=identity.id,
        kind=kind,
        credential_id=credential_id,
        sealed=sealed(id, secret, ctx.runtime.entropy(12), content),
        verifier=verifier_of(secret),
        created_by=ctx.actor.email or ctx.actor.name or None,
        creation_path=path,
        created_at=ctx.now,
        expires_at=ctx.now + ttl * 1000,
    )
    await wraps.add(tx, record)
    ctx.audit(
        "wrap-identity-credential",
        org_id=record.org_id,
        project_id=record.project_id,
        **_facts(record),
        wrapTTL=ttl,
    )
    return Wrapped(token=Secret(wrapping_token(id, secret)), record=record)


def _facts(record: Wrap) -> dict[str, Any]:
    return {
        "wrapId": record.id,
        "identityId": record.identity_id,
        "kind": record.kind,
        "credentialId": record.credential_id,
    }


async def lookup(ctx: Ctx, body: PresentedWrap) -> LookedUp:
    """Say of a wrapping token when and for whom it was made, and whether it can still be opened; it stays unopened.

    Raises Unauthorized for what is no wrapping token of this server, TooManyRequests where the address did that often.
    """
    ctx.public("possession of a wrapping token is what looking it up asks for")
    async with ctx.view() as tx:
        record, _ = await _found(ctx, tx, body)
        state = state_of(record, ctx.now)
        if state == "sealed" and not await _is_good(ctx, tx, record):
            state = "revoked"
    await ctx.audit_read(
        "lookup-wrapping-token", org_id=record.org_id, project_id=record.project_id, **_facts(record), state=state
    )
    return LookedUp(record=record, state=state)


async def unwrap(ctx: Ctx, body: PresentedWrap) -> Unwrapped:
    """Open a wrap and return the credential in it, exactly once.

    Raises Unauthorized for every later try, which is an alert in the audit log, and for a wrap that has expired or
    whose credential was revoked.
    """
    ctx.public("possession of a wrapping token is what opening it asks for")
    refusal: Refusal | None = None
    async with ctx.unit() as tx:
        record, secret = await _found(ctx, tx, body)
        content = opened(record, secret) if state_of(record, ctx.now) == "sealed" else None
        if (
            content is not None
            and await _is_good(ctx, tx, record)
            and await wraps.open_once(tx, record.id, ctx.now, ctx.address)
        ):
            ctx.audit(
                "unwrap-identity-credential", org_id=record.org_id, project_id=record.project_id, **_facts(record)
            )
        else:
            refusal = await _refused(ctx, tx, await wraps.wrap(tx, record.id) or record)
    if refusal is not None or content is None:
        wait = ctx.runtime.limits.refused_logins.take(ctx.address)
        raise ctx.runtime.limits.refused_logins.refusal(wait) if wait else refusal or Unauthorized()
    return Unwrapped(record=record, content=content)


async def _found(ctx: Ctx, tx: Tx, body: PresentedWrap) -> tuple[Wrap, bytes]:
    """Return the wrap that a token opens, and the token's secret. Raises Unauthorized, TooManyRequests."""
    parts = taken_apart(body.token)
    record = await wraps.wrap(tx, parts[0]) if parts is not None and parts[0].isprintable() else None
    if parts is None or record is None or not is_right(record, parts[1]):
        wait = ctx.runtime.limits.refused_logins.take(ctx.address)
        if wait:
            raise ctx.runtime.limits.refused_logins.refusal(wait)
        raise Unauthorized("This is not a wrapping token of this server, or it is too old to be known")
    return record, parts[1]


async def _is_good(ctx: Ctx, tx: Tx, record: Wrap) -> bool:
    """Whether the credential in a wrap is still there, not revoked and not expired."""
    if record.kind == "access-token":
        identity = await identities.by_id(tx, record.identity_id)
        if identity is None:
            return False
        try:
            await find_live(ctx, tx, identity, record.credential_id)
        except NotFound:
            return False
        return True
    for config in await method_configs.configs(tx, record.identity_id):
        secret = await client_secrets.by_id(tx, config.id, record.credential_id)
        if secret is not None:
            return endings.state_of(secret, ctx.now) == "active"
    return False


async def _refused(ctx: Ctx, tx: Tx, record: Wrap) -> Refusal:
    """Record in the open unit that a wrap was not opened, and return the refusal."""
    state = state_of(record, ctx.now)
    if state != "opened":
        text, reason = (
            ("has expired", "expired") if state == "expired" else ("is void: its credential has ended", "revoked")
        )
        if await wraps.count_refused(tx, record.id) <= MOST_ALERTS:
            ctx.audit(
                "unwrap-identity-credential-refused",
                org_id=record.org_id,
                project_id=record.project_id,
                **_facts(record),
                severity="warning",
                reason=reason,
            )
        return Unauthorized(f"The wrapping token {text}: ask for a new one")
    times = await wraps.count_refused(tx, record.id)
    if times <= MOST_ALERTS:
        ctx.audit(
            "alert-wrapping-token-reused",
            org_id=record.org_id,
            project_id=record.project_id,
            **_facts(record),
            severity="critical",
            openedAt=record.opened_at,
            openedFrom=record.opened_address,
            times=times,
        )
    return Unauthorized(
        "The wrapping token was opened before, and this is recorded as an alert. If that was not you, somebody else "
        "holds the credential: have it revoked, and ask for a new one"
    )
