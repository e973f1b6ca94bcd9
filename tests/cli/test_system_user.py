"""Who runs a command on the database is named as the system knows it."""

import pytest

from watchword.cli.system_user import system_user


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"LOGNAME": "ada"}, "ada"),
        ({"LOGNAME": "root", "SUDO_USER": "ada"}, "root (for ada)"),
        ({"LOGNAME": "a" * 300}, "a" * 200),
    ],
)
def test_the_user_is_named_and_who_became_it(
    monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], named: str
) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)

    assert {"systemUser": named} == system_user()
