"""Rights for renames: check them on everything that a rename moves, under the old name and the new one.

Rules name environments, paths, tags, names and metadata by text. Giving one of these another text moves everything
under it from one rule to another, so the same rights are asked as for doing it secret by secret:

- another location (an environment or a folder renamed): as for moving, `delete` and `readValue` where a secret was,
  `create` where it comes to be
- an environment or a folder deleted: `delete`; an environment restored: `readValue` and `create`
- the same location, but another name, other tags or metadata: `edit` before and after, `readValue` before, and nothing
  that the caller could not do before

Folders and imports that go along are checked in the same way. A caller who may do all of it whatever the facts costs
nothing; for any other, only those folders are read for which the location alone does not decide, in slices.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, Final

import msgspec

from watchword.domain.access.abilities import Ability
from watchword.domain.errors import PermissionDenied
from watchword.domain.projects.records import Tag
from watchword.domain.secrets.replicas import shown_path
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.projects.locations import parent_path
from watchword.services.secrets import rights
from watchword.services.secrets.folder_cache import facts_of
from watchword.services.secrets.rights import CREATE, DELETE, DESCRIBE, EDIT, READ, Rights, in_place
from watchword.services.turns import Turns
from watchword.store import versions
from watchword.store.engine import Tx
from watchword.store.projects import folders
from watchword.store.secrets import imports, secrets
from watchword.store.secrets.secrets import Labelled

FOLDERS: Final = "secret-folders"
IMPORTS: Final = "secret-imports"
_AT_ONCE: Final = 500  # rows that one query reads

EnvPath = tuple[str, str]  # environment slug, path
OpenView = Callable[
    [], AbstractAsyncContextManager[Tx]
]  # a view of its own for each slice, or the unit that is open already
Slice = tuple[Sequence[Labelled], Mapping[str, Tag]]


class Shift(msgspec.Struct, frozen=True, gc=False):
    """A folder with its old and its new location; None: out of reach.

    `is_top`: the rights over the folder itself are checked by the caller of this module.
    """

    folder_id: str
    old: EnvPath | None
    new: EnvPath | None
    is_top: bool = False


class MoveRights(msgspec.Struct, frozen=True):
    """The actions asked on secrets, and on folders and imports, at the old and the new location.

    `why` begins the text of a refusal.
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
    """Whether the caller may do all of it everywhere: then nothing need be checked."""
    others = {*asked.others_old, *asked.others_new}
    return all(ctx.always(scope, action, rights.SUBJECT) for action in (*asked.old, *asked.new)) and all(
        _always(scope.ability, action, subject) for action in others for subject in (FOLDERS, IMPORTS)
    )


def _always(ability: Ability, action: str, subject: str) -> bool:
    about, actions = ability.questions(action, subject)
    return any(ability.always(alternative, about) for alternative in actions)


class CheckedMove(msgspec.Struct, frozen=True):
    """What was checked before the unit and found allowed, and the versions that it had."""

    shifts: frozenset[Shift]
    tree: int
    folders: Mapping[str, int]  # by id


async def precheck(
    ctx: Ctx, scope: ProjectScope, asked: MoveRights, load: Callable[[Tx], Awaitable[Sequence[Shift]]], named: EnvPath
) -> CheckedMove | None:
    """Check before the unit what `require` checks in it, so that a long check does not hold up other writers.

    `named` is the location that the request names: a refusal names no other. Returns None when nothing need be checked.
    Raises PermissionDenied.
    """
    if is_free(ctx, scope, asked):
        return None
    async with ctx.view() as tx:
        shifts = await load(tx)
        seen = await _seen(tx, scope, shifts)
    await _require(ctx.view, scope, asked, shifts, named)
    return seen


async def _seen(tx: Tx, scope: ProjectScope, shifts: Sequence[Shift]) -> CheckedMove:
    keys = (versions.tree(scope.project.id), *(versions.folder(shift.folder_id) for shift in shifts))
    tree, *folder_versions = await tx.versions(keys)
    return CheckedMove(
        frozenset(shifts),
        tree,
        {shift.folder_id: version for shift, version in zip(shifts, folder_versions, strict=True)},
    )


async def require(
    tx: Tx, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: EnvPath, seen: CheckedMove | None
) -> None:
    """Raise PermissionDenied unless the caller may do what is asked with everything in these folders.

    Call it after the change was written and before it is durable, with the folders locked, so that nothing is put into
    them meanwhile. What `precheck` saw and has not changed since is not checked again.
    """
    left = shifts
    if seen is not None:
        now = await _seen(tx, scope, shifts)
        if (now.shifts, now.tree) == (seen.shifts, seen.tree):
            left = [shift for shift in shifts if now.folders[shift.folder_id] != seen.folders[shift.folder_id]]
    if left:
        await _require(lambda: nullcontext(tx), scope, asked, left, named)


