r"""Lists that are written as one text, joined by commas: split them, and write them so that they are split alike.

    dev, prod                                    two parts
    "CN=Ops,OU=Groups,DC=example", CN=Dev        a part in double quotes is taken as it is; `""` in it is one quote
    R&D\, Berlin                                  a backslash makes one comma part of the value
    repo:acme/{api,web}:*                        in lists of patterns, a comma inside braces is the pattern's own

Double quotes enclose a part only where they stand at both of its ends; elsewhere they are characters like others.
"""

import re
from collections.abc import Sequence
from typing import Any

__all__ = ["join_list", "joined", "normal_list", "normal_patterns", "split_list", "split_patterns"]

_QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*(?=,|\Z)')


def split_list(text: str) -> tuple[str, ...]:
    """The parts of a list, trimmed, without empty ones."""
    return _decoded(_pieces(text, globs=False), globs=False)


def split_patterns(text: str) -> tuple[str, ...]:
    r"""The patterns of a list, trimmed, without empty ones. `\,` stays as it is: it is an escape of patterns too."""
    return _decoded(_pieces(text, globs=True), globs=True)


def normal_list(text: str) -> str:
    """A list as it is stored and answered: its parts as they were written, trimmed, joined by `, `."""
    return ", ".join(piece.strip() for piece in _pieces(text, globs=False))


def normal_patterns(text: str, *, joined_by: str = ", ") -> str:
    """A list of patterns as it is stored and answered; a comma inside braces stays as it is."""
    return joined_by.join(piece.strip() for piece in _pieces(text, globs=True))


def join_list(parts: Sequence[str]) -> str:
    """The text of a list with these parts, quoted where a part would be read as something else."""
    return ", ".join(_quoted(part) for part in parts)


def joined(value: Any) -> Any:
    """An array of texts as the list that it stands for; any other value as it is."""
    is_list = isinstance(value, list | tuple) and all(isinstance(part, str) for part in value)
    return join_list(value) if is_list else value


def _quoted(part: str) -> str:
    is_plain = not part.startswith('"') and not part.endswith("\\") and not set(part) & {",", "{", "}"}
    return part if is_plain and part == part.strip() and part else '"' + part.replace('"', '""') + '"'


def _decoded(pieces: Sequence[str], *, globs: bool) -> tuple[str, ...]:
    parts = []
    for piece in pieces:
        quoted = _QUOTED.fullmatch(piece)
        if quoted:
            parts.append(quoted[1].replace('""', '"').strip())
        else:
            parts.append((piece if globs else piece.replace("\\,", ",")).strip())
    return tuple(part for part in parts if part)


def _pieces(text: str, *, globs: bool) -> list[str]:
    """The text between the commas that separate."""
    if "," not in text:
        return [text]
    if '"' not in text and "\\" not in text and not (globs and "{" in text):
        return text.split(",")
    pieces, depth = _scanned(text, globs=globs)
    # A brace that is never closed groups nothing: reading on would glue all later patterns to this one.
    return _scanned(text, globs=False)[0] if depth else pieces


def _scanned(text: str, *, globs: bool) -> tuple[list[str], int]:
    """The pieces, and how many braces were still open at the end."""
    pieces: list[str] = []
    start = at = depth = 0
    while at < len(text):
        if at == start and (quoted := _QUOTED.match(text, at)):
            at = quoted.end()
            continue
        char = text[at]
        if char == "\\":
            # In a list without patterns only `\,` is an escape: other backslashes are characters (`DOMAIN\user`).
            at += 2 if globs or text[at + 1 : at + 2] == "," else 1
            continue
        if char == "," and not depth:
            pieces.append(text[start:at])
            start = at + 1
        elif globs and char == "{":
            depth += 1
        elif globs and char == "}":
            depth = max(0, depth - 1)
        at += 1
    pieces.append(text[start:])
    return pieces, depth
