"""How the edge renders refusals."""

import pytest

from watchword.domain.errors import BadRequest, Refusal, TooManyRequests, Unavailable
from watchword.http.edge import rendered


@pytest.mark.parametrize(
    ("refusal", "status", "header"),
    [
        (TooManyRequests(retry_after=7), 429, b"7"),
        (TooManyRequests(retry_after=0.2), 429, b"1"),
        (TooManyRequests(retry_after=30.1), 429, b"31"),
        (TooManyRequests(), 429, b"1"),
        (Unavailable(), 503, b"1"),
    ],
)
def test_a_refusal_that_passes_says_after_how_many_whole_seconds(refusal: Refusal, status: int, header: bytes) -> None:
    answered, _, headers = rendered(refusal, "req-1")
    assert (status, header) == (answered, dict(headers)[b"retry-after"])


def test_other_refusals_name_no_time() -> None:
    assert b"retry-after" not in dict(rendered(BadRequest(), "req-1")[2])
