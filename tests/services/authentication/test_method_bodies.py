"""The bodies of auth methods: no setting that a caller sends is lost without a word."""

import base64
from typing import Any

import pytest

from tests.api import Api
from tests.methods.clouds import pem
from tests.methods.test_tls_cert import CA
from tests.minting import public_pem
from watchword.methods import METHODS

# What Terraform's provider and the command's set-up send on attaching and changing a method besides its settings.
SENT_BY_CLIENTS = {"identityId"}
COMMON = {
    "accessTokenTTL": 600,
    "accessTokenMaxTTL": 1200,
    "accessTokenNumUsesLimit": 3,
    "accessTokenTrustedIps": [{"ipAddress": "10.0.0.0/8"}, {"ipAddress": "fd00::1"}],
}
# A configuration of each method with every field that Terraform sets.
TERRAFORM: dict[str, dict[str, Any]] = {
    "universal-auth": {"clientSecretTrustedIps": [{"ipAddress": "0.0.0.0/0"}]},
    "token-auth": {},
    "aws-auth": {
        "stsEndpoint": "https://sts.amazonaws.com/",
        "allowedPrincipalArns": "arn:aws:iam::123456789012:user/a",
        "allowedAccountIds": "123456789012",
    },
    "azure-auth": {
        "tenantId": "8f6c1d2e-3a44-4b0f-9c55-0d5b7f1e2a66",
        "resource": "https://management.azure.com/",
        "allowedServicePrincipalIds": "0d5b7f1e-3a44-4b0f-9c55-8f6c1d2e2a66",
    },
    "gcp-auth": {"type": "gce", "allowedServiceAccounts": "", "allowedProjects": "p", "allowedZones": "z"},
    "kubernetes-auth": {
        "kubernetesHost": "https://cluster.test:6443",
        "caCert": "",
        "tokenReviewerJwt": "reviewer",
        "tokenReviewMode": "api",
        "allowedNamespaces": "prod",
        "allowedNames": "",
        "allowedAudience": "",
        "gatewayId": None,
    },
    "oidc-auth": {
        "oidcDiscoveryUrl": "https://issuer.test",
        "caCert": "",
        "boundIssuer": "https://issuer.test",
        "boundAudiences": "a, b",
        "boundClaims": {"repository": "org/app"},
        "claimMetadataMapping": {"repo": "repository"},
        "boundSubject": "",
    },
    "jwt-auth": {
        "configurationType": "static",
        "jwksUrl": "",
        "jwksCaCert": "",
        "publicKeys": [public_pem("rsa")],
        "boundIssuer": "",
        "boundAudiences": "",
        "boundClaims": {},
        "boundSubject": "",
    },
    "tls-cert-auth": {"caCertificate": pem(CA), "allowedCommonNames": "a,b"},
}
WRAPPERS = {method.slug: method.wrapper for method in METHODS}


def path_of(method: str, identity_id: str) -> str:
    return f"/api/v1/auth/{method}/identities/{identity_id}"


@pytest.mark.parametrize("method", TERRAFORM)
async def test_what_terraform_sends_is_taken_on_attaching_and_changing_and_what_is_answered_as_well(
    api: Api, method: str
) -> None:
    identity = await api.identity()
    path, body = path_of(method, identity["id"]), COMMON | TERRAFORM[method] | {"identityId": identity["id"]}
    assert set(body) - set(COMMON) - set(TERRAFORM[method]) == SENT_BY_CLIENTS

    made = (await api.ok("POST", path, body))[WRAPPERS[method]]
    changed = (await api.ok("PATCH", path, body))[WRAPPERS[method]]
    sent_back = (await api.ok("PATCH", path, made))[WRAPPERS[method]]

    del made["updatedAt"], changed["updatedAt"], sent_back["updatedAt"]
    assert made == changed == sent_back


