"""The audit log and the stories of refused logins, read by those who may."""

from typing import Any

import msgspec
import pytest

from tests.api import EMAIL, PASSWORD, Api, running
from watchword.services.keys import rotation
from watchword.services.people import break_glass
from watchword.services.timestamps import iso
from watchword.services.upkeep import sweep
from watchword.settings import Settings

LOGS = "/api/v1/organization/audit-logs"
DENIALS = "/api/v1/organization/login-denials"
INSTANCE_LOGS = "/api/v1/admin/audit-logs"


async def logs(api: Api, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.ok("GET", LOGS, query=query))["auditLogs"]
    return found


async def test_what_was_done_is_listed_newest_first_with_who_did_it(any_api: Api) -> None:
    first = await any_api.identity(name="first")
    second = await any_api.identity(name="second")

    found = await logs(any_api, eventType="create-identity")

    assert [second["id"], first["id"]] == [one["event"]["metadata"]["identityId"] for one in found]
    assert "user" == found[0]["actor"]["type"]
    assert "admin@example.com" == found[0]["actor"]["metadata"]["email"]
    assert any_api.org_id == found[0]["orgId"]


async def test_events_of_no_organization_are_read_by_who_administers_the_instance(any_api: Api) -> None:
    _, administrator_of_the_organization = await any_api.bot("admin")
    await any_api.post("/api/v3/auth/login", {"email": "nobody@example.com", "password": "wrong"}, token=None)
    await any_api.post("/api/v3/auth/login", {"email": EMAIL, "password": "wrong"}, token=None)
    await break_glass.unlock(any_api.runtime, EMAIL, {"systemUser": "root"})
    await rotation.stage(any_api.runtime, "instance/people")
    await rotation.activate(any_api.runtime, "instance/people")

    async def of_instance(**query: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await any_api.ok("GET", INSTANCE_LOGS, query=query))["auditLogs"]
        return found

    refused = await any_api.get(INSTANCE_LOGS, token=administrator_of_the_organization)
    by_operators = await of_instance(actorType="operator")
    of_people = await of_instance(eventType="login-user-failed")
    of_keys = await of_instance(eventType="rotate-key")

    assert (403, 403) == (
        refused.status_code,
        (await any_api.get(INSTANCE_LOGS + "/export", token=administrator_of_the_organization)).status_code,
    )
    assert ["unlock-user"] == [one["event"]["type"] for one in by_operators]
    assert "root" == by_operators[0]["event"]["metadata"]["systemUser"]
    assert "instance/people" == of_keys[0]["event"]["metadata"]["scope"]
    assert {EMAIL} == {one["actor"]["metadata"]["email"] for one in of_people}
    assert {None} == {one["orgId"] for one in by_operators + of_people + of_keys}
    assert [] == await logs(any_api, eventType="unlock-user,rotate-key,login-user-failed")
    assert 200 == (await any_api.get(INSTANCE_LOGS, token=any_api.instance_token)).status_code


async def test_the_log_of_the_instance_is_exported_in_parts(any_api: Api) -> None:
    for _ in range(2):
        await break_glass.unlock(any_api.runtime, EMAIL, {"systemUser": "root"})
    query = {"eventType": "unlock-user", "limit": 1}

    first = await any_api.get(INSTANCE_LOGS + "/export", query=query)
    second = await any_api.get(INSTANCE_LOGS + "/export", query={**query, "after": first.headers["x-next"]})
    third = await any_api.get(INSTANCE_LOGS + "/export", query={**query, "after": second.headers["x-next"]})

    assert ["unlock-user"] * 2 == [msgspec.json.decode(part.content)["event"]["type"] for part in (first, second)]
    assert first.content != second.content
    assert b"" == third.content
    assert "x-next" not in third.headers


