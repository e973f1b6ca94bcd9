"""Roles of the organization and of projects, and the editor of their rules."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from watchword.domain.access.abilities import ScopeKind, built_in, compile_rules, stored_rules
from watchword.domain.access.records import Role
from watchword.domain.errors import Invalid, NotFound, Refusal
from watchword.services.access import roles
from watchword.services.access.scopes import own_org
from watchword.services.context import CallerScope
from watchword.services.projects import projects
from watchword.services.scope_refs import ScopeRef
from watchword.web import console
from watchword.web.access import rules_form
from watchword.web.forms import Form, read
from watchword.web.pages import MOST_PASTED, Answer, Faults, Page, Pages, Redirect, Visit, link
from watchword.web.parts import or_none
from watchword.web.projects import place
from watchword.web.projects.place import Place

pages = Pages()
NEW: Final = "new"


class Home(msgspec.Struct, frozen=True, kw_only=True):
    """Where roles belong: the organization, or a project."""

    where: ScopeRef
    kind: ScopeKind
    scope: CallerScope
    base: str  # the path of the list
    place: Place | None = None


async def home_of(visit: Visit, project: str | None) -> Home:
    """Where the roles of a page belong. Raises NotFound, Forbidden."""
    if project is None:
        scope = await own_org(visit.ctx)
        return Home(
            where=ScopeRef(org_id=visit.organization.id), kind="organization", scope=scope, base=visit.link("roles")
        )
    found = await place.find(visit, project)
    return Home(
        where=ScopeRef(project_id=found.project.id),
        kind="project",
        scope=found.scope,
        base=found.link("roles"),
        place=found,
    )


@pages.get("/{organization}/roles")
async def organization_roles(visit: Visit) -> Answer:
    """The roles of the organization."""
    return await _list(visit, await home_of(visit, None))


@pages.get("/{organization}/p/{project}/roles")
async def project_roles(visit: Visit, project: str) -> Answer:
    """The roles of a project."""
    return await _list(visit, await home_of(visit, project))


async def _list(visit: Visit, home: Home) -> Answer:
    ctx = visit.ctx
    found = await roles.every(ctx, home.where, with_rules=True)
    rows = [
        {
            "role": role,
            "is_built_in": _is_built_in(home, role),
            "rules": len(role.permissions),
            "to": link(home.base, role.id),
        }
        for role in found
    ]
    data = {
        "rows": rows,
        "place": home.place,
        "new": link(home.base, NEW),
        "may_create": ctx.may(home.scope, "create", "role"),
    }
    return Page(template="access/roles.html", title="Roles", data=data)


def _is_built_in(home: Home, role: Role) -> bool:
    found = built_in(home.kind, role.id)
    return found is not None and found.id == role.id


@pages.get("/{organization}/roles/{own_role_id}")
async def organization_role(visit: Visit, own_role_id: str) -> Answer:
    """The editor of a role of the organization; `new` begins one."""
    return await _open(visit, await home_of(visit, None), own_role_id)


@pages.get("/{organization}/p/{project}/roles/{role_id}")
async def project_role(visit: Visit, project: str, role_id: str) -> Answer:
    """The editor of a role of a project; `new` begins one."""
    return await _open(visit, await home_of(visit, project), role_id)


async def _open(visit: Visit, home: Home, role_id: str) -> Answer:
    if role_id != NEW:
        role = await roles.get(visit.ctx, home.where, role_id)
        return await _editor(visit, home, role, _texts(role), role.permissions, Faults())
    visit.ctx.require(home.scope, "create", "role")
    copied = visit.query.text("copy")
    source = await roles.get(visit.ctx, home.where, copied) if copied else None
    texts = {"name": f"Copy of {source.name}"[:255] if source else "", "slug": "", "description": ""}
    return await _editor(visit, home, None, texts, source.permissions if source else (), Faults())


def _texts(role: Role) -> dict[str, str]:
    return {"name": role.name, "slug": role.slug, "description": role.description or ""}


async def _editor(
    visit: Visit,
    home: Home,
    role: Role | None,
    texts: Mapping[str, str],
    rules: Sequence[Mapping[str, Any]],
    faults: Faults,
) -> Page:
    ctx = visit.ctx
    is_fixed = role is not None and _is_built_in(home, role)
    may_edit = not is_fixed and ctx.may(home.scope, "edit" if role else "create", "role")
    added, removed = rules_form.difference(role.permissions if role else (), rules, home.kind)
    data = {
        "place": home.place,
        "role": role,
        "is_built_in": is_fixed,
        "list": home.base,
        "action": link(home.base, role.id if role else NEW),
        "texts": texts,
        "rules": rules_form.shown(rules[: rules_form.MOST_RULES], home.kind),
        "is_long": len(rules) > rules_form.MOST_RULES,
        "subjects": rules_form.subjects(home.kind),
        "holders": await or_none(roles.held_by(ctx, home.where, role)) if role else (),
        "added": added,
        "removed": removed,
        "effect": await _effect(visit, home, rules),
        "faults": faults,
        "may_edit": may_edit and len(rules) <= rules_form.MOST_RULES,
        "may_delete": role is not None and not is_fixed and ctx.may(home.scope, "delete", "role"),
        "copy": link(home.base, NEW, copy=role.id) if role and ctx.may(home.scope, "create", "role") else "",
    }
    title = role.name if role else "New role"
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="access/role.html", title=title, data=data, status=status)


async def _effect(visit: Visit, home: Home, rules: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """What somebody with these rules alone may do, with secrets by environment; None where they cannot be asked."""
    if len(rules) > rules_form.MOST_RULES:
        return None
    try:
        ability = compile_rules(stored_rules(home.kind, list(rules)))
    except (Refusal, ValueError, TypeError):
        return None
    beside = rules_form.effect_beside_secrets(ability, home.kind)
    if home.place is None:
        return {"environments": (), "rows": (), "beside": beside}
    details = await or_none(projects.get(visit.ctx, home.place.project.id))
    if details is None:
        return None
    slugs = [environment.slug for environment in details.environments][:8]
    beside = [row for row in beside if row[0] != rules_form.subject_words("secrets", home.kind)]
    return {"environments": slugs, "rows": rules_form.effect(ability, slugs), "beside": beside}


@pages.post("/{organization}/roles/{own_role_id}", most=MOST_PASTED)
async def save_organization_role(visit: Visit, own_role_id: str) -> Answer:
    """Store a role of the organization, or change the form."""
    return await _save(visit, await home_of(visit, None), own_role_id)


@pages.post("/{organization}/p/{project}/roles/{role_id}", most=MOST_PASTED)
async def save_project_role(visit: Visit, project: str, role_id: str) -> Answer:
    """Store a role of a project, or change the form."""
    return await _save(visit, await home_of(visit, project), role_id)


async def _save(visit: Visit, home: Home, role_id: str) -> Answer:
    ctx, form = visit.ctx, visit.form
    role = None if role_id == NEW else await roles.get(ctx, home.where, role_id)
    texts = {name: form[name] for name in ("name", "slug", "description")}
    rules, fault = rules_form.of_form(form, home.kind)
    act, _, number = form["act"].partition("-")
    if act in ("add", "remove", "up", "look"):
        rules = _edited(rules, act, number, form["subject"])
        return await _editor(visit, home, role, texts, rules, Faults(fault))
    try:
        values = wanted_of(form, home.kind, is_new=role is None)
        if role is None:
            stored = await roles.create(ctx, home.where, read(roles.CreateRole, values))
        else:
            stored = await roles.update(ctx, home.where, role.id, read(roles.UpdateRole, values))
    except Refusal as refusal:
        return await _editor(visit, home, role, texts, rules, Faults(refusal))
    said = "is there" if role is None else "is changed, for all who hold it, from their next request"
    return Redirect(to=link(home.base, stored.id), notice=f"The role {stored.name} {said}")


def wanted_of(form: Form, kind: ScopeKind, *, is_new: bool) -> dict[str, Any]:
    """The role that a form describes. Raises Invalid."""
    rules, fault = rules_form.of_form(form, kind)
    if fault is not None:
        raise fault
    for number, rule in enumerate(rules, 1):
        if not rule["action"]:
            raise Invalid.of(f"rule {number}", "Choose at least one action, or remove the rule")
    values: dict[str, Any] = {name: form[name] for name in ("name", "slug", "description")}
    if is_new:
        values["slug"] = values["slug"].strip() or _slug(values["name"])
    return {**values, "permissions": rules}


def _slug(name: str) -> str:
    return "-".join("".join(c if c.isascii() and c.isalnum() else " " for c in name.lower()).split())[:64]


def _edited(rules: list[dict[str, Any]], act: str, number: str, subject: str) -> list[dict[str, Any]]:
    if act == "add" and len(rules) < rules_form.MOST_RULES:
        return [*rules, {"subject": subject, "action": ["read"] if subject != "secrets" else ["describeSecret"]}]
    at = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else -1
    if not 0 <= at < len(rules):
        return rules
    if act == "remove":
        return rules[:at] + rules[at + 1 :]
    if act == "up" and at > 0:
        return [*rules[: at - 1], rules[at], rules[at - 1], *rules[at + 1 :]]
    return rules


@pages.get("/{organization}/roles/{own_role_id}/delete")
async def delete_organization_role_form(visit: Visit, own_role_id: str) -> Answer:
    """Say what deleting a role of the organization breaks."""
    return await _deletion(visit, await home_of(visit, None), own_role_id, Faults())


@pages.get("/{organization}/p/{project}/roles/{role_id}/delete")
async def delete_project_role_form(visit: Visit, project: str, role_id: str) -> Answer:
    """Say what deleting a role of a project breaks."""
    return await _deletion(visit, await home_of(visit, project), role_id, Faults())


async def _deletion(visit: Visit, home: Home, role_id: str, faults: Faults) -> Answer:
    role = await roles.get(visit.ctx, home.where, role_id)
    if _is_built_in(home, role):
        raise NotFound("A built-in role cannot be deleted")
    visit.ctx.require(home.scope, "delete", "role")
    data = {
        "place": home.place,
        "role": role,
        "back": link(home.base, role.id),
        "list": home.base,
        "action": link(home.base, role.id, "delete"),
        "holders": await or_none(roles.held_by(visit.ctx, home.where, role)) or (),
        "faults": faults,
    }
    status = faults.refusal.status if faults.refusal else 200
    return Page(template="access/role_delete.html", title=f"Delete {role.name}", data=data, status=status)


@pages.post("/{organization}/roles/{own_role_id}/delete")
async def delete_organization_role(visit: Visit, own_role_id: str) -> Answer:
    """Delete a role of the organization."""
    return await _delete(visit, await home_of(visit, None), own_role_id)


@pages.post("/{organization}/p/{project}/roles/{role_id}/delete")
async def delete_project_role(visit: Visit, project: str, role_id: str) -> Answer:
    """Delete a role of a project."""
    return await _delete(visit, await home_of(visit, project), role_id)


async def _delete(visit: Visit, home: Home, role_id: str) -> Answer:
    role = await roles.get(visit.ctx, home.where, role_id)
    if visit.form["confirm"].strip() != role.slug:
        return await _deletion(visit, home, role_id, Faults(Invalid.of("confirm", f"Type {role.slug} to confirm")))
    console.require_proof(visit)
    try:
        await roles.remove(visit.ctx, home.where, role_id)
    except Refusal as refusal:
        return await _deletion(visit, home, role_id, Faults(refusal))
    return Redirect(to=home.base, notice=f"The role {role.name} is deleted")
