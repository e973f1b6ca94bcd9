"""Nobody makes, changes, deletes or obtains a credential of something more privileged than itself (contract 6.8, 6.9).

`require_over` is asked by every route through which power over an identity can be gained. An organization chooses between
the subset comparison (default) and asking only for the named action.
"""

from collections.abc import Sequence

from watchword.domain import boundary
from watchword.domain.access import Rule
from watchword.domain.errors import BoundaryExceeded, Forbidden
from watchword.domain.model.identities import Identity
from watchword.services.access import holding
from watchword.services.context import Ctx, Scope
from watchword.store import people
from watchword.store.engine import Tx


async def require_over(ctx: Ctx, tx: Tx, scope: Scope, identity: Identity, action: str) -> None:
    """Raise BoundaryExceeded when `identity` holds, in this scope, anything that the caller does not.

    An instance administrator may be touched only by another one.
    """
    if identity.is_instance_admin and not ctx.actor.is_instance_admin:
        raise Forbidden("Only an instance administrator may change an identity that administers the instance")
    held = await holding(tx, "identity", identity.id, org_id=scope.org_id, project_id=scope.project_id, now=ctx.now, auth=None)
    await require_within(ctx, tx, scope, [grant.rules for grant in held.grants], action)


async def require_within(ctx: Ctx, tx: Tx, scope: Scope, targets: Sequence[Sequence[Rule]], action: str, subject: str = "identity") -> None:
    """Raise BoundaryExceeded when one of the rule sets goes beyond what the caller may itself."""
    org = await people.organization(tx, scope.org_id)
    if org is not None and org.privilege_mode == "action":
        if not ctx.may(scope, action, subject):
            missing = [{"action": action, "subject": subject}]
            raise BoundaryExceeded(f"You are not allowed to {action} on {subject}", details={"missingPermissions": missing})
        return
    boundary.require_within(scope.ability, targets)
