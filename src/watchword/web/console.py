"""Answers one request to the console: who asks, from which site, for which organization; and every refusal as a page.

An act is carried out only for a request that comes from the console's own pages. The browser says where a request comes
from (`Sec-Fetch-Site`, and `Origin` for older ones), so no token has to be in the forms.
"""

import logging
import zlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

import msgspec

from watchword.domain.access.boundary import Unfinished
from watchword.domain.errors import BadRequest, Forbidden, Invalid, NotFound, Refusal, Unauthorized
from watchword.domain.people.records import Organization
from watchword.services.access.scopes import enter_org
from watchword.services.authentication import suggestions
from watchword.services.authentication.bearer import VerifiedTokens
from watchword.services.authentication.sealed_config import secret_fields
from watchword.services.context import Ctx
from watchword.services.people import organizations, passkeys
from watchword.store.engine import Collision, ConstraintRefused
from watchword.web import as_text, assets, frame, rendering, session
from watchword.web.forms import Form
from watchword.web.pages import (
    ORGANIZATION,
    Answer,
    Download,
    Faults,
    Page,
    PageRoute,
    Redirect,
    Visit,
    base_of,
    link,
    own_path,
)

_HTML: Final = "text/html; charset=utf-8"
_log = logging.getLogger("watchword.web")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A request as it came."""

    method: str
    path: str
    query: bytes
    headers: Mapping[bytes, bytes]  # names in lower case
    body: bytes

    def header(self, name: bytes) -> str:
        """The value of a header; empty without one."""
        return self.headers.get(name, b"").decode("latin-1")


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """An answer as it goes out."""

    status: int
    body: bytes
    headers: Mapping[str, str]
    cookies: tuple[str, ...] = ()


class ProofWanted(Forbidden):
    """The act needs the password to be entered again: nothing was done yet."""

    default = "Enter your password to go on"


class Console:
    """The console of one process."""

    def __init__(self, seen: VerifiedTokens) -> None:
        self._seen = seen

    async def answer(self, route: PageRoute, ctx: Ctx, request: Request, params: Mapping[str, str]) -> Answered:
        """Carry out one page or act: every refusal is a page too."""
        visit = Visit(
            ctx=ctx,
            method=request.method,
            path=request.path,
            query=Form(),
            form=Form(),
            origin=_origin(ctx, request),
            is_scripted=b"hx-request" in request.headers,
            cookies=[],
        )
        try:
            visit.query = Form.of(request.query)
            if request.method == "POST":
                _require_own_site(ctx, request)
                visit.form = Form.of(request.body)
            answer = await self._carried_out(route, visit, dict(params))
            answered = await self._written(visit, answer)
        except Unfinished:
            raise  # the edge finishes the comparison, and carries the request out again
        except (Collision, ConstraintRefused) as error:
            if ctx.may_begin_again:  # the edge does: then this request sees what the one that was first did
                raise
            refusal = error.refusal if isinstance(error, ConstraintRefused) else error
            answer = await self._refused(route, visit, refusal)
            answered = await self._written(visit, answer)
        except Refusal as refusal:
            answer = await self._refused(route, visit, refusal)
            answered = await self._written(visit, answer)
        except Exception as error:  # noqa: BLE001 - the last place where an error can become a page
            _log.error("unexpected error", exc_info=error, extra={"request_id": ctx.request_id, "path": request.path})
            answer = _failure(visit, "Something went wrong. It is our fault, and it is in the server's log.", 500)
            answered = await self._written(visit, answer)
        is_open = isinstance(answer, Page) and not answer.holds_secrets
        return _zipped(answered) if is_open and "gzip" in request.header(b"accept-encoding") else answered

    async def _carried_out(self, route: PageRoute, visit: Visit, params: dict[str, str]) -> Answer:
        ctx = visit.ctx
        ctx.actor = await session.actor(ctx, self._seen)
        if route.who != "anybody":
            if ctx.actor.kind == "nobody":
                raise Unauthorized("Sign in to go on")
            if ctx.actor.kind == "pending" and route.who != "pending":
                return Redirect(to=link("/login/second-factor", next=_here(visit)))
        named = params.pop(ORGANIZATION, None)
        if named is not None:
            visit.found = await _organization(visit, named)
            ctx.actor = msgspec.structs.replace(ctx.actor, org_id=visit.found.id)
            await enter_org(ctx, visit.found.id)
            visit.path = _under(visit, named)
        if route.method == "POST" and "as_text" in visit.form:
            return await _as_text(route, visit, params)
        return await route.handler(visit, **params)

    async def _refused(self, route: PageRoute, visit: Visit, refusal: Refusal) -> Answer:
        if isinstance(refusal, Unauthorized) and route.who != "anybody" and visit.ctx.actor.kind == "nobody":
            if visit.method == "GET":
                return Redirect(to=link("/login", next=_here(visit)))
            asked, cookies = await session.passkey_asked(visit.ctx, visit.origin)
            data: dict[str, Any] = {
                "email": "",
                "next": "",
                "port": "",
                "faults": None,
                "passkey_fault": "",
                "passkey": asked,
            }
            return Page(
                template="people/login.html",
                title="Sign in",
                status=401,
                data={**data, "again": kept(visit)},
                cookies=cookies,
                holds_secrets=True,
            )
        if isinstance(refusal, ProofWanted):
            return await asked_again(visit, kept(visit), None)
        return _failure(visit, refusal.message, refusal.status, refusal)

    async def _written(self, visit: Visit, answer: Answer) -> Answered:
        ctx = visit.ctx
        cookies = (*visit.cookies, *getattr(answer, "cookies", ()))
        if isinstance(answer, Redirect):
            if answer.notice:
                cookies = (*cookies, session.notice_cookie(ctx, answer.notice, answer.tone))
            return Answered(status=303, body=b"", headers=_headers({"location": _location(answer.to)}), cookies=cookies)
        if isinstance(answer, Download):
            named = f'attachment; filename="{answer.name}"'
            headers = _headers({"content-type": answer.media_type, "content-disposition": named})
            return Answered(status=200, body=answer.body, headers=headers, cookies=cookies)
        notice, forget = session.take_notice(ctx)
        around = await frame.around(visit)
        body = rendering.render(
            answer.template, {**around, **answer.data, "title": answer.title, "notice": notice, "visit": visit}
        )
        headers = _headers({"content-type": _HTML}, connects_to=answer.connects_to)
        return Answered(status=answer.status, body=body, headers=headers, cookies=(*cookies, *forget))


async def _as_text(route: PageRoute, visit: Visit, params: dict[str, str]) -> Page:
    """What the act of a form is as text; the act itself is not done."""
    if route.text is None:
        raise NotFound("This act has no text")
    text, refusal = None, None
    try:
        pairs = [pair for pair in visit.form.pairs if pair[0] != "as_text"]
        visit.form = Form([*pairs, *parse_qsl(visit.form["as_text"])])  # with what the act's own button would send
        text = await route.text(visit, **params)
    except (BadRequest, Invalid, NotFound, Forbidden) as wrong:
        refusal = wrong
    data = {
        "title": text.title if text else "",
        "forms": as_text.forms_of(text, visit.origin) if text else (),
        "faults": Faults(refusal),
        "id": visit.ctx.request_id,
    }
    template = "as_text_part.html" if visit.is_scripted else "as_text.html"
    return Page(template=template, title="As text", data={"text": data, "faults": data["faults"]})


def require_proof(visit: Visit) -> None:
    """Raise ProofWanted unless the person has entered the password within the last ten minutes."""
    if not session.is_proved(visit.ctx):
        raise ProofWanted


async def asked_again(visit: Visit, again: Mapping[str, Any], refusal: Refusal | None) -> Page:
    """The page that asks for the password again, or for a passkey, before `again` is carried out."""
    fault, is_passkey = refusal.message if refusal else "", "credential" in visit.form and refusal is not None
    data = {
        "again": again,
        "fault": "" if is_passkey else fault,
        "passkey": await passkeys.again(visit.ctx, visit.origin),
        "passkey_fault": fault if is_passkey else "",
    }
    status = refusal.status if refusal else 403
    return Page(template="people/prove.html", title="Confirm", status=status, data=data, holds_secrets=True)


def kept(visit: Visit) -> dict[str, Any]:
    """What was sent, to be sent again after signing in or entering the password: what was typed is not lost.

    Passwords are left out, and what proves a workload: no page holds it that did not show it.
    """
    secrets = {name for method in visit.ctx.runtime.methods.values() for name in secret_fields(method)}
    pairs = tuple((name, text) for name, text in visit.form.pairs if not _is_proof(name, secrets))
    return {"to": visit.again(), "pairs": pairs}


def _is_proof(name: str, secrets: Collection[str]) -> bool:
    """Whether a field of a form holds a password, a pasted token, or a secret of a method (`secrets`).

    The cell of a stored secret, such as `v.1.dev/DB_PASSWORD`, is none of these, whatever the secret's name is.
    """
    return "/" not in name and (
        name.lower().endswith("password")
        or name in ("proof", suggestions.FIELD)
        or name.startswith("login.")
        or name.rpartition(".")[2] in secrets
    )


def _zipped(answered: Answered) -> Answered:
    """A page, compressed: never one with secrets, whose length would tell of them (docs/decisions/0132)."""
    headers = {**answered.headers, "content-encoding": "gzip", "vary": "Accept-Encoding"}
    return msgspec.structs.replace(answered, body=zlib.compress(answered.body, 5, wbits=31), headers=headers)


def asset(name: str, *, takes_gzip: bool) -> Answered:
    """A file of `assets.py` by its name with the hash."""
    found = assets.find(name)
    if found is None:
        return Answered(status=404, body=b"There is no such file", headers=_headers({"content-type": "text/plain"}))
    headers = {
        "content-type": found.media_type,
        "cache-control": "public, max-age=31536000, immutable",
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "same-origin",
        "vary": "Accept-Encoding",
    }
    if takes_gzip:
        return Answered(status=200, body=found.zipped, headers=headers | {"content-encoding": "gzip"})
    return Answered(status=200, body=found.body, headers=headers)


def _require_own_site(ctx: Ctx, request: Request) -> None:
    """Raise Forbidden for an act that another site's page asks for.

    Over TLS a page that came without it is another site's: whoever is on the way can write such pages.
    """
    site = request.header(b"sec-fetch-site")
    if site:
        is_own = site in ("same-origin", "none")
    else:
        origin = urlsplit(request.header(b"origin"))
        is_own = bool(origin.netloc) and origin.netloc == request.header(b"host")
        is_own = is_own and (origin.scheme == "https" or not ctx.is_secure)
    if not is_own:
        raise Forbidden("This was asked for by a page of another site, so nothing was done")


def _origin(ctx: Ctx, request: Request) -> str:
    scheme = "https" if ctx.is_secure else "http"
    return ctx.runtime.settings.site_url.rstrip("/") or f"{scheme}://{request.header(b'host')}"


async def _organization(visit: Visit, named: str) -> Organization:
    """The organization of a path, which the person is a member of. Raises NotFound.

    An id comes before a slug, which somebody else may have chosen to look like it.
    """
    if visit.ctx.actor.kind != "user":
        raise Unauthorized("Sign in to go on")
    visit.joined = await organizations.mine(visit.ctx)
    for organization in visit.joined:
        if named == organization.id:
            return organization
    for organization in visit.joined:
        if named == organization.slug and organization.parent_org_id is None:
            return organization
    raise NotFound(f"There is no organization {named[:64]!r}, or you are not a member of it")


def _under(visit: Visit, named: str) -> str:
    """The path as all links name the organization."""
    return base_of(visit.organization) + visit.path[len(named) + 1 :]


def _location(to: str) -> str:
    """The address of a redirect: never another site's, whatever a path was made from, and ASCII as a header must be."""
    return quote(own_path(to) or "/", safe="!#$%&'()*+,/:;=?@[]~")


def _here(visit: Visit) -> str:
    return visit.again() if visit.path != "/" or visit.query else ""


def _failure(visit: Visit, message: str, status: int, refusal: Refusal | None = None) -> Page:
    details: Sequence[Any] = ()
    if refusal is not None and isinstance(refusal.details, list):
        details = refusal.details
    return Page(
        template="error.html",
        title=_TITLES.get(status, "That did not work"),
        status=status,
        data={
            "message": message,
            "status": status,
            "missing": [item for item in details if isinstance(item, dict) and {"action", "subject"} <= item.keys()],
            "was_act": visit.method == "POST",
            "request_id": visit.ctx.request_id,
        },
    )


_TITLES: Final = {
    403: "You may not do this",
    404: "There is no such page",
    429: "Too often",
    500: "Something went wrong here",
    503: "The server cannot do this now",
}


def _headers(more: Mapping[str, str], *, connects_to: str = "") -> dict[str, str]:
    policy = (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; form-action 'self'"
        f"{connects_to and ' ' + connects_to}; connect-src 'self'{connects_to and ' ' + connects_to}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )
    return {
        "cache-control": "no-store",
        "content-security-policy": policy,
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "cross-origin-resource-policy": "same-origin",
        "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        **more,
    }
