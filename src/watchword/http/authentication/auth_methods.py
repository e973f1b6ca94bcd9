"""Routes of auth methods, made for every method in the registry; client secrets; tokens.

A method is attached, updated, read, removed and logged in with.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.decode import Trimmed
from watchword.http.authentication.wrapping import WrappingOut
from watchword.http.routing import IDENTITY, USER, Raw, Routes
from watchword.http.wire import ClientSecretOut, Out, TokenOut, TokenRowOut, config_out
from watchword.methods.base import AuthMethod, Check
from watchword.services.authentication import (
    auth_methods,
    client_secrets,
    dry_run_login,
    login,
    method_bodies,
    named_tokens,
    risks,
    tokens,
)
from watchword.services.authentication.bearer import VerifiedTokens
from watchword.services.context import Ctx

Method = AuthMethod[Any, Any]


def method_routes(methods: Iterable[Method]) -> Routes:
    """The routes that every auth method has."""
    routes = Routes("auth methods")
    for method in methods:
        _add(routes, method)
    return routes


def _add(routes: Routes, method: Method) -> None:
    path = f"/api/v1/auth/{method.slug}/identities/{{identity_id}}"
    shape = method_bodies.body(method)

    async def attach(ctx: Ctx, identity_id: str, body: Raw) -> dict[str, Any]:
        return _with_warnings(method, await auth_methods.attach(ctx, method, identity_id, body))

    async def update(ctx: Ctx, identity_id: str, body: Raw) -> dict[str, Any]:
        return _with_warnings(method, await auth_methods.update(ctx, method, identity_id, body))

    async def get(ctx: Ctx, identity_id: str) -> dict[str, Any]:
        return _with_warnings(method, await auth_methods.get(ctx, method, identity_id))

    async def remove(ctx: Ctx, identity_id: str) -> dict[str, Any]:
        return {method.wrapper: config_out(await auth_methods.remove(ctx, method, identity_id))}

    async def clear(ctx: Ctx, identity_id: str) -> dict[str, int]:
        return {"deleted": await auth_methods.clear_lockouts(ctx, method, identity_id)}

    async def refresh(ctx: Ctx, identity_id: str) -> dict[str, Any]:
        return {method.wrapper: config_out(await auth_methods.refresh(ctx, method, identity_id))}

    attach.__doc__, update.__doc__ = (
        f"Attach {method.title} to an identity.",
        f"Change the {method.title} of an identity.",
    )
    get.__doc__, remove.__doc__ = f"Read the {method.title} of an identity.", f"Remove {method.title} from an identity."
    clear.__doc__ = f"Forget failed {method.title} logins of an identity."
    routes.add("POST", path, USER, IDENTITY, handler=attach, body_for=shape)
    routes.add("PATCH", path, USER, IDENTITY, handler=update, body_for=shape)
    routes.add("GET", path, USER, IDENTITY, handler=get)
    routes.add("DELETE", path, USER, IDENTITY, handler=remove)
    if method.has_lockout:
        routes.add("POST", f"{path}/clear-lockouts", USER, IDENTITY, handler=clear)
    if method.refresh is not None:
        refresh.__doc__ = f"Fetch the {method.refresh.title} of the {method.title} of an identity again."
        routes.add("POST", f"{path}/refresh-{method.refresh.what}", USER, IDENTITY, handler=refresh)
    if method.login is not None:
        routes.add(
            "POST",
            f"{path}/test-login",
            USER,
            IDENTITY,
            handler=_test_login(method),
            body_for=dry_run_login.body(method),
        )
        routes.add("POST", f"/api/v1/auth/{method.slug}/login", handler=_login(method), hot=True, most=method.max_login)


def _with_warnings(method: Method, attached: auth_methods.Attached) -> dict[str, Any]:
    """A configuration, and what it lets in that its author may not mean.

    Clients that know of no warnings pass them over.
    """
    return {method.wrapper: config_out(attached), "warnings": risks.high(method, attached.record, attached.settings)}


def _login(method: Method) -> Any:
    async def log_in(ctx: Ctx, body: Any) -> TokenOut:
        return TokenOut.of(await login.login(ctx, method, body))

    log_in.__annotations__["body"] = method_bodies.login_body(method)
    log_in.__doc__ = f"Log in with {method.title}."
    return log_in


class TriedReply(Out, frozen=True, kw_only=True):
    """The outcome of a dry-run login, check by check."""

    passed: bool
    is_proved: bool
    reason: str | None
    message: str | None
    checks: Sequence[Check]
    identity_auth: Mapping[str, Any]


def _test_login(method: Method) -> Any:
    async def try_login(ctx: Ctx, identity_id: str, body: Raw) -> TriedReply:
        tried = await dry_run_login.attempt(ctx, method, identity_id, body)
        return TriedReply(
            passed=tried.passed,
            is_proved=tried.is_proved,
            reason=tried.reason,
            message=tried.message,
            checks=tried.checks,
            identity_auth=tried.claims,
        )

    try_login.__doc__ = f"Try a login with {method.title}: each check in order, and no token."
    return try_login


class NewTokenReply(Out, frozen=True, kw_only=True):
    """A new client secret; with `wrapTTL` only the token that unwraps it."""

    client_secret: str | msgspec.UnsetType = msgspec.UNSET
    client_secret_data: ClientSecretOut
    wrapping: WrappingOut | msgspec.UnsetType = msgspec.UNSET


class ClientSecretReply(Out, frozen=True, kw_only=True):
    client_secret_data: ClientSecretOut


class ClientSecretsReply(Out, frozen=True, kw_only=True):
    client_secret_data: list[ClientSecretOut]


class TokenMadeReply(Out, frozen=True, kw_only=True):
    """A new token; with `wrapTTL` only the token that unwraps it."""

    access_token: str | msgspec.UnsetType = msgspec.UNSET
    expires_in: int
    access_token_max_ttl: int = msgspec.field(name="accessTokenMaxTTL")
    token_type: str = "Bearer"  # noqa: S105 - the scheme, RFC 6750
    token_data: TokenRowOut
    wrapping: WrappingOut | msgspec.UnsetType = msgspec.UNSET


class TokensReply(Out, frozen=True, kw_only=True):
    tokens: list[TokenRowOut]


class TokenReply(Out, frozen=True, kw_only=True):
    token: TokenRowOut


class MessageReply(Out, frozen=True, kw_only=True):
    message: str


def credential_routes(methods: Iterable[Method]) -> Routes:
    """The routes of what operators make for identities: client secrets and named tokens.

    They stand under the slug of the method that has them.
    """
    routes = Routes("credentials")
    for method in methods:
        if method.has_client_secrets:
            _add_client_secrets(routes, method)
        if method.has_named_tokens:
            _add_named_tokens(routes, method)
    return routes


def _add_client_secrets(routes: Routes, method: Method) -> None:
    path = f"/api/v1/auth/{method.slug}/identities/{{identity_id}}/client-secrets"

    @routes.post(path, USER, IDENTITY)
    async def create_client_secret(
        ctx: Ctx, identity_id: str, body: client_secrets.CreateClientSecret
    ) -> NewTokenReply:
        """Make a client secret; it is shown this once, or by a wrapping token to whoever unwraps it."""
        created = await client_secrets.create(ctx, method, identity_id, body)
        return NewTokenReply(
            client_secret=msgspec.UNSET if created.wrapped else created.secret.reveal(),
            client_secret_data=ClientSecretOut.of(created.record, ctx.now),
            wrapping=WrappingOut.of(created.wrapped) if created.wrapped else msgspec.UNSET,
        )

    @routes.get(path, USER, IDENTITY)
    async def list_client_secrets(ctx: Ctx, identity_id: str) -> ClientSecretsReply:
        """List the client secrets that are not revoked."""
        return ClientSecretsReply(
            client_secret_data=[
                ClientSecretOut.of(secret, ctx.now) for secret in await client_secrets.every(ctx, method, identity_id)
            ]
        )

    @routes.get(path + "/{client_secret_id}", USER, IDENTITY)
    async def get_client_secret(ctx: Ctx, identity_id: str, client_secret_id: str) -> ClientSecretReply:
        """Read a client secret's data."""
        return ClientSecretReply(
            client_secret_data=ClientSecretOut.of(
                await client_secrets.get(ctx, method, identity_id, client_secret_id), ctx.now
            )
        )

    @routes.post(path + "/{client_secret_id}/revoke", USER, IDENTITY)
    async def revoke_client_secret(ctx: Ctx, identity_id: str, client_secret_id: str) -> ClientSecretReply:
        """Revoke a client secret and the tokens issued for it."""
        return ClientSecretReply(
            client_secret_data=ClientSecretOut.of(
                await client_secrets.revoke(ctx, method, identity_id, client_secret_id), ctx.now
            )
        )


