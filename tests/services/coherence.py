"""Changes and reads that race, on any number of servers over one database: no request that begins after a change was
answered
may see what was before it.

Two kinds of races. A *toggle* is changed to and fro by one writer while readers ask every server; each read is judged
by the changes that were answered before it began and sent before it ended. An *end* (a revocation, a removal) is
answered by one server, and in the same moment every server is asked.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from tests.api import EMAIL, PASSWORD, Api

IDENTITIES = "/api/v1/identities"
UNIVERSAL = "/api/v1/auth/universal-auth"
LOGIN = f"{UNIVERSAL}/login"
Ask = Callable[[Api], Awaitable[Any]]

LEAST = 4  # changes of each toggle


class Toggle:
    """One thing that changes, its history, and the reads that saw what they must not see."""

    def __init__(
        self, name: str, values: Sequence[Any], change: Callable[[Api, Any], Awaitable[Any]], see: Ask
    ) -> None:
        self.name = name
        self.values = values
        self.history = [values[0]]
        self.answered = 0
        self.reads = 0
        self.stale: list[str] = []
        self._change = change
        self._see = see

    async def write(self, servers: Sequence[Api], until: float) -> None:
        i = 0
        while asyncio.get_running_loop().time() < until or i < LEAST:
            i += 1
            value = self.values[i % len(self.values)]
            self.history.append(value)
            await self._change(servers[i % len(servers)], value)
            self.answered = i
            # Some reads between two changes, and now and then none.
            await asyncio.sleep(0.002 * (i % 4))

    async def read(self, server: Api, done: asyncio.Event) -> None:
        while not done.is_set():
            first = self.answered
            seen = await self._see(server)
            self.reads += 1
            await asyncio.sleep(0)  # in process nothing else is sure to let others run
            possible = self.history[first:]
            if seen not in possible:
                self.stale.append(f"{self.name}: {seen} after change {first} where {possible} was possible")


async def race(servers: Sequence[Api], toggles: Sequence[Toggle], *, seconds: float) -> tuple[int, int]:
    """Change every toggle for so long, and `LEAST` times however slow the machine, while every server is asked.

    Returns how many changes and reads there were. Raises at a stale one.
    """
    done = asyncio.Event()
    reading = [asyncio.create_task(one.read(server, done)) for one in toggles for server in servers]
    until = asyncio.get_running_loop().time() + seconds
    try:
        await asyncio.gather(*[one.write(servers, until) for one in toggles])
    finally:
        done.set()
        await asyncio.gather(*reading)
    stale = [line for one in toggles for line in one.stale]
    assert [] == stale[:10]
    return sum(one.answered for one in toggles), sum(one.reads for one in toggles)


def status_of(path: str, token: str) -> Ask:
    async def see(server: Api) -> int:
        return (await server.get(path, token=token)).status_code

    return see


async def everything(api: Api) -> list[Toggle]:
    """A toggle for each thing that can be taken away and given back."""
    return [
        await disabling(api),
        await roles(api),
        await networks(api),
        await custom_roles(api),
        await memberships(api),
        await secret_values(api),
    ]


async def disabling(api: Api) -> Toggle:
    identity, token = await api.bot("member")
    path = f"{IDENTITIES}/{identity['id']}"

    async def change(server: Api, value: int) -> None:
        await server.ok("POST", f"{path}/{'enable' if value == 200 else 'disable'}", {})

    return Toggle("disabling", (200, 401), change, status_of(path, token))


async def roles(api: Api) -> Toggle:
    identity, token = await api.bot("member")
    path = f"{IDENTITIES}/{identity['id']}"

    async def change(server: Api, value: int) -> None:
        await server.ok("PATCH", path, {"role": "member" if value == 200 else "no-access"})

    return Toggle("role", (200, 403), change, status_of(path, token))


async def networks(api: Api) -> Toggle:
    identity, token = await api.bot("member")

    async def change(server: Api, value: int) -> None:
        trusted = [{"ipAddress": "127.0.0.0/8" if value == 200 else "10.9.8.7"}]
        await server.ok("PATCH", f"{UNIVERSAL}/identities/{identity['id']}", {"accessTokenTrustedIps": trusted})

    return Toggle("trusted networks", (200, 403), change, status_of(f"{IDENTITIES}/{identity['id']}", token))


async def custom_roles(api: Api) -> Toggle:
    rules = [{"subject": "identity", "action": "read"}]
    role = (
        await api.ok(
            "POST",
            f"/api/v1/organization/{api.org_id}/roles",
            {"slug": "looker", "name": "Looker", "permissions": rules},
        )
    )["role"]
    identity, token = await api.bot("looker")

    async def change(server: Api, value: int) -> None:
        await server.ok(
            "PATCH",
            f"/api/v1/organization/{api.org_id}/roles/{role['id']}",
            {"permissions": rules if value == 200 else []},
        )

    return Toggle("custom role", (200, 403), change, status_of(f"{IDENTITIES}/{identity['id']}", token))


async def project(api: Api, name: str) -> str:
    return str((await api.ok("POST", "/api/v2/workspace", {"projectName": name}))["project"]["id"])


async def memberships(api: Api) -> Toggle:
    project_id = await project(api, "members")
    identity, token = await api.bot("no-access")
    path = f"/api/v2/workspace/{project_id}/identity-memberships/{identity['id']}"
    await api.ok("POST", path, {"role": "viewer"})

    async def change(server: Api, value: int) -> None:
        await (server.ok("POST", path, {"role": "viewer"}) if value == 200 else server.ok("DELETE", path))

    return Toggle("project membership", (200, 403), change, status_of(f"/api/v1/workspace/{project_id}", token))


async def secret_values(api: Api) -> Toggle:
    project_id = await project(api, "values")
    place = {"workspaceId": project_id, "environment": "dev", "secretPath": "/"}
    await api.ok("POST", "/api/v3/secrets/raw/KEY", {**place, "secretValue": "v0"})

    async def change(server: Api, value: str) -> None:
        await server.ok("PATCH", "/api/v3/secrets/raw/KEY", {**place, "secretValue": value})

    async def see(server: Api) -> str:
        return str((await server.ok("GET", "/api/v3/secrets/raw/KEY", query=place))["secret"]["secretValue"])

    return Toggle("secret", [f"v{i}" for i in range(5)], change, see)


# --- ends


async def ended_everywhere(servers: Sequence[Api], end: Awaitable[Any], ask: Ask) -> list[int]:
    """What every server answers, asked twice at once in the moment in which the end was answered."""
    before = [await ask(server) for server in servers]
    assert {200} == set(before)
    await end
    return list(await asyncio.gather(*[ask(server) for server in servers for _ in range(2)]))


async def token_revocation(servers: Sequence[Api], i: int) -> list[int]:
    by = servers[i % len(servers)]
    identity, token = await by.bot("member")
    end = by.ok("POST", "/api/v1/auth/token/revoke", {"accessToken": token}, token=None)
    return await ended_everywhere(servers, end, status_of(f"{IDENTITIES}/{identity['id']}", token))


async def secret_revocation(servers: Sequence[Api], i: int) -> list[int]:
    """The tokens of a client secret end with it, and nobody logs in with it any more."""
    by = servers[i % len(servers)]
    identity = await by.identity("member")
    login = await by.universal(identity["id"])
    token = await by.login(login)
    path = f"{UNIVERSAL}/identities/{identity['id']}/client-secrets"
    secret_id = (await by.ok("GET", path))["clientSecretData"][0]["id"]
    used = status_of(f"{IDENTITIES}/{identity['id']}", token)

    async def ask(server: Api) -> int:
        replies = await asyncio.gather(used(server), server.post(LOGIN, login, token=None))
        return max(replies[0], replies[1].status_code) if i % 2 else min(replies[0], replies[1].status_code)

    return await ended_everywhere(servers, by.ok("POST", f"{path}/{secret_id}/revoke"), ask)


async def method_removal(servers: Sequence[Api], i: int) -> list[int]:
    by = servers[i % len(servers)]
    identity, token = await by.bot("member")
    end = by.ok("DELETE", f"{UNIVERSAL}/identities/{identity['id']}")
    return await ended_everywhere(servers, end, status_of(f"{IDENTITIES}/{identity['id']}", token))


async def identity_removal(servers: Sequence[Api], i: int) -> list[int]:
    by = servers[i % len(servers)]
    other = (await by.identity("member"))["id"]
    identity, token = await by.bot("member")
    return await ended_everywhere(
        servers, by.ok("DELETE", f"{IDENTITIES}/{identity['id']}"), status_of(f"{IDENTITIES}/{other}", token)
    )


async def ends(servers: Sequence[Api], times: int) -> dict[str, set[int]]:
    """What was answered after each kind of end, for as many of each."""
    return {end.__name__: {status for i in range(times) for status in await end(servers, i)} for end in ENDS}


async def project_removal(servers: Sequence[Api], i: int) -> list[int]:
    """The identities that belong to a project end with it, and so do their tokens."""
    by = servers[i % len(servers)]
    project_id = await project(by, f"short-lived {i}")
    made = await by.ok("POST", f"/api/v1/projects/{project_id}/identities", {"name": "inside"})
    login = await by.universal(made["identity"]["id"])
    token = await by.login(login)
    end = by.ok("DELETE", f"/api/v1/workspace/{project_id}")

    async def ask(server: Api) -> int:
        return (await server.get("/api/v1/workspace", token=token)).status_code

    return await ended_everywhere(servers, end, ask)


async def session_end(servers: Sequence[Api], i: int) -> list[int]:
    """A person who signs out is out on every server."""
    by = servers[i % len(servers)]
    person = (await by.ok("POST", "/api/v3/auth/login", {"email": EMAIL, "password": PASSWORD}, token=None))[
        "accessToken"
    ]
    token = await by.enter(by.org_id, person)
    return await ended_everywhere(
        servers,
        by.ok("POST", "/api/v1/auth/logout", token=token),
        status_of(f"/api/v1/organization/{by.org_id}", token),
    )


ENDS = (token_revocation, secret_revocation, method_removal, identity_removal, project_removal, session_end)
