"""A server of this process that a real browser can ask: over a copy of the demonstration data, on a free port."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import uvicorn

from tests.api import Api, running, sqlite_settings
from tests.demonstration import ADDRESS, Demonstration, copied
from tests.web.browser import Browser
from watchword.app import Server
from watchword.cli.demo_data import Issuer
from watchword.methods.base import Outbound


class _Quiet(uvicorn.Server):
    def install_signal_handlers(self) -> None:
        """None: the tests' process keeps its own."""


@dataclass(frozen=True)
class Live:
    """The server, its administrator, and who issues tokens to its workloads."""

    url: str
    api: Api
    issuer: Issuer
    password: str

    async def signed_in(self) -> list[dict[str, str]]:
        """The cookies of the administrator, for a window."""
        own = Browser(self.api)
        await own.sign_in(ADDRESS, self.password)
        return [
            {"name": cookie.name, "value": cookie.value or "", "url": self.url} for cookie in own.client.cookies.jar
        ]


@asynccontextmanager
async def listening(api: Api) -> AsyncIterator[str]:
    """The address at which a browser reaches the server of `api`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(Server(api.runtime), lifespan="off", log_config=None, access_log=False, ws="none")
        server = _Quiet(config)
        task = asyncio.create_task(server._serve([listener]))
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            server.force_exit = True
            await task


@asynccontextmanager
async def demonstrated(demonstration: Demonstration, folder: Path, **settings: Any) -> AsyncIterator[Live]:
    """A server over a copy of the demonstration data, whose administrator is signed in over the API too."""
    issuer = Issuer()
    about = sqlite_settings(copied(demonstration, folder), **settings)
    async with running(about, outbound=cast("Outbound", issuer), fresh=False) as api:
        made = demonstration[1]
        body = {"email": ADDRESS, "password": made["password"]}
        api.org_id = made["organization"]["id"]
        api.person = (await api.ok("POST", "/api/v3/auth/login", body, token=None))["accessToken"]
        api.token = await api.enter(api.org_id)
        async with listening(api) as url:
            yield Live(url, api, issuer, made["password"])
