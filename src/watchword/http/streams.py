"""Answers that are written piece by piece, until they end or the client leaves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from watchword.http import bodies


class Pieces(msgspec.Struct, frozen=True):
    """The first piece of a body, and where the others come from."""

    first: bytes
    more: AsyncIterator[bytes]


async def write(pieces: Pieces, receive: bodies.Receive, send: Callable[[dict[str, Any]], Awaitable[None]]) -> None:
    """Send all pieces, each once the one before was taken; what makes them is closed at the end, and on leaving."""
    leaving = asyncio.ensure_future(bodies.gone(receive))
    piece: bytes | None = pieces.first
    try:
        while piece is not None and not leaving.done():
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            coming = asyncio.ensure_future(anext(pieces.more, None))
            try:
                await asyncio.wait((coming, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                if not coming.done():
                    coming.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await coming
            piece = None if coming.cancelled() else coming.result()
        if not leaving.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        leaving.cancel()
        await pieces.more.aclose()  # type: ignore[attr-defined]
