"""The contents of folders through the cache: values stay sealed there and are opened for each request.

A folder with very many secrets, or large ones, is not read whole for one of them: its secrets are cached one by one, by
name. Only a list caches all of it, for the next list.
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
# The same for folders too large for that: more than this is read from the database for each list.
LISTED_BYTES: Final = 16 * 1024 * 1024
KEPT_BYTES: Final = 128 * 1024  # a value larger than this is read from the database each time
MAX_LISTED: Final = 256 * 1024 * 1024
PIECE_COUNT: Final = 400  # secrets that one query reads; between two queries others have their turn
PIECE_BYTES: Final = 4 * 1024 * 1024
_PIECE_FOLDERS: Final = 32  # folders that one query weighs


class CachedSecret(msgspec.Struct, eq=False, gc=False):
    """A sealed secret of a folder, with its tags and the facts that permissions look at. It never changes.

    `memo` holds what is computed from the secret and needed again by the next request; it is dropped with the entry
    when the secret changes. Nothing in it may refer back to the entry, which the garbage collector does not track.
    """

    secret: StoredSecret
    tags: tuple[Tag, ...] = ()
    _facts: Mapping[str, Any] | None = None
    memo: dict[Hashable, Any] = msgspec.field(default_factory=dict)

    def __repr__(self) -> str:
        return f"CachedSecret({self.secret.key})"

    @property
    def is_bare(self) -> bool:
        """Whether nothing but the value is sealed in the secret."""
        return self.secret.comment is None and not self.secret.metadata

    @property
    def facts(self) -> Mapping[str, Any]:
        """The facts that conditions look at, without the location."""
        if self._facts is None:
            self._facts = facts_of(self.secret.key, self.tags, self.secret.metadata)
        return self._facts


class FolderSecrets(msgspec.Struct, frozen=True, gc=False):
    """The secrets of a folder by name, shared and personal ones; `is_whole` is False for a folder too large to cache.

    `memo` holds what is computed from all shared secrets, as with `CachedSecret`.
    """

    is_whole: bool
    shared: Mapping[str, CachedSecret] = {}
    personal: Mapping[str, Mapping[str, CachedSecret]] = {}  # by user id
    weight: int = 1  # for the cache
    memo: dict[Hashable, Any] = msgspec.field(default_factory=dict)

    def find(self, key: str, user_id: str | None) -> CachedSecret | None:
        """Return the shared secret of that name, or the person's own."""
        return self.shared.get(key) if user_id is None else self.personal.get(user_id, {}).get(key)

    def all_shared(self) -> Iterable[CachedSecret]:
        """Return the shared secrets, by name."""
        return self.shared.values()

    def of_user(self, user_id: str) -> Mapping[str, CachedSecret]:
        """Return a person's own secrets in the folder."""
        return self.personal.get(user_id, {})


def with_tags(secret: StoredSecret, tags: Mapping[str, Tag]) -> CachedSecret:
    """Return the secret with its tags looked up; deleted tags are left out."""
    return CachedSecret(secret, tuple(tags[id] for id in secret.tag_ids if id in tags) if secret.tag_ids else ())


def facts_of(key: str, tags: Iterable[Tag], metadata: Iterable[SecretMetadata] = ()) -> dict[str, Any]:
    """Return the facts that conditions look at, without the location; encrypted metadata takes no part."""
    pairs = [{"key": item.key, "value": item.value} for item in metadata if not item.is_encrypted]
    return {"secretName": key, "secretTags": [tag.slug for tag in tags], "metadata": pairs}


async def tags(ctx: Ctx, project_id: str) -> Mapping[str, Tag]:
    """Return the tags of a project by id, through the cache."""
    tags_by_id: Mapping[str, Tag] = await ctx.fresh.get(("tags by id", project_id), _load_tags, project_id)
    return tags_by_id


async def _load_tags(tx: Tx, project_id: str) -> tuple[Mapping[str, Tag], tuple[str, ...]]:
    return {tag.id: tag for tag in await secrets.tags(tx, project_id)}, (versions.tree(project_id),)


