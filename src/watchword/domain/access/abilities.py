"""Who may do what: rules compiled into an `Ability` that answers quickly, and explained when the answer is no.

Rules stand in order: roles first, then additional privileges. Of those that fit a question the last one decides; none
means no. The table of subjects and the built-in roles live in `subjects.py`, reading and answering rules in `rules.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from watchword.domain.access.conditions import Test, compile_operand, has_faulty_pattern, is_open, rendered
from watchword.domain.access.rule_index import Left, RuleIndex
from watchword.domain.access.rules import pack, parse_rules, stored_rules, to_object, to_objects
from watchword.domain.access.subjects import BUILT_IN, SUBJECTS, BuiltInRole, Rule, ScopeKind, Subject, built_in
from watchword.domain.errors import PermissionDenied

__all__ = [
    "BUILT_IN",
    "SUBJECTS",
    "Ability",
    "BuiltInRole",
    "Decision",
    "Grant",
    "Rule",
    "ScopeKind",
    "Subject",
    "built_in",
    "compile_rules",
    "denial",
    "expand",
    "pack",
    "parse_rules",
    "stored_rules",
    "to_object",
    "to_objects",
    "why",
]

# Folders and imports were once governed by `secrets` alone. Roles of that time do not name them; where no rule does,
# the question is asked about `secrets`, with the place as the only facts.
FALLBACK: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    subject: {"read": ("describeSecret", "readValue"), "create": ("create",), "edit": ("edit",), "delete": ("delete",)}
    for subject in ("secret-folders", "secret-imports")
}
FALLBACK_SUBJECT: Final = "secrets"
INDEXED: Final = 12  # rules on one question from which an index pays off
SLOW: Final = 8  # tests that an index does not make quicker, from which on asking is long work
_FALLBACK_FACTS: Final = ("environment", "secretPath")


class Grant(msgspec.Struct, frozen=True, weakref=True):
    """Rules and where they come from: "role developer", "privilege deploy-window".

    `is_local`: they are about one folder, and where they do not fit the question is as if they were not there.
    """

    source: str
    rules: tuple[Rule, ...]
    is_local: bool = False


class Decision(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """An answer and its reason: the rule that decided, or the one that came nearest and where the question left it."""

    allowed: bool
    text: str
    rule: dict[str, Any] | None = None
    index: int | None = None
    source: str | None = None
    field: str | None = None
    expected: Any = None
    presented: Any = None


class _Compiled:
    """A rule ready to be asked.

    What a faulty pattern was meant to match is not known: a grant with one allows nothing, a denial denies everything
    of its subject.
    """

    __slots__ = ("conditions", "grants", "index", "is_dead", "is_faulty", "tests")

    def __init__(self, rule: Rule, index: int) -> None:
        conditions = rule.conditions or {}
        self.index = index
        self.grants = not rule.inverted
        self.is_faulty = has_faulty_pattern(conditions)
        self.conditions: Mapping[str, Any] = {} if self.is_faulty and rule.inverted else conditions
        self.tests: tuple[tuple[str, Test], ...] = tuple((f, compile_operand(f, o)) for f, o in self.conditions.items())
        # A grant to "{{identity.metadata.team}}" gives nothing to an identity without a team, whatever the operator.
        self.is_dead = self.grants and (self.is_faulty or is_open(conditions))

    def fits(self, facts: Mapping[str, Any] | None) -> bool:
        if self.is_dead:
            return False
        if not self.tests:
            return True
        if facts is None:
            return self.grants
        return all(field in facts and facts[field] is not None and test(facts[field]) for field, test in self.tests)


_Entry: TypeAlias = bool | tuple[_Compiled, ...]


class Narrowed:
    """A question of which some facts are known, to be asked about the others many times.

    `answer` is set where they do not matter.
    """

    __slots__ = ("_index", "_left", "_rules", "answer")

    def __init__(
        self,
        answer: bool | None,
        rules: Sequence[tuple[Sequence[tuple[str, Test]], bool]] = (),
        index: RuleIndex | None = None,
        left: Left | None = None,
    ) -> None:
        self.answer = answer
        self._rules = rules
        self._index = index
        self._left = left

    @property
    def between(self) -> int:
        """How often this question may be asked in one piece of work.

        With few rules an answer takes next to nothing, with very many a tenth of a millisecond.
        """
        return 512 // (len(self._rules) + 1) if self._index is None else 1

    @property
    def is_slow(self) -> bool:
        """Whether many of the rules must be asked one by one, each time: too long for one piece."""
        return self._index is not None and self._index.slow > SLOW

    def allows(self, facts: Mapping[str, Any]) -> bool:
        """Whether the action is allowed on the subject with these facts beside the known ones."""
        if self.answer is not None:
            return self.answer
        if self._index is not None:
            return self._index.decided(facts, self._left)
        for tests, grants in self._rules:
            for field, test in tests:
                value = facts.get(field)
                if value is None or not test(value):
                    break
            else:
                return grants
        return False


class Ability:
    """What a caller may do; made by `compile_rules`."""

    __slots__ = (
        "__weakref__",
        "_by_question",
        "_indices",
        "_left_open",
        "_subjects",
        "_table",
        "faulty",
        "rules",
        "sources",
    )

    def __init__(self, grants: Sequence[Grant]) -> None:
        self.rules: tuple[Rule, ...] = tuple(rule for grant in grants for rule in grant.rules)
        self.sources: tuple[str, ...] = tuple(grant.source for grant in grants for _ in grant.rules)
        self._subjects = frozenset(rule.subject for rule in self.rules)
        # What only local rules name: elsewhere the rules on secrets go on deciding about it.
        named = {rule.subject for grant in grants if not grant.is_local for rule in grant.rules}
        self._left_open = frozenset(FALLBACK) & self._subjects - named
        self._by_question: dict[tuple[str, str], list[_Compiled]] = {}
        faulty: dict[str, None] = {}
        for index, rule in enumerate(self.rules):
            compiled = _Compiled(rule, index)
            if compiled.is_faulty:
                faulty[self.sources[index]] = None
            for action in expand(rule):
                self._by_question.setdefault((action, rule.subject), []).append(compiled)
        self.faulty = tuple(faulty)  # sources with a rule whose pattern is faulty
        self._table: dict[tuple[str, str], _Entry] = {
            question: _entry(rules) for question, rules in self._by_question.items()
        }
        self._indices = _indices(self._table, self._left_open)

    def prepare(self) -> None:
        """Make now what the first questions would need: with hundreds of patterns that takes long."""
        for index in self._indices.values():
            index.prepare()

    def allows(self, action: str, subject: str, facts: Mapping[str, Any] | None = None) -> bool:
        """Whether the action is allowed on the subject with these facts; without facts, on some such subject at all."""
        entry = self._table.get((action, subject))
        if entry is True or entry is False:
            return entry
        if entry is None:
            return subject in FALLBACK and self._falls_back(action, subject, facts)
        if self._indices and facts is not None and (index := self._indices.get((action, subject))) is not None:
            return index.decided(facts)
        for rule in entry:
            if rule.fits(facts):
                return rule.grants
        return subject in self._left_open and self._falls_back(action, subject, facts)

    def always(self, action: str, subject: str) -> bool:
        """Whether the action is allowed on every such subject."""
        return self._table.get((action, subject)) is True

    def is_unlimited(self, scope: ScopeKind) -> bool:
        """Whether no rule denies, and each action on each subject of the scope is allowed without conditions."""
        return not any(rule.inverted for rule in self.rules) and all(
            self.always(action, name) for name, subject in SUBJECTS[scope].items() for action in subject.actions
        )

    def could(self, action: str, subject: str, facts: Mapping[str, Any]) -> bool:
        """Whether the action may be allowed on some such subject of which only these facts are known."""
        entry = self._table.get((action, subject), False)
        if isinstance(entry, bool):
            return entry
        if self._indices and (index := self._indices.get((action, subject))) is not None:
            return index.possible(facts)
        for rule in entry:
            if all(test(facts[field]) for field, test in rule.tests if field in facts):
                if rule.grants:
                    return True
                if all(field in facts for field, _ in rule.tests):
                    return False
        return False

    def maybe(self, action: str, subject: str, facts: Mapping[str, Any]) -> bool:
        """Whether the action may be allowed on some such subject in this place, by rules on secrets too."""
        return self.could(action, subject, facts) or (
            self.falls_back(action, subject, facts) and self._falls_back(action, subject, facts)
        )

    def surely(self, action: str, subject: str, facts: Mapping[str, Any]) -> bool:
        """Whether the action is allowed on every such subject in this place, by rules on secrets too."""
        return self.narrowed(action, subject, facts).answer is True or (
            self.falls_back(action, subject, facts) and self._falls_back(action, subject, facts)
        )

    def looks_at(self, action: str, subject: str) -> frozenset[str]:
        """The fields that the answer may depend on; none when it is the same for every such subject."""
        entry = self._table.get((action, subject), False)
        return frozenset() if isinstance(entry, bool) else frozenset(field for rule in entry for field, _ in rule.tests)

    def narrowed(self, action: str, subject: str, known: Mapping[str, Any]) -> Narrowed:
        """The rest of the question where these facts are known.

        Rules that the facts rule out are gone, and a test that they pass is not made again.
        """
        entry = self._table.get((action, subject), False)
        if isinstance(entry, bool):
            return Narrowed(entry)
        if self._indices and (index := self._indices.get((action, subject))) is not None:
            narrowed = index.narrowed(known)
            return Narrowed(narrowed.answer, index=index, left=narrowed)
        left: list[tuple[Sequence[tuple[str, Test]], bool]] = []
        for rule in entry:
            if all(known[field] is not None and test(known[field]) for field, test in rule.tests if field in known):
                rest = [(field, test) for field, test in rule.tests if field not in known]
                left.append((rest, rule.grants))
                if not rest:
                    break
        if not any(grants for _, grants in left):
            return Narrowed(answer=False)
        return Narrowed(None, left) if left[0][0] else Narrowed(left[0][1])

    def names(self, subject: str) -> bool:
        """Whether a rule is about this subject."""
        return subject in self._subjects

    def questions(self, action: str, subject: str) -> tuple[str, tuple[str, ...]]:
        """The subject and the actions (one of which suffices) that this ability answers the question from."""
        if subject in FALLBACK and subject not in self._subjects:
            return FALLBACK_SUBJECT, FALLBACK[subject].get(action, ())
        return subject, (action,)

    def _falls_back(self, action: str, subject: str, facts: Mapping[str, Any] | None) -> bool:
        if subject in self._subjects and subject not in self._left_open:
            return False
        place = fallback_facts(facts)
        return any(self.allows(other, FALLBACK_SUBJECT, place) for other in FALLBACK[subject].get(action, ()))

    def falls_back(self, action: str, subject: str, facts: Mapping[str, Any] | None) -> bool:
        """Whether the rules on secrets decide this question about folders or imports."""
        if subject not in FALLBACK or subject not in self._subjects:
            return subject in FALLBACK
        return subject in self._left_open and not any(rule.fits(facts) for rule in self.candidates(action, subject))

    def candidates(self, action: str, subject: str) -> Sequence[_Compiled]:
        """The rules on the action and subject, the deciding end first."""
        return self._by_question.get((action, subject), [])[::-1]


def _entry(rules: Sequence[_Compiled]) -> _Entry:
    """The rules that can decide, last first; a plain answer when nothing depends on facts."""
    deciding: list[_Compiled] = []
    for rule in reversed(rules):
        if rule.is_dead:
            continue
        deciding.append(rule)
        if not rule.tests:
            break
    if not deciding:
        return False
    if not deciding[0].tests:
        return deciding[0].grants
    return tuple(deciding)


def _indices(table: Mapping[tuple[str, str], _Entry], left_open: Collection[str]) -> dict[tuple[str, str], RuleIndex]:
    """The indices of entries with many rules; the same one for questions that the same rules answer.

    An index does not tell a denial from no rule that fits, so there is none about subjects that are left open.
    """
    by_rules: dict[tuple[int, ...], RuleIndex] = {}
    indices: dict[tuple[str, str], RuleIndex] = {}
    for question, rules in table.items():
        if not isinstance(rules, bool) and len(rules) >= INDEXED and question[1] not in left_open:
            key = tuple(map(id, rules))
            indices[question] = by_rules[key] = by_rules.get(key) or RuleIndex(rules)
    return indices


def fallback_facts(facts: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """The facts that a question about folders or imports brings to `secrets`."""
    return None if facts is None else {key: facts[key] for key in _FALLBACK_FACTS if key in facts}


def expand(rule: Rule) -> tuple[str, ...]:
    """The actions of a rule, the old `read` on secrets with the two it stands for."""
    if rule.subject == FALLBACK_SUBJECT and "read" in rule.actions:
        return tuple(dict.fromkeys((*rule.actions, "describeSecret", "readValue")))
    return rule.actions


def compile_rules(rules: Sequence[Rule] | Sequence[Grant], context: Mapping[str, Any] | None = None) -> Ability:
    """The ability of these rules in their order.

    `context` is `{"identity": {"id", "username", "metadata": {…}, "auth": {…}}}`; its values fill the expressions in
    conditions.
    """
    grants = [item if isinstance(item, Grant) else Grant("", (item,)) for item in rules]
    return Ability([Grant(g.source, tuple(rendered(rule, context) for rule in g.rules), g.is_local) for g in grants])


def why(ability: Ability, action: str, subject: str, facts: Mapping[str, Any] | None = None) -> Decision:
    """The same answer as `allows`, with its reason."""
    asked_subject: str = subject
    actions: tuple[str, ...] = (action,)
    if ability.falls_back(action, subject, facts):
        asked_subject, actions = FALLBACK_SUBJECT, FALLBACK[subject].get(action, ())
    asked_facts = facts if asked_subject == subject else fallback_facts(facts)
    decisions = [_decide(ability, asked_action, asked_subject, asked_facts) for asked_action in actions]
    if not decisions:
        return Decision(allowed=False, text=f"No rule is about {action} on {subject}.")
    decision = next((d for d in decisions if d.allowed), decisions[0])
    if asked_subject != subject:
        text = f"No rule names {subject}, so the rules on {asked_subject} decide. {decision.text}"
        return msgspec.structs.replace(decision, text=text)
    return decision


def _decide(ability: Ability, action: str, subject: str, facts: Mapping[str, Any] | None) -> Decision:
    candidates = ability.candidates(action, subject)
    for compiled in candidates:
        if compiled.fits(facts):
            verb = "allows" if compiled.grants else "denies"
            text = f"{_title(ability, compiled.index)} {verb} {action} on {subject}."
            return _decision(ability, compiled.index, text, allowed=compiled.grants)
    grants = [c for c in candidates if c.grants]
    if not grants:
        return Decision(allowed=False, text=f"No rule allows {action} on {subject}.")
    return _nearest(ability, grants, action, subject, facts or {})


def _nearest(
    ability: Ability, grants: Sequence[_Compiled], action: str, subject: str, facts: Mapping[str, Any]
) -> Decision:
    """The decision by the grant with the fewest unmet conditions, and the first of these conditions."""
    unmet = [[f for f, test in c.tests if facts.get(f) is None or not test(facts[f])] for c in grants]
    best = min(range(len(grants)), key=lambda i: len(unmet[i]))
    conditions = ability.rules[grants[best].index].conditions or {}
    # An expression that nothing fills stops a rule whatever else is met.
    stopped = (f for f, operand in conditions.items() if is_open(operand) or has_faulty_pattern(operand))
    field = next(stopped, None) or unmet[best][0]
    expected, presented = conditions[field], facts.get(field)
    text = (
        f"{_title(ability, grants[best].index)} allows {action} on {subject} only where {field} is {_shown(expected)}; "
    )
    if has_faulty_pattern(expected):
        text += "its pattern is faulty, so the rule allows nothing: write it again."
    elif is_open(expected):
        text += "nothing is known that fills this expression."
    else:
        text += "none was presented." if presented is None else f"presented was {_shown(presented)}."
    decision = _decision(ability, grants[best].index, text, allowed=False)
    return msgspec.structs.replace(decision, field=field, expected=expected, presented=presented)


def _decision(ability: Ability, index: int, text: str, *, allowed: bool) -> Decision:
    rule, source = to_object(ability.rules[index]), ability.sources[index] or None
    return Decision(allowed=allowed, text=text, rule=rule, index=index, source=source)


def _title(ability: Ability, index: int) -> str:
    source = ability.sources[index]
    return f"Rule {index + 1}" + (f" ({source})" if source else "")


def _shown(value: Any) -> str:
    return f"'{value}'" if isinstance(value, str) else msgspec.json.encode(value).decode()


def denial(ability: Ability, action: str, subject: str, facts: Mapping[str, Any] | None = None) -> PermissionDenied:
    """The refusal to raise; its details say what is missing, or which rule of the caller forbids it."""
    decision = why(ability, action, subject, facts)
    missing: dict[str, Any] = {"subject": subject, "action": action}
    if decision.rule is not None:
        missing |= {key: decision.rule[key] for key in ("conditions", "inverted") if key in decision.rule}
    return PermissionDenied(f"You are not allowed to {action} on {subject}", details=[missing])
