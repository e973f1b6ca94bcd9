"""What folders hold, through the cache: values stay sealed there and are opened for each request.

A folder with very many secrets, or large ones, is not read whole for one of them: its secrets are kept one by one, by
name. Only a list has it kept, for the next list.
"""

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest
from watchword.domain.projects.records import Tag
from watchword.domain.secrets.records import SecretMetadata, StoredSecret
from watchword.services.context import Ctx
from watchword.services.projects.locations import SecretLocation
from watchword.services.turns import Turns
from watchword.store import versions
from watchword.store.cache import LoadEach
from watchword.store.engine import Tx
from watchword.store.secrets import secrets

WHOLE_COUNT: Final = 2_000
WHOLE_BYTES: Final = 1024 * 1024
WHOLE_TOGETHER: Final = 64 * 1024 * 1024  # of all folders that one request loads into the cache
LISTED_BYTES: Final = (
    16 * 1024 * 1024
)  # the same of those that are too large for that: more is read from the database for each list
KEPT_BYTES: Final = 128 * 1024  # a value larger than this is read from the database each time
MAX_LISTED: Final = 256 * 1024 * 1024
PIECE_COUNT: Final = 400  # secrets that are read in one piece; between two of them others have their turn
PIECE_BYTES: Final = 4 * 1024 * 1024
_PIECE_FOLDERS: Final = 32  # folders that are weighed in one piece


class CachedSecret(msgspec.Struct, eq=False, gc=False):
    """A secret as it lies in its folder, with its tags and with what permissions may look at. It never changes.

    `made` is for what others make of it and want again at the next request: gone with it as soon as the secret changes.
    Nothing in it may lead back to it, for the garbage collector does not look here.
    """

    secret: StoredSecret
    tags: tuple[Tag, ...] = ()
    _facts: Mapping[str, Any] | None = None
    memo: dict[Hashable, Any] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Held({self.secret.key})"

    @property
    def is_bare(self) -> bool:
        """Whether nothing but the value is sealed in it."""
        return self.secret.comment is None and not self.secret.metadata

    @property
    def facts(self) -> Mapping[str, Any]:
        """What conditions may look at, without the place."""
        if self._facts is None:
            self._facts = facts_of(self.secret.key, self.tags, self.secret.metadata)
        return self._facts


class FolderSecrets(msgspec.Struct, frozen=True, gc=False):
    """A folder's secrets by name, shared ones and each person's own; `is_whole` is False for one too large to keep.

    `made` is for what others make of all that is shared here, as with `CachedSecret`.
    """

    is_whole: bool
    shared: Mapping[str, CachedSecret] = {}
    personal: Mapping[str, Mapping[str, CachedSecret]] = {}  # by user id
    weight: int = 1  # for the cache
    memo: dict[Hashable, Any] = msgspec.field(default_factory=dict)

    def find(self, key: str, user_id: str | None) -> CachedSecret | None:
        """The shared secret of that name, or the person's own."""
        return self.shared.get(key) if user_id is None else self.personal.get(user_id, {}).get(key)

    def every(self) -> Iterable[CachedSecret]:
        """The shared secrets, by name."""
        return self.shared.values()

    def of_user(self, user_id: str) -> Mapping[str, CachedSecret]:
        """A person's own secrets here."""
        return self.personal.get(user_id, {})


def held(secret: StoredSecret, tags: Mapping[str, Tag]) -> CachedSecret:
    """The secret with its tags looked up. A tag that was deleted is no tag."""
    return CachedSecret(secret, tuple(tags[id] for id in secret.tag_ids if id in tags) if secret.tag_ids else ())


def facts_of(key: str, tags: Iterable[Tag], metadata: Iterable[SecretMetadata] = ()) -> dict[str, Any]:
    """What conditions may look at besides the place. What is encrypted in the metadata takes no part."""
    pairs = [{"key": item.key, "value": item.value} for item in metadata if not item.is_encrypted]
    return {"secretName": key, "secretTags": [tag.slug for tag in tags], "metadata": pairs}


async def tags(ctx: Ctx, project_id: str) -> Mapping[str, Tag]:
    """The tags of a project by id, through the cache."""
    found: Mapping[str, Tag] = await ctx.fresh.get(("tags by id", project_id), _load_tags, project_id)
    return found


async def _load_tags(tx: Tx, project_id: str) -> tuple[Mapping[str, Tag], tuple[str, ...]]:
    return {tag.id: tag for tag in await secrets.tags(tx, project_id)}, (versions.tree(project_id),)


