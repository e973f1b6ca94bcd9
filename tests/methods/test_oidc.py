import base64
import json
import pathlib

import pytest

from tests.methods.doubles.web import CA, Reply, json_reply, keys_reply
from tests.minting import NOW, claims, jwk, mint
from watchword.domain.errors import Denied
from watchword.methods.oidc import DISCOVERY, METHOD, discovery_url

ISSUER = "https://issuer.test"
CASES = json.loads((pathlib.Path(__file__).parent / "vectors/oidc/claims.json").read_text())["cases"]


def config(**more):
    return {"oidcDiscoveryUrl": ISSUER, "boundIssuer": ISSUER, "boundClaims": {}} | more


def token(key="rsa", kid="k1", **more):
    return mint(claims(**more), key=key, kid=kid)


@pytest.fixture
def issuer(remote):
    def publish(**more):
        remote.site.routes[DISCOVERY] = json_reply({"issuer": ISSUER, "jwks_uri": f"{ISSUER}/keys"} | more)

    remote.publish = publish
    remote.publish()
    remote.site.routes["/keys"] = keys_reply(
        jwk("rsa", "k1"), jwk("p256", "k2"), jwk("ed25519", "k3"), jwk("p384", "k4")
    )
    return remote


@pytest.mark.parametrize(
    ("key", "kid"), [("rsa", "k1"), ("p256", "k2"), ("ed25519", "k3"), ("p384", "k4"), ("rsa", None)]
)
async def test_a_token_of_the_issuer_logs_in(issuer, key, kid):
    verified = await issuer.login(METHOD, config(), token(key, kid) + "\n")

    assert verified.audit == {"issuer": ISSUER, "subject": "sub-1"}
    assert verified.claims == {"oidc": {"claims": {}}}


async def test_many_logins_cost_one_discovery(issuer):
    for _ in range(5):
        await issuer.login(METHOD, config(), token())

    assert [request.path for request in issuer.site.requests] == [DISCOVERY, "/keys"]


@pytest.mark.parametrize("url", [ISSUER, f"{ISSUER}/", ISSUER + DISCOVERY])
async def test_discovery_is_found_from_the_base(issuer, url):
    assert await issuer.login(METHOD, config(oidcDiscoveryUrl=url), token())


async def test_an_issuer_under_a_path_is_discovered_under_it(issuer):
    where = f"{ISSUER}/tenant"
    issuer.site.routes[f"/tenant{DISCOVERY}"] = json_reply({"issuer": where, "jwks_uri": f"{ISSUER}/keys"})
    assert await issuer.login(METHOD, config(oidcDiscoveryUrl=where, boundIssuer=where), token(iss=where))


@pytest.mark.parametrize("issuer_said", [f"{ISSUER}/", "https://evil.test", None, 5, [ISSUER]])
async def test_a_discovery_document_of_another_issuer_is_refused_be_it_by_a_slash(issuer, issuer_said):
    issuer.publish(issuer=issuer_said)
    assert await issuer.refusal(METHOD, config(), token()) == "discovery_issuer_mismatch"


@pytest.mark.parametrize("bound", [f"{ISSUER}/", "https://other.test"])
async def test_an_issuer_bound_otherwise_is_refused(issuer, bound):
    issuer.publish(issuer=bound)
    assert await issuer.refusal(METHOD, config(boundIssuer=bound), token()) == "issuer_mismatch"


@pytest.mark.parametrize(
    ("forged", "expected"),
    [
        (token(iss=f"{ISSUER}/"), "issuer_mismatch"),
        (token(iss=None), "issuer_mismatch"),
        (token(exp=None), "expiry_missing"),
        (token(exp=NOW - 1), "token_expired"),
        (token(exp="9999999999"), "exp_malformed"),
        (token(iat=NOW + 600), "token_from_the_future"),
        (token(nbf=NOW + 600), "token_not_yet_valid"),
        (token(key="rsa_other"), "signature_invalid"),
        (token(key="rsa_other", kid=None), "signature_invalid"),
        (token(kid="zz"), "key_unknown"),
        (token(kid="k2"), "key_unfit"),
        (mint(claims(), kid="k1", alg="HS256", sign_as="RS256"), "algorithm_refused"),
        ("garbage", "token_malformed"),
        ("", "token_malformed"),
        ("a.b.c.d.e", "token_encrypted"),
    ],
)
async def test_a_token_that_proves_nothing_is_refused(issuer, forged, expected):
    assert await issuer.refusal(METHOD, config(), forged) == expected


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
async def test_what_is_bound_decides(issuer, case):
    bound = {name: case[name] for name in ("boundSubject", "boundAudiences", "boundClaims") if name in case}
    said = claims() | case["claims"]
    login = issuer.login(
        METHOD,
        config(**bound),
        mint(
            said if case["claims"].get("sub", "") is not None else {n: v for n, v in said.items() if n != "sub"},
            kid="k1",
        ),
    )
    if "refused" not in case:
        await login
        return
    with pytest.raises(Denied) as refused:
        await login

    assert refused.value.reason == case["refused"]
    assert refused.value.status == (403 if case["refused"] == "subject_mismatch" else 401)


