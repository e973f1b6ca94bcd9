"""OAuth 2 endpoints at the standard paths, so that any client library can get a token.

RFC 6749 4.4 (client credentials), 7523 (private_key_jwt), 7662 (introspection), 7009 (revocation), 8414 (metadata).
"""

import base64
import binascii
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn
from urllib.parse import parse_qsl, unquote_plus

import msgspec

from watchword.domain.authentication.jose import SIGNATURES
from watchword.domain.errors import Denied, Refusal, Unauthorized
from watchword.http.bodies import FORM
from watchword.http.routing import Incoming, Reply, Routes
from watchword.services.authentication import oauth
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer, count_use
from watchword.services.authentication.oauth import SCOPE, Client
from watchword.services.context import Ctx

ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_AUTH_METHODS = ["client_secret_basic", "client_secret_post", "private_key_jwt"]
_NO_STORE = {"cache-control": "no-store", "pragma": "no-cache"}
OAuthHandler = Callable[[Ctx, Incoming], Awaitable[Reply]]


class OAuthError(Refusal):
    """A refusal in the words of RFC 6749 5.2."""

    def __init__(self, code: str, description: str, *, status: int = 400) -> None:
        super().__init__(description)
        self.code = code
        self.status = status  # type: ignore[misc]


class ClientFields(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The credentials of a client in the body, where the Authorization header has none."""

    client_id: str | None = None
    client_secret: str | None = None
    client_assertion_type: str | None = None
    client_assertion: str | None = None


class TokenRequest(ClientFields, frozen=True, kw_only=True):
    """A token request (RFC 6749 4.4.2)."""

    grant_type: str
    scope: str | None = None


class TokenQuestion(ClientFields, frozen=True, kw_only=True):
    """An introspection or a revocation (RFC 7662 2.1, RFC 7009 2.1)."""

    token: str
    token_type_hint: str | None = None


def routes(verified_tokens: VerifiedTokens) -> Routes:
    """The endpoints of OAuth 2."""
    routes = Routes("OAuth 2")

    @_in_oauth
    async def token(ctx: Ctx, request: Incoming) -> Reply:
        form = _form(request)
        grant = form.get("grant_type")
        if not grant:
            raise OAuthError("invalid_request", "grant_type is missing")
        if grant != "client_credentials":
            raise OAuthError("unsupported_grant_type", "The grant_type of a machine is client_credentials")
        issued = await oauth.token(ctx, _client(request, form) or _nobody())
        body = {
            "access_token": issued.token,
            "token_type": "Bearer",
            "expires_in": (issued.claims.expires_ms - ctx.now) // 1000,
        }
        # What was asked for is answered with what is granted: there is one scope, and roles decide (RFC 6749 3.3).
        return Reply(body | ({"scope": SCOPE} if form.get("scope") else {}), headers=_NO_STORE)

    @_in_oauth
    async def introspect(ctx: Ctx, request: Incoming) -> Reply:
        form = _form(request)
        client = _client(request, form)
        if client is not None:
            org_id: str | None = (await oauth.authenticated(ctx, client)).org_id
        else:
            ctx.actor = await authenticate_bearer(ctx, _bearer(request) or _nobody(), verified_tokens)
            await count_use(ctx)
            org_id = ctx.actor.org_id
        return Reply(await oauth.introspect(ctx, _token(form), verified_tokens, org_id), headers=_NO_STORE)

    @_in_oauth
    async def revoke(ctx: Ctx, request: Incoming) -> Reply:
        form = _form(request)
        client = _client(request, form)
        # Whoever holds a token may end it; a client that names itself as well must be the one it was issued to.
        owner = (await oauth.authenticated(ctx, client)).id if client is not None else None
        if not await oauth.revoke(ctx, _token(form), verified_tokens, owner):
            raise OAuthError("unauthorized_client", "The token was issued to another client")
        return Reply({}, headers=_NO_STORE)

    async def issue_token(ctx: Ctx, body: Incoming) -> Reply:
        """Issue an access token by client credentials (RFC 6749)."""
        return await token(ctx, body)

    async def introspect_token(ctx: Ctx, body: Incoming) -> Reply:
        """Say what a token is (RFC 7662): to a client, or to whoever holds a token of the same organization."""
        return await introspect(ctx, body)

    async def revoke_token(ctx: Ctx, body: Incoming) -> Reply:
        """End a token (RFC 7009)."""
        return await revoke(ctx, body)

    routes.add("POST", "/oauth2/token", handler=issue_token, body_for=TokenRequest)
    routes.add("POST", "/oauth2/introspect", handler=introspect_token, body_for=TokenQuestion)
    routes.add("POST", "/oauth2/revoke", handler=revoke_token, body_for=TokenQuestion)
    routes.add("GET", "/.well-known/oauth-authorization-server", handler=_metadata)
    return routes


async def _metadata(ctx: Ctx, body: Incoming) -> Reply:
    """The document that names all endpoints (RFC 8414)."""
    settings = ctx.runtime.settings
    scheme = "https" if settings.tls_cert_file else "http"
    # Without a site URL the address that was asked is the best there is; nobody but the one who asked gets it.
    issuer = settings.site_url.rstrip("/") or f"{scheme}://{body.header('host')}"
    answer: dict[str, Any] = {"issuer": issuer, "jwks_uri": f"{issuer}/.well-known/jwks.json"}
    for name, path in (("token", "token"), ("introspection", "introspect"), ("revocation", "revoke")):
        answer[f"{name}_endpoint"] = f"{issuer}/oauth2/{path}"
        answer[f"{name}_endpoint_auth_methods_supported"] = _AUTH_METHODS
        answer[f"{name}_endpoint_auth_signing_alg_values_supported"] = sorted(SIGNATURES)
    answer |= {
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": [],
        "scopes_supported": [SCOPE],
    }
    return Reply(answer, headers={"cache-control": "no-store"})


def _in_oauth(answer: OAuthHandler) -> OAuthHandler:
    async def rendered(ctx: Ctx, request: Incoming) -> Reply:
        try:
            return await answer(ctx, request)
        except Refusal as refusal:
            return _refused(refusal, request, ctx.request_id)

    return rendered


def _refused(refusal: Refusal, request: Incoming, request_id: str) -> Reply:
    code, status = "invalid_request", 400
    headers = dict(_NO_STORE)
    if isinstance(refusal, OAuthError):
        code, status = refusal.code, refusal.status
    elif isinstance(refusal, Denied):
        code, status = "invalid_client", 401
    elif isinstance(refusal, Unauthorized):
        code, status = "invalid_token", 401
    elif refusal.status in (429, 503):
        code, status = "temporarily_unavailable", refusal.status
        headers["retry-after"] = str(refusal.retry_after or 1)
    elif refusal.status == 403:
        code, status = "access_denied", 403
    if status == 401:
        # The same scheme that was tried, so that a client library knows what to do again (RFC 6749 5.2).
        scheme = "Bearer" if _bearer(request) else "Basic"
        headers["www-authenticate"] = f'{scheme} realm="watchword", error="{code}"'
    return Reply(
        {"error": code, "error_description": refusal.message, "reqId": request_id}, status=status, headers=headers
    )


def _nobody() -> NoReturn:
    raise OAuthError("invalid_client", "The client does not say who it is", status=401)


def _form(request: Incoming) -> dict[str, str]:
    if request.header("content-type").partition(";")[0].strip().lower() != FORM:
        raise OAuthError("invalid_request", f"Send the parameters as {FORM}")
    try:
        pairs = parse_qsl(
            request.body.decode(), keep_blank_values=True, strict_parsing=bool(request.body), max_num_fields=50
        )
    except ValueError as error:
        raise OAuthError("invalid_request", "The parameters cannot be read") from error
    if len(dict(pairs)) != len(pairs):
        raise OAuthError("invalid_request", "A parameter stands twice")
    return {name: value for name, value in pairs if value}


def _bearer(request: Incoming) -> str:
    scheme, _, value = request.header("authorization").strip().partition(" ")
    return value.strip() if scheme.lower() == "bearer" else ""


def _client(request: Incoming, form: dict[str, str]) -> Client | None:
    """What the client presents, in one of the three ways and not in two of them (RFC 6749 2.3); None for nothing."""
    basic = _basic(request)
    asserted = "client_assertion" in form or "client_assertion_type" in form
    if sum([basic is not None, "client_secret" in form, asserted]) > 1:
        raise OAuthError("invalid_request", "The client proves itself in more than one way")
    if basic is not None:
        if form.get("client_id", basic.id) != basic.id:
            raise OAuthError("invalid_request", "The header and the body name different clients")
        return basic
    if asserted:
        if form.get("client_assertion_type") != ASSERTION:
            raise OAuthError("invalid_client", f"client_assertion_type must be {ASSERTION}", status=401)
        return Client(id=form.get("client_id", ""), assertion=form.get("client_assertion") or _nobody())
    if "client_secret" in form:
        return Client(id=form.get("client_id", ""), secret=form["client_secret"])
    return None


def _basic(request: Incoming) -> Client | None:
    scheme, _, value = request.header("authorization").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, secret = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise OAuthError("invalid_client", "The Authorization header cannot be read", status=401)
    return Client(id=unquote_plus(name), secret=unquote_plus(secret))


def _token(form: dict[str, str]) -> str:
    if "token" not in form:
        raise OAuthError("invalid_request", "token is missing")
    return form["token"]