async def folder_secrets(ctx: Ctx, project_id: str, folder_id: str) -> FolderSecrets:
    """What one folder holds, through the cache."""
    found: FolderSecrets = await ctx.fresh.get(("secrets", folder_id), _load_folder, project_id, folder_id)
    return found


async def _load_folder(tx: Tx, project_id: str, folder_id: str) -> tuple[FolderSecrets, tuple[str, ...]]:
    return (await _load(tx, project_id, [folder_id]))[folder_id]


async def folders(ctx: Ctx, project_id: str, folder_ids: Collection[str]) -> dict[str, FolderSecrets]:
    """What several folders of a project hold, by folder id: two or three queries for all that the cache lacks."""

    async def load(tx: Tx, keys: Sequence[Any]) -> dict[Any, tuple[FolderSecrets, tuple[str, ...]]]:
        loaded = await _load(tx, project_id, [key[1] for key in keys])
        return {("secrets", folder_id): entry for folder_id, entry in loaded.items()}

    found = await ctx.fresh.many([("secrets", folder_id) for folder_id in folder_ids], load)
    return {folder_id: found["secrets", folder_id] for folder_id in folder_ids}


async def _load(tx: Tx, project_id: str, folder_ids: Sequence[str]) -> dict[str, tuple[FolderSecrets, tuple[str, ...]]]:
    whole: dict[str, secrets.Weight] = {}
    room = WHOLE_TOGETHER
    found: dict[str, tuple[FolderSecrets, tuple[str, ...]]] = {}
    for folder_id, weight in (await _weights(tx, folder_ids)).items():
        if weight.count > WHOLE_COUNT or weight.size > WHOLE_BYTES:
            found[folder_id] = FolderSecrets(is_whole=False), (versions.folder(folder_id),)
        elif weight.size > room:
            found[folder_id] = (
                FolderSecrets(is_whole=False),
                (),
            )  # too much for this request only, so nothing is kept of it
        else:
            whole[folder_id] = weight
            room -= weight.size
    return found | (await _read(tx, project_id, whole) if whole else {})


async def _weights(tx: Tx, folder_ids: Sequence[str]) -> dict[str, secrets.Weight]:
    if len(folder_ids) <= _PIECE_FOLDERS:
        return await secrets.weights(tx, folder_ids)
    turns, found = Turns(), dict[str, secrets.Weight]()
    for start in range(0, len(folder_ids), _PIECE_FOLDERS):
        found |= await secrets.weights(tx, folder_ids[start : start + _PIECE_FOLDERS])
        await turns.give()
    return found


