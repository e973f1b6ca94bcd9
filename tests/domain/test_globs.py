import gc
import time
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from watchword.domain import globs
from watchword.domain.globs import (
    escape_glob,
    glob_fault,
    glob_matches,
    glob_within,
    globs_disjoint,
    typed_glob_fault,
)

TABLE = [
    ("/app/*", "/app/x", "/app/x/y /app /app/ /app2"),
    ("/app/**", "/app /app/ /app/x /app/x/y", "/app2"),
    ("/app*", "/app /app2", "/app/x"),
    ("/*", "/app", "/ /app/x"),
    ("*", "/", "/app /app/x"),
    ("/**", "/ /app /app/x", "/.hidden /app/.hidden/x"),
    ("**", "/ /app /app/x", "/app/.hidden"),
    ("/app/**/y", "/app/x/y /app/y /app/a/b/y", "/app/x /app/.x/y"),
    ("/a?", "/ab", "/a /abc /a/"),
    ("/[ab]", "/a /b", "/c /ab"),
    ("/[^ab]", "/c", "/a //"),
    ("/[a-c]x", "/bx", "/dx"),
    ("/{a,b}", "/a /b", "/c /ab"),
    ("/{a/**,b}", "/a/x/y /b", "/a/.x /c"),
    ("/{1..3}", "/2", "/4"),
    ("@(a|b)", "a b", "ab c"),
    ("/?(a)b", "/b /ab", "/aab"),
    ("/+(a|b)", "/a /abba", "/ /c"),
    ("/*(a|b)c", "/c /abc", "/ab"),
    ("/!(a)", "/b /ab", "/a"),
    ("/!(a)/b", "/b/b", "/a/b"),
    ("!/app", "/ /app2", "/app"),
    ("/*", "/a", "/.a"),
    ("/.*", "/.a", "/a"),
    ("*.txt", "a.txt", ".txt a.md"),
    ("/", "/", "/a"),
    ("/a\\*", "/a*", "/ab"),
    ("[ab", "[ab", "a"),
    ("{a", "{a", "a"),
    ("/(a|b)", "/a /b", "/c"),
    ("/a|b", "/a|b", "/a b"),
    ("**/a", "a /a x/y/a", "b .x/a"),
    ("/a/**/**", "/a /a/x/y", "/b"),
    ("/a/**/**/b", "/a/b /a/x/y/b", "/a"),
    ("**/**/a", "a x/a", "b"),
    ("/**/**", "/ /a/b", "/.a"),
    ("/a/*/**", "/a/b/ /a/b/c", "/a"),
    ("x(a)?b", "xb xab", "xaab"),
    ("x(a)+b", "xab xaab", "xb"),
    ("x[ab]+c", "xac xabbac", "xc"),
    ("x{a}*", "x{a} x{a}b", "xa"),
    ("[a*", "[a [ab", "a"),
    ("x[[:digit:]]", "x7", "xa x:"),
    ("x[\\]a]", "x] xa", "x\\"),
    ("x[]a]", "x] xa", "xb"),
    ("x[a\\-c]", "xa x- xc", "xb"),
    ("x!(a/b)", "xc xc/d", "xa/b"),
    ("{[a,b],(c,d),\\,}", "a c,d ,", "b] c"),
    ("x**(a)", "xbaa xb", "y"),
    ("./a*", "a ab", "b"),
]


@pytest.mark.parametrize(("pattern", "text"), [(p, t) for p, yes, _ in TABLE for t in yes.split()])
def test_the_pattern_takes_the_text(pattern, text):
    assert glob_matches(pattern, text)


@pytest.mark.parametrize(("pattern", "text"), [(p, t) for p, _, no in TABLE for t in no.split()])
def test_the_pattern_leaves_the_text(pattern, text):
    assert not glob_matches(pattern, text)


def test_the_empty_text_matches_no_wildcard():
    assert not glob_matches("**", "")


def claim_cases():
    """Subjects of the usual issuers, and what picomatch with `strictSlashes` off says of them."""
    with (Path(__file__).parent / "claim-globs.tsv").open() as lines:
        rows = [line.rstrip("\n").split("\t") for line in lines if not line.startswith("pattern\t")]
    return [(pattern, text, verdict == "yes") for pattern, text, verdict in rows]


