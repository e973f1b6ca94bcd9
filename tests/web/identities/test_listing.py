"""The list of identities: search, facets, what is done with several, and the list as a file."""

import re

import pytest

from tests.api import Api
from tests.web.browser import Seen
from tests.web.operators import begin, project
from watchword.services.identities import directory
from watchword.web.identities import listing

HOSTILE = '=cmd|"<script>alert(1)</script>\u202e'


async def test_names_with_markup_are_shown_as_they_are_and_exported_without_formulas(api: Api) -> None:
    identity = await api.identity(name=HOSTILE)
    browser, base = await begin(api)
    for path in ("", "/authentication", "/access", "/tokens", "/activity", "/settings"):
        page = await browser.get(f"{base}/identities/{identity['id']}{path}")
        assert page.status == 200 and "<script>alert" not in page.html, path
    page = await browser.get(f"{base}/identities")
    assert "<script>alert" not in page.html
    listed = await browser.post(f"{base}/identities/export")
    assert listed.headers["content-type"].startswith("text/csv") and "\"'=cmd" in listed.html
    picked = await browser.post(f"{base}/identities/several", {"pick": identity["id"], "act": "export"})
    assert "\"'=cmd" in picked.html


async def test_the_list_is_narrowed_by_search_and_facets(api: Api) -> None:
    one = await api.identity(name="one")
    login = await api.universal(one["id"])
    await api.identity(name="two")
    browser, base = await begin(api)
    for query, shown in (
        ("q=ONE", "one"),
        (f"q={one['id']}", "one"),
        (f"q={login['clientId']}", "one"),
        ("method=universal-auth&q=one", "one"),
        ("state=never-used&q=two", "two"),
        ("role=no-access&q=two", "two"),
    ):
        page = await browser.get(f"{base}/identities?{query}")
        names = [name for name in ("one", "two") if f"Select {name}" in page.html]
        assert names == [shown], query
    for query in ("state=disabled", "state=locked", "state=expired", "state=unused", "owner=nobody", "project=x"):
        assert "No identity is like that" in (await browser.get(f"{base}/identities?{query}")).text, query
    assert (await browser.get(f"{base}/identities?state=' or 1=1&offset=-1&sort=x")).status == 200


async def test_several_are_disabled_and_enabled_at_once(api: Api) -> None:
    ids = [(await api.identity(name=f"bot-{number}"))["id"] for number in range(3)]
    browser, base = await begin(api)
    page = await browser.post(f"{base}/identities/several", [("act", "disable"), *[("pick", id) for id in ids]])
    assert "3 identities disabled" in page.text and page.text.count("Disabled") >= 3
    page = await browser.post(f"{base}/identities/several", [("act", "enable"), ("pick", ids[0]), ("pick", "nobody")])
    assert "1 identity enabled" in page.text and "1 identity left as before" in page.text
    assert "Nothing was picked" in (await browser.post(f"{base}/identities/several", {"act": "disable"})).text


