"""Reading secrets: one by name or id, or all that a folder shows."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import compress
from typing import Literal

import msgspec

from watchword.domain.errors import Forbidden, NotFound
from watchword.domain.projects.records import Folder
from watchword.domain.secrets.records import SecretVersion, StoredSecret
from watchword.domain.secrets.references import Address, Expander, ResolvedSecret
from watchword.domain.secrets.texts import tidy_name
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.context import Ctx
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
_PIECE = 500  # secrets that are opened in one piece
_HEAVY = 512  # weight of a folder that is opened in pieces: a thousand secrets, or a megabyte


class One(msgspec.Struct, frozen=True, kw_only=True):
    """The secret that is asked for. `show`: with its value; `version`: as it was then."""

    project_id: str
    environment: str
    path: str = "/"
    name: str
    kind: str = "shared"
    version: int | None = None
    show: bool = True
    expand: bool = False
    with_imports: bool = False


class Every(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets that are asked for.

    `personal`: the caller's own ones left out, beside the shared ones, or instead of them.
    """

    project_id: str
    environment: str
    path: str = "/"
    recursive: bool = False
    show: bool = True
    expand: bool = False
    with_imports: bool = False
    personal: Literal["none", "beside", "instead"] = "none"
    tag_slugs: frozenset[str] = frozenset()
    metadata: tuple[tuple[str | None, str | None], ...] = ()
    must_exist: bool = False


class ImportedGroup(msgspec.Struct, frozen=True):
    """What one import brings in: the place it shows, and the secrets seen there."""

    place: SecretLocation
    secrets: Sequence[SecretView]


class SecretList(msgspec.Struct, frozen=True):
    """The answer to a list: own secrets, and imported ones by import."""

    secrets: Sequence[SecretView] | DecryptedFolder
    imports: Sequence[ImportedGroup] = ()


def missing(name: str, environment: str, path: str) -> NotFound:
    """The refusal for a secret that is not there."""
    return NotFound(f"There is no secret {name[:128]!r} in environment {environment[:64]!r} at {path[:256]!r}")


async def one(ctx: Ctx, wanted: One) -> SecretView:
    """One secret by name, its value with it unless `show` is False. Raises PermissionDenied, NotFound."""
    scope = await enter_project(ctx, wanted.project_id)
    name, path = tidy_name(wanted.name), normal_path(wanted.path)
    place = await find(ctx, wanted.project_id, wanted.environment, path)
    user_id = ctx.actor.id if wanted.kind == "personal" and ctx.actor.kind == "user" else None
    held: CachedSecret | None = None
    imported = False
    if place is not None and (wanted.kind == "shared" or user_id):
        asked = place
        held = await folder_cache.one(ctx, place, name, user_id)
        if held is None and wanted.with_imports and user_id is None:
            hit = await _imported(ctx, scope, asked, name, show=wanted.show)
            if hit is not None:
                # Who may see nothing of this name in the asked folder does not see what the folder shows.
                rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path, secretName=name)
                place, held = hit
                imported = True
    if place is None or held is None:
        rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path, secretName=name)
        raise missing(name, wanted.environment, path)
    return await _shown(ctx, scope, place, held, wanted, imported=imported)


async def _imported(
    ctx: Ctx, scope: ProjectScope, place: SecretLocation, name: str, *, show: bool
) -> tuple[SecretLocation, CachedSecret] | None:
    links = await import_resolution.links(ctx, scope.project.id)
    search_path = import_resolution.search_path(links, place)[1:]
    there = await folder_cache.picked(ctx, scope.project.id, {at.folder.id: {name} for at in search_path})
    for at in search_path:
        held = there.get((at.folder.id, name))
        if held is not None and _imports(scope, at, show=show)(held):
            return at, held
    return None


def _imports(scope: ProjectScope, at: SecretLocation, *, show: bool) -> Keeps:
    """Which secrets of an imported place the caller sees: without the value's permission, none where values are
    asked.
    """
    describes = Rights(scope, rights.DESCRIBE, at.environment.slug, at.folder.path)
    reads = Rights(scope, rights.READ, at.environment.slug, at.folder.path)
    return (lambda held: describes(held) and reads(held)) if show else describes