def _add_named_tokens(routes: Routes, method: Method) -> None:
    path = f"/api/v1/auth/{method.slug}"

    @routes.post(path + "/identities/{identity_id}/tokens", USER, IDENTITY)
    async def create_token(ctx: Ctx, identity_id: str, body: named_tokens.CreateNamedToken) -> TokenMadeReply:
        """Make an access token for an identity; it is shown this once, or to whoever unwraps it."""
        created = await named_tokens.create(ctx, method, identity_id, body)
        return TokenMadeReply(
            access_token=msgspec.UNSET if created.wrapped else created.issued.token,
            expires_in=created.issued.expires_in,
            access_token_max_ttl=created.issued.max_ttl,
            token_data=TokenRowOut.of(created.token),
            wrapping=WrappingOut.of(created.wrapped) if created.wrapped else msgspec.UNSET,
        )

    @routes.get(path + "/identities/{identity_id}/tokens", USER, IDENTITY)
    async def list_tokens(ctx: Ctx, identity_id: str, query: named_tokens.TokenPage) -> TokensReply:
        """List the tokens of an identity, newest-updated first."""
        return TokensReply(
            tokens=[TokenRowOut.of(row) for row in await named_tokens.every(ctx, method, identity_id, query)]
        )

    @routes.get(path + "/tokens/{token_id}", USER, IDENTITY)
    async def get_token(ctx: Ctx, token_id: str) -> TokenReply:
        """Read a token's data."""
        return TokenReply(token=TokenRowOut.of(await named_tokens.get(ctx, method, token_id)))

    @routes.patch(path + "/tokens/{token_id}", USER, IDENTITY)
    async def rename_token(ctx: Ctx, token_id: str, body: named_tokens.RenameToken) -> TokenReply:
        """Rename a token."""
        return TokenReply(token=TokenRowOut.of(await named_tokens.rename(ctx, method, token_id, body)))

    @routes.post(path + "/tokens/{token_id}/revoke", USER, IDENTITY)
    async def revoke_named_token(ctx: Ctx, token_id: str) -> MessageReply:
        """Revoke a token."""
        await named_tokens.revoke(ctx, method, token_id)
        return MessageReply(message="Successfully revoked access token")


class Presented(msgspec.Struct, frozen=True, rename="camel"):
    access_token: Trimmed


def token_routes(verified_tokens: VerifiedTokens) -> Routes:
    """Renewal and revocation by whoever holds the token."""
    routes = Routes("access tokens")

    @routes.post("/api/v1/auth/token/renew", hot=True)
    async def renew_token(ctx: Ctx, body: Presented) -> TokenOut:
        """Renew an access token: the answer is a new one."""
        return TokenOut.of(await tokens.renew(ctx, body.access_token, verified_tokens))

    @routes.post("/api/v1/auth/token/revoke")
    async def revoke_token(ctx: Ctx, body: Presented) -> MessageReply:
        """Revoke an access token."""
        await tokens.revoke(ctx, body.access_token, verified_tokens)
        return MessageReply(message="Successfully revoked access token")

    return routes
