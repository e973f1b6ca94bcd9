"""Whatever is wrong at the start is told in one sentence that says what to do, with an exit code; `config check` sees
it too.

Each fault is a function that makes it and answers the options and variables of the command, the exit code, and words
that must be told.
"""

import os
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.cli.serving import serving, watchword
from tests.cli.test_serve import pair, write
from tests.databases import elsewhere
from watchword import app
from watchword.cli.main import main
from watchword.methods import registry
from watchword.store.migrate import HEAD, upgrade

KEY = "ab" * 32
NOBODY = 65534
Fault = tuple[list[str], dict[str, str], int, tuple[str, ...]]


class Ended:
    """How a command in this process ended: whatever is wrong is found before a server would serve."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        result = CliRunner().invoke(main, arguments, env=environment)
        self.returncode, self.stderr = result.exit_code, result.stderr
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            self.stderr += f"\nTraceback of {result.exception!r}"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def closed(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


def migrated(folder: Path) -> Path:
    """A data directory with all tables and the keys of an instance."""
    ended = Ended(
        "bootstrap",
        "--data-dir",
        str(folder),
        "--email",
        "a@example.com",
        "--password",
        "correct horse",
        "--organization",
        "A",
    )
    assert 0 == ended.returncode, ended.stderr
    return folder


def a_file_in_the_place_of_the_directory(folder: Path) -> Fault:
    (folder / "data").write_text("")
    return ["--data-dir", str(folder / "data")], {}, 2, ("is not a directory", "choose another")


def a_file_above_the_directory(folder: Path) -> Fault:
    (folder / "file").write_text("")
    return ["--data-dir", str(folder / "file" / "data")], {}, 2, ("is not a directory",)


def a_directory_in_the_place_of_the_database(folder: Path) -> Fault:
    (folder / "watchword.db").mkdir()
    return ["--data-dir", str(folder)], {}, 2, ("watchword.db", "is a directory")


def a_database_that_is_none(folder: Path) -> Fault:
    closed(folder / "watchword.db", "this is a letter and no database\n" * 100)
    return ["--data-dir", str(folder)], {"WATCHWORD_ROOT_KEY": KEY}, 4, ("is not an SQLite database",)


def a_database_of_another_program(folder: Path) -> Fault:
    with sqlite3.connect(folder / "watchword.db") as connection:
        connection.execute("CREATE TABLE tunes (id INTEGER)")
    connection.close()
    return ["--data-dir", str(folder)], {"WATCHWORD_ROOT_KEY": KEY}, 4, ("database of another program",)


def a_database_with_a_hole(folder: Path) -> Fault:
    path = migrated(folder) / "watchword.db"
    data = bytearray(path.read_bytes())
    data[3 * 4096 : 12 * 4096] = b"\xff" * (9 * 4096)
    path.write_bytes(bytes(data))
    return ["--data-dir", str(folder)], {}, 4, ("is damaged", "backup")


def a_database_that_was_cut_off(folder: Path) -> Fault:
    path = migrated(folder) / "watchword.db"
    os.truncate(path, path.stat().st_size // 3)
    return ["--data-dir", str(folder)], {}, 4, ("is damaged", "backup")


def a_database_of_a_later_version(folder: Path) -> Fault:
    with sqlite3.connect(migrated(folder) / "watchword.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9876'")
    connection.close()
    return ["--data-dir", str(folder)], {}, 4, ("revision 9876", f"up to {HEAD}")


def a_database_whose_root_key_is_gone(folder: Path) -> Fault:
    (migrated(folder) / "root.key").unlink()
    return ["--data-dir", str(folder)], {}, 2, ("no root.key beside it", "put the file back")


def another_root_key(folder: Path) -> Fault:
    migrated(folder)
    return (
        ["--data-dir", str(folder)],
        {"WATCHWORD_ROOT_KEY": KEY},
        3,
        ("root key does not open", "WATCHWORD_ROOT_KEY_FILE"),
    )


def a_root_key_of_the_wrong_length(folder: Path) -> Fault:
    return (
        ["--data-dir", str(folder)],
        {"WATCHWORD_ROOT_KEY": "ab" * 31},
        2,
        ("WATCHWORD_ROOT_KEY", "32 bytes", "openssl rand"),
    )


def a_root_key_file_of_the_wrong_length(folder: Path) -> Fault:
    file = closed(folder / "key", "ab" * 31)
    return ["--data-dir", str(folder), "--root-key-file", str(file)], {}, 2, ("--root-key-file", "32 bytes")


def a_root_key_file_that_is_not_there(folder: Path) -> Fault:
    return ["--data-dir", str(folder), "--root-key-file", str(folder / "none")], {}, 2, ("there is no such file",)


def a_root_key_file_that_is_a_directory(folder: Path) -> Fault:
    (folder / "key").mkdir()
    return ["--data-dir", str(folder), "--root-key-file", str(folder / "key")], {}, 2, ("Is a directory",)


def a_root_key_file_that_others_can_read(folder: Path) -> Fault:
    file = closed(folder / "key", KEY)
    file.chmod(0o644)
    return ["--data-dir", str(folder), "--root-key-file", str(file)], {}, 2, ("can be read by other users", "chmod 600")


def a_certificate_that_is_none(folder: Path) -> Fault:
    _, key = write(folder, "server", pair("127.0.0.1"))
    cert = closed(folder / "cert.pem", "none")
    return (
        ["--data-dir", str(folder), "--tls-cert-file", str(cert), "--tls-key-file", key],
        {},
        2,
        ("--tls-cert-file", "no certificate"),
    )


def a_certificate_that_is_not_there(folder: Path) -> Fault:
    _, key = write(folder, "server", pair("127.0.0.1"))
    options = ["--data-dir", str(folder), "--tls-cert-file", str(folder / "none.pem"), "--tls-key-file", key]
    return options, {}, 2, ("--tls-cert-file", "No such file")


def a_key_of_another_certificate(folder: Path) -> Fault:
    cert, _ = write(folder, "server", pair("127.0.0.1"))
    _, key = write(folder, "other", pair("127.0.0.1"))
    return (
        ["--data-dir", str(folder), "--tls-cert-file", cert, "--tls-key-file", key],
        {},
        2,
        ("is not the key of the certificate",),
    )


def a_key_with_a_passphrase(folder: Path) -> Fault:
    from cryptography.hazmat.primitives import serialization

    made = pair("127.0.0.1")
    cert, key = write(folder, "server", made)
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    Path(key).write_bytes(made[1].private_bytes(pem, form, serialization.BestAvailableEncryption(b"x")))
    return (
        ["--data-dir", str(folder), "--tls-cert-file", cert, "--tls-key-file", key],
        {},
        2,
        ("--tls-key-file", "encrypted"),
    )


def authorities_that_are_none(folder: Path) -> Fault:
    cert, key = write(folder, "server", pair("127.0.0.1"))
    ca = closed(folder / "ca.pem", "none")
    options = [
        "--data-dir",
        str(folder),
        "--tls-cert-file",
        cert,
        "--tls-key-file",
        key,
        "--tls-client-ca-file",
        str(ca),
    ]
    return options, {}, 2, ("--tls-client-ca-file", "no certificate")


def a_host_that_nobody_knows(folder: Path) -> Fault:
    return (
        ["--data-dir", str(folder), "--host", "no-such-host.invalid"],
        {},
        2,
        ("cannot listen on no-such-host.invalid", "correct --host"),
    )


def an_address_of_another_machine(folder: Path) -> Fault:
    return ["--data-dir", str(folder), "--host", "192.0.2.1"], {}, 2, ("cannot listen on 192.0.2.1", "no such address")


def two_faults_at_once(folder: Path) -> Fault:
    (folder / "data").write_text("")
    return ["--data-dir", str(folder / "data"), "--host", "192.0.2.1"], {}, 2, ("is not a directory", "cannot listen")


def postgresql_that_does_not_run(folder: Path) -> Fault:
    dsn = f"postgresql://watchword:hunter22@127.0.0.1:{free_port()}/watchword"
    return [], {"WATCHWORD_DATABASE_URL": dsn, "WATCHWORD_ROOT_KEY": KEY}, 4, ("cannot be reached", "does it run")


def an_address_of_postgresql_that_means_nothing(folder: Path) -> Fault:
    dsn = "postgresql://watchword:hunter22@127.0.0.1:port/watchword"
    return [], {"WATCHWORD_DATABASE_URL": dsn, "WATCHWORD_ROOT_KEY": KEY}, 4, ("expected postgresql://",)


def a_package_with_a_method(folder: Path, code: str) -> Fault:
    """A package beside ours that brings an auth method."""
    (folder / "toy-1.0.dist-info").mkdir()
    (folder / "toy-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: watchword-toy\nVersion: 1.0\n")
    (folder / "toy-1.0.dist-info" / "entry_points.txt").write_text("[watchword.methods]\ntoy = toy_of_tests:METHOD\n")
    (folder / "toy_of_tests.py").write_text(code)
    sys.modules.pop("toy_of_tests", None)
    sys.path.insert(0, str(folder))
    return (
        ["--data-dir", str(folder / "data")],
        {},
        2,
        ("The package watchword-toy brings the auth method toy, which cannot be ",),
    )


def a_package_that_cannot_be_imported(folder: Path) -> Fault:
    *fault, words = a_package_with_a_method(folder, "import nothing_of_that_name\n")
    return *fault, (*words, "imported: ModuleNotFoundError: No module named 'nothing_of_that_name'")  # type: ignore[return-value]


def a_package_with_a_method_that_there_is(folder: Path) -> Fault:
    *fault, words = a_package_with_a_method(folder, "from watchword.methods.oidc import METHOD\n")
    return *fault, (*words, "used: there is one with the slug 'oidc-auth' already")  # type: ignore[return-value]


FAULTS: list[Callable[[Path], Fault]] = [
    a_file_in_the_place_of_the_directory,
    a_file_above_the_directory,
    a_directory_in_the_place_of_the_database,
    a_database_that_is_none,
    a_database_of_another_program,
    a_database_with_a_hole,
    a_database_that_was_cut_off,
    a_database_of_a_later_version,
    a_database_whose_root_key_is_gone,
    another_root_key,
    a_root_key_of_the_wrong_length,
    a_root_key_file_of_the_wrong_length,
    a_root_key_file_that_is_not_there,
    a_root_key_file_that_is_a_directory,
    a_root_key_file_that_others_can_read,
    a_certificate_that_is_none,
    a_certificate_that_is_not_there,
    a_key_of_another_certificate,
    a_key_with_a_passphrase,
    authorities_that_are_none,
    a_host_that_nobody_knows,
    an_address_of_another_machine,
    two_faults_at_once,
    postgresql_that_does_not_run,
    an_address_of_postgresql_that_means_nothing,
    a_package_that_cannot_be_imported,
    a_package_with_a_method_that_there_is,
]


def told(ended: "Ended | subprocess.CompletedProcess[str]", code: int, words: tuple[str, ...]) -> list[str]:
    """What is not as it should be: the code, a word that is missing, a traceback, a secret."""
    wrong = [] if ended.returncode == code else [f"ended with {ended.returncode} instead of {code}"]
    wrong += [f"does not say {word!r}" for word in words if word not in ended.stderr]
    wrong += [f"says {word!r}" for word in ("Traceback", "hunter22", KEY[:31], ".py") if word in ended.stderr]
    return [*wrong, ended.stderr] if wrong else []


def contents(folder: Path) -> dict[str, bytes]:
    """Every file, without those that SQLite makes while it looks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm"))
    }


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_at_the_start_is_told_by_serve_and_by_config_check_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Callable[[Path], Fault]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(app, "registry", registry)  # else all tests share the methods that are always there
    options, variables, code, words = fault(tmp_path)
    before = contents(tmp_path)

    served = Ended("serve", "--port", "0", *options, **variables)
    after_serving = contents(tmp_path)
    checked = Ended("config", "check", "--port", "0", *options, **variables)

    assert [] == told(served, code, words)
    assert [] == told(checked, code, words)
    assert before == after_serving == contents(tmp_path)


