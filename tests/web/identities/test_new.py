"""A new identity on one page: what is made, what is refused, and what is said of it."""

import base64
import json
from typing import Any

import pytest

from tests.api import Api
from tests.web.operators import begin, made, project, secret_of


async def test_an_identity_with_a_secret_that_can_read_a_project_is_made_on_one_page(api: Api) -> None:
    billing = await project(api)
    browser, base = await begin(api)
    page = await made(browser, base, name="billing-api", owner="Billing")
    assert page.status == 200 and "Shown this once" in page.text and "content-encoding" not in page.headers
    client_id = page.html.split("<dt>Client id</dt><dd><code>")[1].split("</code>")[0]
    login = {"clientId": client_id, "clientSecret": secret_of(page)}
    token = await api.login(login)
    assert secret_of(page) not in page.html.split('id="snippet"')[1]
    found = await api.ok("GET", "/api/v1/projects", token=token)
    assert [billing["id"]] == [one["id"] for one in found["projects"]]
    listed = await browser.get(f"{base}/identities")
    assert "billing-api" in listed.text and "Active" in listed.text and "Billing" in listed.text


async def test_a_refused_form_makes_nothing_and_keeps_what_was_typed(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="", owner="Kept owner", ends="never ever")
    assert page.status == 422 and "Nothing was made" in page.text and "Kept owner" in page.html
    assert 'id="name-wrong"' in page.html and 'id="ends-wrong"' in page.html
    page = await made(browser, base, name="deploy", where="oidc-auth.github")
    assert page.status == 422 and "Nothing was made" in page.text
    assert (await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}"))["totalCount"] == 1


async def test_without_a_script_the_fields_of_another_place_are_shown_on_demand(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="kept", where="ldap-auth", act="show")
    assert page.status == 200 and 'value="kept"' in page.html
    fields = {name for name, _ in page.form(f"{base}/identities/new").pairs}
    assert "ldap-auth.url" in fields


async def test_without_a_script_a_preset_is_shown_with_what_it_fills_in(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="kept", where="oidc-auth.github", act="show")
    pairs = page.form(f"{base}/identities/new").pairs
    assert ("oidc-auth.github.boundClaims.key", "repository_id") in pairs
    again = await browser.submit(
        page, f"{base}/identities/new", **{"oidc-auth.github.boundAudiences": "mine", "act": "show"}
    )
    assert ("oidc-auth.github.boundAudiences", "mine") in again.form(f"{base}/identities/new").pairs


async def test_a_ci_preset_pins_ids_and_never_takes_any_audience(api: Api) -> None:
    browser, base = await begin(api)
    rows = {"oidc-auth.github.boundClaims.key": ["repository_id", "repository_owner_id"]}
    rows["oidc-auth.github.boundClaims.value"] = ["1", "2"]
    page = await browser.post(
        f"{base}/identities/new",
        [
            ("name", "deploy"),
            ("where", "oidc-auth.github"),
            ("oidc-auth.github.oidcDiscoveryUrl", "https://token.actions.githubusercontent.com"),
            ("oidc-auth.github.boundIssuer", "https://token.actions.githubusercontent.com"),
            ("oidc-auth.github.boundAudiences", ""),
            *[(name, value) for name, values in rows.items() for value in values],
            *[(f"oidc-auth.github.accessToken{name}", "1h") for name in ("TTL", "MaxTTL")],
            ("oidc-auth.github.accessTokenNumUsesLimit", "0"),
            ("oidc-auth.github.accessTokenPeriod", "0"),
            ("oidc-auth.github.accessTokenTrustedIps", "10.0.0.0/8"),
        ],
    )
    assert page.status == 422 and "Not empty here" in page.text
    form = page.form(f"{base}/identities/new")
    done = await browser.post(
        f"{base}/identities/new", form.filled({"oidc-auth.github.boundAudiences": "https://us.test"})
    )
    assert done.status == 200 and "https://us.test" in done.text and "id-token: write" in done.text


