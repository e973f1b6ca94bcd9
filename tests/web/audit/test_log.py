"""The audit log as pages: sentences, facets, one event, files, and for whom."""

import csv
import io
import json

from tests.api import Api
from tests.web.browser import signed_in
from tests.web.filling import fill
from tests.web.people_of import narrow
from tests.web.test_home import home_of
from watchword.domain.audit.records import AuditEvent
from watchword.web.audit.sentences import sentence


async def test_each_event_is_a_sentence_that_leads_to_the_event(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    page = await browser.get(f"{base}/audit")
    assert "admin@example.com made identity" in page.text and "checkout-deploy" in page.text
    assert "<script>alert(1)" not in page.html
    event = await browser.get(f"{base}/audit/{known['event_id']}")
    assert event.status == 200 and known["event_id"] in event.text and "As JSON" in event.text


async def test_facets_narrow_the_list_and_stand_in_the_address(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    made = await browser.get(f"{base}/audit?event=create-project")
    assert "made project" in made.text and "made identity" not in made.text
    assert f"{base}/audit" in made.links
    machines = await browser.get(f"{base}/audit?actorType=identity")
    assert "made project" not in machines.text and "logged in with universal-auth" in machines.text
    assert "No event matches" in (await browser.get(f"{base}/audit?to=2001-01-01")).text
    assert "made project" in (await browser.get(f"{base}/audit?last=1h&event=create-project")).text
    path = await browser.get(f"{base}/audit?path=/&key=KEY_0&environment=dev")
    assert "KEY_0" in path.text and "KEY_1" not in path.text.replace("KEY_10", "")


async def test_a_filter_that_cannot_be_read_is_refused_beside_its_field(api: Api) -> None:
    page = await (await signed_in(api)).get(f"{await home_of(api)}/audit?from=yesterday")
    assert page.status == 422 and "from-wrong" in page.ids and "2027-01-31" in page.text


async def test_older_events_stand_on_a_further_page(api: Api) -> None:
    browser, base = await signed_in(api), await home_of(api)
    for number in range(55):
        await api.ok(
            "POST", "/api/v1/organization/roles", {"slug": f"r{number}", "name": f"Role {number}", "permissions": []}
        )
    first = await browser.get(f"{base}/audit")
    older = next(link for link in first.links if "after=" in link)
    second = await browser.get(older)
    assert "Role 54" in first.text and "Role 54" not in second.text and "Role 0" in second.text


async def test_a_refused_login_leads_to_its_checks(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    refused = await browser.get(f"{base}/audit?event=login-identity-universal-auth-failed")
    assert "was refused" in refused.text
    event = await browser.get(next(link for link in refused.links if link.startswith(f"{base}/audit/")))
    assert f"{base}/denials/{known['request_id']}" in event.links


async def test_files_hold_no_formula_and_every_line_is_json(api: Api) -> None:
    known = await fill(api)
    browser, base = await signed_in(api), f"/{known['organization']}"
    await api.ok(
        "PATCH", "/api/v2/users/me/name", {"firstName": "=cmd|' /C calc'!A0", "lastName": ""}, token=api.person
    )
    table = await browser.get(f"{base}/audit?format=csv&event=create-identity")
    assert table.headers["content-disposition"] == 'attachment; filename="audit-log.csv"'
    rows = list(csv.reader(io.StringIO(table.html)))
    assert rows[0][0] == "time" and len(rows) > 5
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in rows for cell in row)
    lines = await browser.get(f"{base}/audit?format=json&event=create-identity")
    assert {json.loads(line)["event"]["type"] for line in lines.html.splitlines()} == {"create-identity"}


async def test_who_may_not_read_the_log_is_told_what_is_missing(api: Api) -> None:
    browser, base = await narrow(api, role="no-access"), await home_of(api)
    for path in ("audit", "audit?format=csv", "audit/0190"):
        page = await browser.get(f"{base}/{path}")
        assert page.status == 403 and "audit-logs: read" in page.text


async def test_events_of_another_organization_are_none(api: Api) -> None:
    _, token = await api.organization("Other")
    await api.ok("POST", "/api/v1/projects", {"projectName": "Theirs"}, token=token)
    event = (await api.ok("GET", "/api/v1/organization/audit-logs", token=token))["auditLogs"][0]
    page = await (await signed_in(api)).get(f"{await home_of(api)}/audit/{event['id']}")
    assert page.status == 404


def test_an_event_that_nobody_has_described_is_still_told() -> None:
    event = AuditEvent(id="1", at=0, actor_kind="platform", event="polish-brass_plate", metadata={}, request_id="")
    told = sentence(event)
    assert told.did == "polish brass plate" and told.what == ""
