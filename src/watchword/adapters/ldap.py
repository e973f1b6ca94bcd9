"""LDAP client: find one entry with a service account, then bind as it with the presented password.

    connect ──(ldaps: TLS)──┐
       └─ ldap ── StartTLS ──┤  (none only for a host that a setting names, as for plain HTTP)
                             ▼
              bind service account ─▶ search: exactly one entry ─▶ admitted? ─▶ bind as it ─▶ LdapEntry
                     │ refused                │ none, several           │ refused
                     ▼                        ▼                         ▼
                OutboundError                None                      None

The codec is `sansldap`, which does no I/O; the socket is ours, so the address is the one the guard resolved, one
deadline covers everything, each message is measured before it is read, and TLS is the standard library's, always
verified.
"""

import asyncio
import contextlib
import dataclasses
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from typing import Any
from urllib.parse import urlsplit

import msgspec
import sansldap

from watchword.adapters.tls import verifying
from watchword.domain.outbound import Admits, LdapEntry, LdapQuery, OutboundError
from watchword.domain.secret import Secret

Allowed = Callable[[str, int], Awaitable[Sequence[tuple[str, int]]]]
"""The guard: the IP addresses and ports of a host and port that may be connected to; raises OutboundError for none."""

PLACEHOLDER = b"{{username}}"
START_TLS = "1.3.6.1.4.1.1466.20037"
PORTS = {"ldap": 389, "ldaps": 636}
SUCCESS, SIZE_LIMIT_EXCEEDED = sansldap.LDAPResultCode.SUCCESS, sansldap.LDAPResultCode.SIZE_LIMIT_EXCEEDED
# Codes that say nothing about the password: answering "wrong password" to them would count towards a lockout.
NO_VERDICT = {
    sansldap.LDAPResultCode.OPERATIONS_ERROR,
    sansldap.LDAPResultCode.PROTOCOL_ERROR,
    sansldap.LDAPResultCode.TIME_LIMIT_EXCEEDED,
    sansldap.LDAPResultCode.BUSY,
    sansldap.LDAPResultCode.UNAVAILABLE,
}


class DirectoryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long a directory may take and how much it may say, for one login."""

    connect: float = 3.0  # seconds, for each address
    total: float = 10.0
    message: int = 262_144  # bytes of one answer
    answers: int = 64  # messages to one question: entries, references, the end


async def opened_entry(
    query: LdapQuery,
    *,
    allowed: Allowed,
    admits: Admits | None = None,
    plain_hosts: Collection[str] = (),
    limits: DirectoryLimits = DirectoryLimits(),  # noqa: B008  frozen
) -> LdapEntry | None:
    """The one entry that the query's filter finds for its user name and that its password opens, else None.

    None stands for no entry, for several, and for a password that does not open it.

    `admits` gets the entry's DN before the password is tried. Hosts in `plain_hosts` are talked to without TLS where
    the URL is `ldap://` and has no CA of its own; all others upgrade to TLS (StartTLS, RFC 4511 4.14) before anything
    is said.

    An empty password never reaches the directory: RFC 4513 5.1.2 makes a bind with a name and no password succeed.
    """
    if not query.password or not query.username:
        return None
    if not query.bind_dn or not query.bind_password:
        raise OutboundError("the LDAP configuration has no service account to search with")
    scheme, host, port = _address(query.url)
    try:
        wanted = filled(query.filter_template, query.username)
        tls = scheme == "ldaps" or bool(query.ca) or host.lower() not in plain_hosts
        context = verifying(query.ca) if tls else None
        async with (
            asyncio.timeout(limits.total),
            _opened(scheme, host, port, context, allowed=allowed, limits=limits) as link,
        ):
            verdict = await link.bind(query.bind_dn, query.bind_password)
            if verdict != SUCCESS:
                raise OutboundError(f"the directory refused the service account: {verdict.name.lower()}")
            entry = await link.only_entry(query.base, wanted)
            if entry is None:
                return None
            if admits is not None:
                await admits(entry.dn)
            return entry if await link.opens(entry.dn, query.password) else None
    except TimeoutError as error:
        raise OutboundError("the directory did not answer in time") from error
    except ssl.SSLError as error:
        raise OutboundError(
            f"TLS with the directory failed: {error.reason or 'the certificate was not accepted'}"
        ) from error
    except (OSError, EOFError) as error:
        raise OutboundError("the connection to the directory failed") from error
    except (sansldap.LDAPError, ValueError, LookupError, RecursionError) as error:
        raise OutboundError("the directory and Watchword do not understand each other") from error


def filled(template: str, username: str) -> sansldap.LDAPFilter:
    """The filter with `{{username}}` replaced inside its values only.

    The template is parsed first and the name is put into the parsed values, so that no name can change the filter's
    shape.
    """
    with_name: sansldap.LDAPFilter = _with_name(sansldap.LDAPFilter.from_string(template), username.encode())
    return with_name


def _with_name(part: Any, name: bytes) -> Any:
    if isinstance(part, bytes):
        return part.replace(PLACEHOLDER, name)
    if isinstance(part, list):
        return [_with_name(operand, name) for operand in part]
    if isinstance(part, sansldap.LDAPFilter):
        fields = [f.name for f in dataclasses.fields(part) if f.init]
        return dataclasses.replace(part, **{f: _with_name(getattr(part, f), name) for f in fields})
    return part


def _address(url: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutboundError("the LDAP URL is malformed") from error
    if (
        parts.scheme not in PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or parts.path not in ("", "/")
        or parts.query
        or parts.fragment
    ):
        raise OutboundError("the LDAP URL must look like ldaps://host:port")
    return parts.scheme, parts.hostname, port or PORTS[parts.scheme]


class _Link:
    """One LDAP connection, which asks one question at a time."""

    def __init__(
        self,
        read: Callable[[int], Awaitable[bytes]],
        write: Callable[[bytes], Awaitable[None]],
        limits: DirectoryLimits,
    ) -> None:
        self._session = sansldap.LDAPClient()
        self._questions = 0  # a handful
        self._read, self._write, self._limits = read, write, limits

    async def bind(self, dn: str, password: Secret) -> sansldap.LDAPResultCode:
        self._session.bind_simple(dn, password.reveal())
        answer = await self._last_answer()
        if not isinstance(answer, sansldap.BindResponse):
            raise OutboundError("the directory did not answer a bind with a bind")
        return answer.result.result_code

    async def opens(self, dn: str, password: Secret) -> bool:
        verdict = await self.bind(dn, password)
        if verdict in NO_VERDICT:
            raise OutboundError(f"the directory could not check the password: {verdict.name.lower()}")
        return verdict == SUCCESS

    async def only_entry(self, base: str, query: sansldap.LDAPFilter) -> LdapEntry | None:
        self._session.search_request(
            base,
            sansldap.SearchScope.SUBTREE,
            sansldap.DereferencingPolicy.NEVER,
            size_limit=2,
            time_limit=max(1, int(self._limits.total)),
            filter=query,
            attributes=["*"],
        )
        entries: list[sansldap.SearchResultEntry] = []
        async for answer in self._answers():
            if isinstance(answer, sansldap.SearchResultEntry):
                entries.append(answer)
            elif isinstance(answer, sansldap.SearchResultDone) and answer.result.result_code not in (
                SUCCESS,
                SIZE_LIMIT_EXCEEDED,
            ):
                raise OutboundError(f"the directory refused the search: {answer.result.result_code.name.lower()}")
        # An entry without a name would be opened by any password: a bind without a name is anonymous.
        return _entry(entries[0]) if len(entries) == 1 and entries[0].object_name else None

    async def start_tls(self) -> None:
        self._session.extended_request(START_TLS)
        answer = await self._last_answer()
        if not isinstance(answer, sansldap.ExtendedResponse) or answer.result.result_code != SUCCESS:
            raise OutboundError(
                "the directory refused StartTLS: use ldaps://, or name its host in http_hosts to do without TLS"
            )

    async def unbind(self) -> None:
        """Say that no more comes: a NULL of its own number (RFC 4511 section 4.3), which the codec writes otherwise."""
        await self._write(bytes((0x30, 5, 0x02, 1, self._questions + 1, 0x42, 0)))

    async def _last_answer(self) -> sansldap.LDAPMessage:
        return [answer async for answer in self._answers()][-1]

    async def _answers(self) -> AsyncIterator[sansldap.LDAPMessage]:
        """The answers to the last question, up to the one that ends it; referrals are not followed."""
        self._questions += 1
        await self._write(self._session.data_to_send())
        for _ in range(self._limits.answers):
            answers = self._session.receive(await self._message())
            if not answers:  # a whole message, and yet there is nothing in it
                raise OutboundError("the server does not speak LDAP")
            for answer in answers:
                if isinstance(answer, sansldap.SearchResultReference):
                    continue
                yield answer
                if not isinstance(answer, sansldap.SearchResultEntry):
                    return
        raise OutboundError("the directory answered too much")

    async def _message(self) -> bytes:
        """One whole message, and never a byte more.

        Nothing that was sent ahead of a TLS handshake may be believed after it.
        """
        head = await self._read(2)
        size, more = head[1], b""
        if head[0] != 0x30 or size == 0x80 or size > 0x84:  # SEQUENCE; RFC 4511 5.1 allows definite lengths only
            raise OutboundError("the server does not speak LDAP")
        if size > 0x80:
            more = await self._read(size - 0x80)
            size = int.from_bytes(more)
        if size > self._limits.message:
            raise OutboundError("the directory answered too much")
        return head + more + await self._read(size)


def _entry(entry: sansldap.SearchResultEntry) -> LdapEntry:
    attributes: dict[str, tuple[str, ...]] = {}
    for attribute in entry.attributes:
        with contextlib.suppress(UnicodeDecodeError):  # pictures and keys: no rule can name their values
            attributes[attribute.name] = tuple(value.decode() for value in attribute.values)
    return LdapEntry(dn=entry.object_name, attributes=attributes)


@contextlib.asynccontextmanager
async def _opened(
    scheme: str, host: str, port: int, tls: ssl.SSLContext | None, *, allowed: Allowed, limits: DirectoryLimits
) -> AsyncIterator[_Link]:
    """A link to the first allowed address that answers; it is closed afterwards.

    With `tls`, TLS begins at once for ldaps and by StartTLS for ldap.
    """
    sock = await _connected(await allowed(host, port), limits)
    try:
        if tls and scheme == "ldap":
            await _Link(_reads(sock), _writes(sock), limits).start_tls()
        if tls:
            reader, writer = await asyncio.open_connection(
                sock=sock, ssl=tls, server_hostname=host, ssl_shutdown_timeout=1
            )
        else:
            reader, writer = await asyncio.open_connection(sock=sock)
    except BaseException:
        sock.close()
        raise

    async def write(data: bytes) -> None:
        writer.write(data)
        await writer.drain()

    link = _Link(reader.readexactly, write, limits)
    try:
        yield link
        await link.unbind()
    finally:
        writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.wait_for(writer.wait_closed(), 2)


async def _connected(addresses: Sequence[tuple[str, int]], limits: DirectoryLimits) -> socket.socket:
    for address, port in addresses:
        family = socket.AF_INET6 if ipaddress.ip_address(address).version == 6 else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setblocking(False)
        with contextlib.suppress(OSError, TimeoutError), contextlib.ExitStack() as undo:
            undo.callback(sock.close)
            async with asyncio.timeout(limits.connect):
                await asyncio.get_running_loop().sock_connect(sock, (address, port))
            undo.pop_all()
            return sock
    raise OutboundError("the directory cannot be reached")


def _reads(sock: socket.socket) -> Callable[[int], Awaitable[bytes]]:
    async def read(size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = await asyncio.get_running_loop().sock_recv(sock, size - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    return read


def _writes(sock: socket.socket) -> Callable[[bytes], Awaitable[None]]:
    async def write(data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(sock, data)

    return write
