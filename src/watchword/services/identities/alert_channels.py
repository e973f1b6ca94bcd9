"""Alert channels of an organization: who is told of what happens to its machine identities, and how.

A channel is a URL that gets CloudEvents, a chat, or mail addresses. `services/delivering.py` sends the messages.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from watchword.domain.decode import checked
from watchword.domain.deliveries import (
    DeliveryPage,
    DeliveryTarget,
    Receiver,
    TargetKind,
    sealed_text,
    shown_url,
)
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.identities.alerts import ALERTS, DEFAULTS, Alert, AlertType, message_for, text_of
from watchword.domain.people.emails import read_email
from watchword.domain.secret import Secret
from watchword.services import delivering
from watchword.services.access.scopes import own_org
from watchword.services.context import CallerScope, Ctx
from watchword.services.keys.keyring import org_scope
from watchword.services.receivers import DeliveryQuery, Key, RetryDeliveries, Url, page, require_url
from watchword.services.timestamps import iso
from watchword.store import deliveries
from watchword.store.engine import Tx
from watchword.store.people import accounts

SUBJECT: Final = "incident-contact"
MAX_CHANNELS: Final = 20  # of one organization
_KNOWN: Final = ", ".join(ALERTS)

ChannelName = Annotated[
    str, msgspec.Meta(min_length=1, max_length=64, extra={"trim": True}, description="What the channel is called.")
]
Emails = Annotated[
    tuple[str, ...], msgspec.Meta(max_length=20, description="Addresses that get a mail; for the type email only.")
]
Types = Annotated[
    tuple[str, ...],
    msgspec.Meta(max_length=20, description=f"Alerts that are told; empty: all of them. There are {_KNOWN}."),
]
ExpiringDays = Annotated[
    int, msgspec.Meta(ge=1, le=365, description="credential.expiring: how many days before the end (14).")
]
UnusedDays = Annotated[
    int, msgspec.Meta(ge=1, le=3_650, description="identity.unused: after how many days without a login (90).")
]
Refusals = Annotated[
    int,
    msgspec.Meta(ge=1, le=100_000, description="login.refused-often: how many refusals within 15 minutes (20)."),
]
Type = Annotated[
    TargetKind,
    msgspec.Meta(description="general: CloudEvents 1.0 to a URL; slack, microsoft-teams: a chat; email: mails."),
]
Disabled = Annotated[bool, msgspec.Meta(description="Whether nothing is sent; what was waiting is dropped then.")]


class CreateChannel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A new alert channel."""

    name: ChannelName
    type: Type = "general"
    url: Url | None = None
    secret_key: Key | None = None
    emails: Emails = ()
    alerts: Types = ()
    expiring_days: ExpiringDays | None = None
    unused_days: UnusedDays | None = None
    refusals: Refusals | None = None


