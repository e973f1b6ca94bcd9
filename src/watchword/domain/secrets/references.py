r"""Secret references: `${NAME}` and `${environment.folder.NAME}` in values, parsed, expanded and renamed.

    ${HOST}               the secret HOST of the same folder
    ${prod.HOST}          HOST in the root of the environment prod
    ${prod.db.main.HOST}  HOST in the folder /db/main of prod
    ${prod.tls\.crt}      the secret tls.crt in the root of prod: a dot of a name has a backslash before it
    ${HOST:-localhost}    HOST, or localhost where HOST is not there or is empty
    $${HOST}              no reference: filled in, it is the text ${HOST}

Each reference means what it means in the folder of the secret whose value holds it, also when that value was itself
brought in by a reference. What cannot be resolved stays as it is written: an unknown name, a reference back to a secret
that is being expanded, or one deeper than MAX_DEPTH. What would become too large, or would take too long, is refused.
"""

import re
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Final

import msgspec

from watchword.domain.errors import BadRequest

MAX_DEPTH: Final = 10
MAX_NAMED: Final = 1_000  # different secrets that one value may refer to, when it is stored
MAX_IN_VALUE: Final = 10_000  # references in one value, when they are filled in
MAX_EXPANDED: Final = 1024 * 1024  # characters of one expanded value
MAX_TOGETHER: Final = 16 * 1024 * 1024  # characters of all values that are expanded for one answer
MAX_FOLLOWED: Final = 200_000  # references that are filled in for one answer
_PIECE: Final = 500  # references, or so many hundred characters, that are filled in between two pauses

