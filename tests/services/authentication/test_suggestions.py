"""A pasted token suggests a method, a preset and settings that admit workloads like it and nobody else."""

import base64
import json
from typing import Any

import pytest

from watchword.domain.errors import Invalid
from watchword.domain.lists import split_patterns
from watchword.methods import registry
from watchword.services.authentication.suggestions import Suggestion, claims_of, suggest

US = "https://us.test"
GITHUB = {
    "iss": "https://token.actions.githubusercontent.com",
    "aud": "https://github.com/acme",
    "sub": "repo:acme@12/app@34:ref:refs/heads/main",
    "repository": "acme/app",
    "repository_id": "34",
    "repository_owner_id": "12",
    "ref": "refs/heads/main",
    "event_name": "push",
}
GITLAB = {
    "iss": "https://gitlab.acme.test",
    "aud": US,
    "sub": "project_path:acme/app:ref_type:branch:ref:main",
    "project_id": "7",
    "namespace_id": "8",
    "project_path": "acme/app",
    "ref": "main",
    "ref_type": "branch",
}
KUBERNETES = {
    "iss": "https://kubernetes.default.svc.cluster.local",
    "aud": ["https://kubernetes.default.svc.cluster.local"],
    "sub": "system:serviceaccount:shop:deployer",
    "kubernetes.io": {"namespace": "shop"},
}


def token(claims: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2ln"


def found(claims: dict[str, Any]) -> Suggestion:
    return suggest(registry(), claims_of(token(claims)), US)


@pytest.mark.parametrize(
    ("claims", "slug", "preset", "settings"),
    [
        (GITLAB, "oidc-auth", "gitlab", {"boundIssuer": "https://gitlab.acme.test", "boundAudiences": US}),
        (
            {
                "iss": "https://oidc.circleci.com/org/o-1",
                "aud": "o-1",
                "sub": "x",
                "oidc.circleci.com/project-id": "p-1",
            },
            "oidc-auth",
            "circleci",
            {"boundClaims": {"oidc.circleci.com/project-id": "p-1"}, "boundAudiences": US},
        ),
        (
            {"iss": "https://agent.buildkite.com", "aud": US, "organization_id": "1", "pipeline_id": "2"},
            "oidc-auth",
            "buildkite",
            {"boundClaims": {"organization_id": "1", "pipeline_id": "2", "build_branch": ""}},
        ),
        (
            KUBERNETES,
            "kubernetes-auth",
            None,
            {"allowedNamespaces": "shop", "allowedNames": "deployer", "allowedAudience": US},
        ),
        (
            {"iss": "https://sts.windows.net/t-1/", "tid": "t-1", "aud": "api://us", "oid": "o-1"},
            "azure-auth",
            None,
            {"tenantId": "t-1", "resource": "api://us", "allowedServicePrincipalIds": "o-1"},
        ),
        (
            {"iss": "https://accounts.google.com", "email": "a@b.iam.gserviceaccount.com", "aud": "x"},
            "gcp-auth",
            None,
            {"type": "gce", "allowedServiceAccounts": "a@b.iam.gserviceaccount.com"},
        ),
        (
            {"sub": "spiffe://prod.test/ns/a", "aud": [US], "iss": "https://spire.test"},
            "spiffe-auth",
            None,
            {"trustDomain": "prod.test", "allowedSpiffeIds": "spiffe://prod.test/ns/a", "allowedAudiences": US},
        ),
        ({"iss": "b3c1", "sub": "b3c1", "aud": US}, "bound-keypair", None, {"boundAudiences": US}),
        (
            {"iss": "https://issuer.test", "sub": "s", "aud": "them"},
            "oidc-auth",
            None,
            {"boundSubject": "s", "boundAudiences": "them", "oidcDiscoveryUrl": "https://issuer.test"},
        ),
        ({"iss": "robot", "sub": "s"}, "jwt-auth", None, {"boundIssuer": "robot", "boundSubject": "s"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_token_suggests_its_method(claims: Any, slug: str, preset: str | None, settings: dict[str, Any]) -> None:
    one = found(claims)
    assert (one.method.slug, one.preset and one.preset.name) == (slug, preset)
    assert settings == {name: one.settings[name] for name in settings}


def test_an_audience_of_somebody_else_is_taken_with_a_warning() -> None:
    one = found({"iss": "https://issuer.test", "sub": "s", "aud": "https://vault.test"})
    assert any("https://vault.test" in note and US in note for note in one.notes)


def test_what_stands_in_a_token_admits_itself_only() -> None:
    """Whoever runs a job chooses its branch: a comma or a wildcard in the name must not widen what is stored."""
    branch = found({**GITLAB, "ref": "main,*"}).settings["boundClaims"]["ref"]
    assert branch == ""
    comma = found({**GITLAB, "ref": "a,b"}).settings["boundClaims"]["ref"]
    assert split_patterns(comma) == ("a,b",)
    lines = found({**GITLAB, "ref": "a\nmain"}).settings["boundClaims"]["ref"]
    assert lines == ""
    assert found({"iss": "https://issuer.test", "sub": "**"}).settings["boundSubject"] == ""


@pytest.mark.parametrize(
    "text",
    ["", "   ", "x", "a.b", "a.b.c", "..", "{", "[1]", "a." + "!" * 8 + ".c", "x" * 70_000, "é.é.é", "e30.W10.e30"],
)
def test_what_is_no_token_is_refused_by_name(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        claims_of(text)
    assert refusal.value.issues[0].path == ("pastedToken",)
    assert text.strip()[:20] == "" or text.strip() not in str(refusal.value.issues[0].message) or len(text) < 4


def test_claims_may_be_pasted_decoded_or_as_a_header() -> None:
    assert claims_of(json.dumps(GITHUB)) == GITHUB
    assert claims_of(f"  Bearer {token(GITHUB)}\n") == GITHUB


def test_a_token_of_no_method_is_refused() -> None:
    with pytest.raises(Invalid, match=r"No auth method"):
        found({"nbf": 1})
