"""What an identity may do in its projects, what gives it that, and what is added to it or taken away."""

from collections.abc import Sequence
from typing import Any, Final

from watchword.domain.access.abilities import BUILT_IN
from watchword.domain.access.records import MembershipRole
from watchword.domain.errors import BadRequest, Invalid, Refusal
from watchword.services.access import effects, explain, roles
from watchword.services.access.access_report import ACTIONS
from watchword.services.access.effects import InProject
from watchword.services.access.role_refs import RoleEntry
from watchword.services.access.scopes import ProjectScope, enter_project
from watchword.services.identities import identities, project_members
from watchword.services.identities.identities import ProjectMembership
from watchword.services.projects import projects
from watchword.services.projects.members import AddMember, ChangeMember
from watchword.services.scope_refs import ScopeRef
from watchword.web.access import rules_form
from watchword.web.access.role_entries import held_role, new_role, span, with_one_for_good
from watchword.web.access.shown import source_text
from watchword.web.as_text import Call, Text
from watchword.web.identities import acts
from watchword.web.identities.subject import Subject, named_role, role_name, subject, tab
from watchword.web.pages import Answer, Faults, Page, Pages, Redirect, Texts, Visit
from watchword.web.parts import or_none
from watchword.web.rendering import exact

pages = Pages()
texts = Texts()
SIZE: Final = 10  # projects of a page
_MOST_OFFERED: Final = 100  # projects to which it could be added
_WORDS: Final = dict(zip(ACTIONS, ("keys", "values", "create", "edit", "delete"), strict=True))


def joined_project(visit: Visit, one: ProjectMembership) -> dict[str, Any]:
    """Return a project with the roles that are held there."""
    return {
        "project": one.project,
        "path": visit.link("p", one.project.slug),
        "roles": [
            {
                "slug": role.slug if role else held.role,
                "name": named_role(held, role, "project"),
                "id": held.id,
                "ends_at": held.ends_at if held.is_temporary else None,
                "has_ended": _is_over(held, visit.ctx.now),
            }
            for held, role in one.roles
        ],
    }


@pages.get("/{organization}/identities/{identity}/access")
async def access(visit: Visit, identity: str) -> Answer:
    """The projects of an identity, its roles there, and what it may do in each environment."""
    return await _access(visit, identity, None)


async def _access(visit: Visit, identity: str, refusal: Refusal | None) -> Page:
    ctx = visit.ctx
    about = await subject(visit, identity)
    _, own = await identities.projects_of(ctx, identity)
    offset = visit.query.offset
    found, total = await effects.of_identity(ctx, identity, offset=offset, limit=SIZE)
    by_id = {one.project.id: one for one in own}
    joined = [await _shown(visit, about, one, by_id.get(one.project.id)) for one in found]
    offered = await _offered(visit, {one.project.id for one in own})
    chosen = visit.form["project"] if visit.form["act"] == "join" else visit.query["project"]
    data: dict[str, Any] = {
        "joined": joined,
        "actions": list(_WORDS.values()),
        "total": total,
        "offset": offset,
        "size": SIZE,
        "projects": offered,
        "chosen": chosen if chosen in dict(offered) else offered[0][0] if offered else "",
        "options": await _roles_of(visit, chosen if chosen in dict(offered) else ""),
        "role": role_name(about.details),
        "places": [
            (f"{one.project.id}/{environment.slug}", f"{environment.slug} of {one.project.name}")
            for one in found
            if one.effect is not None
            for environment in one.environments
        ],
        "asked": visit.query,
        "answer": await _answer(visit, identity),
        "form": visit.form,
        "faults": Faults(refusal),
    }
    status = refusal.status if refusal else 200
    return tab(about, "access", "identities/access.html", status=status, **data)


async def _shown(visit: Visit, about: Subject, one: InProject, own: ProjectMembership | None) -> dict[str, Any]:
    ctx, project = visit.ctx, one.project
    scope = await or_none(enter_project(ctx, project.id))

    def may(action: str) -> bool:
        return scope is not None and ctx.may(scope, action, "identity", identityId=about.identity.id)

    shown = (
        joined_project(visit, own)
        if own is not None
        else {"project": project, "path": visit.link("p", project.slug), "roles": []}
    )
    return shown | {
        "is_member": one.is_member,
        "missing": one.missing,
        "is_stopped": one.effect is not None and one.effect.is_stopped,
        "rows": _grid(one),
        "sources": [
            {"text": source_text(given.source), "source": given.source}
            for given in (one.effect.given if one.effect else ())
        ],
        "may_edit": one.is_member and may("edit"),
        "may_remove": one.is_member and may("delete"),
        "options": await _roles_of(visit, project.id),
        "privileges": scope is not None,
    }


def _grid(one: InProject) -> Sequence[dict[str, Any]]:
    """Return for each environment what is allowed, with the numbers of the sources that give it."""
    if one.effect is None:
        return ()
    rows = []
    for place, environment in enumerate(one.environments):
        extents = one.effect.of(place)
        cells = [
            {
                "action": _WORDS[action],
                "extent": extents.get(action, ""),
                "by": [
                    number
                    for number, given in enumerate(one.effect.given, 1)
                    if (place, action) in given.gives and action in extents
                ],
            }
            for action in ACTIONS
        ]
        rows.append({"environment": environment, "cells": cells})
    return rows


async def _offered(visit: Visit, inside: set[str]) -> list[tuple[str, str]]:
    """Return the projects to which the reader may add identities."""
    ctx = visit.ctx
    offered: list[tuple[str, str]] = []
    for each in await or_none(projects.mine(ctx)) or ():
        if each.project.id in inside or len(offered) >= _MOST_OFFERED:
            continue
        scope: ProjectScope | None = await or_none(enter_project(ctx, each.project.id))
        if scope is not None and ctx.may(scope, "create", "identity"):
            offered.append((each.project.id, each.project.name))
    return offered