_REFERENCE: Final = re.compile(
    r"(?P<escape>\$)?\$\{\s*(?P<inner>(?:[\w.\-]|\\\.)+)\s*(?P<otherwise>:-(?P<default>[^{}]*))?\}"
)
_DOT: Final = re.compile(r"(?<!\\)\.")  # between two parts; one with a backslash belongs to a name
_NAME: Final = re.compile(r"[\w.\-]+")


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
        return (
            Address(self.environment, self.path, self.key) if self.environment else Address(environment, path, self.key)
        )


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A reference in a value, with the text before it.

    It holds how the reference is written, its text where nothing is filled in, and what it means there; None for what
    only looks like a reference. `default` takes the place of a value that is not there, or is empty.
    """

    before: str
    written: str
    target: Address | None
    plain: str
    default: str | None = None

    def __repr__(self) -> str:
        return f"Piece({self.target})"


class ResolvedSecret(msgspec.Struct, eq=False):
    """A secret that a reference was resolved to, with its value as stored.

    `address` is where the secret really is: imports may have led there.
    """

    address: Address
    value: str
    _pieces: Sequence[Piece] | None = None

    def __repr__(self) -> str:
        return f"ResolvedSecret({self.address})"

    @property
    def pieces(self) -> Sequence[Piece]:
        """The references in the value in their order, taken apart once. Raises BadRequest where there are too many."""
        if self._pieces is None:
            self._pieces = _pieces_of(self.value, self.address) if "${" in self.value else ()
        return self._pieces

    @property
    def targets(self) -> list[Address]:
        """What the value refers to."""
        return [piece.target for piece in self.pieces if piece.target is not None]

    @property
    def named(self) -> list[Address]:
        """What the value refers to, each once, however often it does."""
        return [
            reference.seen_from(self.address.environment, self.address.path) for reference in references(self.value)
        ]


def _pieces_of(value: str, at: Address) -> list[Piece]:
    pieces, position = list[Piece](), 0
    targets: dict[str, Address | None] = {}
    for match in _REFERENCE.finditer(value):
        if len(pieces) == MAX_IN_VALUE:
            raise BadRequest(f"The value of {at} has more than {MAX_IN_VALUE} references: it cannot be filled in")
        inner = match["inner"]
        if inner not in targets:
            reference = parse(inner)
            targets[inner] = None if reference is None else reference.seen_from(at.environment, at.path)
        target, written = targets[inner], match[0]
        before = value[position : match.start()]
        if match["escape"] and target is not None:
            pieces.append(Piece(before, written, None, written[1:]))
        else:
            pieces.append(Piece(before, written, target, written, match["default"]))
        position = match.end()
    return pieces


def parse(inner: str) -> Reference | None:
    """The reference between the braces; None where a part is missing, which is then no reference."""
    *place, name = _DOT.split(inner)
    if not name or not all(place) or any("\\" in part for part in place):
        return None
    key = name.replace("\\.", ".")
    return Reference(place[0], "/" + "/".join(place[1:]), key) if place else Reference("", "", key)


def references(value: str) -> tuple[Reference, ...]:
    """The references in a value, each once, in their order."""
    if "${" not in value:
        return ()
    inner = dict.fromkeys(match["inner"] for match in _REFERENCE.finditer(value) if not match["escape"])
    parsed = map(parse, inner)
    return tuple(dict.fromkeys(reference for reference in parsed if reference is not None))


def can_be_referenced(key: str) -> bool:
    """Whether a reference can name this key: a sign outside of the syntax makes it impossible."""
    return _NAME.fullmatch(key) is not None


def renamed(value: str, new_key: Callable[[Reference], str | None]) -> str:
    """The value with every reference naming its `new_key` instead; None leaves one as it is.

    The rest of each reference stays as it is written.
    """

    def one(match: re.Match[str]) -> str:
        reference = None if match["escape"] else parse(match["inner"])
        key = None if reference is None else new_key(reference)
        if key is None:
            return match[0]
        *place, _ = _DOT.split(match["inner"])
        name = key.replace(".", "\\.")
        return "${" + ".".join([*place, name]) + (match["otherwise"] or "") + "}"

    return _REFERENCE.sub(one, value)


def one_line(value: str) -> str:
    """What `skipMultilineEncoding` makes of a value that had references: in quotes, on one line."""
    return '"' + value.replace("\n", "\\n") + '"' if "\n" in value else value


class Expander:
    """Expand values, where everything that they refer to is in `sources`.

    What one answer may take is bounded, over all values that it asks for: MAX_EXPANDED, MAX_TOGETHER and MAX_FOLLOWED.
    """

    __slots__ = ("_done", "_followed", "_size", "_sources", "_todo")

    def __init__(self, sources: Mapping[Address, ResolvedSecret | None]) -> None:
        self._sources = sources
        # Expanded text and how many levels it has below; only of values that met no cycle, which are the same from
        # everywhere.
        self._done: dict[Address, tuple[str, int]] = {}
        self._followed = self._size = 0
        self._todo = _PIECE  # steps until the next pause

    def value(self, source: ResolvedSecret) -> str:
        """The value of `source` with its references filled in.

        Raises BadRequest beyond a limit, naming the secret and the reference.
        """
        work = self.in_pieces(source)
        while True:
            try:
                next(work)
            except StopIteration as end:
                text: str = end.value
                return text

    def in_pieces(self, source: ResolvedSecret) -> Generator[None, None, str]:
        """The same as a generator: it yields where the caller may let other requests run."""
        known = self._done.get(source.address)
        return known[0] if known is not None else (yield from self._expand(source, (source.address,)))[0]

    def _expand(
        self, source: ResolvedSecret, stack: tuple[Address, ...]
    ) -> Generator[None, None, tuple[str, int | None]]:
        """The text, and its height; None for the height when what is above decided a part of it."""
        height: int | None = 0
        parts: list[str] = []
        size, taken = len(source.value), 0
        over: Piece | None = None
        for piece in source.pieces:
            self._followed += 1
            self._todo -= 1
            if self._todo <= 0:
                self._bounded(source, piece)
                self._todo = _PIECE
                yield
            text = piece.plain if piece.default is None or piece.target is None else piece.default
            target = None if piece.target is None else self._sources.get(piece.target)
            if target is not None:
                known: tuple[str, int | None] | None = self._done.get(target.address)
                if known is None or len(stack) + (known[1] or 0) > MAX_DEPTH:
                    is_cut = len(stack) > MAX_DEPTH or target.address in stack
                    known = (
                        (piece.written, None) if is_cut else (yield from self._expand(target, (*stack, target.address)))
                    )
                text, depth = known[0] or piece.default or "", known[1]
                height = None if height is None or depth is None else max(height, depth + 1)
            size += len(text) - len(piece.written)
            if size > MAX_EXPANDED and over is None:
                over = piece
            parts += (piece.before, text)
            taken += len(piece.before) + len(piece.written)
        if size > MAX_EXPANDED and over is not None:
            raise BadRequest(
                f"With its references filled in, the value of {source.address} has more than {MAX_EXPANDED} "
                "characters: "
                f"there is no room for {_as_written(over)}"
            )
        if not parts:
            expanded = source.value
        else:
            parts.append(source.value[taken:])
            expanded = "".join(parts)
            self._size += len(expanded)
            self._todo -= len(expanded) // 100
        if height is not None:
            self._done[source.address] = expanded, height
        return expanded, height

    def _bounded(self, source: ResolvedSecret, piece: Piece) -> None:
        if self._followed > MAX_FOLLOWED:
            limit = f"more than {MAX_FOLLOWED} references"
        elif self._size > MAX_TOGETHER:
            limit = f"more than {MAX_TOGETHER} characters"
        else:
            return
        place = f"the limit is reached at {_as_written(piece)} in the value of {source.address}"
        raise BadRequest(
            f"To fill in what is asked for takes {limit}, counted with those in the values referred to: {place}"
        )


def _as_written(piece: Piece) -> str:
    return piece.written[:256]
