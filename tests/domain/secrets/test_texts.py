"""Names and values of secrets as they are stored."""

import pytest

from watchword.domain.errors import Invalid
from watchword.domain.secrets.texts import MAX_VALUE, checked_name, checked_value, tidy_value


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("  padded  ", "padded"),
        ("-----KEY-----\n", "-----KEY-----\n"),
        ("a\n\n\n", "a\n"),
        ("", ""),
        ("  ", ""),
        ("\n", "\n"),
        ("a\n ", "a"),
        ("l1\nl2", "l1\nl2"),
        ("\ufeffbom", "bom"),
        ("\x1c kept", "\x1c kept"),
        ("\x00", "\x00"),
    ],
)
def test_values_lose_blanks_around_them_but_one_final_newline(given: str, stored: str) -> None:
    assert stored == tidy_value(given)


@pytest.mark.parametrize("name", ["A", "a.b-c_d", "ÜNI", "日本", "lower", "x" * 500, "A+B", "A%B"])
def test_names_that_may_be(name: str) -> None:
    assert name == checked_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "A B",
        "A/B",
        "A:B",
        "A\\B",
        "A\x00B",
        "A\nB",
        ".",
        "..",
        "x" * 501,
        "a%2fb",
        "a%2E",
        "a\u200bb",
        "a\u202eb",
        "a\u2028b",
    ],
)
def test_names_that_may_not_be(name: str) -> None:
    with pytest.raises(Invalid):
        checked_name(name)


def test_two_spellings_of_one_name_are_one_name() -> None:
    assert checked_name("U\u0308NI") == checked_name("\u00dcNI")


def test_a_value_may_take_one_mebibyte_and_no_byte_more() -> None:
    assert MAX_VALUE == len(checked_value("é" * (MAX_VALUE // 2)).encode())
    with pytest.raises(Invalid):
        checked_value("é" * (MAX_VALUE // 2) + "a")
