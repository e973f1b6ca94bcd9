"""Who is calling, as proxies that are trusted say it."""

import ipaddress
import time

import pytest

from watchword.domain.forwarded import address_of, caller

PROXIES = [ipaddress.ip_network(text) for text in ("127.0.0.0/8", "::1/128", "10.0.0.0/8")]


def named(header: str, text: str) -> str | None:
    found = caller(header, text, PROXIES)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.1.1.1, 127.0.0.1", "1.1.1.1"),
        ("1.1.1.1,127.0.0.1", "1.1.1.1"),
        ("9.9.9.9, 1.1.1.1, 10.2.3.4", "1.1.1.1"),
        ("20.1.2.3:5678", "20.1.2.3"),
        ("20.1.2.3:_hidden", "20.1.2.3"),
        ("[2001:db8::1]:_hid-den.1", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[fe80::1%eth0]:80", "fe80::1"),
        ("fe80::1%25eth0", "fe80::1"),
        ('"[2001:db8::1]:80"', "2001:db8::1"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("1.1.1.1, ::ffff:127.0.0.1", "1.1.1.1"),
        ("1.1.1.1, , 127.0.0.1,", "1.1.1.1"),
        ("10.1.1.1, 127.0.0.1", "10.1.1.1"),
        ("banana, 1.1.1.1", "1.1.1.1"),
    ],
)
def test_the_nearest_hop_that_is_no_proxy_is_the_caller(text: str, expected: str) -> None:
    assert expected == named("x-forwarded-for", text)


@pytest.mark.parametrize(
    "text",
    [
        "banana",
        "1.1.1.1, banana",
        "1.1.1.1, banana, 127.0.0.1",
        "unknown",
        "_hidden",
        "010.1.1.1",
        "1.2.3",
        "[1.2.3.4]",
        "1.2.3.4:",
        "1.2.3.4:999999",
        "1.2.3.4:x",
        "[2001:db8::1",
        "2001:db8::1]:80",
        "1.1.1.1 2.2.2.2",
        "",
        ",,",
        "for=1.1.1.1",
        "1.1.1.1;2.2.2.2",
        "٣.1.1.1",
        "127.0.0.1," * 100,
    ],
)
def test_what_is_no_address_names_nobody_and_neither_does_what_lies_behind_it(text: str) -> None:
    assert named("x-forwarded-for", text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('for=192.0.2.43, for="[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("proto=https;For=192.0.2.60 , for=127.0.0.1", "192.0.2.60"),
        ('for="192.0.2.60:80"', "192.0.2.60"),
        ('for="1.1.1.1";note="a, for=9.9.9.9; b", for=127.0.0.1', "1.1.1.1"),
        (r'for="\1.1.1.1"', "1.1.1.1"),
        ("for=1.1.1.1 ,, for=10.0.0.1 ,", "1.1.1.1"),
    ],
)
def test_the_standard_header_is_read_as_its_rfc_writes_it(text: str, expected: str) -> None:
    assert expected == named("forwarded", text)


@pytest.mark.parametrize(
    "text",
    [
        'for="_gazonk"',
        "for=unknown",
        "for=1.1.1.1, for=unknown, for=127.0.0.1",
        "by=1.1.1.1",
        "for=1.1.1.1;for=2.2.2.2",
        "for=",
        'for=""',
        'for="1.1.1.1, for=9.9.9.9',
        "for=1.1.1.1, garbage",
        "1.1.1.1",
        "for = 1.1.1.1",
        "",
        ",,,",
    ],
)
def test_hidden_names_and_what_cannot_be_read_name_nobody(text: str) -> None:
    assert named("forwarded", text) is None


@pytest.mark.measures
@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded"])
@pytest.mark.parametrize(
    "text", [",", " ,", "a,", ";", "for=127.0.0.1,", 'for="', "=", '"', "127.0.0.1,", "::1,", '\\"']
)
def test_a_hostile_list_takes_no_time(header: str, text: str) -> None:
    began = time.process_time()
    caller(header, text * (64 * 1024 // len(text)), PROXIES)

    assert time.process_time() - began < 0.2


def test_an_address_is_written_in_one_way() -> None:
    assert {"2001:db8::1"} == {
        str(address_of(text)) for text in ("2001:db8:0:0::1", "[2001:DB8::1]", " 2001:db8::1 ", '"2001:db8::1%lo"')
    }
