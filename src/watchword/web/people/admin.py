"""The instance: how it stands, what it could not deliver, its people, keys, settings in force and version.

For administrators of the instance.
"""

from typing import Any, Final

from watchword import __version__
from watchword.domain.errors import BadRequest, NotFound, Refusal
from watchword.domain.secret import Secret
from watchword.services import instance
from watchword.services.people import instance_people
from watchword.services.people.instance_people import require_instance_admin
from watchword.settings import OPTIONS
from watchword.web import console
from watchword.web.forms import read
from watchword.web.pages import Answer, Page, Pages, Redirect, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import plural

pages = Pages()
_SIZE: Final = 50
_KINDS: Final = {
    "client_secrets": "client secrets",
    "service_tokens": "service tokens",
    "invitations": "invitations",
    "one_time_tokens": "reset links",
    "recovery_codes": "recovery codes",
}


@pages.get("/admin")
async def admin(visit: Visit) -> Answer:
    """The instance."""
    require_instance_admin(visit.ctx)
    return await _shown(visit, None)


async def _shown(visit: Visit, link: Any) -> Page:
    ctx, asked = visit.ctx, visit.query
    offset = asked.offset
    search = instance_people.PeopleSearch(search_term=asked["q"].strip(), offset=offset, limit=_SIZE)
    found = await instance_people.find(ctx, search)
    troubles = await or_none(instance.troubles(ctx, after=asked["after"], most=_SIZE + 1)) or ()
    settings = ctx.runtime.settings
    data = {
        "found": found,
        "offset": offset,
        "size": _SIZE,
        "q": asked["q"],
        "health": await or_none(instance.health(ctx)),
        "most_counted": instance.MOST_COUNTED,
        "troubles": troubles[:_SIZE],
        "next_trouble": troubles[_SIZE - 1].target.id if len(troubles) > _SIZE else "",
        "keys": await or_none(instance.keys_state(ctx)),
        "kinds": _KINDS,
        "version": __version__,
        "engine": ctx.runtime.store.name,
        "settings": [
            (option.variable, _said(getattr(settings, option.name, None)), option.help)
            for option in OPTIONS
            if hasattr(settings, option.name)
        ],
        "me": ctx.actor.id,
        "link": link,
    }
    return Page(template="people/admin.html", title="Instance", data=data, holds_secrets=link is not None)


def _said(value: Any) -> str:
    """A setting's value as text; of a secret only whether there is one."""
    if isinstance(value, Secret):
        return "set, and not shown"
    if value is None or value in ("", ()):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@pages.post("/admin/deliveries/{target_id}")
async def deliver(visit: Visit, target_id: str) -> Answer:
    """Send the given-up messages of a receiver again, or drop them."""
    try:
        if visit.form["act"] == "drop":
            require_instance_admin(visit.ctx)
            console.require_proof(visit)
            count = await instance.drop(visit.ctx, target_id)
            return Redirect(to="/admin", notice=f"{plural(count, 'message')} dropped")
        count = await instance.try_again(visit.ctx, target_id)
    except console.ProofWanted:
        raise
    except (BadRequest, NotFound) as refusal:
        return Redirect(to="/admin", notice=refusal.message, tone="bad")
    said = f"{plural(count, 'given-up message')} will be sent again" if count else "What waits is sent now"
    return Redirect(to="/admin", notice=said)


@pages.post("/admin/people/{user_id}")
async def change(visit: Visit, user_id: str) -> Answer:
    """Change the account of a person: switch it off or on, make a reset link, remove the second factor, delete it."""
    ctx, act = visit.ctx, visit.form["act"]
    require_instance_admin(ctx)
    if act == "reset":
        return await _shown(visit, await instance_people.reset_link(ctx, user_id))
    try:
        if act == "mfa":
            console.require_proof(visit)
            user = await instance_people.remove_second_factor(ctx, user_id)
            said = f"{user.email} has no second factor any more, and all sessions have ended"
        elif act == "delete":
            console.require_proof(visit)
            user = await instance_people.remove(ctx, user_id)
            said = f"The account of {user.email} is deleted"
        else:
            body = read(instance_people.ChangeAccount, {"isActive": act == "activate"})
            user = await instance_people.change(ctx, user_id, body)
            said = f"The account of {user.email} is {'active again' if body.is_active else 'switched off'}"
    except console.ProofWanted:
        raise
    except Refusal as refusal:
        return Redirect(to="/admin", notice=refusal.message, tone="bad")
    return Redirect(to="/admin", notice=said)
