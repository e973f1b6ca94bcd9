"""Read secrets: one by name or id, or all that a folder shows."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import Literal

import msgspec

from watchword.domain.errors import Forbidden, NotFound
from watchword.domain.projects.records import Folder
from watchword.domain.secrets.records import SecretKind, SecretVersion, StoredSecret
from watchword.domain.secrets.references import Address, Expander, ResolvedSecret
from watchword.domain.secrets.replicas import is_replica
from watchword.domain.secrets.texts import tidy_name
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx, Rereading
from watchword.services.keys.keyring import Sealer
from watchword.services.projects.locations import SecretLocation, by_folder, descendants, find, normal_path
from watchword.services.secrets import expansion, folder_cache, import_resolution, rights, sealed
from watchword.services.secrets.folder_cache import CachedSecret, FolderSecrets
from watchword.services.secrets.rights import Rights
from watchword.services.secrets.views import DecryptedFolder, SecretView, decrypt_all, decrypt_many, decrypt_one
from watchword.services.turns import Turns
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.secrets import secrets

Keeps = Callable[[CachedSecret], bool]
# where a person's own secrets stand: beside the shared ones, or in their place
Personal = Literal["none", "beside", "instead"]
_PIECE = 500  # secrets that are opened before others have their turn
_HEAVY = 512  # weight of a folder that is opened in pieces: a thousand secrets, or a megabyte


class SecretRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that a request asks for. `show`: with its value; `version`: as it was at that version."""

    project_id: str
    environment: str
    path: str = "/"
    name: str
    kind: SecretKind = "shared"
    version: int | None = None
    show: bool = True
    expand: bool = False
    with_imports: bool = False


class SecretListRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets that a request asks for.

    `personal`: the caller's personal secrets are left out, shown beside the shared ones, or instead of them.
    """

    project_id: str
    environment: str
    path: str = "/"
    recursive: bool = False
    show: bool = True
    expand: bool = False
    with_imports: bool = False
    personal: Personal = "none"
    tag_slugs: frozenset[str] = frozenset()
    metadata: tuple[tuple[str | None, str | None], ...] = ()


class ImportedGroup(msgspec.Struct, frozen=True):
    """What one import brings in: the location that it shows, and the secrets that the caller sees there."""

    location: SecretLocation
    secrets: Sequence[SecretView]


class SecretList(msgspec.Struct, frozen=True):
    """The answer to a list: own secrets, and imported ones by import."""

    secrets: Sequence[SecretView] | DecryptedFolder
    imports: Sequence[ImportedGroup] = ()


def missing(name: str, environment: str, path: str) -> NotFound:
    """Make the refusal for a secret that does not exist."""
    return NotFound(f"There is no secret {name[:128]!r} in environment {environment[:64]!r} at {path[:256]!r}")


def missing_folder(environment: str, path: str) -> NotFound:
    """Make the refusal for a folder, or an environment, that does not exist."""
    return NotFound(f"Folder with path '{path[:256]}' in environment with slug '{environment[:64]}' not found")


async def get(ctx: Ctx, wanted: SecretRequest) -> SecretView:
    """Read one secret by name, with its value unless `show` is False. Raises PermissionDenied, NotFound."""
    scope = await enter_project(ctx, wanted.project_id)
    name, path = tidy_name(wanted.name), normal_path(wanted.path)
    location = await find(ctx, wanted.project_id, wanted.environment, path)
    user_id = ctx.actor.id if wanted.kind == "personal" and ctx.actor.kind == "user" else None
    cached: CachedSecret | None = None
    imported = False
    if location is not None and (wanted.kind == "shared" or user_id):
        asked = location
        cached = await folder_cache.get(ctx, location, name, user_id)
        if cached is None and wanted.with_imports and user_id is None:
            hit = await _imported(ctx, scope, asked, name, show=wanted.show)
            if hit is not None:
                # A caller who may see nothing of this name in the folder does not see its imports either.
                rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path, secretName=name)
                location, cached = hit
                imported = True
    if location is None or cached is None:
        rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path, secretName=name)
        raise missing(name, wanted.environment, path)
    return await _shown(ctx, scope, location, cached, wanted, imported=imported)


async def _imported(
    ctx: Ctx, scope: ProjectScope, location: SecretLocation, name: str, *, show: bool
) -> tuple[SecretLocation, CachedSecret] | None:
    links = await import_resolution.links(ctx, scope.project.id)
    search_path = import_resolution.search_path(links, location)[1:]
    cached_secrets = await folder_cache.picked(
        ctx, scope.project.id, {source.folder.id: {name} for source in search_path}
    )
    for source in search_path:
        cached = cached_secrets.get((source.folder.id, name))
        if cached is not None and _imports(scope, source, show=show)(cached):
            return source, cached
    return None


def _imports(scope: ProjectScope, location: SecretLocation, *, show: bool) -> Keeps:
    """Return the test for which secrets of an imported location the caller sees.

    Where values are asked for, those whose value the caller may not read are left out.
    """
    describes = Rights(scope, rights.DESCRIBE, location.environment.slug, location.folder.path)
    reads = Rights(scope, rights.READ, location.environment.slug, location.folder.path)
    return (lambda cached: describes(cached) and reads(cached)) if show else describes


async def _shown(
    ctx: Ctx,
    scope: ProjectScope,
    location: SecretLocation,
    cached: CachedSecret,
    wanted: SecretRequest,
    *,
    imported: bool,
    is_named: bool = True,
) -> SecretView:
    environment, path = location.environment.slug, location.folder.path
    rights.require(ctx, scope, rights.DESCRIBE, environment, path, cached.facts, is_named=is_named)
    if wanted.show:
        rights.require(ctx, scope, rights.READ, environment, path, cached.facts, is_named=is_named)
    key = await sealed.sealer(ctx, scope.project.id)
    if wanted.version is not None and wanted.version != cached.secret.version:
        was = await as_of(ctx, cached, wanted.version)
        if wanted.show and not await was_readable(ctx, scope, location, was):
            raise rights.refusal_of_version(cached.secret.key if is_named else None, environment, path)
        cached = CachedSecret(was.secret, was.tags, cached.facts)
    view = decrypt_one(key, cached, location, show=wanted.show, is_imported=imported)
    if wanted.expand and wanted.show:
        view = (await _expanded(ctx, scope, key, [view]))[0]
    await ctx.audit_read(
        "get-secret",
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=environment,
        secretPath=path,
        secretId=cached.secret.id,
        secretKey=cached.secret.key,
        secretVersion=cached.secret.version,
    )
    return view


async def as_of(ctx: Ctx, cached: CachedSecret, n: int) -> CachedSecret:
    """Read the secret as it was at version `n`, with the facts that it had then. Raises NotFound."""
    labels = await folder_cache.tags(ctx, cached.secret.project_id)
    async with ctx.view() as tx:
        version = await secrets.version(tx, cached.secret.id, n)
    if version is None:
        raise NotFound(f"There is no version {n} of this secret, or it is not kept any more")
    return folder_cache.with_tags(row_at_version(cached.secret, version), labels)


async def was_readable(ctx: Ctx, scope: ProjectScope, location: SecretLocation, was: CachedSecret) -> bool:
    """Whether the rules let the caller read the value of a secret as it was: under the name, tags and metadata of then.

    `location` is where the secret is now. A version of before a move is looked at in the folder that it was moved
    from, while there is one. A name or a tag that rules allow, given to a secret together with a new value, does not
    open the values of before.
    """
    if was.secret.folder_id != location.folder.id:
        location = await by_folder(ctx, was.secret.folder_id) or location
    environment, path = location.environment.slug, location.folder.path
    if len(was.tags) < len(was.secret.tag_ids):
        # A tag of it was deleted since, and with it what rules called it: only who may read everything there.
        return Rights(scope, rights.READ, environment, path).all
    facts = rights.in_place(environment, path, was.facts)
    return scope.ability.allows(rights.READ, rights.SUBJECT, facts)


def row_at_version(secret: StoredSecret, was: SecretVersion) -> StoredSecret:
    """Return the row of a secret as it was at a version: its envelopes were sealed for that version's folder."""
    return msgspec.structs.replace(
        secret,
        folder_id=was.folder_id,
        version=was.version,
        key=was.key,
        value=was.value,
        comment=was.comment,
        skip_multiline_encoding=was.skip_multiline_encoding,
        metadata=was.metadata,
        tag_ids=was.tag_ids,
        actor_kind=was.actor_kind,
        actor_id=was.actor_id,
        updated_at=was.created_at,
    )


