"""Secrets as files: what is written is read back, and what people write is understood."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.formats import BadFile, Format, Item, dump, load

FORMATS: tuple[Format, ...] = ("dotenv", "json", "yaml", "csv")
_names = st.text("ABCabc_.-09äÜ", min_size=1, max_size=8)
_values = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\n'\"\\$#= `"), max_size=20)


@pytest.mark.parametrize("format", FORMATS)
@given(items=st.dictionaries(_names, _values, max_size=5))
def test_what_is_written_is_read_back(format: Format, items: dict[str, str]) -> None:
    if format == "dotenv":
        items = {key: value.replace("\r\n", "\n") for key, value in items.items()}
    given = tuple(Item(key, value) for key, value in items.items())

    assert given == load(format, dump(format, given))


@pytest.mark.parametrize("format", ["dotenv", "csv"])
def test_comments_travel_where_the_format_has_room(format: Format) -> None:
    given = (Item("A", "1", "first\nsecond"), Item("B", "2"), Item("C", "3", "third"))

    assert given == load(format, dump(format, given))


def test_dotenv_as_people_write_it() -> None:
    text = """\ufeff# header

export A=plain
B = spaced   # remark
C="double \\"q\\" \\n $X"
D='single \\n "x"'
E=
F="multi
line"
G=a#b
# about H
H='x' # remark
A=again
"""

    found = {item.key: item for item in load("dotenv", text)}

    assert {
        "A": "again",
        "B": "spaced",
        "C": 'double "q" \n $X',
        "D": 'single \\n "x"',
        "E": "",
        "F": "multi\nline",
        "G": "a#b",
        "H": "x",
    } == {key: item.value for key, item in found.items()}
    assert ("about H", "") == (found["H"].comment, found["A"].comment)


@pytest.mark.parametrize(
    ("format", "text"),
    [("dotenv", "no assignment"), ("dotenv", "A='open"), ("dotenv", 'A="open'), ("dotenv", "A='x' y"), ("dotenv", "=x"),
     ("json", "{"), ("json", "[1]"), ("json", '"x"'), ("json", "[{}]"), ("json", "[" * 5000), ("yaml", "- a"), ("yaml", "a: [b]"),
     ("yaml", "a: {b: c}"), ("yaml", "a: 'b"), ("yaml", "[" * 3000), ("yaml", "!!python/object:os.system x"),
     ("csv", "a,b\n1,2"), ("csv", "key,value\n,x"), ("csv", "key,value\nx"), ("csv", 'key,value\n"x')],
)  # fmt: skip
def test_what_is_not_in_the_format_is_refused(format: Format, text: str) -> None:
    with pytest.raises(BadFile):
        load(format, text)


def test_a_refusal_does_not_show_the_value() -> None:
    for format, text in [
        ("dotenv", "A='canary' canary"),
        ("json", '{"A": "canary'),
        ("yaml", "A: 'canary"),
        ("csv", 'key,value\nA,"canary'),
    ]:
        with pytest.raises(BadFile) as refused:
            load(format, text)  # type: ignore[arg-type]
        assert "canary" not in str(refused.value)


def test_json_numbers_and_flags_are_taken_as_they_are_written() -> None:
    text = '{"A": 8080, "B": true, "C": null, "D": 1.50, "E": {"x": [1]}, "F": "s"}'

    assert ["8080", "true", "", "1.50", '{"x": [1]}', "s"] == [item.value for item in load("json", text)]


def test_json_lists_of_exports_are_understood() -> None:
    text = '[{"key": "A", "value": "1"}, {"secretKey": "B", "secretValue": "2", "secretComment": "c", "version": 3}]'

    assert (Item("A", "1"), Item("B", "2", "c")) == load("json", text)


def test_yaml_texts_stay_texts() -> None:
    assert ["8080", "yes", "2020-01-01", "null", "0x10"] == [
        item.value for item in load("yaml", "A: 8080\nB: yes\nC: 2020-01-01\nD: null\nE: 0x10\n")
    ]
