"""`watchword unwrap`: open a wrapping token and print the credential in it, once."""

import sys
from typing import Any

import rich_click as click
from rich.console import Console

from watchword.cli.output import MISUSED, fail, output_option, say
from watchword.cli.secrets import asked


@click.command()
@click.argument("token", envvar="WATCHWORD_WRAPPING_TOKEN", required=False)
@click.option("--lookup", is_flag=True, help="Only say what is known of the token; it stays unopened.")
@click.option(
    "--url",
    envvar="WATCHWORD_URL",
    show_envvar=True,
    default="http://127.0.0.1:8080",
    show_default=True,
    help="The server.",
)
@output_option
def unwrap(token: str | None, lookup: bool, url: str) -> None:
    """Open a wrapping token and print the client secret or access token in it.

    TOKEN is better in the environment (WATCHWORD_WRAPPING_TOKEN) or on standard input (`-`) than on the command line.
    It opens once. If it was opened before, somebody else holds the credential: have it revoked.
    """
    if token == "-":  # noqa: S105 - standard input
        token = sys.stdin.readline()
    if not token or not token.strip():
        fail("No wrapping token", ["Give it as WATCHWORD_WRAPPING_TOKEN, or as -, on standard input"], MISUSED)
    path = f"/api/v1/auth/wrapping/{'lookup' if lookup else 'unwrap'}"
    reply = asked("POST", url, "", path, json={"token": token.strip()}).json()
    say(reply, lambda console: _print_known(console, reply) if lookup else _print_credential(reply))


def _print_credential(reply: dict[str, Any]) -> None:
    # The credential alone, for `$(watchword unwrap)`.
    click.echo(reply["clientSecret"] or reply["accessToken"])


def _print_known(console: Console, reply: dict[str, Any]) -> None:
    for name in ("kind", "state", "identityId", "createdAt", "createdBy", "creationPath", "expiresAt", "openedAt"):
        console.print(f"{name}: {reply[name] if reply[name] is not None else '-'}", markup=False)
