"""Connections as uvicorn serves them, with two things added: whole answers in one write, and the client's certificates."""

import asyncio
import ssl
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_AT_ONCE = 64 * 1024  # bytes; what waits to be sent is never more than this and one piece


class Gathered:
    """A transport that hands on what was written during one turn of the event loop in one write.

    uvicorn writes the head of an answer and its body one after the other. Each write is a packet of its own and may wake the
    client: measured, that was more than half of the CPU time of a secret read (docs/decisions/0111).
    """

    __slots__ = ("_loop", "_parts", "_size", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._parts: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Send `data` at the end of this turn, or now if much is waiting already."""
        if not self._parts:
            self._loop.call_soon(self._flush)
        self._parts.append(data)
        self._size += len(data)
        if self._size > _AT_ONCE:
            self._flush()

    def _flush(self) -> None:
        if self._parts:
            data = b"".join(self._parts)
            self._parts.clear()
            self._size = 0
            self._transport.write(data)

    def close(self) -> None:
        """Send what waits, then close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Connection(HttpToolsProtocol):
    """HTTP with whole answers in one write."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Put the gathering transport between uvicorn and the real one."""
        super().connection_made(Gathered(transport, self.loop))  # type: ignore[arg-type]


class WithCertificate(Connection):
    """The same with the client's certificate chain in the scope, as the ASGI TLS extension has it."""

    _tls: dict[str, Any] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the chain from the connection, once."""
        super().connection_made(transport)
        chain = client_chain(transport.get_extra_info("ssl_object"))
        if chain:
            self._tls = {"tls": {"client_cert_chain": chain}}

    def on_message_begin(self) -> None:
        """Put it into the scope of each request."""
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = self._tls


def client_chain(connection: Any) -> tuple[str, ...]:
    """The certificates that the client sent, its own first, as PEM."""
    if connection is None:
        return ()
    # Public from Python 3.13 on; before that the method is on the inner object.
    inner = connection if hasattr(connection, "get_unverified_chain") else getattr(connection, "_sslobj", None)
    if inner is not None and hasattr(inner, "get_unverified_chain"):
        found = inner.get_unverified_chain() or ()
        # The client's own certificate is bytes, or None where it sent none; the others are objects (2: DER).
        return tuple(ssl.DER_cert_to_PEM_cert(one if isinstance(one, bytes) else one.public_bytes(2)) for one in found if one)
    own = connection.getpeercert(binary_form=True)
    return (ssl.DER_cert_to_PEM_cert(own),) if own else ()