async def _shown(
    ctx: Ctx,
    scope: ProjectScope,
    place: SecretLocation,
    held: CachedSecret,
    wanted: One,
    *,
    imported: bool,
    is_named: bool = True,
) -> SecretView:
    environment, path = place.environment.slug, place.folder.path
    rights.require(ctx, scope, rights.DESCRIBE, environment, path, held.facts, is_named=is_named)
    if wanted.show:
        rights.require(ctx, scope, rights.READ, environment, path, held.facts, is_named=is_named)
    key = await sealed.sealer(ctx, scope.project.id)
    if wanted.version is not None and wanted.version != held.secret.version:
        held = await as_of(ctx, held, wanted.version)
    view = decrypt_one(key, held, place, show=wanted.show, is_imported=imported)
    if wanted.expand and wanted.show:
        view = (await _expanded(ctx, scope, key, [view]))[0]
    await ctx.audit_read(
        "get-secret",
        org_id=scope.org_id,
        project_id=scope.project.id,
        environment=environment,
        secretPath=path,
        secretId=held.secret.id,
        secretKey=held.secret.key,
        secretVersion=held.secret.version,
    )
    return view


async def as_of(ctx: Ctx, held: CachedSecret, n: int) -> CachedSecret:
    """The secret as it was at version `n`, judged by what it is now. Raises NotFound."""
    labels = await folder_cache.tags(ctx, held.secret.project_id)
    async with ctx.view() as tx:
        found = await secrets.version(tx, held.secret.id, n)
    if found is None:
        raise NotFound(f"There is no version {n} of this secret, or it is not kept any more")
    then = folder_cache.held(then_of(held.secret, found), labels)
    return CachedSecret(then.secret, then.tags, held.facts)


def then_of(secret: StoredSecret, was: SecretVersion) -> StoredSecret:
    """The row of a secret as it was at a version: its envelopes were sealed for that version's folder."""
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
    """A secret by id, and the caller's scope in its project. Raises NotFound also where the caller is no member."""
    gone = NotFound(f"There is no secret with id {secret_id[:64]!r}")
    if "\x00" in secret_id:
        raise gone
    async with ctx.view() as tx:
        rows = await secrets.by_ids(tx, [secret_id])
    if not rows or rows[0].user_id not in (None, ctx.actor.id):
        raise gone
    try:
        scope = await enter_project(ctx, rows[0].project_id)
    except (Forbidden, NotFound):
        raise gone from None
    place = await by_folder(ctx, rows[0].folder_id)
    if place is None:
        raise gone
    return scope, place, folder_cache.held(rows[0], await folder_cache.tags(ctx, scope.project.id))


async def by_id(ctx: Ctx, secret_id: str, *, show: bool = True) -> SecretView:
    """One secret by id, as `one` gives it."""
    scope, place, held = await locate(ctx, secret_id)
    wanted = One(
        project_id=scope.project.id,
        environment=place.environment.slug,
        path=place.folder.path,
        name=held.secret.key,
        show=show,
    )
    return await _shown(ctx, scope, place, held, wanted, imported=False, is_named=False)


async def _expanded(ctx: Ctx, scope: ProjectScope, key: Sealer, views: Sequence[SecretView]) -> list[SecretView]:
    """The views with the references in their values filled in."""
    starts = [None if view.is_hidden or "${" not in view.value else _source(view) for view in views]
    if not any(starts):
        return list(views)
    expander = Expander(await expansion.gather(ctx, scope, key, [start for start in starts if start]))
    turns, found = Turns(), list[SecretView]()
    for view, start in zip(views, starts, strict=True):
        if start is None:
            found.append(view)
            continue
        value = await expansion.filled(expander, start, turns, on_one_line=bool(view.secret.skip_multiline_encoding))
        found.append(msgspec.structs.replace(view, value=value))
        await turns.give()
    return found


def _source(view: SecretView) -> ResolvedSecret:
    return ResolvedSecret(Address(view.environment, view.path, view.secret.key), view.value)


