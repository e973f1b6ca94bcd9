"""The access report: who in a project may do what with the secrets of an environment, a path or a name.

A fact that is not named may be anything: without a secret's name, every member is listed with what they may do to some
secret there.
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
    """The secrets that a report is about."""

    environment: str | None = None
    secret_path: str | None = None
    secret_name: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """The known facts of the secrets."""
        known = {"environment": self.environment, "secretPath": self.secret_path, "secretName": self.secret_name}
        return {name: value for name, value in known.items() if value}


class AccessEntry(msgspec.Struct, frozen=True, kw_only=True):
    """A member, the actions that it may do, and the roles and privileges that grant them."""

    member: Somebody
    actions: Sequence[str]
    sources: Sequence[str]


async def has_access(
    ctx: Ctx, project_id: str, selection: SecretSelection, *, contains: str = "", offset: int = 0, limit: int = 50
) -> Page[AccessEntry]:
    """Return one page of a project's members by name, with the actions each may do; ended members may do none."""
    scope = await enter_project(ctx, project_id)
    ctx.require(scope, "read", "member")
    ctx.require(scope, "read", "identity")
    async with ctx.survey() as tx:
        members, total = await access_report.page(
            tx, scope.org_id, scope.project.id, now=ctx.now, contains=contains, offset=offset, limit=limit
        )
        turns = Turns()
        holdings = await access_report.holdings(tx, scope.project.id, members, turns)
    entries, known = list[AccessEntry](), Answers()
    for member in members:
        rules = rule_count(
            [role for role, _ in holdings.roles[member.kind, member.id]], holdings.privileges[member.kind, member.id]
        )
        entries.append(await beside(rules, _entry, member, holdings, selection.facts, ctx.now, known))
        await turns.give()
    return Page(entries, total)


class Answers:
    """Answers kept for roles that several members hold: their rules, and the actions that these allow."""

    def __init__(self) -> None:
        self.rules: Known = {}
        self._allowed: dict[tuple[str, str], frozenset[str]] = {}

    def allowed(
        self, grant: Grant, role: HeldRole | None, facts: Mapping[str, Any], context: Mapping[str, Any]
    ) -> frozenset[str]:
        """Return the actions that a grant allows by itself.

        They are the same for every holder where its rules have no expressions.
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


def _entry(member: Somebody, holdings: Holdings, facts: Mapping[str, Any], now: int, known: Answers) -> AccessEntry:
    key = (member.kind, member.id)
    roles, privileges = holdings.roles[key], holdings.privileges[key]
    metadata = {item.key: item.value for item in holdings.metadata.get(key, ())}
    context = {"identity": {"id": member.id, "username": member.name, "metadata": metadata, "auth": {}}}
    own = [role for role, _ in roles if role.membership.actor_kind == member.kind]
    if not member.is_usable or (own and not own[0].membership.is_active):
        return AccessEntry(member=member, actions=(), sources=())
    grants, _ = active_grants("project", [role for role, _ in roles], privileges, now, known.rules)
    ability = compile_rules([_about(grant) for grant in grants], context)
    actions = tuple(action for action in ACTIONS if ability.could(action, _SUBJECT, facts))
    sources: list[str] = []
    for role, group in roles:
        by_itself, _ = active_grants("project", [role], (), now, known.rules)
        if any(known.allowed(grant, role, facts, context) & set(actions) for grant in by_itself):
            sources += [f"{grant.source} through group {group}" if group else grant.source for grant in by_itself]
    by_itself, _ = active_grants("project", (), privileges, now)
    sources += [grant.source for grant in by_itself if known.allowed(grant, None, facts, context) & set(actions)]
    return AccessEntry(member=member, actions=actions, sources=tuple(dict.fromkeys(sources)))


def _about(grant: Grant) -> Grant:
    """Return the part of a grant that is about secrets."""
    return Grant(grant.source, tuple(rule for rule in grant.rules if rule.subject == _SUBJECT))
