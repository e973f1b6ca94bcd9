"""What a page's handler takes and answers, and the table in which it is found.

    pages = Pages()

    @pages.get("/{organization}/identities")
    async def identities(visit: Visit) -> Page: ...

`{organization}` is a slug or an id; the visit is then one of a member, whose actor is of that organization. Other names
in the path are handed to the handler. A handler answers a `Page`, a `Redirect` after a change, or a `Download`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from watchword.domain.errors import Invalid, Refusal
from watchword.domain.people.records import Organization
from watchword.services.context import Ctx
from watchword.web.as_text import Text
from watchword.web.forms import Form

Who = Literal["anybody", "pending", "person"]
"""Who may see a page: everybody, a person who owes a second factor, or a person who is signed in."""

ORGANIZATION: Final = "organization"  # the name in a path that the console itself looks up
Tone = Literal["ok", "warn", "bad", "new"]


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page to render: the template below `templates/`, and what it shows."""

    template: str
    title: str
    data: Mapping[str, Any] = {}
    status: int = 200
    cookies: tuple[str, ...] = ()
    connects_to: str = ""  # one more origin that the page may send to
    holds_secrets: bool = False  # then it is not compressed


class Redirect(msgspec.Struct, frozen=True, kw_only=True):
    """The page to go on with after a change; `notice` is a sentence that is shown there once."""

    to: str
    notice: str = ""
    tone: Tone = "ok"
    cookies: tuple[str, ...] = ()


class Download(msgspec.Struct, frozen=True, kw_only=True):
    """A file to save."""

    body: bytes
    media_type: str
    name: str


Answer = Page | Redirect | Download
Handler = Callable[..., Awaitable[Answer]]
H = TypeVar("H", bound=Handler)
Describer = Callable[..., Awaitable[Text]]
D = TypeVar("D", bound=Describer)


class Visit(msgspec.Struct, kw_only=True):
    """One request to the console."""

    ctx: Ctx
    method: str
    path: str
    query: Form
    form: Form
    origin: str = ""  # where people and machines reach this server, such as https://watchword.example.com
    is_scripted: bool = False  # htmx asks, and exchanges the body of the page it is on
    cookies: list[str] = []  # to be set with the answer
    found: Organization | None = None
    joined: Sequence[Organization] | None = None  # the person's organizations, where they have been read

    @property
    def organization(self) -> Organization:
        """The organization of the page."""
        assert self.found is not None
        return self.found

    @property
    def base(self) -> str:
        """The path of the organization, which all its pages begin with."""
        return base_of(self.organization)

    def link(self, *parts: str, **query: Any) -> str:
        """The path of a page of the organization."""
        return link(self.base, *parts, **query)

    def again(self, **changes: Any) -> str:
        """The page that is seen, with some of its query changed; None takes a name away."""
        pairs = [(name, text) for name, text in self.query.pairs if name not in changes]
        for name, value in changes.items():
            values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
            pairs += [(name, str(item)) for item in values]
        return self.path + (f"?{urlencode(pairs)}" if pairs else "")


RESERVED: Final = frozenset(
    {
        ".well-known",
        "accept-invitation",
        "admin",
        "api",
        "assets",
        "healthz",
        "login",
        "me",
        "metrics",
        "oauth2",
        "org",
        "organizations",
        "password-reset",
        "personal-settings",
        "project",
        "projects",
        "prove",
        "readyz",
        "secret-manager",
        "setup",
        "sign-out",
        "theme",
    }
)
"""First segments of paths that are no organization's slug."""


def base_of(organization: Organization) -> str:
    """The path that all pages of an organization begin with.

    A sub-organization is named by its id: its slug is unique in its parent only.
    """
    is_named = organization.parent_org_id is None and organization.slug not in RESERVED
    return f"/{organization.slug if is_named else organization.id}"


