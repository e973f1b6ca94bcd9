"""The route table: every operation of the API, area by area."""

from collections.abc import Iterable
from typing import Any

from watchword.http import system
from watchword.http.access import (
    access_report,
    explain,
    folder_access,
    organization_roles,
    privileges,
    project_roles,
)
from watchword.http.audit import events
from watchword.http.authentication import auth_methods, live_tokens, oauth, templates, wrapping
from watchword.http.identities import (
    alert_channels,
    identities,
    lifecycle,
    memberships,
    organization_owned,
    project_owned,
)
from watchword.http.openapi import documentation
from watchword.http.people import account, groups, organization_people, project_people, sign_in, sub_organizations
from watchword.http.projects import environments, folders, projects, service_tokens, tags, webhooks
from watchword.http.routing import Route, Routes
from watchword.http.secrets import files, history, imports, project_events, relations, secrets
from watchword.methods.base import AuthMethod
from watchword.services.authentication.bearer import VerifiedTokens

AREAS: tuple[Routes, ...] = (
    system.routes,
    events.routes,
    sign_in.routes,
    account.routes,
    organization_people.routes,
    sub_organizations.routes,
    identities.routes,
    lifecycle.routes,
    alert_channels.routes,
    live_tokens.routes,
    wrapping.routes,
    explain.routes,
    templates.routes,
    projects.routes,
    environments.routes,
    folders.routes,
    tags.routes,
    service_tokens.routes,
    webhooks.routes,
    organization_roles.routes,
    project_roles.routes,
    memberships.routes,
    privileges.routes,
    folder_access.routes,
    project_people.routes,
    organization_owned.routes,
    project_owned.routes,
    groups.routes,
    access_report.routes,
    secrets.routes,
    history.routes,
    relations.routes,
    imports.routes,
    files.routes,
    project_events.routes,
)


def table(methods: Iterable[AuthMethod[Any, Any]], verified_tokens: VerifiedTokens) -> tuple[Route, ...]:
    """All routes of a server with these auth methods."""
    of_methods = tuple(methods)
    areas = (
        *AREAS,
        auth_methods.credential_routes(of_methods),
        auth_methods.method_routes(of_methods),
        auth_methods.token_routes(verified_tokens),
        oauth.routes(verified_tokens),
    )
    routes = tuple(route for area in areas for route in area.all)
    return (*routes, *documentation(routes).all)
