"""The roles that a request names: their periods, and how they appear in audit events."""

import msgspec
import pytest

from watchword.domain.errors import BadRequest, Invalid
from watchword.services.access.role_refs import PERMANENT, RoleEntry, audit_roles, temporary

START = "2026-01-01T00:00:00Z"


def test_a_temporary_grant_ends_its_range_after_its_start() -> None:
    period = temporary("roles", is_temporary=True, mode="relative", range="90m", start=START)

    assert 90 * 60 * 1000 == (period.ends_at or 0) - (period.starts_at or 0)
    assert (True, "relative", "90m") == (period.is_temporary, period.mode, period.range)


def test_what_comes_with_a_permanent_role_is_not_read() -> None:
    assert PERMANENT == temporary("roles", is_temporary=False, mode="odd", range="never", start="nonsense")


@pytest.mark.parametrize(
    ("mode", "length", "start"),
    [
        ("absolute", "1h", START),
        ("relative", None, START),
        ("relative", "1h", None),
        ("relative", "soon", START),
        ("relative", "1h", "yesterday"),
        ("relative", "1h", "1969-12-31T23:59:59Z"),
        ("relative", "2d", "9999-12-31T00:00:00Z"),
    ],
)
def test_a_period_that_says_nothing_clear_is_refused(mode: str, length: str | None, start: str | None) -> None:
    with pytest.raises((Invalid, BadRequest)):
        temporary("roles", is_temporary=True, mode=mode, range=length, start=start)


def test_a_misspelt_key_is_refused_because_the_role_would_be_held_for_ever() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"role": "admin", "isTemporery": True, "temporaryRange": "1h"}, RoleEntry)


def test_an_audit_event_says_of_each_role_whether_it_ends() -> None:
    shown = audit_roles([RoleEntry(role="member"), RoleEntry(role="admin", is_temporary=True)])

    assert [{"role": "member", "isTemporary": False}, {"role": "admin", "isTemporary": True}] == shown
