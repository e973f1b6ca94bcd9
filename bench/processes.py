"""Processes under measurement: started, waited for, stopped; their CPU time and memory read from /proc."""

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from bench.faults import BenchError

_TICK = os.sysconf("SC_CLK_TCK")
_PATIENCE = 60.0


class Child:
    """One process that we started, in a session of its own, and everything below it."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_answers(self, port: int, path: str, *, statuses: Iterable[int] = (200,)) -> None:
        """Return when the server answers on `path`."""
        accepted, until = set(statuses), time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            if self._process.poll() is not None:
                raise BenchError(f"a server ended with {self._process.returncode}: {self.said()}")
            if status_of(port, path) in accepted:
                return
            time.sleep(0.005)
        raise BenchError(f"a server does not answer: {self.said()}")

    def said(self) -> str:
        """The end of what the process wrote."""
        return self._log.read_text(errors="replace")[-2000:]

    def stop(self) -> None:
        """End the process, in order if it wants to."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(30)
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()


def status_of(port: int, path: str) -> int | None:
    """The status of a GET, or None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except OSError:
        return None
    finally:
        connection.close()


def free_port() -> int:
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def tree(roots: Iterable[int]) -> set[int]:
    """The processes and all their descendants that live now."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """CPU time of the trees so far, user and system, with that of children that have ended."""
    # A child that ended is in its parent's last two fields, so the sum never falls.
    return sum(sum(int(fields[i]) for i in (11, 12, 13, 14)) for pid in tree(roots) if (fields := _stat(pid))) / _TICK


def memory(roots: Iterable[int]) -> dict[str, int]:
    """Bytes that the trees hold: `rss` counts shared pages in every process, `pss` each once."""
    found = {"rss": 0, "pss": 0}
    for pid in tree(roots):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            name, _, rest = line.partition(":")
            if name.lower() in found:
                found[name.lower()] += int(rest.split()[0]) * 1024
    return found


def machine_seconds() -> float:
    """CPU time of the whole machine so far, waiting for disks not counted."""
    fields = [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:8]]
    return (sum(fields) - fields[3] - fields[4]) / _TICK


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat after the name, which may hold blanks: [0] is the state, [1] the parent,
    [11] utime.
    """
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