async def test_a_list_of_many_is_paged_by_key_forwards_and_back(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SIZE", 5)
    for number in range(11):
        await api.identity(name=f"bot-{number:02}")
    browser, base = await begin(api)

    def shown(page: Seen) -> list[str]:
        return re.findall(r'aria-label="Select ([^"]*)"', page.html.replace("Select all", ""))

    def link(page: Seen, text: str) -> str:
        found = re.search(rf'rel="{text}" href="([^"]+)"', page.html)
        return found[1].replace("&amp;", "&") if found else ""

    first = await browser.get(f"{base}/identities")
    assert "1 to 5 of 12" in first.text and link(first, "prev") == ""
    second = await browser.get(link(first, "next"))
    third = await browser.get(link(second, "next"))
    assert "11 to 12 of 12" in third.text and link(third, "next") == ""
    every = [*shown(first), *shown(second), *shown(third)]
    bots = [name for name in every if name.startswith("bot-")]
    assert bots == sorted(bots) and len(set(bots)) == 11
    back = await browser.get(link(third, "prev"))
    assert shown(back) == shown(second) and "6 to 10 of 12" in back.text
    begin_again = await browser.get(link(back, "prev"))
    assert shown(begin_again) == shown(first) and link(begin_again, "prev") == ""
    down = await browser.get(f"{base}/identities?down=1")
    assert next(name for name in shown(down) if name.startswith("bot-")) == "bot-10"
    after = await browser.get(link(down, "next"))
    assert not set(shown(after)) & set(shown(down))
    assert shown(await browser.get(f"{base}/identities?after=gone")) == shown(first)


async def test_the_list_is_narrowed_by_metadata(api: Api) -> None:
    one, two = await api.identity(name="one"), await api.identity(name="two")
    for id, team in ((one["id"], "pay=ments"), (two["id"], "search")):
        await api.ok("PATCH", f"/api/v1/identities/{id}", {"metadata": [{"key": "team", "value": team}]})
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities")
    assert "team = search" in page.text
    for query, names in (
        ("metadata=team%3Dsearch", "two"),
        ("metadata=team%3Dpay%3Dments", "one"),
        ("metadata=team", "onetwo"),
    ):
        page = await browser.get(f"{base}/identities?{query}")
        assert "".join(name for name in ("one", "two") if f"Select {name}" in page.html) == names
    page = await browser.get(f"{base}/identities?key=team&value=search&state=never-used")
    assert "Select two" in page.html and "Select one" not in page.html
    assert "No identity is like that" in (await browser.get(f"{base}/identities?metadata=%25%3D_")).text


async def test_several_are_added_to_a_project_with_a_role(api: Api) -> None:
    billing = await project(api)
    ids = [(await api.identity(name=f"bot-{number}"))["id"] for number in range(2)]
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities")
    assert "Add to project" in page.text
    picked = [("pick", id) for id in ids]
    form = [("act", "join"), ("role", "viewer"), ("project", billing["id"]), *picked]
    page = await browser.post(f"{base}/identities/several", form)
    assert "2 identities added to Billing" in page.text
    again = await browser.post(f"{base}/identities/several", form)
    assert "2 identities left as before" in again.text
    inside = await api.ok("GET", f"/api/v1/projects/{billing['id']}/memberships/identities")
    assert set(ids) <= {one["identity"]["id"] for one in inside["identityMemberships"]}
    none = await browser.post(f"{base}/identities/several", [("act", "join"), ("project", ""), *picked])
    assert "Choose a project" in none.text


async def test_a_search_finds_a_name_to_the_letter(api: Api) -> None:
    """A per cent sign and an underscore in a search stand for themselves."""
    for name in ("a_b", "axb", "100%"):
        await api.identity(name=name)
    browser, base = await begin(api)
    assert "Select axb" not in (await browser.get(f"{base}/identities?q=a_b")).html
    page = await browser.get(f"{base}/identities?q=0%25")
    assert "Select 100%" in page.html and "Select a" not in page.html.replace("Select all", "")


async def test_a_look_at_very_many_names_is_bounded_and_goes_on(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "_FEW", 4)
    monkeypatch.setattr(directory, "LOOKS_AT", 8)
    monkeypatch.setattr(directory, "MOST_COUNTED", 8)
    for number in range(30):
        await api.identity(name=f"bot-{number:02}")
    await api.identity(name="zebra")
    browser, base = await begin(api)
    page = await browser.get(f"{base}/identities?q=bot-2")
    assert "Select bot-20" in page.html  # by what it begins with
    found: list[str] = []
    path = f"{base}/identities?q=-29"
    for _ in range(6):
        page = await browser.get(path)
        found += re.findall(r"Select (bot-\d+)", page.html)
        link = next((link for link in page.links if "after=" in link), "")
        if not link:
            break
        assert "looked at" in page.text or found
        path = link.replace("&amp;", "&")
    assert found == ["bot-29"]
    assert "of 8 and more" in (await browser.get(f"{base}/identities")).text
