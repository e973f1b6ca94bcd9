"""The data directory: only its owner may read it and the files in it, whatever the umask.

Everything is made with its final mode at once, so that there is no moment at which others could open it. SQLite gives
the files beside the database (`-wal`, `-shm`) the mode of the database itself.
"""

import logging
import os
import stat
from pathlib import Path

from watchword.settings import Settings, SettingsError

DATABASE, ROOT_KEY = "watchword.db", "root.key"
FILES = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", f"{DATABASE}-journal", ROOT_KEY)
LEAST_ROOM = 1 << 20  # bytes: less is a full disk
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_log = logging.getLogger("watchword.files")


def database_of(settings: Settings) -> Path:
    """The path of the embedded database."""
    return settings.data_dir / DATABASE


def fault(folder: Path) -> str | None:
    """The fault of the data directory and what to do, or None. Nothing is made or changed."""
    try:
        return _fault(folder)
    except OSError as error:
        return f"{_label(folder)} cannot be used: {error.strerror}"


def _fault(folder: Path) -> str | None:
    if folder.exists() or folder.is_symlink():
        if not folder.is_dir():
            return f"{_label(folder)} is not a directory: remove what is there, or choose another directory"
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            return (
                f"{_label(folder)} cannot be written by this user ({_user()}): give it to the user, or choose "
                "another directory"
            )
        for name in FILES:
            file = folder / name
            if file.is_dir():
                return f"{file} is a directory where a file should be: move it away"
            if file.exists() and not os.access(file, os.R_OK | os.W_OK):
                return (
                    f"{file} cannot be read and written by this user ({_user()}): give it to the user, or run as "
                    "its owner"
                )
        return _room(folder)
    above = folder.absolute()
    while not (above.exists() or above.is_symlink()):
        above = above.parent
    if not above.is_dir():
        return f"{_label(folder)} cannot be made: {above} is not a directory"
    if not os.access(above, os.W_OK | os.X_OK):
        return (
            f"{_label(folder)} cannot be made: this user ({_user()}) may not write to {above}; make the directory "
            "and give it to the user"
        )
    return _room(above)


def _room(folder: Path) -> str | None:
    disk = os.statvfs(folder)
    if disk.f_bavail * disk.f_frsize < LEAST_ROOM:
        return f"The disk of the data directory {folder} is full: make room"
    return None


def _label(folder: Path) -> str:
    return f"The data directory {folder}"


def _user() -> str:
    return f"uid {os.geteuid()}" if hasattr(os, "geteuid") else "the one who started it"


def prepare(folder: Path) -> None:
    """Make the data directory and an empty database file for their owner alone.

    What an earlier start left open to other users is closed to them.

    Raises SettingsError.
    """
    problem = fault(folder)
    if problem is not None:
        raise SettingsError([problem])
    try:
        folder.absolute().parent.mkdir(parents=True, exist_ok=True)
        try:
            folder.mkdir(mode=0o700)
            folder.chmod(0o700)  # a umask can only have taken rights away from the owner
        except FileExistsError:
            _close_to_others(folder)
        make_private(folder / DATABASE)
    except OSError as error:
        raise SettingsError([f"{_label(folder)} cannot be used: {error.strerror}"]) from None


def make_private(path: Path) -> None:
    """Make an empty file for its owner alone, where there is none."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    try:
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)


def _close_to_others(folder: Path) -> None:
    """Take the rights of group and others away from the files of Watchword.

    A directory that holds other things as well is left as it is.
    """
    names = {entry.name for entry in folder.iterdir()}
    if names <= set(FILES) or names & {DATABASE, ROOT_KEY}:
        _close(folder)  # first: from here on nobody else can put something in the place of a file
    for name in FILES:
        _close(folder / name)


def _close(path: Path) -> None:
    """Take the rights of others away without opening the file.

    To close a descriptor of a database file drops SQLite's locks on it.
    """
    try:
        state = path.lstat()
        is_ours = state.st_uid == os.geteuid() and (stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode))
        if is_ours and state.st_mode & _OTHERS and not state.st_mode & stat.S_ISVTX:
            path.chmod(stat.S_IMODE(state.st_mode) & ~_OTHERS)
            _log.warning("other users could open this; only its owner can now", extra={"path": str(path)})
    except FileNotFoundError:
        pass
