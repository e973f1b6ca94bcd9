"""Acts as text: quoting that no value breaks out of, variables for what is secret, and lines that a real shell runs."""

import asyncio
import json
import os
import shlex
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.filling import HOSTILE
from tests.web.listening import listening
from tests.web.operators import begin
from tests.web.people_of import narrow
from tests.web.scripts import run, text_of, written
from watchword.web.as_text import Call, Raw, Resource, label, path_to, shell, terraform

_TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=40)


@given(_TEXTS, _TEXTS)
def test_no_value_breaks_out_of_its_quotes(first: str, second: str) -> None:
    call = Call(
        title=first, method="POST", path=path_to("/api/{}", second), body={"a": first, "b": {"c": [second, 1, None]}}
    )
    script = shell([call], "https://example.com")
    comment, _, rest = script.partition("\n")
    assert comment.startswith("#")
    words = shlex.split(rest)
    assert words[4] == f"https://example.com{path_to('/api/{}', second)}"
    assert json.loads(words[words.index("--data") + 1]) == {"a": first, "b": {"c": [second, 1, None]}}
    assert not set("$`\\\"'") & set(path_to("{}", second))


@given(_TEXTS)
def test_no_value_becomes_an_expression_of_terraform(text: str) -> None:
    block = terraform([Resource(kind="x", label="y", arguments={"a": text, "b": Raw("z.id"), "c": {text: True}})])
    line = next(line for line in block.split("\n") if line.startswith("  a = "))
    assert json.loads(line.removeprefix("  a = ").replace("$${", "${").replace("%%{", "%{")) == text
    assert "b = z.id" in block


@pytest.mark.parametrize("name", [*HOSTILE, "", "9 lives", "ÄÖÜ"])
def test_a_label_is_one_that_terraform_takes(name: str) -> None:
    assert label(name).replace("_", "a").isalnum() and label(name).isascii() and not label(name)[0].isdigit()


def test_an_origin_that_is_none_is_a_variable() -> None:
    call = Call(title="x", method="GET", path="/api/status")
    assert '"$WATCHWORD_URL/api/status"' in shell([call], "https://a$(id).test")
    assert '"https://[::1]:8080/api/status"' in shell([call], "https://[::1]:8080")


async def test_an_act_is_not_done_when_its_text_is_asked_for(api: Api) -> None:
    browser, base = await begin(api)
    before = (await api.ok("GET", "/api/v1/organization/audit-logs"))["auditLogs"]
    new = f"{base}/identities/new"
    form = (await browser.get(new)).form(new).filled({"name": "one", "where": "universal-auth", "as_text": "1"})
    page = await browser.post(new, form)
    assert page.status == 200 and "POST" in written(page)
    assert (await api.ok("GET", "/api/v1/organization/audit-logs"))["auditLogs"] == before
    assert "<nav" in page.html  # a whole page without scripts, and a part of one with them
    part = await browser.post(f"{base}/identities/new", form, hx_request="true")
    assert "<html" not in part.html and written(part) == written(page)


async def test_what_is_wrong_with_the_form_is_said_in_place_of_the_text(api: Api) -> None:
    browser, base = await begin(api)
    page = await browser.post(f"{base}/identities/new", {"name": "", "where": "universal-auth", "as_text": "1"})
    assert "A name is required" in page.text and "curl" not in page.text
    assert (await browser.post(f"{base}/denials", {"as_text": "1"})).status in (404, 405)
    assert (await browser.post("/theme", {"as_text": "1"})).status == 404


async def test_a_text_tells_nothing_of_what_the_reader_may_not_know(api: Api) -> None:
    identity = await api.identity(name="hidden-from-bob")
    bob = await narrow(api, role="no-access")
    base = (await (await signed_in(api)).get("/")).path
    for action in ("disable", "settings", "tokens", "delete", "access", "authentication/universal-auth"):
        page = await bob.post(f"{base}/identities/{identity['id']}/{action}", {"as_text": "1", "project": "x"})
        assert "hidden-from-bob" not in page.text and "curl" not in page.text, action
    own = await bob.post(f"{base}/identities/new", {"as_text": "1"}, sec_fetch_site="cross-site")
    assert own.status == 403


async def test_what_is_secret_is_asked_for_and_never_shown(api: Api) -> None:
    identity = await api.identity()
    browser, base = await begin(api)
    here = f"{base}/identities/{identity['id']}/authentication/add/kubernetes-auth"
    wire = {"kubernetesHost": "https://k8s.test", "tokenReviewerJwt": "very-secret", "allowedNames": "it's"}
    form = (await browser.get(here)).form(here).filled(wire)
    for slug in ("api", "terraform"):
        assert "very-secret" not in await text_of(browser, here, form, slug)
    script = await text_of(browser, here, form)
    assert script.startswith("read -rs TOKEN_REVIEWER_JWT")
    [answer] = await run(api, script, TOKEN_REVIEWER_JWT="a'b\"$c")
    assert answer["identityKubernetesAuth"]["allowedNames"] == "it's"


@pytest.mark.skipif(
    not all(map(shutil.which, ("bash", "curl", "jq"))), reason="bash, curl and jq are needed to run the lines as shown"
)
async def test_a_real_shell_runs_the_lines(api: Api) -> None:
    browser = await signed_in(api)
    base = (await browser.get("/")).path
    name = 'it\'s "$HOME" `id` \\ ${x}'
    async with listening(api) as url:
        new = f"{base}/identities/new"
        form = (await browser.get(new)).form(new).filled({"name": name, "where": "universal-auth"})
        script = (await text_of(browser, new, form)).replace("http://watchword.test", url)
        process = await asyncio.create_subprocess_exec(
            "bash", "-euc", script, env={**os.environ, "WATCHWORD_TOKEN": api.token}, stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert process.returncode == 0 and b'"clientSecret"' in out
    found = await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}")
    assert name in [one["identity"]["name"] for one in found["identities"]]
