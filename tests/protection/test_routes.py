"""Every route for every kind of caller: who is refused, and how, as the table of permissions says."""

import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from tests.protection.permissions import TABLE, Asks
from tests.protection.power_routes import CONTENT, HARMLESS, OF_POWER
from tests.protection.scenario import Persona, Scenario, alternatives, running_scenario
from watchword.http.routing import Route
from watchword.http.table import table
from watchword.methods import registry

pytestmark = pytest.mark.asyncio(loop_scope="module")

ROUTES: tuple[Route, ...] = table(registry().values(), None)
LET_IN, UNKNOWN, REFUSED, HIDDEN = "let in", "401", "403", "403 or 404"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenario(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scenario]:
    async with running_scenario(tmp_path_factory.mktemp("scenario")) as found:
        yield found


def operation(route: Route) -> str:
    return f"{route.method} {route.path}"


def filled(value: Any, ids: Mapping[str, str]) -> Any:
    """`{name}` in texts, however deep, replaced."""
    if isinstance(value, str):
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], value)
    if isinstance(value, Mapping):
        return {key: filled(one, ids) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, ids) for one in value]
    return value


def expected(route: Route, asks: Asks, persona: Persona) -> str:
    """What the table says of this caller."""
    if persona.dead:
        return UNKNOWN
    if persona.kind not in route.modes:
        return REFUSED
    if asks.where == "service":
        return LET_IN
    if asks.where == "own":
        return LET_IN
    if asks.where == "instance":
        return LET_IN if persona.is_instance_admin else REFUSED
    if persona.tenant == "nobody's":
        return HIDDEN if asks.where == "project" else REFUSED
    if persona.tenant == "theirs":
        return LET_IN if asks.where == "own_org" and not asks.names_others else HIDDEN
    if persona.kind == "service":
        subjects = {subject for need in asks.needs for _, subject in alternatives(need)}
        return LET_IN if subjects <= {"secrets", "secret-folders", "secret-imports"} else REFUSED
    ability = persona.ability(asks.where)
    if ability is None:
        return HIDDEN
    if asks.over_all and not persona.is_instance_admin:
        return REFUSED
    if asks.whole and not persona.name.startswith(("admin", "instance admin")):
        return REFUSED
    met = all(any(ability.allows(action, subject) for action, subject in alternatives(need)) for need in asks.needs)
    return LET_IN if met else REFUSED


def seen(status: int, asks: Asks, wanted: str) -> str:
    """The status as the table speaks of it."""
    if status == 401:
        return UNKNOWN
    if status == 403 or (status == 404 and wanted == HIDDEN):
        return HIDDEN if wanted == HIDDEN else REFUSED
    if status >= 500 or (status in (405, 415, 422) and not (asks.late and status == 422)):
        return f"a broken request: {status}"
    return LET_IN


def personas(scenario: Scenario, route: Route, asks: Asks) -> list[Persona]:
    """All callers, and for a route that asks for a permission those who hold exactly it, and everything but it."""
    special = []
    if asks.needs:
        scope = "project" if asks.where == "project" else "organization"
        special = [
            scenario.special[kind, scope, asks.needs, which]
            for kind in ("identity", "user")
            for which in ("exactly", "all but")
        ]
    return [*scenario.personas, *special]


async def ask(scenario: Scenario, route: Route, asks: Asks, token: str | None) -> int:
    ids = {**scenario.ids, **{name: scenario.ids.get(value, value) for name, value in asks.path.items()}}
    path, body, query = filled(route.path, ids), filled(asks.body, scenario.ids), filled(asks.query, scenario.ids)
    scenario.api.client.cookies.clear()
    reply = await scenario.api.request(route.method, path, body, token=token, query=query or None)
    return reply.status_code


async def test_every_route_has_a_line_in_the_table_and_every_line_a_route() -> None:
    assert sorted(TABLE) == sorted(operation(route) for route in ROUTES)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.modes], ids=operation)
async def test_a_route_lets_in_whom_the_table_says(scenario: Scenario, route: Route) -> None:
    asks = TABLE[operation(route)]
    wanted = {persona.name: expected(route, asks, persona) for persona in personas(scenario, route, asks)} | {
        "nobody": UNKNOWN
    }

    got = {"nobody": seen(await ask(scenario, route, asks, None), asks, UNKNOWN)}
    for persona in personas(scenario, route, asks):
        got[persona.name] = seen(await ask(scenario, route, asks, persona.token), asks, wanted[persona.name])

    assert wanted == got


@pytest.mark.parametrize("route", [route for route in ROUTES if not route.modes], ids=operation)
async def test_a_public_route_answers_nobody_without_breaking(scenario: Scenario, route: Route) -> None:
    asks = TABLE[operation(route)]

    status = await ask(scenario, route, asks, None)

    assert status < 500 or (status == 503 and route.path == "/readyz")


async def test_there_are_thousands_of_cases(scenario: Scenario) -> None:
    cases = sum(len(personas(scenario, route, TABLE[operation(route)])) + 1 for route in ROUTES if route.modes)

    assert cases > 3000


@pytest.mark.parametrize("one", sorted(one for one, why in HARMLESS.items() if why == CONTENT))
async def test_a_route_said_to_write_content_writes_nothing_about_who_may_do_what(scenario: Scenario, one: str) -> None:
    route = next(route for route in ROUTES if operation(route) == one)
    caller = next(persona for persona in scenario.personas if persona.name == "instance admin")
    scenario.store.wrote.clear()

    await ask(scenario, route, TABLE[one], caller.token)

    assert set() == scenario.store.wrote & OF_POWER, "attempt it in tests/protection/power_routes.py"
