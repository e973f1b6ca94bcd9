"""`watchword keys`: show the state of the keys, and rotate them beside running servers."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from typing import Any

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from watchword.app import existing, start_logs
from watchword.cli.options import with_settings
from watchword.cli.output import is_json, note, output_option, say
from watchword.cli.system_user import system_user
from watchword.cli.terminal import terminal
from watchword.domain.errors import BadRequest
from watchword.services.keys import rotation
from watchword.services.keys.keyring import HMAC, SIGNING
from watchword.services.runtime import Runtime
from watchword.settings import Settings

wait_option = click.option(
    "--wait",
    type=click.FloatRange(0, 3600),
    default=rotation.GRACE,
    show_default=True,
    help="Seconds that running servers get to read a new key before it is used; 0 where none runs.",
)


yes_option = click.option("--yes", is_flag=True, help="Do not ask before something is ended.")


@click.group()
def keys() -> None:
    """Show the keys and rotate them.

    These commands work on the database, while servers run or not. One that was interrupted is simply run again.
    """


def _run(settings: Settings, work: Any) -> Any:
    async def inside() -> Any:
        async with existing(settings) as parts:
            coroutine: Coroutine[Any, Any, Any] = work(parts)
            return await coroutine

    start_logs(settings)
    return asyncio.run(inside())


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    return Progress(*columns, console=terminal(stderr=True), disable=is_json() or not terminal(stderr=True).is_terminal)


@keys.command()
@with_settings("data_dir", "root_key_file")
@output_option
def status(settings: Settings) -> None:
    """Show every key: the version that seals, one that waits to be used, and whether the current root key seals it."""

    async def work(parts: Runtime) -> tuple[Sequence[rotation.ScopeState], dict[str, int]]:
        return await rotation.state(parts), await rotation.hashed_before(parts)

    scopes, left = _run(settings, work)
    data = [
        {
            "scope": scope.scope,
            "active": scope.active,
            "staged": scope.staged,
            "versions": scope.versions,
            "underRootOfNow": scope.is_under_current_root,
        }
        for scope in scopes
    ]
    answer = {
        "keys": data,
        "awaitingNewRoot": sum(not scope.is_under_current_root for scope in scopes),
        "hashedWithEarlierKey": left,
    }

    def shown(console: Console) -> None:
        _table(console, scopes)
        console.print(_remaining_text(left))

    say(answer, shown)


def _table(console: Console, scopes: Sequence[rotation.ScopeState]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(
        "key", no_wrap=True, min_width=max((len(scope.scope) for scope in scopes), default=0)
    )  # an id is copied from here
    for title in ("seals with", "waiting", "versions", "root key"):
        table.add_column(title, overflow="fold")
    for scope in scopes:
        root = "the current one" if scope.is_under_current_root else "an earlier one"
        table.add_row(scope.scope, str(scope.active), str(scope.staged or "-"), str(scope.versions), root)
    console.print(table)


@keys.command("rotate-root")
@with_settings("data_dir", "root_key_file")
@output_option
def rotate_root(settings: Settings) -> None:
    """Seal all keys with the current root key, instead of the one before.

    First give every server the new key as WATCHWORD_ROOT_KEY and the old one as WATCHWORD_PREVIOUS_ROOT_KEY, and this
    command, too. When it is done, the old one is needed no more.
    """

    async def work(parts: Runtime) -> int:
        done = 0
        with _progress() as progress:
            bar = progress.add_task("Sealing keys with the new root key", total=None)
            async for count, total in rotation.reseal_root(parts, system_user()):
                done = count
                progress.update(bar, completed=count, total=total)
        return done

    done = _run(settings, work)
    message = (
        f"{done} keys were sealed with the current root key."
        if done
        else "Every key is sealed with the current root key already."
    )
    say({"resealed": done}, lambda console: console.print(message))


@keys.command("rotate-signing")
@click.option(
    "--revoke-old",
    is_flag=True,
    help="End every token and session that an earlier key signed, at once: for a key that leaked.",
)
@yes_option
@wait_option
@with_settings("data_dir", "root_key_file")
@output_option
def rotate_signing(settings: Settings, revoke_old: bool, yes: bool, wait: float) -> None:
    """Sign new tokens with a new key.

    Tokens issued before stay valid: the old key verifies them until they have ended. With --revoke-old they all end.
    """

    async def work(parts: Runtime) -> tuple[int, str]:
        if revoke_old:
            _confirm(_what_ends(await rotation.signed(parts)), yes=yes)
        by = system_user()
        await rotation.stage(parts, SIGNING)
        await _grace(wait)
        version = await (
            rotation.revoke_signing_keys(parts, by) if revoke_old else rotation.activate(parts, SIGNING, by)
        )
        return version, parts.keys.signer.kid

    version, kid = _run(settings, work)
    say(
        {"version": version, "kid": kid},
        lambda console: console.print(f"New tokens are signed with key {kid} (version {version})."),
    )


@keys.command("rotate-hmac")
@click.option(
    "--revoke-old",
    is_flag=True,
    help="End what is still hashed with an earlier key, instead of hashing it again when it is used.",
)
@yes_option
@wait_option
@with_settings("data_dir", "root_key_file")
@output_option
def rotate_hmac(settings: Settings, revoke_old: bool, yes: bool, wait: float) -> None:
    """Hash client secrets, service tokens, links and recovery codes with a new key.

    What is out stays good and is hashed with the new key when it is used; `keys status` says how many are not yet. With
    --revoke-old no new key is made where the current ones are not all in use: what is hashed with an earlier one ends.
    """

    async def work(parts: Runtime) -> dict[str, int]:
        if revoke_old:
            left = await rotation.hashed_before(parts)
            if not await rotation.has_earlier_hmac_keys(parts):
                raise BadRequest(
                    "Every credential is hashed with the only key there is: rotate it first without --revoke-old"
                )
            _confirm(_remaining_text(left), yes=yes)
            return await rotation.revoke_hmac_keys(parts, system_user())
        await rotation.stage(parts, HMAC)
        await _grace(wait)
        await rotation.activate(parts, HMAC, system_user())
        return await rotation.hashed_before(parts)

    left = _run(settings, work)
    message = (
        "What was hashed with an earlier key has ended."
        if revoke_old
        else f"New credentials are hashed with a new key. {_remaining_text(left)}"
    )
    say({"ended" if revoke_old else "left": left}, lambda console: console.print(message))


def _remaining_text(left: dict[str, int]) -> str:
    counted = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in left.items() if count) or "nothing"
    return f"Hashed with an earlier key: {counted}."


def _what_ends(signed: rotation.Signed) -> str:
    return (
        "Every access token that is out ends at once, on every server, however it was got: workloads log in again by "
        "themselves, but "
        f"{signed.named_tokens} named tokens (Token Auth) must be made again and handed out, the token of the "
        "instance administrator's identity "
        f"among them if it is one, and {signed.limited_tokens} tokens with a use limit be obtained again. "
        f"{signed.sessions} sessions of people end, too."
    )


def _confirm(action: str, *, yes: bool) -> None:
    """Say what is about to end, and ask. Where nobody can be asked, `--yes` is needed."""
    note(action)
    if yes:
        return
    if is_json() or not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked here: give --yes to do it")
    click.confirm("Go on?", abort=True, err=True)


@keys.command()
@click.option("--organization", metavar="ID", help="Only this organization's key.")
@click.option("--project", metavar="ID", help="Only this project's key.")
@click.option("--resume", is_flag=True, help="Make no new versions: finish what an interrupted rotation began.")
@wait_option
@with_settings("data_dir", "root_key_file")
@output_option
def rotate(settings: Settings, organization: str | None, project: str | None, resume: bool, wait: float) -> None:
    """Give organizations and projects new keys, and seal with them what the old ones sealed.

    Without options all of them. Servers may run: values sealed with the old key open until they have been sealed again.
    """
    if organization and project:
        raise click.UsageError("give --organization or --project, not both")

    async def work(parts: Runtime) -> dict[str, int]:
        scopes = await rotation.data_scopes(parts, organization, project)
        staged = (
            [
                scope_state.scope
                for scope_state in await rotation.state(parts)
                if scope_state.scope in scopes and scope_state.staged
            ]
            if resume
            else scopes
        )
        for scope in staged:
            await rotation.stage(parts, scope)
        if staged:
            await _grace(wait)
        for scope in staged:
            await rotation.activate(parts, scope, system_user())
        return {"keys": len(staged), "values": await _reseal(parts, scopes)}

    done = _run(settings, work)
    say(done, lambda console: console.print(f"{done['keys']} new keys; {done['values']} values were sealed again."))


async def _reseal(parts: Runtime, scopes: Sequence[str]) -> int:
    written = 0
    with _progress() as progress:
        bar = progress.add_task("Sealing values with the new keys", total=len(scopes))
        for scope in scopes:
            async for count in rotation.reseal(parts, scope):
                written += count
            progress.advance(bar)
    return written


async def _grace(seconds: float) -> None:
    if seconds:
        note(f"Waiting {seconds:g} seconds, so that every server has read the new key before it is used.")
        await asyncio.sleep(seconds)
