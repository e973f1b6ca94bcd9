"""Webhooks of projects, and the messages that could not be delivered."""

from collections.abc import Sequence

from watchword.domain.projects.records import Environment
from watchword.http.deliveries import DeliveriesReply, RetriedReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.projects import webhooks
from watchword.services.receivers import DeliveryQuery, RetryDeliveries
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("webhooks", is_compressed=True)


class WebhookEnvironmentOut(Out, frozen=True, kw_only=True):
    """The environment of a webhook."""

    id: str
    name: str
    slug: str


class EventFilterOut(Out, frozen=True, kw_only=True):
    """An event that is told."""

    event_name: str


class WebhookOut(Out, frozen=True, kw_only=True):
    """A webhook, without what is secret of its URL and without its key.

    `environment` is null for one that is told of all. `lastStatus` is success, failed or null; `waitingDeliveries` are
    not delivered yet, `deadDeliveries` were given up.
    """

    id: str
    project_id: str
    workspace_id: str
    type: str
    url: str
    env_id: str | None
    environment: WebhookEnvironmentOut | None
    secret_path: str
    events_filter: Sequence[EventFilterOut]
    is_disabled: bool
    has_secret_key: bool
    last_status: str | None
    last_run_error_message: str | None
    last_run_at: str | None
    waiting_deliveries: int
    dead_deliveries: int
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, webhook: webhooks.Webhook) -> "WebhookOut":
        record, environment = webhook.record, webhook.environment
        return cls(
            id=record.id,
            project_id=record.project_id or "",
            workspace_id=record.project_id or "",
            type=record.kind,
            url=record.shown,
            env_id=record.environment_id,
            environment=_environment(environment),
            secret_path=record.secret_path,
            events_filter=[EventFilterOut(event_name=name) for name in record.events],
            is_disabled=record.is_disabled,
            has_secret_key=record.is_signed,
            last_status=record.last_status,
            last_run_error_message=record.last_error,
            last_run_at=iso_or_none(record.last_run_at),
            waiting_deliveries=webhook.waiting,
            dead_deliveries=webhook.dead,
            created_at=iso(record.created_at),
            updated_at=iso(record.updated_at),
        )


def _environment(environment: Environment | None) -> WebhookEnvironmentOut | None:
    if environment is None:
        return None
    return WebhookEnvironmentOut(id=environment.id, name=environment.name, slug=environment.slug)


class WebhookReply(Out, frozen=True, kw_only=True):
    message: str
    webhook: WebhookOut


class WebhooksReply(Out, frozen=True, kw_only=True):
    message: str
    webhooks: Sequence[WebhookOut]


_BASE = "/api/v1/webhooks"


@routes.get(_BASE, USER, IDENTITY)
async def list_webhooks(ctx: Ctx, query: webhooks.WebhookQuery) -> WebhooksReply:
    """List the webhooks of a project."""
    found = await webhooks.every(ctx, query)
    return WebhooksReply(message="Successfully fetched webhooks", webhooks=[WebhookOut.of(one) for one in found])


@routes.post(_BASE, USER, IDENTITY)
async def create_webhook(ctx: Ctx, body: webhooks.CreateWebhook) -> WebhookReply:
    """Create a webhook: a request to its URL tells of each change of secrets in its environment and path.

    Requests are sent at least once and in order, and again for about a day where the receiver fails.
    """
    webhook = await webhooks.create(ctx, body)
    return WebhookReply(message="Successfully created webhook", webhook=WebhookOut.of(webhook))


@routes.get(_BASE + "/{webhook_id}", USER, IDENTITY)
async def get_webhook(ctx: Ctx, webhook_id: str) -> WebhookReply:
    """Read a webhook, and how its last request went."""
    webhook = await webhooks.get(ctx, webhook_id)
    return WebhookReply(message="Successfully fetched webhook", webhook=WebhookOut.of(webhook))


@routes.patch(_BASE + "/{webhook_id}", USER, IDENTITY)
async def update_webhook(ctx: Ctx, webhook_id: str, body: webhooks.UpdateWebhook) -> WebhookReply:
    """Change a webhook, or disable it."""
    webhook = await webhooks.update(ctx, webhook_id, body)
    return WebhookReply(message="Successfully updated webhook", webhook=WebhookOut.of(webhook))


@routes.delete(_BASE + "/{webhook_id}", USER, IDENTITY)
async def delete_webhook(ctx: Ctx, webhook_id: str) -> WebhookReply:
    """Delete a webhook, and the messages that wait for it."""
    webhook = await webhooks.remove(ctx, webhook_id)
    return WebhookReply(message="Successfully removed webhook", webhook=WebhookOut.of(webhook))


@routes.post(_BASE + "/{webhook_id}/test", USER, IDENTITY)
async def test_webhook(ctx: Ctx, webhook_id: str) -> WebhookReply:
    """Send a test request now. The answer says in `lastStatus` and `lastRunErrorMessage` how it went."""
    webhook = await webhooks.test(ctx, webhook_id)
    is_good = webhook.record.last_status == "success"
    message = "Successfully triggered webhook" if is_good else "The receiver did not take the test"
    return WebhookReply(message=message, webhook=WebhookOut.of(webhook))


@routes.get(_BASE + "/{webhook_id}/deliveries", USER, IDENTITY)
async def list_webhook_deliveries(ctx: Ctx, webhook_id: str, query: DeliveryQuery) -> DeliveriesReply:
    """List the messages of a webhook that were given up, or that wait. Those that were delivered are not kept."""
    return DeliveriesReply.of(await webhooks.list_deliveries(ctx, webhook_id, query))


@routes.post(_BASE + "/{webhook_id}/deliveries/retry", USER, IDENTITY)
async def retry_webhook_deliveries(ctx: Ctx, webhook_id: str, body: RetryDeliveries) -> RetriedReply:
    """Send messages that were given up once more, in their order, all or some."""
    count = await webhooks.retry(ctx, webhook_id, body)
    return RetriedReply(message=f"{count} messages are sent again", count=count)
