"""Set up a new instance, sign in with a second factor, choose an organization, sign out."""

from watchword.domain.errors import BadRequest, Forbidden, Invalid, NotFound, Refusal, Unauthorized
from watchword.services.people import mfa, organizations, passkeys, setup, sign_in
from watchword.web import console, session
from watchword.web.forms import Form, read
from watchword.web.pages import (
    MOST_KEPT,
    Answer,
    Faults,
    Page,
    Pages,
    Redirect,
    Visit,
    base_of,
    link,
    own_path,
)

pages = Pages()
_FIELDS = {"email": "email", "password": "password", "organization": "organization", "setupCode": "setupCode"}


@pages.get("/", who="anybody")
async def start(visit: Visit) -> Answer:
    """Lead to where the person works: the setup of a new instance, the sign-in, or the organization."""
    ctx = visit.ctx
    if not await setup.is_bootstrapped(ctx):
        return Redirect(to="/setup")
    if ctx.actor.kind == "pending":
        return Redirect(to="/login/second-factor")
    if ctx.actor.kind != "user":
        return Redirect(to="/login")
    found = await organizations.mine(ctx)
    if len(found) == 1:
        return Redirect(to=base_of(found[0]))
    last = next((item for item in found if item.id == ctx.actor.org_id), None)
    return Redirect(to=base_of(last)) if last else Redirect(to="/organizations")


async def missing(visit: Visit) -> Answer:
    """Say that there is no page at this path. Raises NotFound."""
    raise NotFound(f"There is nothing at {visit.path[:200]}: the address has a mistake, or what stood here was deleted")


@pages.get("/organizations")
async def choose(visit: Visit) -> Answer:
    """The organizations of the person, and a new one."""
    return await _organizations(visit, Faults())


async def _organizations(visit: Visit, faults: Faults) -> Page:
    visit.joined = await organizations.mine(visit.ctx)
    data = {"bases": [(item, base_of(item)) for item in visit.joined], "name": visit.form["name"], "faults": faults}
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="people/organizations.html", title="Organizations", data=data, status=status)


@pages.post("/organizations")
async def create_organization(visit: Visit) -> Answer:
    """Make an organization with the person as its administrator."""
    try:
        body = read(organizations.CreateOrganization, {"name": visit.form["name"]})
        made = await organizations.create(visit.ctx, body)
    except Invalid as refusal:
        return await _organizations(visit, Faults(refusal))
    return Redirect(to=base_of(made), notice=f"{made.name} is there, and you are its administrator")


@pages.get("/setup", who="anybody")
async def setup_form(visit: Visit) -> Answer:
    """The form for the first administrator and organization."""
    if await setup.is_bootstrapped(visit.ctx):
        return Redirect(to="/login")
    return _setup(visit, Faults(), visit.query)


def _setup(visit: Visit, faults: Faults, form: Form, status: int = 200) -> Page:
    asks = setup.setup_code(visit.ctx.runtime) is not None
    data = {"faults": faults, "form": form, "asks_code": asks}
    return Page(template="people/setup.html", title="Set up Watchword", data=data, status=status)


@pages.post("/setup", who="anybody")
async def set_up(visit: Visit) -> Answer:
    """Make the first administrator and organization, and sign in."""
    form = visit.form
    sent = {name: form[name] for name in ("email", "password", "organization")} | {"setupCode": form.text("setupCode")}
    try:
        await setup.bootstrap(visit.ctx, read(setup.Claim, sent), "")
    except Refusal as refusal:
        faults = Faults(refusal)
        if isinstance(refusal, setup.WrongSetupCode):
            faults = Faults(Forbidden("The setup code is not right: `watchword serve` prints it when it starts"))
        return _setup(visit, faults, form, refusal.status)
    visit.ctx.begin_now()
    signed_in = await sign_in.login(
        visit.ctx, read(sign_in.SignIn, {"email": form["email"], "password": form["password"]})
    )
    visit.cookies += session.keep(visit.ctx, signed_in)
    return Redirect(to="/", notice="Everything is set up. You are the administrator of this instance")


@pages.get("/login", who="anybody")
async def login_form(visit: Visit) -> Answer:
    """The sign-in; with `callback_port`, for a command that waits on this machine."""
    if not await setup.is_bootstrapped(visit.ctx):
        return Redirect(to="/setup")
    port = visit.query["callback_port"]
    if visit.ctx.actor.kind == "user":
        return Redirect(to=link("/login/command", callback_port=port) if port else own_path(visit.query["next"]) or "/")
    return await _login(visit, visit.query, None)


async def _login(
    visit: Visit, form: Form, refusal: Refusal | None, again: object = None, *, with_passkey: bool = False
) -> Page:
    asked, cookies = await session.passkey_asked(visit.ctx, visit.origin)
    data = {
        "next": own_path(form["next"]),
        "port": form["callback_port"],
        "email": visit.form["email"],
        "faults": None if with_passkey else refusal,
        "passkey": asked,
        "passkey_fault": refusal.message if refusal and with_passkey else "",
        "again": again,
    }
    status = refusal.status if refusal else 200
    return Page(
        template="people/login.html",
        title="Sign in",
        data=data,
        status=status,
        cookies=cookies,
        holds_secrets=bool(again),
    )


