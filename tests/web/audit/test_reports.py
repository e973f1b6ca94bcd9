"""The reports as pages, and to disable several identities at once."""

import csv
import io

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.filling import fill
from tests.web.people_of import narrow
from tests.web.test_home import home_of


async def test_each_report_is_a_page_and_says_so_when_there_is_nothing(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    assert (await browser.get(f"{base}/reports")).path == f"{base}/reports/unused"
    for kind, words in (
        ("unused", "did so within 30 days"),
        ("expiring?days=1", "Nothing ends within 1 day"),
        ("risky?severity=high", "No setting is risky"),
        ("never-used", "has logged in"),
    ):
        page = await browser.get(f"{base}/reports/{kind}")
        assert page.status == 200 and words in page.text, kind
    assert (await browser.get(f"{base}/reports/others")).status == 422


async def test_identities_that_were_never_used_are_disabled_together(api: Api) -> None:
    first, second = await api.identity(name="one"), await api.identity(name="two")
    browser, base = await signed_in(api), await home_of(api)
    page = await browser.get(f"{base}/reports/never-used?days=0")
    assert "one" in page.text and "two" in page.text
    action = f"{base}/reports/never-used?days=0"
    done = await browser.submit(page, action, pick=[first["id"], second["id"], "none-such"])
    assert "2 identities are disabled" in done.text and "1 identity left as before" in done.text
    assert done.text.count("Disabled") == 2
    nothing = await browser.submit(page, action)
    assert "Nothing was picked" in nothing.text


async def test_all_that_a_page_shows_are_disabled_at_once_and_no_others(api: Api) -> None:
    for name in ("one", "two"):
        await api.identity(name=name)
    browser, base = await signed_in(api), await home_of(api)
    action = f"{base}/reports/never-used?days=0"
    page = await browser.get(action)
    shown = [value for name, value in page.form(action).pairs if name == "shown"]
    assert "Instance Admin Identity" in page.text
    later = await api.identity(name="made meanwhile")
    done = await browser.submit(page, action, all="true")
    assert f"{len(shown)} identities are disabled" in done.text and len(shown) >= 2
    assert not (await api.ok("GET", f"/api/v1/identities/{later['id']}"))["identity"]["identity"].get("isDisabled")
    assert (
        200 == (await api.get("/api/v1/identities/details", token=api.instance_token)).status_code
    )  # it keeps the instance


async def test_risks_are_told_with_the_way_to_mend_them(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    page = await browser.get(f"{base}/reports/risky?code=any_network")
    assert "checkout-deploy" in page.text and "works from every address" in page.text
    assert f"{base}/identities/{known['identity_id']}/authentication" in page.links
    none = await browser.get(f"{base}/reports/risky?severity=high")
    assert "No setting is risky" in none.text


async def test_days_that_are_no_number_are_refused_beside_their_field(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    for days in ("many", "-1", "9999999"):
        page = await browser.get(f"{base}/reports/unused?days={days}")
        assert page.status == 422 and "days-wrong" in page.ids, days


async def test_the_file_of_a_report_holds_no_formula(api: Api) -> None:
    known = await fill(api)
    page = await (await signed_in(api)).get(f"/{known['organization']}/reports/never-used?days=0&format=csv")
    rows = list(csv.reader(io.StringIO(page.html)))
    assert any("HYPERLINK" in row[1] for row in rows)
    assert not any(cell.startswith("=") for row in rows for cell in row)


async def test_who_may_only_look_is_offered_no_disabling_and_cannot(api: Api) -> None:
    rule = {"subject": "identity", "action": ["read"]}
    await api.ok("POST", "/api/v1/organization/roles", {"slug": "looker", "name": "Looker", "permissions": [rule]})
    identity = await api.identity(name="one")
    browser, base = await narrow(api, role="looker"), await home_of(api)
    page = await browser.get(f"{base}/reports/never-used?days=0")
    assert "one" in page.text and "With those picked" not in page.text
    tried = await browser.post(f"{base}/reports/never-used", {"pick": identity["id"]})
    assert "left as before" in tried.text
    found = await api.ok("GET", f"/api/v1/identities/{identity['id']}")
    assert not found["identity"]["identity"].get("isDisabled")


async def test_who_may_read_no_identity_reads_no_report(api: Api) -> None:
    page = await (await narrow(api, role="no-access")).get(f"{await home_of(api)}/reports/unused")
    assert page.status == 403 and "identity: read" in page.text