async def locate(ctx: Ctx, secret_id: str) -> tuple[ProjectScope, SecretLocation, CachedSecret]:
    """Find a secret by id, and the caller's scope in its project. Raises NotFound, also to non-members."""
    not_found = NotFound(f"There is no secret with id {secret_id[:64]!r}")
    if "\x00" in secret_id:
        raise not_found
    row = await _row(ctx, secret_id)
    if row is None or row.user_id not in (None, ctx.actor.id):
        raise not_found
    try:
        scope = await enter_project(ctx, row.project_id)
    except (Forbidden, NotFound):
        raise not_found from None
    location = await by_folder(ctx, row.folder_id)
    if location is None:
        raise not_found
    return scope, location, folder_cache.with_tags(row, await folder_cache.tags(ctx, scope.project.id))


async def _row(ctx: Ctx, secret_id: str) -> StoredSecret | None:
    """Return the row of a secret. Where a request waits for changes, it is read again once its folder is known.

    What a wait depends on must be noted before the reading, or a change between the two would be missed.
    """
    async with ctx.view() as tx:
        row = next(iter(await secrets.by_ids(tx, [secret_id])), None)
    if not isinstance(ctx, Rereading):
        return row
    folder_id = None
    while row is not None and row.folder_id != folder_id:
        folder_id = row.folder_id
        await ctx.fresh.depends((versions.folder(folder_id), versions.tree(row.project_id)))
        async with ctx.view() as tx:
            row = next(iter(await secrets.by_ids(tx, [secret_id])), None)
    return row


async def by_id(ctx: Ctx, secret_id: str, *, show: bool = True) -> SecretView:
    """Read one secret by id, as `get` does by name."""
    scope, location, cached = await locate(ctx, secret_id)
    wanted = SecretRequest(
        project_id=scope.project.id,
        environment=location.environment.slug,
        path=location.folder.path,
        name=cached.secret.key,
        show=show,
    )
    return await _shown(ctx, scope, location, cached, wanted, imported=False, is_named=False)


async def _expanded(ctx: Ctx, scope: ProjectScope, key: Sealer, views: Sequence[SecretView]) -> list[SecretView]:
    """Fill in the references in the values of these views."""
    starts = [None if view.is_hidden or "${" not in view.value else _source(view) for view in views]
    if not any(starts):
        return list(views)
    expander = Expander(await expansion.gather(ctx, scope, key, [start for start in starts if start]))
    turns, expanded = Turns(), list[SecretView]()
    for view, start in zip(views, starts, strict=True):
        if start is None:
            expanded.append(view)
            continue
        value = await expansion.filled(expander, start, turns, on_one_line=bool(view.secret.skip_multiline_encoding))
        expanded.append(msgspec.structs.replace(view, value=value))
        await turns.give()
    return expanded


def _source(view: SecretView) -> ResolvedSecret:
    return ResolvedSecret(Address(view.environment, view.path, view.secret.key), view.value)


async def list_secrets(ctx: Ctx, wanted: SecretListRequest) -> SecretList:
    """Read all secrets that the caller may see in a folder, or in a folder and those below it.

    Raises PermissionDenied where there can be none, NotFound for a folder or environment that does not exist.
    """
    scope = await enter_project(ctx, wanted.project_id)
    path = normal_path(wanted.path)
    if not wanted.recursive:
        rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path)
    start = await find(ctx, wanted.project_id, wanted.environment, path)
    if start is None:
        raise missing_folder(wanted.environment, path)
    locations = [start, *await _below(ctx, start)] if wanted.recursive else [start]
    turns = Turns()
    admitted = await _admitted(scope, locations, turns)
    contents = await folder_cache.everything(ctx, scope.project.id, [location.folder.id for location, _ in admitted])
    key = await sealed.sealer(ctx, scope.project.id)
    seen = [
        await _of_folder(
            ctx,
            scope,
            key,
            location,
            describes,
            contents[location.folder.id],
            wanted,
            turns,
            is_asked=location is start,
        )
        for location, describes in admitted
    ]
    views = seen[0] if len(seen) == 1 else await _together(seen, turns)
    groups = (
        await _groups(ctx, scope, key, [location for location, _ in admitted], wanted) if wanted.with_imports else []
    )
    if wanted.expand and wanted.show and (groups or not isinstance(views, DecryptedFolder) or views.has(b"${")):
        views, groups = await _expand_all(ctx, scope, key, list(views), groups)
    await ctx.audit_read(
        "get-secrets",
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=wanted.environment,
        secretPath=path,
        numberOfSecrets=len(views),
    )
    return SecretList(views, groups)


