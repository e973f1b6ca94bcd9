# ruff: noqa: RUF001 - letters that look alike are what some of these tests are about
"""Which passwords are refused because they can be guessed."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.passwords import weakness

WEAK = [
    "password", "Password1", "P@ssw0rd", "P@ssw0rd2024!", "passwordpassword", "12345678", "123456789", "1234567890", "87654321", "11111111", "aaaaaaaaaaaa",
    "qwertyuiop", "qwerty123", "Qwerty12345!", "1q2w3e4r", "1qaz2wsx", "zaq1xsw2", "asdfghjkl", "abcdefgh", "abcabcabc", "abc12345", "letmein1", "welcome1",
    "Welcome2024", "Summer2024!", "Winter2025", "iloveyou", "iloveyou2", "admin123", "administrator", "changeme", "changeme123", "trustno1", "dragon99",
    "football", "superman", "michael1", "JohnSmith", "monkey12", "sunshine", "princess1", "baseball", "secret123", "watchword", "Watchword1", "infisical1",
    "hallo123", "passwort1", "01.01.1990", "19901990", "asdfasdf", "qweasdzxc", "ｐａｓｓｗｏｒｄ", "testtest", "test1234", "            ", "abababababab",
]  # fmt: skip


@pytest.mark.parametrize("password", WEAK, ids=ascii)
def test_what_guessers_try_first_is_refused(password: str) -> None:
    assert "guessed" in (weakness(password) or "")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery", "another password", "a new password", "wrong password", "Tr0ub4dor&3", "kx8#Lq2vTz", "die Katze frisst Fisch", "пароль-из-слов-42",
        "gT7-pQ2-wZ9", "vanilla otter kayak", "x" * 5 + "Zebra kite mixing", "f3a9c17be04d",
    ],
)  # fmt: skip
def test_what_is_hard_to_guess_is_taken(password: str) -> None:
    assert weakness(password) is None


@pytest.mark.parametrize("password", ["", "short", "1234567", "x" * 1025])
def test_the_message_says_how_long_it_must_be(password: str) -> None:
    assert "8 to 1024" in (weakness(password) or "")


@pytest.mark.parametrize(
    "password", ["ada.lovelace@example.com", "lovelace1815", "Ada-Lovelace!", "l0velace99", "ecalevol12", "AdaExample1", "lovelacelovelace"]
)
def test_a_password_of_the_person_s_own_name_or_address_is_refused(password: str) -> None:
    assert weakness(password, ["ada.lovelace@example.com", "Ada", "Lovelace"]) is not None


def test_the_message_tells_a_person_that_it_is_their_own_name() -> None:
    assert "your own" in (weakness("lovelacekx", ["ada.lovelace@example.com", "Ada", "Lovelace"]) or "")
    assert weakness("lovelacekx") is None


@given(st.text(max_size=1_100), st.lists(st.text(max_size=300), max_size=4))
def test_every_text_gets_an_answer(password: str, own: list[str]) -> None:
    assert weakness(password, own) is None or len(password) < 8 or weakness(password, own)


@pytest.mark.parametrize(
    "password", ["a" * 1024, "ab" * 512, "password" * 128, "1q2w3e4r" * 128, "".join(chr(0x4E00 + i) for i in range(1024))]
)
def test_a_long_password_is_judged_in_no_time(password: str) -> None:
    began = time.perf_counter()
    weakness(password, ["a" * 250 + "@" + "b" * 250])

    assert time.perf_counter() - began < 0.5
