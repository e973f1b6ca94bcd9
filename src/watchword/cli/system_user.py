"""The system's user who runs a command on the database, for the audit log."""

import getpass
import os


def system_user() -> dict[str, str]:
    """Who runs the command, as the system knows it: what an audit event holds besides."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name
        name = str(os.getuid())
    sudo = os.environ.get("SUDO_USER")
    return {"systemUser": f"{name} (for {sudo})"[:200] if sudo else name[:200]}
