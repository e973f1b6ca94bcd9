"""Rights for renames: check them on everything that a rename moves, under the old name and the new one.

Rules name environments, paths, tags, names and metadata by text. Who gives one of these another text moves what is
under it from one rule to another, so the same is asked as for doing it secret by secret:

- another place (an environment or a folder renamed): as for moving, `delete` and `readValue` where a secret was,
  `create` where it comes
- an environment or a folder deleted: `delete`; an environment brought back: `readValue` and `create`
- the same place, but another name, other tags or metadata: `edit` before and after, `readValue` before, and nothing
  that the caller
  could not do before

Folders and imports that go along are asked about in the same way. Who may do all of it whatever the facts costs
nothing; for anybody else only those folders are looked at for which the place alone does not decide, in slices.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Final

import msgspec

from watchword.domain.access.abilities import Ability
from watchword.domain.errors import PermissionDenied
from watchword.domain.projects.records import Tag
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.projects.locations import parent_path
from watchword.services.secrets import rights
from watchword.services.secrets.folder_cache import facts_of
from watchword.services.secrets.rights import CREATE, DELETE, DESCRIBE, EDIT, READ, Rights, in_place
from watchword.services.turns import Turns
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.projects import folders as places
from watchword.store.secrets import imports, secrets
from watchword.store.secrets.secrets import Labelled

FOLDERS: Final = "secret-folders"
IMPORTS: Final = "secret-imports"
_AT_ONCE: Final = 500  # rows of one query

At = tuple[str, str]  # environment slug, path
Opens = Callable[
    [], AbstractAsyncContextManager[Tx]
]  # a view of its own for each slice, or the unit that is open already
Slice = tuple[Sequence[Labelled], Mapping[str, Tag]]


class Shift(msgspec.Struct, frozen=True, gc=False):
    """A folder and where it was and will be; None: out of reach.

    `is_top`: its own name is asked about by the caller.
    """

    folder_id: str
    old: At | None
    new: At | None
    is_top: bool = False


class MoveRights(msgspec.Struct, frozen=True):
    """What is asked of all secrets, and of folders and imports, at the old place and at the new one; and what a
    refusal says first.
    """

    why: str
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    others_old: tuple[str, ...] = ()
    others_new: tuple[str, ...] = ()


MOVED: Final = MoveRights(
    "Under another name other rules hold for all that is there",
    old=(DELETE, READ),
    new=(CREATE,),
    others_old=("delete",),
    others_new=("create",),
)
REMOVED: Final = MoveRights("All that is there goes too", old=(DELETE,), others_old=("delete",))
RESTORED: Final = MoveRights("All that was there comes back", new=(READ, CREATE), others_new=("create",))


def is_free(ctx: Ctx, scope: ProjectScope, asked: MoveRights) -> bool:
    """Whether the caller may do all of it wherever it is: then nothing need be looked at."""
    others = {*asked.others_old, *asked.others_new}
    return all(ctx.always(scope, action, rights.SUBJECT) for action in (*asked.old, *asked.new)) and all(
        _always(scope.ability, action, subject) for action in others for subject in (FOLDERS, IMPORTS)
    )


def _always(ability: Ability, action: str, subject: str) -> bool:
    about, actions = ability.questions(action, subject)
    return any(ability.always(one, about) for one in actions)


class CheckedMove(msgspec.Struct, frozen=True):
    """What was looked at before the unit and found to be the caller's to move, and the versions it had."""

    shifts: frozenset[Shift]
    tree: int
    folders: Mapping[str, int]  # by id


async def look(
    ctx: Ctx, scope: ProjectScope, asked: MoveRights, load: Callable[[Tx], Awaitable[Sequence[Shift]]], named: At
) -> CheckedMove | None:
    """Ask before the unit what `require` asks in it, so that a long look holds up nobody who wants the database.

    `named` is the place that the request names: a refusal says no other. Raises PermissionDenied. None when nothing
    need be asked.
    """
    if is_free(ctx, scope, asked):
        return None
    async with ctx.view() as tx:
        shifts = await load(tx)
        seen = await _seen(tx, scope, shifts)
    await _require(ctx.view, scope, asked, shifts, named)
    return seen


async def _seen(tx: Tx, scope: ProjectScope, shifts: Sequence[Shift]) -> CheckedMove:
    keys = (versions.tree(scope.project.id), *(versions.folder(one.folder_id) for one in shifts))
    tree, *found = await tx.versions(keys)
    return CheckedMove(frozenset(shifts), tree, {one.folder_id: n for one, n in zip(shifts, found, strict=True)})


async def require(
    tx: Tx, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: At, seen: CheckedMove | None
) -> None:
    """Raise PermissionDenied unless the caller may do what is asked with all that is in these folders.

    Ask after the change was written and before it is durable, with the folders held, so that nothing is put into them
    meanwhile. What `look` saw and is the same still is not looked at again.
    """
    left = shifts
    if seen is not None:
        now = await _seen(tx, scope, shifts)
        if (now.shifts, now.tree) == (seen.shifts, seen.tree):
            left = [one for one in shifts if now.folders[one.folder_id] != seen.folders[one.folder_id]]
    if left:
        await _require(lambda: nullcontext(tx), scope, asked, left, named)


