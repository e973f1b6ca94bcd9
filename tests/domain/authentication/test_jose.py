import base64
import hashlib
import hmac
import json
import pathlib

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.minting import NOW, Recorded, b64, claims, jwk, mint, private, public_pem
from watchword.domain.authentication.jose import decode_unverified, verified_payload, verify_jws
from watchword.domain.authentication.public_keys import (
    UnusableKeyError,
    bytes_of,
    key_from_jwk,
    key_from_pem,
    public_keys,
)
from watchword.domain.errors import Denied

VECTORS = pathlib.Path(__file__).parents[4] / "shared" / "vectors"
RSA = [jwk("rsa", "k1")]


def check(token, keys=RSA, **options):
    options = {"issuer": "https://issuer.test", "audiences": ("watchword",)} | options
    return verify_jws(token, keys, checks=Recorded(), now=NOW * 1000, **options)


def reason(token, keys=RSA, **options):
    with pytest.raises(Denied) as refused:
        check(token, keys, **options)
    assert not token or token not in repr(refused.value.facts)
    return refused.value.reason


@pytest.mark.parametrize("key", ["rsa", "p256", "p384", "p521", "ed25519"])
def test_a_sound_token_of_each_kind_of_key_is_accepted(key):
    assert check(mint(key=key, kid="k"), [jwk(key, "k")])["sub"] == "sub-1"


@pytest.mark.parametrize("declared", [None, "EdDSA", "Ed25519"])
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_an_ed25519_signature_is_accepted_by_either_of_its_names(alg, declared):
    key = jwk("ed25519", "e") | {"alg": declared}
    token = mint(key="ed25519", kid="e", alg=alg, sign_as="EdDSA")

    assert check(token, [key])["sub"] == "sub-1"
    assert reason(token[:-6] + "AAAAAA", [key]) == "signature_invalid"


def test_the_names_of_other_curves_and_kinds_are_not_names_of_ed25519():
    for alg in ("Ed448", "ES256"):
        assert reason(mint(key="ed25519", kid="e", alg=alg, sign_as="EdDSA"), [jwk("ed25519", "e")]) == "key_unfit"
    assert reason(mint(kid="k1", alg="Ed25519", sign_as="RS256")) == "key_unfit"


def test_a_key_is_read_once():
    pem, one = public_pem("p384"), jwk("p384", "k")
    assert key_from_pem(pem) is key_from_pem(pem)
    assert key_from_jwk(one) is key_from_jwk(dict(one))
    assert key_from_jwk(one | {"kid": "other"}).kid == "other"


def test_base64_of_pem_is_a_key():
    text = base64.encodebytes(public_pem("rsa").encode()).decode()
    assert key_from_pem(text).thumbprint == key_from_pem(public_pem("rsa")).thumbprint


@pytest.mark.parametrize("alg", ["RS384", "RS512", "PS256", "PS384", "PS512"])
def test_the_other_rsa_signatures_are_accepted(alg):
    assert check(mint(kid="k1", alg=alg))["sub"] == "sub-1"


def test_the_algorithm_none_is_refused():
    body = b64(json.dumps(claims()).encode())
    for alg in ("none", "None", "NONE", ""):
        head = b64(json.dumps({"alg": alg, "kid": "k1"}).encode())
        assert reason(f"{head}.{body}.") == "algorithm_refused"
        assert reason(f"{head}.{body}.{b64(b'x')}") == "algorithm_refused"


@pytest.mark.parametrize("secret", [public_pem("rsa"), public_pem("rsa").strip(), json.dumps(jwk("rsa", "k1")), ""])
def test_hmac_with_a_public_key_as_the_secret_is_refused(secret):
    signed = b64(b'{"alg":"HS256","kid":"k1"}') + "." + b64(json.dumps(claims()).encode())
    token = signed + "." + b64(hmac.new(secret.encode(), signed.encode(), hashlib.sha256).digest())

    assert reason(token) == "algorithm_refused"


def test_a_shared_secret_in_the_key_set_is_never_used():
    secret = b"s" * 64
    signed = b64(b'{"alg":"HS256","kid":"h"}') + "." + b64(json.dumps(claims()).encode())
    token = signed + "." + b64(hmac.new(secret, signed.encode(), hashlib.sha256).digest())

    assert reason(token, [{"kty": "oct", "kid": "h", "k": b64(secret)}]) == "algorithm_refused"
    assert reason(mint(kid="h"), [{"kty": "oct", "kid": "h", "k": b64(secret)}]) == "key_unfit"


