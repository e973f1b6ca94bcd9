"""What the headers of a request say."""

import pytest

from watchword.domain.errors import BadRequest
from watchword.http.heads import bearer_of, by_name, is_unchanged, require_host, takes_gzip


def test_several_lines_of_one_name_are_one_list_in_their_order() -> None:
    pairs = [
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"host", b"a"),
        (b"x-forwarded-for", b"2.2.2.2"),
        (b"cookie", b"a=1"),
        (b"cookie", b"b=2"),
    ]

    assert {b"x-forwarded-for": b"1.1.1.1, 2.2.2.2", b"host": b"a", b"cookie": b"a=1; b=2"} == by_name(pairs)


def test_what_must_stand_alone_and_does_not_is_left_out() -> None:
    assert {b"b": b"3"} == by_name([(b"a", b"1"), (b"a", b"2"), (b"b", b"3")], alone=[b"a"])


@pytest.mark.parametrize(
    "host", ["a", "localhost:8080", "127.0.0.1", "[::1]:80", "secrets.example.com.", "a_b", "x:", "%41"]
)
def test_a_host_may_be_a_name_or_an_address_with_or_without_a_port(host: str) -> None:
    pairs = [(b"host", host.encode())]
    require_host(pairs, by_name(pairs), "1.1")


@pytest.mark.parametrize(
    "host",
    ["", " ", "a b", "a,b", "http://a", "a/b", "u@a", "a:b", "[::1", "::1", "a:80:80", "a\tb", "[x]", "é", "a:123456"],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    pairs = [(b"host", host.encode())]
    with pytest.raises(BadRequest, match="Host"):
        require_host(pairs, by_name(pairs), "1.1")


@pytest.mark.parametrize("values", [(b"a", b"a"), (b"a", b"b"), (b"a", b"")])
def test_two_hosts_are_refused(values: tuple[bytes, ...]) -> None:
    pairs = [(b"host", value) for value in values]
    with pytest.raises(BadRequest, match="exactly one"):
        require_host(pairs, by_name(pairs), "1.1")


def test_only_the_old_version_may_name_no_host() -> None:
    require_host([], {}, "1.0")
    with pytest.raises(BadRequest, match="no host"):
        require_host([], {}, "1.1")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([], None),
        ([b"Bearer abc"], "abc"),
        ([b"bearer abc"], "abc"),
        ([b"BEARER   abc "], "abc"),
        ([b"Bearer"], ""),
        ([b"Bearer "], ""),
        ([b"Banana abc"], None),
        ([b"Basic YTpi"], None),
        ([b"abc"], None),
        ([b"Bearer\tabc"], None),
        ([b"Bearerabc"], None),
        ([b"Bearer abc", b"Bearer abc"], "abc, Bearer abc"),
        ([b"Basic YTpi", b"Bearer abc"], None),
    ],
)
def test_only_one_bearer_credential_is_one(given: list[bytes], expected: str | None) -> None:
    assert expected == bearer_of(by_name([(b"authorization", value) for value in given]))


@pytest.mark.parametrize(
    "condition",
    [
        '"abc"',
        'W/"abc"',
        "*",
        " * ",
        '"x", "abc"',
        '"x","abc"',
        '"x" , W/"abc" ,"y"',
        '"a,b", "abc"',
        ',, "abc"',
        '"", "abc"',
        '"x"\t,\t"abc"',
    ],
)
def test_a_condition_holds_by_a_list_by_a_star_and_by_weak_comparison(condition: str) -> None:
    assert is_unchanged(condition.encode(), b'"abc"')


@pytest.mark.parametrize(
    "condition",
    ["", "abc", '"ab"', '"ABC"', 'w/"abc"', '"x", *', '"x" "abc"', '"x, "abc"', "'abc'", '"abc', 'x"abc"', '"a"b"c"'],
)
def test_another_tag_or_no_list_of_tags_does_not(condition: str) -> None:
    assert not is_unchanged(condition.encode(), b'"abc"')


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        (None, False),
        ("gzip", True),
        ("GZIP", True),
        ("deflate, gzip;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("gzip; q=0.001", True),
        ("*", True),
        ("*;q=0", False),
        ("*, gzip;q=0", False),
        ("gzip, *;q=0", True),
        ("identity", False),
        ("", False),
        ("br, zstd", False),
        ("x-gzip", True),
        ("gzip;q=", True),
        ("gzipped", False),
    ],
)
def test_a_client_says_whether_it_takes_gzip(accepted: str | None, expected: bool) -> None:
    assert expected == takes_gzip({} if accepted is None else {b"accept-encoding": accepted.encode()})