def test_a_port_in_use_is_told_by_serve_and_by_config_check(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        options = ("--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path))
        ended = [Ended("serve", *options), Ended("config", "check", *options)]

    assert [[], []] == [told(one, 2, ("cannot listen on 127.0.0.1", "another program listens there")) for one in ended]


def test_what_is_in_order_is_said_to_be_and_nothing_is_made_by_looking(tmp_path: Path) -> None:
    ended = Ended("config", "check", "--port", "0", "--data-dir", str(tmp_path / "data"))

    assert (0, False) == (ended.returncode, (tmp_path / "data").exists())


def test_postgresql_says_what_it_refuses(postgres_dsn: str) -> None:
    for wrong, words in (
        (postgres_dsn.rpartition("/")[0] + "/no_such_database", ("There is no database no_such_database",)),
        (postgres_dsn + "?options=-cdefault_transaction_read_only%3Don", ("takes no writes",)),
    ):
        for command in (("serve", "--port", "0"), ("config", "check", "--port", "0")):
            ended = Ended(*command, WATCHWORD_DATABASE_URL=wrong, WATCHWORD_ROOT_KEY=KEY)
            assert [] == told(ended, 4, words)


def test_a_later_version_on_postgresql_is_told(postgres_dsn: str) -> None:
    import asyncpg

    async def later() -> None:
        connection = await asyncpg.connect(postgres_dsn)
        await connection.execute("UPDATE alembic_version SET version_num = '9876'")
        await connection.close()

    elsewhere(upgrade(postgres_dsn))
    elsewhere(later())
    for command in (("serve", "--port", "0"), ("config", "check", "--port", "0"), ("migrate",), ("keys", "status")):
        ended = Ended(*command, WATCHWORD_DATABASE_URL=postgres_dsn, WATCHWORD_ROOT_KEY=KEY)
        assert [] == told(ended, 4, ("revision 9876", f"up to {HEAD}"))


# --- commands that act on an instance make none


@pytest.mark.parametrize(
    "command", [("keys", "status"), ("keys", "rotate"), ("keys", "rotate-root"), ("keys", "rotate-signing")]
)
def test_a_command_on_an_instance_makes_none(tmp_path: Path, command: tuple[str, ...]) -> None:
    ended = Ended(*command, "--data-dir", str(tmp_path / "typo"))

    assert [] == told(ended, 4, ("There is no instance in", "check the data directory"))
    assert [] == list(tmp_path.iterdir())


def test_migrate_and_then_serve(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    first = Ended("migrate", "--data-dir", str(folder))
    looked = Ended("keys", "status", "--data-dir", str(folder))
    with serving(tmp_path, "--data-dir", str(folder)) as server:
        served = server.stop()

    assert (0, 4, 0) == (first.returncode, looked.returncode, served)
    assert (folder / "root.key").is_file()


# --- files are their owner's alone


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]}


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_directory_and_files_are_for_their_owner_alone_whatever_the_umask(tmp_path: Path, umask: int) -> None:
    folder = tmp_path / "above" / "data"
    before = os.umask(umask)
    try:
        (tmp_path / "above").mkdir(mode=0o777)
        (tmp_path / "above").chmod(0o777)
        with serving(tmp_path, "--data-dir", str(folder), "--with-login"):
            running = modes(folder)
    finally:
        os.umask(before)

    assert {"data", "root.key", "watchword.db", "watchword.db-wal", "watchword.db-shm"} <= set(running)
    assert {"data": 0o700} == {name: mode for name, mode in running.items() if mode != 0o600}


def test_what_an_earlier_start_left_open_is_closed_with_a_warning(tmp_path: Path) -> None:
    folder = migrated(tmp_path / "data")
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)

    with serving(tmp_path, "--data-dir", str(folder)) as server:
        found, log = modes(folder), server.log

    assert {"data": 0o700} == {name: mode for name, mode in found.items() if mode != 0o600}
    assert "others could read the root key" in log
    assert "other users could open this" in log


