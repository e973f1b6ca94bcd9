"""Alert channels of an organization, and the alerts that could not be delivered."""

from collections.abc import Sequence

from watchword.http.deliveries import DeliveriesReply, RetriedReply
from watchword.http.routing import IDENTITY, USER, Routes
from watchword.http.wire import Out
from watchword.services.context import Ctx
from watchword.services.identities import alert_channels
from watchword.services.receivers import DeliveryQuery, RetryDeliveries
from watchword.services.timestamps import iso, iso_or_none

routes = Routes("alerts", is_compressed=True)


class ChannelOut(Out, frozen=True, kw_only=True):
    """An alert channel, without what is secret of its URL and without its key.

    `target` is the URL as it may be shown, or the mail addresses. `alerts` is empty for all of them.
    """

    id: str
    organization_id: str
    name: str
    type: str
    target: str
    has_secret_key: bool
    alerts: Sequence[str]
    expiring_days: int
    unused_days: int
    refusals: int
    is_disabled: bool
    last_status: str | None
    last_run_error_message: str | None
    last_run_at: str | None
    waiting_deliveries: int
    dead_deliveries: int
    created_at: str
    updated_at: str

    @classmethod
    def of(cls, channel: alert_channels.Channel) -> "ChannelOut":
        record, options = channel.record, alert_channels.options_of(channel.record)
        return cls(
            id=record.id,
            organization_id=record.org_id,
            name=record.name,
            type=record.kind,
            target=record.shown,
            has_secret_key=record.is_signed,
            alerts=record.events,
            expiring_days=options["expiringDays"],
            unused_days=options["unusedDays"],
            refusals=options["refusals"],
            is_disabled=record.is_disabled,
            last_status=record.last_status,
            last_run_error_message=record.last_error,
            last_run_at=iso_or_none(record.last_run_at),
            waiting_deliveries=channel.waiting,
            dead_deliveries=channel.dead,
            created_at=iso(record.created_at),
            updated_at=iso(record.updated_at),
        )


class ChannelReply(Out, frozen=True, kw_only=True):
    channel: ChannelOut


class ChannelsReply(Out, frozen=True, kw_only=True):
    channels: Sequence[ChannelOut]


_BASE = "/api/v1/organization/alert-channels"
_ONE = _BASE + "/{channel_id}"


@routes.get(_BASE, USER, IDENTITY)
async def list_channels(ctx: Ctx) -> ChannelsReply:
    """List the alert channels of the caller's organization."""
    return ChannelsReply(channels=[ChannelOut.of(one) for one in await alert_channels.every(ctx)])


@routes.post(_BASE, USER, IDENTITY)
async def create_channel(ctx: Ctx, body: alert_channels.CreateChannel) -> ChannelReply:
    """Create an alert channel: be told by a request, a chat or a mail of what happens to machine identities.

    It is told at least once, in order, and again for about a day where the receiver fails; of one occurrence once.
    """
    return ChannelReply(channel=ChannelOut.of(await alert_channels.create(ctx, body)))


@routes.get(_ONE, USER, IDENTITY)
async def get_channel(ctx: Ctx, channel_id: str) -> ChannelReply:
    """Read an alert channel, and how its last message went."""
    return ChannelReply(channel=ChannelOut.of(await alert_channels.get(ctx, channel_id)))


@routes.patch(_ONE, USER, IDENTITY)
async def update_channel(ctx: Ctx, channel_id: str, body: alert_channels.UpdateChannel) -> ChannelReply:
    """Change an alert channel, or disable it."""
    return ChannelReply(channel=ChannelOut.of(await alert_channels.update(ctx, channel_id, body)))


@routes.delete(_ONE, USER, IDENTITY)
async def delete_channel(ctx: Ctx, channel_id: str) -> ChannelReply:
    """Delete an alert channel, and the messages that wait for it."""
    return ChannelReply(channel=ChannelOut.of(await alert_channels.remove(ctx, channel_id)))


@routes.post(_ONE + "/test", USER, IDENTITY)
async def test_channel(ctx: Ctx, channel_id: str) -> ChannelReply:
    """Send a test now. The answer says in `lastStatus` and `lastRunErrorMessage` how it went."""
    return ChannelReply(channel=ChannelOut.of(await alert_channels.test(ctx, channel_id)))


@routes.get(_ONE + "/deliveries", USER, IDENTITY)
async def list_channel_deliveries(ctx: Ctx, channel_id: str, query: DeliveryQuery) -> DeliveriesReply:
    """List the messages of a channel that were given up, or that wait. Those that were delivered are not kept."""
    return DeliveriesReply.of(await alert_channels.list_deliveries(ctx, channel_id, query))


@routes.post(_ONE + "/deliveries/retry", USER, IDENTITY)
async def retry_channel_deliveries(ctx: Ctx, channel_id: str, body: RetryDeliveries) -> RetriedReply:
    """Send messages that were given up once more, in their order, all or some."""
    count = await alert_channels.retry(ctx, channel_id, body)
    return RetriedReply(message=f"{count} messages are sent again", count=count)
