"""Judge whether a person's password can be guessed.

zxcvbn estimates the number of guesses of an attacker who knows this person's names.

    P@ssw0rd2024!         ->  score 2 of 4: refused
    vanilla otter kayak   ->  score 4 of 4: taken

What counts is how early it would be tried, not its length or its classes of characters (NIST SP 800-63B, 3.1.1.2).
"""

import re
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from itertools import permutations
from typing import Any, Final

MIN_LENGTH, MAX_LENGTH = 8, 1024
ENOUGH: Final = 3  # zxcvbn's score: 10^8 guesses and more
MOST_READ: Final = 32  # characters: what is longer is judged by its beginning
_MOST_WORK: Final = 10_000  # readings of the look-alike characters, times the square of the length
_MOST_PARTS: Final = 12  # of a person's names and address, that are tried in pairs as well

# Tried first here though no list of zxcvbn has them as one word.
_KNOWN: Final = (
    "watchword",
    "infisical",
    "@example.com",
    "@example.org",
    "@localhost",
    "correcthorsebatterystaple",
    "correct horse battery staple",
    "correct-horse-battery-staple",
    "correct.horse.battery.staple",
    "correct_horse_battery_staple",
    "tr0ub4dor&3",
    "tr0ub4dour&3",
)
# zxcvbn keeps the words of the person it judges for in a module-wide table, so that two at once would see each other's.
_one_at_a_time = threading.Lock()


def weakness(password: str, own: Iterable[str] = ()) -> str | None:
    """Why a password is refused, in words for the person who chose it; None when it is good enough.

    `own` are the person's address and names, and what else anybody would try for this person. The first call reads the
    lists of words, some 70 ms; every call takes less than 50 ms whatever the text: call it off the event loop.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters"
    from zxcvbn import zxcvbn  # noqa: PLC0415 - its lists take 8 MiB and 70 ms: only where a password is set

    parts = _own_words(own)
    text = _judged(unicodedata.normalize("NFKC", password))
    with _one_at_a_time:
        result = zxcvbn(text, user_inputs=[*parts, *_KNOWN], max_length=MOST_READ)
    return None if result["score"] >= ENOUGH else _reason(result, frozenset(parts))


def _reason(result: Any, own: frozenset[str]) -> str:
    words = {match.get("matched_word") for match in result["sequence"]}
    if words & own:
        return "This password is made of your own name or address: choose one that others cannot know"
    if words & set(_KNOWN):
        return (
            "This password is easily guessed. It holds this product's name or a well-known example. Choose "
            "several unusual words."
        )
    warning, hints = result["feedback"]["warning"], result["feedback"]["suggestions"]
    return " ".join(["This password is easily guessed.", *([warning] if warning else []), *hints])


def _judged(text: str) -> str:
    """The beginning of a text that is judged: as much as takes little time. A text is no weaker than its beginning.

    zxcvbn tries every reading of the characters that stand for letters (`1` for i or l, `(` for c), and their number
    multiplies: 72 such characters take it many seconds.
    """
    text = text[:MOST_READ]
    while len(text) > MIN_LENGTH and _readings(text) * len(text) ** 2 > _MOST_WORK:
        text = text[:-1]
    return text


def _readings(text: str) -> int:
    """In how many ways, at most, zxcvbn reads a text with characters that stand for letters."""
    from zxcvbn.matching import L33T_TABLE  # noqa: PLC0415 - as above

    count, seen = 1, set[str]()
    for substitutes in L33T_TABLE.values():
        present = [sign for sign in substitutes if sign in text]
        if present:
            count *= sum(2 if sign in seen else 1 for sign in present)
            seen.update(present)
    return count


def _own_words(own: Iterable[str]) -> Sequence[str]:
    """The words of a person that a password may not consist of.

    They are each word, its parts, and two of the parts in a row, with an initial for the first.
    """
    whole, parts = list[str](), list[str]()
    for word in (unicodedata.normalize("NFKC", own_word).casefold() for own_word in own):
        whole += [word, word[word.rfind("@") :] if "@" in word else word]
        parts += re.split(r"[\s@._+-]+", word)
    parts = [part for part in dict.fromkeys(parts) if len(part) >= 2][:_MOST_PARTS]
    pairs = [a + between + b for a, b in permutations(parts, 2) for between in ("", ".", "-", "_", " ")]
    initials = [a[0] + b for a, b in permutations(parts, 2)]
    return [word for word in dict.fromkeys([*whole, *parts, *pairs, *initials]) if len(word) >= 3]