class UpdateChannel(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What to change; what is not sent stays."""

    name: ChannelName | None = None
    url: Url | None = None
    secret_key: Key | None = None
    emails: Emails | None = None
    alerts: Types | None = None
    expiring_days: ExpiringDays | None = None
    unused_days: UnusedDays | None = None
    refusals: Refusals | None = None
    is_disabled: Disabled | None = None


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """A channel, and how many of its messages wait or were given up."""

    record: DeliveryTarget
    waiting: int = 0
    dead: int = 0


def _types(names: tuple[str, ...]) -> tuple[str, ...]:
    for number, name in enumerate(names):
        if name not in ALERTS:
            raise Invalid.of(("alerts", number), f"One of {_KNOWN}")
    return tuple(dict.fromkeys(names))


def _options(body: CreateChannel | UpdateChannel) -> dict[str, int]:
    given = {"expiringDays": body.expiring_days, "unusedDays": body.unused_days, "refusals": body.refusals}
    return {name: value for name, value in given.items() if value is not None}


def _receiver(ctx: Ctx, kind: TargetKind, receiver: Receiver) -> Receiver:
    """Return the receiver if it is one of this kind. Raises Invalid, BadRequest."""
    if kind == "email":
        if receiver.url:
            raise Invalid.of("url", "A channel of mails has addresses (emails) and no URL")
        if not receiver.addresses:
            raise Invalid.of("emails", "At least one address")
        if not ctx.runtime.mailer.is_configured:
            raise BadRequest("This server has no mail server: set WATCHWORD_SMTP_URL, or choose another type")
        addresses = [checked("emails", read_email, text) for text in receiver.addresses]
        return msgspec.structs.replace(receiver, addresses=tuple(dict.fromkeys(addresses)))
    if receiver.addresses:
        raise Invalid.of("emails", "Only a channel of the type email has addresses")
    if not receiver.url:
        raise Invalid.of("url", "The URL that is told")
    require_url(ctx, receiver.url.reveal(), "url")
    return receiver


async def _sealed(ctx: Ctx, tx: Tx, id: str, org_id: str, kind: TargetKind, receiver: Receiver) -> dict[str, Any]:
    sealer = await ctx.runtime.keys.sealer(tx, org_scope(org_id))
    shown = ", ".join(receiver.addresses) if kind == "email" else shown_url(receiver.url.reveal(), kind)
    return {
        "sealed": sealer.seal(delivering.sealing_context(id), sealed_text(receiver)),
        "shown": shown,
        "is_signed": bool(receiver.key),
    }


async def every(ctx: Ctx) -> list[Channel]:
    """List the channels of the caller's organization."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", SUBJECT)
    async with ctx.view() as tx:
        records = await deliveries.channels_of(tx, scope.org_id)
        counts = await deliveries.counts(tx, [record.id for record in records])
    return [Channel(record=record, waiting=counts[record.id][0], dead=counts[record.id][1]) for record in records]


async def _enter(ctx: Ctx, channel_id: str, action: str) -> tuple[CallerScope, DeliveryTarget]:
    scope = await own_org(ctx)
    ctx.require(scope, action, SUBJECT)
    unknown = NotFound(f"There is no alert channel with id {channel_id[:64]!r}")
    if "\x00" in channel_id:
        raise unknown
    async with ctx.view() as tx:
        record = await deliveries.target(tx, channel_id)
    if record is None or record.purpose != "alert-channel" or record.org_id != scope.org_id:
        raise unknown
    return scope, record


async def _shown(ctx: Ctx, record: DeliveryTarget) -> Channel:
    async with ctx.view() as tx:
        current = await deliveries.target(tx, record.id) or record
        waiting, dead = (await deliveries.counts(tx, [record.id]))[record.id]
    return Channel(record=current, waiting=waiting, dead=dead)


async def get(ctx: Ctx, channel_id: str) -> Channel:
    """Return a channel."""
    _, record = await _enter(ctx, channel_id, "read")
    return await _shown(ctx, record)


async def create(ctx: Ctx, body: CreateChannel) -> Channel:
    """Create a channel. It is also told of what ends soon and what is unused already."""
    scope = await own_org(ctx)
    ctx.require(scope, "create", SUBJECT)
    given = Receiver(url=Secret(body.url or ""), key=Secret(body.secret_key or ""), addresses=body.emails)
    receiver, types, id = _receiver(ctx, body.type, given), _types(body.alerts), ctx.new_id()
    async with ctx.unit() as tx:
        # Those who create channels at the same moment wait for each other, so that the limit holds.
        await accounts.hold_organization(tx, scope.org_id)
        if len(await deliveries.channels_of(tx, scope.org_id)) >= MAX_CHANNELS:
            raise BadRequest(f"An organization has at most {MAX_CHANNELS} alert channels")
        record = DeliveryTarget(
            id=id,
            org_id=scope.org_id,
            purpose="alert-channel",
            kind=body.type,
            name=body.name,
            **await _sealed(ctx, tx, id, scope.org_id, body.type, receiver),
            events=types,
            options=_options(body),
            created_at=ctx.now,
            updated_at=ctx.now,
        )
        await deliveries.add_target(tx, record)
        ctx.audit("create-alert-channel", **_about(record))
    return Channel(record=record)


async def update(ctx: Ctx, channel_id: str, body: UpdateChannel) -> Channel:
    """Change a channel."""
    scope, seen = await _enter(ctx, channel_id, "edit")
    fields: dict[str, Any] = {}
    if body.name is not None:
        fields["name"] = body.name
    if body.alerts is not None:
        fields["events"] = _types(body.alerts)
    if body.is_disabled is not None:
        fields["is_disabled"] = body.is_disabled
    options, reseals = _options(body), any(one is not None for one in (body.url, body.secret_key, body.emails))
    if not fields and not options and not reseals:
        raise BadRequest("Nothing to change: send at least one field")
    async with ctx.unit() as tx:
        record = await deliveries.target(tx, channel_id, to_change=True)
        if record is None:
            raise NotFound("The channel was deleted meanwhile")
        if options:
            fields["options"] = {**record.options, **options}
        if reseals:
            before = await delivering.receiver_of(ctx.runtime, tx, record)
            after = Receiver(
                url=before.url if body.url is None else Secret(body.url),
                key=before.key if body.secret_key is None else Secret(body.secret_key),
                addresses=before.addresses if body.emails is None else body.emails,
            )
            receiver = _receiver(ctx, record.kind, after)
            fields |= await _sealed(ctx, tx, record.id, scope.org_id, record.kind, receiver)
        await deliveries.change_target(tx, record, **fields, updated_at=ctx.now)
        if body.is_disabled:
            await deliveries.drop(tx, channel_id)
        ctx.audit("update-alert-channel", **_about(msgspec.structs.replace(record, **fields)))
    return await _shown(ctx, seen)


async def remove(ctx: Ctx, channel_id: str) -> Channel:
    """Delete a channel; what was waiting for it is dropped."""
    _, seen = await _enter(ctx, channel_id, "delete")
    async with ctx.unit() as tx:
        record = await deliveries.target(tx, channel_id, to_change=True)
        if record is None:
            raise NotFound("The channel was deleted meanwhile")
        await deliveries.remove_target(tx, record)
        ctx.audit("delete-alert-channel", **_about(record))
    return Channel(record=seen)


async def test(ctx: Ctx, channel_id: str) -> Channel:
    """Send a test message now, once and outside of the order; the channel's last status says how it went."""
    _, record = await _enter(ctx, channel_id, "edit")
    async with ctx.view() as tx:
        receiver = await delivering.receiver_of(ctx.runtime, tx, record)
    kind: AlertType = "test"
    alert = Alert(
        id=ctx.new_id(),
        org_id=record.org_id,
        type=kind,
        message=text_of(kind, [{}]),
        items=[],
        time=iso(ctx.now),
        at=ctx.now,
    )
    outcome = await delivering.attempt(ctx.runtime, record, receiver, message_for(record, alert))
    ctx.begin_now()
    status = "failed" if outcome.error else "success"
    async with ctx.unit() as tx:
        await deliveries.note_run(tx, record.id, status=status, error=outcome.error or None, at=ctx.now)
        ctx.audit("test-alert-channel", **_about(record), status=status)
    return await _shown(ctx, record)


async def list_deliveries(ctx: Ctx, channel_id: str, query: DeliveryQuery) -> DeliveryPage:
    """List the messages of a channel that wait, or that were given up."""
    _, record = await _enter(ctx, channel_id, "read")
    return await page(ctx, record, query)


async def retry(ctx: Ctx, channel_id: str, body: RetryDeliveries) -> int:
    """Send given-up messages of a channel again, in their order; return how many."""
    _, record = await _enter(ctx, channel_id, "edit")
    if record.is_disabled:
        raise BadRequest("The channel is disabled: enable it first")
    async with ctx.unit() as tx:
        count = await deliveries.again(tx, record.id, body.delivery_ids)
        ctx.audit("retry-alert-deliveries", **_about(record), count=count)
    return count


def options_of(record: DeliveryTarget) -> Mapping[str, int]:
    """Return the numbers that a channel goes by."""
    return {**DEFAULTS, **record.options}


def _about(record: DeliveryTarget) -> dict[str, Any]:
    """Return what audit events say of a channel: nothing that is secret of its URL."""
    return {
        "org_id": record.org_id,
        "channelId": record.id,
        "name": record.name,
        "type": record.kind,
        "target": record.shown,
        "alerts": list(record.events),
        "isDisabled": record.is_disabled,
    }
