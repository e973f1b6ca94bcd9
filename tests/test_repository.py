"""What no file of this repository may hold, and what its pages must agree on."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

from watchword.methods import METHODS

ROOT = Path(__file__).parent.parent
HERE = Path(__file__).relative_to(ROOT).as_posix()
MACHINE_PATH = re.compile(rb"(?<![\w.~}/-])/(?:work|root|Users|home/[a-z]\w*)/[\w.]")
PAPER = re.compile(
    rb"(?:contract|architecture|clients\.md),? (?:(?:\xc2\xa7 ?|sections? )?[SC]?\d|annex\b)|\bissues? #?\d",
    re.IGNORECASE,
)
LINK = re.compile(rb"\[[^\]]*\]\([^)]*\)")
MERGE_MARKER = re.compile(rb"^(?:<{7} |>{7} |={7}$|\|{7} )", re.MULTILINE)


def tracked(*patterns: str) -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(
        ["git", "ls-files", "-z", *patterns], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
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


def pointers(paths: list[Path]) -> list[str]:
    """Where a section is named by number outside of a link to it."""
    found = []
    for path in paths:
        name = path.relative_to(ROOT).as_posix()
        content = path.read_bytes()
        if name == HERE or b"\0" in content:
            continue
        for number, line in enumerate(content.splitlines(), 1):
            if len(line) < 5000 and PAPER.search(LINK.sub(b"", line) if name.endswith(".md") else line):
                found.append(f"{name}:{number}")
    return found


def test_lock_files_hold_hashes_and_no_addresses() -> None:
    locks = tracked("requirements/*.txt", "*lock.json", "*.lock")

    assert [path for path in locks if path.name == "dev.txt"]
    assert lines_with(re.compile(rb"\w+://|^\s*--(?!hash=sha256:)", re.MULTILINE), locks) == []
    for path in (ROOT / "requirements").glob("*.txt"):
        pinned = re.findall(
            r"^[a-z0-9][^\n]*(?:\n    --hash=sha256:[0-9a-f]{64}[^\n]*)+", path.read_text(), re.MULTILINE
        )
        assert len(re.findall(r"^[a-z0-9]", path.read_text(), re.MULTILINE)) == len(pinned)


def test_no_file_names_a_path_of_somebody_s_machine() -> None:
    assert lines_with(MACHINE_PATH, tracked()) == []


def test_no_merge_marker_is_left() -> None:
    assert lines_with(MERGE_MARKER, tracked()) == []


def test_no_file_points_to_a_paper_that_is_not_in_the_repository() -> None:
    """A comment says the rule in words; a page links to the section of the API contract that has it."""
    assert pointers(tracked("src/**", "tests/**", "tools/**", "bench/**", "docs/**", "*.md")) == []


def test_every_page_that_is_named_exists() -> None:
    """`somewhere.md`, whether it is a link or a mention in a comment."""
    pages = {path.name for path in tracked("*.md", "**/*.md")}
    named = re.compile(rb"[\w-]{2,}\.md\b")

    assert [
        f"{path.relative_to(ROOT)}: {name.decode()}"
        for path in tracked("src/**.py", "tests/**.py", "tests/**.json", "tools/**.py", "*.md", "docs/**.md")
        for name in named.findall(path.read_bytes())
        if path.relative_to(ROOT).as_posix() != HERE and name.decode() not in pages
    ] == []


def test_links_between_pages_lead_somewhere() -> None:
    links = [
        (page, link) for page in tracked("*.md") for link in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text())
    ]

    assert [
        f"{page.relative_to(ROOT)}: {link}"
        for page, link in links
        if not link.startswith(("http://", "https://", "mailto:")) and not (page.parent / link).exists()
    ] == []


def anchors(page: Path) -> list[str]:
    """What a link can lead to inside a page: the anchors that are written out, and those that headings have by
    themselves.
    """
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    written = re.findall(r'<a id="([^"]+)"></a>', text)
    titles = [
        re.sub(r"<[^>]*>|\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    ]
    return written + [re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles]


def test_links_to_sections_lead_somewhere() -> None:
    links = [
        (page, *link)
        for page in tracked("*.md")
        for link in re.findall(r"\]\(([^)#\s]*)#([^)\s]+)\)", page.read_text())
    ]

    assert [
        f"{page.relative_to(ROOT)}: {path}#{section}"
        for page, path, section in links
        if not path.startswith(("http://", "https://")) and section not in anchors(page.parent / path if path else page)
    ] == []


def test_every_section_of_the_api_contract_has_an_anchor_that_stays() -> None:
    page = ROOT / "docs" / "reference" / "api-contract.md"
    numbered = re.findall(
        r"^(?:#+|\|) (?:<a id=\"([^\"]*)\"></a>)?([SC]?\d[\d.]*?)\.? ", page.read_text(), re.MULTILINE
    )
    found = [anchor for anchor, _ in numbered]

    assert [number.lower() for _, number in numbered] == found
    assert len(set(found)) == len(found) > 100


def test_every_decision_is_in_the_index() -> None:
    folder = ROOT / "docs" / "decisions"
    index = (folder / "README.md").read_text()

    assert [path.name for path in sorted(folder.glob("[0-9]*.md")) if f"({path.name})" not in index] == []


def test_every_decision_says_when_it_was_made_and_whether_it_holds() -> None:
    """Its number and title, then `2026-11-22, accepted.` or `2026-11-22, replaced by [0008](...).`, both ways round."""
    folder = ROOT / "docs" / "decisions"
    head = re.compile(
        r"# (\d{4}): \S[^\n]*\n\n20\d\d-[01]\d-[0-3]\d, (accepted[.;]|replaced by \[(\d{4})\]\(([^)]+)\)\.)"
    )
    pages = {path.name: path.read_text() for path in folder.glob("[0-9]*.md")}
    heads = {name: head.match(text) for name, text in pages.items()}

    assert [name for name, found in heads.items() if found is None or found[1] != name[:4]] == []
    replaced = [(name, found[4]) for name, found in heads.items() if found and found[4]]
    assert replaced
    assert [old for old, new in replaced if f"Replaces [{old[:4]}]({old})" not in pages[new]] == []


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"see /root/.cache", True),
        (b"cd /" + b"work/main", True),
        (b"https://example.com/home/x", False),
        (b"/workspace/1", False),
    ],
)
def test_a_machine_path_is_recognised(text: bytes, found: bool) -> None:
    assert bool(MACHINE_PATH.search(text)) is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"as contract 3.30 says", True),
        (b"(contract C17)", True),
        (b"Architecture 7 has it", True),
        (b"contract section 2.4", True),
        (b"contract Annex A", True),
        (b"as issue 13 asks", True),
        (b"the import contracts", False),
        (b"the API contract has 3 rules", False),
        (b"from its first issue, a periodic one from its last renewal", False),
        (b"RFC 7519 section 2", False),
    ],
)
def test_a_pointer_to_an_unnamed_paper_is_recognised(text: bytes, found: bool) -> None:
    assert bool(PAPER.search(text)) is found


def test_no_auth_method_is_named_in_the_core() -> None:
    """Neither its slug nor one of its settings: what the core does for a method is declared by it (`methods/base.py`).

    An import contract in pyproject.toml keeps the modules of methods out of the same layers.
    """
    core = [
        path
        for path in tracked("src/watchword/**.py")
        if path.relative_to(ROOT / "src/watchword").parts[0] in {"services", "http", "store"}
    ]
    named = {text for method in METHODS for text in (method.slug, method.wrapper, *method.managed, *method.networks)}
    found = []
    for path in core:
        if "migrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "\n" not in node.value:
                found += [
                    f"{path.relative_to(ROOT)}:{node.lineno}: {text}"
                    for text in named
                    if re.search(rf"(?<![\w-]){text}(?![\w-])", node.value)
                ]

    assert len(core) > 50
    assert [] == found