async def _require(
    open_view: OpenView, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: EnvPath
) -> None:
    turns = Turns()
    await _require_folders(scope, asked, shifts, named, turns)
    await _require_imports(open_view, scope, asked, shifts, named, turns)
    await _require_secrets(open_view, scope, asked, shifts, named, turns)


async def _require_folders(
    scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: EnvPath, turns: Turns
) -> None:
    """Check the rights over folders, which are asked by the location of the parent."""
    questions: set[tuple[str, EnvPath]] = set()
    for shift in shifts:
        for actions, env_path in ((asked.others_old, shift.old), (asked.others_new, shift.new)):
            if env_path is not None and env_path[1] != "/" and not shift.is_top:
                questions.update((action, (env_path[0], parent_path(env_path[1]))) for action in actions)
    await _require_allowed(scope, asked, FOLDERS, questions, named, turns)


async def _require_imports(
    open_view: OpenView, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: EnvPath, turns: Turns
) -> None:
    questions: set[tuple[str, EnvPath]] = set()
    for start in range(0, len(shifts), _AT_ONCE):
        by_id = {shift.folder_id: shift for shift in shifts[start : start + _AT_ONCE]}
        async with open_view() as tx:
            importing = await imports.importing(tx, list(by_id))
        for folder_id in importing:
            for actions, env_path in (
                (asked.others_old, by_id[folder_id].old),
                (asked.others_new, by_id[folder_id].new),
            ):
                if env_path is not None:
                    questions.update((action, env_path) for action in actions)
        await turns.give()
    await _require_allowed(scope, asked, IMPORTS, questions, named, turns)


async def _require_allowed(
    scope: ProjectScope,
    asked: MoveRights,
    subject: str,
    questions: Iterable[tuple[str, EnvPath]],
    named: EnvPath,
    turns: Turns,
) -> None:
    for action, (environment, path) in questions:
        if not scope.ability.allows(action, subject, {"environment": environment, "secretPath": path}):
            raise _refusal(asked, action, subject, named)
        await turns.give()


async def _require_secrets(
    open_view: OpenView, scope: ProjectScope, asked: MoveRights, shifts: Sequence[Shift], named: EnvPath, turns: Turns
) -> None:
    open_: dict[str, list[Rights]] = {}
    for shift in shifts:
        questions = [
            Rights(scope, action, *env_path)
            for actions, env_path in ((asked.old, shift.old), (asked.new, shift.new))
            if env_path is not None
            for action in actions
        ]
        if left := [right for right in questions if not right.all]:
            open_[shift.folder_id] = left
        await turns.give()
    async for labelled_secrets, labels in _in_slices(open_view, scope.project.id, list(open_), turns):
        for right in labelled_secrets:
            facts = _facts(right, labels)
            for question in open_[right.folder_id]:
                if not question.holds(facts):
                    raise _refusal(asked, question.action, rights.SUBJECT, named)
            await turns.give()


async def _in_slices(
    open_view: OpenView, project_id: str, folder_ids: Sequence[str], turns: Turns
) -> AsyncIterator[Slice]:
    """Read the facts of all secrets in these folders, a few hundred at a time, with the project's tags."""

    async def labelled(load: Callable[[Tx], Awaitable[Sequence[Labelled]]]) -> Slice:
        async with open_view() as tx:
            labelled_secrets = await load(tx)
            return labelled_secrets, await _labels(tx, project_id, labelled_secrets)

    counts: dict[str, int] = {}
    for start in range(0, len(folder_ids), _AT_ONCE):
        async with open_view() as tx:
            counts |= await secrets.counts(tx, folder_ids[start : start + _AT_ONCE])
        await turns.give()
    small: list[str] = []
    waiting = 0
    for folder_id, count in counts.items():
        if count > _AT_ONCE:
            after = ""
            while (slice_ := await labelled(partial(_after, folder_id, after)))[0]:
                yield slice_
                after = slice_[0][-1].key
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


async def _labels(tx: Tx, project_id: str, labelled_secrets: Collection[Labelled]) -> Mapping[str, Tag]:
    return (
        {tag.id: tag for tag in await secrets.tags(tx, project_id)}
        if any(secret.tag_ids for secret in labelled_secrets)
        else {}
    )


def _facts(secret: Labelled, labels: Mapping[str, Tag]) -> dict[str, Any]:
    return facts_of(secret.key, [labels[id] for id in secret.tag_ids if id in labels], secret.metadata)


