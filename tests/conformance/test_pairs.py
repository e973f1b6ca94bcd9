"""What a reference server answered, step by step, played against a real one of ours.

The recordings live beside the repository and not in it. Where Watchword's rule is newer than a recording, `overrides/`
says so, each step with its reason.
"""

import asyncio
import json
import re
import sys
from pathlib import Path

import pytest

from tests.api import EMAIL, PASSWORD
from tests.processes import Server, serving

HERE = Path(__file__).parent
RECORDED = HERE.parent.parent.parent / "shared/conformance"
OVERRIDES = sorted((HERE / "overrides").glob("*.json"))
recorded = pytest.mark.skipif(
    not (RECORDED / "replay.py").exists(), reason="the recordings are not beside the repository"
)


def merged() -> dict[str, dict[str, dict[str, object]]]:
    """All overrides. A step may be in several files when they say the same of it."""
    found: dict[str, dict[str, dict[str, object]]] = {}
    for file in OVERRIDES:
        for scenario, steps in json.loads(file.read_text()).items():
            for step, override in steps.items():
                known = found.setdefault(scenario, {}).setdefault(step, override)
                assert known["status"] == override["status"], (
                    f"{file.name}: {scenario} {step} is {known['status']} elsewhere"
                )
    return found


def test_every_override_gives_its_reason() -> None:
    silent = [
        (scenario, step)
        for scenario, steps in merged().items()
        for step, override in steps.items()
        if not override.get("why")
    ]

    assert [] == silent


@recorded
def test_every_override_is_of_a_step_that_was_recorded() -> None:
    steps = {file.stem: len(file.read_text().splitlines()) for file in RECORDED.glob("pairs/*.jsonl")}
    unknown = [
        (scenario, step) for scenario, found in merged().items() for step in found if int(step) > steps.get(scenario, 0)
    ]

    assert [] == [(scenario, step) for scenario, step in unknown if scenario in steps]


def scenarios() -> list[list[str]]:
    """The recorded scenarios in two halves: those in which time passes, and the others."""
    found: tuple[list[str], list[str]] = ([], [])
    for file in sorted(RECORDED.glob("pairs/*.jsonl")):
        waits = any(json.loads(line)["sleep_before"] for line in file.read_text().splitlines())
        found[waits].append(file.stem)
    return list(found)


async def played(url: str, overrides: Path, names: list[str]) -> str:
    """What the player prints about these scenarios."""
    given = ["--base", url, "--email", EMAIL, "--password", PASSWORD, "--overrides", str(overrides), "-v", *names]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(RECORDED / "replay.py"),
        *given,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return (await asyncio.wait_for(process.communicate(), 300))[0].decode()


@recorded
async def test_recorded_requests_are_answered_as_the_reference_did(tmp_path: Path) -> None:
    overrides = tmp_path / "overrides.json"
    overrides.write_text(json.dumps(merged()))
    server: Server
    async with serving(tmp_path) as server:
        await server.api()
        outputs = await asyncio.gather(*[played(server.url, overrides, names) for names in scenarios()])
    output = "".join(outputs)

    # A step whose request is made of the answer to one that we refuse cannot be played; its override says `any`.
    unplayable = {
        (scenario, step)
        for scenario, steps in merged().items()
        for step, one in steps.items()
        if one["status"] == "any"
    }
    different = set(re.findall(r"^  (\w+) #(\d+) ", output, re.MULTILINE))

    steps = sum(len(file.read_text().splitlines()) for file in RECORDED.glob("pairs/*.jsonl"))
    ends = re.findall(r"^(\d+) of (\d+) steps match \((\d+) not", output, re.MULTILINE)
    assert steps == sum(int(replayed) + int(left) for _, replayed, left in ends), output[-3000:]
    assert set() == different - unplayable, output[-6000:]
