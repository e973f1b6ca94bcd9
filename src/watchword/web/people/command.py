"""Sign in for a command on this machine: it listens on a port of 127.0.0.1 for what it may act with."""

import base64
import json
from typing import Any, Final

from watchword.domain.errors import Invalid, NotFound
from watchword.services.people import organizations, sign_in
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit

pages = Pages()
_LEAST_PORT: Final = 1024


def port_of(text: str) -> int:
    """The port that a command listens on. Raises Invalid for what is none that a command may use."""
    port = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not _LEAST_PORT <= port <= 65535:
        raise Invalid.of("callback_port", f"A port from {_LEAST_PORT} to 65535")
    return port


@pages.get("/login/command")
async def ask(visit: Visit) -> Answer:
    """Ask whether a command may act as the person."""
    if not visit.query["callback_port"]:
        return Redirect(to="/")
    return await _asked(visit, port_of(visit.query["callback_port"]))


async def _asked(visit: Visit, port: int) -> Page:
    found = visit.joined = await organizations.mine(visit.ctx)
    data: dict[str, Any] = {
        "port": port,
        "choices": [(each.id, each.name) for each in found],
        "chosen": visit.ctx.actor.org_id or (found[0].id if found else ""),
        "until": visit.ctx.now + visit.ctx.runtime.settings.session_ttl * 1000,
    }
    return Page(template="people/command.html", title="Authorize a command", data=data)


@pages.post("/login/command")
async def authorize(visit: Visit) -> Answer:
    """Open a session for the command, and hand it over: by the page itself, or to be pasted."""
    ctx, port = visit.ctx, port_of(visit.form["callback_port"])
    chosen = visit.form["organization"]
    found = next((each for each in await organizations.mine(ctx) if each.id == chosen), None)
    if found is None:
        raise NotFound("Choose one of your organizations")
    opened = await sign_in.open_for_command(ctx, found.id)
    handed = {
        "email": ctx.actor.email,
        "privateKey": "",
        "JTWToken": opened.token,
        "RefreshToken": sign_in.refresh_value(ctx, opened.session.id),
    }
    there = f"http://127.0.0.1:{port}"
    data = {
        "there": f"{there}/",
        "pasted": base64.b64encode(json.dumps(handed).encode()).decode(),
        "name": found.name,
        "port": port,
    }
    return Page(
        template="people/command_done.html",
        title="The command is signed in",
        data=data,
        connects_to=there,
        holds_secrets=True,
    )
