"""Who has access: everybody in a project, and what each of them may do with the secrets of an environment, a path, a
name.

What is not named may be anything: without a secret's name everybody is listed who may act on some secret there.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.access.abilities import Grant, compile_rules
from watchword.domain.access.conditions import is_open
from watchword.services.access.scopes import Known, active_grants, enter_project, rule_count
from watchword.services.context import Ctx
from watchword.services.paging import Page
from watchword.services.turns import Turns, beside
from watchword.store.access import access_report
from watchword.store.access.access_report import Holdings, Somebody
from watchword.store.access.grants import HeldRole

ACTIONS = ("describeSecret", "readValue", "create", "edit", "delete")
_SUBJECT = "secrets"


class SecretSelection(msgspec.Struct, frozen=True, kw_only=True):
    """The secrets in question."""

    environment: str | None = None
    secret_path: str | None = None
    secret_name: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What is known of them."""
        known = {"environment": self.environment, "secretPath": self.secret_path, "secretName": self.secret_name}
        return {name: value for name, value in known.items() if value}


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, what they may do there, and what gives it to them."""

    somebody: Somebody
    actions: Sequence[str]
    sources: Sequence[str]


async def has_access(
    ctx: Ctx, project_id: str, place: SecretSelection, *, contains: str = "", offset: int = 0, limit: int = 50
) -> Page[AccessEntry]:
    """One page of everybody in a project by name, each with the actions they hold at a place. Ended ones hold none."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        found, total = await access_report.page(
            tx, scope.org_id, scope.project.id, now=ctx.now, contains=contains, offset=offset, limit=limit
        )
        turns = Turns()
        held = await access_report.holdings(tx, scope.project.id, found, turns)
    entries, known = list[AccessEntry](), Answers()
    for one in found:
        rules = rule_count([role for role, _ in held.roles[one.kind, one.id]], held.privileges[one.kind, one.id])
        entries.append(await beside(rules, _entry, one, held, place.facts, ctx.now, known))
        await turns.give()
    return Page(entries, total)


class Answers:
    """What was found out about roles that several hold: their rules, and what these allow there."""

    def __init__(self) -> None:
        self.rules: Known = {}
        self._allowed: dict[tuple[str, str], frozenset[str]] = {}

    def allowed(
        self, grant: Grant, role: HeldRole | None, facts: Mapping[str, Any], context: Mapping[str, Any]
    ) -> frozenset[str]:
        """The actions that a grant allows there by itself.

        Where its rules have no expressions that is the same for everybody.
        """
        key = None if role is None or role.custom is None or _has_expressions(grant) else ("role", role.custom.id)
        known = None if key is None else self._allowed.get(key)
        if known is None:
            ability = compile_rules([grant], context)
            known = frozenset(action for action in ACTIONS if ability.could(action, _SUBJECT, facts))
            if key is not None:
                self._allowed[key] = known
        return known


def _has_expressions(grant: Grant) -> bool:
    return any(is_open(rule.conditions) for rule in grant.rules if rule.conditions)


def _entry(one: Somebody, held: Holdings, facts: Mapping[str, Any], now: int, known: Answers) -> AccessEntry:
    key = (one.kind, one.id)
    roles, privileges = held.roles[key], held.privileges[key]
    metadata = {item.key: item.value for item in held.metadata.get(key, ())}
    context = {"identity": {"id": one.id, "username": one.name, "metadata": metadata, "auth": {}}}
    own = [role for role, _ in roles if role.membership.actor_kind == one.kind]
    if not one.is_usable or (own and not own[0].membership.is_active):
        return AccessEntry(somebody=one, actions=(), sources=())
    grants, _ = active_grants("project", [role for role, _ in roles], privileges, now, known.rules)
    ability = compile_rules([_about(grant) for grant in grants], context)
    actions = tuple(action for action in ACTIONS if ability.could(action, _SUBJECT, facts))
    sources: list[str] = []
    for role, group in roles:
        alone, _ = active_grants("project", [role], (), now, known.rules)
        if any(known.allowed(grant, role, facts, context) & set(actions) for grant in alone):
            sources += [f"{grant.source} through group {group}" if group else grant.source for grant in alone]
    alone, _ = active_grants("project", (), privileges, now)
    sources += [grant.source for grant in alone if known.allowed(grant, None, facts, context) & set(actions)]
    return AccessEntry(somebody=one, actions=actions, sources=tuple(dict.fromkeys(sources)))


def _about(grant: Grant) -> Grant:
    """What of it is about secrets."""
    return Grant(grant.source, tuple(rule for rule in grant.rules if rule.subject == _SUBJECT))
