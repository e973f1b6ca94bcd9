"""How long one request of a tenant holds up everybody else: hostile data and requests, with `/healthz` asked all the
while.

A real server on SQLite; another process asks it every 10 ms. For each request: the longest wait of those asked
meanwhile, in wall time, and in CPU time that the server's main thread used during such a wait. On a machine that others
use as well, the second counts: a slice is at most some milliseconds of it. `python -m bench.stall PORT PID` is that
other process.
"""

import json
import re
import select
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import bindparam, update

from bench import seed
from bench.load import Request, json_request
from bench.servers import Caller, Watchword, opened_house, sqlite_environment
from watchword.domain.access.records import Membership, MembershipRole
from watchword.domain.actor import HolderKind
from watchword.domain.people.records import Group, User
from watchword.services.runtime import Runtime
from watchword.store import schema, versions
from watchword.store.access.grants import GROUPS, HELD, MEMBERSHIPS
from watchword.store.engine import prepare
from watchword.store.people.people import USERS

INTERVAL = 0.010  # seconds between two questions
LIMIT = 0.050  # seconds of CPU time that one request may hold the loop
_LARGE = 3_000  # secrets in the large folder
_REFERRING = 400
_PEOPLE = 120  # identities with many large roles
_HELD_ROLES = 3
_MEMBERS = 10_000  # people, and as many groups

Say = Callable[[str], None]


class Stall(msgspec.Struct, frozen=True, kw_only=True):
    """What one request did to everybody else. Times are seconds."""

    name: str
    status: int
    took: float
    wall: float  # the longest wait for /healthz
    cpu: float  # the most CPU time of the server's main thread within one wait


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One question: when it was sent and answered (monotonic), and the CPU time used between."""

    sent: float
    answered: float
    cpu: float


def probe(port: int, pid: int) -> None:
    """Ask until the standard input ends; then write all samples to the standard output."""
    question = b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    found: list[Sample] = []
    connection = socket.create_connection(("127.0.0.1", port))
    connection.settimeout(60)
    sys.stdout.write("\n")  # ready
    sys.stdout.flush()
    while not select.select([sys.stdin], [], [], INTERVAL)[0]:
        before, sent = _cpu(pid), time.monotonic()
        connection.sendall(question)
        answer = b""
        while b"\r\n\r\n" not in answer or len(answer.partition(b"\r\n\r\n")[2]) < _length(answer):
            more = connection.recv(65536)
            if not more:
                raise SystemExit("the server closed the probe's connection")
            answer += more
        found.append(Sample(sent, time.monotonic(), _cpu(pid) - before))
    sys.stdout.buffer.write(msgspec.json.encode(found))


def _length(answer: bytes) -> int:
    for line in answer.lower().partition(b"\r\n\r\n")[0].splitlines():
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    return 0


def _cpu(pid: int) -> float:
    """CPU time of the process's main thread (seconds)."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


@contextmanager
def _probed(port: int, pid: int) -> Iterator[list[Sample]]:
    found: list[Sample] = []
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.stall", str(port), str(pid)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.1)  # it sees the server at rest
        yield found
        time.sleep(0.05)
    finally:
        out, _ = process.communicate()
    found += msgspec.json.decode(out, type=list[Sample])


