"""A new identity on one page: what is made, what is refused, and what is said of it."""

from tests.api import Api
from tests.web.operators import begin, made, project, secret_of


async def test_an_identity_with_a_secret_that_can_read_a_project_is_made_on_one_page(api: Api) -> None:
    billing = await project(api)
    browser, base = await begin(api)
    page = await made(browser, base, name="billing-api", owner="Billing")
    assert page.status == 200 and "Shown this once" in page.text and "content-encoding" not in page.headers
    client_id = page.html.split("<dt>Client id</dt><dd><code>")[1].split("</code>")[0]
    login = {"clientId": client_id, "clientSecret": secret_of(page)}
    token = await api.login(login)
    assert secret_of(page) not in page.html.split('id="snippet"')[1]
    found = await api.ok("GET", "/api/v1/projects", token=token)
    assert [billing["id"]] == [one["id"] for one in found["projects"]]
    listed = await browser.get(f"{base}/identities")
    assert "billing-api" in listed.text and "Active" in listed.text and "Billing" in listed.text


async def test_a_refused_form_makes_nothing_and_keeps_what_was_typed(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="", owner="Kept owner", ends="never ever")
    assert page.status == 422 and "Nothing was made" in page.text and "Kept owner" in page.html
    assert 'id="name-wrong"' in page.html and 'id="ends-wrong"' in page.html
    page = await made(browser, base, name="deploy", where="oidc-auth.github")
    assert page.status == 422 and "Nothing was made" in page.text
    assert (await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}"))["totalCount"] == 1


async def test_without_a_script_the_fields_of_another_place_are_shown_on_demand(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(browser, base, name="kept", where="ldap-auth", act="show")
    assert page.status == 200 and 'value="kept"' in page.html
    fields = {name for name, _ in page.form(f"{base}/identities/new").pairs}
    assert "ldap-auth.url" in fields


async def test_a_ci_preset_pins_ids_and_never_takes_any_audience(api: Api) -> None:
    browser, base = await begin(api)
    rows = {"oidc-auth.github.boundClaims.key": ["repository_id", "repository_owner_id"]}
    rows["oidc-auth.github.boundClaims.value"] = ["1", "2"]
    page = await browser.post(
        f"{base}/identities/new",
        [
            ("name", "deploy"),
            ("where", "oidc-auth.github"),
            ("oidc-auth.github.oidcDiscoveryUrl", "https://token.actions.githubusercontent.com"),
            ("oidc-auth.github.boundIssuer", "https://token.actions.githubusercontent.com"),
            ("oidc-auth.github.boundAudiences", ""),
            *[(name, value) for name, values in rows.items() for value in values],
            *[(f"oidc-auth.github.accessToken{name}", "1h") for name in ("TTL", "MaxTTL")],
            ("oidc-auth.github.accessTokenNumUsesLimit", "0"),
            ("oidc-auth.github.accessTokenPeriod", "0"),
            ("oidc-auth.github.accessTokenTrustedIps", "10.0.0.0/8"),
        ],
    )
    assert page.status == 422 and "Not empty here" in page.text
    form = page.form(f"{base}/identities/new")
    done = await browser.post(
        f"{base}/identities/new", form.filled({"oidc-auth.github.boundAudiences": "https://us.test"})
    )
    assert done.status == 200 and "https://us.test" in done.text and "id-token: write" in done.text


async def test_what_is_refused_after_the_identity_was_made_is_said(api: Api) -> None:
    browser, base = await begin(api)
    page = await made(
        browser, base, name="half", project="00000000-0000-4000-8000-000000000000", role="viewer", until=""
    )
    assert page.status == 207 and "Not all of it was made" in page.text and "A client secret" in page.text


async def test_a_new_identity_joins_a_project_for_a_time(api: Api) -> None:
    billing = await project(api)
    browser, base = await begin(api)
    page = await made(browser, base, name="visitor", project=billing["id"], role="viewer", until="2h")
    assert page.status == 200 and "Shown this once" in page.text
