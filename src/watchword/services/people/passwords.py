"""Human passwords: argon2id, off the event loop, a few at a time, and a short queue before it.

known devices ──────────────────────────────────────────────────┐
strangers, a few of each address ──> a short queue ─────────────┴──> two threads
                                       └── too many ──> 429

Known devices come first, then the addresses that were wrong least often, and of those, who was sent away least often:
where the queue is full, such a one takes the place of another. So a flood from many addresses keeps nobody out who
comes from a new one: each of its addresses is wrong once, and then stands behind.
"""

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from watchword.domain.errors import Invalid, TooManyRequests
from watchword.domain.people.passwords import MAX_LENGTH, MIN_LENGTH, weakness
from watchword.domain.secret import Secret

__all__ = ["MAX_LENGTH", "MIN_LENGTH", "Queue", "hashed", "matches", "require_usable"]

T = TypeVar("T")
THREADS = 2
WAITING, ALWAYS = 16, 4  # strangers in the queue, at most, and at least however slow the machine is
PATIENCE = 4.0  # seconds that the last one of them may be expected to wait
# Of them from one address, with those under way: at most, where it was wrong; else what it need not give up.
EACH = 4
KNOWN_WAITING = 64
_hasher = PasswordHasher()  # RFC 9106, second recommended option: 64 MiB, 3 passes, 4 lanes
_threads = ThreadPoolExecutor(THREADS, "argon2")
_judge = ThreadPoolExecutor(1, "zxcvbn")  # pure Python: a second thread would only take turns with it


async def require_usable(password: Secret, path: str = "password", *, own: Sequence[str] = ()) -> None:
    """Raise Invalid for a password that is too short, too long or easily guessed; `own` are the person's
    address and names.
    """
    fault = await asyncio.get_running_loop().run_in_executor(_judge, weakness, password.reveal(), own)
    if fault is not None:
        raise Invalid.of(path, fault, code="custom" if len(password.reveal()) >= MIN_LENGTH else "too_small")


@cache
def _nobody() -> str:
    """Verified against when there is no such person, so that the answer takes as long."""
    return _hasher.hash("nobody has this password")


async def hashed(password: Secret) -> str:
    """The argon2id hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password.reveal())


async def matches(password: Secret, stored: str | None) -> bool:
    """Whether the password is the stored one; None takes as long and is never right."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _matches, password.reveal(), stored)


def _matches(password: str, stored: str | None) -> bool:
    try:
        return _hasher.verify(stored or _nobody(), password[: MAX_LENGTH + 1]) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


class Standing(NamedTuple):
    """How often sign-ins of an address were wrong, and how often it was sent away: the lesser of two comes first."""

    wrong: int = 0
    sent_away: int = 0


UNKNOWN = Standing()


class Queue:
    """Whose password is looked at next.

    What does not fit is refused at once, so that nobody waits for long behind strangers.
    """

    def __init__(self) -> None:
        self._running = 0
        self._known: deque[asyncio.Future[None]] = deque()
        self._strangers: dict[str, deque[asyncio.Future[None]]] = {}  # by address, the next one first
        self._tried: dict[str, Standing] = {}  # of the addresses in the queue
        self._inside: dict[str, int] = {}  # strangers who wait or are under way, by address
        self._took = 0.3  # seconds that one takes, of late

    async def hashed(self, password: Secret) -> str:
        """The argon2id hash to store, for somebody who has proved something already."""
        return await self._in_turn(_hasher.hash, password.reveal(), whence=None)

    async def matches(
        self, password: Secret, stored: str | None, *, whence: str | None, tried: Standing = UNKNOWN
    ) -> bool:
        """Whether the password is the stored one; None takes as long and is never right.

        `whence` is the address that a stranger is counted by, None for a known device; `tried`, how that address
        stands. Raises TooManyRequests.
        """
        return await self._in_turn(_matches, password.reveal(), stored, whence=whence, tried=tried)

    async def _in_turn(
        self, work: Callable[..., T], *given: object, whence: str | None, tried: Standing = UNKNOWN
    ) -> T:
        self._require_room(whence, tried)
        loop = asyncio.get_running_loop()
        if whence is not None:
            self._inside[whence] = self._inside.get(whence, 0) + 1
        try:
            await self._turn(loop, whence, tried)
            began = loop.time()
            job = loop.run_in_executor(_threads, work, *given)
            job.add_done_callback(lambda _: self._done(loop.time() - began))  # also when nobody waits for it any more
            return await job
        finally:
            if whence is not None:
                self._inside[whence] -= 1
                if not self._inside[whence]:
                    del self._inside[whence]

    def _require_room(self, whence: str | None, tried: Standing) -> None:
        strangers = sum(map(len, self._strangers.values()))
        if whence is None:
            is_full = len(self._known) >= KNOWN_WAITING
        elif self._inside.get(whence, 0) >= EACH and tried != UNKNOWN:
            is_full = True
        else:
            is_long = strangers >= ALWAYS and self._wait > PATIENCE
            is_full = (strangers >= WAITING or is_long) and not self._made_room(whence, tried)
        if is_full:
            raise self._refusal()

    def _refusal(self) -> TooManyRequests:
        wait = max(1, math.ceil(self._wait))
        return TooManyRequests(f"Too many people sign in at this moment: try again in {wait} s", retry_after=wait)

    def _made_room(self, whence: str, tried: Standing) -> bool:
        """Send away one of the address that stands worst: worse than `tried`, or as well with more than its share."""
        if not self._tried:
            return False
        worst = max(self._tried, key=lambda address: (self._tried[address], self._inside.get(address, 0)))
        takes_too_much = self._inside.get(worst, 0) > EACH > self._inside.get(whence, 0)
        if not (self._tried[worst] > tried or (self._tried[worst] == tried and takes_too_much)):
            return False
        turn = self._strangers[worst].pop()
        self._drop_if_empty(worst)
        if not turn.done():
            turn.set_exception(self._refusal())
        return True

    def _drop_if_empty(self, whence: str) -> None:
        if not self._strangers[whence]:
            del self._strangers[whence], self._tried[whence]

    @property
    def _wait(self) -> float:
        """Seconds until all who are in the queue now have had their turn."""
        return (sum(map(len, self._strangers.values())) + len(self._known) + self._running) * self._took / THREADS

    async def _turn(self, loop: asyncio.AbstractEventLoop, whence: str | None, tried: Standing) -> None:
        if self._running < THREADS:
            self._running += 1
            return
        turn: asyncio.Future[None] = loop.create_future()
        line = self._known if whence is None else self._strangers.setdefault(whence, deque())
        line.append(turn)
        if whence is not None:
            self._tried[whence] = tried
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                if turn.exception() is None:
                    self._done(None)  # the turn came, and nobody takes it
            elif turn in line:
                line.remove(turn)
                if whence is not None:
                    self._drop_if_empty(whence)
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
            self._strangers[address] = line  # at the end: the others of its kind come first
            self._drop_if_empty(address)
            if not turn.done():
                return turn
        return None
