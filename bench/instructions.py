"""What each operation costs in machine instructions: a number that another load on the machine does not change.

The ASGI application of one process on SQLite runs under valgrind, which counts all that it and its libraries do; what
the kernel does is not counted. Between two versions, each measured here, a difference of one in a hundred is real.
"""

import asyncio
import ctypes
import gc
import json
import mmap
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import seed
from bench.faults import BenchError
from bench.load import Request
from bench.servers import OPERATIONS, Watchword, filled, opened_house, sqlite_environment
from watchword.app import Server
from watchword.services import turns

IDENTITIES = 50  # which take turns
SECRETS = 1_000
TIMES = 200  # requests of each operation that are counted: enough for the journal and the collector to even out

# How a program on x86-64 speaks to valgrind: rotations that change nothing, and then a word that does nothing anywhere
# else.
_REQUEST = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_DUMP, _START, _STOP = (ord("C") << 24 | ord("T") << 16 | number for number in (0, 4, 5))


class _Valgrind:
    """The valgrind around this process. What is not to be counted runs ten times as fast when it is told so."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_REQUEST)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._ask = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def _tell(self, request: int) -> None:
        words = (ctypes.c_uint64 * 6)(request)
        self._ask(ctypes.addressof(words))

    def start(self) -> None:
        """Count from here on."""
        self._tell(_START)

    def write(self) -> None:
        """Write down what was counted, and count no more."""
        self._tell(_DUMP)
        self._tell(_STOP)


class _InProcess(Watchword):
    """The requests that a server is sent, sent to an application in this process."""

    def __init__(self, app: Any, world: seed.World) -> None:
        super().__init__("sqlite", "", {}, world, seed.Size(identities=IDENTITIES, secrets=SECRETS))
        self._app = app

    async def enter(self) -> None:
        """Log in."""
        self._tokens = [json.loads((await self.send(request))[1])["accessToken"] for request in self._logins()]

    async def send(self, request: Request) -> tuple[int, bytes]:
        """The status and the body of the answer."""
        path, _, query = request.path.partition("?")
        headers = {"host": "127.0.0.1:8080", **request.headers}
        if request.body:
            headers["content-length"] = str(len(request.body))
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "client": ("127.0.0.1", 40_000),
            "server": ("127.0.0.1", 8080),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        status, parts = 0, []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": request.body, "more_body": False}

        async def send(message: Mapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            parts.append(message.get("body", b""))

        await self._app(scope, receive, send)
        return status, b"".join(parts)


async def _count(environment: Mapping[str, str], world: seed.World, operations: Sequence[str]) -> None:
    valgrind = _Valgrind()
    turns.SLICE = 60  # seconds: under valgrind everything takes fifty times as long, and slices would end in between
    async with opened_house(environment) as parts:
        server = _InProcess(Server(parts), world)
        await server.enter()
        for operation in operations:
            some = server.requests(operation)
            requests = [some[number % len(some)] for number in range(TIMES)]
            for request in requests:  # whatever is remembered is remembered
                status, body = await server.send(request)
                if status != 200:
                    raise BenchError(f"{operation}: {status} {body[:300]!r}")
            await asyncio.sleep(1)  # what is written later is written
            gc.collect()  # every operation begins with the same state of the collector
            valgrind.start()
            for request in requests:
                await server.send(request)
            valgrind.write()


def run(folder: Path, operations: Sequence[str], say: Callable[[str], None]) -> dict[str, int]:
    """Instructions for one request of each operation."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise BenchError("valgrind is not installed: it counts the instructions (on Debian: apt-get install valgrind)")
    environment = sqlite_environment(folder / "data")
    world = asyncio.run(filled(environment, seed.Size(identities=IDENTITIES, secrets=SECRETS)))
    ids = [world.org_id, world.project_id, world.environment_id, world.root_id]
    counter = [valgrind, "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder / 'counted'}", "--"]
    done = subprocess.run(
        [*counter, sys.executable, "-m", "bench.instructions", *ids, *operations],
        # The hash seed decides how often a dict finds its place at once.
        env={**environment, "PYTHONHASHSEED": "0", "PYTHONPATH": "src"},
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"the counted process ended with {done.returncode}: {done.stderr[-1000:]}")
    found = {}
    for number, operation in enumerate(operations, 1):
        found[operation] = _total(folder / f"counted.{number}") // TIMES
        say(f"{OPERATIONS[operation]:34} {found[operation]:12,}")
    return found


def _total(path: Path) -> int:
    for line in path.read_text().splitlines():
        if line.startswith("totals:"):  # the line `summary:` goes wrong when instrumentation is switched
            return int(line.split()[1])
    raise BenchError(f"valgrind wrote no sum into {path}")


if __name__ == "__main__":
    _environment = {name: value for name, value in os.environ.items() if name.startswith("WATCHWORD_")}
    asyncio.run(_count(_environment, seed.World(*sys.argv[1:5]), sys.argv[5:]))
