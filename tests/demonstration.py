"""A folder with the demonstration data, made once in a run, to be copied: `watchword serve --demo-data` in this process."""

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import elsewhere
from watchword.cli.demo_data import fill

ADDRESS = "admin@example.com"
Demonstration = tuple[Path, dict[str, Any]]


@pytest.fixture(scope="session")
def demonstration(tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    """The folder, and what the filling answered."""
    folder = tmp_path_factory.mktemp("demonstration")
    return folder, elsewhere(fill(sqlite_settings(folder), ADDRESS, "Example"))


def copied(demonstration: Demonstration, folder: Path) -> Path:
    """A folder with the same data."""
    shutil.copytree(demonstration[0], folder, dirs_exist_ok=True)
    return folder


@asynccontextmanager
async def shown(demonstration: Demonstration, folder: Path) -> AsyncIterator[Api]:
    """A server over a copy, and its administrator."""
    async with running(sqlite_settings(copied(demonstration, folder)), fresh=False) as api:
        body = {"email": ADDRESS, "password": demonstration[1]["password"]}
        api.org_id = demonstration[1]["organization"]["id"]
        api.person = (await api.ok("POST", "/api/v3/auth/login", body, token=None))["accessToken"]
        api.token = await api.enter(api.org_id)
        yield api
