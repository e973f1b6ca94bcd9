import json

import pytest

from tests.methods.conftest import IDENTITY
from tests.minting import KEYS, NOW, jwk, mint, public_pem
from watchword.methods.base import Spent
from watchword.methods.bound_keypair import METHOD

HERE = "https://watchword.test/oauth2/token"


def config(*keys, **more):
    return {"publicKeys": list(keys) or [public_pem("p256")], "boundAudiences": f"https://watchword.test,{HERE}"} | more


def assertion(key="p256", kid=None, **more):
    said = {"iss": IDENTITY, "sub": IDENTITY, "aud": HERE, "iat": NOW, "exp": NOW + 300, "jti": "once-1"} | more
    return mint({n: v for n, v in said.items() if v is not None}, key=key, kid=kid)


async def test_the_holder_of_the_key_logs_in_once(remote):
    verified = await remote.login(METHOD, config(), assertion() + "\n")

    assert verified.spent == Spent(f"{IDENTITY}:once-1", (NOW + 300) * 1000 + 1000)
    assert verified.audit == {"jti": "once-1"}


@pytest.mark.parametrize("aud", [HERE, "https://watchword.test", [HERE]])
async def test_an_assertion_names_the_endpoint_or_the_issuer(remote, aud):
    assert await remote.login(METHOD, config(), assertion(aud=aud))


async def test_keys_overlap_while_they_are_rotated(remote):
    both = config(jwk("p256", "old"), json.dumps(jwk("ed25519", "new", alg="EdDSA")), public_pem("rsa"))
    for token in (assertion(kid="old"), assertion("ed25519", "new"), assertion("rsa"), assertion()):
        assert await remote.login(METHOD, both, token)

    assert await remote.refusal(METHOD, config(jwk("ed25519", "new")), assertion(kid="old")) == "key_unknown"


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (assertion(jti=None), "jti_missing"),
        (assertion(jti=""), "jti_missing"),
        (assertion(jti=5), "jti_missing"),
        (assertion(jti="x" * 256), "jti_missing"),
        (assertion(exp=None), "expiry_missing"),
        (assertion(exp=NOW), "token_expired"),
        (assertion(exp=NOW + 3_631), "life_too_long"),
        (assertion(exp=NOW + 3_631, iat=None), "life_too_long"),
        (assertion(exp=NOW + 3_650, iat=NOW + 20), "life_too_long"),
        (assertion(iat=NOW + 31), "token_from_the_future"),
        (assertion(nbf=NOW + 31), "token_not_yet_valid"),
        (assertion(iss="other"), "issuer_mismatch"),
        (assertion(iss=None), "issuer_mismatch"),
        (assertion(sub="other"), "subject_mismatch"),
        (assertion(sub=None), "subject_mismatch"),
        (assertion(aud="https://other.test"), "audience_mismatch"),
        (assertion(aud=[HERE, "https://watchword.test"]), "audience_several"),
        (assertion(aud=[HERE, "https://other.test"]), "audience_several"),
        (assertion(aud=[HERE, HERE]), "audience_several"),
        (assertion(aud=None), "audience_missing"),
        (assertion(aud=[]), "audience_missing"),
        (assertion("p256_other"), "signature_invalid"),
        (assertion("rsa"), "key_unfit"),
        ("garbage", "token_malformed"),
        (mint({"iss": IDENTITY}, "p256", header={"jwk": jwk("p256_other")}), "expiry_missing"),
    ],
)
async def test_an_assertion_that_is_not_ours_now_or_once_is_refused(remote, token, expected):
    assert await remote.refusal(METHOD, config(), token) == expected


async def test_a_shorter_life_may_be_demanded(remote):
    assert await remote.refusal(METHOD, config(maxAssertionSeconds=60), assertion()) == "life_too_long"
    assert await remote.login(METHOD, config(maxAssertionSeconds=60), assertion(exp=NOW + 60))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"publicKeys": []}, "publicKeys"),
        ({"publicKeys": [public_pem("p256")] * 11}, "publicKeys"),
        ({"publicKeys": ["x"]}, "publicKeys"),
        ({"publicKeys": ["{}"]}, "publicKeys"),
        ({"publicKeys": ["{"]}, "publicKeys"),
        ({"publicKeys": ['{"kty":"oct","k":"AAAA"}']}, "publicKeys"),
        ({"publicKeys": [jwk("p256") | {"d": "AAAA"}]}, "publicKeys"),
        ({"publicKeys": [public_pem("rsa_1024")]}, "publicKeys"),
        ({"publicKeys": [jwk("p256", "k"), jwk("rsa", "k")]}, "publicKeys"),
        ({"boundAudiences": ""}, "boundAudiences"),
        ({"maxAssertionSeconds": 3_601}, "maxAssertionSeconds"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(remote, change, fault):
    assert remote.faults(METHOD, config() | change) == [fault]


def test_a_pasted_private_key_is_refused(remote):
    assert remote.faults(METHOD, config((KEYS / "p256.pem").read_text())) == ["publicKeys"]
