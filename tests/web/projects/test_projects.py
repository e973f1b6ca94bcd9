"""The list of projects, a new one, and who finds a project."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making

HOSTILE = '<b onload="x">\u202eevil</b>'


async def test_a_first_project_is_made_from_the_empty_page(api: Api) -> None:
    browser, base = await signed_in(api), await making.base(api)
    page = await browser.get(f"{base}/projects")
    assert "Your first project" in page.text
    done = await browser.submit(page, f"{base}/projects", name="Billing", slug="billing")
    assert done.path == f"{base}/p/billing" and "you are its administrator" in done.text
    assert "Billing" in (await browser.get(f"{base}/projects")).text


async def test_a_project_without_a_right_name_is_asked_for_again_with_what_was_typed(api: Api) -> None:
    browser, base = await signed_in(api), await making.base(api)
    page = await browser.post(f"{base}/projects", {"name": "Fine", "slug": "No Slug"})
    assert page.status in (400, 422) and 'value="No Slug"' in page.html and "A slug has lower-case" in page.text
    assert (await browser.post(f"{base}/projects", {"name": ""})).status == 422


async def test_a_hostile_name_is_only_text(api: Api) -> None:
    await making.project(api, HOSTILE, projectDescription="<script>alert(1)</script>")
    page = await (await signed_in(api)).get(f"{await making.base(api)}/projects")
    assert HOSTILE in page.text and "<b onload" not in page.html and "<script>alert" not in page.html


async def test_a_project_is_found_by_slug_and_by_id_and_another_organizations_is_none(api: Api) -> None:
    made = await making.project(api)
    _, token = await api.organization("Other")
    others = (await api.ok("POST", "/api/v1/projects", {"projectName": "Theirs"}, token=token))["project"]
    browser = await signed_in(api)
    assert "Billing" in (await browser.get(f"{made['base']}/p/{made['id']}")).text
    for named in (others["id"], others["slug"], "nothing", "a%00b"):
        page = await browser.get(f"{made['base']}/p/{named}")
        assert page.status in (404, 422), named
        assert "Theirs" not in page.text


async def test_who_is_not_a_member_does_not_learn_that_a_project_is_there(api: Api) -> None:
    made = await making.project(api)
    other = await making.project(api, "Hidden")
    browser = await making.member(api, made, [])
    page = await browser.get(making.page_of(other))
    assert page.status == 404 and "not a member" in page.text
    listed = await browser.get(f"{made['base']}/projects")
    assert "Billing" in listed.text and "Hidden" not in listed.text


async def test_of_many_projects_a_page_is_shown_and_one_is_found(any_api: Api) -> None:
    base = await making.base(any_api)
    for number in range(53):
        await making.project(
            any_api, f"Project {number:02}", slug=f"project-{number:02}", shouldCreateDefaultEnvs=False
        )
    browser = await signed_in(any_api)
    page = await browser.get(f"{base}/projects")
    assert "1 to 50 of 53" in page.text and "All 53 projects" in page.text and "Project 52" not in page.text
    assert "Project 52" in (await browser.get(f"{base}/projects?offset=50")).text
    found = await browser.get(f"{base}/projects?q=JECT-52")
    assert "Project 52" in found.text and "Project 51" not in found.text
    none = await browser.get(f"{base}/projects?q=nothing")
    assert "No project of yours has" in none.text and "Your first project" not in none.text
