"""Background work: remove expired rows, and notice rotated keys.

    every KEYS_EVERY seconds   have keys been added or activated elsewhere? then read them again
    every COPIES_EVERY seconds has a source of a replicated import changed? then copy it
    every ALERTS_EVERY seconds is it time to look for what alert channels are told? then look, in one process of all
    every SWEEP_EVERY seconds  each sweep, batch after batch, until it finds less than a batch

Every process does it; sweeps are idempotent, so two at once only share the work. A sweep that fails is logged and tried
again next time: nothing waits for it, because what it removes has no effect any more. A clock that jumps ahead removes
nothing that is still needed: what counts is the horizon (`domain/horizon.py`).
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterable

import msgspec

from watchword.domain.errors import Refusal
from watchword.domain.horizon import horizon, next_watermark
from watchword.services.identities.alert_looks import look_when_due
from watchword.services.keys.keyring import WrongRootKey
from watchword.services.keys.rotation import retire_signing_keys
from watchword.services.projects import environments
from watchword.services.runtime import Runtime
from watchword.services.secrets.replication import replicate_due
from watchword.store import deliveries, sweeps
from watchword.store.audit.events import Audited
from watchword.store.authentication import token_revocations
from watchword.store.identities import alerts

KEYS_EVERY, COPIES_EVERY, ALERTS_EVERY, SWEEP_EVERY = 5.0, 5.0, 20.0, 600.0  # seconds
_DAY = 86_400_000  # ms
UNMATCHED_REFUSAL_DAYS = 30  # for how long refusals that match no identity are kept
_VERSION_BATCHES = 20  # batches of version rows that one sweep looks at
# ms: a login that asks a provider may end long after its proof expired, and must still find that the proof was used.
_HOUR = 3_600_000
_MINUTE = 60_000  # ms: clocks of several servers differ a little
_log = logging.getLogger("watchword.upkeep")


async def remember(runtime: Runtime) -> None:
    """Record at startup the greatest token age that the settings ever allowed: revocations depend on it."""
    age = runtime.settings.max_token_age
    async with runtime.store.read() as tx:
        if await token_revocations.longest_age(tx, 0) >= age:
            return
    async with runtime.store.write() as tx:
        await token_revocations.note_age(tx, age)


async def read_horizon(runtime: Runtime) -> int:
    """Return the time (ms) that counts as now for removing old rows: the clock's, unless the clock has jumped ahead.

    Changes nothing: `sweep` advances the stored watermark that the horizon is measured by.
    """
    clock = runtime.clock()
    async with runtime.store.read() as tx:
        watermark = await sweeps.watermark(tx)
    return clock if watermark is None else horizon(clock=clock, watermark=watermark)


async def _move_on(runtime: Runtime) -> int:
    """Advance the stored watermark, once for each sweep; return the horizon measured from it."""
    clock = runtime.clock()
    async with runtime.store.write() as tx:
        before = await sweeps.watermark(tx)
        watermark = clock if before is None else next_watermark(clock=clock, watermark=before)
        await sweeps.put_watermark(tx, watermark)
    now = horizon(clock=clock, watermark=watermark)
    if now < clock:
        ahead = round((clock - watermark) / _DAY, 1)
        _log.warning(
            "the clock is days ahead of what the database has seen: old things are removed later", extra={"days": ahead}
        )
    return now


def moments(runtime: Runtime, now: int) -> Iterable[tuple[str, sweeps.Sweep, int]]:
    """Return each sweep by name, with the time (ms) before which a row must have ended to be removed.

    `now`: see `read_horizon`.
    """
    settings = runtime.settings
    dead_credentials = now - settings.credential_retention_days * _DAY
    trail = now - settings.audit_retention_days * _DAY
    return (
        ("revocations", sweeps.revocations, now - _MINUTE),
        ("spent proofs", sweeps.spent_proofs, now - _HOUR),
        ("lockouts", sweeps.lockouts, now - _MINUTE),
        ("sessions", sweeps.sessions, now - _MINUTE),
        ("links", sweeps.links, now - _MINUTE),
        ("invitations", sweeps.invitations, now - 30 * _DAY),
        ("deleted environments", environments.purge, now - 30 * _DAY),
        ("content of expired wraps", sweeps.empty_wraps, now),
        ("wraps", sweeps.wraps, dead_credentials),
        ("messages", deliveries.sweep, now - 30 * _DAY),
        ("alert marks", alerts.sweep, now),
        ("tokens", sweeps.tokens, dead_credentials),
        ("tokens of logins", sweeps.login_tokens(runtime.named_tokens), now - _MINUTE),
        ("client secrets", sweeps.client_secrets, dead_credentials),
        ("audit events", sweeps.events(now, runtime.keys.key_ids), trail),
        ("refused logins", sweeps.denials, trail),
        ("refused logins of nobody", sweeps.denials_of_nobody, max(trail, now - UNMATCHED_REFUSAL_DAYS * _DAY)),
    )


async def sweep(runtime: Runtime) -> dict[str, int]:
    """Run every sweep to its end; return how many rows each removed."""
    now = await _move_on(runtime)
    removed: dict[str, int] = {}
    for name, run, before in moments(runtime, now):
        removed[name] = await _to_the_end(runtime, run, before)
    removed["versions"] = await _versions_of_nothing(runtime)
    return {name: count for name, count in removed.items() if count}


async def _versions_of_nothing(runtime: Runtime) -> int:
    """Remove version rows of objects that are gone, looking at some in each sweep and so at all of them in turn."""
    total = 0
    for _ in range(_VERSION_BATCHES):
        async with runtime.store.write() as tx:
            removed, is_end = await sweeps.versions_of_nothing(tx)
        total += removed
        if is_end:
            break
        await asyncio.sleep(0)
    return total


async def _to_the_end(runtime: Runtime, run: sweeps.Sweep, before: int) -> int:
    total, count = 0, sweeps.BATCH
    while count >= sweeps.BATCH:
        async with runtime.store.write() as tx:
            count = await run(tx, before, sweeps.BATCH)
        total += count
        await asyncio.sleep(0)  # requests come first
    return total


def note_refusals(runtime: Runtime, *, at_once: bool = False) -> None:
    """Record in the audit log how many refusals were equal to the first of a minute that is over.

    Counts that cannot be written are tried again.
    """
    over = runtime.refusals.over(at_once=at_once)
    while over:
        first, more = over[-1]
        facts = {**first.metadata, "timesMore": more}
        try:
            runtime.journal.note(
                Audited(msgspec.structs.replace(first, id=runtime.new_id(), at=runtime.clock(), metadata=facts))
            )
        except Refusal:
            runtime.refusals.give_back(over)
            return
        over.pop()


class Upkeep:
    """The background tasks of one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start the tasks, a little later than other servers that started at the same moment."""
        self._tasks = [
            asyncio.create_task(self._watch_keys(), name="watch keys"),
            asyncio.create_task(self._replicate(), name="replicate"),
            asyncio.create_task(self._alert(), name="alert"),
            asyncio.create_task(self._sweep(random.uniform(20, 120)), name="sweep"),  # noqa: S311 - spreads load, guards nothing
        ]

    async def close(self) -> None:
        """Stop the tasks. A batch under way is finished or rolled back by the store."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEYS_EVERY)
            note_refusals(self._runtime)
            try:
                await self._runtime.keys.refresh(self._runtime.store)
            except Refusal:
                _log.warning("the keys could not be looked at: the database does not answer")
            except WrongRootKey:
                _log.error(
                    "the root key was rotated and this server does not have the new one: give it both and restart it"
                )

    async def _replicate(self) -> None:
        while True:
            await asyncio.sleep(COPIES_EVERY * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing
            try:
                await replicate_due(self._runtime)
            except Refusal:
                _log.warning("sources of replicated imports could not be looked at: the database does not answer")

    async def _alert(self) -> None:
        while True:
            await asyncio.sleep(ALERTS_EVERY * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load, guards nothing
            try:
                await look_when_due(self._runtime)
            except Refusal:
                _log.warning("alerts could not be looked for: the database does not answer")

    async def _sweep(self, delay: float) -> None:
        while True:
            await asyncio.sleep(delay)
            delay = SWEEP_EVERY
            try:
                removed = await sweep(self._runtime)
                await retire_signing_keys(self._runtime, await read_horizon(self._runtime))
            except Refusal:
                _log.warning("a sweep was not finished: the database does not answer")
            else:
                if removed:
                    _log.info("swept", extra={"removed": removed})
