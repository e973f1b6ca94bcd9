"""References in values: everything they lead to is gathered level by level, and the caller must be able to read each of it."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from watchword.domain.errors import PermissionDenied
from watchword.domain.references import MAX_DEPTH, Address, Expander, Source, one_line
from watchword.services.access import ProjectScope
from watchword.services.context import Ctx
from watchword.services.keys import Sealer
from watchword.services.places import Place
from watchword.services.secrets import chains, rights, sealed, shelves
from watchword.services.secrets.shelves import Held
from watchword.services.turns import Turns

Sources = dict[Address, Source | None]


async def gather(ctx: Ctx, scope: ProjectScope, key: Sealer, starts: Iterable[Source]) -> Sources:
    """All that these values refer to, down to the greatest depth. Raises PermissionDenied where a value may not be read.

    What is not there is None where the caller could read it, and refused in the same words where not.
    Each level takes at most a handful of queries, however many references it has.
    """
    found: Sources = {}
    level = list(starts)
    for _ in range(MAX_DEPTH):
        asked = _asked(level, found)
        if not asked:
            break
        resolved = await _resolve(ctx, scope, asked)
        level, turns = [], Turns()
        for address, referrer in asked.items():
            hit = resolved.get(address)
            if hit is None:
                if not _is_local(address, referrer) and not scope.ability.could(rights.READ, rights.SUBJECT, _said(address)):
                    raise _refusal(address, referrer)
                found[address] = None
                continue
            place, held = hit
            require_value(scope, place, held, address, referrer)
            here = Address(place.environment.slug, place.folder.path, held.secret.key)
            source = found.get(here) or Source(here, sealed.value_of(key, held.secret))
            found[address] = source
            level.append(source)
            await turns.give()
    return found


def _asked(level: Sequence[Source], known: Mapping[Address, Source | None]) -> dict[Address, Address]:
    """What the values of this level refer to and is not known yet, with one that refers to it."""
    return {address: source.address for source in level for address in source.targets if address not in known}


async def _resolve(ctx: Ctx, scope: ProjectScope, asked: Collection[Address]) -> dict[Address, tuple[Place, Held]]:
    """The secrets at these addresses, own ones first and imported ones after them."""
    project_id = scope.project.id
    places = await chains.places(ctx, project_id, {(one.environment, one.path) for one in asked})
    links = await chains.links(ctx, project_id)
    ways = {at: _way(scope, chains.chain(links, place)) for at, place in places.items() if place is not None}
    wanted: dict[str, set[str]] = {}
    for address in asked:
        for place in ways.get((address.environment, address.path), ()):
            wanted.setdefault(place.folder.id, set()).add(address.key)
    there = await shelves.picked(ctx, project_id, wanted)
    return {
        address: (place, held)
        for address in asked
        for place in reversed(ways.get((address.environment, address.path), ()))
        if (held := there.get((place.folder.id, address.key))) is not None
    }


def _way(scope: ProjectScope, chain: list[Place]) -> list[Place]:
    """The chain without the imports that the caller may not read anything of; the asked place itself stays."""
    return chain[:1] + [place for place in chain[1:] if rights.some(scope, rights.READ, place)]


def require_value(scope: ProjectScope, place: Place, held: Held, address: Address, referrer: Address) -> None:
    """Raise PermissionDenied unless the caller may read the value that `referrer` refers to as `address`."""
    facts = rights.in_place(place.environment.slug, place.folder.path, held.facts)
    if not scope.ability.allows(rights.READ, rights.SUBJECT, facts):
        raise _refusal(address, referrer)


def _is_local(address: Address, referrer: Address) -> bool:
    return (address.environment, address.path) == (referrer.environment, referrer.path)


def _said(address: Address) -> dict[str, str]:
    """What the reference itself says of the secret."""
    return {"environment": address.environment, "secretPath": address.path, "secretName": address.key}


def _refusal(address: Address, referrer: Address) -> PermissionDenied:
    """Says what the reference says and nothing else: not where an import leads, no tags, no metadata, and not whether it is there."""
    where = f"{address.key} in {address.environment}:{address.path}"
    return PermissionDenied(
        f"You are not allowed to read the value of {where}, which {referrer} refers to",
        details=[{"action": rights.READ, "subject": rights.SUBJECT, "conditions": _said(address)}],
    )


async def require_readable(ctx: Ctx, scope: ProjectScope, starts: Sequence[Source]) -> None:
    """Raise PermissionDenied when one of these values, about to be stored, refers to a secret that the caller cannot read.

    Who could not read it shall not have it read by somebody else's expansion either. What is not there yet may be named
    where the caller could read it whatever its tags and metadata, for otherwise the answer would tell whether it is there; a
    name of the same folder that is nobody's may be anything, such as a shell variable.
    """
    asked = _asked(starts, {})
    if not asked:
        return
    resolved = await _resolve(ctx, scope, asked)
    for address, referrer in asked.items():
        hit = resolved.get(address)
        if hit is not None:
            require_value(scope, hit[0], hit[1], address, referrer)
        elif not _is_local(address, referrer) and scope.ability.narrowed(rights.READ, rights.SUBJECT, _said(address)).answer is not True:
            raise _refusal(address, referrer)


def filled(expander: Expander, source: Source, *, on_one_line: bool) -> str:
    """The value with its references filled in; `on_one_line` is the secret's skipMultilineEncoding."""
    if not source.targets:
        return source.value
    value = expander.value(source)
    return one_line(value) if on_one_line else value
