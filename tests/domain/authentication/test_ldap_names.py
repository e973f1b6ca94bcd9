# ruff: noqa: RUF001 - names that look alike are what these tests are about
"""Spellings that a directory takes for the same name (RFC 4518)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.authentication.ldap_names import directory_name

SPELLINGS = [
    "ada",
    "ADA",
    "Ada",
    " ada",
    "ada  ",
    "ａda",
    "ＡＤＡ",
    "𝐚da",
    "𝕒da",
    "𝖆𝖉𝖆",
    "ⓐⓓⓐ",
    "ªda",
    "a\u00adda",
    "ad\u200ba",
    "\ufeffada",
    "a\u034fda",
    "ada\ufe0f",
    "a\u2060da",
    "ad\u180ba",
    "\u202eada\u202c",
    "a\u115fda",
    "a\U000e0061da",
    "ada\x00",
    "\tada\n",
    "\u00a0ada\u3000",
    "a\ufffcda",
]


@pytest.mark.parametrize("typed", SPELLINGS, ids=ascii)
def test_every_spelling_of_a_name_has_one_form(typed: str) -> None:
    assert "ada" == directory_name(typed)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Straße", "STRASSE"),
        ("café", "cafe\u0301"),
        ("ﬁona", "FIONA"),
        ("ŉ", "ʼn"),
        ("İ", "i̇"),
        ("K", "k"),
        ("Å", "å"),
        ("ſ", "S"),
        ("a b", "A \u2003 B"),
        ("ΣΑΣ", "σας"),
        ("ｱﾀﾞ", "アダ"),
        ("①", "1"),
    ],
)
def test_width_compatibility_case_and_spaces_make_no_other_name(one: str, other: str) -> None:
    assert directory_name(one) == directory_name(other)


@pytest.mark.parametrize(
    ("one", "other"), [("ada", "adb"), ("a b", "ab"), ("ada", "аda"), ("ada.l", "ada-l"), ("a", "aa")]
)
def test_other_names_stay_other_names(one: str, other: str) -> None:
    assert directory_name(one) != directory_name(other)


@given(st.text(max_size=20))
def test_the_form_of_a_form_is_itself(text: str) -> None:
    assert directory_name(text) == directory_name(directory_name(text))
