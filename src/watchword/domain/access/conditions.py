"""Evaluate the conditions of rules: fill in expressions, test operands against facts, compare two conditions.

A condition is `operator -> operand` for one field; a plain value is `$eq`. Expressions are filled in after parsing,
inside operands only, so a value can neither add a rule nor end a text; in a pattern the value stands for itself alone.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from watchword.domain.access.rules import TEMPLATE
from watchword.domain.access.subjects import LIST_FIELDS, PATH_FIELD, Rule
from watchword.domain.bounds import claim_text, dig
from watchword.domain.globs import Effort, escape_glob, glob_matches, glob_test, glob_within, globs_disjoint, is_faulty

Conditions: TypeAlias = dict[str, str | dict[str, object]]
Test: TypeAlias = Callable[[Any], bool]

_AUTH_IN_METADATA: Final = re.compile(r"^identity\.metadata\.auth\.")


# --- expressions


def fill(conditions: Conditions, context: Mapping[str, Any]) -> Conditions:
    """The conditions with every known expression replaced.

    An expression that is unknown, or whose value is empty, stays as it is.
    """
    return {field: _fill("$eq", operand, context) for field, operand in conditions.items()}


def _fill(operator: str, operand: Any, context: Mapping[str, Any]) -> Any:
    if isinstance(operand, Mapping):
        return {key: _fill(key if key.startswith("$") else "$eq", value, context) for key, value in operand.items()}
    if isinstance(operand, list | tuple):
        return [_fill(operator, value, context) for value in operand]

    def value_of(match: re.Match[str]) -> str:
        value = _look_up(match[1], context)
        # An empty value would leave out a part of the text that its author counted on: "/teams/{{…}}**" would become
        # "/teams/**".
        return match[0] if not value else escape_glob(value) if operator == "$glob" else value

    return TEMPLATE.sub(value_of, operand)


def _look_up(expression: str, context: Mapping[str, Any]) -> str | None:
    value = dig(context, expression)
    if value is None:
        value = dig(context, _AUTH_IN_METADATA.sub("identity.auth.", expression))
    if isinstance(value, list | tuple):
        texts = [claim_text(element) for element in value]
        return None if None in texts else ",".join(text for text in texts if text)
    return claim_text(value)


def is_open(operand: Any) -> bool:
    """Whether an operand holds an expression that was not filled in."""
    if isinstance(operand, Mapping):
        return any(is_open(value) for value in operand.values())
    if isinstance(operand, list | tuple):
        return any(is_open(value) for value in operand)
    return TEMPLATE.search(operand) is not None


def has_faulty_pattern(operand: Any) -> bool:
    """Whether an operand holds a pattern that nobody may store.

    It was stored before the rules on patterns were what they are, or became too long when its expressions were filled
    in. What it was meant to match is not known.
    """
    return isinstance(operand, Mapping) and any(
        is_faulty(TEMPLATE.sub("x", value)) if key == "$glob" and isinstance(value, str) else has_faulty_pattern(value)
        for key, value in operand.items()
    )


# --- tests


def operators_of(field: str, operand: Any) -> dict[str, Any]:
    """The operand as operators, paths without their trailing slash and lists as sets."""
    if not isinstance(operand, Mapping):
        operand = {"$eq": operand}
    tidy = _tidy_path if field == PATH_FIELD else str
    return {
        operator: value
        if operator in ("$glob", "$elemMatch")
        else frozenset(map(tidy, value))
        if isinstance(value, list | tuple)
        else tidy(value)
        for operator, value in operand.items()
    }


def _tidy_path(path: str) -> str:
    return path.rstrip("/") or "/"


def compile_operand(field: str, operand: Any) -> Test:
    """A test for the value of one field.

    A list passes an operator when one of its elements does, and `$ne` when no element is equal.
    """
    tests = [_test(operator, value) for operator, value in operators_of(field, operand).items()]
    if len(tests) == 1:
        return tests[0]
    return lambda value: all(test(value) for test in tests)


def _test(operator: str, operand: Any) -> Test:
    match operator:
        case "$eq":
            return lambda value: value == operand if not isinstance(value, list | tuple) else operand in value
        case "$ne":
            return lambda value: value != operand if not isinstance(value, list | tuple) else operand not in value
        case "$in":
            return lambda value: (
                value in operand if isinstance(value, str) else any(element in operand for element in _texts(value))
            )
        case "$all":
            return lambda value: operand <= set(_texts(value))
        case "$glob":
            matches = glob_test(operand)
            return lambda value: matches(value) if isinstance(value, str) else any(matches(v) for v in _texts(value))
        case "$elemMatch":
            tests = [(field, compile_operand(field, inner)) for field, inner in operand.items()]
            return lambda value: any(
                isinstance(element, Mapping) and all(field in element and test(element[field]) for field, test in tests)
                for element in _elements(value)
            )
    return lambda _: False  # never stored; an unknown operator matches nothing


def _elements(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        yield from value
    else:
        yield value


def _texts(value: Any) -> Iterator[str]:
    return (element for element in _elements(value) if isinstance(element, str))


# --- logic


class Ready(NamedTuple):
    """The operand of a field, ready to be compared with others many times."""

    operators: dict[str, Any]
    open: frozenset[str]  # the operators in whose operand an expression is left
    size: int  # how many values it names
    is_faulty: bool = False  # has a pattern that nobody may store: nothing is proven of what passes it


def ready(field: str, operand: Any) -> Ready:
    """Parse an operand that will be compared many times."""
    operators = operators_of(field, operand)
    left_open = frozenset(
        op for op, value in operators.items() if is_open(tuple(value) if isinstance(value, frozenset) else value)
    )
    size = sum(len(value) if isinstance(value, frozenset) else 1 for value in operators.values())
    return Ready(operators, left_open, size, has_faulty_pattern(operand))


def implies(field: str, child: Ready, parent: Ready) -> bool:
    """Whether every value that passes `child` is proven to pass `parent`.

    Each operator of the parent must follow from one of the child.
    """
    if parent.open or parent.is_faulty or child.is_faulty:
        return False
    Effort.steps += (child.size + parent.size) // 16
    return all(
        any(
            _implies(field, op, operand, operator, limit)
            for op, operand in child.operators.items()
            if op not in child.open
        )
        for operator, limit in parent.operators.items()
    )


def _implies(field: str, op: str, operand: Any, parent_op: str, limit: Any) -> bool:
    many = field in LIST_FIELDS
    if op == "$elemMatch" or parent_op == "$elemMatch":
        return op == parent_op and all(
            inner in operand and implies(inner, ready(inner, operand[inner]), ready(inner, limit[inner]))
            for inner in limit
        )
    values = frozenset({operand}) if op == "$eq" else operand if op == "$in" else None
    match parent_op:
        case "$eq":
            return values == {limit} or (many and op == "$all" and limit in operand)
        case "$ne":
            # One of several values says nothing about the others.
            return (op == "$ne" and operand == limit) or (
                not many
                and (
                    (values is not None and limit not in values) or (op == "$glob" and not glob_matches(operand, limit))
                )
            )
        case "$in":
            return (values is not None and values <= limit) or (op == "$all" and bool(operand & limit))
        case "$all":
            return (op == "$all" and limit <= operand) or (values is not None and len(values) == 1 and limit == values)
        case "$glob" if values is not None:
            return _all_match(limit, values)
        case "$glob":
            return op == "$glob" and glob_within(operand, limit)
    return False


def _all_match(pattern: str, values: Collection[str]) -> bool:
    matches = glob_test(pattern)
    for value in values:
        Effort.steps += 1
        if not matches(value):
            return False
    return True


def excludes(field: str, first: Ready, second: Ready) -> bool:
    """Whether no value is proven to pass both; never for fields that hold several values."""
    if field in LIST_FIELDS or first.open or second.open:
        return False
    left, right = first.operators, second.operators
    for mine, theirs in ((left, right), (right, left)):
        for op in ("$eq", "$in"):
            if op in mine and not _any_passes(_passes(theirs), [mine[op]] if op == "$eq" else mine[op]):
                return True
    return "$glob" in left and "$glob" in right and globs_disjoint(left["$glob"], right["$glob"])


def _passes(operators: Mapping[str, Any]) -> Test:
    tests = [_test(operator, value) for operator, value in operators.items()]
    return lambda value: all(test(value) for test in tests)


def _any_passes(test: Test, values: Collection[str]) -> bool:
    for value in values:
        Effort.steps += 1
        if test(value):
            return True
    return False


def rendered(rule: Rule, context: Mapping[str, Any] | None) -> Rule:
    """The rule with its expressions filled in."""
    if rule.conditions is None or context is None or not is_open(rule.conditions):
        return rule
    return Rule(rule.subject, rule.actions, fill(rule.conditions, context), rule.inverted)
