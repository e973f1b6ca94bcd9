"""From JSON to structs: every fault is named, with its path, and text is trimmed where it says so."""

from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.decode import Name, Trimmed, checked, decode
from watchword.domain.errors import Invalid
from watchword.domain.secret import Secret


class Range(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    ip_address: Trimmed
    prefix: Annotated[int, msgspec.Meta(ge=0, le=128)] = 32


class Body(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    name: Name
    max_ttl: Annotated[int, msgspec.Meta(ge=0, le=100)] = 7
    is_on: bool = False
    note: str | None = None
    ranges: list[Range] = []
    one: Range | None = None
    words: tuple[Annotated[str, msgspec.Meta(max_length=3)], ...] = ()
    secret: Secret | None = None


def faults(value: Any, kind: Any = Body, *, strict: bool = True) -> dict[str, Any]:
    with pytest.raises(Invalid) as refusal:
        decode(kind, value, strict=strict)
    return {
        ".".join(map(str, issue.path)): (issue.code, issue.expected, issue.received) for issue in refusal.value.issues
    }


def test_a_body_becomes_its_struct() -> None:
    body = decode(
        Body, {"name": "a", "maxTtl": 5, "isOn": True, "ranges": [{"ipAddress": "::1"}], "words": ["a"], "unknown": 1}
    )

    assert Body(name="a", max_ttl=5, is_on=True, ranges=[Range(ip_address="::1")], words=("a",)) == body


def test_every_fault_is_listed_at_once() -> None:
    found = faults(
        {
            "maxTtl": "many",
            "isOn": 1,
            "note": [],
            "ranges": [{"ipAddress": 1}, {"prefix": 200}, 7],
            "words": ["abcd", 1],
            "one": "x",
        }
    )

    assert {
        "name": ("invalid_type", "string", "undefined"),
        "maxTtl": ("invalid_type", "number", "string"),
        "isOn": ("invalid_type", "boolean", "number"),
        "ranges.0.ipAddress": ("invalid_type", "string", "number"),
        "ranges.1.ipAddress": ("invalid_type", "string", "undefined"),
        "words.1": ("invalid_type", "string", "number"),
    }.items() <= found.items()
    assert {"note", "ranges.1.prefix", "ranges.2", "words.0", "one"} <= set(found)


@pytest.mark.parametrize(
    ("value", "path", "code"),
    [
        ({"name": "a", "maxTtl": -1}, "maxTtl", "too_small"),
        ({"name": "a", "maxTtl": 101}, "maxTtl", "too_big"),
        ({"name": "x" * 256}, "name", "too_big"),
        ({"name": None}, "name", "invalid_type"),
        ({"name": "a", "maxTtl": 1.5}, "maxTtl", "invalid_type"),
        ({"name": "a", "maxTtl": 10**40}, "maxTtl", "too_big"),
        ({"name": "a", "secret": 5}, "secret", "invalid_type"),
    ],
)
def test_a_fault_has_its_code(value: Any, path: str, code: str) -> None:
    assert (path, code) in [(where, what[0]) for where, what in faults(value).items()]


def test_a_limit_is_told_with_its_number() -> None:
    with pytest.raises(Invalid) as refusal:
        decode(Body, {"name": "x" * 256, "maxTtl": -1})

    assert [(None, 255), (0, None)] == [(issue.minimum, issue.maximum) for issue in refusal.value.issues]


def test_a_text_with_a_pattern_is_refused_in_words() -> None:
    class Person(msgspec.Struct):
        emails: list[Annotated[str, msgspec.Meta(pattern="^.+@.+$", description="An e-mail address.")]]

    with pytest.raises(Invalid) as refusal:
        decode(Person, {"emails": ["a@b", "x"]})

    assert [(("emails", 1), "An e-mail address")] == [(issue.path, issue.message) for issue in refusal.value.issues]


def test_names_lose_the_white_space_around_them_before_they_are_measured() -> None:
    body = decode(
        Body,
        {
            "name": f"  {'x' * 255}\n",
            "note": " kept ",
            "ranges": [{"ipAddress": " ::1 "}],
            "one": {"ipAddress": "\t::2"},
        },
    )

    assert ("x" * 255, " kept ", "::1", "::2") == (body.name, body.note, body.ranges[0].ip_address, body.one.ip_address)


def test_forms_and_queries_may_write_numbers_and_flags_as_text() -> None:
    body = decode(Body, {"name": "a", "maxTtl": "5", "isOn": "true"}, strict=False)

    assert (5, True) == (body.max_ttl, body.is_on)
    assert {"maxTtl", "isOn"} == set(faults({"name": "a", "maxTtl": "5", "isOn": "true"}))
    assert {"maxTtl"} == set(faults({"name": "a", "maxTtl": "five"}, strict=False))


def test_a_secret_travels_inward_as_text_and_is_shown_by_nothing() -> None:
    body = decode(Body, {"name": "a", "secret": "hush"})

    assert "hush" == body.secret.reveal()
    assert "hush" not in repr(body)


def test_the_caller_s_value_is_not_changed() -> None:
    value = {"name": " a ", "ranges": [{"ipAddress": " ::1 "}]}

    decode(Body, value)

    assert {"name": " a ", "ranges": [{"ipAddress": " ::1 "}]} == value


def test_no_fault_shows_what_a_secret_was() -> None:
    with pytest.raises(Invalid) as refusal:
        decode(Body, {"name": 1, "secret": ["hush"]})

    assert "hush" not in str(refusal.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["name", "maxTtl", "ranges", "one", "ipAddress", "prefix", "words"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["name", "maxTtl", "isOn", "note", "ranges", "one", "words", "secret"]), JSON),
    st.booleans(),
)
def test_any_value_is_a_struct_or_a_list_of_faults(value: Any, strict: bool) -> None:
    issues = None
    try:
        decode(Body, value, strict=strict)
    except Invalid as refusal:
        issues = refusal.issues

    assert issues is None or (issues and all(issue.message and issue.code for issue in issues))


def test_a_text_that_cannot_be_read_is_the_refusal_of_its_field() -> None:
    with pytest.raises(Invalid) as refusal:
        checked("port", int, "many")

    assert [("port",)] == [issue.path for issue in refusal.value.issues]
    assert 7 == checked("port", int, "7")
