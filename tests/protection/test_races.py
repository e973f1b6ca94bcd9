"""Requests that meet: whoever is second is told so, and nobody is answered with an error of ours.

Every changing route is asked several times at once, and beside the deletion of each thing that it may be about, on
PostgreSQL, where units run side by side. The routes and their bodies are those of the table of permissions.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from tests.api import Api, postgres_settings, running
from tests.databases import emptied
from tests.protection.permissions import TABLE, Asks
from tests.protection.scenario import Scenario
from tests.protection.test_routes import filled
from tests.vault import Vault
from watchword.domain.errors import Conflict, NotFound
from watchword.store import constraints, schema
from watchword.store.engine import AlreadyThere, Gone, StillNeeded

AT_ONCE = 5
CHANGING = [
    one
    for one, asks in TABLE.items()
    if not one.startswith(("GET ", "DELETE ")) and asks.where in ("org", "own_org", "project")
]
REMOVING = [
    "DELETE /api/v1/projects/{project_id}",
    "DELETE /api/v1/identities/{identity_id}",
    "DELETE /api/v1/organization/roles/{role_id}",
    "DELETE /api/v1/projects/{project_id}/roles/{role_id}",
    "DELETE /api/v1/projects/{project_id}/environments/{environment_id}",
    "DELETE /api/v2/folders/{folder_id_or_name}",
    "DELETE /api/v1/groups/{group_id}",
    "DELETE /api/v1/projects/{project_id}/tags/{tag_id}",
    "DELETE /api/v1/identity-templates/{template_id}",
    "DELETE /api/v2/secret-imports/{import_id}",
    "DELETE /api/v4/secrets/{secret_name}",
    "DELETE /api/v2/organizations/{organization_id}/memberships/{membership_id}",
    "DELETE /api/v2/organizations/{organization_id}",
]


@asynccontextmanager
async def new_scenario(request: pytest.FixtureRequest) -> AsyncIterator[Scenario]:
    settings = postgres_settings(await emptied(request.getfixturevalue("migrated")))
    async with running(msgspec.structs.replace(settings, database_pool=10)) as api:
        scenario = Scenario(api, api.runtime.store)  # type: ignore[arg-type]
        await scenario.add_targets()
        yield scenario


async def asked(scenario: Scenario, operation: str) -> tuple[str, int, str]:
    asks: Asks = TABLE[operation]
    method, _, path = operation.partition(" ")
    ids = {**scenario.ids, **{name: scenario.ids.get(value, value) for name, value in asks.path.items()}}
    ids.setdefault("role_id", ids["org_role_id" if "/organization" in path else "project_role_id"])
    body = filled(asks.body, ids) if asks.body is not None else {} if method != "DELETE" else None
    reply = await scenario.api.request(method, filled(path, ids), body, query=filled(asks.query, ids))
    return operation, reply.status_code, reply.text[:300]


def broken(answers: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    return [one for one in answers if one[1] >= 500]


async def test_every_change_can_be_asked_for_several_times_at_once(request: pytest.FixtureRequest) -> None:
    async with new_scenario(request) as scenario:
        found = []
        for operation in CHANGING:
            found += broken(await asyncio.gather(*[asked(scenario, operation) for _ in range(AT_ONCE)]))

    assert [] == found


@pytest.mark.parametrize("removal", REMOVING)
async def test_every_change_can_meet_the_deletion_of_what_it_is_about(
    request: pytest.FixtureRequest, removal: str
) -> None:
    async with new_scenario(request) as scenario:
        half = len(CHANGING) // 2
        operations = [*CHANGING[:half], removal, removal, *CHANGING[half:]]
        found = broken(await asyncio.gather(*[asked(scenario, operation) for operation in operations]))

    assert [] == found


async def outcomes(api: Api, method: str, path: str, body: Any, times: int = 6) -> Counter[int]:
    return Counter(
        reply.status_code for reply in await asyncio.gather(*[api.request(method, path, body) for _ in range(times)])
    )


async def test_one_address_invited_six_times_at_once_has_one_invitation(any_api: Api) -> None:
    body = {"inviteeEmails": ["new@example.com"], "organizationId": any_api.org_id}

    found = await outcomes(any_api, "POST", "/api/v1/invite-org/signup", body)

    assert {200: 6} == found
    people = (await any_api.ok("GET", f"/api/v2/organizations/{any_api.org_id}/memberships"))["users"]
    assert 1 == sum(one["inviteEmail"] == "new@example.com" for one in people)


async def test_six_upserts_of_one_secret_all_succeed(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    for batch in ("/api/v4/secrets/batch", "/api/v3/secrets/batch/raw"):
        body = {
            "projectId": vault.project_id,
            "workspaceId": vault.project_id,
            "environment": "dev",
            "mode": "upsert",
            "secrets": [{"secretKey": f"A{batch[5:7]}", "secretValue": "x"}],
        }

        assert {200: 6} == await outcomes(any_api, "PATCH", batch, body)


async def test_of_six_creations_of_one_secret_one_succeeds(any_api: Api) -> None:
    vault = await Vault.new(any_api)
    body = {"projectId": vault.project_id, "environment": "dev", "secrets": [{"secretKey": "A", "secretValue": "x"}]}

    assert {200: 1, 400: 5} == await outcomes(any_api, "POST", "/api/v4/secrets/batch", body)


# --- the sentences


@pytest.mark.parametrize("table", schema.metadata.sorted_tables, ids=lambda table: table.name)
def test_every_constraint_has_a_sentence(table: Any) -> None:
    sentences = [constraints.taken(table.name, columns) for _, columns in constraints.uniques(table)]
    sentences += [constraints.gone(table.name, (column,)) for column, _ in constraints.parents(table.name)]
    sentences.append(constraints.needed(table.name))

    assert [] == [one for one in sentences if "_" in one or "thing" in one or one.endswith("s was deleted meanwhile")]
    assert [] == [name for name, columns in constraints.uniques(table) if constraints.columns_of(name) != columns]


def test_a_refused_constraint_is_a_conflict_or_a_thing_that_is_gone() -> None:
    there, needed = AlreadyThere("x", "invitations", ("org_id", "email")).refusal, StillNeeded("x", "roles").refusal
    gone = Gone("x", "secrets", ("folder_id",)).refusal

    assert (Conflict, "There is an invitation with this address already") == (type(there), there.message)
    assert (Conflict, "The role is still in use: remove what uses it first") == (type(needed), needed.message)
    assert (NotFound, "The folder was deleted meanwhile") == (type(gone), gone.message)
    assert "The project, folder or account was deleted meanwhile" == Gone("x", "secrets").refusal.message
