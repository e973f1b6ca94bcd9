"""The pages of a project's webhooks: add, change, test, disable, what was given up, delete."""

from typing import Any

from tests.api import Api
from tests.receiving import Receiver, delivered, receiving, settled
from tests.web.browser import Browser, Seen, signed_in
from tests.web.projects import making

URL = "https://hooks.example.com/in?token=hidden-part"
KEY = "the-key-that-signs"


async def begun(api: Api) -> tuple[dict[str, Any], Browser, str]:
    made = await making.project(api)
    return made, await signed_in(api), making.page_of(made, "webhooks")


async def added(browser: Browser, to: str, **values: str) -> Seen:
    page = await browser.get(to)
    return await browser.submit(page, to, **{"url": URL, "key": KEY, "environment": "dev", **values})


async def given_up(api: Api, made: dict[str, Any], receiver: Receiver, count: int = 1) -> None:
    receiver.fails = lambda url: 410
    for number in range(count):
        await making.secret(api, made, f"CHANGED_{number}", "value")
        await delivered(api, lambda number=number: receiver.tried > number)  # type: ignore[misc]
        await settled(api)


async def test_a_webhook_is_added_tested_and_its_secrets_are_never_shown(api: Api) -> None:
    receiver, (made, browser, to) = receiving(api), await begun(api)
    page = await added(browser, to)
    assert "test it now" in page.text and "https://hooks.example.com/in" in page.text
    done = await browser.post(page.path, {"act": "test"})
    assert "was taken" in done.text and receiver.got[0].url == URL
    receiver.fails = lambda url: 500
    failed = await browser.post(page.path, {"act": "test"})
    assert "was not taken" in failed.text and "500" in failed.text
    every = await browser.get(to)
    assert "fails" in every.text and "signed" in every.text
    for seen in (page, done, failed, every):
        assert "hidden-part" not in seen.html and KEY not in seen.html
    assert made["id"]


async def test_settings_are_changed_and_what_is_left_empty_stays(api: Api) -> None:
    receiver, (_, browser, to) = receiving(api), await begun(api)
    page = await added(browser, to)
    form = {"act": "save", "environment": "", "path": "/app/**", "url": "", "key": ""}
    changed = await browser.post(page.path, form)
    assert "is changed" in changed.text and "all environments" in changed.text and "/app/**" in changed.text
    await browser.post(page.path, {"act": "test"})
    assert receiver.got[0].url == URL and "x-infisical-signature" in receiver.got[0].headers
    await browser.post(page.path, {**form, "unsigned": "true", "url": "https://other.example.com/x"})
    await browser.post(page.path, {"act": "test"})
    assert receiver.got[1].url == "https://other.example.com/x"
    assert "x-infisical-signature" not in receiver.got[1].headers


async def test_a_wrong_webhook_is_refused_at_its_field(api: Api) -> None:
    _, browser, to = await begun(api)
    for values, text in (
        ({"url": "http://plain.example.com"}, "https"),
        ({"url": "javascript:alert(1)"}, "https"),
        ({"path": "/a/[z"}, "glob"),
        ({"environment": "nowhere"}, "nowhere"),
    ):
        page = await added(browser, to, **values)
        assert page.status in (400, 404, 422) and text in page.text, values
        assert KEY not in page.html
    assert "No webhook yet" in (await browser.get(to)).text


async def test_messages_that_were_given_up_are_listed_and_sent_again(api: Api) -> None:
    receiver, (made, browser, to) = receiving(api), await begun(api)
    page = await added(browser, to)
    await given_up(api, made, receiver, 2)
    seen = await browser.get(page.path)
    assert "2 messages given up" in seen.text and "dev:/" in seen.text and "410" in seen.text
    nothing = await browser.post(page.path, {"act": "retry", "which": "chosen"})
    assert nothing.status == 400 and "Choose at least one message" in nothing.text
    receiver.fails = lambda url: None
    first = seen.html.split('name="delivery" value="')[1].split('"')[0]
    one = await browser.post(page.path, {"act": "retry", "which": "chosen", "delivery": first})
    assert "1 message will be sent again" in one.text
    await delivered(api, lambda: len(receiver.got) == 1)
    rest = await browser.post(page.path, {"act": "retry", "which": "all"})
    assert "1 message will be sent again" in rest.text
    await delivered(api, lambda: len(receiver.got) == 2)
    await settled(api)
    assert "given up" not in (await browser.get(page.path)).text.replace("a message is given up after", "")


