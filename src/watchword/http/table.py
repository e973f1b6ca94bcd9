"""The route table: every operation of the API, area by area."""

from collections.abc import Iterable
from typing import Any

from watchword.http import auths, identities, people, projects, system
from watchword.http.routing import Route, Routes
from watchword.methods.base import AuthMethod
from watchword.services.authentication import Seen

AREAS: tuple[Routes, ...] = (
    system.routes,
    people.routes,
    identities.routes,
    auths.routes,
    projects.routes,
)


def table(methods: Iterable[AuthMethod[Any, Any]], seen: Seen) -> tuple[Route, ...]:
    """All routes of a server with these auth methods."""
    areas = (*AREAS, auths.method_routes(methods), auths.token_routes(seen))
    return tuple(route for area in areas for route in area.all)
