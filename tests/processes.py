"""Real servers: `watchword serve` in processes of their own, on free ports, over a folder or a PostgreSQL, to be killed
at will.

async with serving(tmp_path) as server:                         # SQLite
    api = await server.api()                                    # bootstrapped, as `tests.api.Api`
async with serving(tmp_path, dsn, count=2) as (one, two): ...   # two processes over one PostgreSQL
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import httpx

from tests import forks
from tests.api import ROOT_KEY, Api

# The server closes a connection that is idle for five seconds; on a busy machine that happens just as it is used again.
LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=2)


# `watchword` with a clock that is wrong by what stands in a file.
_SKEWED = """
import sys
from pathlib import Path
import watchword.app
from watchword.adapters.clock import now_ms
offset = Path(sys.argv.pop(1))
watchword.app.now_ms = lambda: now_ms() + int(offset.read_text())
from watchword.cli.main import main
main()
"""


class Server:
    """One process that answers at `url`."""

    def __init__(self, folder: Path, dsn: str | None, number: int, options: dict[str, str]) -> None:
        self.folder = folder
        self.offset_file = folder / f"clock-{number}"
        self.set_clock(0)
        self.log_file = folder / f"server-{number}.log"
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")} | {
            "WATCHWORD_DATA_DIR": str(folder),
            "WATCHWORD_ROOT_KEY": ROOT_KEY,
            "WATCHWORD_LOG_REQUESTS": "false",
            "WATCHWORD_SETUP_CODE": "off",
            **options,
        }
        if dsn is not None:
            self._environment["WATCHWORD_DATABASE_URL"] = dsn
        self.process: forks.Forked
        self.url = ""
        self._clients: list[httpx.AsyncClient] = []

    def start(self, *, port: int = 0) -> None:
        """Start, and wait until it answers."""
        command = [str(self.offset_file), "serve", "--port", str(port), "--output", "json"]
        with self.log_file.open("ab") as log:
            self.process = forks.started(command, self._environment, stderr=log, code=_SKEWED)
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, self.log_file.read_text()[-4000:]
        self.url = str(json.loads(line)["address"])

    def set_clock(self, seconds: float) -> None:
        """Set the clock of this process ahead of the real time, or behind it, from now on."""
        aside = self.offset_file.with_suffix(".new")
        aside.write_text(str(int(seconds * 1000)))
        aside.replace(self.offset_file)

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def kill(self) -> None:
        """End it as a power cut would, as far as a process can feel one."""
        self.process.send_signal(signal.SIGKILL)
        self._ended()

    def stop(self) -> None:
        """End it in order."""
        if self.process.poll() is None:
            self.process.terminate()
        self._ended()

    def _ended(self) -> None:
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
        if self.process.stdout:
            self.process.stdout.close()

    def client(self, **options: Any) -> httpx.AsyncClient:
        """A client of this process, closed with it."""
        client = httpx.AsyncClient(base_url=self.url, timeout=60, limits=LIMITS, trust_env=False, **options)
        self._clients.append(client)
        return client

    async def api(self, like: Api | None = None) -> Api:
        """The server's client of this process: bootstrapped, or signed in as `like` is."""
        api = Api(cast("Any", None), cast("Any", None), self.client())
        if like is None:
            await api.bootstrap()
        else:
            api.token, api.person, api.org_id, api.instance_token = (
                like.token,
                like.person,
                like.org_id,
                like.instance_token,
            )
        return api

    async def close(self) -> None:
        for client in self._clients:
            with contextlib.suppress(RuntimeError):
                await client.aclose()
        await asyncio.to_thread(self.stop)


@contextlib.asynccontextmanager
async def serving(folder: Path, dsn: str | None = None, *, count: int = 1, **options: str) -> AsyncIterator[Any]:
    """`count` processes over one database: a server, or a tuple of them. `options` are WATCHWORD_ variables."""
    variables = {f"WATCHWORD_{name.upper()}": value for name, value in options.items()}
    servers = [Server(folder, dsn, number, variables) for number in range(count)]
    started: list[Server] = []
    try:
        for server in servers:  # one after the other: the first makes the tables
            await asyncio.to_thread(server.start)
            started.append(server)
        yield servers[0] if count == 1 else tuple(servers)
    finally:
        for server in started:
            await server.close()