async def _require(opens: Opens, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: At) -> None:
    turns = Turns()
    await _require_folders(scope, asked, shifts, named, turns)
    await _require_imports(opens, scope, asked, shifts, named, turns)
    await _require_secrets(opens, scope, asked, shifts, named, turns)


async def _require_folders(
    scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: At, turns: Turns
) -> None:
    """A folder is asked about by the place that holds it."""
    held: set[tuple[str, At]] = set()
    for shift in shifts:
        for actions, at in ((asked.others_old, shift.old), (asked.others_new, shift.new)):
            if at is not None and at[1] != "/" and not shift.is_top:
                held.update((action, (at[0], parent_path(at[1]))) for action in actions)
    await _require_allowed(scope, asked, FOLDERS, held, named, turns)


async def _require_imports(
    opens: Opens, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: At, turns: Turns
) -> None:
    held: set[tuple[str, At]] = set()
    for start in range(0, len(shifts), _AT_ONCE):
        some = {shift.folder_id: shift for shift in shifts[start : start + _AT_ONCE]}
        async with opens() as tx:
            importing = await imports.importing(tx, list(some))
        for folder_id in importing:
            for actions, at in ((asked.others_old, some[folder_id].old), (asked.others_new, some[folder_id].new)):
                if at is not None:
                    held.update((action, at) for action in actions)
        await turns.give()
    await _require_allowed(scope, asked, IMPORTS, held, named, turns)


async def _require_allowed(
    scope: ProjectScope, asked: MoveRights, subject: str, held: Iterable[tuple[str, At]], named: At, turns: Turns
) -> None:
    for action, (environment, path) in held:
        if not scope.ability.allows(action, subject, {"environment": environment, "secretPath": path}):
            raise _refusal(asked, action, subject, named)
        await turns.give()


async def _require_secrets(
    opens: Opens, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: At, turns: Turns
) -> None:
    open_: dict[str, list[Rights]] = {}
    for shift in shifts:
        questions = [
            Rights(scope, action, *at)
            for actions, at in ((asked.old, shift.old), (asked.new, shift.new))
            if at is not None
            for action in actions
        ]
        if left := [one for one in questions if not one.all]:
            open_[shift.folder_id] = left
        await turns.give()
    async for some, labels in _in_slices(opens, scope.project.id, list(open_), turns):
        for one in some:
            facts = _facts(one, labels)
            for question in open_[one.folder_id]:
                if not question.holds(facts):
                    raise _refusal(asked, question.action, rights.SUBJECT, named)
            await turns.give()


async def _in_slices(opens: Opens, project_id: str, folder_ids: Sequence[str], turns: Turns) -> AsyncIterator[Slice]:
    """What rules may look at of all secrets in these folders, a few hundred at a time, with the project's tags."""

    async def labelled(load: Callable[[Tx], Awaitable[Sequence[Labelled]]]) -> Slice:
        async with opens() as tx:
            some = await load(tx)
            return some, await _labels(tx, project_id, some)

    counts: dict[str, int] = {}
    for start in range(0, len(folder_ids), _AT_ONCE):
        async with opens() as tx:
            counts |= await secrets.counts(tx, folder_ids[start : start + _AT_ONCE])
        await turns.give()
    small: list[str] = []
    waiting = 0
    for folder_id, count in counts.items():
        if count > _AT_ONCE:
            after = ""
            while (found := await labelled(partial(_after, folder_id, after)))[0]:
                yield found
                after = found[0][-1].key
                await turns.give()
        elif count:
            if waiting + count > _AT_ONCE:
                yield await labelled(partial(_of, small))
                small, waiting = [], 0
            small.append(folder_id)
            waiting += count
    if small:
        yield await labelled(partial(_of, small))


async def _after(folder_id: str, key: str, tx: Tx) -> Sequence[Labelled]:
    return await secrets.labelled_after(tx, folder_id, key, _AT_ONCE)


async def _of(folder_ids: Sequence[str], tx: Tx) -> Sequence[Labelled]:
    return await secrets.labelled(tx, folder_ids)


async def _labels(tx: Tx, project_id: str, some: Collection[Labelled]) -> Mapping[str, Tag]:
    return {tag.id: tag for tag in await secrets.tags(tx, project_id)} if any(one.tag_ids for one in some) else {}


def _facts(one: Labelled, labels: Mapping[str, Tag]) -> dict[str, Any]:
    return facts_of(one.key, [labels[id] for id in one.tag_ids if id in labels], one.metadata)


def _refusal(asked: MoveRights, action: str, subject: str, named: At) -> PermissionDenied:
    conditions = {"environment": named[0], "secretPath": named[1]}
    return PermissionDenied(
        f"{asked.why}, and you are not allowed to {action} on {subject} for some of it",
        details=[{"action": action, "subject": subject, "conditions": conditions}],
    )


# --- the same place
# ---------------------------------------------------------------------------------------------------------


