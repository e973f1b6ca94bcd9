"""The pages agree with the code: what they name is there."""

import re
from pathlib import Path
from typing import Any

import pytest

from watchword.cli.main import COMMANDS
from watchword.http.absent import feature_at
from watchword.http.table import table
from watchword.methods import METHODS
from watchword.services.authentication.bearer import VerifiedTokens
from watchword.settings import NOT_SETTINGS, OPTIONS

ROOT = Path(__file__).parent.parent
PAGES = [
    ROOT / "README.md",
    *(path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name not in ("reference", "decisions")),
    ROOT / "docs" / "reference" / "api-contract.md",
]
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
OTHERS = ("/api/docs", "/api/status")


def shape(path: str) -> tuple[str, ...]:
    """A path with what varies in it as one sign."""
    parts = re.sub(r"\$\w+|<[^>]*>|\{[^}]*\}|\bDATABASE_URL\b|req-\w+", "*", path).strip("/").split("/")
    return tuple(parts)


@PAGE
def test_every_path_in_a_page_is_a_route(page: Path) -> None:
    nobody: Any = None
    known = {shape(route.path) for route in table(METHODS, VerifiedTokens(nobody, 2))} | {
        shape(path) for path in OTHERS
    }
    named = set(re.findall(r"/api/v\d[\w/.$<>{} -]*", page.read_text()))

    missing = []
    for path in named:
        if feature_at(path) is not None:
            continue  # said to be left out
        given = shape(re.split(r" |\?", re.sub(r"<[^>]*>", "*", path))[0].rstrip("/.").replace("**", "*"))
        if not any(
            len(route) == len(given) and all(a == b or "*" in (a, b) for a, b in zip(route, given, strict=True))
            for route in known
        ):
            missing.append(path)
    assert [] == missing


@PAGE
def test_every_setting_in_a_page_is_one(page: Path) -> None:
    known = {option.variable for option in OPTIONS} | NOT_SETTINGS

    assert [] == [name for name in set(re.findall(r"WATCHWORD_[A-Z_]*[A-Z]", page.read_text())) if name not in known]


@PAGE
def test_every_command_in_a_page_is_one(page: Path) -> None:
    named = re.findall(r"(?:^|`)watchword ([a-z-]+)", page.read_text(), re.MULTILINE)

    assert [] == [name for name in named if name not in COMMANDS]


MAPS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", MAPS, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_module_that_a_page_names_is_there(page: Path) -> None:
    """`services/secrets/reading.py` is below the package, `tests/...` and `tools/...` below the repository."""
    named = set(re.findall(r"`((?:\w+/)+\w+\.py)`", page.read_text())) - {"methods/x.py", "tests/methods/test_x.py"}

    assert [] == [
        name for name in named if not ((ROOT / "src" / "watchword" / name).is_file() or (ROOT / name).is_file())
    ]
