"""Receivers of messages outside, as operators give them: what webhooks and alert channels have in common.

`delivering.py` sends the messages.
"""

from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from watchword.domain.deliveries import DeliveryPage, DeliveryTarget
from watchword.domain.errors import Invalid
from watchword.domain.urls import MAX_URL, is_web_url
from watchword.services.context import Ctx
from watchword.store import deliveries

Url = Annotated[
    str,
    msgspec.Meta(
        min_length=1,
        max_length=MAX_URL,
        extra={"trim": True},
        description="The receiver's URL: https, without a user, password or fragment in it. It is stored encrypted; "
        "answers show it without its query, and of a chat only the host.",
    ),
]
Key = Annotated[
    str,
    msgspec.Meta(
        max_length=512,
        description="Key that signs each request, at most 512 characters; empty: requests are not signed. A key that "
        "begins with whsec_ is base64, as in Standard Webhooks. It is stored encrypted and never answered.",
    ),
]


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which messages to list."""

    state: Annotated[
        Literal["waiting", "dead"],
        msgspec.Meta(description="`dead`: given up after all attempts; `waiting`: not delivered yet."),
    ] = "dead"
    cursor: Annotated[int, msgspec.Meta(ge=0, le=2**53, description="nextCursor of the page before.")] = 0
    limit: Annotated[int, msgspec.Meta(ge=1, le=100, description="Messages of a page.")] = 50


class RetryDeliveries(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Which given-up messages to send again."""

    delivery_ids: (
        Annotated[
            tuple[str, ...], msgspec.Meta(min_length=1, max_length=1_000, description="Their ids; without it, all.")
        ]
        | None
    ) = None


def require_url(ctx: Ctx, url: str, field: str) -> str:
    """Return the URL of a receiver. Raises Invalid for one that nothing would be sent to."""
    is_good = "#" not in url and is_web_url(url)
    if not is_good or not (
        url.startswith("https://") or (urlsplit(url).hostname or "") in ctx.runtime.settings.http_hosts
    ):
        raise Invalid.of(field, "An https URL of a host, without a user, password or fragment in it")
    return url


async def page(ctx: Ctx, record: DeliveryTarget, query: DeliveryQuery) -> DeliveryPage:
    """Return a page of a target's messages. Permission was asked for."""
    async with ctx.view() as tx:
        rows = await deliveries.listed(
            tx, record.id, dead=query.state == "dead", after=query.cursor, most=query.limit + 1
        )
    shown = rows[: query.limit]
    return DeliveryPage(deliveries=shown, next_cursor=shown[-1].seq if len(rows) > len(shown) else None)
