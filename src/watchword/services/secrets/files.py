"""Export a folder to a file, and import a file into a folder, with a plan of what would change."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from typing import Literal

import msgspec

from watchword.domain.errors import BadRequest, Invalid
from watchword.domain.secrets.formats import BadFile, Format, Item, dump, load
from watchword.domain.secrets.records import StoredSecret
from watchword.domain.secrets.texts import MAX_BATCH, MAX_IN_FOLDER, checked_name, checked_value
from watchword.services.context import Ctx
from watchword.services.secrets import folder_cache, reading, rights, sealed, writing
from watchword.services.secrets.reading import SecretListRequest
from watchword.services.secrets.views import SecretView
from watchword.services.secrets.writing import SecretChange, Target
from watchword.services.turns import Turns

OnConflict = Literal["fail", "skip", "overwrite"]
_MOST_NAMED = 20
_SMALL_FILE = 32 * 1024  # characters; a larger file is written and read in a thread
_PIECE = 500  # secrets handled before others have their turn
_FILES = ThreadPoolExecutor(1, "secret-files")


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What an import did, or would do, by secret name."""

    created: Sequence[str]
    updated: Sequence[str]
    unchanged: Sequence[str]
    skipped: Sequence[str]
    # Of a dry run: secrets that exist with other values, for which the import would be refused.
    conflicting: Sequence[str] = ()


async def export(ctx: Ctx, wanted: SecretListRequest, format: Format) -> str:
    """Write the secrets that the caller may read as the text of a file.

    Imported secrets are included: own ones take precedence, then the last import.
    """
    listed = await reading.list_secrets(ctx, wanted)
    merged: dict[str, SecretView] = {}
    turns = Turns()
    for number, view in enumerate(chain(*(group.secrets for group in listed.imports), listed.secrets)):
        merged[view.secret.key] = view
        if not number % _PIECE:
            await turns.give()
    await turns.give()
    names = sorted(merged)  # of a hundred thousand 30 ms, which cannot be cut in two
    await turns.give()
    items, hidden, size = list[Item](), list[str](), 0
    for number, name in enumerate(names):
        view = merged[name]
        items.append(Item(name, view.value, view.comment))
        size += 64 + len(view.value)
        if view.is_hidden:
            hidden.append(name)
        if not number % _PIECE:
            await turns.give()
    if hidden:
        raise BadRequest(f"You may not read the values of {_some(hidden)}, so the file would not be whole")
    try:
        if size <= _SMALL_FILE:
            return dump(format, items)
        # Writing YAML takes a tenth of a millisecond for a line; a thread gives way every few milliseconds.
        return await asyncio.get_running_loop().run_in_executor(_FILES, dump, format, items)
    except BadFile as error:
        raise BadRequest(str(error)) from None


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )


async def read(format: Format, text: str) -> tuple[Item, ...]:
    """Read the items of a file, with names and values as they would be stored. Raises Invalid."""
    try:
        if len(text) <= _SMALL_FILE:
            items = load(format, text)
        else:
            items = await asyncio.get_running_loop().run_in_executor(_FILES, load, format, text)
    except BadFile as error:
        raise Invalid.of("content", str(error)) from None
    if len(items) > MAX_IN_FOLDER:
        raise Invalid.of("content", f"At most {MAX_IN_FOLDER} secrets")
    tidy, turns = dict[str, Item](), Turns()
    for item in items:
        name = checked_name(item.key, "content", item.key)
        tidy[name] = Item(name, checked_value(item.value, "content", item.key), item.comment)
        await turns.give()
    return tuple(tidy.values())


