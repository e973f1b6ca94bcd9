"""Log in with a secret that was just made, and say what came back; the token is revoked again.

It is a real login: it counts, it is recorded, and it is refused for what a workload would be refused for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.actor import NOBODY
from watchword.domain.decode import decode
from watchword.domain.errors import BadRequest
from watchword.services.authentication import login, method_bodies, tokens
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer
from watchword.services.authentication.method_bodies import Method
from watchword.services.context import Ctx
from watchword.services.identities.identities import facts, locate
from watchword.services.projects import projects

_FEW = 8  # tokens that are kept as verified: there are two readings of one


class Tried(msgspec.Struct, frozen=True, kw_only=True):
    """What came back. `lives` is the time to live of the token in seconds; None for a token that was there before."""

    lives: int | None
    projects: Sequence[str]  # the names of those that the token sees


async def log_in(ctx: Ctx, method: Method, identity_id: str, sent: Mapping[str, Any]) -> Tried:
    """Log in as the workload would, from the caller's address, look at its projects, and revoke the token.

    Raises Denied as a login does, with the request id of `ctx`; BadRequest for a proof of another identity.
    """
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "read", "identity", **facts(identity))
    shape = method_bodies.login_body(method)
    names = {field.encode_name for field in msgspec.structs.fields(shape)}
    wire = dict(sent) | ({"identityId": identity.id} if "identityId" in names else {})
    issued = await login.login(_nobody(ctx), method, decode(shape, wire))
    seen = VerifiedTokens(ctx.runtime.keys, _FEW)
    try:
        if issued.claims.identity_id != identity.id:
            raise BadRequest("This is a proof of another identity")
        found = await _projects(ctx, issued.token, seen)
    finally:
        await tokens.revoke(_nobody(ctx), issued.token, seen)
    return Tried(lives=issued.expires_in, projects=found)


async def use_token(ctx: Ctx, method: Method, identity_id: str, token: str) -> Tried:
    """Use a token that was made by hand, and look at its projects. Raises Unauthorized, BadRequest, Forbidden."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "read", "identity", **facts(identity))
    seen = VerifiedTokens(ctx.runtime.keys, _FEW)
    own = _nobody(ctx)
    actor = await authenticate_bearer(own, token, seen)
    if actor.claims is None or actor.id != identity.id or actor.claims.auth_method != method.slug:
        raise BadRequest("This is a token of another identity")
    return Tried(lives=None, projects=await _projects(ctx, token, seen))


async def _projects(ctx: Ctx, token: str, seen: VerifiedTokens) -> Sequence[str]:
    own = _nobody(ctx)
    own.actor = await authenticate_bearer(own, token, seen)
    return [each.project.name for each in await projects.mine(own)]


def _nobody(ctx: Ctx) -> Ctx:
    """The context of the workload: at the same address, at this moment."""
    return Ctx(
        ctx.runtime,
        actor=NOBODY,
        request_id=ctx.request_id,
        address=ctx.address,
        user_agent=ctx.user_agent,
        is_secure=ctx.is_secure,
    )