def test_a_key_of_another_type_than_the_algorithm_is_refused():
    assert reason(mint(kid="k1", key="p256")) == "key_unfit"
    assert reason(mint(kid="e"), [jwk("p256", "e")]) == "key_unfit"
    assert reason(mint(kid="e", key="ed25519"), [jwk("p256", "e")]) == "key_unfit"


def test_an_ec_key_on_another_curve_than_the_algorithms_is_refused():
    assert reason(mint(kid="e", key="p384", alg="ES256"), [jwk("p384", "e")]) == "key_unfit"


def test_a_curve_outside_the_list_is_refused():
    numbers = private("k256").public_key().public_numbers()
    k256 = {
        "kty": "EC",
        "crv": "secp256k1",
        "kid": "k",
        "x": b64(numbers.x.to_bytes(32)),
        "y": b64(numbers.y.to_bytes(32)),
    }
    assert reason(mint(kid="k", key="p256"), [k256]) == "key_unfit"
    with pytest.raises(UnusableKeyError):
        key_from_pem(public_pem("k256"))


def test_an_rsa_key_below_2048_bits_is_refused():
    assert reason(mint(kid="s", key="rsa_1024"), [jwk("rsa_1024", "s")]) == "key_unfit"
    with pytest.raises(UnusableKeyError):
        key_from_pem(public_pem("rsa_1024"))


@pytest.mark.parametrize(
    "said",
    [
        {"use": "enc"},
        {"alg": "PS256"},
        {"alg": "RSA-OAEP"},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"key_ops": "verify"},
        {"use": 5},
        {"alg": {}},
    ],
)
def test_a_key_that_its_issuer_meant_for_something_else_is_refused(said):
    assert reason(mint(kid="k1"), [jwk("rsa", "k1", **said)]) == "key_unfit"


@pytest.mark.parametrize("said", [{"use": "sig"}, {"alg": "RS256"}, {"key_ops": ["verify"]}, {"x5c": ["junk"]}, {}])
def test_a_key_that_its_issuer_meant_for_this_is_used(said):
    assert check(mint(kid="k1"), [jwk("rsa", "k1", **said)])["sub"] == "sub-1"


@pytest.mark.parametrize("crit", [["b64"], ["exp"], [], "b64", None])
def test_a_critical_header_is_refused(crit):
    assert reason(mint(kid="k1", header={"crit": crit})) == "header_critical"


def test_an_unencoded_payload_is_refused():
    assert reason(mint(kid="k1", header={"b64": False})) == "header_critical"


def test_a_key_in_the_header_is_ignored():
    planted = jwk("rsa_other", "k1")
    for header in (
        {"jwk": planted},
        {"jku": "https://evil.test/keys"},
        {"x5u": "https://evil.test/chain"},
        {"x5c": ["MIIB"]},
    ):
        assert reason(mint(key="rsa_other", kid="k1", header=header)) == "signature_invalid"
        assert reason(mint(key="rsa_other", kid="evil", header=header)) == "key_unknown"
        assert check(mint(kid="k1", header=header))["sub"] == "sub-1"


def test_two_different_keys_of_one_name_are_refused():
    keys = [jwk("rsa", "k1"), jwk("rsa_other", "k1")]
    assert reason(mint(kid="k1"), keys) == "key_ambiguous"
    assert reason(mint(kid="k1"), keys[::-1]) == "key_ambiguous"


def test_the_same_key_listed_twice_is_one_key():
    assert check(mint(kid="k1"), [jwk("rsa", "k1"), jwk("rsa", "k1", use="sig")])["sub"] == "sub-1"


def test_keys_of_two_types_may_share_a_name():
    keys = [jwk("p256", "k"), jwk("rsa", "k")]
    assert check(mint(kid="k"), keys)["sub"] == "sub-1"
    assert check(mint(key="p256", kid="k"), keys)["sub"] == "sub-1"


def test_an_encrypted_token_is_refused():
    assert reason(".".join([b64(b'{"alg":"RSA-OAEP","enc":"A256GCM"}'), "a", "b", "c", "d"])) == "token_encrypted"


@pytest.mark.parametrize(
    "change",
    [
        lambda p: [p[0], p[1]],
        lambda p: [*p, ""],
        lambda p: ["", *p],
        lambda p: [p[0]],
        lambda _p: [""],
        lambda p: [p[0], p[1], p[2], p[2], p[2], p[2]],
    ],
)
def test_a_token_without_exactly_three_parts_is_refused(change):
    assert reason(".".join(change(mint(kid="k1").split(".")))) == "token_malformed"


