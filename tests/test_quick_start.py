"""The quick start and the tutorial, pasted as they stand into a shell."""

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).parent.parent
ADDRESS = "127.0.0.1:8080"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder in which `make` has made `.venv`."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    return tmp_path


@pytest.fixture
def port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def blocks(page: str, begin: str, end: str) -> str:
    text = (ROOT / page).read_text()
    part = text[text.index(begin) : text.index(end)]
    return "\n".join(re.findall(r"^```sh\n(.*?)^```$", part, re.MULTILINE | re.DOTALL))


QUICK_START = blocks("README.md", "## Quick start", "## Ways to prove")
TUTORIAL = blocks("docs/tutorial/index.md", "# Tutorial", "## 6. A refusal")
MAKE_SERVE = re.search(
    r"^serve:.*\n\t\$\(BIN\)/(watchword serve [^$\n]*)", (ROOT / "Makefile").read_text(), re.MULTILINE
)


def environment(port: str) -> dict[str, str]:
    """The port that `watchword serve` takes when nothing else is said is the one thing that differs from a
    user's shell.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("WATCHWORD_", "VIRTUAL_ENV"))}
    return {**clean, "WATCHWORD_PORT": port, "PATH": f"{Path(sys.prefix) / 'bin'}:{os.environ['PATH']}"}


def paste(text: str, folder: Path, port: str) -> str:
    """What a shell says to `text`, given on its standard input as a paste is; the server that it started is
    ended as the shell ends.
    """
    assert text.count(ADDRESS) == text.count(":8080")
    script = "trap 'jobs=$(jobs -p); [ -z \"$jobs\" ] || kill $jobs; wait' EXIT\n" + text.replace(
        ADDRESS, f"127.0.0.1:{port}"
    )
    done = subprocess.run(
        ["bash"],
        input=script,
        cwd=folder,
        env=environment(port),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return done.stdout + done.stderr


@pytest.fixture
def made_serve(clone: Path, port: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server that `make serve` starts."""
    assert MAKE_SERVE
    process = subprocess.Popen(
        [*MAKE_SERVE[1].split(), "--output", "json"],
        cwd=clone,
        env=environment(port),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout
    assert json.loads(process.stdout.readline())["email"] == "admin@example.com"
    yield process
    if process.poll() is None:
        process.terminate()
    process.wait(60)
    process.stdout.close()


def has_run(said: str, folder: Path) -> None:
    assert said.count("postgres://billing") >= 2, said  # by the client, and by curl
    assert "rror" not in re.sub(r'"level":"(info|warning)".*', "", said), said
    kept = folder / "data" / "bootstrap.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert len(json.loads(kept.read_text())["password"]) >= 20
    assert [path.name for path in (folder / "data").glob(".bootstrap*")] == []


def test_the_quick_start_runs_pasted_in_one_piece_and_a_second_time(clone: Path, port: str) -> None:
    has_run(paste(QUICK_START, clone, port), clone)
    has_run(paste(QUICK_START, clone, port), clone)


def test_the_quick_start_runs_after_make_serve(clone: Path, port: str, made_serve: subprocess.Popen[bytes]) -> None:
    made_serve.terminate()
    made_serve.wait(60)

    has_run(paste(QUICK_START, clone, port), clone)


def test_the_quick_start_runs_beside_make_serve(clone: Path, port: str, made_serve: subprocess.Popen[bytes]) -> None:
    said = paste(QUICK_START, clone, port)

    assert said.count("postgres://billing") >= 2, said
    assert made_serve.poll() is None
    assert httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=60).status_code == 200


def test_the_tutorial_runs_beside_make_serve(clone: Path, port: str, made_serve: subprocess.Popen[bytes]) -> None:
    assert made_serve.poll() is None
    without_make = TUTORIAL.replace("make serve\n", "", 1)

    said = paste(without_make, clone, port)

    assert said.rstrip().endswith("postgres://billing"), said


@pytest.mark.parametrize("name", ["data/bootstrap.json", "bootstrap.json", "data/root.key"])
def test_what_holds_a_token_or_a_key_is_ignored_by_git(name: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    assert subprocess.run(["git", "check-ignore", "-q", name], cwd=ROOT, check=False).returncode == 0


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-m", "watchword", *arguments]
    return subprocess.run(
        whole, cwd=folder, env=environment("0"), capture_output=True, text=True, timeout=120, check=False
    )


BOOTSTRAP = ("bootstrap", "--email", "admin@example.com", "--organization", "Example", "--generate-password")


def test_a_refused_bootstrap_leaves_an_earlier_answer_and_no_empty_file(tmp_path: Path) -> None:
    first = command(tmp_path, *BOOTSTRAP, "--save", "data/bootstrap.json", "--output", "json")
    kept = (tmp_path / "data" / "bootstrap.json").read_text()

    again = command(tmp_path, *BOOTSTRAP, "--save", "data/bootstrap.json")
    elsewhere = command(tmp_path, *BOOTSTRAP, "--save", "other.json", "--ignore-if-bootstrapped")

    assert first.returncode == 0, first.stderr
    assert json.loads(kept)["identity"]["credentials"]["token"] not in first.stdout
    assert json.loads(kept)["password"] not in first.stdout
    assert again.returncode != 0
    assert (tmp_path / "data" / "bootstrap.json").read_text() == kept
    assert (elsewhere.returncode, "nothing to save" in elsewhere.stderr.lower()) == (1, True)
    assert not (tmp_path / "other.json").exists()


def test_a_file_that_cannot_be_written_is_told_before_anything_is_made(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, where a folder is needed")

    refused = command(tmp_path, *BOOTSTRAP, "--save", "taken/bootstrap.json")
    made = command(tmp_path, *BOOTSTRAP, "--save", "data/bootstrap.json")

    assert (1, False) == (refused.returncode, "Traceback" in refused.stderr)
    assert 0 == made.returncode, made.stderr
