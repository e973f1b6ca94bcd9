"""Who may be in an organization, and as what."""

import asyncio

from tests.api import EMAIL, PASSWORD, Api
from tests.services.people.test_sign_in import joined


async def membership(api: Api, email: str) -> str:
    there = (await api.ok("GET", f"/api/v2/organizations/{api.org_id}/memberships"))["users"]
    return next(one["id"] for one in there if one["inviteEmail"] == email)


def invite(api: Api, email: str, role: str | None = None) -> dict[str, object]:
    return {"inviteeEmails": [email], "organizationId": api.org_id} | ({"organizationRoleSlug": role} if role else {})  # type: ignore[return-value]


async def link_token(api: Api, email: str, role: str = "no-access", **options: object) -> str:
    made = await api.ok("POST", "/api/v1/invite-org/signup", invite(api, email, role), **options)
    return made["completeInviteLinks"][0]["link"].partition("=")[2]


async def test_an_invited_person_is_shown_as_invited_and_then_as_a_member(any_api: Api) -> None:
    token = await link_token(any_api, "Bob@Example.com", "member")
    path = f"/api/v2/organizations/{any_api.org_id}/memberships"
    before = (await any_api.ok("GET", path))["users"]
    await any_api.ok("POST", "/api/v1/invite-org/accept", {"token": token, "password": PASSWORD}, token=None)
    after = (await any_api.ok("GET", path))["users"]

    assert [(EMAIL, "accepted"), ("bob@example.com", "invited")] == [
        (one["inviteEmail"], one["status"]) for one in before
    ]
    assert [(EMAIL, "accepted"), ("bob@example.com", "accepted")] == [
        (one["inviteEmail"], one["status"]) for one in after
    ]
    assert "member" == after[1]["role"]


async def test_a_link_works_once_even_when_it_is_used_many_times_at_once(any_api: Api) -> None:
    token = await link_token(any_api, "bob@example.com")
    body = {"token": token, "password": PASSWORD}

    replies = await asyncio.gather(*[any_api.post("/api/v1/invite-org/accept", body, token=None) for _ in range(6)])

    assert [200] == [reply.status_code for reply in replies if reply.status_code == 200]
    assert {200, 400, 401} >= {reply.status_code for reply in replies}


async def test_a_second_invitation_kills_the_first_link(api: Api) -> None:
    first = await link_token(api, "bob@example.com")
    await link_token(api, "bob@example.com")

    assert (
        401
        == (await api.post("/api/v1/invite-org/accept", {"token": first, "password": PASSWORD}, token=None)).status_code
    )


async def test_a_link_that_was_withdrawn_or_expired_is_dead(api: Api) -> None:
    made = await api.ok("POST", "/api/v1/invite-org/signup", invite(api, "bob@example.com"))
    withdrawn = made["completeInviteLinks"][0]
    await api.ok("DELETE", f"/api/v1/invite-org/{api.org_id}/{withdrawn['invitationId']}")
    expired = await link_token(api, "eve@example.com")
    api.clock.forward(8 * 24 * 3600)

    for token in (withdrawn["link"].partition("=")[2], expired):
        assert (
            401
            == (
                await api.post("/api/v1/invite-org/accept", {"token": token, "password": PASSWORD}, token=None)
            ).status_code
        )


async def test_the_inviter_cannot_take_an_account_over_with_the_link(api: Api) -> None:
    """The link is shown to the inviter: for an address that has an account it must not be enough."""
    await joined(api, "bob@example.com", password="bob's own password")
    other_id, other = await api.organization()
    made = await api.ok(
        "POST",
        "/api/v1/invite-org/signup",
        {"inviteeEmails": ["bob@example.com"], "organizationId": other_id},
        token=other,
    )
    token = made["completeInviteLinks"][0]["link"].partition("=")[2]

    chosen = await api.post(
        "/api/v1/invite-org/accept", {"token": token, "password": "chosen by the inviter"}, token=None
    )
    as_inviter = await api.post("/api/v1/invite-org/accept", {"token": token}, token=other)
    as_bob = await api.post("/api/v1/invite-org/accept", {"token": token, "password": "bob's own password"}, token=None)

    assert [401, 422, 200] == [reply.status_code for reply in (chosen, as_inviter, as_bob)]