@pytest.mark.parametrize(
    ("method", "body", "path", "meant"),
    [
        ("oidc-auth", {"boundAudience": "x"}, ["boundAudience"], "boundAudiences"),
        ("oidc-auth", {"bound_subject": "x"}, ["bound_subject"], "boundSubject"),
        ("kubernetes-auth", {"allowedNamespace": "x"}, ["allowedNamespace"], "allowedNamespaces"),
        ("kubernetes-auth", {"allowedAudiences": "x"}, ["allowedAudiences"], "allowedAudience"),
        ("aws-auth", {"allowedAccountIDs": "123456789012"}, ["allowedAccountIDs"], "allowedAccountIds"),
        ("universal-auth", {"clientSecretTrustedIPs": []}, ["clientSecretTrustedIPs"], "clientSecretTrustedIps"),
        (
            "token-auth",
            {"accessTokenTrustedIps": [{"ipAddress": "10.0.0.1"}, {"ipAdress": "x", "ipAddress": "10.0.0.2"}]},
            ["accessTokenTrustedIps", 1, "ipAdress"],
            "ipAddress",
        ),
        ("token-auth", {"lockoutEnabled": True}, ["lockoutEnabled"], "accessTokenTTL"),
        (
            "ldap-auth",
            {"allowedFields": [{"key": "a", "valeu": "b", "value": "c"}]},
            ["allowedFields", 0, "valeu"],
            "value",
        ),
        (
            "spiffe-auth",
            {"trustBundleDistribution": {"profile": "static", "bundle": "{}", "caCert": "x"}},
            ["trustBundleDistribution", "caCert"],
            "bundle",
        ),
    ],
)
async def test_a_setting_that_the_method_does_not_have_is_refused_with_the_nearest_that_it_has(
    api: Api, method: str, body: dict[str, Any], path: list[str | int], meant: str
) -> None:
    identity = await api.identity()
    where = path_of(method, identity["id"])

    replies = [await api.post(where, TERRAFORM.get(method, {}) | body)]
    if method in TERRAFORM:
        await api.ok("POST", where, TERRAFORM[method])
        replies.append(await api.patch(where, body))

    for reply in replies:
        issue = reply.json()["message"][0]
        assert (422, path, "unrecognized_keys") == (reply.status_code, issue["path"], issue["code"])
        assert meant in issue["message"]


async def test_the_keys_of_a_claims_map_are_free(api: Api) -> None:
    identity = await api.identity()
    claims = {"https://acme.test/groups": "a", "boundSubject": "b"}

    made = await api.ok("POST", path_of("oidc-auth", identity["id"]), TERRAFORM["oidc-auth"] | {"boundClaims": claims})

    assert claims == made["identityOidcAuth"]["boundClaims"]


async def test_the_prefix_of_a_network_is_never_dropped_and_never_opens_it(api: Api) -> None:
    identity = await api.identity()
    path = path_of("token-auth", identity["id"])
    apart = [{"type": "ipv4", "ipAddress": "10.0.0.0", "prefix": 8}, {"ipAddress": "0.0.0.0", "prefix": 0}]

    made = (await api.ok("POST", path, {"accessTokenTrustedIps": apart}))["identityTokenAuth"]
    zero = await api.patch(path, {"accessTokenTrustedIps": [{"ipAddress": "10.1.2.3", "prefix": 0}]})
    text = await api.patch(path, {"accessTokenTrustedIps": [{"ipAddress": "10.1.2.3", "prefix": "8"}]})

    assert ["10.0.0.0", 8, "0.0.0.0", 0] == [
        part for ip in made["accessTokenTrustedIps"] for part in (ip["ipAddress"], ip["prefix"])
    ]
    assert (422, 422) == (zero.status_code, text.status_code)
    assert ["accessTokenTrustedIps"] == zero.json()["message"][0]["path"]


async def test_a_configuration_is_not_attached_to_another_identity_than_the_path_names(api: Api) -> None:
    identity, other = await api.identity(), await api.identity(name="other")

    reply = await api.post(path_of("token-auth", identity["id"]), {"identityId": other["id"]})

    assert (422, ["identityId"]) == (reply.status_code, reply.json()["message"][0]["path"])


async def test_a_certificate_of_the_api_server_that_is_not_to_be_verified_is_refused(api: Api) -> None:
    identity = await api.identity()
    path, body = path_of("kubernetes-auth", identity["id"]), TERRAFORM["kubernetes-auth"]

    refused = await api.post(path, body | {"verifyTlsCertificate": False})
    made = await api.ok("POST", path, body | {"verifyTlsCertificate": True})

    assert (422, ["verifyTlsCertificate"]) == (refused.status_code, refused.json()["message"][0]["path"])
    assert made["identityKubernetesAuth"]["verifyTlsCertificate"] is True


async def test_a_configuration_that_is_only_tried_is_judged_as_one_that_is_stored(api: Api) -> None:
    identity = await api.identity()
    path = path_of("oidc-auth", identity["id"])

    reply = await api.post(
        f"{path}/test-login", {"jwt": "x", "configuration": TERRAFORM["oidc-auth"] | {"boundAudience": "x"}}
    )

    assert (422, ["configuration", "boundAudience"]) == (reply.status_code, reply.json()["message"][0]["path"])


