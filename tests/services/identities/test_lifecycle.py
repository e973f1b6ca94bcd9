"""Disabled, enabled, expired: what that does to live tokens, and the reports."""

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding

from tests.api import Api
from tests.building import project
from watchword.services.identities import lifecycle
from watchword.services.timestamps import iso

DAY = 24 * 3600


async def test_a_disabled_identity_is_refused_at_once_with_live_tokens_and_logins(any_api: Api) -> None:
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    token = await any_api.login(login)
    path = f"/api/v1/identities/{identity['id']}"
    before = await any_api.get(path, token=token)
    shown = await any_api.ok("POST", f"{path}/disable", {})
    disabled = await any_api.get(path, token=token)
    refused = await any_api.post("/api/v1/auth/universal-auth/login", login, token=None)
    renewed = await any_api.post("/api/v1/auth/token/renew", {"accessToken": token}, token=None)
    await any_api.ok("POST", f"{path}/enable")
    enabled = await any_api.get(path, token=token)

    assert shown["identity"]["isDisabled"]
    assert [200, 401, 401, 401, 200] == [reply.status_code for reply in (before, disabled, refused, renewed, enabled)]


async def test_disabling_may_end_the_tokens_for_good(api: Api) -> None:
    identity, token = await api.bot("member")
    path = f"/api/v1/identities/{identity['id']}"

    await api.ok("POST", f"{path}/disable", {"revokeTokens": True})
    await api.ok("POST", f"{path}/enable")

    assert 401 == (await api.get(path, token=token)).status_code


async def test_an_identity_ends_at_its_expiry_date_and_lives_on_without_one(any_api: Api) -> None:
    identity, token = await any_api.bot("member")
    path = f"/api/v1/identities/{identity['id']}"
    shown = await any_api.ok("PATCH", path, {"expiresAt": "2020-01-01T00:00:00Z", "owner": "team-a@example.com"})
    expired = await any_api.get(path, token=token)
    enabling = await any_api.post(f"{path}/enable")
    kept = await any_api.ok("PATCH", path, {"name": "renamed"})
    cleared = await any_api.ok("PATCH", path, {"expiresAt": None, "owner": None})
    alive = await any_api.get(path, token=token)

    assert ("2020-01-01T00:00:00.000Z", "team-a@example.com") == (
        shown["identity"]["expiresAt"],
        shown["identity"]["owner"],
    )
    assert "2020-01-01T00:00:00.000Z" == kept["identity"]["expiresAt"]
    assert (None, None) == (cleared["identity"]["expiresAt"], cleared["identity"]["owner"])
    assert [401, 400, 200] == [reply.status_code for reply in (expired, enabling, alive)]


async def test_an_expiry_date_must_be_a_date(api: Api) -> None:
    identity = await api.identity()

    for wrong in ("tomorrow", "2026-13-01T00:00:00Z", "0"):
        assert 422 == (await api.patch(f"/api/v1/identities/{identity['id']}", {"expiresAt": wrong})).status_code


async def test_who_holds_less_cannot_disable_who_holds_more(api: Api) -> None:
    admin, _ = await api.bot("admin")
    _, member = await api.bot("member")

    assert 403 == (await api.post(f"/api/v1/identities/{admin['id']}/disable", {}, token=member)).status_code


async def test_the_last_login_is_shown(api: Api) -> None:
    identity, _ = await api.bot("member")
    await api.runtime.journal.close()  # it writes moments of last use once a second, and at its end

    shown = (await api.ok("GET", f"/api/v1/identities/{identity['id']}"))["identity"]["identity"]

    assert ("universal-auth", "127.0.0.1") == (shown["lastLoginAuthMethod"], shown["lastLoginAddress"])
    assert shown["lastLoginTime"] is not None


async def report(api: Api, kind: str, **query: Any) -> tuple[list[str], str | None]:
    found = await api.ok("GET", f"/api/v1/organization/identity-reports/{kind}", query=query)
    return [one["name"] for one in found["identities"]], found["nextCursor"]


