"""Read the audit log and the records of refused logins."""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from watchword.domain.audit.records import AuditEvent, Denial
from watchword.domain.decode import Trimmed, checked
from watchword.domain.errors import Forbidden, Invalid, NotFound
from watchword.services.access.scopes import ProjectScope, enter_project, own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.people.instance_people import require_instance_admin
from watchword.services.timestamps import read_time
from watchword.services.turns import Turns
from watchword.store.audit import activity, queries
from watchword.store.engine import Tx
from watchword.store.projects import members

ActorFilter = Literal["platform", "operator", "user", "service", "identity", "machine", "scimClient"]
AgentKind = Literal["web", "cli", "k8-operator", "terraform", "other", "InfisicalPythonSDK", "InfisicalNodeSDK"]
EXPORT_LIMIT = 10_000
_PIECE = 500  # events that one query reads
_DAY = 86_400_000  # ms


class InstanceFilter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Filters of the instance's audit log.

    `eventType` is a comma list, `eventMetadata` a comma list of `name=value`.
    """

    actor_type: ActorFilter | None = None
    actor: Trimmed | None = None
    event_type: Trimmed | None = None
    user_agent_type: AgentKind | None = None
    event_metadata: Trimmed | None = None
    start_date: Trimmed | None = None
    end_date: Trimmed | None = None
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20


class InstanceExportWanted(InstanceFilter, frozen=True, kw_only=True):
    """Filters of an export; `after` is the id of the last event of the part before."""

    after: Trimmed | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=EXPORT_LIMIT)] = EXPORT_LIMIT


class AuditFilter(InstanceFilter, frozen=True, kw_only=True):
    """Filters of the audit log of an organization, or of one project."""

    project_id: Trimmed | None = None
    environment: Trimmed | None = None
    secret_path: Trimmed | None = None
    secret_key: Trimmed | None = None


class ExportWanted(AuditFilter, frozen=True, kw_only=True):
    """Filters of an export; `after` is the id of the last event of the part before."""

    after: Trimmed | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=EXPORT_LIMIT)] = EXPORT_LIMIT


class DenialsWanted(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Filters of the refused logins."""

    identity_id: Trimmed | None = None
    method: Trimmed | None = None
    reason: Trimmed | None = None
    start_date: Trimmed | None = None
    end_date: Trimmed | None = None
    offset: Annotated[int, msgspec.Meta(ge=0)] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 20