async def test_filters_narrow_the_log(any_api: Api) -> None:
    identity, _ = await any_api.bot("member")

    by_metadata = await logs(any_api, eventMetadata=f"identityId={identity['id']}", eventType="create-identity")
    by_wrong_metadata = await logs(any_api, eventMetadata="identityId=nobody")
    by_actor = await logs(any_api, actor=identity["id"])
    by_kind = await logs(any_api, actorType="identity")
    by_machine = await logs(any_api, actorType="machine")

    assert [identity["id"]] == [one["event"]["metadata"]["identityId"] for one in by_metadata]
    assert [] == by_wrong_metadata
    assert ["login-identity-universal-auth"] == [one["event"]["type"] for one in by_actor]
    assert by_actor == by_kind == by_machine
    assert {"identityId": identity["id"], "name": "bot"} == by_actor[0]["actor"]["metadata"]


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        ("cli", "cli"),
        ("k8-operator", "k8-operator"),
        ("terraform", "terraform"),
        ("Mozilla/5.0 (X11)", "web"),
        ("cli/2", "other"),
        ("InfisicalPythonSDK/1", "InfisicalPythonSDK"),
        ("curl/8", "other"),
    ],
)
async def test_the_kind_of_client_is_shown_and_can_be_filtered_by(any_api: Api, agent: str, kind: str) -> None:
    await any_api.ok(
        "POST",
        "/api/v1/identities",
        {"name": "seen", "organizationId": any_api.org_id, "role": "no-access"},
        headers={"user-agent": agent},
    )

    found = await logs(any_api, userAgentType=kind, eventType="create-identity")
    others = [
        one
        for other in ("web", "cli", "terraform")
        if other != kind
        for one in await logs(any_api, userAgentType=other)
    ]

    assert [(agent, kind)] == [(one["userAgent"], one["userAgentType"]) for one in found]
    assert agent not in [one["userAgent"] for one in others]


async def test_dates_limit_the_log(any_api: Api) -> None:
    await any_api.identity(name="early")
    any_api.clock.forward(7200)
    middle = any_api.runtime.clock()
    await any_api.identity(name="late")
    after = await logs(any_api, startDate=iso(middle), eventType="create-identity")
    before = await logs(any_api, endDate=iso(middle - 1), eventType="create-identity")

    assert (["late"], ["early"]) == tuple(
        [one["event"]["metadata"]["name"] for one in found] for found in (after, before)
    )


async def test_pages_do_not_overlap(any_api: Api) -> None:
    for i in range(5):
        await any_api.identity(name=f"bot{i}")

    pages = [await logs(any_api, eventType="create-identity", limit=2, offset=offset) for offset in (0, 2, 4)]

    assert ["bot4", "bot3", "bot2", "bot1", "bot0"] == [
        one["event"]["metadata"]["name"] for page in pages for one in page
    ]


async def test_an_export_goes_on_where_it_ended(any_api: Api) -> None:
    for i in range(3):
        await any_api.identity(name=f"bot{i}")

    first = await any_api.get(f"{LOGS}/export", query={"eventType": "create-identity", "limit": 2})
    rest = await any_api.get(
        f"{LOGS}/export", query={"eventType": "create-identity", "limit": 2, "after": first.headers["x-next"]}
    )

    assert (2, 1) == (len(first.text.splitlines()), len(rest.text.splitlines()))
    assert "application/x-ndjson; charset=utf-8" == first.headers["content-type"]
    assert "x-next" not in rest.headers


async def test_an_identity_without_the_permission_reads_no_log(api: Api) -> None:
    _, nobody = await api.bot("no-access")
    _, member = await api.bot("member")

    assert 403 == (await api.get(LOGS, token=nobody)).status_code
    assert 403 == (await api.get(DENIALS, token=nobody)).status_code
    assert 200 == (await api.get(LOGS, token=member)).status_code


async def test_another_organization_sees_nothing_of_it(api: Api) -> None:
    await api.identity(name="ours")
    _, other = await api.organization()

    reply = await api.ok("GET", LOGS, token=other, query={"eventType": "create-identity"})

    assert [] == reply["auditLogs"]


async def test_bad_filters_are_named(api: Api) -> None:
    for query in ({"startDate": "yesterday"}, {"limit": "1001"}, {"actorType": "ghost"}, {"eventMetadata": "x"}):
        reply = await api.get(LOGS, query=query)

        assert (422, next(iter(query))) == (reply.status_code, reply.json()["message"][0]["path"][0])


