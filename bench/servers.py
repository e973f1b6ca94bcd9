"""The servers of one run: Watchword on its engines, and the floor. OpenBao has a module of its own."""

import http.client
import json
import os
import secrets
import sys
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Protocol

import asyncpg
import msgspec

from bench import seed
from bench.faults import BenchError
from bench.load import Request, json_request
from bench.processes import Child, free_port
from tests.postgres import Server as Postgres
from tests.postgres import private_server, with_database
from watchword.app import build_runtime, opened
from watchword.services.runtime import Runtime
from watchword.settings import load

LOGIN, CHECK, READ, LIST, WRITE, RENEW, BATCH_LOGIN = "login", "check", "read", "list", "write", "renew", "batch-login"
OPERATIONS: Mapping[str, str] = {
    LOGIN: "login with id and secret",
    CHECK: "token check",
    READ: "secret read by name",
    LIST: "list of 100 secrets with values",
    WRITE: "secret write",
    RENEW: "token renew",
}
_KEPT = ("PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH")
_ROOT = Path(__file__).parent.parent


class Answered(msgspec.Struct, frozen=True):
    """An answer to one request outside of any measurement."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body or b"null")


class Caller:
    """A client with one connection, for what must be set up or looked at once."""

    def __init__(self, port: int, *, timeout: float = 30) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def send(self, request: Request) -> Answered:
        """One request, whatever its answer."""
        self._connection.request(request.method, request.path, body=request.body or None, headers=dict(request.headers))
        answer = self._connection.getresponse()
        return Answered(answer.status, answer.read())

    def ok(self, request: Request) -> Any:
        """The JSON of an answer that must be good."""
        answer = self.send(request)
        if answer.status >= 300:
            raise BenchError(f"{request.method} {request.path}: {answer.status} {answer.body[:300]!r}")
        return answer.json()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class Server(Protocol):
    """One server that runs and can be asked for all operations it offers."""

    name: str
    title: str
    port: int

    @property
    def roots(self) -> Sequence[int]:
        """The processes at the top of all trees that work for it, the database's included."""
        ...

    def requests(self, operation: str) -> Sequence[Request]:
        """Requests to be sent in rotation; none where the server has no such operation."""
        ...


class Watchword:
    """One of our servers over a database that was filled beforehand."""

    def __init__(
        self,
        name: str,
        title: str,
        environment: Mapping[str, str],
        world: seed.World,
        size: seed.Size,
        database: Postgres | None = None,
        tokens: Sequence[str] = (),
    ) -> None:
        self.name, self.title = name, title
        self.port = free_port()
        self.world = world
        self._environment = {**environment, "WATCHWORD_PORT": str(self.port)}
        self._database = database
        self.size = size
        self._tokens = list(tokens)
        self._child: Child | None = None

    @property
    def roots(self) -> Sequence[int]:
        own = [self._child.pid] if self._child else []
        return [*own, self._database.pid] if self._database else own

    @property
    def pid(self) -> int:
        """The server's own process, without the database."""
        if self._child is None:
            raise BenchError(f"{self.name} does not run")
        return self._child.pid

    def start(self, log: Path) -> None:
        """Start the server and wait until it answers."""
        self._child = Child([sys.executable, "-m", "watchword", "serve"], environment=self._environment, log=log)
        self._child.wait_until_answers(self.port, "/api/status")

    def stop(self) -> None:
        """Stop the server."""
        if self._child is not None:
            self._child.stop()
            self._child = None
        self._tokens = []

    def tokens(self) -> list[str]:
        """Access tokens of identities spread over all there are, from real logins."""
        if not self._tokens:
            caller = Caller(self.port)
            self._tokens = [caller.ok(request)["accessToken"] for request in self._logins()]
            caller.close()
        return self._tokens

    def _logins(self) -> list[Request]:
        path = "/api/v1/auth/universal-auth/login"
        return [
            json_request("POST", path, seed.login_of(number))
            for number in seed.numbers(seed.SOME, self.size.identities)
        ]

    def requests(self, operation: str) -> Sequence[Request]:
        if operation == BATCH_LOGIN:
            return []
        if operation == LOGIN:
            return self._logins()
        if operation == RENEW:
            return [json_request("POST", "/api/v1/auth/token/renew", {"accessToken": token}) for token in self.tokens()]
        if operation == CHECK:
            return [
                json_request("GET", "/api/v1/identities/details", authorization=f"Bearer {token}")
                for token in self.tokens()
            ]
        return [self._about(operation, *pair) for pair in self._pairs()]

    def _pairs(self) -> list[tuple[int, str]]:
        """Secrets spread over all there are, each with the token of somebody."""
        tokens = self.tokens()
        return [
            (number, tokens[i % len(tokens)]) for i, number in enumerate(seed.numbers(seed.SOME, self.size.secrets))
        ]

    def _about(self, operation: str, number: int, token: str) -> Request:
        place = {
            "workspaceId": self.world.project_id,
            "environment": seed.ENVIRONMENT,
            "secretPath": seed.path_of(number),
        }
        query, bearer = urllib.parse.urlencode(place), f"Bearer {token}"
        if operation == LIST:
            return json_request("GET", f"/api/v3/secrets/raw?{query}", authorization=bearer)
        path = f"/api/v3/secrets/raw/{seed.key_of(number)}"
        if operation == READ:
            return json_request("GET", f"{path}?{query}", authorization=bearer)
        return json_request("PATCH", path, {**place, "secretValue": f"a new value of {number}"}, authorization=bearer)


