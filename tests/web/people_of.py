"""Other people in their own browsers: invited over the API, signed in over the page."""

from typing import Any

from tests.api import Api
from tests.web.browser import Browser

PASSWORD = "a quite different sentence"


async def narrow(api: Api, *, role: str, email: str = "bob@example.com") -> Browser:
    """The browser of a person with one role in the first organization."""
    invite = {"inviteeEmails": [email], "organizationId": api.org_id, "organizationRoleSlug": role}
    link = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
    token = link.partition("=")[2]
    body: dict[str, Any] = {"token": token, "password": PASSWORD, "firstName": "Bob"}
    await api.ok("POST", "/api/v1/invite-org/accept", body, token=None)
    browser = Browser(api)
    await browser.sign_in(email, PASSWORD)
    return browser
