"""Look for occurrences that no single request knows of: what ends soon, what is unused, many refusals, new networks.

    every MINUTE   refusals and networks
    every HOUR     what ends, what is unused

One process of all looks (`store/identities/alerts.is_turn`). What is found is remembered by a key in the unit that
stores the message, so each occurrence is told once to each channel, and nothing is lost with a process.
"""

import ipaddress
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.actor import PLATFORM
from watchword.domain.deliveries import DeliveryTarget
from watchword.domain.errors import Refusal
from watchword.domain.identities.alerts import (
    BURST,
    DAY,
    MAX_ITEMS,
    Alert,
    AlertType,
    message_for,
    option,
    text_of,
    wants,
)
from watchword.services.context import Ctx
from watchword.services.identities import lifecycle
from watchword.services.runtime import Runtime
from watchword.services.timestamps import iso
from watchword.store import deliveries
from watchword.store.engine import Tx
from watchword.store.identities import alerts, reports

MINUTE: Final = 60_000  # ms
HOUR: Final = 60 * MINUTE
_WINDOW: Final = 5 * MINUTE  # of logins that one look reads
_PAGES: Final = 20  # of a report that one look reads
_PAGE: Final = 500
_REMEMBERED: Final = 730 * DAY  # networks
_log = logging.getLogger("watchword.alerts")


class _Found(msgspec.Struct, frozen=True):
    """An occurrence: its key, until when it could be found again, and what is told of it."""

    key: str
    until: int
    item: Mapping[str, Any]


async def look_when_due(runtime: Runtime) -> None:
    """Look for occurrences if it is time and this process is the one. Raises Refusal when the database is down."""
    async with runtime.store.read() as tx:
        if not await alerts.organizations(tx):
            return
    for name, period in (("alerts-minute", MINUTE), ("alerts-hour", HOUR)):
        async with runtime.store.write() as tx:
            is_turn = await alerts.is_turn(tx, name, period)
        if is_turn:
            await look(runtime, hourly=period == HOUR)


async def look(runtime: Runtime, *, hourly: bool) -> None:
    """Look for occurrences in every organization that has channels."""
    async with runtime.store.read() as tx:
        org_ids = await alerts.organizations(tx)
    for org_id in org_ids:
        ctx = Ctx(runtime, actor=PLATFORM, request_id="alerts")
        ctx.public("the server tells channels what their organization chose to be told")
        try:
            await _look_in(ctx, org_id, hourly=hourly)
        except Refusal:
            raise
        except Exception:  # noqa: BLE001 - one organization's trouble is not the others'
            _log.exception("alerts of an organization could not be looked for", extra={"org": org_id})


async def _look_in(ctx: Ctx, org_id: str, *, hourly: bool) -> None:
    async with ctx.view() as tx:
        channels = [one for one in await deliveries.channels_of(tx, org_id) if not one.is_disabled]
    for channel in channels:
        if hourly and wants(channel, "credential.expiring"):
            await _tell(ctx, channel, "credential.expiring", await _expiring(ctx, org_id, channel))
        if hourly and wants(channel, "identity.unused"):
            await _tell(ctx, channel, "identity.unused", await _unused(ctx, org_id, channel))
        if not hourly and wants(channel, "login.refused-often"):
            await _tell(ctx, channel, "login.refused-often", await _refused(ctx, org_id, channel))
    if not hourly and any(wants(channel, "identity.new-network") for channel in channels):
        await _networks(ctx, org_id)


async def _tell(ctx: Ctx, channel: DeliveryTarget, type: AlertType, found: Sequence[_Found]) -> None:
    """Store one message about what was not told yet; what is too much for one is told by the next look."""
    if not found:
        return
    async with ctx.unit() as tx:
        told = await alerts.marked(tx, [one.key for one in found])
        new = [one for one in found if one.key not in told][:MAX_ITEMS]
        if not new:
            return
        await alerts.mark(tx, {one.key: one.until for one in new})
        await deliveries.queue(tx, [message_for(channel, _alert(ctx, channel.org_id, type, [o.item for o in new]))])


def _alert(ctx: Ctx, org_id: str, type: AlertType, items: Sequence[Mapping[str, Any]]) -> Alert:
    return Alert(
        id=ctx.new_id(),
        org_id=org_id,
        type=type,
        message=text_of(type, items),
        items=items,
        time=iso(ctx.now),
        at=ctx.now,
    )