class Tenant:
    """Somebody with many rights in one organization, who means harm."""

    def __init__(self, server: Watchword, world: seed.World) -> None:
        self._server, self._world = server, world
        self._caller = Caller(server.port)
        self._tokens: dict[int, str] = {}
        self.project = f"/api/v1/projects/{world.project_id}"
        self.place: dict[str, Any] = {
            "workspaceId": world.project_id,
            "projectId": world.project_id,
            "environment": seed.ENVIRONMENT,
        }

    def token(self, number: int = 0) -> str:
        """An access token of an identity."""
        if number not in self._tokens:
            login = json_request("POST", "/api/v1/auth/universal-auth/login", seed.login_of(number))
            self._tokens[number] = self._caller.ok(login)["accessToken"]
        return self._tokens[number]

    def request(
        self,
        method: str,
        path: str,
        body: object | None = None,
        *,
        who: int = 0,
        query: Mapping[str, object] | None = None,
    ) -> Request:
        """A request of an identity."""
        text = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        return json_request(method, text, body, authorization=f"Bearer {self.token(who)}")

    def ok(self, method: str, path: str, body: object | None = None, **more: Any) -> Any:
        """The JSON of an answer that must be good."""
        return self._caller.ok(self.request(method, path, body, **more))

    def role(self, slug: str, rules: Sequence[object], *, title: str = "") -> None:
        """A role of the project."""
        self.ok("POST", f"{self.project}/roles", {"slug": slug, "name": title or slug, "permissions": rules})

    def hold(self, number: int, *slugs: str) -> None:
        """Give an identity these roles of the project in place of those it has."""
        roles = [{"role": slug} for slug in slugs]
        self.ok("PATCH", f"{self.project}/identity-memberships/{seed.identity_id(number)}", {"roles": roles})

    def store(self) -> None:
        """All the hostile data that is stored through the API."""
        self.ok("POST", "/api/v1/folders", {**self.place, "name": "big", "path": "/"})
        self.ok("POST", "/api/v1/folders", {**self.place, "name": "woven", "path": "/"})
        self.ok("POST", "/api/v1/folders", {**self.place, "name": "new", "path": "/"})
        self._secrets("/big", [(f"SECRET_{i:05d}", "v" * 40) for i in range(_LARGE)])
        base = [(f"BASE_{i}", "b" * 200) for i in range(50)]
        self._secrets(
            "/woven", base + [(f"WOVEN_{i}", "".join(f"${{BASE_{n}}}" for n in range(50))) for i in range(_REFERRING)]
        )
        self._secrets("/woven", [(f"CHAIN_{i}", f"${{CHAIN_{i + 1}}}x") for i in range(200)] + [("CHAIN_200", "end")])
        give = [_rule(["read", "create", "edit", "grant-privileges"], "identity"), _rule(["read"], "role")]
        self.role("giver", give + _patterns(150, "*a*b*c*{}*d*[a-z]*"))
        self.role("wide", _patterns(150, "*a*b*{}*[a-z]*?*"))
        self.hold(1, "giver")
        for part in range(3):
            self.role(f"names-{part}", _patterns(300, f"*S*E?*{{}}{part}*[A-Z]*T_*?*X"))
        self.hold(2, "names-0", "names-1", "names-2")
        for part in range(_HELD_ROLES):
            self.role(f"large-{part}", _patterns(300, f"/{part}{{}}/" + "x" * 480, field="secretPath"))
        for number in range(1000, 1000 + _PEOPLE):
            self.hold(number, *[f"large-{part}" for part in range(_HELD_ROLES)])
        for part in range(20):
            self.role(f"more-{part}", _patterns(250, f"/{part}{{}}/" + "y" * 480, field="secretPath"))
        self.hold(3, *[f"more-{part}" for part in range(20)])

    def _secrets(self, path: str, pairs: Sequence[tuple[str, str]]) -> None:
        for start in range(0, len(pairs), 500):
            some = [{"secretKey": key, "secretValue": value} for key, value in pairs[start : start + 500]]
            self.ok("POST", "/api/v4/secrets/batch", {**self.place, "secretPath": path, "secrets": some})

    def attacks(self) -> list[tuple[str, Request]]:
        """What is then asked, the name first."""
        raw, audit = "/api/v3/secrets/raw", "/api/v1/organization/audit-logs"
        all_of, member = {**self.place, "secretPath": "/", "recursive": "true"}, f"{self.project}/identity-memberships"

        def get(url: str, /, _who: int = 0, **query: object) -> Request:
            return self.request("GET", url, who=_who, query=query)

        dotenv = "\n".join(f"NEW_{i}={'v' * 25}" for i in range(60_000))
        as_json = json.dumps({f"NEW_{i}": "v" * 25 for i in range(55_000)})
        text = {**self.place, "secretPath": "/new", "dryRun": True}
        privilege = {
            "identityId": seed.identity_id(7),
            "projectId": self._world.project_id,
            "slug": "given",
            "type": {"isTemporary": False},
            "permissions": _patterns(150, "*b*{}*a*[a-z]*?*"),
        }
        ask = {"actorType": "identity", "actorId": seed.identity_id(1000), "action": "readValue", "subject": "secrets"}
        return [
            ("nothing at all", get("/api/v1/identities/details")),
            (
                "150 patterns given under 150",
                self.request("PATCH", f"{member}/{seed.identity_id(6)}", {"roles": [{"role": "wide"}]}, who=1),
            ),
            (
                "150 patterns as a privilege",
                self.request("POST", "/api/v2/identity-project-additional-privilege", privilege, who=1),
            ),
            (
                "a role of 300 large rules",
                self.request(
                    "POST",
                    f"{self.project}/roles",
                    {
                        "slug": "late",
                        "name": "late",
                        "permissions": _patterns(300, "/{}/" + "z" * 480, field="secretPath"),
                    },
                ),
            ),
            ("the first request of 20 large roles", get(raw, 3, **self.place, secretPath="/f000001")),
            ("a recursive list of 100,000", get(raw, **all_of)),
            ("the same again", get(raw, **all_of)),
            ("the same without values", get(raw, **all_of, viewSecretValue="false")),
            (
                "400 secrets of 50 references each",
                get(raw, **self.place, secretPath="/woven", expandSecretReferences="true"),
            ),
            (
                "a chain of references, as a tree",
                get("/api/v4/secrets/CHAIN_0/secret-reference-tree", **self.place, secretPath="/woven"),
            ),
            (
                "what refers to one secret",
                get("/api/v4/secrets/BASE_1/secret-references", **self.place, secretPath="/woven"),
            ),
            (
                "a search for all",
                get(f"{self.project}/secrets/search", environment=seed.ENVIRONMENT, name="K", limit=500),
            ),
            (
                "a search at an offset",
                get(f"{self.project}/secrets/search", environment=seed.ENVIRONMENT, offset=9_000, limit=500),
            ),
            *[
                (
                    f"an export as {one}",
                    get(
                        f"{self.project}/secrets/export",
                        environment=seed.ENVIRONMENT,
                        secretPath="/",
                        recursive="true",
                        format=one,
                    ),
                )
                for one in ("dotenv", "json", "yaml", "csv")
            ],
            ("explained in a project", self.request("POST", f"{self.project}/explain", ask)),
            (
                "who has access, 200 of thousands",
                get(f"{self.project}/access", limit=200, environment=seed.ENVIRONMENT),
            ),
            (
                "who has access, large roles",
                get(f"{self.project}/access", limit=200, search="bench-10", environment=seed.ENVIRONMENT),
            ),
            ("the identities of an organization", get("/api/v1/identities", orgId=self._world.org_id)),
            (
                "a search of identities",
                self.request(
                    "POST", "/api/v1/identities/search", {"search": {"name": {"$contains": "9"}}, "limit": 100}
                ),
            ),
            ("the identities of a project", get(member, limit=20_000)),
            ("identities of a project, large roles", get(member, limit=100, search="bench-10")),
            ("the roles of a project", get(f"{self.project}/roles")),
            ("the people of an organization", get(f"/api/v2/organizations/{self._world.org_id}/memberships")),
            ("the people of a project", get(f"{self.project}/memberships")),
            ("the groups of an organization", get("/api/v1/groups")),
            ("the groups of a project", get(f"{self.project}/memberships/groups")),
            (
                "a large role updated",
                self.request(
                    "PATCH",
                    f"{self.project}/roles/{self._role('large-0')}",
                    {"permissions": _patterns(300, "/new{}/" + "w" * 480, field="secretPath")},
                ),
            ),
            (
                "20 large roles given",
                self.request(
                    "PATCH",
                    f"{member}/{seed.identity_id(8)}",
                    {"roles": [{"role": f"more-{part}"} for part in range(20)]},
                ),
            ),
            (
                "a batch of 500",
                self.request(
                    "POST",
                    "/api/v4/secrets/batch",
                    {
                        **self.place,
                        "secretPath": "/new",
                        "secrets": [{"secretKey": f"BATCH_{i}", "secretValue": "v" * 400} for i in range(500)],
                    },
                ),
            ),
            ("audit: at an offset", get(audit, offset=90_000, limit=1000)),
            ("audit: metadata that matches nothing", get(audit, eventMetadata="a=b,c=d,e=f,g=h")),
            (
                "audit: one actor, metadata, agent",
                get(audit, actorType="identity", userAgentType="web", eventMetadata="identityId=x"),
            ),
            ("audit: exported", get(f"{audit}/export", limit=10_000)),
            ("audit: a project's actors", get(f"{self.project}/audit-logs/filters/actors")),
            ("the folders of an environment", get("/api/v1/folders", **self.place, path="/", recursive="true")),
            (
                "a file of 60,000 lines, tried",
                self.request("POST", f"{self.project}/secrets/import", {**text, "format": "dotenv", "content": dotenv}),
            ),
            (
                "a file of 2 MiB of JSON, tried",
                self.request("POST", f"{self.project}/secrets/import", {**text, "format": "json", "content": as_json}),
            ),
            (
                "the same for good",
                self.request(
                    "POST",
                    f"{self.project}/secrets/import",
                    {**text, "dryRun": False, "format": "json", "content": as_json},
                ),
            ),
            (
                "1 MiB of empty lists",
                Request(
                    "POST",
                    f"{self.project}/roles",
                    {"authorization": f"Bearer {self.token()}", "content-type": "application/json"},
                    b'{"slug":"x","name":"x","permissions":[' + b"[]," * 349_000 + b"[]]}",
                ),
            ),
            ("a list under 900 patterns", get(raw, 2, **self.place, secretPath="/big")),
            (
                "a folder renamed",
                self.request(
                    "PATCH", f"/api/v1/folders/{self._folder('big')}", {**self.place, "name": "bigger", "path": "/"}
                ),
            ),
            (
                "an environment renamed",
                self.request("PATCH", f"{self.project}/environments/{self._world.environment_id}", {"slug": "renamed"}),
            ),
            ("a project deleted", self.request("DELETE", self.project)),
        ]

    def _role(self, slug: str) -> str:
        return str(self.ok("GET", f"{self.project}/roles/slug/{slug}")["role"]["id"])

    def _folder(self, name: str) -> str:
        found = self.ok("GET", "/api/v1/folders", query={**self.place, "path": "/"})
        return str(next(one["id"] for one in found["folders"] if one["name"] == name))


