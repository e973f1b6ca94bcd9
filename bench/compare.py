"""The comparison: all servers up, one of them measured at a time, in turns within each round."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from bench import processes, seed
from bench.load import Loader, Result
from bench.openbao import OpenBao
from bench.servers import (
    BATCH_LOGIN,
    LOGIN,
    Caller,
    Floor,
    Server,
    Watchword,
    analyzed,
    filled,
    make_database,
    postgres,
    postgres_environment,
    sqlite_environment,
)
from tests.postgres import Server as Postgres

SERVERS = ("sqlite", "postgres", "postgres-2", "openbao", "floor")
_SETTLE = 0.3  # seconds after a run in which what the server still has to write counts as its work
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to measure, and for how long."""

    servers: Sequence[str]
    operations: Sequence[str]
    connections: Sequence[int]
    rounds: int
    seconds: int
    size: seed.Size


class Sample(msgspec.Struct, frozen=True):
    """One run of one operation on one server."""

    round: int
    requests: int
    errors: int
    faults: dict[str, int]
    per_second: float
    per_cpu_second: float
    cpu_share: float  # of all the machine's cores
    elsewhere: float  # share of the machine that neither the server nor the loader used
    p50: float
    p99: float
    rss: int
    pss: int


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """All samples of one operation on one server at one number of connections; `why_not` where there are none."""

    server: str
    operation: str
    connections: int
    samples: list[Sample] = []
    why_not: str = ""

    @property
    def is_valid(self) -> bool:
        """Whether every request of every round was answered as it should be."""
        return bool(self.samples) and not any(sample.errors for sample in self.samples)


