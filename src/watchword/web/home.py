"""The organization's home: what stands where, and what wants attention.

Each part is read alone; one that may not be read, or cannot be read now, is left out.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from watchword.domain.audit.records import Denial
from watchword.domain.identities.records import Identity
from watchword.services.access import scopes
from watchword.services.audit import events
from watchword.services.context import Ctx
from watchword.services.identities import identities, lifecycle
from watchword.services.identities.lifecycle import ReportQuery
from watchword.services.projects import projects
from watchword.services.timestamps import iso
from watchword.web.pages import Answer, Page, Pages, Visit
from watchword.web.parts import bars, or_none
from watchword.web.rendering import plural, since

pages = Pages()
_SHOWN: Final = 5  # refusals, and rows of a report
_LOOKED_AT: Final = 200  # refusals
_SOON: Final = 7  # days
_ANYWHERE: Final = (
    ("admits_anybody", "key-round", "bad", "lets in anybody", "let in anybody"),
    ("any_audience", "triangle-alert", "warn", "takes any audience", "take any audience"),
    ("any_network", "globe", "", "may use tokens from any network", "may use tokens from any network"),
)


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """Something to do: who is concerned, and where it is done."""

    icon: str
    tone: str
    text: str
    names: str
    to: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """Refusals alike: the newest of them, and how many there are."""

    denial: Denial
    name: str
    times: int


@pages.get("/{organization}")
async def home(visit: Visit) -> Answer:
    """The organization's home."""
    ctx = visit.ctx
    states = await or_none(lifecycle.states(ctx))
    joined = await or_none(projects.mine(ctx)) or ()
    day = await or_none(events.day(ctx))
    scope = await scopes.own_org(ctx)
    data = {
        "states": states,
        "state_links": _state_links(visit, states) if states else (),
        "joined": joined,
        "day": day,
        "login_bars": bars(day.logins) if day else (),
        "refusal_bars": bars(day.refusals) if day else (),
        "refused": await or_none(_refused(ctx)),
        "items": await _items(visit, states) if states else None,
        "may_make_project": ctx.may(scope, "create", "workspace"),
        "may_make_identity": ctx.may(scope, "create", "identity"),
        "is_new": states is not None and states.active + states.unused == 0,
        "counted": lifecycle.MOST_COUNTED,
    }
    return Page(template="home.html", title=visit.organization.name, data=data)


def _state_links(visit: Visit, states: lifecycle.States) -> Sequence[tuple[int, str, str, str, str]]:
    """The number, text, icon, tone and path of each state."""
    link = visit.link
    return (
        (states.active, "Active", "circle-check", "ok", link("identities", state="active")),
        (states.unused, "Unused 30 days", "hourglass", "warn", link("reports", "unused")),
        (states.never_used, "Never used", "minus", "", link("reports", "never-used")),
        (states.disabled, "Disabled", "power", "", link("identities", state="disabled")),
        (len(states.locked), "Locked out", "lock", "bad", link("identities", state="locked")),
        (states.ending, "Ending soon", "clock", "warn", link("reports", "expiring")),
    )


async def _refused(ctx: Ctx) -> Sequence[Refused]:
    """The last refusals of 24 hours, those alike as one."""
    wanted = events.DenialsWanted(start_date=iso(ctx.now - 86_400_000), limit=_LOOKED_AT)
    alike: dict[tuple[str | None, str, str | None], list[Denial]] = {}
    for denial in await events.denials(ctx, wanted):
        alike.setdefault((denial.identity_id, denial.reason, denial.address), []).append(denial)
    newest = sorted(alike.values(), key=lambda same: max(one.last_at or one.at for one in same), reverse=True)[:_SHOWN]
    names: dict[str, str] = {}
    for id in {same[0].identity_id for same in newest}:
        if id is not None:
            found = await or_none(identities.get(ctx, id))
            names[id] = found.identity.name if found else "An identity that is gone or hidden"
    return [
        Refused(
            denial=same[0],
            name=names.get(same[0].identity_id or "", "Nobody that is known"),
            times=sum(denial.times for denial in same),
        )
        for same in newest
    ]


async def _items(visit: Visit, states: lifecycle.States) -> Sequence[Item]:
    """What wants attention, the most urgent first."""
    ctx, now = visit.ctx, visit.ctx.now
    items = [
        Item(
            icon="lock",
            tone="bad",
            text=f"{name} is locked out",
            names=f"ends {since(until, now)}",
            to=visit.link("identities", id, "authentication"),
        )
        for id, name, until in states.locked[:3]
    ]
    ending = await or_none(lifecycle.glance_at_endings(ctx, _SOON))
    if ending and ending.found:
        items.append(
            Item(
                icon="clock",
                tone="warn",
                text=f"{_count(ending.found, ending)} with something that ends within {_SOON} days",
                names=_names(ending.found),
                to=visit.link("reports", "expiring", days=_SOON),
            )
        )
    glance = await or_none(lifecycle.glance_at_risks(ctx))
    if glance:
        items += _risks(visit, glance)
    if states.unused:
        items.append(
            Item(
                icon="hourglass",
                tone="warn",
                text=f"{plural(states.unused, 'identity', 'identities')} unused for 30 days",
                names="Disable now, enable when asked",
                to=visit.link("reports", "unused"),
            )
        )
    old = await or_none(lifecycle.report(ctx, "never-used", ReportQuery(days=_SOON, limit=_SHOWN)))
    if old and old.identities:
        items.append(
            Item(
                icon="minus",
                tone="",
                text=f"{_few(old)} never used, made over {_SOON} days ago",
                names=_names(old.identities),
                to=visit.link("reports", "never-used", days=_SOON),
            )
        )
    return items


def _risks(visit: Visit, glance: lifecycle.Glance) -> Iterator[Item]:
    for code, icon, tone, one, many in _ANYWHERE:
        risky = [identity for identity in glance.found if code in glance.risks[identity.id]]
        if risky:
            is_one = len(risky) == 1 and glance.is_all
            yield Item(
                icon=icon,
                tone=tone,
                text=f"{_count(risky, glance)} {one if is_one else many}",
                names=_names(risky),
                to=visit.link("reports", "risky", code=code),
            )
    if not glance.is_all:
        yield Item(
            icon="triangle-alert",
            tone="",
            text="Look at the risks of all identities",
            names=f"Here only the first {lifecycle.GLANCED_AT} by name were looked at",
            to=visit.link("reports", "risky"),
        )


def _count(found: Sequence[Identity], glance: lifecycle.Glance) -> str:
    """How many there are: of a large organization only the first identities were looked at."""
    if glance.is_all:
        return plural(len(found), "identity", "identities")
    return f"{len(found)} or more identities"


def _few(page: lifecycle.ReportPage) -> str:
    count = len(page.identities)
    return f"More than {count} identities" if page.next_cursor else plural(count, "identity", "identities")


def _names(found: Sequence[Identity]) -> str:
    return ", ".join(identity.name for identity in found[:_SHOWN])