async def bring_in(
    ctx: Ctx, target: Target, items: Sequence[Item], *, on_conflict: OnConflict, dry_run: bool
) -> Outcome:
    """Store the items in a folder.

    A secret that has the value already is left alone; `on_conflict` says what happens to one with another value. Up to
    500 items are one unit, all or nothing; more take several units, and a second run finds the first ones unchanged.
    """
    scope, path = await writing.enter(ctx, target, rights.CREATE, ())
    rights.require_some(ctx, scope, rights.CREATE, target.environment, path)
    write_target = await writing.prepare_write(ctx, scope, target.environment, path)
    existing = (await folder_cache.everything(ctx, scope.project.id, [write_target.location.folder.id]))[
        write_target.location.folder.id
    ].shared
    before = {key: cached.secret for key, cached in existing.items()}
    outcome = await _compare(write_target, items, before, on_conflict)
    if on_conflict == "fail" and outcome.updated:
        if dry_run:
            return msgspec.structs.replace(outcome, updated=(), conflicting=outcome.updated)
        raise BadRequest(f"These secrets exist with other values: {_some(outcome.updated)}")
    if not dry_run:
        await _write(ctx, target, items, outcome)
    return outcome


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """What a file would change in a folder, by secret name, and the versions of those that are there.

    `unknown` are there too, with values that the caller may not read: nothing says whether the file's differ. `absent`
    are there and not in the file, of those that the caller may delete.
    """

    created: Sequence[str]
    updated: Sequence[str]
    unknown: Sequence[str]
    unchanged: Sequence[str]
    absent: Sequence[str]
    versions: Mapping[str, int]


async def compare(ctx: Ctx, target: Target, items: Sequence[Item], *, with_absent: bool = False) -> Compared:
    """Compare the items of a file with the secrets of a folder that the caller may write to. Nothing is written.

    What is there and not in the file is looked for only `with_absent`.

    A name that the caller may not know of counts as new; to write it is refused.
    """
    scope, path = await writing.enter(ctx, target, rights.CREATE, ())
    rights.require_some(ctx, scope, rights.DESCRIBE, target.environment, path)
    write_target = await writing.prepare_write(ctx, scope, target.environment, path)
    folder_id = write_target.location.folder.id
    existing = (await folder_cache.everything(ctx, scope.project.id, [folder_id]))[folder_id].shared
    describes, turns = rights.Rights(scope, rights.DESCRIBE, target.environment, path), Turns()
    before: dict[str, StoredSecret] = {}
    hidden = set[str]()
    for item in items:
        cached = existing.get(item.key)
        if cached is not None and describes(cached):
            before[item.key] = cached.secret
            if not write_target.shows(cached):
                hidden.add(item.key)
        await turns.give()
    outcome = await _compare(write_target, items, before, "overwrite")
    named, deletes = {item.key for item in items}, rights.Rights(scope, rights.DELETE, target.environment, path)
    absent = list[str]()
    for key, cached in existing.items() if with_absent else ():
        if key not in named and describes(cached) and deletes(cached):
            absent.append(key)
            before[key] = cached.secret
        await turns.give()
    return Compared(
        created=outcome.created,
        updated=[key for key in outcome.updated if key not in hidden],
        unknown=[key for key in outcome.updated if key in hidden],
        unchanged=outcome.unchanged,
        absent=sorted(absent),
        versions={key: row.version for key, row in before.items()},
    )


async def _compare(
    write_target: writing.WriteTarget,
    items: Iterable[Item],
    before: Mapping[str, StoredSecret],
    on_conflict: OnConflict,
) -> Outcome:
    created, updated, unchanged, skipped = list[str](), list[str](), list[str](), list[str]()
    turns = Turns()
    for item in items:
        await turns.give()
        row = before.get(item.key)
        if row is None:
            created.append(item.key)
        elif on_conflict == "skip" or not write_target.shows(folder_cache.with_tags(row, write_target.labels)):
            # Only a caller who may read a value learns whether it is the same.
            (skipped if on_conflict == "skip" else updated).append(item.key)
        elif sealed.value_of(write_target.key, row) == item.value and (
            not item.comment or sealed.comment_of(write_target.key, row) == item.comment
        ):
            unchanged.append(item.key)
        else:
            updated.append(item.key)
    return Outcome(created=created, updated=updated, unchanged=unchanged, skipped=skipped)


async def _write(ctx: Ctx, target: Target, items: Sequence[Item], outcome: Outcome) -> None:
    wanted = {*outcome.created, *outcome.updated}
    changes = [
        SecretChange(name=item.key, value=item.value, comment=item.comment or msgspec.UNSET)
        for item in items
        if item.key in wanted
    ]
    new = set(outcome.created)
    for start in range(0, len(changes), MAX_BATCH):
        batch = changes[start : start + MAX_BATCH]
        creations = [
            writing.NewSecret(name=change.name, value=change.value or "", comment=change.comment or "")
            for change in batch
            if change.name in new
        ]
        updates = [change for change in batch if change.name not in new]
        if creations:
            await writing.create(ctx, target, creations, is_batch=True)
        if updates:
            await writing.change(ctx, target, updates, is_batch=True)
