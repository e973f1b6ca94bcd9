"""Secret references: `${NAME}` and `${environment.folder.NAME}` in values, parsed, expanded and renamed.

    ${HOST}               the secret HOST of the same folder
    ${prod.HOST}          HOST in the root of the environment prod
    ${prod.db.main.HOST}  HOST in the folder /db/main of prod

Each reference means what it means in the folder of the secret whose value holds it, also when that value was itself
brought in by a reference. What cannot be resolved stays as it is written: an unknown name, a reference back to a secret
that is being expanded, one deeper than MAX_DEPTH, or one whose text would make the value larger than MAX_EXPANDED.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

MAX_DEPTH: Final = 10
MAX_EXPANDED: Final = 4 * 1024 * 1024  # characters of one expanded value
MAX_CALLS: Final = 20_000  # values looked into again because of cycles, in one answer

_REFERENCE: Final = re.compile(r"\$\{\s*([\w.\-]+)\s*\}")
_NAME: Final = re.compile(r"[\w\-]+")


class Address(msgspec.Struct, frozen=True, order=True):
    """Where a secret is, or is asked for: environment slug, absolute path, name."""

    environment: str
    path: str
    key: str

    def __str__(self) -> str:
        return f"{self.key} in {self.environment}:{self.path}"


class Reference(msgspec.Struct, frozen=True):
    """A reference as it is written; `environment` and `path` are empty for one to the same folder."""

    environment: str
    path: str
    key: str

    def seen_from(self, environment: str, path: str) -> Address:
        """The address it means in a value of that folder."""
        return Address(self.environment, self.path, self.key) if self.environment else Address(environment, path, self.key)


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A reference in a value: the text before it, how it is written, and what it means there, or None for what only looks like one."""

    before: str
    written: str
    target: Address | None

    def __repr__(self) -> str:
        return f"Piece({self.target})"


class Source(msgspec.Struct, eq=False):
    """A secret that references were resolved to: where it really is (imports may have led there), and its value as stored."""

    address: Address
    value: str
    _pieces: Sequence[Piece] | None = None

    def __repr__(self) -> str:
        return f"Source({self.address})"

    @property
    def pieces(self) -> Sequence[Piece]:
        """The references in the value in their order, taken apart once."""
        if self._pieces is None:
            self._pieces = _taken_apart(self.value, self.address) if "${" in self.value else ()
        return self._pieces

    @property
    def targets(self) -> list[Address]:
        """What the value refers to."""
        return [piece.target for piece in self.pieces if piece.target is not None]


def _taken_apart(value: str, at: Address) -> list[Piece]:
    pieces, position = [], 0
    for match in _REFERENCE.finditer(value):
        reference = parse(match[1])
        target = None if reference is None else reference.seen_from(at.environment, at.path)
        pieces.append(Piece(value[position : match.start()], match[0], target))
        position = match.end()
    return pieces


def parse(inner: str) -> Reference | None:
    """The reference between the braces; None where a part is missing, which is then no reference."""
    parts = inner.split(".")
    if not all(parts):
        return None
    if len(parts) == 1:
        return Reference("", "", parts[0])
    return Reference(parts[0], "/" + "/".join(parts[1:-1]), parts[-1])


def references(value: str) -> tuple[Reference, ...]:
    """The references in a value, each once, in their order."""
    if "${" not in value:
        return ()
    found = (parse(match[1]) for match in _REFERENCE.finditer(value))
    return tuple(dict.fromkeys(one for one in found if one is not None))


def can_be_referenced(key: str) -> bool:
    """Whether a reference can name this key: a dot or a sign outside of the syntax makes it impossible."""
    return _NAME.fullmatch(key) is not None


def renamed(value: str, is_meant: Callable[[Reference], bool], key: str) -> str:
    """The value with every reference that `is_meant` naming `key` instead; the rest of each reference stays as it is written."""

    def one(match: re.Match[str]) -> str:
        reference = parse(match[1])
        if reference is None or not is_meant(reference):
            return match[0]
        head, dot, _ = match[1].rpartition(".")
        return "${" + head + dot + key + "}"

    return _REFERENCE.sub(one, value)


def one_line(value: str) -> str:
    """What `skipMultilineEncoding` makes of a value that had references: in quotes, on one line."""
    return '"' + value.replace("\n", "\\n") + '"' if "\n" in value else value


class Expander:
    """Expands values of which everything that they refer to is at hand in `sources`."""

    __slots__ = ("_calls", "_done", "_sources")

    def __init__(self, sources: Mapping[Address, Source | None]) -> None:
        self._sources = sources
        # Expanded text and how many levels it has below; only of values that met no cycle, which are the same from everywhere.
        self._done: dict[Address, tuple[str, int]] = {}
        self._calls = MAX_CALLS + MAX_DEPTH * len(sources)

    def value(self, source: Source) -> str:
        """The value of `source` with its references filled in."""
        return self._expand(source, (source.address,))[0]

    def _expand(self, source: Source, stack: tuple[Address, ...]) -> tuple[str, int | None]:
        """The text, and its height; None for the height when what is above decided a part of it."""
        known = self._done.get(source.address)
        if known is not None and len(stack) + known[1] <= MAX_DEPTH + 1:
            return known
        self._calls -= 1
        height: int | None = 0
        parts: list[str] = []
        size = taken = 0
        for piece in source.pieces:
            text, below = self._filled(piece, stack)
            if size + len(text) > MAX_EXPANDED:
                text, below = piece.written, None
            parts += (piece.before, text)
            size += len(piece.before) + len(text)
            taken += len(piece.before) + len(piece.written)
            height = None if height is None or below is None else max(height, below)
        parts.append(source.value[taken:])
        expanded = "".join(parts)
        if height is not None:
            self._done[source.address] = expanded, height
        return expanded, height

    def _filled(self, piece: Piece, stack: tuple[Address, ...]) -> tuple[str, int | None]:
        target = None if piece.target is None else self._sources.get(piece.target)
        if target is None:
            return piece.written, 0
        if target.address in stack or len(stack) > MAX_DEPTH or self._calls <= 0:
            return piece.written, None
        text, height = self._expand(target, (*stack, target.address))
        return text, None if height is None else height + 1
