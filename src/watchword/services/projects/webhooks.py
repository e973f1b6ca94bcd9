"""Webhooks of a project: be told of changed secrets by a request to a URL.

What is to be told of a change is decided where secrets are written (`Watchers.told`), from a list that is cached with
the project, and stored in the unit of the change. `services/delivering.py` sends it.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Annotated, Any, Final, Literal

import msgspec

from watchword.domain.decode import Trimmed
from watchword.domain.deliveries import (
    SECRETS_MODIFIED,
    TEST,
    Delivery,
    DeliveryPage,
    DeliveryTarget,
    Receiver,
    sealed_text,
    shown_url,
)
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.globs import glob_test, typed_glob_fault
from watchword.domain.projects.records import Environment, Project
from watchword.domain.secret import Secret
from watchword.domain.secrets.replicas import shown_path
from watchword.services import delivering
from watchword.services.access.scopes import ProjectScope, enter_project, is_out_of_reach
from watchword.services.context import Ctx
from watchword.services.keys.keyring import project_scope
from watchword.services.projects import locations
from watchword.services.receivers import DeliveryQuery, Key, RetryDeliveries, Url, page, require_url
from watchword.store import deliveries, versions
from watchword.store.engine import Tx
from watchword.store.projects import folders
from watchword.store.secrets import secrets

SUBJECT: Final = "webhooks"
MAX_WEBHOOKS: Final = 50  # of one project
_MAX_PLACES: Final = 100  # of one change that a webhook is told of one by one
EVERYWHERE: Final = "/**"

WebhookKind = Literal["general", "slack", "microsoft-teams"]
SecretPath = Annotated[
    str,
    msgspec.Meta(
        max_length=1_000,
        extra={"trim": True},
        description="Path of the folder whose changes are told, or a glob of paths: /app/* is one level below, "
        "/app/** is the folder and all below it.",
    ),
]
EnvironmentSlug = Annotated[
    str,
    msgspec.Meta(max_length=64, extra={"trim": True}, description="Slug of the environment; empty: all environments."),
]


class EventFilter(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An event that is told."""

    event_name: Annotated[
        str, msgspec.Meta(max_length=100, description=f"The one event that there is: {SECRETS_MODIFIED}.")
    ]


Events = Annotated[
    tuple[EventFilter, ...], msgspec.Meta(max_length=10, description="Events that are told; empty: all that there are.")
]


