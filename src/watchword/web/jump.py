"""Search and jump: identities, projects, secret keys, refused logins and pages, by name, id or address.

An id is looked up in everything that has one: identities, client ids, client secrets, tokens, projects, events. What
the person may not know is answered as if it did not exist.
"""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

import msgspec

from watchword.services.audit import events
from watchword.services.audit.events import DenialsWanted
from watchword.services.identities import identities, lookup
from watchword.services.projects import projects
from watchword.services.secrets import key_search
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import exact

pages = Pages()
_MOST: Final = 8  # of each kind
_MOST_DENIALS: Final = 500  # refused logins, the newest, whose addresses are compared
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{3,100}")
_CREDENTIAL: Final = re.compile(r"[A-Za-z0-9_.:-]{8,200}")
_ID: Final = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PAGES: Final = (
    ("Home", "house", ""),
    ("Identities", "id-card", "identities"),
    ("New identity", "plus", "identities/new"),
    ("Denials: refused logins", "door-closed-locked", "denials"),
    ("Audit log", "scroll-text", "audit"),
    ("Report: unused identities", "hourglass", "reports/unused"),
    ("Report: never used identities", "minus", "reports/never-used"),
    ("Report: what ends soon", "clock", "reports/expiring"),
    ("Report: risky settings", "triangle-alert", "reports/risky"),
    ("Who can do what", "table-2", "access"),
    ("Projects", "box", "projects"),
    ("Roles", "award", "roles"),
    ("Templates of auth methods", "key-round", "templates"),
    ("People and groups", "users", "people"),
    ("Settings of the organization", "settings", "settings"),
)


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """Something to jump to."""

    text: str
    beside: str
    icon: str
    to: str
    more: tuple[str, str] | None = None  # the text and the path of one page more


class Hits(msgspec.Struct, frozen=True):
    """What was found of one kind."""

    title: str
    hits: Sequence[Hit]


@pages.get("/{organization}/jump")
async def jump(visit: Visit) -> Answer:
    """What is found under a text; a request id leads on at once."""
    text = (visit.query.text("q") or "")[:200]
    if text.startswith("req-") and await or_none(events.denial(visit.ctx, text)) is not None:
        return Redirect(to=visit.link("denials", text))
    found = [
        Hits("Identities", await _identities(visit, text)),
        Hits("Projects", await _projects(visit, text)),
        Hits("Secret keys", await _keys(visit, text)),
        Hits("Seen from this address", await _seen_from(visit, text)),
        Hits("Events", await _events(visit, text)),
        Hits("Pages", _pages(visit, text)),
    ]
    data = {"q": text, "found": [each for each in found if each.hits]}
    return Page(template="jump.html", title="Search", data=data)


async def _identities(visit: Visit, text: str) -> Sequence[Hit]:
    if not text:
        return ()
    owner = await or_none(lookup.of_credential(visit.ctx, text)) if _CREDENTIAL.fullmatch(text) else None
    if owner is not None:
        identity = owner.details.identity
        part = ("tokens",) if owner.is_token else ("authentication",)
        beside = f"{'Token' if owner.is_token else 'Client id or secret'} {text}"
        to = visit.link("identities", identity.id, *part)
        return (Hit(text=identity.name, beside=beside, icon="id-card", to=to),)
    if _ID.fullmatch(text):
        one = await or_none(identities.get(visit.ctx, text))
        named = [(one.identity.id, one.identity.name)] if one else []
    else:
        found = await or_none(lookup.by_name(visit.ctx, text, _MOST)) or ()
        named = [(each.id, each.name) for each in found]
    return [Hit(text=name, beside=id, icon="id-card", to=visit.link("identities", id)) for id, name in named]


async def _projects(visit: Visit, text: str) -> Sequence[Hit]:
    wanted = text.lower()
    return [
        Hit(text=each.project.name, beside=each.project.slug, icon="box", to=visit.link("p", each.project.slug))
        for each in await or_none(projects.mine(visit.ctx)) or ()
        if wanted in (each.project.id, "") or wanted in each.project.name.lower() or wanted in each.project.slug
    ][:_MOST]


async def _keys(visit: Visit, text: str) -> Sequence[Hit]:
    """The keys that hold the text, in all projects of the person: their names alone are read."""
    if not _KEY.fullmatch(text) or _ID.fullmatch(text):
        return ()
    hits = []
    for found in await or_none(key_search.find(visit.ctx, text, _MOST)) or ():
        slug = found.project.slug
        who = visit.link("access", project=found.project.id, action="readValue", path=found.path, key=found.key)
        hits.append(
            Hit(
                text=found.key,
                beside=f"{found.project.name} {found.path}, in {', '.join(found.environments)}",
                icon="key-round",
                to=visit.link("p", slug, path=found.path if found.path != "/" else None),
                more=("Who can read it", who),
            )
        )
    return hits


async def _seen_from(visit: Visit, text: str) -> Sequence[Hit]:
    """Who logged in last, and who was refused, from an address."""
    try:
        address = str(ipaddress.ip_address(text.strip()))
    except ValueError:
        return ()
    hits = [
        Hit(
            text=each.name,
            beside=f"Last login {exact(each.last_login_at)}",
            icon="id-card",
            to=visit.link("identities", each.id, "activity"),
        )
        for each in await or_none(lookup.logged_in_from(visit.ctx, address, _MOST)) or ()
    ]
    refused = await or_none(events.denials(visit.ctx, DenialsWanted(limit=_MOST_DENIALS))) or ()
    here = [each for each in refused if each.address == address][:_MOST]
    return hits + [
        Hit(
            text=each.request_id,
            beside=f"Refused {exact(each.at)}: {each.message}",
            icon="door-closed-locked",
            to=visit.link("denials", each.request_id),
        )
        for each in here
    ]


async def _events(visit: Visit, text: str) -> Sequence[Hit]:
    if not _ID.fullmatch(text):
        return ()
    logged = await or_none(events.get(visit.ctx, text))
    if logged is None:
        return ()
    return [Hit(text=logged.event.event, beside=text, icon="scroll-text", to=visit.link("audit", text))]


def _pages(visit: Visit, text: str) -> Sequence[Hit]:
    return [
        Hit(text=name, beside="", icon=icon, to=f"{visit.base}/{path}".rstrip("/"))
        for name, icon, path in _PAGES
        if text.lower() in name.lower()
    ]
