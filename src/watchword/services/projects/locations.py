"""The locations of secrets: which project, environment and folder a request means, found through the cache.

Requests name a project by id or slug under several names; a service token's own scope fills in what is left out.

Paths are stored and compared in one form: absolute, without a slash at the end. What another reader could take for
another path (`..`, `//`, percent-escapes, a backslash) is refused instead of resolved, so a permission asked about a
path is about that path.
"""

import re
from functools import lru_cache
from typing import TypeAlias

import msgspec

from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.domain.projects.records import Environment, Folder
from watchword.domain.secrets.replicas import is_replica, shown_path
from watchword.services.access.scopes import project_of_slug, require_known
from watchword.services.context import Ctx
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.projects import folders
from watchword.store.projects.folders import descendants

__all__ = [
    "SecretLocation",
    "by_folder",
    "child_path",
    "descendants",
    "environment",
    "environments",
    "find",
    "folder_name",
    "make_path",
    "new_folder",
    "new_root",
    "normal_path",
    "parent_path",
    "place_meant",
    "project_meant",
]

Field: TypeAlias = str | tuple[str | int, ...]  # where a request has the path, as in `Invalid.of`
ROOT = "root"
MAX_PATH = 1_000  # characters; below what a glob is matched against
_NAME = re.compile(r"[A-Za-z0-9_-]{1,255}")
_ODD = re.compile(r"[\\\x00-\x1f\x7f]|%[0-9A-Fa-f]{2}|//")


class SecretLocation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A folder and the environment it is in."""

    environment: Environment
    folder: Folder


async def project_meant(ctx: Ctx, id: str, slug: str) -> str:
    """Return the id of the project with this id, or this slug in the caller's organization, or of a service token.

    Raises BadRequest, NotFound.
    """
    if id:
        await require_known(ctx, id)
        return id
    if slug and ctx.actor.org_id:
        known = await project_of_slug(ctx, ctx.actor.org_id, slug)
        if known is None:
            raise NotFound(f"There is no project with slug {slug[:64]!r} that you can see")
        return known
    if ctx.actor.project_id:
        return ctx.actor.project_id
    raise BadRequest("Name the project by id or slug")


def place_meant(ctx: Ctx, environment: str | None, path: str | None) -> tuple[str, str]:
    """Return the environment and path, from a service token's only scope where the request names none.

    What the request names takes precedence: else a token with one scope could read nothing but that scope's own folder.
    Raises BadRequest.
    """
    scopes = ctx.actor.scopes
    if len(scopes) == 1 and not _is_glob(scopes[0]["secretPath"]):
        if not environment and path is None:
            path = scopes[0]["secretPath"]
        environment = environment or scopes[0]["environment"]
    if not environment:
        raise BadRequest("Name the environment by its slug")
    if "\x00" in environment:
        raise NotFound("There is no such environment")
    return environment, path or "/"


def _is_glob(path: str) -> bool:
    return any(sign in path for sign in "*?[]{}!()")


def normal_path(text: str, field: Field = "secretPath") -> str:
    """Return a path in the form in which it is stored: `/`, or `/a/b`.

    Raises Invalid, naming `field`, for what could mean another path.
    """
    return _normal(text, field) if len(text) <= MAX_PATH else _normal.__wrapped__(text, field)


@lru_cache(4096)  # workloads name the same few paths again and again
def _normal(text: str, field: Field) -> str:
    absolute = "/" + text.strip().removeprefix("/")
    path = absolute.removesuffix("/") or "/"
    if len(path) > MAX_PATH:
        raise Invalid.of(field, f"At most {MAX_PATH} characters", code="too_big")
    if _ODD.search(absolute) or any(part in (".", "..") for part in path.split("/")):
        raise Invalid.of(
            field, "An absolute path such as /app/db, without '.', '..', empty parts, backslashes or escapes"
        )
    if any(map(is_replica, path.split("/"))):
        raise Invalid.of(field, "The folders with the copies of replicated imports are read through the imports only")
    return path


def folder_name(name: str, field: Field = "name") -> str:
    """Return the name if it is valid for a folder. Raises Invalid."""
    if not _NAME.fullmatch(name):
        raise Invalid.of(field, "A folder's name has letters, digits, dashes and underscores only")
    if is_replica(name):
        raise Invalid.of(field, "Names like this one are reserved for the copies of replicated imports")
    return name


def child_path(parent: str, name: str) -> str:
    """Return the path of a folder called `name` in the folder at `parent`."""
    return f"/{name}" if parent == "/" else f"{parent}/{name}"


def parent_path(path: str) -> str:
    """Return the path of the parent folder; the root's own for the root."""
    return path.rpartition("/")[0] or "/"


