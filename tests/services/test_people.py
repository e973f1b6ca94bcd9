"""Signing in, sessions and passwords of people, on both engines."""

import asyncio

from tests.house import EMAIL, PASSWORD, Api

LOGIN = "/api/v3/auth/login"
WRONG = {"email": EMAIL, "password": "wrong password"}
RIGHT = {"email": EMAIL, "password": PASSWORD}


async def joined(api: Api, email: str, role: str = "no-access", password: str = PASSWORD) -> str:
    """A new person in the first organization: its token there."""
    invite = {"inviteeEmails": [email], "organizationId": api.org_id, "organizationRoleSlug": role}
    link = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
    body = {"token": link.partition("=")[2], "password": password, "firstName": "Bo"}
    made = await api.ok("POST", "/api/v1/invite-org/accept", body, token=None)
    return await api.enter(api.org_id, made["accessToken"])


async def test_an_address_is_found_in_any_spelling_of_its_case(api: Api) -> None:
    reply = await api.post(LOGIN, {"email": f"  {EMAIL.upper()} ", "password": PASSWORD}, token=None)

    assert 200 == reply.status_code


async def test_an_unknown_address_a_wrong_password_and_a_locked_account_answer_the_same(api: Api) -> None:
    wrong = await api.post(LOGIN, WRONG, token=None)
    unknown = await api.post(LOGIN, {**WRONG, "email": "nobody@example.com"}, token=None)
    for _ in range(9):
        await api.post(LOGIN, WRONG, token=None)
    locked = await api.post(LOGIN, RIGHT, token=None)

    assert [401, 401, 401] == [reply.status_code for reply in (wrong, unknown, locked)]
    assert 1 == len({reply.json()["message"] for reply in (wrong, unknown, locked)})


async def test_ten_wrong_passwords_lock_an_account_until_the_time_has_passed(any_api: Api) -> None:
    for _ in range(10):
        await any_api.post(LOGIN, WRONG, token=None)
    locked = await any_api.post(LOGIN, RIGHT, token=None)
    any_api.clock.forward(301)
    after = await any_api.post(LOGIN, RIGHT, token=None)

    assert (401, 200) == (locked.status_code, after.status_code)


async def test_failures_while_locked_do_not_lengthen_the_lock(any_api: Api) -> None:
    for _ in range(10):
        await any_api.post(LOGIN, WRONG, token=None)
    any_api.clock.forward(200)
    await any_api.post(LOGIN, WRONG, token=None)
    any_api.clock.forward(101)

    assert 200 == (await any_api.post(LOGIN, RIGHT, token=None)).status_code


async def test_a_right_password_forgets_the_wrong_ones_before_it(api: Api) -> None:
    for _ in range(2):
        for _ in range(9):
            await api.post(LOGIN, WRONG, token=None)
        reply = await api.post(LOGIN, RIGHT, token=None)

        assert 200 == reply.status_code


async def test_many_right_logins_at_once_all_succeed(any_api: Api) -> None:
    replies = await asyncio.gather(*[any_api.post(LOGIN, RIGHT, token=None) for _ in range(15)])

    assert [200] * 15 == [reply.status_code for reply in replies]


async def test_the_old_login_says_what_to_use_instead(api: Api) -> None:
    for path in ("/api/v1/auth/login1", "/api/v3/auth/login1", "/api/v1/auth/login2", "/api/v3/auth/login2"):
        reply = await api.post(path, {"email": EMAIL, "clientPublicKey": "00"}, token=None)

        assert 400 == reply.status_code
        assert "/api/v3/auth/login" in reply.json()["message"]


async def test_a_dead_token_in_the_header_does_not_stop_a_login(api: Api) -> None:
    assert 200 == (await api.post(LOGIN, RIGHT, token="dead.dead.dead")).status_code


async def test_the_refresh_cookie_gives_a_token_for_the_organization_chosen_last(api: Api) -> None:
    person = (await api.ok("POST", LOGIN, RIGHT, token=None))["accessToken"]
    await api.enter(api.org_id, person)

    token = (await api.ok("POST", "/api/v1/auth/token", token=None))["token"]

    assert 200 == (await api.get(f"/api/v1/organization/{api.org_id}", token=token)).status_code


async def test_a_refresh_cookie_that_was_made_up_or_whose_session_ended_is_refused(api: Api) -> None:
    sessions = await api.ok("GET", "/api/v2/users/me/sessions")
    api.client.cookies.clear()
    made_up = await api.post("/api/v1/auth/token", token=None, headers={"cookie": f"jid={sessions[0]['id']}.AAAA"})
    none = await api.post("/api/v1/auth/token", token=None)
    signed_in = await api.post(LOGIN, RIGHT, token=None)
    cookie = signed_in.headers["set-cookie"].partition(";")[0]
    await api.post("/api/v1/auth/logout", token=signed_in.json()["accessToken"])
    api.client.cookies.clear()
    ended = await api.post("/api/v1/auth/token", token=None, headers={"cookie": cookie})

    assert [401, 401, 401] == [reply.status_code for reply in (made_up, none, ended)]


