"""What people type for durations and moments, and forms with repeated fields."""

import pytest

from watchword.domain.errors import BadRequest, Invalid
from watchword.web.forms import Form, duration, duration_text, moment

NOW = 1_700_000_000_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 2_592_000), ("1h 30m", 5_400), ("1h30m", 5_400), ("3600", 3_600), ("45 s", 45), ("", None), (" ", None)],
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int | None) -> None:
    assert duration(text, "ttl") == seconds


@pytest.mark.parametrize("text", ["soon", "-5", "5 fortnights", "1.5h", "h", "٣d", "9" * 40, "101y", "999999999w"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(Invalid, match="ttl"):
        duration(text, "ttl")


@pytest.mark.parametrize("seconds", [0, 45, 3600, 5400, 86_400, 2_592_000, 90_061])
def test_a_duration_that_is_shown_can_be_typed(seconds: int) -> None:
    assert duration(duration_text(seconds), "ttl") == seconds


def test_a_moment_is_a_date_or_a_duration_from_now() -> None:
    assert moment("30d", NOW, "expires") == NOW + 2_592_000_000
    assert moment("2027-01-31", NOW, "expires") == 1_801_353_600_000
    assert moment("2027-01-31T01:00+01:00", NOW, "expires") == 1_801_353_600_000
    assert moment("", NOW, "expires") is None
    with pytest.raises(Invalid, match="expires"):
        moment("tomorrow", NOW, "expires")


def test_fields_that_are_repeated_together_are_rows() -> None:
    form = Form.of(b"role=viewer&project=a&role=admin&project=b&role=&project=")
    assert form.rows("role", "project") == [{"role": "viewer", "project": "a"}, {"role": "admin", "project": "b"}]
    assert form["role"] == "" and form.all("role") == ["viewer", "admin"] and form.text("nothing") is None


@pytest.mark.parametrize("text", ["", "-1", "²", "٣", "x", "1" * 10])
def test_a_page_that_is_no_number_is_the_first(text: str) -> None:
    assert Form([("offset", text)]).offset == 0
    assert Form([("offset", "50")]).offset == 50


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(BadRequest):
        Form.of(b"a=&" * 5_000)