def link(base: str, *parts: str, **query: Any) -> str:
    """A path below `base`. Names of the query that are empty or None are left out."""
    path = "/".join([base.rstrip("/"), *(quote(part, safe="") for part in parts)]) or "/"
    kept = [(name, value) for name, value in query.items() if value not in (None, "")]
    return path + (f"?{urlencode(kept, doseq=True)}" if kept else "")


def own_path(text: str) -> str:
    """A path of this server to go on with; empty for anything else, so that no link leads a person elsewhere.

    Browsers take a backslash for a slash, leave out tabs and line ends, and read what follows `//` as a host.
    """
    is_own = text.startswith("/") and not text.startswith("//") and "\\" not in text
    return text if is_own and text.isprintable() else ""


class PageRoute(msgspec.Struct, frozen=True, kw_only=True):
    """One page, or one act of a page."""

    method: Literal["GET", "POST"]
    path: str
    who: Who
    handler: Handler
    most: int  # bytes of a form
    text: Describer | None = None  # says what an act is as text


MOST_FORM: Final = 64 * 1024  # bytes
MOST_KEPT: Final = 4 * 1024 * 1024  # bytes of what was typed into a form before a sign-in, and is sent along with it
MOST_PASTED: Final = 256 * 1024  # bytes of a form into which a file is pasted


class Pages:
    """The pages of one area, in the order they are written."""

    def __init__(self) -> None:
        self.all: list[PageRoute] = []

    def get(self, path: str, *, who: Who = "person") -> Callable[[H], H]:
        """A page."""
        return self._keep("GET", path, who, MOST_FORM)

    def post(self, path: str, *, who: Who = "person", most: int = MOST_FORM) -> Callable[[H], H]:
        """An act: what a form is sent to."""
        return self._keep("POST", path, who, most)

    def _keep(self, method: Literal["GET", "POST"], path: str, who: Who, most: int) -> Callable[[H], H]:
        def keep(handler: H) -> H:
            self.all.append(PageRoute(method=method, path=path, who=who, handler=handler, most=most))
            return handler

        return keep


class Texts:
    """What acts are as text, by their paths: asked instead of an act whose form was sent with `as_text`."""

    def __init__(self) -> None:
        self.all: dict[str, Describer] = {}

    def of(self, path: str) -> Callable[[D], D]:
        """The act of a path."""

        def keep(describer: D) -> D:
            self.all[path] = describer
            return describer

        return keep


class Faults:
    """What is wrong with a form, by field, and the sentence that stands above it.

    A template asks `faults["name"]` for the fault of a field; what belongs to no field of the form is in `rest`.
    """

    def __init__(self, refusal: Refusal | None = None, *, names: Mapping[str, str] | None = None) -> None:
        self.refusal = refusal
        self._by_field: dict[str, str] = {}
        self._shown: set[str] = set()
        if isinstance(refusal, Invalid):
            for issue in refusal.issues:
                field = ".".join(str(part) for part in issue.path)
                self._by_field.setdefault((names or {}).get(field, field), issue.message)

    def __bool__(self) -> bool:
        return self.refusal is not None

    def __getitem__(self, field: str) -> str:
        self._shown.add(field)
        found = self._by_field.get(field)
        if found is not None:
            return found
        below = [name for name in self._by_field if name.startswith(f"{field}.")]
        self._shown.update(below)
        return "; ".join(f"{name.removeprefix(field + '.')}: {self._by_field[name]}" for name in below)

    @property
    def sentences(self) -> Sequence[str]:
        """What is wrong, field by field: for the words above a form whose fields are far below."""
        return tuple(dict.fromkeys(self._by_field.values()))

    @property
    def rest(self) -> Sequence[str]:
        """What was not shown beside a field: rendered last, it leaves nothing unsaid."""
        if self.refusal is None:
            return ()
        if not isinstance(self.refusal, Invalid):
            return (self.refusal.message,)
        return tuple(
            f"{name}: {text}" if name else text for name, text in self._by_field.items() if name not in self._shown
        )
