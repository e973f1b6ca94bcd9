"""The forms of auth methods: each is made from its schema, and sends back unchanged what it was filled with."""

from typing import Any

import pytest

from tests.api import Api
from tests.methods.doubles.web import CA
from tests.minting import jwk, public_pem
from tests.web.browser import Browser, signed_in
from watchword.domain.errors import Invalid
from watchword.methods import METHODS
from watchword.web import assets, method_forms
from watchword.web.forms import Form

SAMPLES: dict[str, dict[str, Any]] = {
    "universal-auth": {
        "clientSecretTrustedIps": [{"ipAddress": "10.0.0.0/8"}, {"ipAddress": "192.0.2.7"}],
        "accessTokenTTL": 3600,
        "accessTokenMaxTTL": 0,
        "accessTokenNumUsesLimit": 7,
        "accessTokenTrustedIps": [{"ipAddress": "10.0.0.0/8"}],
        "lockoutEnabled": False,
        "lockoutThreshold": 5,
        "lockoutDurationSeconds": 90,
    },
    "token-auth": {"accessTokenTTL": 86_400},
    "kubernetes-auth": {
        "kubernetesHost": "https://10.0.0.1:6443",
        "allowedNamespaces": "prod, {a,b}-*",
        "allowedNames": "api",
        "allowedAudience": "https://us.test, other",
        "caCert": CA,
        "tokenReviewerJwt": "abc.def.ghi",
        "allowedNamespaceSelector": {"matchLabels": {"env": "prod"}},
    },
    "aws-auth": {"allowedPrincipalArns": "arn:aws:iam::123456789012:role/*", "allowedAccountIds": "123456789012"},
    "azure-auth": {"tenantId": "3b1f8d0e-2f4c-4f43-9c0e-6a7d51e9b2c4", "resource": "https://us.test"},
    "gcp-auth": {"type": "gce", "allowedProjects": "one, two", "allowedZones": "europe-*"},
    "oidc-auth": {
        "oidcDiscoveryUrl": "https://issuer.test",
        "boundIssuer": "https://issuer.test",
        "boundAudiences": "us, them",
        "boundClaims": {"repository": "org/app, org/{x,y}", "ref": "refs/heads/main"},
        "boundSubject": "repo:org/app:ref:refs/heads/*",
        "claimMetadataMapping": {"repo": "repository"},
    },
    "jwt-auth": {
        "configurationType": "static",
        "publicKeys": [public_pem("p256"), CA],
        "boundClaims": {},
        "boundSubject": "x",
    },
    "ldap-auth": {
        "url": "ldaps://ldap.test",
        "bindDN": "cn=reader,dc=test",
        "bindPass": "pass word",
        "searchBase": "ou=people,dc=test",
        "allowedFields": [{"key": "memberOf", "value": '"cn=ci,dc=test", cn=ops'}, {"key": "ou", "value": "a"}],
        "ldapCaCertificate": CA,
    },
    "tls-cert-auth": {
        "caCertificate": CA,
        "allowedCommonNames": "a.test, b-*",
        "allowedSubjectAltNames": ["URI:spiffe://x/a,b", "a.test"],
        "revocationCheck": "crl",
        "crlUrls": ["http://crl.test/a"],
    },
    "oci-auth": {"tenancyOcid": "ocid1.tenancy.oc1..aaaa", "allowedUsernames": "a, b"},
    "alicloud-auth": {"allowedArns": "acs:ram::1234567890123456:role/deploy"},
    "spiffe-auth": {
        "trustDomain": "prod.test",
        "allowedSpiffeIds": "spiffe://prod.test/ns/*, spiffe://prod.test/web",
        "allowedAudiences": "us",
        "trustBundleDistribution": {
            "profile": "https_web_bundle",
            "endpointUrl": "https://spire.test",
            "refreshHintSeconds": 60,
        },
    },
    "bound-keypair": {"publicKeys": [public_pem("p256"), jwk("p384")], "boundAudiences": "https://us.test"},
}


@pytest.fixture(params=METHODS, ids=lambda method: method.slug)
def method(request: pytest.FixtureRequest) -> Any:
    return request.param


async def settings_of(api: Api, method: Any, identity: str) -> dict[str, Any]:
    reply = await api.ok("GET", f"/api/v1/auth/{method.slug}/identities/{identity}")
    return {name: value for name, value in reply[method.wrapper].items() if name != "updatedAt"}


def test_every_field_of_a_method_has_words_of_its_own(method: Any) -> None:
    for field in method_forms.fields_of(method):
        assert field.title and not field.title.startswith(field.name), field.name
    assert method.place and method.where and method.icon in assets.icon_names()
    assert all(preset.icon in assets.icon_names() for preset in method.presets)