async def _roles_of(visit: Visit, project_id: str) -> list[tuple[str, str]]:
    usual = [(role.slug, role.name) for role in BUILT_IN["project"]]
    if not project_id:
        return usual
    held = await or_none(roles.every(visit.ctx, ScopeRef(project_id=project_id)))
    return [(role.slug, role.name) for role in held] if held else usual


async def _answer(visit: Visit, identity: str) -> dict[str, Any] | None:
    """Return the answer to the question in the address: may it do something with a secret or folder somewhere?"""
    asked = visit.query
    if asked["may"] not in ACTIONS or "/" not in asked["in"]:
        return None
    project_id, _, environment = asked["in"].partition("/")
    facts: dict[str, Any] = {"environment": environment, "secretPath": asked.text("path") or "/"}
    if key := asked.text("key"):
        facts["secretName"] = key
    question = explain.Question(
        actor_type="identity", actor_id=identity, action=asked["may"], subject="secrets", facts=facts
    )
    try:
        found = await explain.in_project(visit.ctx, project_id, question)
    except Refusal as refusal:
        return {"refusal": refusal.message}
    rule = found.decision.rule
    return {
        "refusal": "",
        "allowed": found.allowed,
        "text": found.decision.text,
        "blocked_by": found.blocked_by,
        "source": found.decision.source,
        "rule": rules_form.words(rule, "project") if rule else "",
        "advice": found.remedy.text if found.remedy else "",
        "smallest": rules_form.words(rule_object(found.remedy), "project")
        if found.remedy and found.remedy.rule
        else "",
    }


def rule_object(remedy: explain.Remedy) -> dict[str, Any]:
    """Return the smallest rule of a remedy as rules are stored."""
    rule = remedy.rule
    assert rule is not None
    found: dict[str, Any] = {"subject": rule.subject, "action": list(rule.actions)}
    return found | ({"conditions": dict(rule.conditions)} if rule.conditions else {})


@pages.post("/{organization}/identities/{identity}/access")
async def change_access(visit: Visit, identity: str) -> Answer:
    """Add an identity to a project, add or take a role there, or take it out."""
    form, ctx = visit.form, visit.ctx
    project, act = form["project"], form["act"]
    try:
        if not project:
            raise Invalid.of("project", "Choose a project")
        name = (await projects.get(ctx, project)).project.name
        if act == "leave":
            await project_members.remove(ctx, project, identity)
            notice = f"It is no longer in {name}, and lost its privileges there"
        else:
            seconds = span(form["until"], "until")
            notice = await _give(visit, identity, project, name, seconds)
    except Refusal as refusal:
        return await _access(visit, identity, refusal)
    return Redirect(to=visit.link("identities", identity, "access"), notice=notice)


async def _give(visit: Visit, identity: str, project: str, name: str, seconds: int | None) -> str:
    form, ctx = visit.form, visit.ctx
    entries = await _entries(visit, identity, project, seconds)
    if form["act"] == "join":
        await project_members.add(ctx, project, identity, AddMember(roles=entries))
    else:
        await project_members.change(ctx, project, identity, ChangeMember(roles=entries))
        if form["act"] == "take":
            return f"The role in {name} is taken away"
    until = f" until {exact(ctx.now + seconds * 1000)}" if seconds else ""
    return f"{form['role']} in {name}{until}"


async def _entries(visit: Visit, identity: str, project: str, seconds: int | None) -> list[RoleEntry]:
    """Return all roles that the identity has in the project afterwards. Raises BadRequest."""
    form, ctx = visit.form, visit.ctx
    entry = new_role(form["role"], seconds, ctx.now)
    if form["act"] == "join":
        return with_one_for_good([entry])
    member = await project_members.get(ctx, project, identity)
    taken = form["held"] if form["act"] == "take" else ""
    kept = [
        held_role(held, role) for held, role in member.details.roles if not _is_over(held, ctx.now) and held.id != taken
    ]
    if form["act"] == "take":
        if not kept:
            raise BadRequest("It is its last role there: remove the identity from the project instead")
        return with_one_for_good(kept)
    if form["act"] == "change":
        kept = [each for each in kept if each.is_temporary]
    return with_one_for_good([*(each for each in kept if each.role != entry.role), entry])


@texts.of("/{organization}/identities/{identity}/access")
async def change_access_as_text(visit: Visit, identity: str) -> Text:
    """What is done to the access of an identity, as text."""
    form = visit.form
    if not form["project"]:
        raise Invalid.of("project", "Choose a project")
    about = await subject(visit, identity)
    project = (await projects.get(visit.ctx, form["project"])).project
    where = acts.membership_path(project.id, identity)
    if form["act"] == "leave":
        title = f"Take {about.identity.name} out of {project.name}"
        return Text(title=title, calls=[Call(title=title, method="DELETE", path=where)])
    entries = await _entries(visit, identity, project.id, span(form["until"], "until"))
    title = f"{'Add' if form['act'] == 'join' else 'Give roles to'} {about.identity.name} in {project.name}"
    method = "POST" if form["act"] == "join" else "PATCH"
    call = Call(title=title, method=method, path=where, body={"roles": acts.role_bodies(entries)})
    resource = acts.membership_resource(about.identity.name, project.id, identity, entries)
    return Text(title=title, calls=[call], resources=[resource])


def _is_over(held: MembershipRole, now: int) -> bool:
    return held.is_temporary and held.ends_at is not None and held.ends_at <= now
