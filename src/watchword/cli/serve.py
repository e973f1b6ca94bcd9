"""`watchword serve`: run a server."""

import asyncio
import functools
import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import rich_click as click
from click.exceptions import Exit

from watchword import __version__
from watchword.app import build_runtime, opened, start_logs
from watchword.cli import listening
from watchword.cli.bootstrap import make, random_password, saved
from watchword.cli.options import settings_of, texts_of, with_settings
from watchword.cli.output import FAILED, fail, is_json, output_option
from watchword.cli.starting import ready_to_start
from watchword.domain.secret import Secret
from watchword.http.people.sign_in import bootstrapped
from watchword.services.people import setup
from watchword.services.people.organizations import AlreadyBootstrapped
from watchword.services.runtime import Runtime
from watchword.settings import Settings

ADMIN, ORGANIZATION = "admin@example.com", "Example"
_log = logging.getLogger("watchword.serve")


class InitialLogin(msgspec.Struct, frozen=True):
    """Whether an administrator is to be made at the first start, and the file that keeps its password and a token."""

    wanted: bool
    file: Path | None


@click.command()
@click.option(
    "--with-login",
    is_flag=True,
    help="On an empty database: make an administrator with a new password, and print it; nothing keeps it unless "
    "--save-login is given.",
)
@click.option(
    "--save-login",
    is_flag=True,
    help="With --with-login: keep that password, and the token of an identity that administers the instance, in "
    "bootstrap.json in the data directory, readable by you alone (mode 0600). Delete it when you have noted them.",
)
@click.option(
    "--demo-data",
    is_flag=True,
    help="On an empty database, and only there: make an administrator as --with-login does, and an organization with "
    "a past to look at. A database that holds an instance is refused, and stays as it is.",
)
@with_settings()
@output_option
def serve(settings: Settings, with_login: bool, save_login: bool, demo_data: bool) -> None:
    """Run a server.

    Each option is also a setting `WATCHWORD_…` in the environment; secrets are settings only. SIGTERM drains: requests
    under way are answered before the process ends.
    """
    start_logs(settings)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    context = click.get_current_context()
    again = functools.partial(settings_of, texts_of(context.params if context else {}))
    login = InitialLogin(with_login, settings.data_dir / "bootstrap.json" if save_login else None)
    with ready_to_start(settings) as listeners:
        filled = asyncio.run(_filled(settings, login)) if demo_data else None
        if settings.workers > 1:
            _several(settings, listeners, again, login, filled)
        else:
            _one(settings, listeners, again, login, filled)


def _one(
    settings: Settings,
    listeners: list[socket.socket],
    again: Callable[[], Settings],
    login: InitialLogin,
    filled: "First | None",
) -> None:
    async def ready(parts: Runtime) -> Callable[[], None]:
        first = filled or await _first_steps(parts, login)
        return lambda: announce(settings, listeners, first)

    listening.run(listening.listen(settings, listeners, ready, again=again))


def _several(
    settings: Settings,
    listeners: list[socket.socket],
    again: Callable[[], Settings],
    login: InitialLogin,
    filled: "First | None",
) -> None:
    from watchword.cli.workers import Supervisor  # noqa: PLC0415 - multiprocessing, where it is used

    # Once, before any worker: the migrations, and whether the root key is right.
    first = filled or asyncio.run(_prepared(settings, login))
    code = Supervisor(settings, listeners, again, lambda: announce(settings, listeners, first)).run()
    if code:
        raise Exit(code)


async def _prepared(settings: Settings, login: InitialLogin) -> "First":
    async with opened(build_runtime(settings)) as parts:
        return await _first_steps(parts, login)


class First(msgspec.Struct, frozen=True, kw_only=True):
    """What is shown of an instance at its first start.

    It is the password of the administrator it made, or the code to make one with.
    """

    password: str | None = None
    saved: Path | None = None  # the file that keeps the password and a token
    setup_code: Secret | None = None


