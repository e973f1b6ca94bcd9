"""The second factor: what it keeps out, that each proof works once, and the ways back in."""

import asyncio
import base64
from urllib.parse import parse_qs, urlsplit

import httpx
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP

from tests.api import EMAIL, PASSWORD, Api

LOGIN, VERIFY, TOTP_PATH = "/api/v3/auth/login", "/api/v2/auth/mfa/verify", "/api/v1/user/me/totp"
RIGHT = {"email": EMAIL, "password": PASSWORD}


class Authenticator:
    """A person's authenticator. Each code is used once, so the clock is moved to the next one."""

    def __init__(self, api: Api, url: str) -> None:
        self.api = api
        secret = base64.b32decode(parse_qs(urlsplit(url).query)["secret"][0])
        self.totp = TOTP(secret, 6, SHA1(), 30)

    def code(self, *, next: bool = True) -> str:
        if next:
            self.api.clock.forward(30)
        return self.totp.generate(self.api.clock() // 1000).decode()


async def enrolled(api: Api) -> tuple[Authenticator, list[str]]:
    made = await api.ok("POST", f"{TOTP_PATH}/register", {"password": PASSWORD})
    authenticator = Authenticator(api, made["otpUrl"])
    await api.ok("POST", f"{TOTP_PATH}/verify", {"totp": authenticator.code()})
    return authenticator, made["recoveryCodes"]


async def half_signed_in(api: Api) -> str:
    """Password given, organization chosen, second factor owed."""
    person = (await api.ok("POST", LOGIN, RIGHT, token=None))["accessToken"]
    chosen = await api.ok("POST", "/api/v3/auth/select-organization", {"organizationId": api.org_id}, token=person)
    assert (True, "totp") == (chosen["isMfaEnabled"], chosen["mfaMethod"])
    return chosen["token"]


async def test_a_token_without_the_second_factor_is_good_for_verifying_it_and_nothing_else(api: Api) -> None:
    authenticator, _ = await enrolled(api)
    token = await half_signed_in(api)
    paths = (
        "/api/v1/user",
        "/api/v2/users/me/sessions",
        f"/api/v1/organization/{api.org_id}",
        "/api/v1/organization/roles",
    )
    before = [(await api.get(path, token=token)).status_code for path in paths]
    removal = await api.delete(TOTP_PATH, {"password": PASSWORD}, token=token)

    verified = await api.ok("POST", VERIFY, {"mfaToken": authenticator.code(), "mfaMethod": "totp"}, token=token)

    assert [403] * 4 == before
    assert 403 == removal.status_code
    assert [200] * 4 == [(await api.get(path, token=verified["token"])).status_code for path in paths]


async def test_a_code_works_once(any_api: Api) -> None:
    authenticator, _ = await enrolled(any_api)
    first, second = await half_signed_in(any_api), await half_signed_in(any_api)
    code = authenticator.code()

    replies = [await any_api.post(VERIFY, {"mfaToken": code}, token=token) for token in (first, second)]

    assert [200, 401] == [reply.status_code for reply in replies]


async def test_a_code_of_long_ago_is_refused(api: Api) -> None:
    authenticator, _ = await enrolled(api)
    token = await half_signed_in(api)
    code = authenticator.code()
    api.clock.forward(90)

    assert 401 == (await api.post(VERIFY, {"mfaToken": code}, token=token)).status_code


async def test_guessing_codes_locks_the_second_factor(any_api: Api) -> None:
    authenticator, _ = await enrolled(any_api)
    token = await half_signed_in(any_api)
    for _ in range(10):
        await any_api.post(VERIFY, {"mfaToken": "not a code"}, token=token)
    locked = await any_api.post(VERIFY, {"mfaToken": authenticator.code()}, token=token)
    any_api.clock.forward(301)
    after = await any_api.post(VERIFY, {"mfaToken": authenticator.code()}, token=token)

    assert (401, 200) == (locked.status_code, after.status_code)


async def test_a_recovery_code_works_once_even_when_used_at_once(any_api: Api) -> None:
    _, codes = await enrolled(any_api)
    tokens = [await half_signed_in(any_api) for _ in range(4)]
    body = {"mfaToken": codes[0].upper(), "mfaMethod": "recovery-code"}

    replies = await asyncio.gather(*[any_api.post(VERIFY, body, token=token) for token in tokens])

    assert [200, 401, 401, 401] == sorted(reply.status_code for reply in replies)
    assert 9 == (await any_api.ok("GET", TOTP_PATH))["recoveryCodesLeft"]


async def test_setting_it_up_ends_the_other_sessions_and_not_this_one(any_api: Api) -> None:
    other = (await any_api.ok("POST", LOGIN, RIGHT, token=None))["accessToken"]

    await enrolled(any_api)

    assert 401 == (await any_api.get("/api/v1/user", token=other)).status_code
    assert 200 == (await any_api.get("/api/v1/user")).status_code


async def test_an_authenticator_that_was_never_confirmed_asks_nothing(api: Api) -> None:
    await api.ok("POST", f"{TOTP_PATH}/register", {"password": PASSWORD})

    person = (await api.ok("POST", LOGIN, RIGHT, token=None))["accessToken"]
    chosen = await api.ok("POST", "/api/v3/auth/select-organization", {"organizationId": api.org_id}, token=person)

    assert not chosen["isMfaEnabled"]


async def test_it_is_removed_only_with_the_password(api: Api) -> None:
    await enrolled(api)

    wrong = await api.delete(TOTP_PATH, {"password": "wrong password"})
    right = await api.delete(TOTP_PATH, {"password": PASSWORD})

    assert (401, 200) == (wrong.status_code, right.status_code)


async def test_an_organization_may_require_it(api: Api) -> None:
    path = f"/api/v1/organization/{api.org_id}"
    too_early = await api.patch(path, {"enforceMfa": True})
    await enrolled(api)
    await api.ok("PATCH", path, {"enforceMfa": True})
    invite = {"inviteeEmails": ["bob@example.com"], "organizationId": api.org_id}
    link = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
    bob = (
        await api.ok(
            "POST", "/api/v1/invite-org/accept", {"token": link.partition("=")[2], "password": PASSWORD}, token=None
        )
    )["accessToken"]
    refused = await api.post("/api/v3/auth/select-organization", {"organizationId": api.org_id}, token=bob)
    api.person, api.token = bob, bob
    await enrolled(api)
    entered = await api.post("/api/v3/auth/select-organization", {"organizationId": api.org_id}, token=bob)

    assert [400, 403, 200] == [reply.status_code for reply in (too_early, refused, entered)]


async def test_the_secret_is_sealed_in_the_database(api: Api) -> None:
    made = await api.ok("POST", f"{TOTP_PATH}/register", {"password": PASSWORD})
    secret = base64.b32decode(parse_qs(urlsplit(made["otpUrl"]).query)["secret"][0])
    await api.ok("POST", f"{TOTP_PATH}/verify", {"totp": Authenticator(api, made["otpUrl"]).code()})

    folder = api.runtime.settings.data_dir
    stored = b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())

    assert secret not in stored
    assert all(
        code.replace("-", "").encode() not in stored and code.encode() not in stored for code in made["recoveryCodes"]
    )


