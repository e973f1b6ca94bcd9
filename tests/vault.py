"""A project full of secrets for tests, and machine identities with just the rules a test is about."""

from typing import Any

from tests.api import Api

RAW = "/api/v3/secrets/raw"


class Vault:
    """A new project of the first organization, called by its administrator unless a token is given."""

    def __init__(self, api: Api, project_id: str) -> None:
        self.api, self.project_id = api, project_id

    @classmethod
    async def new(cls, api: Api, name: str = "vault") -> "Vault":
        created = await api.ok("POST", "/api/v2/workspace", {"projectName": name})
        return cls(api, created["project"]["id"])

    def _where(self, env: str, path: str) -> dict[str, Any]:
        return {"workspaceId": self.project_id, "environment": env, "secretPath": path}

    async def call(
        self,
        method: str,
        name: str = "",
        *,
        env: str = "dev",
        path: str = "/",
        token: str = "",
        api: str = RAW,
        **more: Any,
    ) -> Any:
        """The response of a call on one secret or, without a name, on a folder."""
        url = f"{api}/{name}" if name else api
        if method == "GET":
            query = {key: str(value).lower() if isinstance(value, bool) else value for key, value in more.items()}
            return await self.api.get(
                url, token=token, query={**self._where(env, path), "projectId": self.project_id, **query}
            )
        return await self.api.request(method, url, {**self._where(env, path), **more}, token=token)

    async def put(self, name: str, value: str, **more: Any) -> dict[str, Any]:
        reply = await self.call("POST", name, secretValue=value, **more)
        assert reply.status_code == 200, reply.text
        return reply.json()["secret"]

    async def change(self, name: str, **more: Any) -> dict[str, Any]:
        reply = await self.call("PATCH", name, **more)
        assert reply.status_code == 200, reply.text
        return reply.json()["secret"]

    async def read(self, name: str, **more: Any) -> dict[str, Any]:
        reply = await self.call("GET", name, **more)
        assert reply.status_code == 200, reply.text
        return reply.json()["secret"]

    async def value(self, name: str, **more: Any) -> str:
        return (await self.read(name, **more))["secretValue"]

    async def every(self, **more: Any) -> dict[str, Any]:
        reply = await self.call("GET", **more)
        assert reply.status_code == 200, reply.text
        return reply.json()

    async def values(self, **more: Any) -> dict[str, str]:
        return {secret["secretKey"]: secret["secretValue"] for secret in (await self.every(**more))["secrets"]}

    async def folder(self, path: str, env: str = "dev") -> None:
        parent, _, name = path.rpartition("/")
        body = {"workspaceId": self.project_id, "environment": env, "name": name, "path": parent or "/"}
        await self.api.ok("POST", "/api/v1/folders", body)

    async def tag(self, slug: str) -> str:
        created = await self.api.ok(
            "POST", f"/api/v1/workspace/{self.project_id}/tags", {"slug": slug, "color": "#fff"}
        )
        return created["workspaceTag"]["id"]

    async def link(self, source: str, *, env: str = "dev", path: str = "/", source_env: str = "dev") -> Any:
        """The response of a new import of `source` into `path`."""
        body = {
            "workspaceId": self.project_id,
            "environment": env,
            "path": path,
            "import": {"environment": source_env, "path": source},
        }
        return await self.api.post("/api/v1/secret-imports", body)

    async def bot(self, *rules: dict[str, Any], slug: str = "narrow") -> str:
        """A token of a machine identity whose only role in the project has these rules."""
        roles = f"/api/v2/workspace/{self.project_id}/roles"
        await self.api.ok("POST", roles, {"slug": slug, "name": slug, "permissions": list(rules)})
        identity, token = await self.api.bot("no-access")
        path = f"/api/v2/workspace/{self.project_id}/identity-memberships/{identity['id']}"
        await self.api.ok("POST", path, {"role": slug})
        return token


def rule(*actions: str, subject: str = "secrets", inverted: bool = False, **conditions: Any) -> dict[str, Any]:
    """A permission rule."""
    fields: dict[str, Any] = {"subject": subject, "action": list(actions)}
    if conditions:
        fields["conditions"] = conditions
    return fields | ({"inverted": True} if inverted else {})
