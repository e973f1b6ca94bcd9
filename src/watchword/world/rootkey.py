"""The root key: from the settings, from a file, or, on the embedded default, made in the data directory."""

import logging
import os
import secrets
from pathlib import Path

from watchword.settings import Settings, SettingsError, decode_root_key

_log = logging.getLogger("watchword.keys")


def root_key(settings: Settings) -> bytes:
    """The 32 bytes that seal all keys. Raises SettingsError."""
    if settings.root_key is not None:
        return decode_root_key(settings.root_key.reveal())
    if settings.root_key_file is not None:
        return _read(settings.root_key_file)
    path = settings.data_dir / "root.key"
    if path.exists():
        return _read(path)
    if (settings.data_dir / "watchword.db").exists():
        raise SettingsError(
            [f"There is a database in {settings.data_dir} but no root.key beside it: give WATCHWORD_ROOT_KEY or put the file back"]
        )
    return _make(path)


def _read(path: Path) -> bytes:
    try:
        return decode_root_key(path.read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(
            [f"{path}: expected a file with {error}" if isinstance(error, ValueError) else f"{path}: {error.strerror}"]
        ) from None


def _make(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    key = secrets.token_bytes(32)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _read(path)  # another process of ours was quicker
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")
        file.flush()
        os.fsync(file.fileno())
    _log.warning(
        "made a new root key in the data directory: whoever has it and the database can read every secret; keep a copy apart from both"
    )
    return key
