"""Glob patterns: whether a text matches one, whether one implies another, whether two exclude each other.

The language is that of the conditions of rules, and of what auth methods compare with claims and names: `*` and `?`
stay inside a segment and skip a leading dot, `**` as a whole segment crosses segments, `[ab]`, `{a,b}`, `(a|b)`, the
groups `@( ?( +( *( !(`, a leading `!` for "everything but", a backslash for "literally". Segments end at slashes only:
a colon is a character like others.

Patterns come from administrators of one tenant and run in everybody's process, so no backtracking happens here: a
pattern becomes a nondeterministic automaton of linear size, and its deterministic states are made on demand and kept
within a bound. A match costs one table look-up per character when warm and at most (text x pattern) steps when cold,
whatever the pattern. The same automata answer the two set questions exactly, instead of by comparing texts.
"""

import re
import threading
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias

from watchword.domain.patterns import NOT_DOT, SOME, Automaton, Chars, Parser, PatternError, unclosed

MAX_PATTERN: Final = 512
MAX_TEXT: Final = 2_048
MAX_DENIAL: Final = 128  # characters of a pattern with `!( )`, which costs more to match
MAX_STATES: Final = 512  # deterministic states kept per pattern
MAX_WORK: Final = 10_000  # steps of one set question before the answer is "not proven": some hundredths of a second

_SPECIAL: Final = frozenset("*?[]{}()!+@|\\")
_FIRST_SPECIAL: Final = re.compile("[" + re.escape("".join(sorted(_SPECIAL))) + "]")


class _Effort(threading.local):
    """The number of steps that patterns have cost in this thread since it began, a microsecond or two each.

    By this, long work knows when to pause.
    """

    steps = 0


Effort = _Effort()


class _Denied(NamedTuple):
    """A running `!( )`: the texts it refuses, as the states of its inner automaton.

    `whole` refuses only a match that ends the text.
    """

    accept: int
    whole: bool
    nodes: frozenset[int]


_Config: TypeAlias = tuple[int, frozenset[_Denied]]


class _State:
    """A deterministic state; the next ones are filled in as texts ask for them."""

    __slots__ = ("accepts", "configs", "next")

    def __init__(self, configs: Any, *, accepts: bool) -> None:
        self.configs = configs
        self.next: dict[str, _State] = {}
        self.accepts = accepts


class _Parsed(NamedTuple):
    """The automaton of a pattern, and whether it stands for all other texts."""

    graph: Automaton
    first: int
    end: int
    negated: bool


def _parsed(pattern: str) -> _Parsed:
    body, negated = pattern, False
    # `!( ` is a group; any other leading `!` turns the whole pattern round.
    while body.startswith("!") and not body.startswith("!("):
        body, negated = body[1:], not negated
    return _Parsed(*Parser(body.removeprefix("./")).parse(), negated)


