"""The command, run as a program: what it says, and how it ends."""

import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
from click.testing import CliRunner

from tests.cli.serving import watchword
from watchword.cli.main import COMMANDS, main
from watchword.cli.terminal import printable
from watchword.settings import OPTIONS

BOOT = ("bootstrap", "--email", "admin@example.com", "--password", "correct horse battery", "--organization", "Acme")


def invoked(*arguments: str, **environment: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, arguments, env=environment)
    return result.exit_code, result.stdout, result.stderr


def answer(*arguments: str, **environment: str) -> Any:
    code, out, err = invoked(*arguments, "--output", "json", **environment)
    assert code == 0, err
    return json.loads(out)


def every_command(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        found += every_command(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


def test_every_command_explains_itself() -> None:
    for path in every_command(main):
        code, out, _ = invoked(*path, "--help")

        assert (0, True) == (code, "Usage" in out), path


def test_the_list_of_commands_imports_none_of_them() -> None:
    listed = watchword("--help")
    light = "import sys; from watchword.cli.main import main; main(['--help'], standalone_mode=False); sys.exit('watchword.app' in sys.modules)"
    heavy = subprocess.run([sys.executable, "-c", light], capture_output=True, timeout=60, check=False).returncode

    assert [] == [name for name in COMMANDS if name not in listed.stdout]
    assert 0 == heavy


def test_a_command_that_asks_a_server_imports_none() -> None:
    """Nor does a command with settings import what its options do without."""
    asked = "main(['secrets', 'export', '--url', 'http://127.0.0.1:1', '--token', 't', '--project', 'p', '--environment', 'e'], standalone_mode=False)"
    code = f"""
import sys
from click.exceptions import Exit
from watchword.cli.main import main
try:
    {asked}
except Exit as end:
    assert end.exit_code == 1
print(*sorted({{"sqlalchemy", "uvicorn", "starlette", "cryptography", "watchword.app", "watchword.store"}} & sys.modules.keys()))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert ["\n", True] == [ran.stdout, "does not answer" in ran.stderr]


# What takes long to import, and most servers never need.
_LATER = {
    "alembic",
    "cryptography.x509",
    "fido2",
    "httpcore",
    "httpx",
    "jwt",
    "prometheus_client",
    "sansldap",
    "segno",
    "smtplib",
    "sqlalchemy.dialects.postgresql",
    "yaml",
    "zxcvbn",
}


def test_a_server_is_imported_without_what_few_servers_need() -> None:
    code = f"import sys, watchword.cli.serve, watchword.store.sqlite; print(*sorted({_LATER!r} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert "\n" == ran.stdout


def test_all_faults_of_the_settings_are_named_at_once_and_end_with_2() -> None:
    ended = watchword(
        "config", "check", "--workers", "3", "--max-body", "lots", WATCHWORD_PORT="high", WATCHWORD_NONSENSE="1"
    )

    assert 2 == ended.returncode
    for fault in ("--workers", "--max-body", "WATCHWORD_PORT", "WATCHWORD_NONSENSE"):
        assert fault in ended.stderr


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert "\\x1b]0;x\\x07 \\x9b31m \\u202eevil\\r\tä\n" == printable("\x1b]0;x\x07 \x9b31m \u202eevil\r\tä\n")


def test_a_message_from_elsewhere_sends_no_control_characters_to_the_terminal() -> None:
    _, _, err = invoked("config", "check", "--config-file", "\x1b[2Jhigh")

    assert ("\x1b" not in err, "\\x1b[2Jhigh" in err) == (True, True)


def test_faults_are_json_where_json_was_asked_for() -> None:
    code, _, err = invoked("config", "check", "--output", "json", WATCHWORD_PORT="high")
    said = json.loads(err)

    assert (2, 2) == (code, said["exitCode"])
    assert said["faults"][0].startswith("WATCHWORD_PORT: expected a whole number")


def test_config_check_shows_every_setting_with_its_origin_and_no_secret(tmp_path: Path) -> None:
    file = tmp_path / "watchword.toml"
    file.write_text('session_ttl = 3600\nallowed_private_hosts = ["10.0.0.0/8", "k8s.internal"]\n')

    found = answer(
        "config",
        "check",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path),
        "--config-file",
        str(file),
        WATCHWORD_ROOT_KEY="ab" * 32,
        WATCHWORD_HOST="127.0.0.2",
    )["settings"]

    assert {option.name for option in OPTIONS} == set(found)
    assert (0, "command line") == (found["port"]["value"], found["port"]["from"])
    assert ("127.0.0.2", "environment") == (found["host"]["value"], found["host"]["from"])
    assert (3600, "file") == (found["session_ttl"]["value"], found["session_ttl"]["from"])
    assert ["10.0.0.0/8", "k8s.internal"] == found["allowed_private_hosts"]["value"]
    assert ("***", "environment") == (found["root_key"]["value"], found["root_key"]["from"])
    assert ("info", "default") == (found["log_level"]["value"], found["log_level"]["from"])


def test_config_check_opens_the_files_that_settings_name(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("not a certificate")
    (tmp_path / "key.pem").write_text("not a key")
    (tmp_path / "root.key").write_text("short")

    code, _, err = invoked(
        "config",
        "check",
        "--port",
        "0",
        "--data-dir",
        str(tmp_path),
        "--tls-cert-file",
        str(tmp_path / "cert.pem"),
        "--tls-key-file",
        str(tmp_path / "key.pem"),
        "--root-key-file",
        str(tmp_path / "root.key"),
    )

    assert 2 == code
    for fault in ("--tls-cert-file", "--tls-key-file", "--root-key-file"):
        assert fault in err


def test_secrets_are_no_options() -> None:
    _, out, _ = invoked("serve", "--help")

    assert "--host" in out
    for name in ("--root-key ", "--database-url", "--smtp-url", "--previous-root-key"):
        assert name not in out


def test_bootstrap_works_once(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path))

    made = answer(*BOOT, *folder)
    code, _, err = invoked(*BOOT, *folder)
    again = answer(*BOOT, *folder, "--ignore-if-bootstrapped")

    assert "Acme" == made["organization"]["name"]
    assert 2 == made["identity"]["credentials"]["token"].count(".")
    assert (1, True) == (code, "bootstrapped already" in err)
    assert False is again["bootstrapped"]


def test_bootstrap_takes_the_password_from_the_environment_and_names_a_bad_one(tmp_path: Path) -> None:
    arguments = ("bootstrap", "--email", "admin@example.com", "--organization", "Acme", "--data-dir", str(tmp_path))

    code, _, err = invoked(*arguments, WATCHWORD_ADMIN_PASSWORD="short")
    made = answer(*arguments, WATCHWORD_ADMIN_PASSWORD="correct horse battery")

    assert (1, True) == (code, "password" in err)
    assert "admin@example.com" == made["user"]["email"]


def test_a_wrong_root_key_ends_with_3_and_changes_nothing(tmp_path: Path) -> None:
    answer(*BOOT, "--data-dir", str(tmp_path))
    before = (tmp_path / "root.key").read_bytes()

    ended = watchword("serve", "--port", "0", "--data-dir", str(tmp_path), WATCHWORD_ROOT_KEY="00" * 32)

    assert (3, True) == (ended.returncode, "root key does not open this database" in ended.stderr)
    assert before == (tmp_path / "root.key").read_bytes()
    assert 3 == len(answer("keys", "status", "--data-dir", str(tmp_path))["keys"]) - 1  # the organization's own


def test_migrate_says_what_it_did(tmp_path: Path) -> None:
    first = answer("migrate", "--data-dir", str(tmp_path))
    second = answer("migrate", "--data-dir", str(tmp_path))

    assert (None, True, False) == (first["before"], first["changed"], second["changed"])
    assert first["revision"] == second["before"]


def test_keys_rotate_by_command(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path))
    org = answer(*BOOT, *folder)["organization"]["id"]

    rotated = answer("keys", "rotate", "--wait", "0", *folder)
    resumed = answer("keys", "rotate", "--resume", "--wait", "0", *folder)
    signing = answer("keys", "rotate-signing", "--wait", "0", *folder)
    (tmp_path / "old.key").write_text((tmp_path / "root.key").read_text())
    (tmp_path / "root.key").write_text("cd" * 32)
    root = answer(
        "keys", "rotate-root", *folder, WATCHWORD_PREVIOUS_ROOT_KEY=(tmp_path / "old.key").read_text().strip()
    )
    found = {one["scope"]: one for one in answer("keys", "status", *folder)["keys"]}

    assert rotated["keys"] >= 1
    assert {"keys": 0, "values": 0} == resumed
    assert 2 == signing["version"] == found["instance/signing"]["active"]
    assert root["resealed"] >= 4
    assert (2, True) == (found[f"org/{org}"]["active"], found[f"org/{org}"]["underRootOfNow"])


def test_a_signing_key_is_revoked_by_command_only_when_told_so(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path))
    answer(*BOOT, *folder)

    asked = watchword("keys", "rotate-signing", "--revoke-old", "--wait", "0", *folder)
    before = {one["scope"]: one for one in answer("keys", "status", *folder)["keys"]}
    done = answer("keys", "rotate-signing", "--revoke-old", "--yes", "--wait", "0", *folder)

    assert (2, 1) == (asked.returncode, before["instance/signing"]["versions"])
    assert "Every access token that is out ends" in asked.stderr
    assert "1 named tokens" in asked.stderr
    assert 2 == done["version"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed_for_each_shell(shell: str) -> None:
    code, out, _ = invoked("completion", shell)

    assert (0, True) == (code, "_WATCHWORD_COMPLETE" in out)


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = watchword("serve", "--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path))

    assert (2, True) == (ended.returncode, "cannot listen on 127.0.0.1" in ended.stderr)


def test_an_operator_gives_a_new_password_that_is_shown_once_or_never(tmp_path: Path) -> None:
    folder, email = ("--data-dir", str(tmp_path)), ("--email", "admin@example.com")
    answer(*BOOT, *folder)

    made = answer("admin", "reset-password", *email, *folder)
    result = CliRunner().invoke(
        main, ["admin", "reset-password", *email, *folder, "--password-stdin"], input="one of my own choice\n"
    )
    weak = CliRunner().invoke(main, ["admin", "reset-password", *email, *folder, "--password-stdin"], input="x\n")
    nobody, _, said = invoked("admin", "promote", "--email", "nobody@example.com", *folder)
    unlocked = answer("admin", "unlock", *email, *folder)
    typo, _, _ = invoked("admin", "unlock", *email, "--data-dir", str(tmp_path / "typo"))
    neither, _, _ = invoked("admin", "unlock", *folder)

    assert len(made["password"]) >= 16
    assert (0, False) == (result.exit_code, "one of my own choice" in result.output)
    assert (1, 1, True) == (weak.exit_code, nobody, "There is no person" in said)
    assert ("admin@example.com", 4, 2) == (unlocked["email"], typo, neither)
    assert not (tmp_path / "typo").exists()


def test_keys_status_prints_whole_ids(tmp_path: Path) -> None:
    org = answer(*BOOT, "--data-dir", str(tmp_path))["organization"]["id"]

    _, out, _ = invoked("keys", "status", "--data-dir", str(tmp_path), COLUMNS="40")

    assert f"org/{org}" in out


def test_options_say_what_they_accept_and_what_they_are_by_default() -> None:
    for path in every_command(main):
        _, out, _ = invoked(*path, "--help", COLUMNS="250", TERMINAL_WIDTH="250")
        flat = " ".join(out.replace("│", " ").split())  # a line may be broken anywhere
        if path == ("serve",):
            for text in (
                "debug|info|warning|error",
                "true|false",
                "0-65535",
                "default: 8080",
                "env: WATCHWORD_LOG_LEVEL",
                "off|loopback|open",
            ):
                assert text in flat, text
        if "--output" in flat:
            assert "text|json" in flat, path
