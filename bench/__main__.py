"""`python -m bench`: the comparison; `python -m bench growth`: the curves;
`python -m bench stall`: how long one request holds up others; `python -m bench instructions`: what operations cost;
`python -m bench console`: what the pages of the console cost."""

import argparse
import asyncio
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import console, growth, instructions, machine, report, seed, stall
from bench.compare import SERVERS, Bench, Plan, fleet
from bench.faults import BenchError
from bench.load import Loader
from bench.servers import OPERATIONS

_OUT = Path(__file__).parent.parent / "docs" / "benchmarks"


def _listed(known: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        wanted = text.split(",")
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: choose from {', '.join(known)}")
        return [name for name in known if name in wanted]

    return read


def _numbers(text: str) -> list[int]:
    return sorted({int(part) for part in text.split(",")})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measures Watchword beside OpenBao, or how it grows."
    )
    parser.add_argument(
        "what",
        nargs="?",
        choices=("compare", "growth", "stall", "instructions", "console"),
        default="compare",
        help="compare (default), growth, stall, instructions or console",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a short run: 16 connections only, a second for each figure; growth up to 100,000",
    )
    parser.add_argument("--servers", type=_listed(SERVERS), help=f"of {','.join(SERVERS)}")
    parser.add_argument("--operations", type=_listed(list(OPERATIONS)), help=f"of {','.join(OPERATIONS)}")
    parser.add_argument("--connections", type=_numbers, help="numbers of connections (1,16,64)")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (3)")
    parser.add_argument("--seconds", type=int, help="how long each figure is measured (3)")
    parser.add_argument("--identities", type=int, help="identities that log in (500)")
    parser.add_argument("--secrets", type=int, help="secrets that are there, 100 to a folder (2,000)")
    parser.add_argument("--most", type=int, help="growth, console: the largest size (1,000,000; 100,000)")
    parser.add_argument(
        "--only",
        default="",
        metavar="PATTERN",
        help="stall: only requests whose names match this expression; console: only pages with it",
    )
    parser.add_argument("--out", type=Path, default=_OUT, help="folder for the JSON and the page")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, write the results, say where they are."""
    given = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped on every way out
    try:
        with tempfile.TemporaryDirectory(prefix="watchword-bench-") as folder:
            if given.what == "stall":
                return asyncio.run(_stall(given, Path(folder)))
            if given.what == "console":
                return asyncio.run(_console(given, Path(folder)))
            if given.what == "instructions":
                instructions.run(Path(folder), given.operations or list(OPERATIONS), _say)
                return 0
            Loader(Path(folder))  # before anything is filled: whether there is a loader
            written = asyncio.run(
                _grow(given, Path(folder)) if given.what == "growth" else _compare(given, Path(folder))
            )
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


def _say(text: str) -> None:
    print(text, flush=True)


async def _stall(given: argparse.Namespace, folder: Path) -> int:
    few, many, events = (2_000, 20_000, 20_000) if given.quick else (4_000, 100_000, 100_000)
    size = seed.Size(identities=given.identities or few, secrets=given.secrets or many, tokens=events)
    found = await stall.run(folder, size, given.only, _say)
    slow = sum(one.cpu > stall.LIMIT for one in found)
    _say(f"{slow} of {len(found)} requests held the loop for more than {stall.LIMIT * 1000:.0f} ms of CPU time")
    return 1 if slow else 0


async def _console(given: argparse.Namespace, folder: Path) -> int:
    most = given.most or 100_000
    sizes = [given.identities or 1_000] if given.quick else sorted({given.identities or 10_000, most})
    found = await console.run(folder, sizes, given.only, _say)
    over = sum(one.is_over for one in found)
    _say(f"{over} of {len(found)} figures are over {console.BUDGET} ms")
    return 1 if over else 0


async def _compare(given: argparse.Namespace, folder: Path) -> list[Path]:
    quick = given.quick
    plan = Plan(
        servers=given.servers or SERVERS,
        operations=given.operations or list(OPERATIONS),
        connections=given.connections or ([16] if quick else [1, 16, 64]),
        rounds=given.rounds or (2 if quick else 3),
        seconds=given.seconds or (1 if quick else 3),
        size=seed.Size(
            identities=given.identities or (100 if quick else 500), secrets=given.secrets or (500 if quick else 2000)
        ),
    )
    async with fleet(plan, folder, _say) as servers:
        rows = Bench(plan, servers, folder, _say).run()
    found = report.summary(plan, rows, machine.described())
    print(report.as_text(found))
    return report.write(given.out, "comparison", found, report.comparison_page)


async def _grow(given: argparse.Namespace, folder: Path) -> list[Path]:
    most = given.most or (100_000 if given.quick else 1_000_000)
    engines = [name for name in ("sqlite", "postgres") if name in (given.servers or SERVERS)]
    plan = growth.Growth(
        engines=engines,
        most=most,
        operations=given.operations or list(OPERATIONS),
        seconds=given.seconds or (1 if given.quick else 2),
        rounds=given.rounds or (1 if given.quick else 2),
    )
    found = await growth.run(plan, folder, _say)
    found["machine"] = machine.described()
    print(growth.as_text(found))
    return report.write(given.out, "growth", found, growth.growth_page)


if __name__ == "__main__":
    sys.exit(main())
