"""Command line options made from `settings.OPTIONS`, and the settings that come of them."""

import functools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
    """The option of a setting: `--data-dir` for `data_dir`."""
    return "--" + option.name.replace("_", "-")


def _help(option: Option) -> str:
    """What a setting is for, its variable, and what it is where nobody sets it."""
    value = getattr(Settings(), option.name)
    shown = "" if value in (None, "", ()) else str(value).lower() if isinstance(value, bool) else str(value)
    return f"{option.help} [env: {option.variable}{f'; default: {shown}' if shown else ''}]"


def with_settings(*names: str) -> Callable[[Command], Command]:
    """Give a command `settings`, and options for the named ones (all of them without names)."""
    offered = [option for option in OPTIONS if not is_secret(option) and (not names or option.name in names)]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def run(**options: Any) -> Any:
            texts = {option.name: options.pop(f"set_{option.name}") for option in offered}
            chosen = {name: text for name, text in texts.items() if text is not None}
            with _faults_by_option(chosen):
                return command(settings=settings_of(chosen), **options)

        for option in reversed(offered):
            run = click.option(flag(option), f"set_{option.name}", metavar=option.accepts, help=_help(option))(run)
        return run

    return decorate


def texts_of(options: Mapping[str, Any]) -> dict[str, str]:
    """The settings among the parameters of a command, as texts."""
    return {
        name.removeprefix("set_"): text
        for name, text in options.items()
        if name.startswith("set_") and text is not None
    }


def settings_of(texts: dict[str, str]) -> Settings:
    """The settings of the environment with what the command line says on top. Raises SettingsError with all faults."""
    return load({**os.environ, **{option.variable: texts[option.name] for option in OPTIONS if option.name in texts}})


@contextmanager
def _faults_by_option(texts: dict[str, str]) -> Iterator[None]:
    """Name a setting that is at fault by its option where the command line said it."""
    flags = {option.variable: flag(option) for option in OPTIONS if option.name in texts}
    try:
        yield
    except SettingsError as error:
        raise SettingsError([_renamed(fault, flags) for fault in error.faults]) from None


def _renamed(fault: str, flags: dict[str, str]) -> str:
    variable, colon, rest = fault.partition(":")
    return f"{flags.get(variable, variable)}{colon}{rest}"
