import pytest

from watchword.domain import bounds
from watchword.domain.bounds import (
    claim_matches,
    compile_ranges,
    dig,
    duration_ms,
    is_slug,
    parse_ip_range,
    slugify,
    within,
)


@pytest.mark.parametrize(
    ("value", "patterns", "expected"),
    [
        ("x", ["x"], True),
        ("x", [], False),
        ("x", ["y", "x"], True),
        (["a", "b"], ["b"], True),
        (["a", "b"], ["c"], False),
        (7, ["7"], True),
        (1.0, ["1"], True),
        (1.5, ["1.5"], True),
        (True, ["true"], True),
        (False, ["false"], True),
        (True, ["1"], False),
        (None, ["*"], False),
        ({"a": 1}, ["*"], False),
        ([], ["*"], False),
        ([["a"]], ["a"], False),
        ([1, 2], ["2"], True),
        ("X", ["x"], False),
        ("prod-eu", ["{prod,stage}-*"], True),
    ],
)
def test_a_claim_matches_one_of_its_patterns(value, patterns, expected):
    assert claim_matches(value, patterns) is expected


def test_a_literal_key_with_dots_goes_before_the_path():
    claims = {"a.b": "literal", "a": {"b": "path", "c": {"d": 1}, "c.d": 2}, "https://x.y/z": {"w": 3}}

    assert dig(claims, "a.b") == "literal"
    assert dig(claims, "a.c.d") == 2
    assert dig(claims, "https://x.y/z") == {"w": 3}
    assert dig(claims, "https://x.y/z.w") == 3
    assert dig(claims, "a.b.c") is None
    assert dig(claims, "q") is None


@pytest.mark.parametrize(
    ("text", "kind", "prefix", "address"),
    [
        ("10.0.0.1", "ipv4", None, "10.0.0.1"),
        (" 10.0.0.5/8 ", "ipv4", 8, "10.0.0.5"),
        ("0.0.0.0/0", "ipv4", 0, "0.0.0.0"),
        ("::/0", "ipv6", 0, "::"),
        ("FD00::1/64", "ipv6", 64, "FD00::1"),
        ("::1", "ipv6", None, "::1"),
    ],
)
def test_a_range_is_kept_as_it_was_given(text, kind, prefix, address):
    parsed = parse_ip_range(text)

    assert (parsed.type, parsed.prefix, parsed.ip_address) == (kind, prefix, address)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "10.0.0",
        "10.0.0.0/8abc",
        "10.0.0.0/33",
        "::/129",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/08",
        "1.2.3.4/8/8",
        "fe80::1%eth0",
        "10.0.0.0/٣",
    ],
)
def test_a_bad_range_is_refused(text):
    with pytest.raises(ValueError, match=r"is not an IPv4|needs a prefix"):
        parse_ip_range(text)


@pytest.mark.parametrize(
    ("ranges", "address", "expected"),
    [
        (["10.0.0.5/8"], "10.255.0.1", True),
        (["10.0.0.5/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.1.2.3", True),
        (["::ffff:10.1.2.3"], "10.1.2.3", True),
        (["::/0"], "1.2.3.4", True),
        (["0.0.0.0/0"], "::ffff:1.2.3.4", True),
        (["0.0.0.0/0"], "2001:db8::1", False),
        (["2001:DB8::/32"], "2001:db8:0::1", True),
        (["1.2.3.4"], "1.2.3.4", True),
        (["1.2.3.4"], "1.2.3.5", False),
        ([], "1.2.3.4", False),
        (["::/0"], "nonsense", False),
        (["::/0"], None, False),
        (["1.1.1.1", "2.2.2.2"], "2.2.2.2", True),
    ],
)
def test_an_address_is_within_trusted_ranges(ranges, address, expected):
    assert within(address, [parse_ip_range(r) for r in ranges]) is expected


def test_only_the_ipv6_catch_all_is_open():
    assert compile_ranges([parse_ip_range("0.0.0.0/0"), parse_ip_range("::/0")]).is_open
    assert not compile_ranges([parse_ip_range("0.0.0.0/0")]).is_open
    assert not compile_ranges([]).is_open


def test_remembered_answers_stay_right_and_few(monkeypatch):
    monkeypatch.setattr(bounds, "_CACHED_ADDRESSES", 2)
    trusted = compile_ranges([parse_ip_range("10.0.0.0/30")])
    addresses = [f"10.0.0.{i}" for i in range(6)]

    for _ in range(2):
        assert [trusted.admits(a) for a in addresses] == [True] * 4 + [False] * 2
    assert len(trusted._answers) <= 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1h", 3_600_000),
        ("30m", 1_800_000),
        ("2 days", 172_800_000),
        ("1.5s", 1_500),
        ("100", 100),
        ("1y", 31_557_600_000),
        ("1W", 604_800_000),
        (".5h", 1_800_000),
        ("7 msecs", 7),
    ],
)
def test_a_duration_is_read(text, expected):
    assert duration_ms(text) == expected


@pytest.mark.parametrize("text", ["", "h", "0s", "-1h", "1 fortnight", "1h30m", "0.1ms", "1001y", "٣h", "1e3s"])
def test_a_duration_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match=r"is not a duration|must be more"):
        duration_ms(text)


@pytest.mark.parametrize(("text", "expected"), [("My App", "my-app"), ("  Éa--b_c ", "ea-b-c"), ("a", "a"), ("!!", "")])
def test_a_text_becomes_a_slug(text, expected):
    assert slugify(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("a-b1", True), ("A", False), ("a--b", False), ("-a", False), ("", False), ("a\n", False)]
)
def test_a_slug_is_its_own_slug(text, expected):
    assert is_slug(text) is expected
    assert expected == (text != "" and slugify(text) == text)
