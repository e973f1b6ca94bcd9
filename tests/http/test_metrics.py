"""Metrics: off unless asked for, and never a word of what callers sent."""

from pathlib import Path

from tests.api import Api, running, sqlite_settings
from tests.databases import placed


async def test_there_are_no_metrics_unless_they_are_asked_for(api: Api) -> None:
    assert 404 == (await api.get("/metrics", token=None)).status_code


async def test_requests_are_counted_by_route_and_status(tmp_path: Path, migrated_file: Path) -> None:
    async with running(sqlite_settings(placed(migrated_file, tmp_path), metrics="loopback")) as api:
        identity = await api.identity(name="very-secret-name")
        await api.get(f"/api/v1/identities/{identity['id']}")
        await api.get("/no/such/very-secret-path")
        text = (await api.get("/metrics", token=None)).text

    assert 'watchword_requests_total{method="GET",route="/api/v1/identities/{identity_id}",status="200"} 1.0' in text
    assert 'method="",route="(none)",status="404"' in text
    assert 'watchword_request_seconds_bucket{le="+Inf",route="/api/v1/identities/{identity_id}"' in text
    assert "watchword_journal_writing" in text
    assert "very-secret" not in text
    assert identity["id"] not in text


async def test_metrics_for_this_machine_are_refused_to_others(tmp_path: Path, migrated_file: Path) -> None:
    async with running(
        sqlite_settings(placed(migrated_file, tmp_path), metrics="loopback"), address="192.0.2.7"
    ) as api:
        assert 403 == (await api.get("/metrics", token=None)).status_code


async def test_a_proxy_on_this_machine_does_not_open_metrics_to_everybody(tmp_path: Path, migrated_file: Path) -> None:
    async with running(sqlite_settings(placed(migrated_file, tmp_path), metrics="loopback")) as api:
        assert 403 == (await api.get("/metrics", token=None, headers={"x-forwarded-for": "192.0.2.7"})).status_code


async def test_open_metrics_are_for_everybody(tmp_path: Path, migrated_file: Path) -> None:
    async with running(sqlite_settings(placed(migrated_file, tmp_path), metrics="open"), address="192.0.2.7") as api:
        assert 200 == (await api.get("/metrics", token=None)).status_code
