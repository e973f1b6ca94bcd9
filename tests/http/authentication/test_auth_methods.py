"""Every auth method over HTTP against its own outside: attached, proved, refused with a story, changed and removed."""

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from sqlalchemy import select

from tests.api import Api, running, sqlite_settings
from tests.building import project
from tests.databases import placed
from tests.methods.providers import NOW, PROXY, SLUGS, Case, Providers, running_providers
from tests.minting import mint
from tests.receiving import receiving, settled
from watchword.methods import METHODS
from watchword.services.authentication.login import UNPROVED
from watchword.store import schema

STRANGER = "01a203ee-9dba-7b90-b424-1f20aa43038b"
WRAPPERS = {method.slug: method.wrapper for method in METHODS}


@pytest.fixture
async def providers() -> AsyncIterator[Providers]:
    async with running_providers() as found:
        yield found


@pytest.fixture
async def provider_api(tmp_path: Path, migrated_file: Path, providers: Providers) -> AsyncIterator[Api]:
    """A server whose way out leads to `providers`, behind a proxy that it trusts."""
    settings = sqlite_settings(placed(migrated_file, tmp_path), trusted_proxies=("127.0.0.1/32",))
    async with running(settings, outbound=providers.outbound) as found:
        yield found


@pytest.fixture(params=SLUGS)
def case(request: pytest.FixtureRequest, providers: Providers) -> Case:
    return providers.cases[request.param]


def of(case: Case, identity_id: str) -> str:
    return f"/api/v1/auth/{case.slug}/identities/{identity_id}"


async def log_in(api: Api, case: Case, body: dict[str, Any], headers: dict[str, str] | None = None) -> Any:
    return await api.post(
        f"/api/v1/auth/{case.slug}/login", body, token=None, headers=case.headers if headers is None else headers
    )


async def attached(api: Api, case: Case, role: str = "member", **more: Any) -> str:
    identity = await api.identity(role)
    await api.ok("POST", of(case, identity["id"]), case.config | more)
    return str(identity["id"])


async def story(api: Api, reply: Any) -> dict[str, Any]:
    return (await api.ok("GET", f"/api/v1/organization/login-denials/{reply.json()['reqId']}"))["loginDenial"]


async def test_a_good_proof_gets_a_token_that_works_and_says_who_was_proved(provider_api: Api, case: Case) -> None:
    identity_id = await attached(provider_api, case)

    reply = await log_in(provider_api, case, case.good(identity_id))
    token = reply.json()["accessToken"]
    seen = await provider_api.get(f"/api/v1/identities/{identity_id}", token=token)

    assert (200, "Bearer", 2_592_000, 2_592_000) == (
        reply.status_code,
        reply.json()["tokenType"],
        reply.json()["expiresIn"],
        reply.json()["accessTokenMaxTTL"],
    )
    assert 200 == seen.status_code
    claims = _claims(token)
    assert (case.slug, identity_id) == (claims["authMethod"], claims["identityId"])
    for method, facts in case.auth.items():
        assert facts.items() <= claims["identityAuth"][method].items()


def _claims(token: str) -> dict[str, Any]:
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


async def test_a_wrong_proof_and_an_unknown_identity_sound_the_same_and_leave_one_story_each(
    provider_api: Api, case: Case
) -> None:
    identity_id = await attached(provider_api, case)
    bad = case.headers if case.bad_headers is None else case.bad_headers

    wrong = await log_in(provider_api, case, case.bad(identity_id), bad)
    unknown = await log_in(provider_api, case, case.bad(STRANGER), bad)

    def heard(reply: Any) -> Any:
        return (
            reply.status_code,
            {name: value for name, value in reply.json().items() if name != "reqId"},
            set(reply.headers),
        )

    assert heard(wrong) == heard(unknown)
    assert (401, UNPROVED) == (wrong.status_code, wrong.json()["message"])
    told = await story(provider_api, wrong)
    assert (case.reason, identity_id, case.slug) == (told["reason"], told["identityId"], told["authMethod"])
    assert [False] == [check["passed"] for check in told["checks"]][-1:]
    async with provider_api.runtime.store.read() as tx:
        rows = await tx.all(select(schema.denials.c.request_id, schema.denials.c.reason))
    assert {(wrong.json()["reqId"], case.reason), (unknown.json()["reqId"], "not_configured")} == {
        tuple(row) for row in rows
    }


