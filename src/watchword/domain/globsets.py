"""Many glob patterns held against one text at once: which of them match.

A pattern after the other costs a microsecond for each character and pattern, and roles have hundreds of patterns that
are held against thousands of names. Here the automata of many patterns lie side by side in one number, a bit for each
state, and all step together: some operations on that number for each character, however many patterns there are. That
works since nearly every step and jump of a glob leads to the state after it: steps are a shift, and chains of jumps one
addition whose carry runs along them. What leads elsewhere (groups, `**`) is followed bit by bit. Names in a list begin
alike, so the states after the characters that a text shares with the one before are taken over.

The answers are those of `glob_matches`, pattern by pattern.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from watchword.domain.globs import MAX_TEXT, Effort, glob_matches, is_single, linear_machine, literal_prefix
from watchword.domain.patterns import NOT_DOT, SOME, Chars

_MAX_NODES: Final = 8_192  # states in one number: a kilobyte, which a processor handles as fast as a few bytes
_MAX_KEPT: Final = 256  # characters whose steps are kept
_AT_END: Final = NOT_DOT  # the guard that holds where no character is left
_FEW: Final = 3  # patterns that are not worth a number of their own


class _Strand(NamedTuple):
    """The automaton of one pattern, its states renumbered so that most moves lead to the next one."""

    size: int
    steps: tuple[tuple[Chars, int, int], ...]  # characters, from, to
    jumps: tuple[tuple[int, int, int], ...]  # guard, from, to
    end: int
    negated: bool


@lru_cache(maxsize=2_048)
def _strand(pattern: str) -> _Strand | None:
    """The strand of a pattern; None for a pattern that has no linear automaton.

    Those are plain texts, faulty patterns, and patterns with `!( )`.
    """
    machine = linear_machine(pattern)
    if machine is None:
        return None
    Effort.steps += len(pattern)
    graph = machine.graph
    number: dict[int, int] = {}
    waiting = [machine.first]
    while waiting:
        node: int | None = waiting.pop()
        while node is not None and node not in number:
            number[node] = len(number)
            # Jumps first: a state between two jumps may be active all the time, one behind a step only after some
            # character.
            targets = [to for _, to in graph.jumps[node]] + [to for _, to in graph.steps[node]]
            fresh = [to for to in targets if to not in number]
            waiting += fresh[1:]
            node = fresh[0] if fresh else None
    return _Strand(
        len(number),
        tuple((chars, at, number[to]) for node, at in number.items() for chars, to in graph.steps[node]),
        tuple((guard, at, number[to]) for node, at in number.items() for guard, to in graph.jumps[node]),
        number[machine.end],
        machine.negated,
    )


class _Jumps:
    """The jumps that are open under the same guards."""

    __slots__ = ("chained", "odd", "targets")

    def __init__(self) -> None:
        self.chained = 0  # states with a jump to the next one
        self.odd = 0  # states with a jump elsewhere
        self.targets: dict[int, int] = {}

    def add(self, at: int, to: int) -> None:
        if to == at + 1:
            self.chained |= 1 << at
        else:
            self.odd |= 1 << at
            self.targets[at] = self.targets.get(at, 0) | 1 << to

    def reached(self, states: int) -> int:
        """All that is reachable from these states without a character."""
        chained = self.chained
        # The carry of the addition runs from each state through the jumps after it.
        states |= ((states & chained) + chained) ^ chained
        left = states & self.odd
        done = 0
        while left:
            done |= left
            for at in bits(left):
                states |= self.targets[at]
            states |= ((states & chained) + chained) ^ chained
            left = states & self.odd & ~done
        return states


class _Moves:
    """The steps that some characters allow."""

    __slots__ = ("odd", "on", "stay", "targets")

    def __init__(self, parts: Sequence["_Moves"] = ()) -> None:
        self.on = self.stay = self.odd = 0  # states with a step to the next one, to themselves, elsewhere
        self.targets: dict[int, int] = {}
        for part in parts:
            self.on |= part.on
            self.stay |= part.stay
            self.odd |= part.odd
            for at, targets in part.targets.items():
                self.targets[at] = self.targets.get(at, 0) | targets

    def add(self, at: int, to: int) -> None:
        if to == at + 1:
            self.on |= 1 << at
        elif to == at:
            self.stay |= 1 << at
        else:
            self.odd |= 1 << at
            self.targets[at] = self.targets.get(at, 0) | 1 << to


class _Bundle:
    """Up to `_MAX_NODES` states of several patterns. It may be asked by several threads."""

    __slots__ = ("_before", "_cost", "_end", "_ends", "_inverted", "_jumps", "_kinds", "_moves", "_singles")

    def __init__(self, strands: Sequence[_Strand]) -> None:
        self._singles: dict[str, _Moves] = {}
        self._kinds: dict[Chars, _Moves] = {}
        self._moves: dict[str, _Moves] = {}  # of both together, by character
        self._jumps = {guards: _Jumps() for guards in (_AT_END, SOME, SOME | NOT_DOT)}
        self._ends: dict[int, int] = {}
        self._end = self._inverted = start = base = 0
        for index, strand in enumerate(strands):
            start |= 1 << base
            self._ends[base + strand.end] = index
            self._end |= 1 << base + strand.end
            self._inverted |= int(strand.negated) << index
            for chars, at, to in strand.steps:
                if is_single(chars):
                    self._singles.setdefault(chars.ranges[0][0], _Moves()).add(base + at, base + to)
                else:
                    self._kinds.setdefault(chars, _Moves()).add(base + at, base + to)
            for guard, at, to in strand.jumps:
                for facts, jumps in self._jumps.items():
                    if not guard & ~facts:
                        jumps.add(base + at, base + to)
            base += strand.size
        self._cost = 4 + base // 512
        self._before: tuple[str, list[int]] = ("", [start])

    def matching(self, text: str) -> int:
        """A bit for each pattern that matches a text of 1 to MAX_TEXT characters."""
        before, states = self._before
        same = _alike(before, text)
        states = states[: same + 1]
        now = states[-1]
        Effort.steps += self._cost * (1 + len(text) - same)
        dotted, others = self._jumps[SOME], self._jumps[SOME | NOT_DOT]
        for char in text[same:]:
            if now:
                now = (dotted if char == "." else others).reached(now)
                moves = self._moves.get(char) or self._moves_on(char)
                moved = (now & moves.on) << 1 | now & moves.stay
                left = now & moves.odd
                if left:
                    for at in bits(left):
                        moved |= moves.targets[at]
                now = moved
            states.append(now)
        self._before = text, states
        matched = 0
        for at in bits(self._jumps[_AT_END].reached(now) & self._end):
            matched |= 1 << self._ends[at]
        return matched ^ self._inverted

    def _moves_on(self, char: str) -> _Moves:
        parts = [of_kind for chars, of_kind in self._kinds.items() if chars.has(char)]
        if char in self._singles:
            parts.append(self._singles[char])
        if len(self._moves) >= _MAX_KEPT:
            self._moves.clear()
        moves = self._moves[char] = parts[0] if len(parts) == 1 else _Moves(parts)
        return moves


def bits(number: int) -> Iterator[int]:
    """The places of the bits that are set."""
    while number:
        lowest = number & -number
        yield lowest.bit_length() - 1
        number ^= lowest


def _alike(first: str, second: str) -> int:
    """How many characters two texts have in common at their beginnings."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        if first[:middle] == second[:middle]:
            low = middle
        else:
            high = middle - 1
    return low


