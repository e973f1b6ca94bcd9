"""Times in tokens that are none: refused with a reason by every method, and the story of it can be stored."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, postgres_settings, running, sqlite_settings
from tests.databases import emptied, placed
from tests.methods.providers import NOW, Providers, running_providers
from tests.minting import jwk, mint
from watchword.methods import METHODS

TIMES = [
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "-1",
    "true",
    '"9999999999"',
    '"\\ud800"',
    "9" * 400,
    "9" * 5000,
    str(2**63),
    "[]",
    "{}",
]
TOKENS = ("kubernetes-auth", "azure-auth", "gcp-auth", "oidc-auth", "jwt-auth", "spiffe-auth", "bound-keypair")
NO_TOKENS = {"universal-auth", "token-auth", "aws-auth", "ldap-auth", "tls-cert-auth", "oci-auth", "alicloud-auth"}
ISSUER = "https://issuer.test"
REVIEWED_HERE = {
    "tokenReviewMode": "jwks",
    "jwks": json.dumps({"keys": [jwk("rsa", "k1")]}),
    "jwksIssuer": ISSUER,
    "allowedAudience": "watchword",
    "kubernetesHost": "",
    "caCert": "",
    "allowedNamespaces": "",
    "allowedNames": "",
}


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    async with running_providers() as found:
        yield found


@pytest.fixture(params=["sqlite", "postgresql"])
async def provider_api(
    request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path, providers: Providers
) -> AsyncIterator[Api]:
    trusted: dict[str, Any] = {"trusted_proxies": ("127.0.0.1/32",)}
    if request.param == "sqlite":
        settings = sqlite_settings(placed(migrated_file, tmp_path), **trusted)
    else:
        settings = postgres_settings(await emptied(request.getfixturevalue("migrated")), **trusted)
    async with running(settings, outbound=providers.outbound) as found:
        yield found


def test_every_method_is_one_with_tokens_or_without() -> None:
    assert {method.slug for method in METHODS} == {*TOKENS, *NO_TOKENS}


def sound(providers: Providers, slug: str, identity: str) -> dict[str, Any]:
    """The claims of a token that the method accepts."""
    if slug == "kubernetes-auth":
        return {"iss": ISSUER, "sub": "system:serviceaccount:prod:api", "aud": "watchword", "exp": NOW + 3000}
    payload = providers.cases[slug].good(identity)["jwt"].split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(payload + "=="))
    return found


def forged(claims: dict[str, Any], name: str, value: str) -> str:
    """A token with a good signature in which one claim is this JSON text."""
    payload = json.dumps({**claims, name: "HERE"}).replace('"HERE"', value)
    return mint(payload.encode(), "rsa", kid="k1")


@pytest.mark.parametrize("slug", TOKENS)
async def test_what_is_no_time_is_refused_with_a_reason_that_is_kept(
    provider_api: Api, providers: Providers, slug: str
) -> None:
    identity = str((await provider_api.identity())["id"])
    path = f"/api/v1/auth/{slug}"
    config = REVIEWED_HERE if slug == "kubernetes-auth" else providers.cases[slug].config
    await provider_api.ok("POST", f"{path}/identities/{identity}", config)
    claims = sound(providers, slug, identity)
    assert (
        200
        == (
            await provider_api.post(
                f"{path}/login", {"identityId": identity, "jwt": mint(claims, "rsa", kid="k1")}, token=None
            )
        ).status_code
    )

    for at, (name, value) in enumerate((name, value) for name in ("exp", "nbf", "iat") for value in TIMES):
        body = {"identityId": identity, "jwt": forged(claims, name, value)}
        reply = await provider_api.post(f"{path}/login", body, token=None, headers={"x-forwarded-for": f"10.0.0.{at}"})
        told = await provider_api.ok("GET", f"/api/v1/organization/login-denials/{reply.json()['reqId']}")

        assert (401, True) == (
            reply.status_code,
            told["loginDenial"]["reason"] in {f"{name}_malformed", "token_malformed"},
        ), (
            name,
            value[:20],
        )


async def test_so_are_the_assertions_of_oauth_clients(provider_api: Api, providers: Providers) -> None:
    identity = str((await provider_api.identity())["id"])
    await provider_api.ok(
        "POST", f"/api/v1/auth/bound-keypair/identities/{identity}", providers.cases["bound-keypair"].config
    )
    claims = sound(providers, "bound-keypair", identity)

    for at, (name, value) in enumerate((name, value) for name in ("exp", "nbf", "iat") for value in TIMES):
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": forged(claims, name, value),
        }
        reply = await provider_api.client.post("/oauth2/token", data=form, headers={"x-forwarded-for": f"10.0.0.{at}"})

        assert (401, "invalid_client") == (reply.status_code, reply.json().get("error")), (name, value[:20], reply.text)
