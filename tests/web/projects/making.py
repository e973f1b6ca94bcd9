"""A project with secrets and people for the tests of its pages."""

from typing import Any

from tests import api as server
from tests.api import Api
from tests.web.browser import Browser, Seen

MEMBER = "member@example.com"
PASSWORD = "another horse battery"


async def base(api: Api) -> str:
    """The path of the first organization's pages."""
    own = (await api.ok("GET", "/api/v1/organization", token=api.person))["organizations"]
    return f"/{own[0]['slug']}"


async def project(api: Api, name: str = "Billing", **body: Any) -> dict[str, Any]:
    """A new project with dev, staging and prod."""
    made: dict[str, Any] = (await api.ok("POST", "/api/v1/projects", {"projectName": name, **body}))["project"]
    return {**made, "base": await base(api)}


def page_of(made: dict[str, Any], *parts: str) -> str:
    """The path of a page of the project."""
    return "/".join([made["base"], "p", made["slug"], *parts])


async def secret(
    api: Api, made: dict[str, Any], key: str, value: str, environment: str = "dev", path: str = "/", **body: Any
) -> str:
    """A new secret; its id."""
    fields = {"projectId": made["id"], "environment": environment, "secretPath": path, "secretValue": value, **body}
    stored: dict[str, Any] = (await api.ok("POST", f"/api/v4/secrets/{key}", fields))["secret"]
    return str(stored["id"])


async def value_of(api: Api, made: dict[str, Any], key: str, environment: str = "dev", path: str = "/") -> str | None:
    """The stored value; None without such a secret."""
    query = {"projectId": made["id"], "environment": environment, "secretPath": path, "expandSecretReferences": "false"}
    reply = await api.get(f"/api/v4/secrets/{key}", query=query)
    return None if reply.status_code == 404 else str(reply.json()["secret"]["secretValue"])


async def member(api: Api, made: dict[str, Any], permissions: list[dict[str, Any]]) -> Browser:
    """The browser of a person whose only rights in the project are these."""
    role = {"name": "Narrow", "slug": "narrow", "permissions": permissions}
    await api.ok("POST", f"/api/v1/projects/{made['id']}/roles", role)
    invite = {"inviteeEmails": [MEMBER], "organizationId": api.org_id}
    link = (await api.ok("POST", "/api/v1/invite-org/signup", invite))["completeInviteLinks"][0]["link"]
    accepted = {"token": link.partition("=")[2], "password": PASSWORD}
    await api.ok("POST", "/api/v1/invite-org/accept", accepted, token=None)
    people = f"/api/v2/workspace/{made['id']}/memberships"
    await api.ok("POST", people, {"emails": [MEMBER], "roleSlugs": ["narrow"]})
    browser = Browser(api)
    await browser.sign_in(MEMBER, PASSWORD)
    return browser


async def proved(browser: Browser, seen: Seen, password: str = server.PASSWORD) -> Seen:
    """Enter the password that a page asks for, and go on with what was being done."""
    assert seen.status == 403 and "Is it you?" in seen.text
    again = await browser.submit(seen, "/prove", password=password)
    return await browser.post(again.forms[0].action, again.forms[0].pairs)