async def test_what_is_refused_after_the_identity_was_made_is_said(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(
        browser, base, name="half", project="00000000-0000-4000-8000-000000000000", role="viewer", until=""
    )
    assert page.status == 207 and "Not all of it was made" in page.text and "A client secret" in page.text


async def test_a_new_identity_joins_a_project_for_a_time(api: Api) -> None:
    billing = await project(api)
    browser, base = await begin(api)
    page = await made(browser, base, name="visitor", project=billing["id"], role="viewer", until="2h")
    assert page.status == 200 and "Shown this once" in page.text


def token_of(claims: dict[str, Any]) -> str:
    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256'})}.{part(claims)}.c2lnbmF0dXJl"


GITHUB = {
    "iss": "https://token.actions.githubusercontent.com",
    "aud": "https://github.com/acme",
    "sub": "repo:acme@12/app@34:ref:refs/heads/main",
    "repository_id": "3400",
    "repository_owner_id": "1200",
    "ref": "refs/heads/main",
    "event_name": "push",
}


async def test_a_pasted_token_fills_the_fields_and_is_on_no_page_nor_in_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    browser, base = await begin(api)
    pasted = token_of(GITHUB)
    page = await made(browser, base, name="deploy", act="fill", pastedToken=pasted)
    assert page.status == 200 and "Filled from the token: GitHub Actions" in page.text
    assert "as every token is there" in page.text and "decoded, not verified" in page.text
    form = page.form(f"{base}/identities/new")
    sent = form.pairs
    assert ("where", "oidc-auth.github") in sent and ("name", "deploy") in sent and ("pastedToken", "") in sent
    assert ("oidc-auth.github.boundClaims.value", "3400") in sent
    assert ("oidc-auth.github.boundAudiences", "http://test") in sent or any(
        name == "oidc-auth.github.boundAudiences" and text.startswith("http") for name, text in sent
    )
    assert pasted not in page.html and pasted.split(".")[1] not in page.html and pasted not in caplog.text
    done = await browser.post(f"{base}/identities/new", [pair for pair in form.filled({}) if pair[0] != "act"])
    assert done.status == 200 and "id-token: write" in done.text
    events = await api.ok("GET", "/api/v1/organization/audit-logs")
    assert pasted.split(".")[1] not in json.dumps(events)


async def test_what_is_no_token_is_said_at_its_field_and_nothing_is_lost(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="kept", act="fill", pastedToken="not-a-token<script>")
    assert page.status == 422 and "This is no JSON Web Token" in page.text and 'value="kept"' in page.html
    assert "not-a-token" not in page.html
    assert (await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}"))["totalCount"] == 1


async def test_a_lost_session_keeps_what_was_typed_but_no_token(api: Api) -> None:
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities/new")
    form = page.form(f"{base}/identities/new").filled({"name": "typed", "act": "fill", "pastedToken": token_of(GITHUB)})
    browser.client.cookies.clear()
    asked = await browser.post(f"{base}/identities/new", form)
    assert asked.status == 401 and "typed" in asked.html and token_of(GITHUB) not in asked.html


async def test_a_new_secret_is_tried_at_once_and_its_token_is_gone_again(api: Api) -> None:
    billing = await project(api)
    browser, base = await begin(api)
    page = await made(browser, base, name="billing-api", project=billing["id"])
    secret = secret_of(page)
    action = next(form.action for form in page.forms if form.action.endswith("/try"))
    tried = await browser.submit(page, action)
    assert "The login was admitted" in tried.text and "Billing" in tried.text and secret not in tried.html
    assert tried.path.endswith("/authentication")
    tokens = await browser.get(tried.path.replace("/authentication", "/tokens"))
    assert "No token is alive" in tokens.text
    refused = await browser.submit(page, action, proof="wrong")
    assert "was refused" in refused.text and "wrong" not in refused.html.split("<main")[1].split("Reason")[0]


async def test_a_new_token_is_tried_at_once_and_stays(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="old-tool", where="token-auth")
    token = secret_of(page)
    action = next(form.action for form in page.forms if form.action.endswith("/try"))
    tried = await browser.submit(page, action)
    assert "The token works" in tried.text and token not in tried.html
    assert (await api.get("/api/v1/identities/details", token=token)).status_code == 200
    assert "It was refused" in (await browser.submit(page, action, proof="x.y.z")).text


async def test_the_lines_for_the_workload_hold_no_secret_and_mean_nothing_but_themselves(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="billing-api")
    lines = page.html.split('id="snippet"')[1]
    assert secret_of(page) not in lines
    for text in ("infisical run", "INFISICAL_UNIVERSAL_AUTH_CLIENT_ID=", "universal-auth/login"):
        assert text in lines
    hostile = "$(touch /tmp/x)"
    page = await made(
        browser,
        base,
        name="cloud",
        where="azure-auth",
        **{"azure-auth.tenantId": "3b1f8d0e-2f4c-4f43-9c0e-6a7d51e9b2c4", "azure-auth.resource": hostile},
    )
    assert page.status == 200 and "touch" not in page.text and "&lt;resource&gt;" in page.html
