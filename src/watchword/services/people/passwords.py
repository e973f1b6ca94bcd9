"""Passwords of people: argon2id in threads, a few at a time, behind a short queue.

known devices ──────────────────────────────────────────────────┐
strangers, a few of each address ──> a short queue ─────────────┴──> two threads
                                       └── too many ──> 429

Known devices come first, then the addresses that were wrong least often, and of those, the ones refused least often:
where the queue is full, such an address takes the place of a worse one. So a flood from many addresses does not keep
out a person who comes from a new address: each address of the flood is wrong once, and is then ranked behind.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple, TypeVar

from nacl.exceptions import CryptoError
from nacl.pwhash import argon2id

from watchword.domain.errors import Invalid, TooManyRequests
from watchword.domain.people.passwords import MAX_LENGTH, MIN_LENGTH, weakness
from watchword.domain.secret import Secret

__all__ = ["MAX_LENGTH", "MIN_LENGTH", "Queue", "hashed", "matches", "require_usable"]

T = TypeVar("T")
THREADS = 2
WAITING, ALWAYS = 16, 4  # unknown devices in the queue, at most, and at least however slow the machine is
PATIENCE = 4.0  # seconds that the last of them may be expected to wait
# The share of one address, those being checked included: its limit once it was wrong; else what it need not give up.
EACH = 4
KNOWN_WAITING = 64
# RFC 9106, second recommended option, in one lane, which is all that libsodium writes. It verifies hashes with several.
PASSES, MEMORY = 3, 64 << 20  # bytes
_threads = ThreadPoolExecutor(THREADS, "argon2")
_judge = ThreadPoolExecutor(1, "zxcvbn")  # pure Python: a second thread would only take turns with it


async def require_usable(password: Secret, path: str = "password", *, own: Sequence[str] = ()) -> None:
    """Raise Invalid for a password that is too short, too long or easily guessed.

    `own` are the person's address and names.
    """
    fault = await asyncio.get_running_loop().run_in_executor(_judge, weakness, password.reveal(), own)
    if fault is not None:
        raise Invalid.of(path, fault, code="custom" if len(password.reveal()) >= MIN_LENGTH else "too_small")


@cache
def _nobody() -> str:
    """Return a hash to verify against when there is no such person, so that the answer takes as long."""
    return _hash("nobody has this password")


async def hashed(password: Secret) -> str:
    """Return the argon2id hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hash, password.reveal())


