"""Rules of passkeys: the site they are for, how long a challenge holds, and the counter."""

import pytest

from watchword.domain.people.webauthn import CHALLENGE_FOR, Party, is_copied, is_in_time, party_of


@pytest.mark.parametrize(
    ("site_url", "here", "found"),
    [
        ("https://ww.example.com", "http://localhost", Party("https://ww.example.com", "ww.example.com")),
        ("https://WW.example.com:443/", "", Party("https://ww.example.com", "ww.example.com")),
        ("https://ww.example.com:8443/path", "", Party("https://ww.example.com:8443", "ww.example.com")),
        ("http://localhost:8080", "https://evil.test", Party("http://localhost:8080", "localhost")),
        ("", "http://localhost:8080", Party("http://localhost:8080", "localhost")),
        ("", "https://app.localhost", Party("https://app.localhost", "app.localhost")),
        ("http://ww.example.com", "http://localhost", None),
        ("https://10.0.0.1", "", None),
        ("https://[::1]", "", None),
        ("", "http://127.0.0.1:8080", None),
        ("", "https://ww.example.com", None),
        ("", "http://localhost.evil.test", None),
        ("", "http://localhost:x", None),
        ("", "ftp://localhost", None),
        ("", "http://", None),
        ("", "", None),
    ],
)
def test_the_site_is_a_configured_name_with_tls_or_a_loopback_name(
    site_url: str, here: str, found: Party | None
) -> None:
    assert found == party_of(site_url, here)


@pytest.mark.parametrize(
    ("stored", "presented", "copied"),
    [(0, 0, False), (0, 1, False), (4, 5, False), (4, 4, True), (4, 3, True), (4, 0, True)],
)
def test_a_counter_that_does_not_go_on_says_that_there_are_two(stored: int, presented: int, copied: bool) -> None:
    assert copied == is_copied(stored, presented)


def test_a_challenge_holds_as_long_on_either_side_of_a_clock() -> None:
    now = 10 * CHALLENGE_FOR
    moments = [now - CHALLENGE_FOR - 1, now - CHALLENGE_FOR, now, now + CHALLENGE_FOR, now + CHALLENGE_FOR + 1]
    assert [False, True, True, True, False] == [is_in_time(at, now) for at in moments]
