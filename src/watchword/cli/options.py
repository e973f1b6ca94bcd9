"""Command line options made from `settings.OPTIONS`, and the settings that come of them."""

import functools
import os
from collections.abc import Callable
from typing import Any

import rich_click as click

from watchword.domain.secret import Secret
from watchword.settings import OPTIONS, Option, Settings, SettingsError, load

Command = Callable[..., Any]


def is_secret(option: Option) -> bool:
    """Whether the setting is a secret: those are never options, because a command line can be read by every process."""
    annotation = Settings.__annotations__[option.name]
    return annotation is Secret or Secret in getattr(annotation, "__args__", ())


def flag(option: Option) -> str:
    """`--data-dir` for `data_dir`."""
    return "--" + option.name.replace("_", "-")


def with_settings(*names: str) -> Callable[[Command], Command]:
    """Give a command `settings`, and options for the named ones (all of them without names)."""
    offered = [option for option in OPTIONS if not is_secret(option) and (not names or option.name in names)]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**given: Any) -> Any:
            texts = {option.name: given.pop(f"set_{option.name}") for option in offered}
            return command(settings=settings_of({name: text for name, text in texts.items() if text is not None}), **given)

        for option in reversed(offered):
            run = click.option(flag(option), f"set_{option.name}", metavar="TEXT", help=option.help)(run)
        return run

    return decorate


def settings_of(texts: dict[str, str]) -> Settings:
    """The settings of the environment with what the command line says on top. Raises SettingsError with all faults."""
    given = {option.variable: texts[option.name] for option in OPTIONS if option.name in texts}
    flags = {option.variable: flag(option) for option in OPTIONS if option.name in texts}
    try:
        return load({**os.environ, **given})
    except SettingsError as error:
        named = [_renamed(fault, flags) for fault in error.faults]
        raise SettingsError(named) from None


def _renamed(fault: str, flags: dict[str, str]) -> str:
    variable, colon, rest = fault.partition(":")
    return f"{flags.get(variable, variable)}{colon}{rest}"
