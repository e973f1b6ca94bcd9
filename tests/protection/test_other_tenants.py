"""Whether something exists in another organization is not told: its ids are answered as ids that nobody has.

A caller who holds everything in an organization of its own asks for each thing of another one, and then for the same
with ids that were never given out. The answers are equal but for the ids.
"""

import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx
import pytest
import pytest_asyncio

from tests.protection.permissions import TABLE, Asks
from tests.protection.scenario import Persona, Scenario, running_scenario
from tests.protection.test_routes import ROUTES, filled, operation
from watchword.http.routing import Route

pytestmark = pytest.mark.asyncio(loop_scope="module")

OF_TENANTS = [
    route
    for route in ROUTES
    if route.modes
    and TABLE[operation(route)].where in ("org", "own_org", "project")
    and TABLE[operation(route)].names_others
]
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenario(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scenario]:
    async with running_scenario(tmp_path_factory.mktemp("tenants")) as found:
        yield found


def never_given_out(ids: Mapping[str, str]) -> dict[str, str]:
    """The same names, each with an id that nothing has. Slugs and names stay."""
    made = {value: str(uuid.uuid4()) if _ID.fullmatch(value) else value for value in ids.values()}
    return {name: made[value] for name, value in ids.items()}


async def ask(scenario: Scenario, route: Route, asks: Asks, persona: Persona, ids: Mapping[str, str]) -> httpx.Response:
    named = {**ids, **{name: ids.get(value, value) for name, value in asks.path.items()}}
    path, body, query = filled(route.path, named), filled(asks.body, ids), filled(asks.query, ids)
    scenario.api.client.cookies.clear()
    return await scenario.api.request(route.method, path, body, token=persona.token, query=query or None)


def told(reply: httpx.Response, ids: Mapping[str, str]) -> tuple[int, Any]:
    """The status and the body, without what differs from request to request and with names for ids."""
    text = reply.text
    for name, value in ids.items():
        if _ID.fullmatch(value):
            text = text.replace(value, f"<{name}>")
    body = json.loads(text)
    if isinstance(body, dict):
        body.pop("reqId", None)
    return reply.status_code, body


@pytest.mark.parametrize("route", OF_TENANTS, ids=operation)
async def test_ids_of_another_organization_are_answered_as_ids_of_nothing(scenario: Scenario, route: Route) -> None:
    asks = TABLE[operation(route)]
    theirs = [one for one in scenario.personas if one.tenant == "theirs" and one.kind in route.modes]
    unknown = never_given_out(scenario.ids)

    for persona in theirs:
        for_ours = told(await ask(scenario, route, asks, persona, scenario.ids), scenario.ids)
        for_nothing = told(await ask(scenario, route, asks, persona, unknown), unknown)

        assert for_nothing == for_ours, persona.name