async def test_a_configuration_is_read_changed_and_removed_with_its_tokens(provider_api: Api, case: Case) -> None:
    identity_id = await attached(provider_api, case)
    path, wrapper = of(case, identity_id), WRAPPERS[case.slug]
    read = (await provider_api.ok("GET", path))[wrapper]
    token = (await log_in(provider_api, case, case.good(identity_id))).json()["accessToken"]

    changed = (
        await provider_api.ok(
            "PATCH", path, {"accessTokenTTL": 60, "accessTokenTrustedIps": [{"ipAddress": "0.0.0.0/0"}]}
        )
    )[wrapper]
    later = await log_in(provider_api, case, case.good(identity_id))
    twice = await provider_api.post(path, case.config)
    removed = await provider_api.delete(path)
    dead = await provider_api.get(f"/api/v1/identities/{identity_id}", token=token)
    after = [await provider_api.get(path), await provider_api.patch(path, {}), await provider_api.delete(path)]

    differing = {name for name in read if read[name] != changed[name]}
    assert {"accessTokenTTL", "accessTokenTrustedIps", "updatedAt"} == differing
    assert [{"type": "ipv4", "prefix": 0, "ipAddress": "0.0.0.0"}] == changed["accessTokenTrustedIps"]
    assert (200, 60) == (later.status_code, later.json()["expiresIn"])
    assert (400, 200, 401) == (twice.status_code, removed.status_code, dead.status_code)
    assert [404] * 3 == [reply.status_code for reply in after]
    assert 401 == (await log_in(provider_api, case, case.good(identity_id))).status_code
    await provider_api.ok("POST", path, case.config)
    assert 401 == (await provider_api.get(f"/api/v1/identities/{identity_id}", token=token)).status_code


async def test_a_renewal_checks_again_what_issued_the_token(provider_api: Api, case: Case) -> None:
    identity_id = await attached(provider_api, case, accessTokenTTL=3600)
    token = (await log_in(provider_api, case, case.good(identity_id))).json()["accessToken"]

    async def renewed() -> int:
        return (await provider_api.post("/api/v1/auth/token/renew", {"accessToken": token}, token=None)).status_code

    at_first = await renewed()
    await provider_api.ok("PATCH", of(case, identity_id), {"accessTokenTrustedIps": [{"ipAddress": "10.0.0.0/8"}]})
    elsewhere = await renewed()
    await provider_api.ok("PATCH", of(case, identity_id), {"accessTokenTrustedIps": [{"ipAddress": "127.0.0.0/8"}]})
    back = await renewed()
    await provider_api.ok("POST", f"/api/v1/identities/{identity_id}/disable", {})
    disabled = await renewed()
    refused = await log_in(provider_api, case, case.good(identity_id))
    await provider_api.ok("POST", f"/api/v1/identities/{identity_id}/enable", {})
    await provider_api.ok("DELETE", of(case, identity_id))

    assert (200, 403, 200, 401) == (at_first, elsewhere, back, disabled)
    assert 401 == refused.status_code
    assert "identity_disabled" == (await story(provider_api, refused))["reason"]
    assert 401 == await renewed()


async def test_trying_a_login_shows_every_check_and_changes_nothing(provider_api: Api, case: Case) -> None:
    identity_id = await attached(provider_api, case)
    certificate = {"certificate": case.headers[next(iter(PROXY))]} if case.headers else {}
    wrong = {"certificate": case.bad_headers[next(iter(PROXY))]} if case.bad_headers else {}
    body, path = case.good(identity_id), of(case, identity_id)

    good = await provider_api.ok("POST", f"{path}/test-login", body | certificate)
    bad = await provider_api.ok("POST", f"{path}/test-login", case.bad(identity_id) | wrong)
    unsaved = await provider_api.ok(
        "POST", f"{path}/test-login", case.good(identity_id) | certificate | {"configuration": case.config}
    )
    network = {
        "configuration": case.config | {"accessTokenTrustedIps": [{"ipAddress": "10.0.0.0/8"}]},
        "address": "192.0.2.7",
    }
    elsewhere = await provider_api.ok("POST", f"{path}/test-login", case.good(identity_id) | certificate | network)

    assert (True, True, None) == (good["passed"], good["isProved"], good["reason"])
    assert good["checks"]
    assert all(check["passed"] for check in good["checks"])
    assert (False, False, case.reason) == (bad["passed"], bad["isProved"], bad["reason"])
    assert (True, "address_not_trusted") == (unsaved["passed"], elsewhere["reason"])
    if case.slug != "alicloud-auth":  # where the cloud itself takes a nonce once
        assert 200 == (await log_in(provider_api, case, body)).status_code  # the proof that was tried is not used up
    assert [] == (await provider_api.ok("GET", "/api/v1/organization/login-denials"))["loginDenials"]


