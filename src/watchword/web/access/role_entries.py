"""Roles of members as the pages send them: for good or for a time, new ones and those that are held already.

A member holds at least one role for good. Whoever gets access for a time only holds `no-access` beside it, which is
what is left when the time is over.
"""

from collections.abc import Sequence
from typing import Final

from watchword.domain.access.records import MembershipRole, Role
from watchword.domain.errors import Invalid
from watchword.services.access.role_refs import RoleEntry
from watchword.services.timestamps import iso
from watchword.web.forms import duration

_AFTERWARDS: Final = RoleEntry(role="no-access")


def span(text: str, field: str) -> int | None:
    """Seconds for which a role is given; None for good: an empty text, or `always`. Raises Invalid."""
    seconds = duration(text.strip().removeprefix("always"), field)
    if seconds == 0:
        raise Invalid.of(field, "A duration such as 2h or 30d; empty: always")
    return seconds


def new_role(role: str, seconds: int | None, now: int) -> RoleEntry:
    """A role that is given from now on, for so many seconds or for good."""
    if seconds is None:
        return RoleEntry(role=role)
    return RoleEntry(
        role=role,
        is_temporary=True,
        temporary_mode="relative",
        temporary_range=f"{seconds}s",
        temporary_access_start_time=iso(now),
    )


def held_role(held: MembershipRole, custom: Role | None) -> RoleEntry:
    """A role that is held, as it is sent again."""
    slug = custom.slug if custom is not None else held.role
    if not held.is_temporary:
        return RoleEntry(role=slug)
    return RoleEntry(
        role=slug,
        is_temporary=True,
        temporary_mode=held.temporary_mode,
        temporary_range=held.temporary_range,
        temporary_access_start_time=iso(held.starts_at or 0),
    )


def with_one_for_good(entries: Sequence[RoleEntry]) -> list[RoleEntry]:
    """The roles of a member, with `no-access` where all others are for a time."""
    return [*entries] if any(not entry.is_temporary for entry in entries) else [_AFTERWARDS, *entries]
