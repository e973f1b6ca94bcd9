"""The curves: one database that grows step by step to a million of everything, and what each operation costs on the
way.

Every figure is divided by the floor's, measured in the same minute: a machine that is busier at one size than at
another bends the curves less. Each operation is measured `hot`, by a server with its default caches, and where it
reads, `cold`: by one whose caches hold so little that nearly every request goes to the database.
"""

import html
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bench import processes, seed
from bench.compare import Say, measured
from bench.drawing import lines, number
from bench.load import Loader
from bench.report import page, today
from bench.servers import (
    CHECK,
    LOGIN,
    READ,
    Caller,
    Floor,
    Watchword,
    analyzed,
    filled,
    make_database,
    opened_house,
    postgres,
    postgres_environment,
    sqlite_environment,
)
from tests.postgres import Server as Postgres

AXES: Mapping[str, str] = {
    "identities": "identities",
    "secrets": "secrets",
    "tokens": "live tokens",
    "revocations": "revocations",
}
FLAT = 0.8  # of what it was at the first size
_SMALL = 10
_USUAL = {
    "identities": 1_000,
    "secrets": 50_000,
}  # 500 identities, secrets and folders in rotation, as at any larger size
_CONNECTIONS = 16
_COLD = (LOGIN, CHECK, READ)
_COLD_ENTRIES = "100"


