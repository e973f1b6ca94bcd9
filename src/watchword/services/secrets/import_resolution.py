"""Resolve where a secret of a folder may come from: the folder itself, then its imports, the last first, and theirs."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from watchword.domain.secrets.replicas import is_replica
from watchword.services.context import Ctx
from watchword.services.projects.locations import SecretLocation
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.secrets import imports, secrets
from watchword.store.secrets.imports import Link

MAX_DEPTH: Final = 10
Links = Mapping[str, Sequence[Link]]  # by the id of the importing folder, in position order


async def links(ctx: Ctx, project_id: str) -> Links:
    """Return all imports of a project, through the cache."""

    async def load(tx: Tx) -> tuple[Links, tuple[str, ...]]:
        by_folder: dict[str, list[Link]] = {}
        for link in await imports.in_project(tx, project_id):
            by_folder.setdefault(link.record.folder_id, []).append(link)
        return by_folder, (versions.tree(project_id),)

    by_folder: Links = await ctx.fresh.get(("imports", project_id), load)
    return by_folder


async def locations(
    ctx: Ctx, project_id: str, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], SecretLocation | None]:
    """Return the locations at several (environment slug, path), in one query for all that are not cached.

    A folder with the copies of a replicated import is not found: references may name it, and its rights are elsewhere.
    """

    async def load(tx: Tx, keys: Sequence[Any]) -> dict[Any, tuple[SecretLocation | None, tuple[str, ...]]]:
        rows = await secrets.places(tx, project_id, {key[2] for key in keys}, {key[3] for key in keys})
        by_path = {
            (environment.slug, folder.path): SecretLocation(environment=environment, folder=folder)
            for environment, folder in rows
            if not is_replica(folder.name)
        }
        return {key: (by_path.get((key[2], key[3])), (versions.tree(project_id),)) for key in keys}

    keys = [("place", project_id, slug, path) for slug, path in wanted]
    by_key = await ctx.fresh.many(keys, load)
    return {(key[2], key[3]): by_key[key] for key in keys}


def source(link: Link) -> SecretLocation | None:
    """Return the location that an import shows; None while it does not exist.

    Of a replicated import: where the copies are, at the path of the folder that imports.
    """
    if link.record.is_replication:
        return None if link.replica is None else SecretLocation(environment=link.replica[0], folder=link.replica[1])
    return None if link.folder is None else SecretLocation(environment=link.source, folder=link.folder)


def search_path(all_links: Links, location: SecretLocation, *, without: str = "") -> list[SecretLocation]:
    """Return the locations where a secret of `location` is looked up, in order: `location`, then what it imports.

    `without` is the id of a folder that takes no part: the one that imports `location`.
    """
    path: list[SecretLocation] = []
    _walk(all_links, location, 0, {without}, path)
    return path


def _walk(all_links: Links, location: SecretLocation, depth: int, seen: set[str], path: list[SecretLocation]) -> None:
    if location.folder.id in seen or depth > MAX_DEPTH:
        return
    seen.add(location.folder.id)
    path.append(location)
    for link in reversed(all_links.get(location.folder.id, ())):
        shown = source(link)
        if shown is not None:
            _walk(all_links, shown, depth + 1, seen, path)


def reaches(
    all_links: Links, start: tuple[str, str], goal: tuple[str, str], showing: Mapping[str, tuple[str, str]]
) -> bool:
    """Whether `start` shows the secrets of `goal`, directly or through others; both are (environment id, path).

    `showing` says where each importing folder is. The question is about paths and not folders, so an import of a folder
    that does not exist yet counts as well.
    """
    edges: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for folder_id, folder_links in all_links.items():
        if folder_id in showing:
            edges[showing[folder_id]] = [
                (link.record.source_environment_id, link.record.source_path) for link in folder_links
            ]
    waiting, seen = [start], {start}
    while waiting:
        current = waiting.pop()
        if current == goal:
            return True
        unseen = [target for target in edges.get(current, ()) if target not in seen]
        seen.update(unseen)
        waiting += unseen
    return False
