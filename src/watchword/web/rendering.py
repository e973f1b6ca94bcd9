"""The templates: how they are read, and the few words that all of them use.

Autoescape is on for every template and a name that is not there is an error. What text a page shows is made here or in
the handler: a template only loops and asks.
"""

import functools
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import jinja2

from watchword.web import assets
from watchword.web.forms import duration_text
from watchword.web.pages import link

_DAY = 86_400
_STEPS = ((60, 1, "s"), (3600, 60, "min"), (_DAY, 3600, "h"), (8 * _DAY, _DAY, "d"))


def since(moment: int | None, now: int) -> str:
    """How long ago a moment was, or how far away it is: `6 min ago`, `in 4 d`; beyond a week the date."""
    if moment is None:
        return "never"
    seconds = abs(now - moment) // 1000
    if seconds < 1:
        return "just now"
    for limit, size, unit in _STEPS:
        if seconds < limit:
            count = seconds // size
            return f"{count} {unit} ago" if moment <= now else f"in {count} {unit}"
    return day(moment)


def day(moment: int) -> str:
    """The date of a moment: `3 May 2026`."""
    at = _at(moment)
    return f"{at.day} {at.strftime('%b %Y')}"


def exact(moment: int | None) -> str:
    """A moment to the second, in UTC."""
    return "" if moment is None else _at(moment).strftime("%Y-%m-%d %H:%M:%S UTC")


def _at(moment: int) -> datetime:
    try:
        return datetime.fromtimestamp(moment / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return datetime(9999, 12, 31, tzinfo=UTC)


def count(number: int) -> str:
    """A number with thin groups: `12 480`."""
    return f"{number:,}".replace(",", " ")


def plural(number: int, one: str, many: str = "") -> str:
    """`1 project`, `3 projects`."""
    return f"{count(number)} {one if number == 1 else many or one + 's'}"


def pretty(value: Any) -> str:
    """A value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("watchword.web", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(
        count=count, plural=plural, exact=exact, day=day, pretty=pretty, duration=duration_text, since=since
    )
    environment.globals.update(asset=assets.path_of, link=link)
    return environment


def render(template: str, data: Mapping[str, Any]) -> bytes:
    """A whole page as UTF-8."""
    return _environment().get_template(template).render(data).encode("utf-8", "surrogatepass")
