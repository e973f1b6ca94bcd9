"""One server process: a socket, an event loop, and an end that drains.

SIGTERM or SIGINT: no new connections, requests under way are answered (for `shutdown_grace` seconds at most), the journal
is written out, and only then does the process end. uvicorn would raise the signal again before our own parts are closed,
so signals are ours.
"""

import asyncio
import contextlib
import errno
import gc
import logging
import signal
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn

from watchword.app import Server, house, opened
from watchword.cli.connection import Connection, WithCertificate
from watchword.services.house import House
from watchword.settings import Settings, SettingsError

BACKLOG = 2048
_log = logging.getLogger("watchword.serve")


def bound(settings: Settings) -> socket.socket:
    """The socket of the settings, bound. Raises SettingsError."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise SettingsError([f"cannot listen on {settings.host}:{settings.port}: {why_not(error)}"]) from None


def why_not(error: OSError) -> str:
    """Why an address cannot be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"the name of the host is not known here ({error.strerror}): correct --host"
    advice = {
        errno.EADDRINUSE: "another program listens there (is the server running already?): end it, or choose another --port",
        errno.EACCES: "this user may not: ports below 1024 need the right to bind them (CAP_NET_BIND_SERVICE); choose another --port",
        errno.EADDRNOTAVAIL: "this machine has no such address: correct --host",
    }
    return advice.get(error.errno or 0, error.strerror or str(error))


def url_of(settings: Settings, listener: socket.socket) -> str:
    """The address of a socket as a client writes it."""
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_cert_file else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _config(settings: Settings, parts: House) -> uvicorn.Config:
    asks_for_certificates = settings.tls_client_ca_file is not None
    return uvicorn.Config(
        Server(parts), http=WithCertificate if asks_for_certificates else Connection, ws="none", lifespan="off", access_log=False,
        log_config=None, timeout_graceful_shutdown=settings.shutdown_grace, server_header=False, date_header=True, proxy_headers=False,
        ssl_certfile=settings.tls_cert_file, ssl_keyfile=settings.tls_key_file,
        ssl_ca_certs=str(settings.tls_client_ca_file) if asks_for_certificates else None,
        ssl_cert_reqs=ssl.CERT_OPTIONAL if asks_for_certificates else ssl.CERT_NONE,
    )  # fmt: skip


@contextlib.contextmanager
def _stays_for_good() -> Iterator[None]:
    """What is made inside is none of the garbage collector's business, now or later."""
    gc.disable()
    try:
        yield
        gc.collect()
        gc.freeze()
    finally:
        gc.enable()


async def listen(settings: Settings, listener: socket.socket, ready: Callable[[House], Any], *, orphaned: int | None = None) -> None:
    """Serve until told to stop, then drain. `orphaned`: a file that becomes readable when the parent is gone."""
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as open_parts:
        with _stays_for_good():
            parts = await open_parts.enter_async_context(opened(house(settings)))
            told = ready(parts)
            if asyncio.iscoroutine(told):
                told = await told
            server = _Server(_config(settings, parts), told if callable(told) else lambda: None)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.handle_exit, number, None)
        if orphaned is not None:
            loop.add_reader(orphaned, server.handle_exit, signal.SIGTERM, None)
        await server.serve([listener])
        _log.info("drained: every request under way was answered")


def run(coroutine: Any) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)
