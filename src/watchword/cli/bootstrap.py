"""`watchword bootstrap`: the first administrator and organization, made in the database itself."""

import asyncio
import secrets
from typing import Any

import rich_click as click
from rich.console import Console

from watchword.app import house, opened, start_logs
from watchword.cli.options import with_settings
from watchword.cli.output import output_option, say
from watchword.domain.actor import PLATFORM
from watchword.domain.decode import decode
from watchword.services import organizations
from watchword.services.context import Ctx
from watchword.services.house import House
from watchword.settings import Settings


@click.command()
@click.option("--email", required=True, help="Address the administrator signs in with.")
@click.option("--password", envvar="WATCHWORD_ADMIN_PASSWORD", show_envvar=True, help="At least 8 characters; asked for when left out.")
@click.option("--organization", required=True, help="Name of the first organization.")
@click.option("--ignore-if-bootstrapped", is_flag=True, help="End well when there is an administrator already.")
@with_settings("data_dir")
@output_option
def bootstrap(settings: Settings, email: str, password: str | None, organization: str, ignore_if_bootstrapped: bool) -> None:
    """Make the first administrator, the first organization, and a machine identity that administers the instance.

    Works on the database, so no server needs to run, and one that runs sees it at once. The token is shown this once.
    """
    start_logs(settings)
    if not password:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
    wanted: dict[str, Any] = {"email": email, "password": password, "organization": organization}
    try:
        made = asyncio.run(_in_database(settings, wanted))
    except organizations.AlreadyBootstrapped as refusal:
        if not ignore_if_bootstrapped:
            raise
        said = refusal.message
        say({"message": said, "bootstrapped": False}, lambda console: console.print(f"{said}. Nothing was changed."))
        return
    say(answer(made), lambda console: _tell(console, made))


async def _in_database(settings: Settings, wanted: dict[str, Any]) -> organizations.Bootstrapped:
    async with opened(house(settings)) as parts:
        return await make(parts, wanted)


async def make(parts: House, wanted: dict[str, Any]) -> organizations.Bootstrapped:
    """Bootstrap an open house. Raises AlreadyBootstrapped, Invalid."""
    ctx = Ctx(parts, actor=PLATFORM, request_id="bootstrap")
    return await organizations.bootstrap(ctx, decode(organizations.Bootstrap, wanted))


def made_up_password() -> str:
    """A password that nobody has to guess."""
    return secrets.token_urlsafe(15)


def answer(made: organizations.Bootstrapped) -> dict[str, Any]:
    """What the API's bootstrap answers (contract 3.20)."""
    person, org, identity = made.user, made.organization, made.identity
    return {
        "message": "Successfully bootstrapped instance",
        "identity": {"id": identity.id, "name": identity.name, "credentials": {"token": made.token.reveal()}},
        "organization": {"id": org.id, "name": org.name, "slug": org.slug},
        "user": {"id": person.id, "email": person.email, "firstName": person.first_name, "lastName": person.last_name,
                 "username": person.email, "superAdmin": person.is_instance_admin},
    }  # fmt: skip


def _tell(console: Console, made: organizations.Bootstrapped) -> None:
    console.print(f"Administrator  {made.user.email}")
    console.print(f"Organization   {made.organization.name}  (id {made.organization.id})")
    console.print(f"Identity       {made.identity.name}  (id {made.identity.id})")
    console.print("Its token, shown this once:")
    console.print(made.token.reveal(), markup=False)
