"""A browser without a window for tests of pages: it keeps cookies, sends forms, follows redirects, and reads HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import httpx

from tests.api import EMAIL, PASSWORD, Api

HEADERS = {"accept": "text/html", "sec-fetch-site": "same-origin"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.forms: list[Form] = []
        self.ids: list[str] = []
        self._skips = 0
        self._select = ""
        self._area: tuple[str, list[str]] | None = None

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        if tag in ("script", "style", "template"):
            self._skips += 1
        elif tag == "a":
            self.links.append(given.get("href", ""))
        elif tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        elif self.forms and self._skips == 0 and "disabled" not in given:
            self._field(tag, given)

    def _field(self, tag: str, given: Mapping[str, str]) -> None:
        pairs, name = self.forms[-1].pairs, given.get("name", "")
        if tag == "input" and name:
            if given.get("type") in ("checkbox", "radio"):
                if "checked" in given:
                    pairs.append((name, given.get("value", "on")))
            else:
                pairs.append((name, given.get("value", "")))
        elif tag == "select":
            self._select = name
            pairs.append((name, ""))
        elif tag == "option" and self._select:
            if "selected" in given or not pairs[-1][1]:
                pairs[-1] = (self._select, given.get("value", ""))
        elif tag == "textarea":
            self._area = (name, [])

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "template"):
            self._skips -= 1
        elif tag == "select":
            self._select = ""
        elif tag == "textarea" and self._area is not None:
            self.forms[-1].pairs.append((self._area[0], "".join(self._area[1])))
            self._area = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self._area[1].append(data)
        if self._skips == 0 and data.strip():
            self.texts.append(" ".join(data.split()))


@dataclass
class Form:
    """A form of a page, filled as the page shows it."""

    action: str
    method: str
    pairs: list[tuple[str, str]] = field(default_factory=list)

    def filled(self, values: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Its fields with some of them replaced; a list stands for a field that comes several times."""
        kept = [(name, text) for name, text in self.pairs if name not in values]
        for name, value in values.items():
            kept += [(name, str(item)) for item in (value if isinstance(value, list) else [value])]
        return kept


class Seen:
    """A page as a person sees it."""

    def __init__(self, reply: httpx.Response) -> None:
        self.status = reply.status_code
        self.path = reply.url.path
        self.headers = reply.headers
        self.html = reply.text
        reader = _Reader()
        reader.feed(self.html)
        self.text = " ".join(reader.texts)
        self.links, self.forms, self.ids = reader.links, reader.forms, reader.ids

    def form(self, action: str) -> Form:
        """The one form that is sent to `action`."""
        found = [form for form in self.forms if form.action == action]
        assert len(found) == 1, f"{len(found)} forms are sent to {action}: {[form.action for form in self.forms]}"
        return found[0]


class Browser:
    """One browser of one person."""

    def __init__(self, api: Api, *, headers: Mapping[str, str] = HEADERS) -> None:
        self.api = api
        self.headers = dict(headers)
        self.client = httpx.AsyncClient(transport=api.client._transport, base_url=api.client.base_url)

    async def send(self, method: str, path: str, form: Any = None, *, follow: bool = True, **headers: str) -> Seen:
        body = urlencode(form if form is not None else {}, doseq=True) if method == "POST" else None
        sent = {**self.headers, **{name.replace("_", "-"): text for name, text in headers.items()}}
        if body is not None:
            sent["content-type"] = "application/x-www-form-urlencoded"
        reply = await self.client.request(method, path, content=body, headers=sent, follow_redirects=follow)
        return Seen(reply)

    async def get(self, path: str, **options: Any) -> Seen:
        return await self.send("GET", path, **options)

    async def post(self, path: str, form: Any = None, **options: Any) -> Seen:
        return await self.send("POST", path, form, **options)

    async def submit(self, seen: Seen, action: str, **values: Any) -> Seen:
        """Send a form of a page as it is filled, with some fields changed."""
        return await self.post(action, seen.form(action).filled(values))

    async def submit_passkey(self, seen: Seen, action: str, credential: str) -> Seen:
        """Send the form of a page that a passkey fills; another form of the page goes to the same place."""
        form = next(form for form in seen.forms if form.action == action and "credential" in dict(form.pairs))
        return await self.post(action, form.filled({"credential": credential}))

    async def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> Seen:
        return await self.post("/login", {"email": email, "password": password})


async def signed_in(api: Api) -> Browser:
    """The browser of the first administrator."""
    browser = Browser(api)
    await browser.sign_in()
    return browser
