"""What changed in the secrets of a project between two looks: the events that subscribers are told.

    look ──> Picture (the marks of all secrets subscribed to) ──> next look ──> difference: events

Nothing is stored for it, and nothing queued: a subscriber compares two pictures of its own, which share what is cached.
One that was slow, or away, finds the sum of all changes since.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from watchword.domain.access.abilities import denial
from watchword.domain.errors import BadRequest
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
from watchword.services.projects.locations import SecretLocation
from watchword.services.secrets import import_resolution, rights
from watchword.services.secrets.rights import Rights
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.secrets import marks
from watchword.store.secrets.marks import FolderMarks, Mark

SUBJECT: Final = "secret-event-subscriptions"
EventName = Literal["secret:create", "secret:update", "secret:delete", "secret:import-mutation"]
ACTIONS: Final[Mapping[str, str]] = {
    "secret:create": "subscribe-on-created",
    "secret:update": "subscribe-on-updated",
    "secret:delete": "subscribe-on-deleted",
    "secret:import-mutation": "subscribe-on-import-mutations",
}
MAX_FOLDERS: Final = 2_000  # of one subscription
Place = tuple[str, str]  # environment slug and path
_NO_MARKS: Final[Mapping[str, Mark]] = {}


class Wish(msgspec.Struct, frozen=True):
    """Events that a subscriber wants: of one environment or all, of one path, all below it, or all."""

    event: EventName
    environment: str | None = None
    path: str | None = None
    is_below: bool = False

    def covers(self, environment: str, path: str) -> bool:
        """Whether it is about the secrets of this folder."""
        if self.environment not in (None, environment):
            return False
        if self.path is None or self.path == path:
            return True
        return self.is_below and path.startswith(self.path.rstrip("/") + "/")


class SecretEvent(msgspec.Struct, frozen=True):
    """One secret that changed. `key` is None where the subscriber may not see the names of that folder."""

    event: EventName
    environment: str
    path: str
    key: str | None


class Picture(msgspec.Struct, frozen=True):
    """The marks of all secrets that a subscription is about: of its folders, and of what these import."""

    folders: Mapping[Place, FolderMarks]
    imports: Mapping[tuple[Place, Place], FolderMarks]

    @property
    def digest(self) -> str:
        """A text that is another one when a secret has changed: the id of the last event."""
        digest = hashlib.sha256()
        for name, of_place in sorted([*self.folders.items(), *self.imports.items()], key=lambda item: str(item[0])):
            digest.update(repr(name).encode() + of_place.digest)
        return digest.hexdigest()[:32]


async def look(ctx: Ctx, project_id: str, wishes: Sequence[Wish]) -> tuple[ProjectScope, Picture]:
    """The caller's scope and the present picture. Raises PermissionDenied where one of the wishes is not allowed."""
    scope = await enter_project(ctx, project_id)
    for wish in wishes:
        _require(scope, wish)
    places: Sequence[tuple[str, str, str]] = await ctx.fresh.get(("event places", project_id), _load_places, project_id)
    covered = {id: (slug, path) for id, slug, path in places if any(wish.covers(slug, path) for wish in wishes)}
    if len(covered) > MAX_FOLDERS:
        raise BadRequest(f"A subscription is about at most {MAX_FOLDERS} folders: give conditions that name fewer")
    importing = [wish for wish in wishes if wish.event == "secret:import-mutation"]
    imported = await _imported(ctx, project_id, covered, importing) if importing else {}
    contents = await ctx.fresh.many(
        [("event marks", id) for id in {*covered, *(source.folder.id for source in imported.values())}], _load_marks
    )
    folders = {place: contents["event marks", id] for id, place in covered.items()}
    return scope, Picture(
        folders, {pair: contents["event marks", source.folder.id] for pair, source in imported.items()}
    )


def _require(scope: ProjectScope, wish: Wish) -> None:
    facts: dict[str, Any] = {"eventType": wish.event}
    if wish.environment is not None:
        facts["environment"] = wish.environment
    if wish.path is not None and not wish.is_below:
        facts["secretPath"] = wish.path
    if not scope.ability.could(ACTIONS[wish.event], SUBJECT, facts):
        raise denial(scope.ability, ACTIONS[wish.event], SUBJECT, facts)


async def _load_places(tx: Tx, project_id: str) -> tuple[list[tuple[str, str, str]], tuple[str, ...]]:
    return await marks.places(tx, project_id), (versions.tree(project_id),)


async def _load_marks(tx: Tx, keys: Sequence[Any]) -> dict[Any, tuple[FolderMarks, tuple[str, ...]]]:
    loaded = await marks.of_folders(tx, [key[1] for key in keys])
    return {("event marks", id): (found, (versions.folder(id),)) for id, found in loaded.items()}


async def _imported(
    ctx: Ctx, project_id: str, covered: Mapping[str, Place], wishes: Sequence[Wish]
) -> dict[tuple[Place, Place], SecretLocation]:
    """What the folders import, directly or through others."""
    links = await import_resolution.links(ctx, project_id)
    sources: dict[tuple[Place, Place], SecretLocation] = {}
    for folder_id, place in covered.items():
        if not any(wish.covers(*place) for wish in wishes):
            continue
        for link in links.get(folder_id, ()):
            shown = import_resolution.source(link)
            if shown is not None and shown.folder.id != folder_id:
                for source in import_resolution.search_path(links, shown, without=folder_id):
                    sources[place, (source.environment.slug, source.folder.path)] = source
    return sources


def events(scope: ProjectScope, before: Picture, after: Picture, wishes: Sequence[Wish]) -> Iterator[SecretEvent]:
    """What happened between two pictures, as far as the subscriber wants it and may be told at the present time."""
    for place in sorted({*before.folders, *after.folders}):
        old, new = before.folders.get(place), after.folders.get(place)
        if old is not new:
            for event, key in _changes(old, new):
                yield from _told(scope, wishes, event, place, place, key)
    for pair in sorted({*before.imports, *after.imports}):
        old, new = before.imports.get(pair), after.imports.get(pair)
        if old is not new:
            for key in sorted({key for _, key in _changes(old, new)}):
                yield from _told(scope, wishes, "secret:import-mutation", pair[0], pair[1], key)


def _changes(old: FolderMarks | None, new: FolderMarks | None) -> Iterator[tuple[EventName, str]]:
    before, after = old.marks if old else _NO_MARKS, new.marks if new else _NO_MARKS
    for id, mark in before.items():
        if id not in after:
            yield "secret:delete", mark[0]
    for id, mark in after.items():
        known = before.get(id)
        if known is None:
            yield "secret:create", mark[0]
        elif known[0] != mark[0]:  # for whoever reads it by name, the old one is gone
            yield "secret:delete", known[0]
            yield "secret:create", mark[0]
        elif known != mark:
            yield "secret:update", mark[0]


def _told(
    scope: ProjectScope, wishes: Sequence[Wish], event: EventName, place: Place, source: Place, key: str
) -> Iterator[SecretEvent]:
    if not any(wish.event == event and wish.covers(*place) for wish in wishes):
        return
    facts = {"environment": place[0], "secretPath": place[1], "eventType": event}
    if scope.ability.allows(ACTIONS[event], SUBJECT, facts):
        is_shown = all(Rights(scope, rights.DESCRIBE, *one).all for one in {place, source})
        yield SecretEvent(event, place[0], place[1], key if is_shown else None)
