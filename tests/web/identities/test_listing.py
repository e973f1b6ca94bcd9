"""The list of identities: search, facets, what is done with several, and the list as a file."""

from tests.api import Api
from tests.web.operators import begin

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


async def test_a_list_of_many_is_paged(api: Api) -> None:
    for number in range(52):
        await api.identity(name=f"bot-{number:02}")
    browser, base = await begin(api)
    first = await browser.get(f"{base}/identities")
    assert "1 to 50 of 53" in first.text and "bot-00" in first.text and "bot-51" not in first.text
    assert "bot-51" in (await browser.get(f"{base}/identities?offset=50")).text
