"""Access tokens: their format, what is not one, and how long they live."""

import base64
import json
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from watchword.domain.authentication.tokens import (
    IDENTITY,
    MAX_LENGTH,
    PERSON,
    IdentityClaims,
    PersonClaims,
    Signer,
    ends_at,
    require_unexpired,
    verified,
)
from watchword.domain.errors import BadToken, Unauthorized

# The key of RFC 8037, appendix A, so that anybody can check the vectors below.
SEED = base64.urlsafe_b64decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A=")
KEY = Ed25519PrivateKey.from_private_bytes(SEED)  # another library than the one that signs
SIGNER = Signer(SEED, "test-key")
KEYS = {SIGNER.header.decode(): SIGNER.public}
CLAIMS = IdentityClaims(
    identity_id="0198c0de-0000-7000-8000-000000000001",
    client_secret_id="0198c0de-0000-7000-8000-000000000002",
    identity_access_token_id="0198c0de-0000-7000-8000-000000000003",
    auth_token_type=IDENTITY,
    iat=1_800_000_000,
    exp=1_800_003_600,
    jti="0198c0de-0000-7000-8000-000000000003",
    identity_name="bot",
    auth_method="universal-auth",
    org_id="0198c0de-0000-7000-8000-000000000004",
    root_org_id="0198c0de-0000-7000-8000-000000000004",
    parent_org_id="0198c0de-0000-7000-8000-000000000004",
    creation_epoch=1_800_000_000,
    creation_ms=1_800_000_000_123,
    expires_ms=1_800_003_600_123,
    access_token_ttl=3600,
    access_token_max_ttl=7200,
    serial="AAAAAAAA",
)
PERSON_CLAIMS = PersonClaims(
    auth_token_type=PERSON, user_id="u", token_version_id="s", organization_id="o", iat=1, exp=2, serial="x"
)
ANY_TIME = {"verify_exp": False, "verify_iat": False}


def b64(value: Any) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(header: Any, payload: Any) -> str:
    body = f"{b64(header)}.{b64(payload)}"
    return f"{body}.{b64(KEY.sign(body.encode()))}"


def ours(payload: Any) -> str:
    """A token with our own header and key and any payload."""
    body = f"{SIGNER.header.decode()}.{b64(payload)}"
    return f"{body}.{b64(KEY.sign(body.encode()))}"


# --- the format


def test_the_format_of_a_token_stays_as_it_is() -> None:
    header, payload, signature = SIGNER.sign(CLAIMS).split(".")

    assert "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5In0" == header
    assert {
        "identityId": CLAIMS.identity_id,
        "clientSecretId": CLAIMS.client_secret_id,
        "identityAccessTokenId": CLAIMS.jti,
        "authTokenType": "identityAccessToken",
        "iat": 1_800_000_000,
        "exp": 1_800_003_600,
        "jti": CLAIMS.jti,
        "identityName": "bot",
        "authMethod": "universal-auth",
        "orgId": CLAIMS.org_id,
        "rootOrgId": CLAIMS.org_id,
        "parentOrgId": CLAIMS.org_id,
        "creationEpoch": 1_800_000_000,
        "creationMs": 1_800_000_000_123,
        "expiresMs": 1_800_003_600_123,
        "accessTokenTTL": 3600,
        "accessTokenMaxTTL": 7200,
        "serial": "AAAAAAAA",
    } == jwt.decode(f"{header}.{payload}.{signature}", KEY.public_key(), ["EdDSA"], options=ANY_TIME)  # type: ignore[arg-type]
    assert 86 == len(signature)


def test_claims_travel_in_wire_order_and_without_empty_ones() -> None:
    payload = json.loads(
        base64.urlsafe_b64decode(
            SIGNER.sign(msgspec.structs.replace(CLAIMS, client_secret_id=None)).split(".")[1] + "=="
        )
    )

    assert ["identityId", "identityAccessTokenId", "authTokenType", "iat", "exp"] == list(payload)[:5]
    assert not {"clientSecretId", "numUsesLimit", "ipRestrictionEnabled", "identityAuth", "accessTokenPeriod"} & set(
        payload
    )


@pytest.mark.parametrize(
    "claims",
    [CLAIMS, PERSON_CLAIMS, msgspec.structs.replace(CLAIMS, identity_auth={"oidc": {"claims": {"a": [1, "ü"]}}})],
)
def test_what_was_signed_is_what_is_read(claims: Any) -> None:
    assert claims == verified(SIGNER.sign(claims), KEYS)


def test_a_token_never_looks_like_a_service_token() -> None:
    assert SIGNER.sign(CLAIMS).startswith("eyJ")


def test_claims_that_a_later_version_adds_are_no_fault() -> None:
    assert CLAIMS == verified(ours(json.loads(msgspec.json.encode(CLAIMS)) | {"new": {"a": 1}}), KEYS)