async def test_an_operator_reads_why_a_login_was_refused(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"])
    refused = await any_api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "0" * 64}, token=None)
    request_id = refused.json()["reqId"]

    found = (await any_api.ok("GET", f"{DENIALS}/{request_id}"))["loginDenial"]
    listed = (await any_api.ok("GET", DENIALS, query={"identityId": identity["id"]}))["loginDenials"]

    assert (identity["id"], "universal-auth") == (found["identityId"], found["authMethod"])
    assert found["reason"]
    assert found["checks"][-1]["passed"] is False
    assert [found] == listed


async def test_an_unknown_request_id_is_not_found(api: Api) -> None:
    assert 404 == (await api.get(f"{DENIALS}/req-nothing")).status_code


async def test_a_refused_login_of_nobody_is_for_instance_administrators_only(api: Api) -> None:
    refused = await api.post(
        "/api/v1/auth/universal-auth/login", {"clientId": "nobody", "clientSecret": "x"}, token=None
    )
    path = f"{DENIALS}/{refused.json()['reqId']}"
    _, member = await api.bot("admin")

    assert 200 == (await api.get(path)).status_code
    assert 404 == (await api.get(path, token=member)).status_code


# --- retention


async def of_project(api: Api, project_id: str) -> list[str]:
    found = (await api.ok("GET", f"/api/v1/projects/{project_id}/audit-logs", query={"limit": 1000}))["auditLogs"]
    return [one["event"]["type"] for one in found]


async def test_a_project_administrator_shortens_what_the_project_shows_and_nothing_else(any_api: Api) -> None:
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Short"}))["project"]
    url = f"/api/v1/projects/{project['id']}/audit-logs-retention"
    await any_api.ok("PUT", url, {"auditLogsRetentionDays": 5})
    before = await of_project(any_api, project["id"])

    any_api.clock.forward(6 * 86_400)
    await any_api.ok("PATCH", f"/api/v1/projects/{project['id']}", {"name": "Renamed"})
    await sweep(any_api.runtime)

    assert {"create-project", "update-project"} <= set(before)
    assert ["update-project"] == await of_project(any_api, project["id"])
    assert {"create-project", "update-project"} <= {one["event"]["type"] for one in await logs(any_api, limit=1000)}
    await any_api.ok("PUT", url, {"auditLogsRetentionDays": 60})
    assert set(before) <= set(await of_project(any_api, project["id"]))


async def test_who_did_only_what_the_project_no_longer_shows_is_not_among_its_actors(any_api: Api) -> None:
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Short"}))["project"]
    await any_api.ok("PUT", f"/api/v1/projects/{project['id']}/audit-logs-retention", {"auditLogsRetentionDays": 5})
    url = f"/api/v1/projects/{project['id']}/audit-logs/filters/actors"
    before = (await any_api.ok("GET", url))["actors"]

    any_api.clock.forward(6 * 86_400)

    assert (1, []) == (len(before), (await any_api.ok("GET", url))["actors"])


@pytest.mark.parametrize(
    "path", ["/api/v1/projects/{id}/audit-logs-retention", "/api/v1/workspace/{slug}/audit-logs-retention"]
)
async def test_a_retention_below_the_floor_of_the_instance_is_refused(any_api: Api, path: str) -> None:
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Short"}))["project"]
    url = path.format(**project)
    before = await of_project(any_api, project["id"])

    refused = await any_api.request("PUT", url, {"auditLogsRetentionDays": 0})
    await sweep(any_api.runtime)

    assert (422, "auditLogsRetentionDays") == (refused.status_code, refused.json()["message"][0]["path"][0])
    assert before == await of_project(any_api, project["id"])


async def test_the_floor_holds_for_a_retention_that_was_stored_before_it(any_settings: Settings) -> None:
    async with running(any_settings) as api:
        project = (await api.ok("POST", "/api/v2/workspace", {"projectName": "Short"}))["project"]
        await api.ok("PUT", f"/api/v1/projects/{project['id']}/audit-logs-retention", {"auditLogsRetentionDays": 1})
        api.clock.forward(5 * 86_400)
        hidden = await of_project(api, project["id"])
    async with running(msgspec.structs.replace(any_settings, audit_retention_floor_days=30), fresh=False) as raised:
        raised.clock.forward(5 * 86_400)
        raised.person = (
            await raised.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)
        )["accessToken"]
        raised.token = await raised.enter(api.org_id)
        shown = await of_project(raised, project["id"])

    assert ([], True) == (hidden, {"create-project", "update-project"} <= set(shown))


