"""Status, health, readiness, and the keys that verify our tokens."""

from typing import Any

from watchword.http.routing import Reply, Routes
from watchword.services import instance
from watchword.services.authentication.bearer import notice_ended_keys
from watchword.services.context import Ctx
from watchword.services.timestamps import iso

routes = Routes("system")


@routes.get("/api/status")
async def status(ctx: Ctx) -> Reply:
    """Whether the server is up, as clients ask it."""
    body = {
        "date": iso(ctx.now),
        "message": "Ok",
        "emailConfigured": ctx.runtime.mailer.is_configured,
        "inviteOnlySignup": not ctx.runtime.settings.allow_signup,
        "redisConfigured": False,
        "secretScanningConfigured": False,
        "auditLogStorageDisabled": False,
    }
    return Reply(body, headers={"cache-control": "no-store"})


@routes.get("/healthz")
async def health(ctx: Ctx) -> dict[str, str]:
    """Whether the process answers."""
    del ctx
    return {"status": "ok"}


@routes.get("/readyz")
async def readiness(ctx: Ctx) -> Reply:
    """Whether requests can be served: each part by name."""
    checks = await instance.checks(ctx.runtime)
    ready = all(text == instance.OK for text in checks.values())
    return Reply({"status": "ok" if ready else "unavailable", "checks": checks}, status=200 if ready else 503)


@routes.get("/.well-known/jwks.json")
async def keys(ctx: Ctx) -> Reply:
    """The public keys of access tokens (RFC 7517)."""
    await notice_ended_keys(ctx)
    body: dict[str, Any] = ctx.runtime.keys.jwks
    return Reply(body, headers={"cache-control": "public, max-age=300"})
