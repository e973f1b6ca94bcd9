"""`watchword secrets`: export secrets to files and import them from files, with the rights of an access token."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from click.exceptions import Exit

from watchword.cli.output import FAILED, fail, is_json, output_option, say
from watchword.cli.terminal import printable

if TYPE_CHECKING:  # slow to import, and `--help` is to be quick
    import httpx
    from rich.console import Console

FORMATS = click.Choice(["dotenv", "json", "yaml", "csv"])


def _place(command: Any) -> Any:
    """The options that name the server, the token and the folder."""
    for option in (
        click.option("--path", default="/", show_default=True, help="Folder."),
        click.option("--environment", required=True, help="Slug of the environment."),
        click.option("--project", required=True, metavar="ID", help="The project."),
        click.option(
            "--token",
            envvar="WATCHWORD_TOKEN",
            show_envvar=True,
            required=True,
            help="An access token; better in the environment.",
        ),
        click.option(
            "--url",
            envvar="WATCHWORD_URL",
            show_envvar=True,
            default="http://127.0.0.1:8080",
            show_default=True,
            help="The server.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def secrets() -> None:
    """Carry secrets in and out as files.

    Asks a server, with the rights of the token: nothing is exported that the token may not read.
    """


def asked(method: str, url: str, token: str, path: str, **options: Any) -> "httpx.Response":
    """The answer of a server, with the rights of a token where there is one; whatever is no answer ends the command."""
    import httpx  # noqa: PLC0415 - slow to import

    from watchword.adapters.tls import verifying  # noqa: PLC0415 - and not by way of app, which imports the whole server

    try:
        reply = httpx.request(
            method,
            f"{url.rstrip('/')}{path}",
            headers={"authorization": f"Bearer {token}"} if token else {},
            timeout=60,
            verify=verifying(),
            **options,
        )
    except httpx.TransportError as error:
        fail(f"{url} does not answer", [str(error)], FAILED)
    if reply.status_code != 200:
        fail("The server refused", _faults(reply), FAILED)
    return reply


def _faults(reply: "httpx.Response") -> list[str]:
    try:
        message = reply.json()["message"]
    except (ValueError, KeyError, TypeError):
        return [f"status {reply.status_code}, and not a word of ours: is this the address of a Watchword server?"]
    if isinstance(message, list):
        return [f"{'.'.join(map(str, fault['path']))}: {fault['message']}" for fault in message]
    return [str(message)]


@secrets.command("export")
@_place
@click.option("--format", "kind", type=FORMATS, default="dotenv", show_default=True)
@click.option(
    "--file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write here instead of standard output; readable by you only.",
)
@output_option
def export_secrets(
    url: str, token: str, project: str, environment: str, path: str, kind: str, file: Path | None
) -> None:
    """Write the secrets of a folder, imports and references resolved, to a file or to standard output.

    A dotenv file is refused for names that a shell would take for more than a name, and says which.
    In a CSV file, an apostrophe stands before cells that a spreadsheet would calculate; import takes it away again.
    On a terminal, control characters are written out; in a file or a pipe they stay as they are.
    """
    query = {"environment": environment, "secretPath": path, "format": kind}
    text = asked("GET", url, token, f"/api/v1/projects/{project}/secrets/export", params=query).text
    if file is None:
        if is_json():
            say({"format": kind, "content": text}, lambda _: None)
        else:
            sys.stdout.write(printable(text) if sys.stdout.isatty() else text)
        return
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8", newline="") as written:
        os.fchmod(written.fileno(), 0o600)  # a file that was there has a mode of its own
        written.truncate()
        written.write(text)
    say({"format": kind, "file": str(file)}, lambda console: console.print(f"Written to {file}"))


@secrets.command("import")
@_place
@click.argument("file", type=click.File("r", encoding="utf-8"))
@click.option("--format", "kind", type=FORMATS, default="dotenv", show_default=True)
@click.option(
    "--on-conflict",
    type=click.Choice(["fail", "skip", "overwrite"]),
    default="fail",
    show_default=True,
    help="For secrets that differ.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would change.")
@output_option
def import_secrets(
    url: str,
    token: str,
    project: str,
    environment: str,
    path: str,
    file: Any,
    kind: str,
    on_conflict: str,
    dry_run: bool,
) -> None:
    """Put the secrets of FILE (`-` for standard input) into a folder."""
    body = {
        "environment": environment,
        "secretPath": path,
        "format": kind,
        "content": file.read(),
        "onConflict": on_conflict,
        "dryRun": dry_run,
    }
    done = asked("POST", url, token, f"/api/v1/projects/{project}/secrets/import", json=body).json()
    say(done, lambda console: _print_outcome(console, done))
    if done.get("conflicting"):
        raise Exit(FAILED)  # as the import itself would end


def _print_outcome(console: "Console", done: dict[str, Any]) -> None:
    would = "would be " if done["dryRun"] else ""
    for outcome in ("created", "updated", "unchanged", "skipped"):
        names = done[outcome]
        if names:
            console.print(f"{len(names)} {would}{outcome}: {', '.join(names)}", markup=False)
    if done.get("conflicting"):
        names = ", ".join(done["conflicting"])
        console.print(f"{len(done['conflicting'])} in conflict: {names}", markup=False)
        console.print(
            "The import would be refused: these exist with other values. Choose --on-conflict skip or overwrite."
        )
        return
    if not any(done[outcome] for outcome in ("created", "updated", "unchanged", "skipped")):
        console.print("The file holds no secrets.")
