"""What the acts of an identity's pages are as text; its access is in `access.py`, its methods in `authentication/`."""

import msgspec

from watchword.services.timestamps import iso
from watchword.web.access.role_entries import new_role, with_one_for_good
from watchword.web.as_text import Call, Text, path_to, sent
from watchword.web.identities import acts
from watchword.web.identities.new import project_name, tile_of, wanted_of
from watchword.web.identities.page import changes_of, which_of
from watchword.web.identities.subject import subject
from watchword.web.identities.tiles import tiles
from watchword.web.pages import Texts, Visit

texts = Texts()


@texts.of("/{organization}/identities/new")
async def create_as_text(visit: Visit) -> Text:
    """What the form makes, as text."""
    tile = tile_of(tiles(visit.ctx), visit.form["where"])
    wanted, method = wanted_of(visit, tile), tile.method
    identity, id = wanted.identity, acts.IDENTITY
    title = f"Make the identity {identity.name}"
    body = {**sent(identity), "organizationId": visit.organization.id}
    calls = [Call(title=title, method="POST", path="/api/v1/identities", body=body, gives=(id.name, ".identity.id"))]
    own = {"owner": wanted.owner, "expiresAt": iso(wanted.ends) if wanted.ends else None}
    lacking = [name for name, value in own.items() if value]
    if lacking:
        own_path = path_to("/api/v1/identities/{}", id)
        changes = {name: own[name] for name in lacking}
        calls.append(Call(title="Its owner and end", method="PATCH", path=own_path, body=changes))
    calls.append(acts.attach_call(method, id, wanted.method))
    resources = [acts.identity_resource(identity.name, identity.role, visit.organization.id, lacking)]
    resources += acts.method_resource(method, identity.name, id, wanted.method)
    for membership in wanted.projects:
        entries = with_one_for_good([new_role(membership.role, membership.seconds, visit.ctx.now)])
        name = await project_name(visit, membership.project_id)
        path = acts.membership_path(membership.project_id, id)
        roles_ = {"roles": acts.role_bodies(entries)}
        calls.append(Call(title=f"{membership.role} in {name}", method="POST", path=path, body=roles_))
        of = acts.of_identity(identity.name, id)
        resources.append(acts.membership_resource(f"{identity.name}_{name}", membership.project_id, of, entries))
    if method.has_client_secrets:
        path = path_to(f"/api/v1/auth/{method.slug}/identities/{{}}/client-secrets", id)
        calls.append(Call(title="A client secret", method="POST", path=path, body={"description": "first"}))
    if method.has_named_tokens:
        path = path_to(f"/api/v1/auth/{method.slug}/identities/{{}}/tokens", id)
        calls.append(Call(title="A token", method="POST", path=path, body={"name": "first"}))
    return Text(title=title, calls=calls, resources=resources)


@texts.of("/{organization}/identities/{identity}/disable")
async def disable_as_text(visit: Visit, identity: str) -> Text:
    """To disable an identity, as text."""
    text = await _one_call(visit, identity, "Disable", "POST", "/api/v1/identities/{}/disable")
    return msgspec.structs.replace(text, calls=[msgspec.structs.replace(text.calls[0], body={})])


@texts.of("/{organization}/identities/{identity}/enable")
async def enable_as_text(visit: Visit, identity: str) -> Text:
    """To enable an identity, as text."""
    return await _one_call(visit, identity, "Enable", "POST", "/api/v1/identities/{}/enable")


@texts.of("/{organization}/identities/{identity}/delete")
async def delete_as_text(visit: Visit, identity: str) -> Text:
    """To delete an identity, as text."""
    return await _one_call(visit, identity, "Delete", "DELETE", "/api/v1/identities/{}")


async def _one_call(visit: Visit, identity: str, verb: str, method: str, path: str, *more: str) -> Text:
    title = f"{verb} the identity {(await subject(visit, identity)).identity.name}"
    return Text(title=title, calls=[Call(title=title, method=method, path=path_to(path, identity, *more))])


@texts.of("/{organization}/identities/{identity}/tokens")
async def revoke_as_text(visit: Visit, identity: str) -> Text:
    """The revocation of tokens, as text."""
    form = visit.form
    if form["token"]:
        path = "/api/v1/identities/{}/live-tokens/{}/revoke"
        return await _one_call(visit, identity, "Revoke a token of", "POST", path, form["token"])
    title = f"Revoke tokens of the identity {(await subject(visit, identity)).identity.name}"
    path = path_to("/api/v1/identities/{}/live-tokens/revoke", identity)
    return Text(title=title, calls=[Call(title=title, method="POST", path=path, body=sent(which_of(form)))])


@texts.of("/{organization}/identities/{identity}/settings")
async def change_settings_as_text(visit: Visit, identity: str) -> Text:
    """The change of an identity, as text."""
    about = await subject(visit, identity)
    body = await changes_of(visit, identity)
    title = f"Change the identity {about.identity.name}"
    call = Call(title=title, method="PATCH", path=path_to("/api/v1/identities/{}", identity), body=sent(body))
    return Text(title=title, calls=[call])
