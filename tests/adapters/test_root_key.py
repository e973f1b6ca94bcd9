"""The root key: where it is looked for, what is taken for one, and who else may read its file."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from watchword.adapters.root_key import find_root_key, make_root_key
from watchword.domain.secret import Secret
from watchword.settings import Settings, SettingsError

KEY = bytes(range(32))


def key_file(folder: Path, content: str, mode: int = 0o600, name: str = "key") -> Path:
    path = folder / name
    path.write_text(content)
    path.chmod(mode)
    return path


def test_a_root_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    before = os.umask(0)
    try:
        made = make_root_key(settings)
    finally:
        os.umask(before)
    file = tmp_path / "root.key"

    assert (0o600, 32, made, made) == (
        stat.S_IMODE(file.stat().st_mode),
        len(made),
        find_root_key(settings),
        make_root_key(settings),
    )
    assert [file] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "content", ["", "\n", "short", "zz" * 32, "11" * 31, "11" * 33, "1" * 63, "é" * 32, "11" * 5000]
)
def test_a_root_key_that_is_none_is_refused_without_being_shown(tmp_path: Path, content: str) -> None:
    (tmp_path / "key").write_text(content)
    (tmp_path / "key").chmod(0o600)

    with pytest.raises(SettingsError) as refusal:
        find_root_key(Settings(root_key_file=tmp_path / "key"))
    assert not content or content not in str(refusal.value)


@pytest.mark.parametrize(
    "text",
    [
        KEY.hex(),
        KEY.hex().upper(),
        f"{KEY.hex()}\n",
        f" {KEY.hex()}\r\n",
        base64.b64encode(KEY).decode(),
        base64.b64encode(KEY).decode() + "\n",
    ],
)
def test_a_key_is_taken_in_hex_and_in_base64_with_white_space_around_it(tmp_path: Path, text: str) -> None:
    path = key_file(tmp_path, text)

    assert KEY == find_root_key(Settings(root_key_file=path))
    assert KEY == find_root_key(Settings(root_key=Secret(text)))


def test_a_key_that_is_given_comes_before_one_in_a_file_and_that_before_the_one_that_was_made(tmp_path: Path) -> None:
    made = make_root_key(Settings(data_dir=tmp_path))
    file = key_file(tmp_path, KEY.hex())
    both = Settings(data_dir=tmp_path, root_key_file=file, root_key=Secret("ab" * 32))

    assert bytes.fromhex("ab" * 32) == find_root_key(both)
    assert KEY == find_root_key(Settings(data_dir=tmp_path, root_key_file=file))
    assert made == find_root_key(Settings(data_dir=tmp_path))


def test_without_a_file_there_is_none_but_one_that_is_named_must_be_there(tmp_path: Path) -> None:
    assert find_root_key(Settings(data_dir=tmp_path)) is None
    with pytest.raises(SettingsError, match=r"WATCHWORD_ROOT_KEY_FILE: .*key: there is no such file"):
        find_root_key(Settings(root_key_file=tmp_path / "key"))


def test_a_link_to_nowhere_is_refused_instead_of_replaced(tmp_path: Path) -> None:
    (tmp_path / "root.key").symlink_to(tmp_path / "gone")

    with pytest.raises(SettingsError, match="there is no such file"):
        find_root_key(Settings(data_dir=tmp_path))


@pytest.mark.parametrize("mode", [0o604, 0o640, 0o660, 0o666, 0o602, 0o610])
def test_a_file_that_others_may_read_or_change_is_refused_with_what_to_do(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, KEY.hex(), mode)

    with pytest.raises(SettingsError) as refusal:
        find_root_key(Settings(root_key_file=path))
    assert f"mode {mode:04o}" in str(refusal.value)
    assert f"chmod 600 {path}" in str(refusal.value)
    assert KEY.hex() not in str(refusal.value)


def test_a_file_that_was_made_here_and_opened_since_is_closed_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = key_file(tmp_path, KEY.hex(), 0o644, "root.key")

    assert KEY == find_root_key(Settings(data_dir=tmp_path))
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)
    assert ["others could read the root key"] == [record.message.partition(":")[0] for record in caplog.records]


def test_a_folder_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "root.key").mkdir()

    with pytest.raises(SettingsError, match="cannot be read"):
        find_root_key(Settings(data_dir=tmp_path))


def test_processes_that_make_a_key_at_once_have_the_same_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(lambda _: make_root_key(settings), range(8)))

    assert {find_root_key(settings)} == set(made)
    assert ["root.key"] == [path.name for path in tmp_path.iterdir()]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"root\.key cannot be written"):
        make_root_key(Settings(data_dir=tmp_path / "gone"))
