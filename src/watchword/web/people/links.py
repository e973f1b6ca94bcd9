"""What the links in invitations and password resets open."""

from watchword.domain.errors import Refusal
from watchword.services.people import account, organization_people
from watchword.web import session
from watchword.web.forms import read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit, base_of

pages = Pages()


@pages.get("/accept-invitation", who="anybody")
async def invitation(visit: Visit) -> Answer:
    """The form with which an invited person joins."""
    return _invitation(visit, visit.query["token"], Faults())


def _invitation(visit: Visit, token: str, faults: Faults) -> Page:
    status = faults.refusal.status if faults.refusal else 200
    data = {"token": token, "form": visit.form, "faults": faults}
    return Page(template="people/accept.html", title="Join", data=data, status=status)


@pages.post("/accept-invitation", who="anybody")
async def accept(visit: Visit) -> Answer:
    """Join the organization, and be signed in."""
    form = visit.form
    values = {name: form[name] for name in ("token", "firstName", "lastName")} | {"password": form["password"] or None}
    try:
        joined = await organization_people.accept(visit.ctx, read(organization_people.Accept, values))
    except Refusal as refusal:
        return _invitation(visit, form["token"], Faults(refusal))
    if joined.signed_in is not None:
        visit.cookies += session.keep(visit.ctx, joined.signed_in)
    return Redirect(to=base_of(joined.organization), notice=f"You are a member of {joined.organization.name}")


@pages.get("/password-reset", who="anybody")
async def reset_form(visit: Visit) -> Answer:
    """The form for a new password."""
    return _reset(visit.query["token"], Faults())


def _reset(token: str, faults: Faults) -> Page:
    status = faults.refusal.status if faults.refusal else 200
    return Page(
        template="people/reset.html", title="New password", data={"token": token, "faults": faults}, status=status
    )


@pages.post("/password-reset", who="anybody")
async def reset(visit: Visit) -> Answer:
    """Set the new password."""
    form = visit.form
    try:
        await account.reset(visit.ctx, read(account.Reset, {"token": form["token"], "password": form["password"]}))
    except Refusal as refusal:
        return _reset(form["token"], Faults(refusal))
    return Redirect(to="/login", notice="The new password is set. Sign in with it")
