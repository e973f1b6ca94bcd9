"""Search and jump: by name, by id, by request id, and only to what the person may know."""

from tests.api import Api
from tests.web.browser import Browser, signed_in
from tests.web.filling import fill
from tests.web.people_of import PASSWORD, narrow


async def test_names_ids_keys_and_pages_are_found(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    assert f"{base}/identities/{known['identity_id']}" in (await browser.get(f"{base}/jump?q=checkout")).links
    assert (
        f"{base}/identities/{known['identity_id']}"
        in (await browser.get(f"{base}/jump?q={known['identity_id']}")).links
    )
    assert f"{base}/p/{known['project']}" in (await browser.get(f"{base}/jump?q=billing")).links
    keys = await browser.get(f"{base}/jump?q=KEY_0")
    assert "KEY_0" in keys.text
    who = next(link for link in keys.links if link.startswith(f"{base}/access?"))
    assert "checkout-deploy" in (await browser.get(who)).text
    assert f"{base}/audit/{known['event_id']}" in (await browser.get(f"{base}/jump?q={known['event_id']}")).links
    assert f"{base}/reports/risky" in (await browser.get(f"{base}/jump?q=risky")).links
    assert "Nothing is called" in (await browser.get(f"{base}/jump?q=%3Cscript%3E9")).text


async def test_a_request_id_leads_on_at_once(api: Api) -> None:
    known = await fill(api)
    page = await (await signed_in(api)).get(f"/{known['organization']}/jump?q={known['request_id']}", follow=False)
    assert page.headers["location"] == f"/{known['organization']}/denials/{known['request_id']}"


async def test_nothing_is_found_that_the_person_may_not_know(api: Api) -> None:
    known = await fill(api)
    browser = await narrow(api, role="no-access")
    for text in ("checkout", "billing", "KEY_0", known["identity_id"], known["event_id"], known["request_id"]):
        page = await browser.get(f"/{known['organization']}/jump?q={text}")
        assert page.status == 200 and "Nothing is called" in page.text, text


async def test_the_ids_of_what_belongs_to_an_identity_lead_to_it(api: Api) -> None:
    identity = await api.identity(name="one")
    login = await api.universal(identity["id"])
    await api.login(login)
    browser = await signed_in(api)
    base = (await browser.get("/")).path
    here = f"{base}/identities/{identity['id']}"
    token = (await api.ok("GET", f"/api/v1/identities/{identity['id']}/live-tokens"))["tokens"][0]["id"]
    path = f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets"
    secret = (await api.ok("GET", path))["clientSecretData"][0]["id"]
    for text, part in ((login["clientId"], "authentication"), (secret, "authentication"), (token, "tokens")):
        assert f"{here}/{part}" in (await browser.get(f"{base}/jump?q={text}")).links, text
    bob = await narrow(api, role="no-access")
    nothing = (await bob.get(f"{base}/jump?q=01900000-0000-7000-8000-000000000000")).text
    for text in (login["clientId"], secret, token):
        assert (await bob.get(f"{base}/jump?q={text}")).text == nothing.replace(
            "01900000-0000-7000-8000-000000000000", text
        )


async def test_nothing_of_another_organization_is_found_by_any_id(api: Api) -> None:
    known = await fill(api)
    identity = await api.identity(name="elsewhere-bot")
    login = await api.universal(identity["id"])
    await api.login(login)
    token = (await api.ok("GET", f"/api/v1/identities/{identity['id']}/live-tokens"))["tokens"][0]["id"]
    _, other = await api.organization("Elsewhere")
    browser = await signed_in(api)
    found = await api.ok("GET", "/api/v1/organization", token=other)
    slug = found["organizations"][0]["slug"] if len(found["organizations"]) == 1 else found["organizations"][-1]["slug"]
    for text in (login["clientId"], token, identity["id"], known["request_id"], "KEY_0", "elsewhere-bot", "127.0.0.1"):
        page = await browser.get(f"/{slug}/jump?q={text}")
        assert page.status == 200 and f"/{slug}/identities/" not in page.html and "Nothing is called" in page.text, text


async def test_an_address_leads_to_logins_and_refusals_from_it(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    bob = await narrow(api, role="no-access")
    await bob.get("/")
    await api.runtime.journal.close()  # it writes moments of last use once a second, and at its end
    page = await browser.get(f"{base}/jump?q=127.0.0.1")
    assert f"{base}/identities/{known['identity_id']}/activity" in page.links
    assert f"{base}/denials/{known['request_id']}" in page.links
    assert "Nothing is called" in (await browser.get(f"{base}/jump?q=192.0.2.9")).text
    assert "Nothing is called" in (await bob.get(f"{base}/jump?q=127.0.0.1")).text


async def test_keys_are_found_in_every_project_where_the_person_may_know_of_them(api: Api) -> None:
    browser = await signed_in(api)
    base = (await browser.get("/")).path
    for number in range(7):
        made = await api.ok("POST", "/api/v1/projects", {"projectName": f"Project {number}"})
        place = {"projectId": made["project"]["id"], "environment": "prod", "secretPath": "/"}
        await api.ok("POST", "/api/v4/secrets/DATABASE_URL", {**place, "secretValue": "x"})
    page = await browser.get(f"{base}/jump?q=database_url")
    assert all(f"Project {number}" in page.text for number in range(7))
    wild = await browser.get(f"{base}/jump?q=D%25_URL")
    assert "Who can read it" not in wild.text
    slug = made["project"]["slug"]
    await narrow(api, role="member")
    people = f"{base}/p/{slug}/access/people"
    await browser.submit(await browser.get(people), people, pick="bob@example.com", role="no-access")
    bob = Browser(api)
    await bob.sign_in("bob@example.com", PASSWORD)
    assert "Nothing is called" in (await bob.get(f"{base}/jump?q=DATABASE_URL")).text
