"""What the lock files pin is what gets installed: by every pip, whatever has been released since."""

import base64
import ensurepip
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from importlib import metadata
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = {"runtime.txt": (), "dev.txt": ("dev",)}

# pip 22 does not run on Python 3.12, and the first that runs on 3.14 is 24.
OLDEST_PIP = {(3, 11): "22.0.4", (3, 12): "23.2.1", (3, 13): "24.1"}.get(sys.version_info[:2], "25.1")
NEWEST_PIP = "26.2"

# The build backend of the little project: what is installed is one line that leads to the folder.
BACKEND = """
import zipfile

def build_editable(folder, config_settings=None, metadata_directory=None):
    name = "little-1.0-py3-none-any.whl"
    with zipfile.ZipFile(folder + "/" + name, "w") as wheel:
        wheel.writestr("little.pth", "/nowhere\\n")
        wheel.writestr("little-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: little\\nVersion: 1.0\\nRequires-Dist: asks\\n")
        wheel.writestr("little-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("little-1.0.dist-info/RECORD", "")
    return name
"""
BUILD_SYSTEM = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'


def wheel(folder: Path, name: str, version: str, *requires: str, extra: str = "") -> str:
    """A wheel in `folder`; the line that pins it in a lock."""
    lines = [
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
        *(f"Requires-Dist: {requirement}" for requirement in requires),
    ]
    if extra:
        lines.append(f"Provides-Extra: {extra}")
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{name}-{version}.dist-info/METADATA": "\n".join(lines) + "\n",
        f"{name}-{version}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{path},sha256={base64.urlsafe_b64encode(hashlib.sha256(content.encode()).digest()).rstrip(b'=').decode()},{len(content)}\n"
        for path, content in files.items()
    )
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, content in (
            files | {f"{name}-{version}.dist-info/RECORD": record + f"{name}-{version}.dist-info/RECORD,,\n"}
        ).items():
            archive.writestr(file, content)
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def little(tmp_path: Path) -> Path:
    """A project set up as ours is, by our Makefile, whose lock pins what has newer releases."""
    index, project = tmp_path / "index", tmp_path / "project"
    index.mkdir()
    (project / "requirements").mkdir(parents=True)
    shutil.copy(ROOT / "Makefile", project)
    shutil.copytree(ROOT / "tools", project / "tools")
    (project / "pyproject.toml").write_text(BUILD_SYSTEM + '[project]\nname = "little"\nversion = "1.0"\n')
    (project / "backend.py").write_text(BACKEND)
    lock = [
        wheel(index, "asks", "1.0", "other[more]>=1"),
        wheel(index, "other", "1.0", 'third>=1; extra == "more"', extra="more"),
        wheel(index, "third", "1.0"),
    ]
    (project / "requirements" / "dev.txt").write_text("".join(lock))
    wheel(index, "other", "2.0", 'third>=2; extra == "more"', extra="more")
    wheel(index, "third", "2.0")
    return project


def make(project: Path, python: str | Path = sys.executable) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "MAKE", "MFLAGS"))}
    environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(project.parent / "index"), "PIP_CONFIG_FILE": os.devnull}
    command = [
        "make",
        "--no-print-directory",
        f".venv-{sys.version_info[0]}.{sys.version_info[1]}/.ready",
        f"PYTHON={python}",
    ]
    return subprocess.run(
        command, cwd=project, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def installed(project: Path) -> dict[str, str]:
    packages = next(project.glob(".venv-*/lib/python*/site-packages"))
    return {str(found.name): found.version for found in metadata.distributions(path=[str(packages)])}


def bringing(pip: Path, folder: Path) -> Path:
    """This Python, but what it brings into a virtualenv is that pip, unpacked instead of installed: for the
    tests' speed.
    """
    path = folder / "python-with-that-pip"
    path.write_text(
        f'#!/bin/sh\nif [ "$1 $2" != "-m venv" ]; then exec "{sys.executable}" "$@"; fi\n'
        f'"{sys.executable}" -m venv --without-pip "$3" "$4" && "{sys.executable}" -m zipfile -e "{pip}" "$4"/lib/python*/site-packages\n'
    )
    path.chmod(0o755)
    return path


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """This Python with the pip that it brings."""
    folders = [
        Path(ensurepip.__file__).parent / "_bundled",
        Path(sysconfig.get_config_var("WHEEL_PKG_DIR") or os.devnull),
    ]
    return bringing(next(path for folder in folders for path in folder.glob("pip-*.whl")), tmp_path)


def downloaded_pip(version: str, folder: Path) -> Path:
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        str(folder),
        f"pip=={version}",
    ]
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if result.returncode:
        pytest.skip(f"pip {version} cannot be downloaded here: {result.stderr.strip()[-200:]}")
    return folder / f"pip-{version}-py3-none-any.whl"


