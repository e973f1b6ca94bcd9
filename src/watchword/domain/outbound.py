"""The interface for outbound calls: which there are, and what they return. `adapters/` implements it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec

from watchword.domain.secret import Secret

T = TypeVar("T")
Admits: TypeAlias = Callable[[str], Awaitable[None]]
"""A function of the DN that a user name leads to; it raises to end the login before its password is tried."""


class OutboundError(Exception):
    """An outbound call failed; the text is safe to show to an operator."""


class OutboundAnswer(msgspec.Struct, frozen=True):
    """The answer of another server to an HTTP request."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes


class LdapQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A question to a directory: which entry a service account finds for a user name, and does a password open it?"""

    url: str
    ca: str  # a PEM bundle trusted instead of the system roots; empty for those
    bind_dn: str
    bind_password: Secret
    base: str
    filter_template: str  # RFC 4515, with {{username}} in its values
    username: str
    password: Secret


class LdapEntry(msgspec.Struct, frozen=True):
    """The directory entry that the presented user name and password opened."""

    dn: str
    attributes: Mapping[str, tuple[str, ...]]


class ClusterToken(msgspec.Struct, frozen=True):
    """The server's own token for a Kubernetes API server, as its file holds it now."""

    token: Secret
    ca: str  # the PEM bundle beside the token; empty where there is none: the system roots


class Outbound(Protocol):
    """The guarded outbound client (`adapters/outbound.py`).

    Every call has a time limit and a size cap; raises `OutboundError`.
    """

    async def fetch(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        ca: str = "",
    ) -> OutboundAnswer:
        """One HTTP request. `ca` is a PEM bundle trusted instead of the system roots; TLS is always verified."""
        ...

    async def jwks(
        self, url: str, kid: str | None, *, ca: str = "", max_age: int | None = None, bearer: Secret | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The JSON Web Keys at `url` that may carry `kid` (all of them for None), from a cache with a stampede guard.

        An unknown `kid` refetches at most once a minute for each URL. Keys older than `max_age` seconds are fetched
        again.
        """
        ...

    async def document(self, url: str, *, ca: str = "", bearer: Secret | None = None) -> Mapping[str, Any]:
        """A JSON object at `url` (a discovery document, a certificate list), cached briefly.

        `bearer` is sent as the token of the request; what one token was shown is not shown to another.
        """
        ...

    async def cluster_token(self, url: str) -> ClusterToken:
        """The server's own token for the API server at `url`, which the operator's settings keep in a file."""
        ...

    async def loaded(
        self, url: str, read: Callable[[bytes], T], *, tag: str, is_current: Callable[[T], bool], body: bytes = b""
    ) -> T:
        """What `read` makes of the answer of `url`, from a cache with a stampede guard.

        `read` runs beside the event loop, and may raise `OutboundError`. `tag` names what it depends on besides the
        answer. With a `body` the question is a POST. What is no longer current is fetched again, once a minute.
        """
        ...

    async def ldap(self, query: LdapQuery, *, admits: Admits | None = None) -> LdapEntry | None:
        """The entry that the query's filter finds and its password opens; None if either fails.

        `{{username}}` in the template is replaced, escaped.

        `admits` gets the DN of the entry before the password is tried, and may raise.
        """
        ...
