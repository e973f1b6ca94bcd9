"""Deliver messages to receivers outside, from the outbox that changes write to (`store/deliveries.py`).

    every LOOK_EVERY seconds    claim targets with messages that are due; a task for each
    a task                      renew the lease, take the next message, send it, record how it went; and again
    a failure                   the target waits, longer each time (`domain/deliveries.delay`)

No request waits for a receiver. A process that dies leaves its leases, which end by the database's clock; another one
then sends the message again that was under way. A message that was sent, and whose record was not written, is sent
again too: receivers get each message at least once.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from watchword.domain.deliveries import (
    Delivery,
    DeliveryTarget,
    Outcome,
    Receiver,
    brief,
    delay,
    is_over,
    mail_of,
    message,
    read_sealed,
)
from watchword.domain.errors import Refusal
from watchword.domain.keys.sealing import CannotOpen
from watchword.domain.outbound import OutboundError
from watchword.services.keys.keyring import org_scope, project_scope
from watchword.services.runtime import Runtime
from watchword.store import deliveries
from watchword.store.engine import Tx

LOOK_EVERY: Final = 1.0  # seconds
AT_ONCE: Final = 32  # targets that one process works on
IN_A_TURN: Final = 50  # messages for one target, before others have their turn
_GRACE: Final = 30  # seconds of a lease beyond what an attempt may take
_log = logging.getLogger("watchword.deliveries")


def lease_length(runtime: Runtime) -> int:
    """Return how long (ms) a lease lasts from its last renewal: longer than one attempt."""
    return (runtime.settings.outbound_timeout + _GRACE) * 1000


def sealing_scope(target: DeliveryTarget) -> str:
    """Return the scope of the key that a target's receiver is sealed with."""
    return project_scope(target.project_id) if target.project_id else org_scope(target.org_id)


def sealing_context(target_id: str) -> str:
    """Return what a target's sealed receiver is bound to."""
    return f"delivery-target/{target_id}"


async def receiver_of(runtime: Runtime, tx: Tx, target: DeliveryTarget) -> Receiver:
    """Open the receiver of a target. Raises CannotOpen."""
    sealer = await runtime.keys.sealer(tx, sealing_scope(target))
    return read_sealed(sealer.open(sealing_context(target.id), target.sealed))


async def attempt(runtime: Runtime, target: DeliveryTarget, receiver: Receiver, delivery: Delivery) -> Outcome:
    """Send one message once, and return what came of it. A fault of our own is an outcome too, so that it ends."""
    try:
        return await _sent(runtime, target, receiver, delivery)
    except Refusal:
        raise
    except Exception as error:  # noqa: BLE001 - a message that cannot be made must not be tried each second without end
        _log.exception("a message could not be sent", extra={"target": target.id, "delivery": delivery.id})
        return Outcome(error=f"the message could not be sent: {type(error).__name__}")


async def _sent(runtime: Runtime, target: DeliveryTarget, receiver: Receiver, delivery: Delivery) -> Outcome:
    limit = runtime.settings.outbound_timeout + 5
    if target.kind == "email":
        return await _mail(runtime, receiver, delivery)
    sent = message(target, receiver, delivery, runtime.clock())
    try:
        async with asyncio.timeout(limit):
            answer = await runtime.receivers.fetch(
                "POST", receiver.url.reveal(), headers={"accept": "*/*", **sent.headers}, body=sent.body
            )
    except OutboundError as error:
        return Outcome(error=brief(str(error)))
    except TimeoutError:
        return Outcome(error=f"no answer within {limit} seconds")
    if 200 <= answer.status < 300:
        return Outcome(status=answer.status)
    after = answer.headers.get("retry-after", "")
    seconds = int(after) if after.isascii() and after.isdigit() and len(after) < 7 else 0
    return Outcome(status=answer.status, error=f"the receiver answered {answer.status}", retry_after=seconds)


async def _mail(runtime: Runtime, receiver: Receiver, delivery: Delivery) -> Outcome:
    """Send a message as one mail to all addresses."""
    subject, text = mail_of(delivery)
    limit = runtime.settings.outbound_timeout + _GRACE - 10
    try:
        async with asyncio.timeout(limit):
            await runtime.mailer.send(", ".join(receiver.addresses), subject, text)
    except OutboundError as error:
        return Outcome(error=brief(str(error)))
    except TimeoutError:
        return Outcome(error=f"the mail server did not take the mail within {limit} seconds")
    return Outcome()