@pytest.mark.parametrize(("pattern", "text", "expected"), claim_cases())
def test_a_pattern_for_a_claim_says_what_picomatch_says(pattern, text, expected):
    assert glob_matches(pattern, text) is expected


@pytest.mark.parametrize(
    ("pattern", "fault"),
    [
        ("repo:[acme", "`[` is not closed"),
        ("repo:acme/(api", "`(` is not closed"),
        ("@(a", "`(` is not closed"),
        ("repo:{a,b", "`{` is not closed"),
        ("[z-a]", "runs backwards"),
        ("ends\\", "backslash at the end"),
        ("a(b]c", "`(` is not closed"),
    ],
)
def test_a_slip_in_a_pattern_is_named_when_it_is_stored(pattern, fault):
    assert fault in str(typed_glob_fault(pattern))


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "x" * 2_000,
        "dependabot[bot]",
        "{1111-22}:{33-44}",
        "a)b",
        "a]b",
        "\\[a",
        "\\(a",
        "[[]x",
        "[]]",
        "[a(b]",
        "a{b}c",
        "@(a|b)",
        "(a|b)?",
        "!(a)",
        "R&D, Berlin",
        "[[:alpha:]]*",
    ],
)
def test_a_sound_pattern_may_be_stored(pattern):
    assert typed_glob_fault(pattern) is None


@given(st.text(alphabet="ab*?/[]{},()!.|\\-@", max_size=12))
def test_a_pattern_that_may_be_stored_can_be_matched(pattern):
    if typed_glob_fault(pattern) is None:
        assert glob_fault(pattern) is None


@pytest.mark.parametrize(
    "pattern", ["{a", "(" * 20 + "a|b" + ")" * 20, "*a" * 40, "x" * 513 + "*", "+(!(a))", "{a,(b}c)"]
)
def test_a_pattern_that_cannot_be_used_is_named_and_matches_only_itself(pattern):
    assert isinstance(glob_fault(pattern), str)
    assert glob_matches(pattern, pattern)
    assert not glob_matches(pattern, "a")


@pytest.mark.measures
@pytest.mark.parametrize("pattern", ["*a" * 32 + "b", "+(a|+(a|+(*a)))b", "*(*(*(a)))b", "?(a)" * 60 + "b"])
def test_no_pattern_makes_matching_slow(pattern):
    before = time.perf_counter()
    assert not glob_matches(pattern, "a" * 2048)
    assert not glob_within(pattern, "/x")

    assert time.perf_counter() - before < 3


def test_a_text_beyond_the_limit_matches_nothing():
    assert glob_matches("a*", "a" * 2048)
    assert not glob_matches("a*", "a" * 2049)


@given(st.text(min_size=1, max_size=12), st.text(max_size=12))
def test_an_escaped_text_matches_itself_only(text, other):
    assert glob_matches(escape_glob(text), text)
    assert glob_matches(escape_glob(text), other) == (other == text)


@given(st.text(alphabet="ab*?/[]{},()!.|\\-", min_size=1, max_size=8), st.text(alphabet="ab/.xy", max_size=8))
def test_an_escaped_text_inside_a_pattern_stands_for_itself(value, tail):
    assert glob_matches(f"/u/{escape_glob(value)}/*", f"/u/{value}/x")
    if glob_matches(f"/u/{escape_glob(value)}/*", tail):
        assert tail.startswith(f"/u/{value}/")


WITHIN = [
    ("/app/x/**", "/app/**", True),
    ("/app/*", "/app/**", True),
    ("/app/**", "/app/*", False),
    ("/app/**", "/app/**", True),
    ("/app/*/y", "/app/**/y", True),
    ("/app/?", "/app/*", True),
    ("/{a,b}/*", "/*/**", True),
    ("/app2/**", "/app/**", False),
    ("/**", "/app/**", False),
    ("/app/.x/*", "/app/**", False),
    ("/app/x", "/app/*", True),
    ("/app/\\*", "/app/*", True),
    ("/@(a|b)", "/@(a|b)", True),
    ("/@(a|b)", "/*", False),
    ("/a", "/@(a|b)", False),
    ("!/a", "/**", False),
]


