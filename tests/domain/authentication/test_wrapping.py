"""Wrapping tokens: what they look like, and that nothing but the right one opens a wrap."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.authentication import wrapping
from watchword.domain.authentication.wrapping import Wrap, WrappedContent
from watchword.domain.keys.sealing import CannotOpen

SECRET, OTHER = b"s" * 32, b"o" * 32


def a_wrap(id: str = "w1", **fields: Any) -> Wrap:
    content = wrapping.sealed(id, SECRET, b"n" * 12, WrappedContent(credential="hidden", client_id="c"))
    fixed: dict[str, Any] = {
        "id": id,
        "org_id": "o",
        "identity_id": "i",
        "kind": "client-secret",
        "credential_id": "s",
        "sealed": content,
        "verifier": wrapping.verifier_of(SECRET),
        "creation_path": "/",
        "created_at": 1,
        "expires_at": 100,
    }
    return Wrap(**(fixed | fields))


def test_a_token_is_read_as_it_was_made() -> None:
    assert wrapping.taken_apart(wrapping.wrapping_token("w1", SECRET)) == ("w1", SECRET)


@given(st.text(max_size=120))
def test_any_text_is_a_token_or_none(text: str) -> None:
    for token in (text, f"wrap.{text}", f"wrap.w1.{text}"):
        parts = wrapping.taken_apart(token)
        assert parts is None or len(parts[1]) == 32


def test_only_the_right_secret_opens_a_wrap_and_only_in_its_own_row() -> None:
    wrap = a_wrap()

    assert wrapping.opened(wrap, SECRET) == WrappedContent(credential="hidden", client_id="c")
    assert wrapping.is_right(wrap, SECRET)
    assert not wrapping.is_right(wrap, OTHER)
    with pytest.raises(CannotOpen):
        wrapping.opened(wrap, OTHER)
    with pytest.raises(CannotOpen):
        wrapping.opened(a_wrap("w2", sealed=wrap.sealed), SECRET)
    assert b"hidden" not in (wrap.sealed or b"")
    assert "hidden" not in repr(wrapping.opened(wrap, SECRET))


@pytest.mark.parametrize(
    ("fields", "now", "state"),
    [
        ({}, 99, "sealed"),
        ({}, 100, "expired"),
        ({"sealed": None}, 99, "expired"),
        ({"opened_at": 5, "sealed": None}, 200, "opened"),
        ({"is_revoked": True}, 200, "revoked"),
    ],
)
def test_what_happened_first_says_in_which_state_a_wrap_is(fields: dict[str, Any], now: int, state: str) -> None:
    assert wrapping.state_of(a_wrap(**fields), now) == state