def _rule(actions: Sequence[str], subject: str, **conditions: object) -> dict[str, object]:
    return {"action": list(actions), "subject": subject, **({"conditions": conditions} if conditions else {})}


def _patterns(count: int, text: str, *, field: str = "secretName") -> list[dict[str, object]]:
    actions = ("readValue", "describeSecret")
    return [
        _rule(actions, "secrets", environment=seed.ENVIRONMENT, **{field: {"$glob": text.format(i)}})
        for i in range(count)
    ]


_ADMIN = prepare(
    lambda: (
        update(schema.membership_roles)
        .where(schema.membership_roles.c.membership_id == bindparam("membership"))
        .values(role="admin")
    )
)
_OF_PROJECT = prepare(
    lambda: (
        update(schema.audit_events)
        .where(schema.audit_events.c.id > bindparam("after"))
        .values(project_id=bindparam("project"))
    )
)


async def filled(environment: Mapping[str, str], size: seed.Size) -> seed.World:
    """A world whose identity 0 is an administrator, and half of whose audit events are of the project."""
    parts: Runtime
    async with opened_house(environment) as parts:
        world = await seed.found_world(parts)
        await seed.grow(parts, world, seed.Size(identities=0, secrets=0), size)
        async with parts.store.write() as tx:
            for membership in seed.memberships_of(0):
                await tx.run(_ADMIN, membership=membership)
            await tx.run(_OF_PROJECT, after=seed.event_id(size.tokens // 2), project=world.project_id)
            tx.changed(versions.identity(seed.identity_id(0)))
        await _add_members(parts, world)
    return world


async def _add_members(parts: Runtime, world: seed.World) -> None:
    """People and groups, each a member of the organization and of the project."""
    now = parts.clock()
    stamps: dict[str, Any] = {"created_at": now, "updated_at": now}
    for start in range(0, _MEMBERS, 1_000):
        batch = range(start, start + 1_000)
        persons = [User(id=f"person-{n}", email=f"p{n}@example.com", password_hash="-", **stamps) for n in batch]
        teams = [
            Group(id=f"group-{n}", org_id=world.org_id, name=f"group {n}", slug=f"group-{n}", **stamps) for n in batch
        ]
        holders: list[tuple[HolderKind, str]] = [("user", one.id) for one in persons]
        holders += [("group", one.id) for one in teams]
        memberships = [
            Membership(
                id=f"{id}-{place}", org_id=world.org_id, project_id=place, actor_kind=kind, actor_id=id, **stamps
            )
            for kind, id in holders
            for place in (None, world.project_id)
        ]
        held = [
            MembershipRole(
                id=f"{one.id}-held", membership_id=one.id, role="viewer" if one.project_id else "no-access", **stamps
            )
            for one in memberships
        ]
        async with parts.store.write() as tx:
            await tx.many(USERS.INSERT, [USERS.values(one) for one in persons])
            await tx.many(GROUPS.INSERT, [GROUPS.values(one) for one in teams])
            await tx.many(MEMBERSHIPS.INSERT, [MEMBERSHIPS.values(one) for one in memberships])
            await tx.many(HELD.INSERT, [HELD.values(one) for one in held])
            tx.changed(versions.user("seed"), versions.actor("group", "seed"), versions.org(world.org_id))


def measured(server: Watchword, world: seed.World, only: str, say: Say) -> list[Stall]:
    """Store, then send each request (those whose names match `only`) while others are waited for."""
    tenant = Tenant(server, world)
    tenant.store()
    found = []
    for name, request in tenant.attacks():
        if not re.search(only, name):
            continue
        caller = Caller(server.port, timeout=600)
        with _probed(server.port, server.pid) as samples:
            began = time.monotonic()
            answer = caller.send(request)
            ended = time.monotonic()
        caller.close()
        meanwhile = [one for one in samples if one.answered >= began and one.sent <= ended + 0.05]
        found.append(
            Stall(
                name=name,
                status=answer.status,
                took=ended - began,
                wall=max((one.answered - one.sent for one in meanwhile), default=0),
                cpu=max((one.cpu for one in meanwhile), default=0),
            )
        )
        say(as_line(found[-1]))
        if answer.status >= 500:
            say(answer.body[:500].decode(errors="replace"))
    return found


HEAD = f"{'request':40} status   took ms   wall ms    CPU ms"


def as_line(one: Stall) -> str:
    """One row of the table."""
    revocation = "  <" if one.cpu > LIMIT else ""
    return (
        f"{one.name:40} {one.status:6} {one.took * 1000:9.0f} {one.wall * 1000:9.1f} {one.cpu * 1000:9.1f}{revocation}"
    )


async def run(folder: Path, size: seed.Size, only: str, say: Say) -> list[Stall]:
    """Fill a database, serve it, measure."""
    environment = sqlite_environment(folder / "stall")
    world = await filled(environment, size)
    server = Watchword("sqlite", "Watchword on SQLite", environment, world, size)
    server.start(folder / "stall.log")
    try:
        say(HEAD)
        return measured(server, world, only, say)
    finally:
        server.stop()


if __name__ == "__main__":
    probe(int(sys.argv[1]), int(sys.argv[2]))
