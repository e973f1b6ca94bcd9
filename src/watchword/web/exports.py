"""Lists as files: CSV that no spreadsheet takes for formulas."""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any, Final

from watchword.web.pages import Download

_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "|", "%")


def cell(value: Any) -> str:
    """A value as a cell: what a spreadsheet would calculate is marked as text by an apostrophe before it."""
    text = "" if value is None else str(value)
    return f"'{text}" if text.lstrip(" \u00a0").startswith(_FORMULA) else text


def csv_file(name: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Download:
    """A CSV file (RFC 4180) to save."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return Download(
        body=out.getvalue().encode("utf-8", "surrogatepass"), media_type="text/csv; charset=utf-8", name=name
    )
