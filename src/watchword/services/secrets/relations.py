"""How one secret is tied to others: what it refers to, down to the leaves, and what refers to it."""

from collections.abc import Sequence

import msgspec

from watchword.domain.references import MAX_DEPTH, Address, Expander, Source, references
from watchword.services.access import enter_project
from watchword.services.context import Ctx
from watchword.services.places import by_folder
from watchword.services.secrets import expansion, reading, rights, sealed, shelves
from watchword.services.secrets.reading import One
from watchword.store import secrets

MAX_NODES = 2_000


class Node(msgspec.Struct, frozen=True):
    """A secret in the tree; `value` is None for one that is not there. A secret that stands above itself is not opened again."""

    at: Address
    value: str | None
    children: Sequence["Node"] = ()


class Tree(msgspec.Struct, frozen=True):
    """The tree, and the value with everything filled in."""

    root: Node
    value: str


class Ties(msgspec.Struct, frozen=True):
    """Where references lead, and where they come from."""

    refers_to: Sequence[Address]
    referred_by: Sequence[Address]


async def tree(ctx: Ctx, wanted: One) -> Tree:
    """Everything a value is made of. Raises PermissionDenied where some of it may not be read."""
    view = await reading.one(ctx, wanted)
    scope = await enter_project(ctx, wanted.project_id)
    start = Source(Address(view.environment, view.path, view.secret.key), view.value)
    sources = await expansion.gather(ctx, scope, await sealed.sealer(ctx, scope.project.id), [start])
    return Tree(_Builder(sources).node(start, ()), Expander(sources).value(start))


class _Builder:
    def __init__(self, sources: expansion.Sources) -> None:
        self._sources = sources
        self._left = MAX_NODES

    def node(self, source: Source, above: tuple[Address, ...]) -> Node:
        self._left -= 1
        if source.address in above or len(above) > MAX_DEPTH or self._left <= 0:
            return Node(source.address, source.value)
        children = []
        for one in references(source.value):
            address = one.seen_from(source.address.environment, source.address.path)
            target = self._sources.get(address)
            children.append(Node(address, None) if target is None else self.node(target, (*above, source.address)))
        return Node(source.address, source.value, children)


async def ties(ctx: Ctx, wanted: One) -> Ties:
    """What a secret refers to, for who may read its value, and the secrets that refer to it and that the caller may know of."""
    view = await reading.one(ctx, msgspec.structs.replace(wanted, show=False, expand=False))
    scope = await enter_project(ctx, wanted.project_id)
    here = Address(view.environment, view.path, view.secret.key)
    async with ctx.view() as tx:
        rows = [row for row in await secrets.referring_to(tx, scope.project.id, here.key, to_change=False) if row.user_id is None]
    labels = await shelves.tags(ctx, scope.project.id)
    found = []
    for row in rows:
        place = await by_folder(ctx, row.folder_id)
        if place is None:
            continue
        at = (place.environment.slug, place.folder.path)
        means = any(Address(*at_of(env, path, at), key) == here for env, path, key in row.references)
        facts = rights.in_place(*at, shelves.held(row, labels).facts)
        if means and scope.ability.allows(rights.DESCRIBE, rights.SUBJECT, facts):
            found.append(Address(*at, row.key))
    facts = rights.in_place(here.environment, here.path, shelves.held(view.secret, labels).facts)
    own = view.secret.references if scope.ability.allows(rights.READ, rights.SUBJECT, facts) else ()
    return Ties([Address(*at_of(env, path, (here.environment, here.path)), key) for env, path, key in own], found)


def at_of(environment: str, path: str, own: tuple[str, str]) -> tuple[str, str]:
    """The place a stored reference names; its own folder where it names none."""
    return (environment, path) if environment else own
