"""The context of one request: what it may use, with two guards against steps that a developer could forget.

A unit of work cannot commit unless permission was asked for, and nothing remote may be called while a unit is open:
both raise.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from watchword.domain.access.abilities import Ability, denial
from watchword.domain.access.boundary import AT_ONCE, Unfinished, finished
from watchword.domain.actor import NOBODY, Actor
from watchword.domain.audit.records import AuditEvent
from watchword.domain.errors import BoundaryExceeded, Refusal
from watchword.domain.outbound import Outbound
from watchword.services.identities.alerting import raise_of
from watchword.services.runtime import Runtime
from watchword.services.turns import Turns
from watchword.store.audit import events
from watchword.store.cache import ConsistentReads, TrackedReads
from watchword.store.engine import Tx
from watchword.store.journal import JournalEntry

_ATTEMPTS = 3  # at a request whose units give way to others


class PermissionNotAsked(AssertionError):
    """A unit was about to commit and no permission had been asked for: a bug, and the unit is rolled back."""


class RemoteInsideUnit(AssertionError):
    """Something remote was about to be called while a unit is open: a bug."""


class CallerScope(msgspec.Struct, frozen=True, kw_only=True):
    """The organization or project in which the caller acts, and what the caller may do there."""

    org_id: str
    project_id: str | None = None
    ability: Ability


class Ctx:
    """The context of one request. Services take it first; time, randomness, storage and network come from it."""

    __slots__ = (
        "_asked",
        "_attempts",
        "_events",
        "_has_written",
        "_open",
        "actor",
        "address",
        "certificate",
        "cookies",
        "fresh",
        "is_secure",
        "now",
        "request_id",
        "runtime",
        "user_agent",
    )

    def __init__(
        self,
        runtime: Runtime,
        *,
        actor: Actor = NOBODY,
        now: int | None = None,
        request_id: str = "",
        address: str | None = None,
        user_agent: str = "",
        certificate: str | None = None,
        cookies: str = "",
        is_secure: bool = False,
    ) -> None:
        self.runtime = runtime
        self.actor = actor
        self.now = runtime.clock() if now is None else now
        self.request_id = request_id
        self.address = address
        self.user_agent = user_agent
        self.certificate = certificate
        self.cookies = cookies
        self.is_secure = is_secure  # whether the caller speaks TLS, with this server or with a trusted proxy
        self.fresh = ConsistentReads(runtime.store, runtime.cache)
        self._asked = False
        self._attempts = 1
        self._has_written = False  # whether anything of this request is durable already
        self._open = False
        self._events: list[AuditEvent] = []

    def require(self, scope: CallerScope, action: str, subject: str, /, **facts: Any) -> None:
        """Raise PermissionDenied unless the caller's ability in `scope` allows `action` on `subject` with these facts.

        The body's `details` name the permission that is missing, or the caller's own rule that comes nearest. They
        never hold the facts: a caller who may not read a secret must not learn its tags from the refusal.
        """
        self._asked = True
        if not scope.ability.allows(action, subject, facts or None):
            raise denial(scope.ability, action, subject, facts or None)

    def may(self, scope: CallerScope, action: str, subject: str, /, **facts: Any) -> bool:
        """Whether the ability allows `action` on `subject`; counts as having asked for permission."""
        self._asked = True
        return scope.ability.allows(action, subject, facts or None)

    def always(self, scope: CallerScope, action: str, subject: str) -> bool:
        """Whether the ability allows it whatever the facts; counts as having asked for permission."""
        self._asked = True
        return scope.ability.always(action, subject)

    def public(self, why: str) -> None:
        """Declare that this request needs no permission, and why."""
        if not why:
            raise PermissionNotAsked("public() needs a reason")
        self._asked = True

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Tx]:
        """Open a unit of work: its writes and audit events are all durable when the block is left, or none is."""
        if self._open:
            raise RemoteInsideUnit("a unit is already open")
        self._open = True
        try:
            async with self.runtime.store.write() as tx:
                yield tx
                if not self._asked:
                    raise PermissionNotAsked("a unit cannot commit before permission was asked for")
                if self._events:
                    await events.add(tx, self._events)
                    await raise_of(self.runtime, tx, self._events)
        finally:
            self._open = False
            self._events.clear()  # also after a failed unit: what did not happen is not recorded with the next one
        self._has_written = True
        self.fresh.invalidate()

    async def finish(self, long: Unfinished) -> None:
        """Complete a long comparison of roles in slices, outside of any unit.

        The request is then carried out again from its beginning. Raises BoundaryExceeded where something was written
        already: nothing may be done twice.
        """
        turns = Turns()
        if self._has_written:
            raise BoundaryExceeded("The roles are too large to be compared here: compare them one by one")
        while not long.comparison.go_on(AT_ONCE):
            await turns.pause()
        finished(long)
        self._asked = False
        self.fresh.invalidate()

    async def join(self, entry: JournalEntry) -> Any:
        """Write a journal entry in a unit shared with other requests that write at this moment; return its answer.

        The entry is durable when this returns, as a unit is. Raises the refusal that the entry answers.
        """
        if self._open:
            raise RemoteInsideUnit("a unit is already open")
        if not self._asked:
            raise PermissionNotAsked("a write cannot be handed on before permission was asked for")
        answer = await self.runtime.writes.submit(entry)
        self.fresh.invalidate()
        if isinstance(answer, Refusal):
            raise answer
        self._has_written = True
        return answer

    async def submit(self, entry: JournalEntry) -> Any:
        """Wait until a journal entry is durable; return its answer."""
        answer = await self.runtime.journal.submit(entry)
        self._has_written = True
        return answer

    @property
    def may_begin_again(self) -> bool:
        """Whether `begins_again` would be true."""
        return not self._has_written and self._attempts < _ATTEMPTS

    def begins_again(self) -> bool:
        """Whether a request whose unit gave way to another (`Collision`) may be carried out again from its beginning.

        True a few times, and never after something of the request was written: nothing may be done twice.
        """
        if not self.may_begin_again:
            return False
        self._attempts += 1
        self._asked = False
        self.fresh.invalidate()
        return True

    def begin_now(self) -> None:
        """Read the clock and the state again from here on.

        Called after a wait for something remote, when what the request knew of both is old.
        """
        self.now = self.runtime.clock()
        self.fresh.invalidate()

    @asynccontextmanager
    async def view(self) -> AsyncIterator[Tx]:
        """Open a consistent view for reading."""
        if self._open:
            raise RemoteInsideUnit("a unit is already open")
        self._open = True
        try:
            async with self.runtime.store.read() as tx:
                yield tx
        finally:
            self._open = False

    @asynccontextmanager
    async def survey(self) -> AsyncIterator[Tx]:
        """Open a view for statements that may read very many rows, such as reports and logs.

        No other request waits for it.
        """
        if self._open:
            raise RemoteInsideUnit("a unit is already open")
        self._open = True
        try:
            async with self.runtime.store.survey() as tx:
                yield tx
        finally:
            self._open = False

    @property
    def outbound(self) -> Outbound:
        """The guarded client for outbound calls. Raises RemoteInsideUnit while a unit or view is open."""
        if self._open:
            raise RemoteInsideUnit("nothing remote may be called while a unit is open")
        return self.runtime.outbound

    def event(
        self,
        name: str,
        metadata: Mapping[str, Any],
        *,
        org_id: str | None = None,
        project_id: str | None = None,
        actor: Actor | None = None,
    ) -> AuditEvent:
        """Make an audit event of this request."""
        acting = actor or self.actor
        return AuditEvent(
            id=self.runtime.new_id(),
            at=self.now,
            org_id=org_id or acting.org_id,
            project_id=project_id,
            actor_kind=acting.kind,
            actor_id=acting.id or None,
            actor_name=acting.email or acting.name,
            event=name,
            metadata=dict(metadata),
            address=self.address,
            user_agent=self.user_agent,
            request_id=self.request_id,
        )

    def audit(self, name: str, /, *, org_id: str | None = None, project_id: str | None = None, **metadata: Any) -> None:
        """Store an audit event with the open (or next) unit.

        `metadata` keys are wire names; no secret may be among them.
        """
        self._events.append(self.event(name, metadata, org_id=org_id, project_id=project_id))

    async def audit_read(
        self, name: str, /, *, org_id: str | None = None, project_id: str | None = None, **metadata: Any
    ) -> None:
        """Store an audit event of a read through the journal; wait for it where the settings say `strict`."""
        entry = events.Audited(self.event(name, metadata, org_id=org_id, project_id=project_id))
        if self.runtime.settings.audit_reads == "strict":
            await self.runtime.journal.submit(entry)
        else:
            self.runtime.journal.note(entry)

    def cookie(self, name: str) -> str:
        """Return the value of a cookie of the request; empty if there is none."""
        for part in self.cookies.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
        return ""

    def new_id(self) -> str:
        """Return a new id."""
        return self.runtime.new_id()


class Rereading(Ctx):
    """The context of one of several readings for the same answer: only the one that is answered is recorded.

    `seen` is what the reading depends on.
    """

    __slots__ = ("_reads",)

    fresh: TrackedReads

    def __init__(self, runtime: Runtime, **about: Any) -> None:
        super().__init__(runtime, **about)
        self.fresh = TrackedReads(runtime.store, runtime.cache)
        self._reads: list[tuple[str, str | None, str | None, dict[str, Any]]] = []

    @property
    def seen(self) -> Mapping[str, int]:
        """The version of each version key that was read."""
        return self.fresh.seen

    async def audit_read(
        self, name: str, /, *, org_id: str | None = None, project_id: str | None = None, **metadata: Any
    ) -> None:
        """Keep an audit event of a read until `record`."""
        self._reads.append((name, org_id, project_id, metadata))

    async def record(self) -> None:
        """Store the audit events of this reading, as `Ctx.audit_read` does."""
        reads, self._reads = self._reads, []
        for name, org_id, project_id, metadata in reads:
            await super().audit_read(name, org_id=org_id, project_id=project_id, **metadata)