async def test_nobody_invites_beyond_its_own_role(api: Api) -> None:
    made = {"slug": "inviter", "name": "Inviter", "permissions": [{"subject": "member", "action": ["create", "read"]}]}
    await api.ok("POST", "/api/v1/organization/roles", made)
    bob = await joined(api, "bob@example.com", "inviter")

    as_admin = await api.post("/api/v1/invite-org/signup", invite(api, "eve@example.com", "admin"), token=bob)
    by_default = await api.post("/api/v1/invite-org/signup", invite(api, "eve@example.com"), token=bob)
    as_nothing = await api.post("/api/v1/invite-org/signup", invite(api, "eve@example.com", "no-access"), token=bob)

    assert [403, 403, 200] == [reply.status_code for reply in (as_admin, by_default, as_nothing)]
    assert "PermissionBoundaryError" == as_admin.json()["error"]


async def test_nobody_raises_itself_or_touches_who_holds_more(api: Api) -> None:
    made = {
        "slug": "clerk",
        "name": "Clerk",
        "permissions": [{"subject": "member", "action": ["read", "edit", "delete"]}],
    }
    await api.ok("POST", "/api/v1/organization/roles", made)
    bob = await joined(api, "bob@example.com", "clerk")
    await joined(api, "eve@example.com", "admin")
    base = f"/api/v2/organizations/{api.org_id}/memberships"
    own, eve = await membership(api, "bob@example.com"), await membership(api, "eve@example.com")

    replies = [
        await api.patch(f"{base}/{own}", {"role": "admin"}, token=bob),
        await api.patch(f"{base}/{eve}", {"role": "no-access"}, token=bob),
        await api.patch(f"{base}/{eve}", {"isActive": False}, token=bob),
        await api.delete(f"{base}/{eve}", token=bob),
    ]

    assert [403] * 4 == [reply.status_code for reply in replies]


async def test_an_organization_keeps_an_administrator(api: Api) -> None:
    base = f"/api/v2/organizations/{api.org_id}/memberships/{await membership(api, EMAIL)}"

    replies = [
        await api.patch(base, {"role": "member"}),
        await api.patch(base, {"isActive": False}),
        await api.delete(base),
    ]

    assert [400] * 3 == [reply.status_code for reply in replies]


async def test_two_administrators_who_remove_each_other_leave_one(any_api: Api) -> None:
    bob = await joined(any_api, "bob@example.com", "admin")
    base = f"/api/v2/organizations/{any_api.org_id}/memberships"
    # The first one administers the instance, which bob may not touch: two more it is.
    eve = await joined(any_api, "eve@example.com", "admin")
    own = {name: await membership(any_api, f"{name}@example.com") for name in ("bob", "eve")}
    await any_api.ok("PATCH", f"{base}/{await membership(any_api, EMAIL)}", {"role": "no-access"})

    await asyncio.gather(
        any_api.delete(f"{base}/{own['eve']}", token=bob), any_api.delete(f"{base}/{own['bob']}", token=eve)
    )

    left = [await any_api.get(base, token=token) for token in (bob, eve)]
    assert [200, 403] == sorted(reply.status_code for reply in left)


