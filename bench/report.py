"""Results as JSON and as a page that needs nothing but itself."""

import datetime as dt
import html
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from bench.compare import Plan, Row, Spread, ratios
from bench.drawing import Bar, bars, number
from bench.servers import BATCH_LOGIN, LIST, OPERATIONS

TITLES = {
    "sqlite": "Watchword on SQLite",
    "postgres": "Watchword on PostgreSQL, 1 worker",
    "postgres-2": "Watchword on PostgreSQL, 2 workers",
    "openbao": "OpenBao, raft, file audit",
    "floor": "bare ASGI function",
}
_REMARKS = {
    LIST: "OpenBao has no such operation: it lists the 100 names only.",
    BATCH_LOGIN: "OpenBao only: its batch tokens are not stored, and cannot be renewed or revoked one by one.",
}
_STYLE = """
:root { color-scheme: light dark; --ours: #2f7d5b; --peer: #b5543a; --floor: #8a8f98; --quiet: #8a8f98; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 74rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .2rem .7rem .2rem 0; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
th { font-weight: 600; border-bottom: 1px solid var(--quiet); } .wide { overflow-x: auto; }
.invalid, .note { color: var(--peer); } small, .tick, .note { color: var(--quiet); fill: var(--quiet); }
svg { width: 100%; max-width: 47rem; font: 13px system-ui, sans-serif; } text { fill: currentColor; }
.label { text-anchor: end; } .end { text-anchor: end; } .middle { text-anchor: middle; } .tick { font-size: 11px; }
.bar { fill: var(--ours); } .bar.peer { fill: var(--peer); } .bar.floor { fill: var(--floor); }
.spread { stroke: currentColor; stroke-width: 1.5; } .band { fill: var(--ours); opacity: .12; }
.line { fill: none; stroke-width: 2; } .key { font-size: 12px; }
.c0 { stroke: #2f7d5b; } .c1 { stroke: #b5543a; } .c2 { stroke: #3b6fb6; } .c3 { stroke: #9457a8; }
.c4 { stroke: #b08a1e; } .c5 { stroke: #4aa3a3; } .c6 { stroke: #7a7a7a; }
.c7 { stroke: #d07aa8; } .c8 { stroke: #1d3f72; }
text.key { stroke: none; } text.c0 { fill: #2f7d5b; }
text.c1 { fill: #b5543a; } text.c2 { fill: #3b6fb6; }
text.c3 { fill: #9457a8; }
text.c4 { fill: #b08a1e; } text.c5 { fill: #4aa3a3; }
text.c6 { fill: #7a7a7a; } text.c7 { fill: #d07aa8; } text.c8 { fill: #1d3f72; }
"""


def today() -> str:
    """The day of a run, UTC."""
    return dt.datetime.now(dt.UTC).date().isoformat()


def summary(plan: Plan, rows: Sequence[Row], machine: Mapping[str, str]) -> dict[str, Any]:
    """Everything that was found, ready for JSON."""
    return {
        "kind": "comparison",
        "day": today(),
        "machine": dict(machine),
        "plan": {
            "rounds": plan.rounds,
            "seconds": plan.seconds,
            "connections": list(plan.connections),
            "servers": list(plan.servers),
            "operations": list(plan.operations),
            **msgspec.to_builtins(plan.size),
        },
        "rows": [_entry(row, rows) for row in rows],
    }


def _entry(row: Row, rows: Sequence[Row]) -> dict[str, Any]:
    found: dict[str, Any] = {
        "server": row.server,
        "operation": row.operation,
        "connections": row.connections,
        "valid": row.is_valid,
    }
    if not row.samples:
        return found | {"why_not": row.why_not}
    for field in ("per_second", "per_cpu_second", "p50", "p99", "cpu_share", "elsewhere", "rss", "pss"):
        found[field] = msgspec.to_builtins(Spread.of([getattr(sample, field) for sample in row.samples]))
    for other in ("openbao", "floor"):
        like = [
            one
            for one in rows
            if (one.server, one.operation, one.connections) == (other, row.operation, row.connections)
        ]
        spread = ratios(row, like[0]) if like and row.server != other else None
        if spread is not None:
            found[f"times_{other}"] = msgspec.to_builtins(spread)
    return found | {"errors": sum(sample.errors for sample in row.samples), "samples": msgspec.to_builtins(row.samples)}


