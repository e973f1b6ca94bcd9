"""Messages to receivers as they are answered: those that wait, and those that were given up."""

from collections.abc import Mapping, Sequence
from typing import Any

from watchword.domain.deliveries import Delivery, DeliveryPage
from watchword.http.wire import Out
from watchword.services.timestamps import iso, iso_or_none


class DeliveryOut(Out, frozen=True, kw_only=True):
    """A message that was not delivered: `state` is waiting or dead; `status` is the receiver's last HTTP status."""

    id: str
    event: str
    state: str
    attempts: int
    status: int | None
    error: str | None
    body: Mapping[str, Any]
    attempted_at: str | None
    created_at: str

    @classmethod
    def of(cls, delivery: Delivery) -> "DeliveryOut":
        return cls(
            id=delivery.id,
            event=delivery.event,
            state=delivery.state,
            attempts=delivery.attempts,
            status=delivery.status,
            error=delivery.error,
            body=delivery.body,
            attempted_at=iso_or_none(delivery.attempted_at),
            created_at=iso(delivery.created_at),
        )


class DeliveriesReply(Out, frozen=True, kw_only=True):
    deliveries: Sequence[DeliveryOut]
    next_cursor: int | None

    @classmethod
    def of(cls, page: DeliveryPage) -> "DeliveriesReply":
        return cls(deliveries=[DeliveryOut.of(one) for one in page.deliveries], next_cursor=page.next_cursor)


class RetriedReply(Out, frozen=True, kw_only=True):
    message: str
    count: int
