"""Conditions: every operator on values of every shape, and that `implies` and `excludes` claim only what is so."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.access.conditions import compile_operand, excludes, fill, implies, is_open, operators_of, ready

TEXT, TAGS, PATH, METADATA = "environment", "secretTags", "secretPath", "metadata"


@pytest.mark.parametrize(
    ("operand", "value", "passes"),
    [
        ("a", "a", True),
        ("a", "A", False),
        ("a", "", False),
        ("", "", True),
        ("a", None, False),
        ("1", 1, False),
        ("a", ["b", "a"], True),
        ("a", [], False),
        ({"$eq": "a"}, "a", True),
        ({"$ne": "a"}, "b", True),
        ({"$ne": "a"}, "a", False),
        ({"$ne": "a"}, ["b", "a"], False),
        ({"$ne": "a"}, [], True),
        ({"$in": ["a", "b"]}, "b", True),
        ({"$in": ["a", "b"]}, "ab", False),
        ({"$in": ["a", "b"]}, ["c", "b"], True),
        ({"$in": []}, "a", False),
        ({"$in": ["a"]}, [{"a": 1}, None], False),
        ({"$in": ["a"]}, None, False),
        ({"$all": ["a", "b"]}, ["b", "c", "a"], True),
        ({"$all": ["a", "b"]}, ["a"], False),
        ({"$all": ["a"]}, "a", True),
        ({"$all": []}, [], True),
        ({"$glob": "a*"}, "ab", True),
        ({"$glob": "a*"}, "ba", False),
        ({"$glob": "a*"}, ["b", "ab"], True),
        ({"$glob": "a*"}, [], False),
        ({"$glob": "*"}, None, False),
        ({"$elemMatch": {"key": "k", "value": {"$glob": "v*"}}}, [{"key": "k", "value": "v1"}], True),
        ({"$elemMatch": {"key": "k", "value": "v"}}, [{"key": "k"}], False),
        ({"$elemMatch": {"key": "k"}}, {"key": "k"}, True),
        ({"$elemMatch": {"key": "k"}}, ["k"], False),
        ({"$regex": ".*"}, "a", False),
        ({"$glob": "a*", "$ne": "ab"}, "ac", True),
        ({"$glob": "a*", "$ne": "ab"}, "ab", False),
        ({}, "a", True),
    ],
)
def test_an_operator_passes_what_it_names_and_nothing_else(operand: Any, value: Any, passes: bool) -> None:
    assert compile_operand(TEXT, operand)(value) is passes


@pytest.mark.parametrize("written", ["/a", "/a/", "/a//"])
def test_a_path_is_the_same_with_and_without_a_slash_at_its_end(written: str) -> None:
    assert {"$eq": "/a"} == operators_of(PATH, written)
    assert {"$in": frozenset({"/a", "/"})} == operators_of(PATH, {"$in": [written, "/"]})
    assert {"$glob": "/a/"} == operators_of(PATH, {"$glob": "/a/"})
    assert {"$eq": "a/"} == operators_of(TEXT, "a/")


CONTEXT = {"identity": {"id": "i1", "metadata": {"team": "a*b", "none": ""}, "auth": {"groups": ["x", "y"]}}}


@pytest.mark.parametrize(
    ("operand", "filled"),
    [
        ("{{identity.metadata.team}}", "a*b"),
        ({"$glob": "{{identity.metadata.team}}/*"}, {"$glob": "a[*]b/*"}),
        ({"$in": ["{{identity.id}}", "z"]}, {"$in": ["i1", "z"]}),
        ({"$elemMatch": {"value": {"$glob": "{{identity.metadata.team}}"}}}, None),
        ("{{identity.auth.groups}}", "x,y"),
        ("{{identity.metadata.auth.groups}}", "x,y"),
        ("{{identity.metadata.none}}", "{{identity.metadata.none}}"),
        ("{{identity.unknown}}", "{{identity.unknown}}"),
    ],
)
def test_an_expression_stands_for_its_value_and_in_a_pattern_for_itself_alone(operand: Any, filled: Any) -> None:
    answer = fill({TEXT: operand}, CONTEXT)[TEXT]

    if filled is not None:
        operators, expected = operators_of(TEXT, answer), operators_of(TEXT, filled)
        assert operators.keys() == expected.keys()
        assert "$glob" in operators or operators == expected
    for value, passes in (("axb", False), ("a*b", True)):
        if "glob" in repr(operand) and "/" not in repr(operand):
            assert compile_operand(METADATA, answer)([{"value": value}]) is passes
    assert is_open(answer) is ("{{" in repr(answer))


# --- what is claimed of two conditions holds for every value

_WORDS = st.sampled_from(["a", "b", "ab", "abc", "dev", "dev-1"])
_GLOBS = st.sampled_from(["*", "a*", "*b", "a?", "dev*", "{a,b}", "!(a)", "ab"])
_LISTS = st.lists(_WORDS, max_size=3)
_PLAIN = st.one_of(
    _WORDS,
    st.builds(lambda word: {"$eq": word}, _WORDS),
    st.builds(lambda word: {"$ne": word}, _WORDS),
    st.builds(lambda words: {"$in": words}, _LISTS),
    st.builds(lambda glob: {"$glob": glob}, _GLOBS),
    st.builds(lambda glob, word: {"$glob": glob, "$ne": word}, _GLOBS, _WORDS),
)
_OF_LISTS = st.one_of(
    st.builds(lambda words: {"$in": words}, _LISTS),
    st.builds(lambda words: {"$all": words}, _LISTS),
    st.builds(lambda word: {"$eq": word}, _WORDS),
    st.builds(lambda word: {"$ne": word}, _WORDS),
)
_FIELDS = st.one_of(
    st.tuples(st.just(TEXT), _PLAIN, _PLAIN, _WORDS), st.tuples(st.just(TAGS), _OF_LISTS, _OF_LISTS, _LISTS)
)


@given(_FIELDS)
def test_a_condition_that_implies_another_never_passes_what_the_other_refuses(case: tuple[str, Any, Any, Any]) -> None:
    field, child, parent, value = case

    if implies(field, ready(field, child), ready(field, parent)) and compile_operand(field, child)(value):
        assert compile_operand(field, parent)(value)


@given(_FIELDS)
def test_of_two_conditions_that_exclude_each_other_no_value_passes_both(case: tuple[str, Any, Any, Any]) -> None:
    field, first, second, value = case
    is_apart = excludes(field, ready(field, first), ready(field, second))

    assert is_apart == excludes(field, ready(field, second), ready(field, first))
    if is_apart:
        assert not (compile_operand(field, first)(value) and compile_operand(field, second)(value))


@given(st.sampled_from([TEXT, TAGS]), _PLAIN)
def test_nothing_is_claimed_of_an_expression_that_is_not_filled_in(field: str, operand: Any) -> None:
    unfilled = ready(field, {"$eq": "{{identity.unknown}}"})

    assert not implies(field, ready(field, operand), unfilled)
    assert not implies(field, unfilled, ready(field, "a"))
    assert not excludes(field, unfilled, ready(field, operand))
