"""Find identities by the id of something that belongs to them, and by the address that they came from.

What belongs to another organization, and what the caller may not know of, is answered as if it did not exist.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from watchword.domain.errors import Refusal
from watchword.domain.identities.records import Identity
from watchword.services.access.scopes import organization, own_org
from watchword.services.context import Ctx
from watchword.services.identities import identities
from watchword.services.identities.identities import IdentityDetails
from watchword.store.access.access_report import Somebody
from watchword.store.access.effects import Wanted, listed
from watchword.store.identities import lookup

_WINDOWS: Final = 4  # of names
_MOST: Final = 2_000  # identities, the last to log in, whose addresses are compared


class Owner(msgspec.Struct, frozen=True):
    """The identity that something belongs to. `is_token`: the id is that of a token."""

    details: IdentityDetails
    is_token: bool


async def of_credential(ctx: Ctx, text: str) -> Owner | None:
    """Return the identity that a client id, the id of a client secret or of a token belongs to."""
    scope = await own_org(ctx)
    if "\x00" in text:
        return None
    async with ctx.view() as tx:
        found, is_token = await lookup.of_credential(tx, scope.org_id, text)
    if found is None:
        return None
    try:
        return Owner(await identities.get(ctx, found), is_token)
    except Refusal:
        return None


async def by_name(ctx: Ctx, text: str, limit: int) -> Sequence[Somebody]:
    """Return the first identities of the organization whose names hold a text, of the first some ten thousand."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    org = await organization(ctx, scope.org_id)
    homes = [org.id] if org.root_org_id is None else [org.id, org.root_org_id]
    wanted = Wanted(org_id=org.id, kind="identity", homes=homes, now=ctx.now, contains=text, limit=limit)
    found: list[Somebody] = []
    async with ctx.survey() as tx:
        for _ in range(_WINDOWS):
            more, after = await listed(tx, wanted)
            found += more
            if after is None or len(found) >= limit:
                break
            wanted = msgspec.structs.replace(wanted, after=after)
    return found[:limit]


async def logged_in_from(ctx: Ctx, address: str, limit: int) -> Sequence[Identity]:
    """Return the identities whose last login came from an address, of those that logged in last."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        return await lookup.logged_in_from(tx, scope.org_id, address, most=_MOST, limit=limit)
