"""Whether a person's password can be guessed: what it is made of, with everything that guessers try first taken as one step.

    P@ssw0rd2024!   ->  password | 2024 | !          3 steps: refused
    correct horse   ->  c o r r e c t _ h o r s e   13 steps

A common word, a year, a row of keys, a run of one character and a part of the person's own name or address are one step each;
every other character is one. Length says little and classes of characters say nothing (NIST SP 800-63B, 3.1.1.2).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Final

MIN_LENGTH, MAX_LENGTH = 8, 1024
ENOUGH: Final = 6  # steps
_MOST_READ: Final = 128  # characters: what is longer is judged by its beginning

_LEET: Final = str.maketrans({"@": "a", "4": "a", "3": "e", "0": "o", "5": "s", "$": "s", "7": "t", "+": "t", "1": "i", "!": "i", "|": "l"})
_ROWS: Final = (
    "1234567890", "qwertyuiop", "qwertzuiop", "azertyuiop", "asdfghjkl", "zxcvbnm", "yxcvbnm", "abcdefghijklmnopqrstuvwxyz",
    "1q2w3e4r5t6y7u8i9o0p", "1qaz2wsx3edc4rfv5tgb6yhn7ujm", "qazwsxedcrfvtgbyhnujm", "!@#$%^&*()", '!"§$%&/()=',
    "147258369", "159357", "741852963", "zaq1xsw2cde3",
)  # fmt: skip
_COMMON: Final = """
password passwort passw0rd passwd pass parola contrasena motdepasse senha wachtwoord admin administrator root user guest
login signin welcome willkommen bienvenue letmein changeme change default secret secrets geheim temp temporary test
testing tester demo example sample master owner super superman batman spiderman ironman starwars pokemon naruto matrix
trustno dragon monkey tiger lion eagle falcon panther wolf shadow killer hunter ranger soldier ninja samurai warrior
wizard merlin phoenix princess prince queen king angel angels heaven heavenly jesus christ god love lovely lover
iloveyou loveyou loveme forever always baby babygirl honey sweet sweetie sweety sugar candy cookie chocolate cheese
coffee banana apple orange lemon cherry pepper ginger flower flowers rose lily daisy jasmine butterfly sunshine
sunflower sun moon star stars rainbow summer winter spring autumn fall sommer january february march april may june july
august september october november december monday tuesday wednesday thursday friday saturday sunday football baseball
basketball soccer hockey golf tennis racing ferrari porsche mercedes mustang corvette camaro harley yamaha honda toyota
nissan liverpool chelsea arsenal barcelona madrid juventus milan bayern lakers cowboys yankees steelers eagles raiders
michael michelle jordan jennifer jessica amanda ashley andrew anthony austin brandon brian charlie charles chris
christian daniel daniela danielle david dennis donald edward elizabeth emily emma eric george hannah harry heather jack
jackson jacob jake james jane jason john johnny jonathan joseph joshua julia justin karen katherine kevin laura lauren
linda lisa london lucas lucy madison maria mark martin mary matthew maggie megan melissa mike morgan natalie nathan
nicholas nicole oliver olivia pamela patricia patrick paul peter rachel rebecca richard robert robin ryan sabrina
samantha sandra sarah scott sophie stephanie steven susan taylor thomas tim tina tom tyler vanessa veronica victoria
vincent william smith johnson williams brown jones garcia miller davis wilson anderson andrea alexander alexandra bailey
buster cooper max bella molly rocky lucky sparky snoopy tigger garfield mickey minnie pluto computer internet server
database network system windows microsoft google facebook instagram twitter youtube amazon samsung nokia iphone android
linux ubuntu debian github gitlab docker kubernetes cloud oracle mysql postgres postgresql redis mongo jenkins ansible
terraform vault infisical watchword company business office support service manager money dollar million cash bank
credit access security secure private public control backup production staging develop developer hacker hack hello hallo
hola bonjour ciao thank thanks please whatever nothing something anything everything freedom liberty america american
canada england germany france italy spain mexico brazil russia china india japan africa europe berlin paris texas
florida california newyork chicago boston blue red green black white yellow purple silver golden gold diamond crystal
magic music guitar piano dance rock metal metallica nirvana slipknot eminem blink beatles elvis madonna gandalf frodo
hobbit legolas aragorn harrypotter hogwarts qwerty qwertz azerty asdf asdfgh zxcvbn abc abcd xyz aaa zzz fuck fuckyou
fuckoff shit asshole bitch sexy sex hottie porn dick pussy penis naked mother mom mommy father dad daddy mama papa
brother sister family friend friends single married house home garden kitchen school college university student teacher
doctor nurse police pilot captain player gamer game games minecraft fortnite roblox zelda mario sonic nintendo
playstation xbox counter strike warcraft starcraft diablo doom quake halo
"""
_WORDS: Final = frozenset(_COMMON.split())
_LONGEST: Final = max(map(len, _WORDS))
_DATE: Final = re.compile(r"(?:0?[1-9]|[12][0-9]|3[01])[./-]?(?:0?[1-9]|1[0-2])[./-]?(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}")
_AGAIN: Final = re.compile(r"(.+?)\1+", re.DOTALL)


def weakness(password: str, own: Iterable[str] = ()) -> str | None:
    """Why a password is refused, in words for the person who chose it; None when it is good enough.

    `own` are the person's address and names, and what else anybody would try for this person.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        return f"A password has {MIN_LENGTH} to {MAX_LENGTH} characters"
    text = _folded(password)[:_MOST_READ]
    parts = _own_parts(own)
    if _steps(text, parts) >= ENOUGH and len(set(text)) > 4:
        return None
    if parts and _steps(text, ()) >= ENOUGH:
        return "This password is made of your own name or address: choose one that others cannot know"
    return "This password is easily guessed: common words, names, years and rows of keys count for little. Several unusual words make a good one"


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


def _own_parts(own: Iterable[str]) -> tuple[str, ...]:
    """What of a person's own words is looked for, longest first."""
    found: set[str] = set()
    for word in map(_folded, own):
        found |= {word, *re.split(r"[\s@._+-]+", word)}
    return tuple(sorted((part for part in found if len(part) >= 3), key=len, reverse=True))


def _steps(text: str, own: Sequence[str]) -> int:
    """In how few steps the text is made: the cheapest way to its end, place by place."""
    plain = text.translate(_LEET)
    best = list(range(len(text) + 1))
    for start in range(len(text)):
        for end in _ends(text, plain, start, own):
            best[end] = min(best[end], best[start] + 1)
    return best[-1] if text else 0


def _ends(text: str, plain: str, start: int, own: Sequence[str]) -> Iterable[int]:
    yield start + 1
    for size in range(3, min(_LONGEST, len(text) - start) + 1):
        if text[start : start + size] in _WORDS or plain[start : start + size] in _WORDS:
            yield start + size
    for part in own:
        if text.startswith(part, start) or plain.startswith(part, start) or plain.startswith(part.translate(_LEET), start):
            yield start + len(part)
        if text.startswith(part[::-1], start):
            yield start + len(part)
    date = _DATE.match(text, start)
    if date:
        yield date.end()
    again = _AGAIN.match(text, start)
    if again and (len(again[1]) > 1 or len(again[0]) > 2):
        yield again.end()
    yield from _row_ends(text, start)


def _row_ends(text: str, start: int) -> Iterable[int]:
    """Where a row of keys or letters that begins here may end, in either direction; three of them are a row."""
    for row in _ROWS:
        for line in (row, row[::-1]):
            size = 3
            while start + size <= len(text) and text[start : start + size] in line:
                yield start + size
                size += 1
