"""What no file of this repository may hold, and what its pages must agree on."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HERE = Path(__file__).relative_to(ROOT).as_posix()
MACHINE_PATH = re.compile(rb"(?<![\w.~}/-])/(?:work|root|Users|home/[a-z]\w*)/[\w.]")
MERGE_MARKER = re.compile(rb"^(?:<{7} |>{7} |={7}$|\|{7} )", re.MULTILINE)


def tracked(*patterns: str) -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def lines_with(pattern: re.Pattern[bytes], paths: list[Path]) -> list[str]:
    found = []
    for path in paths:
        content = path.read_bytes()
        name = path.relative_to(ROOT).as_posix()
        if name == HERE or b"\0" in content:
            continue
        numbers = [content[: match.start()].count(b"\n") + 1 for match in pattern.finditer(content)]
        found += [f"{name}:{number}" for number in numbers]
    return found


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    locks = tracked("requirements/*.txt", "*lock.json", "*.lock")

    assert [path for path in locks if path.name == "dev.txt"]
    assert lines_with(re.compile(rb"\w+://|^\s*--(?!hash=sha256:)", re.MULTILINE), locks) == []
    for path in (ROOT / "requirements").glob("*.txt"):
        pinned = re.findall(r"^[a-z0-9][^\n]*(?:\n    --hash=sha256:[0-9a-f]{64}[^\n]*)+", path.read_text(), re.MULTILINE)
        assert len(re.findall(r"^[a-z0-9]", path.read_text(), re.MULTILINE)) == len(pinned)


def test_no_file_names_a_path_of_somebody_s_machine() -> None:
    assert lines_with(MACHINE_PATH, tracked()) == []


def test_no_merge_marker_is_left() -> None:
    assert lines_with(MERGE_MARKER, tracked()) == []


def test_links_between_pages_lead_somewhere() -> None:
    links = [(page, link) for page in tracked("*.md") for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())]

    assert [
        f"{page.relative_to(ROOT)}: {link}"
        for page, link in links
        if not link.startswith(("http://", "https://", "mailto:")) and not (page.parent / link).exists()
    ] == []


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()

    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if f"({path.name})" not in index] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [(b"see /root/.cache", True), (b"cd /" + b"work/main", True), (b"https://example.com/home/x", False), (b"/workspace/1", False)],
)
def test_a_machine_path_is_recognised(text: bytes, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is found
