"""Refused logins."""

from tests.api import Api
from tests.web.operators import begin
from watchword.domain.authentication.records import Lockout
from watchword.store.authentication import lockouts


async def test_refusals_alike_are_one_row_and_a_lockout_is_reset_there(api: Api) -> None:
    identity = await api.identity(name="locked-bot")
    login = await api.universal(identity["id"])
    for _ in range(4):
        reply = await api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "wrong"}, token=None)
    key = f"{identity['id']}/universal-auth/"
    until = api.clock() + 300_000
    locked = Lockout(key=key, identity_id=identity["id"], failures=3, window_ends_at=until, locked_until=until)
    async with api.runtime.store.write() as tx:
        await lockouts.put(tx, locked)
    browser, base = await begin(api)
    assert "Locked out" in (await browser.get(f"{base}/identities?state=locked")).text
    assert "Nobody was refused" in (await browser.get(f"{base}/denials?reason=nothing")).text
    page = await browser.get(f"{base}/denials")
    assert page.text.count("locked-bot") == 1 and "4\u00d7" in page.text
    page = await browser.get(f"{base}/denials/{reply.json()['reqId']}")
    assert "Reset lockout" in page.text
    reset = next(form.action for form in page.forms if form.action.endswith("/lockouts"))
    assert "The lockout is reset" in (await browser.post(reset)).text
    assert await api.login(login)
    assert (await browser.get(f"{base}/denials/req-none")).status == 404