class CreateWebhook(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new webhook."""

    type: Annotated[
        WebhookKind, msgspec.Meta(description="The form of the requests: JSON for programs, or a chat message.")
    ] = "general"
    workspace_id: Annotated[Trimmed, msgspec.Meta(description="Id of the project.")] | None = None
    project_id: Annotated[Trimmed, msgspec.Meta(description="Id of the project, by its newer name.")] | None = None
    environment: EnvironmentSlug = ""
    webhook_url: Url
    webhook_secret_key: Key | None = None
    secret_path: SecretPath = EVERYWHERE
    events_filter: Events = ()


class UpdateWebhook(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change; what is not sent stays."""

    is_disabled: (
        Annotated[bool, msgspec.Meta(description="Whether nothing is sent; what was waiting is dropped then.")] | None
    ) = None
    environment: EnvironmentSlug | None = None
    webhook_url: Url | None = None
    webhook_secret_key: Key | None = None
    secret_path: SecretPath | None = None
    events_filter: Events | None = None


class WebhookQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which webhooks to list."""

    workspace_id: Annotated[Trimmed, msgspec.Meta(description="Id of the project.")] | None = None
    project_id: Annotated[Trimmed, msgspec.Meta(description="Id of the project, by its newer name.")] | None = None
    environment: Annotated[EnvironmentSlug, msgspec.Meta(description="Only those of this environment.")] | None = None
    secret_path: Annotated[SecretPath, msgspec.Meta(description="Only those with exactly this path.")] | None = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook with its environment (None: all), and how many of its messages wait or were given up."""

    record: DeliveryTarget
    environment: Environment | None
    waiting: int = 0
    dead: int = 0


# --- what a change tells


class _Watcher(msgspec.Struct, frozen=True, gc=False):
    id: str
    environment_id: str | None
    matches: Callable[[str], bool]


class Watchers(msgspec.Struct, frozen=True, gc=False):
    """The webhooks of a project that are told of changes."""

    watchers: tuple[_Watcher, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.watchers)

    def told(
        self, ctx: Ctx, project: Project, places: Iterable[tuple[str, str, str]], *, top: str = "/"
    ) -> list[Delivery]:
        """Make the messages about changed secrets at these places: environment id, environment slug, path.

        Of a change in very many folders a webhook is told once, with the path `top` that they are all below.
        """
        messages: list[Delivery] = []
        of_place = list(dict.fromkeys(places))
        for watcher in self.watchers:
            mine = [
                (slug, path)
                for environment_id, slug, path in of_place
                if watcher.environment_id in (None, environment_id) and watcher.matches(path)
            ]
            if len(mine) > _MAX_PLACES:
                mine = [(slug, top) for slug in dict.fromkeys(slug for slug, _ in mine)]
            messages += [_message(ctx, watcher.id, project, SECRETS_MODIFIED, *place) for place in mine]
        return messages


_NOBODY: Final = Watchers()


def _message(ctx: Ctx, target_id: str, project: Project, event: str, environment: str, path: str) -> Delivery:
    return Delivery(
        id=ctx.new_id(),
        target_id=target_id,
        org_id=project.org_id,
        event=event,
        body={
            "project": {
                "workspaceId": project.id,
                "projectId": project.id,
                "projectName": project.name,
                "environment": environment,
                "secretPath": path,
            }
        },
        created_at=ctx.now,
    )


async def watchers(ctx: Ctx, project_id: str) -> Watchers:
    """Return who is told of changes in a project, through the cache."""
    loaded: Watchers = await ctx.fresh.get(("watchers", project_id), _load_watchers, project_id)
    return loaded


async def _load_watchers(tx: Tx, project_id: str) -> tuple[Watchers, tuple[str, ...]]:
    return await read_watchers(tx, project_id), (versions.project(project_id),)


async def read_watchers(tx: Tx, project_id: str) -> Watchers:
    """Return who is told of changes in a project, in the open unit."""
    records = [record for record in await deliveries.webhooks_of(tx, project_id) if not record.is_disabled]
    if not records:
        return _NOBODY
    return Watchers(tuple(_Watcher(r.id, r.environment_id, glob_test(r.secret_path)) for r in records))


class FoldersView(msgspec.Struct, frozen=True):
    """Where folders with secrets were, or are from now on: a path that begins with `before` begins with `after`."""

    environment_id: str
    environment: str  # its slug
    before: str = ""
    after: str = ""


async def tell_of_folders(
    ctx: Ctx,
    tx: Tx,
    project: Project,
    load: Callable[[], Awaitable[Sequence[tuple[str, str]]]],
    views: Sequence[FoldersView],
) -> None:
    """Store in the open unit what is told of folders that came, went or moved with their secrets.

    `load` reads their ids and paths, and is called only where somebody is told.
    """
    told_by = await read_watchers(tx, project.id)
    if not told_by:
        return
    folder_paths = await load()
    counts = await secrets.counts(tx, [id for id, _ in folder_paths])
    paths = [shown_path(path) for id, path in folder_paths if counts[id]]
    for view in views:
        places = [
            (view.environment_id, view.environment, view.after + path.removeprefix(view.before)) for path in paths
        ]
        await deliveries.queue(tx, told_by.told(ctx, project, places, top=view.after or "/"))


# --- use cases


def _project_id(asked: CreateWebhook | WebhookQuery) -> str:
    id = asked.project_id or asked.workspace_id
    if not id or (asked.project_id and asked.workspace_id and asked.project_id != asked.workspace_id):
        raise Invalid.of("workspaceId", "Name one project: workspaceId, or projectId")
    return id


def _secret_path(text: str) -> str:
    path = "/" + text.removeprefix("/") if text else EVERYWHERE
    path = path.removesuffix("/") or "/"
    fault = typed_glob_fault(path)
    if fault is not None:
        raise Invalid.of("secretPath", f"A path or a glob of paths, such as /app/**: {fault}")
    return path


def _events(filters: Sequence[EventFilter]) -> tuple[str, ...]:
    for number, item in enumerate(filters):
        if item.event_name != SECRETS_MODIFIED:
            raise Invalid.of(("eventsFilter", number, "eventName"), f"The one event is {SECRETS_MODIFIED}")
    return tuple(dict.fromkeys(item.event_name for item in filters))


async def every(ctx: Ctx, query: WebhookQuery) -> list[Webhook]:
    """List the webhooks of a project."""
    project_id = _project_id(query)
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", SUBJECT)
    async with ctx.view() as tx:
        records = await deliveries.webhooks_of(tx, project_id)
        counts = await deliveries.counts(tx, [record.id for record in records])
    environments = {found.id: found for found in await locations.environments(ctx, project_id)}
    path = None if query.secret_path is None else _secret_path(query.secret_path)
    return [
        webhook
        for record in records
        if (webhook := _webhook(record, environments.values(), counts[record.id])) is not None
        and (query.environment in (None, "") or getattr(webhook.environment, "slug", "") == query.environment)
        and path in (None, record.secret_path)
    ]


def _webhook(
    record: DeliveryTarget, environments: Collection[Environment], counts: tuple[int, int] = (0, 0)
) -> Webhook | None:
    """Return a webhook with its environment; None while that is deleted."""
    environment = next((found for found in environments if found.id == record.environment_id), None)
    if record.environment_id is not None and environment is None:
        return None
    return Webhook(record=record, environment=environment, waiting=counts[0], dead=counts[1])


async def _enter(ctx: Ctx, webhook_id: str, action: str) -> tuple[ProjectScope, DeliveryTarget]:
    unknown = NotFound(f"There is no webhook with id {webhook_id[:64]!r}")
    if "\x00" in webhook_id:
        raise unknown
    async with ctx.view() as tx:
        record = await deliveries.target(tx, webhook_id)
    if record is None or record.project_id is None or await is_out_of_reach(ctx, record.project_id):
        raise unknown
    scope = await enter_project(ctx, record.project_id)
    ctx.require(scope, action, SUBJECT)
    return scope, record


async def _shown(ctx: Ctx, record: DeliveryTarget) -> Webhook:
    async with ctx.view() as tx:
        current = await deliveries.target(tx, record.id) or record
        counts = await deliveries.counts(tx, [record.id])
    webhook = _webhook(current, await locations.environments(ctx, record.project_id or ""), counts[record.id])
    if webhook is None:
        raise NotFound("The environment of this webhook is deleted")
    return webhook


async def get(ctx: Ctx, webhook_id: str) -> Webhook:
    """Return a webhook."""
    _, record = await _enter(ctx, webhook_id, "read")
    return await _shown(ctx, record)


async def create(ctx: Ctx, body: CreateWebhook) -> Webhook:
    """Create a webhook. From the answer on, every change in its scope is told."""
    project_id = _project_id(body)
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "create", SUBJECT)
    environment = await locations.environment(ctx, project_id, body.environment) if body.environment else None
    url, events = require_url(ctx, body.webhook_url, "webhookUrl"), _events(body.events_filter)
    id, path = ctx.new_id(), _secret_path(body.secret_path)
    async with ctx.unit() as tx:
        # Those who create webhooks of a project at the same moment wait for each other, so that the limit holds.
        await folders.lock(tx, project_id)
        if len(await deliveries.webhooks_of(tx, project_id)) >= MAX_WEBHOOKS:
            raise BadRequest(f"A project has at most {MAX_WEBHOOKS} webhooks")
        sealer = await ctx.runtime.keys.sealer(tx, project_scope(project_id))
        receiver = Receiver(url=Secret(url), key=Secret(body.webhook_secret_key or ""))
        record = DeliveryTarget(
            id=id,
            org_id=scope.org_id,
            project_id=project_id,
            purpose="project-webhook",
            kind=body.type,
            sealed=sealer.seal(delivering.sealing_context(id), sealed_text(receiver)),
            shown=shown_url(url, body.type),
            is_signed=bool(receiver.key),
            environment_id=environment.id if environment else None,
            secret_path=path,
            events=events,
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        await deliveries.add_target(tx, record)
        ctx.audit("create-webhook", **_about(scope, record, environment))
    return Webhook(record=record, environment=environment)


async def update(ctx: Ctx, webhook_id: str, body: UpdateWebhook) -> Webhook:
    """Change a webhook. One that is disabled is told nothing, and what was waiting for it is dropped."""
    scope, seen = await _enter(ctx, webhook_id, "edit")
    fields: dict[str, Any] = {}
    if body.is_disabled is not None:
        fields["is_disabled"] = body.is_disabled
    if body.environment is not None:
        found = await locations.environment(ctx, scope.project.id, body.environment) if body.environment else None
        fields["environment_id"] = found.id if found else None
    if body.secret_path is not None:
        fields["secret_path"] = _secret_path(body.secret_path)
    if body.events_filter is not None:
        fields["events"] = _events(body.events_filter)
    if body.webhook_url is not None:
        require_url(ctx, body.webhook_url, "webhookUrl")
    if not fields and body.webhook_url is None and body.webhook_secret_key is None:
        raise BadRequest("Nothing to change: send at least one field")
    async with ctx.unit() as tx:
        record = await deliveries.target(tx, webhook_id, to_change=True)
        if record is None:
            raise NotFound("The webhook was deleted meanwhile")
        if body.webhook_url is not None or body.webhook_secret_key is not None:
            fields |= await _resealed(ctx, tx, record, body)
        await deliveries.change_target(tx, record, **fields, updated_at=ctx.now)
        if body.is_disabled:
            await deliveries.drop(tx, webhook_id)
        after = msgspec.structs.replace(record, **fields)
        ctx.audit(
            "update-webhook", **_about(scope, after, None), changed=sorted(_WIRE.get(name, name) for name in fields)
        )
    return await _shown(ctx, seen)


_WIRE: Final = {
    "is_disabled": "isDisabled",
    "environment_id": "environment",
    "secret_path": "secretPath",
    "events": "eventsFilter",
    "sealed": "webhookUrl or webhookSecretKey",
    "shown": "webhookUrl",
    "is_signed": "webhookSecretKey",
}


async def _resealed(ctx: Ctx, tx: Tx, record: DeliveryTarget, body: UpdateWebhook) -> dict[str, Any]:
    before = await delivering.receiver_of(ctx.runtime, tx, record)
    receiver = Receiver(
        url=before.url if body.webhook_url is None else Secret(body.webhook_url),
        key=before.key if body.webhook_secret_key is None else Secret(body.webhook_secret_key),
    )
    sealer = await ctx.runtime.keys.sealer(tx, delivering.sealing_scope(record))
    return {
        "sealed": sealer.seal(delivering.sealing_context(record.id), sealed_text(receiver)),
        "shown": shown_url(receiver.url.reveal(), record.kind),
        "is_signed": bool(receiver.key),
    }


async def remove(ctx: Ctx, webhook_id: str) -> Webhook:
    """Delete a webhook; what was waiting for it is dropped."""
    scope, seen = await _enter(ctx, webhook_id, "delete")
    webhook = await _shown(ctx, seen)
    async with ctx.unit() as tx:
        record = await deliveries.target(tx, webhook_id, to_change=True)
        if record is None:
            raise NotFound("The webhook was deleted meanwhile")
        await deliveries.remove_target(tx, record)
        ctx.audit("delete-webhook", **_about(scope, record, webhook.environment))
    return webhook


async def test(ctx: Ctx, webhook_id: str) -> Webhook:
    """Send a test message now, once and outside of the order; the webhook's last status says how it went."""
    scope, record = await _enter(ctx, webhook_id, "edit")
    webhook = await _shown(ctx, record)
    async with ctx.view() as tx:
        receiver = await delivering.receiver_of(ctx.runtime, tx, record)
    slug = webhook.environment.slug if webhook.environment else ""
    delivery = _message(ctx, record.id, scope.project, TEST, slug, record.secret_path)
    outcome = await delivering.attempt(ctx.runtime, record, receiver, delivery)
    ctx.begin_now()
    status = "failed" if outcome.error else "success"
    async with ctx.unit() as tx:
        await deliveries.note_run(tx, record.id, status=status, error=outcome.error or None, at=ctx.now)
        ctx.audit("test-webhook", **_about(scope, record, webhook.environment), status=status)
    return await _shown(ctx, record)


async def list_deliveries(ctx: Ctx, webhook_id: str, query: DeliveryQuery) -> DeliveryPage:
    """List the messages of a webhook that wait, or that were given up."""
    _, record = await _enter(ctx, webhook_id, "read")
    return await page(ctx, record, query)


async def retry(ctx: Ctx, webhook_id: str, body: RetryDeliveries) -> int:
    """Send given-up messages of a webhook again, in their order; return how many."""
    scope, record = await _enter(ctx, webhook_id, "edit")
    if record.is_disabled:
        raise BadRequest("The webhook is disabled: enable it first")
    async with ctx.unit() as tx:
        count = await deliveries.again(tx, record.id, body.delivery_ids)
        ctx.audit("retry-webhook-deliveries", **_about(scope, record, None), count=count)
    return count


def _about(scope: ProjectScope, record: DeliveryTarget, environment: Environment | None) -> dict[str, Any]:
    """Return what audit events say of a webhook: nothing that is secret of its URL."""
    return {
        "org_id": scope.org_id,
        "project_id": scope.project.id,
        "webhookId": record.id,
        "type": record.kind,
        "webhookUrl": record.shown,
        "secretPath": record.secret_path,
        "isDisabled": record.is_disabled,
        **({"environment": environment.slug} if environment else {}),
    }
