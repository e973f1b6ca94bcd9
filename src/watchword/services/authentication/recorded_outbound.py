"""The outbound calls of one login: whether it had to wait, and the answers, so that they can be checked again."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any

from watchword.domain.outbound import Admits, LdapEntry, LdapQuery, Outbound, OutboundAnswer, OutboundError


class RecordedOutbound:
    """`domain.outbound.Outbound` for one login.

    `waited`: an answer was not at hand, so that what the login knew of the time and the state before is old. The same
    question is answered at once and as before: some proofs can be shown to a cloud only once. `admits` is not told
    again then: whoever repeats a login checks the lockout of the entry that it was told.
    """

    __slots__ = ("_answers", "_outbound", "waited")

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._answers: dict[Hashable, Any] = {}
        self.waited = False

    def repeat(self) -> None:
        """Watch anew for answers that must be waited for."""
        self.waited = False

    async def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", ca: str = ""
    ) -> OutboundAnswer:
        """One HTTP request."""
        found: OutboundAnswer = await self._recorded(
            ("fetch", method, url, tuple(sorted((headers or {}).items())), body, ca),
            lambda: self._outbound.fetch(method, url, headers=headers, body=body, ca=ca),
        )
        return found

    async def jwks(
        self, url: str, kid: str | None, *, ca: str = "", max_age: int | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The keys at `url` that may carry `kid`."""
        found: Sequence[Mapping[str, Any]] = await self._recorded(
            ("jwks", url, kid, ca), lambda: self._outbound.jwks(url, kid, ca=ca, max_age=max_age)
        )
        return found

    async def document(self, url: str, *, ca: str = "") -> Mapping[str, Any]:
        """The JSON object at `url`."""
        found: Mapping[str, Any] = await self._recorded(
            ("document", url, ca), lambda: self._outbound.document(url, ca=ca)
        )
        return found

    async def ldap(self, query: LdapQuery, *, admits: Admits | None = None) -> LdapEntry | None:
        """The entry that the credentials opened."""
        found: LdapEntry | None = await self._recorded(query, lambda: self._outbound.ldap(query, admits=admits))
        return found

    async def _recorded(self, question: Hashable, ask: Callable[[], Awaitable[Any]]) -> Any:
        if question not in self._answers:
            # It runs if the event loop has a turn before the answer is there: then others did as well.
            turn = asyncio.get_running_loop().call_soon(self._wait)
            try:
                self._answers[question] = await ask()
            except OutboundError as error:
                self._answers[question] = error
            finally:
                turn.cancel()
        answer = self._answers[question]
        if isinstance(answer, OutboundError):
            raise answer
        return answer

    def _wait(self) -> None:
        self.waited = True
