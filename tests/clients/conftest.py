"""A running server with a project and a machine identity that may write to it, for real clients."""

import asyncio
import pathlib
import shutil
import subprocess
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from tests.processes import serving

NODE = pathlib.Path(__file__).parent / "node"


class Stand(msgspec.Struct, frozen=True):
    """What a client needs to know."""

    url: str
    client_id: str
    client_secret: str
    project_id: str
    project_slug: str
    api: Any


@pytest.fixture
async def stand(tmp_path: pathlib.Path) -> AsyncIterator[Stand]:
    """A real `watchword serve` on loopback, set up over HTTP as an operator would."""
    async with serving(tmp_path) as server:
        api = await server.api()
        project = (await api.ok("POST", "/api/v2/workspace", {"projectName": "Clients"}))["project"]
        identity = await api.identity("no-access")
        login = await api.universal(identity["id"])
        await api.ok(
            "POST", f"/api/v2/workspace/{project['id']}/identity-memberships/{identity['id']}", {"role": "member"}
        )
        yield Stand(server.url, login["clientId"], login["clientSecret"], project["id"], project["slug"], api)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder with the Node clients, installed from their lock; skips where that is not possible."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not on this machine")
    place = NODE if (NODE / "node_modules/@infisical/sdk").exists() else tmp_path_factory.mktemp("node")
    if place is not NODE:
        for name in ("package.json", "package-lock.json", "sdk.mjs"):
            shutil.copy(NODE / name, place)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        done = subprocess.run(command, cwd=place, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            pytest.skip(f"the Node clients cannot be installed: {done.stderr.strip()[-200:]}")
    return place


async def output_of(*command: str, stdin: bytes = b"", **options: Any) -> str:
    """What a program prints; it must end well."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )
    async with asyncio.timeout(90):
        printed, complaints = await process.communicate(stdin)
    assert process.returncode == 0, complaints.decode()[-2000:]
    return printed.decode()