@pytest.mark.parametrize("part", [0, 1, 2])
@pytest.mark.parametrize("tail", ["=", "==", " ", "\n", "+", "/", "!", "\u00e9"])
def test_a_part_that_is_not_plain_base64url_is_refused(part, tail):
    parts = mint(kid="k1").split(".")
    parts[part] += tail
    assert reason(".".join(parts)) == "token_malformed"


def test_a_second_spelling_of_the_signature_is_refused():
    token = mint(kid="k1")  # 256 bytes: the last of 342 characters has four spare bits
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    twin = token[:-1] + alphabet[alphabet.index(token[-1]) ^ 1]

    assert base64.urlsafe_b64decode(twin.split(".")[2] + "==") == base64.urlsafe_b64decode(token.split(".")[2] + "==")
    assert reason(twin) == "token_malformed"


@pytest.mark.parametrize(
    "payload",
    [
        b'{"sub":"a","sub":"b"}',
        b"[]",
        b'"x"',
        b"null",
        b"{",
        b"",
        b"\xff",
        b'{"exp":NaN}',
        b"[" * 9000,
        b'{"exp":' + b"9" * 5000 + b"}",
    ],
)
def test_a_payload_that_readers_differ_about_is_refused(payload):
    assert reason(mint(payload, kid="k1")) == "token_malformed"


@pytest.mark.parametrize(
    "header",
    [
        b'{"alg":"RS256","alg":"none"}',
        b'{"alg":"RS256","kid":"a","kid":"k1"}',
        b"[]",
        b'{"kid":"k1"}',
        b'{"alg":5}',
        b'{"alg":"RS256","kid":5}',
    ],
)
def test_a_header_that_readers_differ_about_is_refused(header):
    assert reason(mint(header=header)) == "token_malformed"


def test_a_token_that_is_too_long_is_refused_unread():
    assert reason("a" * 20_000) == "token_too_long"


def test_a_forged_signature_is_refused():
    assert reason(mint(key="rsa_other", kid="k1")) == "signature_invalid"
    head, _, sig = mint(kid="k1").split(".")
    assert reason(".".join([head, b64(json.dumps(claims(sub="root")).encode()), sig])) == "signature_invalid"
    assert reason(mint(kid="k1").rpartition(".")[0] + ".") == "signature_invalid"
    assert (
        reason(mint(kid="e", key="p256").rpartition(".")[0] + "." + b64(bytes(64)), [jwk("p256", "e")])
        == "signature_invalid"
    )
    assert (
        reason(mint(kid="d", key="ed25519").rpartition(".")[0] + "." + b64(bytes(64)), [jwk("ed25519", "d")])
        == "signature_invalid"
    )


def test_a_der_signature_in_place_of_a_raw_one_is_refused():
    signed = mint(kid="e", key="p256").rpartition(".")[0]
    der = private("p256").sign(signed.encode(), ec.ECDSA(hashes.SHA256()))
    assert reason(f"{signed}.{b64(der)}", [jwk("p256", "e")]) == "signature_invalid"


@pytest.mark.parametrize(
    ("exp", "expected"),
    [
        (None, "expiry_missing"),
        (-1, "exp_malformed"),
        (str(NOW + 300), "exp_malformed"),
        (10**18, "exp_malformed"),
        (2**63, "exp_malformed"),
        (1e308, "exp_malformed"),
        (True, "exp_malformed"),
        ([NOW + 300], "exp_malformed"),
        ({}, "exp_malformed"),
        (0, "token_expired"),
        (NOW, "token_expired"),
        (NOW - 1, "token_expired"),
    ],
)
def test_an_expiry_that_is_missing_past_or_no_time_is_refused(exp, expected):
    assert reason(mint(claims(exp=exp), kid="k1")) == expected


def test_an_expiry_of_null_or_beyond_floats_is_refused():
    assert reason(mint(json.dumps(claims() | {"exp": None}).encode(), kid="k1")) == "exp_malformed"
    assert reason(mint(json.dumps(claims()).replace(str(NOW + 300), "1e999").encode(), kid="k1")) == "exp_malformed"


def test_an_expiry_with_a_fraction_is_accepted():
    assert check(mint(claims(exp=NOW + 0.5), kid="k1"))["sub"] == "sub-1"


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"nbf": NOW + 31}, "token_not_yet_valid"),
        ({"iat": NOW + 31}, "token_from_the_future"),
        ({"nbf": "0"}, "nbf_malformed"),
        ({"iat": -1}, "iat_malformed"),
        ({"nbf": True}, "nbf_malformed"),
    ],
)
def test_a_token_from_the_future_is_refused(said, expected):
    assert reason(mint(claims(**said), kid="k1")) == expected


