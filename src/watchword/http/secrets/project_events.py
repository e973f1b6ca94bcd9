"""Server-sent events of changed secrets (WHATWG HTML, section 9.2): the operator's instant updates.

    id: <state>                       what the subscriber has seen; sent back as Last-Event-ID when it connects again
    event: secret:update
    data: {"event": "secret:update", "projectId": …, "environment": "prod", "secretPath": "/", "secretKey": "URL"}

    event: missed                     something may have changed meanwhile: read again
    event: error                      the stream ends: the token was revoked, a right was taken
    : heartbeat                       every 15 s

Nothing is queued for a subscriber: it looks, compares and writes, and looks again once that was taken. One that reads
slowly is told the sum of what happened, and cut when it takes nothing for 30 s; nobody else notices.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final

import msgspec

from watchword.domain.decode import Trimmed
from watchword.domain.errors import Invalid, Refusal
from watchword.http.bodies import encode
from watchword.http.routing import IDENTITY, USER, Judge, Reply, Routes, Stream
from watchword.services.context import Ctx
from watchword.services.projects.locations import normal_path
from watchword.services.runtime import Runtime
from watchword.services.secrets import change_feed
from watchword.services.secrets.change_feed import EventName, Wish

routes = Routes("secrets")
HEARTBEAT: Final = 15.0  # seconds, within which the caller is judged again too
MAX_EVENTS: Final = 500  # of one look; more are one `missed`
_BELOW: Final = "/**"
_RETRY: Final = "retry: 3000\n"  # milliseconds
_SUBSCRIBED: Final = ": subscribed\n"
_MISSED: Final = "event: missed\ndata: {}\n"

Seconds = Annotated[
    int,
    msgspec.Meta(
        ge=0,
        le=86_400,
        description="Seconds after which the stream ends; 0: at once, after telling whether something was missed. "
        "Without it the stream lasts as long as the token.",
    ),
]
Slug = Annotated[str, msgspec.Meta(max_length=64, description="Slug of the environment; without it, all of them.")]
FolderPath = Annotated[
    str,
    msgspec.Meta(max_length=1_000, description="Path of the folder; with `/**` at its end all folders below it too."),
]


class EventConditions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    environment_slug: Slug | None = None
    secret_path: FolderPath = "/"  # noqa: S105 - a path


class Registration(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    event: EventName
    conditions: EventConditions | None = None


class SubscribeBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    project_id: Annotated[Trimmed, msgspec.Meta(description="Id of the project.")]
    register: Annotated[
        list[Registration],
        msgspec.Meta(min_length=1, max_length=10, description="The events to be told of; without conditions, all."),
    ]
    seconds: Seconds | None = None
    last_event_id: Annotated[
        str,
        msgspec.Meta(max_length=100, description="The last `id` of an earlier stream; also the header Last-Event-ID."),
    ] = ""


class SubscribeOptions(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    project_id: Annotated[Trimmed, msgspec.Meta(description="Id of the project.")]
    events: Annotated[
        str, msgspec.Meta(max_length=200, description="Comma list of the events to be told of; without it, all.")
    ] = ""
    environment_slug: Slug | None = None
    secret_path: FolderPath | None = None
    seconds: Seconds | None = None
    last_event_id: Annotated[
        str,
        msgspec.Meta(max_length=100, description="The last `id` of an earlier stream; also the header Last-Event-ID."),
    ] = ""


def _wish(event: EventName, environment: str | None, path: str | None, *field: str | int) -> Wish:
    if path is None:
        return Wish(event, environment)
    is_below = path.endswith(_BELOW)
    return Wish(event, environment, normal_path(path.removesuffix("**") if is_below else path, field), is_below)


@routes.post("/api/v1/events/subscribe/project-events", USER, IDENTITY)
async def subscribe(ctx: Ctx, body: SubscribeBody) -> Reply:
    """Be told of changed secrets as they change, as server-sent events.

    The stream ends with the token, with its revocation, and when a right to subscribe is taken.
    """
    wishes = [
        _wish(
            one.event,
            one.conditions.environment_slug if one.conditions else None,
            one.conditions.secret_path if one.conditions else None,
            "register",
            number,
            "conditions",
            "secretPath",
        )
        for number, one in enumerate(body.register)
    ]
    return await _subscribed(ctx, body, wishes)


@routes.get("/api/v1/events/subscribe/project-events", USER, IDENTITY)
async def subscribe_by_query(ctx: Ctx, query: SubscribeOptions) -> Reply:
    """Be told of changed secrets, for clients that send no body, such as EventSource."""
    named = [name.strip() for name in query.events.split(",") if name.strip()] or list(change_feed.ACTIONS)
    known: dict[str, EventName] = {name: name for name in change_feed.ACTIONS}  # type: ignore[misc]
    unknown = [name for name in named if name not in known]
    if unknown:
        raise Invalid.of("events", f"No such event: {unknown[0][:64]!r}. There are {', '.join(known)}")
    wishes = [_wish(known[name], query.environment_slug, query.secret_path, "secretPath") for name in named]
    return await _subscribed(ctx, query, wishes)


async def _subscribed(ctx: Ctx, asked: SubscribeBody | SubscribeOptions, wishes: Sequence[Wish]) -> Reply:
    scope, _ = await change_feed.look(ctx, asked.project_id, wishes)
    await ctx.audit_read(
        "subscribe-to-project-events",
        org_id=scope.org_id,
        project_id=scope.project.id,
        events=sorted({wish.event for wish in wishes}),
    )
    chunks = functools.partial(
        stream, ctx.runtime, project_id=asked.project_id, wishes=wishes, seconds=asked.seconds, last=asked.last_event_id
    )
    headers = {"content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
    return Reply(Stream(chunks), headers=headers)


async def stream(
    runtime: Runtime,
    judged: Judge,
    last_header: str,
    *,
    project_id: str,
    wishes: Sequence[Wish],
    seconds: int | None = None,
    last: str = "",
) -> AsyncIterator[bytes]:
    """The frames of one subscription. Raises what the caller is refused before the first one."""
    loop = asyncio.get_running_loop()
    until = None if seconds is None else loop.time() + seconds
    ctx = await judged()
    with runtime.waiting.place(ctx.actor):
        _, picture = await change_feed.look(ctx, project_id, wishes)
        digest, seen = picture.digest, last or last_header
        yield f"{_RETRY}{_MISSED if seen not in ('', digest) else _SUBSCRIBED}id: {digest}\n\n".encode()
        while until is None or loop.time() < until:
            beat = HEARTBEAT if until is None else min(HEARTBEAT, max(0.01, until - loop.time()))
            moved = await runtime.changes.wait(ctx.seen, beat)
            if runtime.changes.is_closed:
                return
            try:
                ctx = await judged()
                scope, now = await change_feed.look(ctx, project_id, wishes)
            except Refusal as error:
                data = {"statusCode": error.status, "error": error.name, "message": error.message}
                yield f"event: error\ndata: {encode(data).decode()}\n\n".encode()
                return
            frames = [] if now == picture else _frames(project_id, change_feed.events(scope, picture, now, wishes))
            picture = now
            if frames:
                frames[-1] = f"id: {picture.digest}\n{frames[-1]}"
                yield "".join(f"{frame}\n" for frame in frames).encode()
            elif not moved:
                yield b": heartbeat\n\n"


def _frames(project_id: str, happened: Any) -> list[str]:
    frames: list[str] = []
    for one in happened:
        if len(frames) == MAX_EVENTS:
            return [_MISSED]
        data = {
            "event": one.event,
            "projectId": project_id,
            "environment": one.environment,
            "secretPath": one.path,
            **({} if one.key is None else {"secretKey": one.key}),
        }
        frames.append(f"event: {one.event}\ndata: {encode(data).decode()}\n")
    return frames
