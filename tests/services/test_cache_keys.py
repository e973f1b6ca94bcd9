"""Two services that keep different things under one key would read each other's: every kind of entry has a name
of its own.
"""

import re
from collections import Counter
from pathlib import Path

KEY = re.compile(r"fresh\.get\(\(\"([^\"]+)\"")


def test_every_kind_of_cached_thing_has_a_name_of_its_own() -> None:
    names = Counter(name for file in Path("src/watchword").rglob("*.py") for name in KEY.findall(file.read_text()))

    assert [] == [name for name, count in names.items() if count > 1]
