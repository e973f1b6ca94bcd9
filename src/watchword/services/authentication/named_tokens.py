"""Named tokens of a method without a login (Token Auth): create, list, rename, revoke."""

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from watchword.domain.authentication.records import AccessToken
from watchword.domain.authentication.wrapping import WrappedContent
from watchword.domain.decode import Name
from watchword.domain.errors import BadRequest, NotFound, Unauthorized
from watchword.domain.identities.records import Identity
from watchword.domain.people.records import Organization
from watchword.methods.base import AuthMethod
from watchword.services.access.boundaries import require_over
from watchword.services.access.scopes import organization
from watchword.services.authentication import tokens, wrapping
from watchword.services.authentication.auth_methods import require_any
from watchword.services.authentication.login import is_key
from watchword.services.authentication.method_bodies import OrganizationSlug, organization_slug
from watchword.services.authentication.tokens import Issued
from watchword.services.authentication.wrapping import Wrapped, WrapTtl
from watchword.services.context import CallerScope, Ctx
from watchword.services.identities.identities import locate
from watchword.store import versions
from watchword.store.access import grants
from watchword.store.authentication import method_configs, token_rows, wraps
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.people import people

Method = AuthMethod[Any, Any]


class CreateNamedToken(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new token and its name."""

    name: Name | None = None
    organization_slug: OrganizationSlug | None = None
    sub_organization_name: OrganizationSlug | None = None
    wrap_ttl: WrapTtl | None = msgspec.field(default=None, name="wrapTTL")


class NamedToken(msgspec.Struct, frozen=True):
    """A named token, and the sub-organization that it is for; None where it is for a root."""

    row: AccessToken
    sub_organization_id: str | None


class NewNamedToken(msgspec.Struct, frozen=True):
    """The token itself or the token that unwraps it, shown once, and its row."""

    issued: Issued
    token: NamedToken
    wrapped: Wrapped | None = None


class TokenPage(msgspec.Struct, frozen=True, kw_only=True):
    """A page of tokens."""

    offset: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class RenameToken(msgspec.Struct, frozen=True, kw_only=True):
    """The new name; left out, nothing changes."""

    name: Name | None = None


async def create(ctx: Ctx, method: Method, identity_id: str, body: CreateNamedToken) -> NewNamedToken:
    """Issue a token to an identity that is not more privileged than the caller."""
    wrap_ttl = wrapping.ttl_of(body.wrap_ttl)
    wrapped = None
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("edit", "create-token"), identity)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "create-token")
        current = await identities.by_id(tx, identity.id)  # before the configuration: see `new_token`
        config = await method_configs.config(tx, identity.id, method.slug)
        org = await people.organization(tx, identity.org_id)
        if current is None or config is None or org is None:
            raise BadRequest(f"The identity does not have {method.title}")
        issued = tokens.new_token(ctx, current, config, await _scoped(tx, identity, org, body))
        row = tokens.row_of(issued.claims, ctx.now, name=body.name, address=ctx.address, user_agent=ctx.user_agent)
        await token_rows.add(tx, row)
        tx.changed(versions.identity(identity.id))
        _audit(ctx, f"create-token-identity-{method.slug}", identity, row)
        if wrap_ttl is not None:
            path = f"/api/v1/auth/{method.slug}/identities/{identity.id}/tokens"
            content = WrappedContent(credential=issued.token)
            wrapped = await wrapping.wrap(ctx, tx, identity, "access-token", row.id, content, ttl=wrap_ttl, path=path)
    return NewNamedToken(issued, await _named(ctx, identity, row), wrapped)


async def _named(ctx: Ctx, identity: Identity, row: AccessToken) -> NamedToken:
    return (await _all_named(ctx, identity, [row]))[0]


async def _all_named(ctx: Ctx, identity: Identity, rows: Sequence[AccessToken]) -> list[NamedToken]:
    """Say of each token for which sub-organization it is: those of another organization than the identity's own are."""
    root = None if (await organization(ctx, identity.org_id)).parent_org_id is not None else identity.org_id
    return [NamedToken(row, None if row.org_id == root else row.org_id) for row in rows]


async def _scoped(tx: Tx, identity: Identity, org: Organization, body: CreateNamedToken) -> Organization:
    """Return the organization that a new token is for: the identity's own, or a sub-organization of it that it is in.

    Raises NotFound for an unknown one, Unauthorized where the identity is no member.
    """
    slug = organization_slug(body)
    if slug is None or slug == org.slug or org.parent_org_id is not None:
        return org
    part = await people.sub_organization(tx, org.id, slug) if is_key(slug) else None
    if part is None:
        raise NotFound(f"There is no sub-organization {slug[:64]!r}")
    member = await grants.org_membership(tx, "identity", identity.id, part.id)
    if member is None or not member.is_active:
        raise Unauthorized("The identity is not a member of this sub-organization")
    return part


async def every(ctx: Ctx, method: Method, identity_id: str, page: TokenPage) -> list[NamedToken]:
    """List the tokens of an identity, newest-updated first, revoked ones included."""
    identity, scope = await locate(ctx, identity_id)
    require_any(ctx, scope, ("read", "get-token"), identity)
    async with ctx.view() as tx:
        if await method_configs.config(tx, identity.id, method.slug) is None:
            raise BadRequest(f"The identity does not have {method.title}")
        rows = await token_rows.of_method(tx, identity.id, method.slug, offset=page.offset, limit=page.limit)
    await ctx.audit_read(
        f"get-tokens-identity-{method.slug}",
        org_id=identity.org_id,
        project_id=identity.project_id,
        identityId=identity.id,
    )
    return await _all_named(ctx, identity, rows)


async def get(ctx: Ctx, method: Method, token_id: str) -> NamedToken:
    """Return one named token."""
    row, identity, scope = await _find(ctx, method, token_id)
    require_any(ctx, scope, ("read", "get-token"), identity)
    return await _named(ctx, identity, row)


async def rename(ctx: Ctx, method: Method, token_id: str, body: RenameToken) -> NamedToken:
    """Give a token another name."""
    row, identity, scope = await _find(ctx, method, token_id)
    require_any(ctx, scope, ("edit", "create-token"), identity)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "create-token")
        if body.name is not None:
            await token_rows.change(tx, row.id, name=body.name, updated_at=ctx.now)
        tx.changed(versions.identity(identity.id))
        _audit(ctx, f"update-token-identity-{method.slug}", identity, row)
        changed = await token_rows.by_id(tx, row.id)
    return await _named(ctx, identity, changed or row)