def test_anybody_verifies_a_token_offline_with_the_published_key() -> None:
    jwk = jwt.PyJWK(SIGNER.jwk())
    token = SIGNER.sign(CLAIMS)

    found = jwt.decode(token, jwk, ["EdDSA"], options=ANY_TIME)  # type: ignore[arg-type]

    assert ("test-key", CLAIMS.identity_id) == (jwt.get_unverified_header(token)["kid"], found["identityId"])
    assert "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" == SIGNER.jwk()["x"]
    assert {"kty", "crv", "alg", "use", "kid", "x"} == set(SIGNER.jwk())


def test_nothing_shows_a_key() -> None:
    assert "Signer(test-key)" == repr(SIGNER)


# --- what is not a token


GOOD = SIGNER.sign(CLAIMS)
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
OTHER = Signer(bytes(32), "other-key")
FORGED = {
    "nothing": "",
    "one part": HEADER,
    "two parts": f"{HEADER}.{PAYLOAD}",
    "no payload": f"{HEADER}..{SIGNATURE}",
    "no signature": f"{HEADER}.{PAYLOAD}.",
    "four parts": f"{GOOD}.{SIGNATURE}",
    "alg none": f"{b64({'alg': 'none', 'typ': 'JWT'})}.{PAYLOAD}.",
    "alg none with our signature": f"{b64({'alg': 'none', 'typ': 'JWT', 'kid': 'test-key'})}.{PAYLOAD}.{SIGNATURE}",
    "alg none, properly signed": signed({"alg": "none", "typ": "JWT", "kid": "test-key"}, {"a": 1}),
    "the public key as an HMAC secret": jwt.encode(
        {"a": 1}, bytes(SIGNER.public), "HS256", headers={"kid": "test-key"}
    ),
    "another order in the header": signed(
        {"kid": "test-key", "alg": "EdDSA", "typ": "JWT"}, json.loads(msgspec.json.encode(CLAIMS))
    ),
    "a header with more": signed(
        {"alg": "EdDSA", "typ": "JWT", "kid": "test-key", "crit": ["x"]}, json.loads(msgspec.json.encode(CLAIMS))
    ),
    "another key": OTHER.sign(CLAIMS),
    "another key under our kid": f"{HEADER}.{PAYLOAD}.{b64(Ed25519PrivateKey.from_private_bytes(bytes(32)).sign(f'{HEADER}.{PAYLOAD}'.encode()))}",
    "another payload": f"{HEADER}.{b64(msgspec.json.encode(msgspec.structs.replace(CLAIMS, identity_id='x')))}.{SIGNATURE}",
    "a signature cut short": GOOD[:-2],
    "a signature made longer": GOOD + "AAAA",
    "padding": GOOD + "==",
    "a line break": GOOD + "\n",
    "the standard alphabet": f"{HEADER}.{PAYLOAD}.{SIGNATURE.replace('-', '+').replace('_', '/')}+",
    "spaces inside": f"{HEADER}. {PAYLOAD}.{SIGNATURE}",
    "letters beyond ASCII": f"{HEADER}.{PAYLOAD}é.{SIGNATURE}",
    "half a character": f"{HEADER}.{PAYLOAD}\ud800.{SIGNATURE}",
    "no JSON": ours(b"not json"),
    "a list": ours([1]),
    "a number": ours(1),
    "claims missing": ours({"authTokenType": IDENTITY, "identityId": "x"}),
    "claims of another type": ours(json.loads(msgspec.json.encode(CLAIMS)) | {"exp": "soon"}),
    "a broken character": ours(b'{"authTokenType":"identityAccessToken","identityId":"\xff"}'),
    "too deep": ours(b'{"authTokenType":"identityAccessToken","identityAuth":' + b"[" * 5000 + b"]" * 5000 + b"}"),
    "huge": ours({"authTokenType": IDENTITY, "identityName": "x" * MAX_LENGTH}),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_we_did_not_make_is_refused(name: str) -> None:
    with pytest.raises(BadToken):
        verified(FORGED[name], KEYS)


def test_the_last_character_of_a_signature_has_one_spelling() -> None:
    """86 characters hold two bits more than 64 bytes: three more spellings of each signature, which would be
    four tokens.
    """
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    others = [f"{GOOD[:-1]}{letter}" for letter in alphabet if letter != GOOD[-1]]

    for other in others:
        with pytest.raises(BadToken):
            verified(other, KEYS)


def test_a_token_of_a_kind_we_do_not_know_is_no_way_in() -> None:
    with pytest.raises(Unauthorized):
        verified(ours({"authTokenType": "refreshToken"}), KEYS)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: f"{HEADER}.{b64(raw)}.{SIGNATURE}"))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(BadToken):
        verified(text, KEYS)