async def test_a_suspended_person_is_shut_out_of_the_organization_and_its_projects_at_once(any_api: Api) -> None:
    bob = await joined(any_api, "bob@example.com", "member")
    project = (await any_api.ok("POST", "/api/v1/projects", {"projectName": "Bob's"}, token=bob))["project"]["id"]
    base = f"/api/v2/organizations/{any_api.org_id}/memberships/{await membership(any_api, 'bob@example.com')}"
    paths = (f"/api/v1/organization/{any_api.org_id}", f"/api/v1/projects/{project}")

    before = [(await any_api.get(path, token=bob)).status_code for path in paths]
    await any_api.ok("PATCH", base, {"isActive": False})
    suspended = [(await any_api.get(path, token=bob)).status_code for path in paths]
    await any_api.ok("PATCH", base, {"isActive": True})
    after = [(await any_api.get(path, token=bob)).status_code for path in paths]

    assert ([200, 200], [403, 403], [200, 200]) == (before, suspended, after)


async def test_who_was_removed_holds_nothing_when_invited_again(any_api: Api) -> None:
    bob = await joined(any_api, "bob@example.com", "member")
    project = (await any_api.ok("POST", "/api/v1/projects", {"projectName": "Bob's"}, token=bob))["project"]["id"]
    await any_api.ok(
        "DELETE", f"/api/v2/organizations/{any_api.org_id}/memberships/{await membership(any_api, 'bob@example.com')}"
    )
    removed = await any_api.get(f"/api/v1/projects/{project}", token=bob)
    token = await link_token(any_api, "bob@example.com")
    await any_api.ok("POST", "/api/v1/invite-org/accept", {"token": token}, token=bob)
    again = await any_api.get(f"/api/v1/projects/{project}", token=bob)

    assert (403, 403) == (removed.status_code, again.status_code)


async def test_a_membership_of_another_organization_is_unknown_here(api: Api) -> None:
    bob = await membership(api, EMAIL)
    other_id, other = await api.organization()

    assert 404 == (await api.get(f"/api/v2/organizations/{other_id}/memberships/{bob}", token=other)).status_code
    assert 403 == (await api.get(f"/api/v2/organizations/{api.org_id}/memberships/{bob}", token=other)).status_code


async def test_only_who_holds_everything_may_loosen_the_comparison_of_privileges(api: Api) -> None:
    made = {"slug": "clerk", "name": "Clerk", "permissions": [{"subject": "settings", "action": ["read", "edit"]}]}
    await api.ok("POST", "/api/v1/organization/roles", made)
    clerk = await joined(api, "bob@example.com", "clerk")
    path = f"/api/v1/organization/{api.org_id}"

    renamed = await api.patch(path, {"name": "Renamed"}, token=clerk)
    loosened = await api.patch(path, {"privilegeMode": "action"}, token=clerk)
    default = await api.patch(path, {"defaultMembershipRoleSlug": "admin"}, token=clerk)
    by_admin = await api.patch(path, {"privilegeMode": "action"})

    assert [200, 403, 403, 200] == [reply.status_code for reply in (renamed, loosened, default, by_admin)]
    assert by_admin.json()["organization"]["shouldUseNewPrivilegeSystem"]


async def test_the_slug_of_another_organization_is_taken(api: Api) -> None:
    _, other = await api.organization()
    taken = (await api.ok("GET", "/api/v1/organization", token=other))["organizations"][1]["slug"]

    reply = await api.patch(f"/api/v1/organization/{api.org_id}", {"slug": taken})

    assert 400 == reply.status_code


async def test_an_organization_with_something_protected_is_not_deleted(any_api: Api) -> None:
    kept = await any_api.identity(hasDeleteProtection=True)
    refused = await any_api.delete(f"/api/v2/organizations/{any_api.org_id}")
    await any_api.ok("PATCH", f"/api/v1/identities/{kept['id']}", {"hasDeleteProtection": False})
    deleted = await any_api.delete(f"/api/v2/organizations/{any_api.org_id}")

    assert (400, 200) == (refused.status_code, deleted.status_code)


