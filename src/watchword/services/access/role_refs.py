"""Resolve the roles that a request names into the rows of a membership and the roles' rules."""

from collections.abc import Mapping, Sequence
from typing import Annotated

import msgspec

from watchword.domain.access.abilities import Rule, ScopeKind, built_in, stored_rules
from watchword.domain.access.records import MembershipRole
from watchword.domain.bounds import duration_ms
from watchword.domain.decode import Trimmed, checked
from watchword.domain.errors import BadRequest, Invalid, NotFound
from watchword.services.context import Ctx
from watchword.services.timestamps import read_time
from watchword.services.turns import beside, weight
from watchword.store.access import grants
from watchword.store.engine import Tx

_LAST = 253_402_300_799_999  # ms: the end of the year 9999, the last that an ISO date-time can name
RoleName = Annotated[str, msgspec.Meta(min_length=1, max_length=255, extra={"trim": True})]


class RoleEntry(msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """One role that a request asks for.

    The temporary fields are read only when `isTemporary` is true: clients send meaningless values otherwise. Any other
    key is refused: with a misspelt one the role would be held forever. `id` and the names of the custom role are taken
    from who sends back what was answered, and say nothing.
    """

    id: str | None = None
    custom_role_id: str | None = None
    custom_role_name: str | None = None
    custom_role_slug: str | None = None
    role: RoleName
    is_temporary: bool = False
    temporary_mode: str | None = None
    temporary_range: Trimmed | None = None
    temporary_access_start_time: str | None = None


MOST_ROLES = 100  # of one membership
RoleEntries = Annotated[list[RoleEntry], msgspec.Meta(max_length=MOST_ROLES)]


class TemporaryPeriod(msgspec.Struct, frozen=True):
    """The period of a temporary grant: from `starts_at` until just before `ends_at` (ms)."""

    is_temporary: bool = False
    mode: str | None = None
    range: str | None = None
    starts_at: int | None = None
    ends_at: int | None = None


PERMANENT = TemporaryPeriod()


def temporary(
    path: str, *, is_temporary: bool, mode: str | None, range: str | None, start: str | None
) -> TemporaryPeriod:
    """Return the period of a temporary grant; its end is start + range, fixed now. Raises Invalid."""
    if not is_temporary:
        return PERMANENT
    if mode not in (None, "relative"):
        raise Invalid.of((path, "temporaryMode"), "Must be 'relative'", code="invalid_enum_value")
    if not range or not start:
        raise Invalid.of(
            (path, "temporaryRange"), "A temporary grant needs temporaryRange (like 1h) and temporaryAccessStartTime"
        )
    length = checked((path, "temporaryRange"), duration_ms, range)
    starts_at = checked((path, "temporaryAccessStartTime"), read_time, start)
    if not 0 <= starts_at <= _LAST - length:
        raise Invalid.of((path, "temporaryAccessStartTime"), "The window must lie between the years 1970 and 9999")
    return TemporaryPeriod(
        is_temporary=True, mode="relative", range=range, starts_at=starts_at, ends_at=starts_at + length
    )


class Resolved(msgspec.Struct, frozen=True):
    """The rows to store, and the rules of each role but `no-access` for the privilege boundary, also by slug."""

    rows: tuple[MembershipRole, ...]
    rules: tuple[tuple[Rule, ...], ...]
    by_slug: dict[str, tuple[Rule, ...]]


async def resolve(
    ctx: Ctx,
    tx: Tx,
    scope: ScopeKind,
    entries: Sequence[RoleEntry],
    *,
    membership_id: str,
    org_id: str,
    project_id: str | None,
) -> Resolved:
    """Find every role. Raises NotFound for an unknown one, BadRequest unless at least one is permanent."""
    if not any(not entry.is_temporary for entry in entries):
        raise BadRequest("At least one role must be permanent")
    rows: list[MembershipRole] = []
    rules: dict[str, tuple[Rule, ...]] = {}
    for position, entry in enumerate(entries):
        window = temporary(
            "roles",
            is_temporary=entry.is_temporary,
            mode=entry.temporary_mode,
            range=entry.temporary_range,
            start=entry.temporary_access_start_time,
        )
        slug, custom_id, granted = await find_role(tx, scope, entry.role, org_id=org_id, project_id=project_id)
        if granted:
            rules[entry.role] = granted
        rows.append(
            MembershipRole(
                id=ctx.new_id(),
                membership_id=membership_id,
                role=slug,
                custom_role_id=custom_id,
                is_temporary=window.is_temporary,
                temporary_mode=window.mode,
                temporary_range=window.range,
                starts_at=window.starts_at,
                ends_at=window.ends_at,
                position=position,
                created_at=ctx.now,
                updated_at=ctx.now,
            )
        )
    return Resolved(tuple(rows), tuple(rules.values()), rules)


async def find_role(
    tx: Tx, scope: ScopeKind, slug: str, *, org_id: str, project_id: str | None
) -> tuple[str, str | None, tuple[Rule, ...]]:
    """Find a role by slug: what a membership stores (`custom` and the id for a custom role), and its rules.

    Raises NotFound.
    """
    built_in_role = built_in(scope, slug)
    if built_in_role is not None and built_in_role.slug == slug:
        return slug, None, built_in_role.rules
    custom = await (grants.project_role(tx, project_id, slug) if project_id else grants.org_role(tx, org_id, slug))
    if custom is None:
        raise NotFound(f"There is no role {slug!r} here")
    return "custom", custom.id, await beside(weight(custom.permissions), stored_rules, scope, custom.permissions)


def audit_roles(entries: Sequence[RoleEntry]) -> list[Mapping[str, object]]:
    """Return roles as audit events show them."""
    return [{"role": entry.role, "isTemporary": entry.is_temporary} for entry in entries]
