"""A skip is printed with its reason and counted, and there is a ceiling on their number: a test that never runs
protects nothing.

Two ceilings stand in pyproject.toml. `skips_in_ci` is for a machine that has all that the tests can use, as `.ci/run`
makes it, and holds where `CI` is set. `skips_on_a_bare_machine` is for one with nothing but Python: no directory
server, no Node, no way to a registry. Only processes of the run's own count: with pytest-xdist the skips of all workers
come together here.
"""

import os
import re
from collections import Counter
from typing import Any

import pytest

CEILINGS = ("skips_in_ci", "skips_on_a_bare_machine")


def pytest_addoption(parser: pytest.Parser) -> None:
    for name in CEILINGS:
        parser.addini(name, "How many tests may be skipped, at most.", default="0")


def ceiling(config: pytest.Config) -> int:
    return int(config.getini(CEILINGS[0] if os.environ.get("CI") else CEILINGS[1]))


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):  # the workers report to the process that was started
        config.pluginmanager.register(Skips(ceiling(config)), "watchword-skips")


class Skips:
    """What one run skipped."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.reasons: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self._count(report.longrepr)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self._count(report.longrepr)

    def _count(self, longrepr: Any) -> None:
        why = longrepr[2] if isinstance(longrepr, tuple) else str(longrepr)
        self.reasons[re.sub(r"\s+", " ", why).removeprefix("Skipped: ")] += 1

    @property
    def over(self) -> bool:
        return self.reasons.total() > self.most

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.over and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.reasons:
            terminalreporter.section(f"{self.reasons.total()} skipped, of at most {self.most}", sep="-")
            for reason, count in self.reasons.most_common():
                terminalreporter.line(f"{count:5} x {reason}")
        if self.over:
            name = CEILINGS[0] if os.environ.get("CI") else CEILINGS[1]
            terminalreporter.line(f"FAILED: more tests were skipped than {name} in pyproject.toml allows", red=True)
