"""Refused logins: alike ones as one row, and one with all its checks."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from watchword.domain.audit.records import Denial
from watchword.services.audit import events
from watchword.services.audit.events import DenialsWanted
from watchword.services.identities import directory
from watchword.services.timestamps import iso
from watchword.web.authentication.tester import shown_check
from watchword.web.identities.subject import place_of, subject
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none

pages = Pages()
_LOOKED_AT: Final = 1000  # newest refusals that are put together
_SHOWN: Final = 200  # rows
PERIODS: Final = (("1", "Last hour"), ("24", "Last 24 hours"), ("168", "Last 7 days"), ("720", "Last 30 days"))


class Row(msgspec.Struct, kw_only=True):
    """Refusals of one identity, method, reason and address."""

    last: Denial
    times: int
    first_at: int
    last_at: int


def grouped(found: Sequence[Denial]) -> list[Row]:
    """Put refusals alike together, those of the newest first."""
    rows: dict[tuple[Any, ...], Row] = {}
    for denial in found:
        key = (denial.identity_id, denial.method, denial.reason, denial.address)
        last_at = max(denial.at, denial.last_at or 0)
        row = rows.get(key)
        if row is None:
            rows[key] = Row(last=denial, times=denial.times, first_at=denial.at, last_at=last_at)
        else:
            row.times += denial.times
            row.first_at = min(row.first_at, denial.at)
            row.last_at = max(row.last_at, last_at)
    return sorted(rows.values(), key=lambda row: row.last_at, reverse=True)


@pages.get("/{organization}/denials")
async def denials(visit: Visit) -> Answer:
    """The refused logins of a time."""
    ctx, asked = visit.ctx, visit.query
    request_id = asked["req"].strip()
    if request_id:
        return Redirect(to=visit.link("denials", request_id[:128]))
    hours = asked["hours"] if asked["hours"] in dict(PERIODS) else "24"
    wanted = DenialsWanted(
        identity_id=asked.text("identity"),
        method=asked.text("method"),
        reason=asked.text("reason"),
        start_date=iso(max(0, ctx.now - int(hours) * 3_600_000)),
        limit=_LOOKED_AT,
    )
    found = await events.denials(ctx, wanted)
    rows = grouped(found)
    names = await directory.names(ctx, {row.last.identity_id for row in rows[:_SHOWN] if row.last.identity_id})
    data = {
        "rows": [
            {"row": row, "name": names.get(row.last.identity_id or "", ""), "place": place_of(ctx, row.last.method)}
            for row in rows[:_SHOWN]
        ],
        "hours": hours,
        "periods": PERIODS,
        "is_cut": len(found) == _LOOKED_AT or len(rows) > _SHOWN,
        "filters": [(name, asked[name]) for name in ("identity", "method", "reason") if asked[name]],
    }
    return Page(template="authentication/denials.html", title="Denials", data=data)


@pages.get("/{organization}/denials/{request_id}")
async def denial(visit: Visit, request_id: str) -> Answer:
    """Why one login was refused."""
    ctx = visit.ctx
    found = await events.denial(ctx, request_id)
    about = await or_none(subject(visit, found.identity_id)) if found.identity_id else None
    checks = [shown_check(check) for check in found.checks]
    failed = [check for check in checks if not check.passed]
    same = await or_none(
        events.denials(ctx, DenialsWanted(identity_id=found.identity_id, reason=found.reason, limit=_LOOKED_AT))
    )
    row = next((row for row in grouped(same or ()) if row.last.address == found.address), None)
    method = ctx.runtime.methods.get(found.method)
    data = {
        "denial": found,
        "about": about,
        "checks": checks,
        "failed": failed,
        "row": row,
        "place": place_of(ctx, found.method),
        "has_tester": about is not None and method is not None and method.login is not None,
        "is_locked": about is not None and found.method in about.details.locked_methods,
        "facts": [(name, str(value)) for name, value in found.facts.items() if name not in ("expected", "presented")],
    }
    whose = about.identity.name if about else "A login"
    return Page(template="authentication/denial.html", title=f"{whose} was refused", data=data)
