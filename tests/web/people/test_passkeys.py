"""Passkeys on the pages: adding one, both ways to use it, and what is refused. The authenticator is one in memory."""

import html
import json
import re
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from tests.api import EMAIL, PASSWORD, Api, running, sqlite_settings
from tests.software_key import PRESENT, SoftwareKey, text
from tests.web.browser import HEADERS, Browser, Seen
from watchword.domain.people.webauthn import MOST_KEYS
from watchword.store import schema

LOCAL = {**HEADERS, "host": "localhost"}


def asked(page: Seen, kind: str = "get") -> str:
    """What the form of a page asks of the browser."""
    found = re.search(rf'data-passkey="{kind}" data-options="([^"]*)"', page.html)
    assert found, page.text
    return html.unescape(found[1])


def local(api: Api) -> Browser:
    """A browser at a loopback name, where passkeys work without TLS."""
    return Browser(api, headers=LOCAL)


async def proved(api: Api) -> Browser:
    browser = local(api)
    await browser.sign_in()
    await browser.post("/prove", {"password": PASSWORD})
    return browser


async def add(browser: Browser, key: SoftwareKey, name: str = "Stick", **lies: Any) -> Seen:
    """Add a passkey, which takes a password that was entered a moment ago."""
    page = await browser.post("/me/passkeys")
    answer = key.make(asked(page, "create"), **lies)
    return await browser.submit(page, "/me/passkeys", name=name, credential=answer)


async def enter(browser: Browser, key: SoftwareKey, **lies: Any) -> Seen:
    """Sign in with a passkey alone."""
    page = await browser.get("/login")
    return await browser.submit(page, "/login/passkey", credential=key.use(asked(page), **lies))


async def managed(browser: Browser) -> str:
    """The address at which the account shows what can be done with its passkey."""
    return next(link for link in (await browser.get("/me")).links if link.startswith("/me?passkey="))


async def owing(api: Api) -> tuple[Browser, Seen]:
    """A browser whose person has given the password and owes the second factor."""
    browser = local(api)
    page = await browser.sign_in()
    assert page.path == "/login/second-factor"
    return browser, page


async def test_a_passkey_is_added_after_the_password_and_brings_recovery_codes(any_api: Api) -> None:
    browser, other = local(any_api), local(any_api)
    await browser.sign_in()
    await other.sign_in()
    wanted = await browser.post("/me/passkeys")
    assert wanted.status == 403 and "Is it you?" in wanted.text
    await browser.post("/prove", {"password": PASSWORD})

    page = await add(browser, SoftwareKey(), name="<b>Stick</b>")

    assert "Recovery codes" in page.text and "&lt;b&gt;Stick" in page.html and "content-encoding" not in page.headers
    own = await browser.get("/me")
    assert "10 recovery codes left" in own.text and "<b>Stick</b>" in own.text
    assert (await other.get("/me")).path == "/login"


async def test_a_passkey_alone_signs_a_person_in_and_counts_as_both_factors(any_api: Api) -> None:
    key = SoftwareKey()
    await add(await proved(any_api), key)
    browser = local(any_api)

    page = await enter(browser, key)

    assert page.status == 200 and page.path not in ("/login", "/login/second-factor")
    settings = await browser.get(f"{page.path}/settings")
    saved = await browser.submit(settings, f"{page.path}/settings", mfa="true")
    assert "settings are changed" in saved.text
    assert (await browser.get(page.path)).status == 200


async def test_a_passkey_is_a_second_factor_beside_the_password(any_api: Api) -> None:
    key = SoftwareKey()
    await add(await proved(any_api), key)
    browser, page = await owing(any_api)
    before = dict(browser.client.cookies)

    done = await browser.submit_passkey(page, "/login/second-factor", key.use(asked(page), flags=PRESENT))

    assert done.status == 200 and (await browser.get("/me")).path == "/me"
    planted = local(any_api)  # whoever knows the session from before the second factor has nothing
    planted.client.cookies.update(before)
    assert (await planted.get("/me")).path == "/login"


