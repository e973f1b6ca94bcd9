"""Many patterns at once: the same answers as one after the other, for a fraction of the work."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain import globs
from watchword.domain.globs import MAX_TEXT, Effort, glob_matches
from watchword.domain.globsets import GlobSet

_pieces = st.sampled_from(
    [
        "a",
        "b",
        ".",
        "/",
        "?",
        "*",
        "**",
        "**/",
        "/**",
        "[ab]",
        "[^a]",
        "[!b]",
        "[a/]",
        "[a",
        "{a,b}",
        "{a..c}",
        "(a|b)",
        "?(a)",
        "*(a|b)",
        "+(ab)",
        "@(a|)",
        "!(a)",
        "!",
        "./",
        "\\*",
        "\\a",
        "a+",
        "(a)?",
        "(",
        "{",
    ]
)
_patterns = st.lists(st.lists(_pieces, max_size=8).map("".join), max_size=12)
_texts = st.lists(st.text("ab./c[]*!", max_size=12), max_size=6)


@given(patterns=_patterns, texts=_texts)
def test_a_set_answers_as_its_patterns_do(patterns: list[str], texts: list[str]) -> None:
    matcher = GlobSet(enumerate(patterns))

    for text in [*texts, *patterns]:
        assert [glob_matches(one, text) for one in patterns] == [
            bool(matcher.matching(text) >> i & 1) for i in range(len(patterns))
        ]


def test_sets_that_share_their_patterns_answer_each_for_itself() -> None:
    """The automata are shared, and what they remember of the text before must not mix."""
    patterns = ["*a*", "*b*", "*c*", "*d*"]
    one, other = GlobSet(enumerate(patterns)), GlobSet(enumerate(patterns))

    assert [0b0011, 0b1100, 0b0011] == [one.matching("xaby"), other.matching("xcdy"), one.matching("xaby")]


def test_a_text_beyond_the_limit_is_only_itself() -> None:
    text = "a" * (MAX_TEXT + 1)

    assert 0b10000 == GlobSet(enumerate(["*", "a*", "*a", "**", text])).matching(text)


@pytest.mark.measures
def test_hundreds_of_patterns_over_thousands_of_names_take_a_few_steps_for_each_name() -> None:
    patterns = [f"*S*E?*{i}*[A-Z]*T_*?*{i % 7}*X" for i in range(900)]
    names = [f"SECRET_{i:05d}" for i in range(3_000)]
    matcher = GlobSet(enumerate(patterns))
    assert 0 == matcher.matching(names[0])  # its automata are made
    before = Effort.steps

    for name in names:
        matcher.matching(name)

    assert Effort.steps - before <= 300 * len(
        names
    )  # one after the other: at least 900 times 4 for each, were they all warm


@pytest.mark.measures
def test_names_of_ever_new_characters_forget_what_was_kept() -> None:
    patterns = [f"*{chr(0x4E00 + i)}*[a-{chr(0x5E00 + i)}]*" for i in range(100)]
    matcher = GlobSet(enumerate(patterns))

    for i in range(1_000):
        name = f"{chr(0x4E00 + i)}{chr(0x5000 + i)}"
        assert [glob_matches(one, name) for one in patterns] == [
            bool(matcher.matching(name) >> k & 1) for k in range(100)
        ]
    globs._machine.cache_clear()
