# ruff: noqa: RUF001 - letters that look alike are what some of these tests are about
"""Which passwords are refused because they can be guessed."""

import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.people.passwords import weakness

WEAK = [
    "password",
    "Password1",
    "P@ssw0rd",
    "P@ssw0rd2024!",
    "passwordpassword",
    "12345678",
    "123456789",
    "1234567890",
    "87654321",
    "11111111",
    "aaaaaaaaaaaa",
    "qwertyuiop",
    "qwerty123",
    "Qwerty12345!",
    "1q2w3e4r",
    "1qaz2wsx",
    "zaq1xsw2",
    "asdfghjkl",
    "abcdefgh",
    "abcabcabc",
    "abc12345",
    "letmein1",
    "welcome1",
    "Welcome2024",
    "Summer2024!",
    "Winter2025",
    "iloveyou",
    "iloveyou2",
    "admin123",
    "administrator",
    "changeme",
    "changeme123",
    "trustno1",
    "dragon99",
    "football",
    "superman",
    "michael1",
    "JohnSmith",
    "monkey12",
    "sunshine",
    "princess1",
    "baseball",
    "secret123",
    "watchword",
    "Watchword1",
    "infisical1",
    "hallo123",
    "passwort1",
    "01.01.1990",
    "19901990",
    "asdfasdf",
    "qweasdzxc",
    "ｐａｓｓｗｏｒｄ",
    "testtest",
    "test1234",
    "            ",
    "abababababab",
    "Password123!",
    "qwertyuiop123",
    "watchword2026",
    "admin@example.com",
    "user@example.com",
    "root@localhost",
    "correcthorsebatterystaple",
    "correct horse battery staple",
    "Tr0ub4dor&3",
    "1qaz2wsx3edc",
    "zxcvbnm,./",
    "abcdefghijklm",
    "passw0rdpassw0rd",
    "P4$$w0rd!",
    "19851985",
]


@pytest.mark.parametrize("password", WEAK, ids=ascii)
def test_what_guessers_try_first_is_refused(password: str) -> None:
    assert "guessed" in (weakness(password) or "")


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "another password",
        "a new password",
        "wrong password",
        "kx8#Lq2vTz",
        "die Katze frisst Fisch",
        "пароль-из-слов-42",
        "gT7-pQ2-wZ9",
        "vanilla otter kayak",
        "x" * 5 + "Zebra kite mixing",
        "f3a9c17be04d",
        "choose-a-long-one",
        "7(mK[q{z<1!|9R$w+vT%",
        "({[<1!|79+5$",
        "84930275610384756",
        "seven quiet otters paddle",
        "Xk9fQw2LmT8s" * 50,
    ],
)
def test_what_is_hard_to_guess_is_taken(password: str) -> None:
    assert weakness(password) is None


@pytest.mark.parametrize("password", ["", "short", "1234567", "x" * 1025])
def test_the_message_says_how_long_it_must_be(password: str) -> None:
    assert "8 to 1024" in (weakness(password) or "")


@pytest.mark.parametrize(
    "password",
    [
        "ada.lovelace@analytical.test",
        "lovelace1815",
        "Ada-Lovelace!",
        "l0velace99",
        "ecalevol12",
        "AdaAnalytical1",
        "lovelacelovelace",
        "alovelace1815",
        "LovelaceAda!1",
        "ada_lovelace",
        "admin@analytical.test",
    ],
)
def test_a_password_of_the_person_s_own_name_or_address_is_refused(password: str) -> None:
    assert weakness(password, ["ada.lovelace@analytical.test", "Ada", "Lovelace"]) is not None


def test_the_message_tells_a_person_that_it_is_their_own_name() -> None:
    assert "your own" in (weakness("Ada-Lovelace!", ["ada.lovelace@example.com", "Ada", "Lovelace"]) or "")
    assert weakness("Ada-Lovelace!", ["grace@example.com", "Grace", "Hopper"]) is None


def test_two_who_choose_at_once_are_each_judged_by_their_own_names() -> None:
    people = [(f"Zorbl{i}ak", f"Quyx{i}mund") for i in range(40)]
    with ThreadPoolExecutor(8) as pool:
        own = list(pool.map(lambda names: weakness("-".join(names), names), people))
        others = list(pool.map(lambda i: weakness("-".join(people[i]), people[i - 1]), range(40)))

    assert all("your own" in (fault or "") for fault in own)
    assert [None] * 40 == others


def test_the_lists_of_words_are_read_only_when_a_password_is_judged() -> None:
    code = "import sys, watchword.app, watchword.services.people.passwords; sys.exit('zxcvbn' in sys.modules)"
    assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode


@given(st.text(max_size=1_100), st.lists(st.text(max_size=300), max_size=4))
def test_every_text_gets_an_answer(password: str, own: list[str]) -> None:
    assert weakness(password, own) is None or len(password) < 8 or weakness(password, own)


LOOK_ALIKES = "4@8({[<3691!|0$5+7%2"  # stand for letters, some for two: zxcvbn tries every reading
HOSTILE = [
    "a" * 1024,
    "ab" * 512,
    "password" * 128,
    "1q2w3e4r" * 128,
    "".join(chr(0x4E00 + i) for i in range(1024)),
    LOOK_ALIKES * 50,
    "([{<1!|79$5+" * 80,
    "1234567890" * 100,
    "2010" * 256,
    "aabbccddeeffgghhiijjkkllmm" * 39,
    "1/1/91 01.01.1990 " * 50,
    "p@$$w0rd1|7!({<[69m0nk3y+%28" * 36,
    *("".join(random.Random(seed).choices(LOOK_ALIKES + "aeiloste", k=100)) for seed in range(40)),
]


@pytest.mark.measures
@pytest.mark.parametrize("password", HOSTILE, ids=range(len(HOSTILE)))
def test_no_text_takes_long_to_judge(password: str) -> None:
    weakness("the lists are read")
    took = []
    for _ in range(3):
        began = time.thread_time()
        weakness(password, ["a" * 250 + "@" + "b" * 250, "Ada", "Lovelace"])
        took.append(time.thread_time() - began)

    assert min(took) < 0.05  # seconds
