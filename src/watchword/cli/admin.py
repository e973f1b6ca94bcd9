"""`watchword admin`: recover access when no administrator can sign in; needs the database and the root key."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import rich_click as click

from watchword.app import existing, start_logs
from watchword.cli.bootstrap import random_password
from watchword.cli.options import with_settings
from watchword.cli.output import output_option, say
from watchword.cli.system_user import system_user
from watchword.domain.secret import Secret
from watchword.services.people import break_glass
from watchword.services.runtime import Runtime
from watchword.settings import Settings

T = TypeVar("T")
email_option = click.option("--email", required=True, help="Address that the person signs in with.")


@click.group()
def admin() -> None:
    """Get back in when no administrator can sign in.

    Works on the database, with the settings of the server, whether servers run or not; those that run see it at once.
    Everything is in the audit log, as done by the operator.
    """


def _run(settings: Settings, work: Callable[[Runtime], Awaitable[T]]) -> T:
    async def inside() -> T:
        async with existing(settings) as parts:
            return await work(parts)

    start_logs(settings)
    return asyncio.run(inside())


@admin.command("reset-password")
@email_option
@click.option(
    "--password-stdin",
    is_flag=True,
    help="Take the new password from standard input, instead of making one and printing it.",
)
@click.option("--remove-second-factor", is_flag=True, help="Take the person's second factor away as well.")
@with_settings("data_dir", "root_key_file")
@output_option
def reset_password(settings: Settings, email: str, password_stdin: bool, remove_second_factor: bool) -> None:
    """Give a person a new password. Its sessions end, and wrong passwords that were counted are forgotten.

    Without --password-stdin a password is made, and printed this once.
    """
    password = sys.stdin.readline().rstrip("\r\n") if password_stdin else random_password()
    done = _run(
        settings,
        lambda parts: break_glass.reset_password(
            parts, email, Secret(password), system_user(), remove_second_factor=remove_second_factor
        ),
    )
    data: dict[str, Any] = {
        "email": done.user.email,
        "userId": done.user.id,
        "sessionsEnded": done.sessions_ended,
        "secondFactorRemoved": done.second_factor_removed,
        **({} if password_stdin else {"password": password}),
    }
    lines = [f"{done.user.email} has a new password; {done.sessions_ended} sessions were ended."]
    if done.second_factor_removed:
        lines.append("The second factor was removed.")
    elif done.user.mfa_method is not None:
        lines.append("A second factor is still asked for (--remove-second-factor takes it away).")
    if not done.user.is_active:
        lines.append("The account is deactivated: `watchword admin unlock` lets it be used again.")
    if not password_stdin:
        lines.append(f"Password, shown this once: {password}")
    say(data, lambda console: console.print("\n".join(lines), markup=False))


@admin.command()
@click.option(
    "--email", help="Address of a person: its locks are taken off, and a deactivated account may be used again."
)
@click.option("--identity", metavar="ID", help="A machine identity: its locks are taken off.")
@with_settings("data_dir", "root_key_file")
@output_option
def unlock(settings: Settings, email: str | None, identity: str | None) -> None:
    """Take the locks of failed logins off a person or a machine identity."""
    if (email is None) == (identity is None):
        raise click.UsageError("give either --email or --identity")
    if identity is not None:
        locks = _run(settings, lambda parts: break_glass.unlock_identity(parts, identity, system_user()))
        say(
            {"identityId": identity, "locks": locks},
            lambda console: console.print(f"{locks} locks of {identity} were taken off."),
        )
        return
    done = _run(settings, lambda parts: break_glass.unlock(parts, email or "", system_user()))
    more = " The account was deactivated, and may be used again." if done.activated else ""
    say(
        {"email": done.user.email, "userId": done.user.id, "activated": done.activated},
        lambda console: console.print(f"{done.user.email} may sign in again.{more}", markup=False),
    )


@admin.command()
@email_option
@click.option("--organization", metavar="ID", help="Make the person an administrator of this organization, too.")
@with_settings("data_dir", "root_key_file")
@output_option
def promote(settings: Settings, email: str, organization: str | None) -> None:
    """Make a person an administrator of the instance."""
    done = _run(settings, lambda parts: break_glass.promote(parts, email, system_user(), organization_id=organization))
    also = f" and of the organization {organization}" if organization else ""
    say(
        {"email": done.user.email, "userId": done.user.id, "organizationId": organization},
        lambda console: console.print(f"{done.user.email} administers the instance{also}.", markup=False),
    )
