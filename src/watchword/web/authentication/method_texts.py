"""What the acts of the authentication tab are as text."""

from typing import Any, Final

from watchword.domain.errors import BadRequest
from watchword.services.authentication.client_secrets import CreateClientSecret
from watchword.services.authentication.method_bodies import Method
from watchword.services.authentication.named_tokens import CreateNamedToken
from watchword.web import method_forms
from watchword.web.as_text import Call, Resource, Text, label, path_to, sent
from watchword.web.authentication.methods import wish_of
from watchword.web.forms import read
from watchword.web.identities import acts
from watchword.web.identities.subject import method_of, subject
from watchword.web.identities.tiles import tiles
from watchword.web.pages import Texts, Visit

texts = Texts()
_BASE: Final = "/{organization}/identities/{identity}/authentication"
_ARGUMENTS: Final = {"description": "description", "ttl": "ttl", "numUsesLimit": "number_of_uses_limit"}


@texts.of(_BASE + "/add/{where}")
async def add_as_text(visit: Visit, identity: str, where: str) -> Text:
    """The new way to log in, as text."""
    tile = next((tile for tile in tiles(visit.ctx) if tile.value == where), None)
    method = tile.method if tile else method_of(visit.ctx, where)
    return await _as_text(visit, identity, method, is_new=True)


@texts.of(_BASE + "/{method}")
async def edit_as_text(visit: Visit, identity: str, method: str) -> Text:
    """The change of a method, as text."""
    return await _as_text(visit, identity, method_of(visit.ctx, method), is_new=False)


async def _as_text(visit: Visit, identity: str, method: Method, *, is_new: bool) -> Text:
    about = await subject(visit, identity)
    wire = method_forms.read(method, visit.form)
    call = acts.attach_call(method, identity, wire, is_new=is_new)
    resources = acts.method_resource(method, about.identity.name, identity, wire)
    return Text(title=f"{call.title} of {about.identity.name}", calls=[call], resources=resources)


@texts.of(_BASE + "/{method}/remove")
async def remove_as_text(visit: Visit, identity: str, method: str) -> Text:
    """The removal of a method, as text."""
    about, found = await subject(visit, identity), method_of(visit.ctx, method)
    title = f"Remove {found.title} from {about.identity.name}"
    path = path_to(f"/api/v1/auth/{found.slug}/identities/{{}}", identity)
    return Text(title=title, calls=[Call(title=title, method="DELETE", path=path)])


@texts.of(_BASE + "/{method}/lockouts")
async def reset_as_text(visit: Visit, identity: str, method: str) -> Text:
    """The reset of a lockout, as text."""
    found = method_of(visit.ctx, method)
    title = f"Forget the failed logins of {(await subject(visit, identity)).identity.name}"
    path = path_to(f"/api/v1/auth/{found.slug}/identities/{{}}/clear-lockouts", identity)
    return Text(title=title, calls=[Call(title=title, method="POST", path=path)])


@texts.of(_BASE + "/{method}/secrets")
async def make_secret_as_text(visit: Visit, identity: str, method: str) -> Text:
    """A new client secret, as text."""
    form, found = visit.form, method_of(visit.ctx, method)
    name = (await subject(visit, identity)).identity.name
    if form["rotate"]:
        raise BadRequest("The API has no call for this: make a new one, put it in place, and revoke the old one")
    title = f"Make a client secret of {name}"
    wish = sent(read(CreateClientSecret, wish_of(form)))
    path = path_to(f"/api/v1/auth/{found.slug}/identities/{{}}/client-secrets", identity)
    arguments: dict[str, Any] = {"identity_id": identity}
    arguments |= {argument: wish[field] for field, argument in _ARGUMENTS.items() if wish.get(field)}
    resources = [
        Resource(kind="infisical_identity_universal_auth_client_secret", label=label(name), arguments=arguments)
    ]
    return Text(title=title, calls=[Call(title=title, method="POST", path=path, body=wish)], resources=resources)


@texts.of(_BASE + "/{method}/secrets/{secret}/revoke")
async def revoke_secret_as_text(visit: Visit, identity: str, method: str, secret: str) -> Text:
    """The end of a client secret, as text."""
    found = method_of(visit.ctx, method)
    title = f"Revoke a client secret of {(await subject(visit, identity)).identity.name}"
    path = path_to(f"/api/v1/auth/{found.slug}/identities/{{}}/client-secrets/{{}}/revoke", identity, secret)
    return Text(title=title, calls=[Call(title=title, method="POST", path=path)])


@texts.of(_BASE + "/{method}/named-tokens")
async def make_token_as_text(visit: Visit, identity: str, method: str) -> Text:
    """A new token, as text."""
    found = method_of(visit.ctx, method)
    title = f"Make a token of {(await subject(visit, identity)).identity.name}"
    body = sent(read(CreateNamedToken, {"name": visit.form.text("name")}))
    path = path_to(f"/api/v1/auth/{found.slug}/identities/{{}}/tokens", identity)
    return Text(title=title, calls=[Call(title=title, method="POST", path=path, body=body)])


@texts.of(_BASE + "/{method}/named-tokens/{token}/revoke")
async def revoke_token_as_text(visit: Visit, identity: str, method: str, token: str) -> Text:
    """The end of a token, as text."""
    found = method_of(visit.ctx, method)
    title = f"Revoke a token of {(await subject(visit, identity)).identity.name}"
    path = path_to(f"/api/v1/auth/{found.slug}/tokens/{{}}/revoke", token)
    return Text(title=title, calls=[Call(title=title, method="POST", path=path)])
