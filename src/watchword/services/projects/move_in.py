"""Import from a running Infisical through its API: projects, environments, tags, folders, secrets, imports, identities.

    survey(source)  ──> Plan      what the source has; nothing is changed (the dry run)
    carry_out(…)    ──> Report    step by step, each reported to `progress`; `done` lets a broken run resume

Every step can be run twice: what exists already is used or left alone. Credentials are not copied, because they cannot
be read: client secrets and tokens are issued again, and write-only settings of auth methods have to be entered again.
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
        """Call an endpoint and return the JSON of the answer. Raises ApiRefused."""
        ...


class SourceProject(msgspec.Struct, frozen=True, kw_only=True):
    """A project of the source. `folders` are (environment, path), parents first; `secrets` is the number of all."""

    id: str
    name: str
    slug: str
    description: str | None
    environments: tuple[tuple[str, str], ...]  # slug, name
    tags: tuple[tuple[str, str], ...]  # slug, color
    folders: tuple[tuple[str, str], ...]
    secrets: int


class SourceIdentity(msgspec.Struct, frozen=True, kw_only=True):
    """A machine identity of the source, with the configurations of its methods by slug."""

    id: str
    name: str
    role: str
    metadata: tuple[tuple[str, str], ...]
    methods: dict[str, Json]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that would be moved."""

    projects: tuple[SourceProject, ...]
    identities: tuple[SourceIdentity, ...]

    @property
    def steps(self) -> int:
        """The number of steps that `carry_out` will take."""
        return len(self.identities) + sum(1 + 2 * len(project.folders) for project in self.projects)


class Report(msgspec.Struct, frozen=True):
    """What was moved, and what a person has to do by hand."""

    projects: int
    secrets: int
    identities: int
    by_hand: Sequence[str]


Progress = Callable[[str, str], None]  # step id, what it is about


async def survey(source_server: SourceServer, org_id: str, project_ids: Sequence[str] = ()) -> Plan:
    """Read what the source has. Without `project_ids`, every project that the credential sees."""
    ids = project_ids or [item["id"] for item in (await source_server.call("GET", "/api/v1/workspace"))["workspaces"]]
    projects = [await _project(source_server, id) for id in ids]
    listed = await source_server.call("GET", "/api/v1/identities", query={"orgId": org_id})
    identities = [await _identity(source_server, item) for item in listed["identities"]]
    return Plan(projects=tuple(projects), identities=tuple(identities))


async def _project(source_server: SourceServer, id: str) -> SourceProject:
    workspace = (await source_server.call("GET", f"/api/v1/workspace/{id}"))["workspace"]
    tags = (await source_server.call("GET", f"/api/v1/workspace/{id}/tags"))["workspaceTags"]
    slugs = [item["slug"] for item in workspace["environments"]]
    folders = [place for slug in slugs async for place in _folders(source_server, id, slug, "/")]
    count = 0
    for slug in slugs:
        query = {"workspaceId": id, "environment": slug, "recursive": "true", "viewSecretValue": "false"}
        count += len(_shared(await source_server.call("GET", "/api/v3/secrets/raw", query=query)))
    return SourceProject(
        id=id,
        name=workspace["name"],
        slug=workspace["slug"],
        description=workspace.get("description"),
        environments=tuple((item["slug"], item["name"]) for item in workspace["environments"]),
        tags=tuple((item["slug"], item.get("color") or "") for item in tags),
        folders=tuple(folders),
        secrets=count,
    )


async def _folders(
    source_server: SourceServer, project_id: str, environment: str, path: str
) -> AsyncIterator[tuple[str, str]]:
    yield environment, path
    query = {"workspaceId": project_id, "environment": environment, "path": path}
    for folder in (await source_server.call("GET", "/api/v1/folders", query=query))["folders"]:
        async for below in _folders(source_server, project_id, environment, f"{path.rstrip('/')}/{folder['name']}"):
            yield below


def _shared(listed: Json) -> list[Json]:
    return [secret for secret in listed["secrets"] if secret.get("type", "shared") == "shared"]