async def test_a_stored_configuration_comes_back_unchanged_from_its_form(api: Api, method: Any) -> None:
    identity = (await api.identity())["id"]
    await api.ok("POST", f"/api/v1/auth/{method.slug}/identities/{identity}", SAMPLES[method.slug])
    before = await settings_of(api, method, identity)
    browser = await signed_in(api)
    path = f"/acme/identities/{identity}/authentication/{method.slug}"
    base = (await browser.get("/")).path
    path = path.replace("/acme", base)
    page = await browser.get(path)
    assert page.status == 200
    saved = await browser.submit(page, path)
    assert saved.path.endswith("/authentication"), saved.text
    assert await settings_of(api, method, identity) == before


async def test_a_form_of_defaults_is_shown_and_names_what_is_missing(api: Api, method: Any) -> None:
    identity = (await api.identity())["id"]
    browser = await signed_in(api)
    path = f"{(await browser.get('/')).path}/identities/{identity}/authentication/add/{method.slug}"
    page = await browser.get(path)
    assert page.status == 200
    done = await browser.submit(page, path, accessTokenTTL="soon")
    assert done.status == 422 and "Nothing was changed" in done.text and "A duration such as 30d" in done.text
    assert 'id="accessTokenTTL-wrong"' in done.html
    for field in method_forms.fields_of(method):
        if field.required and field.kind in ("text", "lines"):
            assert f'id="{field.name}-wrong"' in done.html, field.name


async def browser_of(api: Api) -> tuple[Browser, str]:
    browser = await signed_in(api)
    return browser, (await browser.get("/")).path


async def test_a_secret_is_never_shown_and_an_empty_one_stays_as_it_is(api: Api) -> None:
    identity = (await api.identity())["id"]
    await api.ok("POST", f"/api/v1/auth/kubernetes-auth/identities/{identity}", SAMPLES["kubernetes-auth"])
    browser, base = await browser_of(api)
    path = f"{base}/identities/{identity}/authentication/kubernetes-auth"
    page = await browser.get(path)
    assert "abc.def.ghi" not in page.html and "Remove what is stored" in page.text
    await browser.submit(page, path, tokenReviewerJwt="")
    stored = await api.ok("GET", f"/api/v1/auth/kubernetes-auth/identities/{identity}")
    assert stored["identityKubernetesAuth"]["tokenReviewerJwtIsSet"] is True
    await browser.submit(page, path, **{"tokenReviewerJwt.drop": "true", "allowedNamespaceSelector": ""})
    stored = await api.ok("GET", f"/api/v1/auth/kubernetes-auth/identities/{identity}")
    assert stored["identityKubernetesAuth"]["tokenReviewerJwtIsSet"] is False


def by_slug(slug: str) -> Any:
    return next(method for method in METHODS if method.slug == slug)


def test_an_emptied_list_of_networks_is_not_read_as_everywhere() -> None:
    pairs = [("accessTokenTTL", "1h"), ("accessTokenMaxTTL", "0"), ("accessTokenNumUsesLimit", "0")]
    pairs += [("accessTokenPeriod", "0"), ("lockoutThreshold", "3"), ("lockoutDurationSeconds", "5m")]
    pairs += [
        ("lockoutCounterResetSeconds", "30s"),
        ("clientSecretTrustedIps", " \r\n"),
        ("accessTokenTrustedIps", "::1"),
    ]
    wire = method_forms.read(by_slug("universal-auth"), Form(pairs))
    assert wire["clientSecretTrustedIps"] == [] and wire["accessTokenTrustedIps"] == [{"ipAddress": "::1"}]
    assert wire["accessTokenTTL"] == 3600 and wire["lockoutDurationSeconds"] == 300


@pytest.mark.parametrize(
    ("pairs", "field"),
    [
        ([("boundClaims.key", "a"), ("boundClaims.value", "")], "boundClaims"),
        ([("boundClaims.key", ""), ("boundClaims.value", "x")], "boundClaims"),
        ([("boundClaims.key", "a"), ("boundClaims.value", "x")] * 2, "boundClaims"),
        ([("accessTokenTTL", "-5")], "accessTokenTTL"),
        ([("accessTokenNumUsesLimit", "1e9")], "accessTokenNumUsesLimit"),
        ([("accessTokenNumUsesLimit", "٣")], "accessTokenNumUsesLimit"),
        ([("boundIssuer", "  ")], "boundIssuer"),
    ],
)
def test_a_fault_stands_at_its_field(pairs: list[tuple[str, str]], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        method_forms.read(by_slug("oidc-auth"), Form(pairs))
    assert field in {str(issue.path[0]) for issue in refused.value.issues}


@pytest.mark.parametrize("text", ["{", "[1", "no json"])
def test_an_object_that_is_no_json_is_named(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        method_forms.read(by_slug("kubernetes-auth"), Form([("allowedNamespaceSelector", text)]))
    assert "allowedNamespaceSelector" in {str(issue.path[0]) for issue in refused.value.issues}
