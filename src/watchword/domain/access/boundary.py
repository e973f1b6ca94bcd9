"""Compare privileges: whether the rules that a caller is about to grant lie inside the caller's own.

The answer errs on one side only. What cannot be proven to lie inside is missing. Deny rules of the target are not
looked at: they only take away, and leaving them out can make more missing but never less. Every deny rule of the parent
counts, wherever it stands in the order.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from watchword.domain.access.abilities import FALLBACK, FALLBACK_SUBJECT, Ability, expand
from watchword.domain.access.conditions import Ready, excludes, implies, ready
from watchword.domain.access.rules import to_object
from watchword.domain.access.subjects import Rule
from watchword.domain.errors import BoundaryExceeded
from watchword.domain.globs import Effort

_MAX_NAMED = 5
_A_PAIR = 10  # steps: two conditions compared, besides the steps of their patterns
AT_ONCE = 5_000  # steps in one piece: about a hundredth of a second
MOST_STEPS = 1_000_000  # of one comparison
_MANY = 400  # rules, from which on it is first looked whether the outcome is known
_KEPT = 256


class Missing(msgspec.Struct, frozen=True):
    """One action on one subject that the target would allow and the parent does not prove to allow."""

    action: str
    subject: str
    conditions: Mapping[str, Any] | None = None


class _Pause(Exception):
    """Raised when enough was done for one piece of work.

    What was found out about pairs of rules is kept, so that the next piece comes back to the same point at once.
    """


class Comparison:
    """The comparison of roles or privileges with a parent, made in pieces.

    Comparing large roles takes longer than other requests may be held up.

    Expressions must be filled in before, each side's with its own context; one left open stands for any value.
    """

    def __init__(self, parent: Ability | Sequence[Rule], *targets: Ability | Sequence[Rule]) -> None:
        self._parent = _rules(parent)
        self._mine = _by_question(self._parent)
        self._named = {rule.subject for rule in self._parent}
        self._targets = [_rules(target) for target in targets][::-1]
        self._todo: list[tuple[Rule, str]] = []
        self._pairs: dict[
            tuple[str, int, int], bool
        ] = {}  # rules ask the same of each other for every action they share
        self._ready: dict[int, dict[str, Ready]] = {}  # conditions, taken apart once
        self._steps = self._until = self._most = 0
        self.gaps: dict[str, Missing] = {}
        self.size = len(self._parent) + sum(map(len, self._targets))
        self._sides = (self._parent, *map(_rules, targets))

    def key(self) -> bytes:
        """A digest of the rules that are compared."""
        sides = [[to_object(rule) for rule in rules] for rules in self._sides]
        return hashlib.sha256(msgspec.json.encode(sides)).digest()

    def go_on(self, steps: int) -> bool:
        """Take about that many steps; the answer is whether the end was reached.

        Beyond MOST_STEPS, what is left of a target counts as missing.
        """
        self._until = self._steps + steps
        try:
            while self._todo or self._targets:
                if self._steps >= self._until:
                    return False
                if not self._todo:
                    self._begin(self._targets.pop())
                    continue
                self._steps += 2
                rule, action = self._todo[-1]
                if self._steps >= self._most or not self._covered(rule, action):
                    gap = Missing(action, rule.subject, rule.conditions)
                    self.gaps.setdefault(repr(gap), gap)
                self._todo.pop()
        except _Pause:
            return False
        return True

    def _begin(self, target: Sequence[Rule]) -> None:
        """Turn to the next target: each target is compared by itself."""
        self._steps += 1 + 2 * len(target)
        self._most = self._steps + MOST_STEPS
        self._todo = [(rule, action) for rule in _with_implied(target) for action in _actions(rule)][::-1]

    def _covered(self, rule: Rule, action: str) -> bool:
        if rule.subject in FALLBACK and rule.subject not in self._named:
            sources = FALLBACK[rule.subject].get(action, ())
            return any(self._inside(rule, self._mine.get((source, FALLBACK_SUBJECT), ())) for source in sources)
        return self._inside(rule, self._mine.get((action, rule.subject), ()))

    def _inside(self, rule: Rule, parents: Sequence[Rule]) -> bool:
        """Whether one grant of the parent takes in the whole rule, and no denial of the parent can meet it."""
        granted = any(not p.inverted and self._kept_answer(_takes_in, p, rule) for p in parents)
        return granted and all(self._kept_answer(_apart, rule, p) for p in parents if p.inverted)

    def _kept_answer(
        self, question: Callable[[Mapping[str, Ready], Mapping[str, Ready]], bool], left: Rule, right: Rule
    ) -> bool:
        key = (question.__name__, id(left.conditions), id(right.conditions))
        answer = self._pairs.get(key)
        if answer is None:
            if self._steps >= self._until:
                raise _Pause
            before = Effort.steps
            answer = self._pairs[key] = question(self._ready_conditions(left), self._ready_conditions(right))
            self._steps += _A_PAIR + Effort.steps - before
        return answer

    def _ready_conditions(self, rule: Rule) -> Mapping[str, Ready]:
        known = self._ready.get(id(rule.conditions))
        if known is None:
            known = {field: ready(field, operand) for field, operand in (rule.conditions or {}).items()}
            self._ready[id(rule.conditions)] = known
            self._steps += sum(one.size for one in known.values())
        return known


def missing(parent: Ability | Sequence[Rule], target: Ability | Sequence[Rule]) -> tuple[Missing, ...]:
    """The actions of the target that lie outside the parent; empty when all of it is proven to lie inside."""
    comparison = Comparison(parent, target)
    while not comparison.go_on(MOST_STEPS):
        pass
    return tuple(comparison.gaps.values())


class Unfinished(Exception):
    """A comparison that takes too long to be made at once: to be finished in pieces, and the request begun again.

    Its outcome is kept for that (`finished`), for a short time and a few comparisons.
    """

    def __init__(self, key: bytes, comparison: Comparison) -> None:
        super().__init__("a comparison of roles is not finished")
        self.key = key
        self.comparison = comparison


_FINISHED: OrderedDict[bytes, tuple[Missing, ...]] = OrderedDict()


def finished(unfinished: Unfinished) -> None:
    """Keep the outcome of a comparison that has reached its end."""
    _FINISHED[unfinished.key] = tuple(unfinished.comparison.gaps.values())
    while len(_FINISHED) > _KEPT:
        _FINISHED.popitem(last=False)


def _outcome(comparison: Comparison) -> Sequence[Missing]:
    """The outcome of a comparison; raises Unfinished when that would take long and is not known from before."""
    key = comparison.key() if comparison.size > _MANY and _FINISHED else None
    if key is None or key not in _FINISHED:
        if comparison.go_on(AT_ONCE):
            return tuple(comparison.gaps.values())
        key = key or comparison.key()
        if key not in _FINISHED:
            raise Unfinished(key, comparison)
    return _FINISHED[key]


def require_within(parent: Ability | Sequence[Rule], targets: Sequence[Ability | Sequence[Rule]]) -> None:
    """Raise BoundaryExceeded unless no target allows more than the parent; the refusal names what it allows more.

    A target is a role or a privilege; each is compared by itself.

    Raises Unfinished for rules that take long to compare.
    """
    gaps = _outcome(Comparison(parent, *targets))
    if gaps:
        details = [_wire(gap) for gap in gaps]
        names = list(dict.fromkeys(f"{gap.action} on {gap.subject}" for gap in gaps))
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


def _rules(source: Ability | Sequence[Rule]) -> Sequence[Rule]:
    return source.rules if isinstance(source, Ability) else source


def _actions(rule: Rule) -> tuple[str, ...]:
    """The actions to compare: the old `read` on secrets is nothing but the two it stands for."""
    actions = expand(rule)
    return tuple(a for a in actions if a != "read") if rule.subject == FALLBACK_SUBJECT else actions


def _by_question(rules: Sequence[Rule]) -> dict[tuple[str, str], list[Rule]]:
    by_question: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for action in _actions(rule):
            by_question.setdefault((action, rule.subject), []).append(rule)
    return by_question


def _with_implied(rules: Sequence[Rule]) -> list[Rule]:
    """The target's grants, with those on folders and imports that follow from `secrets` when nothing names them.

    Without these a holder of `secrets: create` and a narrow `secret-folders` rule could hand out folder rights beyond
    its own.
    """
    grants = [rule for rule in rules if not rule.inverted]
    named = {rule.subject for rule in grants}
    implied = [
        Rule(
            subject,
            tuple(action for action, sources in actions.items() if set(sources) & set(expand(rule))),
            rule.conditions,
        )
        for subject, actions in FALLBACK.items()
        if subject not in named
        for rule in grants
        if rule.subject == FALLBACK_SUBJECT and _is_about_places(rule)
    ]
    return grants + [rule for rule in implied if rule.actions]


def _is_about_places(rule: Rule) -> bool:
    """Whether the rule can match a question that brings only an environment and a path."""
    return set(rule.conditions or ()) <= {"environment", "secretPath"}


def _takes_in(parent: Mapping[str, Ready], child: Mapping[str, Ready]) -> bool:
    return all(field in child and implies(field, child[field], operand) for field, operand in parent.items())


def _apart(left: Mapping[str, Ready], right: Mapping[str, Ready]) -> bool:
    # A denial with a faulty pattern denies everything, whatever its other fields say.
    return not any(operand.is_faulty for operand in (*left.values(), *right.values())) and any(
        field in right and excludes(field, operand, right[field]) for field, operand in left.items()
    )
