"""Background work: remove expired rows, and notice rotated keys.

    every KEYS_EVERY seconds   have keys been added or activated elsewhere? then read them again
    every SWEEP_EVERY seconds  each sweep, batch after batch, until it finds less than a batch

Every process does it; sweeps are idempotent, so two at once only share the work. A sweep that fails is logged and tried
again next time: nothing waits for it, because what it removes has no effect any more. A clock that jumps ahead lets
nothing go that is still needed: what counts is the horizon (`domain/horizon.py`).
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Iterable

import msgspec

from watchword.domain import horizon as horizons
from watchword.domain.errors import Refusal
from watchword.services.keys.keyring import WrongRootKey
from watchword.services.keys.rotation import retire_signing_keys
from watchword.services.projects import environments
from watchword.services.runtime import Runtime
from watchword.store import sweeps
from watchword.store.audit.events import Audited
from watchword.store.authentication import credentials

KEYS_EVERY, SWEEP_EVERY = 5.0, 600.0  # seconds
_DAY = 86_400_000  # ms
NOBODYS_DAYS = 30  # that refusals are kept which match no identity
_LOOKS = 20  # batches of version rows that one sweep looks at
_HOUR = (
    3_600_000  # ms: a login that asks a provider may end long after its proof did, and must still find that it was used
)
_MINUTE = 60_000  # ms: clocks of several servers differ a little
_log = logging.getLogger("watchword.upkeep")


async def remember(runtime: Runtime) -> None:
    """Note at a start what later decisions need to know of all settings there ever were."""
    age = runtime.settings.max_token_age
    async with runtime.store.read() as tx:
        if await credentials.longest_age(tx, 0) >= age:
            return
    async with runtime.store.write() as tx:
        await credentials.note_age(tx, age)


async def horizon(runtime: Runtime) -> int:
    """The moment (ms) that counts as now for whoever removes what is old: the clock's, unless that has jumped ahead.

    It changes nothing: `sweep` moves on the watermark that it is measured by.
    """
    clock = runtime.clock()
    async with runtime.store.read() as tx:
        watermark = await sweeps.watermark(tx)
    return clock if watermark is None else horizons.horizon(clock=clock, watermark=watermark)


async def _move_on(runtime: Runtime) -> int:
    """Move the watermark on, once for each sweep; the horizon from there."""
    clock = runtime.clock()
    async with runtime.store.write() as tx:
        before = await sweeps.watermark(tx)
        watermark = clock if before is None else horizons.next_watermark(clock=clock, watermark=before)
        await sweeps.put_watermark(tx, watermark)
    found = horizons.horizon(clock=clock, watermark=watermark)
    if found < clock:
        ahead = round((clock - watermark) / _DAY, 1)
        _log.warning(
            "the clock is days ahead of what the database has seen: old things are removed later", extra={"days": ahead}
        )
    return found


def moments(runtime: Runtime, now: int) -> Iterable[tuple[str, sweeps.Sweep, int]]:
    """Each sweep by name, and the moment (ms) before which something must have died to be removed.

    `now`: see `horizon`.
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
        ("tokens", sweeps.tokens, dead_credentials),
        ("client secrets", sweeps.client_secrets, dead_credentials),
        ("audit events", sweeps.events, trail),
        ("refused logins", sweeps.denials, trail),
        ("refused logins of nobody", sweeps.denials_of_nobody, max(trail, now - NOBODYS_DAYS * _DAY)),
    )


async def sweep(runtime: Runtime) -> dict[str, int]:
    """Run every sweep to its end; how much each removed."""
    now = await _move_on(runtime)
    removed: dict[str, int] = {}
    for name, run, before in moments(runtime, now):
        removed[name] = await _to_the_end(runtime, run, before)
    removed["versions"] = await _versions_of_nothing(runtime)
    return {name: count for name, count in removed.items() if count}


async def _versions_of_nothing(runtime: Runtime) -> int:
    """Look at some of the version rows in each sweep, and so at all of them in turn."""
    total = 0
    for _ in range(_LOOKS):
        async with runtime.store.write() as tx:
            removed, is_end = await sweeps.versions_of_nothing(tx)
        total += removed
        if is_end:
            break
        await asyncio.sleep(0)
    return total


async def _to_the_end(runtime: Runtime, run: sweeps.Sweep, before: int) -> int:
    total, found = 0, sweeps.BATCH
    while found >= sweeps.BATCH:
        async with runtime.store.write() as tx:
            found = await run(tx, before, sweeps.BATCH)
        total += found
        await asyncio.sleep(0)  # requests come first
    return total


def note_refusals(runtime: Runtime, *, at_once: bool = False) -> None:
    """Say in the audit log how many refusals were like one whose minute is over.

    What cannot be written is tried again.
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
    """The task that does it for one process."""

    def __init__(self, runtime: Runtime) -> None:
        self._house = runtime
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin, a little later than other servers that started at the same moment."""
        self._tasks = [
            asyncio.create_task(self._watch_keys(), name="watch keys"),
            asyncio.create_task(self._sweep(random.uniform(20, 120)), name="sweep"),  # noqa: S311 - spreads load, guards nothing
        ]

    async def close(self) -> None:
        """Stop. A batch under way is finished or rolled back by the store."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _watch_keys(self) -> None:
        while True:
            await asyncio.sleep(KEYS_EVERY)
            note_refusals(self._house)
            try:
                await self._house.keys.refresh(self._house.store)
            except Refusal:
                _log.warning("the keys could not be looked at: the database does not answer")
            except WrongRootKey:
                _log.error(
                    "the root key was rotated and this server does not have the new one: give it both and start it anew"
                )

    async def _sweep(self, delay: float) -> None:
        while True:
            await asyncio.sleep(delay)
            delay = SWEEP_EVERY
            try:
                removed = await sweep(self._house)
                await retire_signing_keys(self._house, await horizon(self._house))
            except Refusal:
                _log.warning("a sweep was not finished: the database does not answer")
            else:
                if removed:
                    _log.info("swept", extra={"removed": removed})
