"""The login tester: a refusal is found, mended and proved."""

import json
from typing import Any

from tests.api import Api
from tests.web.operators import begin


async def test_a_wrong_claim_is_found_mended_and_proved(api: Api) -> None:
    identity = await api.identity()
    config: dict[str, Any] = {"clientSecretTrustedIps": [{"ipAddress": "10.0.0.0/8"}]}
    login = await api.universal(identity["id"], **config)
    refused = await api.post("/api/v1/auth/universal-auth/login", login, token=None)
    assert refused.status_code in (401, 403)
    browser, base = await begin(api)
    denial = await browser.get(f"{base}/denials?req={refused.json()['reqId']}")
    assert denial.status == 200 and "was refused" in denial.text and "127.0.0.1" in denial.text
    tester = await browser.get(next(link for link in denial.links if "/test" in link))
    assert "The recorded refusal" in tester.text
    action = f"{base}/identities/{identity['id']}/authentication/universal-auth/test"
    filled = {"login.clientSecret": login["clientSecret"], "address": "192.0.2.7"}
    failed = await browser.submit(tester, action, **filled)
    assert failed.status == 200 and "Would be refused" in failed.text and login["clientSecret"] not in failed.html
    assert "192.0.2.7" in failed.text


async def test_a_proposed_change_is_applied_and_the_login_tested_again(api: Api) -> None:
    identity = await api.identity()
    path = f"/api/v1/auth/aws-auth/identities/{identity['id']}"
    await api.ok("POST", path, {"allowedPrincipalArns": "arn:aws:iam::123456789012:role/a"})
    browser, base = await begin(api)
    action = f"{base}/identities/{identity['id']}/authentication/aws-auth/test"
    page = await browser.get(action)
    arn = "arn:aws:iam::123456789012:role/b"
    page = await browser.submit(page, action, arn=arn)
    assert "Would be refused" in page.text and "Apply the proposed change" in page.text
    change = page.html.split('name="apply" value="')[1].split('"')[0].replace("&#34;", '"')
    assert json.loads(change)
    page = await browser.submit(page, action, arn=arn, apply=change)
    assert "Would be admitted" in page.text
    stored = await api.ok("GET", path)
    assert arn in stored["identityAwsAuth"]["allowedPrincipalArns"]
    bad = await browser.submit(page, action, arn=arn, apply='{"nothing": 1}')
    assert bad.status == 404
    assert (await browser.submit(page, action, arn=arn, apply="[")).status == 422


OLD, NEW = "arn:aws:iam::123456789012:role/a", "arn:aws:iam::123456789012:role/b"


async def test_settings_are_tested_before_they_are_saved(api: Api) -> None:
    identity = await api.identity()
    path = f"/api/v1/auth/aws-auth/identities/{identity['id']}"
    await api.ok("POST", path, {"allowedPrincipalArns": OLD})
    browser, base = await begin(api)
    action = f"{base}/identities/{identity['id']}/authentication/aws-auth/test"
    page = await browser.get(action)
    assert "Not saved" not in page.text
    page = await browser.submit(page, action, arn=NEW, **{"config.allowedPrincipalArns": NEW})
    assert "Would be admitted" in page.text and "Not saved" in page.text
    assert (await api.ok("GET", path))["identityAwsAuth"]["allowedPrincipalArns"] == OLD
    saved = await browser.submit(page, action, save="1")
    assert "are saved" in saved.text
    assert (await api.ok("GET", path))["identityAwsAuth"]["allowedPrincipalArns"] == NEW


