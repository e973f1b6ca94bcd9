"""`watchword`: the commands, put together. Each is imported only when it is used, so that `--help` is quick."""

import importlib
import signal
from typing import Any

import rich_click as click

from watchword import __version__
from watchword.cli.collector import staying

# command -> (module of watchword.cli, what it does)
COMMANDS: dict[str, tuple[str, str]] = {
    "serve": ("serve", "Run a server."),
    "bootstrap": ("bootstrap", "Make the first administrator and organization."),
    "migrate": ("migrate", "Bring the database up to this version."),
    "config": ("config", "Look at the settings."),
    "keys": ("keys", "Look at the keys and rotate them."),
    "admin": ("admin", "Get back in when no administrator can sign in."),
    "secrets": ("secrets", "Carry secrets in and out."),
    "unwrap": ("unwrap", "Open a wrapping token and print the credential in it, once."),
    "move-in": ("move_in", "Bring everything from a running Infisical."),
    "demo": ("demo", "Show an identity, its login and three refusals on a fresh server."),
    "completion": ("completion", "Print the script that completes commands in a shell."),
}


class Commands(click.RichGroup):
    """The commands of `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands in the order of the table."""
        del ctx
        return list(COMMANDS)

    _only_names = False

    def format_help(self, ctx: click.Context, formatter: Any) -> None:
        """List the commands without importing them."""
        self._only_names = True
        super().format_help(ctx, formatter)  # type: ignore[arg-type]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module."""
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module, does = COMMANDS[cmd_name]
        if self._only_names:
            return click.Command(cmd_name, help=does)
        if cmd_name == "serve":  # a SIGHUP while it starts is no reason to end: it is taken once the server runs
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
        with staying():
            command: click.Command = getattr(
                importlib.import_module(f"watchword.cli.{module}"), cmd_name.replace("-", "_")
            )
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what the server raises becomes a message and an exit code."""
        with staying():
            from watchword.cli.output import faults  # noqa: PLC0415 - `--help` does without it

        with faults():
            return super().invoke(ctx)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="watchword")
def main() -> None:
    """The server that gives every workload an identity.

    Exit codes: 0 done, 1 refused or failed, 2 wrong settings or options, 3 the root key does not open the database, 4
    the database cannot be used: it does not answer, is damaged, full, of a later version, or there is none.
    """