class Floor:
    """The bare ASGI function, which is sent the very requests that another server gets."""

    name, title = "floor", "bare ASGI function"

    def __init__(self, like: Watchword) -> None:
        self.port = free_port()
        self._like = like
        self._child: Child | None = None

    @property
    def roots(self) -> Sequence[int]:
        return [self._child.pid] if self._child else []

    def start(self, log: Path) -> None:
        """Start it and wait until it answers."""
        self._child = Child(
            [sys.executable, "-m", "bench.floor", str(self.port)],
            environment=clean_environment(PYTHONPATH=str(_ROOT)),
            log=log,
        )
        self._child.wait_until_answers(self.port, "/")

    def stop(self) -> None:
        """Stop it."""
        if self._child is not None:
            self._child.stop()

    def requests(self, operation: str) -> Sequence[Request]:
        return self._like.requests(operation)


def clean_environment(**variables: str) -> dict[str, str]:
    """The environment of a server: what every program needs, and these variables."""
    return {name: os.environ[name] for name in _KEPT if name in os.environ} | variables


def sqlite_environment(folder: Path, **variables: str) -> dict[str, str]:
    """Settings of a server on SQLite."""
    return clean_environment(
        WATCHWORD_DATA_DIR=str(folder),
        WATCHWORD_LOG_LEVEL="warning",
        WATCHWORD_ROOT_KEY=secrets.token_hex(32),
        **variables,
    )


def postgres_environment(folder: Path, dsn: str, **variables: str) -> dict[str, str]:
    """Settings of a server on PostgreSQL."""
    return sqlite_environment(folder, WATCHWORD_DATABASE_URL=dsn, **variables)


@asynccontextmanager
async def opened_house(environment: Mapping[str, str]) -> Any:
    """The server of these settings in this process, to be filled."""
    settings = load({name: value for name, value in environment.items() if name.startswith("WATCHWORD_")})
    async with opened(build_runtime(settings)) as parts:
        yield parts


async def filled(environment: Mapping[str, str], size: seed.Size) -> seed.World:
    """A new world in an empty database."""
    parts: Runtime
    async with opened_house(environment) as parts:
        world = await seed.found_world(parts)
        await seed.grow(parts, world, seed.Size(identities=0, secrets=0), size)
    return world


async def make_database(database: Postgres, name: str) -> str:
    """The address of a new, empty database."""
    connection = await asyncpg.connect(database.dsn)
    try:
        await connection.execute(f'create database "{name}" template template0')
    finally:
        await connection.close()
    return with_database(database.dsn, name)


async def analyzed(dsn: str) -> None:
    """Bring the planner's statistics up to date, as autovacuum would in its own time, and write out what a bulk load
    left to write.

    Without the second, what is measured next pays for the load: the checkpointer is one of the database's processes.
    """
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")
    finally:
        await connection.close()


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that is durable and gives its tables the memory that an operator would."""
    with ExitStack() as stack:
        yield stack.enter_context(
            private_server(fsync=True, settings={"shared_buffers": "512MB", "max_wal_size": "4GB"})
        )
