"""Settings: read from the environment and a file, every fault named at once, nothing secret shown."""

from pathlib import Path

import pytest

from watchword.settings import OPTIONS, Settings, SettingsError, decode_root_key, load

KEY = "ab" * 32


def faults(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        load(environ)
    return refused.value.faults


def test_without_anything_the_defaults_hold() -> None:
    assert Settings() == load({})


def test_every_setting_has_an_option_and_every_option_a_help_text() -> None:
    assert list(Settings.__struct_fields__) == sorted(
        [option.name for option in OPTIONS], key=Settings.__struct_fields__.index
    )
    assert [] == [option.name for option in OPTIONS if not option.help.rstrip(")").endswith((".", "…"))]


def test_all_faults_are_named_at_once() -> None:
    found = faults(
        {
            "WATCHWORD_PORT": "x",
            "WATCHWORD_WORKERS": "0",
            "WATCHWORD_LOG_LEVEL": "loud",
            "WATCHWORD_DATABASE_URL": "mysql://x",
            "WATCHWORD_TRUSTED_PROXIES": "everybody",
            "WATCHWORD_ROOT_KEY": "short",
            "WATCHWORD_ALLOW_SIGNUP": "perhaps",
            "WATCHWORD_PROT": "8080",
        }
    )

    assert 8 == len(found)
    assert "WATCHWORD_PORT: expected a whole number from 0 to 65535" in found
    assert "WATCHWORD_LOG_LEVEL: expected one of debug, info, warning, error" in found
    assert "WATCHWORD_PROT: there is no such setting; did you mean WATCHWORD_PORT?" in found


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("WATCHWORD_DATABASE_URI", "WATCHWORD_DATABASE_URL"),
        ("WATCHWORD_ROOTKEY", "WATCHWORD_ROOT_KEY"),
        ("WATCHWORD_TOKENS", "WATCHWORD_TOKEN"),
        ("WATCHWORD_ZZZ", None),  # what all begin with makes nothing alike
    ],
)
def test_an_unknown_variable_is_refused_with_the_one_that_was_meant(name: str, meant: str | None) -> None:
    asked = f"; did you mean {meant}?" if meant else ""

    assert [f"{name}: there is no such setting{asked}"] == faults({name: "x"})


@pytest.mark.parametrize(
    ("environ", "fault"),
    [
        ({"WATCHWORD_ROOT_KEY": KEY, "WATCHWORD_ROOT_KEY_FILE": "x"}, "set one of them"),
        ({"WATCHWORD_WORKERS": "2"}, "needs WATCHWORD_DATABASE_URL"),
        ({"WATCHWORD_DATABASE_URL": "postgresql://x"}, "needed with PostgreSQL"),
        ({"WATCHWORD_TLS_CERT_FILE": "x"}, "set both or none"),
        ({"WATCHWORD_TLS_CLIENT_CA_FILE": "x"}, "only a server of HTTPS"),
    ],
)
def test_settings_that_do_not_go_together_are_named(environ: dict[str, str], fault: str) -> None:
    assert any(fault in text for text in faults(environ))


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(tmp_path: Path) -> None:
    file = tmp_path / "watchword.toml"
    file.write_text(
        'port = 1000\nhost = "127.0.0.9"\nlog_requests = true\ntrusted_proxies = ["loopback", "10.0.0.0/8"]\n'
    )
    environ = {"WATCHWORD_CONFIG_FILE": str(file), "WATCHWORD_PORT": "2000"}

    found = load(environ, {"max_body": 4096})

    assert (2000, "127.0.0.9", True, 4096) == (found.port, found.host, found.log_requests, found.max_body)
    assert ("127.0.0.0/8", "::1/128", "10.0.0.0/8") == found.trusted_proxies


def test_faults_of_the_file_are_named_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "watchword.toml"
    file.write_text('port = "high"\nprot = 1\n')

    found = faults({"WATCHWORD_CONFIG_FILE": str(file)})

    assert [
        f"prot in {file}: there is no such setting; did you mean port?",
        f"port in {file}: expected a whole number from 0 to 65535",
    ] == found


@pytest.mark.parametrize("content", [None, "port = = 1"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "watchword.toml"
    if content is not None:
        file.write_text(content)

    assert str(file) in faults({"WATCHWORD_CONFIG_FILE": str(file)})[0]


def test_a_root_key_is_32_bytes_in_hex_or_base64() -> None:
    assert bytes.fromhex(KEY) == decode_root_key(KEY) == decode_root_key("q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s=")
    with pytest.raises(ValueError, match="32 bytes"):
        decode_root_key("ab" * 31)


def test_no_secret_shows_in_a_repr() -> None:
    found = load({"WATCHWORD_ROOT_KEY": KEY, "WATCHWORD_SMTP_URL": "smtp://user:hunter2@host"})

    assert KEY not in repr(found)
    assert "hunter2" not in repr(found)