async def test_a_passkey_stands_for_the_password_where_that_is_asked_for_again(any_api: Api) -> None:
    key = SoftwareKey(step=0)
    await add(await proved(any_api), key)
    browser, other = local(any_api), local(any_api)
    await enter(browser, key)
    await enter(other, key)
    page = await browser.post("/me/passkeys")
    elsewhere = await other.submit_passkey(page, "/prove", key.use(asked(page)))
    unverified = await browser.submit_passkey(page, "/prove", key.use(asked(page), flags=PRESENT))
    login = await local(any_api).get("/login")
    foreign = await browser.submit_passkey(page, "/prove", key.use(asked(login)))
    assert [401, 401, 401] == [elsewhere.status, unverified.status, foreign.status]
    assert "Is it you?" in (await browser.post("/me/passkeys")).text

    again = await browser.submit_passkey(page, "/prove", key.use(asked(page)))

    assert "Go on with" in again.text
    assert "Make it" in (await browser.submit(again, "/me/passkeys")).text


async def test_without_the_second_factor_a_session_reaches_nothing(api: Api) -> None:
    await add(await proved(api), SoftwareKey())
    browser, _ = await owing(api)
    assert (await browser.get("/me")).path == "/login/second-factor"
    assert (await browser.post("/me/passkeys")).path == "/login/second-factor"


@pytest.mark.parametrize(
    "lies",
    [
        {"origin": "http://evil.test"},
        {"origin": "https://localhost"},
        {"origin": "http://localhost:8080"},
        {"crossOrigin": True},
        {"topOrigin": "http://evil.test"},
        {"type": "webauthn.create"},
        {"challenge": text(b"\x00" * 56)},
        {"flags": PRESENT},
        {"flags": 0},
    ],
)
async def test_an_answer_for_something_else_signs_nobody_in(api: Api, lies: dict[str, Any]) -> None:
    key = SoftwareKey()
    await add(await proved(api), key)
    browser = local(api)
    page = await enter(browser, key, **lies)
    assert page.status in (401, 422) and (await browser.get("/me")).path == "/login"


async def test_an_answer_for_another_relying_party_signs_nobody_in(api: Api) -> None:
    key = SoftwareKey()
    await add(await proved(api), key)
    key.rp_id = "evil.test"
    assert (await enter(local(api), key)).status == 401


async def test_an_answer_works_once_and_in_the_browser_that_was_asked(any_api: Api) -> None:
    key = SoftwareKey(step=0)
    await add(await proved(any_api), key)
    browser, other = local(any_api), local(any_api)
    page, _ = await browser.get("/login"), await other.get("/login")
    form = page.form("/login/passkey").filled({"credential": key.use(asked(page))})
    cookies = dict(browser.client.cookies)

    elsewhere = await other.post("/login/passkey", form)
    first = await browser.post("/login/passkey", form, follow=False)
    for name, value in cookies.items():
        browser.client.cookies.set(name, value, domain="watchword.test")
    again = await browser.post("/login/passkey", form)

    assert [401, 303, 401] == [elsewhere.status, first.status, again.status]


async def test_a_challenge_holds_ten_minutes(api: Api) -> None:
    key = SoftwareKey()
    await add(await proved(api), key)
    browser = local(api)
    page = await browser.get("/login")
    api.clock.forward(601)
    late = await browser.submit(page, "/login/passkey", credential=key.use(asked(page)))
    assert late.status == 401 and "too long" in late.text
    again = await browser.submit(late, "/login/passkey", credential=key.use(asked(late)))
    assert again.status == 200


async def test_a_challenge_of_one_purpose_or_session_is_none_of_another(api: Api) -> None:
    key = SoftwareKey()
    await add(await proved(api), key)
    browser, page = await owing(api)
    other, elsewhere = await owing(api)
    foreign = await other.submit_passkey(elsewhere, "/login/second-factor", key.use(asked(page)))
    login = await local(api).get("/login")
    alone = await browser.submit_passkey(page, "/login/second-factor", key.use(asked(login)))
    assert [401, 401] == [foreign.status, alone.status]


async def test_a_passkey_whose_counter_goes_back_is_refused_and_recorded(any_api: Api) -> None:
    key = SoftwareKey(count=5)
    await add(await proved(any_api), key)
    assert (await enter(local(any_api), key)).status == 200
    key.count = 3

    copied = await enter(local(any_api), key)

    assert copied.status == 401
    async with any_api.runtime.store.read() as tx:
        reasons = [row[0] for row in await tx.all(select(schema.denials.c.reason))]
    assert "passkey_copied" in reasons


