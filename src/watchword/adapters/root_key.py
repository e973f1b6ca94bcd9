"""The root key: from the settings, from a file, or, on the embedded default, made in the data directory."""

import contextlib
import logging
import os
import secrets
import stat
from pathlib import Path

from watchword.adapters import data_directory
from watchword.settings import Settings, SettingsError, decode_root_key

_log = logging.getLogger("watchword.keys")
_MOST = 4096  # bytes: no root key is longer


def find_root_key(settings: Settings) -> bytes | None:
    """The 32 bytes that seal all keys, or None where none is given and none was made yet. Raises SettingsError."""
    if settings.root_key is not None:
        return decode_root_key(settings.root_key.reveal())
    if settings.root_key_file is not None:
        return _read(settings.root_key_file, "WATCHWORD_ROOT_KEY_FILE: ")
    path = settings.data_dir / data_directory.ROOT_KEY
    try:
        return _read(path)
    except FileNotFoundError:
        return None


def make_root_key(settings: Settings) -> bytes:
    """A new root key in the data directory, or the one that another process of ours has just made.

    Raises SettingsError.
    """
    path = settings.data_dir / data_directory.ROOT_KEY
    key = secrets.token_bytes(32)
    draft = path.with_name(f".{data_directory.ROOT_KEY}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(key.hex() + "\n")
                file.flush()
                os.fsync(file.fileno())
            # With its content at once, and never over another one: a process that finds the file can read it.
            os.link(draft, path)
        finally:
            draft.unlink()
        _sync(path.parent)
    except FileExistsError:
        return _read(path)
    except OSError as error:
        raise SettingsError([f"{path} cannot be written: {error.strerror}"]) from None
    _log.warning(
        "made a new root key in the data directory: whoever has it and the database can read every secret; keep a "
        "copy apart from both"
    )
    return key


def _sync(folder: Path) -> None:
    """Make a new name in a folder durable: a database whose root key a power cut takes cannot be opened."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not every file system can
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path, setting: str = "") -> bytes:
    """The key in a file. Raises FileNotFoundError for a file of our own that is missing, SettingsError."""
    try:
        with path.open("rb") as file:
            _require_closed_to_others(path, file.fileno(), setting)
            text = file.read(_MOST).decode("ascii")
    except FileNotFoundError:
        if not setting and not path.is_symlink():
            raise
        raise SettingsError([f"{setting}{path}: there is no such file"]) from None
    except OSError as error:
        raise SettingsError([f"{setting}{path} cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        text = ""
    try:
        return decode_root_key(text)
    except ValueError as error:
        raise SettingsError([f"{setting}{path}: expected a file with {error}"]) from None


def _require_closed_to_others(path: Path, descriptor: int, setting: str) -> None:
    """Raise SettingsError when another user may read or change the key file.

    A file that Watchword made is mended, with a warning.

    The group may read a file that belongs to root where we do not run as root: that is how secrets are mounted for a
    user.
    """
    state = os.fstat(descriptor)
    open_to = stat.S_IMODE(state.st_mode) & (stat.S_IRWXG | stat.S_IRWXO)
    if not stat.S_ISREG(state.st_mode) or not open_to:
        return
    if state.st_uid == 0 and os.geteuid() != 0 and open_to == stat.S_IRGRP:
        return
    if not setting and state.st_uid == os.geteuid():
        os.fchmod(descriptor, stat.S_IMODE(state.st_mode) & ~(stat.S_IRWXG | stat.S_IRWXO))
        _log.warning(
            "others could read the root key: its file is open to its owner alone now; rotate the key if they may have",
            extra={"path": str(path)},
        )
        return
    mode = stat.S_IMODE(state.st_mode)
    raise SettingsError(
        [f"{setting}{path} can be read by other users (mode {mode:04o}): take that away with `chmod 600 {path}`"]
    )
