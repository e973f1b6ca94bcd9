"""Cells of the grid that are open for editing: what the form says of each, and saving all of them together.

A field's name holds the place of the cell and the version that was seen: `v.3.dev/KEY`, with 0 for no secret at all.
Beside it stand the mark of the value that it was filled with (`m.dev/KEY`), where it was filled, and after a conflict
the version that may be written over (`o.dev/KEY`), or `theirs`.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from watchword.domain.errors import Invalid
from watchword.domain.secrets.texts import checked_name, checked_value
from watchword.services.secrets.writing import SecretChange
from watchword.web.forms import Form
from watchword.web.projects import texts

Spot = tuple[str, str]  # environment slug and key
MOST: Final = 1_000  # cells that are open at once
LONGEST: Final = 16_384  # characters of a value that a cell can be filled with
THEIRS: Final = "theirs"


class Open(msgspec.Struct, frozen=True, kw_only=True):
    """A cell that is open: what was typed, on top of which version, and what it was filled with."""

    environment: str
    key: str
    version: int
    text: str = ""
    mark: str = ""
    over: str = ""  # the version that may be written over after a conflict, or `theirs`

    @property
    def spot(self) -> Spot:
        """Environment and key."""
        return self.environment, self.key

    @property
    def name(self) -> str:
        """The name of the field."""
        return f"v.{self.version}.{self.environment}/{self.key}"

    @property
    def is_changed(self) -> bool:
        """Whether the cell would be written."""
        if self.over == THEIRS:
            return False
        return texts.is_changed(self.text, self.mark) if self.mark else bool(self.text)

    @property
    def on_top_of(self) -> int:
        """The version that a write of the cell expects."""
        return int(self.over) if _is_number(self.over) else self.version


class Clash(msgspec.Struct, frozen=True, kw_only=True):
    """Why a cell was not written: its version now (0: deleted), and its value where that may be read."""

    version: int
    value: str | None


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def spot_of(text: str) -> Spot:
    """The environment and the key of `dev/KEY`."""
    environment, _, key = text.partition("/")
    return environment, key


def read(form: Form) -> dict[Spot, Open]:
    """The cells that a form has open, in its order. Raises Invalid."""
    beside = {name: text for name, text in form.pairs if name[:2] in ("m.", "o.")}
    found: dict[Spot, Open] = {}
    for name, text in form.pairs:
        if not name.startswith("v."):
            continue
        version, _, place = name[2:].partition(".")
        environment, key = spot_of(place)
        if not _is_number(version) or not environment or not key:
            raise Invalid.of("", "The form is not one of this page: load it again")
        found[environment, key] = Open(
            environment=environment,
            key=key,
            version=int(version),
            text=texts.unified(text),
            mark=beside.get(f"m.{place}", ""),
            over=beside.get(f"o.{place}", ""),
        )
    if len(found) > MOST:
        raise Invalid.of("", f"At most {MOST} values at once")
    return found


def changes(opened: Iterable[Open]) -> list[SecretChange]:
    """The changes that open cells ask for. Raises Invalid, naming the field."""
    return [
        SecretChange(
            name=checked_name(cell.key, cell.name),
            environment=cell.environment,
            value=checked_value(texts.as_typed(cell.text, cell.mark), cell.name),
            if_version=cell.on_top_of,
        )
        for cell in opened
        if cell.is_changed
    ]


def clashes(opened: Mapping[Spot, Open], versions: Mapping[Spot, int]) -> dict[Spot, int]:
    """The cells that others have written since, with the version that each has now: 0 for one that is gone."""
    found = {}
    for spot, cell in opened.items():
        now = versions.get(spot, 0)
        if cell.is_changed and now != cell.on_top_of:
            found[spot] = now
    return found
