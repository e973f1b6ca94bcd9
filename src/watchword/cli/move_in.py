"""`watchword move-in`: bring projects, secrets and identities from a running Infisical, through its API."""

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import msgspec
import rich_click as click
from rich.console import Console
from rich.progress import Progress

from watchword.cli.output import FAILED, fail, is_json, output_option, say
from watchword.cli.terminal import terminal
from watchword.services.projects.move_in import ApiRefused, Plan, Report, carry_out, survey


class Remote:
    """A server with Infisical's API, as `services.projects.move_in.Server` asks it."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def call(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, body: dict[str, Any] | None = None
    ) -> Any:
        """The JSON of the answer. Raises ApiRefused."""
        reply = await self._client.request(method, path, params=query, json=body)
        if reply.status_code != 200:
            raise ApiRefused(reply.status_code, reply.text[:500])
        return reply.json()


class _Memory(msgspec.Struct, rename="camel"):
    done: list[str] = []
    by_hand: list[str] = []


class MoveInProgress:
    """The steps that are done, and those left to a person, kept in a file.

    A run that broke off then goes on where it was.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file
        memory = self._read(file) if file is not None and file.exists() else _Memory()
        self.done, self.by_hand = set(memory.done), memory.by_hand

    @staticmethod
    def _read(file: Path) -> _Memory:
        try:
            stored = msgspec.json.decode(file.read_bytes(), type=list[str] | _Memory)
        except msgspec.DecodeError:
            fail("This cannot be resumed", [f"{file} is not a file that --resume wrote: choose another name"], FAILED)
        return (
            stored if isinstance(stored, _Memory) else _Memory(done=stored)
        )  # a list of steps alone is what earlier versions wrote

    def write(self) -> None:
        """Keep what is done so far; an interruption leaves the file as it was before or as it is afterwards."""
        if self._file is None:
            return
        draft = self._file.with_name(f"{self._file.name}.new")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as written:
            written.write(msgspec.json.encode(_Memory(done=sorted(self.done), by_hand=self.by_hand)))
        draft.replace(self._file)


@click.command("move-in")
@click.option("--from-url", required=True, help="The Infisical server.")
@click.option(
    "--from-token", envvar="WATCHWORD_FROM_TOKEN", show_envvar=True, required=True, help="An access token there."
)
@click.option("--from-org", required=True, metavar="ID", help="The organization there.")
@click.option(
    "--url",
    envvar="WATCHWORD_URL",
    show_envvar=True,
    default="http://127.0.0.1:8080",
    show_default=True,
    help="Watchword.",
)
@click.option(
    "--token",
    envvar="WATCHWORD_TOKEN",
    show_envvar=True,
    required=True,
    help="An access token of an administrator here.",
)
@click.option("--org", required=True, metavar="ID", help="The organization here.")
@click.option(
    "--project", "projects", multiple=True, metavar="ID", help="Only this project there; may be given several times."
)
@click.option("--resume", type=click.Path(path_type=Path, dir_okay=False), help="A file that remembers finished steps.")
@click.option("--dry-run", is_flag=True, help="Only say what would be moved.")
@output_option
def move_in(
    from_url: str,
    from_token: str,
    from_org: str,
    url: str,
    token: str,
    org: str,
    projects: tuple[str, ...],
    resume: Path | None,
    dry_run: bool,
) -> None:
    """Bring projects, environments, folders, secrets and identities here. Credentials are issued again, not copied.

    Every step can be run twice, so the command may be repeated after whatever went wrong.
    """
    try:
        asyncio.run(
            _move(from_url, from_token, from_org, url, token, org, projects, MoveInProgress(resume), dry_run=dry_run)
        )
    except ApiRefused as error:
        fail("A server refused", [str(error)], FAILED)
    except httpx.TransportError as error:
        fail("A server does not answer", [str(error) or type(error).__name__], FAILED)


async def _move(
    from_url: str,
    from_token: str,
    from_org: str,
    url: str,
    token: str,
    org: str,
    projects: tuple[str, ...],
    memory: MoveInProgress,
    *,
    dry_run: bool,
) -> None:
    async with _client(from_url, from_token) as source, _client(url, token) as target:
        plan = await survey(Remote(source), from_org, projects)
        if dry_run:
            say(_planned(plan), lambda console: _print_plan(console, plan))
            return
        with Progress(console=terminal(stderr=True), disable=is_json()) as bar:
            task = bar.add_task("Moving in", total=plan.steps)

            def progress(step: str, about: str) -> None:
                del step
                memory.write()
                bar.update(task, advance=1, description=about[:60])

            report = await carry_out(
                plan, Remote(source), Remote(target), org, done=memory.done, progress=progress, by_hand=memory.by_hand
            )
    say(msgspec.to_builtins(report), lambda console: _print_report(console, report))


def _client(url: str, token: str) -> httpx.AsyncClient:
    from watchword.app import https  # noqa: PLC0415 - it imports the whole server, and `--help` is to be quick

    headers = {"authorization": f"Bearer {token}"}
    return httpx.AsyncClient(base_url=url.rstrip("/").removesuffix("/api"), headers=headers, timeout=60, verify=https())


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "projects": [
            {"name": project.name, "slug": project.slug, "folders": len(project.folders), "secrets": project.secrets}
            for project in plan.projects
        ],
        "identities": [
            {"name": identity.name, "role": identity.role, "methods": list(identity.methods)}
            for identity in plan.identities
        ],
        "steps": plan.steps,
    }


def _print_plan(console: Console, plan: Plan) -> None:
    for project in plan.projects:
        console.print(
            f"project {project.name}: {project.secrets} secrets in {len(project.folders)} folders", markup=False
        )
    for identity in plan.identities:
        console.print(
            f"identity {identity.name}: role {identity.role}, {', '.join(identity.methods) or 'no auth method'}",
            markup=False,
        )
    console.print(f"{plan.steps} steps; nothing was changed.")


def _print_report(console: Console, report: Report) -> None:
    console.print(f"Moved {report.projects} projects, {report.secrets} secrets and {report.identities} identities.")
    for step in report.by_hand:
        console.print(f"by hand: {step}", markup=False)