async def folder_secrets(ctx: Ctx, project_id: str, folder_id: str) -> FolderSecrets:
    """Return the contents of one folder, through the cache."""
    contents: FolderSecrets = await ctx.fresh.get(("secrets", folder_id), _load_folder, project_id, folder_id)
    return contents


async def _load_folder(tx: Tx, project_id: str, folder_id: str) -> tuple[FolderSecrets, tuple[str, ...]]:
    return (await _load(tx, project_id, [folder_id]))[folder_id]


async def folders(ctx: Ctx, project_id: str, folder_ids: Collection[str]) -> dict[str, FolderSecrets]:
    """Return the contents of several folders of a project by id: two or three queries for all that is not cached."""

    async def load(tx: Tx, keys: Sequence[Any]) -> dict[Any, tuple[FolderSecrets, tuple[str, ...]]]:
        loaded = await _load(tx, project_id, [key[1] for key in keys])
        return {("secrets", folder_id): entry for folder_id, entry in loaded.items()}

    contents = await ctx.fresh.many([("secrets", folder_id) for folder_id in folder_ids], load)
    return {folder_id: contents["secrets", folder_id] for folder_id in folder_ids}


async def _load(tx: Tx, project_id: str, folder_ids: Sequence[str]) -> dict[str, tuple[FolderSecrets, tuple[str, ...]]]:
    whole: dict[str, secrets.Weight] = {}
    room = WHOLE_TOGETHER
    contents: dict[str, tuple[FolderSecrets, tuple[str, ...]]] = {}
    for folder_id, weight in (await _weights(tx, folder_ids)).items():
        if weight.count > WHOLE_COUNT or weight.size > WHOLE_BYTES:
            contents[folder_id] = FolderSecrets(is_whole=False), (versions.folder(folder_id),)
        elif weight.size > room:
            contents[folder_id] = (
                FolderSecrets(is_whole=False),
                (),
            )  # too much for this request only, so nothing is kept of it
        else:
            whole[folder_id] = weight
            room -= weight.size
    return contents | (await _read(tx, project_id, whole) if whole else {})


async def _weights(tx: Tx, folder_ids: Sequence[str]) -> dict[str, secrets.Weight]:
    if len(folder_ids) <= _PIECE_FOLDERS:
        return await secrets.weights(tx, folder_ids)
    turns, weights = Turns(), dict[str, secrets.Weight]()
    for start in range(0, len(folder_ids), _PIECE_FOLDERS):
        weights |= await secrets.weights(tx, folder_ids[start : start + _PIECE_FOLDERS])
        await turns.give()
    return weights


async def _rows(tx: Tx, weights: Mapping[str, secrets.Weight], turns: Turns) -> list[StoredSecret]:
    """Read all secrets of these folders: small folders together, a large one in pieces."""
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
            batch = await secrets.in_folder_after(tx, folder_id, last, most, turns)
            rows += batch
            await turns.give()
            if len(batch) < most:
                break
            last = batch[-1]
    return rows


async def _read(
    tx: Tx, project_id: str, weights: Mapping[str, secrets.Weight]
) -> dict[str, tuple[FolderSecrets, tuple[str, ...]]]:
    turns = Turns()
    rows = await _rows(tx, weights, turns)
    labels = await _labels(tx, project_id, rows)
    by_folder: dict[str, list[CachedSecret]] = {id: [] for id in weights}
    for number, row in enumerate(rows):
        by_folder[row.folder_id].append(with_tags(row, labels))
        if not number % 256:
            await turns.give()
    contents: dict[str, tuple[FolderSecrets, tuple[str, ...]]] = {}
    for folder_id, items in by_folder.items():
        await turns.give()
        has_tags = any(item.secret.tag_ids for item in items)
        own = versions.folder(folder_id)
        contents[folder_id] = (_folder_secrets(items), (own, versions.tree(project_id)) if has_tags else (own,))
    return contents


