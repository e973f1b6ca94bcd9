"""The organization's home: what stands where, and what wants attention."""

from watchword.web.pages import Answer, Page, Pages, Visit

pages = Pages()


@pages.get("/{organization}")
async def home(visit: Visit) -> Answer:
    """The organization's home."""
    return Page(template="home.html", title=visit.organization.name)