class _Machine:
    """A compiled pattern."""

    __slots__ = ("end", "first", "graph", "known", "negated", "start")

    def __init__(self, parsed: _Parsed) -> None:
        self.graph, self.first, self.end, self.negated = parsed
        self.known: dict[Any, _State] = {}
        self.start = self.begin()

    def begin(self) -> _State:
        return self.state(frozenset({(self.first, frozenset())}))

    def matches(self, text: str) -> bool:
        state = self.start
        for char in text:
            state = state.next.get(char) or self.step(state, char)
            if not state.configs:
                break  # nothing leads out of here
        return state.accepts

    def state(self, configs: frozenset[_Config]) -> _State:
        known = self.known.get(configs)
        if known is None:
            if len(self.known) >= MAX_STATES:
                # Forget, rather than grow: a text may be chosen to visit new states forever.
                self.known.clear()
                self.start.next.clear()
            accepts = any(node == self.end and not self.refused(denied) for node, denied in self.closure(configs, ""))
            known = self.known[configs] = _State(configs, accepts=accepts != self.negated)
        return known

    def step(self, state: _State, char: str) -> _State:
        Effort.steps += 4 + 4 * len(state.configs)
        moved: set[_Config] = set()
        for node, denied in self.closure(state.configs, char):
            targets = [to for chars, to in self.graph.steps[node] if chars.has(char)]
            if targets and (carried := self.carry(denied, char)) is not None:
                moved.update((to, carried) for to in targets)
        reached = self.state(frozenset(moved))
        state.next[char] = reached
        return reached

    def closure(self, configs: frozenset[_Config], char: str) -> set[_Config]:
        """All that is reachable without a character, when `char` (or the end) comes next."""
        facts = (NOT_DOT if char != "." else 0) | (SOME if char else 0)
        seen = set(configs)
        todo = list(configs)
        while todo:
            node, denied = todo.pop()
            reached = [(to, denied) for guard, to in self.graph.jumps[node] if not guard & ~facts]
            for inner, accept, whole, to in self.graph.denials[node]:
                refusal = _Denied(accept, whole, frozenset({inner}))
                if whole or not self.inner_accepts(refusal, char):
                    reached.append((to, denied | {refusal}))
            for config in reached:
                if config not in seen:
                    seen.add(config)
                    todo.append(config)
        return seen

    def inner_accepts(self, refusal: _Denied, char: str) -> bool:
        configs: frozenset[_Config] = frozenset((node, frozenset()) for node in refusal.nodes)
        return any(node == refusal.accept and not self.refused(inner) for node, inner in self.closure(configs, char))

    def refused(self, denied: frozenset[_Denied]) -> bool:
        return any(self.inner_accepts(refusal, "") for refusal in denied)

    def carry(self, denied: frozenset[_Denied], char: str) -> frozenset[_Denied] | None:
        """The refusals after one more character; None when one of them has come true."""
        carried = set()
        for refusal in denied:
            configs: frozenset[_Config] = frozenset((node, frozenset()) for node in refusal.nodes)
            nodes = frozenset(
                to for node, _ in self.closure(configs, char) for chars, to in self.graph.steps[node] if chars.has(char)
            )
            after = refusal._replace(nodes=nodes)
            if not refusal.whole and any(node == refusal.accept for node in self.free_closure(nodes)):
                return None
            if nodes:
                carried.add(after)
        return frozenset(carried)

    def free_closure(self, nodes: frozenset[int]) -> set[int]:
        """What is reachable if every guard holds: refuses rather too much than too little."""
        seen = set(nodes)
        todo = list(nodes)
        while todo:
            for _, to in self.graph.jumps[todo.pop()]:
                if to not in seen:
                    seen.add(to)
                    todo.append(to)
        return seen


class _BitMachine(_Machine):
    """A compiled pattern without `!( )`: a set of states is a number with a bit for each, and all of them step at once.

    One step costs a few operations on such numbers and one for each active wildcard, where sets cost a hundred times as
    much.
    """

    __slots__ = ("_moves", "_others", "_reached", "_single")

    def __init__(self, parsed: _Parsed) -> None:
        kinds: dict[Chars, list[tuple[int, int]]] = {}  # (from, to) of the steps that take these characters
        for node, steps in enumerate(parsed.graph.steps):
            for chars, to in steps:
                kinds.setdefault(chars, []).append((node, to))
        self._single = {chars.ranges[0][0]: tuple(moves) for chars, moves in kinds.items() if is_single(chars)}
        self._others = tuple((chars, tuple(moves)) for chars, moves in kinds.items() if not is_single(chars))
        self._moves: dict[str, tuple[int, int, tuple[tuple[int, int], ...]]] = {}
        self._reached: dict[
            int, tuple[int, dict[int, int]]
        ] = {}  # by the guards that hold: who jumps, and where to in the end
        super().__init__(parsed)

    def begin(self) -> _State:
        return self.state(1 << self.first)

    def state(self, configs: Any) -> _State:
        known = self.known.get(configs)
        if known is None:
            if len(self.known) >= MAX_STATES:
                self.known.clear()
                self.start.next.clear()
            accepts = bool(self._closed(configs, NOT_DOT) >> self.end & 1)
            known = self.known[configs] = _State(configs, accepts=accepts != self.negated)
        return known

    def step(self, state: _State, char: str) -> _State:
        Effort.steps += 4 + state.configs.bit_count()
        active = self._closed(state.configs, (NOT_DOT if char != "." else 0) | SOME)
        on, stay, others = self._moves.get(char) or self._moves_on(char)
        moved = (active & on) << 1 | active & stay
        for source, target in others:
            if active & source:
                moved |= target
        reached = self.state(moved)
        if len(state.next) >= MAX_STATES:
            state.next.clear()
        state.next[char] = reached
        return reached

    def _moves_on(self, char: str) -> tuple[int, int, tuple[tuple[int, int], ...]]:
        on = stay = 0
        others: dict[int, int] = {}
        for of_kind in (self._single.get(char, ()), *[of_kind for chars, of_kind in self._others if chars.has(char)]):
            for node, to in of_kind:
                if to == node + 1:
                    on |= 1 << node
                elif to == node:
                    stay |= 1 << node
                else:
                    others[1 << node] = others.get(1 << node, 0) | 1 << to
        if len(self._moves) >= MAX_STATES:
            self._moves.clear()
        moves = self._moves[char] = on, stay, tuple(others.items())
        return moves

    def _closed(self, nodes: int, facts: int) -> int:
        """All that is reachable from these nodes without a character, when these guards hold."""
        jumping, reached = self._reached.get(facts) or self._jumps(facts)
        left = nodes & jumping
        while left:
            lowest = left & -left
            nodes |= reached[lowest]
            left ^= lowest
        return nodes

    def _jumps(self, facts: int) -> tuple[int, dict[int, int]]:
        reached: dict[int, int] = {}
        jumps = [[to for guard, to in targets if not guard & ~facts] for targets in self.graph.jumps]
        for node, first in enumerate(jumps):
            if first:
                seen, todo = 0, list(first)
                while todo:
                    to = todo.pop()
                    if not seen >> to & 1:
                        seen |= 1 << to
                        todo += jumps[to]
                reached[1 << node] = seen
        targets = self._reached[facts] = sum(reached), reached
        return targets


