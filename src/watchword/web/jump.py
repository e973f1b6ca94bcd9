"""Search and jump: identities, projects, secret keys, refused logins and pages, by name or id."""

import re
from collections.abc import Sequence
from typing import Final

import msgspec

from watchword.services.audit import events
from watchword.services.identities import identities, organization_members
from watchword.services.identities.identities import IdentityQuery
from watchword.services.projects import projects
from watchword.services.secrets import search
from watchword.services.secrets.search import SecretSearch
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none

pages = Pages()
_MOST: Final = 8  # of each kind
_MOST_PROJECTS: Final = 5  # whose keys are searched
_KEY: Final = re.compile(r"[A-Za-z0-9_.-]{3,100}")
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
    ("Projects", "box", "projects"),
    ("Roles", "award", "roles"),
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
        Hits("Events", await _events(visit, text)),
        Hits("Pages", _pages(visit, text)),
    ]
    data = {"q": text, "found": [each for each in found if each.hits]}
    return Page(template="jump.html", title="Search", data=data)


async def _identities(visit: Visit, text: str) -> Sequence[Hit]:
    if not text:
        return ()
    if _ID.fullmatch(text):
        one = await or_none(identities.get(visit.ctx, text))
        found = [one] if one else []
    else:
        page = await or_none(organization_members.find(visit.ctx, IdentityQuery(contains=text, limit=_MOST)))
        found = list(page.items) if page else []
    return [
        Hit(
            text=each.identity.name,
            beside=each.identity.id,
            icon="id-card",
            to=visit.link("identities", each.identity.id),
        )
        for each in found
    ]


async def _projects(visit: Visit, text: str) -> Sequence[Hit]:
    wanted = text.lower()
    return [
        Hit(text=each.project.name, beside=each.project.slug, icon="box", to=visit.link("p", each.project.slug))
        for each in await or_none(projects.mine(visit.ctx)) or ()
        if wanted in (each.project.id, "") or wanted in each.project.name.lower() or wanted in each.project.slug
    ][:_MOST]


async def _keys(visit: Visit, text: str) -> Sequence[Hit]:
    """The keys that hold the text, in the first projects of the person: their names alone are read."""
    if not _KEY.fullmatch(text) or _ID.fullmatch(text):
        return ()
    hits: dict[str, Hit] = {}
    for each in (await or_none(projects.mine(visit.ctx)) or ())[:_MOST_PROJECTS]:
        for environment in each.environments[:_MOST_PROJECTS]:
            wanted = SecretSearch(project_id=each.project.id, environment=environment.slug, name=text, limit=_MOST)
            page = await or_none(search.find(visit.ctx, wanted))
            for view in page.items if page else ():
                to = visit.link("p", each.project.slug, path=view.path if view.path != "/" else None)
                who = visit.link(
                    "access", project=each.project.id, action="readValue", path=view.path, key=view.secret.key
                )
                hit = Hit(
                    text=view.secret.key,
                    beside=f"{each.project.name} {view.path}",
                    icon="key-round",
                    to=to,
                    more=("Who can read it", who),
                )
                hits.setdefault(f"{hit.text} {hit.beside}", hit)
            if len(hits) >= _MOST:
                return list(hits.values())[:_MOST]
    return list(hits.values())


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
