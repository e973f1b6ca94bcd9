import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.lists import join_list, joined, normal_list, normal_patterns, split_list, split_patterns


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b", ("a", "b")),
        ("", ()),
        ("a,,b,", ("a", "b")),
        ("{a,b}/*, c", ("{a,b}/*", "c")),
        ("{a,{b,c}},d", ("{a,{b,c}}", "d")),
        ("{a, b", ("{a", "b")),
        ("a}, b", ("a}", "b")),
        ('"R&D, Berlin", *', ("R&D, Berlin", "*")),
        ("R&D\\, Berlin, x", ("R&D\\, Berlin", "x")),
        ("a\\\\, b", ("a\\\\", "b")),
        ("\\{a, b", ("\\{a", "b")),
        ('"{a, b", c', ("{a, b", "c")),
    ],
)
def test_patterns_are_split_at_commas_that_are_not_their_own(text, expected):
    assert split_patterns(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a, b", ("a", "b")),
        ('"CN=Ops,OU=Groups,DC=example", CN=Dev', ("CN=Ops,OU=Groups,DC=example", "CN=Dev")),
        ('  "R&D, Berlin"  ', ("R&D, Berlin",)),
        ("R&D\\, Berlin,x", ("R&D, Berlin", "x")),
        ('"he said ""no"", twice"', ('he said "no", twice',)),
        ('5" disk, 3" disk', ('5" disk', '3" disk')),
        ('"a" b, c', ('"a" b', "c")),
        ('"never closed, b', ('"never closed', "b")),
        ("DOMAIN\\user, b", ("DOMAIN\\user", "b")),
        ('"CN=Smith\\, John,DC=e"', ("CN=Smith\\, John,DC=e",)),
        ('"", x', ("x",)),
        ("{a,b}", ("{a", "b}")),
    ],
)
def test_a_comma_in_quotes_or_after_a_backslash_belongs_to_its_part(text, expected):
    assert split_list(text) == expected


@pytest.mark.parametrize("text", ["a ,b", 'x,  "R&D, Berlin"', "R&D\\, Berlin ,b", '5" disk,6" disk', ",a", "a,"])
def test_a_normal_list_has_the_same_parts_and_is_normal(text):
    for normal, split in ((normal_list, split_list), (normal_patterns, split_patterns)):
        assert split(normal(text)) == split(text)
        assert normal(normal(text)) == normal(text)


@given(st.lists(st.text(alphabet='ab ,"\\{}=*', min_size=1, max_size=8)))
def test_joined_parts_are_split_into_the_same_parts(parts):
    kept = tuple(part.strip() for part in parts if part.strip())

    assert split_list(join_list(parts)) == kept
    assert split_list(normal_list(join_list(parts))) == kept
    assert split_patterns(normal_patterns(join_list(parts))) == kept


def test_an_array_is_the_list_that_it_stands_for_and_all_else_stays_as_it_is():
    assert joined(["R&D, Berlin", "b"]) == '"R&D, Berlin", b'
    for other in ("a, b", None, 5, ["a", 5], {"a": 1}):
        assert joined(other) is other


@pytest.mark.measures
def test_splitting_costs_little_whatever_is_split():
    for text in ('"' * 65_000, '"a""' * 16_000, '"",' * 20_000, "\\," * 30_000, '"a"",' * 13_000, '"""a,' * 13_000):
        split_list(text)
        split_patterns(text)