async def test_only_who_may_change_a_method_may_try_it(provider_api: Api, case: Case) -> None:
    identity_id = await attached(provider_api, case, role="admin")
    _, member = await provider_api.bot("member")

    reply = await provider_api.post(f"{of(case, identity_id)}/test-login", case.good(identity_id), token=member)

    assert 403 == reply.status_code


async def test_all_methods_live_together_on_one_identity(provider_api: Api, providers: Providers) -> None:
    identity = await provider_api.identity("member")
    await provider_api.universal(identity["id"])
    await provider_api.ok("POST", f"/api/v1/auth/token-auth/identities/{identity['id']}", {})
    for case in providers.cases.values():
        await provider_api.ok("POST", of(case, identity["id"]), case.config)

    tokens = {
        slug: (await log_in(provider_api, case, case.good(identity["id"]))).json()["accessToken"]
        for slug, case in providers.cases.items()
    }
    await provider_api.ok("DELETE", of(providers.cases["oidc-auth"], identity["id"]))
    seen = {
        slug: (await provider_api.get(f"/api/v1/identities/{identity['id']}", token=token)).status_code
        for slug, token in tokens.items()
    }
    listed = (await provider_api.ok("GET", f"/api/v1/identities/{identity['id']}"))["identity"]["identity"][
        "authMethods"
    ]

    assert {slug: 401 if slug == "oidc-auth" else 200 for slug in SLUGS} == seen
    assert {"universal-auth", "token-auth", *SLUGS} - {"oidc-auth"} == set(listed)


async def test_a_lockout_is_told_to_alert_channels_once_and_in_the_unit_that_locks(
    provider_api: Api, providers: Providers
) -> None:
    receiver, case = receiving(provider_api), providers.cases["ldap-auth"]
    identity_id = await attached(provider_api, case, lockoutThreshold=2)
    for alert in ("identity.locked-out", "method.changed"):
        body = {"name": alert, "url": f"https://h.example.com/{alert}", "alerts": [alert]}
        await provider_api.ok("POST", "/api/v1/organization/alert-channels", body)

    for _ in range(4):
        await log_in(provider_api, case, case.bad(identity_id))
    await settled(provider_api)

    (told,) = receiver.got
    assert "https://h.example.com/identity.locked-out" == told.url
    assert (identity_id, "ldap-auth") == tuple(
        told.json["data"]["items"][0][name] for name in ("identityId", "authMethod")
    )


async def test_wrong_passwords_lock_one_user_name_out_and_a_dead_directory_nobody(
    provider_api: Api, providers: Providers
) -> None:
    case = providers.cases["ldap-auth"]
    identity_id = await attached(provider_api, case, lockoutThreshold=3)
    good, bad = case.good(identity_id), case.bad(identity_id)

    for _ in range(3):
        assert 401 == (await log_in(provider_api, case, bad | {"username": " ADA"})).status_code
    locked = await log_in(provider_api, case, good)
    other = await log_in(provider_api, case, good | {"username": "bob", "password": "bob's password"})
    shown = (await provider_api.ok("GET", f"/api/v1/identities/{identity_id}"))["identity"]["identity"][
        "activeLockoutAuthMethods"
    ]
    listed = (await provider_api.ok("GET", f"/api/v1/identities?orgId={provider_api.org_id}"))["identities"]
    in_list = {one["identityId"]: one["identity"]["activeLockoutAuthMethods"] for one in listed}
    assert {(), ("ldap-auth",)} == {tuple(methods) for methods in in_list.values()}
    assert ["ldap-auth"] == in_list[identity_id]
    cleared = await provider_api.ok("POST", f"{of(case, identity_id)}/clear-lockouts")
    again = await log_in(provider_api, case, good)

    assert (401, 200, 200) == (locked.status_code, other.status_code, again.status_code)
    assert "locked_out" == (await story(provider_api, locked))["reason"]
    assert (["ldap-auth"], {"deleted": 1}) == (shown, cleared)

    await provider_api.ok(
        "PATCH", of(case, identity_id), {"url": "ldaps://localhost:1", "bindPass": case.config["bindPass"]}
    )
    for _ in range(4):
        down = await log_in(provider_api, case, good)
    assert "directory_unavailable" == (await story(provider_api, down))["reason"]
    await provider_api.ok(
        "PATCH", of(case, identity_id), {"url": case.config["url"], "bindPass": case.config["bindPass"]}
    )
    assert 200 == (await log_in(provider_api, case, good)).status_code


