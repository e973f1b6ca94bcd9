"""Parse glob patterns into nondeterministic automata of linear size.

`globs.py` says what the language is and runs the automaton.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec

MAX_LOOPS: Final = 32  # wildcards of any length in one pattern
MAX_DEPTH: Final = 16

_SEPARATOR: Final = "/"  # what `*`, `?`, ranges and negated classes do not cross

_NAMED: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "alpha": (("a", "z"), ("A", "Z")),
    "digit": (("0", "9"),),
    "alnum": (("a", "z"), ("A", "Z"), ("0", "9")),
    "upper": (("A", "Z"),),
    "lower": (("a", "z"),),
    "xdigit": (("a", "f"), ("A", "F"), ("0", "9")),
    "word": (("a", "z"), ("A", "Z"), ("0", "9"), ("_", "_")),
}

# Guards look at the next character without taking it.
FREE, NOT_DOT, SOME = 0, 1, 2


class Chars(msgspec.Struct, frozen=True, gc=False):
    """A set of characters: ranges, or all but them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False
    never: str = ""  # separators that ranges and negation do not reach

    def has(self, char: str) -> bool:
        """Whether `char` is in the set."""
        if char in self.never:
            return False
        return any(low <= char <= high for low, high in self.ranges) != self.negated


class PatternError(ValueError):
    """The pattern is not one."""


@lru_cache(maxsize=1_024)
def _one(char: str) -> Chars:
    return Chars(((char, char),))


class Automaton(NamedTuple):
    """A nondeterministic automaton, by state.

    All in tuples of what the garbage collector need not look into, which it then leaves alone: thousands of automata
    are kept, with a hundred states each.
    """

    steps: tuple[tuple[tuple[Chars, int], ...], ...]
    jumps: tuple[tuple[tuple[int, int], ...], ...]
    denials: tuple[tuple[tuple[int, int, bool, int], ...], ...]  # inner start, inner accept, whole, target


class Graph:
    """An automaton that is being built."""

    def __init__(self) -> None:
        self.loops = 0
        self.steps: list[list[tuple[Chars, int]]] = []
        self.jumps: list[list[tuple[int, int]]] = []
        self.denials: list[list[tuple[int, int, bool, int]]] = []

    def done(self) -> Automaton:
        """The automaton."""
        return Automaton(
            tuple(tuple(steps) for steps in self.steps),
            tuple(tuple(jumps) for jumps in self.jumps),
            tuple(tuple(denials) for denials in self.denials),
        )

    def node(self) -> int:
        """A new state."""
        self.steps.append([])
        self.jumps.append([])
        self.denials.append([])
        return len(self.steps) - 1

    def step(self, at: int, chars: Chars, to: int | None = None) -> int:
        """Take one character of the set."""
        self.loops += to == at
        if self.loops > MAX_LOOPS:
            raise PatternError(f"a pattern has at most {MAX_LOOPS} wildcards of any length")
        to = self.node() if to is None else to
        self.steps[at].append((chars, to))
        return to

    def jump(self, at: int, to: int | None = None, guard: int = FREE) -> int:
        """Go on without a character, if the guard holds."""
        to = self.node() if to is None else to
        self.jumps[at].append((guard, to))
        return to

    def literal(self, at: int, text: str) -> int:
        """Take the text itself."""
        for char in text:
            at = self.step(at, _one(char))
        return at


