"""Access as pages show it: what a source is called, and an effect as one of five steps."""

from typing import Final

import msgspec

from watchword.services.access.access_report import ACTIONS
from watchword.services.access.effects import Effect, Source
from watchword.web.rendering import exact

_KINDS: Final = {"role": "Role", "privilege": "Privilege", "folder": "Folder access"}
STEPS: Final = ("None", "Names", "Read", "Write", "Delete", "All")
STEP_WORDS: Final = (
    (1, "Names: keys, not values"),
    (2, "Read values"),
    (3, "Write: create or edit"),
    (4, "Delete"),
    (5, "All of it, everywhere"),
)


def source_text(source: Source) -> str:
    """What a source is called: its kind and name, and the group through which it is held."""
    through = f" through the group {source.group}" if source.group else ""
    return f"{_KINDS[source.kind]} {source.name}{through}"


def source_line(source: Source) -> str:
    """A source in one line, with its end and whether it takes away: for files."""
    until = f", until {exact(source.until)}" if source.until else ""
    return f"{source_text(source)}{until}{', with rules that deny' if source.limits else ''}"


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """An effect in one word; `level` is 0 to 5, and `marks` are icons with what they mean."""

    level: int
    text: str
    marks: tuple[tuple[str, str], ...] = ()


def step(effect: Effect) -> Step:
    """What an effect of one place amounts to."""
    if effect.is_stopped:
        return Step(level=0, text="None", marks=(("power", "held, but disabled, suspended or ended"),))
    extents = effect.of(0)
    if not extents:
        return Step(level=0, text=STEPS[0])
    is_whole = all(extents.get(action) == "all" for action in ACTIONS)
    level = 5 if is_whole else _level(frozenset(extents))
    text = STEPS[level]
    if level > 2 and "readValue" not in extents:
        text += " only"
    marks = []
    if any(extent == "some" for extent in extents.values()):
        marks.append(("folder", "only some folders, keys or tags"))
    sources = [given.source for given in effect.given if given.gives]
    if sources and all(source.until for source in sources):
        marks.append(("clock", f"until {exact(max(source.until or 0 for source in sources))}"))
    elif any(source.until for source in sources):
        marks.append(("clock", "a part of it for a time"))
    if any(source.group for source in sources):
        marks.append(("users", "through a group"))
    return Step(level=level, text=text, marks=tuple(marks))


def _level(actions: frozenset[str]) -> int:
    if "delete" in actions:
        return 4
    if actions & {"create", "edit"}:
        return 3
    return 2 if "readValue" in actions else 1
