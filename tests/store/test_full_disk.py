"""A full disk is called one while writes fail, nothing is lost or half-done by it, and writing goes on when
there is room.
"""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tests.api import Api, postgres_settings, running
from tests.databases import emptied


@contextmanager
def no_file_grows_beyond(size: int) -> Iterator[None]:
    """The limit on file sizes: the kernel refuses what would be written behind it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def create(api: Api, name: str) -> Any:
    return await api.post("/api/v1/identities", {"name": name, "organizationId": api.org_id})


async def names(api: Api) -> set[str]:
    listed = await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}")
    return {one["identity"]["name"] for one in listed["identities"]}


def require_told(refused: Any, ready: Any, log: str) -> None:
    assert (503, True) == (refused.status_code, "disk of the database is full" in refused.json()["message"])
    assert (503, True) == (ready.status_code, "disk of the database is full" in ready.json()["checks"]["database"])
    assert 1 == log.count("the disk of the database is full: nothing is written until there is room")


async def test_a_full_disk_on_sqlite(api: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "watchword.http")
    with no_file_grows_beyond((tmp_path / "watchword.db-wal").stat().st_size):
        refused = [await create(api, f"lost {i}") for i in range(3)]
        ready = await api.get("/readyz", token=None)
        read = await api.get("/api/status", token=None)
    log = caplog.text
    ready_again = await api.get("/readyz", token=None)
    written = await create(api, "kept")

    for one in refused:
        require_told(one, ready, log)
    assert (200, 200, 200) == (read.status_code, ready_again.status_code, written.status_code), ready_again.text
    assert "kept" in await names(api)
    assert not any(name.startswith("lost") for name in await names(api))
    assert "there is room on the disk of the database again" in caplog.text
    took = [vars(record)["milliseconds"] for record in caplog.records if record.getMessage() == "request"]
    assert 4 == len(took)
    assert max(took) < 60_000, "not the time since the machine was started"


async def test_a_full_disk_on_postgresql(migrated: str, caplog: pytest.LogCaptureFixture) -> None:
    dsn = await emptied(migrated)
    connection = await asyncpg.connect(dsn)
    full = """CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$"""
    try:
        async with running(postgres_settings(dsn)) as api:
            await connection.execute(full)
            for table in ("identities", "versions"):
                await connection.execute(
                    f"CREATE TRIGGER full_disk BEFORE INSERT ON {table} EXECUTE FUNCTION full_disk()"
                )
            refused, ready = await create(api, "lost"), await api.get("/readyz", token=None)
            log = caplog.text
            await connection.execute("DROP FUNCTION full_disk CASCADE")
            ready_again, written = await api.get("/readyz", token=None), await create(api, "kept")

            require_told(refused, ready, log)
            assert (200, 200) == (ready_again.status_code, written.status_code), ready_again.text
            assert "lost" not in await names(api)
    finally:
        await connection.execute("DROP FUNCTION IF EXISTS full_disk CASCADE")
        await connection.close()
