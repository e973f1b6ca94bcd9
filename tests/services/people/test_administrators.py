"""The instance keeps an administrator, whoever tries to take the last one away and however many at once."""

import asyncio
from typing import Any

import pytest

from tests.api import Api
from watchword.store.people import administrators

USERS = "/api/v1/admin/user-management/users"


class Instance:
    """A person and a machine identity that administer the instance, which is all that a new one has."""

    def __init__(self, api: Api, person: str, identity: str) -> None:
        self.api, self.person, self.identity = api, person, identity

    @classmethod
    async def of(cls, api: Api) -> "Instance":
        person = (await api.ok("GET", USERS))["users"][0]["id"]
        found = (await api.ok("GET", f"/api/v1/identities?orgId={api.org_id}"))["identities"]
        return cls(api, person, found[0]["identityId"])

    async def deactivate(self) -> int:
        reply = await self.api.patch(f"{USERS}/{self.person}", {"isActive": False}, token=self.api.instance_token)
        return reply.status_code

    async def act(self, method: str, path: str, body: Any = None, token: str = "") -> int:
        reply = await self.api.request(
            method, path.format(identity=self.identity, org=self.api.org_id), body, token=token
        )
        return reply.status_code


ENDS: list[tuple[str, str, Any]] = [
    ("DELETE", "/api/v1/identities/{identity}", None),
    ("POST", "/api/v1/identities/{identity}/disable", {}),
    ("PATCH", "/api/v1/identities/{identity}", {"expiresAt": "2100-01-01T00:00:00Z"}),
    ("DELETE", "/api/v1/auth/token-auth/identities/{identity}", None),
]


@pytest.mark.parametrize(("method", "path", "body"), ENDS)
async def test_the_last_identity_that_administers_the_instance_stays(
    api: Api, method: str, path: str, body: Any
) -> None:
    instance = await Instance.of(api)
    assert 200 == await instance.deactivate()

    assert 400 == await instance.act(method, path, body, api.instance_token)
    assert 200 == (await api.get(USERS, token=api.instance_token)).status_code


@pytest.mark.parametrize(
    ("method", "path", "body"), [*ENDS, ("DELETE", "/api/v1/organization/identity-memberships/{identity}", None)]
)
async def test_the_last_person_stays_once_no_identity_is_left(api: Api, method: str, path: str, body: Any) -> None:
    instance = await Instance.of(api)
    other = (await api.identity("admin"))["id"]

    assert 200 == await instance.act(method, path, body)
    # Whoever could still call as an administrator finds the person to be the last one.
    codes = [
        await instance.deactivate(),
        (await api.delete(f"{USERS}/{instance.person}", token=api.instance_token)).status_code,
    ]
    assert not {200} & set(codes)
    assert 200 == (await api.delete(f"/api/v1/identities/{other}")).status_code


async def test_deleting_an_organization_with_the_last_identity_is_refused(api: Api) -> None:
    instance = await Instance.of(api)
    other, token = await api.organization()
    assert 200 == await instance.deactivate()

    assert 200 == (await api.get(USERS, token=api.instance_token)).status_code
    assert 401 == (await api.delete(f"/api/v2/organizations/{other}", token=token)).status_code


async def test_an_identity_that_cannot_log_in_does_not_count(api: Api) -> None:
    instance = await Instance.of(api)
    listed = await api.ok("GET", f"/api/v1/auth/token-auth/identities/{instance.identity}/tokens")
    held = await api.ok("POST", f"/api/v1/auth/token-auth/identities/{instance.identity}/tokens", {"name": "other"})
    await api.ok("POST", f"/api/v1/auth/token-auth/tokens/{listed['tokens'][0]['id']}/revoke")

    async def deactivate() -> int:
        return (
            await api.patch(f"{USERS}/{instance.person}", {"isActive": False}, token=held["accessToken"])
        ).status_code

    api.clock.forward(365 * 24 * 3600)
    assert 401 == await deactivate()
    assert (
        200
        == (
            await api.post("/api/v3/auth/login", {"email": "admin@example.com", "password": "correct horse battery"})
        ).status_code
    )


async def test_a_live_token_of_somebody_else_is_no_way_in(api: Api) -> None:
    instance = await Instance.of(api)
    other = (await api.identity("admin"))["id"]
    await api.ok("POST", f"/api/v1/auth/token-auth/identities/{other}", {})
    await api.ok("POST", f"/api/v1/auth/token-auth/identities/{other}/tokens", {"name": "alive"})
    for token in (await api.ok("GET", f"/api/v1/auth/token-auth/identities/{instance.identity}/tokens"))["tokens"]:
        await api.ok("POST", f"/api/v1/auth/token-auth/tokens/{token['id']}/revoke")

    async with api.runtime.store.read() as tx:
        assert 1 == await administrators.usable(tx, api.runtime.clock(), named="token-auth")


async def test_two_who_take_each_other_away_at_once_leave_one(any_api: Api) -> None:
    instance = await Instance.of(any_api)

    codes = await asyncio.gather(instance.deactivate(), instance.act("DELETE", "/api/v1/identities/{identity}"))

    assert 1 == list(codes).count(200), codes
    left = [(await any_api.get(USERS, token=token)).status_code for token in (any_api.token, any_api.instance_token)]
    assert 1 == left.count(200), left


async def test_a_reset_link_ends_with_the_administrator_who_made_it(any_api: Api) -> None:
    instance = await Instance.of(any_api)
    bob = await any_api.ok(
        "POST", "/api/v1/invite-org/signup", {"inviteeEmails": ["bob@example.com"], "organizationId": any_api.org_id}
    )
    link = bob["completeInviteLinks"][0]["link"].partition("=")[2]
    made = await any_api.ok(
        "POST", "/api/v1/invite-org/accept", {"token": link, "password": "bob's own password"}, token=None
    )
    links = [await any_api.ok("POST", f"{USERS}/{made['user']['id']}/password-reset-link", token=any_api.token)]
    assert 200 == await instance.deactivate()

    reply = await any_api.post(
        "/api/v1/password/reset", {"token": links[0]["token"], "password": "chosen by who left"}, token=None
    )

    assert 401 == reply.status_code
    login = {"email": "bob@example.com", "password": "bob's own password"}
    assert 200 == (await any_api.post("/api/v3/auth/login", login, token=None)).status_code
