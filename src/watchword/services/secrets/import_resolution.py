"""Where a secret of a folder may come from: the folder itself, then its imports, the last first, and theirs."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from watchword.services.context import Ctx
from watchword.services.projects.locations import SecretLocation
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.secrets import imports, secrets
from watchword.store.secrets.imports import Link

MAX_DEPTH: Final = 10
Links = Mapping[str, Sequence[Link]]  # by the id of the folder that shows, in position order


async def links(ctx: Ctx, project_id: str) -> Links:
    """All imports of a project, through the cache."""

    async def load(tx: Tx) -> tuple[Links, tuple[str, ...]]:
        found: dict[str, list[Link]] = {}
        for link in await imports.in_project(tx, project_id):
            found.setdefault(link.record.folder_id, []).append(link)
        return found, (versions.tree(project_id),)

    found: Links = await ctx.fresh.get(("imports", project_id), load)
    return found


async def places(
    ctx: Ctx, project_id: str, wanted: Collection[tuple[str, str]]
) -> dict[tuple[str, str], SecretLocation | None]:
    """The places at several (environment slug, path), in one query for all that the cache lacks."""

    async def load(tx: Tx, keys: Sequence[Any]) -> dict[Any, tuple[SecretLocation | None, tuple[str, ...]]]:
        rows = await secrets.places(tx, project_id, {key[2] for key in keys}, {key[3] for key in keys})
        there = {
            (environment.slug, folder.path): SecretLocation(environment=environment, folder=folder)
            for environment, folder in rows
        }
        return {key: (there.get((key[2], key[3])), (versions.tree(project_id),)) for key in keys}

    keys = [("place", project_id, slug, path) for slug, path in wanted]
    found = await ctx.fresh.many(keys, load)
    return {(key[2], key[3]): found[key] for key in keys}


def source(link: Link) -> SecretLocation | None:
    """The place that an import shows; None while there is none."""
    return None if link.folder is None else SecretLocation(environment=link.source, folder=link.folder)


def search_path(all_links: Links, place: SecretLocation, *, without: str = "") -> list[SecretLocation]:
    """The places where a secret of `place` is looked for, the first that has it wins: `place`, then what it imports.

    `without` is the id of a folder that takes no part: the one that imports `place`.
    """
    found: list[SecretLocation] = []
    _walk(all_links, place, 0, {without}, found)
    return found


def _walk(all_links: Links, place: SecretLocation, depth: int, seen: set[str], found: list[SecretLocation]) -> None:
    if place.folder.id in seen or depth > MAX_DEPTH:
        return
    seen.add(place.folder.id)
    found.append(place)
    for link in reversed(all_links.get(place.folder.id, ())):
        shown = source(link)
        if shown is not None and not link.record.is_replication:
            _walk(all_links, shown, depth + 1, seen, found)


def reaches(
    all_links: Links, start: tuple[str, str], goal: tuple[str, str], showing: Mapping[str, tuple[str, str]]
) -> bool:
    """Whether the place `start` shows the secrets of `goal`, directly or through others. Places are (environment id,
    path).

    `showing` says where each importing folder is. Asked by place and not by folder, so an import of a folder that is
    yet to be made counts as well.
    """
    edges: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for folder_id, some in all_links.items():
        if folder_id in showing:
            edges[showing[folder_id]] = [(link.record.source_environment_id, link.record.source_path) for link in some]
    waiting, seen = [start], {start}
    while waiting:
        here = waiting.pop()
        if here == goal:
            return True
        fresh = [there for there in edges.get(here, ()) if there not in seen]
        seen.update(fresh)
        waiting += fresh
    return False
