"""The table of pages: every page of the console, area by area."""

import msgspec

from watchword.web import deep_links, home, jump
from watchword.web.access import access_texts, matrix, members, roles
from watchword.web.audit import log, reports
from watchword.web.authentication import denials, method_templates, method_texts, methods, tester
from watchword.web.identities import access, alert_texts, alerts, identity_texts, listing, new, page
from watchword.web.pages import MOST_FORM, PageRoute, Pages, Texts
from watchword.web.people import (
    admin,
    command,
    group_pages,
    links,
    me,
    organization,
    parts_of_organization,
    passkeys,
    sign_in,
)
from watchword.web.projects import project_texts, receiver_texts
from watchword.web.projects.table import PROJECTS

AREAS: tuple[Pages, ...] = (
    sign_in.pages,
    links.pages,
    command.pages,
    me.pages,
    passkeys.pages,
    admin.pages,
    home.pages,
    jump.pages,
    listing.pages,
    new.pages,
    page.pages,
    access.pages,
    methods.pages,
    tester.pages,
    denials.pages,
    method_templates.pages,
    *PROJECTS,
    log.pages,
    reports.pages,
    roles.pages,
    members.pages,
    matrix.pages,
    organization.pages,
    alerts.pages,
    parts_of_organization.pages,
    group_pages.pages,
    deep_links.pages,
)


TEXTS: tuple[Texts, ...] = (
    identity_texts.texts,
    access.texts,
    method_texts.texts,
    project_texts.texts,
    access_texts.texts,
    method_templates.texts,
    receiver_texts.texts,
    alert_texts.texts,
)

# What is served where there is no page.
MISSING = PageRoute(method="GET", path="", who="anybody", handler=sign_in.missing, most=MOST_FORM)


def page_table() -> tuple[PageRoute, ...]:
    """All pages and acts."""
    said = {path: text for texts in TEXTS for path, text in texts.all.items()}
    return tuple(
        msgspec.structs.replace(route, text=said.get(route.path)) if route.method == "POST" else route
        for area in AREAS
        for route in area.all
    )