async def every(ctx: Ctx, wanted: Every) -> SecretList:
    """All that the caller may see of a folder, or of a folder and those below it.

    Raises PermissionDenied where that is nothing.
    """
    scope = await enter_project(ctx, wanted.project_id)
    path = normal_path(wanted.path)
    if not wanted.recursive:
        rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path)
    place = await find(ctx, wanted.project_id, wanted.environment, path)
    if place is None:
        if wanted.must_exist:
            raise NotFound(f"There is no folder {path[:256]!r} in environment {wanted.environment[:64]!r}")
        return SecretList(())
    there = [place, *await _below(ctx, place)] if wanted.recursive else [place]
    turns = Turns()
    admitted = await _admitted(scope, there, turns)
    held = await folder_cache.everything(ctx, scope.project.id, [at.folder.id for at, _ in admitted])
    key = await sealed.sealer(ctx, scope.project.id)
    seen = [
        await _of_folder(ctx, scope, key, at, describes, held[at.folder.id], wanted, turns, is_asked=at is place)
        for at, describes in admitted
    ]
    views = seen[0] if len(seen) == 1 else [view for part in seen for view in part]
    groups = await _groups(ctx, scope, key, [at for at, _ in admitted], wanted) if wanted.with_imports else []
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


async def _admitted(
    scope: ProjectScope, there: Sequence[SecretLocation], turns: Turns
) -> list[tuple[SecretLocation, Rights]]:
    """The folders in which the caller may see something, each with the right to see its secrets."""
    found: list[tuple[SecretLocation, Rights]] = []
    for at in there:
        describes = Rights(scope, rights.DESCRIBE, at.environment.slug, at.folder.path)
        if not describes.none:
            found.append((at, describes))
        await turns.give()
    return found


async def _passing(items: Iterable[CachedSecret], asked: Rights, turns: Turns) -> list[bool]:
    """The answer for each, in pieces: a list of many secrets under many rules is long work.

    In a thread where one piece may be too long.
    """
    answers: list[bool] = []
    if asked.is_slow:
        return await asyncio.to_thread(lambda: [asked(item) for item in items])
    for number, item in enumerate(items, 1):
        answers.append(asked(item))
        if not number % asked.between:
            await turns.give()
    return answers


async def _look(
    key: Sealer, items: Sequence[CachedSecret], at: SecretLocation, turns: Turns, *, show: bool
) -> Sequence[SecretView]:
    """`look_at_every` in pieces."""
    if len(items) <= _PIECE:
        return decrypt_many(key, items, at, show=show)
    views: list[SecretView] = []
    for start in range(0, len(items), _PIECE):
        views += decrypt_many(key, items[start : start + _PIECE], at, show=show)
        await turns.give()
    return views


async def _below(ctx: Ctx, place: SecretLocation) -> list[SecretLocation]:
    async def load(tx: Tx) -> tuple[list[Folder], tuple[str, ...]]:
        return await descendants(tx, place.folder), (versions.tree(place.folder.project_id),)

    found: list[Folder] = await ctx.fresh.get(("below", place.folder.id), load)
    return [SecretLocation(environment=place.environment, folder=folder) for folder in found]


async def _of_folder(
    ctx: Ctx,
    scope: ProjectScope,
    key: Sealer,
    at: SecretLocation,
    describes: Rights,
    folder_secrets: FolderSecrets,
    wanted: Every,
    turns: Turns,
    *,
    is_asked: bool,
) -> Sequence[SecretView] | DecryptedFolder:
    reads = Rights(scope, rights.READ, at.environment.slug, at.folder.path)
    mine = folder_secrets.of_user(ctx.actor.id) if wanted.personal != "none" and ctx.actor.kind == "user" else {}
    there = (
        folder_secrets.every() if not mine else _with_own(folder_secrets, mine, instead=wanted.personal == "instead")
    )
    keeps = _filter(wanted)
    await turns.give()
    there = list(there)
    if not describes.all:
        there = list(compress(there, await _passing(there, describes, turns)))
    if keeps is not None:
        there = list(filter(keeps, there))
    shows = await _passing(there, reads, turns) if wanted.show and not reads.all else [wanted.show] * len(there)
    if wanted.show and all(shows):
        is_everything = not mine and len(there) == len(folder_secrets.shared) and folder_secrets.weight < _HEAVY
        return decrypt_all(key, folder_secrets, at) if is_everything else await _look(key, there, at, turns, show=True)
    if not wanted.show:
        return await _look(key, there, at, turns, show=False)
    # A folder below that one only happens to list is left out rather than shown without values.
    opened = iter(await _look(key, list(compress(there, shows)), at, turns, show=True))
    return [
        next(opened) if show else decrypt_one(key, seen, at, show=False)
        for seen, show in zip(there, shows, strict=True)
        if show or is_asked
    ]


