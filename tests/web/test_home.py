"""The organization's home: its parts, for whom, and what it says of a new organization."""

import pytest

from tests.api import Api
from tests.web.browser import Browser, signed_in
from tests.web.filling import fill
from tests.web.people_of import narrow
from watchword.domain.authentication.records import Lockout
from watchword.services.identities import lifecycle
from watchword.services.timestamps import iso
from watchword.store.authentication.lockouts import LOCKOUTS
from watchword.web.parts import bars


async def test_a_new_organization_shows_the_steps_and_nothing_to_do(api: Api) -> None:
    page = await (await signed_in(api)).get(await home_of(api))
    assert "Three steps to the first secret" in page.text and "New identity" in page.text
    assert "Nobody was refused in 24 hours" in page.text


async def home_of(api: Api) -> str:
    organization = (await api.ok("GET", f"/api/v1/organization/{api.org_id}"))["organization"]
    return f"/{organization['slug']}"


async def test_it_counts_identities_logins_and_refusals_and_says_what_to_do(api: Api) -> None:
    known = await fill(api)
    await api.runtime.journal.close()  # with the moments of the last logins
    page = await (await signed_in(api)).get(f"/{known['organization']}")
    assert "2 logins" in page.text and "1 refused" in page.text and "Three steps" not in page.text
    assert f"/{known['organization']}/denials/{known['request_id']}" in page.links
    assert "checkout-deploy" in page.text and "any network" in page.text
    assert page.html.count("<rect") == 2 * 48
    assert "<script>alert(1)" not in page.html


async def test_a_locked_identity_and_an_ending_one_want_attention(api: Api) -> None:
    locked, ending = await api.identity(name="gateway"), await api.identity(name="edge")
    await api.ok("PATCH", f"/api/v1/identities/{ending['id']}", {"expiresAt": iso(api.clock() + 86_400_000)})
    until = api.clock() + 240_000
    lockout = Lockout(key="k", identity_id=locked["id"], failures=9, window_ends_at=until, locked_until=until)
    async with api.runtime.store.write() as tx:
        await tx.run(LOCKOUTS.INSERT, **LOCKOUTS.values(lockout))
        tx.changed(f"lockout/{locked['id']}")
    path = await home_of(api)
    page = await (await signed_in(api)).get(path)
    assert "gateway is locked out" in page.text and "ends in 3 min" in page.text
    assert f"{path}/identities/{locked['id']}/authentication" in page.links
    assert "1 identity with something that ends within 7 days" in page.text
    assert f"{path}/reports/expiring?days=7" in page.links


async def test_the_risks_of_a_large_organization_are_those_of_its_first_identities(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "GLANCED_AT", 50)  # of the report's own pieces, one
    for number in range(50):
        await api.identity(name=f"a{number:02}")
    for name in ("a00 open", "z"):
        await api.universal((await api.identity(name=name))["id"])
    page = await (await signed_in(api)).get(await home_of(api))
    # The instance's own identity, and the first of the two.
    assert "2 or more identities may use tokens from any network" in page.text
    assert "Here only the first 50 by name were looked at" in page.text
    assert f"{await home_of(api)}/reports/risky?code=any_network" in page.links


async def test_who_may_read_little_sees_a_home_of_own_projects(api: Api) -> None:
    browser = await narrow(api, role="no-access")
    page = await browser.get(await home_of(api))
    assert page.status == 200 and "Your projects" in page.text
    assert "Last refusals" not in page.text and "New identity" not in page.text and "To do" not in page.text


async def test_a_member_who_may_not_read_the_log_sees_no_logins(api: Api) -> None:
    rule = {"subject": "identity", "action": ["read"]}
    await api.ok(
        "POST",
        "/api/v1/organization/roles",
        {"slug": "looker", "name": "Looker", "permissions": [rule]},
    )
    browser: Browser = await narrow(api, role="looker")
    page = await browser.get(await home_of(api))
    assert "To do" in page.text and "Last 24 hours" not in page.text and "New identity" not in page.text


def test_bars_are_as_high_as_the_largest_and_one_is_still_seen() -> None:
    drawn = bars([0, 1, 10_000])
    assert [bar.is_base for bar in drawn] == [True, False, False]
    assert drawn[1].height >= 4 and drawn[2].height == 56 and drawn[2].y == 0
    assert all(bar.is_base for bar in bars([0, 0]))
