"""`watchword` in processes of their own that begin with everything imported: three quarters of a start are imports, and
no test is about those.

    process = started(["serve", "--port", "0"], environment)      # as subprocess.Popen(["watchword", "serve", ...])
    completed = run(["config", "check"], environment)             # as subprocess.run(["watchword", "config", "check"])

One process, made at the first call, imports the program and then only forks. What it forks is a process like any other:
its arguments, environment, streams and exit code are its own, and it ends as every Python does. It must not be used for
what starts processes by
`multiprocessing` itself (`--workers`): these begin with the main module of who starts them.
"""

import array
import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

PLAIN = "from watchword.cli.main import main; main()"
_FDS = 4  # what is sent along: three streams, and where the process's id and its end are told


class Forked:
    """A process that was started; what `subprocess.Popen` offers, as far as tests ask for it."""

    def __init__(self, told: int, args: Sequence[str], stdout: IO[bytes] | None) -> None:
        self.args = list(args)
        self.stdout = stdout
        self.returncode: int | None = None
        self._told = os.fdopen(told, "rb", buffering=0)
        self.pid = int(self._told.readline())

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Raises TimeoutExpired."""
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return code

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._told], [], [], timeout)[0]:
            self.returncode = int(self._told.readline() or -signal.SIGKILL)
            self._told.close()
        return self.returncode

    def send_signal(self, signal_number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal_number)

    def terminate(self) -> None:
        """Ask it to end."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it."""
        self.send_signal(signal.SIGKILL)


def started(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    *,
    stderr: IO[Any],
    stdout: IO[Any] | None = None,
    code: str = PLAIN,
) -> Forked:
    """A new process that runs `code` with these arguments; without `stdout` a pipe of it is read from the
    process's `stdout`.
    """
    told, telling = os.pipe()
    reading = None
    to_close = [telling]
    out = stdout.fileno() if stdout is not None else -1
    if out < 0:
        read_end, out = os.pipe()
        reading = os.fdopen(read_end, "rb")
        to_close.append(out)
    request = json.dumps(
        {"arguments": list(arguments), "environment": dict(environment), "code": code, "folder": str(Path.cwd())}
    ).encode()
    with open(os.devnull, "rb") as devnull:  # noqa: PTH123
        connection = _forker()
        fds = array.array("i", [devnull.fileno(), out, stderr.fileno(), telling])
        connection.sendmsg([len(request).to_bytes(4, "big")], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        connection.sendall(request)
    for descriptor in to_close:
        os.close(descriptor)
    return Forked(told, ["watchword", *arguments], reading)


def run(
    arguments: Sequence[str], environment: Mapping[str, str], *, timeout: float = 120
) -> "subprocess.CompletedProcess[str]":
    """What a process said until it ended, and how it ended. Raises TimeoutExpired."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        process = started(arguments, environment, stdout=out, stderr=errors)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(30)
            raise
        out.seek(0)
        errors.seek(0)
        return subprocess.CompletedProcess(process.args, code, out.read().decode(), errors.read().decode())


@functools.cache
def _forker() -> socket.socket:
    """The connection to the process that forks; it ends when this end is closed."""
    ours, theirs = socket.socketpair()
    no_streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    command = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()], **no_streams)  # type: ignore[call-overload]
    theirs.close()

    def end() -> None:
        ours.close()
        process.wait(10)

    atexit.register(end)
    return ours


# --- in the process that forks ---


def _imported() -> None:
    import gc
    import importlib
    import pkgutil

    import watchword

    gc.disable()
    for module in pkgutil.walk_packages(watchword.__path__, "watchword."):
        if "migrations" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    gc.enable()
    gc.freeze()


def _fork_until_the_end(connection: socket.socket) -> str:
    """In each process that was forked: the code to run.

    In the one that forks: nothing, once nobody can ask any more.
    """
    awake, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(waking)
    running: dict[int, int] = {}
    while True:
        ready = select.select([connection, awake], [], [])[0]  # type: ignore[type-var]
        if awake in ready:
            os.read(awake, 4096)
            _tell_who_ended(running)
        if connection not in ready:
            continue
        header, fds, _, _ = socket.recv_fds(connection, 4, _FDS)
        if not header:
            return ""
        request = json.loads(_exactly(connection, int.from_bytes(header, "big")))
        child = os.fork()
        if not child:
            _become(request, fds)
            return str(request["code"])
        running[child] = fds[3]
        os.write(fds[3], f"{child}\n".encode())
        for descriptor in fds[:3]:
            os.close(descriptor)


def _exactly(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        piece = connection.recv(length - len(received))
        if not piece:
            raise EOFError
        received += piece
    return received


def _tell_who_ended(running: dict[int, int]) -> None:
    while running:
        child, status = os.waitpid(-1, os.WNOHANG)
        if not child:
            return
        telling = running.pop(child)
        with contextlib.suppress(BrokenPipeError):
            os.write(telling, f"{os.waitstatus_to_exitcode(status)}\n".encode())
        os.close(telling)


def _become(request: dict[str, Any], fds: list[int]) -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, descriptor in enumerate(fds[:3]):
        os.dup2(descriptor, number)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.argv[:] = ["watchword", *request["arguments"]]


if __name__ == "__main__":
    _imported()
    with socket.socket(fileno=int(sys.argv[1])) as _connection:
        _code = _fork_until_the_end(_connection)
        _connection.detach()
    if _code:
        exec(compile(_code, "<forked>", "exec"), {"__name__": "__main__"})