def _refusal(asked: MoveRights, action: str, subject: str, named: EnvPath) -> PermissionDenied:
    conditions = {"environment": named[0], "secretPath": named[1]}
    return PermissionDenied(
        f"{asked.why}, and you are not allowed to {action} on {subject} for some of it",
        details=[{"action": action, "subject": subject, "conditions": conditions}],
    )


# The same place:


def relabels_freely(ctx: Ctx, scope: ProjectScope) -> bool:
    """Whether the caller may give any secret another name, other tags and metadata."""
    ability = scope.ability
    return all(ctx.always(scope, action, rights.SUBJECT) for action in (EDIT, READ)) and not any(
        ability.looks_at(action, rights.SUBJECT) for action in (DESCRIBE, CREATE, DELETE)
    )


def missing_to_relabel(
    ability: Ability, env_path: EnvPath, before: Mapping[str, Any], after: Mapping[str, Any]
) -> str | None:
    """Return the action that the caller lacks to change a secret's facts from `before` to `after`, or None.

    A caller who may not read the secret could bring it under a rule that lets them, or another, read it; the same holds
    for deleting. A caller who may not create such a secret may not turn another into one, where the facts decide.
    """
    old, new = in_place(*env_path, before), in_place(*env_path, after)

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
    return {(pair["key"], pair["value"]) for pair in facts["metadata"]}


def require_to_relabel(
    scope: ProjectScope, env_path: EnvPath, before: Mapping[str, Any], after: Mapping[str, Any], name: str
) -> None:
    """Raise PermissionDenied where the caller lacks a right for the change. `name` is the secret's in the request."""
    action = missing_to_relabel(scope.ability, env_path, before, after)
    if action is not None:
        conditions = {"environment": env_path[0], "secretPath": env_path[1], "secretName": name}
        raise PermissionDenied(
            "With another name, other tags or metadata other rules hold for a secret: you are not allowed to "
            f"{action} on {rights.SUBJECT}",
            details=[{"action": action, "subject": rights.SUBJECT, "conditions": conditions}],
        )


class CheckedRelabel(msgspec.Struct, frozen=True):
    """The versions of the project's folders when the caller was found to be allowed to relabel all secrets of a tag."""

    tree: int
    folders: Mapping[str, int]


async def precheck_tag(ctx: Ctx, scope: ProjectScope, tag: Tag, after: Tag | None) -> CheckedRelabel | None:
    """Check before the unit what `require_tag` checks in it. Raises PermissionDenied.

    Returns None when nothing need be checked.
    """
    if relabels_freely(ctx, scope):
        return None
    async with ctx.view() as tx:
        folder_rows = await folders.project_tree(tx, scope.project.id, holds=False)
        seen = await _tags_seen(tx, scope, folder_rows)
    await _require_tag(ctx.view, scope, folder_rows, tag, after)
    return seen


async def _tags_seen(tx: Tx, scope: ProjectScope, folder_rows: Sequence[tuple[str, str, str]]) -> CheckedRelabel:
    tree, *folder_versions = await tx.versions(
        (versions.tree(scope.project.id), *(versions.folder(id) for id, _, _ in folder_rows))
    )
    return CheckedRelabel(tree, {id: version for (id, _, _), version in zip(folder_rows, folder_versions, strict=True)})


async def require_tag(tx: Tx, scope: ProjectScope, tag: Tag, after: Tag | None, seen: CheckedRelabel | None) -> None:
    """Raise PermissionDenied unless the caller may replace `tag` by `after` (None: by nothing) on all its secrets.

    Call it before the tag is changed. What `precheck_tag` saw and has not changed since is not checked again.
    """
    await folders.lock(tx, scope.project.id)
    folder_rows = await folders.project_tree(tx, scope.project.id, holds=True)
    if seen is not None:
        now = await _tags_seen(tx, scope, folder_rows)
        if now.tree == seen.tree:
            folder_rows = [row for row in folder_rows if now.folders[row[0]] != seen.folders.get(row[0])]
    if folder_rows:
        await _require_tag(lambda: nullcontext(tx), scope, folder_rows, tag, after)


async def _require_tag(
    open_view: OpenView, scope: ProjectScope, folder_rows: Sequence[tuple[str, str, str]], tag: Tag, after: Tag | None
) -> None:
    turns, env_paths = Turns(), {id: (slug, shown_path(path)) for id, path, slug in folder_rows}
    async for labelled_secrets, labels in _in_slices(open_view, scope.project.id, list(env_paths), turns):
        then = {id: tagged for id, tagged in labels.items() if id != tag.id} | (
            {} if after is None else {tag.id: after}
        )
        for tagged in labelled_secrets:
            if tag.id in tagged.tag_ids:
                action = missing_to_relabel(
                    scope.ability, env_paths[tagged.folder_id], _facts(tagged, labels), _facts(tagged, then)
                )
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
