"""Token buckets by address, and the rows that refusals are counted in."""

import ipaddress

import pytest

from watchword.domain.audit.records import Denial
from watchword.domain.bounds import AddressSet, address_prefix
from watchword.services import limits
from watchword.services.authentication import refusals
from watchword.services.authentication.refusals import Refusals
from watchword.services.limits import Buckets


class Monotonic:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


NOWHERE = AddressSet([])


@pytest.mark.parametrize(
    ("address", "prefix"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8:0:0:ffff::1", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        ("unix", ""),
        (None, ""),
        ("", ""),
    ],
)
def test_what_counts_as_one_address(address: str | None, prefix: str) -> None:
    assert prefix == address_prefix(address)


def test_a_bucket_fills_with_time_and_says_how_long_to_wait() -> None:
    clock = Monotonic()
    buckets = Buckets(6, "tries", NOWHERE, clock)

    assert [0.0] * 6 == [buckets.take("192.0.2.7") for _ in range(6)]
    assert 10 == buckets.take("192.0.2.7") == buckets.wait("192.0.2.7")
    assert 0 == buckets.wait("192.0.2.8")
    clock.now += 4
    assert 6 == pytest.approx(buckets.wait("192.0.2.7"))
    clock.now += 6
    assert 0 == buckets.take("192.0.2.7")
    assert 0 < buckets.take("192.0.2.7")
    clock.now += 3_600
    assert [0.0] * 6 == [buckets.take("192.0.2.7") for _ in range(6)]
    assert 0 < buckets.take("192.0.2.7")


def test_the_refusal_says_at_least_as_long_as_it_takes() -> None:
    clock = Monotonic()
    buckets = Buckets(60, "tries", NOWHERE, clock)
    for _ in range(60):
        buckets.take("192.0.2.7")
    for wait in (buckets.wait("192.0.2.7"), 0.2, 1.0, 7.3):
        assert wait <= buckets.refusal(wait).retry_after <= wait + 2


def test_no_limit_and_exempt_networks_never_wait() -> None:
    exempt = AddressSet([ipaddress.ip_network("10.0.0.0/8")])

    assert {0.0} == {Buckets(0, "tries", NOWHERE).take("192.0.2.7") for _ in range(5)}
    limited = Buckets(1, "tries", exempt, Monotonic())
    assert {0.0} == {limited.take("10.1.2.3") for _ in range(5)}


def test_however_many_addresses_there_are_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CAPACITY", 50)
    buckets = Buckets(5, "tries", NOWHERE, Monotonic())

    for i in range(500):
        buckets.take(f"10.0.{i // 250}.{i % 250}")

    assert len(buckets._buckets) <= 51


def refusal(i: int, address: str, **fields: str) -> Denial:
    told = {"method": "jwt-auth", "reason": "client_id_unknown", "message": "No"} | fields
    return Denial(request_id=f"req-{i}", at=i, facts={}, checks=(), address=address, **told)  # type: ignore[arg-type]


def test_beyond_many_addresses_a_minute_refusals_are_one_row_without_an_address() -> None:
    kept = Refusals(Monotonic())

    taken = [kept.take(refusal(i, f"10.0.{i // 250}.{i % 250}"), None) for i in range(1_000)]

    stories = [one.denial for one in taken if one.denial]
    assert refusals.ADDRESSES + 1 == len(stories)
    assert stories[-1].address is None
    last = taken[-1].again
    assert last is not None
    assert 1_000 - refusals.ADDRESSES == last.times


def test_strangers_take_no_place_from_an_identity() -> None:
    kept = Refusals(Monotonic())
    for i in range(100):
        kept.take(refusal(i, f"10.0.0.{i}"), None)

    found = kept.take(refusal(200, "192.0.2.7"), None, whose="identity")

    assert found.denial is not None
    assert "192.0.2.7" == found.denial.address


def test_a_story_that_could_not_be_written_is_tried_again_with_the_next() -> None:
    kept = Refusals(Monotonic())
    kept.forget(kept.take(refusal(1, "192.0.2.7"), None))

    assert kept.take(refusal(2, "192.0.2.7"), None).denial is not None


def test_request_ids_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "REMEMBERED", 10)
    kept = Refusals(Monotonic())
    for i in range(100):
        kept.take(refusal(i, "192.0.2.7"), None)

    assert ("req-0", "req-0", "req-5") == tuple(kept.kept_as(id) for id in ("req-99", "req-0", "req-5"))
    assert len(kept._kept_as) == 10
