"""`watchword completion`: the script that completes commands and options in a shell."""

import rich_click as click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script that completes commands in SHELL.

    For bash: `watchword completion bash > ~/.local/share/bash-completion/completions/watchword`.
    """
    from watchword.cli.main import main  # noqa: PLC0415 - main imports us

    kind = get_completion_class(shell)
    if kind is None:
        raise click.UsageError(f"there is no completion for {shell}")
    click.echo(kind(main, {}, "watchword", "_WATCHWORD_COMPLETE").source())