async def test_a_proposed_fix_is_tried_unsaved_and_then_saved(api: Api) -> None:
    identity = await api.identity()
    path = f"/api/v1/auth/aws-auth/identities/{identity['id']}"
    await api.ok("POST", path, {"allowedPrincipalArns": OLD})
    browser, base = await begin(api)
    action = f"{base}/identities/{identity['id']}/authentication/aws-auth/test"
    page = await browser.submit(await browser.get(action), action, arn=NEW)
    change = page.html.split('name="try" value="')[1].split('"')[0].replace("&#34;", '"')
    page = await browser.submit(page, action, **{"try": change})
    assert "Would be admitted" in page.text and "not saved yet" in page.text
    assert NEW not in (await api.ok("GET", path))["identityAwsAuth"]["allowedPrincipalArns"]
    await browser.submit(page, action, save="1")
    assert NEW in (await api.ok("GET", path))["identityAwsAuth"]["allowedPrincipalArns"]


async def test_a_method_is_tested_before_it_is_added(api: Api) -> None:
    identity = await api.identity()
    browser, base = await begin(api)
    here = f"{base}/identities/{identity['id']}/authentication"
    page = await browser.get(f"{here}/add/aws-auth")
    assert f'formaction="{here}/aws-auth/test"' in page.html
    typed = page.form(f"{here}/add/aws-auth").filled({"allowedPrincipalArns": OLD, "begin": "settings"})
    page = await browser.post(f"{here}/aws-auth/test", typed)
    assert page.status == 200 and "Not saved" in page.text and OLD in page.html
    page = await browser.submit(page, f"{here}/aws-auth/test", arn=OLD)
    assert "Would be admitted" in page.text
    saved = await browser.submit(page, f"{here}/aws-auth/test", save="1")
    assert "are saved" in saved.text and "AWS Auth" in saved.text
    wrong = await browser.post(
        f"{here}/azure-auth/test", {"typed": "1", "config.tenantId": "x", "config.resource": "y", "login.jwt": "z"}
    )
    assert wrong.status == 422


async def test_unsaved_settings_use_a_stored_secret_only_where_it_goes_now(api: Api) -> None:
    """A stored bind password is tried with another filter, and is never sent to another directory."""
    identity = await api.identity()
    settings = {"url": "ldaps://127.0.0.1:9", "bindDN": "cn=r", "bindPass": "bind-word-9", "searchBase": "dc=test"}
    await api.ok("POST", f"/api/v1/auth/ldap-auth/identities/{identity['id']}", settings)
    browser, base = await begin(api)
    action = f"{base}/identities/{identity['id']}/authentication/ldap-auth/test"
    page = await browser.get(action)
    login = {"login.username": "ci", "login.password": "x"}
    tried = await browser.submit(page, action, **login, **{"config.searchFilter": "(cn={{username}})"})
    assert tried.status == 200 and "Not saved" in tried.text and "bind-word-9" not in tried.html
    moved = await browser.submit(page, action, **login, **{"config.url": "ldaps://127.0.0.2:9"})
    assert moved.status == 422 and "config-bindPass-wrong" in moved.html


async def test_the_tester_begins_with_an_example(api: Api) -> None:
    identity = await api.identity()
    await api.ok("POST", f"/api/v1/auth/aws-auth/identities/{identity['id']}", {"allowedPrincipalArns": OLD})
    browser, base = await begin(api)
    action = f"{base}/identities/{identity['id']}/authentication/aws-auth/test"
    page = await browser.get(action)
    assert "How the workload gets it" in page.text and "Fill in an example" in page.text
    page = await browser.get(f"{action}?example=1")
    assert any(name == "login.iamRequestBody" and text for name, text in page.form(action).pairs)


async def test_the_tester_of_a_well_known_place_shows_its_lines(api: Api) -> None:
    identity = await api.identity()
    issuer = "https://token.actions.githubusercontent.com"
    settings = {"oidcDiscoveryUrl": issuer, "boundIssuer": issuer, "boundClaims": {"repository_id": "1"}}
    await api.ok("POST", f"/api/v1/auth/oidc-auth/identities/{identity['id']}", settings)
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities/{identity['id']}/authentication/oidc-auth/test")
    assert "id-token: write" in page.text and identity["id"] in page.text
