"""Templates of auth methods: made, changed, used, taken off and deleted; what may not be done is not offered."""

from typing import Any

import pytest

from tests.api import Api
from tests.web.browser import Browser
from tests.web.filling import HOSTILE
from tests.web.identities.test_identity_texts import filled
from tests.web.operators import begin
from tests.web.people_of import narrow
from tests.web.projects.making import proved
from tests.web.scripts import run, text_of

FIELDS = {"kubernetesHost": "https://k8s.test", "tokenReviewMode": "api"}


async def made(api: Api, name: str = "Cluster") -> str:
    body = {"name": name, "authMethod": "kubernetes-auth", "templateFields": FIELDS}
    return str((await api.ok("POST", "/api/v1/identity-templates", body))["id"])


async def test_a_template_is_made_changed_and_deleted(api: Api) -> None:
    browser, base = await begin(api)
    empty = await browser.get(f"{base}/templates")
    assert "No template yet" in empty.text and f"{base}/templates/new?method=kubernetes-auth" in empty.links
    form = await browser.get(f"{base}/templates/new?method=kubernetes-auth")
    values = {"name": "Cluster", "kubernetesHost": "https://k8s.test", "tokenReviewerJwt": "very-secret"}
    page = await browser.submit(form, f"{base}/templates/new", **values)
    assert "The template Cluster is there" in page.text and "very-secret" not in page.html
    here = page.path
    page = await browser.submit(page, here, name="Other", kubernetesHost="https://other.test")
    assert "The template Other is changed" in page.text
    found = await api.ok("GET", f"/api/v1/identity-templates/{here.rpartition('/')[2]}")
    assert found["templateFields"]["kubernetesHost"] == "https://other.test"
    assert found["templateFields"]["tokenReviewerJwtIsSet"] is True
    ask = await browser.get(f"{here}/delete")
    wrong = await browser.submit(ask, f"{here}/delete", confirm="no")
    assert wrong.status == 422 and "Nothing was deleted" in wrong.text
    gone = await proved(browser, await browser.submit(ask, f"{here}/delete", confirm="Other"))
    assert "is deleted" in gone.text, gone.text


@pytest.mark.parametrize(("field", "text"), [("name", "x" * 65), ("kubernetesHost", "no url at all")])
async def test_what_is_wrong_stands_at_its_field_with_what_was_typed(api: Api, field: str, text: str) -> None:
    browser, base = await begin(api)
    form = await browser.get(f"{base}/templates/new?method=kubernetes-auth")
    values: dict[str, Any] = {"name": "Cluster", "kubernetesHost": "https://k8s.test", field: text}
    page = await browser.submit(form, f"{base}/templates/new", **values)
    assert page.status == 422 and text in page.html and f'id="{field}-wrong"' in page.html


async def test_who_uses_it_is_shown_and_taken_off(api: Api) -> None:
    template, identity = await made(api), (await api.identity(name="user-of-it"))["id"]
    path = f"/api/v1/auth/kubernetes-auth/identities/{identity}"
    await api.ok(
        "POST", path, {"templateId": template, "allowedNames": "a", "allowedNamespaces": "b", "allowedAudience": ""}
    )
    browser, base = await begin(api)
    here = f"{base}/templates/{template}"
    page = await browser.get(here)
    assert f"{base}/identities/{identity}" in page.links and "user-of-it" in page.text
    assert "1 identity uses it" in (await browser.get(f"{here}/delete")).text
    assert "Nobody was picked" in (await browser.post(f"{here}/unlink", {})).text
    done = await proved(browser, await browser.post(f"{here}/unlink", {"pick": identity}))
    assert "removed from 1 identity" in done.text, done.text
    assert (await api.get(path)).status_code == 404


async def test_a_template_by_its_text_and_by_the_form_are_alike(api: Api) -> None:
    browser, base = await begin(api)
    new = f"{base}/templates/new"
    read = []
    for name in ("Text", "Form"):
        page = await browser.get(f"{new}?method=kubernetes-auth")
        values = {"name": name, "kubernetesHost": "https://k8s.test", "tokenReviewerJwt": "very-secret"}
        form = page.form(new).filled(values)
        if name == "Text":
            script = await text_of(browser, new, form)
            assert "very-secret" not in script
            await run(api, script, TOKEN_REVIEWER_JWT="very-secret")
        else:
            await browser.post(new, form)
    for one in (await api.ok("GET", "/api/v1/identity-templates/search"))["templates"]:
        read.append((one["templateFields"], one["authMethod"]))
        here = f"{base}/templates/{one['id']}"
        await run(api, await text_of(browser, here, await filled(browser, here, {"name": "changed"})))
        assert (await api.ok("GET", f"/api/v1/identity-templates/{one['id']}"))["name"] == "changed"
        await run(api, await text_of(browser, f"{here}/delete", {}))
    assert len(read) == 2 and read[0] == read[1]
    assert (await api.ok("GET", "/api/v1/identity-templates/search"))["totalCount"] == 0


async def test_what_may_not_be_done_is_not_offered_and_refused(api: Api) -> None:
    template = await made(api)
    for role in ("no-access", "member"):
        bob: Browser = await narrow(api, role=role, email=f"{role}@example.com")
        _, base = await begin(api)
        listed = await bob.get(f"{base}/templates")
        one = await bob.get(f"{base}/templates/{template}")
        if listed.status == 200:
            assert ("New template" in listed.text) == (
                (await bob.get(f"{base}/templates/new?method=kubernetes-auth")).status == 200
            )
        for page in (listed, one):
            assert page.status in (200, 403)
        if role == "no-access":
            assert listed.status == 403 and "Cluster" not in one.text
        tried = await bob.post(
            f"{base}/templates/new", {"method": "kubernetes-auth", "name": "x", "kubernetesHost": "https://a.test"}
        )
        offered = "New template" in listed.text
        assert offered or tried.status == 403


async def test_hostile_names_stay_text_and_other_organizations_see_nothing(api: Api) -> None:
    for name in HOSTILE:
        await made(api, name[:64])
    browser, base = await begin(api)
    page = await browser.get(f"{base}/templates")
    assert "<script>alert" not in page.html and "<img src=x" not in page.html
    assert (await browser.get(f"{base}/templates/01900000-0000-7000-8000-000000000000")).status == 404
    assert (await browser.get(f"{base}/templates/new?method=token-auth")).status in (422, 404)
