"""Lifecycle of identities: disable, enable, and find unused, expiring and risky ones.

`expiring` is about whatever ends by itself: identities, their client secrets and named tokens, and the certificates and
keys in their configurations.
"""

import asyncio
import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec

from watchword.domain.authentication.endings import Ending, end_of_secret, endings_of
from watchword.domain.authentication.records import MethodConfig
from watchword.domain.errors import BadRequest, Forbidden, Invalid, NotFound
from watchword.domain.identities.records import Identity
from watchword.methods.base import Risk
from watchword.services.access.boundaries import require_over
from watchword.services.access.scopes import enter_project, own_org
from watchword.services.authentication.risks import judged
from watchword.services.context import Ctx
from watchword.services.identities.identities import IdentityDetails, facts, locate, shown
from watchword.services.people import administrators
from watchword.store import versions
from watchword.store.authentication import client_secrets, method_configs, templates, token_revocations, token_rows
from watchword.store.engine import Tx
from watchword.store.identities import identities, reports

Report = Literal["unused", "never-used", "expiring", "risky"]
DAY = 24 * 3600 * 1000  # milliseconds
_REPORTS: tuple[Report, ...] = ("unused", "never-used", "expiring", "risky")
_LOOKED_AT, _CHUNKS = 50, 40  # identities that one query reads, and queries of one request, in search of risky ones
_STEP = 1_000  # identities of which one query asks whether something ends
GLANCED_AT = 200  # identities whose risks a glance looks for


class Disable(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How to disable: live tokens are stopped until the identity is enabled again, or revoked for good."""

    revoke_tokens: bool = False


class ReportQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query for one page of a report: unused or never used for `days` (30), or expiring within `days`."""

    days: Annotated[int, msgspec.Meta(ge=0, le=36_500)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=500)] = 100
    cursor: str = ""
    code: Annotated[str, msgspec.Meta(max_length=64)] = ""  # of the risky: only risks of this code
    severity: Literal["", "high", "medium", "low"] = ""  # of the risky: only these


class MethodRisk(msgspec.Struct, frozen=True):
    """A risk, and the method whose settings have it."""

    method: str
    risk: Risk


class ReportPage(msgspec.Struct, frozen=True, kw_only=True):
    """The identities; their methods, risks and what of them ends, by id; and where the next page begins."""

    identities: Sequence[Identity]
    methods: dict[str, list[str]]
    risks: dict[str, list[MethodRisk]] = {}
    endings: dict[str, list[Ending]] = {}
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
            await token_revocations.end_tokens(tx, identity.id)
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


MOST_COUNTED = 20_000


class States(msgspec.Struct, frozen=True, kw_only=True):
    """How many identities an organization has, and in which states.

    Of a larger organization its first `MOST_COUNTED` identities are counted.
    """

    all: int
    active: int  # used within 30 days
    unused: int
    never_used: int
    disabled: int
    ending: int  # within 30 days
    locked: Sequence[tuple[str, str, int]]  # id, name and until when (ms), at most 10


async def states(ctx: Ctx) -> States:
    """Count the identities of the caller's organization by state."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    span = 30 * DAY
    async with ctx.survey() as tx:
        every, active, unused, never_used, disabled, ending = await reports.states(
            tx,
            scope.org_id,
            now=ctx.now,
            used_since=ctx.now - span,
            ends_before=ctx.now + span,
            most=MOST_COUNTED,
        )
        locked = await reports.locked(tx, scope.org_id, now=ctx.now, limit=10)
    return States(
        all=every,
        active=active,
        unused=unused,
        never_used=never_used,
        disabled=disabled,
        ending=ending,
        locked=locked,
    )


class Glance(msgspec.Struct, frozen=True, kw_only=True):
    """Identities found by a short look, and whether all of the organization's were looked at: otherwise the first."""

    found: Sequence[Identity]
    risks: Mapping[str, Sequence[str]]  # codes, by identity id
    is_all: bool


