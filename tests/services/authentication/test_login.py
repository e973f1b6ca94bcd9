"""The login flow on both engines: exact use limits, wrong secrets, uniform refusals."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.api import Api, running, sqlite_settings
from tests.databases import placed

LOGIN = "/api/v1/auth/universal-auth/login"


async def test_a_client_secret_limited_to_five_lets_exactly_five_of_two_hundred_logins_through(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"], {"numUsesLimit": 5}, lockoutEnabled=False)

    replies = await asyncio.gather(*[any_api.post(LOGIN, login, token=None) for _ in range(200)])

    assert [200] * 5 + [401] * 195 == sorted(reply.status_code for reply in replies)


async def test_a_token_limited_to_five_uses_serves_exactly_five_of_two_hundred_requests(any_api: Api) -> None:
    identity, token = await any_api.bot("member", accessTokenNumUsesLimit=5)
    path = f"/api/v1/identities/{identity['id']}"

    replies = await asyncio.gather(*[any_api.get(path, token=token) for _ in range(200)])

    assert [200] * 5 + [401] * 195 == sorted(reply.status_code for reply in replies)


async def test_an_unknown_client_id_answers_as_a_wrong_secret_does(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"])

    wrong = await any_api.post(LOGIN, {**login, "clientSecret": "0" * 64}, token=None)
    unknown = await any_api.post(LOGIN, {**login, "clientId": "01a203ee-9dba-7b90-b424-1f20aa43038b"}, token=None)

    assert (401, 401) == (wrong.status_code, unknown.status_code)
    assert wrong.json()["message"] == unknown.json()["message"]


async def test_revoking_a_client_secret_ends_its_tokens_at_once(any_api: Api) -> None:
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    token = await any_api.login(login)
    path = f"/api/v1/identities/{identity['id']}"
    before = await any_api.get(path, token=token)
    secrets = await any_api.ok("GET", f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets")

    await any_api.ok(
        "POST",
        f"/api/v1/auth/universal-auth/identities/{identity['id']}/client-secrets/{secrets['clientSecretData'][0]['id']}/revoke",
    )
    after = await any_api.get(path, token=token)

    assert (200, 401) == (before.status_code, after.status_code)


# --- networks


UNIVERSAL = "/api/v1/auth/universal-auth/identities"
V4_ONLY, LOOPBACK, ELSEWHERE = ["0.0.0.0/0"], ["127.0.0.0/8"], ["10.0.0.0/8"]


def networks(*ranges: str) -> list[dict[str, str]]:
    return [{"ipAddress": text} for text in ranges]


@asynccontextmanager
async def reached_from(address: str, folder: Path, migrated_file: Path, **settings: Any) -> AsyncIterator[Api]:
    async with running(sqlite_settings(placed(migrated_file, folder), **settings), address=address) as found:
        yield found


async def used(api: Api, token: str, identity_id: str, **options: Any) -> int:
    return (await api.get(f"/api/v1/identities/{identity_id}", token=token, **options)).status_code


@pytest.mark.parametrize(
    ("address", "ranges", "admitted"),
    [
        ("192.0.2.7", ["192.0.2.7"], True),
        ("192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.2.7", ["192.0.2.5/24"], True),  # host bits stay as they were written
        ("192.0.2.7", ["192.0.2.8"], False),
        ("192.0.2.7", ["198.51.100.0/24", "192.0.2.0/29"], True),
        ("192.0.2.7", ["::/0"], True),
        ("2001:db8::7", V4_ONLY, False),
        ("2001:db8::7", ["2001:DB8:0::/32"], True),
        ("::ffff:192.0.2.7", ["192.0.2.0/24"], True),
        ("192.0.2.7", ["::ffff:192.0.2.7"], True),
        ("not an address", ["192.0.2.7"], False),
    ],
)
async def test_a_login_and_a_use_are_accepted_from_trusted_networks_only(
    address: str, ranges: list[str], admitted: bool, tmp_path: Path, migrated_file: Path
) -> None:
    async with reached_from(address, tmp_path, migrated_file) as api:
        at_login = await api.universal((await api.identity("member"))["id"], clientSecretTrustedIps=networks(*ranges))
        logged_in = await api.post(LOGIN, at_login, token=None)
        identity, token = await api.bot("member", accessTokenTrustedIps=networks(*ranges))
        in_use = await used(api, token, identity["id"])

    assert ((200, 200) if admitted else (403, 403)) == (logged_in.status_code, in_use)


async def test_a_login_from_elsewhere_is_refused_before_the_secret_is_looked_at(any_api: Api) -> None:
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"], clientSecretTrustedIps=networks(*ELSEWHERE))

    right = await any_api.post(LOGIN, login, token=None)
    wrong = [await any_api.post(LOGIN, {**login, "clientSecret": "0" * 64}, token=None) for _ in range(5)]
    await any_api.ok("PATCH", f"{UNIVERSAL}/{identity['id']}", {"clientSecretTrustedIps": networks(*LOOPBACK)})

    assert {403} == {reply.status_code for reply in (right, *wrong)}
    assert 1 == len({reply.json()["message"] for reply in (right, *wrong)})
    assert 200 == (await any_api.post(LOGIN, login, token=None)).status_code


FORWARDED = [
    # trusted proxies, peer, X-Forwarded-For -> the address that counts
    ((), "192.0.2.1", "203.0.113.9", "192.0.2.1"),  # nobody is trusted: a header is just a header
    (("10.0.0.0/8",), "192.0.2.1", "203.0.113.9", "192.0.2.1"),  # the peer is not a proxy of ours
    (("10.0.0.0/8",), "10.0.0.1", "203.0.113.9", "203.0.113.9"),
    (
        ("10.0.0.0/8",),
        "10.0.0.1",
        "198.51.100.1, 203.0.113.9",
        "203.0.113.9",
    ),  # what the client wrote itself is to the left
    (("10.0.0.0/8",), "10.0.0.1", "203.0.113.9, 10.0.0.2, 10.0.0.3", "203.0.113.9"),
    (("10.0.0.0/8",), "::ffff:10.0.0.1", "203.0.113.9", "203.0.113.9"),
    (("10.0.0.0/8",), "10.0.0.1", "", "10.0.0.1"),
]


@pytest.mark.parametrize(("proxies", "peer", "header", "expected"), FORWARDED)
async def test_the_client_s_address_is_taken_from_headers_of_trusted_proxies_only(
    proxies: tuple[str, ...], peer: str, header: str, expected: str, tmp_path: Path, migrated_file: Path
) -> None:
    sent = {"x-forwarded-for": header} if header else {}
    async with reached_from(peer, tmp_path, migrated_file, trusted_proxies=proxies) as api:
        identity, token = await api.bot("member")
        answers = []
        for trusted in (expected, "198.51.100.99"):
            body = {"accessTokenTrustedIps": networks(trusted), "clientSecretTrustedIps": networks(trusted)}
            await api.ok("PATCH", f"{UNIVERSAL}/{identity['id']}", body)
            answers.append(await used(api, token, identity["id"], headers=sent))

    assert [200, 403] == answers


@pytest.mark.parametrize(
    "name",
    ["x-real-ip", "cf-connecting-ip", "true-client-ip", "x-client-ip", "forwarded", "x-forwarded", "fastly-client-ip"],
)
async def test_no_other_header_says_who_calls(name: str, tmp_path: Path, migrated_file: Path) -> None:
    async with reached_from("10.0.0.1", tmp_path, migrated_file, trusted_proxies=("10.0.0.0/8",)) as api:
        identity, token = await api.bot("member")
        await api.ok("PATCH", f"{UNIVERSAL}/{identity['id']}", {"accessTokenTrustedIps": networks("203.0.113.9")})

        assert 403 == await used(api, token, identity["id"], headers={name: "203.0.113.9"})


@pytest.mark.parametrize(
    "header",
    ["garbage", "203.0.113.9:4711", "[2001:db8::1]:80", "unknown", "1.2.3.4.5", "\x7f", ",,,", "203.0.113.9," * 400],
)
async def test_a_broken_forwarded_header_is_no_address_and_no_fault(
    header: str, tmp_path: Path, migrated_file: Path
) -> None:
    async with reached_from("10.0.0.1", tmp_path, migrated_file, trusted_proxies=("10.0.0.0/8",)) as api:
        identity, token = await api.bot("member")
        await api.ok("PATCH", f"{UNIVERSAL}/{identity['id']}", {"accessTokenTrustedIps": networks("198.51.100.0/24")})

        assert 403 == await used(api, token, identity["id"], headers={"x-forwarded-for": header})


# --- wrong secrets


async def test_whoever_knows_a_client_id_cannot_lock_its_workload_out(any_api: Api) -> None:
    """A secret of 256 random bits cannot be guessed, so that counting guesses would serve nobody but who wants
    to shut the workload out.
    """
    identity = await any_api.identity()
    login = await any_api.universal(identity["id"], lockoutThreshold=3)
    wrong = [{**login, "clientSecret": f"{i:064}"} for i in range(200)]

    replies = await asyncio.gather(*[any_api.post(LOGIN, body, token=None) for body in [*wrong, login]])

    assert {401} == {reply.status_code for reply in replies[:-1]}
    assert 200 == replies[-1].status_code
    assert 200 == (await any_api.post(LOGIN, login, token=None)).status_code
    assert (
        []
        == (await any_api.ok("GET", f"/api/v1/identities/{identity['id']}"))["identity"]["identity"][
            "activeLockoutAuthMethods"
        ]
    )


async def test_the_settings_of_the_lockout_stay_on_the_wire(api: Api) -> None:
    identity = await api.identity()
    path = f"{UNIVERSAL}/{identity['id']}"
    await api.universal(identity["id"], lockoutThreshold=7, lockoutDurationSeconds=60, lockoutCounterResetSeconds=9)

    read = (await api.ok("GET", path))["identityUniversalAuth"]

    assert (True, 7, 60, 9) == tuple(
        read[f"lockout{name}"] for name in ("Enabled", "Threshold", "DurationSeconds", "CounterResetSeconds")
    )
    assert {"deleted": 0} == await api.ok("POST", f"{path}/clear-lockouts")


# --- the secret


async def test_a_client_secret_ends_with_its_time(any_api: Api) -> None:
    login = await any_api.universal((await any_api.identity())["id"], {"ttl": 60})

    before = await any_api.post(LOGIN, login, token=None)
    any_api.clock.forward(61)

    assert (200, 401) == (before.status_code, (await any_api.post(LOGIN, login, token=None)).status_code)


async def test_white_space_around_credentials_is_the_file_s_and_not_theirs(api: Api) -> None:
    login = await api.universal((await api.identity())["id"])

    reply = await api.post(LOGIN, {name: f" {value}\n" for name, value in login.items()}, token=None)

    assert 200 == reply.status_code


@pytest.mark.parametrize(
    "change", [str.upper, lambda text: text[:-1], lambda text: text + "0", lambda text: "", lambda text: text + "\x00"]
)
async def test_only_the_exact_secret_opens(api: Api, change: Callable[[str], str]) -> None:
    login = await api.universal((await api.identity())["id"], lockoutEnabled=False)
    secret = change(login["clientSecret"])

    assert (await api.post(LOGIN, {**login, "clientSecret": secret}, token=None)).status_code in (401, 422)


async def test_a_secret_of_another_client_id_opens_nothing(any_api: Api) -> None:
    first = await any_api.universal((await any_api.identity())["id"])
    second = await any_api.universal((await any_api.identity())["id"])

    assert 401 == (await any_api.post(LOGIN, {**first, "clientSecret": second["clientSecret"]}, token=None)).status_code