class Parser:
    """Reads a pattern into a `Graph`, one character at a time; `before` is the kind of what was read last."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.graph = Graph()
        self.before = "start"
        self.depth = 0
        self.loops = 0
        self.segment = Chars(((_SEPARATOR, _SEPARATOR),), negated=True)

    def parse(self) -> tuple[Automaton, int, int]:
        """The automaton with its first and its accepting state."""
        start = self.graph.node()
        end = self._sequence(start, "")
        if self.before in ("star", "class"):
            self.graph.jump(self.graph.literal(end, "/"), tail := self.graph.node())
            end = self.graph.jump(end, tail)
        return self.graph.done(), start, end

    def _sequence(self, at: int, closers: str) -> int:
        while self.at < len(self.text) and self.text[self.at] not in closers:
            at = self._item(at, closers)
        return at

    def _read(self, kind: str, count: int = 1) -> None:
        self.at += count
        self.before = kind

    def _peek(self, ahead: int = 1) -> str:
        return self.text[self.at + ahead : self.at + ahead + 1]

    def _item(self, at: int, closers: str) -> int:
        char = self.text[self.at]
        if char == "\\" and self.at + 1 < len(self.text):
            at = self.graph.literal(at, self._peek())
            # An escaped slash is a plain character: it must not turn a following `**` into one that crosses segments.
            self._read("escaped slash" if self._peek() == "/" else "text", 2)
            return at
        if char in "@?+*!" and self._peek() == "(" and self._closing(self.at + 1) is not None:
            return self._group(at, char)
        if char == "(" and self._closing(self.at) is not None:
            return self._group(at, "")
        if char == "{":
            return self._braces(at)
        if char == "[":
            return self._char_class(at)
        if char == "*":
            return self._stars(at, closers)
        if char == "?":
            ranges = self.segment.ranges + ((".", "."),) * (self.before in ("start", "slash", "escaped slash"))
            at = self.graph.step(at, Chars(ranges, negated=True))
            self._read("text")
            return at
        if char == "/":
            return self._slash(at)
        at = self.graph.literal(at, char)
        self._read("dot" if char == "." else "text")
        return at

    def _slash(self, at: int) -> int:
        begins = self.before == "start"
        rest = self.text[self.at + 1 :]
        while rest.startswith("**/**") and rest[5:6] in ("", "/"):
            rest = rest[3:]
        crosses = rest.startswith("**") and not begins
        if crosses and (rest == "**" and self.before not in ("star", "globstar")):
            # `/app/**` also takes `/app` itself.
            end = self.graph.jump(at)
            self._globstar(self.graph.jump(self.graph.literal(at, "/"), guard=NOT_DOT), end)
            self._read("slash", len(self.text) - self.at)
            self.before = "globstar"
            return end
        if crosses and rest.startswith("**/"):
            # `/a/**/b` also takes `/a/b`.
            end = self.graph.node()
            slash = self.graph.literal(at, "/")
            self.graph.jump(slash, end)
            inner = self.graph.node()
            self._globstar(self.graph.jump(slash, guard=NOT_DOT), inner)
            self.graph.step(inner, _one("/"), end)
            self.at = len(self.text) - len(rest) + 3
            self.before = "slash"
            return end
        at = self.graph.literal(at, "/")
        self._read("slash")
        return at

    def _globstar(self, at: int, end: int) -> None:
        """Any characters, but no segment that begins with a dot."""
        loop = self.graph.jump(at)
        self.graph.step(loop, Chars((("/", "/"),), negated=True), loop)
        self.graph.jump(self.graph.step(loop, _one("/")), loop, NOT_DOT)
        self.graph.jump(loop, end)

    def _stars(self, at: int, closers: str) -> int:
        count = 1
        while self._peek(count) == "*":
            count += 1
        # The `*` of `**(a)` opens a group.
        if self._peek(count) == "(" and self._closing(self.at + count) is not None:
            count -= 1
        opens = self.before in ("start", "slash", "open")
        after = self._peek(count)
        if count == 2 and opens and (after in ("", "/", ")") or (after in (",", "}") and "," in closers)):
            return self._crossing(at, count)
        guard = FREE
        if self.before in ("start", "slash", "escaped slash"):
            guard = NOT_DOT
        if count == 1 and self.before in ("start", "slash", "escaped slash", "dot"):
            guard |= SOME
        loop = self.graph.jump(at, guard=guard)
        self.graph.step(loop, self.segment, loop)
        at = self.graph.jump(loop)
        self._read("star", count)
        return at

    def _crossing(self, at: int, count: int) -> int:
        """`**` that is a whole segment, other than those `slash` has taken."""
        begins = self.before == "start"
        guard = NOT_DOT if self.before in ("start", "slash") else FREE
        self._read("globstar", count)
        while self.text.startswith("/**", self.at) and self._peek(3) in ("", "/"):
            self.at += 3
        end = self.graph.node()
        if begins and self._peek(0) == "/":
            # `**/a` also takes `a` and `/a`.
            self.graph.jump(at, end)
            self._globstar(self.graph.jump(at, guard=guard), inner := self.graph.node())
            self.graph.step(inner, _one("/"), end)
            self._read("slash")
            return end
        self._globstar(self.graph.jump(at, guard=guard), end)
        return end

    def _group(self, at: int, kind: str) -> int:
        """`(a|b)` and the five extended groups."""
        graph = self.graph
        starts_extended = self.before == "start" and kind in ("?", "+", "*", "!")
        if kind == "!" and self.loops:
            raise PatternError("`!( )` cannot stand inside `+( )` or `*( )`")
        begin = graph.jump(at, guard=SOME if starts_extended else FREE)
        inner, inner_end = graph.node(), graph.node()
        self._enter(kind)
        opened = self.at + (1 if kind else 0)
        self.at = opened + 1
        while True:
            self.before = "open"
            graph.jump(self._sequence(graph.jump(inner), "|)"), inner_end)
            if self.text[self.at] == ")":
                break
            self.at += 1
        content = self.text[opened + 1 : self.at]
        self._leave(kind)
        self._read("close")
        if kind == "!":
            return self._negation(begin, inner, inner_end, content)
        graph.jump(begin, inner)
        end = graph.jump(inner_end)
        if kind in ("+", "*"):
            graph.jump(inner_end, inner)
        if kind in ("?", "*"):
            graph.jump(begin, end)
        if not kind and self._peek(0) == "?" and self._peek(1) != "(":
            graph.jump(begin, end)
            self._read("text")
        if not kind and self._peek(0) == "+" and self._peek(1) != "(":
            graph.jump(inner_end, inner)
            self._read("text")
        return end

    def _negation(self, begin: int, inner: int, inner_end: int, content: str) -> int:
        crosses = "/" in content
        whole = crosses or not self.text[self.at :].strip(")")
        free = self.graph.node()
        self.graph.denials[begin].append((inner, inner_end, whole, free))
        end = self.graph.node()
        if crosses:
            self._globstar(free, end)
        else:
            loop = self.graph.jump(free)
            self.graph.step(loop, self.segment, loop)
            self.graph.jump(loop, end)
        return end

    def _braces(self, at: int) -> int:
        close = self._closing(self.at)
        if close is None:
            raise PatternError("a `{` is not closed")
        graph = self.graph
        content = self.text[self.at + 1 : close]
        if len(content) == 4 and content[1:3] == ".." and content[0].isalnum() and content[3].isalnum():
            low, high = sorted((content[0], content[3]))
            at = graph.step(at, Chars(((low, high),), never=_SEPARATOR))
            self._read("class", close + 1 - self.at)
            return at
        if not self._has_comma(self.at, close):
            at = graph.literal(at, "{")
            self._read("text")
            self._enter("")
            at = graph.literal(self._sequence(at, "}"), "}")
            self._leave("")
            self._read("text")
            return at
        end = graph.node()
        self._enter("")
        self.at += 1
        while True:
            self.before = "open"
            graph.jump(self._sequence(graph.jump(at), ",}"), end)
            if self.text[self.at] == "}":
                break
            self.at += 1
        self._leave("")
        self._read("close")
        return end

    def _char_class(self, at: int) -> int:
        read = _read_class(self.text, self.at)
        if read is None:
            at = self.graph.literal(at, "[")
            self._read("text")
            return at
        ranges, negated, close = read
        never = _SEPARATOR if negated or any(low != high for low, high in ranges) else ""
        explicit = "".join(low for low, high in ranges if low == high) if not negated else ""
        chars = Chars(ranges, negated, "".join(c for c in never if c not in explicit))
        end = self.graph.step(at, chars)
        if not negated and "\\" not in self.text[self.at : close]:
            self.graph.jump(self.graph.literal(at, self.text[self.at : close + 1]), end)
        self._read("class", close + 1 - self.at)
        if self._peek(0) == "+" and self._peek(1) != "(":
            self.graph.step(end, chars, end)
            self._read("text")
        return end

    def _enter(self, kind: str) -> None:
        self.depth += 1
        self.loops += kind in ("+", "*")
        if self.depth > MAX_DEPTH:
            raise PatternError(f"groups are nested deeper than {MAX_DEPTH}")

    def _leave(self, kind: str) -> None:
        self.depth -= 1
        self.loops -= kind in ("+", "*")

    def _closing(self, opened: int) -> int | None:
        return _pairs(self.text).get(opened)

    def _has_comma(self, opened: int, close: int) -> bool:
        return any(self.text[i] == "," for i in _surface(self.text, opened, close))


def unclosed(text: str) -> str | None:
    """What is odd about the brackets, ranges and escapes of a pattern that can be parsed; None where nothing is.

    Matching takes an unclosed bracket for the character itself. Who writes a pattern rarely means that.
    """
    pairs = _pairs(text)
    i = 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            if i + 1 == len(text):
                return "a backslash at the end escapes nothing: write two for the character itself"
            i += 2
            continue
        if char == "[":
            read = _read_class(text, i)
            if read is None:
                return "a `[` is not closed: write `\\[` for the character itself"
            if any(low > high for low, high in read[0]):
                return "a range in `[ ]` runs backwards"
            i = read[2]
        elif char in "({" and i not in pairs:
            return f"a `{char}` is not closed: write `\\{char}` for the character itself"
        i += 1
    return None


@lru_cache(maxsize=64)
def _pairs(text: str) -> dict[int, int]:
    """Each opening bracket's closing one; `{` and `(` nest properly or are not pairs."""
    pairs: dict[int, int] = {}
    stack: list[int] = []
    i = 0
    while i < len(text):
        char = text[i]
        if char == "\\":
            i += 2
            continue
        if char == "[":
            read = _read_class(text, i)
            i = read[2] + 1 if read else i + 1
            continue
        if char in "({":
            stack.append(i)
        elif char in ")}":
            opening = "(" if char == ")" else "{"
            if stack and text[stack[-1]] == opening:
                pairs[stack.pop()] = i
            elif any(text[j] == opening for j in stack):
                raise PatternError("brackets are not nested properly")
        i += 1
    return pairs


