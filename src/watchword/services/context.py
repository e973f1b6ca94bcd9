"""Ctx: what one request may use, with two guards against steps that a developer could forget.

A unit cannot commit unless permission was asked for, and nothing remote may be called while a unit is open: both raise.
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
from watchword.services.runtime import Runtime
from watchword.services.turns import Turns
from watchword.store.audit import events
from watchword.store.cache import ConsistentReads
from watchword.store.engine import Tx
from watchword.store.journal import JournalEntry

_ATTEMPTS = 3  # of a request whose units give way to others


class PermissionNotAsked(AssertionError):
    """A unit was about to commit and nobody had asked whether the caller may: a bug, and the unit is rolled back."""


class RemoteInsideUnit(AssertionError):
    """Something remote was about to be called while a unit is open: a bug."""


class CallerScope(msgspec.Struct, frozen=True, kw_only=True):
    """Where the caller acts and what it may do there: an organization, or a project of it."""

    org_id: str
    project_id: str | None = None
    ability: Ability


class Ctx:
    """One request. Services take it first; everything of the outer world comes from it."""

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
        self.is_secure = is_secure  # whether the caller speaks TLS, with us or with a proxy that we trust
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
        """Whether the ability allows it; asking counts as having asked."""
        self._asked = True
        return scope.ability.allows(action, subject, facts or None)

    def always(self, scope: CallerScope, action: str, subject: str) -> bool:
        """Whether the ability allows it whatever the facts; asking counts as having asked."""
        self._asked = True
        return scope.ability.always(action, subject)

    def public(self, why: str) -> None:
        """Say that this request needs no permission, and why."""
        if not why:
            raise PermissionNotAsked("public() needs a reason")
        self._asked = True

    @asynccontextmanager
    async def unit(self) -> AsyncIterator[Tx]:
        """A unit of work: what it wrote and its audit events are durable when the block is left, or nothing is."""
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
        finally:
            self._open = False
            self._events.clear()  # of a unit that failed as well: what did not happen is not recorded with the next one
        self._has_written = True
        self.fresh.forget()

    async def finish(self, long: Unfinished) -> None:
        """Bring a comparison of roles to its end, in slices and outside of any unit; then the request is carried out
        anew.

        Raises BoundaryExceeded where something was written already: nothing may be done twice.
        """
        turns = Turns()
        if self._has_written:
            raise BoundaryExceeded("The roles are too large to be compared here: compare them one by one")
        while not long.comparison.go_on(AT_ONCE):
            await turns.pause()
        finished(long)
        self._asked = False
        self.fresh.forget()

    async def join(self, entry: JournalEntry) -> Any:
        """Carry out a journal entry: a unit of work shared with what other requests write at this moment; its answer.

        Raises the refusal that it answers. It is durable when this returns, as a unit is.
        """
        if self._open:
            raise RemoteInsideUnit("a unit is already open")
        if not self._asked:
            raise PermissionNotAsked("a write cannot be handed on before permission was asked for")
        answer = await self.runtime.writes.submit(entry)
        self.fresh.forget()
        if isinstance(answer, Refusal):
            raise answer
        self._has_written = True
        return answer

    async def submit(self, entry: JournalEntry) -> Any:
        """Wait until a journal entry is durable; its answer."""
        answer = await self.runtime.journal.submit(entry)
        self._has_written = True
        return answer

    def begins_again(self) -> bool:
        """Whether a request whose unit gave way to another (`Collision`) is to be carried out from its beginning.

        A few times, and never when something of it was written before: nothing may be done twice.
        """
        if self._has_written or self._attempts == _ATTEMPTS:
            return False
        self._attempts += 1
        self._asked = False
        self.fresh.forget()
        return True

    def begin_now(self) -> None:
        """Take the time and the state anew from here on: after something remote was waited for, what was known
        of them is old.
        """
        self.now = self.runtime.clock()
        self.fresh.forget()

    @asynccontextmanager
    async def view(self) -> AsyncIterator[Tx]:
        """A consistent view for reading."""
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
        """The same for statements that may look at very many rows, such as those of reports and of logs: nobody
        waits for them.
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
        """The guarded way out. Raises RemoteInsideUnit while a unit or view is open."""
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
        """An audit event of this request."""
        who = actor or self.actor
        return AuditEvent(
            id=self.runtime.new_id(),
            at=self.now,
            org_id=org_id or who.org_id,
            project_id=project_id,
            actor_kind=who.kind,
            actor_id=who.id or None,
            actor_name=who.email or who.name,
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
        """Store an audit event of something that was only read: through the journal, waiting for it where
        settings say `strict`.
        """
        entry = events.Audited(self.event(name, metadata, org_id=org_id, project_id=project_id))
        if self.runtime.settings.audit_reads == "strict":
            await self.runtime.journal.submit(entry)
        else:
            self.runtime.journal.note(entry)

    def cookie(self, name: str) -> str:
        """The value of a cookie that came with the request; empty without it."""
        for part in self.cookies.split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
        return ""

    def new_id(self) -> str:
        """A new id."""
        return self.runtime.new_id()
