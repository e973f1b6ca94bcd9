"""`watchword config check`: show the settings in force, where each comes from, and every fault in them."""

import os
from typing import Any

import rich_click as click
from rich.console import Console
from rich.table import Table

from watchword.app import method_faults
from watchword.cli.options import is_secret, with_settings
from watchword.cli.output import output_option, say
from watchword.cli.starting import ready_to_start
from watchword.services.people import setup
from watchword.settings import OPTIONS, Option, Settings, SettingsError, from_file


@click.group()
def config() -> None:
    """Show and check the settings."""


@config.command()
@with_settings()
@output_option
def check(settings: Settings) -> None:
    """Print the settings in force, secrets masked, or what would keep a server from starting with them.

    Looks at what `serve` looks at before it starts, in the same way: TLS files, data directory, root key, database, the
    auth methods of packages, and whether the address can be listened on (beside a running server that is a fault, too).
    Nothing is made or changed.
    """
    with ready_to_start(settings):
        unusable = method_faults()
    if unusable:
        raise SettingsError(unusable)
    rows = [(option, shown(option, settings), source(option, settings)) for option in OPTIONS]
    data = {
        "settings": {
            option.name: {"value": value, "from": origin, "variable": option.variable} for option, value, origin in rows
        }
    }
    say(data, lambda console: _table(console, rows))


def _table(console: Console, rows: list[tuple[Option, Any, str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("setting", "value", "from", "meaning"):
        table.add_column(title, overflow="fold")
    for option, value, origin in rows:
        text = ", ".join(value) if isinstance(value, list) else "" if value is None else str(value)
        style = "dim" if origin == "default" else ""
        table.add_row(option.variable, text or "-", origin, option.help, style=style)
    console.print(table)


def shown(option: Option, settings: Settings) -> Any:
    """A setting's value as it may be seen."""
    value = getattr(settings, option.name)
    if value is None or isinstance(value, bool | int):
        return value
    if is_secret(option):
        return setup.OFF if option.name == "setup_code" and value.reveal() == setup.OFF else "***"
    return list(value) if isinstance(value, tuple) else str(value)


def source(option: Option, settings: Settings) -> str:
    """Where a setting's value comes from."""
    if os.environ.get(option.variable):
        try:
            same = option.read(os.environ[option.variable]) == getattr(settings, option.name)
        except ValueError:
            same = False
        return "environment" if same else "command line"
    written, _ = from_file({"WATCHWORD_CONFIG_FILE": str(settings.config_file or "")})
    if option.name in written and option.read(written[option.name]) == getattr(settings, option.name):
        return "file"
    return "default" if getattr(settings, option.name) == getattr(Settings(), option.name) else "command line"
