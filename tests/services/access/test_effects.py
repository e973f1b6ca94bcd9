"""What somebody may do with secrets by place, with what gives it; and everybody beside several places, a page at a time."""

import pytest

from tests.api import Api
from tests.services.access.test_privileges import give
from tests.services.access.test_roles import READ_DEV, member, project, role
from tests.services.people.test_groups import group
from watchword.services.access import effects
from watchword.services.access.access_report import SecretSelection
from watchword.services.access.effects import Column, Effect, MatrixQuery
from watchword.services.authentication.bearer import VerifiedTokens, authenticate_bearer
from watchword.services.context import Ctx


async def ctx_of(api: Api, token: str = "") -> Ctx:
    ctx = Ctx(api.runtime, request_id="req-test")
    ctx.actor = await authenticate_bearer(ctx, token or api.token, VerifiedTokens(api.runtime.keys, 8))
    return ctx


def told(effect: Effect | None, place: int = 0) -> dict[str, str]:
    assert effect is not None
    return dict(effect.of(place))


async def test_each_action_has_its_extent_and_what_gives_it(any_api: Api) -> None:
    project_id, group_id = await project(any_api), await group(any_api)
    await role(any_api, project_id, READ_DEV)
    identity, _ = await member(any_api, project_id, "reader")
    rule = {"subject": "secrets", "action": ["edit"], "conditions": {"environment": "prod", "secretPath": "/db"}}
    await give(any_api, project_id, identity, rule, slug="extra")
    await any_api.ok("POST", f"/api/v1/groups/{group_id}/machine-identities/{identity}")
    await any_api.ok("POST", f"/api/v2/workspace/{project_id}/groups/{group_id}", {"role": "viewer"})

    [found], total = await effects.of_identity(await ctx_of(any_api), identity)

    slugs = [one.slug for one in found.environments]
    dev, prod = slugs.index("dev"), slugs.index("prod")
    assert total == 1 and found.is_member
    assert told(found.effect, dev) == {"describeSecret": "all", "readValue": "all"}
    assert told(found.effect, prod) == {"describeSecret": "all", "readValue": "all", "edit": "some"}
    assert found.effect is not None
    gives = {(one.source.slug, one.source.group): one.gives for one in found.effect.given}
    assert (prod, "edit") in gives["extra", None]
    assert (dev, "readValue") in gives["reader", None] and (prod, "readValue") not in gives["reader", None]
    assert (prod, "readValue") in gives["viewer", "Team"]


async def test_a_denial_takes_away_and_is_named_as_a_limit(api: Api) -> None:
    project_id = await project(api)
    identity, _ = await member(api, project_id, "viewer")
    rule = {"subject": "secrets", "action": ["readValue"], "conditions": {"environment": "prod"}, "inverted": True}
    await give(api, project_id, identity, rule, slug="not-prod")

    [found], _ = await effects.of_identity(await ctx_of(api), identity)

    assert found.effect is not None
    prod = [one.slug for one in found.environments].index("prod")
    assert told(found.effect, prod) == {"describeSecret": "all"}
    assert [one.source.slug for one in found.effect.given if one.source.limits] == ["not-prod"]


async def test_who_is_disabled_may_do_nothing(api: Api) -> None:
    project_id = await project(api)
    identity, _ = await member(api, project_id, "admin")
    await api.ok("POST", f"/api/v1/identities/{identity}/disable", {})

    [found], _ = await effects.of_identity(await ctx_of(api), identity)

    assert found.effect is not None and found.effect.is_stopped and told(found.effect) == {}


async def test_a_matrix_has_everybody_by_name_a_page_at_a_time(any_api: Api) -> None:
    project_id = await project(any_api)
    made = [(await any_api.identity(name=f"bot-{number}"))["id"] for number in range(5)]
    path = f"/api/v1/projects/{project_id}/memberships/identities"
    await any_api.ok("POST", f"{path}/{made[3]}", {"role": "viewer"})
    await any_api.ok("POST", f"{path}/{made[1]}", {"role": "no-access"})
    prod = Column(project_id=project_id, selection=SecretSelection(environment="prod"))
    query = MatrixQuery(kind="identity", columns=[prod], contains="bot-", limit=2)

    seen: list[tuple[str, dict[str, str]]] = []
    after: tuple[str, str] | None = None
    while True:
        ctx = await ctx_of(any_api)
        page = await effects.matrix(
            ctx, MatrixQuery(kind="identity", columns=[prod], contains="bot-", after=after, limit=2)
        )
        seen += [(row.member.name, told(row.cells[0])) for row in page.rows]
        after = page.after
        if after is None:
            break

    reading = {"describeSecret": "all", "readValue": "all"}
    assert seen == [("bot-0", {}), ("bot-1", {}), ("bot-2", {}), ("bot-3", reading), ("bot-4", {})]
    only = await effects.matrix(
        await ctx_of(any_api), MatrixQuery(kind="identity", columns=query.columns, can="readValue", limit=2)
    )
    assert [row.member.name for row in only.rows] == ["bot-3"] and only.after is None


async def test_who_can_read_one_secret_is_found_through_roles_privileges_and_groups(any_api: Api) -> None:
    project_id, group_id = await project(any_api), await group(any_api)
    rule = {"subject": "secrets", "action": ["readValue"], "conditions": {"secretName": "{{identity.metadata.key}}"}}
    await role(any_api, project_id, rule)
    own = (await any_api.identity(name="own", metadata=[{"key": "key", "value": "URL"}]))["id"]
    other = (await any_api.identity(name="other", metadata=[{"key": "key", "value": "ELSE"}]))["id"]
    grouped, given = (await any_api.identity(name="grouped"))["id"], (await any_api.identity(name="given"))["id"]
    path = f"/api/v1/projects/{project_id}/memberships/identities"
    for id in (own, other):
        await any_api.ok("POST", f"{path}/{id}", {"role": "reader"})
    await any_api.ok("POST", f"{path}/{given}", {"role": "no-access"})
    await any_api.ok("POST", f"/api/v1/groups/{group_id}/machine-identities/{grouped}")
    await any_api.ok("POST", f"/api/v2/workspace/{project_id}/groups/{group_id}", {"role": "viewer"})
    await give(
        any_api,
        project_id,
        given,
        {"subject": "secrets", "action": ["readValue"], "conditions": {"environment": "prod"}},
    )
    place = SecretSelection(environment="prod", secret_path="/", secret_name="URL")
    query = MatrixQuery(
        kind="identity", columns=[Column(project_id=project_id, selection=place)], can="readValue", limit=50
    )

    page = await effects.matrix(await ctx_of(any_api), query)

    assert [row.member.name for row in page.rows] == ["given", "grouped", "own"]


@pytest.mark.parametrize("kind", ["identity", "user"])
async def test_a_matrix_of_somebody_who_may_not_read_the_members_is_refused(api: Api, kind: str) -> None:
    project_id = await project(api)
    _, token = await member(api, project_id, "no-access")
    column = Column(project_id=project_id, selection=SecretSelection())
    with pytest.raises(Exception, match="not allowed"):
        await effects.matrix(await ctx_of(api, token), MatrixQuery(kind=kind, columns=[column]))  # type: ignore[arg-type]
