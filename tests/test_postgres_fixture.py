"""The PostgreSQL fixture itself: what the storage and fault tests rely on."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.postgres import Server, fresh_database, private_server, send, template_database


async def ask(dsn: str, statement: str) -> object:
    connection = await asyncpg.connect(dsn, timeout=20)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


async def test_a_fresh_database_is_empty_and_gone_afterwards(postgres: Server) -> None:
    async with fresh_database(postgres.dsn) as dsn:
        await ask(dsn, "create table t (a int)")
        name = await ask(dsn, "select current_database()")

    assert await ask(postgres.dsn, f"select count(*) from pg_database where datname = '{name}'") == 0


async def test_a_fresh_database_goes_although_somebody_is_connected(postgres: Server) -> None:
    async with fresh_database(postgres.dsn) as dsn:
        connection = await asyncpg.connect(dsn)

    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await connection.fetchval("select 1")


async def test_a_template_is_prepared_once_and_copied(postgres: Server) -> None:
    calls = []

    async def prepare(dsn: str) -> None:
        calls.append(dsn)
        await ask(dsn, "create table prepared (a int)")

    name = f"template_{os.getpid()}"
    names = await asyncio.gather(*(template_database(postgres.dsn, name, prepare) for _ in range(3)))

    assert [name] * 3 == names
    assert len(calls) == 1
    async with fresh_database(postgres.dsn, name) as dsn:
        assert await ask(dsn, "select count(*) from prepared") == 0


async def test_a_private_server_keeps_what_it_acknowledges(private_postgres: Server) -> None:
    assert await ask(private_postgres.dsn, "show fsync") == "on"
    assert await ask(private_postgres.dsn, "show synchronous_commit") == "on"


async def test_the_shared_server_takes_many_connections_and_waits_for_no_disk(postgres_dsn: str) -> None:
    assert int(str(await ask(postgres_dsn, "show max_connections"))) >= 100
    assert os.environ.get("WATCHWORD_TEST_POSTGRES_DSN") or await ask(postgres_dsn, "show fsync") == "off"


async def test_a_paused_server_does_not_answer_until_it_is_resumed(private_postgres: Server) -> None:
    connection = await asyncpg.connect(private_postgres.dsn)
    private_postgres.pause()
    waiting = asyncio.ensure_future(connection.fetchval("select 1"))

    done, _ = await asyncio.wait([waiting], timeout=0.3)
    assert not done
    private_postgres.resume()

    assert await asyncio.wait_for(waiting, 10) == 1
    await connection.close()


async def test_what_was_committed_survives_a_kill(private_postgres: Server) -> None:
    await ask(private_postgres.dsn, "create table kept as select 7 as a")
    before = private_postgres.pid

    private_postgres.kill()
    private_postgres.start()

    assert await ask(private_postgres.dsn, "select a from kept") == 7
    assert before != private_postgres.pid


def test_a_process_that_ended_meanwhile_keeps_no_signal_from_the_others() -> None:
    sleeper = [sys.executable, "-c", "import time; time.sleep(60)"]
    with subprocess.Popen(sleeper) as ended, subprocess.Popen(sleeper) as other:
        listed = [psutil.Process(ended.pid), psutil.Process(other.pid)]
        ended.kill()
        ended.wait()

        send(listed, signal.SIGKILL)

        assert other.wait(20) == -signal.SIGKILL


async def test_a_restart_drops_the_connections(private_postgres: Server) -> None:
    connection = await asyncpg.connect(private_postgres.dsn)

    private_postgres.restart("immediate")

    with pytest.raises((asyncpg.PostgresError, OSError, asyncpg.InterfaceError)):
        await connection.fetchval("select 1")
    assert await ask(private_postgres.dsn, "select 1") == 1


def test_the_server_ends_with_its_user_even_when_that_was_killed() -> None:
    program = "from tests.postgres import private_server\nwith private_server() as s:\n  print(s.pid, s.directory, flush=True)\n  input()\n"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        pid, directory = user.stdout.readline().split()
        user.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 20
    while (Path(directory).exists() or running(int(pid))) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(directory).exists()
    assert not running(int(pid))


def test_a_server_of_somebody_else_is_not_ours_to_stop() -> None:
    with pytest.raises(RuntimeError, match="not ours"):
        Server("postgresql://elsewhere/db").stop()


def test_a_private_server_works_from_a_plain_script() -> None:
    with private_server(fsync=False) as server:
        assert asyncio.run(ask(server.dsn, "show fsync")) == "off"


def running(pid: int) -> bool:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False