def is_single(chars: Chars) -> bool:
    """Whether these are one character."""
    return not chars.negated and not chars.never and len(chars.ranges) == 1 and chars.ranges[0][0] == chars.ranges[0][1]


@lru_cache(maxsize=4_096)
def _machine(pattern: str) -> _Machine | str | None:
    """The machine of a pattern, the fault of a bad one, None for one that is only a text."""
    if len(pattern) > MAX_PATTERN:
        return f"a pattern has at most {MAX_PATTERN} characters"
    if _SPECIAL.isdisjoint(pattern):
        return None
    try:
        Effort.steps += 40 + 2 * len(pattern)
        parsed = _parsed(pattern)
    except PatternError as fault:
        return str(fault)
    if not any(parsed.graph.denials):
        return _BitMachine(parsed)
    if len(pattern) > MAX_DENIAL:
        return f"a pattern with `!( )` has at most {MAX_DENIAL} characters"
    return _Machine(parsed)


def linear_machine(pattern: str) -> _Machine | None:
    """The machine of a pattern without `!( )`; None for one with it, for a plain text and for a faulty pattern."""
    machine = _machine(pattern)
    return machine if isinstance(machine, _BitMachine) else None


def glob_fault(pattern: str) -> str | None:
    """What is wrong with a pattern, if anything; a faulty pattern matches only the text equal to it."""
    machine = _machine(pattern)
    return machine if isinstance(machine, str) else None


def typed_glob_fault(pattern: str) -> str | None:
    """What is wrong with a pattern that somebody stores: also what would be read as plain characters, and is a slip."""
    if _SPECIAL.isdisjoint(pattern):
        return None
    return glob_fault(pattern) or unclosed(pattern)


@lru_cache(maxsize=4_096)
def is_faulty(pattern: str) -> bool:
    """Whether a pattern is one that nobody may store."""
    return typed_glob_fault(pattern) is not None


def is_plain(pattern: str) -> bool:
    """Whether a pattern is only a text, which costs nothing to compare."""
    return _SPECIAL.isdisjoint(pattern)


@lru_cache(maxsize=4_096)
def literal_prefix(pattern: str) -> str:
    """What every text that matches begins with; a slash at its end is left out, for `/a/**` matches `/a`."""
    special = _FIRST_SPECIAL.search(pattern)
    end = len(pattern) if special is None else special.start()
    # A quantifier may make the character before it optional in some dialects; here none does. `./` at the beginning
    # means nothing.
    return pattern[:end].removeprefix("./").rstrip("/")