async def claim(runtime: Runtime, most: int = AT_ONCE) -> tuple[str, list[str]]:
    """Lease targets that have messages to be sent now; return the lease and their ids.

    Raises Refusal when the database does not answer.
    """
    async with runtime.store.read() as tx:
        if not await deliveries.is_any_due(tx):
            return "", []
    token = runtime.entropy(16).hex()
    async with runtime.store.write() as tx:
        return token, await deliveries.claim(tx, token, lease_length(runtime), most)


async def work(runtime: Runtime, token: str, target_id: str, goes_on: Callable[[], bool] = lambda: True) -> bool:
    """Send the messages of a leased target, in their order, until one fails or its turn is over; end the lease.

    Return whether its turn is over and more may wait. `goes_on` is asked before each message but the first.
    """
    try:
        for _ in range(IN_A_TURN):
            if not await _one(runtime, token, target_id) or not goes_on():
                return False
        return True
    finally:
        # Also when the task is cancelled: a lease that is kept would hold up the next process.
        with contextlib.suppress(Refusal):
            async with runtime.store.write() as tx:
                await deliveries.release(tx, target_id, token)


async def _one(runtime: Runtime, token: str, target_id: str) -> bool:
    """Send the next message of a target; return whether the one after it may follow."""
    async with runtime.store.write() as tx:
        found = await deliveries.head(tx, target_id, token, lease_length(runtime))
        if found is None:
            return False
        target, delivery = found
        try:
            receiver = await receiver_of(runtime, tx, target)
        except CannotOpen:
            receiver = None
    if receiver is None:
        outcome = Outcome(error="the address cannot be opened: its key is not there")
    else:
        outcome = await attempt(runtime, target, receiver, delivery)
    now = runtime.clock()
    async with runtime.store.write() as tx:
        if not outcome.error:
            return await deliveries.delivered(tx, token, delivery, now)
        attempts = delivery.attempts + 1
        over = is_over(attempts, outcome)
        chance = runtime.entropy(1)[0] / 255
        pause = delay(target.failures + 1, outcome, chance)
        await deliveries.failed(tx, token, delivery, outcome, now, pause, is_over=over)
    _log.info(
        "a message was not delivered",
        extra={"target": target.id, "delivery": delivery.id, "attempts": attempts, "error": outcome.error},
    )
    return False


async def deliver_due(runtime: Runtime) -> int:
    """Send what is due now, one turn for each target; return how many targets had one."""
    token, ids = await claim(runtime)
    await asyncio.gather(*(work(runtime, token, id) for id in ids))
    return len(ids)


class Deliverer:
    """The worker of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._is_closing = False

    def start(self) -> None:
        """Begin to look for messages."""
        self._loop = asyncio.create_task(self._look_again_and_again(), name="deliver")

    async def close(self) -> None:
        """Let the attempts under way end, and stop: a receiver that took a message is not sent it again."""
        self._is_closing = True
        if self._loop is not None:
            self._loop.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._loop
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._runtime.settings.outbound_timeout)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look_again_and_again(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._look()
            except Refusal:
                _log.warning("messages could not be delivered: the database does not answer")
            except Exception:  # noqa: BLE001 - messages are tried again, and the worker goes on
                _log.exception("messages could not be looked for")

    async def _look(self) -> None:
        """Claim as many targets as there is room for, until there are none."""
        while len(self._tasks) < AT_ONCE:
            token, ids = await claim(self._runtime, AT_ONCE - len(self._tasks))
            for id in ids:
                task = asyncio.create_task(self._work(token, id), name="deliver to one target")
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            if not ids:
                return
            await asyncio.sleep(0)

    async def _work(self, token: str, target_id: str) -> None:
        try:
            if await work(self._runtime, token, target_id, lambda: not self._is_closing):
                self._wake.set()
        except Refusal:
            _log.warning("a message's delivery could not be recorded: the database does not answer")
        except Exception:  # noqa: BLE001 - one target's trouble is not the others'
            _log.exception("messages of one target could not be delivered", extra={"target": target_id})
