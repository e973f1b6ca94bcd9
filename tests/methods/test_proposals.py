"""Each refusal of a comparison proposes what would admit the proof, and applied it does. Only operators hear of it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api import Api, running, sqlite_settings
from tests.databases import placed
from tests.methods.providers import SLUGS, Case, Providers, running_providers
from tests.methods.test_kinds import checks_in, modules_of
from watchword.domain.authentication.proposals import SHARED, literal
from watchword.domain.authentication.records import MethodTemplate
from watchword.domain.bounds import claim_matches
from watchword.domain.lists import join_list, split_patterns
from watchword.methods import METHODS
from watchword.methods.base import AuthMethod
from watchword.services.authentication import login
from watchword.services.authentication.proposals import proposal_for

OTHER_ARN = "acs:ram::1234567890123456:role/other"
# By method: settings that refuse its good proof, and the reason. Those that the case has itself are laid under them.
REFUSING: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "kubernetes-auth": [
        ("namespace_not_allowed", {"allowedNamespaces": "stage"}),
        ("name_not_allowed", {"allowedNames": "web, worker"}),
    ],
    "aws-auth": [
        ("account_id", {"allowedAccountIds": "999999999999", "allowedPrincipalArns": ""}),
        ("principal_arn", {"allowedPrincipalArns": "arn:aws:iam::123456789012:role/other"}),
    ],
    "azure-auth": [
        ("service_principal_not_allowed", {"allowedServicePrincipalIds": "00000000-0000-4000-8000-000000000000"}),
        ("audience_mismatch", {"resource": "https://another.example"}),
    ],
    "gcp-auth": [("service_account_not_allowed", {"allowedServiceAccounts": "other@p.iam.gserviceaccount.com"})],
    "oidc-auth": [
        ("subject_mismatch", {"boundSubject": "repo:other/*"}),
        ("audience_mismatch", {"boundAudiences": "other"}),
        ("claim_mismatch", {"boundClaims": {"sub": "repo:other/*, x"}}),
        ("claim_missing", {"boundClaims": {"environment": "production"}}),
    ],
    "jwt-auth": [
        ("issuer_mismatch", {"boundIssuer": "https://other.test"}),
        ("subject_mismatch", {"boundSubject": "repo:other/*"}),
        ("audience_mismatch", {"boundAudiences": "other, {a,b}"}),
        ("claim_mismatch", {"boundClaims": {"aud": "other"}}),
        ("claim_missing", {"boundClaims": {"environment": "production"}}),
    ],
    "ldap-auth": [("allowed_field", {"allowedFields": [{"key": "uid", "value": "grace, alan"}]})],
    "tls-cert-auth": [("common_name", {"allowedCommonNames": "other"})],
    "oci-auth": [("username", {"allowedUsernames": "other"})],
    "alicloud-auth": [("arn", {"allowedArns": OTHER_ARN})],
    "spiffe-auth": [
        ("spiffe_id_not_allowed", {"allowedSpiffeIds": "spiffe://prod.test/other"}),
        ("audience_mismatch", {"allowedAudiences": "other"}),
        ("trust_domain_mismatch", {"trustDomain": "stage.test", "allowedSpiffeIds": "spiffe://*/ns/*/sa/api"}),
    ],
    "bound-keypair": [("audience_mismatch", {"boundAudiences": "other"})],
}
# What no case of the providers presents: method, reason, settings, what is presented, the settings proposed.
BY_HAND: list[tuple[str, str, dict[str, Any], Any, dict[str, Any]]] = [
    ("gcp-auth", "project_not_allowed", {"allowedProjects": "a"}, "p", {"allowedProjects": "a, p"}),
    ("gcp-auth", "zone_not_allowed", {"allowedZones": ""}, "europe-west1-b", {"allowedZones": "europe-west1-b"}),
    ("azure-auth", "tenant_mismatch", {"tenantId": "a"}, "b", {"tenantId": "b"}),
    ("oci-auth", "tenancy", {"tenancyOcid": "a"}, "b", {"tenancyOcid": "b"}),
    (
        "tls-cert-auth",
        "subject_alt_name",
        {"allowedSubjectAltNames": ["DNS:a"]},
        ["DNS:b", "DNS:c"],
        {"allowedSubjectAltNames": ["DNS:a", "DNS:b"]},
    ),
]
CASES = [(slug, reason, changes) for slug, found in REFUSING.items() for reason, changes in found]
WITH_LOGIN = [method for method in METHODS if method.login is not None]


@pytest.fixture
async def api(tmp_path: Path, migrated_file: Path) -> AsyncIterator[tuple[Api, Providers]]:
    """A server whose way out leads to the providers, behind a proxy that it trusts."""
    settings = sqlite_settings(placed(migrated_file, tmp_path), trusted_proxies=("127.0.0.1/32",))
    async with running_providers() as providers, running(settings, outbound=providers.outbound) as found:
        yield found, providers


def of(case: Case, identity_id: str) -> str:
    return f"/api/v1/auth/{case.slug}/identities/{identity_id}"


async def log_in(api: Api, case: Case, identity_id: str) -> Any:
    path = f"/api/v1/auth/{case.slug}/login"
    return await api.post(path, case.good(identity_id), token=None, headers=case.headers)


@pytest.mark.parametrize("method", WITH_LOGIN, ids=lambda method: method.slug)
def test_every_comparison_of_a_method_has_a_proposal(method: AuthMethod[Any, Any]) -> None:
    reasons = {reason for module in modules_of(method) for kind, reason in checks_in(module) if kind == "compare"}
    reasons |= {reason for kind, reason in checks_in(login) if kind == "compare"}
    proposals = dict(method.proposals)
    known = {*proposals, *SHARED, "address_not_trusted"}
    for pattern in [reason for reason in reasons if "*" in reason]:
        reasons.remove(pattern)
        names_it = any(reason.endswith(pattern.strip("*")) for reason in proposals)
        assert names_it or not hasattr(modules_of(method)[0], "require_match"), pattern
    if method.claims_under == "" and not {"claim_missing", "subject_mismatch"} & proposals.keys():
        reasons -= {"issuer_mismatch", "audience_mismatch"} - proposals.keys()  # jose checks them where asked to

    own = {reason for reason in reasons if reason not in known}
    # `jose` and `claims` check for several methods; not each asks for each.
    assert own <= {"issuer_mismatch", "audience_mismatch", "subject_mismatch", "claim_missing", "claim_mismatch"}


def test_every_method_with_a_login_is_in_the_loop() -> None:
    assert set(SLUGS) == set(REFUSING)
    for method in WITH_LOGIN:
        settings = {reason for reason, _ in REFUSING.get(method.slug, ())}
        advised = {reason for reason, make in method.proposals if isinstance(make({}, {}, ""), str)}
        left = dict(method.proposals).keys() - settings - {reason for _, reason, *_ in BY_HAND} - advised
        assert left <= {"issuer_mismatch", "audience_mismatch"}, (method.slug, left)


@pytest.mark.parametrize(("slug", "reason", "changes"), CASES, ids=[f"{slug}-{why}" for slug, why, _ in CASES])
async def test_what_is_proposed_admits_the_proof(
    api: tuple[Api, Providers], slug: str, reason: str, changes: dict[str, Any]
) -> None:
    server, providers = api
    case = providers.cases[slug]
    identity_id = (await server.identity("member"))["id"]
    await server.ok("POST", of(case, identity_id), case.config | changes)

    refused = await log_in(server, case, identity_id)
    path = f"/api/v1/organization/login-denials/{refused.json()['reqId']}"
    told = (await server.ok("GET", path))["loginDenial"]
    tried = await server.ok("POST", f"{of(case, identity_id)}/test-login", case.good(identity_id) | _connection(case))

    assert (401, reason) == (401 if refused.status_code == 403 else refused.status_code, told["reason"])
    assert "proposal" not in refused.text
    proposal = told["checks"][-1]["proposal"]
    failed = [check for check in tried["checks"] if check["name"] == reason and not check["passed"]]
    assert [proposal] == [check["proposal"] for check in failed]
    event = {"eventType": f"login-identity-{slug}-failed"}
    (log,) = (await server.ok("GET", "/api/v1/organization/audit-logs", query=event))["auditLogs"]
    assert proposal == log["event"]["metadata"]["proposal"]
    await server.ok("PATCH", of(case, identity_id), proposal["configuration"])
    admitted = await log_in(server, case, identity_id)
    assert admitted.status_code == 200, (proposal, admitted.text)


def _connection(case: Case) -> dict[str, Any]:
    return {"certificate": unquote(next(iter(case.headers.values())))} if case.headers else {}


@pytest.mark.parametrize(("slug", "reason", "settings", "presented", "proposed"), BY_HAND, ids=lambda it: str(it)[:20])
def test_what_is_proposed_holds_what_is_stored_and_what_was_presented(
    slug: str, reason: str, settings: dict[str, Any], presented: Any, proposed: dict[str, Any]
) -> None:
    method = next(method for method in METHODS if method.slug == slug)

    assert proposed == dict(method.proposals)[reason](settings, None, presented)


async def test_an_address_that_is_not_trusted_is_proposed_for_the_list(api: tuple[Api, Providers]) -> None:
    server, _ = api
    identity = await server.identity("member")
    login_body = await server.universal(identity["id"], clientSecretTrustedIps=[{"ipAddress": "10.0.0.0/8"}])
    path = "/api/v1/auth/universal-auth"

    refused = await server.post(f"{path}/login", login_body, token=None)
    denial = f"/api/v1/organization/login-denials/{refused.json()['reqId']}"
    proposal = (await server.ok("GET", denial))["loginDenial"]["checks"][-1]["proposal"]
    await server.ok("PATCH", f"{path}/identities/{identity['id']}", proposal["configuration"])

    assert refused.status_code == 403
    assert list(proposal["configuration"]) == ["clientSecretTrustedIps"]
    assert await server.login(login_body)


async def test_where_no_setting_helps_the_proposal_says_what_does(api: tuple[Api, Providers]) -> None:
    server, _ = api
    identity = await server.identity("member")
    body = await server.universal(identity["id"], secret={"numUsesLimit": 1})
    await server.login(body)
    path = "/api/v1/auth/universal-auth/login"

    for expected in ("no uses left", "disabled"):
        refused = await server.post(path, body, token=None)
        denial = f"/api/v1/organization/login-denials/{refused.json()['reqId']}"
        proposal = (await server.ok("GET", denial))["loginDenial"]["checks"][-1]["proposal"]
        assert expected in proposal["text"]
        assert "configuration" not in proposal
        await server.ok("POST", f"/api/v1/identities/{identity['id']}/disable", {})


def test_settings_of_a_template_are_proposed_to_be_changed_there() -> None:
    method = next(method for method in METHODS if method.slug == "oidc-auth")
    template = MethodTemplate(
        id="t", org_id="o", name="all of CI", method=method.slug, fields={}, created_at=1, updated_at=1
    )

    shared = proposal_for(method, None, template, "issuer_mismatch", "https://a.test", "https://b.test")
    own = proposal_for(method, None, template, "audience_mismatch", ["a"], ["b"])

    assert shared is not None
    assert own is not None
    assert (None, True) == (shared.configuration, "'all of CI'" in shared.text)
    assert {"boundAudiences": "b"} == own.configuration


@pytest.mark.parametrize("presented", ["", " x", "x" * 300, "a\u0000b", "\ud800", None, 7, [], [None]])
def test_what_cannot_be_told_whole_is_not_proposed(presented: Any) -> None:
    for method in WITH_LOGIN:
        for reason, make in method.proposals:
            # a missing claim is one where nothing presented is looked at
            assert isinstance(make({}, {}, presented), str) or reason == "claim_missing", (method.slug, reason)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=40))
def test_a_literal_pattern_matches_its_text_and_no_other(text: str) -> None:
    pattern = literal(text)

    if pattern is not None:
        assert split_patterns(f"x, {join_list([pattern])}, y") == ("x", pattern, "y")
        assert claim_matches(text, (pattern,))
        assert not claim_matches(text + "x", (pattern,))
        assert not claim_matches("x" + text, (pattern,))