async def test_new_recovery_codes_ask_for_the_password(api: Api) -> None:
    _, codes = await enrolled(api)
    path = f"{TOTP_PATH}/recovery-codes"

    none, wrong = await api.post(path, {}), await api.post(path, {"password": "wrong password"})
    right = await api.ok("POST", path, {"password": PASSWORD})

    assert (422, 401) == (none.status_code, wrong.status_code)
    assert not set(codes) & set(right["recoveryCodes"])


async def test_whoever_guesses_codes_elsewhere_does_not_lock_out_a_device_that_passed_before(api: Api) -> None:
    authenticator, _ = await enrolled(api)
    await api.ok("POST", VERIFY, {"mfaToken": authenticator.code()}, token=await half_signed_in(api))
    known = httpx.Cookies(api.client.cookies)
    api.client.cookies.clear()
    token = await half_signed_in(api)
    for _ in range(11):
        await api.post(VERIFY, {"mfaToken": "not a code"}, token=token)
    stranger = await api.post(VERIFY, {"mfaToken": authenticator.code()}, token=token)
    api.client.cookies.update(known)

    back = await api.post(VERIFY, {"mfaToken": authenticator.code()}, token=await half_signed_in(api))

    assert (401, 200) == (stranger.status_code, back.status_code)


async def test_the_password_alone_makes_no_known_device_of_a_person_with_a_second_factor(api: Api) -> None:
    authenticator, _ = await enrolled(api)
    api.client.cookies.clear()
    token = await half_signed_in(api)
    before = [name for name in api.client.cookies if name.startswith("wwd-")]

    await api.ok("POST", VERIFY, {"mfaToken": authenticator.code()}, token=token)

    assert [] == before
    assert 1 == len([name for name in api.client.cookies if name.startswith("wwd-")])


async def test_a_second_factor_is_set_up_only_with_the_password(any_api: Api) -> None:
    bodies: list[dict[str, str] | None] = [
        None,
        {},
        {"password": ""},
        {"password": "wrong password"},
        {"password": PASSWORD},
    ]
    replies = [await any_api.post(f"{TOTP_PATH}/register", body) for body in bodies]

    assert [422, 422, 401, 401, 200] == [reply.status_code for reply in replies]
    assert ["password"] == replies[1].json()["message"][0]["path"]
    assert "otpauth" not in "".join(reply.text for reply in replies[:4])


async def test_guesses_of_the_password_by_a_stolen_session_are_counted_where_a_second_factor_is_set_up(
    any_api: Api,
) -> None:
    for _ in range(10):
        await any_api.post(f"{TOTP_PATH}/register", {"password": "wrong password"})

    assert 401 == (await any_api.post(f"{TOTP_PATH}/register", {"password": PASSWORD})).status_code
