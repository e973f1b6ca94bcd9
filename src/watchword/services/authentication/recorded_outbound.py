"""Record the outbound calls of one login and whether it had to wait, so that the answers can be checked again."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

from watchword.domain.outbound import (
    Admits,
    ClusterToken,
    LdapEntry,
    LdapQuery,
    Outbound,
    OutboundAnswer,
    OutboundError,
)
from watchword.domain.secret import Secret

T = TypeVar("T")


class RecordedOutbound:
    """`domain.outbound.Outbound` for one login.

    `waited`: an answer had to be waited for, so the time and state that the login read before are old. The same call is
    answered at once from the record: some proofs can be shown to a cloud only once. `admits` is not called again then:
    a repeated login checks the lockout of the entry that the first call named.
    """

    __slots__ = ("_answers", "_outbound", "waited")

    def __init__(self, outbound: Outbound) -> None:
        self._outbound = outbound
        self._answers: dict[Hashable, Any] = {}
        self.waited = False

    def repeat(self) -> None:
        """Begin another round: note again whether an answer must be waited for."""
        self.waited = False

    async def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", ca: str = ""
    ) -> OutboundAnswer:
        """Make an HTTP request."""
        answer: OutboundAnswer = await self._recorded(
            ("fetch", method, url, tuple(sorted((headers or {}).items())), body, ca),
            lambda: self._outbound.fetch(method, url, headers=headers, body=body, ca=ca),
        )
        return answer

    async def jwks(
        self, url: str, kid: str | None, *, ca: str = "", max_age: int | None = None, bearer: Secret | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """Return the keys at `url` that may have the id `kid`."""
        answer: Sequence[Mapping[str, Any]] = await self._recorded(
            ("jwks", url, kid, ca, bearer),
            lambda: self._outbound.jwks(url, kid, ca=ca, max_age=max_age, bearer=bearer),
        )
        return answer

    async def document(self, url: str, *, ca: str = "", bearer: Secret | None = None) -> Mapping[str, Any]:
        """Return the JSON object at `url`."""
        answer: Mapping[str, Any] = await self._recorded(
            ("document", url, ca, bearer), lambda: self._outbound.document(url, ca=ca, bearer=bearer)
        )
        return answer

    async def cluster_token(self, url: str) -> ClusterToken:
        """Return the server's own token for a Kubernetes API server."""
        answer: ClusterToken = await self._recorded(("cluster_token", url), lambda: self._outbound.cluster_token(url))
        return answer

    async def loaded(
        self, url: str, read: Callable[[bytes], T], *, tag: str, is_current: Callable[[T], bool], body: bytes = b""
    ) -> T:
        """Return what `read` makes of the answer of `url`."""
        answer: T = await self._recorded(
            ("loaded", url, tag, body),
            lambda: self._outbound.loaded(url, read, tag=tag, is_current=is_current, body=body),
        )
        return answer

    async def ldap(self, query: LdapQuery, *, admits: Admits | None = None) -> LdapEntry | None:
        """Return the directory entry that the credentials opened."""
        answer: LdapEntry | None = await self._recorded(query, lambda: self._outbound.ldap(query, admits=admits))
        return answer

    async def _recorded(self, question: Hashable, ask: Callable[[], Awaitable[Any]]) -> Any:
        if question not in self._answers:
            # This runs if the event loop gets a turn before the answer is there: then other requests ran as well.
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
