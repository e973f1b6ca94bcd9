"""Who can do what: everybody beside projects or environments, with what gives it; asked in words; as a file."""

from typing import Any
from urllib.parse import quote

from tests.api import Api
from tests.web.browser import Browser, signed_in
from tests.web.filling import HOSTILE
from tests.web.operators import begin, project
from tests.web.people_of import narrow


async def joined(api: Api, made: dict[str, Any], name: str, role: str) -> str:
    identity = await api.identity(name=name)
    await api.ok("POST", f"/api/v1/projects/{made['id']}/memberships/identities/{identity['id']}", {"role": role})
    return str(identity["id"])


async def test_everybody_stands_beside_every_project_with_one_word(api: Api) -> None:
    billing, edge = await project(api), await project(api, "Edge")
    one = await joined(api, billing, "one", "viewer")
    await api.ok("POST", f"/api/v1/projects/{edge['id']}/memberships/identities/{one}", {"role": "admin"})
    await api.identity(name="two")
    browser, base = await begin(api)

    page = await browser.get(f"{base}/access")

    assert "Billing" in page.text and "Edge" in page.text
    assert [text for text in ("one Read All", "two None None") if text not in page.text] == []


async def test_a_cell_opens_with_its_sources_and_leads_to_the_change(api: Api) -> None:
    made = await project(api)
    one = await joined(api, made, "one", "viewer")
    browser, base = await begin(api)

    page = await browser.get(f"{base}/access?project={made['id']}&cell={one}.2")

    assert "one in Billing, prod" in page.text and "1. Role Viewer" in page.text
    change = f"{base}/p/{made['slug']}/access/identities/{one}"
    assert change in page.links and (await browser.get(change)).status == 200
    assert f"{base}/identities/{one}/access" in page.links
    assert (await browser.get(f"{base}/access?cell={one}.99")).status == 200
    assert (await browser.get(f"{base}/access?cell=nobody.x")).status == 200


async def test_who_can_read_one_secret_is_asked_in_words(api: Api) -> None:
    made = await project(api)
    await joined(api, made, "reader", "viewer")
    await joined(api, made, "stranger", "no-access")
    browser, base = await begin(api)

    page = await browser.get(f"{base}/access?ask={quote('who can read prod DATABASE_URL in billing?')}")

    assert page.path == f"{base}/access"
    assert "can read values DATABASE_URL of prod" in page.text
    assert "reader" in page.text and "stranger" not in page.text
    people = await browser.get(f"{base}/access?show=people&action=readValue&environment=prod")
    assert "admin@example.com" in people.text


async def test_the_file_has_every_row_and_no_formula(api: Api) -> None:
    made = await project(api)
    await joined(api, made, "=reader", "viewer")
    for number in range(60):
        await api.identity(name=f"bot-{number:02}")
    browser, base = await begin(api)

    file = await browser.get(f"{base}/access?format=csv&project={made['id']}")
    whole = await browser.get(f"{base}/access?format=csv")

    assert (
        "'=reader" in file.html and "Role Viewer" in file.html and file.headers["content-type"].startswith("text/csv")
    )
    assert whole.html.count("bot-") == 60


async def test_pages_go_on_by_name_and_show_everybody_once(api: Api) -> None:
    await project(api)
    for number in range(120):
        await api.identity(name=f"bot-{number:03}")
    browser, base = await begin(api)
    seen: list[str] = []
    at = f"{base}/access"
    while at:
        page = await browser.get(at)
        seen += [word for word in page.text.split() if word.startswith("bot-")]
        at = next(
            (path for path in page.links if "after_id=" in path and "cell=" not in path and "format" not in path), ""
        )
        if len(seen) > 200:
            break
    assert seen == [f"bot-{number:03}" for number in range(120)]


async def test_a_person_who_may_not_know_sees_why(api: Api) -> None:
    stranger = await narrow(api, role="member")
    made = await project(api)
    base = (await (await signed_in(api)).get("/")).path
    assert "You are in no project yet" in (await stranger.get(f"{base}/access")).text
    people = f"{base}/p/{made['slug']}/access/people"
    admin = await signed_in(api)
    await admin.submit(await admin.get(people), people, pick="bob@example.com", role="no-access")
    page = await stranger.get(f"{base}/access?project={made['id']}")
    assert page.status == 200 and "You may not see this" in page.text and "Role " not in page.text
    assert (await stranger.get(f"{base}/access?format=csv")).status == 200


async def test_who_may_only_look_is_offered_no_change(api: Api) -> None:
    bob = await narrow(api, role="member")
    made = await project(api)
    one = await joined(api, made, "one", "viewer")
    admin, base = await begin(api)
    people = f"{base}/p/{made['slug']}/access/people"
    await admin.submit(await admin.get(people), people, pick="bob@example.com", role="viewer")
    page = await bob.get(f"{base}/access?project={made['id']}&cell={one}.0")
    assert "1. Role Viewer" in page.text
    assert f"{base}/p/{made['slug']}/access/identities/{one}" not in page.links


async def test_hostile_names_stay_text(api: Api) -> None:
    made = await project(api, "Billing <b>")
    for name in HOSTILE:
        await joined(api, made, name[:255], "viewer")
    browser: Browser
    browser, base = await begin(api)
    page = await browser.get(f"{base}/access")
    assert "<script>alert" not in page.html and "<img src=x" not in page.html and "{{ 7 * 7 }}" in page.text
    asked = await browser.get(f"{base}/access?ask={quote(HOSTILE[0])}&after=%00")
    assert asked.status in (200, 400)
