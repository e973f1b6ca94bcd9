"""The audit log: who did what, as sentences and as JSON, by facets, and as a file."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import Invalid, Refusal
from watchword.services.audit import events
from watchword.services.audit.events import ExportWanted, Logged
from watchword.services.projects import projects
from watchword.services.timestamps import iso
from watchword.web.audit.sentences import Sentence, actor_name, sentence
from watchword.web.exports import csv_file
from watchword.web.forms import Form, moment, read
from watchword.web.pages import Answer, Download, Faults, Page, Pages, Visit
from watchword.web.parts import or_none

pages = Pages()
SIZE: Final = 50
ACTORS: Final = (
    ("", "anybody"),
    ("user", "people"),
    ("identity", "machine identities"),
    ("service", "service tokens"),
    ("operator", "operators of the server"),
    ("platform", "the server itself"),
)
PERIODS: Final = (("", "ever"), ("1h", "1 hour"), ("24h", "24 hours"), ("7d", "7 days"), ("30d", "30 days"))
_DAY: Final = 86_400_000


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """An event as the pages show it."""

    logged: Logged
    actor: str
    sentence: Sentence
    json: Mapping[str, Any]


def entry(logged: Logged) -> Entry:
    """An event as the pages show it."""
    return Entry(logged=logged, actor=actor_name(logged.event), sentence=sentence(logged.event), json=as_json(logged))


def as_json(logged: Logged) -> Mapping[str, Any]:
    """An event as JSON: the API's names where it has the same, and the actor with its name."""
    event = logged.event
    return {
        "id": event.id,
        "createdAt": iso(event.at),
        "event": {"type": event.event, "metadata": event.metadata},
        "actor": {"type": event.actor_kind, "id": event.actor_id, "name": event.actor_name},
        "ipAddress": event.address,
        "userAgent": event.user_agent,
        "requestId": event.request_id,
        "orgId": event.org_id,
        "projectId": event.project_id,
        "projectName": logged.project[0] if logged.project else None,
        "expiresAt": iso(logged.expires_at),
    }


def _wanted(asked: Form, now: int, limit: int) -> ExportWanted:
    """The filter of a query. Raises Invalid."""
    span = asked.text("last")
    since = moment(asked["from"], now, "from")
    if span:
        ahead = moment(span, now, "last")
        since = max(since or 0, 2 * now - (ahead or now))
    until = moment(asked["to"], now, "to")
    if until is not None and len(asked["to"].strip()) == 10:
        until += _DAY - 1  # the whole of that day
    values = {
        "actorType": asked.text("actorType"),
        "actor": asked.text("actor"),
        "eventType": asked.text("event"),
        "projectId": asked.text("project"),
        "environment": asked.text("environment"),
        "secretPath": asked.text("path"),
        "secretKey": asked.text("key"),
        "startDate": None if since is None else iso(max(since, 0)),
        "endDate": None if until is None else iso(max(until, 0)),
        "after": asked.text("after"),
        "limit": limit,
    }
    return read(ExportWanted, values)


_FIELDS: Final = {
    "eventType": "event",
    "projectId": "project",
    "startDate": "from",
    "endDate": "to",
    "secretPath": "path",
    "secretKey": "key",
}


@pages.get("/{organization}/audit")
async def log(visit: Visit) -> Answer:
    """The audit log, newest first; with `format` as a file, CSV or JSON lines."""
    ctx, asked = visit.ctx, visit.query
    if asked["format"] in ("csv", "json"):
        return await _file(visit)
    found: Sequence[Logged] = ()
    faults, status = Faults(), 200
    try:
        found = await events.find(ctx, _wanted(asked, ctx.now, SIZE + 1))
    except Invalid as refusal:
        faults, status = Faults(refusal, names=_FIELDS), refusal.status
    joined = await or_none(projects.mine(ctx)) or ()
    shown = [entry(logged) for logged in found[:SIZE]]
    names = ("actorType", "actor", "event", "project", "environment", "path", "key", "last", "from", "to")
    data = {
        "entries": shown,
        "older": visit.again(after=shown[-1].logged.event.id) if len(found) > SIZE else "",
        "is_first": not asked["after"],
        "newest": visit.again(after=None),
        "asked": asked,
        "faults": faults,
        "actors": ACTORS,
        "periods": PERIODS,
        "projects": [("", "any project"), *((each.project.id, each.project.name) for each in joined)],
        "pills": [
            (_PILLS[name], asked[name], visit.again(**{name: None, "after": None}))
            for name in ("actor", "event", "environment", "path", "key", "from", "to")
            if asked.text(name)
        ],
        "is_filtered": any(asked.text(name) for name in names),
        "known": sorted({one.logged.event.event for one in shown}),
        "csv": visit.again(format="csv", after=None),
        "lines": visit.again(format="json", after=None),
    }
    return Page(template="audit/log.html", title="Audit log", data=data, status=status)


_PILLS: Final = {
    "actor": "by",
    "event": "event",
    "environment": "in",
    "path": "under",
    "key": "key",
    "from": "from",
    "to": "until",
}


async def _file(visit: Visit) -> Answer:
    """The events of the filter as a file: at most `EXPORT_LIMIT` of them, the newest."""
    found = await events.find(visit.ctx, _wanted(visit.query, visit.ctx.now, events.EXPORT_LIMIT))
    if visit.query["format"] != "csv":
        body = b"".join(msgspec.json.encode(as_json(logged)) + b"\n" for logged in found)
        return Download(body=body, media_type="application/x-ndjson; charset=utf-8", name="audit-log.jsonl")
    header = (
        "time",
        "event",
        "actor type",
        "actor id",
        "actor",
        "project",
        "address",
        "user agent",
        "request id",
        "metadata",
    )
    rows = [
        (
            iso(event.at),
            event.event,
            event.actor_kind,
            event.actor_id,
            event.actor_name,
            logged.project[0] if logged.project else event.project_id,
            event.address,
            event.user_agent,
            event.request_id,
            msgspec.json.encode(event.metadata).decode(),
        )
        for logged in found
        for event in (logged.event,)
    ]
    return csv_file("audit-log.csv", header, rows)


@pages.get("/{organization}/audit/{event_id}")
async def one(visit: Visit, event_id: str) -> Answer:
    """One event, as a sentence and as JSON."""
    logged = await events.get(visit.ctx, event_id)
    event = logged.event
    refused = event.event.endswith("-failed") and event.event.startswith("login-identity-")
    denial = None
    if refused:
        try:
            denial = await events.denial(visit.ctx, event.request_id)
        except Refusal:
            denial = None
    data = {"entry": entry(logged), "denial": denial, "around": visit.link("audit", actor=event.actor_id)}
    return Page(template="audit/event.html", title="Event", data=data)