def test_what_is_pinned_is_installed_though_newer_releases_are_there(little: Path) -> None:
    done = make(little)

    assert done.returncode == 0, done.stdout + done.stderr
    assert {"asks": "1.0", "other": "1.0", "third": "1.0", "little": "1.0"}.items() <= installed(little).items()


@pytest.mark.parametrize("version", [OLDEST_PIP, NEWEST_PIP])
def test_another_pip_installs_the_same(little: Path, tmp_path: Path, version: str) -> None:
    done = make(little, bringing(downloaded_pip(version, tmp_path), tmp_path))

    assert done.returncode == 0, done.stdout + done.stderr
    assert {"asks": "1.0", "other": "1.0", "third": "1.0", "little": "1.0", "pip": version}.items() <= installed(
        little
    ).items()


def test_a_virtualenv_stays_until_the_lock_changes(little: Path, python: Path) -> None:
    assert make(little, python).returncode == 0
    kept = next(little.glob(".venv-*")) / "kept"
    kept.touch()

    assert (make(little, python).stdout, kept.exists()) == ("", True)

    lock = little / "requirements" / "dev.txt"
    lock.write_text(lock.read_text() + wheel(little.parent / "index", "fourth", "1.0"))
    assert (make(little, python).returncode, kept.exists()) == (0, False)
    assert installed(little)["fourth"] == "1.0"


def test_a_lock_that_lacks_a_package_is_refused_with_its_name_and_nothing_is_resolved(
    little: Path, python: Path
) -> None:
    lock = little / "requirements" / "dev.txt"
    lock.write_text(re.sub(r"(?s)other==.*?\n(?=third)", "", lock.read_text()))

    done = make(little, python)

    assert done.returncode != 0
    assert "asks 1.0 requires other" in done.stderr
    assert "other" not in installed(little)


def test_a_file_with_another_content_is_refused(little: Path, python: Path) -> None:
    wheel(little.parent / "index", "third", "1.0", "asks")

    done = make(little, python)

    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert "third" not in installed(little)


# --- the real lock files ---


def pins(lock: str) -> dict[str, list[Requirement]]:
    found: dict[str, list[Requirement]] = {}
    for line in re.findall(r"^[a-z0-9][^\\\n]*", (ROOT / "requirements" / lock).read_text(), re.MULTILINE):
        found.setdefault(canonicalize_name(Requirement(line).name), []).append(Requirement(line))
    return found


def group(name: str) -> list[str]:
    entries: list[Any] = PROJECT["dependency-groups"][name]
    return [
        text for entry in entries for text in (group(entry["include-group"]) if isinstance(entry, dict) else [entry])
    ]


PLATFORMS = {
    "linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "linux-arm": {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "aarch64",
    },
    "macos": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}
ENVIRONMENTS = {
    f"{version}-{name}": platform
    | {
        "python_version": version,
        "python_full_version": f"{version}.0",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "implementation_version": f"{version}.0",
    }
    for version, (name, platform) in product(["3.11", "3.12", "3.13", "3.14"], PLATFORMS.items())
}


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize("environment", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_lock_is_complete_on_every_platform_and_python(lock: str, environment: dict[str, str]) -> None:
    """Nothing is resolved at installation, so whatever a pinned package asks for must itself be pinned, where
    it is asked for.
    """
    pinned = pins(lock)
    asked = [
        ("pyproject.toml", Requirement(text))
        for text in [*PROJECT["project"]["dependencies"], *(t for g in LOCKS[lock] for t in group(g))]
    ]
    seen: set[tuple[str, str]] = set()
    missing = []
    while asked:
        by, requirement = asked.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker and not requirement.marker.evaluate(environment | {"extra": ""}):
            continue
        here = [pin for pin in pinned.get(name, []) if not pin.marker or pin.marker.evaluate(environment)]
        versions = [Version(str(pin.specifier).removeprefix("==")) for pin in here]
        if len(versions) != 1 or not requirement.specifier.contains(versions[0], prereleases=True):
            missing.append(f"{by} asks for {requirement}, and the lock pins {versions}")
            continue
        for extra in {"", *requirement.extras} - {extra for known, extra in seen if known == name}:
            seen.add((name, extra))
            asked += [(name, needed) for needed in needs(name, str(versions[0]), extra, environment)]

    assert missing == []


def needs(name: str, version: str, extra: str, environment: dict[str, str]) -> list[Requirement]:
    """What the package asks for, as it is installed here; of one that is for other platforms alone nothing is known."""
    try:
        found = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return []
    assert found.version == version, f"{name} {found.version} is installed, and the lock pins {version}"
    return [
        Requirement(str(needed).split(";")[0])
        for text in found.requires or []
        if not (needed := Requirement(text)).marker or needed.marker.evaluate(environment | {"extra": extra})
    ]


def test_what_is_checked_of_a_lock_is_nearly_all_of_it() -> None:
    elsewhere = {name for name in pins("dev.txt") if not any(metadata.distributions(name=name))}

    assert elsewhere <= {"colorama", "infisical-python", "tzdata", "pywin32", "caio", "uvloop"}