@dataclass(frozen=True)
class Growth:
    """What to measure."""

    engines: Sequence[str]
    most: int
    operations: Sequence[str]
    seconds: int
    rounds: int


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One size of the database and what was measured there: operation (`read`, `cold read`) -> requests per CPU
    second.
    """

    engine: str
    size: seed.Size
    start_seconds: float
    floor: float
    per_cpu_second: dict[str, float]
    why_not: dict[str, str]
    pss: int
    bytes_per_login: float | None = None


def path(most: int) -> list[seed.Size]:
    """The sizes in the order in which they are reached: from each to the next, one thing grows."""
    found = [seed.Size(identities=_SMALL, secrets=_SMALL), seed.Size(**_USUAL)]
    for axis in AXES:
        found += [
            msgspec.structs.replace(found[-1], **{axis: step})
            for step in (most // 10, most)
            if step > _USUAL.get(axis, 0)
        ]
    return found


def curve(points: Sequence[Point], axis: str) -> list[Point]:
    """The points between which only `axis` grew, the one they start from, and the small one before them."""
    grown = [place for place in range(1, len(points)) if _changed(points[place - 1].size, points[place].size) == [axis]]
    if not grown:
        return []
    small = points[:1] if getattr(points[0].size, axis) else []
    return [*small, points[grown[0] - 1], *[points[place] for place in grown]]


def _changed(before: seed.Size, after: seed.Size) -> list[str]:
    return [axis for axis in AXES if getattr(before, axis) != getattr(after, axis)]


async def run(plan: Growth, folder: Path, say: Say) -> dict[str, Any]:
    """Grow and measure each engine."""
    points: list[Point] = []
    for engine in plan.engines:
        with ExitStack() as stack:
            database = stack.enter_context(postgres()) if engine == "postgres" else None
            points += await _Engine(plan, engine, folder / engine, database, say).run()
    return summary(plan, points)


class _Engine:
    """One database and the servers that look at it."""

    def __init__(self, plan: Growth, engine: str, folder: Path, database: Postgres | None, say: Say) -> None:
        folder.mkdir(parents=True)
        self._plan, self._engine, self._folder, self._database, self._say = plan, engine, folder, database, say
        self._loader = Loader(folder)

    async def run(self) -> list[Point]:
        """Every size in turn."""
        sizes = path(self._plan.most)
        dsn = await make_database(self._database, "bench_growth") if self._database else None
        environment = postgres_environment(self._folder, dsn) if dsn else sqlite_environment(self._folder)
        world = await filled(environment, sizes[0])
        points: list[Point] = []
        for before, size in zip([sizes[0], *sizes], sizes, strict=False):
            began = time.monotonic()
            async with opened_house(environment) as parts:
                await seed.grow(parts, world, before, size)
            if dsn:
                await analyzed(dsn)
            took = time.monotonic() - began
            self._say(f"{self._engine}: {msgspec.to_builtins(size)} (filled in {took:.0f} s)")
            points.append(self._measure(environment, world, size, is_last=size == sizes[-1]))
        return points

    def _measure(self, environment: Mapping[str, str], world: seed.World, size: seed.Size, *, is_last: bool) -> Point:
        server = Watchword(self._engine, self._engine, environment, world, size, self._database)
        floor = Floor(server)
        found: dict[str, list[float]] = {}
        why_not: dict[str, str] = {}
        log = self._folder / "log"
        with ExitStack() as stack:
            stack.callback(floor.stop)
            stack.callback(server.stop)
            floor.start(log)
            began = time.monotonic()
            server.start(log)
            took = time.monotonic() - began
            self._rounds(server, floor, self._plan.operations, "", found, why_not)
            held = processes.memory([server.pid])["pss"]
            grown = self._memory(server) if is_last and LOGIN in self._plan.operations else None
            tokens = server.tokens()
            server.stop()
            cold = Watchword(
                self._engine,
                self._engine,
                {**environment, "WATCHWORD_CACHE_ENTRIES": _COLD_ENTRIES},
                world,
                size,
                self._database,
                tokens,
            )
            stack.callback(cold.stop)
            cold.start(log)
            self._rounds(cold, floor, [one for one in _COLD if one in self._plan.operations], "cold ", found, why_not)
        means = {name: sum(values) / len(values) for name, values in found.items()}
        self._say(
            f"  start {took:.2f} s  {held / 2**20:.0f} MiB  "
            + "  ".join(f"{name} {value:.0f}" for name, value in means.items())
        )
        return Point(
            engine=self._engine,
            size=size,
            start_seconds=took,
            floor=means.pop("floor"),
            per_cpu_second=means,
            why_not=why_not,
            pss=held,
            bytes_per_login=grown,
        )

    def _rounds(
        self,
        server: Watchword,
        floor: Floor,
        operations: Sequence[str],
        prefix: str,
        found: dict[str, list[float]],
        why_not: dict[str, str],
    ) -> None:
        ready: dict[str, tuple[Path, int]] = {}  # the requests in a file, and how many there are
        for operation in operations:
            requests = server.requests(operation)
            caller = Caller(server.port)
            answer = caller.send(requests[0])
            caller.close()
            if answer.status >= 300:
                why_not[prefix + operation] = f"answers {answer.status}"
                continue
            ready[operation] = self._loader.keep(operation, requests), len(requests)
        for turn in range(self._plan.rounds):
            for operation, (requests_file, count) in ready.items():
                # Right before, each time: the writes of another operation make what a list had read old.
                self._loader.warm(server.port, requests_file, count)
                for target, name in ((floor, "floor"), (server, prefix + operation)):
                    sample = measured(self._loader, target, requests_file, turn, _CONNECTIONS, self._plan.seconds)
                    if sample.errors:
                        why_not[name] = f"errors: {sample.faults}"
                    found.setdefault(name, []).append(sample.per_cpu_second)

    def _memory(self, server: Watchword) -> float:
        """Bytes that the server's own processes hold more after each login, seen over some ten thousand of them."""
        requests = self._loader.keep("memory", server.requests(LOGIN))
        self._loader.run(server.port, requests, connections=_CONNECTIONS, seconds=5)
        before = processes.memory([server.pid])["pss"]
        result = self._loader.run(server.port, requests, connections=_CONNECTIONS, seconds=10)
        return (processes.memory([server.pid])["pss"] - before) / result.requests


def relative(points: Sequence[Point], axis: str, operation: str) -> list[tuple[int, float]]:
    """Size and cost against the first size with the same width of rotation: 1 is flat, less is slower."""
    those = [point for point in curve(points, axis) if operation in point.per_cpu_second]
    first = [point for point in those if getattr(point.size, axis) != _SMALL]
    if not first:
        return []
    base = first[0].per_cpu_second[operation] / first[0].floor
    return [(getattr(point.size, axis), point.per_cpu_second[operation] / point.floor / base) for point in those]


