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
