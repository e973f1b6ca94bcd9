"""More privileged than yourself: whether rules someone is about to hand out lie inside their own (contract 6.8).

The answer errs on one side only. What cannot be proven to lie inside is missing. Deny rules of the target are not looked at: they
only take away, and leaving them out can make more missing but never less. Every deny rule of the parent counts, wherever it
stands in the order.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.access import FALLBACK, FALLBACK_SUBJECT, Ability, expand
from watchword.domain.conditions import excludes, implies
from watchword.domain.errors import BoundaryExceeded
from watchword.domain.subjects import Rule

_MAX_NAMED = 5


class Missing(msgspec.Struct, frozen=True):
    """One action on one subject that the target would allow and the parent does not prove to allow."""

    action: str
    subject: str
    conditions: Mapping[str, Any] | None = None


def missing(parent: Ability | Sequence[Rule], target: Ability | Sequence[Rule]) -> tuple[Missing, ...]:
    """What of the target lies outside the parent; empty when all of it is proven to lie inside.

    Expressions must be filled in before, each side's with its own context; one left open stands for any value.
    """
    mine = _by_question(_rules(parent))
    named = {rule.subject for rule in _rules(parent)}
    gaps: dict[str, Missing] = {}
    for rule in _with_implied(_rules(target)):
        for action in _actions(rule):
            if not _covered(rule, action, mine, named):
                gap = Missing(action, rule.subject, rule.conditions)
                gaps.setdefault(repr(gap), gap)
    return tuple(gaps.values())


def require_within(parent: Ability | Sequence[Rule], targets: Sequence[Ability | Sequence[Rule]]) -> None:
    """Every target (each role and privilege for itself) lies inside the parent; raises BoundaryExceeded naming what does not."""
    gaps = {repr(gap): gap for target in targets for gap in missing(parent, target)}
    if gaps:
        details = [_wire(gap) for gap in gaps.values()]
        names = list(dict.fromkeys(f"{gap.action} on {gap.subject}" for gap in gaps.values()))
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        message = f"This needs permissions that you do not have yourself: {', '.join(names[:_MAX_NAMED])}{more}"
        raise BoundaryExceeded(message, details={"missingPermissions": details})


def is_active(is_temporary: bool, start: int | None, end: int | None, now: int) -> bool:
    """Whether a role or privilege counts: always when permanent, else from its start until just before its end."""
    return not is_temporary or (start is not None and end is not None and start <= now < end)


def _wire(gap: Missing) -> dict[str, Any]:
    wire: dict[str, Any] = {"action": gap.action, "subject": gap.subject}
    if gap.conditions is not None:
        wire["conditions"] = gap.conditions
    return wire


def _rules(given: Ability | Sequence[Rule]) -> Sequence[Rule]:
    return given.rules if isinstance(given, Ability) else given


def _actions(rule: Rule) -> tuple[str, ...]:
    """The actions to compare: the old `read` on secrets is nothing but the two it stands for."""
    actions = expand(rule)
    return tuple(a for a in actions if a != "read") if rule.subject == FALLBACK_SUBJECT else actions


def _by_question(rules: Sequence[Rule]) -> dict[tuple[str, str], list[Rule]]:
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for action in _actions(rule):
            found.setdefault((action, rule.subject), []).append(rule)
    return found


def _with_implied(rules: Sequence[Rule]) -> list[Rule]:
    """The target's grants, with those on folders and imports that follow from `secrets` when nothing names them.

    Without these a holder of `secrets: create` and a narrow `secret-folders` rule could hand out folder rights beyond its own.
    """
    grants = [rule for rule in rules if not rule.inverted]
    named = {rule.subject for rule in grants}
    implied = [
        Rule(subject, tuple(action for action, sources in actions.items() if set(sources) & set(expand(rule))), rule.conditions)
        for subject, actions in FALLBACK.items()
        if subject not in named
        for rule in grants
        if rule.subject == FALLBACK_SUBJECT and _is_about_places(rule)
    ]
    return grants + [rule for rule in implied if rule.actions]


def _is_about_places(rule: Rule) -> bool:
    """Whether the rule can match a question that brings only an environment and a path."""
    return set(rule.conditions or ()) <= {"environment", "secretPath"}


def _covered(rule: Rule, action: str, mine: Mapping[tuple[str, str], list[Rule]], named: set[str]) -> bool:
    if rule.subject in FALLBACK and rule.subject not in named:
        sources = FALLBACK[rule.subject].get(action, ())
        return any(_inside(rule, mine.get((source, FALLBACK_SUBJECT), ())) for source in sources)
    return _inside(rule, mine.get((action, rule.subject), ()))


def _inside(rule: Rule, parents: Sequence[Rule]) -> bool:
    """Steps 3 to 5: one grant of the parent takes in the whole rule, and no denial of the parent can meet it."""
    granted = any(not p.inverted and _takes_in(p.conditions or {}, rule.conditions or {}) for p in parents)
    return granted and all(_apart(rule.conditions or {}, p.conditions or {}) for p in parents if p.inverted)


def _takes_in(parent: Mapping[str, Any], child: Mapping[str, Any]) -> bool:
    return all(field in child and implies(field, child[field], operand) for field, operand in parent.items())


def _apart(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return any(field in other and excludes(field, operand, other[field]) for field, operand in one.items())
