"""The route table: every operation of the API, area by area."""

from collections.abc import Iterable
from typing import Any

from watchword.http import (
    account,
    audit,
    auths,
    environments,
    explain,
    folders,
    groups,
    identities,
    lifecycle,
    memberships,
    oauth,
    org_people,
    org_roles,
    people,
    privileges,
    project_identities,
    project_people,
    project_roles,
    projects,
    secret_files,
    secret_imports,
    secrets_v3,
    secrets_v4,
    service_tokens,
    system,
    tags,
    templates,
    who,
)  # fmt: skip
from watchword.http.openapi import documentation
from watchword.http.routing import Route, Routes
from watchword.methods.base import AuthMethod
from watchword.services.authentication.bearer import Seen

AREAS: tuple[Routes, ...] = (
    system.routes,
    audit.routes,
    people.routes,
    account.routes,
    org_people.routes,
    identities.routes,
    lifecycle.routes,
    explain.routes,
    templates.routes,
    projects.routes,
    environments.routes,
    folders.routes,
    tags.routes,
    service_tokens.routes,
    org_roles.routes,
    project_roles.routes,
    memberships.routes,
    privileges.routes,
    project_people.routes,
    project_identities.routes,
    groups.routes,
    who.routes,
    secrets_v3.routes,
    secrets_v4.routes,
    secret_imports.routes,
    secret_files.routes,
)


def table(methods: Iterable[AuthMethod[Any, Any]], seen: Seen) -> tuple[Route, ...]:
    """All routes of a server with these auth methods."""
    of_methods = tuple(methods)
    areas = (*AREAS, auths.credential_routes(of_methods), auths.method_routes(of_methods), auths.token_routes(seen), oauth.routes(seen))
    routes = tuple(route for area in areas for route in area.all)
    return (*routes, *documentation(routes).all)
