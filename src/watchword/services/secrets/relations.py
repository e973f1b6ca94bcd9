"""The references of one secret: the tree of secrets that it refers to, and the secrets that refer to it."""

from collections.abc import Collection, Sequence

import msgspec

from watchword.domain.errors import BadRequest
from watchword.domain.secrets.references import MAX_DEPTH, MAX_TOGETHER, Address, Expander, ResolvedSecret
from watchword.services.access.scopes import enter_project
from watchword.services.context import Ctx
from watchword.services.projects.locations import by_folder
from watchword.services.secrets import expansion, folder_cache, reading, rights, sealed
from watchword.services.secrets.reading import SecretRequest
from watchword.services.turns import Turns
from watchword.store.secrets import secrets

MAX_NODES = 2_000


class Node(msgspec.Struct, frozen=True):
    """A secret in the tree; `value` is None for one that does not exist.

    A secret that refers to itself, directly or through others, is not opened again.
    """

    address: Address
    value: str | None
    children: Sequence["Node"] = ()


class Tree(msgspec.Struct, frozen=True):
    """The tree of references, and the value with all references filled in."""

    root: Node
    value: str


class Ties(msgspec.Struct, frozen=True):
    """The secrets that a secret refers to, and those that refer to it."""

    refers_to: Sequence[Address]
    referred_by: Sequence[Address]


async def tree(ctx: Ctx, wanted: SecretRequest) -> Tree:
    """Return the tree of everything a value is made of.

    Raises PermissionDenied where some of it may not be read, BadRequest where it is too much.
    """
    view = await reading.get(ctx, wanted)
    scope = await enter_project(ctx, wanted.project_id)
    start = ResolvedSecret(Address(view.environment, view.path, view.secret.key), view.value)
    sources = await expansion.gather(ctx, scope, await sealed.sealer(ctx, scope.project.id), [start])
    root = await _Builder(sources).node(start, ())
    return Tree(root, await expansion.filled(Expander(sources), start, Turns(), on_one_line=False))


class _Builder:
    def __init__(self, sources: expansion.Sources) -> None:
        self._sources = sources
        self._left, self._room = MAX_NODES, MAX_TOGETHER
        self._turns = Turns()

    async def node(self, source: ResolvedSecret, above: tuple[Address, ...]) -> Node:
        self._left -= 1
        self._room -= len(source.value)
        if self._room < 0:
            raise BadRequest(
                f"The values of this tree have more than {MAX_TOGETHER} characters: the limit is reached at "
                f"{source.address}"
            )
        await self._turns.give()
        if source.address in above or len(above) > MAX_DEPTH or self._left <= 0:
            return Node(source.address, source.value)
        children = []
        for address in source.named:
            target = self._sources.get(address)
            if target is not None:
                children.append(await self.node(target, (*above, source.address)))
            elif self._left > 0:
                self._left -= 1
                children.append(Node(address, None))
        return Node(source.address, source.value, children)


async def ties(ctx: Ctx, wanted: SecretRequest) -> Ties:
    """Return what a secret refers to, and the secrets that refer to it and that the caller may know of.

    The first part is only for a caller who may read the value.
    """
    view = await reading.get(ctx, msgspec.structs.replace(wanted, show=False, expand=False))
    scope = await enter_project(ctx, wanted.project_id)
    own_address = Address(view.environment, view.path, view.secret.key)
    referring = (await referring_to(ctx, scope.project.id, [own_address]))[own_address]
    labels = await folder_cache.tags(ctx, scope.project.id)
    facts = rights.in_place(
        own_address.environment, own_address.path, folder_cache.with_tags(view.secret, labels).facts
    )
    own = view.secret.references if scope.ability.allows(rights.READ, rights.SUBJECT, facts) else ()
    return Ties(
        [Address(*env_path_of(env, path, (own_address.environment, own_address.path)), key) for env, path, key in own],
        referring,
    )


async def referring_to(ctx: Ctx, project_id: str, addresses: Collection[Address]) -> dict[Address, list[Address]]:
    """Return for each of these secrets of a project those that refer to it, as far as the caller may know of both."""
    scope = await enter_project(ctx, project_id)
    found: dict[Address, list[Address]] = {address: [] for address in addresses}
    known = {
        address
        for address in addresses
        if scope.ability.could(rights.DESCRIBE, rights.SUBJECT, _facts_of_address(address))
    }
    if not known:
        return found
    async with ctx.view() as tx:
        rows = await secrets.referring_to(tx, scope.project.id, {address.key for address in known}, to_change=False)
    labels, turns = await folder_cache.tags(ctx, scope.project.id), Turns()
    for row in rows:
        location = await by_folder(ctx, row.folder_id) if row.user_id is None else None
        if location is None:
            continue
        env_path = (location.environment.slug, location.folder.path)
        meant = known & {Address(*env_path_of(env, path, env_path), key) for env, path, key in row.references}
        facts = rights.in_place(*env_path, folder_cache.with_tags(row, labels).facts)
        if meant and scope.ability.allows(rights.DESCRIBE, rights.SUBJECT, facts):
            for address in meant:
                found[address].append(Address(*env_path, row.key))
        await turns.give()
    return found


def _facts_of_address(address: Address) -> dict[str, str]:
    return {"environment": address.environment, "secretPath": address.path, "secretName": address.key}


def env_path_of(environment: str, path: str, own: tuple[str, str]) -> tuple[str, str]:
    """Return the environment and path that a stored reference names; its own folder's where it names none."""
    return (environment, path) if environment else own