def summary(plan: Growth, points: Sequence[Point]) -> dict[str, Any]:
    """Everything that was found, ready for JSON."""
    curves, steep = [], []
    for engine in plan.engines:
        own = [point for point in points if point.engine == engine]
        operations = dict.fromkeys(name for point in own for name in point.per_cpu_second)
        for axis in AXES:
            for operation in operations:
                found = relative(own, axis, operation)
                if not found:
                    continue
                curves.append({"engine": engine, "axis": axis, "operation": operation, "points": found})
                worst = min((value, size) for size, value in found if size != _SMALL)
                if worst[0] < FLAT:
                    steep.append(
                        {"engine": engine, "axis": axis, "operation": operation, "size": worst[1], "of_first": worst[0]}
                    )
    return {
        "kind": "growth",
        "day": today(),
        "plan": {"most": plan.most, "seconds": plan.seconds, "rounds": plan.rounds, "connections": _CONNECTIONS},
        "points": msgspec.to_builtins(list(points)),
        "curves": curves,
        "not_flat": steep,
    }


def as_text(found: Mapping[str, Any]) -> str:
    """What was not flat, and how servers start, as lines for a terminal."""
    told = [f"not flat: {_steep(one)} of the first" for one in found["not_flat"]]
    last = {point["engine"]: point for point in found["points"]}
    for engine, point in last.items():
        told.append(f"{engine} with all of it: ready after {point['start_seconds']:.2f} s")
        if point["bytes_per_login"] is not None:
            told[-1] += f", {point['bytes_per_login']:.0f} bytes for a login"
    return "\n".join(told)


def growth_page(found: Mapping[str, Any]) -> str:
    """The page of the curves."""
    intro = (
        f"Measured on {found['day']} at {found['plan']['connections']} connections, 500 identities or secrets in "
        "rotation, spread over all there are. "
        "Each line is requests per second of server CPU (the database's included) against the floor of the same "
        "minute; 1 is what it was at the "
        "first size. Inside the band is flat within 20 %. "
        "Dashed lines are servers without caches. At ten of each the rotation is narrower: that is in the table only."
    )
    parts: list[str] = []
    engines = list(dict.fromkeys(point["engine"] for point in found["points"]))
    for engine in engines:
        parts.append(f"<h2>{'SQLite' if engine == 'sqlite' else 'PostgreSQL'}</h2>")
        for axis, title in AXES.items():
            own = [one for one in found["curves"] if (one["engine"], one["axis"]) == (engine, axis)]
            series = {one["operation"]: [point for point in one["points"] if point[0] != _SMALL] for one in own}
            parts.append(lines(series, across=title, unit="relative cost"))
        parts.append(_table([point for point in found["points"] if point["engine"] == engine]))
    steep = [f"<li>{html.escape(_steep(one))}</li>" for one in found["not_flat"]]
    parts.append("<h2>Not flat within 20 %</h2>" + (f"<ul>{''.join(steep)}</ul>" if steep else "<p>Nothing.</p>"))
    return page("How Watchword grows", intro, parts, found["machine"])


def _steep(one: Mapping[str, Any]) -> str:
    return f"{one['engine']}, {one['operation']} at {one['size']:,} {AXES[one['axis']]}: {one['of_first']:.2f}"


def _table(points: Sequence[Mapping[str, Any]]) -> str:
    operations = list(dict.fromkeys(name for point in points for name in point["per_cpu_second"]))
    columns: list[tuple[str, Callable[[Mapping[str, Any]], str]]] = [
        ("start s", lambda point: number(point["start_seconds"])),
        ("MiB", lambda point: number(point["pss"] / 2**20)),
        ("floor", lambda point: number(point["floor"])),
    ]
    head = "".join(f"<th>{name}</th>" for name in [*AXES.values(), *[name for name, _ in columns], *operations])
    rows = []
    for point in points:
        cells = [f"{point['size'][axis]:,}" for axis in AXES] + [read(point) for _, read in columns]
        cells += [
            number(point["per_cpu_second"][name]) if name in point["per_cpu_second"] else point["why_not"].get(name, "")
            for name in operations
        ]
        rows.append("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells) + "</tr>")
    return f'<div class="wide"><table><tr>{head}</tr>{"".join(rows)}</table></div>'
