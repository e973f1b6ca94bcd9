"""Load the secrets that references lead to, level by level, and check that the caller may read each of them."""

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

MAX_GATHERED: Final = 20_000  # secrets referred to in one answer
MAX_SOURCES: Final = 64 * 1024 * 1024  # characters of all of them
_PIECE: Final = 200  # references looked up before others have their turn
Sources = dict[Address, ResolvedSecret | None]


async def gather(ctx: Ctx, scope: ProjectScope, key: Sealer, starts: Iterable[ResolvedSecret]) -> Sources:
    """Load all secrets that these values refer to, directly or through others, down to the greatest depth.

    A secret that does not exist is None where the caller could read it, and refused in the same words where not, so
    that the answer does not tell whether it exists. Each level takes a handful of queries, however many references it
    has. Raises PermissionDenied where a value may not be read, BadRequest where there are too many.
    """
    sources: Sources = {}
    level, turns, size = list(starts), Turns(), 0
    for _ in range(MAX_DEPTH):
        asked = await _asked(level, sources, turns)
        if not asked:
            break
        _require_few(len(sources) + len(asked), size, asked)
        resolved = await _resolve(ctx, scope, asked, turns)
        level = []
        for address, referrer in asked.items():
            hit = resolved.get(address)
            if hit is None:
                if not _is_local(address, referrer) and not scope.ability.could(
                    rights.READ, rights.SUBJECT, _reference_facts(address)
                ):
                    raise _refusal(address, referrer)
                sources[address] = None
                continue
            location, cached = hit
            require_value(scope, location, cached, address, referrer)
            own_address = Address(location.environment.slug, location.folder.path, cached.secret.key)
            source = sources.get(own_address) or ResolvedSecret(own_address, sealed.value_of(key, cached.secret))
            sources[address] = source
            level.append(source)
            size += len(source.value)
            await turns.give()
    return sources


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
    """Collect the addresses that this level refers to and that are not known yet, each with a secret that names it."""
    referrers: dict[Address, Address] = {}
    for source in level:
        for address in source.targets:
            if address not in known:
                referrers[address] = source.address
        await turns.give()
    return referrers


async def _resolve(
    ctx: Ctx, scope: ProjectScope, asked: Collection[Address], turns: Turns
) -> dict[Address, tuple[SecretLocation, CachedSecret]]:
    """Find the secrets at these addresses: own ones first, imported ones after them."""
    project_id = scope.project.id
    locations = await import_resolution.locations(
        ctx, project_id, {(reference.environment, reference.path) for reference in asked}
    )
    links = await import_resolution.links(ctx, project_id)
    search_paths: dict[tuple[str, str], list[SecretLocation]] = {}
    for folder_key, location in locations.items():
        if location is not None:
            search_paths[folder_key] = _readable_path(scope, import_resolution.search_path(links, location))
            await turns.give()
    wanted: dict[str, set[str]] = {}
    for number, address in enumerate(asked):
        for location in search_paths.get((address.environment, address.path), ()):
            wanted.setdefault(location.folder.id, set()).add(address.key)
        if not number % _PIECE:
            await turns.give()
    cached_secrets = await folder_cache.picked(ctx, project_id, wanted)
    resolved: dict[Address, tuple[SecretLocation, CachedSecret]] = {}
    for number, address in enumerate(asked):
        for location in search_paths.get((address.environment, address.path), ()):
            cached = cached_secrets.get((location.folder.id, address.key))
            if cached is not None:
                resolved[address] = (location, cached)
                break
        if not number % _PIECE:
            await turns.give()
    return resolved


def _readable_path(scope: ProjectScope, search_path: list[SecretLocation]) -> list[SecretLocation]:
    """Leave out the imports of which the caller may read nothing; the named location itself stays."""
    return search_path[:1] + [location for location in search_path[1:] if rights.some(scope, rights.READ, location)]


def require_value(
    scope: ProjectScope, location: SecretLocation, cached: CachedSecret, address: Address, referrer: Address
) -> None:
    """Raise PermissionDenied unless the caller may read the value that `referrer` refers to as `address`."""
    facts = rights.in_place(location.environment.slug, location.folder.path, cached.facts)
    if not scope.ability.allows(rights.READ, rights.SUBJECT, facts):
        raise _refusal(address, referrer)


def _is_local(address: Address, referrer: Address) -> bool:
    return (address.environment, address.path) == (referrer.environment, referrer.path)


def _reference_facts(address: Address) -> dict[str, str]:
    """Return what the reference itself says of the secret."""
    return {"environment": address.environment, "secretPath": address.path, "secretName": address.key}


def _refusal(address: Address, referrer: Address) -> PermissionDenied:
    """Make the refusal, which tells nothing beyond the reference itself.

    It names no import, tags or metadata, and not whether the secret exists.
    """
    where = f"{address.key} in {address.environment}:{address.path}"
    return PermissionDenied(
        f"You are not allowed to read the value of {where}, which {referrer} refers to",
        details=[{"action": rights.READ, "subject": rights.SUBJECT, "conditions": _reference_facts(address)}],
    )


async def require_readable(ctx: Ctx, scope: ProjectScope, starts: Sequence[ResolvedSecret]) -> None:
    """Raise PermissionDenied when a value about to be stored refers to a secret that the caller cannot read.

    A caller who cannot read it must not have it read by another's expansion either. A secret that does not exist yet
    may be named where the caller could read it whatever its tags and metadata, for otherwise the answer would tell
    whether it exists. An unknown name in the same folder may be anything, such as a shell variable.
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
            and scope.ability.narrowed(rights.READ, rights.SUBJECT, _reference_facts(address)).answer is not True
        ):
            raise _refusal(address, referrer)


async def filled(expander: Expander, source: ResolvedSecret, turns: Turns, *, on_one_line: bool) -> str:
    """Fill in the references of a value; `on_one_line` is the secret's skipMultilineEncoding. Raises BadRequest."""
    if not source.pieces:
        return source.value
    work = expander.in_pieces(source)
    while True:
        try:
            next(work)
        except StopIteration as end:
            value: str = end.value
            return one_line(value) if on_one_line and source.targets else value
        await turns.give()
