from pathlib import Path

import pytest

from tests.api import Begun, running, sqlite_settings
from tests.cli.serving import serving, watchword
from tests.databases import placed
from tests.demonstration import ADDRESS, Demonstration, shown
from watchword.cli.demo_data import Issuer, fill
from watchword.domain.outbound import OutboundError
from watchword.services.people.organizations import AlreadyBootstrapped
from watchword.settings import Settings


async def test_a_database_that_holds_an_instance_is_refused_and_stays_as_it_is(
    tmp_path: Path, begun_file: tuple[Path, Begun]
) -> None:
    folder = placed(begun_file[0], tmp_path)
    before = (folder / "watchword.db").read_bytes()

    with pytest.raises(AlreadyBootstrapped):
        await fill(sqlite_settings(folder), ADDRESS, "Example")

    assert before == (folder / "watchword.db").read_bytes()


def test_the_command_says_why_it_refuses_and_keeps_the_old_login(
    tmp_path: Path, begun_file: tuple[Path, Begun]
) -> None:
    folder = placed(begun_file[0], tmp_path)
    (folder / "root.key").write_text("11" * 32 + "\n")
    (folder / "root.key").chmod(0o600)
    (folder / "bootstrap.json").write_text("mine")

    ended = watchword("serve", "--demo-data", "--with-login", "--save-login", "--port", "0", "--data-dir", str(folder))

    assert 1 == ended.returncode
    assert "holds an instance already, and nothing in it was changed" in " ".join(ended.stderr.split())
    assert "mine" == (folder / "bootstrap.json").read_text()


async def test_a_server_that_was_started_and_never_set_up_takes_it_on_each_engine(any_settings: Settings) -> None:
    async with running(any_settings, fresh=False):
        pass

    made = await fill(any_settings, ADDRESS, "Example")

    async with running(any_settings, fresh=False) as api:
        login = {"email": ADDRESS, "password": made["password"]}
        assert 200 == (await api.post("/api/v3/auth/login", login, token=None)).status_code
        token = made["identity"]["credentials"]["token"]
        assert 200 == (await api.get("/api/v1/identities/details", token=token)).status_code
    with pytest.raises(AlreadyBootstrapped):
        await fill(any_settings, ADDRESS, "Example")


def test_the_server_prints_the_password_and_begins_at_once(tmp_path: Path) -> None:
    with serving(tmp_path, "--demo-data") as server:
        assert {ADDRESS} == {server.said["email"]}
        assert server.said["password"]
        assert not (tmp_path / "bootstrap.json").exists()
        server.stop()
        assert '"warning"' not in "".join(line for line in server.log.splitlines() if "root key" not in line)


async def test_nobody_else_is_asked() -> None:
    issuer = Issuer()
    for name in ("fetch", "loaded", "cluster_token"):
        with pytest.raises(OutboundError):
            await getattr(issuer, name)("https://example.com")


async def test_nothing_is_from_the_future_and_nothing_older_than_the_organization(
    tmp_path: Path, demonstration: Demonstration
) -> None:
    async with shown(demonstration, tmp_path) as api:
        now = api.clock()
        async with api.runtime.store.read() as tx:
            from sqlalchemy import func, select

            from watchword.store import schema

            first, last = (
                await tx.all(select(func.min(schema.audit_events.c.at), func.max(schema.audit_events.c.at)))
            )[0]
    assert 119 < (now - first) / 86_400_000 < 121
    assert last <= now
