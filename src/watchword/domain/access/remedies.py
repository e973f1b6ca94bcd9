"""What would allow an act that is not allowed: roles that are there, the narrowest first, and the smallest rule."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.access.abilities import (
    FALLBACK,
    FALLBACK_SUBJECT,
    Ability,
    Grant,
    compile_rules,
    expand,
)
from watchword.domain.access.rules import MAX_OPERAND, new_rules
from watchword.domain.access.subjects import ENTRIES, FIELDS_OF_ENTRIES, PATH_FIELD, SET, SUBJECTS, Rule, ScopeKind
from watchword.domain.errors import Invalid

MOST_ROLES = 10  # that are proposed


class WantedAct(msgspec.Struct, frozen=True, kw_only=True):
    """An act that is to be allowed, and what its actor has: the grants, and the values of `{{identity.…}}`."""

    scope: ScopeKind
    action: str
    subject: str
    facts: Mapping[str, Any] | None
    grants: Sequence[Grant]
    context: Mapping[str, Any] | None

    @property
    def subjects(self) -> frozenset[str]:
        """The subjects whose rules have a say."""
        return frozenset((self.subject, FALLBACK_SUBJECT))


class Breadth(msgspec.Struct, frozen=True, order=True):
    """How much a role allows: actions on subjects, and how many of these whatever the facts."""

    actions: int
    unconditional: int


def breadth(rules: Sequence[Rule]) -> Breadth:
    """How much these rules allow; inverted ones take nothing off."""
    pairs = {(rule.subject, action): False for rule in rules if not rule.inverted for action in expand(rule)}
    for rule in rules:
        if not rule.inverted and not rule.conditions:
            pairs.update({(rule.subject, action): True for action in expand(rule)})
    return Breadth(len(pairs), sum(pairs.values()))


def would_allow(wanted: WantedAct, added: Sequence[Rule], *, is_role: bool) -> bool:
    """Whether the act is allowed once these rules are added: as one more role, or as a privilege behind all others."""
    relevant = [
        Grant(grant.source, tuple(rule for rule in grant.rules if rule.subject in wanted.subjects), grant.is_local)
        for grant in wanted.grants
    ]
    new = Grant("added", tuple(rule for rule in added if rule.subject in wanted.subjects))
    # Roles come before privileges, whose rules have the last word but in a folder with access of its own.
    at = sum(grant.source.startswith("role ") if is_role else not grant.is_local for grant in relevant)
    ability = compile_rules([*relevant[:at], new, *relevant[at:]], wanted.context)
    return ability.allows(wanted.action, wanted.subject, wanted.facts)


def smallest_rule(wanted: WantedAct) -> Rule | None:
    """The rule that allows this act, on nothing but the things with these facts; None if no single rule does."""
    subject, action = _asked(wanted)
    fields = SUBJECTS[wanted.scope][subject].fields
    facts = {name: value for name, value in (wanted.facts or {}).items() if name in fields}
    conditions: dict[str, str | dict[str, object]] = {
        name: operand for name, value in facts.items() if (operand := _operand(fields[name], name, value))
    }
    rule = Rule(subject, (action,), conditions or None)
    try:
        new_rules(wanted.scope, [{"subject": subject, "action": [action], "conditions": conditions or None}])
    except Invalid:
        return None
    return rule if would_allow(wanted, (rule,), is_role=False) else None


def _asked(wanted: WantedAct) -> tuple[str, str]:
    """The subject and the action that the rule is to name.

    Where the rules on secrets decide for folders and imports, a rule that names those would end that.
    """
    ability: Ability = compile_rules(wanted.grants, wanted.context)
    subject, actions = ability.questions(wanted.action, wanted.subject)
    if ability.falls_back(wanted.action, wanted.subject, wanted.facts):
        subject, actions = FALLBACK_SUBJECT, FALLBACK[wanted.subject].get(wanted.action, ())
    return (subject, actions[0]) if actions and ability.names(subject) else (wanted.subject, wanted.action)


def _operand(operators: frozenset[str], name: str, value: Any) -> dict[str, object] | None:
    """The condition that a fact meets and as few others as can be; None where no condition can say it."""
    if operators == SET:
        return {"$all": list(value)} if value and all(_is_sayable(item) for item in value) else None
    if operators == ENTRIES:
        first = {key: text for key, text in value[0].items() if key in FIELDS_OF_ENTRIES} if value else {}
        sayable = first and all(_is_sayable(text) for text in first.values())
        return {"$elemMatch": {key: {"$eq": text} for key, text in first.items()}} if sayable else None
    is_path = name != PATH_FIELD or (isinstance(value, str) and value.startswith("/"))
    return {"$eq": value} if _is_sayable(value) and is_path else None


def _is_sayable(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_OPERAND and "{{" not in value
