"""Find identities by the id of something that belongs to them, and by the address that they came from.

What belongs to another organization, and what the caller may not know of, is answered as if it did not exist.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from watchword.domain.errors import Refusal
from watchword.domain.identities.records import Identity
from watchword.services.access.scopes import own_org
from watchword.services.context import Ctx
from watchword.services.identities import identities
from watchword.services.identities.identities import IdentityDetails
from watchword.store.identities import lookup

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


async def logged_in_from(ctx: Ctx, address: str, limit: int) -> Sequence[Identity]:
    """Return the identities whose last login came from an address, of those that logged in last."""
    scope = await own_org(ctx)
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        return await lookup.logged_in_from(tx, scope.org_id, address, most=_MOST, limit=limit)
