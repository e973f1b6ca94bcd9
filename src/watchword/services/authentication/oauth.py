"""OAuth 2 for machines: a client is a client id with its secret, or an identity that signs its own assertion.

Nothing here is a second way in: tokens come from the same login as everywhere else, with its lockout, trusted networks
and records of refusals.
"""

from typing import Any

import msgspec

from watchword.domain.authentication.jose import decode_unverified
from watchword.domain.authentication.tokens import IdentityClaims
from watchword.domain.decode import decode
from watchword.domain.errors import Denied, Unauthorized
from watchword.domain.identities.records import Identity
from watchword.methods.base import AuthMethod, Checks
from watchword.services.authentication import login, method_bodies, tokens
from watchword.services.authentication.bearer import VerifiedTokens, require_live, require_signed
from watchword.services.authentication.tokens import Issued
from watchword.services.context import Ctx
from watchword.store.authentication import token_rows

Method = AuthMethod[Any, Any]
SCOPE = "api"  # every token is for the API; what it may do there is decided by its identity's roles


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """The credentials of a client: an id and a secret, or an assertion (RFC 7523)."""

    id: str = ""
    secret: str = ""
    assertion: str = ""

    def __repr__(self) -> str:
        return f"Client({self.id!r})"


async def token(ctx: Ctx, client: Client) -> Issued:
    """Issue a token for client credentials (RFC 6749, section 4.4). Raises Denied."""
    method, body = _login(ctx, client)
    return await login.login(ctx, method, body)


async def authenticated(ctx: Ctx, client: Client) -> Identity:
    """Authenticate a client without issuing a token; return its identity. Raises Denied."""
    method, body = _login(ctx, client)
    return (await login.authenticate_client(ctx, method, body)).identity


def _login(ctx: Ctx, client: Client) -> tuple[Method, Any]:
    for method in ctx.runtime.methods.values():
        if client.assertion and method.oauth_assertion is not None:
            wire = method.oauth_assertion(client.id or _subject(client.assertion), client.assertion)
        elif not client.assertion and method.oauth_secret is not None:
            wire = method.oauth_secret(client.id, client.secret)
        else:
            continue
        return method, decode(method_bodies.login_body(method), wire)
    raise Denied("no_login", "No auth method takes what the client presents")


def _subject(assertion: str) -> str:
    """Return whom an assertion claims to be from: nothing else of it is used before it is verified."""
    try:
        subject = decode_unverified(assertion, Checks()).claims.get("sub")
    except Denied:
        return ""
    return subject if isinstance(subject, str) else ""


async def introspect(ctx: Ctx, text: str, seen: VerifiedTokens, org_id: str | None) -> dict[str, Any]:
    """Describe a token (RFC 7662) to a caller of organization `org_id`.

    Tokens of other organizations are answered as not active.
    """
    try:
        claims = seen.claims(text)
        if not isinstance(claims, IdentityClaims) or claims.org_id != org_id:
            return {"active": False}
        # Trusted networks are for whoever uses the token, not for the service that asks about it.
        await require_live(ctx, claims, doing="introspect")
        await require_signed(ctx, text, seen)
    except Unauthorized:
        return {"active": False}
    if claims.num_uses_limit:
        async with ctx.view() as tx:
            row = await token_rows.by_id(tx, claims.jti)
        if row is None or row.is_revoked or row.uses >= claims.num_uses_limit:
            return {"active": False}
    return {
        "active": True,
        "scope": SCOPE,
        "client_id": claims.identity_id,
        "sub": claims.identity_id,
        "username": claims.identity_name,
        "token_type": "Bearer",
        "iat": claims.iat,
        "exp": claims.exp,
        "jti": claims.jti,
        "identityId": claims.identity_id,
        "authMethod": claims.auth_method,
        "orgId": claims.org_id,
    }


async def revoke(ctx: Ctx, text: str, seen: VerifiedTokens, owner: str | None) -> bool:
    """Revoke a token (RFC 7009) if it is live and `owner`'s; return False for another owner's token."""
    try:
        claims = seen.claims(text)
        if not isinstance(claims, IdentityClaims):
            return True
        if owner is not None and claims.identity_id != owner:
            return False
        await tokens.revoke(ctx, text, seen)
    except Unauthorized:
        pass  # a token that is invalid already need not be revoked (RFC 7009, section 2.2)
    return True
