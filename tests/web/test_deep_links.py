"""Addresses of the reference product's pages lead on to ours, and tell nothing of what the reader may not see."""

import pytest

from tests.api import EMAIL, PASSWORD, Api
from tests.web.browser import Browser, signed_in
from tests.web.people_of import narrow
from watchword.web.deep_links import pages


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/organizations/O/access-management", "/O/people"),
        ("/organizations/O/access-management?selectedTab=identities", "/O/identities"),
        ("/organizations/O/access-management?selectedTab=roles", "/O/roles"),
        ("/organizations/O/identities/a%20b", "/O/identities/a%20b"),
        ("/organizations/O/settings", "/O/settings"),
        ("/org/O/overview", "/O"),
        ("/org/O/audit-logs", "/O/audit"),
        ("/personal-settings", "/me"),
        ("/projects/secret-management/P/overview", "/O/p/P"),
        ("/organizations/O/projects/secret-management/P/access-management?selectedTab=groups", "/O/p/P/access/groups"),
        ("/secret-manager/P/identities/i", "/O/p/P/access/identities/i"),
        ("/project/P/secrets/overview", "/O/p/P"),
        ("/project/P/settings", "/O/p/P/settings"),
    ],
)
async def test_an_address_leads_on(api: Api, old: str, new: str) -> None:
    project = (await api.ok("POST", "/api/v1/projects", {"projectName": "Shop"}))["project"]["id"]
    browser = await signed_in(api)

    def named(path: str) -> str:
        return path.replace("/O", f"/{api.org_id}").replace("/P/", f"/{project}/").removesuffix("/P") + (
            f"/{project}" if path.endswith("/P") else ""
        )

    found = await browser.get(named(old), follow=False)
    assert (303, named(new)) == (found.status, found.headers["location"])


async def test_every_address_is_one_of_a_page_that_needs_a_session_and_comes_back_after_the_sign_in(api: Api) -> None:
    assert {"person"} == {route.who for route in pages.all}
    browser = Browser(api)
    page = await browser.get(f"/organizations/{api.org_id}/access-management?selectedTab=identities")
    assert page.path == "/login"
    back = await browser.submit(page, "/login", email=EMAIL, password=PASSWORD)
    assert back.status == 200 and back.path.endswith("/identities")


async def test_a_project_of_others_is_none(api: Api) -> None:
    project = (await api.ok("POST", "/api/v1/projects", {"projectName": "Shop"}))["project"]["id"]
    stranger = await narrow(api, role="member")
    made = await stranger.post("/organizations", {"name": "Other"})
    assert made.status == 200
    hidden = await stranger.get(f"/projects/secret-management/{project}/overview")
    none = await stranger.get("/projects/secret-management/none/overview")
    assert [404, 404] == [hidden.status, none.status] and "Shop" not in hidden.text
