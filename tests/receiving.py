"""A receiver of messages that notes what it gets, in the place of the client that would send it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from sqlalchemy import update

from tests.api import Api
from watchword.domain.outbound import OutboundAnswer, OutboundError
from watchword.services.delivering import deliver_due
from watchword.store import schema


class Got(msgspec.Struct, frozen=True):
    url: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def place(self) -> tuple[str, str]:
        project = self.json["project"]
        return project["environment"], project["secretPath"]


class Receiver:
    """Takes every message, unless `fails` says otherwise: a status, or the text of an error."""

    def __init__(self) -> None:
        self.got: list[Got] = []
        self.tried = 0
        self.fails: Callable[[str], int | str | None] = lambda url: None
        self.holds: asyncio.Event | None = None

    async def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", ca: str = ""
    ) -> OutboundAnswer:
        assert method == "POST"
        self.tried += 1
        if self.holds is not None:
            await self.holds.wait()
        outcome = self.fails(url)
        if isinstance(outcome, str):
            raise OutboundError(outcome)
        if outcome is None:
            self.got.append(Got(url, dict(headers or {}), body))
        return OutboundAnswer(outcome or 200, {}, b"")


def receiving(api: Api) -> Receiver:
    """Let the server send its messages to a new receiver."""
    receiver = Receiver()
    msgspec.structs.force_setattr(api.runtime, "receivers", receiver)
    return receiver


async def delivered(api: Api, is_done: Callable[[], bool]) -> None:
    """Deliver until that is so; the server's own worker does so beside it."""
    async with asyncio.timeout(10):
        while not is_done():
            await deliver_due(api.runtime)
            await asyncio.sleep(0.01)


async def settled(api: Api) -> None:
    """Deliver until nothing is due and nobody is at work."""
    async with asyncio.timeout(10):
        while await deliver_due(api.runtime) or await _is_leased(api):
            await asyncio.sleep(0.01)


async def _is_leased(api: Api) -> bool:
    from sqlalchemy import select

    async with api.runtime.store.read() as tx:
        targets = schema.delivery_targets
        return await tx.one(select(targets.c.id).where(targets.c.lease.is_not(None)).limit(1)) is not None


async def later(api: Api) -> None:
    """Let the time until the next attempts be over."""
    async with api.runtime.store.write() as tx:
        await tx.count(update(schema.delivery_targets).values(due_at=0).returning(schema.delivery_targets.c.id))
