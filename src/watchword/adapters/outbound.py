"""The guarded HTTP client: every request to a URL from a configuration or a token goes through it.

    url -> checked -> host not given up on? -> a place in its queue -> name resolved, every address checked
        -> connected to a checked address -> TLS verified against the name -> answer, up to the size cap

Whoever may configure an auth method chooses URLs, and would otherwise make the server read its own network for them.
docs/decisions/0101-outbound-client.md says why each of these steps is there.
"""

import asyncio
import codecs
import hashlib
import multiprocessing
import re
import ssl
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import httpcore
import msgspec

from watchword.adapters.addresses import AddressRefused, Guard, Resolve, Unreachable
from watchword.adapters.tls import verifying
from watchword.adapters.ttl_cache import TtlCache
from watchword.domain.authentication.kubernetes import authority
from watchword.domain.authentication.revocation import RevocationList
from watchword.domain.outbound import Admits, ClusterToken, LdapEntry, LdapQuery, OutboundAnswer, OutboundError
from watchword.domain.secret import Secret

__all__ = ["AddressRefused", "Directory", "GuardedOutbound", "Unreachable"]

USER_AGENT = "watchword"
JSON = "application/json"
# RFC 7517 section 8.5. A Kubernetes API server knows its keys by this name only, and answers any other with 406.
KEY_SETS = f"application/jwk-set+json, {JSON}"
DOCUMENT_FRESH = 60_000
KEYS_FRESH = 300_000
KEYS_AGAIN = 60_000  # an unknown key id may cause one fetch of this URL a minute
FAILED_FOR = 5_000
GIVEN_UP_AFTER = 3  # failures to connect in a row
GIVEN_UP_FOR = 10_000
WAITING = 64  # requests that may wait for one host, beyond those under way
POOLS = 64  # CA bundles whose connections are kept
HOSTS = 1_024
MAX_KEYS = 500
LIST_CAP = 64 * 1024 * 1024  # bytes of a list of revoked certificates
LIST_SECONDS = 120  # to fetch one, and again to read it
LISTS_KEPT = 128 * 1024 * 1024  # bytes of all lists together, as they are kept
LISTS_AT_ONCE = 4  # times as many bytes as the largest may have are fetched at a time
_APART = 128 * 1024  # bytes, from which on a list is read in another process
LISTS = 16  # lists of revoked certificates that are kept, some megabytes each
_ADDRESSES = 4  # of one host that are tried
_IDLE = 15.0

_URL = re.compile(r"[\x21-\x7e]{1,4096}", re.ASCII)
_TOKEN = re.compile(r"[\x21-\x7e]{1,16384}", re.ASCII)
_MOST_FILE = 1 << 20  # bytes of a token file, and of the CA beside it
_OWN_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "accept-encoding", "expect", "te", "upgrade"}
)

T = TypeVar("T")


class Directory(Protocol):
    """`Outbound.ldap`, as `adapters/ldap.py` provides it."""

    async def __call__(self, query: LdapQuery, *, admits: Admits | None = None) -> LdapEntry | None:
        """The entry that the credentials opened."""
        ...


class _Target(msgspec.Struct, frozen=True):
    """A URL taken apart once, so that no other code reads it in another way later."""

    url: httpcore.URL
    host: str
    authority: str
    shown: str  # without the query, which may be a signed request


class _Host:
    """The state of one host: how many requests are under way, and whether it answers."""

    def __init__(self, places: int) -> None:
        self.places = asyncio.Semaphore(places)
        self.under_way = 0
        self.failures = 0
        self.given_up_until = 0


class _ConnectionPool:
    """The connection pool of one CA bundle; two bundles share no connection."""

    def __init__(self, connections: httpcore.AsyncConnectionPool) -> None:
        self.connections = connections
        self.busy = 0


def _weight_of_list(value: Any) -> int:
    return len(value.serials.packed) if isinstance(value, RevocationList) else 0


