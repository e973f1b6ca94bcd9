import json

import pytest

from tests.methods.doubles.web import json_reply
from tests.minting import NOW, jwk, mint
from watchword.methods.spiffe import METHOD

BUNDLE = {
    "keys": [
        jwk("p256", "v1", use="jwt-svid"),
        jwk("rsa", "v2", use="jwt-svid"),
        jwk("p384", "x1", use="x509-svid", x5c=["MIIB"]),
        jwk("ed25519", "v3", use="jwt-svid"),
        jwk("p521", "v4"),
    ],
    "spiffe_sequence": 1,
    "spiffe_refresh_hint": 300,
}


def config(**more):
    return {
        "trustDomain": "prod.test",
        "allowedSpiffeIds": "spiffe://prod.test/ns/*/sa/api",
        "allowedAudiences": "watchword,other",
        "trustBundleDistribution": {"profile": "static", "bundle": json.dumps(BUNDLE)},
    } | more


def web(**more):
    return config(
        trustBundleDistribution={"profile": "https_web_bundle", "endpointUrl": "https://issuer.test/bundle", **more}
    )


def svid(key="p256", kid="v1", header=None, **more):
    said = {"sub": "spiffe://prod.test/ns/shop/sa/api", "aud": ["watchword"], "exp": NOW + 300, "iat": NOW} | more
    return mint({n: v for n, v in said.items() if v is not None}, key=key, kid=kid, header=header)


@pytest.mark.parametrize(
    "token",
    [
        svid(),
        svid("rsa", "v2"),
        svid("p521", "v4"),
        svid(aud="watchword"),
        svid(header={"typ": "JOSE"}),
        svid(kid=None),
        svid() + "\n",
    ],
)
async def test_an_svid_of_the_trust_domain_logs_in(remote, token):
    verified = await remote.login(METHOD, config(), token)

    assert verified.audit == {"spiffeId": "spiffe://prod.test/ns/shop/sa/api"}


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (svid(sub="spiffe://prod.test/ns/shop/sa/web"), "spiffe_id_not_allowed"),
        (svid(sub="spiffe://prod.test/ns/a/b/sa/api"), "spiffe_id_not_allowed"),
        (svid(sub="spiffe://prod.test.evil/ns/shop/sa/api"), "trust_domain_mismatch"),
        (svid(sub="spiffe://stage.test/ns/shop/sa/api"), "trust_domain_mismatch"),
        (svid(sub="https://prod.test/ns/shop/sa/api"), "spiffe_id_malformed"),
        (svid(sub="SPIFFE://prod.test/ns/shop/sa/api"), "spiffe_id_malformed"),
        (svid(sub="spiffe://PROD.test/ns/shop/sa/api"), "spiffe_id_malformed"),
        (svid(sub="spiffe://prod.test/ns/../sa/api"), "spiffe_id_malformed"),
        (svid(sub="spiffe://prod.test/ns/./sa/api"), "spiffe_id_malformed"),
        (svid(sub="spiffe://prod.test/ns//sa/api"), "spiffe_id_malformed"),
        (svid(sub="spiffe://prod.test/ns/shop/sa/api/"), "spiffe_id_malformed"),
        (svid(sub="spiffe://prod.test/ns/shop/sa/api?x"), "spiffe_id_malformed"),
        (svid(sub="spiffe://u@prod.test/ns/shop/sa/api"), "spiffe_id_malformed"),
        (svid(sub="spiffe://prod.test"), "spiffe_id_malformed"),
        (svid(sub="spiffe://prod.test/" + "a" * 2048), "spiffe_id_malformed"),
        (svid(sub=None), "spiffe_id_malformed"),
        (svid(aud="vault"), "audience_mismatch"),
        (svid(aud=None), "audience_missing"),
        (svid(aud=[]), "audience_missing"),
        (svid(exp=None), "expiry_missing"),
        (svid(exp=NOW), "token_expired"),
        (svid("p256_other"), "signature_invalid"),
        (svid("p384", "x1"), "key_unfit"),
        (svid("ed25519", "v3"), "algorithm_refused"),
        (svid(kid="v9"), "key_unknown"),
        (svid(header={"typ": "at+jwt"}), "type_refused"),
        ("garbage", "token_malformed"),
    ],
)
async def test_an_svid_that_is_not_for_us_or_not_of_them_is_refused(remote, token, expected):
    assert await remote.refusal(METHOD, config(), token) == expected


async def test_a_bundle_is_fetched_and_refreshed_as_hinted(remote):
    remote.site.routes["/bundle"] = json_reply(BUNDLE)
    for _ in range(3):
        await remote.login(METHOD, web(refreshHintSeconds=60), svid())
    assert len(remote.site.requests) == 1

    remote.now += 61_000
    remote.site.routes["/bundle"] = json_reply({"keys": [jwk("rsa", "v2", use="jwt-svid")]})
    assert await remote.refusal(METHOD, web(refreshHintSeconds=60), svid()) == "key_unknown"


async def test_a_bundle_that_cannot_be_had_refuses(remote):
    assert await remote.refusal(METHOD, web(), svid()) == "keys_unavailable"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"trustDomain": "spiffe://prod.test"}, "trustDomain"),
        ({"trustDomain": "Prod.test"}, "trustDomain"),
        ({"trustDomain": ""}, "trustDomain"),
        ({"allowedSpiffeIds": ""}, "allowedSpiffeIds"),
        ({"allowedAudiences": " , "}, "allowedAudiences"),
        ({"trustBundleDistribution": {"profile": "static", "bundle": "x"}}, "trustBundleDistribution"),
        ({"trustBundleDistribution": {"profile": "static", "bundle": ""}}, "trustBundleDistribution.bundle"),
        ({"trustBundleDistribution": {"profile": "https_spiffe"}}, "trustBundleDistribution.profile"),
        (
            {"trustBundleDistribution": {"profile": "https_web_bundle", "endpointUrl": "http://issuer.test"}},
            "trustBundleDistribution",
        ),
        (
            {
                "trustBundleDistribution": {
                    "profile": "https_web_bundle",
                    "endpointUrl": "https://x",
                    "refreshHintSeconds": -1,
                }
            },
            "trustBundleDistribution.refreshHintSeconds",
        ),
    ],
)
def test_a_configuration_that_cannot_work_is_refused(remote, change, fault):
    assert remote.faults(METHOD, config(**change)) == [fault]


def test_the_configuration_is_normalised(remote):
    read = remote.config(METHOD, config(allowedSpiffeIds="spiffe://prod.test/{a,b},spiffe://prod.test/c"))
    assert read.allowed_spiffe_ids == "spiffe://prod.test/{a,b}, spiffe://prod.test/c"
    assert read.allowed_audiences == "watchword, other"
    assert remote.config(METHOD, web()).trust_bundle_distribution.refresh_hint_seconds == 3600
