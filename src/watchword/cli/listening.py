"""One server process: its sockets, its event loop, and its graceful shutdown.

SIGTERM or SIGINT: no new connections from that moment on, requests under way are answered (for `shutdown_grace` seconds
at most), the journal is written out, and only then does the process end. uvicorn would raise the signal again before
our own parts are closed, so signals are ours. SIGHUP: certificates and the log level are read again; one that comes
before that is possible waits, for left alone it would end the process.
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import ssl
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import uvicorn

from watchword.app import Server, build_runtime, opened, start_logs
from watchword.cli.collector import staying
from watchword.cli.connection import Connection, ConnectionLimits, WithCertificate
from watchword.services.runtime import Runtime
from watchword.settings import Settings, SettingsError

BACKLOG = 2048
_LAST = 1.0  # seconds for the TLS handshakes of what is admitted at the end
_FILES = 256  # that a process opens besides its connections: databases, logs, calls to providers
_log = logging.getLogger("watchword.serve")


def hold_hangups() -> set[signal.Signals | int]:
    """Let a SIGHUP wait from now on, in this thread and the processes it starts; the signal mask before."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP}))


def take_hangups() -> None:
    """Take SIGHUP, one that waited at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})


def bound(settings: Settings) -> list[socket.socket]:
    """The listening sockets of the settings: one for each address of the host, or the one in the file system.

    Raises SettingsError.
    """
    if settings.socket is not None:
        return [_in_files(settings.socket, int(settings.socket_mode, 8))]
    place = f"{settings.host}:{settings.port}"
    try:
        addresses = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise SettingsError([f"cannot listen on {place}: {why_not(error)}"]) from None
    sockets: list[socket.socket] = []
    faults: list[OSError] = []
    port = settings.port
    for family, address in dict.fromkeys((family, address[:2]) for family, _, _, _, address in addresses):
        try:
            # The address that stands for all of them takes both families, where the system can.
            is_dual = address[0] == "::" and socket.has_dualstack_ipv6()
            sockets.append(
                socket.create_server((str(address[0]), port), family=family, backlog=BACKLOG, dualstack_ipv6=is_dual)
            )
        except OSError as error:
            faults.append(error)
            continue
        port = sockets[0].getsockname()[1]  # of all, where a free one was asked for
    # A name may stand for an address of a family that this machine has not; a port that somebody else has is another
    # thing.
    if not sockets or any(fault.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) for fault in faults):
        for listener in sockets:
            listener.close()
        raise SettingsError([f"cannot listen on {place}: {why_not(faults[0])}"])
    return sockets


def why_not(error: OSError) -> str:
    """The reason why an address cannot be listened on, and what to do."""
    if isinstance(error, socket.gaierror):
        return f"the name of the host is not known here ({error.strerror}): correct --host"
    advice = {
        errno.EADDRINUSE: "another program listens there (is the server running already?): end it, or choose another "
        "--port",
        errno.EACCES: "this user may not: ports below 1024 need the right to bind them (CAP_NET_BIND_SERVICE); "
        "choose another --port",
        errno.EADDRNOTAVAIL: "this machine has no such address: correct --host",
    }
    return advice.get(error.errno or 0, error.strerror or str(error))


def _in_files(path: Path, mode: int) -> socket.socket:
    """A socket in the file system.

    One that a server left behind is replaced; one that somebody listens on is not.
    """
    unix_socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.exists() or path.is_symlink():
            _require_stale(path)
            path.unlink()
        before = os.umask(0o777 & ~mode)  # so that nobody gets in before the mode is set
        try:
            unix_socket.bind(str(path))
        finally:
            os.umask(before)
        path.chmod(mode)
        unix_socket.listen(BACKLOG)
    except OSError as error:
        unix_socket.close()
        raise SettingsError([f"cannot listen on {path}: {why_not(error)}"]) from None
    except SettingsError:
        unix_socket.close()
        raise
    return unix_socket


def _require_stale(path: Path) -> None:
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise SettingsError([f"cannot listen on {path}: there is a file that is no socket"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(2)
        try:
            asking.connect(str(path))
        except ConnectionRefusedError:
            return
        except OSError as error:
            raise SettingsError([f"cannot listen on {path}: {why_not(error)}"]) from None
    raise SettingsError([f"cannot listen on {path}: another server does"])


@contextlib.contextmanager
def open_sockets(settings: Settings) -> Iterator[list[socket.socket]]:
    """The sockets of the settings; at the end they are closed, and the one in the file system is removed.

    Raises SettingsError.
    """
    sockets = bound(settings)
    file_state = settings.socket.stat() if settings.socket else None
    try:
        yield sockets
    finally:
        for listener in sockets:
            listener.close()
        if settings.socket and file_state:
            with contextlib.suppress(OSError):
                now = settings.socket.lstat()
                if (now.st_dev, now.st_ino) == (file_state.st_dev, file_state.st_ino):  # not another server's by now
                    settings.socket.unlink()


def url_of(settings: Settings, listeners: Sequence[socket.socket]) -> str:
    """The address of the first socket as a client writes it."""
    if settings.socket is not None:
        return f"unix:{settings.socket}"
    host, port = listeners[0].getsockname()[:2]
    scheme = "https" if settings.tls_cert_file else "http"
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        ready: Callable[[], None],
        listeners: Sequence[socket.socket],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending
        self._listeners = listeners
        self._admitted: set[asyncio.Task[None]] = set()

    def end(self) -> None:
        """Take no new connections from now on, and drain; who waits for changes is answered now."""
        self._ending()
        if self.started:  # uvicorn would look at this a tenth of a second later
            self._admit_waiting()
            for server in self.servers:
                server.close()
            for listener in self._listeners:
                listener.close()
        self.handle_exit(signal.SIGTERM, None)

    def _admit_waiting(self) -> None:
        """Take the connections that the kernel has accepted for us: closing the socket would reset them.

        Of several processes on one socket the last one to close it does that, and each does this before it closes it.
        What is lost is a connection whose handshake ends between the last look and the closing, some microseconds: the
        kernel knows no way to refuse new connections and keep those that wait.
        """
        for listener in self._listeners:
            with contextlib.suppress(OSError):  # BlockingIOError: none waits
                listener.setblocking(False)
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    admitted = asyncio.get_running_loop().create_task(self._admit(connection))
                    self._admitted.add(admitted)
                    admitted.add_done_callback(self._admitted.discard)

    async def _admit(self, connection: socket.socket) -> None:
        config = self.config
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(  # type: ignore[call-arg]
                config=config, server_state=self.server_state, app_state=self.lifespan.state, _loop=loop
            )
            return made

        try:
            await loop.connect_accepted_socket(protocol, connection, ssl=config.ssl)
        except OSError:  # it went away, or its TLS handshake failed
            connection.close()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain, once what was admitted at the end is connected."""
        if self._admitted:
            await asyncio.wait(self._admitted, timeout=_LAST)
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