async def _together(parts: Iterable[Sequence[SecretView] | DecryptedFolder], turns: Turns) -> list[SecretView]:
    """Return the secrets of all folders as one list; each folder makes its views, so others go first in between."""
    views: list[SecretView] = []
    for part in parts:
        views.extend(part)
        await turns.give()
    return views


async def _admitted(
    scope: ProjectScope, locations: Sequence[SecretLocation], turns: Turns
) -> list[tuple[SecretLocation, Rights]]:
    """Return the folders in which the caller may see something, each with the right to see its secrets."""
    admitted: list[tuple[SecretLocation, Rights]] = []
    for location in locations:
        describes = Rights(scope, rights.DESCRIBE, location.environment.slug, location.folder.path)
        if not describes.none:
            admitted.append((location, describes))
        await turns.give()
    return admitted


async def _passing(items: Iterable[CachedSecret], right: Rights, turns: Turns) -> list[bool]:
    """Answer the right for each secret, in pieces: a list of many secrets under many rules is long work.

    It runs in a thread where even one piece may take too long.
    """
    answers: list[bool] = []
    if right.is_slow:
        return await asyncio.to_thread(lambda: [right(item) for item in items])
    for number, item in enumerate(items, 1):
        answers.append(right(item))
        if not number % right.between:
            await turns.give()
    return answers


async def _decrypt_in_pieces(
    key: Sealer, items: Sequence[CachedSecret], location: SecretLocation, turns: Turns, *, show: bool
) -> Sequence[SecretView]:
    """Open secrets of one location for an answer, in pieces."""
    if len(items) <= _PIECE:
        return decrypt_many(key, items, location, show=show)
    views: list[SecretView] = []
    for start in range(0, len(items), _PIECE):
        views += decrypt_many(key, items[start : start + _PIECE], location, show=show)
        await turns.give()
    return views


async def _below(ctx: Ctx, location: SecretLocation) -> list[SecretLocation]:
    async def load(tx: Tx) -> tuple[list[Folder], tuple[str, ...]]:
        below = [folder for folder in await descendants(tx, location.folder) if not is_replica(folder.name)]
        return below, (versions.tree(location.folder.project_id),)

    folders: list[Folder] = await ctx.fresh.get(("below", location.folder.id), load)
    return [SecretLocation(environment=location.environment, folder=folder) for folder in folders]


async def _of_folder(
    ctx: Ctx,
    scope: ProjectScope,
    key: Sealer,
    location: SecretLocation,
    describes: Rights,
    folder_secrets: FolderSecrets,
    wanted: SecretListRequest,
    turns: Turns,
    *,
    is_asked: bool,
) -> Sequence[SecretView] | DecryptedFolder:
    reads = Rights(scope, rights.READ, location.environment.slug, location.folder.path)
    personal = folder_secrets.of_user(ctx.actor.id) if wanted.personal != "none" and ctx.actor.kind == "user" else {}
    visible = (
        folder_secrets.all_shared()
        if not personal
        else _with_own(folder_secrets, personal, instead=wanted.personal == "instead")
    )
    keeps = _filter(wanted)
    await turns.give()
    visible = list(visible)
    if not describes.all:
        visible = list(compress(visible, await _passing(visible, describes, turns)))
    if keeps is not None:
        visible = list(filter(keeps, visible))
    shows = await _passing(visible, reads, turns) if wanted.show and not reads.all else [wanted.show] * len(visible)
    if wanted.show and all(shows):
        is_everything = not personal and len(visible) == len(folder_secrets.shared) and folder_secrets.weight < _HEAVY
        return (
            decrypt_all(key, folder_secrets, location)
            if is_everything
            else await _decrypt_in_pieces(key, visible, location, turns, show=True)
        )
    if not wanted.show:
        return await _decrypt_in_pieces(key, visible, location, turns, show=False)
    # In a folder below the requested one, a secret whose value may not be read is left out.
    opened = iter(await _decrypt_in_pieces(key, list(compress(visible, shows)), location, turns, show=True))
    return [
        next(opened) if show else decrypt_one(key, cached, location, show=False)
        for cached, show in zip(visible, shows, strict=True)
        if show or is_asked
    ]


