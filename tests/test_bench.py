"""The benchmark's own arithmetic, on recorded numbers. Nothing is timed here."""

import itertools
import json
import os
from pathlib import Path

import pytest

from bench import growth, processes, report, seed
from bench.compare import Plan, Row, Sample, Spread, ratios
from bench.faults import BenchError
from bench.load import Loader, json_request, parsed
from bench.servers import BATCH_LOGIN, CHECK, LIST, LOGIN

DOCS = Path(__file__).parent.parent / "docs" / "benchmarks"
RECORDED = """Running 1s test @ http://127.0.0.1:8080/
  1 threads and 16 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.51ms    1.02ms  21.33ms   91.20%
    Req/Sec     4.60k   312.11     5.10k    71.00%
  4603 requests in 1.00s, 2.10MB read

RESULT {"requests":4603,"microseconds":1004213,"bytes":2204837,"connect":0,"read":0,"write":0,"status":2,"timeout":0,"p50":3310.0,"p90":4402.0,"p99":8112.0,"worst":21330.0}
"""


def sample(number: int, per_cpu_second: float, errors: int = 0) -> Sample:
    return Sample(
        round=number,
        requests=1000,
        errors=errors,
        faults={"status": errors} if errors else {},
        per_second=per_cpu_second / 2,
        per_cpu_second=per_cpu_second,
        cpu_share=0.5,
        elsewhere=0.1,
        p50=1.0,
        p99=5.0,
        rss=2 << 20,
        pss=1 << 20,
    )


def rows() -> list[Row]:
    return [
        Row(
            server="sqlite",
            operation=LOGIN,
            connections=16,
            samples=[sample(1, 6000), sample(2, 4000), sample(3, 5000)],
        ),
        Row(
            server="openbao",
            operation=LOGIN,
            connections=16,
            samples=[sample(1, 1000), sample(2, 1000), sample(3, 500)],
        ),
        Row(server="postgres", operation=LOGIN, connections=16, samples=[sample(1, 6000), sample(2, 4000, errors=3)]),
        Row(server="sqlite", operation=LIST, connections=16, why_not="answers 404: <not found>"),
        Row(server="openbao", operation=BATCH_LOGIN, connections=16, samples=[sample(1, 2000)]),
    ]


def plan() -> Plan:
    return Plan(
        servers=["sqlite", "postgres", "openbao"],
        operations=[LOGIN, LIST],
        connections=[16],
        rounds=3,
        seconds=1,
        size=seed.Size(identities=5, secrets=5),
    )


def point(size: seed.Size, check: float, floor: float = 10_000) -> growth.Point:
    return growth.Point(
        engine="sqlite",
        size=size,
        start_seconds=0.8,
        floor=floor,
        per_cpu_second={CHECK: check},
        why_not={},
        pss=1 << 26,
    )


def test_the_loaders_result_is_read_from_its_marked_line() -> None:
    result = parsed(RECORDED)

    assert (4603, 2, {"status": 2}) == (result.requests, result.errors, result.faults)
    assert (3.31, 8.112, 1.004213) == (result.p50, result.p99, result.seconds)


def test_a_loader_that_prints_no_result_is_an_error() -> None:
    with pytest.raises(BenchError, match="no result"):
        parsed("unable to connect to 127.0.0.1:8080 Connection refused")


def test_a_missing_loader_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(BenchError, match="apt-get install wrk"):
        Loader(tmp_path)


def test_a_request_is_written_as_it_goes_over_the_wire() -> None:
    request = json_request("POST", "/login", {"id": "x"}, x_vault_token="t")

    assert (
        b'POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nx-vault-token: t\r\ncontent-type: application/json\r\nContent-Length: 10\r\n\r\n{"id":"x"}'
        == request.raw()
    )


def test_ratios_are_taken_within_each_round() -> None:
    ours, theirs, *_ = rows()

    assert Spread(6.0, 4.0, 10.0) == ratios(ours, theirs)


def test_a_row_with_errors_is_not_valid_and_is_compared_with_nothing() -> None:
    ours, theirs, wrong, missing, _ = rows()

    assert [True, False, False] == [ours.is_valid, wrong.is_valid, missing.is_valid]
    assert ratios(wrong, theirs) is None


def test_the_page_of_a_comparison_shows_medians_and_says_what_is_missing() -> None:
    found = report.summary(plan(), rows(), {"processor": "a <small> one"})
    page = report.comparison_page(found)

    assert 5000 == found["rows"][0]["per_cpu_second"]["median"]
    for shown in (
        "5,000",
        "not valid: 3 errors",
        "answers 404: &lt;not found&gt;",
        "a &lt;small&gt; one",
        "batch token",
    ):
        assert shown in page
    assert "NOT VALID: 3 errors" in report.as_text(found)


def test_results_are_written_with_the_digits_that_count(tmp_path: Path) -> None:
    found = {"rows": [{"a": 12345.678, "b": 0.123456, "c": [1.0]}]}

    report.write(tmp_path, "comparison", found, lambda rounded: f"<page {rounded['rows'][0]['b']}>")

    assert {"rows": [{"a": 12346, "b": 0.1235, "c": [1.0]}]} == json.loads((tmp_path / "comparison.json").read_text())
    assert "<page 0.1235>" == (tmp_path / "comparison.html").read_text()


def test_growth_changes_one_thing_at_a_time_until_there_is_most_of_everything() -> None:
    sizes = growth.path(1_000_000)

    million = seed.Size(identities=10**6, secrets=10**6, tokens=10**6, revocations=10**6)
    assert (seed.Size(identities=10, secrets=10), million) == (sizes[0], sizes[-1])
    for before, after in itertools.pairwise(sizes[1:]):
        assert 1 == sum(getattr(before, axis) != getattr(after, axis) for axis in growth.AXES)


def test_a_curve_is_relative_to_the_floor_and_to_its_first_size() -> None:
    sizes = growth.path(100_000)
    points = [
        point(size, 5000 if size.secrets < 100_000 else 3000, floor=10_000 if size.identities < 100_000 else 5000)
        for size in sizes
    ]

    assert [(10, 1.0), (1000, 1.0), (10_000, 1.0), (100_000, 2.0)] == growth.relative(points, "identities", CHECK)
    found = growth.summary(
        growth.Growth(engines=["sqlite"], most=100_000, operations=[CHECK], seconds=1, rounds=1), points
    )
    assert [("secrets", 100_000)] == [(one["axis"], one["size"]) for one in found["not_flat"]]
    assert "not flat: sqlite, check at 100,000 secrets" in growth.as_text(found)
    assert "<polyline" in growth.growth_page({**found, "machine": {}})


def test_a_process_tree_holds_its_root_and_its_memory() -> None:
    own = os.getpid()

    assert own in processes.tree([own])
    assert processes.memory([own])["pss"] > 1 << 20
    assert processes.cpu_seconds([own]) <= processes.cpu_seconds([own])


def test_rotation_is_spread_over_all_there_is() -> None:
    assert [0, 2000, 4000] == list(seed.numbers(seed.SOME, 10**6))[:3]
    assert [0, 1, 2] == list(seed.numbers(seed.SOME, 3))


@pytest.mark.parametrize(("name", "page"), [("comparison", report.comparison_page), ("growth", growth.growth_page)])
def test_the_page_in_the_documentation_is_made_from_the_numbers_beside_it(name: str, page) -> None:
    data = DOCS / f"{name}.json"
    if not data.exists():
        pytest.skip("nothing was measured yet")

    assert page(json.loads(data.read_text())) == (DOCS / f"{name}.html").read_text()