@pytest.mark.parametrize("said", [{"nbf": NOW + 29}, {"iat": NOW + 29}, {"iat": None}])
def test_a_clock_a_little_ahead_is_forgiven(said):
    assert check(mint(claims(**said), kid="k1"))["sub"] == "sub-1"


@pytest.mark.parametrize(
    "issuer",
    [None, "", "https://issuer.test/", "https://issuer.tes", "HTTPS://issuer.test", ["https://issuer.test"], 5],
)
def test_another_issuer_is_refused_be_it_by_a_slash(issuer):
    assert reason(mint(claims(iss=issuer), kid="k1")) == "issuer_mismatch"


def test_an_issuer_bound_with_a_slash_is_not_the_one_without():
    assert reason(mint(kid="k1"), issuer="https://issuer.test/") == "issuer_mismatch"


@pytest.mark.parametrize("aud", ["watchword", ["watchword"], ["other", "watchword"]])
def test_an_audience_is_a_text_or_one_of_a_list(aud):
    assert check(mint(claims(aud=aud), kid="k1"))["sub"] == "sub-1"


@pytest.mark.parametrize(
    ("aud", "expected"),
    [
        (None, "audience_missing"),
        ("", "audience_mismatch"),
        ([], "audience_missing"),
        ([""], "audience_missing"),
        (["watchword", 5], "audience_missing"),
        ({"watchword": 1}, "audience_missing"),
        (5, "audience_missing"),
        ("other", "audience_mismatch"),
        (["other"], "audience_mismatch"),
        ("watchword,other", "audience_mismatch"),
        ([["watchword"]], "audience_missing"),
    ],
)
def test_an_audience_that_is_missing_empty_or_another_is_refused(aud, expected):
    assert reason(mint(claims(aud=aud), kid="k1")) in (expected, "audience_missing")


def test_no_audience_at_all_accepts_none():
    assert reason(mint(kid="k1"), audiences=()) == "audience_mismatch"


def test_a_life_beyond_the_longest_is_refused():
    assert reason(mint(claims(exp=NOW + 900), kid="k1"), max_life=600) == "life_too_long"
    assert reason(mint(claims(exp=NOW + 900, iat=None), kid="k1"), max_life=600) == "life_too_long"
    assert reason(mint(claims(exp=NOW + 10, iat=NOW - 5000), kid="k1"), max_life=600) == "life_too_long"


def test_of_a_token_without_a_key_id_ten_keys_are_tried():
    others = [jwk("rsa_other", f"o{n}") | {"n": jwk("rsa_other")["n"][:-4] + f"{n:03d}x"[:3] + "Q"} for n in range(12)]
    assert check(mint(), [*others[:9], jwk("rsa", "last")])["sub"] == "sub-1"
    assert reason(mint(), [*others[:10], jwk("rsa", "last")]) == "signature_invalid"


def test_keys_without_a_name_may_carry_any_name():
    assert check(mint(kid="whatever"), [key_from_pem(public_pem("rsa"))])["sub"] == "sub-1"
    assert reason(mint(kid="whatever"), [jwk("rsa", "k1")]) == "key_unknown"
    assert reason(mint(kid="whatever"), []) == "key_unknown"


def test_only_the_algorithms_asked_for_are_accepted():
    assert reason(mint(kid="e", key="p256"), [jwk("p256", "e")], algorithms={"RS256"}) == "algorithm_refused"
    assert reason(mint(kid="k1", alg="HS256", sign_as="RS256"), algorithms={"HS256"}) == "algorithm_refused"


def test_every_check_that_passed_is_on_record_without_the_token():
    checks, token = Recorded(), mint(kid="k1")
    verify_jws(token, RSA, checks=checks, now=NOW * 1000, issuer="https://issuer.test", audiences=("watchword",))

    assert checks.passed[-5:] == [
        "token_expired",
        "token_from_the_future",
        "issuer_mismatch",
        "audience_missing",
        "audience_mismatch",
    ]
    assert "signature_invalid" in checks.passed
    assert token not in repr(checks.done)


