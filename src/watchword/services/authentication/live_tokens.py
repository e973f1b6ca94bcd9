"""Live tokens of an identity: list them, revoke one, or all of a method, of a client secret or of the identity.

A login stores nothing for this beyond its audit event: listing reads the events, the rows of tokens that have one, and
the revocations, and works out which tokens would be accepted.
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Literal

import msgspec

from watchword.domain.authentication.live_tokens import (
    LiveToken,
    TokenConditions,
    is_live,
    of_login,
    of_row,
    revocation_keys,
)
from watchword.domain.authentication.records import Revocation
from watchword.domain.decode import Trimmed
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.identities.records import Identity
from watchword.services.access.boundaries import require_over
from watchword.services.authentication.auth_methods import require_any
from watchword.services.authentication.bearer import notice_ended_keys
from watchword.services.context import Ctx
from watchword.services.identities.identities import locate
from watchword.store.access import grants
from watchword.store.authentication import (
    client_secrets,
    live_tokens,
    method_configs,
    token_revocations,
    token_rows,
    wraps,
)
from watchword.store.engine import Tx
from watchword.store.identities import identities

Suspension = Literal["identity_disabled", "identity_expired", "not_a_member"]
_BATCH, _BATCHES = 200, 25  # tokens that one query reads, and queries of one request
_HOUR, _DAY = 3_600_000, 86_400_000  # ms


class LiveTokensQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A query for one page of an identity's live tokens, newest first."""

    auth_method: Annotated[Trimmed | None, msgspec.Meta(description="Only tokens of this auth method: its slug.")] = (
        None
    )
    client_secret_id: Annotated[
        Trimmed | None, msgspec.Meta(description="Only tokens that were issued for this client secret.")
    ] = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=200, description="The most tokens of a page.")] = 50
    cursor: Annotated[str, msgspec.Meta(description="`nextCursor` of the page before; empty: the first page.")] = ""