async def _identity(source_server: SourceServer, membership: Json) -> SourceIdentity:
    id = membership["identity"]["id"]
    membership_details = (await source_server.call("GET", f"/api/v1/identities/{id}"))["identity"]
    inner = membership_details.get("identity", membership_details)
    named = (
        inner.get("authMethods") or [inner["authMethod"]] if inner.get("authMethod") or inner.get("authMethods") else []
    )
    methods: dict[str, Json] = {}
    for method in named:
        try:
            answer = await source_server.call("GET", f"/api/v1/auth/{method}/identities/{id}")
        except ApiRefused as error:
            if error.status not in (400, 404):
                raise
            continue  # the name is listed, the method is gone
        methods[method] = next(iter(answer.values()))
    custom = (membership_details.get("customRole") or {}).get("slug")
    return SourceIdentity(
        id=id,
        name=inner["name"],
        role=custom or membership_details.get("role", "no-access"),
        metadata=tuple((item["key"], item["value"]) for item in membership_details.get("metadata") or ()),
        methods=methods,
    )


async def carry_out(
    plan: Plan,
    source_server: SourceServer,
    target_server: SourceServer,
    org_id: str,
    *,
    done: set[str],
    progress: Progress,
    by_hand: list[str] | None = None,
) -> Report:
    """Move everything of the plan to the target. A step in `done` is skipped; keep the set, and a broken run resumes.

    `by_hand` is what earlier runs left to a person: keep it as well, and the report covers all runs.
    """
    mover = _Mover(source_server, target_server, org_id, done, progress, [] if by_hand is None else by_hand)
    for identity in plan.identities:
        await mover.step(f"identity/{identity.id}", identity.name, functools.partial(mover.identity, identity))
    for project in plan.projects:
        await mover.project(project)
    return Report(len(plan.projects), mover.secrets, len(plan.identities), mover.by_hand)


_NOT_SENT: Final = frozenset(("id", "createdAt", "updatedAt", "identityId", "orgId", "activeLockouts", "bindPassword"))