async def test_claims_that_make_a_token_nobody_could_send_are_refused(provider_api: Api, providers: Providers) -> None:
    case = providers.cases["oidc-auth"]
    identity_id = await attached(provider_api, case, claimMetadataMapping={f"copy{n}": "long" for n in range(5)})
    said = {
        "iss": "https://issuer.test",
        "sub": "repo:org/app",
        "aud": "watchword",
        "exp": NOW + 3000,
        "long": "x" * 4_000,
    }

    reply = await log_in(provider_api, case, {"identityId": identity_id, "jwt": mint(said, "rsa", kid="k1")})

    assert 401 == reply.status_code
    assert "claims_too_large" == (await story(provider_api, reply))["reason"]


async def test_the_name_of_a_login_is_used_in_the_rules_of_a_role(provider_api: Api, providers: Providers) -> None:
    case = providers.cases["oidc-auth"]
    identity_id = await attached(provider_api, case, role="no-access")
    made = await project(provider_api)
    right = {
        "subject": "secret-folders",
        "action": ["create"],
        "conditions": {"environment": {"$eq": "d{{identity.auth.oidc.claims.short}}v"}},
    }
    await provider_api.ok("PATCH", of(case, identity_id), {"claimMetadataMapping": {"short": "letter"}})
    role = {"slug": "by-claim", "name": "By claim", "permissions": [right]}
    await provider_api.ok("POST", f"/api/v1/projects/{made['id']}/roles", role)
    await provider_api.ok(
        "POST", f"/api/v1/projects/{made['id']}/identity-memberships/{identity_id}", {"role": "by-claim"}
    )

    async def may_create(name: str, letter: str) -> int:
        said = {
            "iss": "https://issuer.test",
            "sub": "repo:org/app",
            "aud": "watchword",
            "iat": NOW,
            "exp": NOW + 3000,
            "letter": letter,
        }
        token = (
            await log_in(provider_api, case, {"identityId": identity_id, "jwt": mint(said, "rsa", kid="k1")})
        ).json()["accessToken"]
        body = {"workspaceId": made["id"], "environment": "dev", "name": name, "path": "/"}
        return (await provider_api.post("/api/v1/folders", body, token=token)).status_code

    assert (200, 403) == (await may_create("one", "e"), await may_create("two", "x"))


async def test_a_list_may_be_sent_as_an_array_and_is_answered_as_text(provider_api: Api, providers: Providers) -> None:
    oidc, ldap = providers.cases["oidc-auth"], providers.cases["ldap-auth"]
    claims = {"boundAudiences": ["a, b", "c"], "boundClaims": oidc.config["boundClaims"] | {"team": ["R&D, Berlin"]}}
    names = [{"key": "memberOf", "value": ["CN=Ops,OU=Groups,DC=example", "x"]}]

    path = of(oidc, (await provider_api.identity("member"))["id"])
    first = (await provider_api.ok("POST", path, oidc.config | claims))["identityOidcAuth"]
    again = (await provider_api.ok("PATCH", path, {"boundAudiences": first["boundAudiences"]}))["identityOidcAuth"]
    second = await provider_api.ok(
        "POST", of(ldap, (await provider_api.identity("member"))["id"]), ldap.config | {"allowedFields": names}
    )

    assert ('"a, b", c', '"R&D, Berlin"') == (first["boundAudiences"], first["boundClaims"]["team"])
    assert first["boundAudiences"] == again["boundAudiences"]
    assert '"CN=Ops,OU=Groups,DC=example", x' == second["identityLdapAuth"]["allowedFields"][0]["value"]


