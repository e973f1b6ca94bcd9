"""The person's own account."""

import re

from tests.api import EMAIL, PASSWORD, Api
from tests.web.browser import Browser, signed_in


async def test_the_name_and_the_password_are_changed(api: Api) -> None:
    browser, other = await signed_in(api), await signed_in(api)
    page = await browser.submit(await browser.get("/me"), "/me/name", firstName="Ada <b>", lastName="Byron")
    assert "Your name is changed" in page.text and "Ada &lt;b&gt;" in page.html
    wrong = await browser.submit(page, "/me/password", oldPassword="no", newPassword="another long sentence")
    assert wrong.status in (400, 401, 422) and "no" not in [value for _, value in wrong.form("/me/password").pairs]
    weak = await browser.submit(page, "/me/password", oldPassword=PASSWORD, newPassword="password")
    assert weak.status == 422
    done = await browser.submit(page, "/me/password", oldPassword=PASSWORD, newPassword="another long sentence")
    assert "new password is set" in done.text
    assert (await other.get("/me")).path == "/login"
    again = Browser(api)
    assert (await again.sign_in(EMAIL, "another long sentence")).path != "/login"


async def test_sessions_are_listed_and_ended(api: Api) -> None:
    browser, other = await signed_in(api), await signed_in(api)
    page = await browser.get("/me")
    form = next(form for form in page.forms if form.action == "/me/sessions" and form.pairs)
    assert "has ended" in (await browser.post("/me/sessions", form.pairs)).text
    states = [(await who.get("/me")).path for who in (browser, other)]
    assert states.count("/me") >= 1


async def test_a_second_factor_is_set_up_with_its_secret_shown_once(api: Api) -> None:
    browser = await signed_in(api)
    page = await browser.get("/me")
    wrong = await browser.submit(page, "/me/second-factor", act="begin", password="no")
    assert wrong.status == 401 and "otpauth" not in wrong.html
    begun = await browser.submit(page, "/me/second-factor", act="begin", password=PASSWORD)
    assert re.search(r"otpauth://totp/", begun.html) and "content-encoding" not in begun.headers
    assert "otpauth" not in (await browser.get("/me")).html
    bad = await browser.submit(begun, "/me/second-factor", totp="000000")
    assert bad.status in (400, 401, 422)


async def test_nobody_without_a_session_sees_an_account(api: Api) -> None:
    assert (await Browser(api).get("/me")).path == "/login"
