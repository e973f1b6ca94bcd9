"""Disabled, enabled, expired: what that does to live tokens, and the reports."""

from typing import Any

from tests.api import Api

DAY = 24 * 3600


async def test_a_disabled_identity_is_refused_at_once_with_live_tokens_and_logins(any_api: Api) -> None:
    identity = await any_api.identity("member")
    login = await any_api.universal(identity["id"])
    token = await any_api.login(login)
    path = f"/api/v1/identities/{identity['id']}"
    before = await any_api.get(path, token=token)
    shown = await any_api.ok("POST", f"{path}/disable", {})
    disabled = await any_api.get(path, token=token)
    refused = await any_api.post("/api/v1/auth/universal-auth/login", login, token=None)
    renewed = await any_api.post("/api/v1/auth/token/renew", {"accessToken": token}, token=None)
    await any_api.ok("POST", f"{path}/enable")
    enabled = await any_api.get(path, token=token)

    assert shown["identity"]["isDisabled"]
    assert [200, 401, 401, 401, 200] == [reply.status_code for reply in (before, disabled, refused, renewed, enabled)]


async def test_disabling_may_end_the_tokens_for_good(api: Api) -> None:
    identity, token = await api.bot("member")
    path = f"/api/v1/identities/{identity['id']}"

    await api.ok("POST", f"{path}/disable", {"revokeTokens": True})
    await api.ok("POST", f"{path}/enable")

    assert 401 == (await api.get(path, token=token)).status_code


async def test_an_identity_ends_at_its_expiry_date_and_lives_on_without_one(any_api: Api) -> None:
    identity, token = await any_api.bot("member")
    path = f"/api/v1/identities/{identity['id']}"
    shown = await any_api.ok("PATCH", path, {"expiresAt": "2020-01-01T00:00:00Z", "owner": "team-a@example.com"})
    expired = await any_api.get(path, token=token)
    enabling = await any_api.post(f"{path}/enable")
    kept = await any_api.ok("PATCH", path, {"name": "renamed"})
    cleared = await any_api.ok("PATCH", path, {"expiresAt": None, "owner": None})
    alive = await any_api.get(path, token=token)

    assert ("2020-01-01T00:00:00.000Z", "team-a@example.com") == (
        shown["identity"]["expiresAt"],
        shown["identity"]["owner"],
    )
    assert "2020-01-01T00:00:00.000Z" == kept["identity"]["expiresAt"]
    assert (None, None) == (cleared["identity"]["expiresAt"], cleared["identity"]["owner"])
    assert [401, 400, 200] == [reply.status_code for reply in (expired, enabling, alive)]


async def test_an_expiry_date_must_be_a_date(api: Api) -> None:
    identity = await api.identity()

    for wrong in ("tomorrow", "2026-13-01T00:00:00Z", "0"):
        assert 422 == (await api.patch(f"/api/v1/identities/{identity['id']}", {"expiresAt": wrong})).status_code


async def test_who_holds_less_cannot_disable_who_holds_more(api: Api) -> None:
    admin, _ = await api.bot("admin")
    _, member = await api.bot("member")

    assert 403 == (await api.post(f"/api/v1/identities/{admin['id']}/disable", {}, token=member)).status_code


async def test_the_last_login_is_shown(api: Api) -> None:
    identity, _ = await api.bot("member")
    await api.runtime.journal.close()  # it writes moments of last use once a second, and at its end

    shown = (await api.ok("GET", f"/api/v1/identities/{identity['id']}"))["identity"]["identity"]

    assert ("universal-auth", "127.0.0.1") == (shown["lastLoginAuthMethod"], shown["lastLoginAddress"])
    assert shown["lastLoginTime"] is not None


async def report(api: Api, kind: str, **query: Any) -> tuple[list[str], str | None]:
    found = await api.ok("GET", f"/api/v1/organization/identity-reports/{kind}", query=query)
    return [one["name"] for one in found["identities"]], found["nextCursor"]


async def test_reports_name_the_unused_the_never_used_and_the_expiring(any_api: Api) -> None:
    used = await any_api.identity("member", name="used")
    await any_api.login(await any_api.universal(used["id"]))
    soon = await any_api.identity(name="soon")
    await any_api.ok("PATCH", f"/api/v1/identities/{soon['id']}", {"expiresAt": "2099-01-01T00:00:00Z"})
    await any_api.runtime.journal.close()
    fresh = [await report(any_api, kind, days=30) for kind in ("unused", "never-used", "expiring")]
    any_api.clock.forward(6 * DAY)

    assert [([], None)] * 3 == fresh
    assert (["soon"], None) == await report(any_api, "expiring", days=36_500)
    assert (["used"], None) == await report(any_api, "unused", days=5)
    assert (["Instance Admin Identity", "soon"], None) == await report(any_api, "never-used", days=5)


async def test_pages_of_a_report_follow_each_other_without_gap_or_repetition(any_api: Api) -> None:
    for number in range(7):
        await any_api.identity(name=f"bot {number}")
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page, cursor = await report(any_api, "never-used", days=0, limit=3, **({"cursor": cursor} if cursor else {}))
        seen += page

    assert ["Instance Admin Identity", *[f"bot {number}" for number in range(7)]] == seen


async def test_a_made_up_cursor_or_report_is_refused(api: Api) -> None:
    for path in (
        "unused?cursor=%21%21",
        "unused?cursor=W10%3D",
        "unused?cursor=a",
        "nonsense",
        "unused?days=-1",
        "unused?limit=0",
    ):
        assert 422 == (await api.get(f"/api/v1/organization/identity-reports/{path}")).status_code


async def test_an_identity_with_delete_protection_outlives_its_organization(api: Api) -> None:
    identity = await api.identity(hasDeleteProtection=True)

    for path in (f"/api/v1/identities/{identity['id']}", f"/api/v2/organizations/{api.org_id}"):
        assert 400 == (await api.delete(path)).status_code


async def test_an_identity_that_only_uses_named_tokens_is_not_reported_as_never_used(api: Api) -> None:
    await api.get("/api/v1/identities/details", token=api.instance_token)
    await api.runtime.journal.close()

    assert ([], None) == await report(api, "never-used", days=0)
