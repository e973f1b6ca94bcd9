"""Import from a running Infisical through its API: projects, environments, tags, folders, secrets, imports, identities.

    survey(peer)  ──> Plan      what is there; nothing is changed (the dry run)
    carry_out(…)  ──> Report    one step after the other, each told to `progress`; `done` makes a broken run resume

Every step can be run twice: what is there already is used or left alone. Credentials are not copied, because they
cannot be read: client secrets and tokens are issued anew, and write-only settings of auth methods have to be entered
again.
"""

import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Protocol

import msgspec

from watchword.domain.secrets.texts import MAX_BATCH
from watchword.methods import METHODS
from watchword.services.authentication.sealed_config import secret_fields

Json = dict[str, Any]
_MOST_SENT: Final = 2 * 1024 * 1024  # bytes of secrets in one request; servers take 4 MiB


class ApiRefused(Exception):
    """One of the two servers answered a call with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status


class SourceServer(Protocol):
    """A server with Infisical's API, as an administrator sees it."""

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: Json | None = None
    ) -> Any:
        """The JSON of the answer. Raises ApiRefused."""
        ...


class SourceProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project over there. `folders` are (environment, path), parents first; `secrets` is how many there are
    in all.
    """

    id: str
    name: str
    slug: str
    description: str | None
    environments: tuple[tuple[str, str], ...]  # slug, name
    tags: tuple[tuple[str, str], ...]  # slug, color
    folders: tuple[tuple[str, str], ...]
    secrets: int


class SourceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A machine identity over there, with the configurations of its methods by slug."""

    id: str
    name: str
    role: str
    metadata: tuple[tuple[str, str], ...]
    methods: dict[str, Json]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that would be moved."""

    projects: tuple[SourceProject, ...]
    identities: tuple[SourceIdentity, ...]

    @property
    def steps(self) -> int:
        """How many steps `carry_out` will take."""
        return len(self.identities) + sum(1 + 2 * len(project.folders) for project in self.projects)


class Report(msgspec.Struct, frozen=True):
    """What was moved, and what a person has to do by hand."""

    projects: int
    secrets: int
    identities: int
    by_hand: Sequence[str]


Progress = Callable[[str, str], None]  # step id, what it is about


# --- survey
# -----------------------------------------------------------------------------------------------------------------


async def survey(peer: SourceServer, org_id: str, project_ids: Sequence[str] = ()) -> Plan:
    """Look at what is there. Without `project_ids`, every project that the credential sees."""
    ids = project_ids or [one["id"] for one in (await peer.call("GET", "/api/v1/workspace"))["workspaces"]]
    projects = [await _project(peer, id) for id in ids]
    listed = await peer.call("GET", "/api/v1/identities", query={"orgId": org_id})
    identities = [await _identity(peer, one) for one in listed["identities"]]
    return Plan(projects=tuple(projects), identities=tuple(identities))


async def _project(peer: SourceServer, id: str) -> SourceProject:
    found = (await peer.call("GET", f"/api/v1/workspace/{id}"))["workspace"]
    tags = (await peer.call("GET", f"/api/v1/workspace/{id}/tags"))["workspaceTags"]
    slugs = [one["slug"] for one in found["environments"]]
    folders = [at for slug in slugs async for at in _folders(peer, id, slug, "/")]
    count = 0
    for slug in slugs:
        query = {"workspaceId": id, "environment": slug, "recursive": "true", "viewSecretValue": "false"}
        count += len(_shared(await peer.call("GET", "/api/v3/secrets/raw", query=query)))
    return SourceProject(
        id=id,
        name=found["name"],
        slug=found["slug"],
        description=found.get("description"),
        environments=tuple((one["slug"], one["name"]) for one in found["environments"]),
        tags=tuple((one["slug"], one.get("color") or "") for one in tags),
        folders=tuple(folders),
        secrets=count,
    )


async def _folders(peer: SourceServer, project_id: str, environment: str, path: str) -> AsyncIterator[tuple[str, str]]:
    yield environment, path
    query = {"workspaceId": project_id, "environment": environment, "path": path}
    for one in (await peer.call("GET", "/api/v1/folders", query=query))["folders"]:
        async for below in _folders(peer, project_id, environment, f"{path.rstrip('/')}/{one['name']}"):
            yield below


def _shared(listed: Json) -> list[Json]:
    return [one for one in listed["secrets"] if one.get("type", "shared") == "shared"]


async def _identity(peer: SourceServer, membership: Json) -> SourceIdentity:
    id = membership["identity"]["id"]
    found = (await peer.call("GET", f"/api/v1/identities/{id}"))["identity"]
    inner = found.get("identity", found)
    named = (
        inner.get("authMethods") or [inner["authMethod"]] if inner.get("authMethod") or inner.get("authMethods") else []
    )
    methods: dict[str, Json] = {}
    for method in named:
        try:
            answer = await peer.call("GET", f"/api/v1/auth/{method}/identities/{id}")
        except ApiRefused as error:
            if error.status not in (400, 404):
                raise
            continue  # the name is listed, the method is gone
        methods[method] = next(iter(answer.values()))
    custom = (found.get("customRole") or {}).get("slug")
    return SourceIdentity(
        id=id,
        name=inner["name"],
        role=custom or found.get("role", "no-access"),
        metadata=tuple((item["key"], item["value"]) for item in found.get("metadata") or ()),
        methods=methods,
    )


# --- carrying out
# -----------------------------------------------------------------------------------------------------------


async def carry_out(
    plan: Plan,
    peer: SourceServer,
    here: SourceServer,
    org_id: str,
    *,
    done: set[str],
    progress: Progress,
    by_hand: list[str] | None = None,
) -> Report:
    """Bring the plan's things here. A step that is in `done` is passed over; keep the set, and a broken run resumes.

    `by_hand` is what earlier runs left to a person: keep it as well, and the report is about all of them.
    """
    mover = _Mover(peer, here, org_id, done, progress, [] if by_hand is None else by_hand)
    for identity in plan.identities:
        await mover.step(f"identity/{identity.id}", identity.name, lambda one=identity: mover.identity(one))  # type: ignore[misc]
    for project in plan.projects:
        await mover.project(project)
    return Report(len(plan.projects), mover.secrets, len(plan.identities), mover.by_hand)


_NOT_SENT: Final = frozenset(("id", "createdAt", "updatedAt", "identityId", "orgId", "activeLockouts", "bindPassword"))


class _Mover:
    """One run: where from, where to, and what has been done."""

    def __init__(
        self,
        peer: SourceServer,
        here: SourceServer,
        org_id: str,
        done: set[str],
        progress: Progress,
        by_hand: list[str],
    ) -> None:
        self._peer, self._here, self._org_id, self._done, self._progress = peer, here, org_id, done, progress
        self.by_hand = by_hand
        self._methods = {method.slug: method for method in METHODS}
        self.secrets = 0

    def leave(self, what: str) -> None:
        """Leave something to a person; a step that is done again says it once."""
        if what not in self.by_hand:
            self.by_hand.append(what)

    async def step(self, id: str, about: str, act: Callable[[], Awaitable[None]]) -> None:
        if id not in self._done:
            await act()
            self._done.add(id)
        self._progress(id, about)

    async def identity(self, one: SourceIdentity) -> None:
        listed = await self._here.call("GET", "/api/v1/identities", query={"orgId": self._org_id})
        there = {member["identity"]["name"]: member["identity"]["id"] for member in listed["identities"]}
        id = there.get(one.name)
        if id is None:
            body = {
                "name": one.name,
                "organizationId": self._org_id,
                "role": one.role,
                "metadata": [{"key": key, "value": value} for key, value in one.metadata],
            }
            try:
                made = await self._here.call("POST", "/api/v1/identities", body=body)
            except ApiRefused as error:
                if error.status not in (400, 404, 422):
                    raise
                made = await self._here.call("POST", "/api/v1/identities", body={**body, "role": "no-access"})
                self.leave(f"identity {one.name}: give it a role, {one.role!r} does not exist here")
            id = made["identity"]["id"]
        for method, settings in one.methods.items():
            await self._attach(one.name, id, method, settings)

    async def _attach(self, name: str, id: str, method: str, settings: Json) -> None:
        known = self._methods.get(method)
        own = {*known.managed, *secret_fields(known)} if known else set[str]()
        body = {
            key: _as_sent(value) for key, value in settings.items() if key not in _NOT_SENT | own and value is not None
        }
        try:
            await self._here.call("POST", f"/api/v1/auth/{method}/identities/{id}", body=body)
        except ApiRefused as error:
            if error.status != 400:
                self.leave(f"identity {name}: set up {method} ({error})")
                return
        if known is not None and known.by_hand:
            self.leave(f"identity {name}: {method} needs {known.by_hand} issued or entered again")

    async def project(self, one: SourceProject) -> None:
        """A project with all that is in it; folders before imports, because an import may show any of them."""
        id = await self._project_id(one)
        await self.step(f"project/{one.id}", one.name, lambda: self._frame(one, id))
        for environment, path in one.folders:
            at = {"workspaceId": id, "environment": environment}
            await self.step(
                f"secrets/{one.id}/{environment}{path}",
                f"{one.name} {environment}{path}",
                functools.partial(self._secrets, one, at, path),
            )
        for environment, path in one.folders:
            at = {"workspaceId": id, "environment": environment}
            await self.step(
                f"imports/{one.id}/{environment}{path}",
                f"{one.name} {environment}{path} imports",
                functools.partial(self._imports, one, at, path),
            )

    async def _project_id(self, one: SourceProject) -> str:
        for there in (await self._here.call("GET", "/api/v1/workspace"))["workspaces"]:
            if there["slug"] == one.slug:
                return str(there["id"])
        body = {
            "projectName": one.name,
            "slug": one.slug,
            "projectDescription": one.description,
            "shouldCreateDefaultEnvs": False,
        }
        return str((await self._here.call("POST", "/api/v2/workspace", body=body))["project"]["id"])

    async def _frame(self, one: SourceProject, id: str) -> None:
        there = (await self._here.call("GET", f"/api/v1/workspace/{id}"))["workspace"]
        slugs = {environment["slug"] for environment in there["environments"]}
        for slug, name in one.environments:
            if slug not in slugs:
                await self._here.call("POST", f"/api/v1/workspace/{id}/environments", body={"name": name, "slug": slug})
        tags = {tag["slug"] for tag in (await self._here.call("GET", f"/api/v1/workspace/{id}/tags"))["workspaceTags"]}
        for slug, color in one.tags:
            if slug not in tags:
                await self._here.call("POST", f"/api/v1/workspace/{id}/tags", body={"slug": slug, "color": color})

    async def _secrets(self, one: SourceProject, at: dict[str, str], path: str) -> None:
        if path != "/":
            parent, _, name = path.rpartition("/")
            await self._here.call("POST", "/api/v1/folders", body={**at, "path": parent or "/", "name": name})
        query = {"workspaceId": one.id, "environment": at["environment"], "secretPath": path}
        found = _shared(await self._peer.call("GET", "/api/v3/secrets/raw", query=query))
        tags = (await self._here.call("GET", f"/api/v1/workspace/{at['workspaceId']}/tags"))["workspaceTags"]
        ids = {tag["slug"]: tag["id"] for tag in tags}
        items = [_as_item(secret, ids) for secret in found]
        for batch in _batches(items):
            body = {**at, "secretPath": path, "mode": "upsert", "secrets": batch}
            await self._here.call("PATCH", "/api/v3/secrets/batch/raw", body=body)
        self.secrets += len(items)

    async def _imports(self, one: SourceProject, at: dict[str, str], path: str) -> None:
        query = {"workspaceId": one.id, "environment": at["environment"], "path": path}
        found = (await self._peer.call("GET", "/api/v1/secret-imports", query=query))["secretImports"]
        mine = (await self._here.call("GET", "/api/v1/secret-imports", query={**at, "path": path}))["secretImports"]
        there = {(link["importEnv"]["slug"], link["importPath"]) for link in mine}
        for link in sorted(found, key=lambda link: int(link["position"])):
            source = (link["importEnv"]["slug"], link["importPath"])
            if source in there or link.get("isReserved"):
                continue
            there.add(source)
            body = {**at, "path": path, "import": {"environment": source[0], "path": source[1]}}
            try:
                await self._here.call("POST", "/api/v1/secret-imports", body=body)
            except ApiRefused as error:
                if error.status != 400:
                    raise
                self.leave(
                    f"{one.name} {at['environment']}{path}: the import of {source[0]}{source[1]} was refused ({error})"
                )


def _as_item(secret: Json, tag_ids: Mapping[str, str]) -> Json:
    return {
        "secretKey": secret["secretKey"],
        "secretValue": secret["secretValue"],
        "secretComment": secret.get("secretComment") or "",
        "skipMultilineEncoding": secret.get("skipMultilineEncoding"),
        "secretReminderNote": secret.get("secretReminderNote"),
        "secretReminderRepeatDays": secret.get("secretReminderRepeatDays"),
        "tagIds": [tag_ids[tag["slug"]] for tag in secret.get("tags") or () if tag["slug"] in tag_ids],
        "secretMetadata": secret.get("secretMetadata") or [],
    }


def _batches(items: Iterable[Json]) -> Iterator[list[Json]]:
    """The items in batches, none longer than a server takes; one that is too long alone stands alone."""
    batch: list[Json] = []
    size = 0
    for item in items:
        length = len(json.dumps(item))
        if batch and (len(batch) == MAX_BATCH or size + length > _MOST_SENT):
            yield batch
            batch, size = [], 0
        batch.append(item)
        size += length
    if batch:
        yield batch


def _as_sent(value: Any) -> Any:
    """A setting as it is written: networks are answered in parts and sent as one text."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and "ipAddress" in value[0]:
        return [
            {"ipAddress": f"{one['ipAddress']}/{one['prefix']}" if one.get("prefix") is not None else one["ipAddress"]}
            for one in value
        ]
    return value
