"""Many rules asked at once: which of them a value passes, field by field, as numbers with a bit for each rule.

Going through hundreds of rules for each of thousands of secrets is what makes a list slow. So the tests of a field are
inverted: a value is looked up among all values that rules name, and compared with all their patterns together. What
a value passes is kept, for the same folders and names come again with every question and every request.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

from watchword.domain.access.conditions import Test, compile_operand, operators_of
from watchword.domain.globsets import GlobSet, bits

_MAX_KEPT: Final = 4_096  # values of a field whose answer is kept
_MAX_LEFT: Final = 512


class Ruled(Protocol):
    """A rule as the index needs it."""

    @property
    def grants(self) -> bool:
        """Whether the rule allows rather than denies."""

    @property
    def conditions(self) -> Mapping[str, Any]:
        """Operands by field."""


class _Field:
    """The tests of one field."""

    __slots__ = ("_equal", "_globs", "_kept", "_others", "_tests", "slow", "tested")

    def __init__(self, field: str, operands: Sequence[tuple[int, Any]]) -> None:
        self.tested = 0  # rules that look at the field
        self.slow = 0  # tests that take long, or must be made one by one for each value
        self._tests: dict[int, Test] = {}
        self._equal: dict[str, int] = {}
        self._others: list[tuple[int, Test]] = []
        self._kept: dict[str, int] = {}
        globs: list[tuple[int, str]] = []
        for index, operand in operands:
            self.tested |= 1 << index
            self._tests[index] = test = compile_operand(field, operand)
            operators = operators_of(field, operand)
            operator = next(iter(operators)) if len(operators) == 1 else ""
            expected: Any = operators.get(operator)
            if operator == "$glob":
                globs.append((index, expected))
                self.slow += "!(" in expected
            elif operator in ("$eq", "$in"):
                for value in (expected,) if operator == "$eq" else expected:
                    self._equal[value] = self._equal.get(value, 0) | 1 << index
            else:
                self._others.append((index, test))
                self.slow += operator != "$ne"
        self._globs = GlobSet(globs)

    def passed(self, value: Any, among: int) -> int:
        """The rules of these that do not look at the field, or whose test the value passes."""
        testing = among & self.tested
        if not testing:
            return among
        if isinstance(value, str):
            passing = self._kept.get(value)
            if passing is None:
                passing = self._equal.get(value, 0) | self._globs.matching(value)
                for index, test in self._others:
                    passing |= int(test(value)) << index
                if len(self._kept) >= _MAX_KEPT:
                    self._kept.clear()
                self._kept[value] = passing
        else:
            passing = 0
            for index in bits(testing):
                passing |= int(self._tests[index](value)) << index
        return among & ~self.tested | testing & passing

    def prepare(self) -> None:
        """Make now what the first value would need."""
        self._globs.prepare()


class RuleIndex:
    """Rules in the order in which they decide; several threads may ask the index.

    It never changes but for the outcomes it keeps.
    """

    __slots__ = ("_all", "_left", "_made", "_rules")

    def __init__(self, rules: Sequence[Ruled]) -> None:
        self._rules = rules
        self._all = (1 << len(rules)) - 1
        self._made: dict[str, _Field] | None = None
        self._left: dict[tuple[int, tuple[str, ...]], Left] = {}

    @property
    def _fields(self) -> dict[str, _Field]:
        if self._made is None:  # not before it is asked: many abilities never are
            operands: dict[str, list[tuple[int, Any]]] = {}
            for index, rule in enumerate(self._rules):
                for field, operand in rule.conditions.items():
                    operands.setdefault(field, []).append((index, operand))
            self._made = {field: _Field(field, of_field) for field, of_field in operands.items()}
        return self._made

    @property
    def slow(self) -> int:
        """How many tests the index does not make quicker."""
        return sum(field.slow for field in self._fields.values())

    def prepare(self) -> None:
        """Make now what the first questions would need."""
        for field in self._fields.values():
            field.prepare()

    def decided(self, facts: Mapping[str, Any], left: "Left | None" = None) -> bool:
        """The answer of the first rule that fits; False when none does.

        With `left`, only the rules that some known facts leave are asked.
        """
        among, known = (self._all, ()) if left is None else (left.among, left.known)
        return self._first(among, facts, known)

    def _first(self, left: int, facts: Mapping[str, Any], known: Sequence[str]) -> bool:
        for field, tests in self._fields.items():
            if field in known:
                continue
            value = facts.get(field)
            left = left & ~tests.tested if value is None else tests.passed(value, left)
            if not left:
                return False
        return self._rules[(left & -left).bit_length() - 1].grants

    def possible(self, facts: Mapping[str, Any]) -> bool:
        """Whether a rule that grants may come first, where only these facts are known."""
        left = self._all
        for field, tests in self._fields.items():
            if field in facts:
                left = tests.passed(facts[field], left)
        for index in bits(left):
            rule = self._rules[index]
            if rule.grants:
                return True
            if all(field in facts for field in rule.conditions):
                return False
        return False

    def narrowed(self, known: Mapping[str, Any]) -> "Left":
        """The rest of the question where these facts are known: the rules up to the first that fits for sure."""
        left = self._all
        for field, tests in self._fields.items():
            if field in known:
                value = known[field]
                left = left & ~tests.tested if value is None else tests.passed(value, left)
        fields = tuple(field for field in self._fields if field in known)
        answer = self._left.get((left, fields))
        if answer is None:
            if len(self._left) >= _MAX_LEFT:
                self._left.clear()
            answer = self._left[left, fields] = self._cut(left, fields)
        return answer

    def _cut(self, left: int, known: tuple[str, ...]) -> "Left":
        kept, grants, is_first = 0, False, True
        for index in bits(left):
            rule = self._rules[index]
            kept |= 1 << index
            grants = grants or rule.grants
            if all(field in known for field in rule.conditions):
                if is_first:
                    return Left(rule.grants, kept, known)
                break
            is_first = False
        return Left(None if grants else False, kept, known)


class Left(NamedTuple):
    """The rest of a question of which some facts are known.

    It is the answer where there is one already, the rules that may decide, and the fields that are asked already.
    """

    answer: bool | None
    among: int
    known: tuple[str, ...]