async def _expiring(ctx: Ctx, org_id: str, channel: DeliveryTarget) -> list[_Found]:
    found: list[_Found] = []
    cursor = ""
    for _ in range(_PAGES):
        query = lifecycle.ReportQuery(days=option(channel, "expiringDays"), limit=_PAGE, cursor=cursor)
        page = await lifecycle.expiring(ctx, org_id, query)
        for identity in page.identities:
            for ending in page.endings[identity.id]:
                what = ending.id or f"{ending.method}/{ending.field}"
                item = {
                    "identityId": identity.id,
                    "identityName": identity.name,
                    "kind": ending.kind,
                    "id": ending.id,
                    "name": ending.name,
                    "authMethod": ending.method,
                    "field": ending.field,
                    "expiresAt": iso(ending.ends_at),
                }
                key = f"{channel.id}/expiring/{identity.id}/{ending.kind}/{what}/{ending.ends_at}"
                found.append(_Found(key, ending.ends_at + DAY, item))
        cursor = page.next_cursor or ""
        if not cursor:
            break
    return found


async def _unused(ctx: Ctx, org_id: str, channel: DeliveryTarget) -> list[_Found]:
    before, found = ctx.now - option(channel, "unusedDays") * DAY, list[_Found]()
    for read in (reports.unused, reports.never_used):
        after: reports.Cursor | None = None
        for _ in range(_PAGES):
            async with ctx.view() as tx:
                rows = await read(tx, org_id, before=before, after=after, limit=_PAGE)
            for identity in rows:
                if identity.is_disabled:
                    continue
                at = identity.last_login_at
                item = {
                    "identityId": identity.id,
                    "identityName": identity.name,
                    "lastLoginTime": None if at is None else iso(at),
                    "createdAt": iso(identity.created_at),
                }
                found.append(_Found(f"{channel.id}/unused/{identity.id}/{at or 0}", ctx.now + _REMEMBERED, item))
            if len(rows) < _PAGE:
                break
            after = (rows[-1].last_login_at or 0, rows[-1].id)
    return found


async def _refused(ctx: Ctx, org_id: str, channel: DeliveryTarget) -> list[_Found]:
    async with ctx.view() as tx:
        rows = await alerts.refused_often(tx, org_id, ctx.now - BURST, option(channel, "refusals"))
    return [
        _Found(
            f"{channel.id}/refused/{row.identity_id}/{ctx.now // HOUR}",
            ctx.now + DAY,
            {
                "identityId": row.identity_id,
                "identityName": row.name,
                "authMethod": row.method,
                "refusals": row.count,
            },
        )
        for row in rows
    ]


async def _networks(ctx: Ctx, org_id: str) -> None:
    """Tell of logins from networks that an identity never came from; of its first network nothing is told."""
    async with ctx.survey() as tx:
        logins = await alerts.seen_logins(tx, org_id, ctx.now - _WINDOW)
    networks: dict[str, dict[str, Mapping[str, Any]]] = {}
    for login in logins:
        network = network_of(login.address)
        if network is not None:
            item = {"identityId": login.identity_id, "identityName": login.name, "network": network}
            networks.setdefault(login.identity_id, {})[network] = item
    if not networks:
        return
    async with ctx.unit() as tx:
        await _tell_networks(ctx, tx, org_id, networks)


async def _tell_networks(
    ctx: Ctx, tx: Tx, org_id: str, networks: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    keys = {f"network/{id}/{network}": (id, item) for id, found in networks.items() for network, item in found.items()}
    known = await alerts.marked(tx, [*keys, *(f"network/{id}" for id in networks)])
    new = {key: about for key, about in keys.items() if key not in known}
    told = [item for id, item in new.values() if f"network/{id}" in known]
    if len(told) > MAX_ITEMS:  # the next look tells the rest
        told = told[:MAX_ITEMS]
        new = {key: (id, item) for key, (id, item) in new.items() if f"network/{id}" not in known or item in told}
    firsts = {f"network/{id}" for id, _ in new.values()} - known
    await alerts.mark(tx, dict.fromkeys([*new, *firsts], ctx.now + _REMEMBERED))
    if told:
        await alerts.raised(tx, _alert(ctx, org_id, "identity.new-network", told))


def network_of(address: str) -> str | None:
    """Return the network that an address counts as being in: its /24, or of IPv6 its /48. None for what is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return str(ipaddress.ip_network(f"{parsed}/{24 if parsed.version == 4 else 48}", strict=False))