class _Mover:
    """One run: the source, the target, and what has been done."""

    def __init__(
        self,
        source_server: SourceServer,
        target_server: SourceServer,
        org_id: str,
        done: set[str],
        progress: Progress,
        by_hand: list[str],
    ) -> None:
        self._source, self._target, self._org_id, self._done, self._progress = (
            source_server,
            target_server,
            org_id,
            done,
            progress,
        )
        self.by_hand = by_hand
        self._methods = {method.slug: method for method in METHODS}
        self.secrets = 0

    def leave(self, what: str) -> None:
        """Leave something to a person; a repeated step lists it once."""
        if what not in self.by_hand:
            self.by_hand.append(what)

    async def step(self, id: str, about: str, act: Callable[[], Awaitable[None]]) -> None:
        if id not in self._done:
            await act()
            self._done.add(id)
        self._progress(id, about)

    async def identity(self, identity: SourceIdentity) -> None:
        listed = await self._target.call("GET", "/api/v1/identities", query={"orgId": self._org_id})
        existing = {member["identity"]["name"]: member["identity"]["id"] for member in listed["identities"]}
        id = existing.get(identity.name)
        if id is None:
            body = {
                "name": identity.name,
                "organizationId": self._org_id,
                "role": identity.role,
                "metadata": [{"key": key, "value": value} for key, value in identity.metadata],
            }
            try:
                created = await self._target.call("POST", "/api/v1/identities", body=body)
            except ApiRefused as error:
                if error.status not in (400, 404, 422):
                    raise
                created = await self._target.call("POST", "/api/v1/identities", body={**body, "role": "no-access"})
                self.leave(f"identity {identity.name}: give it a role, {identity.role!r} does not exist here")
            id = created["identity"]["id"]
        for method, settings in identity.methods.items():
            await self._attach(identity.name, id, method, settings)

    async def _attach(self, name: str, id: str, method: str, settings: Json) -> None:
        known = self._methods.get(method)
        own = {*known.managed, *secret_fields(known)} if known else set[str]()
        body = {
            key: _as_sent(value) for key, value in settings.items() if key not in _NOT_SENT | own and value is not None
        }
        try:
            await self._target.call("POST", f"/api/v1/auth/{method}/identities/{id}", body=body)
        except ApiRefused as error:
            if error.status != 400:
                self.leave(f"identity {name}: set up {method} ({error})")
                return
        if known is not None and known.by_hand:
            self.leave(f"identity {name}: {method} needs {known.by_hand} issued or entered again")

    async def project(self, project: SourceProject) -> None:
        """Move a project with everything in it; folders before imports, because an import may show any folder."""
        id = await self._project_id(project)
        await self.step(f"project/{project.id}", project.name, lambda: self._frame(project, id))
        for environment, path in project.folders:
            place = {"workspaceId": id, "environment": environment}
            await self.step(
                f"secrets/{project.id}/{environment}{path}",
                f"{project.name} {environment}{path}",
                functools.partial(self._secrets, project, place, path),
            )
        for environment, path in project.folders:
            place = {"workspaceId": id, "environment": environment}
            await self.step(
                f"imports/{project.id}/{environment}{path}",
                f"{project.name} {environment}{path} imports",
                functools.partial(self._imports, project, place, path),
            )

    async def _project_id(self, project: SourceProject) -> str:
        for workspace in (await self._target.call("GET", "/api/v1/workspace"))["workspaces"]:
            if workspace["slug"] == project.slug:
                return str(workspace["id"])
        body = {
            "projectName": project.name,
            "slug": project.slug,
            "projectDescription": project.description,
            "shouldCreateDefaultEnvs": False,
        }
        return str((await self._target.call("POST", "/api/v2/workspace", body=body))["project"]["id"])

    async def _frame(self, project: SourceProject, id: str) -> None:
        workspace = (await self._target.call("GET", f"/api/v1/workspace/{id}"))["workspace"]
        slugs = {environment["slug"] for environment in workspace["environments"]}
        for slug, name in project.environments:
            if slug not in slugs:
                await self._target.call(
                    "POST", f"/api/v1/workspace/{id}/environments", body={"name": name, "slug": slug}
                )
        tags = {
            tag["slug"] for tag in (await self._target.call("GET", f"/api/v1/workspace/{id}/tags"))["workspaceTags"]
        }
        for slug, color in project.tags:
            if slug not in tags:
                await self._target.call("POST", f"/api/v1/workspace/{id}/tags", body={"slug": slug, "color": color})

    async def _secrets(self, project: SourceProject, place: dict[str, str], path: str) -> None:
        if path != "/":
            parent, _, name = path.rpartition("/")
            await self._target.call("POST", "/api/v1/folders", body={**place, "path": parent or "/", "name": name})
        query = {"workspaceId": project.id, "environment": place["environment"], "secretPath": path}
        listed = _shared(await self._source.call("GET", "/api/v3/secrets/raw", query=query))
        tags = (await self._target.call("GET", f"/api/v1/workspace/{place['workspaceId']}/tags"))["workspaceTags"]
        ids = {tag["slug"]: tag["id"] for tag in tags}
        items = [_as_item(secret, ids) for secret in listed]
        for batch in _batches(items):
            body = {**place, "secretPath": path, "mode": "upsert", "secrets": batch}
            await self._target.call("PATCH", "/api/v3/secrets/batch/raw", body=body)
        self.secrets += len(items)

    async def _imports(self, project: SourceProject, place: dict[str, str], path: str) -> None:
        query = {"workspaceId": project.id, "environment": place["environment"], "path": path}
        listed = (await self._source.call("GET", "/api/v1/secret-imports", query=query))["secretImports"]
        existing = (await self._target.call("GET", "/api/v1/secret-imports", query={**place, "path": path}))[
            "secretImports"
        ]
        sources = {(link["importEnv"]["slug"], link["importPath"]) for link in existing}
        for link in sorted(listed, key=lambda link: int(link["position"])):
            source = (link["importEnv"]["slug"], link["importPath"])
            if source in sources or link.get("isReserved"):
                continue
            sources.add(source)
            body: Json = {**place, "path": path, "import": {"environment": source[0], "path": source[1]}}
            if link.get("isReplication"):
                body["isReplication"] = True
            try:
                await self._target.call("POST", "/api/v1/secret-imports", body=body)
            except ApiRefused as error:
                if error.status != 400:
                    raise
                self.leave(
                    f"{project.name} {place['environment']}{path}: "
                    f"the import of {source[0]}{source[1]} was refused ({error})"
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
    """Split the items into batches that a server accepts; an item that is too long is a batch of its own."""
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
    """Return a setting in the form in which it is sent: networks are answered in parts and sent as one text."""
    if isinstance(value, list) and value and isinstance(value[0], dict) and "ipAddress" in value[0]:
        return [
            {
                "ipAddress": f"{network['ipAddress']}/{network['prefix']}"
                if network.get("prefix") is not None
                else network["ipAddress"]
            }
            for network in value
        ]
    return value
