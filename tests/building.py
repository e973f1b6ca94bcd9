"""Projects, members and places for tests that need some."""

from typing import Any

from tests.api import Api

UNKNOWN = "11111111-2222-4333-8444-555555555555"


async def project(api: Api, name: str = "alpha", **body: Any) -> dict[str, Any]:
    """A new project of the caller, with its three environments."""
    fields = {"projectName": name, "slug": f"{name}-app", **body}
    return (await api.ok("POST", "/api/v1/projects", fields))["project"]


async def member(api: Api, project_id: str, role: str = "member", *, rules: list[dict[str, Any]] | None = None) -> str:
    """A token of a new identity in a project: with a built-in role, or with a custom one of these rules."""
    identity, token = await api.bot()
    if rules is not None:
        await api.ok("POST", f"/api/v1/projects/{project_id}/roles", {"slug": role, "name": role, "permissions": rules})
    await api.ok("POST", f"/api/v2/workspace/{project_id}/identity-memberships/{identity['id']}", {"role": role})
    return token


async def folder(
    api: Api, project_id: str, name: str, path: str = "/", environment: str = "dev", **fields: Any
) -> dict[str, Any]:
    """A new folder."""
    body = {"projectId": project_id, "environment": environment, "name": name, "path": path, **fields}
    return (await api.ok("POST", "/api/v2/folders", body))["folder"]


async def names(api: Api, project_id: str, path: str = "/", environment: str = "dev", **query: Any) -> list[str]:
    """The paths of the folders that are listed in a place."""
    parameters = {"projectId": project_id, "environment": environment, "path": path, **query}
    return [folder["path"] for folder in (await api.ok("GET", "/api/v2/folders", query=parameters))["folders"]]