async def find(ctx: Ctx, project_id: str, environment_slug: str, path: str) -> SecretLocation | None:
    """Return the location at a normal path, through the cache; None when environment or folder do not exist."""
    location: SecretLocation | None = await ctx.fresh.get(
        ("place", project_id, environment_slug, path), _load_location, project_id, environment_slug, path
    )
    return location


async def _load_location(
    tx: Tx, project_id: str, environment_slug: str, path: str
) -> tuple[SecretLocation | None, tuple[str, ...]]:
    row = await folders.at(tx, project_id, environment_slug, path)
    if row is None:
        return None, ()
    return SecretLocation(environment=row[0], folder=row[1]), (versions.tree(project_id),)


async def by_folder(ctx: Ctx, folder_id: str) -> SecretLocation | None:
    """Return the location of a folder by its id, through the cache; None for an unknown or deleted one.

    The folder with the copies of a replicated import has the path of the folder that imports.
    """

    async def load(tx: Tx) -> tuple[SecretLocation | None, tuple[str, ...]]:
        location = await folders.of_folder(tx, folder_id)
        if location is None:
            return None, ()
        environment, folder = location
        if is_replica(folder.name):
            folder = msgspec.structs.replace(folder, path=shown_path(folder.path))
        return SecretLocation(environment=environment, folder=folder), (versions.tree(environment.project_id),)

    location: SecretLocation | None = await ctx.fresh.get(("place of", folder_id), load)
    return location


async def environments(ctx: Ctx, project_id: str) -> tuple[Environment, ...]:
    """Return the environments of a project in their order, through the cache."""

    async def load(tx: Tx) -> tuple[tuple[Environment, ...], tuple[str, ...]]:
        return tuple(await folders.environments(tx, project_id)), (versions.tree(project_id),)

    loaded: tuple[Environment, ...] = await ctx.fresh.get(("environments", project_id), load)
    return loaded


async def environment(ctx: Ctx, project_id: str, slug: str) -> Environment:
    """Return the environment of a project with this slug, through the cache. Raises NotFound."""
    for candidate in await environments(ctx, project_id):
        if candidate.slug == slug:
            return candidate
    raise NotFound(f"There is no environment with slug {slug[:64]!r} in this project")


def _ancestors(path: str) -> list[str]:
    """Return the path and those above it: `/a/b` -> `/`, `/a`, `/a/b`."""
    paths = [path]
    while path != "/":
        path = parent_path(path)
        paths.append(path)
    return paths[::-1]


def new_root(ctx: Ctx, environment: Environment) -> Folder:
    """Make the root folder of a new environment."""
    return Folder(
        id=ctx.new_id(),
        project_id=environment.project_id,
        environment_id=environment.id,
        name=ROOT,
        path="/",
        created_at=ctx.now,
        updated_at=ctx.now,
    )


def new_folder(ctx: Ctx, parent: Folder, name: str, description: str | None = None, *, field: str = "name") -> Folder:
    """Make a folder in `parent`. Raises Invalid for a name or a path that is not valid."""
    return Folder(
        id=ctx.new_id(),
        project_id=parent.project_id,
        environment_id=parent.environment_id,
        parent_id=parent.id,
        name=folder_name(name, field),
        path=normal_path(child_path(parent.path, name), field),
        description=description,
        created_at=ctx.now,
        updated_at=ctx.now,
    )


async def make_path(
    ctx: Ctx, tx: Tx, project_id: str, environment: Environment, path: str, *, field: str = "path"
) -> Folder:
    """Return the folder at a normal path, in the open unit; it and its parents are created where they are missing."""
    await folders.lock(tx, project_id)
    wanted = _ancestors(path)
    existing = {folder.path: folder for folder in await folders.at_paths(tx, environment.id, wanted)}
    if "/" not in existing:
        raise NotFound("The environment was deleted meanwhile")
    parent, missing = existing["/"], []
    for step in wanted[1:]:
        folder = existing.get(step)
        if folder is None:
            folder = new_folder(ctx, parent, step.rpartition("/")[2], field=field)
            missing.append(folder)
        parent = folder
    if missing:
        await folders.add_folders(tx, missing)
    return parent
