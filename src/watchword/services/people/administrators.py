"""Keep at least one usable administrator of the instance: refuse to remove the last one.

A usable administrator can administer from now on without help: a person whose account is active, or a machine identity
that is a member of its own organization, not disabled, without an expiry date, and with a method that it can log in
with, or a live token where that method has named tokens only. Revoking a token or a client secret is never refused: one
that leaked must end.
"""

from watchword.domain.errors import BadRequest, Forbidden
from watchword.services.context import Ctx
from watchword.store.engine import Tx
from watchword.store.people import administrators


async def hold(tx: Tx) -> None:
    """Let one unit at a time change who administers the instance.

    Called first in the unit, before anything of it is written.
    """
    await administrators.hold(tx)


async def require_none_in(ctx: Ctx, tx: Tx, org_id: str) -> None:
    """Raise Forbidden when an instance administrator is in an organization that a caller who is none would delete."""
    if not ctx.actor.is_instance_admin and await administrators.in_organization(tx, org_id):
        raise Forbidden("Only an instance administrator may delete an organization that another one is in")


async def require_one(ctx: Ctx, tx: Tx) -> None:
    """Raise BadRequest when the writes of this unit leave the instance without a usable administrator."""
    if await administrators.usable(tx, ctx.now, named=ctx.runtime.named_tokens[0]) == 0:
        raise BadRequest("The instance would be left without an administrator")
