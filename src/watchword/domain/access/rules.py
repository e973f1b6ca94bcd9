"""Parse permission rules from requests, reporting all faults, and render them as objects or packed arrays."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from watchword.domain.access.subjects import FIELDS_OF_ENTRIES, PATH_FIELD, SUBJECTS, TEXT, Rule, ScopeKind, Subject
from watchword.domain.errors import Invalid, Issue
from watchword.domain.globs import typed_glob_fault

MAX_RULES: Final = 1_000
MAX_OPERANDS: Final = 500
MAX_OPERAND: Final = 512
MAX_PATTERNS: Final = 300  # `$glob` conditions of one role or privilege: each is compared with each secret of a list
MAX_DENIALS: Final = 20  # those of them with `!( )`, which cost up to a hundred times as much
MAX_CONDITIONS: Final = 256 * 1024  # characters of all conditions of one role or privilege

TEMPLATE: Final = re.compile(r"\{\{\s*([^{}\s]+)\s*\}\}")
_ANY_TEMPLATE: Final = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)

_Path = tuple[str | int, ...]


def parse_rules(scope: ScopeKind, raw: Any, path: _Path = ("permissions",)) -> tuple[Rule, ...]:
    """The rules of a list of objects or packed arrays. Raises Invalid with every fault.

    Nothing is dropped silently.
    """
    return _read(_Reader(scope), raw, path)


def stored_rules(scope: ScopeKind, raw: Any) -> tuple[Rule, ...]:
    """The rules of a role or privilege as it is stored. Raises Invalid for what nobody can have stored.

    Its patterns were examined when it was stored. To examine one takes a hundred times as long as to read the rest of
    its rule, and large roles are read again and again.
    """
    return _read(_Reader(scope, examines_patterns=False), raw, ("permissions",))


def _read(reader: "_Reader", raw: Any, path: _Path) -> tuple[Rule, ...]:
    if not isinstance(raw, list | tuple):
        raise Invalid([_type(path, "array", raw)])
    if len(raw) > MAX_RULES:
        raise Invalid(
            [Issue(code="too_big", path=path, message=f"A role has at most {MAX_RULES} rules", maximum=MAX_RULES)]
        )
    rules = [rule for i, item in enumerate(raw) for rule in reader.read(item, (*path, i))]
    if reader.issues:
        raise Invalid(reader.issues)
    return tuple(rules)


def new_rules(scope: ScopeKind, raw: Any, path: _Path = ("permissions",)) -> tuple[Rule, ...]:
    """The rules of a role or privilege that is about to be stored.

    They are read as by `parse_rules`, and are within what their questions may cost.

    Real roles have less than two hundred rules and a handful of patterns.
    """
    rules = parse_rules(scope, raw, path)
    patterns = denials = size = 0
    for rule in rules:
        for operator, operand in _operands(rule.conditions or {}):
            patterns += operator == "$glob"
            denials += operator == "$glob" and "!(" in operand
            size += len(operand)
    issues = []
    if patterns > MAX_PATTERNS:
        message = f"At most {MAX_PATTERNS} patterns ($glob) in all conditions together, not {patterns}"
        issues.append(Issue(code="too_big", path=path, message=message, maximum=MAX_PATTERNS))
    if denials > MAX_DENIALS:
        message = (
            f"At most {MAX_DENIALS} patterns with a negated group, !( ), in all conditions together, not {denials}"
        )
        issues.append(Issue(code="too_big", path=path, message=message, maximum=MAX_DENIALS))
    if size > MAX_CONDITIONS:
        message = f"At most {MAX_CONDITIONS} characters in all conditions together, not {size}"
        issues.append(Issue(code="too_big", path=path, message=message, maximum=MAX_CONDITIONS))
    if issues:
        raise Invalid(issues)
    return rules


def _operands(condition: Any, operator: str = "$eq") -> Iterator[tuple[str, str]]:
    """Every text in a condition, with the operator it stands under."""
    if isinstance(condition, Mapping):
        for key, value in condition.items():
            yield from _operands(value, key if key.startswith("$") else "$eq")
    elif isinstance(condition, list | tuple):
        for value in condition:
            yield from _operands(value, operator)
    else:
        yield operator, condition


def to_object(rule: Rule) -> dict[str, Any]:
    """The rule as it is answered: actions always a list, `conditions` and `inverted` only where they are set."""
    answer: dict[str, Any] = {"subject": rule.subject, "action": list(rule.actions)}
    if rule.conditions is not None:
        answer["conditions"] = rule.conditions
    if rule.inverted:
        answer["inverted"] = True
    return answer


def to_objects(rules: Iterable[Rule]) -> list[dict[str, Any]]:
    """The rules as they are answered."""
    return [to_object(rule) for rule in rules]


def pack(rules: Iterable[Rule]) -> list[list[Any]]:
    """The rules as packed arrays: actions, subject, conditions or 0, 1 if inverted; trailing empty members are cut."""
    packed: list[list[Any]] = []
    for rule in rules:
        array: list[Any] = [",".join(rule.actions), rule.subject, rule.conditions or 0, int(rule.inverted)]
        while array[-1] == 0:
            array.pop()
        packed.append(array)
    return packed


def _type(path: _Path, expected: str, value: Any) -> Issue:
    received = (
        "undefined"
        if value is _MISSING
        else "null"
        if value is None
        else "boolean"
        if isinstance(value, bool)
        else "number"
        if isinstance(value, int | float)
        else "string"
        if isinstance(value, str)
        else "array"
        if isinstance(value, list | tuple)
        else "object"
    )
    message = "Required" if value is _MISSING else f"Expected {expected}, received {received}"
    return Issue(code="invalid_type", path=path, message=message, expected=expected, received=received)


_MISSING: Final = object()
_KEYS: Final = ("subject", "action", "conditions", "inverted")
_UNUSED: Final = ("fields", "reason")  # known to the packed form of old clients; accepted only when empty


class _Reader:
    """Read the rules of one scope, and gather the faults."""

    def __init__(self, scope: ScopeKind, *, examines_patterns: bool = True) -> None:
        self.subjects = SUBJECTS[scope]
        self._examines_patterns = examines_patterns
        self.issues: list[Issue] = []

    def custom(self, path: _Path, message: str) -> None:
        """Add a fault against a rule of Watchword itself."""
        self.issues.append(Issue(code="custom", path=path, message=message))

    def read(self, raw: Any, path: _Path) -> Iterable[Rule]:
        """The rules of one member of the list: more than one when a packed array names several subjects."""
        if isinstance(raw, list | tuple):
            yield from self._packed(raw, path)
        elif not isinstance(raw, Mapping):
            self.issues.append(_type(path, "object", raw))
        elif rule := self._object(raw, path):
            yield rule

    def _packed(self, raw: Sequence[Any], path: _Path) -> Iterable[Rule]:
        if not 2 <= len(raw) <= 6 or not isinstance(raw[0], str) or not isinstance(raw[1], str):
            self.custom(
                path,
                "A packed rule is [actions, subjects, conditions or 0, 1 if inverted], both names as comma-separated "
                "text",
            )
            return
        actions, subjects, conditions, inverted, *unused = (*raw, 0, 0)[: max(len(raw), 4)]
        if any(unused):
            self.custom(path, "Field lists and reasons are not supported in a rule")
        if inverted not in (0, 1):
            self.custom((*path, 3), "Write 1 for an inverted rule, otherwise 0")
        for subject in subjects.split(","):
            rule = {
                "subject": subject,
                "action": actions.split(","),
                "conditions": conditions or None,
                "inverted": inverted == 1,
            }
            if read := self._object(rule, path):
                yield read

    def _object(self, raw: Mapping[str, Any], path: _Path) -> Rule | None:
        before = len(self.issues)
        if unknown := [key for key in raw if key not in _KEYS and (key not in _UNUSED or raw[key])]:
            names = ", ".join(f"'{key}'" for key in unknown)
            self.issues.append(
                Issue(code="unrecognized_keys", path=path, message=f"Unrecognized key(s) in object: {names}")
            )
        name = raw.get("subject", _MISSING)
        subject = self.subjects.get(name) if isinstance(name, str) else None
        if subject is None:
            options = tuple(self.subjects)
            message = "Invalid discriminator value. Expected " + " | ".join(f"'{o}'" for o in options)
            self.issues.append(
                Issue(code="invalid_union_discriminator", path=(*path, "subject"), message=message, options=options)
            )
            return None
        actions = self._actions(subject, raw.get("action", _MISSING), (*path, "action"))
        conditions = self._conditions(subject, raw.get("conditions"), (*path, "conditions"))
        inverted = raw.get("inverted")
        if inverted is not None and not isinstance(inverted, bool):
            self.issues.append(_type((*path, "inverted"), "boolean", inverted))
        elif inverted and not subject.fields:
            self.custom(
                (*path, "inverted"), f"A rule on {subject.name} cannot be inverted: this subject has no conditions"
            )
        return Rule(subject.name, actions, conditions, bool(inverted)) if len(self.issues) == before else None

    def _actions(self, subject: Subject, raw: Any, path: _Path) -> tuple[str, ...]:
        actions = [raw] if isinstance(raw, str) else raw
        if not isinstance(actions, list | tuple):
            self.issues.append(_type(path, "array", raw))
            return ()
        if not actions:
            self.issues.append(Issue(code="too_small", path=path, message="Name at least one action", minimum=1))
        for i, action in enumerate(actions):
            if not isinstance(action, str) or action not in subject.actions:
                at = path if isinstance(raw, str) else (*path, i)
                message = f"Invalid input: {subject.name} knows the actions {', '.join(subject.actions)}"
                shown = action[:64] if isinstance(action, str) else None
                self.issues.append(
                    Issue(code="invalid_enum_value", path=at, message=message, received=shown, options=subject.actions)
                )
        if subject.name == "secrets" and "read" in actions and ("describeSecret" in actions or "readValue" in actions):
            self.custom(path, "Use either read, which is both, or describeSecret and readValue")
        return tuple(dict.fromkeys(a for a in actions if isinstance(a, str)))

    def _conditions(self, subject: Subject, raw: Any, path: _Path) -> dict[str, str | dict[str, object]] | None:
        if raw is None:
            return None
        if not isinstance(raw, Mapping):
            self.issues.append(_type(path, "object", raw))
            return None
        for field, operand in raw.items():
            operators = subject.fields.get(field)
            if operators is None:
                known = ", ".join(subject.fields) or "none"
                self.custom((*path, field), f"{subject.name} has no condition field of this name; it has: {known}")
            else:
                self._operand(field, operators, operand, (*path, field))
        return dict(raw) or None

    def _operand(self, field: str, operators: frozenset[str], raw: Any, path: _Path) -> None:
        if isinstance(raw, str) and "" in operators:
            self._text(field, "$eq", raw, path)
            return
        if not isinstance(raw, Mapping):
            self.issues.append(_type(path, "object", raw))
            return
        if not raw:
            self.custom(path, "An empty condition matches nothing: name an operator")
        for operator, operand in raw.items():
            at = (*path, operator)
            if operator not in operators or not operator:
                self.custom(
                    at, f"{field} does not take this operator; it takes {', '.join(sorted(o for o in operators if o))}"
                )
            elif operator == "$elemMatch":
                self._entries(operand, at)
            elif operator in ("$in", "$all"):
                self._list(field, operator, operand, at)
            else:
                self._text(field, operator, operand, at)

    def _entries(self, raw: Any, path: _Path) -> None:
        if not isinstance(raw, Mapping):
            self.issues.append(_type(path, "object", raw))
            return
        if not raw:
            self.custom(path, "Name a key, a value or both")
        for field, operand in raw.items():
            if field in FIELDS_OF_ENTRIES:
                self._operand(field, TEXT, operand, (*path, field))
            else:
                self.custom((*path, field), f"An entry has the fields {' and '.join(FIELDS_OF_ENTRIES)}")

    def _list(self, field: str, operator: str, raw: Any, path: _Path) -> None:
        if not isinstance(raw, list | tuple):
            self.issues.append(_type(path, "array", raw))
        elif not 1 <= len(raw) <= MAX_OPERANDS:
            self.custom(path, f"List between 1 and {MAX_OPERANDS} values")
        else:
            for i, item in enumerate(raw):
                self._text(field, operator, item, (*path, i))

    def _text(self, field: str, operator: str, raw: Any, path: _Path) -> None:
        if not isinstance(raw, str):
            self.issues.append(_type(path, "string", raw))
        elif not raw:
            self.issues.append(Issue(code="too_small", path=path, message="Write at least 1 character", minimum=1))
        elif len(raw) > MAX_OPERAND:
            self.issues.append(
                Issue(code="too_big", path=path, message=f"Write at most {MAX_OPERAND} characters", maximum=MAX_OPERAND)
            )
        elif stray := [t for t in _ANY_TEMPLATE.findall(raw) if not t.strip().startswith("identity.")]:
            self.custom(path, f"An expression begins with 'identity.', this one does not: {stray[0].strip()[:64]}")
        elif field == PATH_FIELD and operator != "$glob" and not raw.startswith(("/", "{{")):
            self.custom(path, "A secret path begins with '/'")
        elif operator == "$glob" and self._examines_patterns and (fault := typed_glob_fault(TEMPLATE.sub("x", raw))):
            self.custom(path, f"This is not a pattern: {fault}")
