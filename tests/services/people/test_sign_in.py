"""Signing in, sessions and passwords of people, on both engines."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select, update

from tests.api import EMAIL, PASSWORD, Api, running, sqlite_settings
from tests.databases import placed
from watchword.app import Server
from watchword.domain.authentication.lockout import BESIEGED, CROWDED, DRAINED, FULL
from watchword.store import schema

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


async def test_the_command_that_falls_back_to_the_old_login_shows_the_words_for_a_wrong_password(api: Api) -> None:
    wrong = await api.post(LOGIN, WRONG, token=None)

    for path in ("/api/v1/auth/login1", "/api/v3/auth/login1", "/api/v1/auth/login2", "/api/v3/auth/login2"):
        reply = await api.post(path, {"email": EMAIL, "clientPublicKey": "00"}, token=None)

        assert (401, wrong.json()["message"]) == (reply.status_code, reply.json()["message"])


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

    await any_api.ok(
        "POST", "/api/v2/password/user/password-reset", {"oldPassword": PASSWORD, "newPassword": "another password"}
    )

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
    assert (
        200
        == (
            await any_api.post(LOGIN, {"email": "bob@example.com", "password": "a new password"}, token=None)
        ).status_code
    )


async def test_a_reset_link_expires(api: Api) -> None:
    bob = await joined(api, "bob@example.com")
    user = (await api.ok("GET", "/api/v1/user", token=bob))["user"]["id"]
    made = await api.ok("POST", f"/api/v1/admin/user-management/users/{user}/password-reset-link")

    api.clock.forward(3601)

    assert (
        401
        == (
            await api.post("/api/v1/password/reset", {"token": made["token"], "password": "a new password"}, token=None)
        ).status_code
    )


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


# --- strangers


def elsewhere(api: Api, address: str) -> httpx.AsyncClient:
    """A client at another address, without a cookie."""
    transport = httpx.ASGITransport(Server(api.runtime), client=(address, 40_000))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=transport, base_url="http://watchword.test")


async def test_strangers_with_wrong_passwords_lock_nobody_out_but_themselves(any_api: Api) -> None:
    """Forever: they go on guessing whenever they may."""
    async with elsewhere(any_api, "192.0.2.66") as stranger, elsewhere(any_api, "192.0.2.7") as admin:
        for _ in range(4):
            statuses = [(await stranger.post(LOGIN, json=WRONG)).status_code for _ in range(11)]
            assert {401} == set(statuses)
            assert 200 == (await admin.post(LOGIN, json=RIGHT)).status_code
            assert 401 == (await stranger.post(LOGIN, json=RIGHT)).status_code
            any_api.clock.forward(400)


async def test_a_device_that_signed_in_before_gets_through_where_its_address_is_shared_with_strangers(
    any_api: Api,
) -> None:
    async with elsewhere(any_api, "192.0.2.66") as stranger, elsewhere(any_api, "192.0.2.66") as known:
        assert 200 == (await known.post(LOGIN, json=RIGHT)).status_code
        for _ in range(11):
            await stranger.post(LOGIN, json=WRONG)

        assert 401 == (await stranger.post(LOGIN, json=RIGHT)).status_code
        assert 200 == (await known.post(LOGIN, json=RIGHT)).status_code


async def test_a_device_is_known_for_its_person_only_and_cannot_be_made_up(api: Api) -> None:
    await joined(api, "bob@example.com")
    bob = {"email": "bob@example.com", "password": PASSWORD}
    async with elsewhere(api, "192.0.2.66") as device:
        own = [
            cookie
            for cookie in (await device.post(LOGIN, json=bob)).headers.get_list("set-cookie")
            if cookie.startswith("wwd-")
        ]
        device.cookies.clear()
        theirs = [
            cookie
            for cookie in (await device.post(LOGIN, json=RIGHT)).headers.get_list("set-cookie")
            if cookie.startswith("wwd-")
        ]
        device.cookies.clear()
        for _ in range(11):
            await device.post(LOGIN, json=WRONG)
        name, value = theirs[0].partition(";")[0].split("=")
        bobs = own[0].partition(";")[0].split("=")[1]
        made_up = [f"{name}={bobs}", f"{name}={'0' * 24}.{value.partition('.')[2]}", f"{name}=", f"{name}=é"]
        statuses = [
            (await device.post(LOGIN, json=RIGHT, headers={"cookie": cookie.encode()})).status_code  # type: ignore[arg-type]
            for cookie in made_up
        ]
        right = await device.post(LOGIN, json=RIGHT, headers={"cookie": f"{name}={value}"})

    assert [401] * 4 == statuses
    assert 200 == right.status_code


async def test_the_wait_grows_and_the_refusal_says_how_long(any_api: Api) -> None:
    waits = []
    async with elsewhere(any_api, "192.0.2.66") as stranger:
        for _ in range(9):
            assert "retry-after" not in (await stranger.post(LOGIN, json=WRONG)).headers
        for _ in range(5):
            await stranger.post(LOGIN, json=WRONG)
            waits.append(int((await stranger.post(LOGIN, json=RIGHT)).headers["retry-after"]))
            any_api.clock.forward(waits[-1])

        assert 200 == (await stranger.post(LOGIN, json=RIGHT)).status_code
    assert [300, 600, 900, 900, 900] == waits


async def test_an_address_that_fails_too_often_is_refused_whomever_it_tries(api: Api) -> None:
    api.runtime.limits.failed_sign_ins._clock = lambda: 1.0
    async with elsewhere(api, "192.0.2.66") as stranger, elsewhere(api, "192.0.2.7") as other:
        statuses = [
            (
                await stranger.post(LOGIN, json={"email": f"somebody{i}@example.com", "password": "wrong password"})
            ).status_code
            for i in range(70)
        ]
        refused = await stranger.post(LOGIN, json=RIGHT)

        assert [401] * 60 + [429] * 10 == statuses
        assert (429, True) == (refused.status_code, int(refused.headers["retry-after"]) >= 1)
        assert 200 == (await other.post(LOGIN, json=RIGHT)).status_code
    async with api.runtime.store.read() as tx:
        kept = await tx.all(select(schema.denials.c.method, schema.denials.c.times))
        events = await tx.all(
            select(schema.audit_events.c.id).where(schema.audit_events.c.event == "login-user-failed")
        )
    assert [("password", 60)] == [tuple(row) for row in kept]
    assert [] == list(events)


async def kept(api: Api) -> int:
    async with api.runtime.store.read() as tx:
        return len(await tx.all(select(schema.person_failures.c.key)))


async def test_sign_ins_with_addresses_that_nobody_has_are_counted_and_leave_no_rows(any_api: Api) -> None:
    answers: dict[str, list[tuple[int, str | None]]] = {}
    for email in ("nobody@example.com", EMAIL):
        async with elsewhere(any_api, "192.0.2.66") as stranger:
            replies = [await stranger.post(LOGIN, json={**WRONG, "email": email}) for _ in range(12)]
        answers[email] = [(one.status_code, one.headers.get("retry-after")) for one in replies]
        if email != EMAIL:
            assert 0 == await kept(any_api)

    assert answers[EMAIL] == answers["nobody@example.com"]
    assert [(401, None)] * 10 + [(401, "300")] * 2 == answers[EMAIL]
    assert 2 == await kept(any_api)  # the address with this person, and all strangers with this person


async def test_what_only_another_server_saw_is_not_told_but_holds(tmp_path: Path, migrated_file: Path) -> None:
    settings = sqlite_settings(placed(migrated_file, tmp_path))
    async with running(settings) as one, running(settings, fresh=False) as other:
        async with elsewhere(one, "192.0.2.66") as stranger:
            for _ in range(10):
                await stranger.post(LOGIN, json=WRONG)
        async with elsewhere(other, "192.0.2.66") as stranger:
            known = await stranger.post(LOGIN, json=RIGHT)
            unknown = await stranger.post(LOGIN, json={**WRONG, "email": "nobody@example.com"})

    assert [401, 401] == [known.status_code, unknown.status_code]
    assert known.json()["message"] == unknown.json()["message"]
    assert "retry-after" not in {*known.headers, *unknown.headers}


async def level(api: Api, failures: int) -> None:
    """As if so many strangers had been wrong by now."""
    async with api.runtime.store.write() as tx:
        row = schema.person_failures
        begin = (await tx.all(select(row.c.key).where(row.c.key.like("%/strangers"))))[0][0]
        empty_at = api.clock() + failures * DRAINED
        await tx.run(update(row).where(row.c.key == begin).values(window_ends_at=empty_at, expires_at=empty_at))


async def test_while_many_addresses_guess_a_wrong_one_waits_at_once_and_a_new_one_not_at_all(any_api: Api) -> None:
    async with elsewhere(any_api, "192.0.2.66") as guesser, elsewhere(any_api, "192.0.2.7") as fresh:
        assert 401 == (await guesser.post(LOGIN, json=WRONG)).status_code
        assert 200 == (await guesser.post(LOGIN, json=RIGHT)).status_code
        guesser.cookies.clear()
        assert 401 == (await guesser.post(LOGIN, json=WRONG)).status_code
        await level(any_api, CROWDED)
        crowded = [
            (await guesser.post(LOGIN, json=RIGHT)).status_code,
            (await fresh.post(LOGIN, json=RIGHT)).status_code,
        ]
        fresh.cookies.clear()
        any_api.clock.forward(301)
        await level(any_api, BESIEGED + 5)
        besieged = [
            (await guesser.post(LOGIN, json=RIGHT)).status_code,
            (await fresh.post(LOGIN, json=RIGHT)).status_code,
        ]
        any_api.clock.forward(3_301)
        later = (await guesser.post(LOGIN, json=RIGHT)).status_code

    assert [401, 200] == crowded
    assert [401, 200] == besieged
    assert 200 == later


async def test_guesses_from_no_matter_how_many_addresses_are_bounded_and_known_devices_do_not_wait(
    any_api: Api,
) -> None:
    async with elsewhere(any_api, "192.0.2.7") as known, elsewhere(any_api, "192.0.2.66") as fresh:
        assert 200 == (await known.post(LOGIN, json=RIGHT)).status_code
        assert 401 == (await fresh.post(LOGIN, json=WRONG)).status_code
        await level(any_api, FULL + 5)
        full = [(await one.post(LOGIN, json=RIGHT)).status_code for one in (fresh, known)]
    async with elsewhere(any_api, "192.0.2.99") as never_wrong:
        waits = (await never_wrong.post(LOGIN, json=RIGHT)).status_code
        any_api.clock.forward(7 * DRAINED / 1000)
        drained = (await never_wrong.post(LOGIN, json=RIGHT)).status_code

    assert [401, 200] == full
    assert [401, 200] == [waits, drained]


# --- cookies


@pytest.mark.parametrize(
    ("site_url", "base", "peer", "proto", "secure"),
    [
        ("", "http://watchword.test", "192.0.2.7", "", False),
        ("https://watchword.example", "http://watchword.test", "192.0.2.7", "", True),
        ("http://watchword.example", "https://watchword.test", "192.0.2.7", "", True),
        ("", "http://watchword.test", "10.0.0.1", "https", True),
        ("", "http://watchword.test", "10.0.0.1", "http", False),
        ("", "http://watchword.test", "192.0.2.7", "https", False),  # anybody can send a header
    ],
)
async def test_cookies_are_secure_whenever_the_caller_speaks_tls(
    site_url: str, base: str, peer: str, proto: str, secure: bool, tmp_path: Path, migrated_file: Path
) -> None:
    settings = sqlite_settings(placed(migrated_file, tmp_path), site_url=site_url, trusted_proxies=("10.0.0.0/8",))
    async with running(settings) as api:
        transport = httpx.ASGITransport(Server(api.runtime), client=(peer, 40_000))  # type: ignore[arg-type]
        async with httpx.AsyncClient(
            transport=transport, base_url=base, headers={"x-forwarded-proto": proto} if proto else {}
        ) as client:
            signed_in = await client.post(LOGIN, json=RIGHT)
            out = await client.post(
                "/api/v1/auth/logout", headers={"authorization": f"Bearer {signed_in.json()['accessToken']}"}
            )

    cookies = [*signed_in.headers.get_list("set-cookie"), *out.headers.get_list("set-cookie")]
    assert 3 == len(cookies)
    assert {secure} == {"; Secure" in cookie for cookie in cookies}
    assert all("HttpOnly" in cookie and "SameSite=Strict" in cookie for cookie in cookies)
    assert secure == any(cookie.startswith("__Host-wwd-") and "Path=/;" in cookie for cookie in cookies)
    assert any(cookie.startswith("jid=") for cookie in cookies)


# --- weak passwords


async def test_a_weak_password_is_refused_wherever_one_is_chosen(api: Api) -> None:
    bob = await joined(api, "bob.builder@example.com")
    user = (await api.ok("GET", "/api/v1/user", token=bob))["user"]["id"]
    link = await api.ok("POST", f"/api/v1/admin/user-management/users/{user}/password-reset-link")
    invite = {"inviteeEmails": ["carol@example.com"], "organizationId": api.org_id}
    invitation = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0][
        "link"
    ].partition("=")[2]
    for weak in ("Password123!", "qwertyuiop123", "watchword2026", "builder1990"):
        changed = await api.post(
            "/api/v2/password/user/password-reset", {"oldPassword": PASSWORD, "newPassword": weak}, token=bob
        )
        reset = await api.post("/api/v1/password/reset", {"token": link["token"], "password": weak}, token=None)
        assert (422, 422) == (changed.status_code, reset.status_code), weak
        assert ["newPassword"] == changed.json()["message"][0]["path"]
    accepted = await api.post("/api/v1/invite-org/accept", {"token": invitation, "password": "carolcarol1"}, token=None)

    assert 422 == accepted.status_code
    assert ["password"] == accepted.json()["message"][0]["path"]
    assert "guessed" in accepted.json()["message"][0]["message"]
    good = await api.post("/api/v1/password/reset", {"token": link["token"], "password": "a new password"}, token=None)
    assert 200 == good.status_code  # the link was not used up by what was refused


async def test_a_login_with_a_password_that_is_changed_meanwhile_opens_no_session(
    any_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = any_api.runtime.passwords
    matches = queue.matches

    async def changed_meanwhile(*given: Any, **counted_as: Any) -> bool:
        monkeypatch.setattr(queue, "matches", matches)
        right = await matches(*given, **counted_as)
        await any_api.ok(
            "POST",
            "/api/v2/password/user/password-reset",
            {"oldPassword": PASSWORD, "newPassword": "another long password"},
        )
        return right

    monkeypatch.setattr(queue, "matches", changed_meanwhile)
    late = await any_api.post("/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None)

    assert 401 == late.status_code