async def _first_steps(parts: Runtime, login: InitialLogin) -> First:
    if login.wanted:
        password = await _login(parts, login.file)
        return First(password=password, saved=login.file if password else None)
    return First(setup_code=await setup.code_to_show(parts))


async def _filled(settings: Settings, login: InitialLogin) -> First:
    """Fill a database that holds nothing yet. Ends the program where there is an instance in it."""
    from watchword.cli.demo_data import fill  # noqa: PLC0415 - where it is used

    _log.info("making the demonstration data: this takes some seconds")
    try:
        with saved(login.file) as keep:
            answer = await fill(settings, ADMIN, ORGANIZATION)
            keep(answer)
    except AlreadyBootstrapped:
        fail(
            "The demonstration data was not made",
            [
                (
                    "This database holds an instance already, and nothing in it was changed. Start without "
                    "--demo-data, or give a new folder with --data-dir"
                )
            ],
            FAILED,
        )
    return First(password=answer["password"], saved=login.file)


async def _login(parts: Runtime, file: Path | None) -> str | None:
    """The password of the administrator this makes, or None where there is one."""
    password = random_password()
    try:
        with saved(file) as keep:
            keep(
                bootstrapped(await make(parts, {"email": ADMIN, "password": password, "organization": ORGANIZATION}))
                | {"password": password}
            )
    except AlreadyBootstrapped:
        return None
    return password


def announce(settings: Settings, listeners: list[socket.socket], first: First) -> None:
    """Say where the server is, once it answers, and how to begin with an instance that has no administrator."""
    url = listening.url_of(settings, listeners)
    _log.info(
        "listening", extra={"address": url, "pid": os.getpid(), "workers": settings.workers, "version": __version__}
    )
    if is_json():
        announced: dict[str, Any] = {"address": url, "pid": os.getpid()}
        if first.password:
            announced |= {"email": ADMIN, "password": first.password}
            if first.saved:
                announced |= {"savedIn": str(first.saved)}
        if first.setup_code:
            announced |= {"setupCode": first.setup_code.reveal()}
        click.echo(msgspec.json.encode(announced).decode())
    elif first.password or first.setup_code or sys.stdout.isatty():
        _show(url, first, has_console=settings.console == "on")
    sys.stdout.flush()


def _kept(file: Path | None) -> str:
    """Where the password is to be found after this."""
    if file is None:
        return "The password is shown this once, and kept nowhere."
    return (
        f"The password, and the token of an identity that administers the instance, are in {file}, which only you can "
        "read (mode 0600). Delete it when you have noted them."
    )


def _show(url: str, first: First, *, has_console: bool = True) -> None:
    opens = "Console     " if has_console else "Server      "
    lines = [(opens, url, "bold"), ("API         ", f"{url}/api/docs", "")]  # label, text, style of the text
    if first.password:
        lines += [
            ("Sign in     ", ADMIN, ""),
            ("Password    ", first.password, "bold"),
            ("", _kept(first.saved), "dim"),
        ]
    if first.setup_code:
        lines += [
            ("Setup code  ", first.setup_code.reveal(), "bold"),
            (
                "",
                (
                    "Nobody administers this instance yet. "
                    + ("Open the console and enter the code there, make" if has_console else "Make")
                    + " the administrator on this machine with `watchword bootstrap`, or send the code"
                ),
                "dim",
            ),
            (
                "",
                "as setupCode to POST /api/v1/admin/bootstrap. It is good for nothing once there is an administrator.",
                "dim",
            ),
        ]
    if not sys.stdout.isatty():
        click.echo("\n".join(label + text for label, text, _ in lines))
        return
    from rich.console import Console  # noqa: PLC0415 - slow to import, and nothing for the log of a service
    from rich.panel import Panel  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    text = Text("\n").join(Text.assemble(label, (text, style)) for label, text, style in lines)
    panel = Panel(text, title=f"Watchword {__version__}", title_align="left", expand=False, border_style="green")
    Console(highlight=False).print(panel)
