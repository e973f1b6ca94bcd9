"""What is plain JSON of bounded size, and what is shown of anything else."""

import enum
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.plain_json import DEEPEST, LONGEST, fault_of, shown, shown_text

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


class Word(enum.StrEnum):
    A = "a"


@given(plain)
def test_what_is_plain_is_shown_as_it_is(value: Any) -> None:
    if fault_of(value) is None:
        assert value == shown(value)
        msgspec.json.encode(value)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        {1: "a"},
        {"a": {2}},
        b"x",
        "\ud800",
        {"\ud800": 1},
        2**63,
        -(2**63) - 1,
        math.nan,
        math.inf,
        nested(DEEPEST + 1),
        Word.A,
        {"a": Word.A},
        "x" * (LONGEST + 1),
        ["x"] * LONGEST,
        {"x" * LONGEST: 1},
        [["x" * 1000] * 40] * 2,
        lambda: None,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_plain_is_told_and_shown_as_something_that_is_text(value: Any) -> None:
    assert fault_of(value)
    if not isinstance(value, int | float):
        msgspec.json.encode(shown(value))


def test_a_value_that_holds_itself_ends() -> None:
    value: list[Any] = []
    value.append(value)

    assert fault_of(value)
    assert shown(value)


def test_the_deepest_and_the_longest_are_plain() -> None:
    assert fault_of(nested(DEEPEST)) is None
    assert fault_of("x" * (LONGEST - 1)) is None
    assert fault_of({}) is None


def test_a_text_is_shown_with_question_marks_for_what_is_no_character() -> None:
    assert ("a?b", "a", "<int>") == (shown_text("a\udfffb"), shown_text(Word.A), shown_text(7))
    assert type(shown_text(Word.A)) is str
