"""What a figure depends on besides our code: the machine and the versions. Nothing here names a host or a person."""

import importlib.metadata
import os
import platform
import sqlite3
import ssl
import subprocess
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from bench.faults import BenchError
from bench.openbao import binary
from tests.postgres import installed_binaries

_PACKAGES = ("uvicorn", "uvloop", "httptools", "starlette", "msgspec", "sqlalchemy", "asyncpg", "cryptography")


def described() -> dict[str, str]:
    """Names and values, in the order in which they are shown."""
    import watchword  # noqa: PLC0415 - read once, at the end

    found = {
        "watchword": f"{watchword.__version__} ({_first(['git', 'rev-parse', '--short=12', 'HEAD'])})",
        "openbao": _openbao(),
        "python": f"{platform.python_implementation()} {platform.python_version()}, {_build()}",
        "sqlite": sqlite3.sqlite_version,
        "postgresql": _postgres(),
        "openssl": ssl.OPENSSL_VERSION,
        "packages": ", ".join(f"{name} {importlib.metadata.version(name)}" for name in _PACKAGES),
        "loader": _first(["wrk", "-v"]).split(" Copyright")[0],
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
    }
    return {name: value for name, value in found.items() if value}


def _first(command: list[str], environment: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=environment, cwd=Path(__file__).parent
        )
    except OSError:
        return ""
    return next(iter((done.stdout + done.stderr).splitlines()), "").strip()


def _build() -> str:
    # A third of Python's speed, and seldom known: whether it was compiled with the profile of a run.
    return (
        "profile-guided build"
        if "--enable-optimizations" in (sysconfig.get_config_var("CONFIG_ARGS") or "")
        else "plain build"
    )


def _openbao() -> str:
    try:
        return _first([str(binary()), "version"]).partition(",")[0].removeprefix("OpenBao ")
    except BenchError:
        return ""


def _postgres() -> str:
    installed = installed_binaries()
    return (
        _first([str(installed / "postgres"), "--version"]).removeprefix("postgres (PostgreSQL) ") if installed else ""
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
