"""The person's own account: name, password, second factor, passkeys, sessions."""

from typing import Any

from watchword.domain.errors import Refusal
from watchword.services.people import account, mfa, passkeys
from watchword.web.forms import read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.people.drawn_code import draw
from watchword.web.rendering import plural

pages = Pages()


@pages.get("/me")
async def me(visit: Visit) -> Answer:
    """The person's own account."""
    return await shown(visit)


async def shown(visit: Visit, **more: Any) -> Page:
    """The account, with what else is to be shown of it: faults by form, and what is shown once."""
    ctx = visit.ctx
    faults = {name: Faults() for name in ("name", "password", "mfa", "passkey")} | more.pop("faults", {})
    refused = next((each.refusal for each in faults.values() if each.refusal), None)
    data = {
        "user": await account.myself(ctx),
        "sessions": await account.sessions(ctx),
        "this": ctx.actor.session_id,
        "mfa": await mfa.state(ctx),
        "passkeys": await passkeys.mine(ctx),
        "opened": visit.query["passkey"],
        "has_passkeys": passkeys.party(ctx, visit.origin) is not None,
        "all_faults": faults,
        "enrolment": None,
        "drawn": None,
        "codes": (),
        **more,
    }
    return Page(
        template="people/me.html",
        title="Your account",
        data=data,
        status=refused.status if refused else 200,
        holds_secrets=bool(data["enrolment"] or data["codes"]),
    )


@pages.post("/me/name")
async def rename(visit: Visit) -> Answer:
    """Change the name."""
    values = {name: visit.form[name] for name in ("firstName", "lastName")}
    try:
        await account.rename(visit.ctx, read(account.Profile, values))
    except Refusal as refusal:
        return await shown(visit, faults={"name": Faults(refusal)})
    return Redirect(to="/me", notice="Your name is changed")


@pages.post("/me/password")
async def change_password(visit: Visit) -> Answer:
    """Set a new password with the old one."""
    values = {name: visit.form[name] for name in ("oldPassword", "newPassword")}
    try:
        await account.change_password(visit.ctx, read(account.ChangePassword, values))
    except Refusal as refusal:
        return await shown(visit, faults={"password": Faults(refusal)})
    return Redirect(to="/me", notice="The new password is set, and your other sessions have ended")


@pages.post("/me/sessions")
async def end_sessions(visit: Visit) -> Answer:
    """End one session, or all others."""
    session_id = visit.form.text("session")
    if session_id is None:
        count = await account.end_all(visit.ctx, but_this=True)
        return Redirect(to="/me", notice=f"{plural(count, 'other session')} ended")
    await account.end(visit.ctx, session_id)
    return Redirect(to="/me", notice="The session has ended, everywhere it was used")


@pages.post("/me/second-factor")
async def second_factor(visit: Visit) -> Answer:
    """Begin, confirm or remove the second factor, or make new recovery codes."""
    ctx, form = visit.ctx, visit.form
    password = {"password": form["password"]}
    try:
        if form["act"] == "begin":
            enrolment = await mfa.register(ctx, read(mfa.PasswordAgain, password))
            return await shown(visit, enrolment=enrolment, drawn=draw(enrolment.url.reveal()))
        if form["act"] == "confirm":
            await mfa.confirm(ctx, read(mfa.Code, {"totp": form["totp"].replace(" ", "")}))
            return Redirect(to="/me", notice="The second factor is on, and your other sessions have ended")
        if form["act"] == "codes":
            codes = await mfa.renew_recovery_codes(ctx, read(mfa.PasswordAgain, password))
            return await shown(visit, codes=codes)
        await mfa.remove(ctx, read(mfa.Removal, password))
    except Refusal as refusal:
        return await shown(visit, faults={"mfa": Faults(refusal)})
    if await passkeys.mine(ctx):
        return Redirect(to="/me", notice="The authenticator is off: your passkeys are the second factor")
    return Redirect(to="/me", notice="The second factor is off", tone="warn")