def test_a_directory_that_holds_other_things_as_well_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "home.txt").write_text("not ours")
    tmp_path.chmod(0o755)

    ended = watchword("migrate", "--data-dir", str(tmp_path))

    assert (0, 0o755, 0o600) == (
        ended.returncode,
        stat.S_IMODE(tmp_path.stat().st_mode),
        modes(tmp_path)["watchword.db"],
    )


# --- as a user who may do less


def as_nobody(*arguments: str) -> Ended:
    """A command in this process, which is another user meanwhile: the interpreter itself may lie where only
    root can read.
    """
    for command in (("config", "check"), ("serve",)):  # what they import, they import as root
        Ended(*command, "--port", "0", "--data-dir", "/dev/null")
    groups = os.getgroups()
    os.setgroups([NOBODY])
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        return Ended(*arguments)
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")


@pytest.fixture
def open_path(tmp_path: Path) -> Path:
    """A folder that everybody can reach."""
    for path in [tmp_path, *tmp_path.parents]:
        if path.stat().st_uid == os.geteuid() and len(path.parts) > 2:
            path.chmod(path.stat().st_mode | 0o755)
    return tmp_path


@needs_root
def test_what_this_user_may_not_write_or_read_is_told(open_path: Path) -> None:
    (open_path / "closed").mkdir(mode=0o755)
    shutil.copytree(migrated(open_path / "foreign"), open_path / "readable")
    (open_path / "readable").chmod(0o777)
    (open_path / "readable" / "watchword.db").chmod(0o644)
    closed(open_path / "key", KEY)
    own = open_path / "own"
    own.mkdir()
    own.chmod(0o777)
    for options, code, words in (
        (["--data-dir", str(open_path / "closed")], 2, ("cannot be written by this user", "uid 65534")),
        (["--data-dir", str(open_path / "closed" / "data")], 2, ("may not write to", "uid 65534")),
        (["--data-dir", str(open_path / "readable")], 2, ("watchword.db", "cannot be read and written", "uid 65534")),
        (
            ["--data-dir", str(own), "--root-key-file", str(open_path / "key")],
            2,
            ("--root-key-file", "Permission denied"),
        ),
        (["--data-dir", str(own), "--port", "81"], 2, ("cannot listen on 127.0.0.1:81",)),
    ):
        for command in (("serve",), ("config", "check")):
            ended = as_nobody(*command, "--port", "0", *options)
            if "81" in options and ended.returncode == 0:
                continue  # a machine on which anybody may take any port
            assert [] == told(ended, code, words)
    assert [] == list((open_path / "closed").iterdir())


@needs_root
def test_the_group_may_read_a_key_that_is_mounted_for_a_user(open_path: Path) -> None:
    key, data = closed(open_path / "key", KEY), open_path / "data"
    os.chown(key, 0, NOBODY)
    data.mkdir()
    os.chown(data, NOBODY, NOBODY)
    ended = {}
    for mode in (0o440, 0o444, 0o460):
        key.chmod(mode)
        ended[mode] = as_nobody(
            "config", "check", "--port", "0", "--data-dir", str(data), "--root-key-file", str(key)
        ).returncode

    assert {0o440: 0, 0o444: 2, 0o460: 2} == ended