async def test_a_change_of_retention_is_an_event_of_the_organization(any_api: Api) -> None:
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Short"}))["project"]
    await any_api.ok("PUT", f"/api/v1/projects/{project['id']}/audit-logs-retention", {"auditLogsRetentionDays": 1})

    (found,) = await logs(any_api, eventType="update-project-audit-retention")

    assert {"projectId": project["id"], "auditLogsRetentionDays": 1, "before": None} == found["event"]["metadata"]
    assert found["projectId"] is None


async def test_the_events_of_a_deleted_project_stay_in_the_organization_s_log(any_api: Api) -> None:
    project = (await any_api.ok("POST", "/api/v2/workspace", {"projectName": "Short"}))["project"]
    await any_api.ok("PUT", f"/api/v1/projects/{project['id']}/audit-logs-retention", {"auditLogsRetentionDays": 1})
    await any_api.ok("DELETE", f"/api/v1/projects/{project['id']}")

    any_api.clock.forward(80 * 86_400)
    await sweep(any_api.runtime)
    any_api.clock.forward(-80 * 86_400)  # the session is as old as the events

    kept = {one["event"]["type"] for one in await logs(any_api, limit=1000)}
    assert {"create-project", "update-project", "delete-project", "update-project-audit-retention"} <= kept


async def _project(api: Api, name: str) -> str:
    project_id: str = (await api.ok("POST", "/api/v2/workspace", {"projectName": name}))["project"]["id"]
    return project_id


async def test_a_member_reads_events_of_the_projects_whose_log_it_may_read(any_api: Api) -> None:
    joined, other, without = [await _project(any_api, name) for name in ("joined", "other", "without")]
    bot, member = await any_api.bot("member")
    for project_id, role in ((joined, "viewer"), (without, "no-access")):
        await any_api.ok("POST", f"/api/v1/projects/{project_id}/identity-memberships/{bot['id']}", {"role": role})

    async def seen(token: str, **query: Any) -> set[str | None]:
        found = await any_api.ok("GET", LOGS, query={"limit": 1000, **query}, token=token)
        exported = await any_api.get(f"{LOGS}/export", query=query, token=token)
        lines = {msgspec.json.decode(line)["projectId"] for line in exported.text.splitlines()}
        listed = {one["projectId"] for one in found["auditLogs"]}
        assert lines == listed
        return listed

    assert {None, joined} == await seen(member)
    assert {None, joined, other, without} == await seen(any_api.token)
    assert set() == await seen(member, eventType="create-project", startDate=iso(0), eventMetadata="name=other")
    assert 403 == (await any_api.get(LOGS, query={"projectId": other}, token=member)).status_code

    await any_api.ok("DELETE", f"/api/v1/projects/{joined}/identity-memberships/{bot['id']}")

    assert {None} == await seen(member)


async def test_a_page_of_a_member_is_filled_with_what_it_may_see(any_api: Api) -> None:
    _, member = await any_api.bot("member")
    mine = [await any_api.identity(name=name) for name in ("first", "second")]
    for number in range(4):
        await _project(any_api, f"other{number}")

    found = await any_api.ok(
        "GET", LOGS, query={"limit": 2, "eventType": "create-identity,create-project"}, token=member
    )

    assert [mine[1]["id"], mine[0]["id"]] == [one["event"]["metadata"]["identityId"] for one in found["auditLogs"]]


async def test_refused_logins_of_a_projects_identity_are_shown_to_who_may_read_its_log(any_api: Api) -> None:
    project_id = await _project(any_api, "owner")
    _, member = await any_api.bot("member")
    owned = (await any_api.ok("POST", f"/api/v1/projects/{project_id}/identities", {"name": "owned"}))["identity"]
    login = await any_api.universal(owned["id"])
    refused = await any_api.post("/api/v1/auth/universal-auth/login", {**login, "clientSecret": "0" * 64}, token=None)
    path = f"{DENIALS}/{refused.json()['reqId']}"

    assert 200 == (await any_api.get(path)).status_code
    assert 404 == (await any_api.get(path, token=member)).status_code
    assert [] == (await any_api.ok("GET", DENIALS, token=member))["loginDenials"]
    assert 1 == len((await any_api.ok("GET", DENIALS))["loginDenials"])