def _most_connections(settings: Settings) -> int:
    """The number of connections this process takes: what the settings say, if it may open so many files."""
    try:
        import resource  # noqa: PLC0415 - not on every system
    except ImportError:
        return settings.max_connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.max_connections + _FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return max(16, min(settings.max_connections, soft - _FILES))
    return settings.max_connections


def _config(settings: Settings, parts: Runtime) -> uvicorn.Config:
    asks_for_certificates = settings.tls_client_ca_file is not None

    class Limited(WithCertificate if asks_for_certificates else Connection):  # type: ignore[misc]
        limits = ConnectionLimits(
            head=settings.head_timeout, body=settings.body_timeout, connections=_most_connections(settings)
        )

    return uvicorn.Config(
        Server(parts),
        http=Limited,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=settings.shutdown_grace,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        ssl_certfile=settings.tls_cert_file,
        ssl_keyfile=settings.tls_key_file,
        ssl_ca_certs=str(settings.tls_client_ca_file) if asks_for_certificates else None,
        ssl_cert_reqs=ssl.CERT_OPTIONAL if asks_for_certificates else ssl.CERT_NONE,
    )


def reloaded(settings: Settings, again: Callable[[], Settings], context: ssl.SSLContext | None) -> None:
    """Read the settings again, and take over what a running server can.

    That is the log level, and the certificate that it shows.

    What cannot be used is logged, and what was in force stays.
    """
    try:
        now = again()
        if context is not None and now.tls_cert_file and now.tls_key_file:
            # Tried apart first: a certificate without its key would leave the server with neither.
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(now.tls_cert_file, now.tls_key_file)
            context.load_cert_chain(now.tls_cert_file, now.tls_key_file)
            if settings.tls_client_ca_file and now.tls_client_ca_file:
                context.load_verify_locations(now.tls_client_ca_file)
    except (SettingsError, OSError) as error:
        _log.error("the settings could not be read again, and stay as they are", extra={"reason": str(error)})
        return
    start_logs(now)
    _log.warning(
        "log level and certificates were read again; other settings need a restart", extra={"pid": os.getpid()}
    )


async def listen(
    settings: Settings,
    listeners: Sequence[socket.socket],
    ready: Callable[[Runtime], Any],
    *,
    again: Callable[[], Settings] | None = None,
    orphaned: int | None = None,
) -> None:
    """Serve until asked to stop, then drain.

    `again` reads the settings again, at SIGHUP. `orphaned`: a file that becomes readable when the parent is gone.
    """
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as open_parts:
        with staying():
            parts = await open_parts.enter_async_context(opened(build_runtime(settings)))
            announcement = ready(parts)
            if asyncio.iscoroutine(announcement):
                announcement = await announcement
            config = _config(settings, parts)
            server = _Server(
                config, announcement if callable(announcement) else lambda: None, listeners, parts.changes.end
            )
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, server.end)
        loop.add_signal_handler(signal.SIGHUP, lambda: reloaded(settings, again or (lambda: settings), config.ssl))
        take_hangups()
        if orphaned is not None:
            loop.add_reader(orphaned, server.end)
        try:
            await server.serve(list(listeners))
        finally:
            hold_hangups()  # the handler ends with the loop
        _log.info("drained: every request under way was answered")


def run(coroutine: Any) -> None:
    """Run on uvloop where there is one."""
    try:
        import uvloop  # noqa: PLC0415 - not on every system
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)