async def test_an_invitation_is_worth_what_its_sender_could_give_now(any_api: Api) -> None:
    boss = await joined(any_api, "boss@example.com", "admin")
    links = {}
    for email, role in (("a@example.com", "admin"), ("b@example.com", "member")):
        links[email] = await link_token(any_api, email, role, token=boss)
    path = f"/api/v2/organizations/{any_api.org_id}/memberships/{await membership(any_api, 'boss@example.com')}"

    async def accept(email: str) -> int:
        body = {"token": links[email], "password": PASSWORD}
        return (await any_api.post("/api/v1/invite-org/accept", body, token=None)).status_code

    await any_api.ok("PATCH", path, {"role": "member"})
    demoted = [await accept("a@example.com"), await accept("b@example.com")]
    await any_api.ok("PATCH", path, {"role": "admin", "isActive": False})
    suspended = await accept("b@example.com")
    await any_api.ok("PATCH", path, {"isActive": True})
    back = await accept("b@example.com")
    await any_api.ok("DELETE", path)
    removed = await accept("a@example.com")

    # A member may read people and invite nobody.
    assert ([401, 401], 401, 200, 401) == (demoted, suspended, back, removed)


async def test_an_invitation_of_an_identity_ends_with_it(any_api: Api) -> None:
    identity, token = await any_api.bot("admin")
    link = await link_token(any_api, "a@example.com", "admin", token=token)
    await any_api.ok("POST", f"/api/v1/identities/{identity['id']}/disable", {})
    body = {"token": link, "password": PASSWORD}

    disabled = (await any_api.post("/api/v1/invite-org/accept", body, token=None)).status_code
    await any_api.ok("POST", f"/api/v1/identities/{identity['id']}/enable")

    assert (401, 200) == (disabled, (await any_api.post("/api/v1/invite-org/accept", body, token=None)).status_code)


async def test_who_could_not_invite_to_a_role_takes_no_invitation_to_it_back(api: Api) -> None:
    kept = [{"subject": "member", "action": ["read", "create", "edit", "delete"]}]
    await api.ok("POST", "/api/v1/organization/roles", {"slug": "keeper", "name": "Keeper", "permissions": kept})
    _, keeper = await api.bot("keeper")
    made = await api.ok("POST", "/api/v1/invite-org/signup", invite(api, "boss@example.com", "admin"))
    link = made["completeInviteLinks"][0]

    assert (
        403 == (await api.delete(f"/api/v1/invite-org/{api.org_id}/{link['invitationId']}", token=keeper)).status_code
    )
    again = await api.post("/api/v1/invite-org/signup", invite(api, "boss@example.com", "no-access"), token=keeper)
    assert 403 == again.status_code
    body = {"token": link["link"].partition("=")[2], "password": PASSWORD}
    assert 200 == (await api.post("/api/v1/invite-org/accept", body, token=None)).status_code


async def test_who_may_delete_an_organization_but_not_what_its_administrators_may_leaves_it(api: Api) -> None:
    other, owner = await api.organization()
    roles = f"/api/v1/organization/{other}/roles"
    rules = [{"subject": "settings", "action": ["read", "edit", "delete"]}]
    await api.ok("POST", roles, {"slug": "settler", "name": "Settler", "permissions": rules}, token=owner)
    invite_to = {"inviteeEmails": ["eve@example.com"], "organizationId": other, "organizationRoleSlug": "settler"}
    made = await api.ok("POST", "/api/v1/invite-org/signup", invite_to, token=owner)
    link = made["completeInviteLinks"][0]["link"].partition("=")[2]
    await api.ok("POST", "/api/v1/invite-org/accept", {"token": link, "password": PASSWORD}, token=None)
    login = {"email": "eve@example.com", "password": PASSWORD}
    eve = await api.enter(other, (await api.ok("POST", "/api/v3/auth/login", login, token=None))["accessToken"])

    assert 403 == (await api.delete(f"/api/v2/organizations/{other}", token=eve)).status_code
    assert 200 == (await api.delete(f"/api/v2/organizations/{other}", token=owner)).status_code
