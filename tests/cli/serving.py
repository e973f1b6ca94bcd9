"""A server as its own process, for tests of what only a process can show."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests import forks


def watchword(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    return forks.run(arguments, {**clean, **environment})


class Running:
    """A server that answers at `url`."""

    def __init__(
        self, process: "forks.Forked | subprocess.Popen[bytes]", announced: dict[str, object], log: Path
    ) -> None:
        self.process = process
        self.url = str(announced["address"])
        self.said = announced
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    def stop(self) -> int:
        """Ask it to end; its exit code."""
        self.process.terminate()
        return self.process.wait(60)


@contextmanager
def serving(
    folder: Path, *arguments: str, began: Callable[[int], None] | None = None, **environment: str
) -> Iterator[Running]:
    """A server that is told to end afterwards. `began` is called with its process id before it is up."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WATCHWORD_")}
    log = folder / "server.log"
    command = ["serve", "--port", "0", "--data-dir", str(folder), "--output", "json", *arguments]
    variables = {**clean, "WATCHWORD_SETUP_CODE": "off", **environment}
    process: forks.Forked | subprocess.Popen[bytes]
    with log.open("wb") as errors:
        if "--workers" in arguments:
            process = subprocess.Popen(
                [sys.executable, "-m", "watchword", *command], stdout=subprocess.PIPE, stderr=errors, env=variables
            )
        else:
            process = forks.started(command, variables, stderr=errors)
    assert process.stdout
    if began is not None:
        began(process.pid)
    try:
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Running(process, json.loads(line), log)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        process.stdout.close()