def relabels_freely(ctx: Ctx, scope: ProjectScope) -> bool:
    """Whether the caller may give any secret another name, other tags and metadata."""
    ability = scope.ability
    return all(ctx.always(scope, action, rights.SUBJECT) for action in (EDIT, READ)) and not any(
        ability.looks_at(action, rights.SUBJECT) for action in (DESCRIBE, CREATE, DELETE)
    )


def missing_to_relabel(ability: Ability, at: At, before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The action that the caller lacks to let a secret with the facts `before` have the facts `after`; None when it
    may.

    Who may not read it could bring it under a rule that lets them, or somebody else; who may not delete it, likewise.
    Who may not create such a secret may not make one of another either, where it is the facts that decide.
    """
    old, new = in_place(*at, before), in_place(*at, after)

    def may(action: str, facts: Mapping[str, Any]) -> bool:
        return ability.allows(action, rights.SUBJECT, facts)

    if says_the_same(before, after):
        return None
    if not may(READ, old):
        return READ
    if not (may(EDIT, old) and may(EDIT, new)):
        return EDIT
    for action in (DESCRIBE, DELETE):
        if may(action, new) and not may(action, old):
            return action
    return CREATE if may(CREATE, old) and not may(CREATE, new) else None


def says_the_same(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether no rule can tell two secrets with these facts apart: the order of tags and metadata means nothing."""
    return (
        before["secretName"] == after["secretName"]
        and set(before["secretTags"]) == set(after["secretTags"])
        and (before["metadata"] == after["metadata"] or _pairs(before) == _pairs(after))
    )


def _pairs(facts: Mapping[str, Any]) -> set[tuple[str, str]]:
    return {(one["key"], one["value"]) for one in facts["metadata"]}


def require_to_relabel(
    scope: ProjectScope, at: At, before: Mapping[str, Any], after: Mapping[str, Any], name: str
) -> None:
    """Raise PermissionDenied where the caller lacks a right for it. `name` is what the request calls the secret."""
    action = missing_to_relabel(scope.ability, at, before, after)
    if action is not None:
        conditions = {"environment": at[0], "secretPath": at[1], "secretName": name}
        raise PermissionDenied(
            "With another name, other tags or metadata other rules hold for a secret: you are not allowed to "
            f"{action} on {rights.SUBJECT}",
            details=[{"action": action, "subject": rights.SUBJECT, "conditions": conditions}],
        )


class Tags(msgspec.Struct, frozen=True):
    """The project's folders with their versions, as they were when all secrets with a tag were found to be the
    caller's to relabel.
    """

    tree: int
    folders: Mapping[str, int]


async def look_tag(ctx: Ctx, scope: ProjectScope, tag: Tag, after: Tag | None) -> Tags | None:
    """Ask before the unit what `require_tag` asks in it; None when nothing need be asked. Raises PermissionDenied."""
    if relabels_freely(ctx, scope):
        return None
    async with ctx.view() as tx:
        folders = await places.project_tree(tx, scope.project.id, holds=False)
        seen = await _tags_seen(tx, scope, folders)
    await _require_tag(ctx.view, scope, folders, tag, after)
    return seen


async def _tags_seen(tx: Tx, scope: ProjectScope, folders: Sequence[tuple[str, str, str]]) -> Tags:
    tree, *found = await tx.versions((versions.tree(scope.project.id), *(versions.folder(id) for id, _, _ in folders)))
    return Tags(tree, {id: n for (id, _, _), n in zip(folders, found, strict=True)})


async def require_tag(tx: Tx, scope: ProjectScope, tag: Tag, after: Tag | None, seen: Tags | None) -> None:
    """Raise PermissionDenied unless the caller may let all secrets that have `tag` have `after` in its place, or
    nothing.

    Ask before the tag is changed. What `look_tag` saw and is the same still is not looked at again.
    """
    await places.lock(tx, scope.project.id)
    folders = await places.project_tree(tx, scope.project.id, holds=True)
    if seen is not None:
        now = await _tags_seen(tx, scope, folders)
        if now.tree == seen.tree:
            folders = [one for one in folders if now.folders[one[0]] != seen.folders.get(one[0])]
    if folders:
        await _require_tag(lambda: nullcontext(tx), scope, folders, tag, after)


async def _require_tag(
    opens: Opens, scope: ProjectScope, folders: Sequence[tuple[str, str, str]], tag: Tag, after: Tag | None
) -> None:
    turns, at = Turns(), {id: (slug, path) for id, path, slug in folders}
    async for some, labels in _in_slices(opens, scope.project.id, list(at), turns):
        then = {id: one for id, one in labels.items() if id != tag.id} | ({} if after is None else {tag.id: after})
        for one in some:
            if tag.id in one.tag_ids:
                action = missing_to_relabel(scope.ability, at[one.folder_id], _facts(one, labels), _facts(one, then))
                if action is not None:
                    raise PermissionDenied(
                        f"Rules name secrets by their tags, and you are not allowed to {action} on {rights.SUBJECT} "
                        "of some that have this one",
                        details=[
                            {
                                "action": action,
                                "subject": rights.SUBJECT,
                                "conditions": {"secretTags": {"$in": [tag.slug]}},
                            }
                        ],
                    )
            await turns.give()
