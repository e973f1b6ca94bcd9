"""`watchword config check`: the settings that are in force, where each comes from, and everything that is wrong with them."""

import os
import ssl
from typing import Any

import rich_click as click
from rich.console import Console
from rich.table import Table

from watchword.cli.options import is_secret, with_settings
from watchword.cli.output import output_option, say
from watchword.services import setup
from watchword.settings import OPTIONS, Option, Settings, SettingsError, decode_root_key, from_file


@click.group()
def config() -> None:
    """Look at the settings."""


@config.command()
@with_settings()
@output_option
def check(settings: Settings) -> None:
    """Print the settings in force, secrets masked, and end with 2 if any does not work.

    Files that settings name are opened too; the database and other servers are not asked.
    """
    faults = [*_tls_faults(settings), *_key_faults(settings)]
    if faults:
        raise SettingsError(faults)
    rows = [(option, shown(option, settings), source(option, settings)) for option in OPTIONS]
    data = {"settings": {option.name: {"value": value, "from": origin, "variable": option.variable} for option, value, origin in rows}}
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


def _tls_faults(settings: Settings) -> list[str]:
    faults = []
    for name in ("tls_cert_file", "tls_key_file", "tls_client_ca_file"):
        path = getattr(settings, name)
        if path is not None and not os.access(path, os.R_OK):
            faults.append(f"WATCHWORD_{name.upper()}: {path} cannot be read")
    if faults or settings.tls_cert_file is None:
        return faults
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(settings.tls_cert_file, settings.tls_key_file)
        if settings.tls_client_ca_file is not None:
            context.load_verify_locations(settings.tls_client_ca_file)
    except (ssl.SSLError, OSError) as error:
        faults.append(f"WATCHWORD_TLS_CERT_FILE, WATCHWORD_TLS_KEY_FILE, WATCHWORD_TLS_CLIENT_CA_FILE: {error}")
    return faults


def _key_faults(settings: Settings) -> list[str]:
    path = settings.root_key_file
    if path is None:
        return []
    try:
        decode_root_key(path.read_text())
    except OSError as error:
        return [f"WATCHWORD_ROOT_KEY_FILE: {path}: {error.strerror}"]
    except ValueError as error:
        return [f"WATCHWORD_ROOT_KEY_FILE: {path}: expected {error}"]
    return []
