"""Long polls: a request says which answer it has (`waitVersion`, an ETag) and is answered once there is another one.

    read ──another answer──> 200                       changes of a version key that the reading depends on
      │ the same one                                               │
      └──> wait ───────────────────────────────────────────────────┴──> sign in and read again, as a new request
             ├──the time is over, or the server ends──> sign in and read again: 200, or 304
             └──the client left──> nothing

What is compared is the whole answer and not a number, so that a request never returns for a change that the caller
cannot see, and never misses one that came while it was not connected: a change of an imported or referenced secret, of
the caller's rights, a temporary role that ended. Each answer is one reading by a caller who was judged for it: expiry,
revocation, state and rights are those of the moment of the answer. While it waits, a request holds nothing but its
connection, a task and the version keys.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import msgspec

from watchword.domain.access.boundary import Unfinished
from watchword.http import bodies, heads
from watchword.services.context import Rereading
from watchword.services.runtime import Runtime

_ELSEWHERE = 64 * 1024  # bytes, from which on the event loop does not wait for hashing


class SignedIn(Protocol):
    """Makes a context with the caller signed in; a use of a limited token is counted the first time only."""

    async def __call__(self, *, is_first: bool) -> Rereading:
        """Raises as any request does."""
        ...


class Unchanged(msgspec.Struct, frozen=True):
    """The client has the answer already: its tag."""

    tag: bytes


async def answer(
    runtime: Runtime,
    signed_in: SignedIn,
    query: Callable[[], Any],
    handler: Callable[..., Awaitable[Any]],
    gone: Callable[[], Awaitable[None]],
) -> bytes | Unchanged:
    """The answer once it is another one than the client has, or Unchanged when the time is over or the client left.

    Raises whatever the reading raises, at once or when it is carried out again; TooManyRequests where too many wait.
    """
    loop = asyncio.get_running_loop()
    ctx = await signed_in(is_first=True)
    options = query()
    known, until = heads.opaque(options.wait_version), loop.time() + options.wait_seconds
    data, tag = await _read(ctx, handler, options)
    if heads.opaque(tag.decode()) != known or runtime.changes.is_closed:
        return await _answered(ctx, data, tag, known)
    leaving = asyncio.ensure_future(gone())
    try:
        with runtime.waiting.place(ctx.actor):
            while True:
                data = b""  # not kept while nothing happens
                is_over = not await _waited(runtime, ctx, until - loop.time(), leaving)
                if leaving.done():
                    return Unchanged(tag)
                ctx = await signed_in(is_first=False)
                data, tag = await _read(ctx, handler, options)
                if is_over or heads.opaque(tag.decode()) != known or loop.time() >= until:
                    return await _answered(ctx, data, tag, known)
    finally:
        leaving.cancel()


async def _waited(runtime: Runtime, ctx: Rereading, seconds: float, leaving: "asyncio.Future[None]") -> bool:
    """Wait for a change of what a reading depends on; False when the time is over, or the client or server leaves."""
    moving = asyncio.ensure_future(runtime.changes.wait(ctx.seen, seconds))
    try:
        await asyncio.wait((moving, leaving), return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not moving.done():
            moving.cancel()
    return moving.done() and moving.result()


async def _read(ctx: Rereading, handler: Callable[..., Awaitable[Any]], options: Any) -> tuple[bytes, bytes]:
    while True:
        try:
            reply = await handler(ctx, query=options)
            break
        except Unfinished as long:
            await ctx.finish(long)
    data = bodies.encode_in_parts(reply)
    if isinstance(data, bytes) and len(data) < _ELSEWHERE:
        return data, heads.etag(data)
    return await asyncio.to_thread(_tagged, data)


def _tagged(data: bytes | list[bytes]) -> tuple[bytes, bytes]:
    whole = b"".join(data) if isinstance(data, list) else data
    return whole, heads.etag(whole)


async def _answered(ctx: Rereading, data: bytes, tag: bytes, known: str) -> bytes | Unchanged:
    await ctx.record()
    return Unchanged(tag) if heads.opaque(tag.decode()) == known else data