def _folder_secrets(items: Iterable[CachedSecret]) -> FolderSecrets:
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


async def get(ctx: Ctx, location: SecretLocation, key: str, user_id: str | None = None) -> CachedSecret | None:
    """Return the shared secret of that name in a folder, or the person's own.

    It comes from the cached folder; where that is not cached, the secret alone is read, because in a folder that is
    written to each write would have all of it read again. Only for a name that does not exist is the whole folder
    read, which then answers for all such names.
    """
    folder_id = location.folder.id
    contents: FolderSecrets | None = await ctx.fresh.cached(("secrets", folder_id))
    if contents is not None and contents.is_whole:
        return contents.find(key, user_id)
    if "\x00" in key:
        return None
    await ctx.fresh.depends((versions.folder(folder_id), versions.tree(location.folder.project_id)))
    secret: CachedSecret | None = await ctx.fresh.get(
        ("secret in", folder_id, key, user_id), _load_one, location, key, user_id
    )
    if secret is None and contents is None:
        await folder_secrets(ctx, location.folder.project_id, folder_id)
    return secret


async def _load_each(
    tx: Tx, asked: Sequence[tuple[SecretLocation, str, str | None]]
) -> list[tuple[CachedSecret | None, tuple[str, ...]]]:
    rows = await secrets.picked(tx, {(location.folder.id, key) for location, key, _ in asked})
    labels = {id: await _labels(tx, id, rows) for id in {row.project_id for row in rows if row.tag_ids}}
    named = {(row.folder_id, row.key, row.user_id): row for row in rows}
    results: list[tuple[CachedSecret | None, tuple[str, ...]]] = []
    for location, key, user_id in asked:
        folder_id, project_id = location.folder.id, location.folder.project_id
        row = named.get((folder_id, key, user_id))
        secret = None if row is None else with_tags(row, labels.get(project_id, {}))
        keeps = row is not None and len(row.value) <= KEPT_BYTES
        results.append((secret, (versions.folder(folder_id), versions.tree(project_id)) if keeps else ()))
    return results


_load_one = LoadEach(_load_each)


async def everything(ctx: Ctx, project_id: str, folder_ids: Collection[str]) -> dict[str, FolderSecrets]:
    """Return the whole contents of several folders, even of those too large to cache."""
    if len(folder_ids) == 1:  # nearly every list
        contents = {id: await folder_secrets(ctx, project_id, id) for id in folder_ids}
    else:
        contents = await folders(ctx, project_id, folder_ids)
    large = [folder_id for folder_id, folder in contents.items() if not folder.is_whole]

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
        await ctx.fresh.depends((*map(versions.folder, large), versions.tree(project_id)))
        listed = await ctx.fresh.many([("listed", folder_id) for folder_id in large], load)
        contents |= {folder_id: listed["listed", folder_id] for folder_id in large}
    return contents


async def picked(
    ctx: Ctx, project_id: str, wanted: Mapping[str, Collection[str]]
) -> dict[tuple[str, str], CachedSecret]:
    """Return the shared secrets with these names in these folders (folder id -> names), by (folder id, name)."""
    by_name: dict[tuple[str, str], CachedSecret] = {}
    large: list[str] = []
    for folder_id, folder in (await folders(ctx, project_id, wanted)).items():
        if folder.is_whole:
            by_name.update({(folder_id, key): folder.shared[key] for key in wanted[folder_id] if key in folder.shared})
        else:
            large.append(folder_id)
    if large:
        await ctx.fresh.depends((*map(versions.folder, large), versions.tree(project_id)))
        keys = {key for folder_id in large for key in wanted[folder_id] if "\x00" not in key}
        async with ctx.view() as tx:
            rows = await secrets.named(tx, large, keys)
            labels = await _labels(tx, project_id, rows)
        own = [row for row in rows if row.user_id is None and row.key in wanted[row.folder_id]]
        by_name.update({(row.folder_id, row.key): with_tags(row, labels) for row in own})
    return by_name
