"""Auth methods on identities: what an update keeps, what is write-only, what a login may name."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.api import Api, postgres_settings, running, sqlite_settings
from tests.http.authentication.test_auth_methods import provider_api as provider_api  # noqa: PLC0414
from tests.http.authentication.test_auth_methods import providers as providers  # noqa: PLC0414
from tests.methods.doubles.web import Site, json_reply
from tests.methods.providers import Providers
from tests.minting import jwk, mint, public_pem
from tests.postgres import Server as Postgres
from tests.postgres import fresh_database
from watchword.store import schema

UNKNOWN = "11111111-2222-4333-8444-555555555555"


def path_of(method: str, identity_id: str) -> str:
    return f"/api/v1/auth/{method}/identities/{identity_id}"


async def test_an_update_of_aws_keeps_the_lists_it_does_not_name(api: Api) -> None:
    identity = await api.identity()
    path = path_of("aws-auth", identity["id"])
    lists = {
        "allowedPrincipalArns": "arn:aws:iam::123456789012:role/a,arn:aws:iam::123456789012:role/b",
        "allowedAccountIds": "123456789012",
    }
    await api.ok("POST", path, lists)

    changed = (await api.ok("PATCH", path, {"accessTokenTTL": 60}))["identityAwsAuth"]

    assert "arn:aws:iam::123456789012:role/a, arn:aws:iam::123456789012:role/b" == changed["allowedPrincipalArns"]
    assert ("123456789012", "https://sts.amazonaws.com/", "iam") == (
        changed["allowedAccountIds"],
        changed["stsEndpoint"],
        changed["type"],
    )


async def test_only_the_ttl_that_is_sent_is_compared_with_the_stored_one(api: Api) -> None:
    identity = await api.identity()
    path = path_of("token-auth", identity["id"])
    await api.ok("POST", path, {"accessTokenTTL": 100, "accessTokenMaxTTL": 200})

    lower = await api.patch(path, {"accessTokenMaxTTL": 150})
    too_low = await api.patch(path, {"accessTokenMaxTTL": 50})
    empty = await api.patch(path, {})

    assert [200, 400, 200] == [lower.status_code, too_low.status_code, empty.status_code]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"accessTokenTTL": 0}, 200),
        ({"accessTokenMaxTTL": 0}, 200),
        ({"accessTokenMaxTTL": -1}, 422),
        ({"accessTokenTTL": -1}, 422),
        ({"accessTokenTTL": 315_360_001}, 422),
        ({"accessTokenTTL": 10, "accessTokenMaxTTL": 5}, 400),
        ({"accessTokenTTL": 1.5}, 422),
        ({"accessTokenTrustedIps": []}, 422),
        ({"accessTokenTrustedIps": [{"ipAddress": "x"}]}, 422),
        ({"accessTokenNumUsesLimit": -1}, 422),
        ({"accessTokenPeriod": 60}, 200),
        ({"accessTokenPeriod": -1}, 422),
    ],
)
async def test_the_limits_of_the_common_fields(api: Api, fields: dict[str, Any], status: int) -> None:
    identity = await api.identity()

    reply = await api.post(path_of("token-auth", identity["id"]), fields)

    assert status == reply.status_code


async def test_a_secret_is_written_and_never_read(any_api: Api) -> None:
    identity = await any_api.identity()
    path = path_of("kubernetes-auth", identity["id"])
    body = {
        "kubernetesHost": "https://k.test",
        "tokenReviewerJwt": "very-secret",
        "allowedNamespaces": "",
        "allowedNames": "",
        "allowedAudience": "",
    }

    replies = [
        await any_api.post(path, body),
        await any_api.get(path),
        await any_api.patch(path, {"allowedNames": "x", "tokenReviewerJwt": ""}),
    ]
    events = await any_api.get("/api/v1/organization/audit-logs")
    without = (await any_api.ok("PATCH", path, {"tokenReviewerJwt": None}))["identityKubernetesAuth"]

    assert all("very-secret" not in reply.text for reply in (*replies, events))
    assert [("", True)] * 3 == [
        (one["tokenReviewerJwt"], one["tokenReviewerJwtIsSet"])
        for one in (r.json()["identityKubernetesAuth"] for r in replies)
    ]
    assert ("", False) == (without["tokenReviewerJwt"], without["tokenReviewerJwtIsSet"])
    assert ("api", None) == (without["tokenReviewMode"], without["gatewayId"])
    async with any_api.runtime.store.read() as tx:
        rows = await tx.all(select(schema.method_configs.c.config))
    assert "very-secret" not in str([tuple(row) for row in rows])


async def test_trusted_networks_of_client_secrets_are_answered_as_they_are_stored(api: Api) -> None:
    identity = await api.identity()
    path = path_of("universal-auth", identity["id"])

    made = (
        await api.ok(
            "POST", path, {"clientSecretTrustedIps": [{"ipAddress": "10.0.0.5/8"}, {"ipAddress": " 192.0.2.1 "}]}
        )
    )["identityUniversalAuth"]
    kept = (await api.ok("PATCH", path, {"clientId": "mine", "accessTokenTTL": 9}))["identityUniversalAuth"]

    expected = [{"type": "ipv4", "prefix": 8, "ipAddress": "10.0.0.5"}, {"type": "ipv4", "ipAddress": "192.0.2.1"}]
    assert (expected, expected) == (made["clientSecretTrustedIps"], kept["clientSecretTrustedIps"])
    assert made["clientId"] == kept["clientId"]


async def test_a_login_names_its_own_organization_or_is_refused(api: Api) -> None:
    login = await api.universal((await api.identity())["id"])
    slug = (await api.ok("GET", f"/api/v1/organization/{api.org_id}"))["organization"]["slug"]
    other, token = await api.organization()
    foreign = (await api.ok("GET", f"/api/v1/organization/{other}", token=token))["organization"]["slug"]

    async def named(text: Any, secret: str = login["clientSecret"]) -> int:
        body = {"clientId": login["clientId"], "clientSecret": secret, "organizationSlug": text}
        return (await api.post("/api/v1/auth/universal-auth/login", body, token=None)).status_code

    assert [200, 200, 200, 404, 404] == [
        await named(None),
        await named(""),
        await named(f" {slug} "),
        await named("no-such"),
        await named(foreign),  # as one that does not exist: another tenant's is none of its sub-organizations
    ]
    assert 401 == await named("no-such", "0" * 64)


@pytest.mark.parametrize("identity_id", ["", "x", "\x00", "a" * 70_000, "\ud800", UNKNOWN])
async def test_whatever_names_no_identity_is_refused_alike(any_api: Api, identity_id: str) -> None:
    body = json.dumps({"identityId": identity_id, "jwt": "x.y.z"}).encode()

    reply = await any_api.client.post(
        "/api/v1/auth/oidc-auth/login", content=body, headers={"content-type": "application/json"}
    )

    assert reply.status_code in (400, 401, 413, 422)


async def test_a_user_name_that_no_database_holds_is_refused(any_api: Api) -> None:
    identity = await any_api.identity()
    body = {"url": "ldaps://127.0.0.1:1", "bindDN": "cn=x", "bindPass": "y", "searchBase": "dc=x"}
    await any_api.ok("POST", path_of("ldap-auth", identity["id"]), body)

    reply = await any_api.post(
        "/api/v1/auth/ldap-auth/login",
        {"identityId": identity["id"], "username": "a\x00b", "password": "p"},
        token=None,
    )

    assert 422 == reply.status_code
    assert ["username"] == reply.json()["message"][0]["path"]


async def test_an_expired_token_is_tried_to_the_end(provider_api: Api, providers: Providers) -> None:
    identity = await provider_api.identity()
    case = providers.cases["oidc-auth"]
    await provider_api.ok(
        "POST", path_of(case.slug, identity["id"]), case.config | {"boundClaims": {"ref": "main", "actor": "ada"}}
    )
    said = {"iss": "https://issuer.test", "sub": "repo:else/app", "aud": "other", "iat": 1, "exp": 2, "ref": "dev"}

    tried = await provider_api.ok(
        "POST", f"{path_of(case.slug, identity['id'])}/test-login", {"jwt": mint(said, "rsa", kid="k1")}
    )

    failed = [check["name"] for check in tried["checks"] if not check["passed"]]
    assert [
        "token_expired",
        "subject_mismatch",
        "audience_mismatch",
        "claim_mismatch",
        "claim_missing",
        "claim_mismatch",
    ] == failed
    assert (False, True, "token_expired") == (tried["passed"], tried["isProved"], tried["reason"])
    subject = next(check for check in tried["checks"] if check["name"] == "subject_mismatch")
    assert ("repo:org/*", "repo:else/app") == (subject["expected"], subject["presented"])


async def test_an_arn_is_tried_on_a_configuration_without_a_signed_request(api: Api) -> None:
    identity = await api.identity()
    path = f"{path_of('aws-auth', identity['id'])}/test-login"
    config = {"allowedPrincipalArns": "arn:aws:iam::123456789012:role/ci-*", "allowedAccountIds": "123456789012"}

    async def tried(arn: str) -> Any:
        return await api.ok("POST", path, {"arn": arn, "configuration": config})

    good = await tried("arn:aws:sts::123456789012:assumed-role/ci-main/i-1")
    bad = await tried("arn:aws:sts::999999999999:assumed-role/web/i-1")

    assert (True, False) == (good["passed"], good["isProved"])
    assert ["account_id", "principal_arn"] == [check["name"] for check in bad["checks"] if not check["passed"]]
    assert 404 == (await api.post(path, {"arn": "arn:aws:iam::123456789012:root"})).status_code
    assert (
        400
        == (
            await api.post(
                f"{path_of('jwt-auth', identity['id'])}/test-login",
                {
                    "arn": "x",
                    "configuration": {
                        "configurationType": "static",
                        "publicKeys": [public_pem("rsa")],
                        "boundClaims": {},
                    },
                },
            )
        ).status_code
    )


async def test_a_client_secret_is_tried_without_using_it(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"], {"numUsesLimit": 1}, lockoutThreshold=1)
    path = f"{path_of('universal-auth', identity['id'])}/test-login"

    tried = [
        await api.ok("POST", path, login),
        await api.ok("POST", path, login | {"clientSecret": "0" * 64}),
        await api.ok("POST", path, login),
    ]
    token = await api.login(login)
    used_up = await api.ok("POST", path, login)

    assert [None, "client_secret_unknown", None, "client_secret_used_up"] == [
        one["reason"] for one in (*tried, used_up)
    ]
    assert token


async def test_a_configuration_that_is_tried_lists_its_faults(api: Api) -> None:
    identity = await api.identity()

    reply = await api.post(
        f"{path_of('oidc-auth', identity['id'])}/test-login",
        {"jwt": "x", "configuration": {"oidcDiscoveryUrl": "https://i.test"}},
    )

    assert 422 == reply.status_code
    assert [["configuration", "boundIssuer"], ["configuration", "boundClaims"]] == [
        issue["path"] for issue in reply.json()["message"]
    ]


async def test_a_bundle_is_fetched_anew_when_somebody_asks_for_it(provider_api: Api, providers: Providers) -> None:
    identity = await provider_api.identity()
    path = path_of("spiffe-auth", identity["id"])
    web = {"profile": "https_web_bundle", "endpointUrl": "https://issuer.test/bundle", "refreshHintSeconds": 3600}
    providers.site.routes["/bundle"] = json_reply({"keys": [jwk("rsa", "k1", use="jwt-svid")]})
    case = providers.cases["spiffe-auth"]
    made = await provider_api.ok(
        "POST",
        path,
        case.config | {"trustBundleDistribution": web, "cachedBundleLastRefreshedAt": "2020-01-01T00:00:00Z"},
    )
    for _ in range(3):
        await provider_api.ok("POST", "/api/v1/auth/spiffe-auth/login", case.good(identity["id"]), token=None)
    before = len(providers.site.asked("/bundle"))

    refreshed = (await provider_api.ok("POST", f"{path}/refresh-bundle"))["identitySpiffeAuth"]
    after = len(providers.site.asked("/bundle"))
    providers.site.routes["/bundle"] = json_reply({}, 500)
    failed = await provider_api.post(f"{path}/refresh-bundle")

    assert (1, 2, 400) == (before, after, failed.status_code)
    assert made["identitySpiffeAuth"]["cachedBundleLastRefreshedAt"] is None
    assert refreshed["cachedBundleLastRefreshedAt"] > "2026"
    await provider_api.ok("PATCH", path, {"trustBundleDistribution": case.config["trustBundleDistribution"]})
    assert 400 == (await provider_api.post(f"{path}/refresh-bundle")).status_code


async def test_of_one_assertion_at_two_servers_exactly_one_login_comes(postgres: Postgres) -> None:
    async with (
        fresh_database(postgres.dsn) as dsn,
        running(postgres_settings(dsn)) as one,
        running(postgres_settings(dsn), fresh=False) as two,
    ):
        identity = await one.identity()
        body = {"publicKeys": [public_pem("ed25519")], "boundAudiences": "watchword"}
        await one.ok("POST", path_of("bound-keypair", identity["id"]), body)
        now = one.clock() // 1000
        claims = {"iss": identity["id"], "sub": identity["id"], "aud": "watchword", "exp": now + 60, "jti": "only-once"}
        login = {"identityId": identity["id"], "jwt": mint(claims, "ed25519")}

        replies = await asyncio.gather(
            *[
                server.post("/api/v1/auth/bound-keypair/login", login, token=None)
                for _ in range(20)
                for server in (one, two)
            ]
        )

    assert [200] + [401] * 39 == sorted(reply.status_code for reply in replies)


async def test_a_method_is_attached_once_whoever_asks_at_the_same_time(any_api: Api) -> None:
    identity = await any_api.identity()

    replies = await asyncio.gather(*[any_api.post(path_of("token-auth", identity["id"]), {}) for _ in range(8)])

    assert [200] + [400] * 7 == sorted(reply.status_code for reply in replies)


async def test_a_provider_without_tls_is_asked_only_where_the_operator_named_it(tmp_path: Path) -> None:
    async with Site(tls=False) as site:
        site.routes["/jwks"] = json_reply({"keys": [jwk("rsa", "k1")]})
        body = {"configurationType": "jwks", "jwksUrl": f"{site.url}/jwks", "boundClaims": {}}

        async def status(folder: Path, **settings: Any) -> int:
            async with running(sqlite_settings(folder, **settings)) as api:
                identity = await api.identity()
                await api.ok("POST", path_of("jwt-auth", identity["id"]), body)
                said = {"sub": "x", "exp": api.clock() // 1000 + 60}
                login = {"identityId": identity["id"], "jwt": mint(said, "rsa", kid="k1")}
                return (await api.post("/api/v1/auth/jwt-auth/login", login, token=None)).status_code

        here = ("127.0.0.1",)
        found = [
            await status(tmp_path / "a", allowed_private_hosts=here, http_hosts=here),
            await status(tmp_path / "b", allowed_private_hosts=here),
            await status(tmp_path / "c", http_hosts=here),
        ]

    assert [200, 401, 401] == found