@pytest.mark.parametrize(
    "key",
    [
        {},
        {"kty": "XYZ"},
        {"kty": 5},
        {"kty": "RSA"},
        {"kty": "RSA", "n": "AQAB", "e": "AQAB"},
        jwk("rsa") | {"e": "AQ"},
        jwk("rsa") | {"e": "Ag"},
        jwk("rsa") | {"n": "*"},
        jwk("rsa") | {"n": 5},
        jwk("p256") | {"x": "AA"},
        jwk("p256") | {"crv": "P-384"},
        jwk("p256") | {"crv": "X"},
        jwk("ed25519") | {"x": "AA"},
        jwk("ed25519") | {"crv": "X25519"},
        {"kty": "RSA", "x5c": ["!"]},
        {"kty": "RSA", "x5c": ["AAAA"]},
    ],
)
def test_a_key_that_is_none_is_refused(key):
    with pytest.raises(UnusableKeyError):
        key_from_jwk(key)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "[]",
        "{}",
        '{"keys":[]}',
        '{"keys":[5]}',
        '{"keys":[{"kty":"oct","k":"AA"}]}',
        '{"keys":[{"kty":"RSA","d":"AA"}]}',
        '{"keys":[],"keys":[]}',
    ],
)
def test_a_pasted_key_set_that_is_none_or_private_is_refused(text):
    with pytest.raises(UnusableKeyError):
        public_keys(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
    ],
)
def test_a_pem_text_that_is_none_is_refused(text):
    with pytest.raises(UnusableKeyError):
        key_from_pem(text)


def test_reading_a_token_proves_nothing_but_finds_its_key():
    read = decode_unverified(mint(kid="k1"), Recorded())
    assert (read.kid, read.alg, read.claims["sub"]) == ("k1", "RS256", "sub-1")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.fixed_dictionaries(
    {"alg": st.sampled_from(["RS256", "ES256", "EdDSA", "none", "HS256"]) | JSON},
    optional={"kid": st.just("k") | JSON, "typ": JSON, "jwk": JSON},
)
CLAIMS = st.fixed_dictionaries({}, optional=dict.fromkeys(("iss", "sub", "aud", "exp", "nbf", "iat"), JSON))
JWKS = st.lists(
    st.fixed_dictionaries(
        {"kty": st.sampled_from(["RSA", "EC", "OKP", "oct"]) | JSON},
        optional={
            name: JSON | st.sampled_from(["AQAB", "P-256", "Ed25519", "sig", "k"])
            for name in ("kid", "n", "e", "crv", "x", "y", "alg", "use", "key_ops", "x5c")
        },
    ),
    max_size=3,
)


@given(st.text(max_size=200) | st.builds(".".join, st.lists(st.text("eyJ0=.-_", max_size=20), min_size=3, max_size=3)))
def test_whatever_is_presented_is_refused_and_nothing_else_happens(text):
    with pytest.raises(Denied):
        check(text)


@given(HEADERS, CLAIMS, JWKS)
def test_whatever_a_key_set_and_a_token_say_is_refused_and_nothing_else_happens(header, payload, keys):
    token = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(payload).encode())}.{b64(b'x' * 64)}"
    with pytest.raises(Denied):
        check(token, keys)


@given(CLAIMS)
def test_whatever_signed_claims_say_is_judged_without_a_fault(payload):
    token = mint(payload, "ed25519", kid="k")
    try:
        proved = check(token, [jwk("ed25519", "k")])
    except Denied:
        return
    assert proved == payload  # pragma: no cover - chance does not hit a sound token


# --- Wycheproof -----------------------------------------------------------------------------------------------------


def _groups(name):
    path = VECTORS / f"{name}.json"
    if not path.exists():
        return []
    for group in json.loads(path.read_text())["testGroups"]:
        for each in group["tests"]:
            if "jws" in each:
                yield pytest.param(group, each, id=f"{name}-{each['tcId']}-{each['comment']}")


WYCHEPROOF = [
    case for name in ("json_web_signature_test", "json_web_crypto_test", "json_web_key_test") for case in _groups(name)
]


@pytest.mark.skipif(not WYCHEPROOF, reason="the Wycheproof JOSE vectors are not at ../shared/vectors")
@pytest.mark.parametrize(("group", "case"), WYCHEPROOF)
def test_wycheproof(group, case):
    given = group.get("public") or group.get("private")
    keys = given.get("keys", [given])
    if not isinstance(case["jws"], str):
        pytest.skip("the JSON serialization is not a compact JWS")
    try:
        verified_payload(case["jws"], keys, checks=Recorded())
        accepted = True
    except Denied:
        accepted = False

    # Valid there and refused here, knowingly: shared secrets; and keys whose `alg` is not that of the signature.
    shared = any(key["kty"] == "oct" for key in keys)
    alg = json.loads(bytes_of(case["jws"].split(".")[0]))["alg"] if case["result"] == "valid" and not shared else None
    ours = shared or any(key.get("alg") not in (None, alg) for key in keys)
    assert accepted == (case["result"] == "valid" and not ours)