async def test_claims_are_kept_for_permissions_as_the_mapping_says(issuer):
    mapping = {
        "repo": "repository",
        "owner": "github.owner",
        "teams": "groups",
        "run": "run",
        "gone": "nope",
        "whole": "github",
    }
    said = claims(repository="octo/app", github={"owner": "octo"}, groups=["a", "b"], run=42)
    verified = await issuer.login(METHOD, config(claimMetadataMapping=mapping), mint(said, kid="k1"))

    assert verified.claims == {"oidc": {"claims": {"repo": "octo/app", "owner": "octo", "teams": "a,b", "run": "42"}}}


@pytest.mark.parametrize(
    "change",
    [
        {"jwks_uri": "http://issuer.test/keys"},
        {"jwks_uri": None},
        {"jwks_uri": 5},
        {"jwks_uri": ""},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": f"{ISSUER}/nothing"},
        {"jwks_uri": f"{ISSUER}/away"},
    ],
)
async def test_keys_that_cannot_be_had_refuse(issuer, change):
    issuer.site.routes["/away"] = Reply(status=302, headers={"location": "/keys"})
    issuer.publish(**change)
    assert await issuer.refusal(METHOD, config(), token()) == "keys_unavailable"


@pytest.mark.parametrize("inside", ["169.254.169.254", "10.0.0.1", "::1", "::ffff:10.0.0.1"])
async def test_an_issuer_that_leads_inside_is_not_asked(issuer, inside):
    async def resolve(_host, port):
        return [(inside, port)]

    issuer.outbound.guard._resolve = resolve
    assert await issuer.refusal(METHOD, config(), token()) == "keys_unavailable"
    assert issuer.site.requests == []


async def test_keys_that_lead_inside_are_not_asked_for(issuer):
    issuer.publish(jwks_uri="https://10.0.0.1/keys")

    async def resolve(host, _port):
        return [("127.0.0.1", issuer.site.port)] if host == "issuer.test" else [(host, 443)]

    issuer.outbound.guard._resolve = resolve
    assert await issuer.refusal(METHOD, config(), token()) == "keys_unavailable"


async def test_without_a_ca_of_its_own_an_issuer_needs_one_of_the_system(issuer):
    issuer.outbound._roots = ""
    assert await issuer.refusal(METHOD, config(), token()) == "keys_unavailable"
    for ca in (issuer.ca, base64.b64encode(issuer.ca.encode()).decode(), f"\n{issuer.ca}\n"):
        assert await issuer.login(METHOD, config(caCert=ca), token())


@pytest.mark.parametrize(
    "path", ["", "/", "/tenant/v2.0", "/tenant/v2.0/", "/tenant/v2.0/.well-known/openid-configuration"]
)
async def test_a_query_stays_behind_the_path_of_the_discovery_document(path):
    base = path.rstrip("/").removesuffix("/.well-known/openid-configuration")
    assert discovery_url(f"https://issuer.test{path}?appid=a/b#top") == (
        f"https://issuer.test{base}/.well-known/openid-configuration?appid=a/b"
    )


async def test_a_set_with_a_null_and_a_byte_order_mark_is_read(issuer):
    text = json.dumps({"keys": [None, jwk("rsa", "k1", use=None, key_ops=None)]}).encode()
    issuer.site.routes["/keys"] = Reply(b"\xef\xbb\xbf" + text, headers={"Content-Type": "application/json"})

    assert await issuer.login(METHOD, config(), token())


async def test_a_rotated_key_is_found(issuer):
    await issuer.login(METHOD, config(), token())
    issuer.site.routes["/keys"] = keys_reply(jwk("rsa_other", "new"))

    assert await issuer.login(METHOD, config(), token(key="rsa_other", kid="new"))


# --- configuration


def test_the_recorded_normalisations(remote):
    read = remote.config(
        METHOD,
        config(
            oidcDiscoveryUrl="https://127.0.0.1:7010",
            boundAudiences="a,b , c",
            boundSubject="sub-1",
            boundClaims={"repo": "x/y,x/z"},
            caCert=f"{CA}\n",
        ),
    )

    assert (read.bound_audiences, read.bound_subject, read.bound_claims, read.ca_cert) == (
        "a, b, c",
        "sub-1",
        {"repo": "x/y, x/z"},
        f"{CA}\n",
    )
    assert read.claim_metadata_mapping is None


@pytest.mark.parametrize(
    "change",
    [
        {"oidcDiscoveryUrl": ""},
        {"oidcDiscoveryUrl": "not-a-url"},
        {"oidcDiscoveryUrl": "ftp://a.test"},
        {"oidcDiscoveryUrl": "https://u@a.test"},
        {"oidcDiscoveryUrl": "https://a.test:x"},
        {"oidcDiscoveryUrl": "https://a.test/ b"},
        {"oidcDiscoveryUrl": "https://[::1"},
        {"oidcDiscoveryUrl": None},
        {"boundIssuer": ""},
        {"boundIssuer": 5},
        {"boundClaims": "x"},
        {"boundClaims": {"n": 5}},
        {"boundClaims": {"": "x"}},
        {"boundClaims": None},
        {"boundSubject": 5},
        {"claimMetadataMapping": {"a": 5}},
        {"boundAudiences": "x" * 70_000},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(remote, change):
    assert remote.faults(METHOD, config(**change)) != []


@pytest.mark.parametrize("missing", ["oidcDiscoveryUrl", "boundIssuer", "boundClaims"])
def test_the_required_fields_are_those_of_the_contract(remote, missing):
    sent = config()
    del sent[missing]
    assert remote.faults(METHOD, sent) != []
