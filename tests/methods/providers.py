"""The providers that auth methods ask, on loopback, with a case for each method.

A case says how the method is configured, and holds a good proof and a bad one.
"""

import base64
import contextlib
import functools
import json
import time
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from tests.adapters.directories import BASE, SERVICE, SERVICE_PASSWORD, SmallDirectory, listening
from tests.methods import test_alicloud, test_azure, test_oci, test_tls_cert
from tests.methods.clouds import Sts, milliseconds, pem, serving
from tests.methods.doubles.web import CA, Site, json_reply, server_context
from tests.minting import jwk, mint, public_pem
from watchword.adapters.addresses import Guard
from watchword.adapters.ldap import opened_entry
from watchword.adapters.outbound import GuardedOutbound
from watchword.methods.aws import BODY
from watchword.methods.kubernetes import REVIEWS

NOW = int(time.time())
STS, OCI, ALIBABA = "sts.eu-west-1.amazonaws.com", test_oci.HOST, "sts.aliyuncs.com"
TENANT, PRINCIPAL, RESOURCE = test_azure.TENANT, test_azure.PRINCIPAL, test_azure.RESOURCE
ACCOUNT = "ci-bot@my-project.iam.gserviceaccount.com"
SERVICE_TOKEN = mint({"sub": "system:serviceaccount:prod:api"})
SPIFFE_ID = "spiffe://prod.test/ns/shop/sa/api"
AWS_KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "secret")
WRONG_AWS_KEY = Credentials("AKIAIOSFODNN7EXAMPLE", "guess")
PROXY = {"x-identity-tls-cert-auth-client-cert": ""}
Body = Callable[[str], dict[str, Any]]


@dataclass
class Case:
    """A method as an operator and a workload see it. `good` and `bad` make the body of a login for an identity."""

    slug: str
    config: dict[str, Any]
    good: Body
    bad: Body
    headers: dict[str, str] = field(default_factory=dict)
    bad_headers: dict[str, str] | None = None
    auth: dict[str, Any] = field(default_factory=dict)  # a part of identityAuth in the token
    reason: str = "signature_invalid"  # of the bad proof


def _said(**more: Any) -> dict[str, Any]:
    return {
        "iss": "https://issuer.test",
        "sub": "repo:org/app",
        "aud": "watchword",
        "iat": NOW - 5,
        "exp": NOW + 3000,
    } | more


def _jwt(make: Callable[[str], dict[str, Any]], **options: Any) -> tuple[Body, Body]:
    """A token signed with the key that the issuer publishes, and one of the same words signed with another."""

    def body(key: str) -> Body:
        return lambda identity: {"identityId": identity, "jwt": mint(make(identity), key, **options) + "\n"}

    return body("rsa"), body("rsa_other")


def _bound(identity: str) -> dict[str, Any]:
    return {
        "iss": identity,
        "sub": identity,
        "aud": "watchword",
        "iat": NOW - 5,
        "exp": NOW + 3000,
        "jti": str(time.perf_counter_ns()),
    }


def _aws(credentials: Credentials) -> Body:
    def body(identity: str) -> dict[str, Any]:
        headers = {
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
            "Host": STS,
            "Content-Length": str(len(BODY)),
            "amz-sdk-invocation-id": str(uuid.uuid4()),  # as the SDKs of AWS do: no two requests are signed alike
        }
        request = AWSRequest("POST", f"https://{STS}/", headers=headers, data=BODY)
        SigV4Auth(credentials, "sts", "eu-west-1").add_auth(request)
        sent = base64.b64encode(json.dumps(dict(request.headers)).encode()).decode()
        return {"identityId": identity, "iamRequestBody": base64.b64encode(BODY).decode(), "iamRequestHeaders": sent}

    return body


