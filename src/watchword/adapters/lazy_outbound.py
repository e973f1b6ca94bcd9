"""Create the outbound client when it is first used: it is slow to import, and many servers never need one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from watchword.domain.outbound import Admits, ClusterToken, LdapEntry, LdapQuery, Outbound, OutboundAnswer
from watchword.domain.secret import Secret

T = TypeVar("T")


class Closable(Outbound, Protocol):
    """An outbound client that holds connections."""

    async def close(self) -> None:
        """End what is under way and close every connection."""


class LazyOutbound:
    """`domain.outbound.Outbound` by the client that `make` makes at the first call."""

    def __init__(self, make: Callable[[], Closable]) -> None:
        self._make = make
        self._made: Closable | None = None

    @property
    def _client(self) -> Closable:
        if self._made is None:
            self._made = self._make()
        return self._made

    async def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", ca: str = ""
    ) -> OutboundAnswer:
        """One HTTP request."""
        return await self._client.fetch(method, url, headers=headers, body=body, ca=ca)

    async def jwks(
        self, url: str, kid: str | None, *, ca: str = "", max_age: int | None = None, bearer: Secret | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The keys at `url` that may carry `kid`."""
        return await self._client.jwks(url, kid, ca=ca, max_age=max_age, bearer=bearer)

    async def document(self, url: str, *, ca: str = "", bearer: Secret | None = None) -> Mapping[str, Any]:
        """The JSON object at `url`."""
        return await self._client.document(url, ca=ca, bearer=bearer)

    async def cluster_token(self, url: str) -> ClusterToken:
        """The server's own token for a Kubernetes API server."""
        return await self._client.cluster_token(url)

    async def loaded(
        self, url: str, read: Callable[[bytes], T], *, tag: str, is_current: Callable[[T], bool], body: bytes = b""
    ) -> T:
        """What `read` makes of the answer of `url`."""
        return await self._client.loaded(url, read, tag=tag, is_current=is_current, body=body)

    async def ldap(self, query: LdapQuery, *, admits: Admits | None = None) -> LdapEntry | None:
        """The entry that the credentials opened."""
        return await self._client.ldap(query, admits=admits)

    async def close(self) -> None:
        """Close what was made, if anything was."""
        if self._made is not None:
            await self._made.close()
