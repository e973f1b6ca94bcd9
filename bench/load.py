"""Load from `wrk`: requests made beforehand and sent in rotation, so that no two neighbours ask for the same thing."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.faults import BenchError

# One thread: on a small machine the loader must not take the core that the server needs. The requests are read from a
# file (length, line end, bytes) because they are long and many, and are sent as they are: nothing is formatted under
# load.
_SCRIPT = """
local requests, count, at = {}, 0, 0

function init(args)
  local file = assert(io.open(args[1], "rb"))
  while true do
    local length = file:read("*n")
    if not length then break end
    file:read(1)
    count = count + 1
    requests[count] = file:read(length)
  end
  file:close()
  at = tonumber(args[2]) % count
end

function request()
  at = at % count + 1
  return requests[at]
end

function done(summary, latency, each)
  local errors = summary.errors
  io.write(string.format(
    '\\nRESULT {"requests":%d,"microseconds":%d,"bytes":%d,"connect":%d,' ..
    '"read":%d,"write":%d,"status":%d,"timeout":%d,' ..
    '"p50":%.1f,"p90":%.1f,"p99":%.1f,"worst":%.1f}\\n',
    summary.requests, summary.duration, summary.bytes,
    errors.connect, errors.read, errors.write, errors.status, errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
"""
_MARK = "RESULT "
_WARMING = 20  # seconds at most
_FAULTS = ("connect", "read", "write", "status", "timeout")


@dataclass(frozen=True)
class Request:
    """One HTTP request as a client sends it."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes = b""

    def raw(self) -> bytes:
        """Its bytes on a connection that stays open."""
        lines = [
            f"{self.method} {self.path} HTTP/1.1",
            "Host: 127.0.0.1",
            *[f"{name}: {value}" for name, value in self.headers.items()],
        ]
        if self.body or self.method in ("POST", "PUT", "PATCH"):
            lines.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*lines, "", ""]).encode() + self.body


def json_request(method: str, path: str, body: object | None = None, **headers: str) -> Request:
    """A request with a JSON body; `headers` are written with underscores."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is None:
        return Request(method, path, sent)
    return Request(
        method, path, {**sent, "content-type": "application/json"}, json.dumps(body, separators=(",", ":")).encode()
    )


@dataclass(frozen=True)
class Result:
    """What wrk saw. Latencies are milliseconds."""

    requests: int
    seconds: float
    errors: int
    faults: Mapping[str, int]
    p50: float
    p90: float
    p99: float
    worst: float


class Loader:
    """Runs wrk with scripts and requests kept in one folder."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("wrk")
        if found is None:
            raise BenchError("wrk is not installed: the load comes from it (on Debian: apt-get install wrk)")
        self._wrk = found
        self._folder = folder
        self._script = folder / "rotate.lua"
        self._script.write_text(_SCRIPT)

    def keep(self, name: str, requests: Sequence[Request]) -> Path:
        """Write requests down for runs to come."""
        path = self._folder / f"{name}.requests"
        with path.open("wb") as file:
            for request in requests:
                raw = request.raw()
                file.write(f"{len(raw)}\n".encode() + raw)
        return path

    def warm(self, port: int, requests: Path, count: int) -> None:
        """Send all of the `count` requests at least once, so that no measured run is the first to ask for something."""
        sent = 0
        for _ in range(_WARMING):
            result = self.run(port, requests, connections=8, seconds=1, start=sent)
            sent += result.requests
            if sent >= count:
                return

    def run(self, port: int, requests: Path, *, connections: int, seconds: int, start: int = 0) -> Result:
        """Send requests for some seconds over that many connections, each waiting for its answer before it
        sends the next.
        """
        command = [
            self._wrk,
            "-t1",
            f"-c{connections}",
            f"-d{seconds}s",
            "--timeout",
            "10s",
            "-s",
            str(self._script),
            f"http://127.0.0.1:{port}/",
            "--",
            str(requests),
            str(start),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"wrk ended with {done.returncode}: {done.stderr[-500:]}")
        return parsed(done.stdout)


def parsed(output: str) -> Result:
    """What our script printed at the end of a run."""
    lines = [line for line in output.splitlines() if line.startswith(_MARK)]
    if len(lines) != 1:
        raise BenchError(f"wrk printed no result: {output[-500:]}")
    found = json.loads(lines[0].removeprefix(_MARK))
    faults = {name: found[name] for name in _FAULTS if found[name]}
    return Result(
        requests=found["requests"],
        seconds=found["microseconds"] / 1e6,
        errors=sum(faults.values()),
        faults=faults,
        p50=found["p50"] / 1000,
        p90=found["p90"] / 1000,
        p99=found["p99"] / 1000,
        worst=found["worst"] / 1000,
    )
