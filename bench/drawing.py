"""Plots as SVG text: bars for servers beside each other, lines for growth. No library: the pages must open anywhere."""

import html
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WIDTH, _LABEL, _NUMBER = 760, 262, 84


@dataclass(frozen=True)
class Bar:
    """One bar with its spread; `note` stands in its place where there is nothing to draw."""

    label: str
    value: float
    least: float
    most: float
    style: str = ""
    note: str = ""


def number(value: float) -> str:
    """A figure as people read it: three digits that count."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def bars(found: Sequence[Bar], unit: str) -> str:
    """Horizontal bars from zero; a thin line from the least to the most of all rounds."""
    room = _WIDTH - _LABEL - _NUMBER
    top = max([bar.most for bar in found if not bar.note] or [1.0]) or 1.0
    parts = [f'<svg viewBox="0 0 {_WIDTH} {len(found) * 26 + 4}" role="img" aria-label="{html.escape(unit)}">']
    for i, bar in enumerate(found):
        y = i * 26 + 2
        parts.append(f'<text class="label" x="{_LABEL - 8}" y="{y + 15}">{html.escape(bar.label)}</text>')
        if bar.note:
            parts.append(f'<text class="note" x="{_LABEL}" y="{y + 15}">{html.escape(bar.note)}</text>')
            continue
        width, least, most = (room * value / top for value in (bar.value, bar.least, bar.most))
        parts.append(f'<rect class="bar {bar.style}" x="{_LABEL}" y="{y + 3}" width="{width:.1f}" height="16" rx="2"/>')
        parts.append(
            f'<line class="spread" x1="{_LABEL + least:.1f}" x2="{_LABEL + most:.1f}" y1="{y + 11}" y2="{y + 11}"/>'
        )
        parts.append(
            f'<text class="value" x="{_LABEL + max(width, most) + 8:.1f}" y="{y + 15}">{number(bar.value)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def lines(series: Mapping[str, Sequence[tuple[float, float]]], *, across: str, unit: str) -> str:
    """Lines over sizes that grow by powers of ten; the first value of each is 1, so that flat is flat for all."""
    height, left, bottom, right = 260, 54, 34, 190
    sizes = [x for points in series.values() for x, _ in points]
    if not sizes:
        return ""
    low, high = _log(min(sizes)), max(_log(max(sizes)), _log(min(sizes)) + 1)
    top = max([1.4, *[y for points in series.values() for _, y in points]]) * 1.05

    def place(x: float, y: float) -> tuple[float, float]:
        return left + (_WIDTH - left - right) * (_log(x) - low) / (high - low), (height - bottom) * (1 - y / top) + 6

    parts = [
        (
            f'<svg viewBox="0 0 {_WIDTH} {height + 10}" role="img" aria-label="{html.escape(unit)} over '
            f'{html.escape(across)}">'
        )
    ]
    (x0, y_high), (x1, y_low) = place(min(sizes), 1.2), place(max(sizes), 0.8)
    parts.append(
        f'<rect class="band" x="{x0:.1f}" y="{y_high:.1f}" width="{x1 - x0:.1f}" height="{y_low - y_high:.1f}"/>'
    )
    parts += [
        f'<text class="tick end" x="{left - 6}" y="{place(max(sizes), y)[1] + 4:.1f}">{y:.1f}</text>'
        for y in (0.0, 0.5, 1.0)
    ]
    parts += [
        f'<text class="tick middle" x="{place(size, 0)[0]:.1f}" y="{height - 8}">{size:,.0f}</text>'
        for size in sorted(set(sizes))
    ]
    parts.append(f'<text class="tick middle" x="{(x0 + x1) / 2:.1f}" y="{height + 6}">{html.escape(across)}</text>')
    for i, (name, points) in enumerate(series.items()):
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
        dashes = ' stroke-dasharray="5 4"' if name.startswith("cold") else ""
        parts.append(f'<polyline class="line c{i % 9}"{dashes} points="{path}"/>')
        parts.append(
            f'<text class="key c{i % 9}" x="{_WIDTH - right + 14}" y="{20 + i * 17}">{html.escape(name)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _log(size: float) -> float:
    # Nothing at all has a place too, one step before the smallest size.
    return math.log10(size) if size >= 1 else 0.0