async def _rows(tx: Tx, weights: Mapping[str, secrets.Weight], turns: Turns) -> list[StoredSecret]:
    """All that is in these folders: small ones together, a large one in pieces."""
    if (
        sum(weight.count for weight in weights.values()) <= PIECE_COUNT
        and sum(weight.size for weight in weights.values()) <= PIECE_BYTES
    ):
        return await secrets.in_folders(tx, list(weights), turns)
    rows: list[StoredSecret] = []
    for folder_id, weight in weights.items():
        if not weight.count:
            continue
        most = max(1, min(PIECE_COUNT, PIECE_BYTES * weight.count // max(1, weight.size)))
        last: StoredSecret | None = None
        while True:
            some = await secrets.in_folder_after(tx, folder_id, last, most, turns)
            rows += some
            await turns.give()
            if len(some) < most:
                break
            last = some[-1]
    return rows


async def _read(
    tx: Tx, project_id: str, weights: Mapping[str, secrets.Weight]
) -> dict[str, tuple[FolderSecrets, tuple[str, ...]]]:
    turns = Turns()
    rows = await _rows(tx, weights, turns)
    labels = await _labels(tx, project_id, rows)
    by_folder: dict[str, list[CachedSecret]] = {id: [] for id in weights}
    for number, row in enumerate(rows):
        by_folder[row.folder_id].append(held(row, labels))
        if not number % 256:
            await turns.give()
    found: dict[str, tuple[FolderSecrets, tuple[str, ...]]] = {}
    for folder_id, items in by_folder.items():
        await turns.give()
        has_tags = any(item.secret.tag_ids for item in items)
        own = versions.folder(folder_id)
        found[folder_id] = (_shelf(items), (own, versions.tree(project_id)) if has_tags else (own,))
    return found


def _shelf(items: Iterable[CachedSecret]) -> FolderSecrets:
    shared: dict[str, CachedSecret] = {}
    personal: dict[str, dict[str, CachedSecret]] = {}
    size = 0
    for item in items:
        size += 2048 + len(item.secret.value)
        if item.secret.user_id is None:
            shared[item.secret.key] = item
        else:
            personal.setdefault(item.secret.user_id, {})[item.secret.key] = item
    return FolderSecrets(is_whole=True, shared=shared, personal=personal, weight=1 + size // 4096)


async def _labels(tx: Tx, project_id: str, rows: Iterable[StoredSecret]) -> dict[str, Tag]:
    if not any(row.tag_ids for row in rows):
        return {}
    return {tag.id: tag for tag in await secrets.tags(tx, project_id)}


async def one(ctx: Ctx, place: SecretLocation, key: str, user_id: str | None = None) -> CachedSecret | None:
    """The shared secret of that name in a folder, or the person's own.

    From the folder where that is at hand; else it alone is read, for in a folder that is written to each write would
    have all of it read again. Only a name that is not there is worth the folder, which then answers for all such names.
    """
    folder_id = place.folder.id
    there: FolderSecrets | None = await ctx.fresh.cached(("secrets", folder_id))
    if there is not None and there.is_whole:
        return there.find(key, user_id)
    if "\x00" in key:
        return None
    found: CachedSecret | None = await ctx.fresh.get(
        ("secret in", folder_id, key, user_id), _load_one, place, key, user_id
    )
    if found is None and there is None:
        await folder_secrets(ctx, place.folder.project_id, folder_id)
    return found


async def _load_each(
    tx: Tx, asked: Sequence[tuple[SecretLocation, str, str | None]]
) -> list[tuple[CachedSecret | None, tuple[str, ...]]]:
    rows = await secrets.picked(tx, {(place.folder.id, key) for place, key, _ in asked})
    labels = {id: await _labels(tx, id, rows) for id in {row.project_id for row in rows if row.tag_ids}}
    named = {(row.folder_id, row.key, row.user_id): row for row in rows}
    found: list[tuple[CachedSecret | None, tuple[str, ...]]] = []
    for place, key, user_id in asked:
        folder_id, project_id = place.folder.id, place.folder.project_id
        row = named.get((folder_id, key, user_id))
        secret = None if row is None else held(row, labels.get(project_id, {}))
        keeps = row is not None and len(row.value) <= KEPT_BYTES
        found.append((secret, (versions.folder(folder_id), versions.tree(project_id)) if keeps else ()))
    return found


_load_one = LoadEach(_load_each)


async def everything(ctx: Ctx, project_id: str, folder_ids: Collection[str]) -> dict[str, FolderSecrets]:
    """What several folders hold, whole also where that is too much to keep."""
    if len(folder_ids) == 1:  # nearly every list
        found = {id: await folder_secrets(ctx, project_id, id) for id in folder_ids}
    else:
        found = await folders(ctx, project_id, folder_ids)
    large = [folder_id for folder_id, there in found.items() if not there.is_whole]

    async def load(tx: Tx, keys: Sequence[Any]) -> dict[Any, tuple[FolderSecrets, tuple[str, ...]]]:
        weights = await _weights(tx, [key[1] for key in keys])
        together = sum(weight.size for weight in weights.values())
        if together > MAX_LISTED:
            raise BadRequest(
                f"These secrets are more than {MAX_LISTED} bytes together: read them by name or folder by folder"
            )
        read = await _read(tx, project_id, weights)
        return {
            ("listed", id): (folder_secrets, version_keys if together <= LISTED_BYTES else ())
            for id, (folder_secrets, version_keys) in read.items()
        }

    if large:
        listed = await ctx.fresh.many([("listed", folder_id) for folder_id in large], load)
        found |= {folder_id: listed["listed", folder_id] for folder_id in large}
    return found


async def picked(
    ctx: Ctx, project_id: str, wanted: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], CachedSecret]:
    """The shared secrets with certain names in certain folders (folder id -> names), by (folder id, name)."""
    found: dict[tuple[str, str], CachedSecret] = {}
    large: list[str] = []
    for folder_id, there in (await folders(ctx, project_id, wanted)).items():
        if there.is_whole:
            found.update({(folder_id, key): there.shared[key] for key in wanted[folder_id] if key in there.shared})
        else:
            large.append(folder_id)
    if large:
        keys = {key for folder_id in large for key in wanted[folder_id] if "\x00" not in key}
        async with ctx.view() as tx:
            rows = await secrets.named(tx, large, keys)
            labels = await _labels(tx, project_id, rows)
        own = [row for row in rows if row.user_id is None and row.key in wanted[row.folder_id]]
        found.update({(row.folder_id, row.key): held(row, labels) for row in own})
    return found
