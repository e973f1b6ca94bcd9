# ruff: noqa: RUF001 - names that look alike are what these tests are about
"""Spellings that a directory takes for the same name (RFC 4518)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.authentication.ldap_names import comparable, directory_name, distinguished_name

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


@pytest.mark.parametrize(
    "text",
    [
        "CN=Smith\\, John,OU=Groups,DC=example",
        "cn=smith\\, john,ou=groups,dc=EXAMPLE",
        " CN = Smith\\,  John , OU=Groups ; DC=example",
        'CN="Smith, John",OU=Groups,DC=example',
        "CN=Smith\\2C John,OU=Groups,DC=example",
        "2.5.4.3=Smith\\, John,OID.2.5.4.11=Groups,domainComponent=example",
        "CN=Smith\\, John\\ ,OU=Groups,DC=example",
    ],
)
def test_spellings_of_one_dn_are_one(text):
    assert distinguished_name(text) == distinguished_name("CN=Smith\\, John,OU=Groups,DC=example")


@pytest.mark.parametrize(
    "text",
    [
        "CN=Smith\\, John,OU=Groups",
        "OU=Groups,CN=Smith\\, John,DC=example",
        "CN=Smith,John,OU=Groups,DC=example",
        "CN=Smith\\, John,OU=Groups,DC=example,DC=com",
        "CN=Smith\\, John+OU=Groups,DC=example",
        "UID=Smith\\, John,OU=Groups,DC=example",
    ],
)
def test_another_dn_is_another(text):
    assert distinguished_name(text) != distinguished_name("CN=Smith\\, John,OU=Groups,DC=example")


@pytest.mark.parametrize("text", ["", "admin", "R&D, Berlin", "CN=a,", "=a", "CN=a\\", "CN=a,b", "a b=c", "CN=\\ff"])
def test_a_text_that_is_no_dn_is_none(text):
    assert distinguished_name(text) is None


def test_members_of_one_part_have_no_order_and_hex_is_not_text():
    assert distinguished_name("CN=a+UID=b,DC=c") == distinguished_name("uid=b + cn=A,dc=c")
    assert distinguished_name("CN=#41") != distinguished_name("CN=\\#41")
    assert distinguished_name("CN=#aB") == distinguished_name("CN=#Ab")


@given(st.text(max_size=12))
def test_an_escaped_value_comes_back_as_a_directory_compares_it(value):
    escaped = "".join(f"\\{byte:02x}" for byte in value.encode())

    (part,) = distinguished_name(f"CN={escaped}")
    ((kind, read),) = part
    assert (kind, read.removeprefix("\0")) == ("cn", directory_name(value))


@given(st.text(alphabet='a=,;+"\\ #1', max_size=16))
def test_no_text_does_more_than_be_no_dn(text):
    assert comparable(text) == comparable(text)
