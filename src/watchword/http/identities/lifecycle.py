"""Disable and enable identities, and report unused, expiring and risky ones."""

from collections.abc import Sequence

from watchword.domain.identities.records import Identity
from watchword.http.identities.identities import IdentityReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import IdentityOut, Out
from watchword.services.context import Ctx
from watchword.services.identities import lifecycle
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("lifecycle", is_compressed=True)


class RiskOut(Out, frozen=True, kw_only=True):
    auth_method: str
    code: str
    severity: str
    field: str
    message: str
    mend: str


class EndingOut(Out, frozen=True, kw_only=True):
    """What ends: `kind` is identity, client-secret, token, certificate or key."""

    kind: str
    auth_method: str | None
    id: str | None
    name: str | None
    field: str | None
    expires_at: str


class ReportedOut(Out, frozen=True, kw_only=True):
    id: str
    name: str
    auth_methods: Sequence[str]
    owner: str | None
    is_disabled: bool
    has_delete_protection: bool
    created_at: str
    expires_at: str | None
    last_login_auth_method: str | None
    last_login_time: str | None
    last_login_address: str | None
    warnings: Sequence[RiskOut]
    endings: Sequence[EndingOut]

    @classmethod
    def of(cls, identity: Identity, page: lifecycle.ReportPage) -> "ReportedOut":
        methods, risks = page.methods.get(identity.id, ()), page.risks.get(identity.id, ())
        return cls(
            id=identity.id,
            name=identity.name,
            auth_methods=methods,
            owner=identity.owner,
            is_disabled=identity.is_disabled,
            has_delete_protection=identity.has_delete_protection,
            created_at=iso(identity.created_at),
            expires_at=iso_or_none(identity.expires_at),
            last_login_auth_method=identity.last_login_method,
            last_login_time=iso_or_none(identity.last_login_at),
            last_login_address=identity.last_login_address,
            warnings=[
                RiskOut(
                    auth_method=risk.method,
                    code=risk.risk.code,
                    severity=risk.risk.severity,
                    field=risk.risk.field,
                    message=risk.risk.message,
                    mend=risk.risk.mend,
                )
                for risk in risks
            ],
            endings=[
                EndingOut(
                    kind=ending.kind,
                    auth_method=ending.method,
                    id=ending.id,
                    name=ending.name,
                    field=ending.field,
                    expires_at=iso(ending.ends_at),
                )
                for ending in page.endings.get(identity.id, ())
            ],
        )


class ReportReply(Out, frozen=True, kw_only=True):
    identities: Sequence[ReportedOut]
    next_cursor: str | None


@routes.post("/api/v1/identities/{identity_id}/disable", USER, IDENTITY)
async def disable_identity(ctx: Ctx, identity_id: str, body: lifecycle.Disable) -> IdentityReply:
    """Stop an identity and its live tokens at once; with revokeTokens, end the tokens permanently."""
    return IdentityReply(identity=IdentityOut.of(await lifecycle.disable(ctx, identity_id, body)))


@routes.post("/api/v1/identities/{identity_id}/enable", USER, IDENTITY)
async def enable_identity(ctx: Ctx, identity_id: str) -> IdentityReply:
    """Let a disabled identity work again."""
    return IdentityReply(identity=IdentityOut.of(await lifecycle.enable(ctx, identity_id)))


@routes.get("/api/v1/organization/identity-reports/{report}", USER, IDENTITY)
async def report_identities(ctx: Ctx, report: str, query: lifecycle.ReportQuery) -> ReportReply:
    """List unused, never used, expiring or risky identities.

    `unused` and `never-used` count back some days. `expiring` looks some days ahead, for identities, client secrets,
    named tokens, and certificates and keys in configurations: `endings` names them. `risky` are those whose settings
    let in, or let live, more than their author may mean: `warnings` says what each means and how to mend it; `code` and
    `severity` narrow them.
    """
    page = await lifecycle.report(ctx, report, query)
    return ReportReply(
        identities=[ReportedOut.of(identity, page) for identity in page.identities],
        next_cursor=page.next_cursor,
    )
