"""References: what is one, what it means, and where expansion stops."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.errors import BadRequest
from watchword.domain.secrets.references import (
    MAX_DEPTH,
    MAX_EXPANDED,
    MAX_FOLLOWED,
    MAX_IN_VALUE,
    MAX_TOGETHER,
    Address,
    Expander,
    Reference,
    ResolvedSecret,
    can_be_referenced,
    one_line,
    references,
    renamed,
)


def expanded(value: str, **others: str) -> str:
    """The value of the secret START in dev:/ with these secrets beside it."""
    sources = {(at := Address("dev", "/", key)): ResolvedSecret(at, text) for key, text in others.items()}
    start = ResolvedSecret(Address("dev", "/", "START"), value)
    return Expander({**sources, start.address: start}).value(start)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("${HOST}", [Reference("", "", "HOST")]),
        ("${ HOST }", [Reference("", "", "HOST")]),
        ("$${HOST} and $HOST", []),
        ("$$${HOST}", []),
        ("$${HOST} ${PORT}", [Reference("", "", "PORT")]),
        (r"${tls\.crt}", [Reference("", "", "tls.crt")]),
        (r"${prod.db.tls\.crt\.old}", [Reference("prod", "/db", "tls.crt.old")]),
        (r"${pr\.od.X}", []),
        (r"${a\b}", []),
        ("${HOST:-h:1/x}", [Reference("", "", "HOST")]),
        ("${prod.db.HOST:-}", [Reference("prod", "/db", "HOST")]),
        ("${HOST:-${PORT}}", [Reference("", "", "PORT")]),
        ("${:-x}", []),
        ("${HOST:x}", []),
        ("${prod.HOST}", [Reference("prod", "/", "HOST")]),
        ("${prod.db.main.HOST}", [Reference("prod", "/db/main", "HOST")]),
        ("${ÜBER}", [Reference("", "", "ÜBER")]),
        ("${A}${B}${A}", [Reference("", "", "A"), Reference("", "", "B")]),
        ("${a${b}}", [Reference("", "", "b")]),
        ("${}", []),
        ("${ }", []),
        ("${a b}", []),
        ("${a/b}", []),
        ("${.HOST}", []),
        ("${prod..HOST}", []),
        ("${HOST", []),
        ("plain", []),
    ],
)
def test_what_is_a_reference(value: str, expected: list[Reference]) -> None:
    assert expected == list(references(value))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("$${HOST}", "${HOST}"),
        ("$$${HOST}", "$${HOST}"),
        ("a $${prod.db.HOST:-x} ${HOST} $${NOPE} z", "a ${prod.db.HOST:-x} h ${NOPE} z"),
        ("$${a b} $${} $$ $$x", "$${a b} $${} $$ $$x"),
        (r"${tls\.crt}", "pem"),
        (r"${dev.tls\.crt} ${dev.tls.crt}", "pem ${dev.tls.crt}"),
        ("${HOST:-other}", "h"),
        ("${NOPE:-other}", "other"),
        ("${NOPE:-}|${NOPE: -}", "|${NOPE: -}"),
        ("${EMPTY:-other}|${EMPTY}", "other|"),
        ("${prod.NOPE:-a/b: c}", "a/b: c"),
        ("${DEEP}", "other"),
        ("${START:-x}", "${START:-x}"),
    ],
)
def test_escapes_names_with_dots_and_defaults(value: str, expected: str) -> None:
    others = {"HOST": "h", "tls.crt": "pem", "EMPTY": "", "DEEP": "${NOPE:-other}"}

    assert expected == expanded(value, **others)


def test_a_rename_keeps_defaults_and_escapes_and_writes_dots_so_that_they_are_read_again() -> None:
    value = r"${A} ${prod.db.A:-d e} $${A} ${ A } ${a\.b}"

    assert r"${x\.y} ${prod.db.x\.y:-d e} $${A} ${x\.y} ${a\.b}" == renamed(
        value, lambda one: "x.y" if one.key == "A" else None
    )
    assert "${NEW:-d}" == renamed(r"${a\.b:-d}", lambda one: "NEW" if one.key == "a.b" else None)


def test_a_value_is_filled_in_at_every_place() -> None:
    assert "http://h:1/h" == expanded("http://${HOST}:${PORT}/${HOST}", HOST="h", PORT="1")


def test_an_empty_value_is_filled_in_as_empty() -> None:
    assert "[]" == expanded("[${NOTHING}]", NOTHING="")


def test_an_unknown_name_stays_as_it_is_written() -> None:
    assert "${ NOPE }-x" == expanded("${ NOPE }-${X}", X="x")


def test_a_reference_to_itself_stays() -> None:
    assert "${START}" == expanded("${START}")


def test_a_circle_ends_where_it_closes() -> None:
    assert "a(b(${START}))" == expanded("a(${B})", B="b(${START})")


def test_nested_references_mean_what_they_mean_where_they_stand() -> None:
    far = Address("prod", "/db", "URL")
    sources = {
        far: ResolvedSecret(far, "${HOST}"),
        Address("prod", "/db", "HOST"): ResolvedSecret(Address("prod", "/db", "HOST"), "far"),
        Address("dev", "/", "HOST"): ResolvedSecret(Address("dev", "/", "HOST"), "near"),
    }
    start = ResolvedSecret(Address("dev", "/", "START"), "${HOST} ${prod.db.URL} ${HOST}")

    assert "near far near" == Expander(sources).value(start)


def test_the_tenth_level_is_filled_in_and_the_eleventh_is_not() -> None:
    chain = {f"L{i}": f"${{L{i + 1}}}" for i in range(1, MAX_DEPTH + 5)}

    assert f"${{L{MAX_DEPTH + 1}}}" == expanded("${L1}", **chain)
    assert "end" == expanded("${L1}", **{**chain, f"L{MAX_DEPTH}": "end"})


def test_depth_counts_from_the_secret_that_is_asked_for() -> None:
    """A value expanded for one secret is not reused where it would reach deeper than it may."""
    chain = {f"L{i}": f"${{L{i + 1}}}" for i in range(1, MAX_DEPTH)} | {f"L{MAX_DEPTH}": "end"}

    assert f"end ${{L{MAX_DEPTH}}}" == expanded("${L1} ${X}", X="${L1}", **chain)


def eightfold(count: int, end: str) -> dict[str, str]:
    return {f"B{i}": f"${{B{i + 1}}}" * 8 for i in range(1, count)} | {f"B{count}": end}


def test_values_that_multiply_at_every_level_are_refused_at_the_limit() -> None:
    with pytest.raises(BadRequest) as refused:
        expanded("${B1}", **eightfold(MAX_DEPTH, "x" * 1000))

    assert f"B6 in dev:/ has more than {MAX_EXPANDED} characters: there is no room for ${{B7}}" in str(refused.value)


def test_each_value_is_filled_in_once_for_all_that_refer_to_it() -> None:
    sources = {(at := Address("dev", "/", key)): ResolvedSecret(at, text) for key, text in eightfold(7, "x").items()}
    expander = Expander(sources)
    pauses = 0

    for source in sources.values():
        for _ in expander.in_pieces(source):
            pauses += 1

    assert 8**6 == len(expander.value(sources[Address("dev", "/", "B1")]))
    assert (
        pauses <= 8
    )  # of 400,000 references that would be followed one by one; a pause for each fifty thousand characters


def test_what_fits_is_filled_in_to_the_last_character() -> None:
    half = "x" * (MAX_EXPANDED // 2)

    assert 2 * half == expanded("${HALF}${HALF}", HALF=half)
    with pytest.raises(BadRequest, match=r"START in dev:/ .* no room for \$\{HALF\}"):
        expanded("${HALF}${HALF}!", HALF=half)


def test_all_values_of_an_answer_have_a_limit_together() -> None:
    big = Address("dev", "/", "BIG")
    sources = {big: ResolvedSecret(big, "x" * MAX_EXPANDED)}
    expander = Expander(sources)
    values = [ResolvedSecret(Address("dev", "/", f"V{i}"), "${BIG}") for i in range(1000)]

    with pytest.raises(BadRequest, match=f"more than {MAX_TOGETHER} characters"):
        for value in values:
            expander.value(value)


def test_a_value_of_very_many_references_is_not_filled_in() -> None:
    assert "x" * MAX_IN_VALUE == expanded("${X}" * MAX_IN_VALUE, X="x")
    with pytest.raises(BadRequest, match=f"START in dev:/ has more than {MAX_IN_VALUE} references"):
        expanded("${X}" * (MAX_IN_VALUE + 1), X="x")


@pytest.mark.measures
def test_a_tangle_of_circles_is_refused_once_it_takes_too_long() -> None:
    names = [f"N{i}" for i in range(12)]
    tangle = {name: "".join(f"${{{other}}}" for other in names) for name in names}
    sources = {(at := Address("dev", "/", key)): ResolvedSecret(at, text) for key, text in tangle.items()}
    pauses = 0

    with pytest.raises(BadRequest, match=r"the limit is reached at \$\{N\d+\} in the value of N\d+ in dev:/"):
        for _ in Expander(sources).in_pieces(sources[Address("dev", "/", "N0")]):
            pauses += 1

    assert pauses > MAX_FOLLOWED // 1000


@given(
    st.dictionaries(
        st.sampled_from("ABCDE"),
        st.lists(st.sampled_from(["${A}", "${B}", "${C}", "${D}", "${E}", "x", "$"]), max_size=4),
    )
)
def test_what_was_remembered_changes_no_answer(parts: dict[str, list[str]]) -> None:
    values = {key: "".join(some) for key, some in parts.items()}
    sources = {(at := Address("dev", "/", key)): ResolvedSecret(at, text) for key, text in values.items()}
    shared = Expander(sources)

    for source in sources.values():
        assert Expander(sources).value(source) == shared.value(source)


def test_renaming_keeps_the_rest_of_a_reference() -> None:
    value = "${ OLD } ${prod.a.OLD} ${OLD.X} $OLD ${OLDER}"

    assert "${NEW} ${prod.a.NEW} ${OLD.X} $OLD ${OLDER}" == renamed(
        value, lambda one: "NEW" if one.key == "OLD" else None
    )


@pytest.mark.parametrize(("key", "can"), [("A_b-9", True), ("ü", True), ("a.b", True), ("a b", False), ("", False)])
def test_which_names_can_be_referenced(key: str, can: bool) -> None:
    assert can == can_be_referenced(key)


def test_one_line_is_quoted_only_when_there_was_more_than_one() -> None:
    assert ("a", '"a\\nb"') == (one_line("a"), one_line("a\nb"))