async def test_a_passkey_of_somebody_else_proves_nothing(api: Api) -> None:
    mine, unknown = SoftwareKey(), SoftwareKey(credential_id=b"\x09" * 16)
    await add(await proved(api), mine)
    unknown.user_handle = mine.user_handle
    browser, page = await owing(api)
    refused = await browser.submit_passkey(page, "/login/second-factor", unknown.use(asked(page)))
    assert refused.status == 401 and "not accepted" in refused.text
    assert (await enter(local(api), unknown)).status == 401
    forged = SoftwareKey(user_handle=mine.user_handle)  # the same credential id, and another key
    assert (await enter(local(api), forged)).status == 401
    mine.user_handle = text(b"somebody-else")
    assert (await enter(local(api), mine)).status == 401


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no JSON",
        "[]",
        "{}",
        '{"rawId": 1, "response": {}}',
        json.dumps({"rawId": "AA", "response": {"clientDataJSON": "e30"}}),
        "[" * 4000,
        "x" * 20_000,
    ],
)
async def test_nonsense_in_place_of_an_answer_is_refused(api: Api, answer: str) -> None:
    browser = await proved(api)
    await add(browser, SoftwareKey())
    page = await local(api).get("/login")
    refused = await local(api).post("/login/passkey", page.form("/login/passkey").filled({"credential": answer}))
    assert refused.status in (400, 422)
    page = await browser.post("/me/passkeys")
    assert (await browser.submit(page, "/me/passkeys", name="x", credential=answer)).status in (400, 422)


async def test_a_crafted_answer_of_a_new_passkey_is_refused_and_stored_nowhere(api: Api) -> None:
    browser = await proved(api)
    for lies in ({"origin": "http://evil.test"}, {"flags": 0}, {"type": "webauthn.get"}, {"challenge": "AAAA"}):
        assert (await add(browser, SoftwareKey(), **lies)).status in (400, 401, 422)
    page = await browser.post("/me/passkeys")
    answer = json.loads(SoftwareKey().make(asked(page, "create")))
    answer["response"]["attestationObject"] = text(b"\xff" * 40)
    broken = await browser.submit(page, "/me/passkeys", name="x", credential=json.dumps(answer))
    assert broken.status == 401 and "Off" in (await browser.get("/me")).text


async def test_a_passkey_is_known_once(api: Api) -> None:
    browser, key = await proved(api), SoftwareKey()
    await add(browser, key)
    assert "known already" in (await add(browser, key)).text
    assert (await browser.get("/me")).html.count("/me?passkey=") == 1


async def test_a_person_has_so_many_passkeys_at_most(api: Api) -> None:
    browser = await proved(api)
    for number in range(MOST_KEYS):
        await add(browser, SoftwareKey(credential_id=bytes([number]) * 16))
    page = await browser.post("/me/passkeys")
    assert page.status == 400 and "remove one first" in page.text


async def test_a_recovery_code_takes_the_place_of_a_lost_passkey_once(any_api: Api) -> None:
    added = await add(await proved(any_api), SoftwareKey())
    code = re.search(r"[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}", added.html)[0]
    browser, page = await owing(any_api)
    assert (await browser.post("/login/second-factor", {"code": code})).status == 200
    again, _ = await owing(any_api)
    assert (await again.post("/login/second-factor", {"code": code})).status == 401
    del page


async def test_codes_of_an_authenticator_that_is_not_there_are_refused_with_what_is(api: Api) -> None:
    await add(await proved(api), SoftwareKey())
    browser, _ = await owing(api)
    page = await browser.post("/login/second-factor", {"code": "123456"})
    assert page.status == 400 and "no authenticator" in page.text


async def test_removing_the_last_passkey_takes_the_password_and_turns_the_second_factor_off(any_api: Api) -> None:
    browser, key = await proved(any_api), SoftwareKey()
    await add(browser, key)
    other = local(any_api)
    await enter(other, key)
    opened = await browser.get(await managed(browser))
    assert "your only second factor" in opened.text
    link = next(form.action for form in opened.forms if form.action.startswith("/me/passkeys/"))
    any_api.clock.forward(601)
    assert "Is it you?" in (await browser.post(link, {"act": "remove"})).text
    await browser.post("/prove", {"password": PASSWORD})

    page = await browser.post(link, {"act": "remove"})

    assert "is removed" in page.text and "Off" in page.text
    assert (await other.get("/me")).path == "/login"
    assert (await local(any_api).sign_in()).path not in ("/login", "/login/second-factor")
    assert 'data-passkey="get"' not in (await local(any_api).get("/login")).html


