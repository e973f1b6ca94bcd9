"""The pages of an organization's alert channels: add, change, test, disable, what was given up, delete."""

from tests.api import Api
from tests.receiving import receiving
from tests.web.browser import Browser, Seen, signed_in
from tests.web.people_of import narrow
from tests.web.projects import making
from tests.web.test_home import home_of

URL = "https://hooks.example.com/in?token=hidden-part"
KEY = "the-key-that-signs"


async def begun(api: Api) -> tuple[Browser, str]:
    return await signed_in(api), f"{await home_of(api)}/settings/alerts"


async def added(browser: Browser, to: str, **values: object) -> Seen:
    page = await browser.get(to)
    return await browser.submit(page, to, **{"name": "on-call <b>", "url": URL, "key": KEY, **values})


async def test_a_channel_is_added_tested_and_its_secrets_are_never_shown(api: Api) -> None:
    receiver, (browser, to) = receiving(api), await begun(api)
    page = await added(browser, to, alert=["identity.unused"], unused="30d")
    assert "test it now" in page.text
    done = await browser.post(page.path, {"act": "test"})
    assert "was taken" in done.text and receiver.got[0].url == URL
    every = await browser.get(to)
    assert "on-call <b>" in every.text and "<b>on-call <b>" not in every.html and "identity.unused" in every.text
    for seen in (page, done, every):
        assert "hidden-part" not in seen.html and KEY not in seen.html
    channel = (await api.ok("GET", "/api/v1/organization/alert-channels"))["channels"][0]
    assert channel["alerts"] == ["identity.unused"] and channel["unusedDays"] == 30


async def test_a_channel_that_is_told_of_everything_names_no_alert(api: Api) -> None:
    browser, to = await begun(api)
    page = await added(browser, to)
    assert (await api.ok("GET", "/api/v1/organization/alert-channels"))["channels"][0]["alerts"] == []
    form = next(form for form in page.forms if ("act", "save") in form.pairs)
    some = [value for name, value in form.pairs if name == "alert"][:2]
    changed = await browser.post(page.path, form.filled({"alert": some, "name": "renamed", "expiring": "7d"}))
    assert "renamed is changed" in changed.text
    channel = (await api.ok("GET", "/api/v1/organization/alert-channels"))["channels"][0]
    assert channel["alerts"] == some and channel["expiringDays"] == 7


async def test_a_wrong_channel_is_refused_at_its_field(api: Api) -> None:
    browser, to = await begun(api)
    for values, text in (
        ({"url": "http://plain.example.com"}, "https"),
        ({"url": ""}, "The URL that is told"),
        ({"alert": []}, "Choose at least one"),
        ({"unused": "5h"}, "Whole days"),
        ({"unused": "soon"}, "A duration"),
        ({"refusals": "many"}, "A whole number"),
        ({"refusals": "0"}, ""),
        ({"name": ""}, ""),
    ):
        page = await added(browser, to, **values)
        assert page.status in (400, 422) and text in page.text and KEY not in page.html, values
    assert "Nobody is told yet" in (await browser.get(to)).text


async def test_a_channel_is_disabled_and_deleted_with_its_name_typed(api: Api) -> None:
    browser, to = await begun(api)
    page = await added(browser, to)
    assert "Nothing is sent from now on" in (await browser.post(page.path, {"act": "disable"})).text
    refused = await browser.post(page.path, {"act": "retry", "which": "all"})
    assert refused.status == 400 and "enable it first" in refused.text
    await browser.post(page.path, {"act": "enable"})
    ask = await browser.get(f"{page.path}/delete")
    assert (await browser.submit(ask, f"{page.path}/delete", name="x")).status == 422
    asked = await browser.submit(ask, f"{page.path}/delete", name="on-call <b>")
    assert "is deleted" in (await making.proved(browser, asked)).text
    assert (await browser.get(page.path)).status == 404


async def test_a_member_without_rights_sees_no_channel_and_makes_none(api: Api) -> None:
    browser, to = await begun(api)
    page = await added(browser, to)
    bob = await narrow(api, role="no-access")
    seen = await bob.get(to)
    assert "need read on incident-contact" in seen.text and "hooks.example.com" not in seen.html
    assert (await bob.get(page.path)).status == 403
    assert (await bob.post(to, {"name": "x", "url": URL, "alert": "identity.unused"})).status == 403
    for act in ("test", "disable", "save", "retry"):
        assert (await bob.post(page.path, {"act": act, "which": "all"})).status == 403
    assert (await bob.post(f"{page.path}/delete", {"name": "on-call <b>"})).status == 403


async def test_the_acts_are_said_as_text_with_variables_for_what_is_secret(api: Api) -> None:
    browser, to = await begun(api)
    form = {"name": "x", "url": URL, "key": KEY, "alert": "identity.unused", "unused": "30d", "as_text": "1"}
    text = await browser.post(to, form)
    assert text.status == 200 and "alert-channels" in text.text and "identity.unused" in text.text
    assert "hidden-part" not in text.html and KEY not in text.html
    page = await added(browser, to)
    assert "isDisabled" in (await browser.post(page.path, {"act": "disable", "as_text": "1"})).text
    assert "DELETE" in (await browser.post(f"{page.path}/delete", {"as_text": "1"})).text
    assert len((await api.ok("GET", "/api/v1/organization/alert-channels"))["channels"]) == 1
