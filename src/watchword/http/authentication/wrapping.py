"""Open what was wrapped for a one-time hand-over, and look at it without opening it."""

from typing import Annotated

import msgspec

from watchword.domain.authentication.wrapping import WrapKind, WrapState
from watchword.http.routing import Routes
from watchword.http.wire import Out
from watchword.services.authentication import wrapping
from watchword.services.context import Ctx
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("wrapping")


class WrappingOut(Out, frozen=True, kw_only=True):
    """A wrapping token; it is shown this once."""

    id: Annotated[str, msgspec.Meta(description="The id of the wrap, as the audit log names it.")]
    token: Annotated[str, msgspec.Meta(description="The single-use token: `wrap.<id>.<secret>`.")]
    kind: Annotated[WrapKind, msgspec.Meta(description="What is wrapped.")]
    created_at: str
    expires_at: Annotated[str, msgspec.Meta(description="When the wrapping token ends, whether used or not.")]
    ttl: Annotated[int, msgspec.Meta(description="Its life in seconds.")]

    @classmethod
    def of(cls, wrapped: wrapping.Wrapped) -> "WrappingOut":
        record = wrapped.record
        return cls(
            id=record.id,
            token=wrapped.token.reveal(),
            kind=record.kind,
            created_at=iso(record.created_at),
            expires_at=iso(record.expires_at),
            ttl=(record.expires_at - record.created_at) // 1000,
        )


class UnwrappedReply(Out, frozen=True, kw_only=True):
    """A credential, shown this once."""

    kind: Annotated[WrapKind, msgspec.Meta(description="What was wrapped: it says which fields are filled.")]
    identity_id: str
    client_id: Annotated[str | None, msgspec.Meta(description="Of a client secret: the client id it belongs to.")]
    client_secret: Annotated[str | None, msgspec.Meta(description="The client secret.")]
    client_secret_id: Annotated[str | None, msgspec.Meta(description="The id of the client secret.")]
    access_token: Annotated[str | None, msgspec.Meta(description="The access token.")]
    token_id: Annotated[str | None, msgspec.Meta(description="The id of the access token.")]

    @classmethod
    def of(cls, unwrapped: wrapping.Unwrapped) -> "UnwrappedReply":
        record, content = unwrapped.record, unwrapped.content
        is_secret = record.kind == "client-secret"
        return cls(
            kind=record.kind,
            identity_id=record.identity_id,
            client_id=content.client_id,
            client_secret=content.credential if is_secret else None,
            client_secret_id=record.credential_id if is_secret else None,
            access_token=None if is_secret else content.credential,
            token_id=None if is_secret else record.credential_id,
        )


class WrapLookupReply(Out, frozen=True, kw_only=True):
    """What is known of a wrapping token, which stays unopened."""

    id: str
    kind: WrapKind
    identity_id: str
    state: Annotated[WrapState, msgspec.Meta(description="`sealed`: it can be opened.")]
    created_at: str
    created_by: Annotated[str | None, msgspec.Meta(description="The name of whoever made it.")]
    creation_path: Annotated[str, msgspec.Meta(description="The path of the request that made it.")]
    expires_at: str
    opened_at: Annotated[str | None, msgspec.Meta(description="When it was opened; null: never.")]

    @classmethod
    def of(cls, found: wrapping.LookedUp) -> "WrapLookupReply":
        record = found.record
        return cls(
            id=record.id,
            kind=record.kind,
            identity_id=record.identity_id,
            state=found.state,
            created_at=iso(record.created_at),
            created_by=record.created_by,
            creation_path=record.creation_path,
            expires_at=iso(record.expires_at),
            opened_at=iso_or_none(record.opened_at),
        )


@routes.post("/api/v1/auth/wrapping/unwrap")
async def unwrap(ctx: Ctx, body: wrapping.PresentedWrap) -> UnwrappedReply:
    """Open a wrapping token: the credential in it is shown this once.

    A second try is refused with 401, recorded in the audit log with where it came from, and raised as an alert.
    """
    return UnwrappedReply.of(await wrapping.unwrap(ctx, body))


@routes.post("/api/v1/auth/wrapping/lookup")
async def lookup(ctx: Ctx, body: wrapping.PresentedWrap) -> WrapLookupReply:
    """Say what is known of a wrapping token without opening it."""
    return WrapLookupReply.of(await wrapping.lookup(ctx, body))
