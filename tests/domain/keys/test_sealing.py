"""Envelopes open only with their key and in their place, whatever is done to them."""

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.keys.sealing import CannotOpen, key_version, seal, unseal

KEY = AESGCM(bytes(range(32)))
NONCE = bytes(range(12))
# The format lives in databases: format 1, key version 7, nonce 00..0b, AES-256-GCM of "hello" with the header and place
# as data.
VECTOR = "0100000007000102030405060708090a0b"


def test_the_layout_of_format_1_stays_as_it_is() -> None:
    envelope = seal(KEY, 7, NONCE, "secret/1/value", b"hello")

    assert bytes.fromhex(VECTOR) == envelope[:17]
    assert KEY.encrypt(NONCE, b"hello", bytes.fromhex("0100000007") + b"secret/1/value") == envelope[17:]
    assert (7, b"hello") == (key_version(envelope), unseal(KEY, "secret/1/value", envelope))


@given(st.binary(max_size=200), st.text(max_size=40), st.integers(0, 2**32 - 1), st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_in_its_place(plain: bytes, place: str, version: int, nonce: bytes) -> None:
    place = place.encode(errors="replace").decode()
    envelope = seal(KEY, version, nonce, place, plain)

    assert (version, plain) == (key_version(envelope), unseal(KEY, place, envelope))


@given(st.data())
def test_an_envelope_that_was_changed_anywhere_does_not_open(data: st.DataObject) -> None:
    envelope = bytearray(seal(KEY, 1, NONCE, "here", b"value"))
    place = data.draw(st.integers(0, len(envelope) - 1))
    envelope[place] ^= data.draw(st.integers(1, 255))

    with pytest.raises(CannotOpen):
        key_version(bytes(envelope))
        unseal(KEY, "here", bytes(envelope))


@pytest.mark.parametrize("place", ["", "her", "here/", "Here", "here\x00"])
def test_an_envelope_in_another_place_does_not_open(place: str) -> None:
    with pytest.raises(CannotOpen):
        unseal(KEY, place, seal(KEY, 1, NONCE, "here", b"value"))


def test_an_envelope_under_another_key_does_not_open() -> None:
    with pytest.raises(CannotOpen):
        unseal(AESGCM(bytes(32)), "here", seal(KEY, 1, NONCE, "here", b"value"))


@pytest.mark.parametrize("envelope", [b"", b"\x01", b"\x01" + bytes(31), b"\x02" + bytes(60), b"\x00" + bytes(60)])
def test_what_is_no_envelope_is_refused(envelope: bytes) -> None:
    with pytest.raises(CannotOpen):
        key_version(envelope)


@pytest.mark.parametrize("length", range(33))
def test_a_truncated_envelope_is_refused(length: int) -> None:
    envelope = seal(KEY, 1, NONCE, "here", b"")[:length]

    with pytest.raises(CannotOpen):
        key_version(envelope)
        unseal(KEY, "here", envelope)


def test_the_refusal_holds_no_secret() -> None:
    with pytest.raises(CannotOpen) as refusal:
        unseal(KEY, "there", seal(KEY, 1, NONCE, "here", b"tell nobody"))

    assert "tell nobody" not in str(refusal.value)
