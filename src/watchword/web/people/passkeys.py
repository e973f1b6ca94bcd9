"""The person's own passkeys: add, rename, remove."""

from watchword.domain.errors import Invalid, Refusal
from watchword.services.people import passkeys
from watchword.web import console
from watchword.web.forms import read
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.people.me import shown

pages = Pages()


@pages.post("/me/passkeys")
async def add(visit: Visit) -> Answer:
    """Ask for the password, then show how a passkey is made; and store the one that the browser has made."""
    ctx, form = visit.ctx, visit.form
    if "credential" not in form:
        console.require_proof(visit)
        return await _asked(visit, Faults())
    try:
        body = read(passkeys.AddPasskey, {"name": form["name"], "credential": form["credential"]})
        added = await passkeys.add(ctx, visit.origin, body)
    except Refusal as refusal:
        console.require_proof(visit)
        return await _asked(visit, Faults(refusal))
    if not added.recovery_codes:
        return Redirect(to="/me", notice=f"The passkey {added.passkey.name} is added")
    data = {"codes": added.recovery_codes, "name": added.passkey.name}
    return Page(template="people/passkey_added.html", title="Recovery codes", data=data, holds_secrets=True)


async def _asked(visit: Visit, faults: Faults) -> Page:
    asked = await passkeys.creation(visit.ctx, visit.origin)
    data = {"asked": asked, "name": visit.form["name"], "faults": faults}
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="people/passkey_new.html", title="New passkey", data=data, status=status, holds_secrets=True)


@pages.post("/me/passkeys/{passkey_id}")
async def change(visit: Visit, passkey_id: str) -> Answer:
    """Rename or remove a passkey."""
    ctx, form = visit.ctx, visit.form
    if form["act"] == "remove":
        console.require_proof(visit)
        gone = await passkeys.remove(ctx, passkey_id)
        return Redirect(to="/me", notice=f"The passkey {gone.name} is removed, and your other sessions have ended")
    try:
        await passkeys.rename(ctx, passkey_id, read(passkeys.RenamePasskey, {"name": form["name"]}))
    except Invalid as refusal:
        return await shown(visit, opened=passkey_id, faults={"passkey": Faults(refusal)})
    return Redirect(to="/me", notice="The passkey has another name")
