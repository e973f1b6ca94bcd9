"""A whole Watchword in process for tests: the real store on a temporary database, real HTTP semantics, a clock that can
be moved.

async def test_a_rule(api: Api) -> None:            # runs on SQLite; on PostgreSQL too with the fixture `any_api`
    identity = await api.identity(role="member")
    reply = await api.get(f"/api/v1/identities/{identity['id']}")
    assert 200 == reply.status_code
"""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from tests.databases import elsewhere, emptied, placed, refilling
from tests.inside import Inside
from watchword.app import Server, build_runtime, opened
from watchword.domain.secret import Secret
from watchword.methods.base import Outbound
from watchword.services.runtime import Runtime
from watchword.settings import Settings

EMAIL, PASSWORD = "admin@example.com", "correct horse battery"
ROOT_KEY = "11" * 32


class Clock:
    """The real time, which `forward` moves on."""

    def __init__(self) -> None:
        import time

        self._now = time.time_ns
        self.offset = 0

    def __call__(self) -> int:
        return self._now() // 1_000_000 + self.offset

    def forward(self, seconds: float) -> None:
        self.offset += int(seconds * 1000)


class Api:
    """A client of one in-process server.

    Calls are made as `token` (default: the first organization's administrator).
    """

    def __init__(self, parts: Runtime, clock: Clock, client: httpx.AsyncClient, inside: Inside | None = None) -> None:
        self.runtime = parts
        self.clock = clock
        self.client = client
        self._inside = inside  # the way to a server in this process
        self.token = ""
        self.person = ""
        self.org_id = ""
        self.instance_token = ""

    async def bootstrap(self) -> None:
        reply = await self.post(
            "/api/v1/admin/bootstrap", {"email": EMAIL, "password": PASSWORD, "organization": "Acme"}, token=None
        )
        bootstrapped = reply.json()
        self.org_id, self.instance_token = (
            bootstrapped["organization"]["id"],
            bootstrapped["identity"]["credentials"]["token"],
        )
        self.person = (await self.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None))[
            "accessToken"
        ]
        self.token = await self.enter(self.org_id)

    async def enter(self, org_id: str, person: str = "") -> str:
        body = {"organizationId": org_id}
        return (await self.ok("POST", "/api/v3/auth/select-organization", body, token=person or self.person))["token"]

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "",
        headers: dict[str, str] | None = None,
        query: dict[str, Any] | None = None,
    ) -> httpx.Response:
        sent = dict(headers or {})
        bearer = self.token if token == "" else token
        if bearer:
            sent["authorization"] = f"Bearer {bearer}"
        if self._inside is not None:
            return await self._inside.request(self.client, method, path, body, sent, query)
        return await self.client.request(method, path, json=body, headers=sent, params=query)

    async def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The JSON of an answer that must be 200."""
        reply = await self.request(method, path, body, **options)
        assert reply.status_code == 200, f"{method} {path}: {reply.status_code} {reply.text[:2000]}"
        return reply.json()

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.request("GET", path, **options)

    async def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.request("POST", path, body, **options)

    async def patch(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.request("PATCH", path, body, **options)

    async def delete(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return await self.request("DELETE", path, body, **options)

    async def organization(self, name: str = "Other") -> tuple[str, str]:
        """Another organization of the same person: its id and a token for it."""
        org = (await self.ok("POST", "/api/v2/organizations", {"name": name}, token=self.person))["organization"]
        return org["id"], await self.enter(org["id"])

    async def identity(self, role: str = "no-access", name: str = "bot", **body: Any) -> dict[str, Any]:
        """A new identity of the first organization."""
        fields = {"name": name, "organizationId": self.org_id, "role": role, **body}
        return (await self.ok("POST", "/api/v1/identities", fields))["identity"]

    async def universal(self, identity_id: str, secret: dict[str, Any] | None = None, **config: Any) -> dict[str, str]:
        """Universal Auth on an identity and one client secret: the body of a login."""
        path = f"/api/v1/auth/universal-auth/identities/{identity_id}"
        method = await self.ok("POST", path, config)
        secret_reply = await self.ok("POST", f"{path}/client-secrets", secret or {})
        return {"clientId": method["identityUniversalAuth"]["clientId"], "clientSecret": secret_reply["clientSecret"]}

    async def login(self, login: dict[str, str]) -> str:
        """The access token for a Universal Auth login body."""
        return (await self.ok("POST", "/api/v1/auth/universal-auth/login", login, token=None))["accessToken"]

    async def bot(self, role: str = "no-access", **config: Any) -> tuple[dict[str, Any], str]:
        """A new identity and an access token of it."""
        identity = await self.identity(role)
        return identity, await self.login(await self.universal(identity["id"], **config))


@asynccontextmanager
async def running(
    settings: Settings, *, outbound: Outbound | None = None, address: str = "127.0.0.1", fresh: bool = True
) -> AsyncIterator[Api]:
    """A bootstrapped server in this process; not `fresh`: one more server of a database that another has
    bootstrapped.
    """
    clock = Clock()
    parts = msgspec.structs.replace(build_runtime(settings, outbound=outbound), clock=clock)
    for journal in (parts.journal, parts.writes):
        # Moments of last use are written when a test closes the journal, not between two of its reads.
        journal.later_every = math.inf
    async with opened(parts):
        inside = Inside(Server(parts), address)
        async with httpx.AsyncClient(transport=inside.transport(), base_url="http://watchword.test") as client:
            api = Api(parts, clock, client, inside)
            if fresh:
                await api.bootstrap()
            yield api


def sqlite_settings(folder: Path, **fields: Any) -> Settings:
    return Settings(**{"data_dir": folder, "root_key": Secret(ROOT_KEY), "setup_code": Secret("off"), **fields})


def postgres_settings(dsn: str, **fields: Any) -> Settings:
    given = {"database_url": Secret(dsn), "root_key": Secret(ROOT_KEY), "database_pool": 4, "setup_code": Secret("off")}
    return Settings(**{**given, **fields})


@dataclass(frozen=True)
class Begun:
    """What a bootstrapped database knows its administrator by."""

    org_id: str
    instance_token: str
    person: str
    token: str

    @classmethod
    def of(cls, api: Api) -> "Begun":
        return cls(api.org_id, api.instance_token, api.person, api.token)

    def hand_to(self, api: Api) -> Api:
        """The same client, signed in."""
        api.org_id, api.instance_token, api.person, api.token = (
            self.org_id,
            self.instance_token,
            self.person,
            self.token,
        )
        return api


async def _begun(settings: Settings) -> Begun:
    async with running(settings) as api:
        return Begun.of(api)


@pytest.fixture(scope="session")
def begun_file(tmp_path_factory: pytest.TempPathFactory, migrated_file: Path) -> tuple[Path, Begun]:
    """A SQLite file that was bootstrapped once for all tests, to be copied, and how to sign in."""
    folder = placed(migrated_file, tmp_path_factory.mktemp("begun"))
    known = elsewhere(_begun(sqlite_settings(folder)))
    assert ["watchword.db"] == [path.name for path in folder.glob("watchword.db*")]
    return folder / "watchword.db", known


@pytest.fixture(scope="session")
def begun_rows(migrated: str) -> tuple[str, Begun]:
    """The statements that fill an empty PostgreSQL database with the rows of one that was bootstrapped, and how
    to sign in.
    """

    async def begin() -> tuple[str, Begun]:
        known = await _begun(postgres_settings(await emptied(migrated)))
        return await refilling(migrated), known

    return elsewhere(begin())


@pytest.fixture
async def api(tmp_path: Path, begun_file: tuple[Path, Begun]) -> AsyncIterator[Api]:
    """A server on SQLite."""
    file, known = begun_file
    async with running(sqlite_settings(placed(file, tmp_path)), fresh=False) as server:
        yield known.hand_to(server)


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_settings(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings for each engine in turn."""
    if request.param == "sqlite":
        yield sqlite_settings(placed(request.getfixturevalue("migrated_file"), tmp_path))
    else:
        yield postgres_settings(await emptied(request.getfixturevalue("migrated")))


@pytest.fixture(params=["sqlite", "postgresql"])
async def any_api(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Api]:
    """A server on each engine in turn."""
    if request.param == "sqlite":
        file, known = request.getfixturevalue("begun_file")
        settings = sqlite_settings(placed(file, tmp_path))
    else:
        statements, known = request.getfixturevalue("begun_rows")
        settings = postgres_settings(await emptied(request.getfixturevalue("migrated"), statements))
    async with running(settings, fresh=False) as server:
        yield known.hand_to(server)