def _with_own(
    folder_secrets: FolderSecrets, mine: Mapping[str, CachedSecret], *, instead: bool
) -> Iterable[CachedSecret]:
    for held in folder_secrets.every():
        own = mine.get(held.secret.key)
        if own is None or not instead:
            yield held
        if own is not None:
            yield own


def _filter(wanted: Every) -> Keeps | None:
    slugs, pairs = wanted.tag_slugs, wanted.metadata
    if not slugs and not pairs:
        return None

    def has(held: CachedSecret, name: str | None, value: str | None) -> bool:
        items = [item for item in held.secret.metadata if not item.is_encrypted or value is None]
        return any((name is None or item.key == name) and (value is None or item.value == value) for item in items)

    def keeps(held: CachedSecret) -> bool:
        if slugs and not any(tag.slug in slugs for tag in held.tags):
            return False
        return all(has(held, name, value) for name, value in pairs)

    return keeps


async def _groups(
    ctx: Ctx, scope: ProjectScope, key: Sealer, there: Sequence[SecretLocation], wanted: Every
) -> list[ImportedGroup]:
    """What the imports of these folders bring in, each import a group in its order; nested imports belong to
    the outer one.
    """
    links = await import_resolution.links(ctx, scope.project.id)
    search_paths = [
        (shown, import_resolution.search_path(links, shown, without=at.folder.id))
        for at in there
        for link in links.get(at.folder.id, ())
        if (shown := import_resolution.source(link)) is not None
        and not link.record.is_replication
        and shown.folder.id != at.folder.id
    ]
    held = await folder_cache.everything(
        ctx, scope.project.id, {at.folder.id for _, search_path in search_paths for at in search_path}
    )
    groups, action = [], rights.READ if wanted.show else rights.DESCRIBE
    for shown, search_path in search_paths:
        views = await _through(scope, key, search_path, held, wanted)
        if views or rights.some(scope, action, shown):
            groups.append(ImportedGroup(shown, views))
    return groups


async def _through(
    scope: ProjectScope,
    key: Sealer,
    search_path: Sequence[SecretLocation],
    held: dict[str, FolderSecrets],
    wanted: Every,
) -> list[SecretView]:
    keeps, names = _filter(wanted), set[str]()
    turns, views = Turns(), list[SecretView]()
    for at in search_path:
        sees = _imports(scope, at, show=wanted.show)
        for item in held[at.folder.id].every():
            if item.secret.key not in names and sees(item) and (keeps is None or keeps(item)):
                names.add(item.secret.key)
                views.append(decrypt_one(key, item, at, show=wanted.show, is_imported=True))
            await turns.give()
    return views


async def _expand_all(
    ctx: Ctx, scope: ProjectScope, key: Sealer, views: Sequence[SecretView], groups: Sequence[ImportedGroup]
) -> tuple[list[SecretView], list[ImportedGroup]]:
    flat = await _expanded(ctx, scope, key, [*views, *(view for group in groups for view in group.secrets)])
    rest = iter(flat[len(views) :])
    return flat[: len(views)], [ImportedGroup(group.place, [next(rest) for _ in group.secrets]) for group in groups]


async def imported(ctx: Ctx, wanted: Every) -> Sequence[ImportedGroup]:
    """What the imports of one folder bring in, with references filled in."""
    scope = await enter_project(ctx, wanted.project_id)
    path = normal_path(wanted.path)
    rights.require_some(ctx, scope, rights.DESCRIBE, wanted.environment, path)
    place = await find(ctx, wanted.project_id, wanted.environment, path)
    if place is None:
        return ()
    key = await sealed.sealer(ctx, scope.project.id)
    groups = await _groups(ctx, scope, key, [place], wanted)
    if wanted.expand and wanted.show:
        _, groups = await _expand_all(ctx, scope, key, [], groups)
    return groups
