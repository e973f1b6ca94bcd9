"""When a pasted token ends: read from it, and never believed for more than that."""

import base64

import pytest

from watchword.domain.authentication.endings import end_of_token, endings_of


def token(claims: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.c2ln"


def test_a_token_ends_when_it_says() -> None:
    assert 1_800_000_000_500 == end_of_token(token(b'{"exp": 1800000000.5}') + "\n")
    assert [(7, "f")] == [(one.ends_at, one.field) for one in endings_of("m", {"f": {"$sealed": "x", "$endsAt": 7}})]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a secret",
        "a.b.c",
        "a.b.c.d",
        "..",
        token(b"[]"),
        token(b"{}"),
        token(b'{"exp": "1800000000"}'),
        token(b'{"exp": true}'),
        token(b'{"exp": -1}'),
        token(b'{"exp": 1e300}'),
        token(b'{"exp": NaN}'),
        token(b"[" * 30_000),
        token(b"\xff\xfe"),
        token(b'{"exp": ' + b"9" * 5_000 + b"}"),
        "e30.\u00e9.c2ln",
        "e30." + "A" * 70_000 + ".c2ln",
    ],
)
def test_what_says_no_time_has_no_end(text: str) -> None:
    assert end_of_token(text) is None