async def matches(password: Secret, stored: str | None) -> bool:
    """Whether the password is the stored one; None takes as long and is never right."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _matches, password.reveal(), stored)


def _hash(password: str) -> str:
    return argon2id.str(password.encode(), PASSES, MEMORY).decode()


def _matches(password: str, stored: str | None) -> bool:
    try:
        return (
            argon2id.verify((stored or _nobody()).encode(), password[: MAX_LENGTH + 1].encode()) and stored is not None
        )
    except CryptoError:  # it is another one, or what is stored is no hash
        return False


class AddressHistory(NamedTuple):
    """How often sign-ins of an address were wrong, and how often it was refused; who was less often comes first."""

    wrong: int = 0
    sent_away: int = 0


UNKNOWN = AddressHistory()


class Queue:
    """The queue of passwords to check.

    A password that does not fit is refused at once, so that no caller waits for long behind unknown devices.
    """

    def __init__(self) -> None:
        self._running = 0
        self._known: deque[asyncio.Future[None]] = deque()
        self._strangers: dict[str, deque[asyncio.Future[None]]] = {}  # by address, the next one first
        self._tried: dict[str, AddressHistory] = {}  # the histories of the addresses in the queue
        self._inside: dict[str, int] = {}  # unknown devices that wait or are being checked, by address
        self._took = 0.3  # seconds that one check takes, a moving average

    async def hashed(self, password: Secret) -> str:
        """Return the argon2id hash to store, for a caller that has proved something already."""
        return await self._in_turn(_hash, password.reveal(), counted_as=None)

    async def matches(
        self, password: Secret, stored: str | None, *, counted_as: str | None, tried: AddressHistory = UNKNOWN
    ) -> bool:
        """Whether the password is the stored one; None takes as long and is never right.

        `counted_as` is the address that an unknown device is counted by, None for a known device; `tried` is the
        history of that address. Raises TooManyRequests.
        """
        return await self._in_turn(_matches, password.reveal(), stored, counted_as=counted_as, tried=tried)

    async def _in_turn(
        self, work: Callable[..., T], *args: object, counted_as: str | None, tried: AddressHistory = UNKNOWN
    ) -> T:
        self._require_room(counted_as, tried)
        loop = asyncio.get_running_loop()
        if counted_as is not None:
            self._inside[counted_as] = self._inside.get(counted_as, 0) + 1
        try:
            await self._turn(loop, counted_as, tried)
            began = loop.time()
            job = loop.run_in_executor(_threads, work, *args)
            job.add_done_callback(lambda _: self._done(loop.time() - began))  # also when the request was cancelled
            return await job
        finally:
            if counted_as is not None:
                self._inside[counted_as] -= 1
                if not self._inside[counted_as]:
                    del self._inside[counted_as]

    def _require_room(self, counted_as: str | None, tried: AddressHistory) -> None:
        strangers = sum(map(len, self._strangers.values()))
        if counted_as is None:
            is_full = len(self._known) >= KNOWN_WAITING
        elif self._inside.get(counted_as, 0) >= EACH and tried != UNKNOWN:
            is_full = True
        else:
            is_long = strangers >= ALWAYS and self._wait > PATIENCE
            is_full = (strangers >= WAITING or is_long) and not self._made_room(counted_as, tried)
        if is_full:
            raise self._refusal()

    def _refusal(self) -> TooManyRequests:
        wait = max(1, math.ceil(self._wait))
        return TooManyRequests(f"Too many people sign in at this moment: try again in {wait} s", retry_after=wait)

    def _made_room(self, counted_as: str, tried: AddressHistory) -> bool:
        """Refuse one of the address with the worst history: worse than `tried`, or equal and beyond its share."""
        if not self._tried:
            return False
        worst = max(self._tried, key=lambda address: (self._tried[address], self._inside.get(address, 0)))
        takes_too_much = self._inside.get(worst, 0) > EACH > self._inside.get(counted_as, 0)
        if not (self._tried[worst] > tried or (self._tried[worst] == tried and takes_too_much)):
            return False
        turn = self._strangers[worst].pop()
        self._drop_if_empty(worst)
        if not turn.done():
            turn.set_exception(self._refusal())
        return True

    def _drop_if_empty(self, counted_as: str) -> None:
        if not self._strangers[counted_as]:
            del self._strangers[counted_as], self._tried[counted_as]

    @property
    def _wait(self) -> float:
        """The seconds until all that are in the queue now have had their turn."""
        return (sum(map(len, self._strangers.values())) + len(self._known) + self._running) * self._took / THREADS

    async def _turn(self, loop: asyncio.AbstractEventLoop, counted_as: str | None, tried: AddressHistory) -> None:
        if self._running < THREADS:
            self._running += 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        line = self._known if counted_as is None else self._strangers.setdefault(counted_as, deque())
        line.append(turn)
        if counted_as is not None:
            self._tried[counted_as] = tried
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                if turn.exception() is None:
                    self._done(None)  # the turn came, but the request was cancelled
            elif turn in line:
                line.remove(turn)
                if counted_as is not None:
                    self._drop_if_empty(counted_as)
            raise

    def _done(self, took: float | None) -> None:
        if took is not None:
            self._took += (took - self._took) / 8
        self._running -= 1
        turn = self._next()
        if turn is not None:
            self._running += 1
            turn.set_result(None)

    def _next(self) -> asyncio.Future[None] | None:
        while self._known:
            turn = self._known.popleft()
            if not turn.done():
                return turn
        while self._strangers:
            address = min(self._strangers, key=self._tried.__getitem__)
            line = self._strangers.pop(address)
            turn = line.popleft()
            self._strangers[address] = line  # at the end: other addresses of the same history come first
            self._drop_if_empty(address)
            if not turn.done():
                return turn
        return None
