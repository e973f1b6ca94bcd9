"""The page of one key: its states, one value for several environments, and deleting it from several."""

from typing import Any

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.projects import making


async def filled(api: Api) -> tuple[dict[str, Any], str]:
    made = await making.project(api)
    for environment in ("dev", "staging"):
        await making.secret(api, made, "TOKEN", "old", environment)
    await making.secret(api, made, "REFERS", "${staging.TOKEN}", "dev")
    return made, making.page_of(made, "key") + "?path=%2F&key=TOKEN"


async def test_the_page_says_what_the_key_is_everywhere_and_shows_no_value(api: Api) -> None:
    made, path = await filled(api)
    page = await (await signed_in(api)).get(path)
    for text in ("the same value as in dev", "missing", "${staging.TOKEN}", "Who can read it", "over version 1"):
        assert text in page.text, text
    assert "old" not in page.text.split()
    assert any("action=readValue" in link and "environment=staging" in link for link in page.links)
    for wrong in ("?path=/&key=NOTHING", "?path=/nowhere&key=TOKEN", "", "?key=%3Cb%3E"):
        missing = await (await signed_in(api)).get(making.page_of(made, "key") + wrong)
        assert missing.status == 404 and "<b>" not in missing.html, wrong


async def test_one_value_is_written_into_several_environments_or_into_none(api: Api) -> None:
    made, path = await filled(api)
    browser = await signed_in(api)
    to = making.page_of(made, "key")
    page = await browser.get(path)
    assert (await browser.submit(page, to)).status == 422
    place = {"projectId": made["id"], "environment": "dev", "secretPath": "/"}
    await api.ok("PATCH", "/api/v4/secrets/TOKEN", {**place, "secretValue": "theirs"})
    late = await browser.submit(page, to, value="new", environment=["dev", "prod"])
    assert late.status == 409 and "written meanwhile" in late.text and "new" in late.html
    assert await making.value_of(api, made, "TOKEN", "prod") is None
    done = await browser.submit(late, to)
    assert "TOKEN is written into dev, prod" in done.text
    assert await making.value_of(api, made, "TOKEN", "prod") == "new" == await making.value_of(api, made, "TOKEN")


async def test_a_key_is_deleted_from_the_chosen_environments_with_name_and_password(api: Api) -> None:
    made, path = await filled(api)
    browser = await signed_in(api)
    to = making.page_of(made, "key", "delete")
    page = await browser.get(path.replace("/key?", "/key/delete?"))
    assert "1 secret refers to it and would lose it" in page.text and "REFERS" in page.text
    for values, text in (
        ({"name": "TOKEN"}, "Choose at least one"),
        ({"environment": "dev", "name": "x"}, "Type TOKEN"),
    ):
        refused = await browser.submit(page, to, **values)
        assert refused.status == 422 and text in refused.text
    api.clock.forward(700)
    asked = await browser.submit(page, to, environment=["dev", "staging"], name="TOKEN")
    done = await making.proved(browser, asked)
    assert "TOKEN is deleted from dev, staging" in done.text
    for environment in ("dev", "staging"):
        assert await making.value_of(api, made, "TOKEN", environment) is None


async def test_a_key_that_others_wrote_meanwhile_is_deleted_nowhere(api: Api) -> None:
    made, path = await filled(api)
    browser = await signed_in(api)
    to = making.page_of(made, "key", "delete")
    page = await browser.get(path.replace("/key?", "/key/delete?"))
    place = {"projectId": made["id"], "environment": "staging", "secretPath": "/"}
    await api.ok("PATCH", "/api/v4/secrets/TOKEN", {**place, "secretValue": "theirs"})
    asked = await browser.submit(page, to, environment=["dev", "staging"], name="TOKEN")
    late = await making.proved(browser, asked)
    assert late.status == 409 and "written meanwhile" in late.text
    assert await making.value_of(api, made, "TOKEN", "dev") == "old"


async def test_who_may_only_read_is_offered_no_act_and_refused_each(api: Api) -> None:
    made, path = await filled(api)
    rules = [{"subject": "secrets", "action": ["describeSecret", "readValue"]}]
    browser = await making.member(api, made, rules)
    page = await browser.get(path)
    assert "Write it into all" not in page.text and "Delete" not in page.text
    form = {"path": "/", "key": "TOKEN", "environment": "dev", "version.dev": "1", "value": "x", "name": "TOKEN"}
    assert (await browser.post(making.page_of(made, "key"), form)).status == 403
    assert (await browser.post(making.page_of(made, "key", "delete"), form)).status == 403
    assert await making.value_of(api, made, "TOKEN") == "old"