def write(folder: Path, name: str, found: Mapping[str, Any], page: Callable[[Mapping[str, Any]], str]) -> list[Path]:
    """`name.json` and, made from the numbers in it, `name.html` in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    data, text = folder / f"{name}.json", folder / f"{name}.html"
    data.write_text(json.dumps(_rounded(found), indent=1) + "\n")
    text.write_text(page(json.loads(data.read_text())))
    return [data, text]


def _rounded(value: Any) -> Any:
    """Four digits that count: more are noise, and make every run a large difference."""
    if isinstance(value, float):
        return float(f"{value:.4g}") if abs(value) < 1000 else round(value)
    if isinstance(value, Mapping):
        return {key: _rounded(one) for key, one in value.items()}
    return [_rounded(one) for one in value] if isinstance(value, list | tuple) else value


def page(title: str, intro: str, parts: Sequence[str], machine: Mapping[str, str]) -> str:
    """A whole HTML page."""
    facts = "".join(
        f"<tr><td>{html.escape(name)}</td><td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in machine.items()
    )
    return "\n".join(
        [
            "<!doctype html>",
            (
                '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, '
                'initial-scale=1">'
            ),
            f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{html.escape(title)}</h1>",
            f"<p>{intro}</p>",
            *parts,
            f"<h2>Machine and versions</h2><table>{facts}</table>",
            "</body></html>",
            "",
        ]
    )


def comparison_page(found: Mapping[str, Any]) -> str:
    """The page of a comparison."""
    plan = found["plan"]
    usual = min(plan["connections"], key=lambda count: abs(count - 16))
    rows = found["rows"]
    intro = (
        f"Measured on {found['day']}: {plan['rounds']} rounds of {plan['seconds']} s each, the servers in turns "
        "within a round. "
        "The bars are requests per second <em>of server CPU</em>, the database's processes included: the figure that "
        "a busy machine "
        f"distorts least. They show medians at {usual} connections, the thin lines the least and the most of all "
        "rounds."
    )
    parts = []
    for operation in [*plan["operations"], BATCH_LOGIN]:
        those = [row for row in rows if row["operation"] == operation]
        if not those:
            continue
        parts.append(f"<h2>{html.escape(OPERATIONS.get(operation, 'login with a batch token (OpenBao)'))}</h2>")
        parts.append(
            bars([_bar(row) for row in those if row["connections"] == usual], "requests per second of server CPU")
        )
        if operation in _REMARKS:
            parts.append(f"<p><small>{html.escape(_REMARKS[operation])}</small></p>")
        parts.append(_table(those))
    return page("Watchword beside OpenBao", intro, parts, found["machine"])


def _bar(row: Mapping[str, Any]) -> Bar:
    label, style = TITLES[row["server"]], {"openbao": "peer", "floor": "floor"}.get(row["server"], "")
    if not row["valid"]:
        return Bar(label, 0, 0, 0, style, row.get("why_not") or f"not valid: {row.get('errors', 0)} errors")
    spread = row["per_cpu_second"]
    return Bar(label, spread["median"], spread["least"], spread["most"], style)


_COLUMNS = (
    ("per CPU second", "per_cpu_second", 1.0),
    ("requests/s", "per_second", 1.0),
    ("p50 ms", "p50", 1.0),
    ("p99 ms", "p99", 1.0),
    ("memory MiB", "pss", 1 / 2**20),
    ("times OpenBao", "times_openbao", 1.0),
    ("times floor", "times_floor", 1.0),
)


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    lines = [
        "<tr><th>server</th><th>connections</th>" + "".join(f"<th>{name}</th>" for name, _, _ in _COLUMNS) + "</tr>"
    ]
    for row in rows:
        cells = [f"<td>{html.escape(TITLES[row['server']])}</td><td>{row['connections']}</td>"]
        if "samples" not in row:
            cells.append(f'<td colspan="{len(_COLUMNS)}" class="note">{html.escape(row["why_not"])}</td>')
        else:
            cells += [_cell(row.get(field), factor) for _, field, factor in _COLUMNS]
        lines.append(f"<tr{'' if row['valid'] or 'samples' not in row else ' class=invalid'}>{''.join(cells)}</tr>")
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _cell(spread: Mapping[str, float] | None, factor: float) -> str:
    if spread is None:
        return "<td></td>"
    middle, least, most = (number(spread[name] * factor) for name in ("median", "least", "most"))
    return f"<td>{middle} <small>{least}–{most}</small></td>"  # noqa: RUF001 - a range is written with a dash


def as_text(found: Mapping[str, Any]) -> str:
    """The medians as lines for a terminal."""
    lines = []
    for row in found["rows"]:
        head = f"{row['operation']:<12} c={row['connections']:<3} {row['server']:<11}"
        if "samples" not in row:
            lines.append(f"{head} {row['why_not']}")
            continue
        times = "".join(
            f"  {number(row[key]['median'])} x {key[6:]}" for key in ("times_openbao", "times_floor") if key in row
        )
        wrong = "" if row["valid"] else f"  NOT VALID: {row['errors']} errors"
        lines.append(
            f"{head} {number(row['per_cpu_second']['median']):>8}/CPU s  p99 {row['p99']['median']:7.2f} "
            f"ms{times}{wrong}"
        )
    return "\n".join(lines)