def _with_own(
    folder_secrets: FolderSecrets, personal: Mapping[str, CachedSecret], *, instead: bool
) -> Iterable[CachedSecret]:
    for cached in folder_secrets.all_shared():
        own = personal.get(cached.secret.key)
        if own is None or not instead:
            yield cached
        if own is not None:
            yield own


def _filter(wanted: SecretListRequest) -> Keeps | None:
    slugs, pairs = wanted.tag_slugs, wanted.metadata
    if not slugs and not pairs:
        return None

    def has(cached: CachedSecret, name: str | None, value: str | None) -> bool:
        items = [item for item in cached.secret.metadata if not item.is_encrypted or value is None]
        return any((name is None or item.key == name) and (value is None or item.value == value) for item in items)

    def keeps(cached: CachedSecret) -> bool:
        if slugs and not any(tag.slug in slugs for tag in cached.tags):
            return False
        return all(has(cached, name, value) for name, value in pairs)

    return keeps


async def _groups(
    ctx: Ctx, scope: ProjectScope, key: Sealer, locations: Sequence[SecretLocation], wanted: SecretListRequest
) -> list[ImportedGroup]:
    """Return what the imports of these folders bring in: one group for each import, in their order.

    Nested imports belong to the outer one.
    """
    links = await import_resolution.links(ctx, scope.project.id)
    search_paths = [
        (shown, import_resolution.search_path(links, shown, without=location.folder.id))
        for location in locations
        for link in links.get(location.folder.id, ())
        if (shown := import_resolution.source(link)) is not None and shown.folder.id != location.folder.id
    ]
    contents = await folder_cache.everything(
        ctx, scope.project.id, {location.folder.id for _, search_path in search_paths for location in search_path}
    )
    groups, action = [], rights.READ if wanted.show else rights.DESCRIBE
    for shown, search_path in search_paths:
        views = await _through(scope, key, search_path, contents, wanted)
        if views or rights.some(scope, action, shown):
            groups.append(ImportedGroup(shown, views))
    return groups


async def _through(
    scope: ProjectScope,
    key: Sealer,
    search_path: Sequence[SecretLocation],
    contents: dict[str, FolderSecrets],
    wanted: SecretListRequest,
) -> list[SecretView]:
    keeps, names = _filter(wanted), set[str]()
    turns, views = Turns(), list[SecretView]()
    for location in search_path:
        sees = _imports(scope, location, show=wanted.show)
        for item in contents[location.folder.id].all_shared():
            if item.secret.key not in names and sees(item) and (keeps is None or keeps(item)):
                names.add(item.secret.key)
                views.append(decrypt_one(key, item, location, show=wanted.show, is_imported=True))
            await turns.give()
    return views


async def _expand_all(
    ctx: Ctx, scope: ProjectScope, key: Sealer, views: Sequence[SecretView], groups: Sequence[ImportedGroup]
) -> tuple[list[SecretView], list[ImportedGroup]]:
    flat = await _expanded(ctx, scope, key, [*views, *(view for group in groups for view in group.secrets)])
    rest = iter(flat[len(views) :])
    return flat[: len(views)], [ImportedGroup(group.location, [next(rest) for _ in group.secrets]) for group in groups]


async def imported(ctx: Ctx, wanted: SecretListRequest) -> Sequence[ImportedGroup]:
    """Return what the imports of one folder bring in, with references filled in. Raises as `list_secrets` does."""
    scope = await enter_project(ctx, wanted.project_id)
    path = normal_path(wanted.path)
    rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path)
    location = await find(ctx, wanted.project_id, wanted.environment, path)
    if location is None:
        raise missing_folder(wanted.environment, path)
    key = await sealed.sealer(ctx, scope.project.id)
    groups = await _groups(ctx, scope, key, [location], wanted)
    if wanted.expand and wanted.show:
        _, groups = await _expand_all(ctx, scope, key, [], groups)
    return groups