async def test_a_passkey_is_renamed_and_others_are_not_reached(api: Api) -> None:
    browser = await proved(api)
    await add(browser, SoftwareKey())
    opened = await browser.get(await managed(browser))
    link = next(form.action for form in opened.forms if form.action.startswith("/me/passkeys/"))
    await browser.post(link, {"act": "rename", "name": "Phone"})
    assert "Phone" in (await browser.get("/me")).text
    assert (await browser.post(link, {"act": "rename", "name": ""})).status == 422
    for act in ("rename", "remove"):
        assert (await browser.post("/me/passkeys/none", {"act": act, "name": "x"})).status == 404


async def test_an_administrator_takes_all_passkeys_away_with_the_second_factor(api: Api) -> None:
    key = SoftwareKey()
    await add(await proved(api), key)
    async with api.runtime.store.read() as tx:
        user_id = (await tx.one(select(schema.users.c.id)))[0]
    path = f"/api/v1/admin/user-management/users/{user_id}/mfa"
    assert (await api.delete(path, token=api.instance_token)).status_code == 200
    assert (await local(api).sign_in()).path not in ("/login", "/login/second-factor")
    async with api.runtime.store.read() as tx:
        assert await tx.one(select(schema.passkeys.c.id)) is None


async def test_a_person_who_is_switched_off_does_not_come_in(api: Api) -> None:
    key = SoftwareKey()
    await add(await proved(api), key)
    page = await (browser := local(api)).get("/login")
    async with api.runtime.store.write() as tx:
        await tx.run(schema.users.update().values(is_active=0))
        tx.changed("user/any")
    assert (await browser.submit(page, "/login/passkey", credential=key.use(asked(page)))).status == 401


async def test_passkeys_are_offered_only_where_browsers_take_them(api: Api, tmp_path: Path) -> None:
    await add(await proved(api), SoftwareKey())
    browser = Browser(api)  # http://watchword.test: a name that the request makes up
    assert "data-passkey" not in (await browser.get("/login")).html
    await browser.sign_in()
    assert "does not work at this address" in (await browser.get("/login/second-factor")).text
    assert (await browser.post("/login/passkey", {"credential": "{}"})).status == 400


async def test_the_site_is_the_configured_one_whatever_the_request_names(tmp_path: Path) -> None:
    async with running(sqlite_settings(tmp_path, site_url="https://ww.example:8443/")) as api:
        api.client.base_url = httpx.URL("https://watchword.test")  # its cookies are for TLS
        browser, key = Browser(api), SoftwareKey(origin="https://ww.example:8443", rp_id="ww.example")
        await browser.sign_in()
        await browser.post("/prove", {"password": PASSWORD})
        await add(browser, key)
        stranger = Browser(api, headers={**HEADERS, "host": "localhost"})
        page = await stranger.get("/login")
        assert json.loads(asked(page))["rpId"] == "ww.example"
        assert (await stranger.submit(page, "/login/passkey", credential=key.use(asked(page)))).status == 200


async def test_strangers_at_the_same_address_keep_no_known_device_out(tmp_path: Path) -> None:
    async with running(sqlite_settings(tmp_path, failed_sign_ins_per_minute=2)) as api:
        key = SoftwareKey()
        browser = await proved(api)
        await add(browser, key)
        await browser.post("/sign-out")
        stranger = local(api)
        page = await stranger.get("/login")
        unknown = SoftwareKey(credential_id=b"\x09" * 16)
        sent = [await stranger.submit(page, "/login/passkey", credential=unknown.use(asked(page))) for _ in range(3)]
        assert [401, 401, 429] == [one.status for one in sent]
        assert (await enter(local(api), key)).status == 429
        assert (await enter(browser, key)).status == 200


async def test_an_authenticator_and_a_passkey_stand_beside_each_other(api: Api) -> None:
    from tests.services.people.test_mfa import Authenticator

    browser, key = await proved(api), SoftwareKey()
    await add(browser, key)
    begun = await browser.submit(await browser.get("/me"), "/me/second-factor", act="begin", password=PASSWORD)
    assert "Recovery codes" not in begun.text  # those of the passkey stay
    authenticator = Authenticator(api, html.unescape(re.search(r"otpauth://[^\"]+", begun.html)[0]))
    await browser.submit(begun, "/me/second-factor", totp=authenticator.code())
    _, page = await owing(api)
    assert "passkey, or enter the code" in page.text
    browser, _ = await owing(api)
    await browser.post("/login/second-factor", {"code": authenticator.code()})
    own = await browser.submit(await browser.get("/me"), "/me/second-factor", act="remove", password=PASSWORD)
    assert "passkeys are the second factor" in own.text and "10 recovery codes left" in own.text
    assert (await local(api).sign_in(EMAIL)).path == "/login/second-factor"
