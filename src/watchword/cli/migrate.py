"""`watchword migrate`: bring the database up to this version, without starting a server."""

import asyncio

import rich_click as click

from watchword.app import address_of, prepare, start_logs
from watchword.cli.options import with_settings
from watchword.cli.output import output_option, say
from watchword.settings import Settings
from watchword.store.migrate import HEAD, current, upgrade


@click.command()
@with_settings("data_dir")
@output_option
def migrate(settings: Settings) -> None:
    """Bring the database up to this version.

    A server does the same when it starts; use this where starting and migrating are separate steps.
    """
    start_logs(settings)
    prepare(settings)
    before = asyncio.run(_migrate(address_of(settings)))
    message = (
        f"The database is at revision {HEAD} already."
        if before == HEAD
        else f"The database is now at revision {HEAD} (was: {before or 'empty'})."
    )
    say({"before": before, "revision": HEAD, "changed": before != HEAD}, lambda console: console.print(message))


async def _migrate(address: str) -> str | None:
    before = await current(address)
    await upgrade(address)
    return before