async def test_a_webhook_is_disabled_enabled_and_deleted_with_its_host_typed(api: Api) -> None:
    _, browser, to = await begun(api)
    page = await added(browser, to)
    assert "Nothing is sent from now on" in (await browser.post(page.path, {"act": "disable"})).text
    assert "disabled" in (await browser.get(to)).text
    assert "told again" in (await browser.post(page.path, {"act": "enable"})).text
    ask = await browser.get(f"{page.path}/delete")
    wrong = await browser.submit(ask, f"{page.path}/delete", name="x")
    assert wrong.status == 422
    asked = await browser.submit(ask, f"{page.path}/delete", name="hooks.example.com")
    assert "is deleted" in (await making.proved(browser, asked)).text
    assert (await browser.get(page.path)).status == 404


async def test_who_may_only_look_changes_nothing_and_another_project_is_not_reached(api: Api) -> None:
    _, browser, to = await begun(api)
    page = await added(browser, to)
    other = await making.project(api, "Other")
    assert (await browser.get(making.page_of(other, "webhooks", page.path.rpartition("/")[2]))).status == 404
    made = {"base": to.partition("/p/")[0], "slug": to.split("/")[3], "id": await project_id(api, "Billing")}
    narrow = await making.member(api, made, [{"subject": "webhooks", "action": ["read"]}])
    seen = await narrow.get(page.path)
    assert seen.status == 200 and "Send a test" not in seen.text and "need edit on webhooks" in seen.text
    assert "need create on webhooks" in (await narrow.get(to)).text
    for act in ("test", "disable", "save", "retry"):
        reply = await narrow.post(page.path, {"act": act, "which": "all", "path": "/", "environment": ""})
        assert reply.status == 403, act
    assert (await narrow.post(f"{page.path}/delete", {"name": "hooks.example.com"})).status == 403
    assert (await narrow.post(to, {"url": URL, "path": "/"})).status == 403


async def project_id(api: Api, name: str) -> str:
    found = (await api.ok("GET", "/api/v1/projects"))["projects"]
    return next(str(item["id"]) for item in found if item["name"] == name)


async def test_who_may_not_see_webhooks_is_told_what_is_missing(api: Api) -> None:
    made, browser, to = await begun(api)
    page = await added(browser, to)
    narrow = await making.member(api, made, [{"subject": "secrets", "action": ["describeSecret"]}])
    seen = await narrow.get(to)
    assert "need read on webhooks" in seen.text and "hooks.example.com" not in seen.html
    assert (await narrow.get(page.path)).status == 403


async def test_the_acts_are_said_as_text_with_variables_for_what_is_secret(api: Api) -> None:
    made, browser, to = await begun(api)
    form = {"url": URL, "key": KEY, "environment": "dev", "path": "/app/**", "kind": "general", "as_text": "1"}
    text = await browser.post(to, form)
    assert text.status == 200 and "/api/v1/webhooks" in text.text and made["id"] in text.text
    assert "hidden-part" not in text.html and KEY not in text.html and "SIGNING_KEY" in text.text
    assert "No webhook yet" in (await browser.get(to)).text
    page = await added(browser, to)
    for fields, words in (
        ({"act": "test"}, "/test"),
        ({"act": "disable"}, "isDisabled"),
        ({"act": "retry", "which": "all"}, "deliveries/retry"),
        ({"act": "save", "environment": "", "path": "/x", "unsigned": "true"}, "webhookSecretKey"),
    ):
        said = await browser.post(page.path, {**fields, "as_text": "1"})
        assert said.status == 200 and words in said.text, fields
    assert "DELETE" in (await browser.post(f"{page.path}/delete", {"as_text": "1"})).text
    assert (await browser.get(page.path)).status == 200
    place = {"path": "/", "environment": "dev", "source": "prod", "source_path": "/x", "as_text": "1"}
    assert "/api/v2/secret-imports" in (await browser.post(making.page_of(made, "imports"), place)).text