class RevokeLiveTokens(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which tokens to revoke: exactly one of the three says so. What issued them stays good."""

    auth_method: Annotated[Trimmed | None, msgspec.Meta(description="All tokens of this auth method: its slug.")] = None
    client_secret_id: Annotated[
        Trimmed | None, msgspec.Meta(description="All tokens that were issued for this client secret.")
    ] = None
    all: Annotated[bool, msgspec.Meta(description="All tokens of the identity.")] = False


class LiveTokenPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of live tokens. `suspended` says of each token, by its organization, why it is refused all the same."""

    tokens: Sequence[LiveToken]
    suspended: dict[str, Suspension]
    next_cursor: str | None


class _View(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an identity when its tokens are judged."""

    identity: Identity
    conditions: TokenConditions
    since: int  # ms: no login from before has a live token that has no row
    life: int  # seconds: the most that a token lives without a renewal


async def every(ctx: Ctx, identity_id: str, query: LiveTokensQuery) -> LiveTokenPage:
    """List live tokens. A page may be short without being the last: `next_cursor` says whether it is."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("read", "get-token"), identity)
    await notice_ended_keys(ctx)
    before = query.cursor or live_tokens.LAST_PLACE
    async with ctx.survey() as tx:
        view = await _view(ctx, tx, identity)
        wanted = _wanted(query)
        rows, rows_to = await _gather(tx, view, before, query.limit + 1, _rows, wanted)
        logins, logins_to = await _gather(tx, view, before, query.limit + 1, _logins, wanted)
        # Where a stream was not read to its end, the other one is shown only as far.
        edge = max(rows_to, logins_to)
        found = sorted([*rows, *logins], key=lambda token: token.place, reverse=True)
        within = [token for token in found if token.place >= edge]
        shown = within[: query.limit]
        cursor = shown[-1].place if len(within) > len(shown) else edge
        page = [await _with_origin(tx, token, view.life) for token in shown]
        suspended = await _suspended(ctx, tx, view.identity, page)
    await ctx.audit_read(
        "get-identity-live-tokens", org_id=identity.org_id, project_id=identity.project_id, identityId=identity.id
    )
    return LiveTokenPage(tokens=page, suspended=suspended, next_cursor=cursor or None)


def _wanted(query: LiveTokensQuery) -> Callable[[LiveToken], bool]:
    def is_wanted(token: LiveToken) -> bool:
        return (query.auth_method is None or token.method == query.auth_method) and (
            query.client_secret_id is None or token.client_secret_id == query.client_secret_id
        )

    return is_wanted


async def _view(ctx: Ctx, tx: Tx, identity: Identity) -> _View:
    current = await identities.by_id(tx, identity.id)
    if current is None:
        raise NotFound(f"Failed to find identity with id {identity.id[:64]}")
    configs = await method_configs.configs(tx, identity.id)
    max_age = await token_revocations.longest_age(tx, ctx.runtime.settings.max_token_age)
    life = max((config.longest_life or max_age for config in configs), default=0)
    conditions = TokenConditions(
        now=ctx.now,
        methods={
            config.method: (max(current.tokens_since, config.tokens_since), config.created_at) for config in configs
        },
        key_ids=ctx.runtime.keys.key_ids,
    )
    # Servers number events by clocks of their own: an hour more is looked at.
    return _View(identity=current, conditions=conditions, since=ctx.now - life * 1000 - _HOUR, life=life)


Read = Callable[[Tx, _View, str], Awaitable[tuple[list[LiveToken], str]]]


async def _gather(
    tx: Tx, view: _View, before: str, most: int, read: Read, wanted: Callable[[LiveToken], bool]
) -> tuple[list[LiveToken], str]:
    """Read live tokens until there are enough; return them, and the place read to (empty: the end)."""
    live: list[LiveToken] = []
    for _ in range(_BATCHES):
        found, before = await read(tx, view, before)
        found = [token for token in found if wanted(token)]
        revocations = await _revocations(tx, found)
        live += [token for token in found if is_live(token, view.conditions, revocations)]
        if not before:
            return live, ""
        if len(live) >= most:
            break
    return live, before


async def _revocations(tx: Tx, tokens: Sequence[LiveToken]) -> dict[str, Revocation]:
    keys = {key for token in tokens for key in revocation_keys(token.id, token.client_secret_id)}
    found = await token_revocations.by_keys(tx, sorted(keys)) if keys else []
    return {revocation.key: revocation for revocation in found}


async def _rows(tx: Tx, view: _View, before: str) -> tuple[list[LiveToken], str]:
    rows = await live_tokens.rows(tx, view.identity.id, before=before, now=view.conditions.now, most=_BATCH)
    return [of_row(row) for row in rows], rows[-1].id if len(rows) == _BATCH else ""


async def _logins(tx: Tx, view: _View, before: str) -> tuple[list[LiveToken], str]:
    events = await live_tokens.logins(tx, view.identity.id, before=before, since=view.since, most=_BATCH)
    tokens = [token for event in events if (token := of_login(event, view.life)) is not None]
    have_row = await live_tokens.with_row(tx, [token.id for token in tokens])
    return [token for token in tokens if token.id not in have_row], events[-1].id if len(events) == _BATCH else ""


async def _with_origin(tx: Tx, token: LiveToken, life: int) -> LiveToken:
    """Return a token with where it was issued to, where its row does not say so and the audit log does."""
    if token.address is not None or token.place != token.id:
        return token
    event = await live_tokens.login_of(tx, token.identity_id, token.id)
    login = of_login(event, life) if event is not None else None
    if login is None:
        return token
    return msgspec.structs.replace(token, address=login.address, user_agent=login.user_agent)


async def _suspended(ctx: Ctx, tx: Tx, identity: Identity, tokens: Sequence[LiveToken]) -> dict[str, Suspension]:
    found: dict[str, Suspension] = {}
    for org_id in {token.org_id for token in tokens}:
        if identity.is_disabled:
            found[org_id] = "identity_disabled"
        elif identity.expires_at is not None and identity.expires_at <= ctx.now:
            found[org_id] = "identity_expired"
        else:
            member = await grants.org_membership(tx, "identity", identity.id, org_id)
            if member is None or not member.is_active:
                found[org_id] = "not_a_member"
    return found


async def revoke(ctx: Ctx, identity_id: str, token_id: str) -> LiveToken:
    """Revoke one token and its renewals, at once and on every server. Raises NotFound when it is not live."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "delete-token"), identity)
    await notice_ended_keys(ctx)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "delete-token")
        token = await find_live(ctx, tx, identity, token_id)
        revocation = Revocation(
            key=f"token/{token.id}", identity_id=identity.id, expires_at=await _last(ctx, tx, token.expires_at)
        )
        await token_revocations.revoke(tx, revocation)
        await token_rows.change(tx, token.id, is_revoked=True, updated_at=ctx.now)
        await wraps.revoke(tx, token.id)
        ctx.audit(
            "revoke-identity-live-token",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
            identityAccessTokenId=token.id,
            authMethod=token.method,
        )
    return token


async def find_live(ctx: Ctx, tx: Tx, identity: Identity, token_id: str) -> LiveToken:
    """Return a live token of the identity. Raises NotFound."""
    view = await _view(ctx, tx, identity)
    row = await token_rows.by_id(tx, token_id)
    token = of_row(row) if row is not None else None
    if token is None:
        event = await live_tokens.login_of(tx, identity.id, token_id)
        token = of_login(event, view.life) if event is not None else None
    if token is not None and token.identity_id == identity.id:
        token = await _with_origin(tx, token, view.life)
        if is_live(token, view.conditions, await _revocations(tx, [token])):
            return token
    raise NotFound("There is no such live token")


async def _last(ctx: Ctx, tx: Tx, end: int) -> int:
    """Return the last moment (ms) at which a token with this end, or a renewal made at this moment, can be live."""
    max_age = await token_revocations.longest_age(tx, ctx.runtime.settings.max_token_age)
    return max(ctx.now, end) + max_age * 1000 + _DAY


async def revoke_all(ctx: Ctx, identity_id: str, body: RevokeLiveTokens) -> None:
    """Revoke all tokens of a method, of a client secret or of the identity that were issued until now.

    It takes effect at once and on every server. The method, the client secret and the identity stay good: logins from
    now on are accepted.
    """
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "delete-token"), identity)
    named = [body.auth_method is not None, body.client_secret_id is not None, body.all]
    if named.count(True) != 1:
        raise Invalid.of("authMethod", "Say whose tokens to revoke by exactly one of authMethod, clientSecretId, all")
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "delete-token")
        if body.auth_method is not None:
            if await method_configs.config(tx, identity.id, body.auth_method) is None:
                raise BadRequest(f"The identity does not have the auth method {body.auth_method[:64]!r}")
            await token_revocations.end_tokens_of_method(tx, identity.id, body.auth_method, ctx.now)
        elif body.client_secret_id is not None:
            await _end_issued_for(ctx, tx, identity, body.client_secret_id)
        else:
            await token_revocations.end_all_tokens(tx, identity.id, ctx.now)
        ctx.audit(
            "revoke-identity-live-tokens",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
            authMethod=body.auth_method,
            clientSecretId=body.client_secret_id,
        )


async def _end_issued_for(ctx: Ctx, tx: Tx, identity: Identity, secret_id: str) -> None:
    for config in await method_configs.configs(tx, identity.id):
        secret = await client_secrets.by_id(tx, config.id, secret_id)
        if secret is not None:
            life = config.longest_life or await token_revocations.longest_age(tx, ctx.runtime.settings.max_token_age)
            used = max(ctx.now, secret.last_used_at or 0)
            await token_revocations.end_tokens_issued_for(tx, secret, used + life * 1000 + _DAY, ctx.now)
            return
    raise NotFound("There is no such client secret on this identity")
