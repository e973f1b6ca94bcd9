"""Skips have a ceiling, and are told with their reasons; also when several processes run the tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TESTS = """
import pytest

def test_runs(): pass

@pytest.mark.skipif(True, reason="no directory here")
def test_asks_a_directory(): pass

def test_asks_a_registry(): pytest.skip("no way to a registry")
"""


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "pytest.ini").write_text("[pytest]\nskips_in_ci = 2\nskips_on_a_bare_machine = 3\n")
    (folder / "test_some.py").write_text(TESTS)
    (folder / "test_module.py").write_text('import pytest\npytest.skip("the whole file", allow_module_level=True)\n')
    environment = {name: value for name, value in os.environ.items() if name != "CI" and not name.startswith("PYTEST_")}
    variables["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # none but those named: loading all takes a second each time
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.skips", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(
        command,
        cwd=folder,
        env={**environment, "PYTHONPATH": str(ROOT), **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize("processes", [[], ["-p", "xdist", "-n", "2"]], ids=["one process", "two processes"])
def test_more_skips_than_the_ceiling_fail_a_run_that_passed(tmp_path: Path, processes: list[str]) -> None:
    bare, in_ci = run(tmp_path, *processes), run(tmp_path, *processes, CI="true")

    assert (0, 1) == (bare.returncode, in_ci.returncode), bare.stdout + in_ci.stdout + in_ci.stderr
    assert "3 skipped, of at most 3" in bare.stdout
    assert "3 skipped, of at most 2" in in_ci.stdout
    assert "more tests were skipped than skips_in_ci in pyproject.toml allows" in in_ci.stdout
    assert [
        f"1 x {reason}" in in_ci.stdout for reason in ("no directory here", "no way to a registry", "the whole file")
    ] == [True] * 3
