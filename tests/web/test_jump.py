"""Search and jump: by name, by id, by request id, and only to what the person may know."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.filling import fill
from tests.web.people_of import narrow


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
