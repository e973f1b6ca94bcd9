"""The audit log and the records of refused logins."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.audit.records import AuditEvent, Denial
from watchword.domain.audit.user_agents import agent_kind
from watchword.http import bodies
from watchword.http.routing import IDENTITY, USER, Reply, Routes
from watchword.http.wire import Out
from watchword.services.audit import events
from watchword.services.context import Ctx
from watchword.services.timestamps import iso
from watchword.services.turns import Turns

routes = Routes("audit log", is_compressed=True)


class EventOut(Out, frozen=True, kw_only=True):
    """What happened; `metadata` says with what."""

    type: str
    metadata: Mapping[str, Any]


class EventActorOut(Out, frozen=True, kw_only=True):
    """Who did it; `metadata` has its id and name at that time."""

    type: str
    metadata: Mapping[str, Any]


class EventProjectOut(Out, frozen=True, kw_only=True):
    """The project it happened in."""

    id: str
    name: str
    slug: str


class AuditLogOut(Out, frozen=True, kw_only=True):
    """One entry of the audit log."""

    id: str
    ip_address: str | None
    user_agent: str | None
    user_agent_type: str
    expires_at: str
    created_at: str
    updated_at: str
    org_id: str | None
    project_id: str | None
    project_name: str | None
    project: EventProjectOut | None
    event: EventOut
    actor: EventActorOut
    request_id: str

    @classmethod
    def of(cls, logged: events.Logged) -> "AuditLogOut":
        event = logged.event
        name, slug = logged.project or (None, None)
        project = (
            EventProjectOut(id=event.project_id, name=name, slug=slug) if event.project_id and name and slug else None
        )
        return cls(
            id=event.id,
            ip_address=event.address,
            user_agent=event.user_agent,
            user_agent_type=agent_kind(event.user_agent),
            expires_at=iso(logged.expires_at),
            created_at=iso(event.at),
            updated_at=iso(event.at),
            org_id=event.org_id,
            project_id=event.project_id,
            project_name=name,
            project=project,
            event=EventOut(type=event.event, metadata=event.metadata),
            actor=EventActorOut(type=event.actor_kind, metadata=_actor_metadata(event)),
            request_id=event.request_id,
        )


def _actor_metadata(event: AuditEvent) -> dict[str, Any]:
    if event.actor_kind == "user":
        return {"userId": event.actor_id, "email": event.actor_name, "username": event.actor_name}
    if event.actor_kind in ("identity", "machine"):
        return {"identityId": event.actor_id, "name": event.actor_name}
    if event.actor_kind == "service":
        return {"serviceId": event.actor_id, "name": event.actor_name}
    return {}


class AuditLogsReply(Out, frozen=True, kw_only=True):
    """A page of the audit log, newest first."""

    audit_logs: Sequence[AuditLogOut]


class ActorsReply(Out, frozen=True, kw_only=True):
    """Everybody who did something."""

    actors: Sequence[str]


class LoginDenialOut(Out, frozen=True, kw_only=True):
    """The reason why one login was refused: its code and text, and every check that was made, in order.

    Refusals of the same identity, address, method and reason within a minute are counted with the first: `times`, until
    `lastAt`.
    """

    request_id: str
    created_at: str
    org_id: str | None
    identity_id: str | None
    auth_method: str
    reason: str
    message: str
    facts: Mapping[str, Any]
    checks: Sequence[Mapping[str, Any]]
    ip_address: str | None
    user_agent: str | None
    times: int
    last_at: str

    @classmethod
    def of(cls, denial: Denial) -> "LoginDenialOut":
        return cls(
            request_id=denial.request_id,
            created_at=iso(denial.at),
            org_id=denial.org_id,
            identity_id=denial.identity_id,
            auth_method=denial.method,
            reason=denial.reason,
            message=denial.message,
            facts=denial.facts,
            checks=denial.checks,
            ip_address=denial.address,
            user_agent=denial.user_agent,
            times=denial.times,
            last_at=iso(denial.last_at or denial.at),
        )


class LoginDenialsReply(Out, frozen=True, kw_only=True):
    """A page of refused logins, newest first."""

    login_denials: Sequence[LoginDenialOut]


class LoginDenialReply(Out, frozen=True, kw_only=True):
    """One refused login."""

    login_denial: LoginDenialOut


async def _json_lines(logged: Sequence[events.Logged], limit: int) -> Reply:
    """Make the answer of an export; one that is full names the last event, where the next part begins."""
    turns, lines = Turns(), list[bytes]()
    for event in logged:
        lines.append(bodies.encode(AuditLogOut.of(event)))
        await turns.give()
    body = b"".join(line + b"\n" for line in lines)
    headers = {"content-type": "application/x-ndjson; charset=utf-8"}
    if len(logged) == limit:
        headers["x-next"] = logged[-1].event.id
    return Reply(body, headers=headers)


@routes.get("/api/v1/organization/audit-logs", USER, IDENTITY)
async def list_audit_logs(ctx: Ctx, query: events.AuditFilter) -> AuditLogsReply:
    """Read the audit log of the organization, or with `projectId` of a project, newest first."""
    return AuditLogsReply(audit_logs=[AuditLogOut.of(event) for event in await events.find(ctx, query)])


@routes.get("/api/v1/organization/audit-logs/export", USER, IDENTITY)
async def export_audit_logs(ctx: Ctx, query: events.ExportWanted) -> Reply:
    """Export the audit log as JSON lines, newest first.

    At most 10000 events in one part; the header `x-next` of a full part is the `after` that the next one begins with.
    """
    return await _json_lines(await events.find(ctx, query), query.limit)


@routes.get("/api/v1/admin/audit-logs", USER, IDENTITY)
async def list_instance_audit_logs(ctx: Ctx, query: events.InstanceFilter) -> AuditLogsReply:
    """Read the audit log of the instance, newest first: sign-ins, accounts, keys, and what operators did.

    These events belong to no organization. For administrators of the instance.
    """
    return AuditLogsReply(audit_logs=[AuditLogOut.of(event) for event in await events.find_of_instance(ctx, query)])


@routes.get("/api/v1/admin/audit-logs/export", USER, IDENTITY)
async def export_instance_audit_logs(ctx: Ctx, query: events.InstanceExportWanted) -> Reply:
    """Export the audit log of the instance as JSON lines, newest first. For administrators of the instance.

    At most 10000 events in one part; the header `x-next` of a full part is the `after` that the next one begins with.
    """
    return await _json_lines(await events.find_of_instance(ctx, query), query.limit)


@routes.older("GET", "/api/v1/workspace/{project_id}/audit-logs", USER, IDENTITY)
@routes.get("/api/v1/projects/{project_id}/audit-logs", USER, IDENTITY)
async def list_project_audit_logs(ctx: Ctx, project_id: str, query: events.AuditFilter) -> AuditLogsReply:
    """Read the audit log of a project, newest first."""
    return await list_audit_logs(ctx, msgspec.structs.replace(query, project_id=project_id))


@routes.older("GET", "/api/v1/workspace/{project_id}/audit-logs/filters/actors", USER, IDENTITY)
@routes.get("/api/v1/projects/{project_id}/audit-logs/filters/actors", USER, IDENTITY)
async def list_project_actors(ctx: Ctx, project_id: str) -> ActorsReply:
    """List everybody who did something in a project, as `<kind>-<id>`."""
    return ActorsReply(actors=await events.actors(ctx, project_id))


@routes.get("/api/v1/organization/login-denials", USER, IDENTITY)
async def list_login_denials(ctx: Ctx, query: events.DenialsWanted) -> LoginDenialsReply:
    """List refused logins, newest first: which check failed, and what was expected and presented."""
    return LoginDenialsReply(login_denials=[LoginDenialOut.of(denial) for denial in await events.denials(ctx, query)])


@routes.get("/api/v1/organization/login-denials/{request_id}", USER, IDENTITY)
async def get_login_denial(ctx: Ctx, request_id: str) -> LoginDenialReply:
    """Read why one login was refused, by the request id in the refusal."""
    return LoginDenialReply(login_denial=LoginDenialOut.of(await events.denial(ctx, request_id)))