async def test_reports_name_the_unused_the_never_used_and_the_expiring(any_api: Api) -> None:
    used = await any_api.identity("member", name="used")
    await any_api.login(await any_api.universal(used["id"]))
    soon = await any_api.identity(name="soon")
    await any_api.ok("PATCH", f"/api/v1/identities/{soon['id']}", {"expiresAt": "2099-01-01T00:00:00Z"})
    await any_api.runtime.journal.close()
    fresh = [await report(any_api, kind, days=20) for kind in ("unused", "never-used", "expiring")]
    any_api.clock.forward(6 * DAY)

    assert [([], None)] * 3 == fresh
    assert (["Instance Admin Identity", "soon"], None) == await report(any_api, "expiring", days=36_500)
    assert (["used"], None) == await report(any_api, "unused", days=5)
    assert (["Instance Admin Identity", "soon"], None) == await report(any_api, "never-used", days=5)


async def test_pages_of_a_report_follow_each_other_without_gap_or_repetition(any_api: Api) -> None:
    for number in range(7):
        await any_api.identity(name=f"bot {number}")
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page, cursor = await report(any_api, "never-used", days=0, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += page

    assert ["Instance Admin Identity", *[f"bot {number}" for number in range(7)]] == seen


async def test_a_made_up_cursor_or_report_is_refused(api: Api) -> None:
    for path in (
        "unused?cursor=%21%21",
        "unused?cursor=W10%3D",
        "unused?cursor=a",
        "nonsense",
        "unused?days=-1",
        "unused?limit=0",
        "unused?severity=high",
        "expiring?code=any_network",
        "risky?days=7",
    ):
        assert 422 == (await api.get(f"/api/v1/organization/identity-reports/{path}")).status_code


async def test_an_identity_with_delete_protection_outlives_its_organization(api: Api) -> None:
    identity = await api.identity(hasDeleteProtection=True)

    for path in (f"/api/v1/identities/{identity['id']}", f"/api/v2/organizations/{api.org_id}"):
        assert 400 == (await api.delete(path)).status_code


async def test_an_identity_that_only_uses_named_tokens_is_not_reported_as_never_used(api: Api) -> None:
    await api.get("/api/v1/identities/details", token=api.instance_token)
    await api.runtime.journal.close()

    assert ([], None) == await report(api, "never-used", days=0)


def authority(days: int) -> str:
    """A certificate of an authority that ends in so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "CA")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1))
    builder = builder.not_valid_after(now + timedelta(days=days))
    made = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return made.sign(key, SHA256()).public_bytes(Encoding.PEM).decode()


async def test_the_expiring_are_also_client_secrets_tokens_and_certificates(any_api: Api) -> None:
    soon, later = authority(10), authority(400)
    made = {name: (await any_api.identity(name=name))["id"] for name in ("secret", "token", "pem", "base64", "none")}
    await any_api.ok("PATCH", f"/api/v1/identities/{made['pem']}", {"expiresAt": "2099-01-01T00:00:00Z"})
    await any_api.universal(made["secret"], {"ttl": 5 * DAY, "description": "ci"})
    await any_api.universal(made["none"])
    tokens = f"/api/v1/auth/token-auth/identities/{made['token']}"
    await any_api.ok("POST", tokens, {"accessTokenTTL": 3 * DAY, "accessTokenMaxTTL": 3 * DAY})
    await any_api.ok("POST", f"{tokens}/tokens", {"name": "deploy"})
    tls = {name: f"/api/v1/auth/tls-cert-auth/identities/{made[name]}" for name in ("pem", "none")}
    await any_api.ok("POST", tls["pem"], {"caCertificate": later + soon})
    await any_api.ok("POST", tls["none"], {"caCertificate": later})
    issuer = {"oidcDiscoveryUrl": "https://issuer.test", "boundIssuer": "https://issuer.test"}
    held = issuer | {"caCert": base64.b64encode(soon.encode()).decode()}
    template = {"name": "t", "authMethod": "oidc-auth", "templateFields": held}
    id = (await any_api.ok("POST", "/api/v1/identity-templates", template))["id"]
    oidc = f"/api/v1/auth/oidc-auth/identities/{made['base64']}"
    await any_api.ok("POST", oidc, {"templateId": id, "boundClaims": {}, "boundSubject": "a"})

    found = await any_api.ok("GET", "/api/v1/organization/identity-reports/expiring", query={"days": 20})
    nearer = await report(any_api, "expiring", days=4)

    told = {
        one["name"]: [(e["kind"], e["authMethod"], e["name"], e["field"]) for e in one["endings"]]
        for one in found["identities"]
    }
    assert {
        "secret": [("client-secret", None, "ci", None)],
        "token": [("token", "token-auth", "deploy", None)],
        "pem": [("certificate", "tls-cert-auth", None, "caCertificate")],
        "base64": [("certificate", "oidc-auth", None, "caCert")],
    } == told
    assert (["token"], None) == nearer
    any_api.clock.forward(6 * DAY)
    assert (["base64", "pem"], None) == await report(any_api, "expiring", days=20)


async def test_what_ends_is_found_past_many_identities_of_which_nothing_ends(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "_STEP", 2)  # identities that one query asks about
    for name in ("a", "b", "c", "d", "e", "f"):
        identity = await any_api.identity(name=name)
        if name in "af":
            await any_api.ok(
                "PATCH", f"/api/v1/identities/{identity['id']}", {"expiresAt": iso(any_api.clock() + DAY * 1000)}
            )

    assert (["a", "f"], None) == await report(any_api, "expiring", days=3)
    first, cursor = await report(any_api, "expiring", days=3, limit=1)
    assert (["a"], ["f"]) == (first, (await report(any_api, "expiring", days=3, limit=1, cursor=cursor))[0])


async def test_risky_settings_are_told_with_what_they_mean_and_how_to_mend_them(any_api: Api) -> None:
    open_, closed = (await any_api.identity(name="open"))["id"], (await any_api.identity(name="closed"))["id"]
    issuer = {"oidcDiscoveryUrl": "https://issuer.test", "boundIssuer": "https://issuer.test", "boundClaims": {}}
    tight = {
        "boundSubject": "repo:o/r",
        "boundAudiences": "watchword",
        "accessTokenTTL": 3600,
        "accessTokenMaxTTL": 3600,
        "accessTokenTrustedIps": [{"ipAddress": "10.0.0.0/8"}],
    }
    made = await any_api.ok("POST", f"/api/v1/auth/oidc-auth/identities/{open_}", issuer)
    await any_api.ok("POST", f"/api/v1/auth/oidc-auth/identities/{closed}", issuer | tight)

    found = await any_api.ok("GET", "/api/v1/organization/identity-reports/risky")
    by_code = await report(any_api, "risky", code="any_audience")

    warnings = {one["name"]: one["warnings"] for one in found["identities"]}
    assert "closed" not in warnings
    assert {
        "admits_anybody": "boundSubject",
        "any_audience": "boundAudiences",
        "any_network": "accessTokenTrustedIps",
        "long_life": "accessTokenMaxTTL",
    } == {risk["code"]: risk["field"] for risk in warnings["open"]}
    assert all(risk["message"] and risk["mend"] for risk in warnings["open"])
    assert (["open"], None) == by_code
    high = [
        {k: v for k, v in risk.items() if k != "authMethod"} for risk in warnings["open"] if risk["severity"] == "high"
    ]
    assert high == made["warnings"]


async def test_a_setting_that_a_template_holds_is_judged_as_the_identitys(any_api: Api) -> None:
    issuer = {"oidcDiscoveryUrl": "https://issuer.test", "boundIssuer": "https://issuer.test"}
    template = {"name": "t", "authMethod": "oidc-auth", "templateFields": issuer | {"boundAudiences": "watchword"}}
    id = (await any_api.ok("POST", "/api/v1/identity-templates", template))["id"]
    bot = await any_api.identity(name="bot")
    path = f"/api/v1/auth/oidc-auth/identities/{bot['id']}"
    await any_api.ok("POST", path, {"templateId": id, "boundClaims": {}, "boundSubject": "a"})

    assert ([], None) == await report(any_api, "risky", code="any_audience")


def pasted(exp: float | None) -> str:
    """A reviewer token as Kubernetes signs it, with that end."""
    parts = [{"alg": "RS256", "kid": "k"}, {"sub": "system:serviceaccount:a:b"} | ({"exp": exp} if exp else {})]
    return ".".join(
        [*(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts), "c2ln"]
    )


async def test_the_end_of_a_sealed_reviewer_token_is_told_without_opening_it(any_api: Api) -> None:
    now = any_api.clock() // 1000
    made = {name: (await any_api.identity(name=name))["id"] for name in ("own", "template", "endless")}
    held = {
        "kubernetesHost": "https://cluster.test",
        "allowedNamespaces": "a",
        "allowedNames": "",
        "allowedAudience": "",
    }
    slug = "/api/v1/auth/kubernetes-auth/identities"
    soon = {"tokenReviewerJwt": pasted(now + 5 * DAY)}
    body = {
        "name": "t",
        "authMethod": "kubernetes-auth",
        "templateFields": {"kubernetesHost": held["kubernetesHost"], **soon},
    }
    template = (await any_api.ok("POST", "/api/v1/identity-templates", body))["id"]
    await any_api.ok("POST", f"{slug}/{made['own']}", held | soon)
    await any_api.ok(
        "POST",
        f"{slug}/{made['template']}",
        {"allowedNamespaces": "a", "allowedNames": "", "allowedAudience": "", "templateId": template},
    )
    await any_api.ok("POST", f"{slug}/{made['endless']}", held | {"tokenReviewerJwt": pasted(None)})

    async def told() -> dict[str, list[Any]]:
        found = await any_api.ok("GET", "/api/v1/organization/identity-reports/expiring", query={"days": 20})
        return {
            one["name"]: [(e["kind"], e["authMethod"], e["field"]) for e in one["endings"]]
            for one in found["identities"]
        }

    ending = [("token", "kubernetes-auth", "tokenReviewerJwt")]
    assert {"own": ending, "template": ending} == await told()
    shown = (await any_api.ok("GET", f"{slug}/{made['own']}"))["identityKubernetesAuth"]
    assert ("", True) == (shown["tokenReviewerJwt"], shown["tokenReviewerJwtIsSet"])
    await any_api.ok("PATCH", f"{slug}/{made['own']}", {"allowedNames": "b"})
    assert {"own": ending, "template": ending} == await told()  # a change of something else keeps it
    await any_api.ok("PATCH", f"{slug}/{made['own']}", {"tokenReviewerJwt": pasted(now + 300 * DAY)})
    assert {"template": ending} == await told()


async def test_what_expires_of_an_identity_of_a_project_is_told_to_who_may_read_it_there(any_api: Api) -> None:
    project_id = (await project(any_api))["id"]
    body = {"name": "of the project", "roles": [{"role": "viewer"}]}
    made = (await any_api.ok("POST", f"/api/v1/projects/{project_id}/identities", body))["identity"]
    await any_api.universal(made["id"], {"ttl": 5 * DAY})
    _, stranger = await any_api.bot("admin")

    assert (["of the project"], None) == await report(any_api, "expiring", days=20)
    path = "/api/v1/organization/identity-reports/expiring"
    assert [] == (await any_api.ok("GET", path, query={"days": 20}, token=stranger))["identities"]