async def report(ctx: Ctx, kind: str, body: ReportQuery) -> ReportPage:
    """Return one page of a report on the caller's organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    if kind not in _REPORTS:
        raise Invalid.of("report", f"One of {', '.join(_REPORTS)}", code="invalid_enum_value")
    _require_meant(kind, body)
    if kind == "risky":
        return await _walk(ctx, scope.org_id, body, _Risky(ctx, body))
    if kind == "expiring":
        return await expiring(ctx, scope.org_id, body)
    after = _read_cursor(body.cursor) if body.cursor else None
    span, most = _days(body) * DAY, body.limit + 1
    async with ctx.view() as tx:
        if kind == "unused":
            rows = await reports.unused(tx, scope.org_id, before=ctx.now - span, after=after, limit=most)
        else:
            rows = await reports.never_used(tx, scope.org_id, before=ctx.now - span + 1, after=after, limit=most)
        page = rows[: body.limit]
        methods = await method_configs.methods_of(tx, [identity.id for identity in page])
    return ReportPage(
        identities=page, methods=methods, next_cursor=_cursor(kind, page[-1]) if len(rows) > len(page) else None
    )


async def glance_at_risks(ctx: Ctx) -> Glance:
    """Look for risks in the first `GLANCED_AT` identities of the caller's organization, by name."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    finder = _Risky(ctx, ReportQuery())
    page = await _walk(ctx, scope.org_id, ReportQuery(limit=GLANCED_AT), finder, GLANCED_AT // _LOOKED_AT)
    codes = {id: tuple(dict.fromkeys(each.risk.code for each in risks)) for id, risks in finder.risks.items()}
    return Glance(found=page.identities, risks=codes, is_all=page.next_cursor is None)


async def glance_at_endings(ctx: Ctx, days: int) -> Glance:
    """Look for what ends within some days in the first identities of the caller's organization, by name."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    query = ReportQuery(days=days, limit=_LOOKED_AT)
    page = await _walk(ctx, scope.org_id, query, _Expiring(ctx, query), 1)
    return Glance(found=page.identities, risks={}, is_all=page.next_cursor is None)


async def expiring(ctx: Ctx, org_id: str, query: ReportQuery) -> ReportPage:
    """Return one page of what ends in an organization within some days. Permission is the caller's business."""
    return await _walk(ctx, org_id, query, _Expiring(ctx, query))


def _days(query: ReportQuery) -> int:
    return 30 if query.days is None else query.days


def _require_meant(kind: str, query: ReportQuery) -> None:
    """Raise Invalid for a parameter that a report does not have: it would change nothing, without a word."""
    if kind == "risky":
        if query.days is not None:
            raise Invalid.of("days", "The report of risky settings is about now: leave days out")
        return
    for name, value in (("code", query.code), ("severity", query.severity)):
        if value:
            raise Invalid.of(name, "Only the report of risky settings has it: leave it out")


_Batch = tuple[Sequence[Identity], reports.NameCursor | None]  # and where to go on, None at the end


class _Risky:
    """Finds the risks of identities: settings of their methods, with those of templates."""

    def __init__(self, ctx: Ctx, body: ReportQuery) -> None:
        self._ctx = ctx
        self._body = body
        self.risks: dict[str, list[MethodRisk]] = {}
        self.endings: dict[str, list[Ending]] = {}

    async def batch(self, tx: Tx, org_id: str, after: reports.NameCursor | None) -> _Batch:
        """Return the next identities by name."""
        found = await reports.by_name(tx, org_id, after=after, limit=_LOOKED_AT)
        return found, (found[-1].name, found[-1].id) if len(found) == _LOOKED_AT else None

    async def prepare(self, tx: Tx, batch: Sequence[Identity], settings: dict[str, "_Settings"]) -> None:
        """Nothing more is needed than the configurations."""

    def finds(self, identity: Identity, configs: "_Settings") -> bool:
        """Note the risks of an identity; whether there are any."""
        body: ReportQuery = self._body
        found = [
            MethodRisk(config.method, risk)
            for config, settings in configs
            for risk in judged(self._ctx.runtime.methods[config.method], config, settings)
            if body.code in ("", risk.code) and body.severity in ("", risk.severity)
        ]
        if found:
            self.risks[identity.id] = found
        return bool(found)


class _Expiring:
    """Finds what of identities ends within a time."""

    def __init__(self, ctx: Ctx, body: ReportQuery) -> None:
        self._since, self._before = ctx.now, ctx.now + _days(body) * DAY
        self._methods = tuple(
            method.slug
            for method in ctx.runtime.methods.values()
            if not (method.has_client_secrets or method.has_named_tokens)
        )
        self.risks: dict[str, list[MethodRisk]] = {}
        self.endings: dict[str, list[Ending]] = {}
        self._credentials: dict[str, list[Ending]] = {}

    async def batch(self, tx: Tx, org_id: str, after: reports.NameCursor | None) -> _Batch:
        """Return the next identities, by name, of which something may end in time."""
        end = await reports.step(tx, org_id, after=after, count=_STEP)
        found = await reports.ending(
            tx,
            org_id,
            since=self._since,
            before=self._before,
            methods=self._methods,
            after=after,
            until=end,
            limit=_LOOKED_AT,
        )
        return found, (found[-1].name, found[-1].id) if len(found) == _LOOKED_AT else end

    async def prepare(self, tx: Tx, batch: Sequence[Identity], settings: dict[str, "_Settings"]) -> None:
        """Load the client secrets and named tokens of a batch that end in time."""
        del settings
        ids, within = [identity.id for identity in batch], (self._since, self._before)
        self._credentials = {}
        for secret in await client_secrets.ending(tx, ids, *within):
            ending = Ending(
                kind="client-secret", ends_at=end_of_secret(secret) or 0, id=secret.id, name=secret.description or None
            )
            self._credentials.setdefault(secret.identity_id, []).append(ending)
        for token in await token_rows.ending(tx, ids, *within):
            ending = Ending(kind="token", ends_at=token.expires_at, method=token.method, id=token.id, name=token.name)
            self._credentials.setdefault(token.identity_id, []).append(ending)

    def finds(self, identity: Identity, configs: "_Settings") -> bool:
        """Note what of an identity ends in time, the next first; whether there is any."""
        found = list(self._credentials.get(identity.id, ()))
        if identity.expires_at is not None:
            found.append(Ending(kind="identity", ends_at=identity.expires_at, id=identity.id, name=identity.name))
        for config, settings in configs:
            found += endings_of(config.method, settings)
        found = sorted(
            (ending for ending in found if self._since <= ending.ends_at < self._before), key=lambda one: one.ends_at
        )
        if found:
            self.endings[identity.id] = found
        return bool(found)


_Settings = Sequence[tuple[MethodConfig, dict[str, Any]]]


async def _walk(
    ctx: Ctx, org_id: str, body: ReportQuery, finder: "_Risky | _Expiring", chunks: int = _CHUNKS
) -> ReportPage:
    """Return the identities, by name, of which `finder` finds something. A page may be short without being the last."""
    after = _read_cursor(body.cursor, reports.NameCursor) if body.cursor else None
    found: list[Identity] = []
    methods: dict[str, list[str]] = {}

    def page(cursor: str | None) -> ReportPage:
        return ReportPage(
            identities=found, methods=methods, risks=finder.risks, endings=finder.endings, next_cursor=cursor
        )

    for _ in range(chunks):
        async with ctx.view() as tx:
            batch, further = await finder.batch(tx, org_id, after)
            settings = await _settings_of(ctx, tx, [identity.id for identity in batch])
            await finder.prepare(tx, batch, settings)
        seen = await _visible(ctx, batch)
        for identity in batch:
            after = (identity.name, identity.id)
            if identity.id not in seen:
                continue
            configs = settings.get(identity.id, ())
            if finder.finds(identity, configs):
                found.append(identity)
                methods[identity.id] = [config.method for config, _ in configs]
                if len(found) == body.limit:
                    return page(_written(after))
        if further is None:
            return page(None)
        after = further
        await asyncio.sleep(0)
    return page(_written(after))


async def _visible(ctx: Ctx, batch: Sequence[Identity]) -> frozenset[str]:
    """Return the ids of those that the caller may read: one that belongs to a project by its rights there."""
    found = []
    for identity in batch:
        if identity.project_id is not None:
            try:
                scope = await enter_project(ctx, identity.project_id)
            except (Forbidden, NotFound):
                continue
            if not ctx.may(scope, "read", "identity", identityId=identity.id):
                continue
        found.append(identity.id)
    return frozenset(found)


async def _settings_of(ctx: Ctx, tx: Tx, identity_ids: Sequence[str]) -> dict[str, _Settings]:
    """Return the configurations of identities, each with its settings and those of its template, secrets sealed."""
    configs = await method_configs.configs_of(tx, identity_ids)
    used = {config.template_id for every in configs.values() for config in every if config.template_id}
    held = {id: template.fields for id in used if (template := await templates.by_id(tx, id)) is not None}
    return {
        identity_id: [
            (config, {**config.config, **held.get(config.template_id or "", {})})
            for config in every
            if config.method in ctx.runtime.methods
        ]
        for identity_id, every in configs.items()
    }


def _cursor(kind: Report, last: Identity) -> str:
    return _written((last.last_login_at or 0 if kind == "unused" else 0, last.id))


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
