"""One secret in one environment: look, reveal, change, its versions, and delete it."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from watchword.domain.errors import BadRequest, Conflict, Forbidden, Invalid, NotFound, Refusal
from watchword.domain.secrets.references import references
from watchword.domain.secrets.replicas import is_replica
from watchword.domain.secrets.texts import MAX_COMMENT, checked_name, checked_value
from watchword.services.projects import tags
from watchword.services.secrets import reading, relations, rights, versions, writing
from watchword.services.secrets.reading import SecretRequest
from watchword.services.secrets.views import SecretView
from watchword.services.secrets.writing import NamedSecret, SecretChange, Target
from watchword.web.console import require_proof
from watchword.web.forms import Form
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Visit
from watchword.web.projects import place, secrets, texts
from watchword.web.projects.place import Place

pages = Pages()
UNSET = msgspec.UNSET
REFUSALS: Final = (Invalid, BadRequest, Forbidden, NotFound, Conflict)  # what a form is shown again with
_VERSIONS: Final = 20  # a page
_NAMES: Final = {"secretValue": "value", "secretName": "name", "secretComment": "comment"}


class _Right(msgspec.Struct, frozen=True):
    """What the person may do with the secret."""

    read: bool
    edit: bool
    delete: bool
    is_copy: bool  # made by a replicated import: it follows the secret that it was made of
    see_history: bool
    roll_back: bool
    read_tags: bool


async def found_of(visit: Visit, project: str, secret: str, *, show: bool = False) -> tuple[Place, SecretView, _Right]:
    """The secret of the path, which must be of the path's project. Raises NotFound."""
    found = await place.find(visit, project)
    ctx, scope = visit.ctx, found.scope
    _, location, cached = await reading.locate(ctx, secret)
    if cached.secret.project_id != found.project.id:
        raise NotFound(f"There is no secret with id {secret[:64]!r} in this project")
    env_path = (location.environment.slug, location.folder.path)
    facts = rights.in_place(*env_path, cached.facts)

    is_copy = is_replica(location.folder.name)

    def may(action: str) -> bool:
        return scope.ability.allows(action, rights.SUBJECT, facts)

    right = _Right(
        read=may(rights.READ),
        edit=may(rights.EDIT) and not is_copy,
        delete=may(rights.DELETE) and not is_copy,
        is_copy=is_copy,
        see_history=ctx.may(scope, "read", "secret-rollback") or ctx.may(scope, "read", "commits"),
        roll_back=(ctx.may(scope, "create", "secret-rollback") or ctx.may(scope, "perform-rollback", "commits"))
        and may(rights.EDIT)
        and may(rights.READ)
        and not is_copy,
        read_tags=ctx.may(scope, "read", "tags"),
    )
    return found, await reading.by_id(ctx, secret, show=show), right


def require_own(right: _Right) -> None:
    """Raise BadRequest for a copy: its name means another secret of the folder, or none."""
    if right.is_copy:
        raise BadRequest("This secret is a copy that a replicated import made: change the secret that it was made of")


async def _page(
    visit: Visit,
    found: Place,
    view: SecretView,
    right: _Right,
    *,
    typed: Form | None = None,
    refusal: Refusal | None = None,
    filled: str = "",
    unfilled: str = "",
) -> Page:
    is_shown = not view.is_hidden
    value = texts.unified(view.value) if is_shown else ""
    known = await tags.every(visit.ctx, found.project.id) if right.read_tags else ()
    own = {tag.id for tag in view.tags}
    try:
        ties = await relations.ties(visit.ctx, _request(found, view))
        referred_by: Sequence[Any] = [
            (address, found.link(path=address.path, key=address.key)) for address in ties.referred_by
        ]
    except Forbidden:
        referred_by = ()
    data = {
        "place": found,
        "view": view,
        "right": right,
        "is_shown": is_shown,
        "filled": filled,
        "unfilled": unfilled,
        "crumbs": secrets.crumbs(found, view.path),
        "back": found.link(path=view.path),
        "value": typed["value"] if typed else value,
        "mark": typed["mark"] if typed else texts.mark(view.value) if is_shown else "",
        "comment": typed["comment"] if typed else texts.unified(view.comment),
        "name": typed["name"] if typed else view.secret.key,
        "rows": min(max(value.count("\n") + 1, 3), 24),
        "tags": [(tag, str(tag.id) in typed.all("tag") if typed else tag.id in own) for tag in known],
        "reference": secrets.reference_to(view.environment, view.path, view.secret.key),
        "referred_by": referred_by,
        "has_unseen": is_shown and texts.has_unseen(view.value),
        "readers": secrets.readers(visit, found, view.environment, view.path, view.secret.key),
        "everywhere": found.link("key", path=view.path, key=view.secret.key),
        "faults": Faults(refusal, names=_NAMES),
        "is_late": isinstance(refusal, Conflict),
        "by": _by(visit, view.secret.actor_kind, view.secret.actor_id),
    }
    return Page(
        template="projects/secret.html",
        title=f"{view.secret.key} in {view.environment}",
        data=data,
        status=refusal.status if refusal else 200,
        holds_secrets=is_shown or typed is not None,
    )


