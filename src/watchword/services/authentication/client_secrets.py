"""Client secrets of a method that logs in with them (Universal Auth): create, list, read, revoke."""

from typing import Annotated, Any

import msgspec

from watchword.domain.authentication.endings import state_of
from watchword.domain.authentication.records import ClientSecret, MethodConfig
from watchword.domain.authentication.wrapping import WrappedContent
from watchword.domain.errors import BadRequest, NotFound
from watchword.domain.identities.records import Identity
from watchword.domain.secret import Secret
from watchword.methods.base import AuthMethod
from watchword.services.access.boundaries import require_over
from watchword.services.authentication import tokens, wrapping
from watchword.services.authentication.auth_methods import require_any
from watchword.services.authentication.method_bodies import MAX_TTL, MAX_USES
from watchword.services.authentication.wrapping import Wrapped, WrapTtl
from watchword.services.context import Ctx
from watchword.services.identities.identities import locate
from watchword.store import versions
from watchword.store.authentication import client_secrets, method_configs, wraps
from watchword.store.engine import Tx

Method = AuthMethod[Any, Any]


class CreateClientSecret(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A new client secret. `ttl` is seconds, 0 forever; `num_uses_limit` 0 is unlimited.

    Any other key is refused: a misspelt limit would be none. `identity_id` is taken for clients that repeat the path.
    """

    identity_id: str | None = None
    description: Annotated[str, msgspec.Meta(max_length=255, extra={"trim": True})] = ""
    num_uses_limit: Annotated[int, msgspec.Meta(ge=0, le=MAX_USES)] = 0
    ttl: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL)] = 0
    wrap_ttl: WrapTtl | None = msgspec.field(default=None, name="wrapTTL")


class NewClientSecret(msgspec.Struct, frozen=True):
    """The secret itself or the token that unwraps it, shown once, and its record."""

    secret: Secret
    record: ClientSecret
    wrapped: Wrapped | None = None


async def create(ctx: Ctx, method: Method, identity_id: str, body: CreateClientSecret) -> NewClientSecret:
    """Create a client secret for an identity that is not more privileged than the caller."""
    wrap_ttl = wrapping.ttl_of(body.wrap_ttl)
    wrapped = None
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("create", "create-token"), identity)
    secret = ctx.runtime.entropy(32).hex()
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "create-token")
        config = await _config(tx, method, identity)
        record = _record(ctx, config, secret, body.description, body.ttl, body.num_uses_limit)
        await client_secrets.add(tx, record)
        tx.changed(versions.identity(identity.id))
        _audit(ctx, f"create-identity-{method.slug}-client-secret", identity, record.id)
        if wrap_ttl is not None:
            path = f"/api/v1/auth/{method.slug}/identities/{identity.id}/client-secrets"
            content = WrappedContent(credential=secret, client_id=config.locator)
            wrapped = await wrapping.wrap(
                ctx, tx, identity, "client-secret", record.id, content, ttl=wrap_ttl, path=path
            )
    return NewClientSecret(Secret(secret), record, wrapped)


def _record(ctx: Ctx, config: MethodConfig, secret: str, description: str, ttl: int, uses_limit: int) -> ClientSecret:
    """Return a new client secret as it is stored: by its keyed hash."""
    return ClientSecret(
        id=ctx.new_id(),
        identity_id=config.identity_id,
        config_id=config.id,
        description=description,
        prefix=secret[:4],
        hash=ctx.runtime.keys.digest(secret),
        hash_version=ctx.runtime.keys.hash_version,
        ttl=ttl,
        uses_limit=uses_limit,
        created_at=ctx.now,
        updated_at=ctx.now,
    )


class RotateClientSecret(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """How one client secret takes the place of another: the old one ends after `overlap` seconds."""

    overlap: Annotated[int, msgspec.Meta(ge=0, le=MAX_TTL)] = 86_400


async def rotate(
    ctx: Ctx, method: Method, identity_id: str, secret_id: str, body: RotateClientSecret
) -> NewClientSecret:
    """Create a client secret like another one, which ends after a while: both are good until then.

    The old one's own end stays where it is earlier. Raises BadRequest for one that is not active.
    """
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("create", "create-token"), identity)
    require_any(ctx, scope, ("delete", "delete-token"), identity)
    secret = ctx.runtime.entropy(32).hex()
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "create-token")
        await require_over(ctx, tx, scope, identity, "delete-token")
        config = await _config(tx, method, identity)
        old = await _secret(tx, method, identity, secret_id)
        if state_of(old, ctx.now) != "active":
            raise BadRequest("Only an active client secret can be rotated: create a new one")
        record = _record(ctx, config, secret, old.description, old.ttl, old.uses_limit)
        await client_secrets.add(tx, record)
        lived = max(1, -(-(ctx.now - old.created_at) // 1000) + body.overlap)
        ttl = min(lived, old.ttl) if old.ttl else lived
        await client_secrets.end(tx, old.id, ttl, ctx.now)
        tx.changed(versions.identity(identity.id))
        _audit(ctx, f"create-identity-{method.slug}-client-secret", identity, record.id)
        _audit(ctx, f"update-identity-{method.slug}-client-secret", identity, old.id)
    return NewClientSecret(Secret(secret), record)


async def every(ctx: Ctx, method: Method, identity_id: str, *, with_revoked: bool = False) -> list[ClientSecret]:
    """List the client secrets, without those that are revoked unless they are asked for.

    Expired and used-up ones stay listed until removed.
    """
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("read", "get-token"), identity)
    async with ctx.view() as tx:
        await require_over(ctx, tx, scope, identity, "get-token")
        config = await _config(tx, method, identity)
        stored = await client_secrets.of_config(tx, config.id)
        secrets = [secret for secret in stored if with_revoked or not secret.is_revoked]
    await ctx.audit_read(f"get-identity-{method.slug}-client-secret", org_id=identity.org_id, identityId=identity.id)
    return secrets


async def get(ctx: Ctx, method: Method, identity_id: str, secret_id: str) -> ClientSecret:
    """Return one client secret of this identity, revoked or not."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("read", "get-token"), identity)
    async with ctx.view() as tx:
        await require_over(ctx, tx, scope, identity, "get-token")
        return await _secret(tx, method, identity, secret_id)


async def revoke(ctx: Ctx, method: Method, identity_id: str, secret_id: str) -> ClientSecret:
    """Revoke a client secret and every token that was issued for it."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("delete", "delete-token"), identity)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "delete-token")
        config = await _config(tx, method, identity)
        await client_secrets.revoke(tx, (await _secret(tx, method, identity, secret_id)).id, ctx.now)
        record = await _secret(
            tx, method, identity, secret_id
        )  # read again: it cannot be used any more, so its last use is final
        await tokens.end_tokens_of_secret(ctx, tx, record, config)
        await wraps.revoke(tx, record.id)
        _audit(ctx, f"revoke-identity-{method.slug}-client-secret", identity, record.id)
        return await _secret(tx, method, identity, secret_id)


async def _config(tx: Tx, method: Method, identity: Identity) -> MethodConfig:
    config = await method_configs.config(tx, identity.id, method.slug)
    if config is None:
        raise BadRequest(f"The identity does not have {method.title}")
    return config


async def _secret(tx: Tx, method: Method, identity: Identity, secret_id: str) -> ClientSecret:
    config = await _config(tx, method, identity)
    record = await client_secrets.by_id(tx, config.id, secret_id)
    if record is None:
        raise NotFound("There is no such client secret on this identity")
    return record


def _audit(ctx: Ctx, event: str, identity: Identity, secret_id: str) -> None:
    ctx.audit(
        event, org_id=identity.org_id, project_id=identity.project_id, identityId=identity.id, clientSecretId=secret_id
    )
