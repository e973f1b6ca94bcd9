"""A new key in several environments."""

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making


async def test_a_key_is_added_to_all_environments_in_one_form(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    page = await browser.get(making.page_of(made, "add"))
    done = await browser.submit(page, making.page_of(made, "add"), key="TOKEN", value="abc")
    assert done.path == making.page_of(made) and "TOKEN is in dev, staging and prod" in done.text
    assert [await making.value_of(api, made, "TOKEN", slug) for slug in ("dev", "staging", "prod")] == ["abc"] * 3


async def test_an_environment_may_have_a_value_of_its_own_and_lines_keep_their_ends(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    form = {"key": "PEM", "value": "a\r\nb\r\n", "own.prod": "c\r\nd", "environment": ["dev", "prod"], "path": "/"}
    assert (await browser.post(making.page_of(made, "add"), form)).status == 200
    assert await making.value_of(api, made, "PEM", "dev") == "a\nb\n"
    assert await making.value_of(api, made, "PEM", "prod") == "c\nd"
    assert await making.value_of(api, made, "PEM", "staging") is None


async def test_where_one_environment_has_the_key_nothing_is_written_and_the_form_keeps_its_text(api: Api) -> None:
    made = await making.project(api)
    await making.secret(api, made, "TOKEN", "old", "prod")
    browser = await signed_in(api)
    form = {"key": "TOKEN", "value": "typed <text>", "environment": ["dev", "prod"], "path": "/"}
    page = await browser.post(making.page_of(made, "add"), form)
    assert page.status == 400 and "exists already" in page.text and "typed &lt;text&gt;" in page.html
    assert await making.value_of(api, made, "TOKEN", "dev") is None


async def test_a_bad_key_and_no_environment_are_said_beside_their_fields(api: Api) -> None:
    made = await making.project(api)
    browser = await signed_in(api)
    page = await browser.post(making.page_of(made, "add"), {"key": "A B", "value": "", "environment": "dev"})
    assert page.status == 422 and "No blanks" in page.text
    page = await browser.post(making.page_of(made, "add"), {"key": "AB", "value": ""})
    assert page.status == 422 and "Choose at least one environment" in page.text
    page = await browser.post(making.page_of(made, "add"), {"key": "AB", "environment": "nothing"})
    assert page.status == 404


async def test_who_may_create_in_dev_only_is_offered_dev_only(api: Api) -> None:
    made = await making.project(api)
    rights = {"subject": "secrets", "action": ["create", "describeSecret"], "conditions": {"environment": "dev"}}
    browser = await making.member(api, made, [rights])
    page = await browser.get(making.page_of(made, "add"))
    assert "you need create on secrets there" in page.text
    form = {"key": "TOKEN", "value": "x", "environment": ["dev", "prod"], "path": "/"}
    assert (await browser.post(making.page_of(made, "add"), form)).status == 403
    assert (await browser.submit(page, making.page_of(made, "add"), key="TOKEN", value="x")).status == 200
    assert await making.value_of(api, made, "TOKEN") == "x"
