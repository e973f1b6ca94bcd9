"""What the tree looks like: names that need no alias, and tests that mirror the source."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "watchword"
KNOWN_ALIASES = {
    ("rich_click", "click"),  # as its documentation has it: it takes the place of click
    ("Set", "AbstractSet"),  # of collections.abc; `Set` is taken for the builtin's like
}


def test_no_import_needs_another_name() -> None:
    """An alias that only avoids a clash says that one of the two names is too wide."""
    aliases = {
        (path.relative_to(ROOT).as_posix(), name.name, name.asname)
        for path in SOURCE.rglob("*.py")
        if "migrations" not in path.parts
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
        if name.asname and (name.name, name.asname) not in KNOWN_ALIASES
    }

    assert set() == aliases
