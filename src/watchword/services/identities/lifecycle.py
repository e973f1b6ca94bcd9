"""Lifecycle of identities: disable, enable, and find unused, expiring and risky ones."""

import asyncio
import base64
import binascii
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.errors import BadRequest, Invalid
from watchword.domain.identities.records import Identity
from watchword.methods.base import Risk, risks_of
from watchword.services.access.boundaries import require_over
from watchword.services.access.scopes import own_org
from watchword.services.context import Ctx
from watchword.services.identities.identities import IdentityDetails, facts, locate, shown
from watchword.services.people import administrators
from watchword.store import versions
from watchword.store.authentication import credentials
from watchword.store.engine import Tx
from watchword.store.identities import identities, reports

Report = Literal["unused", "never-used", "expiring", "risky"]
DAY = 24 * 3600 * 1000  # milliseconds
_REPORTS: tuple[Report, ...] = ("unused", "never-used", "expiring", "risky")
_LOOKED_AT, _CHUNKS = 50, 40  # identities that one query reads, and queries of one request, in search of risky ones


class Disable(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How to disable: live tokens are stopped until the identity is enabled again, or revoked for good."""

    revoke_tokens: bool = False


class ReportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query for one page of a report: unused or never used for `days`, or expiring within `days`."""

    days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] = 30
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    cursor: str = ""


class MethodRisk(msgspec.Struct, frozen=True):
    """A risk, and the method whose settings have it."""

    method: str
    risk: Risk


class ReportPage(msgspec.Struct, frozen=True, kw_only=True):
    """The identities, their methods and risks by id, and where the next page begins."""

    identities: Sequence[Identity]
    methods: dict[str, list[str]]
    risks: dict[str, list[MethodRisk]] = {}
    next_cursor: str | None


async def disable(ctx: Ctx, identity_id: str, body: Disable) -> IdentityDetails:
    """Disable an identity: its logins and all its live tokens are refused from now on, everywhere."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "edit", "identity", **facts(identity))
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "revoke-auth")
        if identity.is_instance_admin:
            await administrators.hold(tx)
        await identities.change(tx, identity.id, is_disabled=True, updated_at=ctx.now)
        if identity.is_instance_admin:
            await administrators.require_one(ctx, tx)
        if body.revoke_tokens:
            await credentials.end_tokens(tx, identity.id)
        tx.changed(versions.identity(identity.id))
        ctx.audit(
            "disable-identity",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
            name=identity.name,
            revokeTokens=body.revoke_tokens,
        )
    return await shown(ctx, identity.id)


async def enable(ctx: Ctx, identity_id: str) -> IdentityDetails:
    """Enable a disabled identity again. One that has expired needs a new expiry date first."""
    identity, scope = await locate(ctx, identity_id)
    ctx.require(scope, "edit", "identity", **facts(identity))
    if identity.expires_at is not None and identity.expires_at <= ctx.now:
        raise BadRequest("The identity has expired: give it a later expiresAt first")
    async with ctx.unit() as tx:
        await require_over(ctx, tx, scope, identity, "grant-privileges")
        await identities.change(tx, identity.id, is_disabled=False, updated_at=ctx.now)
        tx.changed(versions.identity(identity.id))
        ctx.audit(
            "enable-identity",
            org_id=identity.org_id,
            project_id=identity.project_id,
            identityId=identity.id,
            name=identity.name,
        )
    return await shown(ctx, identity.id)


async def report(ctx: Ctx, kind: str, body: ReportQuery) -> ReportPage:
    """Return one page of a report on the caller's organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    if kind not in _REPORTS:
        raise Invalid.of("report", f"One of {', '.join(_REPORTS)}", code="invalid_enum_value")
    if kind == "risky":
        return await _risky(ctx, scope.org_id, body)
    after = _read_cursor(body.cursor) if body.cursor else None
    span, most = body.days * DAY, body.limit + 1
    async with ctx.view() as tx:
        if kind == "unused":
            rows = await reports.unused(tx, scope.org_id, before=ctx.now - span, after=after, limit=most)
        elif kind == "never-used":
            rows = await reports.never_used(tx, scope.org_id, before=ctx.now - span + 1, after=after, limit=most)
        else:
            rows = await reports.expiring(
                tx, scope.org_id, since=ctx.now, before=ctx.now + span, after=after, limit=most
            )
        page = rows[: body.limit]
        methods = await credentials.methods_of(tx, [identity.id for identity in page])
    return ReportPage(
        identities=page, methods=methods, next_cursor=_cursor(kind, page[-1]) if len(rows) > len(page) else None
    )


async def _risky(ctx: Ctx, org_id: str, body: ReportQuery) -> ReportPage:
    """Find identities with a method whose settings admit more than their author may intend, by name.

    A page may be short without being the last.
    """
    after = _read_cursor(body.cursor, reports.NameCursor) if body.cursor else None
    risky: list[Identity] = []
    risks: dict[str, list[MethodRisk]] = {}
    methods: dict[str, list[str]] = {}
    for _ in range(_CHUNKS):
        async with ctx.view() as tx:
            batch = await reports.by_name(tx, org_id, after=after, limit=_LOOKED_AT)
            configs = await credentials.configs_of(tx, [identity.id for identity in batch])
        for identity in batch:
            after = (identity.name, identity.id)
            identity_risks = [
                MethodRisk(config.method, risk)
                for config in configs.get(identity.id, ())
                if config.method in ctx.runtime.methods
                for risk in risks_of(ctx.runtime.methods[config.method], config.config)
            ]
            if identity_risks:
                risky.append(identity)
                risks[identity.id] = identity_risks
                methods[identity.id] = [config.method for config in configs[identity.id]]
                if len(risky) == body.limit:
                    return ReportPage(identities=risky, methods=methods, risks=risks, next_cursor=_written(after))
        if len(batch) < _LOOKED_AT:
            return ReportPage(identities=risky, methods=methods, risks=risks, next_cursor=None)
        await asyncio.sleep(0)
    return ReportPage(identities=risky, methods=methods, risks=risks, next_cursor=_written(after))


def _cursor(kind: Report, last: Identity) -> str:
    position = {"unused": last.last_login_at, "never-used": 0}.get(kind, last.expires_at)
    return _written((position or 0, last.id))


def _written(cursor: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode()


def _read_cursor(text: str, kind: Any = reports.Cursor) -> Any:
    try:
        cursor = msgspec.json.decode(base64.urlsafe_b64decode(text), type=kind)
    except (binascii.Error, ValueError):
        raise Invalid.of("cursor", "The nextCursor of an earlier page") from None
    return cursor


async def require_none_protected(tx: Tx, *, org_id: str) -> None:
    """Raise BadRequest while an identity or project of the organization has delete protection.

    Called before the organization is deleted.
    """
    count = await reports.protected(tx, org_id)
    if count:
        raise BadRequest(
            f"{count} identities or projects of the organization have delete protection: switch hasDeleteProtection "
            "off first"
        )