@lru_cache(maxsize=128)
def _bundle(patterns: tuple[str, ...]) -> _Bundle:
    """The bundle of patterns that all have strands. Kept, since roles of the same rules are held by many."""
    return _Bundle([strand for pattern in patterns if (strand := _strand(pattern)) is not None])


class _Some(NamedTuple):
    """Patterns with the same literal beginning.

    They are kept as bundles with the indices of their patterns, and as patterns that stand alone.
    """

    bundles: list[tuple[_Bundle, list[int]]]
    alone: list[tuple[int, str]]


class GlobSet:
    """Which of these patterns match a text. What it needs is made when a text comes that begins as patterns do."""

    def __init__(self, patterns: Iterable[tuple[int, str]]) -> None:
        """Of patterns and the places of their bits."""
        self._exact: dict[str, int] = {}  # a pattern matches its own text, unless it has escapes
        self._beginning: dict[str, list[tuple[int, str]]] = {}  # by the literal beginning
        for index, pattern in patterns:
            if "\\" not in pattern:
                self._exact[pattern] = self._exact.get(pattern, 0) | 1 << index
            self._beginning.setdefault(literal_prefix(pattern), []).append((index, pattern))
        self._lengths = sorted({len(prefix) for prefix in self._beginning})
        self._made: dict[str, _Some] = {}

    def matching(self, text: str) -> int:
        """The bits of the patterns that match."""
        matched = self._exact.get(text, 0)
        if not 0 < len(text) <= MAX_TEXT:
            return matched
        for length in self._lengths:
            if length > len(text):
                break
            prefix = text[:length]
            if prefix in self._beginning:
                bundles, alone = self._made.get(prefix) or self._make(prefix)
                for bundle, indices in bundles:
                    for at in bits(bundle.matching(text)):
                        matched |= 1 << indices[at]
                for index, pattern in alone:
                    matched |= int(glob_matches(pattern, text)) << index
        return matched

    def prepare(self) -> None:
        """Make now what texts would need, whatever they begin with."""
        for prefix, patterns in self._beginning.items():
            if len(patterns) > _FEW and prefix not in self._made:
                self._make(prefix)

    def _make(self, prefix: str) -> _Some:
        some = self._beginning[prefix]
        bundles: list[tuple[list[str], list[int]]] = []
        alone: list[tuple[int, str]] = []
        size = _MAX_NODES
        for index, pattern in some:
            strand = _strand(pattern) if len(some) > _FEW else None
            if strand is None:
                alone.append((index, pattern))
                continue
            if size + strand.size > _MAX_NODES:
                bundles.append(([], []))
                size = 0
            size += strand.size
            bundles[-1][0].append(pattern)
            bundles[-1][1].append(index)
        prepared = self._made[prefix] = _Some(
            [(_bundle(tuple(patterns)), indices) for patterns, indices in bundles], alone
        )
        return prepared
