"""`watchword bootstrap`: create the first administrator and organization directly in the database."""

import asyncio
import os
import secrets
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import rich_click as click

from watchword.app import build_runtime, opened, start_logs
from watchword.cli.options import with_settings
from watchword.cli.output import FAILED, fail, output_option, say
from watchword.domain.actor import PLATFORM
from watchword.domain.decode import decode
from watchword.http.people.sign_in import bootstrapped
from watchword.services.context import Ctx
from watchword.services.people import organizations
from watchword.services.runtime import Runtime
from watchword.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console


@click.command()
@click.option("--email", required=True, help="Address the administrator signs in with.")
@click.option(
    "--password",
    envvar="WATCHWORD_ADMIN_PASSWORD",
    show_envvar=True,
    help="At least 8 characters; asked for when left out.",
)
@click.option("--organization", required=True, help="Name of the first organization.")
@click.option(
    "--generate-password", is_flag=True, help="A new password instead of one of yours; it is part of the answer."
)
@click.option("--ignore-if-bootstrapped", is_flag=True, help="End well when there is an administrator already.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the answer, with the token, to this file, readable by you alone, and do not print the secrets in it.",
)
@with_settings("data_dir")
@output_option
def bootstrap(
    settings: Settings,
    email: str,
    password: str | None,
    organization: str,
    generate_password: bool,
    ignore_if_bootstrapped: bool,
    save: Path | None,
) -> None:
    """Make the first administrator, the first organization, and a machine identity that administers the instance.

    Works on the database, so no server needs to run, and one that runs sees it at once. The token is shown this once.
    """
    start_logs(settings)
    if generate_password:
        password = random_password()
    elif not password:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    body: dict[str, Any] = {"email": email, "password": password, "organization": organization}
    try:
        with saved(save) as keep:
            created = asyncio.run(_in_database(settings, body))
            shown = bootstrapped(created) | ({"password": password} if generate_password else {})
            keep(shown)
    except organizations.AlreadyBootstrapped as refusal:
        if not ignore_if_bootstrapped:
            raise
        if save is not None and not save.exists():
            fail(
                "There is nothing to save",
                [f"{refusal.message}, and its token, which is shown once, is not in {save}"],
                FAILED,
            )
        message = refusal.message
        say(
            {"message": message, "bootstrapped": False},
            lambda console: console.print(f"{message}. Nothing was changed."),
        )
        return
    if save is not None:
        shown = {**without_secrets(shown), "saved": str(save)}
    say(shown, lambda console: _print_bootstrap(console, created, shown))


@contextmanager
def saved(path: Path | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A writer that keeps an answer in a file of mode 0600, whole or not at all.

    An old file stays when nothing new is kept.

    The place is tried before anything else is done: what the answer holds is shown once. Without a path nothing is
    kept.
    """
    if path is None:
        yield lambda _: None
        return
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600, whatever the umask
    except OSError as error:
        fail("The answer cannot be kept", [f"{path}: {error.strerror}"], FAILED)
    try:
        with os.fdopen(descriptor, "wb") as file:

            def keep(reply: dict[str, Any]) -> None:
                file.write(msgspec.json.format(msgspec.json.encode(reply), indent=2) + b"\n")
                file.flush()
                os.fsync(file.fileno())
                Path(name).replace(path)

            yield keep
    finally:
        Path(name).unlink(missing_ok=True)


def without_secrets(reply: dict[str, Any]) -> dict[str, Any]:
    """The answer without its password and token."""
    identity = {name: value for name, value in reply["identity"].items() if name != "credentials"}
    return {name: value for name, value in reply.items() if name != "password"} | {"identity": identity}


async def _in_database(settings: Settings, body: dict[str, Any]) -> organizations.Bootstrapped:
    async with opened(build_runtime(settings)) as parts:
        return await make(parts, body)


async def make(parts: Runtime, body: dict[str, Any]) -> organizations.Bootstrapped:
    """Bootstrap an instance that is open. Raises AlreadyBootstrapped, Invalid."""
    ctx = Ctx(parts, actor=PLATFORM, request_id="bootstrap")
    return await organizations.bootstrap(ctx, decode(organizations.Bootstrap, body))


def random_password() -> str:
    """A password that nobody has to guess."""
    return secrets.token_urlsafe(15)


def _print_bootstrap(console: "Console", created: organizations.Bootstrapped, reply: dict[str, Any]) -> None:
    console.print(f"Administrator  {created.user.email}")
    console.print(f"Organization   {created.organization.name}  (id {created.organization.id})")
    console.print(f"Identity       {created.identity.name}  (id {created.identity.id})")
    if "saved" in reply:
        console.print(
            f"Its token, and a password that was generated, are in {reply['saved']}, which you alone can read.",
            markup=False,
        )
        return
    if "password" in reply:
        console.print("The administrator's password, shown this once:")
        console.print(reply["password"], markup=False)
    console.print("Its token, shown this once:")
    console.print(created.token.reveal(), markup=False)