async def revoke(ctx: Ctx, method: Method, token_id: str) -> None:
    """Revoke a token. Raises NotFound when it is revoked already."""
    row, identity, scope = await _find(ctx, method, token_id)
    require_any(ctx, scope, ("edit", "delete-token"), identity)
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "delete-token")
        current = await token_rows.by_id(tx, row.id)
        if current is None or current.is_revoked:
            raise NotFound("There is no such live token")
        await tokens.end_token(ctx, tx, current)
        await wraps.revoke(tx, current.id)
        _audit(ctx, f"revoke-token-identity-{method.slug}", identity, row)


async def _find(ctx: Ctx, method: Method, token_id: str) -> tuple[AccessToken, Identity, CallerScope]:
    async with ctx.view() as tx:
        row = await token_rows.by_id(tx, token_id)
    if row is None or row.method != method.slug:
        raise NotFound("There is no such token")
    try:
        identity, scope = await locate(ctx, row.identity_id)
    except NotFound:  # it belongs to another organization
        raise NotFound("There is no such token") from None
    return row, identity, scope


def _audit(ctx: Ctx, event: str, identity: Identity, row: AccessToken) -> None:
    ctx.audit(
        event,
        org_id=identity.org_id,
        project_id=identity.project_id,
        identityId=identity.id,
        tokenId=row.id,
        name=row.name,
    )