async def test_a_pattern_that_is_none_is_named_with_its_field(provider_api: Api, providers: Providers) -> None:
    oidc = providers.cases["oidc-auth"]
    path = of(oidc, (await provider_api.identity("member"))["id"])
    for more, field in (
        ({"boundSubject": "repo:[acme"}, ["boundSubject"]),
        ({"boundClaims": {"a": "x", "b": "ok, {a"}}, ["boundClaims", "b"]),
        ({"boundAudiences": "*" * 600}, ["boundAudiences"]),
    ):
        reply = await provider_api.post(path, oidc.config | more)
        assert (422, field) == (reply.status_code, reply.json()["message"][0]["path"])


async def test_a_signed_aws_request_logs_in_once(provider_api: Api, providers: Providers) -> None:
    case = providers.cases["aws-auth"]
    identity_id = await attached(provider_api, case)
    body = case.good(identity_id)

    first, second = await log_in(provider_api, case, body), await log_in(provider_api, case, body)

    assert (200, 401) == (first.status_code, second.status_code)
    assert "proof_replayed" == (await story(provider_api, second))["reason"]


async def test_a_certificate_comes_in_the_headers_of_rfc_9440(
    tmp_path: Path, migrated_file: Path, providers: Providers
) -> None:
    case = providers.cases["tls-cert-auth"]
    chain = unquote(case.headers["x-identity-tls-cert-auth-client-cert"])
    header = f":{''.join(chain.split('-----')[2].split())}:"
    settings = sqlite_settings(
        placed(migrated_file, tmp_path), trusted_proxies=("127.0.0.1/32",), tls_client_cert_header="client-cert"
    )
    async with running(settings, outbound=providers.outbound) as api:
        identity_id = await attached(api, case)
        body = case.good(identity_id)
        good = await log_in(api, case, body, {"client-cert": header})
        with_chain = await log_in(api, case, body, {"client-cert": header, "client-cert-chain": f"{header}, {header}"})
        missing = await log_in(api, case, body, {"client-cert-chain": header})

    assert (200, 200, 400) == (good.status_code, with_chain.status_code, missing.status_code)


async def test_a_login_names_the_organization_that_its_token_is_for_and_a_dry_run_tells_the_same(
    provider_api: Api, case: Case
) -> None:
    identity_id = await attached(provider_api, case)
    sub = (await provider_api.ok("POST", "/api/v1/sub-organizations", {"name": "Part"}))["organization"]["id"]
    certificate = {"certificate": case.headers[next(iter(PROXY))]} if case.headers else {}

    async def tried(slug: str) -> Any:
        body = case.good(identity_id) | certificate | {"organizationSlug": slug}
        return await provider_api.ok("POST", f"{of(case, identity_id)}/test-login", body)

    stranger, unknown = await tried("part"), await tried("no-such")
    refused = await log_in(provider_api, case, case.good(identity_id) | {"organizationSlug": "part"})
    await provider_api.ok(
        "POST",
        f"/api/v1/organization/identity-memberships/{identity_id}",
        {"roles": [{"role": "member"}]},
        token=await provider_api.enter(sub),
    )
    member = await tried("part")
    token = (await log_in(provider_api, case, case.good(identity_id) | {"organizationSlug": "part"})).json()

    def failed(tried: Any) -> Any:
        return next(check for check in tried["checks"] if check["name"] == tried["reason"])

    details = await provider_api.ok("GET", "/api/v1/identities/details", token=token["accessToken"])
    assert ("organization_not_allowed", "organization_unknown") == (stranger["reason"], unknown["reason"])
    assert "add it there" in failed(stranger)["proposal"]["text"]
    assert ("part", "no-such") == (failed(stranger)["presented"], failed(unknown)["presented"])
    assert (401, "organization_not_allowed") == (
        refused.status_code,
        (await story(provider_api, refused))["reason"],
    )
    assert (True, None) == (member["passed"], member["reason"])
    assert sub == details["identityDetails"]["organization"]["id"]
