"""Load what the references in values lead to, level by level, checking that the caller may read each."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from watchword.domain.errors import BadRequest, PermissionDenied
from watchword.domain.secrets.references import MAX_DEPTH, Address, Expander, ResolvedSecret, one_line
from watchword.services.access.scopes import ProjectScope
from watchword.services.context import Ctx
from watchword.services.keys.keyring import Sealer
from watchword.services.projects.locations import SecretLocation
from watchword.services.secrets import folder_cache, import_resolution, rights, sealed
from watchword.services.secrets.folder_cache import CachedSecret
from watchword.services.turns import Turns

MAX_GATHERED: Final = 20_000  # secrets that are referred to in one answer
MAX_SOURCES: Final = 64 * 1024 * 1024  # characters of all of them
_PIECE: Final = 200  # references that are looked up in one piece
Sources = dict[Address, ResolvedSecret | None]


async def gather(ctx: Ctx, scope: ProjectScope, key: Sealer, starts: Iterable[ResolvedSecret]) -> Sources:
    """All that these values refer to, down to the greatest depth. Raises PermissionDenied where a value may not be
    read, and
    BadRequest where it is too much.

    What is not there is None where the caller could read it, and refused in the same words where not.
    Each level takes at most a handful of queries, however many references it has.
    """
    found: Sources = {}
    level, turns, size = list(starts), Turns(), 0
    for _ in range(MAX_DEPTH):
        asked = await _asked(level, found, turns)
        if not asked:
            break
        _require_few(len(found) + len(asked), size, asked)
        resolved = await _resolve(ctx, scope, asked, turns)
        level = []
        for address, referrer in asked.items():
            hit = resolved.get(address)
            if hit is None:
                if not _is_local(address, referrer) and not scope.ability.could(
                    rights.READ, rights.SUBJECT, _said(address)
                ):
                    raise _refusal(address, referrer)
                found[address] = None
                continue
            place, held = hit
            require_value(scope, place, held, address, referrer)
            here = Address(place.environment.slug, place.folder.path, held.secret.key)
            source = found.get(here) or ResolvedSecret(here, sealed.value_of(key, held.secret))
            found[address] = source
            level.append(source)
            size += len(source.value)
            await turns.give()
    return found


def _require_few(count: int, size: int, asked: Mapping[Address, Address]) -> None:
    if count > MAX_GATHERED or size > MAX_SOURCES:
        limit = f"{MAX_GATHERED} secrets" if count > MAX_GATHERED else f"{MAX_SOURCES} characters"
        address, referrer = list(asked.items())[-1]
        raise BadRequest(
            f"What is asked for refers to more than {limit}: the limit is reached at {address}, which {referrer} "
            "refers to"
        )


async def _asked(
    level: Iterable[ResolvedSecret], known: Mapping[Address, ResolvedSecret | None], turns: Turns
) -> dict[Address, Address]:
    """What the values of this level refer to and is not known yet, with one that refers to it."""
    found: dict[Address, Address] = {}
    for source in level:
        for address in source.targets:
            if address not in known:
                found[address] = source.address
        await turns.give()
    return found


async def _resolve(
    ctx: Ctx, scope: ProjectScope, asked: Collection[Address], turns: Turns
) -> dict[Address, tuple[SecretLocation, CachedSecret]]:
    """The secrets at these addresses, own ones first and imported ones after them."""
    project_id = scope.project.id
    places = await import_resolution.places(ctx, project_id, {(one.environment, one.path) for one in asked})
    links = await import_resolution.links(ctx, project_id)
    search_paths: dict[tuple[str, str], list[SecretLocation]] = {}
    for at, place in places.items():
        if place is not None:
            search_paths[at] = _readable_path(scope, import_resolution.search_path(links, place))
            await turns.give()
    wanted: dict[str, set[str]] = {}
    for number, address in enumerate(asked):
        for place in search_paths.get((address.environment, address.path), ()):
            wanted.setdefault(place.folder.id, set()).add(address.key)
        if not number % _PIECE:
            await turns.give()
    there = await folder_cache.picked(ctx, project_id, wanted)
    found: dict[Address, tuple[SecretLocation, CachedSecret]] = {}
    for number, address in enumerate(asked):
        for place in search_paths.get((address.environment, address.path), ()):
            held = there.get((place.folder.id, address.key))
            if held is not None:
                found[address] = (place, held)
                break
        if not number % _PIECE:
            await turns.give()
    return found


def _readable_path(scope: ProjectScope, search_path: list[SecretLocation]) -> list[SecretLocation]:
    """The chain without the imports that the caller may not read anything of; the asked place itself stays."""
    return search_path[:1] + [place for place in search_path[1:] if rights.some(scope, rights.READ, place)]


def require_value(
    scope: ProjectScope, place: SecretLocation, held: CachedSecret, address: Address, referrer: Address
) -> None:
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
    """Says what the reference says and nothing else: not where an import leads, no tags, no metadata, and not
    whether it is there.
    """
    where = f"{address.key} in {address.environment}:{address.path}"
    return PermissionDenied(
        f"You are not allowed to read the value of {where}, which {referrer} refers to",
        details=[{"action": rights.READ, "subject": rights.SUBJECT, "conditions": _said(address)}],
    )


async def require_readable(ctx: Ctx, scope: ProjectScope, starts: Sequence[ResolvedSecret]) -> None:
    """Raise PermissionDenied when one of these values, about to be stored, refers to a secret that the caller cannot
    read.

    Who could not read it shall not have it read by somebody else's expansion either. What is not there yet may be named
    where the caller could read it whatever its tags and metadata, for otherwise the answer would tell whether it is
    there; a name of the same folder that is nobody's may be anything, such as a shell variable.
    """
    asked, turns = dict[Address, Address](), Turns()
    for start in starts:
        asked.update((address, start.address) for address in start.named)
        await turns.give()
    if not asked:
        return
    resolved = await _resolve(ctx, scope, asked, turns)
    for address, referrer in asked.items():
        await turns.give()
        hit = resolved.get(address)
        if hit is not None:
            require_value(scope, hit[0], hit[1], address, referrer)
        elif (
            not _is_local(address, referrer)
            and scope.ability.narrowed(rights.READ, rights.SUBJECT, _said(address)).answer is not True
        ):
            raise _refusal(address, referrer)


async def filled(expander: Expander, source: ResolvedSecret, turns: Turns, *, on_one_line: bool) -> str:
    """The value with its references filled in; `on_one_line` is the secret's skipMultilineEncoding.

    Raises BadRequest.
    """
    if not source.pieces:
        return source.value
    work = expander.in_pieces(source)
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: str = end.value
            return one_line(value) if on_one_line else value
        await turns.give()
