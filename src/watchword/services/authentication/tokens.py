"""Issue, renew and revoke access tokens."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from watchword.domain.authentication.records import AccessToken, ClientSecret, MethodConfig, Revocation
from watchword.domain.authentication.tokens import IDENTITY, IdentityClaims, ends_at, last_end
from watchword.domain.bounds import compile_ranges
from watchword.domain.errors import BadRequest, Refusal, Unauthorized
from watchword.domain.identities.records import Identity
from watchword.domain.people.records import Organization
from watchword.services.authentication.bearer import VerifiedTokens, require_live, require_signed, require_standing
from watchword.services.context import Ctx
from watchword.store.authentication import token_revocations, token_rows
from watchword.store.engine import Tx


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """An issued token and what its holder is told about it. Times to live are seconds."""

    token: str
    claims: IdentityClaims
    expires_in: int
    max_ttl: int

    def __repr__(self) -> str:
        return f"Issued(jti={self.claims.jti})"


def new_token(
    ctx: Ctx,
    identity: Identity,
    config: MethodConfig,
    org: Organization,
    *,
    client_secret_id: str | None = None,
    auth: Mapping[str, Any] | None = None,
) -> Issued:
    """Make a token for an identity under a method's configuration. Nothing is stored.

    Identity and configuration must come from one view, or the identity from an earlier one: a token of an old
    generation has ended, but one of a new generation issued under an old configuration would not have.
    """
    max_age = ctx.runtime.settings.max_token_age
    end = ends_at(
        now=ctx.now, first=ctx.now, ttl=config.ttl, max_ttl=config.max_ttl, period=config.period, max_age=max_age
    )
    jti = ctx.new_id()
    seconds = ctx.now // 1000
    claims = IdentityClaims(
        identity_id=identity.id,
        client_secret_id=client_secret_id,
        identity_access_token_id=jti,
        auth_token_type=IDENTITY,
        iat=seconds,
        exp=_rounded_up(end),
        jti=jti,
        identity_name=identity.name,
        auth_method=config.method,
        org_id=org.id,
        root_org_id=org.root_org_id or org.id,
        parent_org_id=org.parent_org_id or org.id,
        creation_epoch=seconds,
        creation_ms=ctx.now,
        generation=identity.token_generation,
        expires_ms=end,
        access_token_ttl=config.period or config.ttl,
        access_token_max_ttl=0 if config.period else config.max_ttl,
        access_token_period=config.period,
        num_uses_limit=config.uses_limit,
        ip_restriction_enabled=not compile_ranges(config.trusted_ips).is_open,
        identity_auth=dict(auth) if auth else None,
        serial=_serial(ctx),
    )
    return _issued(ctx, claims)


def _rounded_up(ms: int) -> int:
    return -(-ms // 1000)


def _serial(ctx: Ctx) -> str:
    return base64.urlsafe_b64encode(ctx.runtime.entropy(6)).decode()


def _issued(ctx: Ctx, claims: IdentityClaims) -> Issued:
    # The rest of the token's life: less than the TTL near the end of the max TTL, and all of it where the TTL is 0.
    left = max(0, claims.expires_ms - ctx.now) // 1000
    return Issued(
        token=ctx.runtime.keys.signer.sign(claims), claims=claims, expires_in=left, max_ttl=claims.access_token_max_ttl
    )


def row_of(
    claims: IdentityClaims,
    now: int,
    *,
    name: str | None = None,
    address: str | None = None,
    user_agent: str | None = None,
) -> AccessToken:
    """Make the row of a token that was first issued at `now` (ms), by a login or for somebody with this address."""
    return AccessToken(
        id=claims.jti,
        identity_id=claims.identity_id,
        org_id=claims.org_id,
        method=claims.auth_method,
        name=name,
        client_secret_id=claims.client_secret_id,
        ttl=claims.access_token_ttl,
        max_ttl=claims.access_token_max_ttl,
        period=claims.access_token_period,
        uses_limit=claims.num_uses_limit,
        expires_at=claims.expires_ms,
        generation=claims.generation,
        address=address,
        user_agent=user_agent or None,
        created_at=now,
        updated_at=now,
    )


def _identity_claims(token: str, seen: VerifiedTokens, refusal: type[Refusal]) -> IdentityClaims:
    claims = seen.claims(token)
    if not isinstance(claims, IdentityClaims):
        raise refusal("Only the access token of a machine identity can be renewed or revoked here")
    return claims


async def renew(ctx: Ctx, token: str, seen: VerifiedTokens) -> Issued:
    """Renew a valid token; its life counts from the issue of the first one. A refusal leaves the old token valid.

    What the token was issued for is checked again: the identity, its method, its trusted networks, revocations. The
    generation stays.
    """
    ctx.public("possession of a valid token is what renewal asks for")
    claims = _identity_claims(token, seen, BadRequest)
    await require_standing(ctx, claims, doing="renew")
    await require_signed(ctx, token, seen)
    end = ends_at(
        now=ctx.now,
        first=claims.creation_ms,
        ttl=claims.access_token_ttl,
        max_ttl=claims.access_token_max_ttl,
        period=claims.access_token_period,
        max_age=ctx.runtime.settings.max_token_age,
    )
    if end <= ctx.now:
        raise Unauthorized("Cannot renew: the access token has reached its max TTL, log in again")
    if claims.num_uses_limit:
        await _require_uses(ctx, claims)
    renewed = msgspec.structs.replace(
        claims, iat=ctx.now // 1000, exp=_rounded_up(end), expires_ms=end, serial=_serial(ctx)
    )
    if claims.num_uses_limit or claims.auth_method in ctx.runtime.named_tokens:
        await ctx.submit(token_rows.TokenRenewed(claims.jti, ctx.now, end))
    elif end > claims.expires_ms:  # else its login has stored its end already
        await ctx.submit(token_rows.LoginTokenRenewed(row_of(renewed, claims.creation_ms), ctx.now))
    return _issued(ctx, renewed)


async def _require_uses(ctx: Ctx, claims: IdentityClaims) -> None:
    async with ctx.view() as tx:
        row = await token_rows.by_id(tx, claims.jti)
    if row is None or row.is_revoked or row.uses >= claims.num_uses_limit:
        raise Unauthorized("Cannot renew: the access token has no uses left")


async def revoke(ctx: Ctx, token: str, seen: VerifiedTokens) -> None:
    """Revoke a token and every renewal of it. Raises Unauthorized when it is not live.

    It works from any network: whoever finds a stolen token may end it.
    """
    ctx.public("possession of the token is what revoking it asks for")
    claims = _identity_claims(token, seen, Unauthorized)
    await require_live(ctx, claims, doing="revoke")
    await require_signed(ctx, token, seen)
    async with ctx.unit() as tx:
        await end_token(ctx, tx, row_of(claims, claims.creation_ms))
        ctx.audit(
            "revoke-identity-access-token",
            org_id=claims.org_id,
            identityId=claims.identity_id,
            identityAccessTokenId=claims.jti,
        )


_DAY = 86_400_000  # ms: by how much the clocks of servers may differ before a revocation is removed too early


async def end_token(ctx: Ctx, tx: Tx, token: AccessToken) -> None:
    """Revoke one token and its renewals in the open unit. `token` is its row, whether stored or not."""
    max_age = await token_revocations.longest_age(tx, ctx.runtime.settings.max_token_age)
    last = last_end(
        now=ctx.now,
        first=token.created_at,
        end=token.expires_at,
        ttl=token.ttl,
        max_ttl=token.max_ttl,
        period=token.period,
        max_age=max_age,
    )
    await token_revocations.revoke(
        tx, Revocation(key=f"token/{token.id}", identity_id=token.identity_id, expires_at=last + _DAY)
    )
    await token_rows.change(tx, token.id, is_revoked=True, updated_at=ctx.now)


async def end_tokens_of_secret(ctx: Ctx, tx: Tx, secret: ClientSecret, config: MethodConfig) -> None:
    """Revoke all tokens that were issued for a client secret, in the open unit."""
    life = config.longest_life or await token_revocations.longest_age(tx, ctx.runtime.settings.max_token_age)
    used = max(ctx.now, secret.last_used_at or 0)  # a renewal after this one is refused
    revocation = Revocation(
        key=f"secret/{secret.id}", identity_id=secret.identity_id, expires_at=used + life * 1000 + _DAY
    )
    await token_revocations.revoke(tx, revocation)
