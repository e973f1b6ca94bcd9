"""The style sheet, the scripts and the icons, under names that hold the hash of their content.

So a browser may keep them for a year, and a new release is seen at once. They are read when the first of them is asked
for. What is not ours stands in `static/vendor`, whole and as its package has it.
"""

import functools
import hashlib
import re
import zlib
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

import msgspec

_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
_DRAWING = re.compile(r"<svg[^>]*>(.*?)</svg>", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_VENDOR = "static/vendor"
# The name in a page, and where the file is.
_FILES: Final = {
    "console.css": "static/console.css",
    "console.js": "static/console.js",
    "theme.js": "static/theme.js",
    "htmx.js": f"{_VENDOR}/htmx/htmx.min.js",
}
_SPRITE: Final = "icons.svg"


class Asset(msgspec.Struct, frozen=True):
    """A file as it is sent."""

    name: str  # with the hash of the content
    body: bytes
    zipped: bytes
    media_type: str


def _folder() -> Traversable:
    return files("watchword.web")


def _read(path: str) -> bytes:
    return _folder().joinpath(path).read_bytes()


@functools.cache
def _by_name() -> dict[str, Asset]:
    found = {}
    for name, path in _FILES.items():
        found[name] = _asset(name, _read(path))
    found[_SPRITE] = _asset(_SPRITE, _sprite())
    return found


@functools.cache
def _by_path() -> dict[str, Asset]:
    return {asset.name: asset for asset in _by_name().values()}


def _asset(name: str, body: bytes) -> Asset:
    stem, dot, suffix = name.rpartition(".")
    digest = hashlib.sha256(body).hexdigest()[:12]
    zipped = zlib.compress(body, 9, wbits=31)
    return Asset(f"{stem}-{digest}.{suffix}", body, zipped, _TYPES[dot + suffix])


def icon_names() -> tuple[str, ...]:
    """Every icon that a template can name."""
    drawings = _folder().joinpath(f"{_VENDOR}/lucide").iterdir()
    own = _folder().joinpath("static/icons").iterdir()
    return tuple(sorted(file.name.removesuffix(".svg") for file in (*drawings, *own) if file.name.endswith(".svg")))


def _sprite() -> bytes:
    """All icons as symbols of one file: `icons.svg#i-<name>`."""
    parts = []
    for folder in (f"{_VENDOR}/lucide", "static/icons"):
        for file in sorted(_folder().joinpath(folder).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".svg"):
                drawing = _DRAWING.search(_COMMENT.sub("", file.read_text(encoding="utf-8")))
                assert drawing is not None
                inside = " ".join(drawing[1].split())
                parts.append(f'<symbol id="i-{file.name.removesuffix(".svg")}" viewBox="0 0 24 24">{inside}</symbol>')
    return f'<svg xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>\n'.encode()


def path_of(name: str) -> str:
    """The path of a file by its plain name. Raises KeyError."""
    return f"/assets/{_by_name()[name].name}"


def find(name: str) -> Asset | None:
    """The file of a name with its hash; None for any other."""
    return _by_path().get(name)
