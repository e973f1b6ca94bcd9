"""The authentication tab: client secrets, named tokens, removing a method."""

from tests.api import PASSWORD, Api
from tests.web.operators import begin, made, secret_of


async def test_a_client_secret_is_rotated_without_a_gap(api: Api) -> None:
    identity = await api.identity()
    login = await api.universal(identity["id"], {"description": "runner"})
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/authentication"
    page = await browser.get(path)
    old = page.html.split('name="rotate" value="')[1].split('"')[0]
    page = await browser.post(f"{path}/universal-auth/secrets", {"rotate": old, "overlap": "24h"})
    new = page.html.split('<code id="made">')[1].split("</code>")[0]
    assert "content-encoding" not in page.headers
    assert await api.login(login) and await api.login({**login, "clientSecret": new})
    api.clock.forward(24 * 3600 + 2)
    reply = await api.post("/api/v1/auth/universal-auth/login", login, token=None)
    assert reply.status_code == 401
    assert await api.login({**login, "clientSecret": new})
    await browser.sign_in()
    page = await browser.get(path)
    assert "Expired" in page.text and "Active" in page.text
    refused = await browser.post(f"{path}/universal-auth/secrets", {"rotate": old})
    assert refused.status == 400 and "Only an active client secret" in refused.text


async def test_a_client_secret_is_made_with_limits_and_revoked(api: Api) -> None:
    identity = await api.identity()
    await api.universal(identity["id"])
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/authentication"
    wrong = await browser.post(f"{path}/universal-auth/secrets", {"ttl": "soon", "description": "kept"})
    assert wrong.status == 422 and "A duration such as 30d" in wrong.text and 'value="kept"' in wrong.html
    page = await browser.post(f"{path}/universal-auth/secrets", {"ttl": "90d", "numUsesLimit": "2", "description": "x"})
    assert (
        "Shown this once" in page.text
        and "2 of 2" in page.text
        and "90 d" not in page.text.split("Client secret made")[0]
    )
    revoke = next(form.action for form in page.forms if form.action.endswith("/revoke"))
    page = await browser.post(revoke)
    assert "Revoked" in page.text and "is revoked, with the tokens" in page.text


async def test_a_named_token_is_made_shown_once_and_revoked(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="old-tool", where="token-auth")
    assert "Its token" in page.text
    token = secret_of(page)
    assert (await api.get("/api/v1/identities/details", token=token)).status_code == 200
    path = next(link for link in page.links if link.endswith("/authentication"))
    page = await browser.get(path)
    assert token not in page.html
    page = await browser.post(next(form.action for form in page.forms if form.action.endswith("/revoke")))
    assert (await api.get("/api/v1/identities/details", token=token)).status_code == 401
    page = await browser.post(f"{path}/token-auth/named-tokens", {"name": "second"})
    assert "Shown this once" in page.text and "second" in page.text


async def test_a_method_is_removed_by_the_name_and_the_password(api: Api) -> None:
    identity = await api.identity(name="old")
    login = await api.universal(identity["id"])
    browser, base = await begin(api)
    path = f"{base}/identities/{identity['id']}/authentication/universal-auth/remove"
    page = await browser.get(path)
    assert "only way of this identity" in page.text and "1 active client secret" in page.text
    assert (await browser.post(path, {"confirm": "x"})).status == 400
    asked = await browser.post(path, {"confirm": "old"})
    done = await browser.submit(await browser.submit(asked, "/prove", password=PASSWORD), path)
    assert "Universal Auth is removed" in done.text
    assert (await api.post("/api/v1/auth/universal-auth/login", login, token=None)).status_code == 401
