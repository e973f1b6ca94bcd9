"""Explain a permission decision about another actor to an operator."""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from watchword.domain.access.abilities import SUBJECTS, Decision, Grant, ScopeKind, compile_rules, parse_rules, why
from watchword.domain.access.records import Role
from watchword.domain.access.remedies import MOST_ROLES, Breadth, WantedAct, breadth, smallest_rule, would_allow
from watchword.domain.access.subjects import BUILT_IN, ENTRIES, SET, Rule, Subject
from watchword.domain.decode import Trimmed
from watchword.domain.errors import Invalid, Issue, NotFound
from watchword.services.access.role_refs import find_role
from watchword.services.access.scopes import Holding, enter_project, holding, own_org, template_context
from watchword.services.context import CallerScope, Ctx
from watchword.services.turns import Turns, beside, weight
from watchword.store.access import grants
from watchword.store.engine import Tx
from watchword.store.identities import identities
from watchword.store.people import people

ActorType = Literal["identity", "user"]
Fact = str | list[Any]  # what is in the list is checked against the fields of the subject


class Question(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether an actor, or a holder of a role, may do `action` on `subject` with these facts.

    Without facts: whether it may on some such subject.
    """

    actor_type: ActorType | None = None
    actor_id: Trimmed | None = None
    role: Trimmed | None = None
    action: Trimmed
    subject: Trimmed
    facts: dict[str, Fact] | None = None


class RoleProposal(msgspec.Struct, frozen=True, kw_only=True):
    """A role that would allow the act, and how much it allows in all."""

    slug: str
    name: str
    is_custom: bool
    breadth: Breadth


class Remedy(msgspec.Struct, frozen=True, kw_only=True):
    """What would allow an act: roles that are there, the narrowest first, and the smallest rule that would do."""

    roles: Sequence[RoleProposal]
    rule: Rule | None
    text: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The decision and the rule that made it, what the actor holds, and what blocks it before any rule is read."""

    decision: Decision
    sources: Sequence[str]
    blocked_by: str | None = None
    remedy: Remedy | None = None

    @property
    def allowed(self) -> bool:
        """Whether the act would go through."""
        return self.decision.allowed and self.blocked_by is None


async def in_organization(ctx: Ctx, question: Question) -> Explanation:
    """Explain a decision in the caller's organization."""
    scope = await own_org(ctx)
    _require_may_ask(ctx, scope, question)
    _require_sense("organization", question)
    return await _explained(ctx, scope, "organization", question)


async def in_project(ctx: Ctx, project_id: str, question: Question) -> Explanation:
    """Explain a decision in a project."""
    scope = await enter_project(ctx, project_id)
    _require_may_ask(ctx, scope, question)
    _require_sense("project", question)
    return await _explained(ctx, scope, "project", question)


def _require_may_ask(ctx: Ctx, scope: CallerScope, question: Question) -> None:
    """Require the rights to read roles and their holder, because the explanation shows both."""
    ctx.require(scope, "read", "role")
    if question.role is None:
        if question.actor_type == "user":
            ctx.require(scope, "read", "member")
        else:
            facts = {"identityId": question.actor_id} if scope.project_id and question.actor_id else {}
            ctx.require(scope, "read", "identity", **facts)


def _require_sense(kind: ScopeKind, question: Question) -> None:
    """Raise Invalid with every fault of the question."""
    issues: list[Issue] = []
    if (question.role is None) == (question.actor_id is None):
        issues.append(
            Issue(
                code="custom", path=("actorId",), message="Ask about an actor (actorType and actorId) or about a role"
            )
        )
    if question.actor_id is not None and question.actor_type is None:
        issues.append(
            Issue(
                code="invalid_enum_value",
                path=("actorType",),
                message="One of identity, user",
                options=("identity", "user"),
            )
        )
    subject = SUBJECTS[kind].get(question.subject)
    if subject is None:
        issues.append(
            Issue(
                code="invalid_enum_value",
                path=("subject",),
                message="There is no such subject",
                options=tuple(SUBJECTS[kind]),
            )
        )
    elif question.action not in subject.actions:
        issues.append(
            Issue(
                code="invalid_enum_value",
                path=("action",),
                message="There is no such action on it",
                options=subject.actions,
            )
        )
    else:
        issues += [issue for name, value in (question.facts or {}).items() if (issue := _fault(subject, name, value))]
    if issues:
        raise Invalid(issues)


def _fault(subject: Subject, name: str, value: Fact) -> Issue | None:
    operators = subject.fields.get(name)
    if operators is None:
        return Issue(
            code="custom", path=("facts", name), message="No rule can look at this fact", options=tuple(subject.fields)
        )
    wanted = "a list of texts" if operators == SET else "a list of {key, value}" if operators == ENTRIES else "a text"
    kinds: dict[str, type] = {"a list of texts": str, "a list of {key, value}": dict}
    right = (
        isinstance(value, str)
        if wanted == "a text"
        else isinstance(value, list) and all(isinstance(item, kinds[wanted]) for item in value)
    )
    return None if right else Issue(code="invalid_type", path=("facts", name), message=f"Must be {wanted}")


async def _explained(ctx: Ctx, scope: CallerScope, kind: ScopeKind, question: Question) -> Explanation:
    async with ctx.view() as tx:
        if question.role is not None:
            _, _, rules = await find_role(tx, kind, question.role, org_id=scope.org_id, project_id=scope.project_id)
            granted: Sequence[Grant] = [Grant(f"role {question.role}", rules)]
            ability, blocked, context = compile_rules(granted, None), None, None
        else:
            holds, blocked = await _held(ctx, tx, scope, question.actor_type or "identity", question.actor_id or "")
            granted, ability = holds.grants, holds.ability
            context = await template_context(tx, question.actor_type or "identity", question.actor_id or "", None)
        facts: dict[str, Any] | None = dict(question.facts) if question.facts is not None else None
        decision = why(ability, question.action, question.subject, facts)
        custom = [] if decision.allowed else await _custom_roles(tx, scope)
    remedy = None
    if not decision.allowed:
        wanted = WantedAct(
            scope=kind,
            action=question.action,
            subject=question.subject,
            facts=facts,
            grants=granted,
            context=context,
        )
        remedy = await _remedy(wanted, custom, blocked)
    return Explanation(
        decision=decision, sources=[grant.source for grant in granted], blocked_by=blocked, remedy=remedy
    )


async def _custom_roles(tx: Tx, scope: CallerScope) -> list[Role]:
    if scope.project_id is not None:
        return await grants.project_roles(tx, scope.project_id, Turns(), with_rules=True)
    return await grants.org_roles(tx, scope.org_id, Turns(), with_rules=True)


async def _remedy(wanted: WantedAct, custom: Sequence[Role], blocked: str | None) -> Remedy:
    turns = Turns()
    found: list[RoleProposal] = []
    candidates = [(role.slug, role.name, False, role.rules) for role in BUILT_IN[wanted.scope]]
    for role in custom:
        await turns.give()
        rules = await beside(weight(role.permissions), parse_rules, wanted.scope, role.permissions)
        candidates.append((role.slug, role.name, True, rules))
    for slug, name, is_custom, rules in candidates:
        await turns.give()
        if would_allow(wanted, rules, is_role=True):
            found.append(RoleProposal(slug=slug, name=name, is_custom=is_custom, breadth=breadth(rules)))
    found.sort(key=lambda proposal: (proposal.breadth, proposal.slug))
    rule = smallest_rule(wanted)
    return Remedy(roles=found[:MOST_ROLES], rule=rule, text=_advice(wanted, found, rule, blocked))


def _advice(wanted: WantedAct, found: Sequence[RoleProposal], rule: Rule | None, blocked: str | None) -> str:
    """Say in one sentence or two what to do."""
    first = f"{blocked}: that has to end first. " if blocked else ""
    if found:
        narrowest = found[0]
        first += f"The narrowest role that allows it is {narrowest.slug!r}, with {narrowest.breadth.actions} actions. "
    else:
        first += "No role that is there allows it beside what is held. "
    if rule is None:
        return first + "No single rule allows it: look at the rule that decided."
    where = "as an additional privilege, or in a role" if wanted.scope == "project" else "in a role"
    return first + f"The smallest grant is the rule shown, {where}."


async def _held(ctx: Ctx, tx: Tx, scope: CallerScope, kind: ActorType, id: str) -> tuple[Holding, str | None]:
    """Return what an actor of this organization holds in the scope, and what blocks it all the same.

    Raises NotFound for an actor of another organization.
    """
    member = await grants.org_membership(tx, kind, id, scope.org_id)
    holds = await holding(tx, kind, id, org_id=scope.org_id, project_id=scope.project_id, now=ctx.now, auth=None)
    if member is None and not holds.is_member:
        raise NotFound(f"There is no such {kind} here")
    blocked = await _stopped(ctx, tx, kind, id)
    if blocked is None and not holds.is_member:
        blocked = f"The {kind} is not a member here"
    if blocked is None and not holds.is_active:
        blocked = "The membership is suspended"
    return holds, blocked


async def _stopped(ctx: Ctx, tx: Tx, kind: ActorType, id: str) -> str | None:
    if kind == "user":
        person = await people.user(tx, id)
        return None if person is not None and person.is_active else "The account is deactivated"
    identity = await identities.by_id(tx, id)
    if identity is None or identity.is_disabled:
        return "The identity is disabled"
    if identity.expires_at is not None and identity.expires_at <= ctx.now:
        return "The identity has expired"
    return None
