"""What a receiver gets, how it can tell who sent it, and when a message is tried again."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.deliveries import (
    MAX_ATTEMPTS,
    MAX_DELAY,
    Outcome,
    Receiver,
    brief,
    delay,
    is_over,
    key_bytes,
    read_sealed,
    sealed_text,
    shown_url,
    signatures,
)
from watchword.domain.secret import Secret


def test_delays_grow_by_three_and_end_at_six_hours() -> None:
    found = [delay(n, Outcome(), 0.5) // 1000 for n in range(1, MAX_ATTEMPTS)]

    assert [5, 15, 45, 135, 405, 1215, 3645, 10935, 21600, 21600, 21600] == found
    assert 20 * 3600 < sum(found) < 24 * 3600


@given(st.integers(0, 10_000), st.floats(0, 1), st.integers(0, 10**6))
def test_a_delay_is_spread_and_bounded(failures: int, chance: float, after: int) -> None:
    found = delay(failures, Outcome(retry_after=after), chance)

    assert 4_000 <= found <= MAX_DELAY
    assert found >= min(after, 3_600) * 1000


@pytest.mark.parametrize(
    ("status", "most"),
    [(None, 12), (500, 12), (503, 12), (429, 12), (408, 12), (404, 8), (401, 8), (301, 12), (410, 1)],
)
def test_how_often_a_message_is_tried_depends_on_the_answer(status: int | None, most: int) -> None:
    assert most == next(n for n in range(1, 99) if is_over(n, Outcome(status=status, error="x")))


def test_both_signatures_can_be_checked_with_the_key() -> None:
    headers = signatures("s3cret", "id-1", 1_700_000_000_123, b'{"a":1}')

    standard = hmac.digest(b"s3cret", b'id-1.1700000000.{"a":1}', hashlib.sha256)
    assert f"v1,{base64.b64encode(standard).decode()}" == headers["webhook-signature"]
    own = hmac.new(b"s3cret", b'{"a":1}', hashlib.sha256).hexdigest()
    assert f"t=1700000000123;{own}" == headers["x-infisical-signature"]
    assert ("id-1", "1700000000") == (headers["webhook-id"], headers["webhook-timestamp"])
    assert {"webhook-id", "webhook-timestamp"} == signatures("", "id-1", 1, b"").keys()


def test_a_key_of_standard_webhooks_is_base64() -> None:
    assert b"hello" == key_bytes("whsec_aGVsbG8=")
    assert b"whsec_%%" == key_bytes("whsec_%%")


def test_a_shown_url_has_no_query_and_of_a_chat_only_the_host() -> None:
    assert "https://h.example.com:8443/a/b?***" == shown_url("https://h.example.com:8443/a/b?t=hidden", "general")
    assert "https://h.example.com/a" == shown_url("https://h.example.com/a", "general")
    assert "https://h.example.com/***" == shown_url("https://h.example.com/T0/hidden", "slack")


def test_an_error_is_told_without_urls_and_addresses() -> None:
    assert "too slow" == brief("https://h.example.com/T0/hidden: too slow")
    assert "10.0.0.1" not in brief("h.example.com: 10.0.0.1 is a private, local or reserved address; name it")


def test_what_is_sealed_is_read_again_and_shown_to_nobody() -> None:
    receiver = Receiver(url=Secret("https://hidden"), key=Secret("hidden"), addresses=("a@example.com",))

    assert receiver == read_sealed(sealed_text(receiver))
    assert "hidden" not in repr(receiver)
