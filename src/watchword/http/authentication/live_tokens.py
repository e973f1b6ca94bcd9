"""List and revoke the live tokens of an identity."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from watchword.domain.authentication.live_tokens import LiveToken
from watchword.http.authentication.auth_methods import MessageReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.authentication import live_tokens
from watchword.services.authentication.live_tokens import Suspension
from watchword.services.context import Ctx
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("live tokens", is_compressed=True)


class LiveTokenOut(Out, frozen=True, kw_only=True):
    """A live access token without the token. It and its renewals are one."""

    id: Annotated[str, msgspec.Meta(description="The id of the token: its claim `jti`.")]
    identity_id: str
    organization_id: Annotated[str, msgspec.Meta(description="The organization that the token is for.")]
    auth_method: Annotated[str, msgspec.Meta(description="The slug of the auth method that issued it.")]
    name: Annotated[str | None, msgspec.Meta(description="The name that an operator gave to a Token Auth token.")]
    client_secret_id: Annotated[str | None, msgspec.Meta(description="The client secret that the login presented.")]
    created_at: Annotated[str, msgspec.Meta(description="When it was first issued.")]
    ip_address: Annotated[
        str | None,
        msgspec.Meta(description="From where it was issued: the address of the login, or of whoever made the token."),
    ]
    user_agent: Annotated[str | None, msgspec.Meta(description="The User-Agent of that request.")]
    expires_at: Annotated[
        str | None,
        msgspec.Meta(
            description="When the token, or the renewal of it that ends last, ends; null: unknown, because an earlier "
            "version of this server issued it, and `expiresBy` is all that is known."
        ),
    ]
    expires_by: Annotated[str, msgspec.Meta(description="The latest moment at which it can end.")]
    last_renewed_at: Annotated[
        str | None, msgspec.Meta(description="When it was last renewed to live longer; null: never.")
    ]
    last_used_at: Annotated[
        str | None, msgspec.Meta(description="When its last use was counted; null where uses are not counted.")
    ]
    num_uses: Annotated[int, msgspec.Meta(description="Uses so far; 0 where uses are not counted.")]
    num_uses_limit: Annotated[int, msgspec.Meta(description="The most uses; 0: no limit.")]
    num_uses_left: Annotated[int | None, msgspec.Meta(description="Uses that are left; null: no limit.")]
    suspended: Annotated[
        Suspension | None,
        msgspec.Meta(
            description="Why the token is refused as long as this lasts, though it is not ended; null: it is accepted."
        ),
    ]

    @classmethod
    def of(cls, token: LiveToken, suspended: Suspension | None) -> "LiveTokenOut":
        return cls(
            id=token.id,
            identity_id=token.identity_id,
            organization_id=token.org_id,
            auth_method=token.method,
            name=token.name,
            client_secret_id=token.client_secret_id,
            created_at=iso(token.created_at),
            ip_address=token.address,
            user_agent=token.user_agent,
            expires_at=iso(token.expires_at) if token.is_end_known else None,
            expires_by=iso(token.expires_at),
            last_renewed_at=iso_or_none(token.last_renewed_at),
            last_used_at=iso_or_none(token.last_used_at),
            num_uses=token.uses,
            num_uses_limit=token.uses_limit,
            num_uses_left=token.uses_left,
            suspended=suspended,
        )


class LiveTokensReply(Out, frozen=True, kw_only=True):
    """A page of live tokens, newest first."""

    tokens: Sequence[LiveTokenOut]
    next_cursor: Annotated[
        str | None,
        msgspec.Meta(description="Send it as `cursor` for the next page; null on the last page. A page may be short."),
    ]


@routes.get("/api/v1/identities/{identity_id}/live-tokens", USER, IDENTITY)
async def list_live_tokens(ctx: Ctx, identity_id: str, query: live_tokens.LiveTokensQuery) -> LiveTokensReply:
    """List the live access tokens of an identity, newest first: those of logins and those that operators made.

    Tokens that are expired, revoked or used up are not among them, nor those of an auth method that was removed.
    """
    page = await live_tokens.every(ctx, identity_id, query)
    return LiveTokensReply(
        tokens=[LiveTokenOut.of(token, page.suspended.get(token.org_id)) for token in page.tokens],
        next_cursor=page.next_cursor,
    )


@routes.post("/api/v1/identities/{identity_id}/live-tokens/revoke", USER, IDENTITY)
async def revoke_live_tokens(ctx: Ctx, identity_id: str, body: live_tokens.RevokeLiveTokens) -> MessageReply:
    """Revoke all tokens of an auth method, of a client secret or of the identity that were issued until now.

    What issued them stays good: logins from now on are accepted.
    """
    await live_tokens.revoke_all(ctx, identity_id, body)
    return MessageReply(message="Successfully revoked access tokens")


@routes.post("/api/v1/identities/{identity_id}/live-tokens/{token_id}/revoke", USER, IDENTITY)
async def revoke_live_token(ctx: Ctx, identity_id: str, token_id: str) -> MessageReply:
    """Revoke one live access token of an identity and its renewals, at once and on every server."""
    await live_tokens.revoke(ctx, identity_id, token_id)
    return MessageReply(message="Successfully revoked access token")