class Logged(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is shown.

    With it come its project's name and slug, if the project still exists, and until when this view shows it (ms).
    """

    event: AuditEvent
    project: tuple[str, str] | None
    expires_at: int


async def _scope(ctx: Ctx, project_id: str | None) -> CallerScope:
    scope = await own_org(ctx) if project_id is None else await enter_project(ctx, project_id)
    ctx.require(scope, "read", "audit-logs")
    return scope


async def _projects(ctx: Ctx, scope: CallerScope) -> list[str] | None:
    """Return the ids of the projects whose events a view of the whole organization shows; None for all of them.

    All are shown to who may take part in every project anyway (an administrator of the organization), also those of
    deleted projects. Others see what they could read in each project's own view.
    """
    if scope.project_id is not None or ctx.may(scope, "access-all-projects", "organization-admin-console"):
        return None
    async with ctx.view() as tx:
        joined = await members.projects_of(tx, ctx.actor.kind, ctx.actor.id, scope.org_id)
    readable, turns = list[str](), Turns()
    for project_id in joined:
        try:
            within = await enter_project(ctx, project_id)
        except Forbidden:
            continue  # suspended there
        if ctx.may(within, "read", "audit-logs"):
            readable.append(project_id)
        await turns.give()
    return readable


def _shown_days(ctx: Ctx, scope: CallerScope) -> int:
    """Return for how many days this view shows an event.

    A project may choose less than the instance keeps, but not less than the floor.
    """
    settings = ctx.runtime.settings
    chosen = scope.project.audit_retention_days if isinstance(scope, ProjectScope) else None
    if chosen is None:
        return settings.audit_retention_days
    return min(max(chosen, settings.audit_retention_floor_days), settings.audit_retention_days)


def _moment(path: str, text: str | None) -> int | None:
    return checked(path, read_time, text) if text else None


def _pairs(text: str | None) -> list[tuple[str, str]]:
    pairs = []
    for part in (text or "").split(","):
        name, equals, value = part.partition("=")
        if part.strip() and not (name.strip() and equals):
            raise Invalid.of("eventMetadata", "A comma list of name=value")
        if equals:
            pairs.append((name.strip(), value.strip()))
    return pairs


def _filter(wanted: InstanceFilter, org_id: str | None, *, since: int | None) -> queries.EventFilter:
    """Return the conditions of `wanted` on events of one organization, or on those of none."""
    kind = wanted.actor_type
    return queries.EventFilter(
        org_id=org_id,
        actor_kinds=("identity", "machine") if kind == "machine" else (kind,) if kind else (),
        actor_id=wanted.actor or None,
        events=[name.strip() for name in (wanted.event_type or "").split(",") if name.strip()],
        agent_kind=wanted.user_agent_type,
        metadata=_pairs(wanted.event_metadata),
        since=since,
        until=_moment("endDate", wanted.end_date),
        offset=wanted.offset,
        limit=wanted.limit,
        before_id=getattr(wanted, "after", None),
    )


def _since(ctx: Ctx, scope: CallerScope, wanted: AuditFilter) -> int | None:
    asked = _moment("startDate", wanted.start_date)
    days = _shown_days(ctx, scope)
    if days == ctx.runtime.settings.audit_retention_days:
        return asked  # the view hides no stored event
    return max(asked or 0, ctx.now - days * _DAY)


async def find(ctx: Ctx, wanted: AuditFilter) -> Sequence[Logged]:
    """Find events of the caller's organization, or of one project, newest first.

    Of an organization: its own events, and those of the projects whose log the caller may read.
    """
    scope = await _scope(ctx, wanted.project_id or None)
    chosen = _filter(wanted, scope.org_id, since=_since(ctx, scope, wanted))
    named = {"environment": wanted.environment, "secretPath": wanted.secret_path, "secretKey": wanted.secret_key}
    chosen = msgspec.structs.replace(
        chosen,
        project_id=scope.project_id,
        only_projects=await _projects(ctx, scope),
        metadata=[*chosen.metadata, *[(name, value) for name, value in named.items() if value]],
    )
    async with ctx.survey() as tx:
        return await _shown(tx, await _in_pieces(tx, chosen), _shown_days(ctx, scope) * _DAY)


async def get(ctx: Ctx, event_id: str) -> Logged:
    """Return one event that `find` shows the caller in the organization's view. Raises NotFound."""
    scope = await _scope(ctx, None)
    only = await _projects(ctx, scope)
    async with ctx.view() as tx:
        found = await queries.events(tx, queries.EventFilter(org_id=scope.org_id, id=event_id, only_projects=only))
        if not found:
            raise NotFound(f"No event {event_id[:64]!r} is kept here, or you may not see it")
        return (await _shown(tx, found, ctx.runtime.settings.audit_retention_days * _DAY))[0]


class Day(msgspec.Struct, frozen=True, kw_only=True):
    """What the last 24 hours brought: logins and refused logins, by half hours, the oldest first.

    Of a very busy organization the newest `MOST_COUNTED` are counted; `is_cut` says so.
    """

    since: int  # ms
    logins: Sequence[int]
    refusals: Sequence[int]
    is_cut: bool


MOST_COUNTED = 50_000
_SPANS, _SPAN = 48, 1_800_000  # half hours, ms


async def day(ctx: Ctx) -> Day:
    """Count the logins and refused logins of the last 24 hours that the caller may see."""
    scope = await _scope(ctx, None)
    only, since = await _projects(ctx, scope), ctx.now - _SPANS * _SPAN
    wanted = queries.EventFilter(
        org_id=scope.org_id,
        only_projects=only,
        events=[f"login-identity-{method}" for method in ctx.runtime.methods],
        since=since,
        limit=MOST_COUNTED,
    )
    refused = queries.DenialFilter(
        org_id=scope.org_id, unknown=ctx.actor.is_instance_admin, only_projects=only, since=since, limit=MOST_COUNTED
    )
    async with ctx.survey() as tx:
        logins = _spread(await activity.logins(tx, wanted, since=since, step=_SPAN))
        refusals = _spread(await activity.refusals(tx, refused, since=since, step=_SPAN))
    return Day(since=since, logins=logins, refusals=refusals, is_cut=sum(logins) >= MOST_COUNTED)


def _spread(counted: Sequence[tuple[int, int]]) -> list[int]:
    spans = [0] * _SPANS
    for place, count in counted:
        spans[min(max(place, 0), _SPANS - 1)] += count
    return spans


async def find_of_instance(ctx: Ctx, wanted: InstanceFilter) -> Sequence[Logged]:
    """Find events that belong to no organization, newest first.

    These are sign-ins and accounts of people, keys of the instance, and what operators did with the command. Raises
    Forbidden unless the caller administers the instance.
    """
    require_instance_admin(ctx)
    chosen = _filter(wanted, None, since=_moment("startDate", wanted.start_date))
    async with ctx.survey() as tx:
        events = await _in_pieces(tx, chosen)
        return await _shown(tx, events, ctx.runtime.settings.audit_retention_days * _DAY)


async def _in_pieces(tx: Tx, wanted: queries.EventFilter) -> list[AuditEvent]:
    """Read all matching events, in pieces that each take a short time."""
    turns, events = Turns(), list[AuditEvent]()
    while True:
        most = min(_PIECE, wanted.limit - len(events))
        after = {"before_id": events[-1].id, "offset": 0} if events else {}
        piece = await queries.events(tx, msgspec.structs.replace(wanted, limit=most, **after))
        events += piece
        if len(piece) < most or len(events) >= wanted.limit:
            return events
        await turns.give()


async def _shown(tx: Tx, events: Sequence[AuditEvent], kept: int) -> list[Logged]:
    names = await queries.project_names(tx, sorted({event.project_id for event in events if event.project_id}))
    return [
        Logged(event=event, project=names.get(event.project_id or ""), expires_at=event.expires_at or event.at + kept)
        for event in events
    ]


async def actors(ctx: Ctx, project_id: str) -> Sequence[str]:
    """List the actors of the events that a project's view of the log still shows, as `<kind>-<id>`."""
    scope = await _scope(ctx, project_id)
    async with ctx.survey() as tx:
        return [
            f"{kind}-{id}" for kind, id in await queries.actors(tx, project_id, _since(ctx, scope, AuditFilter()) or 0)
        ]


async def denials(ctx: Ctx, wanted: DenialsWanted) -> Sequence[Denial]:
    """Find refused logins of the organization's identities, newest first.

    An instance administrator also sees those that match no identity. Those of an identity that belongs to a project
    are shown to who may read that project's audit log.
    """
    scope = await _scope(ctx, None)
    chosen = queries.DenialFilter(
        org_id=scope.org_id,
        unknown=ctx.actor.is_instance_admin,
        only_projects=await _projects(ctx, scope),
        identity_id=wanted.identity_id or None,
        method=wanted.method or None,
        reason=wanted.reason or None,
        since=_moment("startDate", wanted.start_date),
        until=_moment("endDate", wanted.end_date),
        offset=wanted.offset,
        limit=wanted.limit,
    )
    async with ctx.survey() as tx:
        return await queries.denials(tx, chosen)


async def denial(ctx: Ctx, request_id: str) -> Denial:
    """Return why one login was refused, by the request id that its caller was given.

    It is the login's own record, or that of the refusal it was counted with.
    """
    scope = await _scope(ctx, None)
    only_projects = await _projects(ctx, scope)
    async with ctx.view() as tx:
        kept_as = ctx.runtime.refusals.kept_as(request_id)
        refusal = await queries.denial(
            tx, kept_as, scope.org_id, unknown=ctx.actor.is_instance_admin, only_projects=only_projects
        )
    if refusal is None:
        raise NotFound(
            f"No refused login is kept under the request id {request_id[:64]!r}. Refusals alike, from one address "
            "within a minute, are "
            "counted with the first of them: list the refused logins of that time"
        )
    return refusal