def _prefixes_differ(left_glob: str, right_glob: str) -> bool:
    """Whether the literal beginnings of two patterns already rule out a common text."""
    left, right = literal_prefix(left_glob), literal_prefix(right_glob)
    return not left.startswith(right) and not right.startswith(left)


def glob_test(pattern: str) -> Callable[[str], bool]:
    """`glob_matches` for one pattern and many texts: most do not even begin alike, which is quickly seen."""
    prefix = literal_prefix(pattern)
    if not prefix:
        return lambda text: glob_matches(pattern, text)
    return lambda text: text.startswith(prefix) and glob_matches(pattern, text)


def glob_matches(pattern: str, text: str) -> bool:
    """Whether a path, a name, a slug or a claim matches the pattern."""
    if _is_same(pattern, text):
        return True
    machine = _machine(pattern)
    return isinstance(machine, _Machine) and 0 < len(text) <= MAX_TEXT and machine.matches(text)


def _is_same(pattern: str, text: str) -> bool:
    """A pattern matches its own text, unless it has escapes: those were written to be read as what they escape."""
    return pattern == text and "\\" not in pattern


def escape_glob(text: str) -> str:
    """The pattern that matches exactly this text, wherever it is put into another pattern."""
    return "".join(c if c.isalnum() or c == "_" else "\\" + c for c in text)


@lru_cache(maxsize=4_096)
def has_extglob(pattern: str) -> bool:
    """Whether the pattern has an extended group or a negation, which set questions do not look into."""
    return pattern.startswith("!") or any(
        pattern[i] in "@?!+*" and pattern[i + 1] == "(" for i in range(len(pattern) - 1)
    )


@lru_cache(maxsize=4_096)
def glob_within(child: str, parent: str) -> bool:
    """Whether every text that matches `child` is proven to match `parent`."""
    if child == parent:
        return True
    if _prefixes_differ(child, parent) or has_extglob(child) or has_extglob(parent):
        return False
    Effort.steps += 4 + len(child) // 8
    if "\\" not in child and not glob_matches(parent, child):
        return False
    inner, outer = _machine(child), _machine(parent)
    if inner is None:
        return True  # a plain text, just matched
    if not isinstance(inner, _Machine) or not isinstance(outer, _Machine):
        return False
    return _never(inner, outer, lambda a, b: a.accepts and not b.accepts)


@lru_cache(maxsize=4_096)
def globs_disjoint(first: str, second: str) -> bool:
    """Whether no text is proven to match both."""
    if _prefixes_differ(first, second):
        return True
    if glob_matches(first, second) or glob_matches(second, first):
        return False
    left, right = _machine(first), _machine(second)
    if left is None or right is None:
        return True  # one is a plain text, which the other was just seen not to match
    if not isinstance(left, _Machine) or not isinstance(right, _Machine) or has_extglob(first) or has_extglob(second):
        return False
    return _never(left, right, lambda a, b: a.accepts and b.accepts)


def _alphabet(*machines: _Machine) -> list[str]:
    """One character for each way in which the two patterns may tell characters apart."""
    cuts = {"\x00", ".", "/", "0"}
    for machine in machines:
        for steps in machine.graph.steps:
            for chars, _ in steps:
                for low, high in (*chars.ranges, *((c, c) for c in chars.never)):
                    cuts.update((low, chr(min(ord(high) + 1, 0x10FFFF))))
    return sorted(cuts)


def _size(configs: Any) -> int:
    return configs.bit_count() if isinstance(configs, int) else len(configs)


def _never(left: _Machine, right: _Machine, bad: Callable[[_State, _State], bool]) -> bool:
    """Whether no text leads to a bad pair of states; False as well when that costs more than `MAX_WORK`."""
    alphabet = _alphabet(left, right)
    seen = {(left.start.configs, right.start.configs)}
    todo = [(left.start, right.start)]
    work = 0
    while todo:
        first, second = todo.pop()
        now = len(alphabet) * (_size(first.configs) + _size(second.configs))
        work += now
        Effort.steps += now
        if bad(first, second) or work > MAX_WORK:
            return False
        for char in alphabet:
            a = first.next.get(char) or left.step(first, char)
            b = second.next.get(char) or right.step(second, char)
            if a.configs and (key := (a.configs, b.configs)) not in seen:
                seen.add(key)
                todo.append((a, b))
    return True