PEM = pem(CA)
BASE64 = base64.b64encode(PEM.encode()).decode()
SPIFFE: dict[str, Any] = {
    "trustDomain": "prod.test",
    "allowedSpiffeIds": "spiffe://prod.test/a",
    "allowedAudiences": "watchword",
    "trustBundleDistribution": {"profile": "https_web_bundle", "endpointUrl": "https://bundle.test"},
}
LDAP = {"url": "ldaps://directory.test", "bindDN": "cn=search", "bindPass": "secret", "searchBase": "dc=test"}
JWKS = {"configurationType": "jwks", "jwksUrl": "https://issuer.test/keys", "boundClaims": {}}
# Where each method keeps the certificates of an authority.
AUTHORITIES = [
    ("kubernetes-auth", TERRAFORM["kubernetes-auth"], "caCert"),
    ("oidc-auth", TERRAFORM["oidc-auth"], "caCert"),
    ("jwt-auth", JWKS, "jwksCaCert"),
    ("ldap-auth", LDAP, "ldapCaCertificate"),
    ("tls-cert-auth", {}, "caCertificate"),
]


@pytest.mark.parametrize(("method", "body", "field"), AUTHORITIES)
async def test_an_authority_is_taken_in_pem_or_base64_answered_as_it_was_sent_and_refused_by_name(
    api: Api, method: str, body: dict[str, Any], field: str
) -> None:
    identity = await api.identity()
    path = path_of(method, identity["id"])
    refused = [await api.post(path, body | {field: text}) for text in ("no PEM", BASE64[:-8], PEM[:80])]

    made = (await api.ok("POST", path, body | {field: f"{PEM}\n\n"}))[WRAPPERS[method]]
    again = {"ldap-auth": {"bindPass": "again"}, "kubernetes-auth": {"tokenReviewerJwt": "again"}}.get(method, {})
    changed = (await api.ok("PATCH", path, {field: BASE64} | again))[WRAPPERS[method]]

    assert [(422, [field])] * 3 == [(reply.status_code, reply.json()["message"][0]["path"]) for reply in refused]
    assert (f"{PEM}\n\n", BASE64) == (made[field], changed[field])


async def test_the_authority_of_a_trust_bundle_is_read_when_it_is_stored(api: Api) -> None:
    identity = await api.identity()
    path = path_of("spiffe-auth", identity["id"])
    where = SPIFFE["trustBundleDistribution"]

    refused = await api.post(path, SPIFFE | {"trustBundleDistribution": where | {"caCert": "no PEM"}})
    made = await api.ok("POST", path, SPIFFE | {"trustBundleDistribution": where | {"caCert": BASE64}})

    assert (422, ["trustBundleDistribution"]) == (refused.status_code, refused.json()["message"][0]["path"])
    assert BASE64 == made["identitySpiffeAuth"]["trustBundleDistribution"]["caCert"]


@pytest.mark.parametrize(
    "host", ["ftp://x", "https://", "file:///etc", "https://user@cluster", "cluster:99999", "https://a b", "://x"]
)
async def test_a_host_that_cannot_be_asked_is_refused_by_name(api: Api, host: str) -> None:
    identity = await api.identity()

    reply = await api.post(
        path_of("kubernetes-auth", identity["id"]), TERRAFORM["kubernetes-auth"] | {"kubernetesHost": host}
    )

    assert (422, ["kubernetesHost"]) == (reply.status_code, reply.json()["message"][0]["path"])


@pytest.mark.parametrize("host", ["cluster", "10.0.0.1:6443", "https://[fd00::1]:6443/k8s/clusters/c-1"])
async def test_a_host_is_taken_with_and_without_its_scheme(api: Api, host: str) -> None:
    identity = await api.identity()

    made = await api.ok(
        "POST", path_of("kubernetes-auth", identity["id"]), TERRAFORM["kubernetes-auth"] | {"kubernetesHost": host}
    )

    assert host == made["identityKubernetesAuth"]["kubernetesHost"]


async def test_common_names_come_back_as_terraform_joins_them(api: Api) -> None:
    identity = await api.identity()
    path = path_of("tls-cert-auth", identity["id"])

    made = await api.ok("POST", path, {"caCertificate": PEM, "allowedCommonNames": "a.test, b.test"})

    assert "a.test,b.test" == made["identityTlsCertAuth"]["allowedCommonNames"]