def _who_called(_environ: Any, start: Any) -> list[bytes]:
    arn = "arn:aws:iam::123456789012:user/ci/builder"
    result = {"Account": "123456789012", "Arn": arn, "UserId": "AIDA"}
    text = json.dumps({"GetCallerIdentityResponse": {"GetCallerIdentityResult": result}}).encode()
    start("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
    return [text]


def _oci(tamper: bool) -> Body:
    def body(identity: str) -> dict[str, Any]:
        headers = test_oci.signed()
        if tamper:
            headers["authorization"] = headers["authorization"].replace('signature="', 'signature="AAAA')
        return {"identityId": identity, "userOcid": test_oci.USER, "headers": headers}

    return body


def _alibaba(tamper: bool) -> Body:
    def body(identity: str) -> dict[str, Any]:
        query = test_alicloud.signed()
        return {"identityId": identity} | query | ({"Signature": "AAAA" + query["Signature"][4:]} if tamper else {})

    return body


def _ldap(password: str) -> Body:
    return lambda identity: {"identityId": identity, "username": "ada", "password": password}


def _certificate(**options: Any) -> str:
    return pem(test_tls_cert.client(**options)).replace("\n", "%0A")


def _cases(site: Site, directory: int) -> dict[str, Case]:
    oidc = _jwt(lambda _: _said(), kid="k1")
    azure = _jwt(
        lambda _: {
            "aud": RESOURCE,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "iat": NOW,
            "nbf": NOW - 5,
            "exp": NOW + 3000,
            "oid": PRINCIPAL,
            "sub": PRINCIPAL,
            "tid": TENANT,
        },
        kid="k1",
    )
    gcp = _jwt(
        lambda identity: {
            "aud": identity,
            "email": ACCOUNT,
            "email_verified": True,
            "exp": NOW + 3000,
            "iat": NOW - 5,
            "iss": "https://accounts.google.com",
            "sub": "104983",
        },
        kid="k1",
    )
    spiffe = _jwt(lambda _: {"sub": SPIFFE_ID, "aud": ["watchword"], "exp": NOW + 3000, "iat": NOW}, kid="k1")
    bundle = json.dumps({"keys": [jwk("rsa", "k1", use="jwt-svid")]})
    header = next(iter(PROXY))
    cases = [
        Case(
            "kubernetes-auth",
            {
                "kubernetesHost": f"https://cluster.test:{site.port}",
                "caCert": CA,
                "tokenReviewerJwt": "reviewer",
                "allowedNamespaces": "prod,stage",
                "allowedNames": "",
                "allowedAudience": "",
            },
            lambda identity: {"identityId": identity, "jwt": f"{SERVICE_TOKEN}\n"},
            lambda identity: {
                "identityId": identity,
                "jwt": mint({"sub": "system:serviceaccount:prod:api"}, "rsa_other"),
            },
            auth={"kubernetes": {"namespace": "prod", "name": "api"}},
            reason="not_authenticated",
        ),
        Case(
            "aws-auth",
            {"allowedPrincipalArns": "arn:aws:iam::123456789012:user/*", "allowedAccountIds": "123456789012"},
            _aws(AWS_KEY),
            _aws(WRONG_AWS_KEY),
            auth={"aws": {"accountId": "123456789012", "resourceName": "builder"}},
            reason="sts_refused",
        ),
        Case("azure-auth", {"tenantId": TENANT, "resource": RESOURCE, "allowedServicePrincipalIds": PRINCIPAL}, *azure),
        Case("gcp-auth", {"type": "gce", "allowedServiceAccounts": ACCOUNT}, *gcp),
        Case(
            "oidc-auth",
            {
                "oidcDiscoveryUrl": "https://issuer.test",
                "boundIssuer": "https://issuer.test",
                "boundAudiences": "watchword",
                "boundSubject": "repo:org/*",
                "boundClaims": {},
                "claimMetadataMapping": {"repository": "sub"},
            },
            *oidc,
            auth={"oidc": {"claims": {"repository": "repo:org/app"}}},
        ),
        Case(
            "jwt-auth",
            {
                "configurationType": "static",
                "publicKeys": [public_pem("rsa")],
                "boundIssuer": "https://issuer.test",
                "boundClaims": {},
            },
            *_jwt(lambda _: _said()),
        ),
        Case(
            "ldap-auth",
            {
                "url": f"ldaps://localhost:{directory}",
                "bindDN": SERVICE,
                "bindPass": SERVICE_PASSWORD,
                "searchBase": BASE,
                "ldapCaCertificate": CA,
            },
            _ldap("ada's password"),
            _ldap("guess"),
            auth={"ldap": {"username": "ada"}},
            reason="username_or_password",
        ),
        Case(
            "tls-cert-auth",
            {"caCertificate": pem(test_tls_cert.CA), "allowedCommonNames": "agent"},
            lambda identity: {"identityId": identity},
            lambda identity: {"identityId": identity},
            headers={header: _certificate()},
            auth={"tlsCert": {"commonName": "agent"}},
            reason="certificate_chain",
            bad_headers={
                header: _certificate(signer=test_tls_cert.ec.generate_private_key(test_tls_cert.ec.SECP256R1()))
            },
        ),
        Case(
            "oci-auth",
            {"tenancyOcid": test_oci.TENANCY, "allowedUsernames": "builder"},
            _oci(tamper=False),
            _oci(tamper=True),
            auth={"oci": {"username": "builder"}},
            reason="oci_refused",
        ),
        Case(
            "alicloud-auth",
            {"allowedArns": test_alicloud.ARN},
            _alibaba(tamper=False),
            _alibaba(tamper=True),
            auth={"alicloud": {"arn": test_alicloud.ARN}},
            reason="alicloud_refused",
        ),
        Case(
            "spiffe-auth",
            {
                "trustDomain": "prod.test",
                "allowedSpiffeIds": "spiffe://prod.test/ns/*/sa/api",
                "allowedAudiences": "watchword",
                "trustBundleDistribution": {"profile": "static", "bundle": bundle},
            },
            *spiffe,
        ),
        Case("bound-keypair", {"publicKeys": [public_pem("rsa")], "boundAudiences": "watchword"}, *_jwt(_bound)),
    ]
    return {case.slug: case for case in cases}


SLUGS = (
    "kubernetes-auth",
    "aws-auth",
    "azure-auth",
    "gcp-auth",
    "oidc-auth",
    "jwt-auth",
    "ldap-auth",
    "tls-cert-auth",
    "oci-auth",
    "alicloud-auth",
    "spiffe-auth",
    "bound-keypair",
)


def _review(request: Any) -> Any:
    token = request.json["spec"]["token"]
    status = (
        {"authenticated": True, "user": {"username": "system:serviceaccount:prod:api"}}
        if token == SERVICE_TOKEN
        else {"authenticated": False}
    )
    return json_reply({"kind": "TokenReview", "status": status}, 201)


@dataclass
class Providers:
    """The servers that answer for the proofs of all methods, and the outbound client that leads to them."""

    site: Site
    outbound: GuardedOutbound
    cases: dict[str, Case]


@contextlib.asynccontextmanager
async def running_providers() -> AsyncIterator[Providers]:
    """Every issuer, cluster, cloud and directory, on loopback and under its own name."""
    keys = json_reply({"keys": [jwk("rsa", "k1", use="sig")]})
    async with contextlib.AsyncExitStack() as stack:
        site = await stack.enter_async_context(
            Site(names=("issuer.test", "cluster.test", "login.microsoftonline.com", "www.googleapis.com"))
        )
        site.routes |= {
            REVIEWS: _review,
            "/jwks": keys,
            f"/{TENANT}/discovery/keys": keys,
            "/oauth2/v3/certs": keys,
            "/.well-known/openid-configuration": json_reply(
                {"issuer": "https://issuer.test", "jwks_uri": "https://issuer.test/jwks"}
            ),
        }
        sts = Sts(_who_called)
        sts.secrets = {AWS_KEY.access_key: AWS_KEY.secret_key}
        services = {STS: sts, OCI: test_oci.Identity(), ALIBABA: test_alicloud.AlibabaSts()}
        ports = {name: stack.enter_context(serving(app, server_context([name]))) for name, app in services.items()}
        directory = await stack.enter_async_context(listening(SmallDirectory(), tls=server_context(["localhost"])))

        async def resolve(host: str, port: int) -> list[tuple[str, int]]:
            return [("127.0.0.1", port if host in ("localhost", "127.0.0.1") else ports.get(host, site.port))]

        guard = Guard(("127.0.0.1",), resolve=resolve)
        outbound = GuardedOutbound(
            clock=milliseconds,
            guard=guard,
            roots=CA,
            directory=functools.partial(opened_entry, allowed=guard.addresses),
            total_timeout=5,
        )
        stack.push_async_callback(outbound.close)
        yield Providers(site, outbound, _cases(site, directory))