@pages.post("/login", who="anybody", most=MOST_KEPT)
async def log_in(visit: Visit) -> Answer:
    """Sign a person in, and go on to the second factor or to where the person wanted to go."""
    form = visit.form
    again = _again(form)
    try:
        body = read(sign_in.SignIn, {"email": form["email"], "password": form["password"]})
        signed_in = await sign_in.login(visit.ctx, body)
    except Refusal as refusal:
        return await _login(visit, form, refusal, again)
    return _went_in(visit, signed_in)


@pages.post("/login/passkey", who="anybody", most=MOST_KEPT)
async def log_in_with_passkey(visit: Visit) -> Answer:
    """Sign a person in with a passkey alone."""
    ctx, form = visit.ctx, visit.form
    try:
        body = read(passkeys.UsePasskey, {"credential": form["credential"]})
        signed_in = await passkeys.login(ctx, visit.origin, session.browser(ctx), body)
    except Refusal as refusal:
        return await _login(visit, form, refusal, _again(form), with_passkey=True)
    visit.cookies.append(session.passkey_answered(ctx))
    return _went_in(visit, signed_in)


def _went_in(visit: Visit, signed_in: sign_in.SignedIn) -> Answer:
    form, again = visit.form, _again(visit.form)
    visit.cookies += session.keep(visit.ctx, signed_in)
    target = own_path(form["next"]) or "/"
    if form["callback_port"]:
        target = link("/login/command", callback_port=form["callback_port"])
    if signed_in.mfa_method:
        return Redirect(to=link("/login/second-factor", next=target))
    if again:
        return Page(template="people/again.html", title="Go on", data={"again": again}, holds_secrets=True)
    return Redirect(to=target)


def _again(form: Form) -> dict[str, object] | None:
    """What was being done when the session ended: `again_to` and the fields under `again.`."""
    to = own_path(form["again_to"])
    if not to:
        return None
    pairs = tuple((name.removeprefix("again."), text) for name, text in form.pairs if name.startswith("again."))
    return {"to": to, "pairs": pairs}


@pages.get("/login/second-factor", who="pending")
async def second_factor_form(visit: Visit) -> Answer:
    """The form for a code of the authenticator, or a recovery code."""
    if visit.ctx.actor.kind == "user":
        return Redirect(to=own_path(visit.query["next"]) or "/")
    return await _second_factor(visit, visit.query)


async def _second_factor(
    visit: Visit, form: Form, refusal: Refusal | None = None, *, with_passkey: bool = False
) -> Page:
    state = await mfa.owed(visit.ctx)
    fault = refusal.message if refusal else ""
    data = {
        "next": own_path(form["next"]),
        "fault": "" if with_passkey else fault,
        "passkey_fault": fault if with_passkey else "",
        "passkey": await passkeys.second_factor(visit.ctx, visit.origin),
        "has_codes": state.has_codes,
    }
    status = refusal.status if refusal else 200
    return Page(template="people/second_factor.html", title="Second factor", data=data, status=status)


@pages.post("/login/second-factor", who="pending", most=MOST_KEPT)
async def verify_second_factor(visit: Visit) -> Answer:
    """Verify the second factor."""
    form = visit.form
    if "credential" in form:
        return await _verify_passkey(visit)
    code = form["code"].replace(" ", "").strip()
    kind = "totp" if code.isascii() and code.isdigit() and len(code) == 6 else "recovery-code"
    try:
        verified = await mfa.verify(visit.ctx, read(mfa.Verify, {"mfaToken": code, "mfaMethod": kind}), renews=True)
    except (Unauthorized, BadRequest) as refusal:
        return await _second_factor(visit, form, refusal)
    visit.cookies += session.keep(visit.ctx, verified)
    return Redirect(to=own_path(form["next"]) or "/")


async def _verify_passkey(visit: Visit) -> Answer:
    ctx, form = visit.ctx, visit.form
    try:
        body = read(passkeys.UsePasskey, {"credential": form["credential"]})
        verified = await passkeys.verify(ctx, visit.origin, body)
    except Refusal as refusal:
        return await _second_factor(visit, form, refusal, with_passkey=True)
    visit.cookies += session.keep(ctx, verified)
    return Redirect(to=own_path(form["next"]) or "/")


@pages.post("/sign-out", who="pending")
async def sign_out(visit: Visit) -> Answer:
    """End the session, everywhere it is used."""
    await sign_in.logout(visit.ctx)
    visit.cookies += session.end(visit.ctx)
    return Redirect(to="/login", notice="You are signed out")


@pages.post("/theme", who="anybody")
async def choose_theme(visit: Visit) -> Answer:
    """Keep whether the pages are light or dark."""
    value = visit.form["theme"]
    visit.cookies.append(session.theme_cookie(visit.ctx, value if value in ("light", "dark") else ""))
    return Redirect(to=own_path(visit.form["next"]) or "/")


@pages.post("/prove", most=MOST_KEPT)
async def prove(visit: Visit) -> Answer:
    """Take the password again, or a passkey, before something that cannot be undone, then do it."""
    ctx, form = visit.ctx, visit.form
    again = _again(form) or {"to": "/", "pairs": ()}
    try:
        if "credential" in form:
            body = read(passkeys.UsePasskey, {"credential": form["credential"]})
            await passkeys.prove_again(ctx, visit.origin, body)
        else:
            await mfa.prove_again(ctx, read(mfa.PasswordAgain, {"password": form["password"]}))
    except Refusal as refusal:
        return await console.asked_again(visit, again, refusal)
    visit.cookies.append(session.proved(visit.ctx))
    return Page(template="people/again.html", title="Confirm", data={"again": again}, holds_secrets=True)