async def test_a_session_that_is_ended_is_dead_at_once(any_api: Api) -> None:
    other = (await any_api.ok("POST", LOGIN, RIGHT, token=None))["accessToken"]
    newest = (await any_api.ok("GET", "/api/v2/users/me/sessions"))[0]

    await any_api.ok("DELETE", f"/api/v2/users/me/sessions/{newest['id']}")

    assert 401 == (await any_api.get("/api/v1/user", token=other)).status_code
    assert 200 == (await any_api.get("/api/v1/user")).status_code


async def test_nobody_ends_the_session_of_somebody_else(api: Api) -> None:
    bob = await joined(api, "bob@example.com")
    mine = (await api.ok("GET", "/api/v2/users/me/sessions"))[0]

    reply = await api.delete(f"/api/v2/users/me/sessions/{mine['id']}", token=bob)

    assert 404 == reply.status_code


async def test_a_changed_password_ends_the_other_sessions_and_keeps_this_one(any_api: Api) -> None:
    other = (await any_api.ok("POST", LOGIN, RIGHT, token=None))["accessToken"]

    await any_api.ok("POST", "/api/v2/password/user/password-reset", {"oldPassword": PASSWORD, "newPassword": "another password"})

    assert 401 == (await any_api.get("/api/v1/user", token=other)).status_code
    assert 200 == (await any_api.get("/api/v1/user")).status_code
    assert 401 == (await any_api.post(LOGIN, RIGHT, token=None)).status_code
    assert 200 == (await any_api.post(LOGIN, {"email": EMAIL, "password": "another password"}, token=None)).status_code


async def test_a_password_is_not_changed_without_the_old_one(api: Api) -> None:
    body = {"oldPassword": "wrong password", "newPassword": "another password"}

    assert 401 == (await api.post("/api/v2/password/user/password-reset", body)).status_code
    assert 200 == (await api.post(LOGIN, RIGHT, token=None)).status_code


async def test_a_reset_link_sets_a_password_once_and_ends_all_sessions(any_api: Api) -> None:
    bob = await joined(any_api, "bob@example.com")
    user = (await any_api.ok("GET", "/api/v1/user", token=bob))["user"]["id"]
    made = await any_api.ok("POST", f"/api/v1/admin/user-management/users/{user}/password-reset-link")
    body = {"token": made["token"], "password": "a new password"}

    first = await any_api.post("/api/v1/password/reset", body, token=None)
    second = await any_api.post("/api/v1/password/reset", body, token=None)

    assert (200, 401) == (first.status_code, second.status_code)
    assert 401 == (await any_api.get("/api/v1/user", token=bob)).status_code
    assert 200 == (await any_api.post(LOGIN, {"email": "bob@example.com", "password": "a new password"}, token=None)).status_code


async def test_a_reset_link_expires(api: Api) -> None:
    bob = await joined(api, "bob@example.com")
    user = (await api.ok("GET", "/api/v1/user", token=bob))["user"]["id"]
    made = await api.ok("POST", f"/api/v1/admin/user-management/users/{user}/password-reset-link")

    api.clock.forward(3601)

    assert 401 == (await api.post("/api/v1/password/reset", {"token": made["token"], "password": "a new password"}, token=None)).status_code


async def test_only_an_administrator_of_the_instance_makes_reset_links(api: Api) -> None:
    bob = await joined(api, "bob@example.com", "admin")
    user = (await api.ok("GET", "/api/v1/user", token=api.token))["user"]["id"]

    reply = await api.post(f"/api/v1/admin/user-management/users/{user}/password-reset-link", token=bob)

    assert 403 == reply.status_code


async def test_a_deactivated_account_is_shut_out_at_once(api: Api) -> None:
    bob = await joined(api, "bob@example.com")
    user = (await api.ok("GET", "/api/v1/user", token=bob))["user"]["id"]

    await api.ok("PATCH", f"/api/v1/admin/user-management/users/{user}", {"isActive": False})

    assert 401 == (await api.get("/api/v1/user", token=bob)).status_code
    assert 401 == (await api.post(LOGIN, {"email": "bob@example.com", "password": PASSWORD}, token=None)).status_code


async def test_a_deleted_account_leaves_nothing_behind(any_api: Api) -> None:
    bob = await joined(any_api, "bob@example.com")
    user = (await any_api.ok("GET", "/api/v1/user", token=bob))["user"]["id"]

    await any_api.ok("DELETE", f"/api/v1/admin/user-management/users/{user}")

    there = (await any_api.ok("GET", f"/api/v2/organizations/{any_api.org_id}/memberships"))["users"]
    assert [EMAIL] == [one["inviteEmail"] for one in there]
    assert 404 == (await any_api.delete(f"/api/v1/admin/user-management/users/{user}")).status_code