def _read_apart(read: Callable[[bytes], T], raw: bytes) -> T:
    """What `read` makes of a large text, in a process of its own, which ends with it.

    Reading a list lets no other thread run: 14 MiB stop a process for half a second.
    """
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        return pool.submit(read, raw).result(LIST_SECONDS)
    except (TimeoutError, BrokenProcessPool) as error:
        for process in list((pool._processes or {}).values()):  # noqa: SLF001 - there is no other way to end one
            process.kill()
        raise OutboundError("the list took too long to read, or too much memory") from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Pinned(httpcore.AsyncNetworkBackend):
    """A network backend that connects only to addresses the guard has checked.

    TLS then goes on with the host name: that is httpcore's next step.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the first address that answers."""
        addresses = (await self._guard.addresses(host, port))[:_ADDRESSES]
        share = None if timeout is None else timeout / len(addresses)
        for address, at in addresses:
            try:
                return await self._network.connect_tcp(address, at, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        raise Unreachable(f"{host}: no connection")

    async def connect_unix_socket(
        self,
        path: str,  # noqa: ARG002
        timeout: float | None = None,  # noqa: ARG002, ASYNC109
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: a socket in the file system is never a target."""
        raise AddressRefused("a socket in the file system is not outside")

    async def sleep(self, seconds: float) -> None:
        """Wait between attempts; none are made."""
        await self._network.sleep(seconds)


class GuardedOutbound:
    """`domain.outbound.Outbound`, guarded. One for each process and event loop; `close` it at the end."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        directory: Directory | None = None,
        guard: Guard | None = None,
        allowed_private_hosts: Sequence[str] = (),
        http_hosts: Collection[str] = (),
        roots: str = "",
        resolve: Resolve | None = None,
        connect_timeout: float = 5.0,
        total_timeout: float = 10.0,
        size_cap: int = 1 << 20,
        list_cap: int = LIST_CAP,
        places: int = 16,
        token_files: Mapping[str, str] | None = None,
    ) -> None:
        """Set the limits; `clock` is in milliseconds.

        `guard` replaces `allowed_private_hosts` and `resolve` where another client shares the same guard.

        `size_cap` is the largest answer in bytes, `list_cap` the largest list of revoked certificates.

        `http_hosts` may be asked without TLS. `roots` is a PEM bundle trusted in place of the system's. `places`:
        requests at once to one host.

        `token_files`: the file of the server's own token, by the authority of an API server.
        """
        self.guard = guard or Guard(allowed_private_hosts, resolve=resolve)
        self._clock = clock
        self._directory = directory
        self._http_hosts = frozenset(http_hosts)
        self._roots = roots
        self._connect_timeout = connect_timeout
        self._total_timeout = total_timeout
        self._size_cap = size_cap
        self._list_cap = list_cap
        self._list_bytes = 0  # of large lists that are under way
        self._list_turn = asyncio.Lock()
        self._places = places
        self._token_files = dict(token_files or {})
        self._hosts: OrderedDict[tuple[str, str], _Host] = OrderedDict()
        self._pools: OrderedDict[str, _ConnectionPool] = OrderedDict()
        self._documents: TtlCache[Mapping[str, Any]] = TtlCache(
            clock, fresh_for=DOCUMENT_FRESH, failed_for=FAILED_FOR, again_after=KEYS_AGAIN, size=HOSTS
        )
        self._lists: TtlCache[Any] = TtlCache(
            clock,
            fresh_for=KEYS_FRESH,
            failed_for=FAILED_FOR,
            again_after=KEYS_AGAIN,
            size=LISTS,
            weigh=_weight_of_list,
            most=max(LISTS_KEPT, list_cap),
        )
        self._answers: TtlCache[Any] = TtlCache(
            clock, fresh_for=KEYS_FRESH, failed_for=FAILED_FOR, again_after=KEYS_AGAIN, size=HOSTS
        )
        self._keys: TtlCache[Sequence[Mapping[str, Any]]] = TtlCache(
            clock, fresh_for=KEYS_FRESH, failed_for=FAILED_FOR, again_after=KEYS_AGAIN, size=HOSTS
        )

    async def fetch(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", ca: str = ""
    ) -> OutboundAnswer:
        """One HTTP request; a redirect is a refusal. Raises `OutboundError`."""
        return await self._fetch(method, url, headers or {}, body, ca, self._total_timeout, self._size_cap)

    async def _fetch(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes, ca: str, seconds: float, most: int
    ) -> OutboundAnswer:
        target = self._target(url)
        label = _label(ca)
        host = self._host(target.authority, label)
        if host.given_up_until > self._clock():
            raise Unreachable(f"{target.shown}: did not answer a moment ago; it will be tried again in a few seconds")
        if host.under_way >= self._places + WAITING:
            raise OutboundError(f"{target.shown}: too many requests are waiting for this host")
        host.under_way += 1
        try:
            async with asyncio.timeout(seconds), host.places:
                answer = await self._request(
                    method, target, headers, body, ca=ca, label=label, seconds=seconds, most=most
                )
        except TimeoutError as error:
            self._note(host, Unreachable())
            raise Unreachable(f"{target.shown}: no answer within {seconds:g} seconds") from error
        except OutboundError as error:
            self._note(host, error)
            raise
        finally:
            host.under_way -= 1
        host.failures = 0
        if 300 <= answer.status < 400:
            raise AddressRefused(f"{target.shown}: answered with a redirect ({answer.status}), and none is followed")
        return answer

    async def jwks(
        self, url: str, kid: str | None, *, ca: str = "", max_age: int | None = None, bearer: Secret | None = None
    ) -> Sequence[Mapping[str, Any]]:
        """The keys at `url` that may carry `kid`: those of that name, else those without one.

        `max_age` is in seconds.
        """

        async def load() -> Sequence[Mapping[str, Any]]:
            keys = (await self._json(url, ca, accept=KEY_SETS, bearer=bearer)).get("keys")
            keys = [key for key in keys if key is not None] if isinstance(keys, list) else None
            if keys is None or len(keys) > MAX_KEYS or not all(isinstance(k, dict) for k in keys):
                raise OutboundError(f"{self._target(url).shown}: not a JSON Web Key Set")
            return tuple(keys)

        key = (url, _label(ca), _label(bearer.reveal() if bearer else ""))
        keys = await self._keys.get(key, load, fresh_for=None if max_age is None else max_age * 1000)
        if kid is None:
            return keys
        if not any(jwk.get("kid") == kid for jwk in keys):
            keys = await self._keys.again(key, load) or keys
        return [jwk for jwk in keys if jwk.get("kid") == kid] or [jwk for jwk in keys if jwk.get("kid") is None]

    async def document(self, url: str, *, ca: str = "", bearer: Secret | None = None) -> Mapping[str, Any]:
        """The JSON object at `url`, at most a minute old."""
        key = (url, _label(ca), _label(bearer.reveal() if bearer else ""))
        return await self._documents.get(key, lambda: self._json(url, ca, bearer=bearer))

    async def cluster_token(self, url: str) -> ClusterToken:
        """The token in the file that the settings name for the host of `url`, read again, and the CA beside it."""
        path = self._token_files.get(authority(url))
        if path is None:
            raise OutboundError("the operator of this server keeps no token for this host")
        return await asyncio.to_thread(_cluster_token, Path(path))

    async def loaded(
        self, url: str, read: Callable[[bytes], T], *, tag: str, is_current: Callable[[T], bool], body: bytes = b""
    ) -> T:
        """What `read` makes of the answer of `url`, at most five minutes old."""
        key = (url, tag, body)
        cache: TtlCache[Any] = self._answers if body else self._lists

        async def load() -> T:
            headers = {"accept": "*/*"} | ({"content-type": "application/ocsp-request"} if body else {})
            if body:
                answer = await self.fetch("POST", url, headers=headers, body=body)
            else:
                answer = await self._fetch("GET", url, headers, b"", "", LIST_SECONDS, self._list_cap)
            if answer.status != 200:
                raise OutboundError(f"{self._target(url).shown}: answered {answer.status}")
            if body or len(answer.body) < _APART:
                return await asyncio.to_thread(read, answer.body)
            async with self._list_turn:
                return await asyncio.to_thread(_read_apart, read, answer.body)

        async def found() -> T:
            value: T = await cache.get(key, load)
            if not is_current(value):
                value = await cache.again(key, load) or value
            return value

        try:  # a large list is fetched to its end, but no login waits longer for it than for anything else
            return await asyncio.wait_for(found(), self._total_timeout + 1)
        except TimeoutError:
            raise OutboundError(f"{self._target(url).shown}: is still being read: try again in a moment") from None

    async def ldap(self, query: LdapQuery, *, admits: Admits | None = None) -> LdapEntry | None:
        """Ask the directory client that was handed in."""
        if self._directory is None:
            raise OutboundError("LDAP is not set up on this server")
        return await self._directory(query, admits=admits)

    async def close(self) -> None:
        """End what is under way and close every connection."""
        await self._documents.close()
        await self._keys.close()
        await self._lists.close()
        await self._answers.close()
        for pool in self._pools.values():
            await pool.connections.aclose()
        self._pools.clear()
        self.guard.close()

    def _target(self, url: str) -> _Target:
        if not _URL.fullmatch(url) or "\\" in url:
            raise AddressRefused("the URL is empty, too long or holds characters that a URL cannot")
        try:
            parts = urlsplit(url)
            port, host = parts.port, parts.hostname or ""
        except ValueError as error:
            raise AddressRefused("the URL cannot be read") from error
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:300]
        if parts.scheme != "https" and not (parts.scheme == "http" and host in self._http_hosts):
            raise AddressRefused(f"{shown}: https is required")
        if "@" in parts.netloc or not host or "%" in host or port == 0:
            raise AddressRefused(f"{shown}: the URL must name a host, and nobody at it")
        bracketed = f"[{host}]" if ":" in host else host
        default = 443 if parts.scheme == "https" else 80
        authority = bracketed if port in (None, default) else f"{bracketed}:{port}"
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        wire = httpcore.URL(
            scheme=parts.scheme.encode(), host=host.encode(), port=port or default, target=path.encode()
        )
        return _Target(wire, host, authority, shown)

    async def _request(
        self,
        method: str,
        target: _Target,
        headers: Mapping[str, str],
        body: bytes,
        *,
        ca: str,
        label: str,
        seconds: float,
        most: int,
    ) -> OutboundAnswer:
        sent = {name.lower(): value for name, value in headers.items() if name.lower() not in _OWN_HEADERS}
        sent = {
            "host": target.authority,
            "user-agent": USER_AGENT,
            "accept": JSON,
            "accept-encoding": "identity",
        } | sent
        if body or method not in ("GET", "HEAD"):
            sent["content-length"] = str(len(body))
        limits = {
            "connect": self._connect_timeout,
            "read": seconds,
            "write": seconds,
            "pool": seconds,
        }
        pool = self._pool(ca, label)
        pool.busy += 1
        try:
            await self._close_spare_pools()
            raw = [(name.encode("ascii"), value.encode("ascii")) for name, value in sent.items()]
            async with pool.connections.stream(
                method, target.url, headers=raw, content=body, extensions={"timeout": limits}
            ) as response:
                return OutboundAnswer(
                    response.status, _names(response.headers), await self._body(response, target, most)
                )
        except OutboundError:
            raise
        except httpcore.TimeoutException as error:
            raise Unreachable(f"{target.shown}: too slow") from error
        except httpcore.ConnectError as error:
            raise OutboundError(f"{target.shown}: no secure connection: {_cause(error)}") from error
        except httpcore.NetworkError as error:
            raise Unreachable(f"{target.shown}: the connection broke") from error
        except (
            httpcore.ProtocolError,
            httpcore.UnsupportedProtocol,
            httpcore.ConnectionNotAvailable,
            UnicodeError,
        ) as error:
            raise OutboundError(f"{target.shown}: does not speak HTTP as expected") from error
        finally:
            pool.busy -= 1

    async def _body(self, response: httpcore.Response, target: _Target, most: int) -> bytes:
        names = _names(response.headers)
        if names.get("content-encoding", "identity").strip().lower() not in ("identity", ""):
            raise OutboundError(f"{target.shown}: the answer is compressed, which was not asked for")
        body = bytearray()
        too_large = OutboundError(f"{target.shown}: the answer is larger than {most} bytes")
        announced = names.get("content-length", "")
        if announced.isdigit() and int(announced[:19]) > most:
            raise too_large
        held = 0
        try:
            async for chunk in response.aiter_stream():
                body += chunk
                if len(body) > most:
                    raise too_large
                if len(body) > self._size_cap:
                    self._list_bytes += len(body) - held
                    held = len(body)
                    if self._list_bytes > LISTS_AT_ONCE * self._list_cap:
                        raise OutboundError(f"{target.shown}: other large lists are being fetched: try again")
        finally:
            self._list_bytes -= held
        return bytes(body.removeprefix(codecs.BOM_UTF8))  # RFC 8259 section 8.1: a reader may ignore it

    async def _json(self, url: str, ca: str, *, accept: str = JSON, bearer: Secret | None = None) -> Mapping[str, Any]:
        headers = {"accept": accept} | ({"authorization": f"Bearer {bearer.reveal()}"} if bearer else {})
        answer = await self.fetch("GET", url, headers=headers, ca=ca)
        shown = self._target(url).shown
        if answer.status != 200:
            raise OutboundError(f"{shown}: answered {answer.status}")
        try:
            parsed = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
            raise OutboundError(f"{shown}: the answer is not JSON") from error
        if not isinstance(parsed, dict):
            raise OutboundError(f"{shown}: the answer is not a JSON object")
        return parsed

    def _host(self, authority: str, label: str) -> _Host:
        """The state of a host, kept for each CA bundle.

        A configuration with a wrong CA must not close a host for the other configurations.
        """
        key = (authority, label)
        if key not in self._hosts:
            self._hosts[key] = _Host(self._places)
            idle = [k for k, h in self._hosts.items() if k != key and not h.under_way]
            for spare in idle[: max(0, len(self._hosts) - HOSTS)]:
                del self._hosts[spare]
        self._hosts.move_to_end(key)
        return self._hosts[key]

    def _note(self, host: _Host, error: OutboundError) -> None:
        host.failures = host.failures + 1 if isinstance(error, Unreachable) else 0
        if host.failures >= GIVEN_UP_AFTER:
            host.given_up_until = self._clock() + GIVEN_UP_FOR

    def _pool(self, ca: str, label: str) -> _ConnectionPool:
        pool = self._pools.get(label)
        if pool is None:
            connections = httpcore.AsyncConnectionPool(
                ssl_context=verifying(ca or self._roots),
                max_connections=None,
                keepalive_expiry=_IDLE,
                http2=False,
                retries=0,
                network_backend=_Pinned(self.guard),
            )
            pool = self._pools[label] = _ConnectionPool(connections)
        self._pools.move_to_end(label)
        return pool

    async def _close_spare_pools(self) -> None:
        idle = [label for label, pool in self._pools.items() if not pool.busy]
        spare = [self._pools.pop(label) for label in idle[: max(0, len(self._pools) - POOLS)]]
        for pool in spare:
            await pool.connections.aclose()


def _label(ca: str) -> str:
    return hashlib.sha256(ca.encode()).hexdigest() if ca else ""


def _cluster_token(path: Path) -> ClusterToken:
    """The token in a file, as Kubernetes mounts one, with `ca.crt` beside it. Raises OutboundError."""
    try:
        text, beside = _head_of(path), path.with_name("ca.crt")
        ca = _head_of(beside) if beside.is_file() else ""
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise OutboundError(f"the file of the server's own token cannot be read: {reason}") from error
    token = text.strip()
    if not _TOKEN.fullmatch(token):
        raise OutboundError("the file of the server's own token does not hold a token")
    return ClusterToken(Secret(token), ca)


def _head_of(path: Path) -> str:
    with path.open("rb") as file:
        raw = file.read(_MOST_FILE + 1)
    if len(raw) > _MOST_FILE:
        raise ValueError("it is too large")
    return raw.decode()


def _names(headers: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _cause(error: BaseException) -> str:
    """The reason that OpenSSL gives for a failed TLS handshake."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLError):
        cause = cause.__cause__ or cause.__context__
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"the certificate is not trusted: {cause.verify_message}"
    return "TLS was refused"