@pytest.mark.parametrize(("child", "parent", "expected"), WITHIN)
def test_a_pattern_lies_within_another(child, parent, expected):
    assert glob_within(child, parent) is expected


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("/a/**", "/b/**", True),
        ("/a/**", "/*/x", False),
        ("/a*", "/b*", True),
        ("/a", "/b*", True),
        ("/a", "/a*", False),
        ("/*.md", "/*.txt", True),
        ("/@(a)", "/b", True),
        ("/@(a)/*", "/b/*", False),
        ("/a/*", "/a", True),
        ("/a", "/b", True),
    ],
)
def test_two_patterns_exclude_each_other(one, other, expected):
    assert globs_disjoint(one, other) is expected
    assert globs_disjoint(other, one) is expected


ATOMS = ["/", "*", "**", "a", "b", ".", "?", "[ab]", "[^a]", "{a,b}", "{a,*}", "(a|b)", "/**/", "/*", "{a/**,b}", "\\*"]
patterns = st.lists(st.sampled_from(ATOMS), min_size=1, max_size=5).map("".join)
texts = st.lists(st.sampled_from(["/", "a", "b", ".", "*", "ab", "/a"]), min_size=1, max_size=7).map("".join)


@given(patterns, patterns, st.lists(texts, min_size=8, max_size=8))
def test_set_questions_agree_with_matching(one, other, samples):
    within, disjoint = glob_within(one, other), globs_disjoint(one, other)

    for text in (*samples, one, other):
        if within and glob_matches(one, text):
            assert glob_matches(other, text)
        if disjoint:
            assert not (glob_matches(one, text) and glob_matches(other, text))


@given(patterns)
def test_a_pattern_lies_within_itself_and_is_not_apart_from_itself(pattern):
    assert glob_within(pattern, pattern)
    assert not globs_disjoint(pattern, pattern)


# --- what it costs

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
        "{a,b}",
        "{a..c}",
        "(a|b)",
        "?(a)",
        "*(a|b)",
        "+(ab)",
        "@(a|)",
        "\\*",
        "a+",
        "(a)?",
    ]
)
_texts = st.text("ab./c", max_size=12)


@given(pattern=st.lists(_pieces, max_size=8).map("".join), text=_texts)
def test_numbers_step_as_sets_do(pattern: str, text: str) -> None:
    machine = globs._machine(pattern)
    assume(isinstance(machine, globs._BitMachine))

    assert globs._Machine(globs._parsed(pattern)).matches(text) == machine.matches(text)  # type: ignore[union-attr]


_pairs = st.sampled_from(
    [
        ("a", "a"),
        ("b", "b"),
        (".", "."),
        ("/", "/"),
        ("?", "b"),
        ("*", ""),
        ("*", "ab"),
        ("**", "a/b"),
        ("/**", ""),
        ("/**", "/a"),
        ("**/", ""),
        ("[ab]", "a"),
        ("{a,b}", "b"),
        ("(a|b)", "a"),
        ("?(a)", ""),
        ("*(a|b)", ""),
        ("@(a|)", ""),
        ("./", ""),
        ("(a)?", ""),
    ]
)


@given(parts=st.lists(_pairs, max_size=6))
def test_a_test_for_many_texts_answers_as_one_for_one(parts: list[tuple[str, str]]) -> None:
    pattern, text = "".join(one for one, _ in parts), "".join(one for _, one in parts)

    assert glob_matches(pattern, text) == globs.glob_test(pattern)(text)


@pytest.mark.measures
@pytest.mark.parametrize(
    "pattern",
    ["*a" + "?" * 400, "*a*b" * 15, "*[ab]?" * 15, "+(a|b|ab|ba|a?|b?)+(a*|b?)+(ab*)", "!(*a" + "?" * 100 + ")"],
)
def test_a_match_takes_at_most_some_steps_for_each_character_and_place_in_the_pattern(pattern: str) -> None:
    text = "abbabaabbaababba" * 30
    before = globs.Effort.steps

    glob_matches(pattern, text)

    assert globs.Effort.steps - before <= 5 * len(text) * (len(pattern) + 4)


def test_long_patterns_with_a_negation_are_refused() -> None:
    assert "at most" in str(globs.glob_fault("!(" + "a?" * 80 + ")"))


def test_compiled_patterns_leave_the_garbage_collector_little_to_look_at() -> None:
    for _ in range(3):
        gc.collect()
    before = len(gc.get_objects())
    for number in range(200):
        assert glob_fault(f"/few{number}/**/*objects{'x' * 60}") is None
    for _ in range(3):
        gc.collect()

    assert (len(gc.get_objects()) - before) / 200 < 40  # it stops the process while it looks at each of them
