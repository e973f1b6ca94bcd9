"""The table of pages: every page of the console, area by area."""

from watchword.web import home
from watchword.web.access import roles
from watchword.web.audit import log, reports
from watchword.web.pages import MOST_FORM, PageRoute, Pages
from watchword.web.people import sign_in
from watchword.web.projects.table import PROJECTS

AREAS: tuple[Pages, ...] = (sign_in.pages, home.pages, *PROJECTS, log.pages, reports.pages, roles.pages)


# What is served where there is no page.
MISSING = PageRoute(method="GET", path="", who="anybody", handler=sign_in.missing, most=MOST_FORM)


def page_table() -> tuple[PageRoute, ...]:
    """All pages and acts."""
    return tuple(route for area in AREAS for route in area.all)
