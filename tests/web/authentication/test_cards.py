"""The cards of an identity's ways to log in: dangers with what ends them, and secrets that ended with the reason."""

from tests.api import Api
from tests.web.operators import begin


async def test_a_danger_says_why_and_is_mended_with_one_click(api: Api) -> None:
    identity = await api.identity()
    path = f"/api/v1/auth/ldap-auth/identities/{identity['id']}"
    settings = {"url": "ldaps://ldap.test", "bindDN": "cn=r", "bindPass": "x1", "searchBase": "dc=test"}
    await api.ok("POST", path, {**settings, "lockoutEnabled": False, "accessTokenPeriod": 3600})
    browser, base = await begin(api)
    here = f"{base}/identities/{identity['id']}/authentication"
    page = await browser.get(here)
    for text in (
        "Passwords can be guessed without end",
        "Lock out after failed logins: on",
        "At most, with renewals: 1d",
    ):
        assert text in page.text, text
    page = await browser.post(f"{here}/ldap-auth/mend", {"code": "lockout_off", "field": "lockoutEnabled"})
    assert "Mended" in page.text and "can be guessed" not in page.text
    page = await browser.post(f"{here}/ldap-auth/mend", {"code": "long_life", "field": "accessTokenPeriod"})
    stored = (await api.ok("GET", path))["identityLdapAuth"]
    assert (stored["accessTokenMaxTTL"], stored["accessTokenPeriod"], stored["lockoutEnabled"]) == (86_400, 0, True)
    again = await browser.post(f"{here}/ldap-auth/mend", {"code": "long_life", "field": "accessTokenPeriod"})
    assert "nothing to mend" in again.text
    assert f'href="{here}/ldap-auth#' in again.html  # what nobody but its owner can choose leads to its field


async def test_a_secret_that_ended_says_why_for_thirty_days(api: Api) -> None:
    identity = await api.identity()
    await api.universal(identity["id"], {"description": "kept"})
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"
    once = await api.ok("POST", path, {"description": "once", "numUsesLimit": 1})
    await api.ok("POST", path, {"description": "short", "ttl": 60})
    gone = await api.ok("POST", path, {"description": "gone"})
    await api.ok("POST", f"{path}/{gone['clientSecretData']['id']}/revoke")
    settings = await api.ok("GET", f"/api/v1/auth/universal-auth/identities/{identity['id']}")
    login = {"clientId": settings["identityUniversalAuth"]["clientId"], "clientSecret": once["clientSecret"]}
    await api.login(login)
    api.clock.forward(120)
    browser, base = await begin(api)
    here = f"{base}/identities/{identity['id']}/authentication"
    page = await browser.get(here)
    for text in ("It was good for 1 login", "Its time was over", "Somebody revoked it"):
        assert text in page.text, text
    api.clock.forward(31 * 86_400)
    await browser.sign_in()
    page = await browser.get(here)
    assert "kept" in page.text and not any(name in page.text for name in ("Somebody revoked", "Its time was over"))