def _request(found: Place, view: SecretView) -> SecretRequest:
    return SecretRequest(
        project_id=found.project.id,
        environment=view.environment,
        path=view.path,
        name=view.secret.key,
        kind=view.secret.kind,
        show=False,
    )


def _by(visit: Visit, kind: str | None, id: str | None) -> str:
    """Who wrote something, as far as the secret itself tells."""
    if kind == "user" and id == visit.ctx.actor.id:
        return "you"
    kinds = {"user": "a person", "identity": "an identity", "service": "a service token"}
    return f"{kinds.get(kind or '', 'the system')}{' ' + id if id else ''}"


@pages.get("/{organization}/p/{project}/secrets/{secret}")
async def look(visit: Visit, project: str, secret: str) -> Answer:
    """A secret without its value."""
    found, view, right = await found_of(visit, project, secret)
    return await _page(visit, found, view, right)


@pages.post("/{organization}/p/{project}/secrets/{secret}/reveal")
async def reveal(visit: Visit, project: str, secret: str) -> Answer:
    """A secret with its value, to look at or to change. It is in the audit log."""
    found, view, right = await found_of(visit, project, secret, show=True)
    filled, unfilled = await _filled(visit, found, view)
    return await _page(visit, found, view, right, filled=filled, unfilled=unfilled)


async def _filled(visit: Visit, found: Place, view: SecretView) -> tuple[str, str]:
    """The value with its references filled in, or why that cannot be; both empty without references."""
    if not references(view.value):
        return "", ""
    try:
        wanted = msgspec.structs.replace(_request(found, view), show=True, expand=True)
        return (await reading.get(visit.ctx, wanted)).value, ""
    except (BadRequest, Forbidden, NotFound) as refusal:
        return "", f"Its references cannot be filled in: {refusal.message}"


@pages.get("/{organization}/p/{project}/secrets/{secret}/reveal")
async def hide(visit: Visit, project: str, secret: str) -> Answer:
    """Lead back to the secret without its value, where the page with it is loaded again."""
    found = await place.find(visit, project)
    return Redirect(to=found.link("secrets", secret))


@pages.post("/{organization}/p/{project}/secrets/{secret}", most=4 * 1024 * 1024)
async def save(visit: Visit, project: str, secret: str) -> Answer:
    """Save what was changed, unless somebody else has changed the secret since the form was shown."""
    found, view, right = await found_of(visit, project, secret)
    require_own(right)
    form = visit.form
    try:
        change = change_of(form, view)
        if change is None:
            return Redirect(to=found.link(path=view.path), notice=f"Nothing was changed of {view.secret.key}")
        target = Target(project_id=found.project.id, environment=view.environment, path=view.path)
        written = (await writing.change(visit.ctx, target, [change]))[0]
    except REFUSALS as refusal:
        visit.ctx.begin_now()
        view = await reading.by_id(visit.ctx, secret, show=False)
        return await _page(visit, found, view, right, typed=form, refusal=refusal)
    return Redirect(
        to=found.link(path=view.path),
        notice=f"{written.secret.key} in {view.environment} has version {written.secret.version} now",
    )


def change_of(form: Form, view: SecretView) -> SecretChange | None:
    """The change that a form asks for; None where it leaves everything as it is. Raises Invalid."""
    version = form["version"]
    if not (version.isascii() and version.isdigit() and len(version) < 10):
        raise Invalid.of("version", "The version that the form was made of is missing: load the page again")
    typed, marked = form["value"], form["mark"]
    has_value = texts.is_changed(typed, marked) if marked else bool(typed) or form["empty"] == "true"
    name = form["name"].strip()
    comment = texts.unified(form["comment"])
    if len(comment) > MAX_COMMENT:
        raise Invalid.of("comment", f"At most {MAX_COMMENT} characters")
    is_renamed = "name" in form and name != view.secret.key
    is_commented = "comment" in form and comment != texts.unified(view.comment)
    before = tuple(tag.id for tag in view.tags)
    chosen = tuple(form.all("tag")) if form["tags"] == "shown" else before
    if not (has_value or is_renamed or is_commented or set(chosen) != set(before)):
        return None
    return SecretChange(
        name=view.secret.key,
        kind=view.secret.kind,
        if_version=int(version),
        value=checked_value(texts.as_typed(typed, marked), "value") if has_value else UNSET,
        new_name=checked_name(name, "name") if is_renamed else UNSET,
        comment=comment if is_commented else UNSET,
        tag_ids=chosen if set(chosen) != set(before) else UNSET,
    )


@pages.get("/{organization}/p/{project}/secrets/{secret}/versions")
async def history(visit: Visit, project: str, secret: str) -> Answer:
    """The versions of a secret that are kept, without values."""
    return await _history(visit, project, secret, visit.query, is_shown=False)


