import pytest

from tests.methods.doubles.web import certificate, keys_reply
from tests.minting import claims, jwk, mint, public_pem
from watchword.domain.errors import Denied
from watchword.methods.jwt import METHOD

ALL = ("rsa", "p256", "ed25519")


def static(*keys, **more):
    return {"configurationType": "static", "publicKeys": [public_pem(key) for key in keys], "boundClaims": {}} | more


def published(**more):
    return {"configurationType": "jwks", "jwksUrl": "https://issuer.test/keys", "boundClaims": {}} | more


@pytest.fixture
def issuer(remote):
    remote.site.routes["/keys"] = keys_reply(*(jwk(key, key) for key in ALL))
    return remote


@pytest.mark.parametrize("key", ALL)
async def test_rsa_ec_and_ed25519_are_accepted_from_a_key_set_and_pasted(issuer, key):
    assert await issuer.login(METHOD, published(), mint(key=key, kid=key) + "\n")
    assert await issuer.login(METHOD, static(*ALL), mint(key=key))
    assert await issuer.login(METHOD, static(*ALL), mint(key=key, kid="a name that pasted keys do not have"))


async def test_a_pasted_certificate_is_its_key(issuer):
    assert await issuer.login(METHOD, static(publicKeys=[certificate("x", "rsa")]), mint())


async def test_a_key_that_is_not_among_them_is_refused(issuer):
    assert await issuer.refusal(METHOD, static("rsa"), mint(key="rsa_other")) == "signature_invalid"
    assert await issuer.refusal(METHOD, static("rsa"), mint(key="p256")) == "key_unfit"
    assert await issuer.refusal(METHOD, published(), mint(key="rsa_other", kid="rsa")) == "signature_invalid"
    assert await issuer.refusal(METHOD, published(), mint(kid="zz")) == "key_unknown"
    assert await issuer.refusal(METHOD, static("rsa"), "garbage") == "token_malformed"


async def test_keys_that_cannot_be_had_refuse(issuer):
    assert (
        await issuer.refusal(METHOD, published(jwksUrl="https://issuer.test/nothing"), mint(kid="rsa"))
        == "keys_unavailable"
    )
    assert (
        await issuer.refusal(METHOD, published(jwksUrl="http://issuer.test/keys"), mint(kid="rsa"))
        == "keys_unavailable"
    )


@pytest.mark.parametrize(
    ("bound", "said", "expected", "status"),
    [
        ({"boundIssuer": "https://issuer.test"}, {}, None, None),
        ({"boundIssuer": "https://issuer.test/"}, {}, "issuer_mismatch", 403),
        ({"boundIssuer": "https://issuer.test"}, {"iss": None}, "issuer_mismatch", 403),
        ({"boundSubject": "sub-*"}, {}, None, None),
        ({"boundSubject": "other"}, {}, "subject_mismatch", 403),
        ({"boundSubject": "*"}, {"sub": None}, "subject_missing", 401),
        ({"boundAudiences": "x,watchword"}, {"aud": ["watchword"]}, None, None),
        ({"boundAudiences": "x"}, {}, "audience_mismatch", 401),
        ({"boundAudiences": "x"}, {"aud": None}, "audience_missing", 401),
        ({"boundClaims": {"a.b": "c"}}, {"a": {"b": "c"}}, None, None),
        ({"boundClaims": {"a.b": "c"}}, {"a": {"b": "d"}}, "claim_mismatch", 401),
        ({"boundClaims": {"a.b": "c"}}, {}, "claim_missing", 401),
        ({}, {"exp": None}, "expiry_missing", 401),
    ],
)
async def test_what_is_bound_decides(issuer, bound, said, expected, status):
    token = mint(claims(**said))
    if expected is None:
        await issuer.login(METHOD, static("rsa", **bound), token)
        return
    with pytest.raises(Denied) as refused:
        await issuer.login(METHOD, static("rsa", **bound), token)

    assert (refused.value.reason, refused.value.status) == (expected, status)


async def test_claims_are_kept_as_the_mapping_says(issuer):
    verified = await issuer.login(METHOD, static("rsa", claimMetadataMapping={"who": "sub"}), mint())
    assert verified.claims == {"jwt": {"claims": {"who": "sub-1"}}}


@pytest.mark.parametrize(
    ("sent", "fault"),
    [
        (static(), "publicKeys"),
        (static("rsa_1024"), "publicKeys"),
        (static("k256"), "publicKeys"),
        (static(publicKeys=["x"]), "publicKeys"),
        (static("rsa", jwksUrl="https://issuer.test/keys"), "jwksUrl"),
        (published(jwksUrl=""), "jwksUrl"),
        (published(jwksUrl="x"), "jwksUrl"),
        (published(publicKeys=[public_pem("rsa")]), "publicKeys"),
        (published(configurationType="x"), "configurationType"),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(remote, sent, fault):
    assert remote.faults(METHOD, sent) == [fault]


def test_the_configuration_is_normalised(remote):
    read = remote.config(
        METHOD, published(jwksUrl=" https://issuer.test/keys ", boundAudiences="a,b", boundClaims={"x": "{a,b},c"})
    )
    assert (read.jwks_url, read.bound_audiences, read.bound_claims) == (
        "https://issuer.test/keys",
        "a, b",
        {"x": "{a,b}, c"},
    )
    assert remote.faults(METHOD, {"configurationType": "static", "publicKeys": [public_pem("rsa")]}) != []
    assert remote.faults(METHOD, static("rsa", jwksUrl="")) == []