@given(st.data())
def test_a_token_changed_at_any_place_is_refused(data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(GOOD) - 1))
    letter = data.draw(st.characters(codec="ascii").filter(lambda other: other != GOOD[place]))

    with pytest.raises(BadToken):
        verified(GOOD[:place] + letter + GOOD[place + 1 :], KEYS)


# --- how long it lives


def test_a_token_ends_at_its_millisecond() -> None:
    require_unexpired(CLAIMS, CLAIMS.expires_ms - 1)
    with pytest.raises(BadToken):
        require_unexpired(CLAIMS, CLAIMS.expires_ms)


def test_a_token_without_milliseconds_ends_at_its_second() -> None:
    old = msgspec.structs.replace(CLAIMS, expires_ms=0)

    require_unexpired(old, old.exp * 1000 - 1)
    with pytest.raises(BadToken):
        require_unexpired(old, old.exp * 1000)


YEAR = 31_536_000
LIFE = [
    # ttl, max ttl, period, max age, seconds since the first issue -> seconds to live
    (3600, 7200, 0, YEAR, 0, 3600),
    (3600, 7200, 0, YEAR, 3600, 3600),
    (3600, 7200, 0, YEAR, 5000, 2200),  # shortened, not destroyed
    (3600, 7200, 0, YEAR, 7199, 1),
    (3600, 7200, 0, YEAR, 7200, 0),
    (3600, 7200, 0, YEAR, 9000, -1800),
    (3600, 3600, 0, YEAR, 1000, 2600),  # TTL = max TTL renews up to max TTL
    (3600, 0, 0, YEAR, 0, 3600),  # max TTL 0: unlimited but for the maximum age
    (3600, 0, 0, YEAR, YEAR - 10, 10),
    (3600, 0, 0, YEAR, YEAR, 0),
    (0, 7200, 0, YEAR, 0, 7200),
    (0, 7200, 0, YEAR, 7000, 200),
    (0, 0, 0, YEAR, 0, YEAR),  # all zero: the maximum age
    (0, 0, 0, YEAR, 100, YEAR - 100),
    (2 * YEAR, 3 * YEAR, 0, YEAR, 0, YEAR),  # the maximum age caps everything
    (0, 0, 60, YEAR, 0, 60),  # periodic: each renewal gives a whole period
    (3600, 7200, 60, YEAR, 100_000, 60),  # forever, whatever TTL and max TTL were
    (0, 0, 2 * YEAR, YEAR, 5 * YEAR, YEAR),
]


@pytest.mark.parametrize(("ttl", "max_ttl", "period", "max_age", "age", "expected"), LIFE)
def test_the_life_of_a_token(ttl: int, max_ttl: int, period: int, max_age: int, age: int, expected: int) -> None:
    first = 1_800_000_000_123
    now = first + age * 1000

    end = ends_at(now=now, first=first, ttl=ttl, max_ttl=max_ttl, period=period, max_age=max_age)

    assert expected == (end - now) / 1000


WHOLE = st.integers(0, 10**7)


@given(ttl=WHOLE, max_ttl=WHOLE, max_age=st.integers(60, 10**8), ages=st.lists(st.integers(0, 10**6), max_size=6))
def test_no_number_of_renewals_passes_what_the_first_issue_allowed(
    ttl: int, max_ttl: int, max_age: int, ages: list[int]
) -> None:
    first, now = 1_800_000_000_000, 1_800_000_000_000

    for age in ages:
        now += age
        end = ends_at(now=now, first=first, ttl=ttl, max_ttl=max_ttl, period=0, max_age=max_age)

        assert end <= first + min(max_ttl or max_age, max_age) * 1000
        assert not ttl or end <= now + ttl * 1000


TIMES = [
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-1",
    "true",
    '"9"',
    '"\\ud800"',
    "9" * 400,
    "-" + "9" * 400,
    "9" * 1000,
    str(2**63),
    "[]",
    "{}",
]


@pytest.mark.parametrize("value", TIMES)
@pytest.mark.parametrize("name", ["exp", "iat", "expiresMs", "creationMs"])
@pytest.mark.parametrize("claims", [CLAIMS, PERSON_CLAIMS], ids=["identity", "person"])
def test_a_time_that_is_none_in_a_token_with_our_signature_is_refused_or_far_away_and_no_fault(
    claims: Any, name: str, value: str
) -> None:
    payload = json.dumps({**json.loads(msgspec.json.encode(claims)), name: "HERE"}).replace('"HERE"', value)
    try:
        found = verified(ours(payload.encode()), KEYS)
        require_unexpired(found, 1_800_000_000_000)
    except Unauthorized:
        return

    is_unknown_there = claims is PERSON_CLAIMS and name.endswith("Ms")
    assert is_unknown_there or value.lstrip("-").isdigit()