class Spread(msgspec.Struct, frozen=True):
    """What several rounds said."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """The spread of some values."""
        return cls(median(values), min(values), max(values))


def ratios(row: Row, other: Row, field: str = "per_cpu_second") -> Spread | None:
    """How many times `other` this row is, round by round; None where one of them is missing or not valid."""
    theirs = {sample.round: getattr(sample, field) for sample in other.samples}
    if not row.is_valid or not other.is_valid:
        return None
    found = [getattr(sample, field) / theirs[sample.round] for sample in row.samples if theirs.get(sample.round)]
    return Spread.of(found) if found else None


@asynccontextmanager
async def fleet(plan: Plan, folder: Path, say: Say) -> Any:
    """The servers of a plan, filled, running and idle."""
    with ExitStack() as stack:
        found: dict[str, Any] = {}
        database: Postgres | None = None
        log = folder / "log"
        if "sqlite" in plan.servers or "floor" in plan.servers:
            say("filling SQLite")
            environment = sqlite_environment(folder / "sqlite")
            world = await filled(environment, plan.size)
            found["sqlite"] = Watchword("sqlite", "Watchword on SQLite", environment, world, plan.size)
        for name, workers in (("postgres", 1), ("postgres-2", 2)):
            if name in plan.servers:
                say(f"filling PostgreSQL for {workers} worker{'s' if workers > 1 else ''}")
                database = database or stack.enter_context(postgres())
                dsn = await make_database(database, f"bench_{workers}")
                environment = postgres_environment(folder / name, dsn, WATCHWORD_WORKERS=str(workers))
                world = await filled({**environment, "WATCHWORD_WORKERS": "1"}, plan.size)
                await analyzed(dsn)
                title = f"Watchword on PostgreSQL, {workers} worker{'s' if workers > 1 else ''}"
                found[name] = Watchword(name, title, environment, world, plan.size, database)
        if "floor" in plan.servers:
            found["floor"] = Floor(found["sqlite"])
        if "openbao" in plan.servers:
            say("filling OpenBao")
            found["openbao"] = OpenBao(folder / "openbao", plan.size)
        for server in found.values():
            stack.callback(server.stop)
            server.start(log)
        yield [found[name] for name in plan.servers]


class Bench:
    """Carries out a plan."""

    def __init__(self, plan: Plan, servers: Sequence[Server], folder: Path, say: Say) -> None:
        self._plan = plan
        self._servers = servers
        self._loader = Loader(folder)
        self._say = say
        self._rows: dict[tuple[str, str, int], Row] = {}
        self._prepared: dict[tuple[str, str], Path | None] = {}
        self._why: dict[tuple[str, str], str] = {}

    def run(self) -> list[Row]:
        """All rounds; the rows in the order of operations, connections and servers."""
        for number in range(1, self._plan.rounds + 1):
            for operation in self._plan.operations:
                for connections in self._plan.connections:
                    # Who goes first changes from round to round, so that no server always meets the machine in one
                    # state.
                    turn = number % len(self._servers)
                    for server in [*self._servers[turn:], *self._servers[:turn]]:
                        for variant in self._variants(server, operation):
                            self._measure(number, server, variant, connections)
        order = {server.name: i for i, server in enumerate(self._servers)}
        places = {operation: i for i, operation in enumerate([*self._plan.operations, BATCH_LOGIN])}
        return sorted(self._rows.values(), key=lambda row: (places[row.operation], row.connections, order[row.server]))

    def _variants(self, server: Server, operation: str) -> Iterator[str]:
        yield operation
        if operation == LOGIN and server.requests(BATCH_LOGIN):
            yield BATCH_LOGIN

    def _prepare(self, server: Server, operation: str) -> Path | None:
        """The requests of an operation in a file, after the first was answered well and all were sent once or more."""
        key = (server.name, operation)
        if key not in self._prepared:
            requests = server.requests(operation)
            self._prepared[key], self._why[key] = None, "not offered"
            if requests:
                caller = Caller(server.port)
                answer = caller.send(requests[0])
                caller.close()
                if answer.status < 300:
                    self._prepared[key] = path = self._loader.keep(f"{server.name}-{operation}", requests)
                    self._loader.warm(server.port, path, len(requests))
                else:
                    self._why[key] = f"answers {answer.status}: {answer.body[:200].decode(errors='replace')}"
                    self._say(f"{server.name} {operation}: {self._why[key]}")
        return self._prepared[key]

    def _measure(self, number: int, server: Server, operation: str, connections: int) -> None:
        path = self._prepare(server, operation)
        key = (server.name, operation, connections)
        row = self._rows.setdefault(
            key,
            Row(
                server=server.name,
                operation=operation,
                connections=connections,
                why_not=self._why[key[:2]] if path is None else "",
            ),
        )
        if path is not None:
            sample = measured(self._loader, server, path, number, connections, self._plan.seconds)
            row.samples.append(sample)
            self._say(
                f"round {number}  {operation:<12} c={connections:<3} {server.name:<11} {sample.per_second:>8.0f}/s "
                f"{sample.per_cpu_second:>8.0f}/CPU s"
                f"  p50 {sample.p50:6.2f}  p99 {sample.p99:7.2f} ms  {sample.pss / 2**20:5.0f} "
                f"MiB{'  ERRORS ' + str(sample.faults) if sample.errors else ''}"
            )


def measured(loader: Loader, server: Server, path: Path, number: int, connections: int, seconds: int) -> Sample:
    """One run of the loader against one server, with what the server's trees used meanwhile."""
    roots = server.roots
    cpu, machine, began = processes.cpu_seconds(roots), processes.machine_seconds(), time.monotonic()
    loader_before = _loader_seconds()
    result: Result = loader.run(server.port, path, connections=connections, seconds=seconds, start=number * 131)
    time.sleep(_SETTLE)
    cpu, machine = processes.cpu_seconds(roots) - cpu, processes.machine_seconds() - machine
    took, loading = time.monotonic() - began, _loader_seconds() - loader_before
    held = processes.memory(roots)
    cores = _cores()
    return Sample(
        round=number,
        requests=result.requests,
        errors=result.errors,
        faults=dict(result.faults),
        per_second=result.requests / result.seconds,
        per_cpu_second=result.requests / cpu if cpu > 0 else 0.0,
        cpu_share=cpu / took / cores,
        elsewhere=max(0.0, machine - cpu - loading) / took / cores,
        p50=result.p50,
        p99=result.p99,
        rss=held["rss"],
        pss=held["pss"],
    )


def _loader_seconds() -> float:
    """CPU time of children that have ended: the loader's runs."""
    import resource  # noqa: PLC0415 - not on every system

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _cores() -> int:
    import os  # noqa: PLC0415 - only here

    return os.cpu_count() or 1
