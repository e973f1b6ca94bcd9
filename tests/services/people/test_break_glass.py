"""Break glass: an operator with the database and the root key gets back in, beside a server that runs, and it
is in the audit log.
"""

from typing import Any

import pytest

from tests.api import EMAIL, PASSWORD, Api, running
from watchword.domain.errors import Invalid, NotFound
from watchword.domain.secret import Secret
from watchword.services.people import break_glass
from watchword.settings import Settings

NEW = "a new and long password"
BY = {"systemUser": "root"}


async def sign_in(api: Api, email: str, password: str) -> int:
    return (await api.post("/api/v3/auth/login", {"email": email, "password": password}, token=None)).status_code


async def joined(api: Api, email: str) -> str:
    """A new member of the first organization, and a token of its session."""
    invite = {"inviteeEmails": [email], "organizationId": api.org_id, "organizationRoleSlug": "no-access"}
    link = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
    await api.ok(
        "POST", "/api/v1/invite-org/accept", {"token": link.partition("=")[2], "password": PASSWORD}, token=None
    )
    person = (await api.ok("POST", "/api/v3/auth/login", {"email": email, "password": PASSWORD}, token=None))[
        "accessToken"
    ]
    return await api.enter(api.org_id, person)


async def events(api: Api, token: str, **query: Any) -> list[dict[str, Any]]:
    return (await api.ok("GET", "/api/v1/organization/audit-logs", token=token, query=query))["auditLogs"]


async def test_a_new_password_opens_and_ends_every_session_of_a_running_server(any_settings: Settings) -> None:
    async with running(any_settings) as api, running(any_settings, fresh=False) as beside:
        before = (await api.post("/api/v1/auth/checkAuth")).status_code
        done = await break_glass.reset_password(beside.runtime, " Admin@Example.com ", Secret(NEW), BY)
        after = (await api.post("/api/v1/auth/checkAuth")).status_code
        old, new = await sign_in(api, EMAIL, PASSWORD), await sign_in(api, EMAIL, NEW)

    assert (200, 401, 401, 200) == (before, after, old, new)
    assert done.sessions_ended >= 1


async def test_a_locked_person_is_let_in_again(any_settings: Settings) -> None:
    async with running(any_settings) as api, running(any_settings, fresh=False) as beside:
        api.client.cookies.clear()  # from a device that is not known
        for _ in range(12):
            await sign_in(api, EMAIL, "wrong")
        locked = await sign_in(api, EMAIL, PASSWORD)
        api.runtime.limits.failed_sign_ins._buckets.clear()  # of this process and address, and over in a minute
        await break_glass.unlock(beside.runtime, EMAIL, BY)
        opened = await sign_in(api, EMAIL, PASSWORD)

    assert (True, 200) == (locked != 200, opened)


async def test_a_locked_identity_is_let_in_again(any_api: Api) -> None:
    identity = await any_api.identity("member")

    assert 0 == await break_glass.unlock_identity(any_api.runtime, identity["id"], BY)
    with pytest.raises(NotFound):
        await break_glass.unlock_identity(any_api.runtime, "nobody", BY)


async def test_a_member_becomes_an_administrator_at_once_and_the_log_says_by_whom(any_settings: Settings) -> None:
    async with running(any_settings) as api, running(any_settings, fresh=False) as beside:
        token = await joined(api, "ada@example.com")
        people = "/api/v1/admin/user-management/users"
        before = (
            (await api.get(people, token=token)).status_code,
            (await api.get("/api/v1/organization/audit-logs", token=token)).status_code,
        )
        await break_glass.promote(beside.runtime, "ada@example.com", BY, organization_id=api.org_id)
        after = (await api.get(people, token=token)).status_code
        found = await events(api, token, actorType="operator", eventType="promote-instance-admin")

    assert ((403, 403), 200) == (before, after)
    assert 1 == len(found)
    assert ("operator", "root") == (found[0]["actor"]["type"], found[0]["event"]["metadata"]["systemUser"])


async def test_what_makes_no_sense_is_refused(any_api: Api) -> None:
    runtime = any_api.runtime
    for work in (
        break_glass.unlock(runtime, "nobody@example.com", BY),
        break_glass.promote(runtime, "nobody@example.com", BY),
        break_glass.reset_password(runtime, "nobody@example.com", Secret(NEW), BY),
        break_glass.promote(runtime, EMAIL, BY, organization_id="none"),
    ):
        with pytest.raises(NotFound):
            await work
    with pytest.raises(Invalid):
        await break_glass.reset_password(runtime, EMAIL, Secret("short"), BY)