def _surface(text: str, opened: int, close: int) -> Iterator[int]:
    """The positions between two brackets that lie in no inner bracket."""
    pairs = _pairs(text)
    i = opened + 1
    while i < close:
        if text[i] == "\\":
            i += 2
        elif i in pairs:
            i = pairs[i] + 1
        elif text[i] == "[" and (read := _read_class(text, i)):
            i = read[2] + 1
        else:
            yield i
            i += 1


def _read_class(text: str, opened: int) -> tuple[tuple[tuple[str, str], ...], bool, int] | None:
    """The ranges of `[…]`, whether it begins with `^`, and where it ends; None if it never does."""
    i = opened + 1
    negated = text[i : i + 1] == "^"
    i += negated
    first = i
    ranges: list[tuple[str, str]] = []
    while i < len(text):
        if text[i] == "]" and i > first:
            return tuple(ranges), negated, i
        if text.startswith("[:", i) and (end := text.find(":]", i)) > 0 and text[i + 2 : end] in _NAMED:
            ranges += _NAMED[text[i + 2 : end]]
            i = end + 2
            continue
        i += text[i] == "\\" and i + 1 < len(text)
        low = high = text[i]
        if text[i + 1 : i + 2] == "-" and text[i + 2 : i + 3] not in ("", "]"):
            i += 2
            i += text[i] == "\\" and i + 1 < len(text)
            high = text[i]
        ranges.append((low, high))
        i += 1
    return None