@pages.post("/{organization}/p/{project}/secrets/{secret}/versions")
async def compare(visit: Visit, project: str, secret: str) -> Answer:
    """The versions of a secret with what changed in the value, line by line."""
    return await _history(visit, project, secret, visit.form, is_shown=True)


async def _history(visit: Visit, project: str, secret: str, asked: Form, *, is_shown: bool) -> Page:
    found, view, right = await found_of(visit, project, secret)
    offset, _ = secrets.sizes(asked)
    listed = await versions.every(visit.ctx, secret, offset, _VERSIONS + 1)
    shown = list(listed.items)
    entries = []
    for number, item in enumerate(shown[:_VERSIONS]):
        before = shown[number + 1].view if number + 1 < len(shown) else None
        entries.append(
            {
                "version": item.version,
                "is_current": item.version.version == view.secret.version,
                "by": _by(visit, item.version.actor_kind, item.version.actor_id),
                "changes": _changes(before, item.view),
                "is_readable": not item.view.is_hidden,
                "lines": _lines(before, item.view) if is_shown else (),
            }
        )
    data = {
        "place": found,
        "view": view,
        "right": right,
        "entries": entries,
        "total": listed.total,
        "offset": offset,
        "size": _VERSIONS,
        "is_shown": is_shown,
        "kept": found.project.version_limit,
        "back": found.link("secrets", secret),
    }
    return Page(
        template="projects/versions.html", title=f"Versions of {view.secret.key}", data=data, holds_secrets=is_shown
    )


def _changes(before: SecretView | None, after: SecretView) -> str:
    """What a version changed, in words; what may not be read is not compared."""
    if before is None:
        return "written" if after.secret.version == 1 else "the version before is not kept any more"
    parts = []
    if before.is_hidden or after.is_hidden:
        parts.append("you may not read both values")
    elif before.value != after.value:
        parts.append("value")
    if before.secret.key != after.secret.key:
        parts.append(f"name (was {before.secret.key})")
    if before.comment != after.comment:
        parts.append("comment")
    if {tag.id for tag in before.tags} != {tag.id for tag in after.tags}:
        parts.append("tags")
    return ", ".join(parts) or "nothing that is seen here"


def _lines(before: SecretView | None, after: SecretView) -> Sequence[texts.Line]:
    if after.is_hidden or (before is not None and before.is_hidden):
        return ()
    return texts.difference("" if before is None else before.value, after.value)


@pages.post("/{organization}/p/{project}/secrets/{secret}/roll-back")
async def roll_back(visit: Visit, project: str, secret: str) -> Answer:
    """Make an older version the next one."""
    found, view, _ = await found_of(visit, project, secret)
    version, seen = visit.form["version"], visit.form["seen"]
    if not all(text.isascii() and text.isdigit() and len(text) < 10 for text in (version, seen)):
        raise BadRequest("Choose a version of the list")
    if int(seen) != view.secret.version:
        raise Conflict(
            f"{view.secret.key} was written meanwhile and has version {view.secret.version} now: nothing was done. "
            "Look at the versions again"
        )
    written = await versions.roll_back(visit.ctx, secret, int(version))
    return Redirect(
        to=found.link("secrets", secret, "versions"),
        notice=f"What version {version} was is version {written.secret.version} now",
    )


@pages.get("/{organization}/p/{project}/secrets/{secret}/delete")
async def ask_to_delete(visit: Visit, project: str, secret: str) -> Answer:
    """What is lost with a secret, and its name to type."""
    return await _ask_to_delete(visit, project, secret, None)


async def _ask_to_delete(visit: Visit, project: str, secret: str, refusal: Refusal | None) -> Page:
    found, view, right = await found_of(visit, project, secret)
    try:
        referred_by: Sequence[Any] = (await relations.ties(visit.ctx, _request(found, view))).referred_by
    except Forbidden:
        referred_by = ()
    data = {
        "place": found,
        "view": view,
        "right": right,
        "referred_by": referred_by,
        "faults": Faults(refusal),
        "back": found.link("secrets", secret),
    }
    status = refusal.status if refusal else 200
    title = f"Delete {view.secret.key}"
    return Page(template="projects/secret_delete.html", title=title, data=data, status=status)


@pages.post("/{organization}/p/{project}/secrets/{secret}/delete")
async def delete(visit: Visit, project: str, secret: str) -> Answer:
    """Delete a secret with all its versions."""
    found, view, right = await found_of(visit, project, secret)
    require_own(right)
    if visit.form["name"].strip() != view.secret.key:
        refusal = Invalid.of("name", f"Type {view.secret.key} to delete it: nothing was deleted")
        return await _ask_to_delete(visit, project, secret, refusal)
    require_proof(visit)
    target = Target(project_id=found.project.id, environment=view.environment, path=view.path)
    await writing.remove(visit.ctx, target, [NamedSecret(name=view.secret.key, kind=view.secret.kind)])
    return Redirect(to=found.link(path=view.path), notice=f"{view.secret.key} is deleted from {view.environment}")
