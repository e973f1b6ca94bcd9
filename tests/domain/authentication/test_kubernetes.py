import pytest

from watchword.domain.authentication.kubernetes import authority, ruling, token_files


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ('[invalid bearer token, serviceaccounts "app" not found]', "gone"),
        ('[invalid bearer token, pods "api-0" not found]', "gone"),
        ("[invalid bearer token, pod UID (1) does not match claim (2)]", "gone"),
        ("oidc: verify token: token is expired (Token Expiry: 2026-01-01)", "expired"),
        ("[service account token has expired, invalid bearer token]", "expired"),
        ("[invalid bearer token, Token has been invalidated]", "refused"),
        ("[invalid bearer token, service account token is not valid yet]", "refused"),
        ('[invalid bearer token, Get "https://x": net/http: TLS handshake timeout]', "outage"),
        ("", "outage"),
        ("x" * 100_000, "outage"),
        ('"' * 100_000, "outage"),
    ],
)
def test_the_words_of_an_api_server_tell_a_bad_token_from_an_outage(words, expected):
    assert ruling(words) == expected


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("https://Cluster.test/", "cluster.test"),
        ("cluster.test:443", "cluster.test"),
        ("https://cluster.test:6443/k8s?x", "cluster.test:6443"),
        ("https://[2001:DB8::1]:6443", "[2001:db8::1]:6443"),
        ("http://cluster.test", ""),
        ("https://a@cluster.test", ""),
        ("https://cluster.test:x", ""),
        ("", ""),
    ],
)
def test_an_api_server_has_one_authority_however_it_is_written(host, expected):
    assert authority(host) == expected


def test_token_files_are_named_by_host():
    assert token_files(["Cluster.test:443=/run/token", "10.0.0.1:6443 = /t"]) == {
        "cluster.test": "/run/token",
        "10.0.0.1:6443": "/t",
    }


@pytest.mark.parametrize("text", ["/run/token", "cluster.test", "cluster.test=token", "=/t", "https://c.test=/t", "c="])
def test_token_files_that_name_no_host_or_no_path_are_refused(text):
    with pytest.raises(ValueError, match="is not host=/path"):
        token_files([text])
